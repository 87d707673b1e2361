"""Evidence files named by facts, handovers, corrections, bags, published roots, carriers' messages."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlmodel.sql.sqltypes import AutoString

from kit.db import Instant

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None


_EVENT_KINDS = (
    "'pickup_started', 'pickup_failed', 'collected', 'partially_collected', 'arrived_origin_office', 'departed', "
    "'arrived_delivery_office', 'held', 'released', 'out_for_delivery', 'attempt_failed', 'ready_for_collection', "
    "'handed_over', 'evidence_added', 'return_started', 'returned', 'investigation_opened', 'found', "
    "'declared_lost', 'declared_damaged', 'cancelled'"
)
_NEW_EVENT_KINDS = (
    "'pickup_accepted', 'pickup_rejected', 'pickup_expired', 'custody_released', 'custody_accepted', "
    "'missing_from_bag', 'evidence_stored', 'corrected', 'unmapped'"
)
_STATUSES = (
    "'draft', 'booked', 'pickup_in_progress', 'pickup_failed', 'collected', 'at_origin_office', 'in_transit', "
    "'at_delivery_office', 'held', 'out_for_delivery', 'attempt_failed', 'ready_for_collection', "
    "'delivered_pending_evidence', 'delivered', 'returning', 'returned', 'investigating', 'lost', 'damaged', "
    "'cancelled'"
)
_CHECKS = {
    "shipment": {
        "pickup_status": "pickup_status in ('requested', 'accepted', 'rejected', 'collected', 'partially_collected', "
        "'failed', 'cancelled', 'expired')",
        "files_missing": "files_missing >= 0",
        "hold_days": "hold_days between 1 and 60",
        "release": "(release_since is null) = (release_to is null)",
        "carrier": "(carrier is null) = (carrier_reference is null)",
    },
    "event": {
        "voids": "(kind = 'corrected') = (voids is not null)",
        "party": "(party is not null) = (kind in ('custody_released', 'custody_accepted'))",
    },
}


def _replace_check(table: str, name: str, condition: str) -> None:
    op.drop_constraint(op.f(f"ck_{table}_{name}"), table, type_="check")
    op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, condition)


def upgrade() -> None:
    op.create_table(
        "bag",
        sa.Column("id", AutoString(), nullable=False),
        sa.Column("bag_key", AutoString(), nullable=False),
        sa.Column("seal_number", AutoString(), nullable=False),
        sa.Column("origin", AutoString(), nullable=False),
        sa.Column("destination", AutoString(), nullable=False),
        sa.Column("count_in", sa.Integer(), nullable=False),
        sa.Column("closed_by", AutoString(), nullable=False),
        sa.Column("closed_at", Instant(timezone=True), nullable=False),
        sa.Column("opened_by", AutoString(), nullable=True),
        sa.Column("opened_at", Instant(timezone=True), nullable=True),
        sa.Column("count_out", sa.Integer(), nullable=True),
        sa.Column("surplus", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("seal_intact", sa.Boolean(), nullable=True),
        sa.CheckConstraint(
            "(opened_at is null) = (opened_by is null) and (opened_at is null) = (count_out is null) "
            "and (opened_at is null) = (seal_intact is null)",
            name=op.f("ck_bag_opened"),
        ),
        sa.CheckConstraint("count_in >= 1 and count_out >= 0", name=op.f("ck_bag_counts")),
        sa.CheckConstraint("opened_by <> closed_by", name=op.f("ck_bag_two_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bag")),
        sa.UniqueConstraint("bag_key", name=op.f("uq_bag_bag_key")),
    )
    op.create_index(
        "uq_bag_seal_number_open", "bag", ["seal_number"], unique=True, postgresql_where=sa.text("opened_at is null")
    )
    op.create_table(
        "custody_root",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("root", AutoString(), nullable=False),
        sa.Column("previous_day", sa.Date(), nullable=True),
        sa.Column("previous_seal", AutoString(), nullable=False),
        sa.Column("seal", AutoString(), nullable=False),
        sa.Column("published_at", Instant(timezone=True), nullable=False),
        sa.CheckConstraint(
            "root ~ '^[0-9a-f]{64}$' and seal ~ '^[0-9a-f]{64}$' and previous_seal ~ '^[0-9a-f]{64}$'",
            name=op.f("ck_custody_root_hashes"),
        ),
        sa.CheckConstraint("size >= 0", name=op.f("ck_custody_root_size")),
        sa.ForeignKeyConstraint(
            ["previous_day"], ["custody_root.day"], name=op.f("fk_custody_root_previous_day_custody_root")
        ),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_custody_root")),
        sa.UniqueConstraint("previous_day", name=op.f("uq_custody_root_previous_day")),
        sa.UniqueConstraint("seal", name=op.f("uq_custody_root_seal")),
    )
    op.create_table(
        "bag_item",
        sa.Column("bag_id", AutoString(), nullable=False),
        sa.Column("shipment_id", AutoString(), nullable=False),
        sa.Column("outcome", AutoString(), nullable=True),
        sa.CheckConstraint("outcome in ('found', 'missing')", name=op.f("ck_bag_item_outcome")),
        sa.ForeignKeyConstraint(["bag_id"], ["bag.id"], name=op.f("fk_bag_item_bag_id_bag")),
        sa.ForeignKeyConstraint(["shipment_id"], ["shipment.id"], name=op.f("fk_bag_item_shipment_id_shipment")),
        sa.PrimaryKeyConstraint("bag_id", "shipment_id", name=op.f("pk_bag_item")),
    )
    op.create_index(
        "uq_bag_item_shipment_id_inside",
        "bag_item",
        ["shipment_id"],
        unique=True,
        postgresql_where=sa.text("outcome is null"),
    )
    op.create_table(
        "carrier_message",
        sa.Column("id", AutoString(), nullable=False),
        sa.Column("carrier", AutoString(), nullable=False),
        sa.Column("message_key", AutoString(), nullable=False),
        sa.Column("reference", AutoString(), nullable=False),
        sa.Column("code", AutoString(), nullable=False),
        sa.Column("body", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("outcome", AutoString(), nullable=False),
        sa.Column("shipment_id", AutoString(), nullable=True),
        sa.Column("received_at", Instant(timezone=True), nullable=False),
        sa.CheckConstraint(
            "outcome in ('recorded', 'unmapped', 'unknown_item', 'ignored')", name=op.f("ck_carrier_message_outcome")
        ),
        sa.ForeignKeyConstraint(["shipment_id"], ["shipment.id"], name=op.f("fk_carrier_message_shipment_id_shipment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_carrier_message")),
        sa.UniqueConstraint("carrier", "message_key", name=op.f("uq_carrier_message_carrier_message_key")),
    )
    op.create_index(op.f("ix_carrier_message_shipment_id"), "carrier_message", ["shipment_id"], unique=False)
    op.create_index(
        "ix_carrier_message_unmapped",
        "carrier_message",
        ["received_at"],
        unique=False,
        postgresql_where=sa.text("outcome = 'unmapped'"),
    )
    op.create_table(
        "correction",
        sa.Column("id", AutoString(), nullable=False),
        sa.Column("shipment_id", AutoString(), nullable=False),
        sa.Column("voids", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("reason", AutoString(), nullable=False),
        sa.Column("note", AutoString(), nullable=False),
        sa.Column("status", AutoString(), nullable=False),
        sa.Column("proposed_by", AutoString(), nullable=False),
        sa.Column("proposed_at", Instant(timezone=True), nullable=False),
        sa.Column("decided_by", AutoString(), nullable=True),
        sa.Column("decided_at", Instant(timezone=True), nullable=True),
        sa.Column("event_id", AutoString(), nullable=True),
        sa.CheckConstraint("(status = 'confirmed') = (event_id is not null)", name=op.f("ck_correction_event_id")),
        sa.CheckConstraint(
            "(status = 'proposed') = (decided_by is null) and (decided_by is null) = (decided_at is null)",
            name=op.f("ck_correction_decided"),
        ),
        sa.CheckConstraint("reason in ('did_not_occur', 'incorrect_data')", name=op.f("ck_correction_reason")),
        sa.CheckConstraint("status in ('proposed', 'confirmed', 'refused')", name=op.f("ck_correction_status")),
        sa.CheckConstraint("decided_by <> proposed_by", name=op.f("ck_correction_two_people")),
        sa.CheckConstraint("jsonb_array_length(voids) >= 1", name=op.f("ck_correction_voids")),
        sa.ForeignKeyConstraint(["shipment_id"], ["shipment.id"], name=op.f("fk_correction_shipment_id_shipment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_correction")),
        sa.UniqueConstraint("event_id", name=op.f("uq_correction_event_id")),
    )
    op.create_index(
        "uq_correction_shipment_id_proposed",
        "correction",
        ["shipment_id"],
        unique=True,
        postgresql_where=sa.text("status = 'proposed'"),
    )
    op.create_table(
        "event_file",
        sa.Column("event_id", AutoString(), nullable=False),
        sa.Column("sha256", AutoString(), nullable=False),
        sa.Column("shipment_id", AutoString(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.CheckConstraint(
            "kind in ('seal_photo', 'handover_photo', 'door_photo', 'citizen_signature', 'courier_signature', 'receiver_signature', 'authorisation', 'receipt')",  # noqa: E501
            name=op.f("ck_event_file_kind"),
        ),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_event_file_sha256")),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], name=op.f("fk_event_file_event_id_event")),
        sa.ForeignKeyConstraint(["shipment_id"], ["shipment.id"], name=op.f("fk_event_file_shipment_id_shipment")),
        sa.PrimaryKeyConstraint("event_id", "sha256", name=op.f("pk_event_file")),
    )
    op.create_index(op.f("ix_event_file_sha256"), "event_file", ["sha256"], unique=False)
    op.create_index(op.f("ix_event_file_shipment_id"), "event_file", ["shipment_id"], unique=False)
    op.add_column("event", sa.Column("skew_ms", sa.BigInteger(), nullable=True))
    op.add_column("event", sa.Column("code_right", sa.Boolean(), nullable=True))
    op.add_column(
        "event", sa.Column("party", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True)
    )
    op.add_column(
        "event", sa.Column("voids", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True)
    )
    op.create_index("ix_event_received_at", "event", ["received_at"], unique=False, postgresql_using="brin")
    op.add_column("s10_range", sa.Column("low_since", Instant(timezone=True), nullable=True))
    op.add_column("shipment", sa.Column("pickup_status", AutoString(), nullable=False, server_default="requested"))
    op.add_column("shipment", sa.Column("hold_days", sa.Integer(), nullable=False, server_default="10"))
    op.add_column("shipment", sa.Column("files_missing", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("shipment", sa.Column("release_since", Instant(timezone=True), nullable=True))
    op.add_column("shipment", sa.Column("release_to", AutoString(), nullable=True))
    op.add_column(
        "shipment", sa.Column("quote", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True)
    )
    op.add_column("shipment", sa.Column("carrier", AutoString(), nullable=True))
    op.add_column("shipment", sa.Column("carrier_reference", AutoString(), nullable=True))
    op.create_index(
        "ix_shipment_release_since",
        "shipment",
        ["release_since"],
        unique=False,
        postgresql_where=sa.text("release_since is not null"),
    )
    op.create_unique_constraint(
        op.f("uq_shipment_carrier_carrier_reference"), "shipment", ["carrier", "carrier_reference"]
    )
    for column in ("pickup_status", "files_missing", "hold_days"):
        op.alter_column("shipment", column, server_default=None)
    for table, checks in _CHECKS.items():
        for name, condition in checks.items():
            op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, condition)
    _replace_check("event", "kind", f"kind in ({_EVENT_KINDS}, {_NEW_EVENT_KINDS})")
    _replace_check("shipment", "status", f"status in ({_STATUSES}, 'collected_pending_evidence')")
    _refuse_changes_of_what_is_published()
    _let_only_a_confirmed_correction_set_facts_aside()


def _refuse_changes_of_what_is_published() -> None:
    op.execute(
        "create trigger custody_root_only_grows before update or delete on custody_root "
        "for each row execute function refuse_change()"
    )
    op.execute(
        "create trigger custody_root_is_never_emptied before truncate on custody_root "
        "for each statement execute function refuse_change()"
    )


def _let_only_a_confirmed_correction_set_facts_aside() -> None:
    op.execute(
        """
        create function correction_needs_two_people() returns trigger language plpgsql as $$
        begin
            if not exists (
                select 1 from correction c
                where c.event_id = new.id and c.shipment_id = new.shipment_id and c.status = 'confirmed'
                  and c.voids = new.voids and c.decided_by <> c.proposed_by
            ) then
                raise exception 'event % sets facts aside without a correction that two people made', new.id
                    using errcode = 'integrity_constraint_violation';
            end if;
            return new;
        end $$
        """
    )
    op.execute(
        "create trigger event_corrects_with_two_people before insert on event for each row "
        "when (new.kind = 'corrected') execute function correction_needs_two_people()"
    )


def downgrade() -> None:
    op.execute("drop trigger event_corrects_with_two_people on event")
    op.execute("drop function correction_needs_two_people()")
    op.execute("drop trigger custody_root_is_never_emptied on custody_root")
    op.execute("drop trigger custody_root_only_grows on custody_root")
    _replace_check("shipment", "status", f"status in ({_STATUSES})")
    _replace_check("event", "kind", f"kind in ({_EVENT_KINDS})")
    for table, checks in _CHECKS.items():
        for name in checks:
            op.drop_constraint(op.f(f"ck_{table}_{name}"), table, type_="check")
    op.drop_constraint(op.f("uq_shipment_carrier_carrier_reference"), "shipment", type_="unique")
    op.drop_index(
        "ix_shipment_release_since", table_name="shipment", postgresql_where=sa.text("release_since is not null")
    )
    op.drop_column("shipment", "carrier_reference")
    op.drop_column("shipment", "carrier")
    op.drop_column("shipment", "quote")
    op.drop_column("shipment", "release_to")
    op.drop_column("shipment", "release_since")
    op.drop_column("shipment", "files_missing")
    op.drop_column("shipment", "hold_days")
    op.drop_column("shipment", "pickup_status")
    op.drop_column("s10_range", "low_since")
    op.drop_index("ix_event_received_at", table_name="event", postgresql_using="brin")
    op.drop_column("event", "voids")
    op.drop_column("event", "party")
    op.drop_column("event", "code_right")
    op.drop_column("event", "skew_ms")
    op.drop_index(op.f("ix_event_file_shipment_id"), table_name="event_file")
    op.drop_index(op.f("ix_event_file_sha256"), table_name="event_file")
    op.drop_table("event_file")
    op.drop_index(
        "uq_correction_shipment_id_proposed", table_name="correction", postgresql_where=sa.text("status = 'proposed'")
    )
    op.drop_table("correction")
    op.drop_index(
        "ix_carrier_message_unmapped", table_name="carrier_message", postgresql_where=sa.text("outcome = 'unmapped'")
    )
    op.drop_index(op.f("ix_carrier_message_shipment_id"), table_name="carrier_message")
    op.drop_table("carrier_message")
    op.drop_index("uq_bag_item_shipment_id_inside", table_name="bag_item", postgresql_where=sa.text("outcome is null"))
    op.drop_table("bag_item")
    op.drop_table("custody_root")
    op.drop_index("uq_bag_seal_number_open", table_name="bag", postgresql_where=sa.text("opened_at is null"))
    op.drop_table("bag")
