"""What the sandbox organisations share: a loopback server, SQLite state, deliveries that outlive a restart.

Each organisation is one process with one event loop and one SQLite connection. Every statement runs
on that loop and no transaction contains an await, so writes are serialised by construction.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import uvicorn
from starlette.types import ASGIApp

from sandbox.sending import Sender, SendingError

VIETNAM = ZoneInfo("Asia/Ho_Chi_Minh")

Clock = Callable[[], float]
Value = str | int | float | None


def serve(app: ASGIApp, *, port: int) -> None:
    """Serve `app` on 127.0.0.1 until SIGTERM or SIGINT, finishing the requests that are under way."""
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        access_log=False,
        log_level="warning",
        ws="none",
        timeout_graceful_shutdown=3,
    )


class State:
    """One organisation's SQLite file."""

    def __init__(self, path: Path, schema: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "foreign_keys=ON",
            "busy_timeout=5000",
        ):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.executescript(schema)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything in the block happens, or, when it raises, nothing does."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def execute(self, statement: str, values: Sequence[Value] = ()) -> sqlite3.Cursor:
        return self._connection.execute(statement, values)

    def row(self, query: str, values: Sequence[Value] = ()) -> sqlite3.Row | None:
        """The first row of the answer, if there is one."""
        found: sqlite3.Row | None = self._connection.execute(query, values).fetchone()
        return found

    def rows(self, query: str, values: Sequence[Value] = ()) -> list[sqlite3.Row]:
        return self._connection.execute(query, values).fetchall()

    def number(self, query: str, values: Sequence[Value] = ()) -> int:
        """The single integer a query answers; NULL, or no row, counts as 0."""
        found = self._connection.execute(query, values).fetchone()
        return int(found[0] or 0) if found else 0

    def close(self) -> None:
        self._connection.close()


DELIVERIES_SCHEMA = """
CREATE TABLE IF NOT EXISTS deliveries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    message TEXT NOT NULL,
    topic TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    url TEXT NOT NULL,
    secret TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'abandoned', 'suppressed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL,
    due_at REAL NOT NULL,
    finished_at REAL
);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (due_at) WHERE state = 'waiting';
CREATE INDEX IF NOT EXISTS deliveries_message ON deliveries (message);
CREATE TABLE IF NOT EXISTS delivery_attempts (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    delivery INTEGER NOT NULL REFERENCES deliveries (seq),
    at REAL NOT NULL,
    status INTEGER,
    error TEXT,
    seconds REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS delivery_attempts_delivery ON delivery_attempts (delivery);
"""


@dataclass(frozen=True)
class Message:
    """One thing to tell one subscriber."""

    id: str
    topic: str
    endpoint: str
    url: str
    secret: str
    body: str


@dataclass(frozen=True)
class Backoff:
    """How long to keep trying: the wait doubles from `first_seconds` up to `longest_seconds`."""

    first_seconds: float = 0.5
    longest_seconds: float = 60.0
    attempts: int = 40

    def wait(self, attempt: int) -> float:
        """Seconds to wait after failed attempt number `attempt` (1 is the first)."""
        return float(min(self.first_seconds * 2 ** min(attempt - 1, 30), self.longest_seconds))


Signer = Callable[[Message, int], dict[str, str]]
"""Headers that prove who sent a message, given the Unix time of sending."""


class Deliveries:
    """A durable queue of signed messages, delivered at least once and in no promised order."""

    def __init__(
        self,
        state: State,
        sign: Signer,
        *,
        clock: Clock = time.time,
        backoff: Backoff | None = None,
        concurrency: int = 16,
    ) -> None:
        self._state = state
        self._sign = sign
        self._clock = clock
        self._backoff = backoff or Backoff()
        self._concurrency = concurrency
        self._in_flight: set[int] = set()
        self._wake = asyncio.Event()

    def add(self, message: Message, *, delay_seconds: float = 0.0) -> None:
        """Queue `message`; call inside the transaction that makes its news true."""
        self._insert(message, "waiting", delay_seconds)
        self._wake.set()

    def suppress(self, message: Message) -> None:
        """Record that `message` was lost on purpose, so that a test can tell lost from never sent."""
        self._insert(message, "suppressed", 0.0)

    def log(self, *, message: str | None = None, limit: int = 100) -> list[dict[str, Value]]:
        """The newest deliveries with every attempt made, as the control endpoint shows them."""
        where, values = ("WHERE message = ?", [message]) if message else ("", [])
        rows = self._state.rows(
            "SELECT seq, message, topic, endpoint, url, state, attempts, created_at, due_at,"
            " finished_at, (SELECT status FROM delivery_attempts WHERE delivery = deliveries.seq"
            " ORDER BY seq DESC LIMIT 1) AS last_status, (SELECT error FROM delivery_attempts"
            " WHERE delivery = deliveries.seq ORDER BY seq DESC LIMIT 1) AS last_error"
            f" FROM deliveries {where} ORDER BY seq DESC LIMIT ?",
            [*values, limit],
        )
        return [dict(row) for row in rows]

    def waiting(self) -> int:
        """How many messages are still to be delivered, due or not."""
        return self._state.number("SELECT count(*) FROM deliveries WHERE state = 'waiting'")

    def waiting_for(self, message: str) -> int:
        """How many subscribers have not yet confirmed the message."""
        return self._state.number("SELECT count(*) FROM deliveries WHERE message = ? AND state = 'waiting'", [message])

    async def run(self) -> None:
        """Deliver until cancelled. Cancelling loses nothing: what was under way is sent again."""
        async with Sender() as sender, asyncio.TaskGroup() as tasks:
            while True:
                self._wake.clear()
                for row in self._due():
                    self._in_flight.add(row["seq"])
                    tasks.create_task(self._attempt(sender, row))
                # Not wait_for: before Python 3.12 it can swallow the cancellation that ends this.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._pause()):
                        await self._wake.wait()

    def _insert(self, message: Message, state: str, delay_seconds: float) -> None:
        now = self._clock()
        self._state.execute(
            "INSERT INTO deliveries (message, topic, endpoint, url, secret, body, state,"
            " created_at, due_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                message.id,
                message.topic,
                message.endpoint,
                message.url,
                message.secret,
                message.body,
                state,
                now,
                now + delay_seconds,
            ],
        )

    def _due(self) -> list[sqlite3.Row]:
        # Refilled by half a load at a time: asking after every delivery would cost more than it.
        if len(self._in_flight) > self._concurrency // 2:
            return []
        rows = self._state.rows(
            "SELECT * FROM deliveries WHERE state = 'waiting' AND due_at <= ? ORDER BY due_at, seq LIMIT ?",
            [self._clock(), self._concurrency + len(self._in_flight)],
        )
        idle = [row for row in rows if row["seq"] not in self._in_flight]
        return idle[: self._concurrency - len(self._in_flight)]

    def _pause(self) -> float:
        if len(self._in_flight) > self._concurrency // 2:
            return 5.0
        row = self._state.row("SELECT min(due_at) AS due FROM deliveries WHERE state = 'waiting'")
        if row is None or row["due"] is None:
            return 5.0
        return float(min(max(row["due"] - self._clock(), 0.05), 5.0))

    async def _attempt(self, sender: Sender, row: sqlite3.Row) -> None:
        message = Message(**{name: row[name] for name in _MESSAGE_COLUMNS}, id=row["message"])
        headers = {"Content-Type": "application/json; charset=utf-8"}
        headers |= self._sign(message, int(time.time()))
        started = time.perf_counter()
        status, error = None, None
        try:
            status = await sender.post(message.url, message.body.encode(), headers)
        except SendingError as failure:
            error = str(failure)
        self._record(row, status, error, time.perf_counter() - started)

    def _record(self, row: sqlite3.Row, status: int | None, error: str | None, seconds: float) -> None:
        now, attempts = self._clock(), int(row["attempts"]) + 1
        if status is not None and 200 <= status < 300:
            state = "delivered"
        elif attempts >= self._backoff.attempts:
            state = "abandoned"
        else:
            state = "waiting"
        with self._state.transaction():
            self._state.execute(
                "INSERT INTO delivery_attempts (delivery, at, status, error, seconds) VALUES (?, ?, ?, ?, ?)",
                [row["seq"], now, status, error, seconds],
            )
            self._state.execute(
                "UPDATE deliveries SET state = ?, attempts = ?, due_at = ?, finished_at = ? WHERE seq = ?",
                [
                    state,
                    attempts,
                    now + self._backoff.wait(attempts),
                    None if state == "waiting" else now,
                    row["seq"],
                ],
            )
        self._in_flight.discard(row["seq"])
        if len(self._in_flight) <= self._concurrency // 2:
            self._wake.set()


_MESSAGE_COLUMNS = ("topic", "endpoint", "url", "secret", "body")
