"""Refunds, the lines they are taken from and the ways they go back."""

from datetime import date, datetime

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field

from kit.db import Instant, Json
from services.payment.models.registry import Model, dong, one_of


class Refund(Model, table=True):
    """Money to give back: asked for by one person, decided by another."""

    __tablename__ = "refund"
    __table_args__ = (
        CheckConstraint("amount_dong > 0", name="gives_money"),
        CheckConstraint("decided_by is null or decided_by <> requested_by", name="second_person"),
        CheckConstraint("(status = 'requested') = (decided_by is null)", name="decided_or_waiting"),
        one_of("source", "bill", "excess"),
        one_of("status", "requested", "approved", "rejected", "processing", "succeeded", "failed"),
        one_of("route", "gateway", "bank_transfer", "treasury_voucher", "undecided"),
        Index("ix_refund_status_id", "status", "id"),
        Index("ix_refund_due", "next_check_at", postgresql_where=text("status in ('approved', 'processing')")),
    )

    id: str = Field(primary_key=True)
    request_key: str = Field(unique=True)
    payment_id: str = Field(foreign_key="payment.id", index=True)
    source: str
    reason: str
    amount_dong: int = dong()
    items: list[str] = Field(sa_type=Json)
    status: str
    route: str = "undecided"
    proposal_hash: str
    requested_by: str
    requested_at: datetime = Field(sa_type=Instant)
    decided_by: str | None = None
    decided_at: datetime | None = Field(default=None, sa_type=Instant)
    note: str = ""
    last_error: str = ""
    check_count: int = 0
    next_check_at: datetime = Field(sa_type=Instant)
    finished_at: datetime | None = Field(default=None, sa_type=Instant)


class RefundPart(Model, table=True):
    """How much of a refund is taken from one line of the bill."""

    __tablename__ = "refund_part"
    __table_args__ = (CheckConstraint("amount_dong > 0", name="gives_money"),)

    refund_id: str = Field(primary_key=True, foreign_key="refund.id")
    position: int = Field(primary_key=True)
    amount_dong: int = dong()


class RefundLeg(Model, table=True):
    """The part of an approved refund that goes back along one arrival of money. Its id is the key at the outside."""

    __tablename__ = "refund_leg"
    __table_args__ = (
        CheckConstraint("amount_dong > 0", name="gives_money"),
        one_of("route", "gateway", "bank_transfer", "treasury_voucher"),
        one_of("status", "waiting", "processing", "succeeded", "failed"),
    )

    id: str = Field(primary_key=True)
    refund_id: str = Field(foreign_key="refund.id", index=True)
    intake_id: str = Field(foreign_key="intake.id", index=True)
    amount_dong: int = dong()
    route: str
    status: str
    gateway_refund_id: str | None = Field(default=None, unique=True)
    bank_order_reference: str | None = Field(default=None, unique=True)
    settle_event_id: str | None = None
    paid_on: date | None = Field(default=None, index=True)
    last_error: str = ""
