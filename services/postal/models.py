"""Tables of the postal service. Personal data stands in `contact` and nowhere else."""

from datetime import date, datetime
from typing import Any, get_args

from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from kit.db import Instant, Json, service_metadata
from kit.idempotency import add_idempotency_table
from kit.webhooks import DeliveryColumns, Outbox, OutboxColumns, WebhookEndpointColumns
from services.postal.contract import ClaimStatus, Custodian, Direction, EventKind, ShipmentStatus


def _one_of(column: str, values: object) -> CheckConstraint:
    words = ", ".join(f"'{value}'" for value in get_args(values))
    return CheckConstraint(f"{column} in ({words})", name=column)


class Model(SQLModel, registry=registry(metadata=service_metadata())):
    """Root of this service's tables."""


class Contact(Model, table=True):
    """Where the citizen of a dossier lives."""

    __table_args__ = (CheckConstraint("commune ~ '^[0-9]{5}$'", name="commune"),)

    id: str = Field(primary_key=True)
    dossier_code: str = Field(unique=True)
    name: str
    phone: str
    address: str
    commune: str
    created_at: datetime = Field(sa_type=Instant)


class S10Range(Model, table=True):
    """Numbers lent by a designated operator; the sequence `s10_serial` counts through the ranges by `starts_at`."""

    __tablename__ = "s10_range"
    __table_args__ = (
        UniqueConstraint("indicator", "country", "first_serial", "last_serial"),
        CheckConstraint(
            "first_serial between 0 and last_serial and last_serial <= 99999999 and starts_at >= 0", name="serials"
        ),
        CheckConstraint("indicator ~ '^[A-Z]{2}$' and country ~ '^[A-Z]{2}$'", name="letters"),
    )

    id: str = Field(primary_key=True)
    indicator: str
    country: str
    first_serial: int
    last_serial: int
    starts_at: int = Field(sa_type=BigInteger, unique=True)
    created_at: datetime = Field(sa_type=Instant)


class Shipment(Model, table=True):
    """One leg of a dossier's papers. Everything from `status` on is the fold of its events, kept for lists."""

    __table_args__ = (
        _one_of("direction", Direction),
        _one_of("status", ShipmentStatus),
        _one_of("custodian", Custodian),
        CheckConstraint("(status = 'lost') = (custodian = 'nobody_known')", name="only_a_lost_item_has_no_custodian"),
        CheckConstraint("s10 ~ '^[A-Z]{2}[0-9]{9}[A-Z]{2}$'", name="s10"),
        CheckConstraint("agency_commune ~ '^[0-9]{5}$'", name="agency_commune"),
        CheckConstraint("weight_grams between 1 and 30000", name="weight_grams"),
        CheckConstraint("postage_dong >= 0 and cash_due_dong >= 0", name="amounts"),
        CheckConstraint("cash_collected_dong between 0 and cash_due_dong", name="cash_collected_dong"),
        CheckConstraint(
            "(cash_due_dong > 0) = (cash_payment_id is not null) "
            "and (cash_payment_id is null) = (cash_attempt_reference is null)",
            name="cash_belongs_to_a_payment",
        ),
        CheckConstraint("attempts >= 0 and chain_length >= 0 and version >= 1", name="counts"),
        Index("ix_shipment_status_last_seen_at", "status", "last_seen_at"),
    )

    id: str = Field(primary_key=True)
    shipment_key: str = Field(unique=True)
    s10: str = Field(unique=True)
    dossier_code: str = Field(index=True)
    direction: str
    contact_id: str = Field(foreign_key="contact.id", index=True)
    agency: str
    agency_commune: str
    weight_grams: int
    postage_dong: int = Field(sa_type=BigInteger)
    cash_due_dong: int = Field(sa_type=BigInteger)
    cash_payment_id: str | None = None
    cash_attempt_reference: str | None = None
    pickup_by: datetime | None = Field(default=None, sa_type=Instant)
    previous_shipment_id: str | None = Field(default=None, foreign_key="shipment.id")
    request: dict[str, Any] = Field(sa_type=Json)
    """The booking as it came, to tell a repeat from another booking under the same key."""
    created_at: datetime = Field(sa_type=Instant)

    status: str
    custodian: str
    seal_number: str | None = None
    attempts: int = 0
    held_until: date | None = None
    receipt_code: str | None = Field(default=None, unique=True)
    cash_collected_dong: int = Field(default=0, sa_type=BigInteger)
    last_seen_at: datetime = Field(sa_type=Instant)
    """When the newest fact that counted happened: silence is measured from here."""
    chain_length: int = 0
    chain_head: str
    """Hash of the newest event: cutting the tail of the log shows as well as changing its middle."""
    version: int = 1


class Piece(Model, table=True):
    """One paper of the checklist."""

    __table_args__ = (CheckConstraint("position >= 1", name="position"),)

    shipment_id: str = Field(primary_key=True, foreign_key="shipment.id")
    position: int = Field(primary_key=True)
    name: str
    collected: bool = False


class Event(Model, table=True):
    """One fact, as it came. Rows are never changed or deleted: a trigger refuses it, and the hash chain shows it."""

    __table_args__ = (
        _one_of("kind", EventKind),
        UniqueConstraint("shipment_id", "chain_position"),
        UniqueConstraint("shipment_id", "prev_hash"),
        CheckConstraint("source in ('carrier', 'courier', 'dispatcher', 'system')", name="source"),
        CheckConstraint("chain_position >= 1 and device_seq >= 1", name="numbers"),
        CheckConstraint("cash_collected_dong >= 0", name="cash_collected_dong"),
        CheckConstraint("hash ~ '^[0-9a-f]{64}$' and prev_hash ~ '^[0-9a-f]{64}$'", name="hashes"),
    )

    id: str = Field(primary_key=True)
    shipment_id: str = Field(foreign_key="shipment.id")
    chain_position: int
    kind: str
    occurred_at: datetime = Field(sa_type=Instant)
    received_at: datetime = Field(sa_type=Instant)
    source: str
    actor: str
    device_id: str
    device_seq: int = Field(sa_type=BigInteger)
    place: str
    reason: str | None = None
    measure: str | None = None
    cash_collected_dong: int = Field(sa_type=BigInteger)
    evidence: dict[str, Any] | None = Field(default=None, sa_type=Json)
    note: str
    body_sha256: str
    prev_hash: str
    hash: str


class Verdict(Model, table=True):
    """What the fold makes of an event today; a late event may change it, the event itself stays."""

    event_id: str = Field(primary_key=True, foreign_key="event.id")
    shipment_id: str = Field(foreign_key="shipment.id", index=True)
    applied: bool
    anomaly: str | None = None


class Announcement(Model, table=True):
    """News already told: one row a piece of news, so that nothing is announced twice."""

    shipment_id: str = Field(primary_key=True, foreign_key="shipment.id")
    news: str = Field(primary_key=True)
    announced_at: datetime = Field(sa_type=Instant)


class Deposit(Model, table=True):
    """Cash of a courier's shift handed in at the post office."""

    __table_args__ = (
        CheckConstraint("counted_dong > 0 and expected_dong > 0", name="amounts"),
        CheckConstraint("difference_dong = counted_dong - expected_dong", name="difference_dong"),
    )

    id: str = Field(primary_key=True)
    event_id: str = Field(unique=True)
    reference: str = Field(unique=True)
    courier: str = Field(index=True)
    counted_dong: int = Field(sa_type=BigInteger)
    expected_dong: int = Field(sa_type=BigInteger)
    difference_dong: int = Field(sa_type=BigInteger)
    dossier_codes: list[str] = Field(sa_type=Json)
    deposited_by: str
    deposited_at: datetime = Field(sa_type=Instant)


class CashCollection(Model, table=True):
    """Cash taken at the door: one collection a shipment, in one courier's hands until it is deposited."""

    __tablename__ = "cash_collection"
    __table_args__ = (
        CheckConstraint("amount_dong > 0", name="amount_dong"),
        Index("ix_cash_collection_courier_open", "courier", postgresql_where=text("deposit_id is null")),
    )

    shipment_id: str = Field(primary_key=True, foreign_key="shipment.id")
    event_id: str = Field(unique=True, foreign_key="event.id")
    dossier_code: str
    courier: str
    amount_dong: int = Field(sa_type=BigInteger)
    collected_at: datetime = Field(sa_type=Instant)
    deposit_id: str | None = Field(default=None, foreign_key="deposit.id", index=True)


class Claim(Model, table=True):
    """A demand for compensation. At most one that is not rejected for each shipment."""

    __table_args__ = (
        _one_of("status", ClaimStatus),
        CheckConstraint("reason in ('lost', 'damaged', 'late')", name="reason"),
        CheckConstraint("compensation_dong >= 0", name="compensation_dong"),
        CheckConstraint("(status in ('approved', 'rejected', 'paid')) = (decided_at is not null)", name="decided"),
        CheckConstraint("(decided_at is null) = (decided_by is null)", name="decided_by_somebody"),
        CheckConstraint("(status in ('approved', 'paid')) = (pay_by is not null)", name="pay_by"),
        CheckConstraint("(status = 'paid') = (paid_at is not null)", name="paid_at"),
        Index("uq_claim_shipment_id_live", "shipment_id", unique=True, postgresql_where=text("status <> 'rejected'")),
    )

    id: str = Field(primary_key=True)
    claim_key: str = Field(unique=True)
    shipment_id: str = Field(foreign_key="shipment.id")
    dossier_code: str
    direction: str
    reason: str
    status: str
    compensation_dong: int = Field(sa_type=BigInteger)
    answer_by: date
    pay_by: date | None = None
    created_by: str
    created_at: datetime = Field(sa_type=Instant)
    decided_by: str | None = None
    decided_at: datetime | None = Field(default=None, sa_type=Instant)
    decision_note: str = ""
    paid_at: datetime | None = Field(default=None, sa_type=Instant)


class OutboxEvent(OutboxColumns, Model, table=True):
    """News of this service."""

    __tablename__ = "outbox"


class WebhookEndpoint(WebhookEndpointColumns, Model, table=True):
    """Who receives the news."""

    __tablename__ = "webhook_endpoint"


class WebhookDelivery(DeliveryColumns, Model, table=True):
    """News on its way."""

    __tablename__ = "webhook_delivery"


outbox = Outbox(events=OutboxEvent, endpoints=WebhookEndpoint, deliveries=WebhookDelivery)
add_idempotency_table(Model.metadata)
