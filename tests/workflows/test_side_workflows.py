"""Refunds, claims, remittances and reconciliations: each watches one thing until it has ended."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.common import WorkflowIDReusePolicy
from temporalio.testing import WorkflowEnvironment

from services.payment.contract import CreatePayment, Reconciliation
from services.postal.contract import CreateShipment
from tests.workflows.journey import Journeys, start_body
from tests.workflows.world import PATIENCE_SECONDS, Desk, World, quote
from workflows.claim import ClaimWorkflow
from workflows.contract import (
    WORKFLOW_QUEUE,
    ClaimInput,
    ClaimResult,
    ReconcileInput,
    RefundInput,
    RefundResult,
    RemittanceInput,
    ServiceNews,
    claim_workflow_id,
    reconciliation_workflow_id,
    refund_workflow_id,
    remittance_workflow_id,
)
from workflows.reconciliation import ReconciliationWorkflow
from workflows.refund import RefundWorkflow
from workflows.remittance import RemittanceWorkflow
from workflows.rules import bill_lines

Answer = TypeVar("Answer")


@pytest.fixture
def desk(world: World, code: str) -> Desk:
    """A dossier whose bill of 100 000 đồng is paid, with 40 000 đồng too much."""
    desk = world.of(code)
    desk.open(
        CreatePayment(
            bill_reference=f"dossier/{code}",
            dossier_code=code,
            procedure="passport",
            quote_id="quo",
            lines=bill_lines(quote(start_body(code).request, "full")),
            expires_at=datetime(2027, 1, 1, tzinfo=UTC),
        )
    )
    desk.receive(140_000)
    return desk


async def tell(env: WorkflowEnvironment, handle: WorkflowHandle[Any, Any], kind: str, *, event_id: str = "") -> None:
    news = ServiceNews(
        event_id=event_id or f"evt-{kind}", kind=kind, subject_id="x", occurred_at=await env.get_current_time()
    )
    await handle.signal("service_news", news)


async def ended(handle: WorkflowHandle[Any, Answer]) -> Answer:
    """Let time run until it has ended; a workflow that is stuck fails its test, not the whole run."""
    return await asyncio.wait_for(handle.result(), PATIENCE_SECONDS)


async def begin_refund(
    journeys: Journeys, desk: Desk, *, amount_dong: int = 40_000
) -> WorkflowHandle[RefundWorkflow, RefundResult]:
    key = f"excess/{desk.code}"
    handle = await journeys.env.client.start_workflow(
        RefundWorkflow.run,
        RefundInput(
            request_key=key,
            payment_id=f"pay_{desk.code}",
            dossier_code=desk.code,
            reason="overpaid",
            source="excess",
            amount_dong=amount_dong,
        ),
        id=refund_workflow_id(key),
        task_queue=WORKFLOW_QUEUE,
    )
    journeys.watch(handle)
    return handle


async def test_a_refund_is_rejected_by_the_second_person(journeys: Journeys, desk: Desk) -> None:
    handle = await begin_refund(journeys, desk)
    await desk.called("request_refund")
    desk.decide("rejected")
    await tell(journeys.env, handle, "refund.rejected")

    result = await ended(handle)

    assert result == RefundResult(refund_id=f"rfd_{desk.code}_1", status="rejected", amount_dong=40_000)
    assert desk.calls == ["request_refund refund/excess/CODE:request", "read_refund rfd_CODE_1"]


async def test_a_refund_above_what_is_held_is_not_possible(journeys: Journeys, desk: Desk) -> None:
    handle = await begin_refund(journeys, desk, amount_dong=40_001)

    result = await ended(handle)

    assert result == RefundResult(refund_id="", status="not_possible:above-refundable", amount_dong=0)
    assert desk.refunds == {}


async def test_a_refund_whose_news_was_lost_is_read_by_the_daily_look(journeys: Journeys, desk: Desk) -> None:
    handle = await begin_refund(journeys, desk)
    await desk.called("request_refund")
    await journeys.env.sleep(timedelta(days=2, minutes=1))
    await desk.called("read_refund", times=2)
    desk.decide("succeeded")

    result = await ended(handle)

    assert result.status == "succeeded"
    assert desk.arrivals("request_refund") == 1
    assert desk.arrivals("read_refund") == 3


async def test_a_claim_is_followed_to_its_payment(journeys: Journeys, desk: Desk) -> None:
    shipment = desk.book(
        CreateShipment(
            shipment_key="k",
            dossier_code=desk.code,
            direction="return",
            contact_id="c",
            agency="G01",
            agency_commune="00004",
            weight_grams=100,
            postage_dong=30_500,
            checklist=("Kết quả",),
        )
    )
    handle = await journeys.env.client.start_workflow(
        ClaimWorkflow.run,
        ClaimInput(shipment_id=shipment.id, dossier_code=desk.code, reason="lost"),
        id=claim_workflow_id(shipment.id),
        task_queue=WORKFLOW_QUEUE,
    )
    journeys.watch(handle)
    await desk.called("submit_claim")
    desk.answer_claim("approved")
    await tell(journeys.env, handle, "claim.approved")
    await desk.called("read_claim")
    await journeys.env.sleep(timedelta(days=8))
    await desk.called("read_claim", times=2)
    desk.answer_claim("paid")

    result = await ended(handle)

    assert result == ClaimResult(claim_id=f"clm_{shipment.id}", status="paid", compensation_dong=122_000)
    assert desk.calls[0] == "submit_claim claim/shp_CODE_1:submit"
    assert desk.arrivals("submit_claim") == 1
    assert desk.arrivals("read_claim") == 3


async def test_a_remittance_survives_three_failures_and_is_recorded_once(
    journeys: Journeys, temporal: Client, code: str, world: World
) -> None:
    desk = world.of(code)
    desk.failures["record_remittance"] = 2
    desk.lost_answers["record_remittance"] = 1
    deposit = RemittanceInput(
        event_id=f"evt-{code}",
        reference=code,
        amount_dong=260_000,
        collector="buu-ta-1",
        deposited_at=datetime(2026, 1, 5, tzinfo=UTC),
        dossier_codes=("T.0001", "T.0002"),
    )
    handle = await temporal.start_workflow(
        RemittanceWorkflow.run, deposit, id=remittance_workflow_id(f"dep-{code}"), task_queue=WORKFLOW_QUEUE
    )
    journeys.watch(handle)

    assert await ended(handle) == code

    assert desk.calls == ["record_remittance remittance/dep-CODE:record"] * 4
    assert world.remittances[deposit.event_id].amount_dong == 260_000


async def test_the_post_is_told_that_the_books_have_its_deposit(
    journeys: Journeys, temporal: Client, world: World, code: str
) -> None:
    deposit = RemittanceInput(
        event_id=f"evt-{code}",
        reference=code,
        amount_dong=260_000,
        collector="buu-ta-1",
        deposited_at=datetime(2026, 1, 5, tzinfo=UTC),
        deposit_id=f"dep-{code}",
    )
    handle = await temporal.start_workflow(
        RemittanceWorkflow.run, deposit, id=remittance_workflow_id(f"dep-{code}"), task_queue=WORKFLOW_QUEUE
    )
    journeys.watch(handle)

    assert await ended(handle) == code

    assert world.of(code).calls == ["record_remittance remittance/dep-CODE:record", "note_remitted dep-CODE"]


async def begin_day(temporal: Client, day: date) -> WorkflowHandle[ReconciliationWorkflow, Reconciliation]:
    return await temporal.start_workflow(
        ReconciliationWorkflow.run,
        ReconcileInput(account="1020", business_date=day),
        id=reconciliation_workflow_id("1020", day),
        task_queue=WORKFLOW_QUEUE,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    )


async def test_a_day_waits_for_its_statement_and_ends_when_it_ties_out(
    journeys: Journeys, temporal: Client, world: World
) -> None:
    day = date(2026, 3, 2)
    desk = world.of(day.isoformat())
    desk.reconciled = ["waiting", "waiting", "breaks_open", "balanced"]
    handle = await begin_day(temporal, day)
    journeys.watch(handle)
    await desk.called("run_reconciliation")
    await journeys.env.sleep(timedelta(days=1, minutes=1))
    await desk.called("run_reconciliation", times=2)
    await tell(journeys.env, handle, "statement.imported")
    await desk.called("run_reconciliation", times=3)
    await tell(journeys.env, handle, "statement.imported")  # said twice: read once
    await tell(journeys.env, handle, "reconciliation.break_resolved")

    result = await ended(handle)

    assert result.status == "balanced"
    run = handle.first_execution_run_id
    assert desk.calls == [f"run_reconciliation reconcile/1020/CODE:{run}:run:{number}" for number in (1, 2, 3, 4)]


async def test_a_day_started_again_is_matched_again(journeys: Journeys, temporal: Client, world: World) -> None:
    day = date(2026, 3, 3)
    desk = world.of(day.isoformat())
    desk.reconciled = ["balanced", "closed"]

    first = await begin_day(temporal, day)
    assert (await ended(first)).status == "balanced"
    second = await begin_day(temporal, day)
    journeys.watch(second)
    assert (await ended(second)).status == "closed"

    assert len(set(desk.calls)) == 2
