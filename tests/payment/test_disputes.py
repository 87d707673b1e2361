"""Disputes: the books hold what a bank takes back, finance answers once, and the decision is booked once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from services.payment import rules
from services.payment.operations.disputes import pull_disputes
from services.payment.operations.inbox import work_once
from tests.payment.conftest import World

ANSWER = {"text": "Hồ sơ đã được tiếp nhận và trả kết quả, có chữ ký của người nộp."}


async def disputed(world: World, *amounts: int, inquiry: bool = False, told: bool = True) -> tuple[Any, Any]:
    """A bill paid by card whose charge the cardholder's bank disputes: the bill and the dispute at the gateway."""
    payment = await world.paid_by_card(*(amounts or (100_000,)))
    await world.deliver_gateway_news()
    dispute = await open_at_gateway(world, payment, inquiry=inquiry)
    if told:
        await world.deliver_gateway_news()
    return payment, dispute


async def open_at_gateway(world: World, payment: Any, **wish: Any) -> Any:
    """The cardholder's bank disputes the charge of a bill."""
    intent_id = next(each["gateway_intent_id"] for each in payment["attempts"] if each["status"] == "succeeded")
    intent = (await world.gateway.get(f"/v1/payment_intents/{intent_id}")).json()
    answer = await world.gateway.post(f"/_sandbox/charges/{intent['latest_charge']}/dispute", json=wish)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def decided(world: World, dispute: Any, *, won: bool) -> None:
    """The bank decides, and we are told."""
    answer = await world.gateway.post(f"/_sandbox/disputes/{dispute['id']}/resolve", json={"succeeds": won})
    assert answer.is_success, answer.text
    await world.deliver_gateway_news()


async def test_a_dispute_is_held_in_the_books_and_lowers_what_can_be_refunded(world: World) -> None:
    payment, dispute = await disputed(world)

    found = await world.read(payment)
    shown = await world.ok("GET", f"/v1/disputes/{dispute['id']}")

    assert (found["status"], found["disputed_dong"], found["refundable_dong"]) == ("paid", 100_000, 0)
    assert (shown["status"], shown["amount_dong"], shown["dossier_code"]) == (
        "needs_response",
        100_000,
        payment["dossier_code"],
    )
    assert await world.balances() == {"dispute_hold": 100_000, "fee_revenue:G01.02": -100_000}
    assert (await world.events())[-1] == "payment.disputed"


async def test_a_dispute_that_is_won_brings_the_money_back(world: World) -> None:
    payment, dispute = await disputed(world)

    await decided(world, dispute, won=True)
    found = await world.read(payment)

    assert (found["disputed_dong"], found["lost_dong"], found["refundable_dong"]) == (0, 0, 100_000)
    assert await world.balances() == {"gateway_clearing": 100_000, "fee_revenue:G01.02": -100_000}
    assert (await world.events())[-1] == "payment.dispute_won"


async def test_a_dispute_that_is_lost_is_owed_again_by_the_citizen(world: World) -> None:
    payment, dispute = await disputed(world)

    await decided(world, dispute, won=False)
    found = await world.read(payment)

    assert (found["status"], found["lost_dong"], found["refundable_dong"]) == ("paid", 100_000, 0)
    assert await world.balances() == {"citizen_receivable": 100_000, "fee_revenue:G01.02": -100_000}


async def test_news_twice_or_out_of_order_changes_nothing(world: World) -> None:
    payment, dispute = await disputed(world, told=False)
    await world.gateway.post(f"/_sandbox/disputes/{dispute['id']}/resolve", json={"succeeds": False})
    events = (await world.gateway.get("/v1/events", params={"limit": 100})).json()["data"]

    for event in [*events, *reversed(events)]:
        await world.send_event(event)
    for _ in range(3):
        await world.make_due()
        await work_once(world.till)
    facts = [fact["kind"] for fact in (await world.read(payment))["facts"]]

    assert (facts.count("dispute_opened"), facts.count("dispute_lost")) == (1, 1)
    assert await world.balances() == {"citizen_receivable": 100_000, "fee_revenue:G01.02": -100_000}


async def test_a_dispute_nobody_told_us_of_is_found_by_asking(world: World) -> None:
    payment, dispute = await disputed(world, told=False)

    assert await pull_disputes(world.till) == 1
    await world.gateway.post(f"/_sandbox/disputes/{dispute['id']}/resolve", json={"succeeds": True})
    await world.database.execute("update dispute set next_check_at = now()")
    await world.sweep()

    assert (await world.ok("GET", f"/v1/disputes/{dispute['id']}"))["status"] == "won"
    assert (await world.read(payment))["disputed_dong"] == 0


async def test_an_inquiry_moves_no_money(world: World) -> None:
    payment, dispute = await disputed(world, inquiry=True)

    found = await world.read(payment)

    assert (await world.ok("GET", f"/v1/disputes/{dispute['id']}"))["status"] == "inquiry"
    assert (found["disputed_dong"], found["refundable_dong"]) == (0, 100_000)
    assert await world.balances() == {"gateway_clearing": 100_000, "fee_revenue:G01.02": -100_000}
    await decided(world, dispute, won=False)
    assert (await world.ok("GET", f"/v1/disputes/{dispute['id']}"))["status"] == "closed"


async def test_an_answer_is_sent_once_and_kept(world: World) -> None:
    _, dispute = await disputed(world)
    path = f"/v1/disputes/{dispute['id']}/answer"

    first = await world.ok("POST", path, ANSWER, subject="ke-toan")
    again = await world.ok("POST", path, ANSWER, subject="ke-toan")
    other = await world.call("POST", path, {"text": "Một giải trình khác hẳn giải trình đã gửi."})

    at_gateway = (await world.gateway.get(f"/v1/disputes/{dispute['id']}")).json()
    assert (first["status"], first["answered_by"]) == ("under_review", "ke-toan")
    assert again == first
    assert other.status_code == 409
    assert at_gateway["evidence"]["uncategorized_text"] == ANSWER["text"]
    assert at_gateway["evidence_details"]["submission_count"] == 1


async def test_an_answer_the_gateway_did_not_take_is_sent_again_by_itself(world: World) -> None:
    _, dispute = await disputed(world)
    world.line.before = lambda call: httpx.Response(503) if call.method == "POST" else None

    kept = await world.ok("POST", f"/v1/disputes/{dispute['id']}/answer", ANSWER)
    world.line.before = None
    await world.database.execute("update dispute set next_check_at = now()")
    await world.sweep()

    assert (kept["status"], kept["evidence"]) == ("needs_response", ANSWER["text"])
    assert (await world.ok("GET", f"/v1/disputes/{dispute['id']}"))["status"] == "under_review"


async def test_nothing_is_answered_after_the_last_day(world: World) -> None:
    _, dispute = await disputed(world)
    await world.database.execute("update dispute set evidence_due_at = $1", datetime.now(UTC) - timedelta(seconds=1))

    answer = await world.call("POST", f"/v1/disputes/{dispute['id']}/answer", ANSWER)

    assert answer.status_code == 409
    assert await world.database.fetchval("select evidence from dispute") == ""


async def test_disputed_money_is_not_refunded_and_a_request_made_before_cannot_be_approved(world: World) -> None:
    payment = await world.paid_by_card(100_000)
    refund = await world.refund(payment, 60_000, approve=False)
    await world.deliver_gateway_news()
    await open_at_gateway(world, payment)
    await world.deliver_gateway_news()
    wish = {"request_key": "later", "reason": "other", "source": "bill", "amount_dong": 1_000}

    asked = await world.call("POST", f"/v1/payments/{payment['id']}/refunds", wish, subject="ke-toan")
    decision = {"decision": "approve", "proposal_hash": refund["proposal_hash"]}
    approved = await world.call("POST", f"/v1/refunds/{refund['id']}/decision", decision, subject="ke-toan-truong")

    assert (asked.status_code, asked.json()["refundable_dong"]) == (409, 0)
    assert (approved.status_code, approved.json()["type"]) == (409, "/problems/money-disputed")
    assert (await world.ok("GET", f"/v1/refunds/{refund['id']}"))["status"] == "requested"
    assert (await world.balances())["dispute_hold"] == 100_000


async def test_a_dispute_after_a_partial_refund_takes_what_is_left(world: World) -> None:
    payment = await world.paid_by_card(100_000)
    await world.refund(payment, 40_000)
    await world.deliver_gateway_news()

    dispute = await open_at_gateway(world, payment)
    await world.deliver_gateway_news()
    await decided(world, dispute, won=False)
    found = await world.read(payment)

    assert (dispute["amount"], found["lost_dong"], found["refunded_dong"]) == (60_000, 60_000, 40_000)
    assert found["refundable_dong"] == 0
    assert await world.balances() == {"citizen_receivable": 60_000, "fee_revenue:G01.02": -60_000}


async def test_an_unknown_dispute_is_404(world: World) -> None:
    assert (await world.call("GET", "/v1/disputes/du_none")).status_code == 404
    assert (await world.call("POST", "/v1/disputes/du_none/answer", ANSWER)).status_code == 404


def test_steps_lead_only_forward() -> None:
    assert rules.dispute_steps("inquiry", "lost") == ["needs_response", "lost"]
    assert rules.dispute_steps("needs_response", "under_review") == ["under_review"]
    assert rules.dispute_steps("won", "needs_response") == []
    assert rules.dispute_steps("lost", "lost") == []
