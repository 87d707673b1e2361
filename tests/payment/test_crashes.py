"""The service dies at every single await of the money paths; afterwards all books agree and nobody was charged twice.

Webhooks are lost unless a scenario is about them: what was interrupted is finished by the caller's repetition with the
same key and by the sweeper's questions alone.
"""

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.payment.operations import sweeper
from services.payment.operations.inbox import work_once
from services.payment.till import Till
from tests.conftest import Issuer
from tests.payment.conftest import World, bill_of
from tests.payment.crashing import Lives, lives_on
from tests.payment.gateway_books import GatewayBooks
from tests.payment.proofs import prove_the_books
from tests.payment.test_disputes import open_at_gateway

Context = dict[str, Any]


@dataclass(frozen=True)
class Scenario:
    """`prepare` sets the stage undisturbed; `act` is killed, then repeated as its caller would; `expect` is the end."""

    prepare: Callable[[World], Awaitable[Context]]
    act: Callable[[World, Context], Awaitable[Any]]
    expect: tuple[str, int, int]
    """Status of the bill at the end, the đồng charged at the gateway, and the đồng given back there."""


async def _bill(world: World) -> Context:
    return {"payment": await world.bill(115_000, 35_000)}


async def _attempt(world: World, payment: Any, key: str, **fields: Any) -> Any:
    path = f"/v1/payments/{payment['id']}/attempts"
    return await world.call("POST", path, {"method": "card", **fields}, key=key)


async def _pay(world: World, context: Context) -> None:
    payment = context["payment"]
    await _attempt(world, payment, f"pay-{payment['id']}", payment_method="pm_card_visa")


async def _nothing_yet(_: World) -> Context:
    return {"body": bill_of(90_000)}


async def _open(world: World, context: Context) -> None:
    answer = await world.call("POST", "/v1/payments", context["body"], key=f"open-{context['body']['bill_reference']}")
    context["payment"] = answer.json()


async def _hosted_and_paid(world: World) -> Context:
    """The citizen pays on the gateway's page, and no webhook tells us."""
    context = await _bill(world)
    attempt = await world.attempt(context["payment"])
    await world.gateway.post(
        f"/v1/payment_intents/{attempt['gateway_intent_id']}/confirm", data={"payment_method": "pm_card_visa"}
    )
    return context


async def _hosted_and_expired(world: World) -> Context:
    context = await _hosted_and_paid(world)
    await world.pass_time(context["payment"], bill=True)
    return context


async def _left_and_expired(world: World) -> Context:
    context = await _bill(world)
    await world.attempt(context["payment"])
    await world.pass_time(context["payment"], bill=True)
    return context


async def _sweep(world: World, _: Context) -> None:
    await sweeper.sweep_once(world.till)


async def _one_after_another(work: Any, till: Till, identities: list[str]) -> None:
    """Rows in a row instead of in tasks of their own, so that every await is the sweeper's."""
    for identity in identities:
        await work(till, identity)


async def _told_by_webhook(world: World) -> Context:
    context = await _hosted_and_paid(world)
    events = (await world.gateway.get("/v1/events", params={"type": "payment_intent.succeeded", "limit": 1})).json()
    context["event"] = events["data"][0]
    return context


async def _webhook(world: World, context: Context) -> None:
    await world.send_event(context["event"])
    await work_once(world.till)


async def _cancel(world: World, context: Context) -> None:
    payment = context["payment"]
    path = f"/v1/payments/{payment['id']}/cancel"
    await world.call("POST", path, {"reason": "withdrawn"}, key=f"cancel-{payment['id']}")


async def _unpaid_card(world: World) -> Context:
    context = await _bill(world)
    await world.attempt(context["payment"])
    return context


async def _replace(world: World, context: Context) -> None:
    payment = context["payment"]
    await _attempt(world, payment, f"again-{payment['id']}", payment_method="pm_card_visa", replace=True)


async def _refund_asked(world: World) -> Context:
    payment = await world.paid_by_card(100_000)
    return {"payment": payment, "refund": await world.refund(payment, 40_000, approve=False)}


async def _decide(world: World, context: Context) -> None:
    refund = context["refund"]
    decision = {"decision": "approve", "proposal_hash": refund["proposal_hash"]}
    path = f"/v1/refunds/{refund['id']}/decision"
    await world.call("POST", path, decision, subject="ke-toan-truong", key=f"decide-{refund['id']}")


async def _paid(world: World) -> Context:
    return {"payment": await world.paid_by_card(100_000)}


async def _ask_back(world: World, context: Context) -> None:
    payment = context["payment"]
    wish = {"request_key": f"back-{payment['id']}", "reason": "refused", "source": "bill", "amount_dong": 100_000}
    path = f"/v1/payments/{payment['id']}/refunds"
    await world.call("POST", path, wish, subject="ke-toan", key=f"ask-{payment['id']}")


async def _transfer_refund_asked(world: World) -> Context:
    payment = await world.paid_by_vietqr(60_000)
    return {"payment": payment, "refund": await world.refund(payment, 60_000, approve=False)}


async def _transferred(world: World) -> Context:
    payment = await world.bill(150_000)
    attempt = await world.attempt(payment, "vietqr")
    return {"payment": payment, "entry": await world.transfer(attempt["qr_payload"], 170_000, told=False)}


async def _told_of_transfer(world: World, context: Context) -> None:
    await world.notify(context["entry"], work=False)
    await work_once(world.till)


async def _cash(world: World, context: Context) -> None:
    payment = context["payment"]
    cash = {
        "event_id": f"cash-{payment['id']}",
        "amount_dong": 150_000,
        "collected_at": "2026-11-21T02:00:00Z",
        "collector": "BT01",
        "place": "courier",
    }
    await world.call("POST", f"/v1/payments/{payment['id']}/cash", cash, key=f"cash-{payment['id']}")


async def _disputed(world: World) -> Context:
    """A cardholder's bank takes the money back; we have not heard of it."""
    payment = await world.paid_by_card(100_000)
    dispute = await open_at_gateway(world, payment)
    events = (await world.gateway.get("/v1/events", params={"type": "charge.dispute.created", "limit": 1})).json()
    return {"payment": payment, "dispute": dispute["id"], "event": events["data"][0]}


async def _disputed_and_known(world: World) -> Context:
    context = await _disputed(world)
    await _webhook(world, context)
    return context


async def _answer(world: World, context: Context) -> None:
    body = {"text": "Hồ sơ đã trả kết quả, có chữ ký của người nộp."}
    await world.call("POST", f"/v1/disputes/{context['dispute']}/answer", body, key=f"answer-{context['dispute']}")


async def _reserved(world: World) -> Context:
    """A card's money is reserved for the bill and waits for its capture."""
    context = await _bill(world)
    context["attempt"] = await world.attempt(context["payment"], payment_method="pm_card_visa", capture="later")
    return context


async def _reserve(world: World, context: Context) -> None:
    payment = context["payment"]
    await _attempt(world, payment, f"reserve-{payment['id']}", payment_method="pm_card_visa", capture="later")


async def _capture(world: World, context: Context) -> None:
    payment, attempt = context["payment"], context["attempt"]
    path = f"/v1/payments/{payment['id']}/attempts/{attempt['id']}/capture"
    await world.call("POST", path, {"amount_dong": 100_000}, key=f"capture-{payment['id']}")


async def _reserved_and_expired(world: World) -> Context:
    context = await _reserved(world)
    await world.pass_time(context["payment"], bill=True)
    return context


SCENARIOS = {
    "open the bill": Scenario(_nothing_yet, _open, ("open", 0, 0)),
    "create and confirm": Scenario(_bill, _pay, ("paid", 150_000, 0)),
    "re-query": Scenario(_hosted_and_paid, _sweep, ("paid", 150_000, 0)),
    "expiry finds money": Scenario(_hosted_and_expired, _sweep, ("paid", 150_000, 0)),
    "expiry finds none": Scenario(_left_and_expired, _sweep, ("expired", 0, 0)),
    "webhook of the gateway": Scenario(_told_by_webhook, _webhook, ("paid", 150_000, 0)),
    "cancel while a card may pay": Scenario(_unpaid_card, _cancel, ("cancelled", 0, 0)),
    "replace an attempt": Scenario(_unpaid_card, _replace, ("paid", 150_000, 0)),
    "reserve": Scenario(_bill, _reserve, ("pending", 0, 0)),
    "capture a part": Scenario(_reserved, _capture, ("partially_paid", 100_000, 0)),
    "void": Scenario(_reserved, _cancel, ("cancelled", 0, 0)),
    "reservation expires": Scenario(_reserved_and_expired, _sweep, ("expired", 0, 0)),
    "ask for a refund": Scenario(_paid, _ask_back, ("refund_pending", 100_000, 0)),
    "approve and send a refund": Scenario(_refund_asked, _decide, ("paid", 100_000, 40_000)),
    "refund by transfer": Scenario(_transfer_refund_asked, _decide, ("refunded", 0, 0)),
    "notice of the bank": Scenario(_transferred, _told_of_transfer, ("paid", 0, 0)),
    "webhook of a dispute": Scenario(_disputed, _webhook, ("paid", 100_000, 0)),
    "answer of a dispute": Scenario(_disputed_and_known, _answer, ("paid", 100_000, 0)),
    "cash at the door": Scenario(_bill, _cash, ("paid", 0, 0)),
}


QUICK = {"open the bill", "cash at the door"}
STRIDE = int(os.environ.get("CRASH_STRIDE", "5"))
"""Awaits from one death to the next. `make crashes` takes every one, which is an hour's work for a small machine."""


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SCENARIOS]
)
async def test_whatever_await_the_service_dies_at_all_books_agree_afterwards(
    name: str, database: Callable[[str], Any], issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = SCENARIOS[name]
    monkeypatch.setattr(sweeper, "_each", _one_after_another)
    patient = {"gateway_total_seconds": 20.0}  # a busy machine must not pass for a gateway without an answer
    async with (
        asyncio.timeout(1_800),
        lives_on(await database("payment"), issuer, tmp_path, **patient) as lives,
    ):
        points = await die_everywhere(lives, scenario, tmp_path / "gateway.sqlite")
        await prove_the_books(lives.world.database)

    assert points > 10
    print(f"{name}: {points} points")


async def die_everywhere(lives: Lives, scenario: Scenario, gateway_file: Path) -> int:
    """Play a scenario once for each of its awaits, or each STRIDE-th, dying there; how many awaits there were."""
    die_at = 1 - STRIDE
    while True:
        die_at += STRIDE
        context = await scenario.prepare(lives.world)
        await lives.world.make_due()
        died = await lives.dies_in(functools.partial(scenario.act, lives.world, context), die_at=die_at)
        if died:
            await lives.world.make_due()
            await scenario.act(lives.world, context)
        await _come_to_rest(lives.world)
        await _agree(lives.world, context, scenario.expect, gateway_file, die_at=die_at)
        if scenario.expect[0] == "pending":
            await _cancel(lives.world, context)  # or the reservations left over would fill the sweeper's rounds
        if not died:
            return die_at - 1


async def _come_to_rest(world: World) -> None:
    """What happens by itself, until nothing more does."""
    before = await world.database.fetchval("select count(*) from fact")
    while True:
        await world.make_due()
        await sweeper.sweep_once(world.till)
        after = await world.database.fetchval("select count(*) from fact")
        if after == before:
            return
        before = after


async def _agree(world: World, context: Context, expect: tuple[str, int, int], file: Path, *, die_at: int) -> None:
    payment = await world.database.fetchrow("select * from payment where id = $1", context["payment"]["id"])
    status, charged, given_back = expect
    gateway = GatewayBooks(file)
    charges = [row for row in gateway.charges(payment["id"]) if row["captured"] and row["status"] == "succeeded"]
    # What a partial capture releases shows as a refund that moved nothing.
    refunds = [row for row in gateway.refunds([row["id"] for row in charges]) if row["balance_transaction"]]
    where = f"died at await {die_at}"
    assert payment["status"] == status, where
    assert [row["amount_captured"] for row in charges] == ([charged] if charged else []), where
    assert [row["amount"] for row in refunds] == ([given_back] if given_back else []), where
    took = await world.database.fetchval(
        "select coalesce(sum(amount_dong), 0) from intake where payment_id = $1 and source = 'gateway'", payment["id"]
    )
    assert took == charged, where
    assert payment["refunded_dong"] == (given_back or (60_000 if status == "refunded" else 0)), where
    cleared = await world.database.fetchval(
        "select coalesce(sum(amount_dong), 0) from entry where account = 'gateway_clearing'"
    )
    assert cleared == gateway.balance(), where
    live = await world.database.fetchval(
        "select count(*) from attempt where payment_id = $1 and status in ('created', 'unknown')", payment["id"]
    )
    assert live == 0, where
    holds = [row["status"] for row in gateway.intents(payment["id"])]
    reserved = await world.database.fetchval(
        "select count(*) from attempt where payment_id = $1 and status = 'authorised'", payment["id"]
    )
    assert holds.count("requires_capture") == reserved, where
    if "dispute" in context:
        dispute = (await world.gateway.get(f"/v1/disputes/{context['dispute']}")).json()
        known = await world.database.fetchrow("select * from dispute where id = $1", context["dispute"])
        assert known is not None, where
        assert known["status"] == dispute["status"], where
        assert dispute["evidence_details"]["submission_count"] == (1 if known["answered_at"] else 0), where
    receipts = await world.database.fetch("select serial from receipt order by serial")
    assert [row["serial"] for row in receipts] == list(range(1, len(receipts) + 1)), where
