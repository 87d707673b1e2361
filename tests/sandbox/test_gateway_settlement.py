"""Refunds, payouts and the gateway's own books: every đồng that came in is somewhere."""

import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.bank.app import create_app as create_bank
from sandbox.bank.book import Settings as BankSettings
from sandbox.gateway.account import Settings
from sandbox.gateway.app import create_app
from sandbox.gateway.report import COLUMNS
from tests.sandbox.outside import Moment, Subscriber, serving

KEY = "sk_test_sandbox"


@pytest.fixture
async def gateway(tmp_path: Path, moment: Moment) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings(key=KEY, webhook_secret="whsec_x"), tmp_path / "gateway.sqlite", clock=moment)
    transport = httpx.ASGITransport(app=app)
    headers = {"authorization": f"Bearer {KEY}"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway.test", headers=headers) as client,
    ):
        yield client


async def paid(gateway: httpx.AsyncClient, amount: Any = 150_000, **parameters: Any) -> dict[str, Any]:
    wanted = {"amount": amount, "currency": "vnd", "payment_method": "pm_card_visa", "confirm": "true", **parameters}
    answer = await gateway.post("/v1/payment_intents", data=wanted)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def refunded(gateway: httpx.AsyncClient, intent: dict[str, Any], **parameters: Any) -> httpx.Response:
    return await gateway.post("/v1/refunds", data={"payment_intent": intent["id"], **parameters})


async def totals(gateway: httpx.AsyncClient) -> dict[str, Any]:
    """The gateway's books, after checking that they add up."""
    books = (await gateway.get("/_sandbox/totals")).json()
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


async def run_payout(gateway: httpx.AsyncClient, **options: Any) -> dict[str, Any]:
    return dict((await gateway.post("/_sandbox/payouts/run", json=options)).json())


async def transactions(gateway: httpx.AsyncClient, **parameters: Any) -> list[dict[str, Any]]:
    page = await gateway.get("/v1/balance_transactions", params={"limit": 100, **parameters})
    return list(page.json()["data"])


async def test_refunds_are_capped_by_what_was_captured(gateway: httpx.AsyncClient) -> None:
    intent = await paid(gateway)
    first = await refunded(gateway, intent, amount=50_000, reason="requested_by_customer", **{"metadata[r]": "1"})
    too_much = await refunded(gateway, intent, amount=100_001)
    rest = await refunded(gateway, intent)
    nothing_left = await refunded(gateway, intent, amount=1)
    charge = (await gateway.get(f"/v1/charges/{intent['latest_charge']}")).json()

    body = first.json()
    assert (body["status"], body["amount"], body["reason"]) == ("succeeded", 50_000, "requested_by_customer")
    assert (body["charge"], body["payment_intent"], body["metadata"]) == (charge["id"], intent["id"], {"r": "1"})
    assert too_much.status_code == 400
    assert too_much.json()["error"]["param"] == "amount"
    assert "(₫100,001) is greater than unrefunded amount on charge (₫100,000)" in too_much.json()["error"]["message"]
    assert rest.json()["amount"] == 100_000
    assert (nothing_left.status_code, nothing_left.json()["error"]["code"]) == (400, "charge_already_refunded")
    assert (charge["amount_refunded"], charge["refunded"]) == (150_000, True)
    moves = await transactions(gateway, type="refund")
    assert [(one["amount"], one["fee"], one["net"]) for one in moves] == [
        (-100_000, 0, -100_000),
        (-50_000, 0, -50_000),
    ]
    assert (await totals(gateway))["unpaid_balance_dong"] == -3_300
    listed = (await gateway.get("/v1/refunds", params={"payment_intent": intent["id"]})).json()["data"]
    assert [one["id"] for one in listed] == [rest.json()["id"], body["id"]]


async def test_a_released_remainder_cannot_be_refunded(gateway: httpx.AsyncClient) -> None:
    intent = await paid(gateway, capture_method="manual")
    early = await refunded(gateway, intent)
    await gateway.post(f"/v1/payment_intents/{intent['id']}/capture", data={"amount_to_capture": 100_000})

    too_much = await refunded(gateway, intent, amount=100_001)
    exact = await refunded(gateway, intent)

    assert early.json()["error"]["code"] == "payment_intent_unexpected_state"
    assert too_much.status_code == 400
    assert exact.json()["amount"] == 100_000
    assert (await totals(gateway))["refunds_dong"] == 100_000


async def test_a_pending_refund_moves_money_when_it_settles(gateway: httpx.AsyncClient) -> None:
    intent = await paid(gateway)
    refund = (await refunded(gateway, intent, **{"metadata[sandbox_refund]": "pending"})).json()
    before = await totals(gateway)
    canceled = await gateway.post(f"/v1/refunds/{refund['id']}/cancel")
    settled = await gateway.post(f"/_sandbox/refunds/{refund['id']}/settle", json={"succeeds": True})
    again = await gateway.post(f"/_sandbox/refunds/{refund['id']}/settle", json={"succeeds": True})

    assert (refund["status"], refund["balance_transaction"]) == ("pending", None)
    assert (before["refunds_dong"], before["pending_refunds_dong"]) == (0, 150_000)
    assert canceled.status_code == 400
    assert settled.json()["status"] == "succeeded"
    assert again.json() == settled.json()
    after = await totals(gateway)
    assert (after["refunds_dong"], after["pending_refunds_dong"], after["refund_count"]) == (150_000, 0, 1)


@pytest.mark.parametrize("how", ["metadata", "card"])
async def test_a_failed_refund_brings_the_money_back(gateway: httpx.AsyncClient, moment: Moment, how: str) -> None:
    card = {"payment_method": "pm_card_refundFail"} if how == "card" else {}
    intent = await paid(gateway, **card)
    wish = {"metadata[sandbox_refund]": "failed"} if how == "metadata" else {}
    refund = (await refunded(gateway, intent, **wish)).json()
    failed = (await gateway.post(f"/_sandbox/refunds/{refund['id']}/settle", json={"succeeds": False})).json()
    charge = (await gateway.get(f"/v1/charges/{intent['latest_charge']}")).json()
    types = [event["type"] for event in (await gateway.get("/v1/events")).json()["data"]]

    assert refund["status"] == "succeeded"
    assert (failed["status"], failed["failure_reason"]) == ("failed", "expired_or_canceled_card")
    back = (await gateway.get(f"/v1/balance_transactions/{failed['failure_balance_transaction']}")).json()
    assert (back["type"], back["amount"], back["source"]) == ("refund_failure", 150_000, refund["id"])
    assert (charge["amount_refunded"], charge["refunded"]) == (0, False)
    assert types[:5] == [
        "charge.refund.updated",
        "refund.updated",
        "refund.failed",
        "charge.refunded",
        "refund.created",
    ]
    books = await totals(gateway)
    assert (books["refunds_dong"], books["refund_failures_dong"]) == (150_000, 150_000)
    assert (await refunded(gateway, intent)).json()["amount"] == 150_000


async def test_a_refund_that_waits_for_the_customer_can_be_canceled(gateway: httpx.AsyncClient) -> None:
    intent = await paid(gateway)
    refund = (await refunded(gateway, intent, **{"metadata[sandbox_refund]": "requires_action"})).json()

    canceled = (await gateway.post(f"/v1/refunds/{refund['id']}/cancel")).json()

    assert (refund["status"], canceled["status"]) == ("requires_action", "canceled")
    assert (await totals(gateway))["refunds_dong"] == 0
    assert (await refunded(gateway, intent)).json()["status"] == "succeeded"


async def test_a_payout_closes_the_available_balance_and_links_its_transactions(gateway: httpx.AsyncClient) -> None:
    first, second = await paid(gateway, 150_000), await paid(gateway, 20_000)
    await refunded(gateway, first, amount=50_000)
    ran = await run_payout(gateway, hold=True)
    later = await paid(gateway, 10_000)
    payout = ran["payout"]
    linked = await transactions(gateway, payout=payout["id"])

    # 146 700 + 18 130 - 50 000
    assert (payout["amount"], ran["transactions"]) == (114_830, 3)
    assert (payout["automatic"], payout["status"], payout["reconciliation_status"]) == (
        True,
        "in_transit",
        "in_progress",
    )
    assert payout["arrival_date"] == 1_772_496_000
    assert [(one["type"], one["net"]) for one in linked] == [
        ("payout", -114_830),
        ("refund", -50_000),
        ("charge", 18_130),
        ("charge", 146_700),
    ]
    assert sum(one["net"] for one in linked) == 0
    assert linked[0]["id"] == payout["balance_transaction"]
    assert {one["source"] for one in linked} >= {first["latest_charge"], second["latest_charge"], payout["id"]}
    balance = (await gateway.get("/v1/balance")).json()
    assert balance["available"][0]["amount"] == 10_000 - 1_760
    books = await totals(gateway)
    assert (books["payouts_dong"], books["payouts_in_transit_dong"]) == (114_830, 114_830)
    assert later["status"] == "succeeded"


async def test_a_negative_day_carries_over(gateway: httpx.AsyncClient) -> None:
    intent = await paid(gateway, 100_000)
    await run_payout(gateway, hold=True)
    await refunded(gateway, intent)
    negative = await run_payout(gateway)
    empty_list = (await gateway.get("/v1/payouts")).json()["data"]
    await paid(gateway, 200_000)
    positive = await run_payout(gateway, hold=True)

    assert negative == {"payout": None, "transactions": 1, "carried_over_dong": -100_000}
    assert len(empty_list) == 1
    # 200 000 - 3 850 - 100 000
    assert (positive["payout"]["amount"], positive["transactions"]) == (96_150, 2)
    assert (await totals(gateway))["unpaid_balance_dong"] == 0
    assert (await run_payout(gateway)) == {"payout": None, "transactions": 0, "carried_over_dong": 0}


async def test_money_still_settling_is_not_paid_out(tmp_path: Path, moment: Moment) -> None:
    settings = Settings(key=KEY, webhook_secret="whsec_x", settlement_seconds=86_400)
    app = create_app(settings, tmp_path / "slow.sqlite", clock=moment)
    transport = httpx.ASGITransport(app=app)
    headers = {"authorization": f"Bearer {KEY}"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway.test", headers=headers) as gateway,
    ):
        await paid(gateway, 100_000)
        await paid(gateway, 20_000, payment_method="pm_card_bypassPending")
        balance = (await gateway.get("/v1/balance")).json()
        today = await run_payout(gateway, hold=True)
        pending = (await transactions(gateway, type="charge"))[-1]
        tomorrow = await run_payout(gateway, hold=True, as_of=int(moment.now) + 86_400)

    assert (balance["available"][0]["amount"], balance["pending"][0]["amount"]) == (18_130, 97_250)
    assert (today["payout"]["amount"], pending["status"]) == (18_130, "pending")
    assert tomorrow["payout"]["amount"] == 97_250


async def test_a_payout_that_fails_returns_to_the_balance(gateway: httpx.AsyncClient) -> None:
    await paid(gateway, 100_000)
    payout = (await run_payout(gateway, hold=True))["payout"]
    failed = (await gateway.post(f"/_sandbox/payouts/{payout['id']}/fail")).json()
    twice = await gateway.post(f"/_sandbox/payouts/{payout['id']}/fail")
    retried = await run_payout(gateway, hold=True)

    assert (failed["status"], failed["failure_code"]) == ("failed", "account_closed")
    assert twice.status_code == 400
    assert retried["payout"]["amount"] == 97_250
    books = await totals(gateway)
    assert (books["payouts_dong"], books["payout_failures_dong"]) == (194_500, 97_250)
    assert (await gateway.get("/v1/payouts", params={"status": "failed"})).json()["data"][0]["id"] == payout["id"]


async def test_the_settlement_report_sums_to_the_payout(gateway: httpx.AsyncClient) -> None:
    intent = await paid(gateway, 150_000, description="Lệ phí", **{"metadata[dossier_code]": "H01-26"})
    refund = (await refunded(gateway, intent, amount=50_000)).json()
    payout = (await run_payout(gateway, hold=True))["payout"]

    wanted = {"payout": payout["id"], "metadata": "dossier_code", "timezone": "Asia/Ho_Chi_Minh"}
    answer = await gateway.get("/_sandbox/report.csv", params=wanted)
    rows = list(csv.DictReader(io.StringIO(answer.text)))

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert list(rows[0]) == [*COLUMNS, "payment_metadata[dossier_code]"]
    assert [(row["reporting_category"], row["gross"], row["fee"], row["net"]) for row in rows] == [
        ("charge", "150000", "3300", "146700"),
        ("refund", "-50000", "0", "-50000"),
    ]
    assert sum(int(row["net"]) for row in rows) == payout["amount"] == 96_700
    assert {row["automatic_payout_id"] for row in rows} == {payout["id"]}
    assert {row["payment_intent_id"] for row in rows} == {intent["id"]}
    assert {row["payment_metadata[dossier_code]"] for row in rows} == {"H01-26"}
    assert [row["source_id"] for row in rows] == [intent["latest_charge"], refund["id"]]
    assert (rows[0]["created_utc"], rows[0]["created"]) == ("2026-03-03 02:00:00", "2026-03-03 09:00:00")
    assert rows[0]["automatic_payout_effective_at"] == "2026-03-03 00:00:00"
    assert (rows[0]["card_brand"], rows[0]["description"]) == ("visa", "Lệ phí")
    missing = await gateway.get("/_sandbox/report.csv", params={"payout": "po_nobody"})
    assert missing.status_code == 404


async def test_a_payout_reaches_the_bank_and_carries_its_reference(tmp_path: Path, subscriber: Subscriber) -> None:
    bank_settings = BankSettings(bin="970415", account="113366668888", holder="SO TU PHAP")
    async with serving(create_bank(bank_settings, tmp_path / "bank.sqlite")) as bank_url:
        settings = Settings(
            key=KEY,
            webhook_secret="whsec_x",
            webhook_url=f"{subscriber.url}/webhooks/gateway",
            bank_url=bank_url,
            payout_arrival_seconds=0.0,
        )
        app = create_app(settings, tmp_path / "gateway.sqlite")
        async with serving(app) as url, httpx.AsyncClient(base_url=url) as gateway:
            gateway.headers["authorization"] = f"Bearer {KEY}"
            await paid(gateway, 100_000)
            payout = (await run_payout(gateway))["payout"]
            event = (await subscriber.events("payout.paid"))[0]
            again = (await gateway.post(f"/_sandbox/payouts/{payout['id']}/arrive")).json()
        async with httpx.AsyncClient(base_url=bank_url) as bank:
            reference = event["data"]["object"]["trace_id"]["value"]
            entry = (await bank.get(f"/transfers/{reference}")).json()
            balance = (await bank.get("/balance")).json()

    assert event["data"]["object"]["id"] == payout["id"]
    assert event["data"]["object"]["status"] == again["status"] == "paid"
    assert event["data"]["object"]["reconciliation_status"] == "completed"
    assert (entry["kind"], entry["amount_dong"]) == ("payout", 97_250)
    assert entry["end_to_end_reference"] == payout["id"]
    assert entry["content"] == f"STRIPE PAYOUT LIEN THONG {payout['id'].replace('_', '').upper()}"
    assert balance["balance_dong"] == 97_250
