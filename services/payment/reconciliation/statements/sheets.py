"""Reads a bank's downloaded table as a statement, by the words of its headings. Pure; the words are `layouts.yaml`."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TypedDict

import yaml

from services.payment.reconciliation.statements.figures import grouped_dong, written_day
from services.payment.reconciliation.statements.lines import (
    Format,
    ParsedLine,
    ParsedStatement,
    StatementUnreadable,
    numbered,
)
from services.payment.reconciliation.statements.tables import Table, tables_of

_HEADER_WITHIN = 60
"""Rows of noise a bank may put above its table."""


class _Bank(TypedDict):
    bank: str
    tell: list[str]
    words: dict[str, list[str]]


class _Layouts(TypedDict):
    words: dict[str, list[str]]
    labels: dict[str, list[str]]
    credit_words: list[str]
    debit_words: list[str]
    banks: list[_Bank]


@dataclass(frozen=True, slots=True)
class _Row:
    """A row that moves money, before its sign and order are settled."""

    at: int
    booked_on: date
    value_on: date
    amount_dong: int
    balance_dong: int | None
    cells: Mapping[str, str]


def read_sheet(content: bytes) -> list[ParsedStatement]:
    """The statement of a CSV, XLSX or HTML table. Raises StatementUnreadable with the row that cannot be read."""
    form, tables = tables_of(content)
    for table in tables:
        header = _header(table)
        if header is not None:
            return [_statement(form, table, *header)]
    raise StatementUnreadable(
        "Không tìm thấy hàng tiêu đề của bảng sao kê (cần cột ngày, nội dung và ghi nợ/ghi có hoặc số tiền).",
        "No heading of a statement was found; it needs columns for date, description, and debit/credit or amount.",
    )


@cache
def _layouts() -> _Layouts:
    found: _Layouts = yaml.safe_load((Path(__file__).parent / "layouts.yaml").read_text(encoding="utf-8"))
    return found


def plain(text: str) -> str:
    """Words without case, diacritics and punctuation: what headings are compared by."""
    flat = unicodedata.normalize("NFD", text.casefold().replace("đ", "d"))
    return " ".join(re.sub(r"[^a-z0-9]+", " ", "".join(c for c in flat if not unicodedata.combining(c))).split())


# --- headings --------------------------------------------------------------------------------------


def _header(table: Table) -> tuple[int, dict[str, int]] | None:
    """The last row of the heading and the column of each field."""
    words = _words(table)
    for at, row in enumerate(table[:_HEADER_WITHIN]):
        columns = _columns(row, words)
        if len(columns) < 2:
            continue
        below = table[at + 1] if at + 1 < len(table) else []
        if below and not any(_is_figure(cell) for cell in below):
            # A heading over two rows: "Số tiền" above "Nợ" and "Có".
            both = [f"{_cell(row, n)} {_cell(below, n)}" for n in range(max(len(row), len(below)))]
            joined = _columns(both, words)
            if (
                _is_complete(joined)
                and {"debit", "credit"} <= joined.keys()
                and not _is_complete(_columns(below, words))
            ):
                return at + 1, joined
        if _is_complete(columns):
            return at, columns
    return None


def _words(table: Table) -> list[tuple[str, str]]:
    """(words, field), longest first; those of the bank that the first rows name come on top of the general ones."""
    layouts = _layouts()
    head = plain(" ".join(cell for row in table[:20] for cell in row))
    pairs = {word: name for name, words in layouts["words"].items() for word in words}
    for bank in layouts["banks"]:
        if any(f" {tell} " in f" {head} " for tell in bank["tell"]):
            pairs |= {word: name for name, words in bank["words"].items() for word in words}
            break
    return sorted(pairs.items(), key=lambda pair: (-len(pair[0]), pair[0]))


def _columns(row: Sequence[str], words: list[tuple[str, str]]) -> dict[str, int]:
    columns: dict[str, int] = {}
    for at, cell in enumerate(row):
        text = f" {plain(cell)} "
        name = next((name for word, name in words if f" {word} " in text), None) if len(text) < 80 else None
        if name is not None and name not in columns:
            columns[name] = at
    return columns


def _is_complete(columns: Mapping[str, int]) -> bool:
    has_day = "booked" in columns or "value" in columns
    has_amount = "amount" in columns or {"debit", "credit"} <= columns.keys()
    return has_day and has_amount and ("content" in columns or "reference" in columns)


# --- the table -------------------------------------------------------------------------------------


def _statement(form: Format, table: Table, header: int, columns: dict[str, int]) -> ParsedStatement:
    rows, labelled = _rows(table, header, columns)
    rows = _in_order(_signed(rows, columns))
    labelled = [*table[:header], *labelled]
    account = _account(table[:header]) or _account(labelled)
    opening, closing = _labelled_amount(labelled, "opening"), _labelled_amount(labelled, "closing")
    if rows and opening is None and rows[0].balance_dong is not None:
        opening = rows[0].balance_dong - rows[0].amount_dong
    if rows and closing is None and rows[-1].balance_dong is not None:
        closing = rows[-1].balance_dong
    if not account:
        raise StatementUnreadable("Sao kê không ghi số tài khoản.", "The statement does not name its account.")
    if opening is None or closing is None:
        raise StatementUnreadable(
            "Sao kê không ghi số dư đầu kỳ và cuối kỳ, cũng không có cột số dư.",
            "The statement has neither opening and closing balances nor a column of balances.",
        )
    begins_on, ends_on = _period(labelled, rows)
    return ParsedStatement(
        format=form,
        account=account,
        identity=f"{account}-{begins_on:%Y%m%d}-{ends_on:%Y%m%d}",
        business_date=ends_on,
        begins_on=begins_on,
        opening_dong=opening,
        closing_dong=closing,
        lines=numbered(_line(row) for row in rows),
    )


def _line(row: _Row) -> ParsedLine:
    return ParsedLine(
        number=row.at,
        booked_on=row.booked_on,
        value_on=row.value_on,
        amount_dong=row.amount_dong,
        bank_reference=row.cells.get("reference", ""),
        content=row.cells.get("content", ""),
        payer_account=row.cells.get("payer_account", ""),
        payer_name=row.cells.get("payer_name", ""),
        payer_bin=row.cells.get("payer_bank", ""),
    )


def _rows(table: Table, header: int, columns: Mapping[str, int]) -> tuple[list[_Row], Table]:
    """The rows that move money, and those that only say something (totals, balances, notes)."""
    rows: list[_Row] = []
    others: Table = []
    for at, row in enumerate(table[header + 1 :], start=header + 2):
        cells = {name: _cell(row, column) for name, column in columns.items()}
        told = cells.get("booked") or cells.get("value") or ""
        if not any(character.isdigit() for character in told) or _is_label(row):
            _go_on(rows, cells, row)
            others.append(row)
            continue
        try:
            booked_on = written_day(told)
            value_on = written_day(cells["value"]) if _is_day(cells.get("value", "")) else booked_on
            amount = _amount(cells)
            balance = grouped_dong(cells["balance"]) if cells.get("balance") else None
        except StatementUnreadable as error:
            raise StatementUnreadable(f"Hàng {at}: {error.vi}", f"Row {at}: {error.en}") from error
        if amount:
            rows.append(_Row(at, booked_on, value_on, amount, balance, cells))
    return rows, others


def _go_on(rows: list[_Row], cells: Mapping[str, str], row: Sequence[str]) -> None:
    """A row that holds nothing but more of the text of the line above."""
    more = cells.get("content", "")
    if rows and more and not any(cell for cell in row if cell != more) and not _is_label(row):
        last = rows[-1]
        joined = {**last.cells, "content": f"{last.cells.get('content', '')} {more}".strip()}
        rows[-1] = _Row(last.at, last.booked_on, last.value_on, last.amount_dong, last.balance_dong, joined)


def _amount(cells: Mapping[str, str]) -> int:
    if "debit" in cells and "credit" in cells:
        credit = grouped_dong(cells["credit"]) if _is_figure(cells["credit"]) else 0
        debit = abs(grouped_dong(cells["debit"])) if _is_figure(cells["debit"]) else 0
        return credit - debit
    if not _is_figure(cells["amount"]):
        return 0
    amount = grouped_dong(cells["amount"])
    sign = plain(cells.get("sign", "")) or cells.get("sign", "").strip()
    layouts = _layouts()
    if sign in layouts["debit_words"]:
        return -abs(amount)
    return abs(amount) if sign in layouts["credit_words"] else amount


def _is_figure(text: str) -> bool:
    return any(character.isdigit() for character in text)


def _signed(rows: list[_Row], columns: Mapping[str, int]) -> list[_Row]:
    """Rows of one unsigned amount column take their sign from the balances beside them."""
    if "amount" not in columns or "sign" in columns or {"debit", "credit"} <= columns.keys():
        return rows
    if any(row.amount_dong < 0 for row in rows) or any(row.balance_dong is None for row in rows) or len(rows) < 2:
        return rows
    forwards = _in_order(rows)
    signed = list(forwards)
    for at, (before, row) in enumerate(pairwise(forwards), start=1):
        assert before.balance_dong is not None
        assert row.balance_dong is not None
        if row.balance_dong - before.balance_dong == -row.amount_dong:
            signed[at] = _Row(row.at, row.booked_on, row.value_on, -row.amount_dong, row.balance_dong, row.cells)
    return signed


def _in_order(rows: list[_Row]) -> list[_Row]:
    """Oldest first: many banks list the newest line on top."""
    if len(rows) < 2:
        return rows
    if rows[0].booked_on != rows[-1].booked_on:
        return rows[::-1] if rows[0].booked_on > rows[-1].booked_on else rows
    return rows[::-1] if _steps(rows[::-1]) > _steps(rows) else rows


def _steps(rows: Sequence[_Row]) -> int:
    """How many balances follow from the one before."""
    return sum(
        before.balance_dong is not None
        and row.balance_dong is not None
        and abs(row.balance_dong - before.balance_dong) == abs(row.amount_dong)
        and before.balance_dong + row.amount_dong == row.balance_dong
        for before, row in pairwise(rows)
    )


# --- what stands around the table ------------------------------------------------------------------


def _labels(name: str) -> list[str]:
    return sorted(_layouts()["labels"][name], key=len, reverse=True)


def _is_label(row: Sequence[str]) -> bool:
    return any(_label_of(cell, name) is not None for cell in row for name in ("opening", "closing"))


def _label_of(cell: str, name: str) -> str | None:
    """The label a cell begins with; None when it says something else."""
    text = plain(cell)
    return next((label for label in _labels(name) if text == label or text.startswith(f"{label} ")), None)


def _said(rows: Sequence[Sequence[str]], name: str) -> Iterator[str]:
    """What stands behind a label: in its own cell after a colon, in the cells to the right, or below it."""
    for at, row in enumerate(rows):
        for column, cell in enumerate(row):
            if _label_of(cell, name) is not None:
                yield cell.partition(":")[2]
                yield from row[column + 1 :]
                if at + 1 < len(rows):
                    yield _cell(rows[at + 1], column)


def _labelled_amount(rows: Sequence[Sequence[str]], name: str) -> int | None:
    for text in _said(rows, name):
        if _is_figure(text):
            try:
                return grouped_dong(text)
            except StatementUnreadable:
                continue
    return None


def _account(rows: Sequence[Sequence[str]]) -> str:
    for text in _said(rows, "account"):
        found = re.match(r"[A-Za-z0-9]{6,34}", re.sub(r"[\s.\-]", "", text))
        if found is not None and sum(character.isdigit() for character in found[0]) >= 4:
            return re.match(r"[A-Za-z0-9.\-]*", text.strip())[0].replace(".", "").replace("-", "") or found[0]  # type: ignore[index]
    return ""


def _period(rows: Sequence[Sequence[str]], lines: Sequence[_Row]) -> tuple[date, date]:
    days = [line.booked_on for line in lines]
    begins, ends = _labelled_day(rows, "from"), _labelled_day(rows, "to")
    begins = min([begins, *days] if begins else days, default=ends)
    ends = max([ends, *days] if ends else days, default=begins)
    if begins is None or ends is None:
        raise StatementUnreadable("Sao kê không ghi ngày.", "The statement does not say its dates.")
    return begins, ends


def _labelled_day(rows: Sequence[Sequence[str]], name: str) -> date | None:
    words = "|".join(re.escape(word) for word in _labels(name))
    for text in (*_said(rows, name), *_after_words(rows, words)):
        if _is_day(text):
            return written_day(text)
    return None


def _after_words(rows: Sequence[Sequence[str]], words: str) -> Iterator[str]:
    """Dates within a sentence: "Từ ngày 01/11/2026 đến ngày 30/11/2026"."""
    for row in rows:
        for cell in row:
            flat = unicodedata.normalize("NFD", cell.casefold().replace("đ", "d"))
            flat = "".join(c for c in flat if not unicodedata.combining(c))
            for found in re.finditer(rf"\b(?:{words})\W{{0,12}}(?:date\W*)?(\d[\d/.\-]{{7,9}})", flat):
                yield found[1]


def _is_day(text: str) -> bool:
    if not _is_figure(text):
        return False
    try:
        written_day(text)
    except StatementUnreadable:
        return False
    return True


def _cell(row: Sequence[str], at: int) -> str:
    return row[at] if at < len(row) else ""
