"""What every form of bank statement is read into: lines of one account and day, with the balances around them. Pure."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal

Format = Literal["camt.052", "camt.053", "camt.054", "mt940", "mt942", "csv", "xlsx"]
NOTICES: tuple[Format, ...] = ("camt.052", "camt.054", "mt942")
"""Forms that tell of movements while the day is open. They carry no final balance and never replace a statement."""
_LONGEST_PERIOD_DAYS = 400


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
    bank_reference: str = ""
    content: str = ""
    payer_account: str = ""
    payer_name: str = ""
    payer_bin: str = ""


@dataclass(frozen=True, slots=True)
class ParsedStatement:
    """A statement of one account. `begins_on` is before `business_date` when it covers several days."""

    format: Format
    account: str
    identity: str
    business_date: date
    opening_dong: int
    closing_dong: int
    lines: tuple[ParsedLine, ...]
    begins_on: date | None = None
    mismatch_dong: int = 0
    """What the file says against itself elsewhere: a batch and its parts, a running balance and its lines."""

    @property
    def is_notice(self) -> bool:
        """Told while the day was open: to be believed about its lines, not about the day."""
        return self.format in NOTICES

    @property
    def imbalance_dong(self) -> int:
        """What opening and lines lack to make the closing balance: 0 in a statement that can be trusted."""
        return self.closing_dong - self.opening_dong - sum(line.amount_dong for line in self.lines)


def by_day(statement: ParsedStatement) -> list[ParsedStatement]:
    """One statement for each day covered, days without a line included, each opening where the last one closed.

    A statement of one day, or with a line booked outside its period, stays as it is.
    """
    begin, end = statement.begins_on or statement.business_date, statement.business_date
    if begin >= end or statement.is_notice or any(not begin <= line.booked_on <= end for line in statement.lines):
        return [replace(statement, begins_on=None)]
    if (end - begin).days > _LONGEST_PERIOD_DAYS:
        raise StatementUnreadable(
            f"Sao kê gồm hơn {_LONGEST_PERIOD_DAYS} ngày; hãy tải từng khoảng ngắn hơn.",
            f"The statement covers more than {_LONGEST_PERIOD_DAYS} days; send shorter periods.",
        )
    days: dict[date, list[ParsedLine]] = {begin + timedelta(days=n): [] for n in range((end - begin).days + 1)}
    for line in statement.lines:
        days[line.booked_on].append(line)
    found: list[ParsedStatement] = []
    balance = statement.opening_dong
    for day, lines in days.items():
        closing = balance + sum(line.amount_dong for line in lines)
        found.append(
            replace(
                statement,
                business_date=day,
                begins_on=None,
                opening_dong=balance,
                closing_dong=closing,
                lines=numbered(lines),
                mismatch_dong=0,
            )
        )
        balance = closing
    # What the file lacks stays visible: on its last day.
    last = found[-1]
    found[-1] = replace(
        last, closing_dong=last.closing_dong + statement.imbalance_dong, mismatch_dong=statement.mismatch_dong
    )
    return found


def numbered(lines: Iterable[ParsedLine]) -> tuple[ParsedLine, ...]:
    """The same lines, numbered from 1 in their order."""
    return tuple(replace(line, number=number) for number, line in enumerate(lines, start=1))


def fingerprints(account: str, lines: Sequence[ParsedLine]) -> list[tuple[str, int]]:
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
