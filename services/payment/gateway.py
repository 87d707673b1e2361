"""The card gateway: a client of the Stripe wire, its refusals, and the check of what it tells us.

`python -m services.payment.gateway check --url URL --key KEY` makes every call this client can make.
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx

from kit.errors import Unauthenticated
from kit.ids import new_id

TOLERANCE_SECONDS = 300
_RETRYABLE = frozenset({409, 429, 500, 502, 503, 504})
_PAGE = 100

Document = dict[str, Any]
"""An object of the wire. Rooms take from it only what `Intent`, `GatewayRefund` and the like name."""


class GatewayError(Exception):
    """Anything but a usable answer."""


class GatewayRefused(GatewayError):
    """The gateway understood and said no: the same call gives the same answer."""

    def __init__(self, status: int, code: str, message: str, *, intent: "Intent | None" = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.intent = intent
        """The payment intent as the refusal left it, when the gateway included it."""


class GatewayUnreachable(GatewayError):
    """No answer in time. The call may have had its effect; repeat it with the same key or ask."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A payment intent as far as we need it, in đồng."""

    id: str
    status: str
    amount_dong: int
    received_dong: int
    currency: str
    charge_id: str | None
    created: int
    metadata: Mapping[str, str]
    action_url: str | None
    error: str


@dataclass(frozen=True, slots=True)
class GatewayRefund:
    """A refund as the gateway sees it, in đồng."""

    id: str
    status: str
    amount_dong: int
    intent_id: str | None
    metadata: Mapping[str, str]
    error: str


@dataclass(frozen=True, slots=True)
class GatewayPayout:
    """A settlement to our bank account. `arrival` is seconds of the UTC midnight that names the date."""

    id: str
    status: str
    amount_dong: int
    arrival: int
    created: int


@dataclass(frozen=True, slots=True)
class BalanceTransaction:
    """One movement of our balance at the gateway. `intent_id` is known for charges."""

    id: str
    kind: str
    gross_dong: int
    fee_dong: int
    net_dong: int
    source: str
    intent_id: str | None


@dataclass(frozen=True, slots=True)
class GatewayEvent:
    """A webhook: which object something happened to. The object itself is fetched again."""

    id: str
    kind: str
    object_id: str
    body: Document


class GatewayClient:
    """One account at one gateway. Holds no state of its own; safe to share between tasks."""

    def __init__(
        self,
        *,
        url: str,
        key: str,
        http: httpx.AsyncClient,
        version: str = "2022-11-15",
        timeout_seconds: float = 8.0,
        total_seconds: float = 20.0,
    ) -> None:
        self._url = url.rstrip("/")
        self._key = key
        self._http = http
        self._version = version
        self._timeout = httpx.Timeout(timeout_seconds, connect=min(3.0, timeout_seconds))
        self._total_seconds = total_seconds
        self.last_request_id = ""

    async def create_intent(
        self, amount_dong: int, *, metadata: Mapping[str, str], key: str, payment_method: str | None = None
    ) -> Intent:
        """A new intent that has not been confirmed: it takes no money, so repeating the call never does harm."""
        form: Document = {
            "amount": amount_dong,
            "currency": "vnd",
            "payment_method_types": ["card"],
            "metadata": dict(metadata),
        }
        if payment_method:
            form["payment_method"] = payment_method
        return _intent(await self._call("POST", "/v1/payment_intents", form=form, key=key))

    async def retrieve_intent(self, intent_id: str) -> Intent:
        """The intent as it stands."""
        return _intent(await self._call("GET", f"/v1/payment_intents/{intent_id}"))

    async def confirm_intent(self, intent_id: str, *, key: str, return_url: str | None = None) -> Intent:
        """Take the money. Raises GatewayRefused with the card's answer."""
        form = {"return_url": return_url} if return_url else {}
        return _intent(await self._call("POST", f"/v1/payment_intents/{intent_id}/confirm", form=form, key=key))

    async def capture_intent(self, intent_id: str, *, key: str) -> Intent:
        """Take money that a card has only reserved."""
        return _intent(await self._call("POST", f"/v1/payment_intents/{intent_id}/capture", form={}, key=key))

    async def cancel_intent(self, intent_id: str, *, key: str) -> Intent:
        """Give an intent up. Raises GatewayRefused when it has already taken the money."""
        form = {"cancellation_reason": "abandoned"}
        return _intent(await self._call("POST", f"/v1/payment_intents/{intent_id}/cancel", form=form, key=key))

    async def create_refund(
        self, intent_id: str, amount_dong: int, *, metadata: Mapping[str, str], key: str
    ) -> GatewayRefund:
        """Give money of an intent back to its card."""
        form: Document = {"payment_intent": intent_id, "amount": amount_dong, "metadata": dict(metadata)}
        return _refund(await self._call("POST", "/v1/refunds", form=form, key=key))

    async def retrieve_refund(self, refund_id: str) -> GatewayRefund:
        """The refund as it stands."""
        return _refund(await self._call("GET", f"/v1/refunds/{refund_id}"))

    async def retrieve_charge_intent(self, charge_id: str) -> str | None:
        """The intent a charge belongs to."""
        charge = await self._call("GET", f"/v1/charges/{charge_id}")
        return _id_of(charge.get("payment_intent"))

    async def retrieve_payout(self, payout_id: str) -> GatewayPayout:
        """The payout as it stands."""
        return _payout(await self._call("GET", f"/v1/payouts/{payout_id}"))

    async def payouts(self, *, arrival_from: int | None = None) -> list[GatewayPayout]:
        """Payouts, newest first, arriving at `arrival_from` (seconds) or later."""
        query: Document = {"arrival_date": {"gte": arrival_from}} if arrival_from is not None else {}
        return [_payout(document) async for document in self._pages("/v1/payouts", query)]

    async def balance_transactions(self, payout_id: str) -> list[BalanceTransaction]:
        """Everything one payout settles, the payout's own movement included."""
        query: Document = {"payout": payout_id, "expand": ["data.source"]}
        return [_transaction(document) async for document in self._pages("/v1/balance_transactions", query)]

    async def events(self, *, created_from: int | None = None, limit: int = _PAGE) -> list[GatewayEvent]:
        """The latest events, newest first: what webhooks would have said."""
        query: Document = {"created": {"gte": created_from}} if created_from is not None else {}
        found: list[GatewayEvent] = []
        async for document in self._pages("/v1/events", query):
            found.append(event_of(document))
            if len(found) >= limit:
                break
        return found

    async def _pages(self, path: str, query: Document) -> AsyncIterator[Document]:
        cursor: Document = {}
        while True:
            page = await self._call("GET", path, query={**query, **cursor, "limit": _PAGE})
            items = page.get("data", [])
            for item in items:
                yield item
            if not page.get("has_more") or not items:
                return
            cursor = {"starting_after": items[-1]["id"]}

    async def _call(
        self, method: str, path: str, *, form: Document | None = None, query: Document | None = None, key: str = ""
    ) -> Document:
        """Send, and send again what may pass, until an answer or until the total time is over."""
        headers = {"authorization": f"Bearer {self._key}", "stripe-version": self._version}
        content = None
        if form is not None:
            headers["content-type"] = "application/x-www-form-urlencoded"
            content = urlencode(nested(form)).encode()
        if key:
            headers["idempotency-key"] = key
        address = self._url + path + (f"?{urlencode(nested(query))}" if query else "")
        deadline = time.monotonic() + self._total_seconds
        for attempt in range(1_000):
            reason, pause = "", min(0.2 * 2**attempt, 4.0) * random.uniform(0.5, 1.0)  # noqa: S311 — spreads retries
            try:
                answer = await self._http.request(
                    method, address, content=content, headers=headers, timeout=self._timeout
                )
            except httpx.HTTPError as error:
                reason = type(error).__name__
            else:
                self.last_request_id = answer.headers.get("request-id", "")
                if not _may_pass(answer):
                    return _read(answer)
                reason = str(answer.status_code)
                pause = max(pause, _retry_after(answer))
            if time.monotonic() + pause >= deadline:
                raise GatewayUnreachable(f"{method} {path}: {reason}")
            await asyncio.sleep(pause)
        raise GatewayUnreachable(f"{method} {path}: too many tries")  # pragma: no cover — the deadline comes first


def nested(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Form pairs of a nested document, as the wire wants them: `metadata[a]=b`, `expand[0]=c`, `confirm=true`."""
    pairs: list[tuple[str, str]] = []

    def put(name: str, value: Any) -> None:  # noqa: ANN401 — any JSON
        if isinstance(value, Mapping):
            for inner, child in value.items():
                put(f"{name}[{inner}]" if name else str(inner), child)
        elif isinstance(value, list | tuple):
            for index, child in enumerate(value):
                put(f"{name}[{index}]", child)
        elif isinstance(value, bool):
            pairs.append((name, "true" if value else "false"))
        else:
            pairs.append((name, str(value)))

    put("", document)
    return pairs


def verified_event(secret: str, *, header: str, body: bytes, now: float) -> GatewayEvent:
    """The event of a webhook. Raises Unauthenticated unless signed with our secret within the last five minutes."""
    if not secret:
        raise ValueError("an empty webhook secret would believe everybody")
    parts = [part.partition("=") for part in header.split(",")]
    stamp = next((value for name, _, value in parts if name.strip() == "t"), "")
    given = [value for name, _, value in parts if name.strip() == "v1"]
    expected = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    genuine = any([hmac.compare_digest(expected.encode(), value.encode()) for value in given])  # noqa: C419 — all of them
    fresh = stamp.isdigit() and len(stamp) < 12 and abs(now - int(stamp)) <= TOLERANCE_SECONDS
    if not genuine or not fresh:
        raise _not_believed()
    try:
        document = json.loads(body)
        return event_of(document)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _not_believed() from error


def event_of(document: Document) -> GatewayEvent:
    """An event of the wire."""
    subject = document["data"]["object"]
    return GatewayEvent(str(document["id"]), str(document["type"]), str(subject.get("id", "")), document)


def _not_believed() -> Unauthenticated:
    return Unauthenticated(
        "Chữ ký của thông báo không hợp lệ hoặc đã quá 5 phút.",
        "The signature of this webhook is not valid, or is older than 5 minutes.",
    )


def _may_pass(answer: httpx.Response) -> bool:
    wish = answer.headers.get("stripe-should-retry")
    if wish in ("true", "false"):
        return bool(wish == "true")
    return answer.status_code in _RETRYABLE or answer.status_code >= 500


def _retry_after(answer: httpx.Response) -> float:
    wish = answer.headers.get("retry-after", "")
    return float(wish) if wish.isdigit() else 0.0


def _read(answer: httpx.Response) -> Document:
    try:
        document = answer.json()
    except ValueError as error:
        raise GatewayUnreachable(f"{answer.status_code} without JSON") from error
    if not isinstance(document, dict):
        raise GatewayUnreachable(f"{answer.status_code} without an object")
    if answer.is_success:
        return document
    error_ = document.get("error")
    error_ = error_ if isinstance(error_, dict) else {}
    if answer.status_code in (401, 403):
        # Our own key is wrong: an operator's matter, which must not end a citizen's payment.
        raise GatewayUnreachable(f"{answer.status_code} {error_.get('message', 'not authorised')}")
    intent = error_.get("payment_intent")
    raise GatewayRefused(
        answer.status_code,
        str(error_.get("decline_code") or error_.get("code") or error_.get("type") or "unknown"),
        str(error_.get("message", "")),
        intent=_intent(intent) if isinstance(intent, dict) else None,
    )


def _id_of(value: Any) -> str | None:  # noqa: ANN401 — an id, or the object when it was expanded
    if isinstance(value, dict):
        return str(value["id"]) if "id" in value else None
    return str(value) if value else None


def _texts(value: Any) -> dict[str, str]:  # noqa: ANN401
    return {str(name): str(text) for name, text in value.items()} if isinstance(value, dict) else {}


def _intent(document: Document) -> Intent:
    action = document.get("next_action") or {}
    error = document.get("last_payment_error") or {}
    return Intent(
        id=str(document["id"]),
        status=str(document.get("status", "")),
        amount_dong=int(document.get("amount") or 0),
        received_dong=int(document.get("amount_received") or 0),
        currency=str(document.get("currency", "")).lower(),
        charge_id=_id_of(document.get("latest_charge")),
        created=int(document.get("created") or 0),
        metadata=_texts(document.get("metadata")),
        action_url=(action.get("redirect_to_url") or {}).get("url"),
        error=str(error.get("decline_code") or error.get("code") or ""),
    )


def _refund(document: Document) -> GatewayRefund:
    return GatewayRefund(
        id=str(document["id"]),
        status=str(document.get("status", "")),
        amount_dong=int(document.get("amount") or 0),
        intent_id=_id_of(document.get("payment_intent")),
        metadata=_texts(document.get("metadata")),
        error=str(document.get("failure_reason") or ""),
    )


def _payout(document: Document) -> GatewayPayout:
    return GatewayPayout(
        id=str(document["id"]),
        status=str(document.get("status", "")),
        amount_dong=int(document.get("amount") or 0),
        arrival=int(document.get("arrival_date") or 0),
        created=int(document.get("created") or 0),
    )


def _transaction(document: Document) -> BalanceTransaction:
    source = document.get("source")
    intent = _id_of(source.get("payment_intent")) if isinstance(source, dict) else None
    return BalanceTransaction(
        id=str(document["id"]),
        kind=str(document.get("type", "")),
        gross_dong=int(document.get("amount") or 0),
        fee_dong=int(document.get("fee") or 0),
        net_dong=int(document.get("net") or 0),
        source=_id_of(source) or "",
        intent_id=intent,
    )


def _say_nothing(_: str, __: str) -> None:
    return


async def check(client: GatewayClient, tell: Callable[[str, str], None] = _say_nothing) -> list[tuple[str, str]]:
    """Make every call once and tell, as it happens, how each went: (call, "ok …" or what was wrong)."""
    lines: list[tuple[str, str]] = []
    mark = new_id("chk")

    async def step(name: str, call: Any) -> Any:  # noqa: ANN401
        result = None
        try:
            result = await call
            line = f"ok {client.last_request_id}".strip()
        except GatewayError as error:
            line = f"{type(error).__name__}: {error}"
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            line = f"unreadable answer: {error!r}"
        lines.append((name, line))
        tell(name, line)
        return result

    wish = {"check": mark}
    paid = await step(
        "create payment intent",
        client.create_intent(10_000, metadata=wish, key=f"{mark}:create", payment_method="pm_card_visa"),
    )
    paid_id = paid.id if paid else "pi_none"
    await step("retrieve payment intent", client.retrieve_intent(paid_id))
    confirmed = await step("confirm payment intent", client.confirm_intent(paid_id, key=f"{mark}:confirm"))
    if confirmed is not None and confirmed.status == "requires_capture":
        await step("capture payment intent", client.capture_intent(paid_id, key=f"{mark}:capture"))
    if confirmed is not None and confirmed.charge_id:
        await step("retrieve charge", client.retrieve_charge_intent(confirmed.charge_id))
    refund = await step("create refund", client.create_refund(paid_id, 1_000, metadata=wish, key=f"{mark}:refund"))
    await step("retrieve refund", client.retrieve_refund(refund.id if refund else "re_none"))
    left = await step("create intent to cancel", client.create_intent(10_000, metadata=wish, key=f"{mark}:second"))
    await step("cancel payment intent", client.cancel_intent(left.id if left else "pi_none", key=f"{mark}:cancel"))
    payouts = await step("list payouts", client.payouts())
    if payouts:
        await step("retrieve payout", client.retrieve_payout(payouts[0].id))
        await step("list balance transactions of a payout", client.balance_transactions(payouts[0].id))
    await step("list events", client.events(limit=10))
    return lines


async def _check_command(url: str, key: str, version: str) -> int:
    async with httpx.AsyncClient() as http:
        client = GatewayClient(url=url, key=key, http=http, version=version, timeout_seconds=5, total_seconds=5)
        lines = await check(client, lambda name, line: print(f"{name:<40} {line}", flush=True))
    return 0 if all(result.startswith("ok") for _, result in lines) else 1


def main() -> int:
    """The command line; the exit status is 1 when any call went wrong."""
    parser = argparse.ArgumentParser(prog="python -m services.payment.gateway", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("check", help="make every call once and print a line for each")
    command.add_argument("--url", required=True)
    command.add_argument("--key", required=True)
    command.add_argument("--version", default="2022-11-15")
    arguments = parser.parse_args()
    return asyncio.run(_check_command(arguments.url, arguments.key, arguments.version))


if __name__ == "__main__":
    sys.exit(main())
