"""The merchant's account at the gateway: its settings, its objects on disk, and how they are listed."""

import base64
import json
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from sandbox.gateway.errors import invalid_parameter, no_such
from sandbox.wire import DELIVERIES_SCHEMA, Clock, State, Value

Document = dict[str, Any]
"""A wire object as JSON."""

API_VERSION = "2022-11-15"

# The documents are the wire objects; columns exist only for what is filtered, joined or summed.
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS payment_intents (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL,
    customer TEXT, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS payment_methods (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL,
    token TEXT NOT NULL, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS charges (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL,
    payment_intent TEXT NOT NULL REFERENCES payment_intents (id), customer TEXT,
    document TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS charges_intent ON charges (payment_intent, seq);
CREATE TABLE IF NOT EXISTS refunds (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL,
    charge TEXT NOT NULL REFERENCES charges (id),
    payment_intent TEXT NOT NULL REFERENCES payment_intents (id), document TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS refunds_charge ON refunds (charge, seq);
CREATE INDEX IF NOT EXISTS refunds_intent ON refunds (payment_intent, seq);
CREATE TABLE IF NOT EXISTS disputes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL,
    charge TEXT NOT NULL REFERENCES charges (id),
    payment_intent TEXT NOT NULL REFERENCES payment_intents (id), document TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS disputes_charge ON disputes (charge, seq);
CREATE TABLE IF NOT EXISTS payouts (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL,
    status TEXT NOT NULL, arrival_date INTEGER NOT NULL, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS balance_transactions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL,
    type TEXT NOT NULL, source TEXT NOT NULL, currency TEXT NOT NULL,
    payout TEXT REFERENCES payouts (id), available_on INTEGER NOT NULL,
    amount INTEGER NOT NULL, fee INTEGER NOT NULL, net INTEGER NOT NULL CHECK (net = amount - fee),
    document TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS transactions_payout ON balance_transactions (payout, seq);
CREATE INDEX IF NOT EXISTS transactions_unpaid ON balance_transactions (available_on, net)
    WHERE payout IS NULL;
CREATE INDEX IF NOT EXISTS transactions_type ON balance_transactions (type, seq);
CREATE INDEX IF NOT EXISTS transactions_source ON balance_transactions (source, seq);
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL,
    type TEXT NOT NULL, document TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_type ON events (type, seq);
CREATE TABLE IF NOT EXISTS webhook_endpoints (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL,
    secret TEXT NOT NULL, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS timers (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, due_at REAL NOT NULL, action TEXT NOT NULL,
    target TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS timers_due ON timers (due_at);
CREATE TABLE IF NOT EXISTS idempotency (
    key TEXT PRIMARY KEY, created INTEGER NOT NULL, path TEXT NOT NULL, fingerprint TEXT NOT NULL,
    request TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS idempotency_created ON idempotency (created);
CREATE TABLE IF NOT EXISTS faults (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, match TEXT NOT NULL, effect TEXT NOT NULL,
    seconds REAL, remaining INTEGER NOT NULL CHECK (remaining >= 0));
CREATE TABLE IF NOT EXISTS webhook_wishes (
    key TEXT NOT NULL, value TEXT NOT NULL, wish TEXT NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (key, value));
{DELIVERIES_SCHEMA}
"""


@dataclass(frozen=True)
class Kind:
    """Where objects with one id prefix live, and what the wire calls them."""

    table: str
    noun: str


KINDS = {
    "pi": Kind("payment_intents", "payment_intent"),
    "pm": Kind("payment_methods", "payment_method"),
    "ch": Kind("charges", "charge"),
    "re": Kind("refunds", "refund"),
    "du": Kind("disputes", "dispute"),
    "po": Kind("payouts", "payout"),
    "txn": Kind("balance_transactions", "balance_transaction"),
    "evt": Kind("events", "event"),
    "we": Kind("webhook_endpoints", "webhook_endpoint"),
}


@dataclass(frozen=True)
class Settings:
    """How this gateway behaves; money in đồng."""

    key: str
    webhook_secret: str
    webhook_url: str | None = None
    webhook_events: tuple[str, ...] = ("*",)
    bank_url: str | None = None
    public_url: str | None = None
    descriptor: str = "LIEN THONG"
    fee_basis_points: int = 110
    fee_fixed_dong: int = 1650
    minimum_amount_dong: int = 1
    maximum_amount_dong: int = 999_999_999_999
    settlement_seconds: int = 0
    payout_arrival_seconds: float = 1.0
    payout_daily_at: str | None = None
    """Time on the wall in Việt Nam (`17:30`) at which each day's balance is paid out; None: only when told to."""
    dispute_fee_dong: int = 100_000
    dispute_days: float = 7.0
    """How long evidence can be submitted; a dispute left alone is then lost."""


@dataclass(frozen=True)
class Call:
    """The request on whose behalf something happens; empty for what happens by itself."""

    request_id: str | None = None
    idempotency_key: str | None = None
    base_url: str = ""


BY_ITSELF = Call()


@dataclass
class Account:
    """The objects of one merchant, with the clock and the settings they live by."""

    state: State
    settings: Settings
    clock: Clock = time.time
    in_flight: set[str] = field(default_factory=set)
    """Idempotency keys of requests being worked on at this moment."""

    def now(self) -> int:
        return int(self.clock())

    def insert(self, document: Document, **columns: Value) -> None:
        """Store a new object; `columns` are the indexed values its table asks for."""
        names = ["id", "created", *columns, "document"]
        values = [
            document["id"],
            document["created"],
            *columns.values(),
            encoded(document),
        ]
        table = kind_of(document["id"]).table
        marks = ", ".join("?" * len(names))
        self.state.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", values)

    def save(self, document: Document, **columns: Value) -> None:
        """Replace a stored object, and those of its indexed values that changed."""
        assignments = "".join(f", {name} = ?" for name in columns)
        self.state.execute(
            f"UPDATE {kind_of(document['id']).table} SET document = ?{assignments} WHERE id = ?",
            [encoded(document), *columns.values(), document["id"]],
        )

    def load(self, prefix: str, identifier: str, param: str) -> Document:
        """The stored object; refuses with `resource_missing`, blaming `param`."""
        kind = KINDS[prefix]
        row = self.state.row(f"SELECT document FROM {kind.table} WHERE id = ?", [identifier])
        if row is None:
            raise no_such(kind.noun, identifier, param)
        return self.shown(json.loads(row["document"]))

    def shown(self, document: Document) -> Document:
        """The object as of now: money that was pending may have become available since."""
        if document["object"] == "balance_transaction":
            available = document["available_on"] <= self.now()
            document["status"] = "available" if available else "pending"
        return document

    def listing(
        self,
        prefix: str,
        url: str,
        parameters: Document,
        *,
        filters: tuple[str, ...] = (),
        conditions: tuple[tuple[str, Value], ...] = (),
    ) -> Document:
        """One page, newest first. `filters` names the parameters that are columns to compare."""
        table = KINDS[prefix].table
        where = [condition for condition, _ in conditions]
        values: list[Value] = [value for _, value in conditions]
        for name in filters:
            if name in parameters:
                where.append(f"{name} = ?")
                values.append(parameters[name])
        for name in ("created", "arrival_date"):
            for operator, moment in parameters.get(name, {}).items():
                where.append(f"{name} {_COMPARISONS[operator]} ?")
                values.append(moment)
        backwards = "ending_before" in parameters
        for name, comparison in (("starting_after", "<"), ("ending_before", ">")):
            if name in parameters:
                where.append(f"seq {comparison} ?")
                values.append(self._position(prefix, parameters[name], name))
        limit = parameters.get("limit", 10)
        rows = self.state.rows(
            f"SELECT document FROM {table} {'WHERE ' + ' AND '.join(where) if where else ''}"
            f" ORDER BY seq {'ASC' if backwards else 'DESC'} LIMIT ?",
            [*values, limit + 1],
        )
        page = [self.shown(json.loads(row["document"])) for row in rows[:limit]]
        if backwards:
            page.reverse()
        return {"object": "list", "url": url, "has_more": len(rows) > limit, "data": page}

    def expand(self, document: Document, paths: list[str]) -> None:
        """Replace ids by the objects they name, along dotted paths such as `data.latest_charge`."""
        for path in paths:
            if path.count(".") >= 4:
                raise invalid_parameter("You cannot expand more than 4 levels of a property.", "expand")
            self._expand_one(document, path.split("."), path)

    def _expand_one(self, document: Document, names: list[str], path: str) -> None:
        name, *rest = names
        if name not in document:
            raise _not_expandable(path)
        value = document[name]
        if value is None:
            return
        if isinstance(value, str):
            kind_prefix = value.partition("_")[0]
            if name == "id" or kind_prefix not in KINDS:
                raise _not_expandable(path)
            document[name] = value = self.load(kind_prefix, value, "expand")
        if rest:
            for member in value if isinstance(value, list) else [value]:
                if not isinstance(member, dict):
                    raise _not_expandable(path)
                self._expand_one(member, rest, path)

    def _position(self, prefix: str, identifier: str, param: str) -> int:
        kind = KINDS[prefix]
        row = self.state.row(f"SELECT seq FROM {kind.table} WHERE id = ?", [identifier])
        if row is None:
            raise no_such(kind.noun, identifier, param, status=400)
        return int(row["seq"])


def encoded(document: Document) -> str:
    """A wire object as compact JSON text."""
    return to_json(document).decode()


def open_state(path: Path) -> State:
    return State(path, SCHEMA)


def kind_of(identifier: str) -> Kind:
    return KINDS[identifier.partition("_")[0]]


def new_id(prefix: str) -> str:
    """A fresh identifier in the gateway's manner: prefix, underscore, 24 letters and digits."""
    return f"{prefix}_{_token(18)}"


def new_secret(prefix: str) -> str:
    return f"{prefix}_{_token(24)}"


def merged(metadata: dict[str, str], update: dict[str, str] | None) -> dict[str, str]:
    """Metadata after an update: None clears it, an empty value removes its key."""
    if update is None:
        return {}
    return {key: value for key, value in {**metadata, **update}.items() if value != ""}


class _Chance:
    """Where identifiers come from: the system, or a seed, for the whole process."""

    source: random.Random = random.SystemRandom()


def seed_identifiers(seed: str, state: State) -> None:
    """Make the identifiers of this process repeatable: the same seed, state and requests give the same ones."""
    _Chance.source = random.Random(f"{seed}/{state.number('SELECT max(seq) FROM events')}")


def _token(size: int) -> str:
    return base64.b64encode(_Chance.source.randbytes(size), b"Zz").decode()


def _not_expandable(path: str) -> Exception:
    return invalid_parameter(f"This property cannot be expanded ({path}).", "expand")


_COMPARISONS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
