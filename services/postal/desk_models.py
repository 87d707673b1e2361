"""Tables of the dispatcher's desk. The name of a person whom a citizen authorises stands in `citizen_wish`."""

from datetime import date, datetime
from typing import Any, get_args

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlmodel import Field

from kit.db import Instant, Json
from services.postal.desk_contract import CaseKind, CaseStatus, StopReason, WishKind, WishStatus
from services.postal.models import Model


def one_of(column: str, values: object) -> CheckConstraint:
    """The column holds one of a literal's words."""
    words = ", ".join(f"'{value}'" for value in get_args(values))
    return CheckConstraint(f"{column} in ({words})", name=column)


class Case(Model, table=True):
    """A breach or a dispute that a person sees to. `case_key` names the breach, so that it is opened once."""

    __tablename__ = "problem_case"
    __table_args__ = (
        one_of("kind", CaseKind),
        one_of("status", CaseStatus),
        CheckConstraint("(status = 'closed') = (closed_at is not null)", name="closed"),
        CheckConstraint("(closed_at is null) = (closed_by is null)", name="closed_by_somebody"),
        CheckConstraint("status <> 'taken' or taken_by is not null", name="taken_by_somebody"),
        Index("ix_problem_case_open", "opened_at", postgresql_where=text("status <> 'closed'")),
    )

    id: str = Field(primary_key=True)
    case_key: str = Field(unique=True)
    shipment_id: str | None = Field(default=None, foreign_key="shipment.id", index=True)
    dossier_code: str
    kind: str
    status: str = "open"
    courier: str | None = None
    due_at: datetime = Field(sa_type=Instant)
    opened_at: datetime = Field(sa_type=Instant)
    taken_by: str | None = None
    closed_by: str | None = None
    closed_at: datetime | None = Field(default=None, sa_type=Instant)
    resolution: str = ""


class ClockStop(Model, table=True):
    """A dispatcher lets a shipment's clocks stand still: with a reason, and a release to make it count."""

    __tablename__ = "clock_stop"
    __table_args__ = (
        one_of("reason", StopReason),
        CheckConstraint("length(note) >= 3", name="note"),
        CheckConstraint("(released_at is null) = (released_by is null)", name="released_by_somebody"),
        CheckConstraint("released_at >= since", name="released_after_it_began"),
        Index("uq_clock_stop_open", "shipment_id", unique=True, postgresql_where=text("released_at is null")),
    )

    id: str = Field(primary_key=True)
    shipment_id: str = Field(foreign_key="shipment.id", index=True)
    reason: str
    note: str
    since: datetime = Field(sa_type=Instant)
    stopped_by: str
    released_at: datetime | None = Field(default=None, sa_type=Instant)
    released_by: str | None = None


class Courier(Model, table=True):
    """Whom stops can be given to. `code` is the name under which the identity provider knows the courier."""

    __table_args__ = (CheckConstraint("length(name) >= 1", name="name"),)

    code: str = Field(primary_key=True)
    name: str
    communes: list[str] = Field(sa_type=Json)
    active: bool = True
    added_by: str
    added_at: datetime = Field(sa_type=Instant)


class Assignment(Model, table=True):
    """Who goes to a stop. One courier a shipment; `version` counts the changes, so that two desks cannot both win."""

    __tablename__ = "stop_assignment"
    __table_args__ = (CheckConstraint("version >= 1", name="version"),)

    shipment_id: str = Field(primary_key=True, foreign_key="shipment.id")
    courier: str | None = Field(default=None, foreign_key="courier.code", index=True)
    assigned_by: str
    assigned_at: datetime = Field(sa_type=Instant)
    version: int = 1


class AssignmentChange(Model, table=True):
    """Every change of hands of a stop, for good."""

    __tablename__ = "assignment_change"
    __table_args__ = (CheckConstraint("from_courier is distinct from to_courier", name="changes_something"),)

    shipment_id: str = Field(primary_key=True, foreign_key="shipment.id")
    version: int = Field(primary_key=True)
    from_courier: str | None = None
    to_courier: str | None = None
    changed_by: str
    changed_at: datetime = Field(sa_type=Instant)
    reason: str = ""


class CitizenLink(Model, table=True):
    """The key to a citizen's own page. The token itself is not kept, only its SHA-256."""

    __tablename__ = "citizen_link"
    __table_args__ = (
        CheckConstraint("token_sha256 ~ '^[0-9a-f]{64}$'", name="token_sha256"),
        CheckConstraint("expires_at > created_at", name="expires_at"),
    )

    token_sha256: str = Field(primary_key=True)
    shipment_id: str = Field(foreign_key="shipment.id", index=True)
    created_by: str
    created_at: datetime = Field(sa_type=Instant)
    expires_at: datetime = Field(sa_type=Instant)
    revoked_at: datetime | None = Field(default=None, sa_type=Instant)


class Wish(Model, table=True):
    """What a citizen asked for through the link. One of a kind is alive for each shipment."""

    __tablename__ = "citizen_wish"
    __table_args__ = (
        one_of("kind", WishKind),
        one_of("status", WishStatus),
        CheckConstraint("wrong_codes between 0 and 5", name="wrong_codes"),
        CheckConstraint("(kind = 'authorise') = (person_name is not null)", name="person_name"),
        CheckConstraint("(kind = 'authorise') = (person_id_tail is not null)", name="person_id_tail"),
        CheckConstraint("person_id_tail ~ '^[0-9]{4}$'", name="person_id_tail_digits"),
        CheckConstraint("(kind = 'redirect') = (address is not null)", name="address"),
        CheckConstraint("(address is null) = (commune is null)", name="commune"),
        CheckConstraint("commune ~ '^[0-9]{5}$'", name="commune_digits"),
        CheckConstraint("kind <> 'redelivery' or on_day is not null", name="on_day"),
        CheckConstraint("(status = 'waiting_for_code') = (decided_at is null)", name="decided_at"),
        Index(
            "uq_citizen_wish_live",
            "shipment_id",
            "kind",
            unique=True,
            postgresql_where=text("status in ('waiting_for_code', 'accepted')"),
        ),
    )

    id: str = Field(primary_key=True)
    shipment_id: str = Field(foreign_key="shipment.id", index=True)
    kind: str
    status: str
    on_day: date | None = None
    person_name: str | None = None
    person_id_tail: str | None = None
    """The last four digits of the identity paper that the authorised person will show."""
    address: str | None = None
    commune: str | None = None
    wrong_codes: int = 0
    code_expires_at: datetime | None = Field(default=None, sa_type=Instant)
    created_at: datetime = Field(sa_type=Instant)
    decided_at: datetime | None = Field(default=None, sa_type=Instant)


class VisitAnswer(Model, table=True):
    """What the citizen says about a visit that the courier reported as failed: one answer a visit."""

    __tablename__ = "visit_answer"

    event_id: str = Field(primary_key=True, foreign_key="event.id")
    shipment_id: str = Field(foreign_key="shipment.id", index=True)
    courier: str = Field(index=True)
    visited: bool
    note: str = ""
    answered_at: datetime = Field(sa_type=Instant)


class RecoveryTask(Model, table=True):
    """A step of the recovery plan that is done."""

    __tablename__ = "recovery_task"
    __table_args__ = (
        ForeignKeyConstraint(["shipment_id", "position"], ["piece.shipment_id", "piece.position"]),
        CheckConstraint("step between 1 and 20", name="step"),
    )

    shipment_id: str = Field(primary_key=True)
    position: int = Field(primary_key=True)
    step: int = Field(primary_key=True)
    done_by: str
    done_at: datetime = Field(sa_type=Instant)


class ShiftCount(Model, table=True):
    """Somebody else than the courier counted a deposit; a difference has a cause."""

    __tablename__ = "shift_count"
    __table_args__ = (
        CheckConstraint("counted_by <> courier", name="two_people"),
        CheckConstraint(
            "cause in ('none', 'change_error', 'false_note', 'courier_owes', 'citizen_overpaid', 'under_inquiry')",
            name="cause",
        ),
        CheckConstraint("(difference_dong = 0) = (cause = 'none')", name="a_difference_has_a_cause"),
    )

    deposit_id: str = Field(primary_key=True, foreign_key="deposit.id")
    courier: str
    counted_by: str
    counted_dong: int = Field(sa_type=BigInteger)
    difference_dong: int = Field(sa_type=BigInteger)
    cause: str
    note: str = ""
    counted_at: datetime = Field(sa_type=Instant)


class DepositRemittance(Model, table=True):
    """The books have taken over a deposit: from here on the bank statement must show it."""

    __tablename__ = "deposit_remittance"

    deposit_id: str = Field(primary_key=True, foreign_key="deposit.id")
    remitted_at: datetime = Field(sa_type=Instant)


class CashLine(Model, table=True):
    """Whose money the cash of a shipment is, as quoted: one row a line of the bill."""

    __tablename__ = "cash_line"
    __table_args__ = (
        CheckConstraint("kind in ('fee', 'charge', 'postage', 'collection')", name="kind"),
        CheckConstraint("expected_dong > 0", name="expected_dong"),
        UniqueConstraint("shipment_id", "item"),
    )

    shipment_id: str = Field(primary_key=True, foreign_key="shipment.id")
    position: int = Field(primary_key=True)
    item: str
    kind: str
    owner: str
    expected_dong: int = Field(sa_type=BigInteger)


def columns_of(row: Model) -> dict[str, Any]:
    """A row as the values of an insert."""
    return row.model_dump()
