"""Receipts, the series that number them, and how the receipts of each agency look."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field

from kit.db import Instant, Json
from services.payment.models.registry import Model, dong


class ReceiptSeries(Model, table=True):
    """Counts the receipts of a series; its row lock is what keeps the numbers without gaps."""

    __tablename__ = "receipt_series"
    __table_args__ = (CheckConstraint("last_serial >= 0", name="counts_up"),)

    series: str = Field(primary_key=True)
    last_serial: int = 0


class ReceiptForm(Model, table=True):
    """How the receipts of one agency look from a date on. Never changed: another date gets another row."""

    __tablename__ = "receipt_form"

    agency: str = Field(primary_key=True)
    valid_from: date = Field(primary_key=True)
    agency_name: str
    parent_name: str = ""
    address: str = ""
    tax_code: str = ""
    form_code: str
    series: str
    title: str
    entered_by: str
    entered_at: datetime = Field(sa_type=Instant)


class Receipt(Model, table=True):
    """A receipt as issued: the content is a snapshot. It ends by being cancelled, and one may stand in its place."""

    __tablename__ = "receipt"
    __table_args__ = (
        UniqueConstraint("series", "serial", name="uq_receipt_series_serial"),
        CheckConstraint("amount_dong >= 0 and serial > 0", name="counts_up"),
        CheckConstraint("cancelled_at is null or cancel_reason <> ''", name="cancelled_for_a_reason"),
        Index("uq_receipt_one_valid", "payment_id", unique=True, postgresql_where=text("cancelled_at is null")),
        Index("ix_receipt_payment_id", "payment_id"),
        Index("ix_receipt_issued_at", "issued_at"),
    )

    number: str = Field(primary_key=True)
    series: str = Field(foreign_key="receipt_series.series")
    serial: int
    payment_id: str = Field(foreign_key="payment.id")
    amount_dong: int = dong()
    check_code: str
    content: dict[str, Any] = Field(sa_type=Json)
    issued_at: datetime = Field(sa_type=Instant)
    cancelled_at: datetime | None = Field(default=None, sa_type=Instant)
    cancelled_by: str | None = None
    cancel_reason: str = Field(default="", sa_column_kwargs={"server_default": ""})
    replaces: str | None = Field(default=None, foreign_key="receipt.number", unique=True)
