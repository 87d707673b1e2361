"""The books themselves, and the days they are closed by."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index
from sqlmodel import Field

from kit.db import Instant, Json
from services.payment.models.registry import Model, dong, one_of


class Account(Model, table=True):
    """One account of the chart; agency accounts appear with their first posting."""

    __tablename__ = "account"
    __table_args__ = (one_of("kind", "asset", "liability", "income", "expense", "equity"),)

    code: str = Field(primary_key=True)
    kind: str


class JournalRow(Model, table=True):
    """One balanced change of the books. Never updated, never deleted, never in a closed day: triggers see to it."""

    __tablename__ = "journal"
    __table_args__ = (
        CheckConstraint("entry_count >= 2", name="has_entries"),
        Index("ix_journal_business_date_kind", "business_date", "kind"),
    )

    id: str = Field(primary_key=True)
    posting_key: str = Field(unique=True)
    kind: str
    payment_id: str | None = Field(default=None, foreign_key="payment.id", index=True)
    refund_id: str | None = Field(default=None, foreign_key="refund.id", index=True)
    occurred_at: datetime = Field(sa_type=Instant)
    value_date: date
    posted_at: datetime = Field(sa_type=Instant)
    business_date: date
    entry_count: int


class EntryRow(Model, table=True):
    """One side of a journal: positive debit, negative credit."""

    __tablename__ = "entry"
    __table_args__ = (
        CheckConstraint("amount_dong <> 0", name="moves_money"),
        Index("ix_entry_account_subject", "account", "subject"),
    )

    journal_id: str = Field(primary_key=True, foreign_key="journal.id")
    position: int = Field(primary_key=True)
    account: str = Field(foreign_key="account.code")
    amount_dong: int = dong()
    subject: str = ""


class DayRun(Model, table=True):
    """That a business date has been reconciled, and when last."""

    __tablename__ = "day_run"

    business_date: date = Field(primary_key=True)
    settlement_at: datetime = Field(sa_type=Instant)
    """When the gateway last told us all its payouts up to this date."""
    ran_at: datetime = Field(sa_type=Instant)


class DayClose(Model, table=True):
    """The closing of a business date: proposed by one person, confirmed by another, sealed for ever."""

    __tablename__ = "day_close"
    __table_args__ = (
        one_of("status", "proposed", "closed"),
        CheckConstraint("closed_by is null or closed_by <> proposed_by", name="second_person"),
        CheckConstraint(
            "(status = 'closed') = (closed_by is not null and seal is not null and number is not null)",
            name="closed_is_sealed",
        ),
    )

    business_date: date = Field(primary_key=True)
    status: str
    proposal_hash: str
    proposed_by: str
    proposed_at: datetime = Field(sa_type=Instant)
    snapshot: dict[str, Any] = Field(sa_type=Json)
    closed_by: str | None = None
    closed_at: datetime | None = Field(default=None, sa_type=Instant)
    number: int | None = Field(default=None, unique=True)
    previous_seal: str | None = None
    seal: str | None = Field(default=None, unique=True)
