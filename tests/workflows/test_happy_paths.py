"""Dossiers that reach their result: every way of paying, every way in which the result gets home."""

from datetime import timedelta

import pytest

from services.payment.contract import CreateAttempt
from tests.workflows.journey import Journey, Journeys
from workflows.contract import DossierView

ASSESSED = ["quote_fees dossier/CODE:quote:KEY", "open_payment dossier/CODE:open"]
ATTEMPTED = [*ASSESSED, "start_attempt dossier/CODE:attempt:1"]
READ = "read_payment pay_CODE"


def calls_of(journey: Journey) -> list[str]:
    """The calls in their order; the quote's fingerprint shortened to KEY."""
    return [
        call[: -len("0123456789abcdef")] + "KEY" if call.startswith("quote_fees") else call
        for call in journey.desk.calls
    ]


def end_of(view: DossierView) -> tuple[str | None, int, str]:
    return view.outcome, view.portal_status, view.papers


def money_of(view: DossierView) -> tuple[str, int, int, int]:
    """Status, due, paid and refunded."""
    return view.money.status, view.money.due_dong, view.money.paid_dong, view.money.refunded_dong


async def test_card_before_acceptance(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="card")
    waiting = await journey.waits("collecting")
    await journey.pays()
    await journey.facts("accepted", "result_ready", "handed_over")

    view = await journey.end()

    assert (waiting.portal_status, waiting.money.status, waiting.money.due_dong) == (6, "open", 100_000)
    assert waiting.waits_for is not None
    assert waiting.waits_for.vi == "Đang chờ công dân nộp tiền"
    assert end_of(view) == ("result_handed_over", 10, "none")
    assert money_of(view) == ("paid", 100_000, 100_000, 0)
    assert (view.money.receipt_number, view.anomalies, view.overdue) == (f"R-{code}", (), ())
    assert calls_of(journey) == [*ATTEMPTED, READ, READ]


async def test_nothing_due_opens_a_bill_of_zero_and_never_asks_for_money(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="none", quoted="nothing_due")
    await journey.facts("accepted", "result_ready", "handed_over")

    view = await journey.end()

    assert end_of(view) == ("result_handed_over", 10, "none")
    assert money_of(view) == ("paid", 0, 0, 0)
    assert calls_of(journey) == [*ASSESSED, READ]
    assert journey.desk.body is not None
    assert [share.amount_dong for line in journey.desk.body.lines for share in line.shares] == [0]


async def test_nothing_due_asks_for_no_money_even_when_a_card_was_chosen(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="card", quoted="nothing_due")
    await journey.facts("accepted", "result_ready", "handed_over")

    view = await journey.end()

    assert end_of(view) == ("result_handed_over", 10, "none")
    assert calls_of(journey) == [*ASSESSED, READ]


async def test_what_the_budget_supports_is_not_asked_of_the_citizen(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="vietqr", quoted="supported")
    await journey.desk.called("start_attempt")
    await journey.pays()
    await journey.facts("accepted", "result_ready", "handed_over")

    view = await journey.end()

    assert end_of(view) == ("result_handed_over", 10, "none")
    assert money_of(view) == ("paid", 20_000, 20_000, 0)
    assert view.money.budget_dong == 80_000
    assert journey.desk.attempts[0].amount_dong == 20_000


async def test_vietqr_is_paid_after_the_first_attempt_expired(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="vietqr")
    await journey.desk.called("start_attempt")
    journey.desk.expire_attempt()
    await journey.news("payment.attempt_expired")
    await journey.desk.called("read_payment")
    expired = await journey.waits("collecting")
    journey.desk.start(CreateAttempt(method="vietqr"))  # the citizen's own second try, by the pay page
    await journey.pays()
    await journey.facts("accepted", "result_ready", "handed_over")

    view = await journey.end()

    assert expired.money.status == "open"
    assert end_of(view) == ("result_handed_over", 10, "none")
    assert [attempt.id for attempt in journey.desk.attempts] == [f"att_{code}_1", f"att_{code}_2"]
    assert calls_of(journey) == [*ATTEMPTED, READ, READ, READ]


async def test_a_partial_payment_is_topped_up(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="vietqr")
    await journey.desk.called("start_attempt")
    await journey.pays(90_000)
    partial = await journey.waits("collecting", lambda view: view.money.paid_dong > 0)
    await journey.pays(10_000)
    await journey.facts("accepted", "result_ready", "handed_over")

    view = await journey.end()

    assert money_of(partial) == ("partially_paid", 100_000, 90_000, 0)
    assert end_of(view) == ("result_handed_over", 10, "none")
    assert money_of(view) == ("paid", 100_000, 100_000, 0)


async def test_payment_after_acceptance_waits_for_the_agency(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="vietqr", pay_when="after_acceptance")
    before = await journey.waits("accepting")
    await journey.fact("accepted")
    await journey.desk.called("start_attempt")
    await journey.pays()
    await journey.facts("result_ready", "handed_over")

    view = await journey.end()

    assert before.portal_status == 1
    assert end_of(view) == ("result_handed_over", 10, "none")
    assert calls_of(journey) == [*ATTEMPTED, READ, READ]


async def test_payment_at_the_counter_on_return(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="cash_at_counter", pay_when="on_return", channel="counter")
    await journey.facts("accepted", "result_ready")
    await journey.desk.called("start_attempt")
    await journey.pays()
    await journey.fact("handed_over")

    view = await journey.end()

    assert end_of(view) == ("result_handed_over", 10, "citizen")
    assert money_of(view) == ("paid", 100_000, 100_000, 0)
    assert journey.desk.attempts[0].method == "cash_at_counter"


async def test_both_ways_by_post(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="card", send=True, return_result=True)
    await journey.desk.called("start_attempt")
    await journey.pays()
    await journey.desk.called("book_shipment")
    await journey.moves("outbound", "collected")
    on_the_way = await journey.waits("picking_up", lambda view: view.legs[0].status == "collected")
    await journey.moves("outbound", "in_transit", "delivered")
    await journey.facts("accepted", "result_ready")
    await journey.desk.called("book_shipment", times=2)
    await journey.moves("return", "delivered")

    view = await journey.end()

    assert (on_the_way.portal_status, on_the_way.papers) == (1, "post")
    assert end_of(view) == ("result_delivered", 10, "citizen")
    assert money_of(view) == ("paid", 160_000, 160_000, 0)
    assert [(leg.direction, leg.status) for leg in view.legs] == [("outbound", "delivered"), ("return", "delivered")]
    out, back = journey.desk.shipments.values()
    assert [piece.name for piece in out.pieces] == ["Tờ khai", "Ảnh 4x6"]
    assert [piece.name for piece in back.pieces] == ["Kết quả"]
    assert (out.postage_dong, back.postage_dong) == (30_000, 30_000)
    writes = [call for call in calls_of(journey) if not call.startswith("read_")]
    assert writes == [*ATTEMPTED, "book_shipment dossier/CODE:out", "book_shipment dossier/CODE:back"]


async def test_cash_at_pickup(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="cash_on_delivery", send=True, return_result=True)
    await journey.desk.called("book_shipment")
    await journey.moves("outbound", "collected", cash_dong=160_000)
    await journey.desk.called("record_cash")
    await journey.moves("outbound", "delivered")
    await journey.facts("accepted", "result_ready")
    await journey.desk.called("book_shipment", times=2)
    await journey.moves("return", "delivered")

    view = await journey.end()

    out, back = journey.desk.shipments.values()
    assert (out.cash_due_dong, back.cash_due_dong) == (160_000, 0)
    assert end_of(view) == ("result_delivered", 10, "citizen")
    assert money_of(view) == ("paid", 160_000, 160_000, 0)
    assert view.anomalies == ()
    assert calls_of(journey).count("record_cash cash/shp_CODE_1") == 1
    assert journey.desk.attempts[0].method == "cash_on_delivery"


async def test_cash_at_delivery_gives_up_a_try_the_citizen_left_half_way(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="cash_on_delivery", pay_when="on_return", return_result=True)
    await journey.desk.called("open_payment")
    journey.desk.start(CreateAttempt(method="card"))
    await journey.facts("accepted", "result_ready")
    await journey.desk.called("book_shipment")
    await journey.moves("return", "out_for_delivery")
    await journey.moves("return", "delivered", cash_dong=130_000)

    view = await journey.end()

    assert journey.desk.latest("return").cash_due_dong == 130_000
    assert [attempt.method for attempt in journey.desk.attempts] == ["card", "cash_on_delivery"]
    assert end_of(view) == ("result_delivered", 10, "citizen")
    assert money_of(view) == ("paid", 130_000, 130_000, 0)
    assert view.anomalies == ()
    assert calls_of(journey).count("record_cash cash/shp_CODE_1") == 1


async def test_cash_that_the_courier_did_not_bring_is_an_anomaly(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="cash_on_delivery", pay_when="on_return", return_result=True)
    journey.desk.refuse("start_attempt", "attempt-unknown")
    await journey.facts("accepted", "result_ready")
    await journey.desk.called("book_shipment")
    await journey.moves("return", "delivered")

    view = await journey.end()

    assert journey.desk.latest("return").cash_due_dong == 0
    assert end_of(view) == ("result_delivered", 10, "citizen")
    assert view.anomalies == ("the courier's leg ended without the cash that was due",)


async def test_a_result_nobody_took_in_is_handed_over_at_the_counter(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="none", quoted="nothing_due", return_result=True)
    await journey.facts("accepted", "result_ready")
    await journey.desk.called("book_shipment")
    await journey.moves("return", "attempt_failed", "returning", "returned")
    await journey.fact("handed_over")

    view = await journey.end()

    assert end_of(view) == ("result_handed_over", 10, "citizen")
    assert [(leg.direction, leg.status, leg.custodian) for leg in view.legs] == [("return", "returned", "agency")]


async def test_a_result_fetched_at_the_counter_is_not_posted(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="none", quoted="nothing_due", return_result=True)
    await journey.facts("accepted", "handed_over")

    view = await journey.end()

    assert view.outcome == "result_handed_over"
    assert journey.desk.shipments == {}


@pytest.mark.parametrize("stage", ["acceptance", "processing"])
async def test_missing_papers_are_supplied_then_the_dossier_goes_on(journeys: Journeys, code: str, stage: str) -> None:
    journey = await journeys.begin(code, pay_by="none", quoted="nothing_due")
    if stage == "processing":
        await journey.fact("accepted")
    await journey.fact("supplement_requested")
    supplementing = await journey.waits("supplementing")
    await journey.fact("supplement_received")
    again = await journey.waits("accepting" if stage == "acceptance" else "processing")
    await journey.facts("accepted", "result_ready", "handed_over")

    view = await journey.end()

    assert supplementing.portal_status == 5
    assert again.portal_status == (1 if stage == "acceptance" else 4)
    assert end_of(view) == ("result_handed_over", 10, "none")


async def test_facts_said_twice_and_out_of_order_change_nothing(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="card")
    await journey.desk.called("start_attempt")
    await journey.pays(announced=False)
    for _ in range(3):
        await journey.news("payment.received", event_id="evt-same-one")
    await journey.fact("result_ready", event_id="ready-01")
    await journey.fact("accepted", event_id="accepted-01")
    await journey.fact("result_ready", event_id="ready-01")
    await journey.fact("accepted", event_id="accepted-01")
    await journey.fact("handed_over", event_id="handed-01")
    await journey.fact("handed_over", event_id="handed-01")

    view = await journey.end()

    assert end_of(view) == ("result_handed_over", 10, "none")
    said = [moment.en for moment in view.history]
    assert said.count("The agency accepted the dossier") == 1
    assert said.count("The result is ready") == 1
    assert calls_of(journey) == [*ATTEMPTED, READ, READ]


@pytest.mark.parametrize("lost", ["accepted", "result_ready", "supplement_received"])
async def test_a_lost_fact_is_implied_by_a_later_one(journeys: Journeys, code: str, lost: str) -> None:
    journey = await journeys.begin(code, pay_by="none", quoted="nothing_due")
    story = {
        "accepted": ("result_ready", "handed_over"),
        "result_ready": ("accepted", "handed_over"),
        "supplement_received": ("supplement_requested", "handed_over"),
    }
    for kind in story[lost]:
        await journey.fact(kind)  # type: ignore[arg-type]

    view = await journey.end()

    assert end_of(view) == ("result_handed_over", 10, "none")


async def test_a_refusal_said_after_the_result_is_marked_and_undoes_nothing(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="card")
    await journey.desk.called("start_attempt")
    await journey.pays()
    await journey.facts("accepted", "result_ready", "refused", "handed_over")

    view = await journey.end()

    assert end_of(view) == ("result_handed_over", 10, "none")
    assert view.anomalies == ("the agency reported a refusal after the result was issued",)
    assert money_of(view) == ("paid", 100_000, 100_000, 0)


async def test_news_that_comes_while_the_payment_is_read_is_not_lost(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="card")
    await journey.desk.called("start_attempt")
    gate = journey.desk.hold("read_payment")
    await journey.news("payment.attempt_started")
    await journey.desk.reached("read_payment")
    journey.desk.after_reading.append(lambda: journey.desk.receive(100_000))
    await journey.news("payment.received")
    gate.set()
    await journey.facts("accepted", "result_ready", "handed_over")

    view = await journey.end()

    assert view.outcome == "result_handed_over"
    assert calls_of(journey) == [*ATTEMPTED, READ, READ, READ]
    assert view.history[-1].at - view.history[0].at < timedelta(hours=1)  # it was not the reminder that found out


async def test_news_that_comes_while_a_shipment_is_read_is_not_lost(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="none", quoted="nothing_due", return_result=True)
    await journey.facts("accepted", "result_ready")
    await journey.desk.called("book_shipment")
    gate = journey.desk.hold("read_shipment")
    await journey.moves("return", "collected")
    await journey.desk.reached("read_shipment")
    journey.desk.after_tracking.append(lambda: journey.desk.move("return", "delivered"))
    await journey.news("shipment.delivered", direction="return")
    gate.set()

    view = await journey.end()

    assert view.outcome == "result_delivered"
    assert view.overdue == ()
    assert journey.desk.arrivals("read_shipment") == 2
