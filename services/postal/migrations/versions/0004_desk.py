"""The dispatcher's desk: cases, stopped clocks, couriers and their stops, citizens' links and wishes, shift money."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlmodel.sql.sqltypes import AutoString

from kit.db import Instant

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None

APPEND_ONLY = ("assignment_change", "visit_answer", "shift_count", "deposit_remittance")
"""Records of what people did; nobody edits them afterwards."""


def upgrade() -> None:
    op.create_table(
        "courier",
        sa.Column("code", AutoString(), nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("communes", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("added_by", AutoString(), nullable=False),
        sa.Column("added_at", Instant(timezone=True), nullable=False),
        sa.CheckConstraint("length(name) >= 1", name=op.f("ck_courier_name")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_courier")),
    )
    op.create_table(
        "deposit_remittance",
        sa.Column("deposit_id", AutoString(), nullable=False),
        sa.Column("remitted_at", Instant(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["deposit_id"], ["deposit.id"], name=op.f("fk_deposit_remittance_deposit_id_deposit")),
        sa.PrimaryKeyConstraint("deposit_id", name=op.f("pk_deposit_remittance")),
    )
    op.create_table(
        "shift_count",
        sa.Column("deposit_id", AutoString(), nullable=False),
        sa.Column("courier", AutoString(), nullable=False),
        sa.Column("counted_by", AutoString(), nullable=False),
        sa.Column("counted_dong", sa.BigInteger(), nullable=False),
        sa.Column("difference_dong", sa.BigInteger(), nullable=False),
        sa.Column("cause", AutoString(), nullable=False),
        sa.Column("note", AutoString(), nullable=False),
        sa.Column("counted_at", Instant(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(difference_dong = 0) = (cause = 'none')", name=op.f("ck_shift_count_a_difference_has_a_cause")
        ),
        sa.CheckConstraint(
            "cause in ('none', 'change_error', 'false_note', 'courier_owes', 'citizen_overpaid', 'under_inquiry')",
            name=op.f("ck_shift_count_cause"),
        ),
        sa.CheckConstraint("counted_by <> courier", name=op.f("ck_shift_count_two_people")),
        sa.ForeignKeyConstraint(["deposit_id"], ["deposit.id"], name=op.f("fk_shift_count_deposit_id_deposit")),
        sa.PrimaryKeyConstraint("deposit_id", name=op.f("pk_shift_count")),
    )
    op.create_table(
        "assignment_change",
        sa.Column("shipment_id", AutoString(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("from_courier", AutoString(), nullable=True),
        sa.Column("to_courier", AutoString(), nullable=True),
        sa.Column("changed_by", AutoString(), nullable=False),
        sa.Column("changed_at", Instant(timezone=True), nullable=False),
        sa.Column("reason", AutoString(), nullable=False),
        sa.CheckConstraint(
            "from_courier is distinct from to_courier", name=op.f("ck_assignment_change_changes_something")
        ),
        sa.ForeignKeyConstraint(
            ["shipment_id"], ["shipment.id"], name=op.f("fk_assignment_change_shipment_id_shipment")
        ),
        sa.PrimaryKeyConstraint("shipment_id", "version", name=op.f("pk_assignment_change")),
    )
    op.create_table(
        "cash_line",
        sa.Column("shipment_id", AutoString(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("item", AutoString(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("owner", AutoString(), nullable=False),
        sa.Column("expected_dong", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind in ('fee', 'charge', 'postage', 'collection')", name=op.f("ck_cash_line_kind")),
        sa.CheckConstraint("expected_dong > 0", name=op.f("ck_cash_line_expected_dong")),
        sa.ForeignKeyConstraint(["shipment_id"], ["shipment.id"], name=op.f("fk_cash_line_shipment_id_shipment")),
        sa.PrimaryKeyConstraint("shipment_id", "position", name=op.f("pk_cash_line")),
        sa.UniqueConstraint("shipment_id", "item", name=op.f("uq_cash_line_shipment_id_item")),
    )
    op.create_table(
        "citizen_link",
        sa.Column("token_sha256", AutoString(), nullable=False),
        sa.Column("shipment_id", AutoString(), nullable=False),
        sa.Column("created_by", AutoString(), nullable=False),
        sa.Column("created_at", Instant(timezone=True), nullable=False),
        sa.Column("expires_at", Instant(timezone=True), nullable=False),
        sa.Column("revoked_at", Instant(timezone=True), nullable=True),
        sa.CheckConstraint("token_sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_citizen_link_token_sha256")),
        sa.CheckConstraint("expires_at > created_at", name=op.f("ck_citizen_link_expires_at")),
        sa.ForeignKeyConstraint(["shipment_id"], ["shipment.id"], name=op.f("fk_citizen_link_shipment_id_shipment")),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_citizen_link")),
    )
    op.create_index(op.f("ix_citizen_link_shipment_id"), "citizen_link", ["shipment_id"], unique=False)
    op.create_table(
        "citizen_wish",
        sa.Column("id", AutoString(), nullable=False),
        sa.Column("shipment_id", AutoString(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("status", AutoString(), nullable=False),
        sa.Column("on_day", sa.Date(), nullable=True),
        sa.Column("person_name", AutoString(), nullable=True),
        sa.Column("person_id_tail", AutoString(), nullable=True),
        sa.Column("address", AutoString(), nullable=True),
        sa.Column("commune", AutoString(), nullable=True),
        sa.Column("wrong_codes", sa.Integer(), nullable=False),
        sa.Column("code_expires_at", Instant(timezone=True), nullable=True),
        sa.Column("created_at", Instant(timezone=True), nullable=False),
        sa.Column("decided_at", Instant(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(kind = 'authorise') = (person_id_tail is not null)", name=op.f("ck_citizen_wish_person_id_tail")
        ),
        sa.CheckConstraint(
            "(kind = 'authorise') = (person_name is not null)", name=op.f("ck_citizen_wish_person_name")
        ),
        sa.CheckConstraint("(kind = 'redirect') = (address is not null)", name=op.f("ck_citizen_wish_address")),
        sa.CheckConstraint(
            "(status = 'waiting_for_code') = (decided_at is null)", name=op.f("ck_citizen_wish_decided_at")
        ),
        sa.CheckConstraint("commune ~ '^[0-9]{5}$'", name=op.f("ck_citizen_wish_commune_digits")),
        sa.CheckConstraint("kind <> 'redelivery' or on_day is not null", name=op.f("ck_citizen_wish_on_day")),
        sa.CheckConstraint(
            "kind in ('redelivery', 'redirect', 'hold', 'authorise')", name=op.f("ck_citizen_wish_kind")
        ),
        sa.CheckConstraint("person_id_tail ~ '^[0-9]{4}$'", name=op.f("ck_citizen_wish_person_id_tail_digits")),
        sa.CheckConstraint(
            "status in ('waiting_for_code', 'accepted', 'done', 'withdrawn', 'overtaken', 'failed')",
            name=op.f("ck_citizen_wish_status"),
        ),
        sa.CheckConstraint("(address is null) = (commune is null)", name=op.f("ck_citizen_wish_commune")),
        sa.CheckConstraint("wrong_codes between 0 and 5", name=op.f("ck_citizen_wish_wrong_codes")),
        sa.ForeignKeyConstraint(["shipment_id"], ["shipment.id"], name=op.f("fk_citizen_wish_shipment_id_shipment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_citizen_wish")),
    )
    op.create_index(op.f("ix_citizen_wish_shipment_id"), "citizen_wish", ["shipment_id"], unique=False)
    op.create_index(
        "uq_citizen_wish_live",
        "citizen_wish",
        ["shipment_id", "kind"],
        unique=True,
        postgresql_where=sa.text("status in ('waiting_for_code', 'accepted')"),
    )
    op.create_table(
        "clock_stop",
        sa.Column("id", AutoString(), nullable=False),
        sa.Column("shipment_id", AutoString(), nullable=False),
        sa.Column("reason", AutoString(), nullable=False),
        sa.Column("note", AutoString(), nullable=False),
        sa.Column("since", Instant(timezone=True), nullable=False),
        sa.Column("stopped_by", AutoString(), nullable=False),
        sa.Column("released_at", Instant(timezone=True), nullable=True),
        sa.Column("released_by", AutoString(), nullable=True),
        sa.CheckConstraint(
            "reason in ('weather', 'citizen_asked', 'office_closed', 'authority', 'deceased')",
            name=op.f("ck_clock_stop_reason"),
        ),
        sa.CheckConstraint(
            "(released_at is null) = (released_by is null)", name=op.f("ck_clock_stop_released_by_somebody")
        ),
        sa.CheckConstraint("length(note) >= 3", name=op.f("ck_clock_stop_note")),
        sa.CheckConstraint("released_at >= since", name=op.f("ck_clock_stop_released_after_it_began")),
        sa.ForeignKeyConstraint(["shipment_id"], ["shipment.id"], name=op.f("fk_clock_stop_shipment_id_shipment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clock_stop")),
    )
    op.create_index(op.f("ix_clock_stop_shipment_id"), "clock_stop", ["shipment_id"], unique=False)
    op.create_index(
        "uq_clock_stop_open",
        "clock_stop",
        ["shipment_id"],
        unique=True,
        postgresql_where=sa.text("released_at is null"),
    )
    op.create_table(
        "problem_case",
        sa.Column("id", AutoString(), nullable=False),
        sa.Column("case_key", AutoString(), nullable=False),
        sa.Column("shipment_id", AutoString(), nullable=True),
        sa.Column("dossier_code", AutoString(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("status", AutoString(), nullable=False),
        sa.Column("courier", AutoString(), nullable=True),
        sa.Column("due_at", Instant(timezone=True), nullable=False),
        sa.Column("opened_at", Instant(timezone=True), nullable=False),
        sa.Column("taken_by", AutoString(), nullable=True),
        sa.Column("closed_by", AutoString(), nullable=True),
        sa.Column("closed_at", Instant(timezone=True), nullable=True),
        sa.Column("resolution", AutoString(), nullable=False),
        sa.CheckConstraint("(status = 'closed') = (closed_at is not null)", name=op.f("ck_problem_case_closed")),
        sa.CheckConstraint(
            "kind in ('pickup', 'first_attempt', 'delivery', 'next_attempt', 'hold', 'movement', "
            "'custody', 'evidence', 'presumed_lost', "
            "'claim_answer', 'claim_payment', 'stop_unreleased', 'dispute', 'shift_difference')",
            name=op.f("ck_problem_case_kind"),
        ),
        sa.CheckConstraint("status <> 'taken' or taken_by is not null", name=op.f("ck_problem_case_taken_by_somebody")),
        sa.CheckConstraint("status in ('open', 'taken', 'closed')", name=op.f("ck_problem_case_status")),
        sa.CheckConstraint(
            "(closed_at is null) = (closed_by is null)", name=op.f("ck_problem_case_closed_by_somebody")
        ),
        sa.ForeignKeyConstraint(["shipment_id"], ["shipment.id"], name=op.f("fk_problem_case_shipment_id_shipment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_problem_case")),
        sa.UniqueConstraint("case_key", name=op.f("uq_problem_case_case_key")),
    )
    op.create_index(
        "ix_problem_case_open",
        "problem_case",
        ["opened_at"],
        unique=False,
        postgresql_where=sa.text("status <> 'closed'"),
    )
    op.create_index(op.f("ix_problem_case_shipment_id"), "problem_case", ["shipment_id"], unique=False)
    op.create_table(
        "stop_assignment",
        sa.Column("shipment_id", AutoString(), nullable=False),
        sa.Column("courier", AutoString(), nullable=True),
        sa.Column("assigned_by", AutoString(), nullable=False),
        sa.Column("assigned_at", Instant(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_stop_assignment_version")),
        sa.ForeignKeyConstraint(["courier"], ["courier.code"], name=op.f("fk_stop_assignment_courier_courier")),
        sa.ForeignKeyConstraint(["shipment_id"], ["shipment.id"], name=op.f("fk_stop_assignment_shipment_id_shipment")),
        sa.PrimaryKeyConstraint("shipment_id", name=op.f("pk_stop_assignment")),
    )
    op.create_index(op.f("ix_stop_assignment_courier"), "stop_assignment", ["courier"], unique=False)
    op.create_table(
        "recovery_task",
        sa.Column("shipment_id", AutoString(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("done_by", AutoString(), nullable=False),
        sa.Column("done_at", Instant(timezone=True), nullable=False),
        sa.CheckConstraint("step between 1 and 20", name=op.f("ck_recovery_task_step")),
        sa.ForeignKeyConstraint(
            ["shipment_id", "position"],
            ["piece.shipment_id", "piece.position"],
            name=op.f("fk_recovery_task_shipment_id_position_piece"),
        ),
        sa.PrimaryKeyConstraint("shipment_id", "position", "step", name=op.f("pk_recovery_task")),
    )
    op.create_table(
        "visit_answer",
        sa.Column("event_id", AutoString(), nullable=False),
        sa.Column("shipment_id", AutoString(), nullable=False),
        sa.Column("courier", AutoString(), nullable=False),
        sa.Column("visited", sa.Boolean(), nullable=False),
        sa.Column("note", AutoString(), nullable=False),
        sa.Column("answered_at", Instant(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], name=op.f("fk_visit_answer_event_id_event")),
        sa.ForeignKeyConstraint(["shipment_id"], ["shipment.id"], name=op.f("fk_visit_answer_shipment_id_shipment")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_visit_answer")),
    )
    op.create_index(op.f("ix_visit_answer_courier"), "visit_answer", ["courier"], unique=False)
    op.create_index(op.f("ix_visit_answer_shipment_id"), "visit_answer", ["shipment_id"], unique=False)

    for table in APPEND_ONLY:
        op.execute(
            f"create trigger {table}_append_only before update or delete on {table} "
            "for each row execute function refuse_change()"
        )


def downgrade() -> None:
    for table in (
        "visit_answer",
        "recovery_task",
        "stop_assignment",
        "problem_case",
        "clock_stop",
        "citizen_wish",
        "citizen_link",
        "cash_line",
        "assignment_change",
        "shift_count",
        "deposit_remittance",
        "courier",
    ):
        op.drop_table(table)
