"""What happens when time is up: reminders, the truth before the act, lateness that punishes nobody."""

from datetime import UTC, datetime, timedelta

from tests.workflows.journey import Journeys
from tests.workflows.test_happy_paths import ATTEMPTED, READ, calls_of, end_of, money_of
from workflows.contract import DAY_SECONDS, Deadlines

REFRESH = "refresh_payment pay_CODE"


async def test_a_bill_never_paid_is_reminded_of_once_and_expires(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="vietqr", return_result=True)
    begun = await journey.env.get_current_time()

    view = await journey.end()

    assert end_of(view) == ("expired_unpaid", 8, "none")
    assert money_of(view) == ("cancelled", 130_000, 0, 0)
    assert calls_of(journey) == [
        *ATTEMPTED,
        READ,
        "remind_payer dossier/CODE:remind",
        REFRESH,
        "cancel_payment(expired) dossier/CODE:cancel",
        READ,
    ]
    assert view.history[-1].at - begun >= timedelta(days=7)
    assert view.history[-1].at - begun < timedelta(days=7, minutes=1)
    assert journey.desk.shipments == {}


async def test_the_reminder_is_not_sent_to_someone_who_has_paid(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="card")
    await journey.waits("collecting")
    await journey.pays(announced=False)
    await journey.later(days=4)
    await journey.facts("accepted", "result_ready", "handed_over")

    view = await journey.end()

    assert end_of(view) == ("result_handed_over", 10, "none")
    assert calls_of(journey) == [*ATTEMPTED, READ, READ]


async def test_a_refused_reminder_fails_nothing(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="card")
    journey.desk.refuse("remind_payer", "no-such-route")
    await journey.waits("collecting")
    await journey.later(days=4)
    await journey.desk.called("remind_payer")
    await journey.pays()
    await journey.facts("accepted", "result_ready", "handed_over")

    view = await journey.end()

    assert end_of(view) == ("result_handed_over", 10, "none")
    assert view.anomalies == ()


async def test_at_the_deadline_the_gateway_is_asked_and_its_payment_counts(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="card")
    journey.desk.before_reading.append(lambda: journey.desk.receive(100_000))
    await journey.facts("accepted", "result_ready", "handed_over")

    view = await journey.end()

    assert end_of(view) == ("result_handed_over", 10, "none")
    assert money_of(view) == ("paid", 100_000, 100_000, 0)
    assert calls_of(journey) == [*ATTEMPTED, READ, "remind_payer dossier/CODE:remind", REFRESH, READ]


async def test_money_of_unknown_fate_is_waited_for(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="card")
    await journey.waits("collecting")
    journey.desk.unknown = True
    await journey.later(days=7, minutes=12)
    waiting = await journey.waits("collecting")
    await journey.pays()
    await journey.facts("accepted", "result_ready", "handed_over")

    view = await journey.end()

    assert waiting.money.status == "unknown"
    assert end_of(view) == ("result_handed_over", 10, "none")
    assert calls_of(journey) == [*ATTEMPTED, READ, "remind_payer dossier/CODE:remind", *[REFRESH] * 3, READ, READ]


async def test_a_partial_payment_that_expires_is_given_back(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="vietqr")
    await journey.waits("collecting")
    await journey.pays(60_000)
    await journey.waits("collecting", lambda view: view.money.paid_dong == 60_000)
    await journey.later(days=7, minutes=1)
    await journey.refund_is("approved")
    journey.desk.refunds[f"dossier/{code}:refund"] = journey.desk.refunds[f"dossier/{code}:refund"].model_copy(
        update={"status": "succeeded"}
    )

    view = await journey.end()

    assert end_of(view) == ("expired_unpaid", 8, "none")
    assert money_of(view) == ("refunded", 100_000, 60_000, 60_000)
    (refund,) = journey.desk.refunds.values()
    assert (refund.amount_dong, refund.reason, refund.source) == (60_000, "paid_late", "bill")
    assert view.anomalies == ()


async def test_a_bill_ended_by_the_payment_service_ends_the_dossier(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="card")
    await journey.waits("collecting")
    journey.desk.ended = "expired"
    journey.desk.refuse("cancel_payment(expired)", "bill-has-ended")
    await journey.news("payment.expired")

    view = await journey.end()

    assert end_of(view) == ("expired_unpaid", 8, "none")
    assert money_of(view) == ("expired", 100_000, 0, 0)
    assert view.anomalies == ()


async def test_a_late_agency_is_marked_and_waited_for(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="none", quoted="nothing_due")
    await journey.waits("accepting")
    await journey.later(days=3, minutes=1)
    late = await journey.waits("accepting", lambda view: view.overdue == ("acceptance",))
    await journey.fact("accepted")
    await journey.later(days=60)
    later = await journey.waits("processing", lambda view: len(view.overdue) == 2)
    await journey.facts("result_ready", "handed_over")

    view = await journey.end()

    assert late.waits_until is None
    assert late.history[-1].vi == "Quá hạn: cơ quan tiếp nhận hồ sơ"
    assert later.overdue == ("acceptance", "processing")
    assert end_of(view) == ("result_handed_over", 10, "none")


async def test_the_due_date_on_the_receipt_is_the_deadline(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="none", quoted="nothing_due")
    today = (await journey.env.get_current_time()).date()
    due_on, extended_to = today + timedelta(days=12), today + timedelta(days=40)
    await journey.fact("accepted", due_on=due_on)
    first = await journey.waits("processing")
    await journey.fact("extended", due_on=extended_to)
    extended = await journey.waits("processing", lambda view: view.waits_until != first.waits_until)
    await journey.later(days=35)
    in_time = await journey.waits("processing")
    await journey.facts("result_ready", "handed_over")

    view = await journey.end()

    # 17:00 UTC is midnight in Vietnam: the due date itself still belongs to the agency.
    assert first.waits_until == datetime.combine(due_on, datetime.min.time(), tzinfo=UTC) + timedelta(hours=17)
    assert extended.waits_until == datetime.combine(extended_to, datetime.min.time(), UTC) + timedelta(hours=17)
    assert in_time.overdue == ()
    assert view.overdue == ()


async def test_a_moved_payment_deadline_is_seen_at_once(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="card")
    first = await journey.waits("collecting")
    answered = await journey.change_deadline("payment", 20 * DAY_SECONDS)
    await journey.later(days=10)
    await journey.waits("collecting")
    await journey.pays()
    await journey.facts("accepted", "result_ready", "handed_over")

    view = await journey.end()

    assert answered.accepted
    assert first.waits_until is not None
    assert end_of(view) == ("result_handed_over", 10, "none")


async def test_a_shortened_payment_deadline_ends_the_dossier_earlier(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="card")
    begun = await journey.env.get_current_time()
    await journey.waits("collecting")
    await journey.change_deadline("payment", 3600)

    view = await journey.end()

    assert end_of(view) == ("expired_unpaid", 8, "none")
    assert view.history[-1].at - begun < timedelta(hours=2)
    assert journey.desk.arrivals("remind_payer") == 0


async def test_a_deadline_moved_before_its_step_begins_is_kept(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="none", quoted="nothing_due")
    await journey.waits("accepting")
    await journey.change_deadline("processing", 90 * DAY_SECONDS)
    now = await journey.env.get_current_time()
    await journey.fact("accepted")
    processing = await journey.waits("processing")
    await journey.facts("result_ready", "handed_over")

    await journey.end()

    assert processing.waits_until is not None
    assert abs(processing.waits_until - now - timedelta(days=90)) < timedelta(minutes=1)


async def test_an_overdue_step_that_gets_time_is_no_longer_overdue(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="none", quoted="nothing_due")
    await journey.waits("accepting")
    await journey.later(days=4)
    await journey.waits("accepting", lambda view: view.overdue == ("acceptance",))
    await journey.change_deadline("acceptance", 5 * DAY_SECONDS)
    given = await journey.waits("accepting", lambda view: view.overdue == ())
    await journey.later(days=6)
    await journey.waits("accepting", lambda view: view.overdue == ("acceptance",))
    await journey.facts("accepted", "result_ready", "handed_over")

    view = await journey.end()

    assert given.waits_until is not None
    assert end_of(view) == ("result_handed_over", 10, "none")


async def test_a_silent_parcel_is_marked_and_still_followed(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="none", quoted="nothing_due", return_result=True)
    await journey.facts("accepted", "result_ready")
    await journey.waits("returning")
    await journey.later(days=16)
    silent = await journey.waits("returning", lambda view: view.overdue == ("return leg",))
    await journey.moves("return", "delivered")

    view = await journey.end()

    assert silent.waits_until is None
    assert end_of(view) == ("result_delivered", 10, "citizen")


async def test_a_parcel_whose_news_was_lost_is_read_at_its_deadline(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="none", quoted="nothing_due", return_result=True)
    await journey.facts("accepted", "result_ready")
    await journey.waits("returning")
    journey.desk.move("return", "delivered")

    view = await journey.end()

    assert end_of(view) == ("result_delivered", 10, "citizen")


async def test_a_late_agency_does_not_eat_the_bill_paid_on_return(journeys: Journeys, code: str) -> None:
    limits = Deadlines(processing_seconds=10 * DAY_SECONDS)
    journey = await journeys.begin(code, pay_by="card", pay_when="on_return", deadlines=limits)
    begun = await journey.env.get_current_time()
    await journey.desk.called("open_payment")
    assert journey.desk.body is not None
    await journey.facts("accepted", "result_ready", "handed_over")
    await journey.desk.called("start_attempt")
    await journey.pays()

    view = await journey.end()

    assert view.outcome == "result_handed_over"
    assert journey.desk.body.expires_at > begun + timedelta(days=365)


async def test_tries_live_as_long_as_what_brings_their_money(journeys: Journeys, code: str) -> None:
    limits = Deadlines(attempt_seconds=600, return_seconds=9 * DAY_SECONDS)
    card = await journeys.begin(code + "-A", pay_by="card", deadlines=limits)
    await card.desk.called("start_attempt")
    await card.handle.terminate("seen enough")
    cash = await journeys.begin(
        code + "-B", pay_by="cash_on_delivery", pay_when="on_return", return_result=True, deadlines=limits
    )
    await cash.facts("accepted", "result_ready")
    await cash.desk.called("start_attempt")
    await cash.handle.terminate("seen enough")

    lives = [journey.desk.attempts[0].expires_at - journey.desk.attempts[0].created_at for journey in (card, cash)]
    assert lives == [timedelta(seconds=600), timedelta(days=9)]
