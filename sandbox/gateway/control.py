"""Control endpoints of the sandbox under /_sandbox: what no real gateway would offer."""

from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import httpx
from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from sandbox.gateway import disputes, events, faults, payouts, refunds
from sandbox.gateway.account import BY_ITSELF, Call, Document
from sandbox.gateway.desk import Desk
from sandbox.gateway.payments import authenticate_intent, lapse_authorisation
from sandbox.gateway.report import settlement_report, totals
from sandbox.gateway.timers import Timers
from sandbox.wire import Value


class FaultScript(BaseModel):
    """A fault for the next `times` requests that match in every respect.

    `match` compares `path` (with `*` as wildcard), `method`, or parameters by dotted name, such as
    `metadata.dossier_code`.
    """

    model_config = ConfigDict(extra="forbid")

    match: dict[str, str] = {}
    effect: faults.Effect
    seconds: float | None = Field(default=None, ge=0, description="How long to hang or wait.")
    times: int = Field(default=1, ge=1)


class WebhookScript(BaseModel):
    """How webhooks about payments with one of these metadata values travel, from now on."""

    model_config = ConfigDict(extra="forbid")

    metadata: dict[str, str] = Field(min_length=1)
    effect: events.Wish
    seconds: float = Field(default=5.0, ge=0, description="How late a delayed webhook is.")


class PayoutRun(BaseModel):
    """Which balance to close, and whether the payout waits for `…/arrive`."""

    model_config = ConfigDict(extra="forbid")

    as_of: int | None = Field(default=None, description="Unix time; now, unless given.")
    hold: bool = False


class DisputeWish(BaseModel):
    """How a cardholder's bank disputes a charge."""

    model_config = ConfigDict(extra="forbid")

    reason: Literal[disputes.REASONS] = "fraudulent"  # type: ignore[valid-type]
    inquiry: bool = False
    due_seconds: float | None = Field(default=None, ge=0, description="Until evidence is too late.")


class Outcome(BaseModel):
    """How something that was pending ends."""

    model_config = ConfigDict(extra="forbid")

    succeeds: bool = True


def router(timers: Timers) -> APIRouter:
    """The control endpoints of one gateway."""
    control = APIRouter(prefix="/_sandbox", tags=["sandbox"])
    _add_faults(control, timers)
    _add_money_movements(control, timers)
    _add_books(control, timers)
    return control


def _add_faults(control: APIRouter, timers: Timers) -> None:
    account = timers.account

    @control.post("/faults", status_code=201)
    async def add_fault(script: FaultScript) -> list[Document]:
        faults.add_fault(account, script.match, script.effect, seconds=script.seconds, times=script.times)
        return faults.pending_faults(account)

    @control.get("/faults")
    async def list_faults() -> list[Document]:
        return faults.pending_faults(account)

    @control.post("/webhooks", status_code=204)
    async def script_webhooks(script: WebhookScript) -> None:
        events.script_chaos(account, script.metadata, script.effect, script.seconds)

    @control.delete("/webhooks", status_code=204)
    async def clear_webhook_scripts() -> None:
        account.state.execute("DELETE FROM webhook_wishes")

    @control.delete("/faults", status_code=204)
    async def clear_faults() -> None:
        account.state.execute("DELETE FROM faults")


def _add_money_movements(control: APIRouter, timers: Timers) -> None:
    account = timers.account

    def desk(call: Call = BY_ITSELF) -> Desk:
        return Desk(account, timers.announcer, call)

    @control.post("/payouts/run")
    async def run_payout(run: PayoutRun | None = None) -> Document:
        chosen = run or PayoutRun()
        with account.state.transaction():
            return payouts.run_payout(desk(), as_of=chosen.as_of, hold=chosen.hold)

    @control.post("/payouts/{payout}/arrive")
    async def arrive(payout: str) -> Document:
        account.load("po", payout, "payout")
        async with httpx.AsyncClient(timeout=10.0, trust_env=False) as client:
            try:
                await timers.arrive(client, payout)
            except httpx.HTTPError as failure:
                raise HTTPException(502, f"The bank did not take it: {failure}") from failure
        return account.load("po", payout, "payout")

    @control.post("/payouts/{payout}/fail")
    async def fail(payout: str) -> Document:
        with account.state.transaction():
            return payouts.fail_payout(desk(), payout)

    @control.post("/refunds/{refund}/settle")
    async def settle(refund: str, outcome: Outcome) -> Document:
        with account.state.transaction():
            return refunds.settle_refund(desk(), refund, succeeds=outcome.succeeds)

    @control.post("/charges/{charge}/dispute", status_code=201)
    async def dispute(charge: str, wish: DisputeWish | None = None) -> Document:
        chosen = wish or DisputeWish()
        with account.state.transaction():
            return disputes.open_dispute(
                desk(),
                account.load("ch", charge, "charge"),
                reason=chosen.reason,
                inquiry=chosen.inquiry,
                due_seconds=chosen.due_seconds,
            )

    @control.post("/disputes/{identifier}/resolve")
    async def resolve(identifier: str, outcome: Outcome) -> Document:
        with account.state.transaction():
            return disputes.resolve(desk(), identifier, won=outcome.succeeds)

    @control.post("/payment_intents/{intent}/authenticate")
    async def authenticate(intent: str, outcome: Outcome, request: Request) -> Document:
        call = Call(base_url=str(request.base_url))
        with account.state.transaction():
            return authenticate_intent(desk(call), intent, succeeds=outcome.succeeds)

    @control.post("/payment_intents/{intent}/lapse")
    async def lapse(intent: str) -> Document:
        with account.state.transaction():
            return lapse_authorisation(desk(), intent)


def _add_books(control: APIRouter, timers: Timers) -> None:
    account = timers.account
    deliveries = timers.announcer.deliveries

    @control.get("/totals")
    async def show_totals() -> Document:
        return totals(account)

    @control.get("/deliveries")
    async def list_deliveries(event: str | None = None, limit: int = 100) -> list[dict[str, Value]]:
        return deliveries.log(message=event, limit=min(limit, 1000))

    @control.get("/report.csv")
    async def report(payout: str, metadata: str = "", timezone: str = Query("Etc/UTC", max_length=64)) -> Response:
        try:
            zone = ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise HTTPException(400, f"Unknown time zone: {timezone}") from None
        keys = tuple(key for key in metadata.split(",") if key)
        document = account.load("po", payout, "payout")
        text = settlement_report(account, document, timezone=zone, metadata=keys)
        headers = {"Content-Disposition": f'attachment; filename="{document["id"]}.csv"'}
        return Response(text, media_type="text/csv; charset=utf-8", headers=headers)
