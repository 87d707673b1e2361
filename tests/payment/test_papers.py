"""Receipts that replace one another, forms by agency, XML; files of bills and of accounts."""

import asyncio
import csv
import io
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import load_workbook

from kit.money import dong_in_words
from kit.spreadsheets import harmless
from services.payment import rules
from tests.payment.conftest import World, bill_of, line_of

NS = "{urn:lienthong:receipt:1}"
WISH = {"reason": "Ghi sai họ tên", "payer_name": "Nguyễn Văn Bình"}


async def replaced(world: World, number: str, wish: Any = None, **options: Any) -> Any:
    """Cancel and replace a receipt."""
    return await world.call("POST", f"/v1/receipts/{number}/replacement", wish or WISH, subject="truong", **options)


async def test_a_wrong_receipt_is_cancelled_and_another_stands_in_its_place(world: World) -> None:
    payment = await world.paid_by_card(50_000)
    first = payment["receipt_number"]

    answer = await replaced(world, first)
    old = await world.ok("GET", f"/v1/receipts/{first}")
    found = await world.read(payment)

    new = answer.json()
    assert (answer.status_code, new["replaces"], new["payer_name"]) == (201, first, "Nguyễn Văn Bình")
    assert (new["serial"], new["amount_dong"], new["cancelled_at"]) == (2, 50_000, None)
    assert (old["cancelled_by"], old["cancel_reason"]) == ("truong", "Ghi sai họ tên")
    assert (found["receipt_number"], found["status"]) == (new["number"], "paid")


async def test_replacing_twice_at_once_replaces_once(world: World) -> None:
    payment = await world.paid_by_card(50_000)

    answers = await asyncio.gather(*(replaced(world, payment["receipt_number"]) for _ in range(2)))

    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert await world.database.fetchval("select count(*) from receipt where cancelled_at is null") == 1


async def test_a_receipt_is_replaced_only_with_a_reason_and_its_scope(world: World) -> None:
    payment = await world.paid_by_card(50_000)
    number = payment["receipt_number"]

    without = await replaced(world, number, {"reason": "sai"})
    clerk = await world.call("POST", f"/v1/receipts/{number}/replacement", WISH, "payments:write")
    none = await replaced(world, "LT26-0000099")

    assert (without.status_code, clerk.status_code, none.status_code) == (422, 403, 404)
    assert (await world.ok("GET", f"/v1/receipts/{number}"))["cancelled_at"] is None


async def test_the_database_keeps_receipts_as_they_were_issued(world: World) -> None:
    payment = await world.paid_by_card(50_000)

    for change in ("amount_dong = 1", "content = '{}'", "payment_id = payment_id, serial = 9"):
        with pytest.raises(Exception, match="does not change"):
            await world.database.execute(f"update receipt set {change}")
    with pytest.raises(Exception, match="counts by one"):
        await world.database.execute("update receipt_series set last_serial = last_serial + 2")

    assert (await world.read(payment))["receipt_number"] == "LT26-0000001"


async def test_an_agency_has_its_own_form_from_its_date_on(world: World) -> None:
    form = {
        "valid_from": "2026-01-01",
        "agency_name": "Sở Tư pháp Hà Nội",
        "parent_name": "Ủy ban nhân dân thành phố Hà Nội",
        "tax_code": "0100112437",
        "form_code": "01BLP0-001",
        "series": "STP26",
        "title": "BIÊN LAI THU LỆ PHÍ",
    }
    answer = await world.call("PUT", "/v1/receipt_forms/G01.02", form)
    again = await world.call("PUT", "/v1/receipt_forms/G01.02", form)
    other = await world.call("PUT", "/v1/receipt_forms/G01.02", form | {"series": "KHAC"})
    later = await world.call("PUT", "/v1/receipt_forms/G01.02", form | {"valid_from": "2199-01-01", "series": "SAU"})
    one = await world.bill(0)
    two = await world.bill(lines=[line_of(0, 1), line_of(0, 2, agency="H26")])

    assert [answer.status_code, again.status_code, other.status_code, later.status_code] == [204, 204, 409, 204]
    assert (one["receipt_number"], two["receipt_number"]) == ("STP26-0000001", "LT26-0000001")
    xml = ET.fromstring((await world.call("GET", f"/v1/payments/{one['id']}/receipt.xml")).content)
    assert xml.findtext(f"{NS}collectedBy/{NS}taxCode") == "0100112437"
    assert xml.findtext(f"{NS}title") == "BIÊN LAI THU LỆ PHÍ"


async def test_the_xml_says_what_the_paper_says(world: World) -> None:
    payment = await world.bill(lines=[line_of(180_000, 1, budget=20_000), line_of(30_000, 2, kind="postage")])
    await world.attempt(payment, payment_method="pm_card_visa")

    answer = await world.call("GET", f"/v1/payments/{payment['id']}/receipt.xml")

    xml = ET.fromstring(answer.content)
    assert (answer.headers["content-type"], xml.get("status")) == ("application/xml", "valid")
    assert xml.findtext(f"{NS}number") == "0000001"
    assert xml.findtext(f"{NS}total/{NS}paidByCitizen") == "210000"
    assert xml.findtext(f"{NS}total/{NS}inWords") == "Hai trăm mười nghìn đồng"
    assert [line.get("kind") for line in xml.iter(f"{NS}line")] == ["fee", "postage"]


async def test_receipts_are_found_by_number_dossier_and_name(world: World) -> None:
    payment = await world.paid_by_card(50_000)
    await replaced(world, payment["receipt_number"])
    await world.bill(0)

    async def numbers(query: str) -> list[str]:
        return [row["number"] for row in (await world.ok("GET", f"/v1/receipts?{query}"))["items"]]

    assert await numbers("") == ["LT26-0000003", "LT26-0000002", "LT26-0000001"]
    assert await numbers("q=lt26-0000002") == ["LT26-0000002"]
    assert await numbers(f"q={payment['dossier_code']}") == ["LT26-0000002", "LT26-0000001"]
    assert await numbers("q=nguyễn văn") == ["LT26-0000002"]
    assert await numbers("state=cancelled") == ["LT26-0000001"]


@pytest.mark.parametrize(
    ("dong", "words"),
    [
        (0, "Không đồng"),
        (1, "Một đồng"),
        (5, "Năm đồng"),
        (10, "Mười đồng"),
        (11, "Mười một đồng"),
        (15, "Mười lăm đồng"),
        (21, "Hai mươi mốt đồng"),
        (24, "Hai mươi tư đồng"),
        (25, "Hai mươi lăm đồng"),
        (101, "Một trăm lẻ một đồng"),
        (105, "Một trăm lẻ năm đồng"),
        (115, "Một trăm mười lăm đồng"),
        (1_005, "Một nghìn không trăm lẻ năm đồng"),
        (100_000, "Một trăm nghìn đồng"),
        (1_000_001, "Một triệu không trăm lẻ một đồng"),
        (2_021_000, "Hai triệu không trăm hai mươi mốt nghìn đồng"),
        (1_000_000_000, "Một tỷ đồng"),
        (1_000_000_005, "Một tỷ không trăm lẻ năm đồng"),
        (25_000_000_000, "Hai mươi lăm tỷ đồng"),
        (999_999_999_999, None),
        (1_000_000_000_000, "Một nghìn tỷ đồng"),
    ],
)
def test_amounts_are_written_as_they_are_spoken(dong: int, words: str | None) -> None:
    spoken = dong_in_words(dong)

    assert words is None or spoken == words
    assert spoken.endswith(" đồng")
    assert "  " not in spoken


# --- files -----------------------------------------------------------------------------------------


async def test_bills_leave_as_csv_and_excel_with_what_the_filter_finds(world: World) -> None:
    payment = await world.paid_by_card(100_000, procedure="=HYPERLINK(1)")
    await world.bill(1)

    answer = await world.call("GET", "/v1/payments.csv?status=paid")
    sheet = await world.call("GET", "/v1/payments.xlsx?status=paid")

    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert answer.content.startswith(b"\xef\xbb\xbf")
    assert [(row["Mã hồ sơ"], row["Đã nộp"], row["Thủ tục"]) for row in rows] == [
        (payment["dossier_code"], "100000", "'=HYPERLINK(1)")
    ]
    table = list(load_workbook(io.BytesIO(sheet.content)).active.iter_rows(values_only=True))  # type: ignore[union-attr]
    assert len(table) == 2
    assert (table[1][0], table[1][8]) == (payment["dossier_code"], 100_000)


async def test_every_bill_is_in_the_file_once_however_many_there_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.payment.queries.lists._BATCH", 2)
    codes = [(await world.bill(1_000 + n))["dossier_code"] for n in range(5)]

    answer = await world.call("GET", "/v1/payments.csv")

    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [row["Mã hồ sơ"] for row in rows] == codes


@given(st.text())
def test_no_text_becomes_a_formula(text: str) -> None:
    written = harmless(text)

    assert not written.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert not written.lstrip().startswith(("=", "+", "-", "@"))


async def test_an_agency_sees_every_movement_with_its_balance(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.payment.queries.accounts._BATCH", 2)
    paid = await world.paid_by_card(100_000)
    await world.bill(40_000)
    await world.bill(lines=[line_of(7_000, 1, agency="H26")])
    await world.refund(paid, 30_000)

    found = await world.ok("GET", "/v1/agencies/G01.02/statement")
    file = await world.call("GET", "/v1/agencies/G01.02/statement.csv")
    none = await world.call("GET", "/v1/agencies/H99/statement")

    assert (found["opening_dong"], found["credit_dong"], found["debit_dong"], found["closing_dong"]) == (
        0,
        140_000,
        30_000,
        110_000,
    )
    assert [row["balance_dong"] for row in found["movements"]] == [100_000, 140_000, 110_000]
    rows = list(csv.DictReader(io.StringIO(file.content.decode("utf-8-sig"))))
    assert [row["Số dư"] for row in rows] == ["0", "100000", "140000", "110000", "110000"]
    assert none.status_code == 404


async def test_balances_are_known_as_of_any_moment(world: World) -> None:
    first = await world.bill(50_000)
    moment = await world.database.fetchval("select max(posted_at) from journal")
    await world.attempt(first, payment_method="pm_card_visa")

    then = await world.ok("GET", f"/v1/ledger?at={moment.isoformat().replace('+', '%2B')}")
    now = await world.ok("GET", "/v1/ledger")

    assert {row["account"]: row["balance_dong"] for row in then["accounts"]} == {
        "citizen_receivable": 50_000,
        "fee_revenue:G01.02": -50_000,
    }
    assert {row["account"]: row["balance_dong"] for row in now["accounts"] if row["balance_dong"]} == {
        "gateway_clearing": 50_000,
        "fee_revenue:G01.02": -50_000,
    }
    assert (then["sum_dong"], now["sum_dong"]) == (0, 0)


# --- what is done with money -----------------------------------------------------------------------


def test_money_is_never_refused_and_always_named() -> None:
    open_bill = rules.Standing(due_dong=100)
    paid = rules.Standing(due_dong=100, paid_dong=100)
    ended = rules.Standing(due_dong=100, ended="expired")

    assert rules.policy_for(open_bill, 100, came_before=False) == "applied"
    assert rules.policy_for(open_bill, 60, came_before=False) == "underpaid"
    assert rules.policy_for(open_bill, 130, came_before=False) == "overpaid"
    assert rules.policy_for(paid, 100, came_before=True) == "paid_twice"
    assert rules.policy_for(ended, 100, came_before=False) == "paid_late"


async def test_each_arrival_says_what_was_done_with_it(world: World) -> None:
    payment = await world.bill(100_000)
    attempt = await world.attempt(payment, "vietqr")
    await world.transfer(attempt["qr_payload"], 60_000)
    await world.transfer(attempt["qr_payload"], 50_000)
    await world.transfer(attempt["qr_payload"], 20_000)

    arrivals = (await world.read(payment))["arrivals"]

    assert [(row["policy"], row["applied_dong"], row["held_dong"]) for row in arrivals] == [
        ("underpaid", 60_000, 0),
        ("overpaid", 40_000, 10_000),
        ("paid_twice", 0, 20_000),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"currency": "USD"},
        {"lines": [line_of(-1)]},
        {"lines": [line_of(10**12 + 1)]},
        {"lines": [line_of(10**12, 1), line_of(10**12, 2)]},
        {"lines": []},
    ],
)
async def test_an_amount_or_currency_that_cannot_be_is_422(world: World, change: Any) -> None:
    answer = await world.call("POST", "/v1/payments", bill_of(1_000) | change)

    assert answer.status_code == 422
    assert answer.json()["errors"]
    assert await world.database.fetchval("select count(*) from payment") == 0
