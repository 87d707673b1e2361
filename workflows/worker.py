"""The worker process: one queue of workflow tasks and one queue of activities a service, in bulkheads."""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

from kit.settings import text_of
from kit.telemetry import configure_logging, trace_calls, tracer_provider
from workflows.activities import FeesActivities, PaymentActivities, PostalActivities
from workflows.claim import ClaimWorkflow
from workflows.client import Services, connect, create_services
from workflows.contract import FEES_QUEUE, PAYMENT_QUEUE, POSTAL_QUEUE, WORKFLOW_QUEUE
from workflows.dossier import DossierWorkflow
from workflows.reconciliation import ReconciliationWorkflow
from workflows.refund import RefundWorkflow
from workflows.remittance import RemittanceWorkflow
from workflows.settings import WorkerSettings
from workflows.watch import WatchWorkflow

log = logging.getLogger(__name__)

WORKFLOWS = [DossierWorkflow, RefundWorkflow, ClaimWorkflow, RemittanceWorkflow, ReconciliationWorkflow, WatchWorkflow]
_GRACE = timedelta(seconds=10)


def activities_of(services: Services) -> dict[str, Sequence[Callable[..., Any]]]:
    """The queues and what their workers do."""
    fees, payment, postal = (
        FeesActivities(services.fees),
        PaymentActivities(services.payment),
        PostalActivities(services.postal),
    )
    return {
        FEES_QUEUE: [fees.quote_fees],
        PAYMENT_QUEUE: [
            payment.open_payment,
            payment.start_attempt,
            payment.read_payment,
            payment.refresh_payment,
            payment.cancel_payment,
            payment.record_cash,
            payment.remind_payer,
            payment.request_refund,
            payment.read_refund,
            payment.record_remittance,
            payment.run_reconciliation,
        ],
        POSTAL_QUEUE: [
            postal.book_shipment,
            postal.read_shipment,
            postal.cancel_shipment,
            postal.check_deadlines,
            postal.note_remitted,
            postal.submit_claim,
            postal.read_claim,
        ],
    }


def create_workers(client: Client, services: Services, *, max_concurrent_activities: int) -> list[Worker]:
    """All workers of the house, to be run together or apart."""
    workers = [
        Worker(
            client,
            task_queue=queue,
            activities=activities,
            max_concurrent_activities=max_concurrent_activities,
            graceful_shutdown_timeout=_GRACE,
        )
        for queue, activities in activities_of(services).items()
    ]
    workers.append(Worker(client, task_queue=WORKFLOW_QUEUE, workflows=WORKFLOWS, graceful_shutdown_timeout=_GRACE))
    return workers


async def run_worker(settings: WorkerSettings) -> None:
    """Work until told to stop; then finish what is in hand."""
    client = await _connect_patiently(settings)
    services = create_services(settings)
    endpoint = text_of(settings.otlp_endpoint) if settings.otlp_endpoint else None
    trace_calls(services.http, tracer_provider("worker", endpoint))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(services.http.aclose)
        for worker in create_workers(client, services, max_concurrent_activities=settings.max_concurrent_activities):
            await stack.enter_async_context(worker)
        log.info("ready")
        await stop.wait()


async def _connect_patiently(settings: WorkerSettings) -> Client:
    """Temporal may start after us; a worker without it has nothing to do but wait."""
    while True:
        try:
            return await connect(settings, metrics_address=settings.metrics_address)
        except RuntimeError as error:
            log.warning("waiting for Temporal", extra={"reason": str(error)[:200]})
            await asyncio.sleep(1)


def main() -> None:
    """Entry point of `python -m workflows.worker`."""
    settings = WorkerSettings()
    configure_logging("worker", settings.log_level)
    asyncio.run(run_worker(settings))


if __name__ == "__main__":
    main()
