"""Statements of the sandbox bank: opening balance and lines make the closing balance, in every form."""

import csv
import io
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import httpx
import pytest
from defusedxml.ElementTree import fromstring

from sandbox.bank.app import create_app
from sandbox.bank.book import Settings
from sandbox.bank.statements import CAMT
from tests.sandbox.outside import Moment

NS = {"c": CAMT}
FIRST, SECOND = "2026-03-03", "2026-03-04"
SETTINGS = Settings(
    bin="970415",
    account="113366668888",
    holder="SỞ TƯ PHÁP",
    holder_key="holder-key",
    opening_balance_dong=1_000_000,
)


@pytest.fixture
async def bank(tmp_path: Path, moment: Moment) -> AsyncIterator[httpx.AsyncClient]:
    """Two business days: 3 March until its last second in Viet Nam, and 4 March from its first."""
    app = create_app(SETTINGS, tmp_path / "bank.sqlite", clock=moment)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://bank.test") as client,
    ):
        await transfer(client, 150_000, "LTK7M2Q9XA4")
        await client.post("/payouts", json={"amount_dong": 97_250, "reference": "po_1AbC", "descriptor": "LIEN THONG"})
        await client.post(
            "/orders",
            json={
                "amount_dong": 50_000,
                "beneficiary_bin": "970436",
                "beneficiary_account": "0123",
                "beneficiary_name": "Nguyễn Văn A",
                "content": "Hoàn trả",
            },
            headers={"authorization": "Bearer holder-key", "idempotency-key": "k"},
        )
        moment.now += 15 * 3600 - 1
        await transfer(client, 1_111, "A" * 200)
        moment.now += 1
        await transfer(client, 2_222, "LATE")
        yield client


async def transfer(client: httpx.AsyncClient, amount: int, content: str) -> None:
    body = {"content": content, "amount_dong": amount, "payer_bin": "970436"}
    assert (await client.post("/transfers/plain", json=body)).status_code == 201


def text(node: Element, path: str) -> str | None:
    found = node.find("/".join(f"c:{step}" for step in path.split("/")), NS)
    return None if found is None else found.text


def signed(node: Element) -> int:
    amount = int(text(node, "Amt") or "")
    return amount if text(node, "CdtDbtInd") == "CRDT" else -amount


async def camt(bank: httpx.AsyncClient, on: str) -> Element:
    answer = await bank.get(f"/statements/{on}.camt053.xml")
    assert answer.status_code == 200
    root = fromstring(answer.content)
    assert root.tag == f"{{{CAMT}}}Document"
    statement = root.find("c:BkToCstmrStmt/c:Stmt", NS)
    assert statement is not None
    return statement


def balances(statement: Element) -> dict[str | None, int]:
    return {text(one, "Tp/CdOrPrtry/Cd"): signed(one) for one in statement.findall("c:Bal", NS)}


async def test_camt_opening_plus_lines_is_closing_and_days_join(bank: httpx.AsyncClient) -> None:
    first, second = await camt(bank, FIRST), await camt(bank, SECOND)

    lines = [signed(entry) for entry in first.findall("c:Ntry", NS)]
    assert lines == [150_000, 97_250, -50_000, 1_111]
    assert balances(first) == {"OPBD": 1_000_000, "CLBD": 1_198_361}
    assert 1_000_000 + sum(lines) == 1_198_361
    assert balances(second) == {"OPBD": 1_198_361, "CLBD": 1_200_583}
    assert text(first, "TxsSummry/TtlCdtNtries/Sum") == "248361"
    assert text(first, "TxsSummry/TtlDbtNtries/NbOfNtries") == "1"
    assert (await bank.get("/balance")).json()["balance_dong"] == 1_200_583


async def test_camt_entries_carry_references_dates_parties_and_content(bank: httpx.AsyncClient) -> None:
    statement = await camt(bank, FIRST)
    transferred, payout, order, long = statement.findall("c:Ntry", NS)
    booked = (await bank.get(f"/transfers/{text(transferred, 'AcctSvcrRef')}")).json()

    assert text(statement, "Acct/Id/Othr/Id") == "113366668888"
    assert text(statement, "Acct/Ccy") == "VND"
    assert text(statement, "Acct/Svcr/FinInstnId/ClrSysMmbId/MmbId") == "970415"
    assert text(transferred, "NtryRef") == "1"
    assert text(transferred, "Sts/Cd") == "BOOK"
    assert text(transferred, "BookgDt/DtTm") == "2026-03-03T09:00:00+07:00"
    assert text(transferred, "ValDt/Dt") == FIRST
    assert text(long, "BookgDt/DtTm") == "2026-03-03T23:59:59+07:00"
    details = "NtryDtls/TxDtls"
    assert text(transferred, f"{details}/Refs/EndToEndId") == "NOTPROVIDED"
    assert text(transferred, f"{details}/RmtInf/Ustrd") == booked["content"]
    assert text(transferred, f"{details}/RltdPties/Dbtr/Pty/Nm") == "NGUYEN VAN A"
    assert text(transferred, f"{details}/RltdPties/DbtrAcct/Id/Othr/Id") == "0123456789"
    assert text(transferred, f"{details}/RltdAgts/DbtrAgt/FinInstnId/ClrSysMmbId/MmbId") == "970436"
    assert text(payout, f"{details}/Refs/EndToEndId") == "po_1AbC"
    assert text(order, f"{details}/RltdPties/Cdtr/Pty/Nm") == "NGUYEN VAN A"
    pieces = [one.text or "" for one in long.iterfind(".//c:Ustrd", NS)]
    assert [len(piece) for piece in pieces] == [140, 70]
    assert "A" * 190 in "".join(pieces)


async def test_camt_elements_stand_in_the_order_of_the_schema(bank: httpx.AsyncClient) -> None:
    statement = await camt(bank, FIRST)

    def names(node: Element) -> list[str]:
        return [child.tag.partition("}")[2] for child in node]

    entry = statement.find("c:Ntry", NS)
    assert entry is not None
    details = entry.find("c:NtryDtls/c:TxDtls", NS)
    assert details is not None
    assert names(statement)[:9] == [
        *("Id", "ElctrncSeqNb", "CreDtTm", "FrToDt", "Acct", "Bal", "Bal", "TxsSummry", "Ntry")
    ]
    assert names(entry) == [
        *("NtryRef", "Amt", "CdtDbtInd", "Sts", "BookgDt", "ValDt", "AcctSvcrRef", "BkTxCd", "NtryDtls")
    ]
    assert names(details) == ["Refs", "Amt", "CdtDbtInd", "RltdPties", "RltdAgts", "RmtInf"]


async def test_mt940_says_the_same(bank: httpx.AsyncClient) -> None:
    answer = await bank.get(f"/statements/{FIRST}.mt940")
    statement = answer.content.decode("ascii")
    references = [text(one, "AcctSvcrRef") for one in (await camt(bank, FIRST)).findall("c:Ntry", NS)]

    assert ":25:970415/113366668888\r\n" in statement
    assert ":60F:C260303VND1000000,\r\n" in statement
    assert ":62F:C260303VND1198361,\r\n" in statement
    lines = re.findall(r":61:2603030303([CD])(\d+),NTRFNONREF//(\w+)\r\n", statement)
    assert lines == [
        ("C", "150000", references[0]),
        ("C", "97250", references[1]),
        ("D", "50000", references[2]),
        ("C", "1111", references[3]),
    ]
    assert statement.endswith("-\r\n")
    assert max(len(line) for line in statement.split("\r\n")) <= 65 + len(":86:")
    wrapped = re.findall(r":86:(.*?)(?=\r\n:)", statement, re.DOTALL)
    joined = [one.replace("\r\n", "") for one in wrapped]
    assert joined[1] == "/REMI/STRIPE PAYOUT LIEN THONG PO1ABC/CNTP/900000000001/970436/CONG THANH TOAN THU NGHIEM"
    assert "A" * 150 in joined[3]


async def test_csv_has_the_layout_of_a_vietnamese_bank(bank: httpx.AsyncClient) -> None:
    answer = await bank.get(f"/statements/{FIRST}.csv")
    assert answer.content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    header = next(at for at, row in enumerate(rows) if row[:1] == ["STT"])
    lines = [dict(zip(rows[header], row, strict=True)) for row in rows[header + 1 : header + 5]]

    def amount(shown: str) -> int:
        return int(shown.replace(",", "") or 0)

    def labelled(label: str) -> Any:
        return next(row for row in rows if row and row[0].startswith(label))

    assert labelled("Số dư đầu kỳ")[1] == "1,000,000"
    assert labelled("Số dư cuối kỳ")[1] == "1,198,361"
    assert [(amount(one["Ghi có"]), amount(one["Ghi nợ"]), amount(one["Số dư"])) for one in lines] == [
        (150_000, 0, 1_150_000),
        (97_250, 0, 1_247_250),
        (0, 50_000, 1_197_250),
        (1_111, 0, 1_198_361),
    ]
    assert lines[0]["Ngày giao dịch"] == "03/03/2026 09:00:00"
    assert lines[0]["Ngày hiệu lực"] == "03/03/2026"
    assert rows[header + 5][1:6] == ["Tổng cộng / Total", "", "", "50,000", "248,361"]


async def test_an_empty_day_closes_as_it_opened_and_the_future_has_no_statement(bank: httpx.AsyncClient) -> None:
    before = await camt(bank, "2026-03-01")
    future = await bank.get("/statements/2026-03-05.camt053.xml")
    nonsense = await bank.get("/statements/2026-13-01.mt940")

    assert balances(before) == {"OPBD": 1_000_000, "CLBD": 1_000_000}
    assert before.findall("c:Ntry", NS) == []
    assert (future.status_code, future.json()["code"]) == (404, "no_statement")
    assert nonsense.status_code == 422
