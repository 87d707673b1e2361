"""What gateway, bank and post tell us of money, and the differences between them."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, UniqueConstraint
from sqlmodel import Field

from kit.db import Instant, Json
from services.payment.models.registry import Model, dong, one_of


class BankCredit(Model, table=True):
    """A transfer that reached the collecting account, from an advice or, when that was lost, from a statement."""

    __tablename__ = "bank_credit"
    __table_args__ = (
        CheckConstraint("amount_dong > 0", name="brings_money"),
        CheckConstraint("(status = 'applied') = (intake_id is not null)", name="applied_has_intake"),
        one_of("origin", "advice", "statement"),
        one_of("status", "held", "applied", "recognised"),
    )

    id: str = Field(primary_key=True)
    bank_reference: str = Field(unique=True)
    origin: str
    amount_dong: int = dong()
    content: str
    payer_bin: str | None = None
    payer_account: str | None = None
    payer_name: str | None = None
    booked_at: datetime = Field(sa_type=Instant)
    booked_on: date = Field(index=True)
    recorded_at: datetime = Field(sa_type=Instant)
    status: str
    """`held` in suspense, `applied` to a bill, or `recognised` as a payout or remittance, booked by its statement."""
    intake_id: str | None = Field(default=None, foreign_key="intake.id", unique=True)
    """The arrival it became, once applied."""


class Remittance(Model, table=True):
    """Cash the post has deposited and owes to the bank account."""

    __tablename__ = "remittance"
    __table_args__ = (CheckConstraint("amount_dong > 0", name="brings_money"),)

    id: str = Field(primary_key=True)
    event_id: str = Field(unique=True)
    reference: str = Field(unique=True)
    amount_dong: int = dong()
    collector: str
    deposited_at: datetime = Field(sa_type=Instant)
    deposited_on: date = Field(index=True)
    dossier_codes: list[str] = Field(sa_type=Json)
    recorded_at: datetime = Field(sa_type=Instant)


class Payout(Model, table=True):
    """A settlement of the gateway, as its API told it."""

    __tablename__ = "payout"
    __table_args__ = (CheckConstraint("net_dong = gross_dong - fee_dong", name="net_is_gross_less_fee"),)

    id: str = Field(primary_key=True)
    gross_dong: int = dong()
    fee_dong: int = dong()
    net_dong: int = dong()
    announced_dong: int = dong()
    """The payout's own amount; equals the net of its transactions or a break says so."""
    arrival_date: date = Field(index=True)
    status: str
    imported_at: datetime = Field(sa_type=Instant)
    business_date: date


class PayoutItem(Model, table=True):
    """One balance transaction of a payout."""

    __tablename__ = "payout_item"

    id: str = Field(primary_key=True)
    payout_id: str = Field(foreign_key="payout.id", index=True)
    kind: str
    source: str = Field(index=True)
    gross_dong: int = dong()
    fee_dong: int = dong()
    known: bool


class Statement(Model, table=True):
    """A statement of one day as received. A quarantined one has told us nothing; a noted one only announced credits."""

    __tablename__ = "statement"
    __table_args__ = (
        one_of("status", "accepted", "quarantined", "noted"),
        one_of("format", "camt.052", "camt.053", "camt.054", "mt940", "mt942", "csv", "xlsx"),
        UniqueConstraint("sha256", "account", "business_date", "identity", name="uq_statement_file_day"),
    )

    id: str = Field(primary_key=True)
    account: str
    identity: str
    """The bank's own identification; a day that is still running may be issued several times under the same one."""
    format: str
    sha256: str
    """Of the file; a file of several days is several statements."""
    business_date: date = Field(index=True)
    opening_dong: int = dong()
    closing_dong: int = dong()
    lines: int
    status: str
    imported_at: datetime = Field(sa_type=Instant)
    imported_by: str


class StatementLine(Model, table=True):
    """One movement on the bank account, credit positive. Known by fingerprint and how often it occurs in its file."""

    __tablename__ = "statement_line"
    __table_args__ = (
        UniqueConstraint("account", "fingerprint", "occurrence", name="uq_statement_line_fingerprint"),
        CheckConstraint("amount_dong <> 0", name="moves_money"),
        Index("ix_statement_line_account_booked_on", "account", "booked_on"),
    )

    id: str = Field(primary_key=True)
    statement_id: str = Field(foreign_key="statement.id")
    account: str
    number: int
    booked_on: date
    value_on: date
    amount_dong: int = dong()
    bank_reference: str = Field(index=True)
    content: str
    payer_bin: str | None = None
    payer_account: str | None = None
    payer_name: str | None = None
    fingerprint: str
    occurrence: int


class LineMatch(Model, table=True):
    """What a statement line, or a part of it, was recognised as. The posting of a line goes with it."""

    __tablename__ = "line_match"
    __table_args__ = (
        one_of("flow", "card", "vietqr", "post_remittance", "transfer_out", "unidentified"),
        UniqueConstraint("line_id", "item", name="uq_line_match_line_item"),
        CheckConstraint("part >= 0", name="counts_from_zero"),
        Index("ix_line_match_flow_item", "flow", "item"),
    )

    line_id: str = Field(primary_key=True, foreign_key="statement_line.id")
    part: int = Field(default=0, primary_key=True)
    flow: str
    item: str
    """Payout, bank reference, remittance reference or order reference the line answers; the line itself when none."""
    amount_dong: int = dong()
    """What of the line answers the item; the parts of a line make its amount."""
    evidence: str
    rules_version: str
    """The matching rules under which it was recognised."""
    journal_id: str = Field(foreign_key="journal.id")
    matched_at: datetime = Field(sa_type=Instant)


class Break(Model, table=True):
    """A difference somebody has to explain."""

    __tablename__ = "break"
    __table_args__ = (
        UniqueConstraint("kind", "subject", name="uq_break_kind_subject"),
        one_of("status", "open", "resolved"),
        CheckConstraint("(status = 'resolved') = (resolved_at is not null)", name="resolved_has_time"),
        CheckConstraint("resolved_by is null or proposed_by is null or resolved_by <> proposed_by", name="two_people"),
        Index("ix_break_status_id", "status", "id"),
        Index("ix_break_business_date", "business_date"),
    )

    id: str = Field(primary_key=True)
    kind: str
    business_date: date
    amount_dong: int = dong()
    account: str
    flow: str | None = None
    subject: str
    text_vi: str
    text_en: str
    status: str = "open"
    opened_at: datetime = Field(sa_type=Instant)
    proposal: dict[str, Any] | None = Field(default=None, sa_type=Json)
    proposal_hash: str | None = None
    proposed_by: str | None = None
    resolved_at: datetime | None = Field(default=None, sa_type=Instant)
    resolved_by: str | None = None
    resolution: str | None = None
    assignee: str | None = Field(default=None, index=True)
    """Who is working on it."""
    due_on: date | None = None
    version: int = 1
    """Counts what people did with it; a change names the version it was made on."""


class BreakNote(Model, table=True):
    """One thing somebody did with a break. Never changed."""

    __tablename__ = "break_note"
    __table_args__ = (
        one_of("kind", "assigned", "due", "comment", "proposed", "rejected", "resolved"),
        UniqueConstraint("break_id", "number", name="uq_break_note_number"),
    )

    id: str = Field(primary_key=True)
    break_id: str = Field(foreign_key="break.id")
    number: int
    kind: str
    text: str
    actor: str
    at: datetime = Field(sa_type=Instant)
