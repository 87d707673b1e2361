"""Amounts and dates as banks write them, read generously and never guessed. Pure."""

import re
import unicodedata
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from services.payment.reconciliation.statements.lines import StatementUnreadable

_LOCAL = ZoneInfo("Asia/Ho_Chi_Minh")
"""Banks of this country date their books by it; importing it from the pages would bring the web framework."""
_LARGEST_DONG = 10**15
_CURRENCY = re.compile(r"(?i)\b(?:vnd|vnđ|dong|đồng)\b|[đ₫](?=\s*$)")
_GROUPED = re.compile(r"\d{1,3}(?:(?P<mark>[.,\s'])\d{3})(?:(?P=mark)\d{3})*")
_MONTHS = {name: number for number, name in enumerate(
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
)}  # fmt: skip
_DAY_FIRST = re.compile(r"(\d{1,2})[/.\-\s](\d{1,2}|[A-Za-z]{3})[/.\-\s](\d{4}|\d{2})(?!\d)")
_YEAR_FIRST = re.compile(r"(\d{4})[/.\-]?(\d{2})[/.\-]?(\d{2})(?!\d)")
_EXCEL_EPOCH = date(1899, 12, 30)


def whole_dong(text: str) -> int:
    """An amount with a decimal point, as XML and SWIFT write it. Raises StatementUnreadable unless whole đồng."""
    try:
        amount = Decimal(text.strip())
    except InvalidOperation as error:
        raise StatementUnreadable(f"Số tiền {text!r} không hợp lệ.", f"{text!r} is not an amount.") from error
    if not amount.is_finite() or amount != amount.to_integral_value() or abs(amount) >= _LARGEST_DONG:
        raise StatementUnreadable(f"Số tiền {text!r} không phải số đồng.", f"{text!r} is not a whole number of đồng.")
    return int(amount)


def grouped_dong(text: str) -> int:
    """An amount as a table shows it: 1.234.567 and 1,234,567 and (1 234 567) and -1,234,567.00 VND.

    đồng have no decimals, so a mark before exactly three digits separates thousands; other decimals must be zeros.
    Raises StatementUnreadable.
    """
    plain = _CURRENCY.sub("", unicodedata.normalize("NFKC", text)).replace("−", "-").strip()
    negative = plain.startswith("-") or plain.endswith("-") or (plain.startswith("(") and plain.endswith(")"))
    plain = plain.strip("()+- ")
    head, mark, tail = _cents(plain)
    if mark and tail.strip("0"):
        raise StatementUnreadable(f"Số tiền {text!r} không phải số đồng.", f"{text!r} is not a whole number of đồng.")
    if _GROUPED.fullmatch(head):
        head = re.sub(r"\D", "", head)
    if not head.isascii() or not head.isdigit():
        raise StatementUnreadable(f"Số tiền {text!r} không hợp lệ.", f"{text!r} is not an amount.")
    dong = whole_dong(head)
    return -dong if negative else dong


def _cents(text: str) -> tuple[str, str, str]:
    """Split off decimals: the last mark, unless exactly three digits follow it."""
    found = re.fullmatch(r"(.*\d)([.,])(\d{1,2}|0{4,})", text)
    return (found[1], found[2], found[3]) if found else (text, "", "")


def day_of(text: str) -> date:
    """An ISO date, or the local day of an ISO moment. Raises StatementUnreadable."""
    text = text.strip()
    try:
        if len(text) > 10 and text[10] in "T ":
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo is None else moment.astimezone(_LOCAL)).date()
        return date.fromisoformat(text[:10])  # an XML date may carry its zone: 2026-11-21+07:00
    except ValueError as error:
        raise _no_day(text) from error


def written_day(text: str) -> date:
    """A date as tables show it, day before month: 21/11/2026, 21-11-26, 21 Nov 2026, 2026-11-21; any time is left out.

    A bare number is the day count of a spreadsheet. Raises StatementUnreadable.
    """
    plain = text.strip()
    if re.fullmatch(r"\d{5}(?:\.\d+)?", plain):
        return _EXCEL_EPOCH + timedelta(days=int(float(plain)))
    try:
        if found := _YEAR_FIRST.match(plain):
            return date(int(found[1]), int(found[2]), int(found[3]))
        if found := _DAY_FIRST.match(plain):
            month = int(found[2]) if found[2].isdigit() else _MONTHS[found[2].lower()]
            year = int(found[3]) + (2000 if len(found[3]) == 2 else 0)
            return date(year, month, int(found[1]))
    except (ValueError, KeyError) as error:
        raise _no_day(text) from error
    raise _no_day(text)


def _no_day(text: str) -> StatementUnreadable:
    return StatementUnreadable(f"Ngày {text[:40]!r} không hợp lệ.", f"{text[:40]!r} is not a date.")
