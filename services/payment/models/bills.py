"""Bills: what is owed, how it is tried to be collected, what came in, and the receipt."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlmodel import Field

from kit.db import Instant, Json
from services.payment.models.registry import Model, dong, one_of


class Payment(Model, table=True):
    """The bill of one dossier and how far it is paid. The figures are the fold of its facts."""

    __tablename__ = "payment"
    __table_args__ = (
        CheckConstraint("due_dong >= 0 and budget_dong >= 0", name="owes_nothing_negative"),
        CheckConstraint("paid_dong between 0 and due_dong", name="paid_within_due"),
        CheckConstraint(
            "held_dong >= 0 and refunded_dong >= 0 and held_dong + refunded_dong <= paid_dong",
            name="refunds_within_paid",
        ),
        CheckConstraint(
            "disputed_dong >= 0 and lost_dong >= 0 and disputed_dong + lost_dong <= paid_dong",
            name="disputes_within_paid",
        ),
        CheckConstraint("excess_held_dong between 0 and excess_dong", name="excess_held_within_excess"),
        CheckConstraint("ended is null or ended in ('expired', 'cancelled')", name="ended_known"),
        one_of(
            "status",
            "open",
            "pending",
            "unknown",
            "partially_paid",
            "paid",
            "expired",
            "cancelled",
            "refund_pending",
            "refunded",
        ),
        Index("ix_payment_status_id", "status", "id"),
        Index("ix_payment_to_expire", "expires_at", postgresql_where=text("ended is null and paid_dong < due_dong")),
    )

    id: str = Field(primary_key=True)
    bill_reference: str = Field(unique=True)
    dossier_code: str = Field(index=True)
    procedure: str
    quote_id: str
    request: dict[str, Any] = Field(sa_type=Json)
    """The bill as first asked for: what a repeat is compared with."""
    status: str
    due_dong: int = dong()
    budget_dong: int = dong()
    paid_dong: int = dong(0)
    refunded_dong: int = dong(0)
    held_dong: int = dong(0)
    excess_dong: int = dong(0)
    excess_held_dong: int = dong(0)
    disputed_dong: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    lost_dong: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    ended: str | None = None
    live: str | None = None
    budget_released: bool = False
    expires_at: datetime = Field(sa_type=Instant)
    created_at: datetime = Field(sa_type=Instant)
    paid_at: datetime | None = Field(default=None, sa_type=Instant)
    version: int = 0


class PaymentLine(Model, table=True):
    """One thing owed. `reversed_dong` will not be collected; `given_back_dong` is refunded or asked for."""

    __tablename__ = "payment_line"
    __table_args__ = (
        CheckConstraint("citizen_dong >= 0 and budget_dong >= 0", name="owes_nothing_negative"),
        CheckConstraint(
            "reversed_dong >= 0 and given_back_dong >= 0 and reversed_dong + given_back_dong <= citizen_dong",
            name="gives_back_what_it_has",
        ),
        CheckConstraint("leg is null or leg in ('send', 'return')", name="leg_known"),
        one_of("kind", "fee", "charge", "postage", "collection"),
    )

    payment_id: str = Field(primary_key=True, foreign_key="payment.id")
    position: int = Field(primary_key=True)
    item: str
    kind: str
    leg: str | None = None
    label_vi: str
    label_en: str
    beneficiary: str
    citizen_dong: int = dong()
    budget_dong: int = dong()
    reversed_dong: int = dong(0)
    given_back_dong: int = dong(0)


class PaymentShare(Model, table=True):
    """Who pays how much of a line."""

    __tablename__ = "payment_share"
    __table_args__ = (
        CheckConstraint("amount_dong >= 0", name="not_negative"),
        ForeignKeyConstraint(["payment_id", "position"], ["payment_line.payment_id", "payment_line.position"]),
    )

    payment_id: str = Field(primary_key=True)
    position: int = Field(primary_key=True)
    number: int = Field(primary_key=True)
    payer: str
    amount_dong: int = dong()


class Attempt(Model, table=True):
    """One try at collecting a bill. At most one is live a bill: the partial unique index sees to it."""

    __tablename__ = "attempt"
    __table_args__ = (
        CheckConstraint("amount_dong > 0 and received_dong >= 0", name="asks_for_money"),
        CheckConstraint("capture = 'now' or method = 'card'", name="only_cards_reserve"),
        CheckConstraint(
            "status <> 'authorised' or (capture = 'later' and authorised_dong > 0)", name="authorised_for_later"
        ),
        CheckConstraint(
            "authorised_dong >= 0 and (capture_dong is null"
            " or (capture = 'later' and capture_dong between 1 and authorised_dong))",
            name="captures_within_authorised",
        ),
        one_of("capture", "now", "later"),
        one_of("method", "card", "vietqr", "cash_on_delivery", "cash_at_counter"),
        one_of(
            "status",
            "created",
            "pending",
            "requires_action",
            "authorised",
            "succeeded",
            "succeeded_mismatch",
            "failed",
            "expired",
            "cancelled",
            "unknown",
        ),
        Index(
            "uq_attempt_one_live",
            "payment_id",
            unique=True,
            postgresql_where=text("status in ('created', 'pending', 'requires_action', 'authorised', 'unknown')"),
        ),
        Index(
            "ix_attempt_due",
            "next_check_at",
            postgresql_where=text("status in ('created', 'pending', 'requires_action', 'authorised', 'unknown')"),
        ),
    )

    id: str = Field(primary_key=True)
    payment_id: str = Field(foreign_key="payment.id", index=True)
    method: str
    status: str
    amount_dong: int = dong()
    received_dong: int = dong(0)
    capture: str = Field(default="now", sa_column_kwargs={"server_default": "now"})
    authorised_dong: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    """What the card's bank reserved; it stays as history when the authorisation has ended."""
    capture_dong: int | None = Field(default=None, sa_type=BigInteger)
    """What is to be taken of it: written before the gateway is called, so that whoever comes next calls again."""
    reference: str = Field(unique=True)
    qr_payload: str | None = None
    payment_method: str | None = None
    """Token of the gateway, kept so that an interrupted call can be repeated word for word."""
    gateway_intent_id: str | None = Field(default=None, unique=True)
    pay_url: str | None = None
    last_error: str = ""
    check_count: int = 0
    next_check_at: datetime = Field(sa_type=Instant)
    expires_at: datetime = Field(sa_type=Instant)
    created_at: datetime = Field(sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)


class Fact(Model, table=True):
    """One line of a payment's history; append-only. `number` counts from 1 without gaps."""

    __tablename__ = "fact"

    payment_id: str = Field(primary_key=True, foreign_key="payment.id")
    number: int = Field(primary_key=True)
    id: str = Field(unique=True)
    kind: str
    attempt_id: str | None = Field(default=None, foreign_key="attempt.id")
    refund_id: str | None = Field(default=None, foreign_key="refund.id")
    amount_dong: int = dong()
    occurred_at: datetime = Field(sa_type=Instant)
    recorded_at: datetime = Field(sa_type=Instant)
    actor: str
    detail: str = ""


class Intake(Model, table=True):
    """One arrival of money for a bill, and how much of it has gone back."""

    __tablename__ = "intake"
    __table_args__ = (
        UniqueConstraint("source", "source_reference", name="uq_intake_source_reference"),
        CheckConstraint("amount_dong > 0 and amount_dong = applied_dong + excess_dong", name="parts_make_the_whole"),
        CheckConstraint("applied_returned_dong between 0 and applied_dong", name="applied_returned_within"),
        CheckConstraint("excess_returned_dong between 0 and excess_dong", name="excess_returned_within"),
        one_of("source", "gateway", "bank", "cash"),
        one_of("policy", "applied", "underpaid", "overpaid", "paid_twice", "paid_late", "assigned"),
    )

    id: str = Field(primary_key=True)
    payment_id: str = Field(foreign_key="payment.id", index=True)
    attempt_id: str | None = Field(default=None, foreign_key="attempt.id")
    method: str
    source: str
    source_reference: str
    amount_dong: int = dong()
    applied_dong: int = dong()
    excess_dong: int = dong()
    applied_returned_dong: int = dong(0)
    excess_returned_dong: int = dong(0)
    payer_bin: str | None = None
    payer_account: str | None = None
    payer_name: str | None = None
    collector: str | None = None
    policy: str = Field(default="applied", sa_column_kwargs={"server_default": "applied"})
    """What was done with it and why."""
    received_at: datetime = Field(sa_type=Instant)
    recorded_at: datetime = Field(sa_type=Instant)


class Payer(Model, table=True):
    """Who is named on a dossier's receipt."""

    __tablename__ = "payer"

    dossier_code: str = Field(primary_key=True)
    name: str
    address: str = ""
    updated_at: datetime = Field(sa_type=Instant)
