"""Disputes and daily payouts: money the cardholder's bank takes back, and the day's balance on its way by itself."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.gateway.account import Settings, new_id, open_state, seed_identifiers
from sandbox.gateway.app import create_app
from sandbox.gateway.timers import Timers
from sandbox.wire import VIETNAM
from tests.sandbox.outside import Moment

KEY = "sk_test_sandbox"
FEE_DONG = 150_000 * 110 // 10_000 + 1_650
DISPUTE_FEE_DONG = 100_000


@dataclass
class Outside:
    """A gateway whose time the test moves."""

    http: httpx.AsyncClient
    timers: Timers
    moment: Moment

    async def ok(self, method: str, path: str, **options: Any) -> Any:
        answer = await self.http.request(method, path, **options)
        assert answer.is_success, answer.text
        return answer.json()

    async def charged(self, card: str = "pm_card_visa", **fields: str) -> dict[str, Any]:
        form = {"amount": "150000", "currency": "vnd", "payment_method": card, "confirm": "true", **fields}
        return dict(await self.ok("POST", "/v1/payment_intents", data=form))

    async def disputed(self, card: str = "pm_card_createDispute") -> dict[str, Any]:
        intent = await self.charged(card)
        (dispute,) = (await self.ok("GET", "/v1/disputes", params={"payment_intent": intent["id"]}))["data"]
        return dict(dispute)

    async def books(self) -> dict[str, int]:
        books = await self.ok("GET", "/_sandbox/totals")
        assert books["unpaid_balance_dong"] == (
            books["charges_dong"]
            - books["refunds_dong"]
            + books["refund_failures_dong"]
            - books["disputes_dong"]
            - books["fees_dong"]
            - books["payouts_dong"]
            + books["payout_failures_dong"]
        )
        return dict(books)

    async def events(self) -> list[str]:
        page = await self.ok("GET", "/v1/events", params={"limit": "100"})
        return [event["type"] for event in reversed(page["data"])]

    async def pass_time(self, seconds: float) -> None:
        self.moment.now += seconds
        await self.timers.run_due(self.http)


@pytest.fixture
async def outside(tmp_path: Path, moment: Moment) -> AsyncIterator[Outside]:
    settings = Settings(key=KEY, webhook_secret="whsec_x", payout_daily_at="17:30", payout_arrival_seconds=60)
    app = create_app(settings, tmp_path / "gateway.sqlite", clock=moment)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app),
        base_url="http://gateway.test",
        headers={"authorization": f"Bearer {KEY}"},
    ) as client:
        yield Outside(client, app.state.timers, moment)


async def test_a_dispute_takes_the_money_and_a_fee_at_once(outside: Outside) -> None:
    dispute = await outside.disputed()
    books = await outside.books()

    assert (dispute["status"], dispute["reason"], dispute["amount"]) == ("needs_response", "fraudulent", 150_000)
    (taken,) = dispute["balance_transactions"]
    assert (taken["type"], taken["reporting_category"]) == ("adjustment", "dispute")
    assert (taken["amount"], taken["fee"], taken["net"]) == (-150_000, DISPUTE_FEE_DONG, -150_000 - DISPUTE_FEE_DONG)
    assert books["unpaid_balance_dong"] == -FEE_DONG - DISPUTE_FEE_DONG
    assert (await outside.events())[-2:] == ["charge.dispute.created", "charge.dispute.funds_withdrawn"]
    assert (await outside.ok("GET", f"/v1/charges/{dispute['charge']}"))["disputed"] is True


@pytest.mark.parametrize(
    ("words", "status", "left_dong"),
    [("winning_evidence", "won", 150_000 - FEE_DONG), ("losing_evidence", "lost", -FEE_DONG - DISPUTE_FEE_DONG)],
)
async def test_the_bank_decides_by_the_evidence(outside: Outside, words: str, status: str, left_dong: int) -> None:
    dispute = await outside.disputed()
    form = {"evidence[uncategorized_text]": words, "evidence[customer_name]": "Nguyễn Văn An"}

    ended = await outside.ok("POST", f"/v1/disputes/{dispute['id']}", data=form)
    again = await outside.http.post(f"/v1/disputes/{dispute['id']}", data=form)

    assert (ended["status"], ended["evidence_details"]["submission_count"]) == (status, 1)
    assert (await outside.books())["unpaid_balance_dong"] == left_dong
    assert again.status_code == 400
    assert (await outside.events())[-1] == "charge.dispute.closed"


async def test_evidence_that_is_only_drafted_waits(outside: Outside) -> None:
    dispute = await outside.disputed()
    form = {"evidence[uncategorized_text]": "winning_evidence", "submit": "false"}

    drafted = await outside.ok("POST", f"/v1/disputes/{dispute['id']}", data=form)

    assert (drafted["status"], drafted["evidence_details"]["has_evidence"]) == ("needs_response", True)
    assert drafted["evidence_details"]["submission_count"] == 0


async def test_evidence_without_a_wish_is_reviewed_until_the_bank_is_told_to_decide(outside: Outside) -> None:
    dispute = await outside.disputed()
    path = f"/v1/disputes/{dispute['id']}"
    reviewed = await outside.ok("POST", path, data={"evidence[service_date]": "2026-03-01"})
    won = await outside.ok("POST", f"/_sandbox/disputes/{dispute['id']}/resolve", json={"succeeds": True})
    still = await outside.ok("POST", f"/_sandbox/disputes/{dispute['id']}/resolve", json={"succeeds": False})

    assert (reviewed["status"], won["status"], still["status"]) == ("under_review", "won", "won")
    assert [each["net"] for each in won["balance_transactions"]] == [-250_000, 250_000]


async def test_a_dispute_left_alone_is_lost_when_its_time_is_over(outside: Outside) -> None:
    dispute = await outside.disputed()

    await outside.pass_time(7 * 86_400 + 1)

    found = await outside.ok("GET", f"/v1/disputes/{dispute['id']}")
    assert (found["status"], found["evidence_details"]["due_by"]) == ("lost", None)


async def test_an_inquiry_moves_no_money(outside: Outside) -> None:
    dispute = await outside.disputed("pm_card_createDisputeInquiry")
    closed = await outside.ok("POST", f"/v1/disputes/{dispute['id']}/close")

    assert (dispute["status"], dispute["balance_transactions"]) == ("warning_needs_response", [])
    assert closed["status"] == "warning_closed"
    assert (await outside.books())["disputes_dong"] == 0


async def test_what_has_been_charged_back_cannot_be_refunded_as_well(outside: Outside) -> None:
    dispute = await outside.disputed()
    refused = await outside.http.post("/v1/refunds", data={"charge": dispute["charge"]})
    await outside.ok("POST", f"/_sandbox/disputes/{dispute['id']}/resolve", json={"succeeds": True})
    given = await outside.http.post("/v1/refunds", data={"charge": dispute["charge"]})

    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "charge_disputed")
    assert given.status_code == 200


async def test_only_what_was_not_given_back_is_disputed(outside: Outside) -> None:
    intent = await outside.charged()
    await outside.ok("POST", "/v1/refunds", data={"payment_intent": intent["id"], "amount": "40000"})

    dispute = await outside.ok(
        "POST", f"/_sandbox/charges/{intent['latest_charge']}/dispute", json={"reason": "general"}
    )
    twice = await outside.http.post(f"/_sandbox/charges/{intent['latest_charge']}/dispute")

    assert (dispute["amount"], dispute["reason"]) == (110_000, "general")
    assert twice.status_code == 400


async def test_the_balance_is_paid_out_every_day_at_its_time(outside: Outside) -> None:
    await outside.charged()
    await outside.pass_time(8 * 3_600)  # 17:00
    before = (await outside.ok("GET", "/v1/payouts"))["data"]
    await outside.pass_time(1_801)
    (first,) = (await outside.ok("GET", "/v1/payouts"))["data"]
    await outside.pass_time(61)
    await outside.charged()
    await outside.pass_time(24 * 3_600)
    second, paid = (await outside.ok("GET", "/v1/payouts"))["data"]

    assert before == []
    assert (first["amount"], first["status"], paid["status"]) == (150_000 - FEE_DONG, "in_transit", "paid")
    assert second["amount"] == first["amount"]
    assert datetime.fromtimestamp(second["created"], VIETNAM).strftime("%H:%M") >= "17:30"
    await outside.books()


async def test_a_restart_keeps_one_daily_payout_even_when_its_time_has_passed(tmp_path: Path, moment: Moment) -> None:
    settings = Settings(key=KEY, webhook_secret="whsec_x", payout_daily_at="17:30")
    for _ in range(3):
        app = create_app(settings, tmp_path / "gateway.sqlite", clock=moment)
        moment.now += 8 * 3_600
    rows = app.state.timers.account.state.rows("SELECT due_at FROM timers WHERE action = 'payout.daily'")

    (row,) = rows
    assert datetime.fromtimestamp(row["due_at"], VIETNAM).isoformat() == "2026-03-03T17:30:00+07:00"


def test_a_seed_makes_identifiers_repeatable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sandbox.gateway import account  # noqa: PLC0415 — its source of chance is put back afterwards

    monkeypatch.setattr(account._Chance, "source", account._Chance.source)
    state = open_state(tmp_path / "gateway.sqlite")
    seed_identifiers("a", state)
    first = [new_id("pi") for _ in range(3)]
    seed_identifiers("a", state)
    again = [new_id("pi") for _ in range(3)]
    seed_identifiers("b", state)

    assert first == again
    assert len(set(first)) == 3
    assert new_id("pi") != first[0]
