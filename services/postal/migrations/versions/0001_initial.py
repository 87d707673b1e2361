"""The tables of the postal service; its event log accepts additions only."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlmodel.sql.sqltypes import AutoString

from kit.db import Instant

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_table(
        "contact",
        sa.Column("id", AutoString(), nullable=False),
        sa.Column("dossier_code", AutoString(), nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("phone", AutoString(), nullable=False),
        sa.Column("address", AutoString(), nullable=False),
        sa.Column("commune", AutoString(), nullable=False),
        sa.Column("created_at", Instant(timezone=True), nullable=False),
        sa.CheckConstraint("commune ~ '^[0-9]{5}$'", name=op.f("ck_contact_commune")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact")),
        sa.UniqueConstraint("dossier_code", name=op.f("uq_contact_dossier_code")),
    )
    op.create_table(
        "deposit",
        sa.Column("id", AutoString(), nullable=False),
        sa.Column("event_id", AutoString(), nullable=False),
        sa.Column("reference", AutoString(), nullable=False),
        sa.Column("courier", AutoString(), nullable=False),
        sa.Column("counted_dong", sa.BigInteger(), nullable=False),
        sa.Column("expected_dong", sa.BigInteger(), nullable=False),
        sa.Column("difference_dong", sa.BigInteger(), nullable=False),
        sa.Column("dossier_codes", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("deposited_by", AutoString(), nullable=False),
        sa.Column("deposited_at", Instant(timezone=True), nullable=False),
        sa.CheckConstraint("counted_dong > 0 and expected_dong > 0", name=op.f("ck_deposit_amounts")),
        sa.CheckConstraint("difference_dong = counted_dong - expected_dong", name=op.f("ck_deposit_difference_dong")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deposit")),
        sa.UniqueConstraint("event_id", name=op.f("uq_deposit_event_id")),
        sa.UniqueConstraint("reference", name=op.f("uq_deposit_reference")),
    )
    op.create_index(op.f("ix_deposit_courier"), "deposit", ["courier"], unique=False)
    op.create_table(
        "idempotency_key",
        sa.Column("caller", sa.String(length=200), nullable=False),
        sa.Column("route", sa.String(length=300), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=3), nullable=False),
        sa.Column("content_type", sa.String(length=100), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("caller", "route", "key", name=op.f("pk_idempotency_key")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", AutoString(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("subject", AutoString(), nullable=False),
        sa.Column("data", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index(op.f("ix_outbox_kind"), "outbox", ["kind"], unique=False)
    op.create_index(op.f("ix_outbox_subject"), "outbox", ["subject"], unique=False)
    op.create_table(
        "s10_range",
        sa.Column("id", AutoString(), nullable=False),
        sa.Column("indicator", AutoString(), nullable=False),
        sa.Column("country", AutoString(), nullable=False),
        sa.Column("first_serial", sa.Integer(), nullable=False),
        sa.Column("last_serial", sa.Integer(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", Instant(timezone=True), nullable=False),
        sa.CheckConstraint("indicator ~ '^[A-Z]{2}$' and country ~ '^[A-Z]{2}$'", name=op.f("ck_s10_range_letters")),
        sa.CheckConstraint(
            "first_serial between 0 and last_serial and last_serial <= 99999999 and starts_at >= 0",
            name=op.f("ck_s10_range_serials"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_s10_range")),
        sa.UniqueConstraint(
            "indicator",
            "country",
            "first_serial",
            "last_serial",
            name=op.f("uq_s10_range_indicator_country_first_serial_last_serial"),
        ),
        sa.UniqueConstraint("starts_at", name=op.f("uq_s10_range_starts_at")),
    )
    op.create_table(
        "webhook_delivery",
        sa.Column("event_id", AutoString(), nullable=False),
        sa.Column("endpoint_id", AutoString(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", Instant(timezone=True), nullable=False),
        sa.Column("delivered_at", Instant(timezone=True), nullable=True),
        sa.Column("given_up_at", Instant(timezone=True), nullable=True),
        sa.Column("last_result", AutoString(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", "endpoint_id", name=op.f("pk_webhook_delivery")),
    )
    op.create_index(op.f("ix_webhook_delivery_next_attempt_at"), "webhook_delivery", ["next_attempt_at"], unique=False)
    op.create_table(
        "webhook_endpoint",
        sa.Column("id", AutoString(), nullable=False),
        sa.Column("url", AutoString(), nullable=False),
        sa.Column("secret", AutoString(), nullable=False),
        sa.Column("kinds", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("owner", AutoString(), nullable=False),
        sa.Column("created_at", Instant(timezone=True), nullable=False),
        sa.Column("disabled_at", Instant(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoint")),
    )
    op.create_table(
        "shipment",
        sa.Column("id", AutoString(), nullable=False),
        sa.Column("shipment_key", AutoString(), nullable=False),
        sa.Column("s10", AutoString(), nullable=False),
        sa.Column("dossier_code", AutoString(), nullable=False),
        sa.Column("direction", AutoString(), nullable=False),
        sa.Column("contact_id", AutoString(), nullable=False),
        sa.Column("agency", AutoString(), nullable=False),
        sa.Column("agency_commune", AutoString(), nullable=False),
        sa.Column("weight_grams", sa.Integer(), nullable=False),
        sa.Column("postage_dong", sa.BigInteger(), nullable=False),
        sa.Column("cash_due_dong", sa.BigInteger(), nullable=False),
        sa.Column("cash_payment_id", AutoString(), nullable=True),
        sa.Column("cash_attempt_reference", AutoString(), nullable=True),
        sa.Column("pickup_by", Instant(timezone=True), nullable=True),
        sa.Column("previous_shipment_id", AutoString(), nullable=True),
        sa.Column("request", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", Instant(timezone=True), nullable=False),
        sa.Column("status", AutoString(), nullable=False),
        sa.Column("custodian", AutoString(), nullable=False),
        sa.Column("seal_number", AutoString(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("held_until", sa.Date(), nullable=True),
        sa.Column("receipt_code", AutoString(), nullable=True),
        sa.Column("cash_collected_dong", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", Instant(timezone=True), nullable=False),
        sa.Column("chain_length", sa.Integer(), nullable=False),
        sa.Column("chain_head", AutoString(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "(status = 'lost') = (custodian = 'nobody_known')",
            name=op.f("ck_shipment_only_a_lost_item_has_no_custodian"),
        ),
        sa.CheckConstraint("agency_commune ~ '^[0-9]{5}$'", name=op.f("ck_shipment_agency_commune")),
        sa.CheckConstraint(
            "custodian in ('citizen', 'courier', 'post_office', 'transport', 'agency', 'nobody_known')",
            name=op.f("ck_shipment_custodian"),
        ),
        sa.CheckConstraint("direction in ('outbound', 'return')", name=op.f("ck_shipment_direction")),
        sa.CheckConstraint("s10 ~ '^[A-Z]{2}[0-9]{9}[A-Z]{2}$'", name=op.f("ck_shipment_s10")),
        sa.CheckConstraint(
            "status in ('draft', 'booked', 'pickup_in_progress', 'pickup_failed', 'collected', 'at_origin_office', 'in_transit', 'at_delivery_office', 'held', 'out_for_delivery', 'attempt_failed', 'ready_for_collection', 'delivered_pending_evidence', 'delivered', 'returning', 'returned', 'investigating', 'lost', 'damaged', 'cancelled')",  # noqa: E501
            name=op.f("ck_shipment_status"),
        ),
        sa.CheckConstraint(
            "(cash_due_dong > 0) = (cash_payment_id is not null) and (cash_payment_id is null) = (cash_attempt_reference is null)",  # noqa: E501
            name=op.f("ck_shipment_cash_belongs_to_a_payment"),
        ),
        sa.CheckConstraint("attempts >= 0 and chain_length >= 0 and version >= 1", name=op.f("ck_shipment_counts")),
        sa.CheckConstraint(
            "cash_collected_dong between 0 and cash_due_dong", name=op.f("ck_shipment_cash_collected_dong")
        ),
        sa.CheckConstraint("postage_dong >= 0 and cash_due_dong >= 0", name=op.f("ck_shipment_amounts")),
        sa.CheckConstraint("weight_grams between 1 and 30000", name=op.f("ck_shipment_weight_grams")),
        sa.ForeignKeyConstraint(["contact_id"], ["contact.id"], name=op.f("fk_shipment_contact_id_contact")),
        sa.ForeignKeyConstraint(
            ["previous_shipment_id"], ["shipment.id"], name=op.f("fk_shipment_previous_shipment_id_shipment")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shipment")),
        sa.UniqueConstraint("receipt_code", name=op.f("uq_shipment_receipt_code")),
        sa.UniqueConstraint("s10", name=op.f("uq_shipment_s10")),
        sa.UniqueConstraint("shipment_key", name=op.f("uq_shipment_shipment_key")),
    )
    op.create_index(op.f("ix_shipment_contact_id"), "shipment", ["contact_id"], unique=False)
    op.create_index(op.f("ix_shipment_dossier_code"), "shipment", ["dossier_code"], unique=False)
    op.create_index("ix_shipment_status_last_seen_at", "shipment", ["status", "last_seen_at"], unique=False)
    op.create_table(
        "announcement",
        sa.Column("shipment_id", AutoString(), nullable=False),
        sa.Column("news", AutoString(), nullable=False),
        sa.Column("announced_at", Instant(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["shipment_id"], ["shipment.id"], name=op.f("fk_announcement_shipment_id_shipment")),
        sa.PrimaryKeyConstraint("shipment_id", "news", name=op.f("pk_announcement")),
    )
    op.create_table(
        "claim",
        sa.Column("id", AutoString(), nullable=False),
        sa.Column("claim_key", AutoString(), nullable=False),
        sa.Column("shipment_id", AutoString(), nullable=False),
        sa.Column("dossier_code", AutoString(), nullable=False),
        sa.Column("direction", AutoString(), nullable=False),
        sa.Column("reason", AutoString(), nullable=False),
        sa.Column("status", AutoString(), nullable=False),
        sa.Column("compensation_dong", sa.BigInteger(), nullable=False),
        sa.Column("answer_by", sa.Date(), nullable=False),
        sa.Column("pay_by", sa.Date(), nullable=True),
        sa.Column("created_by", AutoString(), nullable=False),
        sa.Column("created_at", Instant(timezone=True), nullable=False),
        sa.Column("decided_by", AutoString(), nullable=True),
        sa.Column("decided_at", Instant(timezone=True), nullable=True),
        sa.Column("decision_note", AutoString(), nullable=False),
        sa.Column("paid_at", Instant(timezone=True), nullable=True),
        sa.CheckConstraint("(status = 'paid') = (paid_at is not null)", name=op.f("ck_claim_paid_at")),
        sa.CheckConstraint("(status in ('approved', 'paid')) = (pay_by is not null)", name=op.f("ck_claim_pay_by")),
        sa.CheckConstraint(
            "(status in ('approved', 'rejected', 'paid')) = (decided_at is not null)", name=op.f("ck_claim_decided")
        ),
        sa.CheckConstraint("reason in ('lost', 'damaged', 'late')", name=op.f("ck_claim_reason")),
        sa.CheckConstraint(
            "status in ('submitted', 'in_review', 'approved', 'rejected', 'paid')", name=op.f("ck_claim_status")
        ),
        sa.CheckConstraint("(decided_at is null) = (decided_by is null)", name=op.f("ck_claim_decided_by_somebody")),
        sa.CheckConstraint("compensation_dong >= 0", name=op.f("ck_claim_compensation_dong")),
        sa.ForeignKeyConstraint(["shipment_id"], ["shipment.id"], name=op.f("fk_claim_shipment_id_shipment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_claim")),
        sa.UniqueConstraint("claim_key", name=op.f("uq_claim_claim_key")),
    )
    op.create_index(
        "uq_claim_shipment_id_live",
        "claim",
        ["shipment_id"],
        unique=True,
        postgresql_where=sa.text("status <> 'rejected'"),
    )
    op.create_table(
        "event",
        sa.Column("id", AutoString(), nullable=False),
        sa.Column("shipment_id", AutoString(), nullable=False),
        sa.Column("chain_position", sa.Integer(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("occurred_at", Instant(timezone=True), nullable=False),
        sa.Column("received_at", Instant(timezone=True), nullable=False),
        sa.Column("source", AutoString(), nullable=False),
        sa.Column("actor", AutoString(), nullable=False),
        sa.Column("device_id", AutoString(), nullable=False),
        sa.Column("device_seq", sa.BigInteger(), nullable=False),
        sa.Column("place", AutoString(), nullable=False),
        sa.Column("reason", AutoString(), nullable=True),
        sa.Column("measure", AutoString(), nullable=True),
        sa.Column("cash_collected_dong", sa.BigInteger(), nullable=False),
        sa.Column("evidence", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("note", AutoString(), nullable=False),
        sa.Column("body_sha256", AutoString(), nullable=False),
        sa.Column("prev_hash", AutoString(), nullable=False),
        sa.Column("hash", AutoString(), nullable=False),
        sa.CheckConstraint("hash ~ '^[0-9a-f]{64}$' and prev_hash ~ '^[0-9a-f]{64}$'", name=op.f("ck_event_hashes")),
        sa.CheckConstraint(
            "kind in ('pickup_started', 'pickup_failed', 'collected', 'partially_collected', 'arrived_origin_office', 'departed', 'arrived_delivery_office', 'held', 'released', 'out_for_delivery', 'attempt_failed', 'ready_for_collection', 'handed_over', 'evidence_added', 'return_started', 'returned', 'investigation_opened', 'found', 'declared_lost', 'declared_damaged', 'cancelled')",  # noqa: E501
            name=op.f("ck_event_kind"),
        ),
        sa.CheckConstraint("source in ('carrier', 'courier', 'dispatcher', 'system')", name=op.f("ck_event_source")),
        sa.CheckConstraint("cash_collected_dong >= 0", name=op.f("ck_event_cash_collected_dong")),
        sa.CheckConstraint("chain_position >= 1 and device_seq >= 1", name=op.f("ck_event_numbers")),
        sa.ForeignKeyConstraint(["shipment_id"], ["shipment.id"], name=op.f("fk_event_shipment_id_shipment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        sa.UniqueConstraint("shipment_id", "chain_position", name=op.f("uq_event_shipment_id_chain_position")),
        sa.UniqueConstraint("shipment_id", "prev_hash", name=op.f("uq_event_shipment_id_prev_hash")),
    )
    op.create_table(
        "piece",
        sa.Column("shipment_id", AutoString(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("collected", sa.Boolean(), nullable=False),
        sa.CheckConstraint("position >= 1", name=op.f("ck_piece_position")),
        sa.ForeignKeyConstraint(["shipment_id"], ["shipment.id"], name=op.f("fk_piece_shipment_id_shipment")),
        sa.PrimaryKeyConstraint("shipment_id", "position", name=op.f("pk_piece")),
    )
    op.create_table(
        "cash_collection",
        sa.Column("shipment_id", AutoString(), nullable=False),
        sa.Column("event_id", AutoString(), nullable=False),
        sa.Column("dossier_code", AutoString(), nullable=False),
        sa.Column("courier", AutoString(), nullable=False),
        sa.Column("amount_dong", sa.BigInteger(), nullable=False),
        sa.Column("collected_at", Instant(timezone=True), nullable=False),
        sa.Column("deposit_id", AutoString(), nullable=True),
        sa.CheckConstraint("amount_dong > 0", name=op.f("ck_cash_collection_amount_dong")),
        sa.ForeignKeyConstraint(["deposit_id"], ["deposit.id"], name=op.f("fk_cash_collection_deposit_id_deposit")),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], name=op.f("fk_cash_collection_event_id_event")),
        sa.ForeignKeyConstraint(["shipment_id"], ["shipment.id"], name=op.f("fk_cash_collection_shipment_id_shipment")),
        sa.PrimaryKeyConstraint("shipment_id", name=op.f("pk_cash_collection")),
        sa.UniqueConstraint("event_id", name=op.f("uq_cash_collection_event_id")),
    )
    op.create_index(
        "ix_cash_collection_courier_open",
        "cash_collection",
        ["courier"],
        unique=False,
        postgresql_where=sa.text("deposit_id is null"),
    )
    op.create_index(op.f("ix_cash_collection_deposit_id"), "cash_collection", ["deposit_id"], unique=False)
    op.create_table(
        "verdict",
        sa.Column("event_id", AutoString(), nullable=False),
        sa.Column("shipment_id", AutoString(), nullable=False),
        sa.Column("applied", sa.Boolean(), nullable=False),
        sa.Column("anomaly", AutoString(), nullable=True),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], name=op.f("fk_verdict_event_id_event")),
        sa.ForeignKeyConstraint(["shipment_id"], ["shipment.id"], name=op.f("fk_verdict_shipment_id_shipment")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_verdict")),
    )
    op.create_index(op.f("ix_verdict_shipment_id"), "verdict", ["shipment_id"], unique=False)
    # Counts the numbers ever given out; `s10_range` says which number each count stands for.
    op.execute("create sequence s10_serial minvalue 0 start 0")
    op.execute(
        """
        create function refuse_change() returns trigger language plpgsql as $$
        begin
            raise exception 'table % only grows: % is refused', tg_table_name, lower(tg_op)
                using errcode = 'integrity_constraint_violation';
        end $$
        """
    )
    op.execute(
        "create trigger event_only_grows before update or delete on event for each row execute function refuse_change()"
    )
    op.execute(
        "create trigger event_is_never_emptied before truncate on event for each statement "
        "execute function refuse_change()"
    )


def downgrade() -> None:
    op.execute("drop trigger event_is_never_emptied on event")
    op.execute("drop trigger event_only_grows on event")
    op.execute("drop function refuse_change()")
    op.execute("drop sequence s10_serial")
    op.drop_index(op.f("ix_verdict_shipment_id"), table_name="verdict")
    op.drop_table("verdict")
    op.drop_index(op.f("ix_cash_collection_deposit_id"), table_name="cash_collection")
    op.drop_index(
        "ix_cash_collection_courier_open", table_name="cash_collection", postgresql_where=sa.text("deposit_id is null")
    )
    op.drop_table("cash_collection")
    op.drop_table("piece")
    op.drop_table("event")
    op.drop_index("uq_claim_shipment_id_live", table_name="claim", postgresql_where=sa.text("status <> 'rejected'"))
    op.drop_table("claim")
    op.drop_table("announcement")
    op.drop_index("ix_shipment_status_last_seen_at", table_name="shipment")
    op.drop_index(op.f("ix_shipment_dossier_code"), table_name="shipment")
    op.drop_index(op.f("ix_shipment_contact_id"), table_name="shipment")
    op.drop_table("shipment")
    op.drop_table("webhook_endpoint")
    op.drop_index(op.f("ix_webhook_delivery_next_attempt_at"), table_name="webhook_delivery")
    op.drop_table("webhook_delivery")
    op.drop_table("s10_range")
    op.drop_index(op.f("ix_outbox_subject"), table_name="outbox")
    op.drop_index(op.f("ix_outbox_kind"), table_name="outbox")
    op.drop_table("outbox")
    op.drop_table("idempotency_key")
    op.drop_index(op.f("ix_deposit_courier"), table_name="deposit")
    op.drop_table("deposit")
    op.drop_table("contact")
