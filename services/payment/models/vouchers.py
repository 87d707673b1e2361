"""Orders to the State Treasury to give money back, numbered without gaps within a year."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field

from kit.db import Instant, Json
from services.payment.models.registry import Model, dong, one_of


class VoucherYear(Model, table=True):
    """Counts the vouchers of a year; its row lock keeps the numbers without gaps."""

    __tablename__ = "voucher_year"
    __table_args__ = (CheckConstraint("last_serial >= 0", name="counts_up"),)

    year: int = Field(primary_key=True)
    last_serial: int = 0


class Voucher(Model, table=True):
    """One refund voucher for one leg of a refund, as printed, and what the treasury said. One is alive a leg."""

    __tablename__ = "voucher"
    __table_args__ = (
        UniqueConstraint("year", "serial", name="uq_voucher_year_serial"),
        CheckConstraint("amount_dong > 0 and serial > 0", name="gives_money"),
        CheckConstraint("(status = 'refused') = (refusal <> '')", name="refused_for_a_reason"),
        CheckConstraint("(status = 'paid') = (paid_on is not null)", name="paid_on_a_day"),
        CheckConstraint("status in ('prepared', 'refused') or sent_at is not null or paid_on is not null", name="sent"),
        one_of("status", "prepared", "sent", "accepted", "refused", "paid"),
        Index("uq_voucher_one_alive", "leg_id", unique=True, postgresql_where=text("status <> 'refused'")),
        Index("ix_voucher_status_number", "status", "number"),
    )

    number: str = Field(primary_key=True)
    year: int = Field(foreign_key="voucher_year.year")
    serial: int
    refund_id: str = Field(foreign_key="refund.id", index=True)
    leg_id: str = Field(foreign_key="refund_leg.id", index=True)
    status: str
    amount_dong: int = dong()
    content: dict[str, Any] = Field(sa_type=Json)
    """What the paper says, as prepared."""
    treasury_reference: str = ""
    refusal: str = ""
    prepared_by: str
    prepared_at: datetime = Field(sa_type=Instant)
    sent_at: datetime | None = Field(default=None, sa_type=Instant)
    answered_at: datetime | None = Field(default=None, sa_type=Instant)
    paid_on: date | None = None


class VoucherEvent(Model, table=True):
    """One change of a voucher, told once by its event id; never changed."""

    __tablename__ = "voucher_event"
    __table_args__ = (one_of("to_status", "sent", "accepted", "refused", "paid"),)

    event_id: str = Field(primary_key=True)
    number: str = Field(foreign_key="voucher.number", index=True)
    to_status: str
    reference: str = ""
    reason: str = ""
    actor: str
    recorded_at: datetime = Field(sa_type=Instant)
