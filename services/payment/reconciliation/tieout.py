"""The three-way tie-out of a day: what sources announced, what the bank shows, what the books say. Pure.

For each flow, bank − source is explained by timing (the two sides fall on different dates) or by breaks that two
people have resolved; what is left is the row's difference. Open breaks have to account for every difference:
unexplained = (bank closing − ledger bank) + differences − open breaks, and must be 0 before a day can be closed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from services.payment.contract import TieOutRow
from services.payment.reconciliation.matching import Flow

FLOWS: tuple[Flow, ...] = ("card", "vietqr", "post_remittance", "transfer_out", "unidentified")

Dated = tuple[date, int]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing money is about, with what each side says of it: (date, đồng) as the bank would sign it."""

    flow: Flow
    key: str
    source: tuple[Dated, ...] = ()
    bank: tuple[Dated, ...] = ()
    told_late: bool = False
    """The bank's statement was the first to tell us: its own notice was lost, and nothing is missing."""


@dataclass(frozen=True, slots=True)
class DayBreak:
    """A break of the day that explains a row, in đồng as bank − source."""

    flow: str
    key: str
    kind: str
    amount_dong: int
    is_open: bool


@dataclass
class _Sums:
    source: int = 0
    bank: int = 0
    timing: int = 0


@dataclass(frozen=True, slots=True)
class TieOut:
    """The rows of a day and the sum nothing explains."""

    rows: tuple[TieOutRow, ...]
    unexplained_dong: int
    open_breaks_dong: int


@dataclass(frozen=True, slots=True)
class Bank:
    """The two figures for the bank account at the end of the day, in đồng; equal, or something is wrong."""

    closing_dong: int
    ledger_dong: int
    ledger_by_flow: Mapping[str, int] = field(default_factory=dict)


def tie_out(on: date, items: Iterable[Item], breaks: Sequence[DayBreak], bank: Bank | None) -> TieOut:
    """Tie a day out. `bank` is None while the day's statement is not there."""
    sums: dict[str, _Sums] = {flow: _Sums() for flow in FLOWS}
    for item in items:
        total = sums[item.flow]
        source, shown = _on(item.source, on), _on(item.bank, on)
        total.source += source
        total.bank += shown
        total.timing += _timing(item, on, source=source, shown=shown)
    for each in breaks:
        if each.kind == "missing_in_bank":
            # On this day the item stops being "on its way": what was expected is now asked for.
            sums[each.flow].timing -= each.amount_dong
        if not each.is_open:
            sums[each.flow].timing += each.amount_dong
    by_flow = bank.ledger_by_flow if bank is not None else {}
    rows = tuple(
        TieOutRow(
            flow=flow,
            source_dong=sums[flow].source,
            bank_dong=sums[flow].bank,
            ledger_dong=by_flow.get(flow, 0),
            timing_dong=sums[flow].timing,
            difference_dong=sums[flow].bank - sums[flow].source - sums[flow].timing,
        )
        for flow in FLOWS
    )
    open_sum = sum(each.amount_dong for each in breaks if each.is_open)
    gap = bank.closing_dong - bank.ledger_dong if bank is not None else 0
    unexplained = gap + sum(row.difference_dong for row in rows) - open_sum
    return TieOut(rows, unexplained, open_sum)


def _on(amounts: Sequence[Dated], day: date) -> int:
    return sum(amount for when, amount in amounts if when == day)


def _timing(item: Item, on: date, *, source: int, shown: int) -> int:
    """What of bank − source on this day is only a matter of dates."""
    if not item.source:
        return shown if item.told_late else 0
    announced = sum(amount for _, amount in item.source)
    if not item.bank:
        return -source
    first_bank = min(when for when, _ in item.bank)
    timing = 0
    if source and first_bank != on:
        timing -= source
    if first_bank == on and not source:
        timing += announced
    return timing
