"""Services that are away, slow or unwilling: the same key again, people told, nothing twice."""

import pytest
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from tests.workflows.journey import Journeys, start_body
from tests.workflows.test_happy_paths import ATTEMPTED, READ, calls_of, end_of, money_of
from workflows.api import _input_of
from workflows.contract import WORKFLOW_QUEUE, Phase, dossier_workflow_id
from workflows.dossier import DossierWorkflow


async def test_a_service_that_is_away_gets_the_same_key_until_it_answers(journeys: Journeys, code: str) -> None:
    desk = journeys.world.of(code)
    desk.failures.update({"quote_fees": 2, "open_payment": 3, "start_attempt": 1})
    journey = await journeys.begin(code, pay_by="card")
    await journey.waits("collecting")
    await journey.pays()
    await journey.facts("accepted", "result_ready", "handed_over")

    view = await journey.end()

    assert end_of(view) == ("result_handed_over", 10, "none")
    assert calls_of(journey) == [
        *["quote_fees dossier/CODE:quote:KEY"] * 3,
        *["open_payment dossier/CODE:open"] * 4,
        *["start_attempt dossier/CODE:attempt:1"] * 2,
        READ,
        READ,
    ]


async def test_an_answer_that_was_lost_is_asked_for_again_and_nothing_is_done_twice(
    journeys: Journeys, code: str
) -> None:
    desk = journeys.world.of(code)
    desk.lost_answers.update({"start_attempt": 1, "book_shipment": 1, "request_refund": 1, "submit_claim": 1})
    journey = await journeys.begin(code, pay_by="card", send=True)
    await journey.waits("collecting")
    await journey.pays()
    await journey.waits("picking_up")
    await journey.moves("outbound", "lost")
    await journey.refund_is("succeeded")
    await journey.claim_is_paid()

    view = await journey.end()
    await journey.claim_ended()

    assert end_of(view) == ("papers_lost", 8, "lost")
    assert (len(desk.attempts), len(desk.shipments), len(desk.refunds), len(desk.claims)) == (1, 1, 1, 1)
    assert money_of(view) == ("paid", 130_000, 130_000, 100_000)
    assert desk.arrivals("request_refund") == 2


@pytest.mark.parametrize("name", ["quote_fees", "open_payment", "book_shipment"])
async def test_an_unforeseen_refusal_is_shown_to_people_and_asked_again(
    journeys: Journeys, code: str, name: str
) -> None:
    journeys.world.of(code).refuse(name, "contact-gone", times=2)
    journey = await journeys.begin(code, pay_by="none", quoted="nothing_due", send=True)
    phase: Phase = "picking_up" if name == "book_shipment" else "quoting"
    await journey.waits(phase)
    await journey.later(minutes=61)
    await journey.desk.called(name, times=2)
    stuck = await journey.waits(phase)
    await journey.later(minutes=61)
    await journey.waits("picking_up", lambda view: len(view.legs) == 1)
    await journey.moves("outbound", "delivered")
    await journey.facts("accepted", "result_ready", "handed_over")

    view = await journey.end()

    assert stuck.anomalies == (f"{name} was refused: contact-gone",)
    assert end_of(view) == ("result_handed_over", 10, "citizen")
    assert journey.desk.arrivals(name) == 3
    assert len({call for call in journey.desk.calls if call.startswith(name)}) == 1


async def test_a_dossier_that_nobody_can_go_on_with_may_be_withdrawn(journeys: Journeys, code: str) -> None:
    journeys.world.of(code).refuse("book_shipment", "contact-gone", times=1000)
    journey = await journeys.begin(code, pay_by="card", send=True)
    await journey.waits("collecting")
    await journey.pays()
    await journey.waits("picking_up")
    await journey.withdraws()
    await journey.refund_is("succeeded")

    view = await journey.end()

    assert end_of(view) == ("withdrawn", 7, "none")
    assert money_of(view) == ("refunded", 130_000, 130_000, 130_000)
    assert view.anomalies == ("book_shipment was refused: contact-gone",)


async def test_a_refused_attempt_reads_the_truth_and_goes_on(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="card")
    gate = journey.desk.hold("start_attempt")
    await journey.desk.reached("start_attempt")
    journey.desk.receive(100_000)  # paid by another device in this very moment, and no news of it
    gate.set()
    await journey.facts("accepted", "result_ready", "handed_over")

    view = await journey.end()

    assert end_of(view) == ("result_handed_over", 10, "none")
    assert calls_of(journey) == [*ATTEMPTED, READ, READ]


async def test_a_second_start_of_a_dossier_is_refused_while_it_runs_and_after(journeys: Journeys, code: str) -> None:
    journey = await journeys.begin(code, pay_by="none", quoted="nothing_due")
    again = _input_of(start_body(code, pay_by="none"))

    async def start() -> None:
        await journey.env.client.start_workflow(
            DossierWorkflow.run,
            again,
            id=dossier_workflow_id(code),
            task_queue=WORKFLOW_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )

    with pytest.raises(WorkflowAlreadyStartedError):
        await start()
    await journey.facts("accepted", "result_ready", "handed_over")
    await journey.end()
    with pytest.raises(WorkflowAlreadyStartedError):
        await start()

    assert journey.desk.done["quote_fees"] == 1
