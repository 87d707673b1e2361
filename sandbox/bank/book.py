"""The collecting account's book: what was credited and debited, by whom, on which business date."""

import hashlib
import json
import secrets
import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

from sandbox.bank.content import bank_reference, mangled, plain
from sandbox.bank.notices import credit_notice
from sandbox.wire import DELIVERIES_SCHEMA, VIETNAM, Clock, Deliveries, State

Kind = Literal["transfer", "remittance", "payout", "order"]

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    bank_reference TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('transfer', 'remittance', 'payout', 'order')),
    amount_dong INTEGER NOT NULL CHECK (amount_dong <> 0),
    content TEXT NOT NULL,
    counterparty_name TEXT NOT NULL,
    counterparty_account TEXT NOT NULL,
    counterparty_bin TEXT NOT NULL,
    end_to_end_reference TEXT,
    booked_at REAL NOT NULL,
    business_date TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_date ON entries (business_date, number);
CREATE UNIQUE INDEX IF NOT EXISTS entries_once ON entries (kind, end_to_end_reference)
    WHERE kind IN ('remittance', 'payout');
CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY,
    idempotency_key TEXT NOT NULL UNIQUE,
    fingerprint TEXT NOT NULL,
    entry INTEGER NOT NULL UNIQUE REFERENCES entries (number)
);
CREATE TABLE IF NOT EXISTS account (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    opening_balance_dong INTEGER NOT NULL,
    balance_dong INTEGER NOT NULL CHECK (balance_dong >= 0)
);
{DELIVERIES_SCHEMA}
"""


@dataclass(frozen=True)
class Settings:
    """Whose account this is and whom to tell about credits."""

    bin: str
    account: str
    holder: str
    notify_url: str | None = None
    notify_secret: str = ""
    holder_key: str | None = None
    opening_balance_dong: int = 0
    seed: str = "sandbox"


@dataclass(frozen=True)
class Party:
    """The other side of a transfer."""

    name: str
    account: str
    bin: str


@dataclass(frozen=True)
class Entry:
    """One booked line; `amount_dong` is negative for a debit."""

    number: int
    bank_reference: str
    kind: Kind
    amount_dong: int
    content: str
    counterparty: Party
    end_to_end_reference: str | None
    booked_at: datetime
    business_date: date


@dataclass(frozen=True)
class Order:
    """An outgoing transfer the account holder ordered."""

    id: str
    entry: Entry


@dataclass(frozen=True)
class Day:
    """One business date: what the account opened with, its lines, and what it closed with."""

    on: date
    opening_dong: int
    entries: tuple[Entry, ...]
    closing_dong: int


class ConflictError(Exception):
    """The reference or key was used for something else."""


class InsufficientFundsError(Exception):
    """The account does not hold what the order wants to send."""


@dataclass(frozen=True)
class _Line:
    """An entry about to be booked."""

    number: int
    kind: Kind
    amount_dong: int
    content: str
    party: Party
    reference: str | None = None


@dataclass
class Book:
    """The account on disk. Every change also queues the notice of it, in one transaction."""

    state: State
    settings: Settings
    deliveries: Deliveries
    clock: Clock = time.time

    def open(self) -> None:
        """Make the account on first use; a later start keeps the balance it finds."""
        opening = self.settings.opening_balance_dong
        with self.state.transaction():
            self.state.execute("INSERT OR IGNORE INTO account VALUES (1, ?, ?)", [opening, opening])
            self.state.execute(
                "UPDATE deliveries SET url = ?, secret = ? WHERE state = 'waiting'",
                [self.settings.notify_url or "", self.settings.notify_secret],
            )

    def credit_transfer(self, amount_dong: int, content: str, payer: Party, *, notify: bool = True) -> Entry:
        """A customer's transfer, with the content mangled as its bank does."""
        with self.state.transaction():
            number = self._next_number()
            text = mangled(
                content,
                seed=self.settings.seed,
                number=number,
                payer_name=payer.name,
                payer_account=payer.account,
                payer_bin=payer.bin,
                account=self.settings.account,
            )
            return self._credit(_Line(number, "transfer", amount_dong, text, payer), notify=notify)

    def credit_once(
        self,
        kind: Literal["remittance", "payout"],
        amount_dong: int,
        reference: str,
        content: str,
        payer: Party,
        *,
        notify: bool = True,
    ) -> tuple[Entry, bool]:
        """A credit known by its sender's reference, and whether it is new.

        Repeating it changes nothing; another amount under the same reference raises
        `ConflictError`.
        """
        with self.state.transaction():
            known = self.state.row(
                "SELECT * FROM entries WHERE kind = ? AND end_to_end_reference = ?",
                [kind, reference],
            )
            if known is not None:
                if known["amount_dong"] != amount_dong:
                    raise ConflictError(f"{reference} was already credited with another amount")
                return _entry(known), False
            number = self._next_number()
            line = _Line(number, kind, amount_dong, plain(content), payer, reference)
            entry = self._credit(line, notify=notify)
            return entry, True

    def execute_order(self, key: str, amount_dong: int, content: str, beneficiary: Party) -> tuple[Order, bool]:
        """Send money out at once, and whether that is new; the key makes a repeat harmless.

        Raises `ConflictError` when the key was used for another order and
        `InsufficientFundsError` when the balance is too small; in both cases nothing changes.
        """
        wish = json.dumps([amount_dong, content, beneficiary.bin, beneficiary.account, beneficiary.name])
        fingerprint = hashlib.sha256(wish.encode()).hexdigest()
        with self.state.transaction():
            known = self.state.row("SELECT * FROM orders WHERE idempotency_key = ?", [key])
            if known is not None:
                if known["fingerprint"] != fingerprint:
                    raise ConflictError("this Idempotency-Key was used for another order")
                return self._order(known), False
            if self.balance_dong() < amount_dong:
                raise InsufficientFundsError
            number = self._next_number()
            entry = self._book(_Line(number, "order", -amount_dong, plain(content), beneficiary))
            identifier = f"ord_{secrets.token_hex(12)}"
            self.state.execute("INSERT INTO orders VALUES (?, ?, ?, ?)", [identifier, key, fingerprint, number])
            return Order(identifier, entry), True

    def order(self, identifier: str) -> Order | None:
        row = self.state.row("SELECT * FROM orders WHERE id = ?", [identifier])
        return self._order(row) if row else None

    def entry(self, reference: str) -> Entry | None:
        row = self.state.row("SELECT * FROM entries WHERE bank_reference = ?", [reference])
        return _entry(row) if row else None

    def balance_dong(self) -> int:
        return self.state.number("SELECT balance_dong FROM account")

    def today(self) -> date:
        return datetime.fromtimestamp(self.clock(), VIETNAM).date()

    def day(self, on: date) -> Day:
        """The statement of one business date; the current one closes with what is booked so far."""
        opening = self.state.number("SELECT opening_balance_dong FROM account") + self.state.number(
            "SELECT sum(amount_dong) FROM entries WHERE business_date < ?", [on.isoformat()]
        )
        rows = self.state.rows("SELECT * FROM entries WHERE business_date = ? ORDER BY number", [on.isoformat()])
        entries = tuple(_entry(row) for row in rows)
        return Day(on, opening, entries, opening + sum(entry.amount_dong for entry in entries))

    def totals(self) -> dict[str, int]:
        """The bank's own books: sums by kind since the account was opened."""
        sums = {
            row["kind"]: int(row["amount"])
            for row in self.state.rows("SELECT kind, sum(amount_dong) AS amount FROM entries GROUP BY kind")
        }
        return {
            "opening_dong": self.state.number("SELECT opening_balance_dong FROM account"),
            "transfers_dong": sums.get("transfer", 0),
            "remittances_dong": sums.get("remittance", 0),
            "payouts_dong": sums.get("payout", 0),
            "orders_dong": -sums.get("order", 0),
            "balance_dong": self.balance_dong(),
        }

    def _next_number(self) -> int:
        return self.state.number("SELECT seq FROM sqlite_sequence WHERE name = 'entries'") + 1

    def _credit(self, line: _Line, *, notify: bool) -> Entry:
        entry = self._book(line)
        if self.settings.notify_url:
            message = credit_notice(self._told(entry), url=self.settings.notify_url, secret=self.settings.notify_secret)
            if notify:
                self.deliveries.add(message)
            else:
                self.deliveries.suppress(message)
        return entry

    def _told(self, entry: Entry) -> dict[str, str | int]:
        """A credit in the words of the notice."""
        return {
            "bank_reference": entry.bank_reference,
            "account": self.settings.account,
            "amount_dong": entry.amount_dong,
            "content": entry.content,
            "payer_name": entry.counterparty.name,
            "payer_account": entry.counterparty.account,
            "payer_bin": entry.counterparty.bin,
            "booked_at": timestamp(entry.booked_at),
            "value_date": entry.business_date.isoformat(),
        }

    def _book(self, line: _Line) -> Entry:
        booked_at = self.clock()
        on = datetime.fromtimestamp(booked_at, VIETNAM).date()
        self.state.execute(
            "INSERT INTO entries (number, bank_reference, kind, amount_dong, content,"
            " counterparty_name, counterparty_account, counterparty_bin, end_to_end_reference,"
            " booked_at, business_date) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                line.number,
                bank_reference(self.settings.seed, line.number, on),
                line.kind,
                line.amount_dong,
                line.content,
                plain(line.party.name),
                line.party.account,
                line.party.bin,
                line.reference,
                booked_at,
                on.isoformat(),
            ],
        )
        self.state.execute("UPDATE account SET balance_dong = balance_dong + ?", [line.amount_dong])
        row = self.state.row("SELECT * FROM entries WHERE number = ?", [line.number])
        assert row is not None
        return _entry(row)

    def _order(self, row: sqlite3.Row) -> Order:
        entry = self.state.row("SELECT * FROM entries WHERE number = ?", [row["entry"]])
        assert entry is not None
        return Order(row["id"], _entry(entry))


def open_state(path: Path) -> State:
    return State(path, SCHEMA)


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _entry(row: sqlite3.Row) -> Entry:
    return Entry(
        number=row["number"],
        bank_reference=row["bank_reference"],
        kind=row["kind"],
        amount_dong=row["amount_dong"],
        content=row["content"],
        counterparty=Party(row["counterparty_name"], row["counterparty_account"], row["counterparty_bin"]),
        end_to_end_reference=row["end_to_end_reference"],
        booked_at=datetime.fromtimestamp(row["booked_at"], UTC),
        business_date=date.fromisoformat(row["business_date"]),
    )
