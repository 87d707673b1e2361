"""How the workflows call activities: queues, time limits and retries in one place, so that an operator can read it."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from pydantic import BaseModel

    from workflows.activities import FeesActivities, PaymentActivities, PostalActivities
    from workflows.contract import FEES_QUEUE, PAYMENT_QUEUE, POSTAL_QUEUE

Service = TypeVar("Service", FeesActivities, PaymentActivities, PostalActivities)
Call = TypeVar("Call", bound=BaseModel)
Answer = TypeVar("Answer", bound=BaseModel)

_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=30)
)
"""Unlimited attempts: what must happen is repeated until it has; only a refusal ends it."""

_QUEUES: dict[type[Any], tuple[str, timedelta]] = {
    FeesActivities: (FEES_QUEUE, timedelta(seconds=15)),
    PaymentActivities: (PAYMENT_QUEUE, timedelta(seconds=40)),  # its client waits for the gateway
    PostalActivities: (POSTAL_QUEUE, timedelta(seconds=15)),
}


class Refused(ApplicationError):
    """A service said no; `kind` is its problem type. Left uncaught it fails the workflow, which is a defect."""

    def __init__(self, kind: str, activity: str) -> None:
        super().__init__(f"{activity} was refused: {kind}", type=kind, non_retryable=True)
        self.kind = kind
        self.activity = activity


async def act(service: type[Service], method: Callable[[Service, Call], Awaitable[Answer]], call: Call) -> Answer:
    """Run one activity of a service to its end.

    Raises Refused when the service refused. A cancellation of the workflow passes through as ActivityError, so that
    nobody who handles refusals swallows it.
    """
    queue, limit = _QUEUES[service]
    try:
        return await workflow.execute_activity_method(
            method, call, task_queue=queue, start_to_close_timeout=limit, retry_policy=_RETRY
        )
    except ActivityError as error:
        if isinstance(error.cause, ApplicationError):
            raise Refused(error.cause.type or "unknown", error.activity_type) from error
        raise
