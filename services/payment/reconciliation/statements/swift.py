"""Reads SWIFT MT940 statements and MT942 interim reports, several messages and pages to a file. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise

from services.payment.reconciliation.statements.figures import whole_dong
from services.payment.reconciliation.statements.lines import (
    Format,
    ParsedLine,
    ParsedStatement,
    StatementUnreadable,
    numbered,
)

_TAG = re.compile(r":(\d{2}[A-Z]?):")
_FULL_LINE = 65
"""Characters of a full line of field 86: text that reaches it was wrapped by width, perhaps within a word."""
_BALANCE = re.compile(r"([CD])(\d{6})([A-Z]{3})(\d[\d.]*(?:,\d*)?)")
_MOVEMENT = re.compile(
    r"(?P<value>\d{6})(?P<entry>\d{4})?(?P<mark>R?[CD]|E[CD])(?P<funds>[A-Z])?(?P<amount>\d[\d.]*,\d*|\d+)"
    r"(?P<kind>[A-Z][A-Z0-9]{3})?(?P<own>[^/\n]*(?:/(?!/)[^/\n]*)*)(?://(?P<bank>[^\n]*))?(?:\n(?P<more>.*))?",
    re.DOTALL,
)
_CODED = re.compile(r"\?(\d{2})([^?]*)")
_NAMED = re.compile(r"/(REMI|CNTP|EREF|ORDP|BENM|NAME|ACC|NTRF|PREF|IREF|RTRN)/")
_NO_REFERENCE = {"", "NONREF", "NOREF"}


@dataclass(slots=True)
class _Message:
    """One message, or one page of a statement that goes over several."""

    reference: str = ""
    account: str = ""
    number: str = ""
    opening: tuple[int, date] | None = None
    closing: tuple[int, date] | None = None
    continues: bool = False
    """Closes with an intermediate balance: the next page goes on."""
    interim: bool = False
    made_on: date | None = None
    lines: list[ParsedLine] | None = None


def read_swift(text: str) -> list[ParsedStatement]:
    """Every statement of the file. Raises StatementUnreadable with the line that cannot be read."""
    messages: list[_Message] = []
    for tag, value, at in _fields(text):
        if tag == "20" or not messages:
            messages.append(_Message(lines=[]))
        _take(messages[-1], tag, value, at)
    statements: list[ParsedStatement] = []
    begun: _Message | None = None
    for message in messages:
        begun = message if begun is None else _joined(begun, message)
        if not begun.continues:
            statements.append(_statement(begun))
            begun = None
    if begun is not None:
        raise StatementUnreadable(
            "Sao kê MT940 bị thiếu trang cuối (chưa có trường :62F:).",
            "The MT940 statement lacks its last page (there is no field :62F:).",
        )
    if not statements:
        raise StatementUnreadable("Tệp không chứa sao kê MT940.", "The file holds no MT940 statement.")
    return statements


def _fields(text: str) -> Iterator[tuple[str, str, int]]:
    """(tag, value, line number): a field goes on until the next tag; envelopes and trailers are passed over."""
    tag, value, begun = "", [""], 0
    for number, raw in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        line = re.sub(r"^\{1:.*?\{4:", "", raw).rstrip()
        found = _TAG.match(line)
        if found:
            if tag:
                yield tag, "\n".join(value), begun
            tag, value, begun = found[1], [line[found.end() :]], number
        elif line.startswith(("-}", "{1:", "{2:", "{4:")) or line == "-":
            if tag:
                yield tag, "\n".join(value), begun
            tag = ""
        elif tag:
            value.append(line)
    if tag:
        yield tag, "\n".join(value), begun


def _take(message: _Message, tag: str, value: str, at: int) -> None:
    assert message.lines is not None
    match tag:
        case "20":
            message.reference = value.strip()
        case "25" | "25P":
            message.account = value.partition("\n")[0].strip().rpartition("/")[2].removesuffix("VND").strip()
        case "28" | "28C":
            message.number = value.strip().split("/")[0]
        case "60F" | "60M":
            message.opening = _balance(value, at)
        case "62F" | "62M":
            message.closing = _balance(value, at)
            message.continues = tag == "62M"
        case "13" | "13D":
            message.interim, message.made_on = True, _date(value[:6], at)
        case "34F" | "90D" | "90C":
            message.interim = True
        case "61":
            message.lines.append(_movement(value, at))
        case "86" if message.lines and message.closing is None:
            message.lines[-1] = _told(message.lines[-1], value)
        case _:
            pass


def _joined(first: _Message, page: _Message) -> _Message:
    """A statement and its next page, which must go on where it stopped."""
    if page.account != first.account or page.opening is None or page.opening != first.closing:
        raise StatementUnreadable(
            f"Sao kê số {first.number} bị thiếu trang giữa chừng.",
            f"Statement {first.number} lacks a page in the middle.",
        )
    lines = [*(first.lines or []), *(page.lines or [])]
    return replace(first, closing=page.closing, continues=page.continues, lines=lines)


def _statement(message: _Message) -> ParsedStatement:
    if not message.account:
        raise StatementUnreadable("Sao kê thiếu số tài khoản (:25:).", "The statement lacks its account (:25:).")
    lines = numbered(message.lines or [])
    interim = message.interim and message.closing is None
    if not interim and (message.opening is None or message.closing is None):
        raise StatementUnreadable(
            f"Sao kê {message.reference} thiếu số dư đầu kỳ (:60F:) hoặc cuối kỳ (:62F:).",
            f"Statement {message.reference} lacks its opening (:60F:) or closing balance (:62F:).",
        )
    moved = sum(line.amount_dong for line in lines)
    opening = message.opening[0] if message.opening else 0
    last = max((line.booked_on for line in lines), default=None)
    end = message.closing[1] if message.closing else message.made_on or last
    if end is None:
        raise StatementUnreadable("Sao kê thiếu ngày.", "The statement lacks its date.")
    form: Format = "mt942" if interim else "mt940"
    return ParsedStatement(
        format=form,
        account=message.account,
        identity=f"{message.number or message.reference}-{end:%Y%m%d}",
        business_date=end,
        begins_on=min([line.booked_on for line in lines] + [end]) if lines else None,
        opening_dong=opening,
        closing_dong=message.closing[0] if message.closing else opening + moved,
        lines=lines,
    )


def _balance(value: str, at: int) -> tuple[int, date]:
    found = _BALANCE.match(value.strip())
    if found is None:
        raise _unreadable(at, value)
    if found[3] != "VND":
        raise StatementUnreadable(
            f"Sao kê bằng {found[3]}; tài khoản thu chỉ nhận đồng Việt Nam.",
            f"The statement is in {found[3]}; the collecting account is in đồng (VND).",
        )
    dong = _amount(found[4])
    return (dong if found[1] == "C" else -dong), _date(found[2], at)


def _movement(value: str, at: int) -> ParsedLine:
    found = _MOVEMENT.fullmatch(value.strip())
    if found is None:
        raise _unreadable(at, value)
    value_on = _date(found["value"], at)
    booked_on = _entry_date(found["entry"], value_on, at) if found["entry"] else value_on
    # RC takes back a credit, RD gives back a debit.
    is_credit = found["mark"] in ("C", "EC", "RD")
    dong = _amount(found["amount"])
    own, bank = (found["own"] or "").strip(), (found["bank"] or "").strip()
    return ParsedLine(
        number=0,
        booked_on=booked_on,
        value_on=value_on,
        amount_dong=dong if is_credit else -dong,
        bank_reference=next((text for text in (bank, own) if text.upper() not in _NO_REFERENCE), ""),
        content=(found["more"] or "").replace("\n", " ").strip(),
    )


def _told(line: ParsedLine, value: str) -> ParsedLine:
    """A line with what its field 86 tells: coded by ?20, named by /REMI/, or plain text."""
    text = _unwrapped(value)
    coded = dict(_codes(text))
    if coded:
        content = "".join(coded[code] for code in sorted(coded) if "20" <= code <= "29" or "60" <= code <= "63")
        name = (coded.get("32", "") + coded.get("33", "")).strip()
        return replace(
            line,
            content=content.strip() or line.content,
            payer_name=name,
            payer_account=coded.get("31", "").strip(),
            payer_bin=coded.get("30", "").strip(),
        )
    named = _NAMED.split(text)
    if len(named) > 1:
        told = dict(zip(named[1::2], named[2::2], strict=True))
        account, bank, name = _party(told.get("CNTP", ""))
        return replace(
            line,
            content=(told.get("REMI") or named[0] or line.content).strip(" /"),
            payer_account=account or told.get("ACC", "").strip(" /"),
            payer_bin=bank,
            payer_name=name or (told.get("NAME") or told.get("ORDP") or told.get("BENM") or "").strip(" /"),
        )
    return replace(line, content=text.strip() or line.content)


def _codes(text: str) -> list[tuple[str, str]]:
    return [(found[1], found[2]) for found in _CODED.finditer(text)] if re.match(r"\d{0,3}\?\d{2}", text) else []


def _party(text: str) -> tuple[str, str, str]:
    account, _, rest = text.strip("/").partition("/")
    bank, _, name = rest.partition("/")
    return account.strip(), bank.strip(), name.strip(" /")


def _unwrapped(value: str) -> str:
    """One text of the lines of a field: a full line was cut by width, a shorter one ended with a word."""
    lines = value.split("\n")
    text = lines[0]
    for before, line in pairwise(lines):
        text += line if len(before) >= _FULL_LINE or line.startswith("?") else f" {line}"
    return text


def _amount(text: str) -> int:
    return whole_dong(text.replace(".", "").replace(",", ".").rstrip("."))


def _date(text: str, at: int) -> date:
    try:
        return date(2000 + int(text[:2]), int(text[2:4]), int(text[4:6]))
    except ValueError as error:
        raise StatementUnreadable(
            f"Dòng {at}: ngày {text!r} (năm tháng ngày) không có trong lịch.",
            f"Line {at}: the date {text!r} (year month day) does not exist.",
        ) from error


def _entry_date(text: str, value_on: date, at: int) -> date:
    """The booking day of MMDD, in the year that brings it closest to the value date."""
    _date(f"{2000 % 100:02d}{text}", at)  # 2000 was a leap year: refuses what no year has
    near = []
    for year in (value_on.year - 1, value_on.year, value_on.year + 1):
        try:
            near.append(date(year, int(text[:2]), int(text[2:])))
        except ValueError:
            continue
    return min(near, key=lambda day: abs((day - value_on).days))


def _unreadable(at: int, value: str) -> StatementUnreadable:
    return StatementUnreadable(
        f"Dòng {at} không đọc được: {value[:60]!r}.", f"Line {at} cannot be read: {value[:60]!r}."
    )
