"""Disputes: money that cardholders' banks take back, and what we answer."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field

from kit.db import Instant
from services.payment.models.registry import Model, dong, one_of


class Dispute(Model, table=True):
    """One dispute of one arrival of money; the gateway's id is ours."""

    __tablename__ = "dispute"
    __table_args__ = (
        CheckConstraint("amount_dong > 0", name="takes_money"),
        CheckConstraint(
            "bill_dong >= 0 and excess_dong >= 0 and beyond_dong >= 0"
            " and (not holds_money or amount_dong = bill_dong + excess_dong + beyond_dong)",
            name="parts_make_the_whole",
        ),
        CheckConstraint(
            "holds_money or status not in ('needs_response', 'under_review', 'won', 'lost')", name="holds_what_it_takes"
        ),
        CheckConstraint("(closed_at is not null) = (status in ('won', 'lost', 'closed'))", name="closed_when_decided"),
        CheckConstraint("(answered_at is null) = (answered_by is null)", name="answered_by_somebody"),
        one_of("status", "inquiry", "needs_response", "under_review", "won", "lost", "closed"),
        Index("ix_dispute_open", "opened_at", postgresql_where=text("closed_at is null")),
    )

    id: str = Field(primary_key=True)
    payment_id: str = Field(foreign_key="payment.id", index=True)
    intake_id: str = Field(foreign_key="intake.id", index=True)
    status: str
    reason: str
    amount_dong: int = dong()
    holds_money: bool
    """An inquiry holds none."""
    bill_dong: int = dong(0)
    excess_dong: int = dong(0)
    beyond_dong: int = dong(0)
    """Disputed though it had been given back before."""
    evidence_due_at: datetime | None = Field(default=None, sa_type=Instant)
    evidence: str = ""
    answered_by: str | None = None
    answered_at: datetime | None = Field(default=None, sa_type=Instant)
    sent_at: datetime | None = Field(default=None, sa_type=Instant)
    """When the gateway took our answer; None with an answer means it is still to be sent."""
    last_error: str = ""
    next_check_at: datetime = Field(sa_type=Instant)
    opened_at: datetime = Field(sa_type=Instant)
    closed_at: datetime | None = Field(default=None, sa_type=Instant)
