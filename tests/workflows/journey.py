"""A dossier under test: started as the API starts it, told what a service, an agency or a citizen would tell it."""

import asyncio
import base64
import itertools
import json
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import WorkflowIDReusePolicy
from temporalio.testing import WorkflowEnvironment

from services.fees.contract import PostalChoice, QuoteRequest
from services.postal.contract import Direction, ShipmentStatus
from tests.workflows.world import PATIENCE_SECONDS, Desk, Quoted, World
from workflows.api import _input_of
from workflows.claim import ClaimWorkflow
from workflows.contract import (
    WORKFLOW_QUEUE,
    AgencyFact,
    AgencyFactKind,
    Answered,
    ChangeDeadline,
    CitizenDetails,
    ClaimResult,
    Deadlines,
    DossierView,
    PayWhen,
    Phase,
    ServiceNews,
    StartDossier,
    Withdraw,
    claim_workflow_id,
    dossier_workflow_id,
    refund_workflow_id,
)
from workflows.dossier import DossierWorkflow

CITIZEN = CitizenDetails(name="Nguyễn Thị Hồng Hoa", phone="0912345678", address="12 ngõ Văn Chương", commune="00166")
PERSONAL = (CITIZEN.name, CITIZEN.phone, CITIZEN.address)
_ENDED_BY_ITSELF = (WorkflowExecutionStatus.COMPLETED, WorkflowExecutionStatus.CANCELED)
_numbers = itertools.count(1)


def start_body(
    code: str,
    *,
    pay_when: PayWhen = "before_acceptance",
    pay_by: str = "card",
    send: bool = False,
    return_result: bool = False,
    channel: str = "online",
    procedure: str = "passport",
    deadlines: Deadlines | None = None,
) -> StartDossier:
    """What a portal sends."""
    return StartDossier.model_validate(
        {
            "code": code,
            "request": QuoteRequest.model_validate(
                {
                    "procedure": procedure,
                    "filed_on": date(2026, 1, 5),
                    "channel": channel,
                    "province": "01",
                    "commune": "00004",
                    "agency": "G01.01",
                    "postal": PostalChoice(send=send, return_result=return_result),
                }
            ),
            "pay_when": pay_when,
            "pay_by": pay_by,
            "citizen": CITIZEN,
            "checklist": ("Tờ khai", "Ảnh 4x6"),
            "deadlines": deadlines or Deadlines(),
        }
    )


class Journey:
    """One running dossier and its desk."""

    def __init__(self, env: WorkflowEnvironment, desk: Desk, handle: WorkflowHandle[DossierWorkflow, DossierView]):
        self.env = env
        self.desk = desk
        self.code = desk.code
        self.handle = handle

    # --- what the world says -------------------------------------------------------------------

    async def news(
        self,
        kind: str = "payment.changed",
        *,
        direction: Direction | None = None,
        event_id: str | None = None,
        to: WorkflowHandle[Any, Any] | None = None,
    ) -> None:
        """A service announces that something changed, as the API passes it on."""
        shipment = self.desk.latest(direction) if direction else None
        news = ServiceNews(
            event_id=event_id or f"evt-{next(_numbers):06d}",
            kind=kind,
            subject_id=shipment.id if shipment else f"pay_{self.code}",
            direction=direction,
            amount_dong=shipment.cash_collected_dong if shipment else 0,
            collector="buu-ta-1" if shipment else "",
            occurred_at=await self.env.get_current_time(),
        )
        await (to or self.handle).signal("service_news", news)

    async def fact(self, kind: AgencyFactKind, *, event_id: str | None = None, due_on: date | None = None) -> None:
        """The agency reports a fact."""
        fact = AgencyFact(
            event_id=event_id or f"fact-{next(_numbers):06d}",
            kind=kind,
            occurred_at=await self.env.get_current_time(),
            due_on=due_on,
        )
        await self.handle.signal(DossierWorkflow.agency_fact, fact)

    async def facts(self, *kinds: AgencyFactKind) -> None:
        """The agency reports several facts."""
        for kind in kinds:
            await self.fact(kind)

    async def pays(self, amount_dong: int | None = None, *, announced: bool = True) -> None:
        """The citizen pays, by default the rest; the payment service announces it unless told not to."""
        self.desk.receive(self.desk.due - self.desk.paid if amount_dong is None else amount_dong)
        if announced:
            await self.news("payment.received")

    async def moves(self, direction: Direction, *statuses: ShipmentStatus, cash_dong: int | None = None) -> None:
        """The post moves a leg and announces each move."""
        for status in statuses:
            self.desk.move(direction, status, cash_dong=cash_dong)
            await self.news(f"shipment.{status}", direction=direction)

    async def withdraws(self) -> Answered:
        """The citizen withdraws."""
        return await self.handle.execute_update(DossierWorkflow.withdraw, Withdraw())

    async def change_deadline(self, step: str, seconds: int) -> Answered:
        """An officer moves a deadline."""
        command = ChangeDeadline.model_validate({"step": step, "seconds": seconds})
        return await self.handle.execute_update(DossierWorkflow.change_deadline, command)

    async def refund_is(self, *statuses: str) -> None:
        """Wait for the proposal; the second person decides; the refund's own workflow hears of it."""
        await self.desk.called("request_refund")
        refund = self.env.client.get_workflow_handle(refund_workflow_id(f"dossier/{self.code}:refund"))
        for status in statuses:
            self.desk.decide(status)  # type: ignore[arg-type]
            await self.news(f"refund.{status}", to=refund)

    async def claim_is_paid(self) -> None:
        """The carrier pays the claim, and its workflow hears of it."""
        await self.desk.called("submit_claim", times=2)
        self.desk.answer_claim("paid")
        await self.news("claim.paid", to=self._claim())

    async def claim_ended(self) -> ClaimResult:
        """How the claim's own workflow ended."""
        return await asyncio.wait_for(self._claim().result(), PATIENCE_SECONDS)

    def _claim(self) -> WorkflowHandle[ClaimWorkflow, ClaimResult]:
        (shipment_id,) = self.desk.claims
        return self.env.client.get_workflow_handle_for(ClaimWorkflow.run, claim_workflow_id(shipment_id))

    # --- what becomes of it --------------------------------------------------------------------

    async def view(self) -> DossierView:
        """As it stands."""
        return await self.handle.query(DossierWorkflow.view)

    async def waits(self, phase: Phase, holds: Callable[[DossierView], bool] = lambda _: True) -> DossierView:
        """The view as soon as the dossier waits in this phase, and what is expected holds."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    view = await self.view()
                    if view.phase == phase and view.waits_for is not None and holds(view):
                        return view
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"never waited in {phase} as expected: {await self.view()}") from None

    async def waits_for_cancellation(self) -> None:
        """Wait until the workflow itself has been told of its cancellation: a task after the request is done."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                kinds = [event.event_type for event in (await self.handle.fetch_history()).events]
                if EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED in kinds:
                    after = kinds[kinds.index(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED) :]
                    if EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED in after:
                        return
                await asyncio.sleep(0.005)

    async def later(self, **duration: float) -> None:
        """Let time pass."""
        await self.env.sleep(timedelta(**duration))

    async def end(self) -> DossierView:
        """Let time run until it has ended; returns the last view."""
        return await asyncio.wait_for(self.handle.result(), PATIENCE_SECONDS)


class Journeys:
    """Starts journeys and, at the end, checks and clears up what they left."""

    def __init__(self, env: WorkflowEnvironment, world: World, *, name: str) -> None:
        self.env = env
        self.world = world
        self.name = name
        self._handles: list[WorkflowHandle[Any, Any]] = []

    async def start(self, body: StartDossier, *, quoted: Quoted = "full") -> Journey:
        """Start a dossier as the API does."""
        desk = self.world.of(body.code)
        desk.quoted = quoted
        self.world.contacts[body.code] = body.citizen.model_dump(mode="json")
        handle = await self.env.client.start_workflow(
            DossierWorkflow.run,
            _input_of(body).model_copy(update={"contact_id": f"con_{body.code}"}),
            id=dossier_workflow_id(body.code),
            task_queue=WORKFLOW_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )
        self._handles.append(handle)
        return Journey(self.env, desk, handle)

    async def begin(self, code: str, *, quoted: Quoted = "full", **choices: Any) -> Journey:
        """Start a dossier with some of the portal's choices."""
        return await self.start(start_body(code, **choices), quoted=quoted)

    def watch(self, handle: WorkflowHandle[Any, Any]) -> None:
        """Check and clear up this workflow too."""
        self._handles.append(handle)

    async def close(self, record_to: Path | None) -> None:
        """Scan and, when asked, record every history; end what still runs, so that its timers disturb nobody."""
        for handle in self._related():
            status = (await handle.describe()).status
            history = json.loads((await handle.fetch_history()).to_json())
            if status is WorkflowExecutionStatus.RUNNING:
                await handle.terminate("the test is over")
            assert list(personal_data_in(history)) == []
            if record_to is not None and status in _ENDED_BY_ITSELF:
                without_stack_traces(history)
                kind = handle.id.split("/")[0]
                name = self.name.replace("[", "-").replace("]", "")
                text = json.dumps(history, separators=(",", ":"))
                (record_to / f"{kind}-{name}.json").write_text(text + "\n", encoding="utf-8")

    def _related(self) -> Iterator[WorkflowHandle[Any, Any]]:
        client = self.env.client
        for handle in self._handles:
            yield handle
            code = handle.id.removeprefix("dossier/")
            desk = self.world.of(code)
            if f"dossier/{code}:refund" in desk.refunds:
                yield client.get_workflow_handle(refund_workflow_id(f"dossier/{code}:refund"))
            if desk.done["submit_claim"] > 1:
                for shipment_id in desk.claims:
                    yield client.get_workflow_handle(claim_workflow_id(shipment_id))


def personal_data_in(document: object, needles: tuple[str, ...] = PERSONAL) -> Iterator[str]:
    """Whatever of the needles a history's JSON holds, in plain text or inside its encoded payloads."""
    if isinstance(document, dict):
        for name, value in document.items():
            if name == "data" and isinstance(value, str):
                yield from personal_data_in(base64.b64decode(value).decode("utf-8", "replace"), needles)
            yield from personal_data_in(value, needles)
    elif isinstance(document, list):
        for value in document:
            yield from personal_data_in(value, needles)
    elif isinstance(document, str):
        for needle in needles:
            if needle in document or json.dumps(needle)[1:-1] in document:
                yield needle


def without_stack_traces(node: object) -> None:
    """Empty them in place: a replay does not read them, and they name folders of the recording machine."""
    if isinstance(node, dict):
        if "stackTrace" in node:
            node["stackTrace"] = ""
        for child in node.values():
            without_stack_traces(child)
    elif isinstance(node, list):
        for child in node:
            without_stack_traces(child)
