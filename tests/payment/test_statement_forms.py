"""Statements as banks send them: every form is read into the same lines, generously, and nothing is guessed."""

import io
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from sandbox.bank.book import Day, Entry, Party
from sandbox.bank.book import Settings as BankSettings
from sandbox.bank.statements import bank_csv, camt053, mt940
from services.payment.reconciliation.statements.figures import grouped_dong, written_day
from services.payment.reconciliation.statements.lines import ParsedStatement, StatementUnreadable, fingerprints
from services.payment.reconciliation.statements.reading import read_statements

ACCOUNT = "0011004455667"
DAY = date(2026, 11, 3)

Moved = list[tuple[date, int, str, str]]


def moved(statements: list[ParsedStatement]) -> Moved:
    return [
        (line.booked_on, line.amount_dong, line.bank_reference, line.content) for s in statements for line in s.lines
    ]


def one(content: bytes | str) -> ParsedStatement:
    found = read_statements(content if isinstance(content, bytes) else content.encode())
    assert len(found) == 1
    assert found[0].imbalance_dong == 0
    return found[0]


# --- figures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "dong"),
    [
        ("1,234,567", 1_234_567), ("1.234.567", 1_234_567), ("1 234 567", 1_234_567), ("1\u00a0234\u00a0567", 1234567),
        ("1.234.567,00", 1_234_567), ("1,234,567.00", 1_234_567), ("1'234'567", 1_234_567), ("1234567", 1_234_567),
        ("1234567.0", 1_234_567), ("-1.234", -1_234), ("1,234-", -1_234), ("(1,234)", -1_234), ("+1,234 VND", 1_234),
        ("1.234 ₫", 1_234), ("1.234đ", 1_234), ("− 500", -500), ("0", 0), ("VND 50,000", 50_000), ("500", 500),
    ],
)  # fmt: skip
def test_an_amount_is_read_in_every_way_banks_write_it(text: str, dong: int) -> None:
    assert grouped_dong(text) == dong


@pytest.mark.parametrize("text", ["1,23,456", "1.50", "12,5", "abc", "", "1.234.56", "1,234.567,00", "10" * 9, "½"])
def test_an_amount_that_is_no_whole_dong_is_refused(text: str) -> None:
    with pytest.raises(StatementUnreadable):
        grouped_dong(text)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("03/11/2026", DAY), ("3/11/2026 23:59:59", DAY), ("03-11-2026", DAY), ("03.11.26", DAY), ("2026-11-03", DAY),
        ("20261103", DAY), ("03-Nov-2026", DAY), ("03 Nov 2026", DAY), ("46329", DAY), ("46329.75", DAY),
    ],
)  # fmt: skip
def test_a_date_is_read_day_first(text: str, day: date) -> None:
    assert written_day(text) == day


@pytest.mark.parametrize("text", ["30/02/2026", "11/23/2026", "hôm nay", "", "2026-13-01", "03-Abc-2026"])
def test_a_date_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(StatementUnreadable):
        written_day(text)


# --- tables of banks -------------------------------------------------------------------------------

_HEAD = f"SAO KÊ TÀI KHOẢN\nSố tài khoản: {ACCOUNT}\nTừ ngày: 03/11/2026 Đến ngày: 03/11/2026\n"
_EXPECTED: Moved = [(DAY, 200_000, "FT1", "LT7K2M9Q nop le phi"), (DAY, -50_000, "FT2", "hoan tra")]
_LAYOUTS = {
    "Vietcombank": (
        "NGÂN HÀNG TMCP NGOẠI THƯƠNG VIỆT NAM\n" + _HEAD + "Số dư đầu kỳ/ Opening balance;1.000.000\n"
        "Ngày giao dịch/ TNX Date;Số CT/ Doc No;Số tiền ghi nợ/ Debit;Số tiền ghi có/ Credit;Số dư/ Balance;"
        "Nội dung chi tiết/ Transactions in detail\n"
        "03/11/2026;FT1;;200.000;1.200.000;LT7K2M9Q nop le phi\n03/11/2026;FT2;50.000;;1.150.000;hoan tra\n"
        "Tổng số;;50.000;200.000;;\nSố dư cuối kỳ/ Closing balance;1.150.000\n"
    ),
    "VietinBank, newest first": (
        "NGÂN HÀNG TMCP CÔNG THƯƠNG VIỆT NAM\n" + _HEAD +
        "STT,Ngày giao dịch(TNX Date),Mô tả giao dịch(Transaction Description),Nợ/Debit,Có/Credit,"
        "Số dư/Balance,Số giao dịch(Transaction Number),Tài khoản đối ứng,Tên tài khoản đối ứng(Corresponsive Name)\n"
        '1,03/11/2026 15:00:01,hoan tra,"50,000",,"1,150,000",FT2,,\n'
        '2,03/11/2026 09:00:00,LT7K2M9Q nop le phi,,"200,000","1,200,000",FT1,1903,NGUYEN VAN A\n'
    ),
    "BIDV": (
        "Ngân hàng TMCP Đầu tư và Phát triển Việt Nam\n" + _HEAD +
        "STT\tNgày hiệu lực\tSố tiền ghi nợ\tSố tiền ghi có\tSố dư\tNội dung giao dịch\tSố bút toán\n"
        "\t\t\t\t1,000,000\tSố dư đầu kỳ\t\n"
        "1\t03/11/2026\t\t200,000\t1,200,000\tLT7K2M9Q nop le phi\tFT1\n"
        "2\t03/11/2026\t50,000\t\t1,150,000\thoan tra\tFT2\n"
    ),
    "Agribank, debits negative": (
        "AGRIBANK - " + _HEAD + "Ngày GD|Mã GD|Phát sinh nợ|Phát sinh có|Số dư|Diễn giải\n"
        "03/11/2026 08:00|FT1|0|+200,000|1,200,000|LT7K2M9Q nop le phi\n"
        "03/11/2026 09:00|FT2|-50,000|0|1,150,000|hoan tra\n"
    ),
    "Techcombank, heading of two rows": (
        "Techcombank\n" + _HEAD + "Ngày GD;Đối tác;Diễn giải;Số bút toán;Số tiền;;Số dư\n;;;;Nợ;Có;\n"
        "3/11/2026;NGUYEN VAN A;LT7K2M9Q nop le phi;FT1;;200.000;1.200.000\n"
        "3/11/2026;;hoan tra;FT2;50.000;;1.150.000\n"
    ),
    "MB": (
        "NGÂN HÀNG QUÂN ĐỘI\n" + _HEAD + "Số dư đầu kỳ,1000000,,,,\nSố dư cuối kỳ,1150000,,,,\n"
        "STT,Ngày giao dịch,Số bút toán,PS Nợ/DR,PS Có/CR,Nội dung,Đơn vị thụ hưởng/Đơn vị chuyển\n"
        "1,03/11/2026,FT1,,200000,LT7K2M9Q nop le phi,NGUYEN VAN A\n2,03/11/2026,FT2,50000,,hoan tra,\n"
    ),
    "ACB": (
        "NGÂN HÀNG Á CHÂU - ACB\n" + _HEAD +
        "Ngày hiệu lực,Ngày giao dịch,Số GD,Nội dung giao dịch,Rút ra,Gửi vào,Số dư\n"
        '03/11/2026,03/11/2026,FT1,LT7K2M9Q nop le phi,,"200,000","1,200,000"\n'
        '03/11/2026,03/11/2026,FT2,hoan tra,"50,000",,"1,150,000"\n'
    ),
    "one amount and a letter": (
        _HEAD + "Opening balance,1000000\nClosing balance,1150000\n"
        "Date,Reference,Amount,D/C,Description\n"
        "03/11/2026,FT1,200000,C,LT7K2M9Q nop le phi\n03/11/2026,FT2,50000,D,hoan tra\n"
    ),
    "one signed amount": (
        _HEAD + "Opening balance,1000000\nDate,Reference,Amount,Balance,Description\n"
        "03/11/2026,FT1,200000,1200000,LT7K2M9Q nop le phi\n03/11/2026,FT2,-50000,1150000,hoan tra\n"
    ),
    "one unsigned amount beside its balance": (
        _HEAD + "Opening balance,1000000\nDate,Reference,Amount,Balance,Description\n"
        "03/11/2026,FT1,200000,1200000,LT7K2M9Q nop le phi\n03/11/2026,FT2,50000,1150000,hoan tra\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize("bank", _LAYOUTS)
def test_the_table_of_a_bank_is_read(bank: str) -> None:
    found = one(_LAYOUTS[bank])

    assert (found.account, found.business_date, found.format) == (ACCOUNT, DAY, "csv")
    assert (found.opening_dong, found.closing_dong) == (1_000_000, 1_150_000)
    assert moved([found]) == _EXPECTED


def _tcvn3(text: str) -> bytes:
    accented = "àáảãạăằắẳẵặâầấẩẫậèéẻẽẹêềếểễệìíỉĩịòóỏõọôồốổỗộơờớởỡợùúủũụưừứửữựỳýỷỹỵđĐ"
    bytes_of = "µ¸¶·¹¨»¾¼½Æ©ÇÊÈÉËÌÐÎÏÑªÒÕÓÔÖ×ÝØÜÞßãáâä«åèæçé¬êíëìîïóñòô\xadõøö÷ùúýûüþ®§"
    upper = (
        text.replace("À", "à").replace("Ả", "ả").replace("Ê", "ê").replace("Ạ", "ạ").replace("Ư", "ư").replace("Ơ", "ơ")
    )
    return upper.translate(dict(zip(map(ord, accented), bytes_of, strict=True))).encode("latin-1", errors="replace")


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: text.replace("\n", "\r\n").encode(),
        _tcvn3,
    ],
    ids=["utf-8 with mark", "utf-16", "windows line ends", "tcvn3"],
)
def test_a_table_is_read_in_the_encodings_banks_use(encode) -> None:  # type: ignore[no-untyped-def]
    assert moved([one(encode(_LAYOUTS["Vietcombank"]))]) == _EXPECTED


def _workbook(text: str) -> bytes:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for row in text.splitlines():
        sheet.append([cell or None for cell in row.split(";")])
    sheet["A5"] = datetime(2026, 11, 3, 9, 30)  # noqa: DTZ001 — a cell of a sheet has no zone
    sheet["D5"] = 200_000.0
    sheet["E5"] = 1_200_000
    output = io.BytesIO()
    book.save(output)
    return output.getvalue()


def test_a_workbook_is_read_with_its_dates_and_numbers() -> None:
    head, body = _LAYOUTS["Vietcombank"].split("\n", 1)
    text = f"{head}\n" + body.replace("Số dư đầu kỳ/ Opening balance;1.000.000\n", "")

    found = one(_workbook(text.replace("Từ ngày: 03/11/2026 Đến ngày: 03/11/2026\n", "")))

    assert (found.format, found.opening_dong, found.closing_dong) == ("xlsx", 1_000_000, 1_150_000)
    assert moved([found]) == _EXPECTED


def test_an_html_table_named_xls_is_read() -> None:
    rows = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in line.split(";")) + "</tr>"
        for line in _LAYOUTS["Vietcombank"].splitlines()
    )

    assert moved([one(f"<html><body><table>{rows}</table></body></html>")]) == _EXPECTED


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "empty"),
        (b"\x00\x01\x02", "NUL"),
        (b"PK\x03\x04 cut", "damaged"),
        (b"\xd0\xcf\x11\xe0 old", "old Excel"),
        (b"hello,world\n1,2\n", "No heading"),
        (_LAYOUTS["MB"].replace("03/11/2026,FT2", "31/02/2026,FT2").encode(), "Row 9"),
        (_LAYOUTS["MB"].replace("50000,,hoan", "50.5,,hoan").encode(), "Row 9"),
        (_LAYOUTS["MB"].replace(f"Số tài khoản: {ACCOUNT}", "").encode(), "does not name its account"),
        (_LAYOUTS["MB"].replace("Số dư cuối kỳ,1150000", "").encode(), "neither opening and closing"),
    ],
)
def test_what_is_no_statement_is_refused_in_a_sentence(content: bytes, sentence: str) -> None:
    with pytest.raises(StatementUnreadable, match=sentence) as refusal:
        read_statements(content)

    assert refusal.value.vi
    assert refusal.value.vi != refusal.value.en


def test_a_line_left_out_of_a_table_is_noticed() -> None:
    text = _LAYOUTS["MB"].replace("2,03/11/2026,FT2,50000,,hoan tra,\n", "")

    assert read_statements(text.encode())[0].imbalance_dong == -50_000


def test_a_table_of_several_days_is_a_statement_a_day() -> None:
    text = (
        f"Số tài khoản;{ACCOUNT}\nTừ ngày;01/11/2026\nĐến ngày;04/11/2026\n"
        "Số dư đầu kỳ;1.000\nSố dư cuối kỳ;1.500\n"
        "Ngày giao dịch;Số tham chiếu;Ghi nợ;Ghi có;Nội dung\n"
        "01/11/2026;A;;300;x\n03/11/2026;B;100;;y\n03/11/2026;C;;300;z\n"
    )

    found = read_statements(text.encode())

    assert [(s.business_date.day, s.opening_dong, s.closing_dong, len(s.lines)) for s in found] == [
        (1, 1_000, 1_300, 1), (2, 1_300, 1_300, 0), (3, 1_300, 1_500, 2), (4, 1_500, 1_500, 0),
    ]  # fmt: skip
    assert all(s.imbalance_dong == 0 for s in found)


# --- SWIFT -----------------------------------------------------------------------------------------

_MT940 = f"""{{1:F01BFTVVNVXAXXX0000000000}}{{2:O9401200}}{{4:
:20:STMT1
:25:970436/{ACCOUNT}
:28C:5/1
:60F:C261103VND1000000,
:61:2611031103C200000,NTRFNONREF//FT1
:86:/REMI/LT7K2M9Q nop le phi/CNTP/1903/970407/NGUYEN VAN A
:62M:C261103VND1200000,
-}}
{{4:
:20:STMT1
:25:970436/{ACCOUNT}
:28C:5/2
:60M:C261103VND1200000,
:61:2611031103RC50000,00NTRFFT2
:86:hoan tra
:62F:C261103VND1150000,
:64:C261103VND1150000,
:86:a word about the whole statement
-}}
"""


def test_an_mt940_statement_of_two_pages_is_one_and_a_reversed_credit_is_a_debit() -> None:
    found = one(_MT940)

    assert (found.format, found.account, found.opening_dong, found.closing_dong) == (
        "mt940",
        ACCOUNT,
        1_000_000,
        1_150_000,
    )
    assert moved([found]) == _EXPECTED
    assert (found.lines[0].payer_account, found.lines[0].payer_name) == ("1903", "NGUYEN VAN A")


def test_several_mt940_statements_keep_their_own_balances() -> None:
    second = _MT940.replace("261103", "261104").replace("1103C", "1104C").replace("1103RC", "1104RC")
    second = (
        second.replace("1000000,", "1150000,")
        .replace("1200000,", "1350000,")
        .replace("VND1150000,\n:64", "VND1300000,\n:64")
    )

    found = read_statements((_MT940 + second).encode())

    assert [(s.business_date.day, s.opening_dong, s.closing_dong, s.imbalance_dong) for s in found] == [
        (3, 1_000_000, 1_150_000, 0), (4, 1_150_000, 1_300_000, 0),
    ]  # fmt: skip


def test_mt940_balances_without_a_line_are_a_statement() -> None:
    found = one(f":20:X\n:25:{ACCOUNT}\n:28C:1\n:60F:C261102VND500,\n:62F:C261103VND500,\n-")

    assert (found.business_date, found.closing_dong, found.lines) == (DAY, 500, ())


def test_coded_text_of_field_86_gives_content_and_payer() -> None:
    text = _MT940.replace(
        "/REMI/LT7K2M9Q nop le phi/CNTP/1903/970407/NGUYEN VAN A",
        "166?00CHUYEN TIEN?20LT7K2M9Q nop?21 le phi?30970407?311903?32NGUYEN?33 VAN A",
    )

    found = one(text)

    assert moved([found]) == _EXPECTED
    assert (found.lines[0].payer_bin, found.lines[0].payer_account, found.lines[0].payer_name) == (
        "970407", "1903", "NGUYEN VAN A",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("2611031103C", "2602301103C", "Line 6: the date '260230'"),
        ("1103C", "0230C", "does not exist"),
        ("C261103VND1000000", "C261103USD1000000", "in USD"),
        (":61:2611031103C200000,", ":61:rubbish", "Line 6 cannot be read"),
        (":62F:C261103VND1150000,\n", "", "lacks its opening"),
        (":60M:C261103VND1200000,", ":60M:C261103VND1300000,", "lacks a page"),
    ],
)
def test_a_broken_mt940_is_refused_with_its_line(old: str, new: str, sentence: str) -> None:
    with pytest.raises(StatementUnreadable, match=sentence):
        read_statements(_MT940.replace(old, new, 1).encode())


def test_an_mt940_cut_after_its_first_page_is_refused() -> None:
    with pytest.raises(StatementUnreadable, match="last page"):
        read_statements(_MT940[: _MT940.index("-}")].encode())


def test_an_mt942_is_a_notice() -> None:
    found = one(
        f":20:R\n:25:{ACCOUNT}\n:28C:9/1\n:34F:VND0,\n:13D:2611031200+0700\n"
        ":61:2611031103C200000,NTRFNONREF//FT1\n:86:LT7K2M9Q nop le phi\n:90D:0VND0,\n:90C:1VND200000,\n-"
    )

    assert (found.format, found.is_notice, found.business_date) == ("mt942", True, DAY)
    assert moved([found]) == _EXPECTED[:1]


# --- ISO 20022 -------------------------------------------------------------------------------------

_ENTRY = """<Ntry><Amt Ccy="VND">{amount}</Amt><CdtDbtInd>{mark}</CdtDbtInd><Sts>{status}</Sts>
<BookgDt><Dt>2026-11-03</Dt></BookgDt><ValDt><Dt>2026-11-03</Dt></ValDt><AcctSvcrRef>{reference}</AcctSvcrRef>
<NtryDtls>{details}</NtryDtls></Ntry>"""
_TOLD = "<TxDtls>{amount}<RmtInf><Ustrd>{content}</Ustrd></RmtInf></TxDtls>"


def _camt(
    entries: str,
    *,
    version: str = "053.001.02",
    kind: tuple[str, str] = ("BkToCstmrStmt", "Stmt"),
    balances: bool = True,
) -> str:
    def balance(code: str, amount: int) -> str:
        return (
            f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy='VND'>{amount}.00</Amt>"
            "<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-11-03</Dt></Dt></Bal>"
        )

    around = balance("OPBD", 1_000_000) + balance("CLBD", 1_150_000) if balances else ""
    return (
        f'<?xml version="1.0"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.{version}"><{kind[0]}><{kind[1]}>'
        f"<Id>S1</Id><CreDtTm>2026-11-03T20:00:00+07:00</CreDtTm><Acct><Id><Othr><Id>{ACCOUNT}</Id></Othr></Id></Acct>"
        f"{around}{entries}</{kind[1]}></{kind[0]}></Document>"
    )


def _entry(amount: str, mark: str, reference: str, content: str, *, status: str = "BOOK") -> str:
    details = _TOLD.format(amount="", content=content)
    return _ENTRY.format(amount=amount, mark=mark, reference=reference, details=details, status=status)


_ENTRIES = _entry("200000", "CRDT", "FT1", "LT7K2M9Q nop le phi") + _entry("50000.00", "DBIT", "FT2", "hoan tra")


@pytest.mark.parametrize("version", [f"053.001.{number:02d}" for number in range(2, 14)])
def test_every_version_of_camt_053_is_read(version: str) -> None:
    entries = _ENTRIES if version < "053.001.04" else _ENTRIES.replace("<Sts>BOOK</Sts>", "<Sts><Cd>BOOK</Cd></Sts>")

    assert moved([one(_camt(entries, version=version))]) == _EXPECTED


def test_pending_entries_are_not_booked() -> None:
    pending = _entry("999", "CRDT", "FT9", "x", status="PDNG")

    assert moved([one(_camt(_ENTRIES + pending))]) == _EXPECTED


def _batch(*amounts: int) -> str:
    parts = "".join(
        _TOLD.format(amount=f"<Refs><TxId>T{n}</TxId></Refs><Amt Ccy='VND'>{amount}</Amt>", content=f"part {n}")
        for n, amount in enumerate(amounts, start=1)
    )
    return _ENTRY.format(amount=200_000, mark="CRDT", reference="B1", details=parts, status="BOOK")


def test_a_batch_is_its_parts_when_they_add_up() -> None:
    found = one(_camt(_batch(120_000, 80_000) + _entry("50000", "DBIT", "FT2", "hoan tra")))

    assert moved([found])[:2] == [(DAY, 120_000, "T1", "part 1"), (DAY, 80_000, "T2", "part 2")]


def test_a_batch_whose_parts_do_not_add_up_says_by_how_much() -> None:
    found = read_statements(_camt(_batch(120_000, 70_000) + _entry("50000", "DBIT", "FT2", "x")).encode())[0]

    assert (found.mismatch_dong, found.imbalance_dong, len(found.lines)) == (10_000, 0, 2)


@pytest.mark.parametrize(
    ("version", "kind", "form"),
    [
        ("052.001.06", ("BkToCstmrAcctRpt", "Rpt"), "camt.052"),
        ("054.001.08", ("BkToCstmrDbtCdtNtfctn", "Ntfctn"), "camt.054"),
    ],
)
def test_reports_and_notifications_are_notices(version: str, kind: tuple[str, str], form: str) -> None:
    found = one(_camt(_ENTRIES, version=version, kind=kind, balances=False))

    assert (found.format, found.is_notice, found.business_date) == (form, True, DAY)
    assert moved([found]) == _EXPECTED


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (_camt(_ENTRIES)[:-200], "not valid XML"),
        ('<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><Document>&b;</Document>', "not valid XML"),
        (_camt(_ENTRIES.replace('Ccy="VND">200000', 'Ccy="USD">200000')), "in USD"),
        (_camt(_ENTRIES, balances=False), "opening or closing"),
        ("<Document><Other/></Document>", "holds no camt"),
        (_camt(_ENTRIES.replace("50000.00", "50000.50")), "whole number"),
        (_camt(_ENTRIES.replace("2026-11-03</Dt></BookgDt>", "2026-02-30</Dt></BookgDt>")), "not a date"),
    ],
)
def test_a_broken_camt_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(StatementUnreadable, match=sentence):
        read_statements(text.encode())


# --- the same day in every form --------------------------------------------------------------------

_SETTINGS = BankSettings(bin="970436", account=ACCOUNT, holder="LIEN THONG")
_WORDS = st.text("ABCDEFGHKMNPQRTVWXYZ23456789", min_size=3, max_size=30)


@settings(max_examples=60, deadline=None)
@given(
    moves=st.lists(st.tuples(st.integers(-9_000_000, 90_000_000).filter(bool), _WORDS), max_size=12),
    opening=st.integers(0, 10**12),
)
def test_a_day_reads_the_same_in_camt_mt940_and_csv(moves: list[tuple[int, str]], opening: int) -> None:
    party = Party(name="NGUYEN VAN A", account="1903123456", bin="970407")
    entries = tuple(
        Entry(
            number=n,
            bank_reference=f"FT{n:06d}",
            kind="transfer",
            amount_dong=amount,
            content=content,
            counterparty=party,
            end_to_end_reference=None,
            booked_at=datetime(2026, 11, 3, 3, n, tzinfo=UTC),
            business_date=DAY,
        )
        for n, (amount, content) in enumerate(moves, start=1)
    )
    day = Day(DAY, opening, entries, opening + sum(amount for amount, _ in moves))

    forms = (
        camt053(day, _SETTINGS, made_at=datetime(2026, 11, 3, 15, tzinfo=UTC)),
        mt940(day, _SETTINGS).encode(),
        bank_csv(day, _SETTINGS).encode(),
    )
    read = [one(form) for form in forms]

    assert {(s.account, s.business_date, s.opening_dong, s.closing_dong) for s in read} == {
        (ACCOUNT, DAY, opening, day.closing_dong)
    }
    assert moved([read[0]]) == moved([read[1]]) == moved([read[2]])
    assert (
        fingerprints(ACCOUNT, read[0].lines)
        == fingerprints(ACCOUNT, read[1].lines)
        == fingerprints(ACCOUNT, read[2].lines)
    )
