"""Refund vouchers: prepared on approval, numbered without gaps, followed at the treasury, booked when paid."""

import asyncio
from datetime import timedelta
from typing import Any

from kit.db import now
from services.payment.till import local_date
from tests.payment.conftest import World


async def settled(world: World, amount: int = 100_000) -> Any:
    """A bill paid by card whose money the gateway has paid out to our bank."""
    payment = await world.paid_by_card(amount)
    await world.deliver_gateway_news()
    ran = await world.gateway.post("/_sandbox/payouts/run", json={"hold": True})
    assert ran.json()["payout"] is not None
    await world.ok("POST", "/v1/reconciliations", {"business_date": str(local_date(now()) + timedelta(days=10))})
    return payment


async def voucher_of(world: World, refund: Any) -> Any:
    """The last voucher of a refund."""
    found = (await world.ok("GET", "/v1/vouchers"))["items"]
    return next(row for row in found if row["refund_id"] == refund["id"])


async def move(world: World, voucher: Any, to: str, **fields: Any) -> Any:
    """What the treasury says."""
    body = {"event_id": f"{voucher['number']}-{to}", "to": to, **fields}
    return await world.call("POST", f"/v1/vouchers/{voucher['number']}/moves", body, subject="ke-toan")


async def test_money_the_gateway_has_settled_goes_back_by_a_voucher(world: World) -> None:
    payment = await settled(world)
    await world.ok("PUT", f"/v1/payers/{payment['dossier_code']}", {"name": "Trần Thị Bình"})

    refund = await world.refund(payment, 40_000)
    voucher = await voucher_of(world, refund)

    assert (refund["status"], refund["route"]) == ("processing", "treasury_voucher")
    assert (voucher["status"], voucher["amount_dong"], voucher["beneficiary"]) == ("prepared", 40_000, "Trần Thị Bình")
    assert (await world.gateway.get("/v1/refunds")).json()["data"] == []
    paper = await world.call("GET", f"/v1/vouchers/{voucher['number']}/voucher.pdf")
    assert (paper.status_code, paper.content[:5]) == (200, b"%PDF-")
    assert (await world.balances())["refund_payable"] == -40_000


async def test_a_voucher_is_sent_accepted_and_paid(world: World) -> None:
    refund = await world.refund(await settled(world), 40_000)
    voucher = await voucher_of(world, refund)

    sent = (await move(world, voucher, "sent")).json()
    accepted = (await move(world, voucher, "accepted", reference="KB-17")).json()
    paid = (await move(world, voucher, "paid", reference="KB-17-C")).json()
    again = (await move(world, voucher, "paid", reference="KB-17-C")).json()
    done = await world.ok("GET", f"/v1/refunds/{refund['id']}")

    assert [sent["status"], accepted["status"], paid["status"]] == ["sent", "accepted", "paid"]
    assert again == paid
    assert (done["status"], done["bank_order_reference"]) == ("succeeded", "KB-17-C")
    books = await world.balances()
    assert (books["bank_clearing"], "refund_payable" in books) == (-40_000, False)
    facts = [fact["kind"] for fact in (await world.read({"id": refund["payment_id"]}))["facts"]]
    assert facts[-4:] == ["voucher_sent", "voucher_accepted", "voucher_paid", "refund_succeeded"]


async def test_a_refused_voucher_is_followed_by_another(world: World) -> None:
    refund = await world.refund(await settled(world), 40_000)
    first = await voucher_of(world, refund)
    await move(world, first, "sent")

    without = await move(world, first, "refused")
    refused = (await move(world, first, "refused", reason="Sai tài khoản nhận")).json()
    made = await world.ok("POST", f"/v1/refunds/{refund['id']}/vouchers", subject="ke-toan")
    twice = await world.call("POST", f"/v1/refunds/{refund['id']}/vouchers", subject="ke-toan")

    assert without.status_code == 422
    assert (refused["status"], refused["refusal"]) == ("refused", "Sai tài khoản nhận")
    assert made["items"][0]["number"] == first["number"][:-1] + "2"
    assert twice.status_code == 409
    assert (await world.ok("GET", f"/v1/refunds/{refund['id']}"))["status"] == "processing"


async def test_a_step_that_is_not_next_is_refused_and_changes_nothing(world: World) -> None:
    refund = await world.refund(await settled(world), 40_000)
    voucher = await voucher_of(world, refund)

    early = await move(world, voucher, "accepted", reference="KB-1")
    await move(world, voucher, "sent")
    nameless = await move(world, voucher, "paid")
    future = await move(world, voucher, "paid", reference="KB-1", on="2199-01-01")

    assert (early.status_code, nameless.status_code, future.status_code) == (409, 422, 422)
    assert (await voucher_of(world, refund))["status"] == "sent"
    assert (await world.balances())["refund_payable"] == -40_000


async def test_two_payments_of_one_voucher_at_once_pay_once(world: World) -> None:
    refund = await world.refund(await settled(world), 40_000)
    voucher = await voucher_of(world, refund)
    await move(world, voucher, "sent")
    bodies = [{"event_id": f"kb-{n}", "to": "paid", "reference": f"KB-{n}"} for n in range(2)]

    answers = await asyncio.gather(
        *(world.call("POST", f"/v1/vouchers/{voucher['number']}/moves", body) for body in bodies)
    )

    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert (await world.balances())["bank_clearing"] == -40_000


async def test_a_deployment_may_still_refund_settled_money_by_the_gateway(world: World) -> None:
    payment = await settled(world)
    object.__setattr__(world.till.terms, "refund_after_settlement", "gateway")

    refund = await world.refund(payment, 40_000)

    assert (refund["status"], refund["route"]) == ("succeeded", "gateway")


async def test_an_unknown_voucher_is_404(world: World) -> None:
    assert (await world.call("GET", "/v1/vouchers/HT2026-000099")).status_code == 404
    assert (await move(world, {"number": "HT2026-000099"}, "sent")).status_code == 404
