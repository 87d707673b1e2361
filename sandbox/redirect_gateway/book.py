"""Orders, their refunds and the notices about them: what the redirect gateway remembers."""

import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.redirect_gateway.wire import Text, stamp, with_hash
from sandbox.wire import Clock, State

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, reference TEXT NOT NULL, created TEXT NOT NULL, expires TEXT NOT NULL,
    hundredths INTEGER NOT NULL CHECK (hundredths > 0), info TEXT NOT NULL, return_url TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT '01', code TEXT NOT NULL DEFAULT '', number INTEGER NOT NULL DEFAULT 0,
    paid_hundredths INTEGER NOT NULL DEFAULT 0, pay_date TEXT NOT NULL DEFAULT '', UNIQUE (reference, created));
CREATE TABLE IF NOT EXISTS refunds (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, request TEXT NOT NULL UNIQUE,
    orders INTEGER NOT NULL REFERENCES orders (seq),
    kind TEXT NOT NULL, hundredths INTEGER NOT NULL CHECK (hundredths > 0), number INTEGER NOT NULL UNIQUE,
    status TEXT NOT NULL, due_at REAL NOT NULL, outcome TEXT NOT NULL DEFAULT '06');
CREATE TABLE IF NOT EXISTS notices (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, orders INTEGER NOT NULL REFERENCES orders (seq), query TEXT NOT NULL,
    state TEXT NOT NULL, due_at REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, answer TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS faults (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, command TEXT NOT NULL, effect TEXT NOT NULL, seconds REAL NOT NULL,
    remaining INTEGER NOT NULL);
"""

OUTCOMES = {
    "pay": ("00", "00"),
    "decline": ("51", "02"),
    "cancel": ("24", "02"),
    "suspect": ("07", "07"),
    "debited": ("99", "04"),
}
"""What the person or their bank does: response code and state of the transaction."""

FIRST_NUMBER = 14_000_000


@dataclass(frozen=True)
class Settings:
    """How this gateway behaves."""

    terminal: str
    secret: str
    ipn_url: str | None = None
    merchant: str = "LIEN THONG"
    refund_seconds: float = 2.0
    retry_seconds: float = 5.0
    attempts: int = 10


@dataclass
class Book:
    """The orders of one terminal, with the clock and the settings they live by."""

    state: State
    settings: Settings
    clock: Clock = time.time

    def open_order(self, parameters: Text) -> sqlite3.Row:
        """The order of a genuine link; following the link again finds the same order."""
        self.state.execute(
            "INSERT OR IGNORE INTO orders (reference, created, expires, hundredths, info, return_url)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [
                parameters["vnp_TxnRef"],
                parameters["vnp_CreateDate"],
                parameters.get("vnp_ExpireDate", "99991231235959"),
                int(parameters["vnp_Amount"]),
                parameters["vnp_OrderInfo"],
                parameters["vnp_ReturnUrl"],
            ],
        )
        found = self.order(parameters["vnp_TxnRef"], parameters["vnp_CreateDate"])
        assert found is not None
        return found

    def order(self, reference: str, created: str = "") -> sqlite3.Row | None:
        """An order by its reference, the latest one unless a day is named."""
        return self.state.row(
            "SELECT * FROM orders WHERE reference = ? AND created LIKE ? ORDER BY seq DESC",
            [reference, f"{created[:8]}%"],
        )

    def is_over(self, order: sqlite3.Row) -> bool:
        return bool(order["status"] != "01" or order["expires"] < stamp(self.clock()))

    def finish(self, order: sqlite3.Row, action: str, *, hundredths: int | None = None) -> sqlite3.Row:
        """The person is done with an order that is still open; a finished one stays as it is."""
        code, status = OUTCOMES[action]
        paid = (order["hundredths"] if hundredths is None else hundredths) if status in ("00", "04", "07") else 0
        self.state.execute(
            "UPDATE orders SET status = ?, code = ?, number = ?, paid_hundredths = ?, pay_date = ?"
            " WHERE seq = ? AND status = '01'",
            [status, code, self.next_number(), paid, stamp(self.clock()), order["seq"]],
        )
        found = self.state.row("SELECT * FROM orders WHERE seq = ?", [order["seq"]])
        assert found is not None
        return found

    def next_number(self) -> int:
        """The number of the gateway's next transaction."""
        orders = self.state.number("SELECT max(number) FROM orders")
        return max(orders, self.state.number("SELECT max(number) FROM refunds"), FIRST_NUMBER) + 1

    def told(self, order: sqlite3.Row, **changes: str) -> str:
        """The signed query string that notices and returns carry."""
        parameters = {
            "vnp_TmnCode": self.settings.terminal,
            "vnp_TxnRef": order["reference"],
            "vnp_Amount": str(order["paid_hundredths"] or order["hundredths"]),
            "vnp_OrderInfo": order["info"],
            "vnp_ResponseCode": order["code"],
            "vnp_TransactionStatus": order["status"],
            "vnp_TransactionNo": str(order["number"]),
            "vnp_BankCode": "NCB",
            "vnp_BankTranNo": f"VNP{order['number']}",
            "vnp_CardType": "ATM",
            "vnp_PayDate": order["pay_date"],
            **changes,
        }
        return with_hash(self.settings.secret, parameters)

    def notify(self, order: sqlite3.Row, *, copies: int = 1, delay_seconds: float = 0.0) -> None:
        """Queue the notice of a finished order; with no copies it is lost on purpose, and that is kept."""
        for _ in range(max(copies, 1)):
            self.state.execute(
                "INSERT INTO notices (orders, query, state, due_at) VALUES (?, ?, ?, ?)",
                [
                    order["seq"],
                    self.told(order),
                    "waiting" if copies else "suppressed",
                    self.clock() + delay_seconds,
                ],
            )

    def refunded(self, order: sqlite3.Row) -> int:
        """What of an order has gone back or is on its way, in hundredths."""
        return self.state.number(
            "SELECT sum(hundredths) FROM refunds WHERE orders = ? AND status <> '09'", [order["seq"]]
        )

    def settle_due_refunds(self) -> None:
        """Let the bank answer the refunds whose time has come."""
        self.state.execute("UPDATE refunds SET status = outcome WHERE status = '05' AND due_at <= ?", [self.clock()])

    def totals(self) -> Mapping[str, int]:
        """The gateway's own books, in đồng."""
        self.settle_due_refunds()
        number = self.state.number
        return {
            "orders": number("SELECT count(*) FROM orders"),
            "paid_count": number("SELECT count(*) FROM orders WHERE status = '00'"),
            "paid_dong": number("SELECT sum(paid_hundredths) FROM orders WHERE status = '00'") // 100,
            "unclear_dong": number("SELECT sum(paid_hundredths) FROM orders WHERE status IN ('04', '07')") // 100,
            "refund_count": number("SELECT count(*) FROM refunds WHERE status <> '09'"),
            "refunded_dong": number("SELECT sum(hundredths) FROM refunds WHERE status <> '09'") // 100,
        }


def open_book(path: Path, settings: Settings, clock: Clock = time.time) -> Book:
    return Book(State(path, SCHEMA), settings, clock)
