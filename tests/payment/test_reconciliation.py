"""A day tied out to the đồng: gateway, bank and ledger, with what is on its way and what nobody can explain."""

import itertools
import json
from datetime import date, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from sqlmodel import col, select

from kit.web import LOCAL_ZONE
from services.payment.models import DayClose
from services.payment.operations.closing import seal_of
from tests.payment.conftest import ACCOUNT, World

_sent = itertools.count(1)
TODAY = datetime.now(LOCAL_ZONE).date()


async def statement(world: World, form: str = "camt053.xml", on: date = TODAY) -> bytes:
    """The bank's statement of a day."""
    answer = await world.bank.get(f"/statements/{on}.{form}")
    assert answer.status_code == 200, answer.text
    return answer.content


async def send(world: World, content: bytes, *scopes: str) -> Any:
    """Import a statement file as the officer's browser does."""
    key = f"statement-{next(_sent)}"
    headers = world.issuer.headers(*(scopes or ("payments:reconcile",)), key=key)
    return await world.client.post("/v1/statements", files={"file": ("s.xml", content)}, headers=headers)


async def reconcile(world: World, on: date = TODAY) -> dict[str, Any]:
    """Run a day."""
    body = {"business_date": on.isoformat()}
    return await world.ok("POST", "/v1/reconciliations", body)  # type: ignore[no-any-return]


async def open_breaks(world: World) -> list[dict[str, Any]]:
    """What is to be explained."""
    return (await world.ok("GET", "/v1/breaks?status=open"))["items"]  # type: ignore[no-any-return]


async def pay_out(world: World, *, arrive: bool = True, amount: int | None = None) -> dict[str, Any]:
    """The gateway closes its balance into a payout and the bank receives it."""
    payout = (await world.gateway.post("/_sandbox/payouts/run", json={"hold": True})).json()["payout"]
    if arrive:
        body = {"amount_dong": amount or payout["amount"], "reference": payout["id"], "descriptor": "LIEN THONG"}
        entry = (await world.bank.post("/payouts", json=body)).json()
        await world.notify(entry)
        await world.gateway.post(f"/_sandbox/payouts/{payout['id']}/arrive")
    return payout  # type: ignore[no-any-return]


def row(found: dict[str, Any], flow: str) -> tuple[int, int, int, int, int]:
    """(source, bank, ledger, timing, difference) of one flow."""
    line = next(line for line in found["rows"] if line["flow"] == flow)
    return (
        line["source_dong"],
        line["bank_dong"],
        line["ledger_dong"],
        line["timing_dong"],
        line["difference_dong"],
    )


async def a_whole_day(world: World) -> int:
    """Cards, transfers, cash, refunds both ways; the net of the payout."""
    await world.paid_by_card(200_000)
    back = await world.paid_by_card(50_000)
    await world.refund(back, 50_000)
    await world.paid_by_vietqr(300_000)
    returned = await world.paid_by_vietqr(25_000)
    await world.refund(returned, 25_000)
    cod = await world.bill(75_000)
    cash = {
        "event_id": "cod-1",
        "amount_dong": 75_000,
        "collected_at": datetime.now(LOCAL_ZONE).isoformat(),
        "collector": "buu-ta-1",
        "place": "courier",
    }
    await world.ok("POST", f"/v1/payments/{cod['id']}/cash", cash)
    deposit = {
        "event_id": "dep-1",
        "reference": "BK20261121A",
        "amount_dong": 75_000,
        "collector": "buu-ta-1",
        "deposited_at": datetime.now(LOCAL_ZONE).isoformat(),
    }
    await world.ok("POST", "/v1/remittances", deposit)
    entry = (await world.bank.post("/remittances", json={"amount_dong": 75_000, "reference": "BK20261121A"})).json()
    await world.notify(entry)
    return int((await pay_out(world))["amount"])


async def test_a_whole_day_ties_out_to_zero(world: World) -> None:
    net = await a_whole_day(world)
    imported = await send(world, await statement(world))

    found = await reconcile(world)
    again = await reconcile(world)

    assert imported.status_code == 201
    assert (found["status"], found["unexplained_dong"], found["open_breaks"]) == ("balanced", 0, 0)
    assert row(found, "card") == (net, net, net, 0, 0)
    assert row(found, "vietqr") == (325_000, 325_000, 325_000, 0, 0)
    assert row(found, "post_remittance") == (75_000, 75_000, 75_000, 0, 0)
    assert row(found, "transfer_out") == (-25_000, -25_000, -25_000, 0, 0)
    assert row(found, "unidentified") == (0, 0, 0, 0, 0)
    assert found["matched_lines"] == 5
    assert found["closing_dong"] == found["ledger_bank_dong"] == net + 325_000 + 75_000 - 25_000
    assert again == found
    fees = 200_000 - net
    assert await world.balances() == {
        "bank": found["closing_dong"],
        "gateway_fee": fees,
        "fee_revenue:G01.02": -575_000,
    }
    news = await world.database.fetchval("select data from outbox_event where kind = 'statement.imported'")
    assert json.loads(news)["business_date"] == TODAY.isoformat()
    assert json.loads(news)["account"] == ACCOUNT
    assert "reconciliation.balanced" in await world.events()


async def test_csv_says_the_same_as_camt_and_counts_once(world: World) -> None:
    await a_whole_day(world)
    first = await send(world, await statement(world, "csv"))
    found = await reconcile(world)
    second = await send(world, await statement(world, "camt053.xml"))

    assert (first.json()["lines"], first.json()["duplicate"]) == (5, False)
    assert (second.json()["lines"], second.json()["duplicate"]) == (5, True)
    assert found["status"] == "balanced"
    assert await reconcile(world) == found
    assert await world.database.fetchval("select count(*) from statement_line") == 5


async def test_the_same_file_twice_is_a_duplicate(world: World) -> None:
    await world.paid_by_vietqr(10_000)
    content = await statement(world, "csv")

    first, second = await send(world, content), await send(world, content)

    assert (first.json()["duplicate"], second.json()["id"]) == (False, first.json()["id"])


async def test_a_statement_of_a_running_day_may_be_issued_again_with_more_lines(world: World) -> None:
    await world.paid_by_vietqr(10_000)
    await send(world, await statement(world))
    morning = await reconcile(world)
    await world.paid_by_vietqr(20_000)
    between = await reconcile(world)
    await send(world, await statement(world))
    evening = await reconcile(world)

    assert (morning["status"], morning["closing_dong"]) == ("balanced", 10_000)
    assert (between["unexplained_dong"], row(between, "vietqr")) == (0, (30_000, 10_000, 10_000, -20_000, 0))
    assert (evening["status"], evening["closing_dong"], evening["matched_lines"]) == ("balanced", 30_000, 2)


async def test_two_equal_transfers_of_a_day_are_two_lines(world: World) -> None:
    for _ in range(2):
        await world.paid_by_vietqr(10_000)
    await send(world, await statement(world))

    assert row(await reconcile(world), "vietqr") == (20_000, 20_000, 20_000, 0, 0)


async def test_a_day_without_a_statement_waits(world: World) -> None:
    await world.paid_by_vietqr(10_000)

    found = await reconcile(world)

    assert (found["status"], found["statement_imported"], found["settlement_imported"]) == ("waiting", False, True)
    assert row(found, "vietqr") == (10_000, 0, 0, -10_000, 0)


async def test_a_payout_on_its_way_is_timing(world: World) -> None:
    await world.paid_by_card(200_000)
    payout = await pay_out(world, arrive=False)
    await world.paid_by_vietqr(10_000)
    await send(world, await statement(world))

    found = await reconcile(world)

    assert (found["status"], found["unexplained_dong"]) == ("balanced", 0)
    assert row(found, "card") == (payout["amount"], 0, 0, -payout["amount"], 0)
    assert (await world.balances())["payout_in_transit"] == payout["amount"]


async def test_a_debit_nobody_knows_is_a_break_and_the_day_still_explains_itself(world: World) -> None:
    await world.paid_by_vietqr(100_000)
    order = {
        "amount_dong": 11_000,
        "beneficiary_bin": "970415",
        "beneficiary_account": "999",
        "beneficiary_name": "BANK",
        "content": "PHI QUAN LY TAI KHOAN",
    }
    await world.bank.post(
        "/orders", json=order, headers={"authorization": "Bearer bank-key", "idempotency-key": "fee-1"}
    )
    await send(world, await statement(world))

    found = await reconcile(world)
    breaks = await open_breaks(world)

    assert (found["status"], found["unexplained_dong"]) == ("breaks_open", 0)
    assert (found["open_breaks"], found["open_breaks_dong"]) == (1, -11_000)
    assert row(found, "unidentified") == (0, -11_000, -11_000, 0, -11_000)
    assert [(b["kind"], b["amount_dong"], b["flow"]) for b in breaks] == [
        ("missing_in_ledger", -11_000, "unidentified")
    ]
    assert (await world.balances())["suspense"] == 11_000


async def test_a_break_is_written_off_by_two_people_only(world: World) -> None:
    await test_a_debit_nobody_knows_is_a_break_and_the_day_still_explains_itself(world)
    (found,) = await open_breaks(world)
    path = f"/v1/breaks/{found['id']}/resolve"
    wish = {"action": "write_off", "note": "Phí quản lý tài khoản tháng 11"}

    explained = await world.call("POST", path, {"action": "explain", "note": "phí ngân hàng"}, subject="ke-toan")
    proposed = await world.ok("POST", path, wish, subject="ke-toan")
    alone = await world.ok("POST", path, {**wish, "proposal_hash": proposed["proposal_hash"]}, subject="ke-toan")
    without = await world.ok("POST", path, wish, subject="ke-toan-truong")
    other = await world.call("POST", path, {**wish, "proposal_hash": "0" * 64}, subject="ke-toan-truong")
    done = await world.ok("POST", path, {**wish, "proposal_hash": proposed["proposal_hash"]}, subject="ke-toan-truong")
    day = await reconcile(world)

    assert explained.status_code == 409
    assert [proposed["status"], alone["status"], without["status"]] == ["open"] * 3
    assert other.status_code == 412
    assert (done["status"], done["resolution"]) == ("resolved", wish["note"])
    assert (day["status"], day["unexplained_dong"]) == ("balanced", 0)
    assert await world.balances() == {"bank": 89_000, "write_off": 11_000, "fee_revenue:G01.02": -100_000}


async def test_held_money_is_assigned_to_its_bill_by_two_people(world: World) -> None:
    payment = await world.bill(180_000)
    await world.plain_transfer("nop le phi ho chieu cho con", 180_000)
    await send(world, await statement(world))
    day = await reconcile(world)
    (found,) = await open_breaks(world)
    wish = {"action": "assign", "payment_id": payment["id"], "note": "người nộp xuất trình ủy nhiệm chi"}
    path = f"/v1/breaks/{found['id']}/resolve"

    proposed = await world.ok("POST", path, wish, subject="ke-toan")
    await world.ok("POST", path, {**wish, "proposal_hash": proposed["proposal_hash"]}, subject="ke-toan-truong")
    paid = await world.read(payment)

    assert (day["status"], day["unexplained_dong"], found["kind"]) == ("breaks_open", 0, "wrong_reference")
    assert (paid["status"], paid["paid_dong"]) == ("paid", 180_000)
    assert await open_breaks(world) == []
    assert await world.balances() == {"bank": 180_000, "fee_revenue:G01.02": -180_000}
    assert (await reconcile(world))["status"] == "balanced"
    refund = await world.refund(paid, 180_000)
    assert (refund["status"], refund["route"]) == ("succeeded", "bank_transfer")


async def test_a_lost_notice_is_booked_from_the_statement(world: World) -> None:
    payment = await world.bill(150_000)
    attempt = await world.attempt(payment, "vietqr")
    entry = await world.transfer(attempt["qr_payload"], told=False)
    await send(world, await statement(world))

    found = await reconcile(world)
    late = await world.notify(entry)

    assert (await world.read(payment))["status"] == "paid"
    assert (found["status"], found["unexplained_dong"]) == ("balanced", 0)
    assert row(found, "vietqr") == (0, 150_000, 150_000, 150_000, 0)
    assert late.status_code == 200
    assert (await world.read(payment))["excess_dong"] == 0
    assert await world.balances() == {"bank": 150_000, "fee_revenue:G01.02": -150_000}


async def test_a_charge_whose_news_was_lost_is_booked_before_its_settlement(world: World) -> None:
    payment = await world.bill(20_000)
    attempt = await world.attempt(payment)
    await world.gateway.post(f"/pay/{attempt['gateway_intent_id']}", data={"action": "pay"})
    await pay_out(world)
    await send(world, await statement(world))

    found = await reconcile(world)

    assert (await world.read(payment))["status"] == "paid"
    assert (found["status"], found["open_breaks"]) == ("balanced", 0)


async def test_a_charge_that_is_not_ours_is_a_break(world: World) -> None:
    form = {"amount": "99000", "currency": "vnd", "confirm": "true", "payment_method": "pm_card_visa"}
    await world.gateway.post("/v1/payment_intents", data=form)
    await pay_out(world)
    await send(world, await statement(world))

    found = await reconcile(world)
    breaks = await open_breaks(world)

    assert [(b["kind"], b["amount_dong"], b["account"], b["flow"]) for b in breaks] == [
        ("missing_in_ledger", 99_000, "suspense", None)
    ]
    assert (found["status"], found["unexplained_dong"]) == ("breaks_open", 0)


async def test_a_payout_that_arrives_short_is_a_break_with_the_missing_amount(world: World) -> None:
    await world.paid_by_card(200_000)
    payout = (await world.gateway.post("/_sandbox/payouts/run", json={"hold": True})).json()["payout"]
    short = payout["amount"] - 500
    entry = await world.bank.post("/payouts", json={"amount_dong": short, "reference": payout["id"]})
    await world.notify(entry.json())
    await send(world, await statement(world))

    found = await reconcile(world)
    (missing,) = await open_breaks(world)

    assert row(found, "card") == (payout["amount"], short, short, 0, -500)
    assert (found["unexplained_dong"], found["open_breaks_dong"]) == (0, -500)
    assert (missing["kind"], missing["amount_dong"]) == ("amount_under", -500)
    assert (await world.balances())["payout_in_transit"] == 500


async def test_a_failed_payout_goes_back_to_the_gateway_and_comes_with_the_next(world: World) -> None:
    await world.paid_by_card(200_000)
    first = await pay_out(world, arrive=False)
    await reconcile(world)
    await world.gateway.post(f"/_sandbox/payouts/{first['id']}/fail")
    await reconcile(world)
    between = await world.balances()
    second = await pay_out(world)
    await send(world, await statement(world))

    found = await reconcile(world)

    assert between["gateway_clearing"] == first["amount"]
    assert second["amount"] == first["amount"]
    assert (found["status"], row(found, "card")) == (
        "balanced",
        (second["amount"], second["amount"], second["amount"], 0, 0),
    )


async def test_a_remittance_credited_before_it_is_recorded_is_recognised_later(world: World) -> None:
    entry = (await world.bank.post("/remittances", json={"amount_dong": 75_000, "reference": "BK20261121A"})).json()
    await world.notify(entry)
    await send(world, await statement(world))
    early = await reconcile(world)
    held = await open_breaks(world)
    deposit = {
        "event_id": "dep-1",
        "reference": "BK20261121A",
        "amount_dong": 75_000,
        "collector": "buu-ta-1",
        "deposited_at": datetime.now(LOCAL_ZONE).isoformat(),
    }
    await world.ok("POST", "/v1/remittances", deposit)

    found = await reconcile(world)

    assert (early["status"], [b["kind"] for b in held]) == ("breaks_open", ["wrong_reference"])
    assert (found["status"], await open_breaks(world)) == ("balanced", [])
    assert row(found, "post_remittance") == (75_000, 75_000, 75_000, 0, 0)
    assert await world.balances() == {"bank": 75_000, "courier_cash": -75_000}


async def test_money_long_announced_and_never_seen_becomes_a_break_and_ends_when_it_comes(world: World) -> None:
    long_ago = datetime.now(LOCAL_ZONE) - timedelta(days=5)
    deposit = {
        "event_id": "dep-1",
        "reference": "BK20261116Z",
        "amount_dong": 40_000,
        "collector": "buu-ta-1",
        "deposited_at": long_ago.isoformat(),
    }
    await world.ok("POST", "/v1/remittances", deposit)
    await world.paid_by_vietqr(10_000)
    await send(world, await statement(world))

    missing = await reconcile(world)
    breaks = await open_breaks(world)
    await world.bank.post("/remittances", json={"amount_dong": 40_000, "reference": "BK20261116Z"})
    await send(world, await statement(world))
    found = await reconcile(world)

    assert [(b["kind"], b["amount_dong"], b["flow"]) for b in breaks] == [
        ("missing_in_bank", -40_000, "post_remittance")
    ]
    assert (missing["status"], missing["unexplained_dong"]) == ("breaks_open", 0)
    assert (found["status"], found["unexplained_dong"], await open_breaks(world)) == ("balanced", 0, [])


async def test_a_file_that_does_not_add_up_is_held_back_with_a_break(world: World) -> None:
    await world.paid_by_vietqr(10_000)
    content = await statement(world)
    broken = content.replace(b'<Amt Ccy="VND">10000</Amt>', b'<Amt Ccy="VND">10001</Amt>', 1)
    assert broken != content

    held = await send(world, broken)
    found = await reconcile(world)
    breaks = await open_breaks(world)
    good = await send(world, content)

    assert (held.status_code, held.json()["quarantined"]) == (201, True)
    assert (found["status"], found["statement_imported"], found["matched_lines"]) == ("waiting", False, 0)
    assert [b["kind"] for b in breaks] == ["statement_unbalanced"]
    assert good.json()["quarantined"] is False
    assert await open_breaks(world) == []
    assert (await reconcile(world))["status"] == "balanced"


@pytest.mark.parametrize(
    "content",
    [
        b"hello",
        b"<a/>",
        b"<Document>",
        b"\xff\xfe\x00",
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
        "Số tài khoản / Account No.,1\r\n".encode(),
    ],
)
async def test_what_is_no_statement_is_refused(world: World, content: bytes) -> None:
    answer = await send(world, content)

    assert answer.status_code == 422
    assert await world.database.fetchval("select count(*) from statement") == 0


async def test_a_statement_of_another_account_is_refused(world: World) -> None:
    content = (await statement(world)).replace(ACCOUNT.encode(), b"999999999999")

    answer = await send(world, content)

    assert answer.status_code == 422
    assert "999999999999" in answer.json()["detail"]


async def test_an_empty_upload_is_refused_and_importing_needs_its_scope(world: World) -> None:
    assert (await send(world, b"")).status_code == 422
    assert (await send(world, await statement(world), "payments:read")).status_code == 403


async def test_without_the_gateway_nothing_is_called_missing(world: World) -> None:
    await world.paid_by_vietqr(10_000)
    world.line.before = lambda request: httpx.Response(503, request=request)

    answer = await world.call("POST", "/v1/reconciliations", {"business_date": TODAY.isoformat()})
    world.line.before = None

    assert answer.status_code == 503
    assert (await world.ok("GET", f"/v1/reconciliations/{TODAY}"))["settlement_imported"] is False


# --- several days ----------------------------------------------------------------------------------


def camt(on: date, opening: int, lines: list[tuple[int, str, str]]) -> bytes:
    """A small camt.053 statement: (amount, bank reference, content) a line."""
    closing = opening + sum(amount for amount, _, _ in lines)

    def balance(code: str, amount: int) -> str:
        return (
            f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy='VND'>{abs(amount)}</Amt>"
            f"<CdtDbtInd>{'CRDT' if amount >= 0 else 'DBIT'}</CdtDbtInd><Dt><Dt>{on}</Dt></Dt></Bal>"
        )

    entries = "".join(
        f"<Ntry><Amt Ccy='VND'>{abs(amount)}</Amt><CdtDbtInd>{'CRDT' if amount > 0 else 'DBIT'}</CdtDbtInd>"
        f"<Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>{on}</Dt></BookgDt><ValDt><Dt>{on}</Dt></ValDt>"
        f"<AcctSvcrRef>{reference}</AcctSvcrRef><NtryDtls><TxDtls><RmtInf><Ustrd>{content}</Ustrd></RmtInf>"
        "</TxDtls></NtryDtls></Ntry>"
        for amount, reference, content in lines
    )
    return (
        "<Document xmlns='urn:iso:std:iso:20022:tech:xsd:camt.053.001.02'><BkToCstmrStmt><Stmt>"
        f"<Id>{on}</Id><Acct><Id><Othr><Id>{ACCOUNT}</Id></Othr></Id></Acct>"
        f"{balance('OPBD', opening)}{balance('CLBD', closing)}{entries}</Stmt></BkToCstmrStmt></Document>"
    ).encode()


YESTERDAY, BEFORE = TODAY - timedelta(days=1), TODAY - timedelta(days=2)


async def test_what_stood_on_the_account_before_the_books_began_is_its_opening_balance(world: World) -> None:
    await send(world, camt(YESTERDAY, 5_000_000, []))

    found = await reconcile(world, YESTERDAY)

    assert (found["status"], found["closing_dong"], found["ledger_bank_dong"]) == ("balanced", 5_000_000, 5_000_000)
    assert await world.balances() == {"bank": 5_000_000, "opening_balance": -5_000_000}


async def test_a_statement_that_does_not_follow_the_day_before_is_held_back(world: World) -> None:
    await send(world, camt(BEFORE, 1_000, []))

    gap = await send(world, camt(YESTERDAY, 1_500, []))
    earlier = await send(world, camt(BEFORE - timedelta(days=1), 900, []))
    good = await send(world, camt(YESTERDAY, 1_000, []))

    assert (gap.json()["quarantined"], earlier.json()["quarantined"]) == (True, True)
    assert good.json()["quarantined"] is False
    left = [(b["kind"], b["business_date"]) for b in await open_breaks(world)]
    assert left == [("statement_gap", (BEFORE - timedelta(days=1)).isoformat())]


async def test_a_transfer_told_today_and_booked_tomorrow_is_timing_on_both_days(world: World) -> None:
    payment = await world.bill(150_000)
    attempt = await world.attempt(payment, "vietqr")
    entry = await world.transfer(attempt["qr_payload"], told=False)
    await world.notify({**entry, "value_date": YESTERDAY.isoformat()})
    await send(world, camt(YESTERDAY, 0, []))
    await send(world, camt(TODAY, 0, [(150_000, entry["bank_reference"], entry["content"])]))

    first, second = await reconcile(world, YESTERDAY), await reconcile(world, TODAY)

    assert (first["status"], row(first, "vietqr")) == ("balanced", (150_000, 0, 0, -150_000, 0))
    assert (second["status"], row(second, "vietqr")) == ("balanced", (0, 150_000, 150_000, 150_000, 0))


# --- closing ---------------------------------------------------------------------------------------


async def close(world: World, on: date, person: str, proposal_hash: str | None = None) -> Any:
    """One person's part in closing a day."""
    return await world.call("POST", f"/v1/days/{on}/close", {"proposal_hash": proposal_hash}, subject=person)


async def test_a_day_is_closed_by_two_people_and_accepts_nothing_more(world: World) -> None:
    await world.paid_by_vietqr(10_000)
    await send(world, await statement(world))
    await reconcile(world)

    proposed = (await close(world, TODAY, "ke-toan")).json()
    alone = (await close(world, TODAY, "ke-toan", proposed["proposal_hash"])).json()
    unread = (await close(world, TODAY, "ke-toan-truong")).json()
    wrong = await close(world, TODAY, "ke-toan-truong", "0" * 64)
    closed = (await close(world, TODAY, "ke-toan-truong", proposed["proposal_hash"])).json()
    shown = await world.ok("GET", f"/v1/reconciliations/{TODAY}")

    assert (proposed["status"], proposed["proposed_by"], proposed["closed_by"]) == ("balanced", "ke-toan", [])
    assert [alone["status"], unread["status"], wrong.status_code] == ["balanced", "balanced", 412]
    assert (closed["status"], closed["closed_by"]) == ("closed", ["ke-toan", "ke-toan-truong"])
    assert len(closed["seal"]) == 64
    assert shown == closed
    with pytest.raises(asyncpg.CheckViolationError, match="is closed"):
        await world.database.execute(
            "insert into journal values ('j', 'j', 'test', null, null, now(), $1, now(), $1, 2)", TODAY
        )
    with pytest.raises(asyncpg.RestrictViolationError):
        await world.database.execute("update day_close set seal = 'x'")
    with pytest.raises(asyncpg.RestrictViolationError):
        await world.database.execute("delete from day_close")


async def test_money_after_the_close_goes_to_the_next_day_with_its_own_date(world: World) -> None:
    await world.paid_by_vietqr(10_000)
    await send(world, await statement(world))
    await reconcile(world)
    proposed = (await close(world, TODAY, "ke-toan")).json()
    await close(world, TODAY, "ke-toan-truong", proposed["proposal_hash"])

    await world.paid_by_vietqr(20_000)
    again = await reconcile(world)

    late = await world.database.fetchrow(
        "select business_date, value_date from journal where kind = 'money_received' order by id desc limit 1"
    )
    assert (late["business_date"], late["value_date"]) == (TODAY + timedelta(days=1), TODAY)
    assert (again["status"], again["closing_dong"]) == ("closed", 10_000)


async def test_a_day_that_is_not_explained_cannot_be_closed(world: World) -> None:
    await world.paid_by_vietqr(10_000)
    no_statement = await close(world, TODAY, "ke-toan")
    await send(world, await statement(world))
    not_run = await close(world, TODAY, "ke-toan")
    await world.paid_by_vietqr(20_000)
    await send(world, await statement(world))
    await world.database.execute("insert into day_run values ($1, now(), now())", TODAY)
    unexplained = await close(world, TODAY, "ke-toan")
    future = await close(world, TODAY + timedelta(days=1), "ke-toan")

    assert [a.status_code for a in (no_statement, not_run, unexplained, future)] == [409] * 4
    assert unexplained.json()["unexplained_dong"] == 30_000
    assert await world.database.fetchval("select count(*) from day_close") == 0


async def test_a_proposal_is_void_once_the_figures_move(world: World) -> None:
    await world.paid_by_vietqr(10_000)
    await send(world, await statement(world))
    await reconcile(world)
    proposed = (await close(world, TODAY, "ke-toan")).json()
    await world.bill(99_000)

    stale = await close(world, TODAY, "ke-toan-truong", proposed["proposal_hash"])
    renewed = (await close(world, TODAY, "ke-toan-truong")).json()

    assert stale.status_code == 412
    assert renewed["proposed_by"] == "ke-toan-truong"
    assert renewed["proposal_hash"] != proposed["proposal_hash"]


async def test_seals_form_a_chain_that_can_be_checked(world: World) -> None:
    for on in (BEFORE, YESTERDAY):
        await send(world, camt(on, 0, []))
        await reconcile(world, on)
        proposed = (await close(world, on, "ke-toan")).json()
        await close(world, on, "ke-toan-truong", proposed["proposal_hash"])

    async with world.till.sessions() as session:
        rows = (await session.exec(select(DayClose).order_by(col(DayClose.number)))).all()
    assert [closed.number for closed in rows] == [1, 2]
    assert [closed.previous_seal for closed in rows] == [None, rows[0].seal]
    assert [seal_of(closed) for closed in rows] == [closed.seal for closed in rows]


async def test_closing_needs_its_scope(world: World) -> None:
    answer = await world.call("POST", f"/v1/days/{TODAY}/close", {}, "payments:write")

    assert answer.status_code == 403


async def _deposit(world: World, reference: str, amount: int) -> None:
    deposit = {
        "event_id": f"dep-{reference}",
        "reference": reference,
        "amount_dong": amount,
        "collector": "buu-ta-1",
        "deposited_at": datetime.now(LOCAL_ZONE).isoformat(),
    }
    await world.ok("POST", "/v1/remittances", deposit)


async def _arrives(world: World, reference: str, amount: int) -> None:
    body = {"amount_dong": amount, "reference": reference}
    await world.notify((await world.bank.post("/remittances", json=body)).json())


async def _cash(world: World, amount: int, number: int) -> None:
    bill = await world.bill(amount)
    cash = {
        "event_id": f"cod-{number}",
        "amount_dong": amount,
        "collected_at": datetime.now(LOCAL_ZONE).isoformat(),
        "collector": "buu-ta-1",
        "place": "courier",
    }
    await world.ok("POST", f"/v1/payments/{bill['id']}/cash", cash)


async def test_a_sum_of_the_post_is_the_only_deposits_that_make_it(world: World) -> None:
    for number, amount in enumerate((75_000, 40_000, 60_000, 33_000)):
        await _cash(world, amount, number)
        await _deposit(world, f"BK2026112{number}X", amount)
    await _arrives(world, "BK20261120X", 75_000)
    await send(world, await statement(world))
    await reconcile(world)
    await world.bank.post("/remittances", json={"amount_dong": 40_000 + 33_000, "reference": "NOPTIEN"})
    await send(world, await statement(world))

    found = await reconcile(world)

    matches = await world.database.fetch(
        "select item, part, amount_dong, evidence from line_match where flow = 'post_remittance' order by amount_dong"
    )
    assert [(row["item"], row["part"], row["amount_dong"]) for row in matches] == [
        ("BK20261123X", 1, 33_000), ("BK20261121X", 0, 40_000), ("BK20261120X", 0, 75_000),
    ]  # fmt: skip
    assert row(found, "post_remittance") == (208_000, 148_000, 148_000, -60_000, 0)
    assert (found["unexplained_dong"], (await world.balances())["post_remittance"]) == (0, 60_000)


async def test_a_reference_with_one_sign_wrong_pays_the_only_bill_it_can_mean(world: World) -> None:
    payment = await world.bill(180_000)
    attempt = await world.attempt(payment, "vietqr")
    reference = attempt["reference"]
    other = "3" if reference[5] != "3" else "4"
    await world.plain_transfer(f"nop phi {reference[:5]}{other}{reference[6:]}", 180_000)
    before = await open_breaks(world)
    await send(world, await statement(world))

    found = await reconcile(world)

    assert [each["kind"] for each in before] == ["wrong_reference"]
    assert ((await world.read(payment))["status"], await open_breaks(world)) == ("paid", [])
    assert (found["status"], found["unexplained_dong"]) == ("balanced", 0)
    assert await world.balances() == {"bank": 180_000, "fee_revenue:G01.02": -180_000}
    (resolved,) = (await world.ok("GET", "/v1/breaks?status=resolved"))["items"]
    assert resolved["resolution"] == f"{reference}: one sign wrong, exact amount"


async def test_a_wrong_sign_with_another_amount_stays_with_a_person(world: World) -> None:
    payment = await world.bill(180_000)
    reference = (await world.attempt(payment, "vietqr"))["reference"]
    other = "3" if reference[5] != "3" else "4"
    await world.plain_transfer(f"nop phi {reference[:5]}{other}{reference[6:]}", 150_000)
    await send(world, await statement(world))

    await reconcile(world)

    assert (await world.read(payment))["status"] != "paid"
    assert [each["kind"] for each in await open_breaks(world)] == ["wrong_reference"]
