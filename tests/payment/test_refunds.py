"""Refunds: asked by one, decided by another, never more than came in, and back the way the money came."""

import asyncio

import httpx
import pytest

from tests.payment.conftest import World, line_of


async def _ask(world: World, payment: dict[str, object], amount: int, **fields: object) -> httpx.Response:
    wish = {"request_key": f"key-{amount}", "reason": "refused", "source": "bill", "amount_dong": amount, **fields}
    return await world.call("POST", f"/v1/payments/{payment['id']}/refunds", wish, subject="ke-toan")


async def test_a_card_refund_goes_back_to_the_card(world: World) -> None:
    payment = await world.paid_by_card(115_000)

    refund = await world.refund(payment, 115_000)
    found = await world.read(payment)

    assert (refund["status"], refund["route"], refund["decided_by"]) == ("succeeded", "gateway", "ke-toan-truong")
    assert refund["gateway_refund_id"].startswith("re_")
    assert (found["status"], found["refunded_dong"], found["refundable_dong"]) == ("refunded", 115_000, 0)
    assert await world.balances() == {}
    assert (await world.events())[-3:] == ["refund.requested", "refund.approved", "refund.succeeded"]
    told = await world.database.fetch("select data->>'request_key' as key from outbox_event where kind like 'refund.%'")
    assert len({row["key"] for row in told} - {None}) == 1
    cancelled = await world.database.fetchval("select cancelled_at is not null from receipt")
    assert cancelled is True


async def test_a_refund_limited_to_items_takes_only_their_lines(world: World) -> None:
    lines = [line_of(115_000, 1, kind="charge"), line_of(30_000, 2, kind="postage"), line_of(30_000, 3, kind="postage")]
    payment = await world.bill(lines=lines)
    await world.attempt(payment, payment_method="pm_card_visa")

    refund = await world.refund(payment, 145_000, items=["charge-1", "postage-3"])
    found = await world.read(payment)

    assert refund["status"] == "succeeded"
    assert (found["status"], found["refundable_dong"]) == ("paid", 30_000)
    assert await world.balances() == {"gateway_clearing": 30_000, "postage_payable": -30_000}
    again = await _ask(world, payment, 1_000, items=["charge-1"])
    assert (again.status_code, again.json()["refundable_dong"]) == (409, 0)


async def test_a_transfer_goes_back_to_the_payers_account(world: World) -> None:
    payment = await world.paid_by_vietqr(25_000)

    refund = await world.refund(payment, 25_000)

    assert (refund["status"], refund["route"]) == ("succeeded", "bank_transfer")
    entry = (await world.bank.get(f"/transfers/{refund['bank_order_reference']}")).json()
    assert (entry["direction"], entry["amount_dong"]) == ("debit", 25_000)
    assert (entry["counterparty_account"], entry["counterparty_bin"]) == ("0123456789", "970436")
    assert await world.balances() == {}
    assert (await world.bank.get("/balance")).json()["balance_dong"] == 0


async def test_the_requester_may_not_decide(world: World) -> None:
    payment = await world.paid_by_card(50_000)
    refund = await world.refund(payment, 50_000, approve=False)
    decision = {"decision": "approve", "proposal_hash": refund["proposal_hash"]}

    answer = await world.call("POST", f"/v1/refunds/{refund['id']}/decision", decision, subject="ke-toan")

    assert answer.status_code == 403
    assert answer.json()["type"] == "/problems/second-person-needed"
    assert (await world.ok("GET", f"/v1/refunds/{refund['id']}"))["status"] == "requested"
    with pytest.raises(Exception, match="ck_refund_second_person"):
        await world.database.execute(
            "update refund set decided_by = requested_by, status = 'approved' where id = $1", refund["id"]
        )


async def test_deciding_needs_the_hash_of_what_was_read(world: World) -> None:
    payment = await world.paid_by_card(50_000)
    refund = await world.refund(payment, 50_000, approve=False)
    decision = {"decision": "approve", "proposal_hash": "0" * 64}

    answer = await world.call("POST", f"/v1/refunds/{refund['id']}/decision", decision, subject="ke-toan-truong")

    assert answer.status_code == 412
    assert (await world.balances())["fee_revenue:G01.02"] == -50_000


async def test_deciding_needs_its_scope(world: World) -> None:
    payment = await world.paid_by_card(50_000)
    refund = await world.refund(payment, 50_000, approve=False)
    decision = {"decision": "approve", "proposal_hash": refund["proposal_hash"]}

    answer = await world.call("POST", f"/v1/refunds/{refund['id']}/decision", decision, "payments:refund", subject="x")

    assert answer.status_code == 403


async def test_a_rejected_refund_frees_its_amount(world: World) -> None:
    payment = await world.paid_by_card(50_000)
    refund = await world.refund(payment, 50_000, approve=False)
    between = await world.read(payment)
    decision = {"decision": "reject", "proposal_hash": refund["proposal_hash"], "note": "giấy tờ đã xử lý"}

    rejected = await world.ok("POST", f"/v1/refunds/{refund['id']}/decision", decision, subject="ke-toan-truong")
    found = await world.read(payment)

    assert (between["status"], between["refundable_dong"]) == ("refund_pending", 0)
    assert rejected["status"] == "rejected"
    assert (found["status"], found["refundable_dong"]) == ("paid", 50_000)
    assert (await world.events())[-1] == "refund.rejected"


async def test_deciding_twice_is_answered_alike_and_pays_once(world: World) -> None:
    payment = await world.paid_by_card(50_000)
    refund = await world.refund(payment, 50_000)
    decision = {"decision": "approve", "proposal_hash": refund["proposal_hash"]}

    again = await world.ok("POST", f"/v1/refunds/{refund['id']}/decision", decision, subject="ke-toan-truong")
    other = await world.call("POST", f"/v1/refunds/{refund['id']}/decision", decision, subject="lanh-dao")

    assert again == refund
    assert other.status_code == 409
    assert len((await world.gateway.get("/v1/refunds")).json()["data"]) == 1


async def test_more_than_was_paid_is_refused_with_what_is_left(world: World) -> None:
    payment = await world.paid_by_card(50_000)

    answer = await _ask(world, payment, 50_001)

    assert answer.status_code == 409
    assert answer.json()["type"] == "/problems/refund-too-large"
    assert answer.json()["refundable_dong"] == 50_000


async def test_a_stale_view_of_what_is_refundable_is_412(world: World) -> None:
    payment = await world.paid_by_card(50_000)
    await world.refund(payment, 20_000, approve=False)

    answer = await _ask(world, payment, 20_000, expected_refundable_dong=50_000)

    assert answer.status_code == 412
    assert answer.json()["refundable_dong"] == 30_000
    assert (await world.ok("GET", "/v1/refunds?status=requested"))["items"].__len__() == 1


async def test_two_refunds_at_once_never_exceed_what_came_in(world: World) -> None:
    payment = await world.paid_by_card(100_000)
    path = f"/v1/payments/{payment['id']}/refunds"
    wishes = [
        {"request_key": f"race-{n}", "reason": "refused", "source": "bill", "amount_dong": 60_000} for n in range(4)
    ]

    answers = await asyncio.gather(*(world.call("POST", path, wish, subject="ke-toan") for wish in wishes))

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert (await world.read(payment))["refundable_dong"] == 40_000


async def test_the_database_refuses_refunds_beyond_what_came_in(world: World) -> None:
    payment = await world.paid_by_card(100_000)
    await world.refund(payment, 60_000, approve=False)

    with pytest.raises(Exception, match="exceed the 100000"):
        await world.database.execute(
            "insert into refund select 'rfd_x', 'x', payment_id, source, reason, 60000, items, status, route,"
            " proposal_hash, requested_by, requested_at, decided_by, decided_at, note, last_error, check_count,"
            " next_check_at, finished_at from refund"
        )


async def test_the_same_request_key_is_one_refund(world: World) -> None:
    payment = await world.paid_by_card(100_000)

    first = await _ask(world, payment, 40_000)
    second = await _ask(world, payment, 40_000)
    other = await world.call(
        "POST",
        f"/v1/payments/{payment['id']}/refunds",
        {"request_key": "key-40000", "reason": "refused", "source": "bill", "amount_dong": 41_000},
        subject="ke-toan",
    )

    assert (first.status_code, second.status_code, other.status_code) == (201, 200, 409)
    assert first.json()["id"] == second.json()["id"]
    assert other.json()["refund_id"] == first.json()["id"]


async def test_two_equal_partial_refunds_are_two(world: World) -> None:
    payment = await world.paid_by_card(100_000)

    await world.refund(payment, 30_000)
    await world.refund(payment, 30_000)

    assert (await world.read(payment))["refunded_dong"] == 60_000
    assert [r["amount"] for r in (await world.gateway.get("/v1/refunds")).json()["data"]] == [30_000, 30_000]


async def test_held_excess_goes_back_the_way_it_came(world: World) -> None:
    payment = await world.bill(245_000)
    attempt = await world.attempt(payment, "vietqr")
    await world.transfer(attempt["qr_payload"], 255_000)

    refund = await world.refund(payment, 10_000, source="excess", reason="overpaid")
    found = await world.read(payment)

    assert (refund["status"], refund["route"], refund["source"]) == ("succeeded", "bank_transfer", "excess")
    assert (found["status"], found["excess_dong"], found["refunded_dong"]) == ("paid", 0, 0)
    assert await world.balances() == {"bank_clearing": 245_000, "fee_revenue:G01.02": -245_000}
    nothing = await _ask(world, payment, 1, source="excess")
    assert nothing.status_code == 409


async def test_excess_after_an_expired_bill_is_returned_whole(world: World) -> None:
    payment = await world.bill(170_000)
    attempt = await world.attempt(payment, "vietqr")
    await world.pass_time(payment, bill=True)
    await world.sweep()
    await world.transfer(attempt["qr_payload"])

    await world.refund(payment, 170_000, source="excess", reason="paid_late")
    found = await world.read(payment)

    assert (found["status"], found["excess_dong"]) == ("expired", 0)
    assert await world.balances() == {}


async def test_cash_is_given_back_by_voucher_and_settled(world: World) -> None:
    payment = await world.bill(75_000)
    cash = {
        "event_id": "cod-1",
        "amount_dong": 75_000,
        "collected_at": "2026-11-21T03:00:00Z",
        "collector": "buu-ta-1",
        "place": "courier",
    }
    await world.ok("POST", f"/v1/payments/{payment['id']}/cash", cash)
    refund = await world.refund(payment, 75_000)
    path = f"/v1/refunds/{refund['id']}/settle"

    settled = await world.ok("POST", path, {"event_id": "kb-1", "reference": "UNC-2026-001"}, subject="kho-bac")
    again = await world.ok("POST", path, {"event_id": "kb-1", "reference": "UNC-2026-001"}, subject="kho-bac")
    differs = await world.call("POST", path, {"event_id": "kb-1", "reference": "UNC-2026-002"}, subject="kho-bac")
    over = await world.call("POST", path, {"event_id": "kb-2", "reference": "UNC-2026-003"}, subject="kho-bac")

    assert (refund["status"], refund["route"]) == ("processing", "treasury_voucher")
    assert (settled["status"], settled["bank_order_reference"]) == ("succeeded", "UNC-2026-001")
    assert again == settled
    assert (differs.status_code, over.status_code) == (409, 409)
    assert await world.balances() == {"courier_cash": 75_000, "bank_clearing": -75_000}


async def test_a_bill_paid_twice_in_parts_goes_back_along_both_ways(world: World) -> None:
    payment = await world.bill(100_000)
    attempt = await world.attempt(payment, "vietqr")
    await world.transfer(attempt["qr_payload"], 60_000)
    await world.attempt(payment, payment_method="pm_card_visa")

    refund = await world.refund(payment, 100_000)

    assert refund["status"] == "succeeded"
    assert refund["gateway_refund_id"] is not None
    assert refund["bank_order_reference"] is not None
    assert [r["amount"] for r in (await world.gateway.get("/v1/refunds")).json()["data"]] == [40_000]
    assert await world.balances() == {}


async def test_a_part_paid_bill_still_open_has_to_be_cancelled_first(world: World) -> None:
    payment = await world.bill(100_000)
    attempt = await world.attempt(payment, "vietqr")
    await world.transfer(attempt["qr_payload"], 60_000)

    early = await _ask(world, payment, 60_000)
    await world.ok("POST", f"/v1/payments/{payment['id']}/cancel", {"reason": "withdrawn"})
    await world.refund(payment, 60_000)
    found = await world.read(payment)

    assert early.status_code == 409
    assert (found["status"], found["refunded_dong"]) == ("refunded", 60_000)
    assert await world.balances() == {}


async def test_a_pending_card_refund_finishes_by_news(world: World) -> None:
    payment = await world.paid_by_card(50_000, card="pm_card_pendingRefund")

    refund = await world.refund(payment, 50_000)
    await world.gateway.post(f"/_sandbox/refunds/{refund['gateway_refund_id']}/settle", json={"succeeds": True})
    await world.deliver_gateway_news()
    found = await world.ok("GET", f"/v1/refunds/{refund['id']}")

    assert refund["status"] == "processing"
    assert found["status"] == "succeeded"
    assert (await world.read(payment))["status"] == "refunded"
    assert await world.balances() == {}


async def test_a_pending_card_refund_finishes_by_asking(world: World) -> None:
    payment = await world.paid_by_card(50_000, card="pm_card_pendingRefund")
    refund = await world.refund(payment, 50_000)
    await world.gateway.post(f"/_sandbox/refunds/{refund['gateway_refund_id']}/settle", json={"succeeds": True})

    await world.make_due()
    await world.sweep()

    assert (await world.ok("GET", f"/v1/refunds/{refund['id']}"))["status"] == "succeeded"


async def test_a_card_refund_that_fails_leaves_the_money_refundable(world: World) -> None:
    payment = await world.paid_by_card(50_000, card="pm_card_pendingRefund")
    refund = await world.refund(payment, 50_000)

    await world.gateway.post(f"/_sandbox/refunds/{refund['gateway_refund_id']}/settle", json={"succeeds": False})
    await world.deliver_gateway_news()
    found = await world.read(payment)

    assert (await world.ok("GET", f"/v1/refunds/{refund['id']}"))["status"] == "failed"
    assert (found["status"], found["refundable_dong"]) == ("paid", 50_000)
    assert await world.balances() == {"gateway_clearing": 50_000, "fee_revenue:G01.02": -50_000}
    assert (await world.events())[-1] == "refund.failed"
    retried = await world.refund(payment, 50_000, approve=False)
    assert retried["status"] == "requested"


async def test_a_refund_taken_back_after_success_is_failed_and_refundable_again(world: World) -> None:
    payment = await world.paid_by_card(50_000, card="pm_card_refundFail")
    refund = await world.refund(payment, 50_000)
    assert refund["status"] == "succeeded"

    await world.gateway.post(f"/_sandbox/refunds/{refund['gateway_refund_id']}/settle", json={"succeeds": False})
    await world.deliver_gateway_news()
    found = await world.read(payment)

    assert (await world.ok("GET", f"/v1/refunds/{refund['id']}"))["status"] == "failed"
    assert (found["status"], found["refunded_dong"], found["refundable_dong"]) == ("paid", 0, 50_000)
    assert await world.balances() == {"gateway_clearing": 50_000, "fee_revenue:G01.02": -50_000}


def _drop(ending: str):  # type: ignore[no-untyped-def]
    def after(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        if request.method == "POST" and request.url.path.endswith(ending):
            raise httpx.ReadTimeout("no answer", request=request)
        return answer

    return after


@pytest.mark.parametrize("ending", ["/refunds", "/orders"])
async def test_a_refund_whose_answer_is_lost_is_finished_once(world: World, ending: str) -> None:
    card = ending == "/refunds"
    payment = await (world.paid_by_card(50_000) if card else world.paid_by_vietqr(50_000))
    world.line.after = _drop(ending)

    refund = await world.refund(payment, 50_000)
    world.line.after = None
    await world.make_due()
    await world.sweep()

    assert refund["status"] == "processing"
    assert (await world.ok("GET", f"/v1/refunds/{refund['id']}"))["status"] == "succeeded"
    assert await world.balances() == {}
    sent = len((await world.gateway.get("/v1/refunds")).json()["data"])
    sent += (await world.bank.get("/_sandbox/totals")).json()["orders_dong"] // 50_000
    assert sent == 1


async def test_a_refund_whose_process_died_after_approval_is_finished(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = await world.paid_by_card(50_000)
    refund = await world.refund(payment, 50_000, approve=False)
    decision = {"decision": "approve", "proposal_hash": refund["proposal_hash"]}

    async def dies(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr("services.payment.operations.refund_routes._send_to_gateway", dies)
        with pytest.raises(asyncio.CancelledError):
            await world.call("POST", f"/v1/refunds/{refund['id']}/decision", decision, subject="ke-toan-truong")
    between = await world.ok("GET", f"/v1/refunds/{refund['id']}")
    await world.make_due()
    await world.sweep()

    assert between["status"] == "approved"
    assert (await world.ok("GET", f"/v1/refunds/{refund['id']}"))["status"] == "succeeded"


async def test_a_bank_without_money_is_tried_again(world: World) -> None:
    payment = await world.paid_by_vietqr(50_000)
    world.line.before = lambda request: (
        httpx.Response(409, json={"code": "insufficient_funds"}, request=request)
        if request.url.path == "/orders"
        else None
    )

    refund = await world.refund(payment, 50_000)
    world.line.before = None
    await world.make_due()
    await world.sweep()

    assert refund["status"] == "processing"
    assert (await world.ok("GET", f"/v1/refunds/{refund['id']}"))["status"] == "succeeded"


async def test_a_bank_that_refuses_the_beneficiary_fails_the_refund(world: World) -> None:
    payment = await world.paid_by_vietqr(50_000)
    world.line.before = lambda request: (
        httpx.Response(422, json={"code": "beneficiary_unknown"}, request=request)
        if request.url.path == "/orders"
        else None
    )

    refund = await world.refund(payment, 50_000)
    world.line.before = None

    assert refund["status"] == "failed"
    assert (await world.read(payment))["refundable_dong"] == 50_000


async def test_refunds_are_listed_by_status(world: World) -> None:
    payment = await world.paid_by_card(50_000)
    done = await world.refund(payment, 10_000)
    waiting = await world.refund(payment, 10_000, approve=False)

    listed = (await world.ok("GET", "/v1/refunds"))["items"]
    requested = (await world.ok("GET", "/v1/refunds?status=requested"))["items"]

    assert [refund["id"] for refund in listed] == [waiting["id"], done["id"]]
    assert [refund["id"] for refund in requested] == [waiting["id"]]
    assert (await world.call("GET", "/v1/refunds/rfd_none")).status_code == 404
