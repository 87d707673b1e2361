"""Every call of the client, made once, with how each went: to verify an address and a key before going live."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import httpx

from kit.ids import new_id
from services.payment.gateway.client import API_VERSION, GatewayClient
from services.payment.gateway.protocol import GatewayError, GatewayRefused, Intent

Answer = TypeVar("Answer")
Tell = Callable[[str, str], None]

_AMOUNT_DONG = 50_000
_TEST_CARD, _DISPUTED_CARD = "pm_card_visa", "pm_card_createDispute"


def _say_nothing(_: str, __: str) -> None:
    return


@dataclass
class _Round:
    """One run of the check: what was called and how it went, told as it happens."""

    client: GatewayClient
    tell: Tell
    mark: str = field(default_factory=lambda: new_id("chk"))
    lines: list[tuple[str, str]] = field(default_factory=list)

    async def step(self, name: str, call: Awaitable[Answer], *, unknown: bool = False) -> Answer | None:
        """Make a call. With `unknown` it names an object that need not exist: that answer is a good one too."""
        result = None
        try:
            result = await call
            line = "ok"
        except GatewayRefused as refusal:
            fits = unknown and refusal.status == 404 and refusal.code == "resource_missing"
            line = "ok, knows no such object" if fits else f"refused {refusal}"
        except GatewayError as error:
            line = f"{type(error).__name__}: {error}"
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            line = f"unreadable answer: {error!r}"
        if line.startswith("ok") and self.client.last_request_id:
            line += f" [{self.client.last_request_id}]"
        self.note(name, line)
        return result

    def note(self, name: str, line: str) -> None:
        self.lines.append((name, line))
        self.tell(name, line)

    def key(self, name: str) -> str:
        return f"{self.mark}:{name}"

    async def intent(self, name: str, *, card: str | None, capture_later: bool = False) -> Intent | None:
        return await self.step(
            f"create payment intent {name}",
            self.client.create_intent(
                _AMOUNT_DONG,
                metadata={"check": self.mark},
                key=self.key(f"create {name}"),
                payment_method=card,
                capture_later=capture_later,
            ),
        )


async def check(client: GatewayClient, tell: Tell = _say_nothing, *, live: bool = False) -> list[tuple[str, str]]:
    """Make every call once and tell, as it happens, how each went: (call, "ok …", "skipped …" or what was wrong).

    A gateway that answers with fixtures and stores nothing passes too. With `live` no call is made that would move
    money or needs a test card.
    """
    run = _Round(client, tell)
    paid_id = await _payments(run, live=live)
    await _refunds(run, paid_id, live=live)
    await _disputes(run, live=live)
    await _settlement(run)
    await _news(run)
    return run.lines


def _or(value: str | None, made_up: str) -> tuple[str, bool]:
    """An id to ask about, and whether it is made up."""
    return (value, False) if value else (made_up, True)


async def _payments(run: _Round, *, live: bool) -> str | None:
    client = run.client
    left = await run.intent("to cancel", card=None)
    left_id = left.id if left else "pi_none"
    await run.step("retrieve payment intent", client.retrieve_intent(left_id))
    await run.step("list payment intents", client.intents(limit=3))
    await run.step("cancel payment intent", client.cancel_intent(left_id, key=run.key("cancel")))
    if live:
        for name in ("confirm payment intent", "capture payment intent"):
            run.note(name, "skipped: a live key, and it would move money")
        await run.step("retrieve charge", client.retrieve_charge("ch_check"), unknown=True)
        await run.step("list charges of an intent", client.charges(left_id))
        return None
    paid = await run.intent("to confirm", card=_TEST_CARD)
    paid_id = paid.id if paid else "pi_none"
    confirmed = await run.step("confirm payment intent", client.confirm_intent(paid_id, key=run.key("confirm")))
    reserved = await run.intent("to capture", card=_TEST_CARD, capture_later=True)
    reserved_id = reserved.id if reserved else "pi_none"
    await run.step("confirm payment intent to capture", client.confirm_intent(reserved_id, key=run.key("reserve")))
    await run.step(
        "capture payment intent in part",
        client.capture_intent(reserved_id, key=run.key("capture"), amount_dong=_AMOUNT_DONG - 1),
    )
    charge_id, made_up = _or(confirmed.charge_id if confirmed else None, "ch_check")
    await run.step("retrieve charge", client.retrieve_charge(charge_id), unknown=made_up)
    await run.step("list charges of an intent", client.charges(paid_id))
    return paid_id


async def _refunds(run: _Round, paid_id: str | None, *, live: bool) -> None:
    client = run.client
    refund = None
    if live or paid_id is None:
        run.note("create refund", "skipped: a live key, and it would move money")
    else:
        refund = await run.step(
            "create refund",
            client.create_refund(paid_id, 1_000, metadata={"check": run.mark}, key=run.key("refund")),
        )
    refund_id, made_up = _or(refund.id if refund else None, "re_check")
    await run.step("retrieve refund", client.retrieve_refund(refund_id), unknown=made_up)
    await run.step("list refunds of an intent", client.refunds(paid_id or "pi_check"), unknown=paid_id is None)


async def _disputes(run: _Round, *, live: bool) -> None:
    """Only a dispute this check has provoked is answered and closed; elsewhere an id is made up."""
    client = run.client
    intent_id = None
    if not live:
        disputed = await run.intent("to be disputed", card=_DISPUTED_CARD)
        intent_id = disputed.id if disputed else None
        if intent_id:
            await run.step(
                "confirm payment intent to be disputed", client.confirm_intent(intent_id, key=run.key("disputed"))
            )
    found = await run.step("list disputes", client.disputes()) or []
    own = next((each.id for each in found if intent_id and each.intent_id == intent_id), None)
    dispute_id, made_up = _or(own, "du_check")
    await run.step("retrieve dispute", client.retrieve_dispute(dispute_id), unknown=made_up)
    await run.step(
        "submit evidence",
        client.submit_evidence(dispute_id, {"uncategorized_text": run.mark}, key=run.key("evidence"), submit=False),
        unknown=made_up,
    )
    await run.step("close dispute", client.close_dispute(dispute_id, key=run.key("close")), unknown=made_up)


async def _settlement(run: _Round) -> None:
    client = run.client
    payouts = await run.step("list payouts", client.payouts(arrival_from=0))
    payout_id, made_up = _or(payouts[0].id if payouts else None, "po_check")
    await run.step("retrieve payout", client.retrieve_payout(payout_id), unknown=made_up)
    await run.step("list balance transactions of a payout", client.balance_transactions(payout_id), unknown=made_up)


async def _news(run: _Round) -> None:
    client = run.client
    await run.step("list events", client.events(created_from=0, limit=10))
    endpoint = await run.step(
        "create webhook endpoint",
        client.create_webhook_endpoint(
            "https://example.com/webhooks/gateway", ("payment_intent.succeeded",), key=run.key("endpoint")
        ),
    )
    await run.step("list webhook endpoints", client.webhook_endpoints())
    endpoint_id, made_up = _or(endpoint.id if endpoint else None, "we_check")
    await run.step("delete webhook endpoint", client.delete_webhook_endpoint(endpoint_id), unknown=made_up)


def passed(line: str) -> bool:
    """Whether a line of the check is a good one."""
    return line.startswith(("ok", "skipped"))


async def run_check(url: str, key: str, *, version: str = API_VERSION, tell: Tell = _say_nothing) -> bool:
    """The check over a connection of its own, HTTP/2 where the gateway offers it; whether everything went well."""
    live = key.startswith(("sk_live_", "rk_live_"))
    async with httpx.AsyncClient(http2=True) as http:
        client = GatewayClient(url=url, key=key, http=http, version=version, timeout_seconds=5, total_seconds=5)
        lines = await check(client, tell, live=live)
    return all(passed(line) for _, line in lines)


def run_check_now(url: str, key: str, *, version: str, tell: Tell) -> bool:
    """`run_check` for a command line."""
    return asyncio.run(run_check(url, key, version=version, tell=tell))
