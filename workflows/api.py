"""Portals start dossiers and ask where they are; agencies report facts; services' webhooks become signals."""

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import date
from typing import Annotated, Any, TypeVar, cast
from uuid import uuid4

from fastapi import APIRouter, Depends, FastAPI, Path, Request, Response
from pydantic import BaseModel, ConfigDict, TypeAdapter
from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy

from kit.app import Process, create_process
from kit.auth import Principal, require
from kit.errors import BadInput, FieldError, Problem, Unavailable, WrongMoment
from kit.http import JsonClient, Refused, Unreachable
from kit.telemetry import trace_calls
from kit.webhooks import verified_body
from services.fees.contract import Quote
from services.payment.contract import Attempt, CreateAttempt, DossierCode, PaymentEvent, PutPayer, Reconciliation
from services.postal.contract import Contact, DepositEvent, PostalEvent, PutContact
from workflows.activities import Nothing
from workflows.client import RPC_TIMEOUT, Services, connect, create_services
from workflows.contract import (
    AgencyFact,
    Answered,
    ChangeDeadline,
    DossierInput,
    DossierView,
    PayAgain,
    ReconcileInput,
    RefundInput,
    RemittanceInput,
    ServiceNews,
    StartDossier,
    WatchInput,
    Withdraw,
    claim_workflow_id,
    dossier_workflow_id,
    reconciliation_workflow_id,
    refund_workflow_id,
    remittance_workflow_id,
    watch_workflow_id,
)
from workflows.coordinator import command, input_of, report, start_once, started_input, tell, view_of
from workflows.dossier import DossierWorkflow, quote_key
from workflows.reconciliation import ReconciliationWorkflow
from workflows.refund import RefundWorkflow
from workflows.remittance import RemittanceWorkflow
from workflows.settings import ApiSettings
from workflows.watch import WatchWorkflow

router = APIRouter()

Answer = TypeVar("Answer", bound=BaseModel)

Code = Annotated[DossierCode, Path(description="Dossier code (mã số hồ sơ)")]


class AnotherDossier(WrongMoment):
    kind = "dossier-exists-with-another-body"
    title_vi = "Mã hồ sơ đã dùng cho nội dung khác"
    title_en = "The dossier code was used with another body"


class RefusedByService(Problem):
    """A neighbour's refusal, passed on with its status, fields and words."""

    kind = "refused"


class Received(BaseModel):
    """What became of a webhook: `signalled`, `started`, `late` (its dossier has ended) or `ignored`."""

    result: str


class StartReconciliation(BaseModel):
    model_config = ConfigDict(extra="forbid")
    business_date: date


def _temporal(request: Request) -> Client:
    return cast("Client", request.app.state.temporal)


def _services(request: Request) -> Services:
    return cast("Services", request.app.state.services)


TemporalDep = Annotated[Client, Depends(_temporal)]
ServicesDep = Annotated[Services, Depends(_services)]


# --- dossiers ------------------------------------------------------------------------------------


@router.post("/v1/dossiers", status_code=201, summary="Start a dossier, or find it started")
async def start_dossier(
    body: StartDossier,
    response: Response,
    temporal: TemporalDep,
    services: ServicesDep,
    _: Annotated[Principal, Depends(require("dossiers:write"))],
) -> DossierView:
    """The dossier code is the key for ever: the same body again answers 200 with the dossier as it stands."""
    dossier = _input_of(body)
    existing = await started_input(temporal, body.code)
    if existing is None:
        await _check_the_quote(services.fees, body, dossier)
        dossier = await _hand_over_details(services, body, dossier)
        workflow_id = dossier_workflow_id(body.code)
        if not await start_once(temporal, DossierWorkflow.run, dossier, workflow_id, summary=f"Hồ sơ {body.code}"):
            existing = await started_input(temporal, body.code)
    if existing is not None:
        _refuse_differences(existing, dossier)
        response.status_code = 200
    return await view_of(temporal, body.code)


@router.get("/v1/dossiers/{code}", summary="Where the dossier is and what it waits for")
async def dossier(
    code: Code, temporal: TemporalDep, caller: Annotated[Principal, Depends(require("dossiers:read"))]
) -> DossierView:
    """Read from the running workflow; the services' own records stay authoritative for money and custody."""
    await input_of(temporal, code, organisation=caller.organisation)
    return await view_of(temporal, code)


@router.post("/v1/dossiers/{code}/facts", status_code=202, summary="The agency reports a fact")
async def report_fact(
    code: Code,
    fact: AgencyFact,
    temporal: TemporalDep,
    caller: Annotated[Principal, Depends(require("dossiers:decide"))],
) -> Received:
    """Durable once answered, even when no worker is alive. Repeats of an event id change nothing."""
    await input_of(temporal, code, organisation=caller.organisation)
    return Received(result=await report(temporal, code, fact))


@router.post("/v1/dossiers/{code}/withdrawal", summary="The citizen withdraws the dossier")
async def withdraw(
    code: Code,
    body: Withdraw,
    temporal: TemporalDep,
    caller: Annotated[Principal, Depends(require("dossiers:write"))],
) -> Answered:
    """Accepted until the result is issued; money and papers then go back by themselves."""
    await input_of(temporal, code, organisation=caller.organisation)
    return await command(temporal, code, "withdraw", body, key=body.model_dump_json())


@router.post("/v1/dossiers/{code}/deadlines", summary="Move a deadline")
async def change_deadline(
    code: Code,
    body: ChangeDeadline,
    request: Request,
    temporal: TemporalDep,
    caller: Annotated[Principal, Depends(require("dossiers:decide", "dossiers:write"))],
) -> Answered:
    """Counted from now, so each call moves it anew; with an Idempotency-Key a repeat changes nothing."""
    await input_of(temporal, code, organisation=caller.organisation)
    sent = request.headers.get("idempotency-key")
    key = f"{caller.caller}:{sent}" if sent else uuid4().hex
    return await command(temporal, code, "change_deadline", body, key=key)


@router.post("/v1/dossiers/{code}/attempts", status_code=201, summary="Try to pay again")
async def pay_again(
    code: Code,
    body: PayAgain,
    request: Request,
    temporal: TemporalDep,
    services: ServicesDep,
    caller: Annotated[Principal, Depends(require("dossiers:write"))],
) -> Attempt:
    """Another method, or the same after an expiry; a try that is still alive is given up for it.

    Needs an Idempotency-Key, which is passed on to the payment.
    """
    key = request.headers.get("idempotency-key", "")
    if not 1 <= len(key) <= 200:
        raise BadInput(
            "Hãy gửi kèm Idempotency-Key.",
            "Send an Idempotency-Key.",
            fields=[FieldError("Idempotency-Key", "bắt buộc, 1–200 ký tự", "required, 1–200 characters")],
        )
    await input_of(temporal, code, organisation=caller.organisation)
    view = await view_of(temporal, code)
    if view.money.payment_id is None:
        raise WrongMoment(
            "Hồ sơ chưa xác định xong số tiền phải nộp; hãy thử lại sau ít giây.",
            "What is owed is still being assessed; try again in a few seconds.",
        )
    attempt = CreateAttempt(method=body.method, payment_method=body.payment_method, replace=True)
    path = f"/v1/payments/{view.money.payment_id}/attempts"
    return await _ask(services.payment, "POST", path, Attempt, body=attempt, key=f"{caller.caller}:{key}")


@router.post("/v1/reconciliations", status_code=202, summary="Start the reconciliation of a business date")
async def start_reconciliation(
    body: StartReconciliation,
    request: Request,
    temporal: TemporalDep,
    _: Annotated[Principal, Depends(require("payments:reconcile", "ops"))],
) -> Received:
    """One workflow an account and date; starting it again is harmless."""
    account = cast("ApiSettings", request.app.state.settings).collecting_account
    started = await start_once(
        temporal,
        ReconciliationWorkflow.run,
        ReconcileInput(account=account, business_date=body.business_date),
        reconciliation_workflow_id(account, body.business_date),
        reuse=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    )
    return Received(result="started" if started else "ignored")


@router.get("/v1/reconciliations/{business_date}", summary="How a business date ties out")
async def reconciliation(
    business_date: date,
    services: ServicesDep,
    _: Annotated[Principal, Depends(require("payments:reconcile", "payments:read", "ops"))],
) -> Reconciliation:
    """As the payment service last computed it."""
    return await _ask(services.payment, "GET", f"/v1/reconciliations/{business_date}", Reconciliation)


# --- webhooks of the services ----------------------------------------------------------------------


@router.post("/webhooks/payment", include_in_schema=False)
async def payment_webhook(request: Request, temporal: TemporalDep) -> Received:
    """Payments to their dossier, refunds to their workflow; excess money gets a refund workflow of its own."""
    kind, data = await _verified(request, "payment_webhook_secret")
    if kind.startswith(("statement.", "reconciliation.")):
        return await _tell_reconciliations(request, temporal, kind, data)
    event = TypeAdapter(PaymentEvent).validate_python(data)
    if kind == "payment.excess_received" and event.amount_dong > 0:
        await start_once(
            temporal,
            RefundWorkflow.run,
            RefundInput(
                request_key=f"excess/{event.event_id}",
                payment_id=event.payment_id,
                dossier_code=event.dossier_code,
                reason="overpaid",
                source="excess",
                amount_dong=event.amount_dong,
            ),
            refund_workflow_id(f"excess/{event.event_id}"),
        )
    news = ServiceNews(
        event_id=event.event_id,
        kind=kind,
        subject_id=event.refund_id or event.payment_id,
        amount_dong=event.amount_dong,
        occurred_at=event.occurred_at,
    )
    if kind.startswith("refund.") and event.request_key is not None:
        await tell(temporal, refund_workflow_id(event.request_key), news)
    return Received(result=await tell(temporal, dossier_workflow_id(event.dossier_code), news))


@router.post("/webhooks/postal", include_in_schema=False)
async def postal_webhook(request: Request, temporal: TemporalDep) -> Received:
    """Shipments to their dossier and their watch, claims to their workflow; a deposit of cash starts a remittance."""
    kind, data = await _verified(request, "postal_webhook_secret")
    if kind.startswith(_NOT_FOR_DOSSIERS):
        return Received(result="ignored")
    if kind == "deposit.made":
        deposit = TypeAdapter(DepositEvent).validate_python(data)
        await start_once(
            temporal,
            RemittanceWorkflow.run,
            RemittanceInput(
                event_id=deposit.event_id,
                reference=deposit.reference,
                amount_dong=deposit.amount_dong,
                collector=deposit.collector,
                deposited_at=deposit.deposited_at,
                dossier_codes=deposit.dossier_codes,
                deposit_id=deposit.deposit_id,
            ),
            remittance_workflow_id(deposit.deposit_id),
        )
        return Received(result="started")
    event = TypeAdapter(PostalEvent).validate_python(data)
    news = ServiceNews(
        event_id=event.event_id,
        kind=kind,
        subject_id=event.shipment_id,
        direction=event.direction,
        amount_dong=event.cash_collected_dong,
        collector=event.collector,
        occurred_at=event.occurred_at,
    )
    await _keep_watch(temporal, kind, event, news)
    if kind.startswith("claim."):
        return Received(result=await tell(temporal, claim_workflow_id(event.shipment_id), news))
    return Received(result=await tell(temporal, dossier_workflow_id(event.dossier_code), news))


_NOT_FOR_DOSSIERS = ("wish.",)
"""News for the portal alone."""
_BEGINS_A_WATCH = frozenset({"shipment.booked", "claim.submitted"})
_MOVES_A_DEADLINE = frozenset(
    {
        "shipment.collected",
        "shipment.partially_collected",
        "shipment.attempt_failed",
        "shipment.held",
        "shipment.arrived",
        "shipment.delivered",
        "shipment.returned",
        "shipment.lost",
        "shipment.cancelled",
        "shipment.clock_stopped",
        "shipment.clock_released",
        "claim.approved",
        "claim.rejected",
        "claim.paid",
    }
)
"""Other news changes no clock before one that runs is due, and then the truth is read again."""


async def _keep_watch(temporal: Client, kind: str, event: PostalEvent, news: ServiceNews) -> None:
    """A booking begins the watch of a leg, a claim begins it again after the leg has ended."""
    workflow_id = watch_workflow_id(event.shipment_id)
    if kind in _BEGINS_A_WATCH:
        watched = WatchInput(shipment_id=event.shipment_id, dossier_code=event.dossier_code)
        reuse = WorkflowIDReusePolicy.ALLOW_DUPLICATE
        if await start_once(temporal, WatchWorkflow.run, watched, workflow_id, reuse=reuse):
            return
    if kind in _BEGINS_A_WATCH or kind in _MOVES_A_DEADLINE:
        await tell(temporal, workflow_id, news)


@router.post("/webhooks/fees", include_in_schema=False)
async def fees_webhook(request: Request) -> Received:
    """New tariffs change no running dossier: a quote keeps the law of its filing date."""
    await _verified(request, "fees_webhook_secret")
    return Received(result="ignored")


# --- how it is done ------------------------------------------------------------------------------


def _input_of(body: StartDossier) -> DossierInput:
    """The order of names in JSON objects means nothing, so the fingerprint does not see it."""
    document = json.dumps(body.model_dump(mode="json", exclude={"deadlines"}), sort_keys=True, ensure_ascii=False)
    return DossierInput(
        code=body.code,
        fingerprint=hashlib.sha256(document.encode()).hexdigest(),
        request=body.request,
        pay_when=body.pay_when,
        pay_by=body.pay_by,
        contact_id=None,
        checklist=body.checklist,
        deadlines=body.deadlines,
    )


async def _check_the_quote(fees: JsonClient, body: StartDossier, dossier: DossierInput) -> None:
    """Price before anything is stored: an impossible request is refused here, by the field's name."""
    key = quote_key(body.code, dossier.fingerprint)
    quote = await _ask(fees, "POST", "/v1/quotes", Quote, body=body.request, key=key, prefix="request.")
    if quote.citizen_dong > 0 and body.pay_by == "none":
        raise BadInput(
            f"Người nộp còn phải nộp {quote.citizen_dong} đồng; hãy chọn cách nộp.",
            f"The citizen owes {quote.citizen_dong} đồng; choose how it will be paid.",
            fields=[FieldError("pay_by", "chọn cách nộp khác none", "choose a method other than none")],
        )


async def _hand_over_details(services: Services, body: StartDossier, dossier: DossierInput) -> DossierInput:
    """Give name and address to the services that need them; the workflow gets an id only."""
    citizen = body.citizen
    payer = PutPayer(name=citizen.name, address=citizen.address)
    key = f"dossier/{body.code}:details:{dossier.fingerprint[:16]}"
    await _ask(services.payment, "PUT", f"/v1/payers/{body.code}", Nothing, body=payer, key=key)
    if not (body.request.postal.send or body.request.postal.return_result):
        return dossier
    contact = PutContact(name=citizen.name, phone=citizen.phone, address=citizen.address, commune=citizen.commune)
    stored = await _ask(services.postal, "PUT", f"/v1/contacts/{body.code}", Contact, body=contact, key=key)
    return dossier.model_copy(update={"contact_id": stored.id})


def _refuse_differences(existing: DossierInput, asked: DossierInput) -> None:
    """The same code with another body is a mistake that must be seen: say which fields differ."""
    if existing.fingerprint == asked.fingerprint:
        return
    ignored = {"fingerprint", "contact_id", "deadlines"}
    before, after = existing.model_dump(exclude=ignored), asked.model_dump(exclude=ignored)
    different = sorted(_different_paths(before, after)) or ["citizen"]
    raise AnotherDossier(
        "Mã hồ sơ này đã được mở với nội dung khác; hãy dùng mã mới hoặc gửi lại đúng nội dung cũ.",
        "This dossier code was started with another body; use a new code or send the same body.",
        fields=[FieldError(path, "khác với lần gửi trước", "differs from the first request") for path in different],
    )


def _different_paths(before: object, after: object, path: str = "") -> set[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        found: set[str] = set()
        for name in before.keys() | after.keys():
            found |= _different_paths(before.get(name), after.get(name), f"{path}.{name}".lstrip("."))
        return found
    return set() if before == after else {path}


async def _tell_reconciliations(request: Request, temporal: Client, kind: str, data: dict[str, Any]) -> Received:
    """A statement wakes the reconciliation of its date."""
    if not {"event_id", "business_date", "account", "occurred_at"} <= data.keys():
        return Received(result="ignored")
    business_date = date.fromisoformat(str(data["business_date"]))
    news = ServiceNews.model_validate(
        {"event_id": data["event_id"], "kind": kind, "subject_id": "", "occurred_at": data["occurred_at"]}
    )
    account = cast("ApiSettings", request.app.state.settings).collecting_account
    return Received(result=await tell(temporal, reconciliation_workflow_id(account, business_date), news))


async def _verified(request: Request, setting: str) -> tuple[str, dict[str, Any]]:
    secret = getattr(request.app.state.settings, setting).get_secret_value()
    document = verified_body(secret, headers=dict(request.headers), body=await request.body())
    return str(document["type"]), cast("dict[str, Any]", document["data"])


async def _ask(
    client: JsonClient,
    method: str,
    path: str,
    answer: type[Answer],
    *,
    body: BaseModel | None = None,
    key: str | None = None,
    prefix: str = "",
) -> Answer:
    """Call a service on behalf of the portal, passing its refusal on in words the portal can act on."""
    try:
        return await client.call(method, path, answer, body=body, key=key)
    except Refused as error:
        if error.status in (401, 403):  # our own token is not believed: no fault of the portal's
            raise _no_answer() from error
        raise _passed_on(error, prefix) from error
    except Unreachable as error:
        raise _no_answer() from error


def _no_answer() -> Unavailable:
    return Unavailable(
        "Một dịch vụ phía sau chưa trả lời; hãy gửi lại y nguyên sau ít giây.",
        "A service behind does not answer; send the same again in a few seconds.",
        headers={"Retry-After": "2"},
    )


def _passed_on(error: Refused, prefix: str) -> Problem:
    fields = [
        FieldError(prefix + str(item.get("field", "")), str(item.get("message", "")), str(item.get("message", "")))
        for item in error.document.get("errors", ())
    ]
    problem = RefusedByService(error.detail, error.detail, fields=fields)
    problem.__dict__.update(status=error.status, kind=error.kind)
    if title := error.document.get("title"):
        problem.__dict__.update(title_vi=title, title_en=title)
    return problem


def create_app(settings: ApiSettings | None = None) -> FastAPI:
    """The workflow API. It starts while Temporal is away and answers 503 until it is there."""
    chosen = settings or ApiSettings()
    process = Process(
        name="workflows",
        title="Liên Thông: dossiers",
        description="Start a dossier, ask where it is, report facts about it.",
        routers=[router],
        probes=[_temporal_answers],
        resources=[_connections(chosen)],
    )
    return create_process(process, chosen)


def _connections(settings: ApiSettings) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def hold(app: FastAPI) -> AsyncIterator[None]:
        app.state.temporal = await connect(settings, lazy=True)
        app.state.services = create_services(settings)
        trace_calls(app.state.services.http, app.state.tracer_provider)
        try:
            yield
        finally:
            await app.state.services.http.aclose()

    return hold


async def _temporal_answers(app: FastAPI) -> None:
    client = cast("Client", app.state.temporal)
    if not await client.service_client.check_health(timeout=RPC_TIMEOUT):
        raise RuntimeError("Temporal is not serving")
