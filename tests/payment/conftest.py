"""A payment service in process, with the sandbox gateway and bank behind it and webhooks delivered by hand."""

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from kit.webhooks import signed_headers
from sandbox.bank.app import create_app as create_bank
from sandbox.bank.book import Settings as BankSettings
from sandbox.gateway.account import Settings as GatewaySettings
from sandbox.gateway.app import create_app as create_gateway
from services.payment.app import create_app
from services.payment.operations.inbox import work_once
from services.payment.operations.sweeper import sweep_once
from services.payment.settings import PaymentSettings
from services.payment.till import Till
from tests.conftest import ISSUER, Issuer, running

GATEWAY_SECRET = "whsec_gateway"
BANK_SECRET = "whsec_" + base64.b64encode(b"the bank's notices are signed").decode()
ACCOUNT = "113366668888"
_keys = itertools.count(1)


class Switchboard(httpx.AsyncBaseTransport):
    """Connects the service to the outside world, and lets a test cut or bend the line."""

    def __init__(self, routes: dict[str, httpx.AsyncBaseTransport]) -> None:
        self.routes = routes
        self.calls: list[httpx.Request] = []
        self.before: Callable[[httpx.Request], httpx.Response | None] | None = None
        self.after: Callable[[httpx.Request, httpx.Response], httpx.Response] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(request)
        if self.before is not None:
            answer = self.before(request)
            if answer is not None:
                return answer
        answer = await self.routes[request.url.host].handle_async_request(request)
        return self.after(request, answer) if self.after is not None else answer

    def count(self, method: str, ending: str) -> int:
        """How often the service made a call."""
        return sum(1 for call in self.calls if call.method == method and call.url.path.endswith(ending))


@dataclass
class World:
    """Everything a test of the payment service acts through."""

    client: httpx.AsyncClient
    gateway: httpx.AsyncClient
    bank: httpx.AsyncClient
    line: Switchboard
    app: FastAPI
    issuer: Issuer
    database: asyncpg.Pool
    delivered: set[str] = field(default_factory=set)

    @property
    def till(self) -> Till:
        return self.app.state.till  # type: ignore[no-any-return]

    async def call(
        self, method: str, path: str, body: Any = None, *scopes: str, subject: str = "workflows", key: str | None = None
    ) -> httpx.Response:
        """One call with the scopes given, everything of payments otherwise, and a fresh key for writes."""
        held = scopes or (
            "payments:read",
            "payments:write",
            "payments:refund",
            "payments:reconcile",
            "payments:approve",
            "payments:close",
        )
        headers = self.issuer.headers(*held, key=key or f"k{next(_keys)}", subject=subject)
        return await self.client.request(method, path, json=body, headers=headers)

    async def ok(self, method: str, path: str, body: Any = None, *scopes: str, **options: Any) -> Any:
        """The JSON of a call that has to succeed."""
        answer = await self.call(method, path, body, *scopes, **options)
        assert answer.is_success, f"{answer.status_code} {answer.text}"
        return answer.json()

    async def bill(self, *amounts: int, **changes: Any) -> dict[str, Any]:
        """Open a bill whose fee lines are `amounts`."""
        return await self.ok("POST", "/v1/payments", bill_of(*amounts, **changes))  # type: ignore[no-any-return]

    async def attempt(self, payment: dict[str, Any], method: str = "card", **fields: Any) -> dict[str, Any]:
        """Start an attempt."""
        path = f"/v1/payments/{payment['id']}/attempts"
        return await self.ok("POST", path, {"method": method, **fields})  # type: ignore[no-any-return]

    async def read(self, payment: dict[str, Any]) -> dict[str, Any]:
        """The payment as it stands, with its facts."""
        return await self.ok("GET", f"/v1/payments/{payment['id']}")  # type: ignore[no-any-return]

    async def paid_by_card(self, *amounts: int, card: str = "pm_card_visa", **changes: Any) -> dict[str, Any]:
        """A bill paid in full by card."""
        payment = await self.bill(*amounts, **changes)
        await self.attempt(payment, payment_method=card)
        found = await self.read(payment)
        assert found["status"] == "paid"
        return found

    async def paid_by_vietqr(self, *amounts: int, **changes: Any) -> dict[str, Any]:
        """A bill paid in full by transfer."""
        payment = await self.bill(*amounts, **changes)
        attempt = await self.attempt(payment, "vietqr")
        await self.transfer(attempt["qr_payload"])
        found = await self.read(payment)
        assert found["status"] == "paid"
        return found

    async def transfer(self, qr: str, amount: int | None = None, *, told: bool = True) -> dict[str, Any]:
        """A citizen's app pays a code; the bank tells us unless the notice is lost."""
        answer = await self.bank.post("/transfers", json={"qr": qr, "amount_dong": amount})
        assert answer.status_code == 201, answer.text
        entry = answer.json()
        if told:
            await self.notify(entry)
        return entry  # type: ignore[no-any-return]

    async def plain_transfer(self, content: str, amount: int, *, told: bool = True) -> dict[str, Any]:
        """A citizen types the account number and writes what they like."""
        answer = await self.bank.post("/transfers/plain", json={"content": content, "amount_dong": amount})
        assert answer.status_code == 201, answer.text
        entry = answer.json()
        if told:
            await self.notify(entry)
        return entry  # type: ignore[no-any-return]

    async def notify(self, entry: dict[str, Any], *, work: bool = True) -> httpx.Response:
        """Deliver the bank's notice of a credit, and let the service work on it."""
        data = {
            "bank_reference": entry["bank_reference"],
            "account": entry["account"],
            "amount_dong": entry["amount_dong"],
            "content": entry["content"],
            "payer_name": entry["counterparty_name"],
            "payer_account": entry["counterparty_account"],
            "payer_bin": entry["counterparty_bin"],
            "booked_at": entry["booked_at"],
            "value_date": entry["value_date"],
        }
        body = json.dumps({"type": "transfer.credited", "data": data}, ensure_ascii=False)
        headers = signed_headers(BANK_SECRET, event_id=f"msg_{next(_keys)}", body=body, at=datetime.now(UTC))
        answer = await self.client.post("/webhooks/bank", content=body.encode(), headers=headers)
        if work:
            await work_once(self.till)
        return answer

    async def deliver_gateway_news(self) -> int:
        """Deliver every gateway event not delivered yet, oldest first, and let the service work on them."""
        page = (await self.gateway.get("/v1/events", params={"limit": 100})).json()
        events = [event for event in reversed(page["data"]) if event["id"] not in self.delivered]
        for event in events:
            answer = await self.send_event(event)
            assert answer.status_code == 200, answer.text
            self.delivered.add(event["id"])
        await work_once(self.till)
        return len(events)

    async def send_event(self, event: dict[str, Any]) -> httpx.Response:
        """One signed gateway webhook."""
        body = json.dumps(event).encode()
        return await self.client.post("/webhooks/gateway", content=body, headers=stripe_headers(body))

    async def sweep(self) -> None:
        """One round of what happens by itself."""
        await sweep_once(self.till)

    async def pass_time(self, payment: dict[str, Any], *, bill: bool = False) -> None:
        """The live attempt of a payment (and its bill) has outlived its time."""
        await self.database.execute(
            "update attempt set expires_at = now() - interval '1 second', next_check_at = now() - interval '1 second'"
            " where payment_id = $1 and ended_at is null",
            payment["id"],
        )
        if bill:
            await self.database.execute(
                "update payment set expires_at = now() - interval '1 second' where id = $1", payment["id"]
            )

    async def make_due(self) -> None:
        """Everything that is to be asked about later is due now."""
        await self.database.execute("update attempt set next_check_at = now() where ended_at is null")
        await self.database.execute("update refund set next_check_at = now() where finished_at is null")
        await self.database.execute("update inbound set next_attempt_at = now() where processed_at is null")

    async def balances(self) -> dict[str, int]:
        """Debits minus credits by account, without those that are zero."""
        rows = await self.database.fetch(
            "select account, sum(amount_dong)::bigint as total from entry group by account having sum(amount_dong) <> 0"
        )
        return {row["account"]: row["total"] for row in rows}

    async def events(self) -> list[str]:
        """What has been announced, in order."""
        return [row["kind"] for row in await self.database.fetch("select kind from outbox_event order by id")]

    async def refund(
        self, payment: dict[str, Any], amount: int, *, source: str = "bill", approve: bool = True, **fields: Any
    ) -> dict[str, Any]:
        """Ask for a refund as one person and approve it as another."""
        wish = {
            "request_key": f"rq{next(_keys)}",
            "reason": "refused",
            "source": source,
            "amount_dong": amount,
            **fields,
        }
        refund = await self.ok("POST", f"/v1/payments/{payment['id']}/refunds", wish, subject="ke-toan")
        if approve:
            decision = {"decision": "approve", "proposal_hash": refund["proposal_hash"]}
            path = f"/v1/refunds/{refund['id']}/decision"
            refund = await self.ok("POST", path, decision, subject="ke-toan-truong")
        return refund  # type: ignore[no-any-return]


def stripe_headers(body: bytes, *, secret: str = GATEWAY_SECRET, at: float | None = None) -> dict[str, str]:
    """Headers as the gateway signs them."""
    stamp = int(at if at is not None else time.time())
    signature = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"stripe-signature": f"t={stamp},v1={signature}", "content-type": "application/json"}


def line_of(amount: int, position: int = 1, *, kind: str = "fee", budget: int = 0, agency: str = "G01.02") -> Any:
    """One line of a bill."""
    shares = [{"payer": "citizen", "amount_dong": amount}]
    if budget:
        shares.append({"payer": "budget:79", "amount_dong": budget})
    return {
        "item": f"{kind}-{position}",
        "kind": kind,
        "leg": "return" if kind == "postage" else None,
        "label_vi": "Lệ phí cấp hộ chiếu",
        "label_en": "Passport charge",
        "beneficiary": "VNPOST" if kind in ("postage", "collection") else agency,
        "shares": shares,
    }


def bill_of(*amounts: int, **changes: Any) -> dict[str, Any]:
    """The body that opens a bill with one fee line an amount."""
    number = next(_keys)
    return {
        "bill_reference": f"bill-{number}",
        "dossier_code": f"G01.02-261121-{number:04d}",
        "procedure": "passport",
        "quote_id": f"qte_{number}",
        "lines": [line_of(amount, position) for position, amount in enumerate(amounts, start=1)],
        "expires_at": (datetime.now(UTC) + timedelta(days=7)).isoformat(),
        **changes,
    }


def settings_for(url: str, **changes: Any) -> PaymentSettings:
    """Settings of a service under test."""
    return PaymentSettings(
        **{
            "public_url": "http://service.test",
            "issuer": ISSUER,
            "database_url": url,
            "session_secret": "s" * 32,
            "pages_client_id": "pages-payment",
            "secure_cookies": False,
            "gateway_url": "http://gateway.test",
            "gateway_key": "sk_test_key",
            "gateway_webhook_secret": GATEWAY_SECRET,
            "gateway_timeout_seconds": 2.0,
            "gateway_total_seconds": 0.3,
            "bank_url": "http://bank.test",
            "bank_key": "bank-key",
            "bank_notice_secret": BANK_SECRET,
            "bank_bin": "970415",
            "bank_account": ACCOUNT,
            "bank_holder": "KHO BAC NHA NUOC",
            "collecting_agency_name": "Trung tâm Phục vụ hành chính công",
            "receipt_secret": "r" * 32,
            "sweep_seconds": 60,
            "log_level": "CRITICAL",
            **changes,
        }
    )


@asynccontextmanager
async def outside_of(
    folder: Path,
) -> AsyncIterator[tuple[dict[str, httpx.AsyncBaseTransport], httpx.AsyncClient, httpx.AsyncClient]]:
    """The sandbox gateway and bank on files in `folder`: how to reach them, and a client of each for the test."""
    gateway_settings = GatewaySettings(
        key="sk_test_key", webhook_secret=GATEWAY_SECRET, public_url="http://gateway.test"
    )
    gateway_app = create_gateway(gateway_settings, folder / "gateway.sqlite")
    bank_app = create_bank(
        BankSettings(bin="970415", account=ACCOUNT, holder="KHO BAC NHA NUOC", holder_key="bank-key"),
        folder / "bank.sqlite",
    )
    routes: dict[str, httpx.AsyncBaseTransport] = {
        "gateway.test": httpx.ASGITransport(gateway_app),
        "bank.test": httpx.ASGITransport(bank_app),
    }
    async with (
        httpx.AsyncClient(
            transport=httpx.ASGITransport(gateway_app),
            base_url="http://gateway.test",
            headers={"authorization": "Bearer sk_test_key"},
        ) as gateway,
        httpx.AsyncClient(transport=httpx.ASGITransport(bank_app), base_url="http://bank.test") as bank,
    ):
        yield routes, gateway, bank


@asynccontextmanager
async def world_on(url: str, issuer: Issuer, folder: Path, **changes: Any) -> AsyncIterator[World]:
    """A world on a database; several may share one, as several processes do."""
    async with outside_of(folder) as (routes, gateway, bank):
        line = Switchboard(routes)
        async with (
            httpx.AsyncClient(transport=line) as outside,
            asyncpg.create_pool(url, min_size=1, max_size=2) as pool,
        ):
            app = create_app(settings_for(url, **changes), outside=outside)
            async with running(app, issuer) as client:
                # The test decides when webhooks are worked on.
                app.state.inbox_wake = asyncio.Event()
                yield World(client, gateway, bank, line, app, issuer, pool)


@pytest.fixture
async def world(database: Callable[[str], Any], issuer: Issuer, tmp_path: Path) -> AsyncIterator[World]:
    """One payment service with its outside world."""
    url = await database("payment")
    async with world_on(url, issuer, tmp_path) as made:
        yield made
        await _books_are_true(made)


async def _books_are_true(world: World) -> None:
    """After every test: the trial balance is zero, every figure is the fold of its facts, suspense is explained."""
    from tests.payment.proofs import prove_the_books  # noqa: PLC0415 — proofs import the service, not this file

    await prove_the_books(world.database)
