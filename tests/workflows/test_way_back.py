"""Refusal, withdrawal, loss and cancellation: what was done is undone, papers first, and nothing twice."""

import pytest
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError, CancelledError

from tests.workflows.journey import Journey, Journeys
from tests.workflows.test_happy_paths import ATTEMPTED, READ, calls_of, end_of, money_of
from workflows.contract import AgencyFactKind

REFUND = "request_refund refund/dossier/CODE:refund:request"


async def sent_by_post(journeys: Journeys, code: str, *, return_result: bool = True) -> Journey:
    """A paid dossier whose papers wait for the courier."""
    journey = await journeys.begin(code, pay_by="card", send=True, return_result=return_result)
    await journey.waits("collecting")
    await journey.pays()
    await journey.waits("picking_up")
    return journey


async def test_a_refusal_gives_fees_back_and_brings_the_papers_home(journeys: Journeys, code: str) -> None:
    journey = await sent_by_post(journeys, code)
    await journey.moves("outbound", "delivered")
    await journey.fact("refused")
    await journey.desk.called("book_shipment", times=2)
    going_back = await journey.waits("undoing")
    await journey.moves("return", "delivered")
    await journey.refund_is("succeeded")

    view = await journey.end()

    assert going_back.portal_status == 8
    assert end_of(view) == ("refused", 3, "citizen")
    assert money_of(view) == ("paid", 160_000, 160_000, 100_000)  # both legs were used: their postage is kept
    (refund,) = journey.desk.refunds.values()
    assert (refund.amount_dong, refund.reason, refund.status) == (100_000, "refused", "succeeded")
    assert view.anomalies == ()
    out, back = journey.desk.shipments.values()
    assert [piece.name for piece in back.pieces] == [piece.name for piece in out.pieces]
    assert [call for call in calls_of(journey) if not call.startswith("read_")] == [
        *ATTEMPTED,
        "book_shipment dossier/CODE:out",
        "book_shipment dossier/CODE:papers-back",
        "cancel_payment(refused) dossier/CODE:cancel",
        REFUND,
    ]


async def test_refused_papers_without_a_return_leg_wait_at_the_agency(journeys: Journeys, code: str) -> None:
    journey = await sent_by_post(journeys, code, return_result=False)
    await journey.moves("outbound", "delivered")
    await journey.fact("refused")
    await journey.refund_is("succeeded")

    view = await journey.end()

    assert end_of(view) == ("refused", 3, "agency")
    assert money_of(view) == ("paid", 130_000, 130_000, 100_000)


async def test_a_refusal_of_a_dossier_that_never_was_paper_gives_everything_back(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="card", return_result=True)
    await journey.waits("collecting")
    await journey.pays()
    await journey.fact("refused")
    await journey.refund_is("succeeded")

    view = await journey.end()

    assert end_of(view) == ("refused", 3, "none")
    assert money_of(view) == ("refunded", 130_000, 130_000, 130_000)
    assert journey.desk.shipments == {}


async def test_a_refusal_of_what_cost_nothing_asks_for_no_refund(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="none", quoted="nothing_due")
    await journey.fact("refused")

    view = await journey.end()

    assert end_of(view) == ("refused", 3, "none")
    assert journey.desk.refunds == {}


async def test_a_withdrawal_while_the_agency_works(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="card", channel="counter")
    await journey.waits("collecting")
    await journey.pays()
    await journey.fact("accepted")
    await journey.waits("processing")
    answered = await journey.withdraws()
    await journey.refund_is("succeeded")

    view = await journey.end()

    assert answered.accepted
    assert end_of(view) == ("withdrawn", 7, "citizen")
    assert money_of(view) == ("refunded", 100_000, 100_000, 100_000)
    assert [call for call in calls_of(journey) if not call.startswith("read_")] == [
        *ATTEMPTED,
        "cancel_payment(withdrawn) dossier/CODE:cancel",
        REFUND,
    ]


async def test_a_withdrawal_before_payment_cancels_the_bill(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="vietqr")
    await journey.waits("collecting")
    await journey.withdraws()

    view = await journey.end()

    assert end_of(view) == ("withdrawn", 7, "none")
    assert money_of(view) == ("cancelled", 100_000, 0, 0)
    assert calls_of(journey) == [*ATTEMPTED, "cancel_payment(withdrawn) dossier/CODE:cancel", READ]


async def test_a_withdrawal_of_unknown_money_waits_for_its_fate(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="card")
    await journey.waits("collecting")
    journey.desk.unknown = True
    await journey.withdraws()
    await journey.waits("undoing")
    await journey.pays()
    await journey.refund_is("succeeded")

    view = await journey.end()

    assert end_of(view) == ("withdrawn", 7, "none")
    assert money_of(view) == ("refunded", 100_000, 100_000, 100_000)
    assert calls_of(journey).count("cancel_payment(withdrawn) dossier/CODE:cancel") >= 2


@pytest.mark.parametrize("channel", ["online", "counter"])
async def test_a_withdrawal_is_refused_once_the_result_is_issued(journeys: Journeys, code: str, channel: str) -> None:
    journey = await journeys.begin(code, pay_by="card", pay_when="on_return", channel=channel)
    await journey.facts("accepted", "result_ready")
    await journey.waits("collecting")

    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await journey.withdraws()

    assert isinstance(refused.value.cause, ApplicationError)
    assert refused.value.cause.type == "cannot-withdraw-now"
    await journey.pays()
    await journey.fact("handed_over")
    view = await journey.end()
    assert view.outcome == "result_handed_over"
    assert "The citizen asked to withdraw the dossier" not in [moment.en for moment in view.history]


@pytest.mark.parametrize("waiting", ["result_ready", "refused"])
async def test_an_accepted_withdrawal_outranks_facts_that_come_after_it(
    journeys: Journeys, code: str, waiting: AgencyFactKind
) -> None:
    journey = await journeys.begin(code, pay_by="none", quoted="nothing_due")
    gate = journey.desk.hold("open_payment")
    await journey.desk.reached("open_payment")
    await journey.fact("accepted")
    answered = await journey.withdraws()
    await journey.fact(waiting)
    gate.set()

    view = await journey.end()

    assert answered.accepted
    assert end_of(view) == ("withdrawn", 7, "none")


async def test_a_withdrawal_is_refused_when_the_result_waits_to_be_read(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="none", quoted="nothing_due")
    gate = journey.desk.hold("open_payment")
    await journey.desk.reached("open_payment")
    await journey.facts("accepted", "result_ready")

    with pytest.raises(WorkflowUpdateFailedError):
        await journey.withdraws()

    gate.set()
    await journey.fact("handed_over")
    assert (await journey.end()).outcome == "result_handed_over"


async def test_a_withdrawal_before_pickup_calls_the_courier_off(journeys: Journeys, code: str) -> None:
    journey = await sent_by_post(journeys, code)
    await journey.withdraws()
    await journey.refund_is("succeeded")

    view = await journey.end()

    assert end_of(view) == ("withdrawn", 7, "citizen")
    assert money_of(view) == ("refunded", 160_000, 160_000, 160_000)
    assert [leg.status for leg in view.legs] == ["cancelled"]
    assert [call for call in calls_of(journey) if not call.startswith("read_")] == [
        *ATTEMPTED,
        "book_shipment dossier/CODE:out",
        "cancel_shipment dossier/CODE:call-off:outbound",
        "cancel_payment(withdrawn) dossier/CODE:cancel",
        REFUND,
    ]


async def test_papers_collected_in_the_moment_of_withdrawal_come_back_by_the_return_leg(
    journeys: Journeys, code: str
) -> None:
    journey = await sent_by_post(journeys, code)
    gate = journey.desk.hold("cancel_shipment")
    await journey.withdraws()
    await journey.desk.reached("cancel_shipment")
    await journey.moves("outbound", "collected")
    gate.set()
    await journey.desk.called("cancel_shipment")
    await journey.moves("outbound", "delivered")
    await journey.desk.called("book_shipment", times=2)
    await journey.moves("return", "delivered")
    await journey.refund_is("succeeded")

    view = await journey.end()

    assert end_of(view) == ("withdrawn", 7, "citizen")
    assert money_of(view) == ("paid", 160_000, 160_000, 100_000)
    assert [(leg.direction, leg.status) for leg in view.legs] == [("outbound", "delivered"), ("return", "delivered")]


async def test_a_pickup_the_post_gave_up_ends_as_withdrawn(journeys: Journeys, code: str) -> None:
    journey = await sent_by_post(journeys, code)
    await journey.moves("outbound", "pickup_failed", "cancelled")
    await journey.refund_is("succeeded")

    view = await journey.end()

    assert end_of(view) == ("withdrawn", 7, "citizen")
    assert money_of(view) == ("refunded", 160_000, 160_000, 160_000)


async def test_papers_lost_on_the_way_are_claimed_for_and_the_unused_leg_refunded(
    journeys: Journeys, code: str
) -> None:
    journey = await sent_by_post(journeys, code)
    await journey.moves("outbound", "collected", "investigating", "lost")
    await journey.refund_is("succeeded")
    await journey.claim_is_paid()

    view = await journey.end()
    claim = await journey.claim_ended()

    assert end_of(view) == ("papers_lost", 8, "lost")
    assert money_of(view) == ("paid", 160_000, 160_000, 130_000)  # the charge and the unused return postage
    assert (view.claim_compensation_dong, claim.compensation_dong, claim.status) == (120_000, 120_000, "paid")
    (refund,) = journey.desk.refunds.values()
    assert (refund.amount_dong, refund.reason) == (130_000, "papers_lost")
    submissions = [call for call in calls_of(journey) if call.startswith("submit_claim")]
    assert submissions == ["submit_claim claim/shp_CODE_1:submit"] * 2  # by the dossier and by the claim's own workflow
    assert len(journey.desk.claims) == 1


async def test_papers_lost_after_a_withdrawal_are_claimed_for_too(journeys: Journeys, code: str) -> None:
    journey = await sent_by_post(journeys, code)
    await journey.moves("outbound", "collected")
    await journey.waits("picking_up", lambda view: view.legs[0].status == "collected")
    await journey.withdraws()
    await journey.waits("undoing")
    await journey.moves("outbound", "lost")
    await journey.refund_is("succeeded")
    await journey.claim_is_paid()

    view = await journey.end()
    claim = await journey.claim_ended()

    assert end_of(view) == ("withdrawn", 7, "lost")
    assert (view.claim_compensation_dong, claim.compensation_dong, claim.status) == (120_000, 120_000, "paid")
    assert money_of(view) == ("paid", 160_000, 160_000, 130_000)


@pytest.mark.parametrize("fate", ["lost", "damaged"])
async def test_a_lost_result_is_claimed_for_and_used_fees_are_kept(journeys: Journeys, code: str, fate: str) -> None:
    journey = await journeys.begin(code, pay_by="card", return_result=True)
    await journey.waits("collecting")
    await journey.pays()
    await journey.facts("accepted", "result_ready")
    await journey.waits("returning")
    await journey.moves("return", "collected", fate)  # type: ignore[arg-type]
    await journey.claim_is_paid()

    view = await journey.end()
    claim = await journey.claim_ended()

    assert end_of(view) == ("result_lost", 9, "lost")
    assert money_of(view) == ("paid", 130_000, 130_000, 0)
    assert (view.claim_compensation_dong, claim.compensation_dong, claim.status) == (120_000, 120_000, "paid")
    assert [filed.reason for filed in journey.desk.claims.values()] == [fate]


@pytest.mark.parametrize("status", ["rejected", "failed"])
async def test_a_refund_that_did_not_happen_is_an_anomaly(journeys: Journeys, code: str, status: str) -> None:
    journey = await journeys.begin(code, pay_by="card")
    await journey.waits("collecting")
    await journey.pays()
    await journey.fact("refused")
    await journey.refund_is(status)

    view = await journey.end()

    assert end_of(view) == ("refused", 3, "none")
    assert view.anomalies == (f"refund {status}",)
    assert view.money.refunded_dong == 0


async def test_a_cancellation_while_waiting_compensates(journeys: Journeys, code: str) -> None:
    journey = await sent_by_post(journeys, code)
    await journey.handle.cancel()
    await journey.refund_is("succeeded")

    with pytest.raises(WorkflowFailureError) as ended:
        await journey.end()

    view = await journey.view()
    assert isinstance(ended.value.cause, CancelledError)
    assert end_of(view) == ("withdrawn", 7, "citizen")
    assert money_of(view) == ("refunded", 160_000, 160_000, 160_000)


@pytest.mark.parametrize("during", ["quote_fees", "open_payment", "start_attempt"])
async def test_a_cancellation_inside_a_call_compensates(journeys: Journeys, code: str, during: str) -> None:
    journey = await journeys.begin(code, pay_by="card")
    gate = journey.desk.hold(during)
    await journey.desk.reached(during)
    await journey.handle.cancel()
    await journey.waits_for_cancellation()
    gate.set()

    with pytest.raises(WorkflowFailureError) as ended:
        await journey.end()

    assert isinstance(ended.value.cause, CancelledError)
    view = await journey.view()
    assert (view.phase, view.outcome) == ("finished", "withdrawn")
    if during == "start_attempt":
        assert calls_of(journey) == [*ATTEMPTED, "cancel_payment(withdrawn) dossier/CODE:cancel", READ]


async def test_a_cancellation_on_the_way_back_does_not_stop_it(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="card")
    await journey.waits("collecting")
    await journey.pays()
    await journey.fact("refused")
    await journey.desk.called("request_refund")
    await journey.handle.cancel()
    await journey.waits_for_cancellation()
    await journey.refund_is("succeeded")

    view = await journey.end()

    assert end_of(view) == ("refused", 3, "none")
    assert money_of(view) == ("refunded", 100_000, 100_000, 100_000)


async def test_a_cancellation_after_the_result_undoes_nothing(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="card", return_result=True)
    await journey.waits("collecting")
    await journey.pays()
    await journey.facts("accepted", "result_ready")
    await journey.waits("returning")
    await journey.handle.cancel()

    with pytest.raises(WorkflowFailureError) as ended:
        await journey.end()

    view = await journey.view()
    assert isinstance(ended.value.cause, CancelledError)
    assert view.anomalies == ("cancelled after the result was issued: nothing was undone",)
    assert journey.desk.refunds == {}
    assert [leg.status for leg in view.legs] == ["booked"]
