"""Tables of the postal service. Personal data stands in `contact` and nowhere else."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, get_args

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from kit.db import Instant, Json, service_metadata
from kit.idempotency import add_idempotency_table
from kit.webhooks import DeliveryColumns, Outbox, OutboxColumns, WebhookEndpointColumns
from services.postal.contract import (
    ClaimStatus,
    Custodian,
    Direction,
    EventKind,
    FileKind,
    PickupStatus,
    ShipmentStatus,
)


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
    low_since: datetime | None = Field(default=None, sa_type=Instant)
    """When it was told that few numbers are left: it is told once."""


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
        _one_of("pickup_status", PickupStatus),
        CheckConstraint("files_missing >= 0", name="files_missing"),
        CheckConstraint("hold_days between 1 and 60", name="hold_days"),
        CheckConstraint("(release_since is null) = (release_to is null)", name="release"),
        CheckConstraint("(carrier is null) = (carrier_reference is null)", name="carrier"),
        UniqueConstraint("carrier", "carrier_reference"),
        Index("ix_shipment_status_last_seen_at", "status", "last_seen_at"),
        Index("ix_shipment_release_since", "release_since", postgresql_where=text("release_since is not null")),
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
    hold_days: int = 10
    """How long a post office keeps the item for its receiver, as promised when it was booked."""
    pickup_status: str = "requested"
    files_missing: int = 0
    """Evidence files that facts have named and that have not arrived."""
    release_since: datetime | None = Field(default=None, sa_type=Instant)
    """A handover that was begun and not accepted: since when. The custodian is still the one who released."""
    release_to: str | None = None
    quote: dict[str, Any] | None = Field(default=None, sa_type=Json)
    """The frozen postage quote of this leg, as booked: agreement, lines, hash."""
    carrier: str | None = None
    carrier_reference: str | None = None


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
        CheckConstraint("(kind = 'corrected') = (voids is not null)", name="voids"),
        CheckConstraint("(party is not null) = (kind in ('custody_released', 'custody_accepted'))", name="party"),
        Index("ix_event_received_at", "received_at", postgresql_using="brin"),
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
    skew_ms: int | None = Field(default=None, sa_type=BigInteger)
    """How far the device's clock ran ahead when it synchronised; None when it did not say."""
    code_right: bool | None = None
    """Whether the delivery code that came with the fact was the right one; None when none came."""
    party: dict[str, Any] | None = Field(default=None, sa_type=Json)
    voids: list[str] | None = Field(default=None, sa_type=Json)


@dataclass(slots=True)
class LogRow:
    """A row of `event` without the machinery of a mapped object, in the order of its columns: intake and tracking
    handle thousands of them."""

    id: str
    shipment_id: str
    chain_position: int
    kind: str
    occurred_at: datetime
    received_at: datetime
    source: str
    actor: str
    device_id: str
    device_seq: int
    place: str
    reason: str | None
    measure: str | None
    cash_collected_dong: int
    evidence: dict[str, Any] | None
    note: str
    body_sha256: str
    prev_hash: str
    hash: str
    skew_ms: int | None
    code_right: bool | None
    party: dict[str, Any] | None
    voids: list[str] | None


class EventFile(Model, table=True):
    """Which fact names which evidence file. Read by those who store and those who show the files."""

    __tablename__ = "event_file"
    __table_args__ = (
        _one_of("kind", FileKind),
        CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),
    )

    event_id: str = Field(primary_key=True, foreign_key="event.id")
    sha256: str = Field(primary_key=True, index=True)
    shipment_id: str = Field(foreign_key="shipment.id", index=True)
    kind: str


class Correction(Model, table=True):
    """Facts that one person asked to have set aside and another confirmed. Nothing of the log is erased by it."""

    __table_args__ = (
        CheckConstraint("reason in ('did_not_occur', 'incorrect_data')", name="reason"),
        CheckConstraint("status in ('proposed', 'confirmed', 'refused')", name="status"),
        CheckConstraint("decided_by <> proposed_by", name="two_people"),
        CheckConstraint(
            "(status = 'proposed') = (decided_by is null) and (decided_by is null) = (decided_at is null)",
            name="decided",
        ),
        CheckConstraint("(status = 'confirmed') = (event_id is not null)", name="event_id"),
        CheckConstraint("jsonb_array_length(voids) >= 1", name="voids"),
        Index(
            "uq_correction_shipment_id_proposed",
            "shipment_id",
            unique=True,
            postgresql_where=text("status = 'proposed'"),
        ),
    )

    id: str = Field(primary_key=True)
    shipment_id: str = Field(foreign_key="shipment.id")
    voids: list[str] = Field(sa_type=Json)
    reason: str
    note: str
    status: str
    proposed_by: str
    proposed_at: datetime = Field(sa_type=Instant)
    decided_by: str | None = None
    decided_at: datetime | None = Field(default=None, sa_type=Instant)
    event_id: str | None = Field(default=None, unique=True)


class Bag(Model, table=True):
    """Envelopes that travel as one, under one seal: what was counted in must be counted out."""

    __table_args__ = (
        CheckConstraint(
            "(opened_at is null) = (opened_by is null) and (opened_at is null) = (count_out is null) "
            "and (opened_at is null) = (seal_intact is null)",
            name="opened",
        ),
        CheckConstraint("opened_by <> closed_by", name="two_people"),
        CheckConstraint("count_in >= 1 and count_out >= 0", name="counts"),
        Index("uq_bag_seal_number_open", "seal_number", unique=True, postgresql_where=text("opened_at is null")),
    )

    id: str = Field(primary_key=True)
    bag_key: str = Field(unique=True)
    seal_number: str
    origin: str
    destination: str
    count_in: int
    closed_by: str
    closed_at: datetime = Field(sa_type=Instant)
    opened_by: str | None = None
    opened_at: datetime | None = Field(default=None, sa_type=Instant)
    count_out: int | None = None
    surplus: list[str] = Field(default_factory=list, sa_type=Json)
    """Item numbers found in the bag that its manifest does not name."""
    seal_intact: bool | None = None


class BagItem(Model, table=True):
    """One line of a bag's manifest. An envelope is in one closed bag at a time."""

    __tablename__ = "bag_item"
    __table_args__ = (
        CheckConstraint("outcome in ('found', 'missing')", name="outcome"),
        Index("uq_bag_item_shipment_id_inside", "shipment_id", unique=True, postgresql_where=text("outcome is null")),
    )

    bag_id: str = Field(primary_key=True, foreign_key="bag.id")
    shipment_id: str = Field(primary_key=True, foreign_key="shipment.id")
    outcome: str | None = None


class CustodyRoot(Model, table=True):
    """The published seal of one day: a Merkle tree over the hashes of all facts received on it."""

    __tablename__ = "custody_root"
    __table_args__ = (
        CheckConstraint("size >= 0", name="size"),
        CheckConstraint(
            "root ~ '^[0-9a-f]{64}$' and seal ~ '^[0-9a-f]{64}$' and previous_seal ~ '^[0-9a-f]{64}$'", name="hashes"
        ),
        ForeignKeyConstraint(["previous_day"], ["custody_root.day"]),
    )

    day: date = Field(primary_key=True)
    size: int
    root: str
    previous_day: date | None = Field(default=None, unique=True)
    previous_seal: str
    seal: str = Field(unique=True)
    published_at: datetime = Field(sa_type=Instant)


class CarrierMessage(Model, table=True):
    """What a carrier sent about an item, as it came: stored first, then read."""

    __tablename__ = "carrier_message"
    __table_args__ = (
        CheckConstraint("outcome in ('recorded', 'unmapped', 'unknown_item', 'ignored')", name="outcome"),
        UniqueConstraint("carrier", "message_key"),
        Index("ix_carrier_message_unmapped", "received_at", postgresql_where=text("outcome = 'unmapped'")),
    )

    id: str = Field(primary_key=True)
    carrier: str
    message_key: str
    reference: str
    code: str
    body: dict[str, Any] = Field(sa_type=Json)
    outcome: str
    shipment_id: str | None = Field(default=None, foreign_key="shipment.id", index=True)
    received_at: datetime = Field(sa_type=Instant)


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


class EvidenceUpload(Model, table=True):
    """A file on its way in, of one uploader: what another sends under the same name cannot spoil it."""

    __tablename__ = "evidence_upload"
    __table_args__ = (
        CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),
        CheckConstraint("size_bytes > 0", name="size_bytes"),
    )

    sha256: str = Field(primary_key=True)
    uploader: str = Field(primary_key=True)
    media_type: str
    size_bytes: int = Field(sa_type=BigInteger)
    started_at: datetime = Field(sa_type=Instant)


class EvidenceChunk(Model, table=True):
    """A part of a file on its way in; the parts follow each other without a gap."""

    __tablename__ = "evidence_chunk"
    __table_args__ = (
        ForeignKeyConstraint(
            ["sha256", "uploader"], ["evidence_upload.sha256", "evidence_upload.uploader"], ondelete="CASCADE"
        ),
        CheckConstraint("start_byte >= 0 and length(content) > 0", name="bytes"),
    )

    sha256: str = Field(primary_key=True)
    uploader: str = Field(primary_key=True)
    start_byte: int = Field(primary_key=True, sa_type=BigInteger)
    content: bytes


class EvidenceFile(Model, table=True):
    """A photo, signature or receipt in the evidence store, named by its content. Kept until its time is over."""

    __tablename__ = "evidence_file"
    __table_args__ = (
        CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),
        CheckConstraint("size_bytes > 0", name="size_bytes"),
        CheckConstraint("media_type in ('image/jpeg', 'image/png', 'application/pdf')", name="media_type"),
        CheckConstraint("purged_at is null or purged_at >= stored_at", name="purged_after_it_was_stored"),
        Index("ix_evidence_file_stored_at", "stored_at", postgresql_where=text("purged_at is null")),
    )

    sha256: str = Field(primary_key=True)
    media_type: str
    size_bytes: int = Field(sa_type=BigInteger)
    uploaded_by: str
    stored_at: datetime = Field(sa_type=Instant)
    purged_at: datetime | None = Field(default=None, sa_type=Instant)


class Device(Model, table=True):
    """What a courier's phone said of itself when it last spoke: how much it still holds, and how its clock goes."""

    __table_args__ = (
        CheckConstraint("unsent_events >= 0 and unsent_files >= 0 and last_seq >= 0", name="counts"),
        Index("ix_device_last_seen_at", "last_seen_at"),
    )

    device_id: str = Field(primary_key=True)
    courier: str = Field(primary_key=True)
    first_seen_at: datetime = Field(sa_type=Instant)
    last_seen_at: datetime = Field(sa_type=Instant)
    last_seq: int = Field(sa_type=BigInteger)
    """Highest device sequence the phone has given to an event, sent or not."""
    unsent_events: int
    unsent_files: int
    clock_skew_ms: int = Field(sa_type=BigInteger)
    """How far the phone's clock is ahead of ours, in milliseconds; negative when it is behind."""


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
