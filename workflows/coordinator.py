"""What the workflow API asks of Temporal: start once, signal, command, look; trouble becomes an answer to act on."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from pydantic import BaseModel
from temporalio.client import Client, RPCTimeoutOrCancelledError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from kit.errors import NotFound, Unavailable, WrongMoment
from workflows.client import RPC_TIMEOUT
from workflows.contract import (
    WORKFLOW_QUEUE,
    AgencyFact,
    Answered,
    DossierInput,
    DossierView,
    ServiceNews,
    dossier_workflow_id,
)
from workflows.dossier import DossierWorkflow


class CannotWithdraw(WrongMoment):
    kind = "cannot-withdraw-now"
    title_vi = "Không thể rút hồ sơ lúc này"
    title_en = "The dossier cannot be withdrawn now"


async def start_once(
    temporal: Client,
    run: Any,  # noqa: ANN401 — any workflow's run method
    argument: BaseModel,
    workflow_id: str,
    *,
    reuse: WorkflowIDReusePolicy = WorkflowIDReusePolicy.REJECT_DUPLICATE,
    summary: str | None = None,
) -> bool:
    """Start a workflow unless it was started before; False when it was. Raises Unavailable."""
    with _trouble():
        try:
            await temporal.start_workflow(
                run,
                argument,
                id=workflow_id,
                task_queue=WORKFLOW_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                id_reuse_policy=reuse,
                static_summary=summary,
                rpc_timeout=RPC_TIMEOUT,
            )
        except WorkflowAlreadyStartedError:
            return False
    return True


async def started_input(temporal: Client, code: str) -> DossierInput | None:
    """What a dossier was started with, read from its history: works without a worker and after the end."""
    handle = temporal.get_workflow_handle(dossier_workflow_id(code))
    with _trouble():
        try:
            async for event in handle.fetch_history_events(page_size=1, rpc_timeout=RPC_TIMEOUT):
                payloads = event.workflow_execution_started_event_attributes.input.payloads
                decoded = await temporal.data_converter.decode(list(payloads), [DossierInput])
                return cast("DossierInput", decoded[0])
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
    return None


async def input_of(temporal: Client, code: str, *, organisation: str) -> DossierInput:
    """What a dossier was started with. NotFound when it is not there, or belongs to another agency."""
    found = await started_input(temporal, code)
    if found is None or organisation not in ("*", found.request.agency):
        raise NotFound(f"Không có hồ sơ {code}; hãy kiểm tra lại mã.", f"There is no dossier {code}; check the code.")
    return found


async def view_of(temporal: Client, code: str) -> DossierView:
    """The dossier as it stands. Raises Unavailable, also when no worker answers."""
    handle = temporal.get_workflow_handle_for(DossierWorkflow.run, dossier_workflow_id(code))
    with _trouble():
        return await handle.query(DossierWorkflow.view, rpc_timeout=RPC_TIMEOUT)


async def report(temporal: Client, code: str, fact: AgencyFact) -> str:
    """Deliver an agency's fact: `signalled`, or `late` when the dossier has ended."""
    handle = temporal.get_workflow_handle_for(DossierWorkflow.run, dossier_workflow_id(code))
    with _trouble():
        try:
            await handle.signal(DossierWorkflow.agency_fact, fact, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return "late"
    return "signalled"


async def tell(temporal: Client, workflow_id: str, news: ServiceNews) -> str:
    """Deliver news. A workflow that has ended is no error: the service keeps the fact and its owner."""
    handle: WorkflowHandle[Any, Any] = temporal.get_workflow_handle(workflow_id)
    with _trouble():
        try:
            await handle.signal("service_news", news, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return "late"
    return "signalled"


async def command(temporal: Client, code: str, update: str, body: BaseModel, *, key: str) -> Answered:
    """Send a command and wait for its answer; the same key again gives the same answer, also after the end."""
    handle = temporal.get_workflow_handle_for(DossierWorkflow.run, dossier_workflow_id(code))
    update_id = f"{update}:{hashlib.sha256(key.encode()).hexdigest()[:32]}"
    with _trouble():
        try:
            answer: Answered = await handle.execute_update(
                update, body, id=update_id, result_type=Answered, rpc_timeout=RPC_TIMEOUT
            )
            return answer  # noqa: TRY300
        except WorkflowUpdateFailedError as error:
            cause = error.cause
            if isinstance(cause, ApplicationError) and cause.type == CannotWithdraw.kind:
                raise CannotWithdraw(
                    "Kết quả đã được ban hành hoặc hồ sơ đã kết thúc nên không thể rút.",
                    "The result has been issued or the dossier has ended, so it cannot be withdrawn.",
                ) from error
            raise
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            raise WrongMoment("Hồ sơ đã kết thúc.", "The dossier has ended.") from error


@contextmanager
def _trouble() -> Iterator[None]:
    """Whatever keeps Temporal from answering becomes one 503: a call that timed out may still have had its effect."""
    try:
        yield
    except (RPCError, RPCTimeoutOrCancelledError, RuntimeError) as error:  # RuntimeError: the first connection failed
        raise Unavailable(
            "Bộ điều phối chưa trả lời; yêu cầu có thể chưa được thực hiện, hãy gửi lại y nguyên sau ít giây.",
            "The coordinator does not answer; send the same again in a few seconds.",
            headers={"Retry-After": "2"},
        ) from error
