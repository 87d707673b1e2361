"""The sandbox bank: credits from codes and by hand, notices, orders, and what a restart keeps."""

import re
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from sandbox.bank.app import create_app
from sandbox.bank.book import Settings
from sandbox.bank.content import bank_reference, mangled, plain
from sandbox.bank.vietqr import crc16
from sandbox.wire import Backoff
from tests.sandbox.outside import Moment, Subscriber, serving

ACCOUNT = "113366668888"
SECRET = "whsec_c2FuZGJveC1ub3RpY2Utc2VjcmV0"
HOLDER = {"authorization": "Bearer holder-key"}
SETTINGS = Settings(bin="970415", account=ACCOUNT, holder="SỞ TƯ PHÁP", holder_key="holder-key")


def field(tag: str, value: str) -> str:
    return f"{tag}{len(value):02d}{value}"


def code(content: str = "LTK7M2Q9XA4", amount: int | None = 150_000, account: str = ACCOUNT) -> str:
    """A VietQR code for the collecting account."""
    beneficiary = field("00", "970415") + field("01", account)
    template = field("00", "A000000727") + field("01", beneficiary) + field("02", "QRIBFTTA")
    body = field("00", "01") + field("01", "12") + field("38", template) + field("53", "704")
    body += field("54", str(amount)) if amount else ""
    body += field("58", "VN") + field("62", field("08", content)) + "6304"
    return f"{body}{crc16(body.encode()):04X}"


@pytest.fixture
async def bank(tmp_path: Path, moment: Moment) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(SETTINGS, tmp_path / "bank.sqlite", clock=moment)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://bank.test") as client,
    ):
        yield client


async def balance(bank: httpx.AsyncClient) -> int:
    return int((await bank.get("/balance")).json()["balance_dong"])


async def test_a_scanned_code_is_booked_with_the_content_mangled(bank: httpx.AsyncClient) -> None:
    payer = {"payer_name": "Nguyễn Văn Đạt", "payer_account": "0123", "payer_bin": "970436"}

    answer = await bank.post("/transfers", json={"qr": code(), **payer})

    entry = answer.json()
    assert answer.status_code == 201
    assert re.fullmatch(rf"MBVCB\.\d{{10}}\.LTK7M2Q9XA4\.CT tu 0123 NGUYEN VAN DAT toi {ACCOUNT}", entry["content"])
    assert (entry["amount_dong"], entry["direction"], entry["kind"]) == (150_000, "credit", "transfer")
    assert (entry["counterparty_name"], entry["counterparty_bin"]) == ("NGUYEN VAN DAT", "970436")
    assert (entry["booked_at"], entry["value_date"]) == ("2026-03-03T02:00:00Z", "2026-03-03")
    assert re.fullmatch(r"FT26062[0-9A-Z]{6}", entry["bank_reference"])
    assert (await bank.get(f"/transfers/{entry['bank_reference']}")).json() == entry
    assert await balance(bank) == 150_000


async def test_the_payer_may_send_more_or_less_than_the_code_says(bank: httpx.AsyncClient) -> None:
    under = await bank.post("/transfers", json={"qr": code(), "amount_dong": 149_999})
    over = await bank.post("/transfers", json={"qr": code(), "amount_dong": 200_000})
    free = await bank.post("/transfers", json={"qr": code(amount=None), "amount_dong": 1})

    assert [one.json()["amount_dong"] for one in (under, over, free)] == [149_999, 200_000, 1]
    assert await balance(bank) == 350_000


@pytest.mark.parametrize(
    ("body", "code_word"),
    [
        ({"qr": code()[:-4] + "0000"}, "qr_invalid"),
        ({"qr": code(account="99")}, "beneficiary_unknown"),
        ({"qr": code(amount=None)}, "amount_missing"),
    ],
)
async def test_a_code_that_cannot_be_paid_here_books_nothing(
    bank: httpx.AsyncClient, body: dict[str, Any], code_word: str
) -> None:
    answer = await bank.post("/transfers", json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, code_word)
    assert await balance(bank) == 0


@pytest.mark.parametrize("amount", [0, -1, 1.5, "x", None])
async def test_amounts_are_whole_and_positive(bank: httpx.AsyncClient, amount: object) -> None:
    answer = await bank.post("/transfers/plain", json={"content": "x", "amount_dong": amount})

    assert answer.status_code == 422
    assert await balance(bank) == 0


def test_content_keeps_capital_latin_letters_digits_and_spaces() -> None:
    assert plain("Nộp  lệ phí: đất-đai, HỒ SƠ (H01.26)") == "NOP LE PHI DATDAI HO SO H0126"


def test_mangling_is_repeatable_keeps_the_reference_and_is_cut() -> None:
    payer = {"payer_name": "Lê Thị Ý", "payer_account": "0123", "account": ACCOUNT}
    shapes = set()
    for number in range(1, 40):
        for bank_number in ("970436", "970422", "970407", "970418", "970415", "970405", "970499"):
            text = mangled("LTK7M2Q9XA4", seed="s", number=number, payer_bin=bank_number, **payer)
            again = mangled("LTK7M2Q9XA4", seed="s", number=number, payer_bin=bank_number, **payer)
            assert text == again
            assert "LTK7M2Q9XA4" in text
            assert text.isascii()
            shapes.add(re.sub(r"\d", "", text))
    assert len(shapes) == 6
    long = mangled("A" * 300, seed="s", number=1, payer_bin="970436", **payer)
    assert len(long) == 210


def test_references_are_unique() -> None:
    on = date(2026, 3, 3)
    references = {bank_reference("seed", number, on) for number in range(20_000)}

    assert len(references) == 20_000
    assert bank_reference("seed", 1, on) != bank_reference("other", 1, on)


@pytest.mark.parametrize("path", ["/remittances", "/payouts"])
async def test_sums_from_organisations_are_credited_once(bank: httpx.AsyncClient, path: str) -> None:
    body = {"amount_dong": 500_000, "reference": "po_1AbCdEf"}
    first, again = await bank.post(path, json=body), await bank.post(path, json=body)
    other = await bank.post(path, json={**body, "amount_dong": 1})

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert (other.status_code, other.json()["code"]) == (409, "reference_used")
    assert "PO1ABCDEF" in first.json()["content"]
    assert first.json()["end_to_end_reference"] == "po_1AbCdEf"
    assert await balance(bank) == 500_000


async def test_an_order_sends_money_once(bank: httpx.AsyncClient) -> None:
    await bank.post("/transfers", json={"qr": code()})
    body = {
        "amount_dong": 50_000,
        "beneficiary_bin": "970436",
        "beneficiary_account": "0123",
        "beneficiary_name": "Nguyễn Văn A",
        "content": "Hoàn trả hồ sơ H01-26",
    }
    first = await bank.post("/orders", json=body, headers={**HOLDER, "idempotency-key": "k"})
    again = await bank.post("/orders", json=body, headers={**HOLDER, "idempotency-key": "k"})
    other = await bank.post("/orders", json={**body, "amount_dong": 1}, headers={**HOLDER, "idempotency-key": "k"})
    too_much = await bank.post(
        "/orders", json={**body, "amount_dong": 100_001}, headers={**HOLDER, "idempotency-key": "l"}
    )

    made = first.json()
    assert (first.status_code, made["status"], made["amount_dong"]) == (201, "executed", 50_000)
    assert made["content"] == "HOAN TRA HO SO H0126"
    assert (again.json(), again.headers["idempotent-replayed"]) == (made, "true")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert (too_much.status_code, too_much.json()["code"]) == (409, "insufficient_funds")
    assert (await bank.get(f"/orders/{made['id']}", headers=HOLDER)).json() == made
    assert (await bank.get(f"/transfers/{made['bank_reference']}")).json()["direction"] == "debit"
    assert await balance(bank) == 100_000


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"idempotency-key": "k"}, 401),
        ({"authorization": "Bearer wrong", "idempotency-key": "k"}, 401),
        (HOLDER, 400),
    ],
)
async def test_orders_need_the_holder_and_a_key(bank: httpx.AsyncClient, headers: dict[str, str], status: int) -> None:
    await bank.post("/transfers", json={"qr": code()})
    body = {"amount_dong": 1, "beneficiary_bin": "970436", "beneficiary_account": "1", "beneficiary_name": "A"}

    answer = await bank.post("/orders", json={**body, "content": "x"}, headers=headers)

    assert answer.status_code == status
    assert await balance(bank) == 150_000


async def test_every_credit_is_told_in_a_signed_notice(tmp_path: Path, subscriber: Subscriber) -> None:
    settings = Settings(
        bin="970415",
        account=ACCOUNT,
        holder="SO TU PHAP",
        notify_url=f"{subscriber.url}/webhooks/bank",
        notify_secret=SECRET,
    )
    subscriber.answers = [503]
    quick = Backoff(first_seconds=0.01)
    async with (
        serving(create_app(settings, tmp_path / "bank.sqlite", backoff=quick)) as url,
        httpx.AsyncClient(base_url=url) as bank,
    ):
        entry = (await bank.post("/transfers", json={"qr": code(), "payer_name": "Trần B"})).json()
        received = await subscriber.wait_for(lambda _: True, 2)
        lost = await bank.post("/transfers/plain", json={"content": "x", "amount_dong": 1, "sandbox_notice": "lost"})
        remitted = (await bank.post("/remittances", json={"amount_dong": 9, "reference": "BC-1"})).json()
        later = await subscriber.wait_for(lambda one: one.json()["data"]["amount_dong"] == 9)
        states = [one["state"] for one in (await bank.get("/_sandbox/deliveries")).json()]

    assert received[0].body == received[1].body
    assert received[0].headers["webhook-id"] == received[1].headers["webhook-id"]
    assert received[0].path == "/webhooks/bank"
    assert Webhook(SECRET).verify(received[1].body, received[1].headers) == {
        "type": "transfer.credited",
        "data": {
            "bank_reference": entry["bank_reference"],
            "account": ACCOUNT,
            "amount_dong": 150_000,
            "content": entry["content"],
            "payer_name": "TRAN B",
            "payer_account": "0123456789",
            "payer_bin": "970436",
            "booked_at": entry["booked_at"],
            "value_date": entry["value_date"],
        },
    }
    assert lost.status_code == 201
    assert [one.json()["data"]["bank_reference"] for one in later] == [remitted["bank_reference"]]
    assert len(subscriber.received) == 3
    assert states.count("suppressed") == 1


async def test_the_book_survives_a_restart(tmp_path: Path, subscriber: Subscriber) -> None:
    state = tmp_path / "bank.sqlite"
    nowhere = Settings("970415", ACCOUNT, "X", "http://127.0.0.1:9/", SECRET, opening_balance_dong=1_000)
    async with serving(create_app(nowhere, state)) as url, httpx.AsyncClient(base_url=url) as bank:
        entry = (await bank.post("/transfers", json={"qr": code()})).json()
    again = Settings("970415", ACCOUNT, "X", subscriber.url, SECRET, opening_balance_dong=5)
    quick = Backoff(first_seconds=0.01)
    async with (
        serving(create_app(again, state, backoff=quick)) as url,
        httpx.AsyncClient(base_url=url) as bank,
    ):
        received = await subscriber.wait_for(lambda _: True)
        kept = (await bank.get(f"/transfers/{entry['bank_reference']}")).json()
        totals = (await bank.get("/_sandbox/totals")).json()

    assert received[0].json()["data"]["bank_reference"] == entry["bank_reference"]
    assert kept == entry
    assert totals == {
        "opening_dong": 1_000,
        "transfers_dong": 150_000,
        "remittances_dong": 0,
        "payouts_dong": 0,
        "orders_dong": 0,
        "balance_dong": 151_000,
    }


async def test_the_pay_page_shows_the_code_and_transfers(bank: httpx.AsyncClient) -> None:
    page = await bank.get("/pay", params={"qr": code()})
    english = await bank.get("/pay", params={"qr": code(), "lang": "en"})
    paid = await bank.post("/pay", data={"qr": code(), "payer_name": "Lê C", "payer_account": "77", "lang": "vi"})
    receipt = await bank.get(paid.headers["location"])

    assert '<html lang="vi">' in page.text
    assert "SỞ TƯ PHÁP" in page.text
    assert "150.000 đ" in page.text
    assert "LTK7M2Q9XA4" in page.text
    assert "Chuyển tiền</button>" in page.text
    assert "<script" not in page.text
    assert "150,000 đ" in english.text
    assert "Transfer</button>" in english.text
    assert paid.status_code == 303
    assert "Chuyển tiền thành công" in receipt.text
    assert "LE C" in (await bank.get(f"/transfers/{paid.headers['location'].split('/')[-1].split('?')[0]}")).text
    assert await balance(bank) == 150_000


async def test_the_pay_page_asks_for_an_amount_the_code_does_not_have(bank: httpx.AsyncClient) -> None:
    missing = await bank.post("/pay", data={"qr": code(amount=None), "amount_dong": "0"})
    typed = await bank.post("/pay", data={"qr": code(amount=None), "amount_dong": "25.000"})

    assert missing.status_code == 422
    assert "Vui lòng nhập số tiền" in missing.text
    assert typed.status_code == 303
    assert await balance(bank) == 25_000


@pytest.mark.parametrize(("qr", "words"), [("xyz", "Mã QR không hợp lệ"), (code(account="99"), "một tài khoản khác")])
async def test_the_pay_page_explains_a_code_it_cannot_pay(bank: httpx.AsyncClient, qr: str, words: str) -> None:
    page = await bank.get("/pay", params={"qr": qr})
    posted = await bank.post("/pay", data={"qr": qr})

    assert (page.status_code, posted.status_code) == (422, 422)
    assert words in page.text
    assert await balance(bank) == 0
