"""Reads bank statements: ISO 20022 camt.053 and the bank's own CSV, both into the same lines. Pure."""

import csv
import hashlib
import io
import re
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Literal
from xml.etree.ElementTree import Element, ParseError
from zoneinfo import ZoneInfo

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

_LOCAL = ZoneInfo("Asia/Ho_Chi_Minh")
"""Banks of this country date their books by it; importing it from the pages would bring the web framework."""

Format = Literal["camt.053", "csv"]


class StatementUnreadable(ValueError):
    """Not a statement we can read; `vi` and the message say what is wrong with it."""

    def __init__(self, vi: str, en: str) -> None:
        super().__init__(en)
        self.vi = vi
        self.en = en


@dataclass(frozen=True, slots=True)
class ParsedLine:
    """One booked movement, credit positive, in đồng."""

    number: int
    booked_on: date
    value_on: date
    amount_dong: int
    bank_reference: str
    content: str
    payer_account: str
    payer_name: str
    payer_bin: str


@dataclass(frozen=True, slots=True)
class ParsedStatement:
    """A statement of one account and business date."""

    format: Format
    account: str
    identity: str
    business_date: date
    opening_dong: int
    closing_dong: int
    lines: tuple[ParsedLine, ...]

    @property
    def imbalance_dong(self) -> int:
        """What opening and lines lack to make the closing balance: 0 in a statement that can be trusted."""
        return self.closing_dong - self.opening_dong - sum(line.amount_dong for line in self.lines)


def parse_statement(content: bytes) -> ParsedStatement:
    """Read a statement in whichever form it is. Raises StatementUnreadable."""
    if b"\x00" in content:
        raise StatementUnreadable("Tệp chứa ký tự NUL, không phải sao kê.", "The file holds NUL characters.")
    head = content.lstrip(b"\xef\xbb\xbf \r\n\t")[:1]
    return _camt(content) if head == b"<" else _bank_csv(content)


def fingerprints(account: str, lines: tuple[ParsedLine, ...]) -> list[tuple[str, int]]:
    """What makes each line recognisable in another file, and its occurrence among equal lines of this one.

    The bank's reference decides; without one the text does, and two equal lines of a day stay two lines.
    """
    seen: Counter[str] = Counter()
    marks: list[tuple[str, int]] = []
    for line in lines:
        what = line.bank_reference or f"{line.content}|{line.payer_account}"
        text = f"{account}|{line.booked_on.isoformat()}|{line.amount_dong}|{what}"
        digest = hashlib.sha256(text.encode()).hexdigest()
        seen[digest] += 1
        marks.append((digest, seen[digest]))
    return marks


# --- camt.053 --------------------------------------------------------------------------------------


def _camt(content: bytes) -> ParsedStatement:
    try:
        root = fromstring(content, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise StatementUnreadable("Tệp không phải XML hợp lệ.", "The file is not valid XML.") from error
    statements = [node for node in root.iter() if _name(node) == "Stmt"]
    if len(statements) != 1:
        raise StatementUnreadable(
            f"Tệp có {len(statements)} sao kê; hãy gửi mỗi tệp một sao kê camt.053.",
            f"The file holds {len(statements)} statements; send one camt.053 statement a file.",
        )
    statement = statements[0]
    opening, closing = _balance(statement, "OPBD", "PRCD"), _balance(statement, "CLBD")
    account = _found(statement, "Acct/Id/Othr/Id") or _found(statement, "Acct/Id/IBAN")
    if opening is None or closing is None or not account:
        raise StatementUnreadable(
            "Sao kê thiếu số tài khoản, số dư đầu kỳ hoặc số dư cuối kỳ.",
            "The statement lacks its account, opening balance or closing balance.",
        )
    entries = [node for node in statement if _name(node) == "Ntry" and _booked(node)]
    return ParsedStatement(
        format="camt.053",
        account=account,
        identity=_found(statement, "Id"),
        business_date=closing[1],
        opening_dong=opening[0],
        closing_dong=closing[0],
        lines=tuple(_camt_line(node, number, closing[1]) for number, node in enumerate(entries, start=1)),
    )


def _name(node: Element) -> str:
    return str(node.tag).rpartition("}")[2]


def _child(node: Element, name: str) -> Element | None:
    return next((child for child in node if _name(child) == name), None)


def _at(node: Element, path: str) -> Element | None:
    found: Element | None = node
    for name in path.split("/"):
        if found is None:
            return None
        found = _child(found, name)
    return found


def _found(node: Element, path: str) -> str:
    found = _at(node, path)
    return (found.text or "").strip() if found is not None else ""


def _booked(entry: Element) -> bool:
    return (_found(entry, "Sts/Cd") or _found(entry, "Sts") or "BOOK") == "BOOK"


def _signed(node: Element) -> int:
    amount = _child(node, "Amt")
    if amount is None or amount.get("Ccy", "VND") != "VND":
        raise StatementUnreadable("Sao kê có số tiền không phải đồng.", "The statement holds an amount not in đồng.")
    dong = _dong(amount.text or "")
    return -dong if _found(node, "CdtDbtInd") == "DBIT" else dong


def _balance(statement: Element, *codes: str) -> tuple[int, date] | None:
    for code in codes:
        for node in statement:
            if _name(node) == "Bal" and _found(node, "Tp/CdOrPrtry/Cd") == code:
                return _signed(node), _day(_found(node, "Dt/Dt") or _found(node, "Dt/DtTm"))
    return None


def _day(text: str) -> date:
    try:
        if len(text) > 10:
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo is None else moment.astimezone(_LOCAL)).date()
        return date.fromisoformat(text)
    except ValueError as error:
        raise StatementUnreadable(f"Ngày {text!r} không hợp lệ.", f"{text!r} is not a date.") from error


def _camt_line(entry: Element, number: int, business_date: date) -> ParsedLine:
    details = _at(entry, "NtryDtls/TxDtls")
    amount = _signed(entry)
    side = "Dbtr" if amount > 0 else "Cdtr"
    booked = _found(entry, "BookgDt/Dt") or _found(entry, "BookgDt/DtTm")
    value = _found(entry, "ValDt/Dt") or _found(entry, "ValDt/DtTm")
    texts = details.iter() if details is not None else iter(())
    content = "".join((node.text or "") for node in texts if _name(node) == "Ustrd")
    return ParsedLine(
        number=number,
        booked_on=_day(booked) if booked else business_date,
        value_on=_day(value) if value else business_date,
        amount_dong=amount,
        bank_reference=_found(entry, "AcctSvcrRef"),
        content=content or _found(entry, "AddtlNtryInf"),
        payer_account=_found(details, f"RltdPties/{side}Acct/Id/Othr/Id") if details is not None else "",
        payer_name=(
            _found(details, f"RltdPties/{side}/Pty/Nm") or _found(details, f"RltdPties/{side}/Nm")
            if details is not None
            else ""
        ),
        payer_bin=(_found(details, f"RltdAgts/{side}Agt/FinInstnId/ClrSysMmbId/MmbId") if details is not None else ""),
    )


def _dong(text: str) -> int:
    try:
        amount = Decimal(text.strip())
    except InvalidOperation as error:
        raise StatementUnreadable(f"Số tiền {text!r} không hợp lệ.", f"{text!r} is not an amount.") from error
    if not amount.is_finite() or amount != amount.to_integral_value() or abs(amount) >= 10**15:
        raise StatementUnreadable(f"Số tiền {text!r} không phải số đồng.", f"{text!r} is not a whole number of đồng.")
    return int(amount)


# --- the bank's CSV --------------------------------------------------------------------------------


def _bank_csv(content: bytes) -> ParsedStatement:
    try:
        text = content.decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise StatementUnreadable("Tệp không phải CSV UTF-8.", "The file is not CSV in UTF-8.") from error
    head = {row[0].split(" / ")[0].strip().lower(): row for row in rows if row and row[0]}
    try:
        account = head["số tài khoản"][1].strip()
        business_date = _csv_day(head["từ ngày"][1])
        if _csv_day(head["từ ngày"][4]) != business_date:
            raise StatementUnreadable(
                "Sao kê gồm nhiều ngày; hãy gửi mỗi tệp một ngày.",
                "The statement covers several days; send one a file.",
            )
        opening, closing = _grouped(head["số dư đầu kỳ"][1]), _grouped(head["số dư cuối kỳ"][1])
        begin = next(index for index, row in enumerate(rows) if row and row[0].strip().upper() == "STT")
    except (KeyError, IndexError, StopIteration) as error:
        raise StatementUnreadable(
            "Tệp CSV không theo mẫu sao kê đã biết.", "The CSV does not have the form of a known statement."
        ) from error
    lines = [_csv_line(row) for row in rows[begin + 1 :] if row and row[0].strip().isdigit()]
    return ParsedStatement(
        format="csv",
        account=account,
        identity=f"{account}-{business_date:%Y%m%d}",
        business_date=business_date,
        opening_dong=opening,
        closing_dong=closing,
        lines=tuple(lines),
    )


def _csv_line(row: list[str]) -> ParsedLine:
    if len(row) < 11:
        raise StatementUnreadable(f"Dòng {row[0]} thiếu cột.", f"Line {row[0]} lacks columns.")
    debit, credit = _grouped(row[4] or "0"), _grouped(row[5] or "0")
    return ParsedLine(
        number=int(row[0]),
        booked_on=_csv_day(row[1]),
        value_on=_csv_day(row[2]),
        amount_dong=credit - debit,
        bank_reference=row[3].strip(),
        content=row[7],
        payer_account=row[9].strip(),
        payer_name=row[8].strip(),
        payer_bin=row[10].strip(),
    )


def _csv_day(text: str) -> date:
    found = re.match(r"\s*(\d{2})/(\d{2})/(\d{4})", text)
    if found is None:
        raise StatementUnreadable(f"Ngày {text!r} không hợp lệ.", f"{text!r} is not a date.")
    return _day(f"{found[3]}-{found[2]}-{found[1]}")


def _grouped(text: str) -> int:
    return _dong(text.replace(",", "").strip())
