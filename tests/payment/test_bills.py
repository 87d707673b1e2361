"""Opening bills: once a reference, nothing owed is paid at once, and the books follow."""

import asyncio
from datetime import UTC, datetime, timedelta

from kit.web import LOCAL_ZONE
from tests.payment.conftest import World, bill_of, line_of


async def test_opening_a_bill_posts_what_is_owed_to_whom(world: World) -> None:
    lines = [line_of(180_000, 1, budget=20_000), line_of(30_000, 2, kind="postage")]

    payment = await world.bill(lines=lines)

    assert payment["status"] == "open"
    assert (payment["due_dong"], payment["budget_dong"], payment["paid_dong"]) == (210_000, 20_000, 0)
    assert payment["refundable_dong"] == 0
    assert payment["receipt_number"] is None
    assert [line["shares"] for line in payment["lines"]] == [line["shares"] for line in lines]
    assert await world.balances() == {
        "citizen_receivable": 210_000,
        "budget_receivable": 20_000,
        "fee_revenue:G01.02": -200_000,
        "postage_payable": -30_000,
    }
    assert await world.events() == ["payment.opened"]


async def test_the_same_bill_twice_is_one_bill(world: World) -> None:
    body = bill_of(50_000)

    first = await world.call("POST", "/v1/payments", body)
    second = await world.call("POST", "/v1/payments", body)

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert await world.balances() == {"citizen_receivable": 50_000, "fee_revenue:G01.02": -50_000}


async def test_two_requests_at_once_open_one_bill(world: World) -> None:
    body = bill_of(50_000)

    answers = await asyncio.gather(*(world.call("POST", "/v1/payments", body) for _ in range(4)))

    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await world.events() == ["payment.opened"]


async def test_another_bill_under_the_same_reference_is_refused_and_names_the_differences(world: World) -> None:
    body = bill_of(50_000)
    first = await world.ok("POST", "/v1/payments", body)

    answer = await world.call("POST", "/v1/payments", {**body, "quote_id": "qte_other", "lines": [line_of(60_000)]})

    assert answer.status_code == 409
    assert answer.json()["type"] == "/problems/bill-reference-used"
    assert answer.json()["differences"] == ["lines", "quote_id"]
    assert answer.json()["payment_id"] == first["id"]
    assert await world.balances() == {"citizen_receivable": 50_000, "fee_revenue:G01.02": -50_000}


async def test_the_same_instant_in_another_offset_is_the_same_bill(world: World) -> None:
    moment = datetime.now(UTC) + timedelta(days=1)
    body = bill_of(50_000, expires_at=moment.isoformat())
    await world.ok("POST", "/v1/payments", body)

    elsewhere = moment.astimezone(tz=LOCAL_ZONE).isoformat()
    answer = await world.call("POST", "/v1/payments", {**body, "expires_at": elsewhere})

    assert answer.status_code == 200


async def test_a_bill_of_nothing_is_paid_at_once_with_a_receipt(world: World) -> None:
    payment = await world.bill(lines=[line_of(0, budget=100_000)])

    assert payment["status"] == "paid"
    assert (payment["due_dong"], payment["paid_dong"], payment["budget_dong"]) == (0, 0, 100_000)
    assert payment["receipt_number"] == "LT26-0000001"
    assert await world.events() == ["payment.opened", "payment.paid"]
    assert await world.balances() == {"budget_receivable": 100_000, "fee_revenue:G01.02": -100_000}
    listed = await world.ok("GET", "/v1/payments?method=none")
    assert [item["id"] for item in listed["items"]] == [payment["id"]]


async def test_a_bill_without_any_amount_writes_no_journal(world: World) -> None:
    payment = await world.bill(0)

    assert payment["status"] == "paid"
    assert payment["receipt_number"] is not None
    assert await world.balances() == {}


async def test_a_bill_that_has_expired_already_is_refused(world: World) -> None:
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()

    answer = await world.call("POST", "/v1/payments", bill_of(50_000, expires_at=past))

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "expires_at"
    assert await world.events() == []


async def test_bills_are_listed_newest_first_by_cursor_and_filter(world: World) -> None:
    made = [await world.bill(10_000 * number) for number in range(1, 4)]
    await world.attempt(made[1], "vietqr")

    first = await world.ok("GET", "/v1/payments?limit=2")
    second = await world.ok("GET", f"/v1/payments?limit=2&cursor={first['next_cursor']}")
    by_method = await world.ok("GET", "/v1/payments?method=vietqr")
    by_status = await world.ok("GET", "/v1/payments?status=open")
    by_code = await world.ok("GET", f"/v1/payments?dossier_code={made[0]['dossier_code']}")

    assert [p["id"] for p in first["items"] + second["items"]] == [p["id"] for p in reversed(made)]
    assert second["next_cursor"] is None
    assert [p["id"] for p in by_method["items"]] == [made[1]["id"]]
    assert [p["id"] for p in by_status["items"]] == [made[2]["id"], made[0]["id"]]
    assert [p["id"] for p in by_code["items"]] == [made[0]["id"]]


async def test_cancelling_reverses_what_is_unpaid_and_twice_is_once(world: World) -> None:
    payment = await world.bill(lines=[line_of(180_000, 1, budget=20_000), line_of(30_000, 2, kind="postage")])

    first = await world.ok("POST", f"/v1/payments/{payment['id']}/cancel", {"reason": "withdrawn"})
    second = await world.ok("POST", f"/v1/payments/{payment['id']}/cancel", {"reason": "withdrawn"})

    assert first["status"] == second["status"] == "cancelled"
    assert second["version"] == first["version"]
    assert await world.balances() == {}
    assert await world.events() == ["payment.opened", "payment.cancelled"]


async def test_a_payer_is_kept_for_the_receipt(world: World) -> None:
    body = bill_of(0)
    answer = await world.call(
        "PUT", f"/v1/payers/{body['dossier_code']}", {"name": "Nguyễn Thị Ánh", "address": "12 Lê Lợi"}
    )
    await world.ok("POST", "/v1/payments", body)

    assert answer.status_code == 200
    content = await world.database.fetchval("select content from receipt")
    assert '"payer_name": "Nguyễn Thị Ánh"' in content


async def test_totals_add_up_by_payer_and_beneficiary(world: World) -> None:
    await world.bill(lines=[line_of(180_000, 1, budget=20_000), line_of(30_000, 2, kind="postage")])
    await world.paid_by_card(50_000)

    totals = await world.ok("GET", "/v1/totals")

    assert totals == {
        "by_payer": {"citizen": 260_000, "budget:79": 20_000},
        "by_beneficiary": {"G01.02": 250_000, "VNPOST": 30_000},
        "collected_dong": 50_000,
        "refunded_dong": 0,
        "suspense_dong": 0,
        "trial_balance_dong": 0,
    }


async def test_writing_needs_its_scope(world: World) -> None:
    refused = await world.call("POST", "/v1/payments", bill_of(1_000), "payments:read")
    unread = await world.call("GET", "/v1/payments", None, "dossiers:read")

    assert (refused.status_code, unread.status_code) == (403, 403)
    assert await world.events() == []


async def test_an_unknown_payment_is_404_everywhere(world: World) -> None:
    for method, path, body in (
        ("GET", "/v1/payments/pay_none", None),
        ("GET", "/v1/payments/pay_none/qr.png", None),
        ("GET", "/v1/payments/pay_none/receipt.pdf", None),
        ("POST", "/v1/payments/pay_none/attempts", {"method": "card"}),
        ("POST", "/v1/payments/pay_none/refresh", None),
        ("POST", "/v1/payments/pay_none/cancel", {"reason": "other"}),
        ("POST", "/v1/payments/pay_none/reminders", None),
    ):
        assert (await world.call(method, path, body)).status_code == 404, path


async def test_a_reminder_is_announced_only_while_money_is_due(world: World) -> None:
    payment = await world.bill(10_000)
    await world.ok("POST", f"/v1/payments/{payment['id']}/reminders")
    await world.ok("POST", f"/v1/payments/{payment['id']}/cancel", {"reason": "other"})
    await world.ok("POST", f"/v1/payments/{payment['id']}/reminders")

    assert await world.events() == ["payment.opened", "payment.reminded", "payment.cancelled"]
