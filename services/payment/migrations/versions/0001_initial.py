"""Tables of the payment database."""
# ruff: noqa: E501, PLR0915 (generated: one statement a table, constraints as PostgreSQL has them)

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from kit.db import Instant

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.CheckConstraint(
            "kind in ('asset', 'liability', 'income', 'expense', 'equity')", name=op.f("ck_account_kind_known")
        ),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_account")),
    )
    op.create_table(
        "break",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("amount_dong", sa.BigInteger(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("flow", sa.String(), nullable=True),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("text_vi", sa.String(), nullable=False),
        sa.Column("text_en", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("opened_at", Instant(), nullable=False),
        sa.Column("proposal", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("proposal_hash", sa.String(), nullable=True),
        sa.Column("proposed_by", sa.String(), nullable=True),
        sa.Column("resolved_at", Instant(), nullable=True),
        sa.Column("resolved_by", sa.String(), nullable=True),
        sa.Column("resolution", sa.String(), nullable=True),
        sa.CheckConstraint(
            "(status = 'resolved') = (resolved_at is not null)", name=op.f("ck_break_resolved_has_time")
        ),
        sa.CheckConstraint("status in ('open', 'resolved')", name=op.f("ck_break_status_known")),
        sa.CheckConstraint(
            "resolved_by is null or proposed_by is null or resolved_by <> proposed_by", name=op.f("ck_break_two_people")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_break")),
        sa.UniqueConstraint("kind", "subject", name="uq_break_kind_subject"),
    )
    op.create_index("ix_break_business_date", "break", ["business_date"], unique=False)
    op.create_index("ix_break_status_id", "break", ["status", "id"], unique=False)
    op.create_table(
        "day_close",
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("proposal_hash", sa.String(), nullable=False),
        sa.Column("proposed_by", sa.String(), nullable=False),
        sa.Column("proposed_at", Instant(), nullable=False),
        sa.Column("snapshot", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("closed_by", sa.String(), nullable=True),
        sa.Column("closed_at", Instant(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("previous_seal", sa.String(), nullable=True),
        sa.Column("seal", sa.String(), nullable=True),
        sa.CheckConstraint(
            "(status = 'closed') = (closed_by is not null and seal is not null and number is not null)",
            name=op.f("ck_day_close_closed_is_sealed"),
        ),
        sa.CheckConstraint("status in ('proposed', 'closed')", name=op.f("ck_day_close_status_known")),
        sa.CheckConstraint("closed_by is null or closed_by <> proposed_by", name=op.f("ck_day_close_second_person")),
        sa.PrimaryKeyConstraint("business_date", name=op.f("pk_day_close")),
        sa.UniqueConstraint("number", name=op.f("uq_day_close_number")),
        sa.UniqueConstraint("seal", name=op.f("uq_day_close_seal")),
    )
    op.create_table(
        "day_run",
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("settlement_at", Instant(), nullable=False),
        sa.Column("ran_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("business_date", name=op.f("pk_day_run")),
    )
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
        "inbound",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("body", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("received_at", Instant(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", Instant(), nullable=False),
        sa.Column("processed_at", Instant(), nullable=True),
        sa.Column("last_result", sa.String(), nullable=False),
        sa.CheckConstraint("source in ('gateway', 'bank')", name=op.f("ck_inbound_source_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbound")),
        sa.UniqueConstraint("source", "event_id", name="uq_inbound_source_event_id"),
    )
    op.create_index(
        "ix_inbound_due", "inbound", ["next_attempt_at"], unique=False, postgresql_where=sa.text("processed_at is null")
    )
    op.create_table(
        "outbox_event",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("data", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_event")),
    )
    op.create_index(op.f("ix_outbox_event_kind"), "outbox_event", ["kind"], unique=False)
    op.create_index(op.f("ix_outbox_event_subject"), "outbox_event", ["subject"], unique=False)
    op.create_table(
        "payer",
        sa.Column("dossier_code", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("dossier_code", name=op.f("pk_payer")),
    )
    op.create_table(
        "payment",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("bill_reference", sa.String(), nullable=False),
        sa.Column("dossier_code", sa.String(), nullable=False),
        sa.Column("procedure", sa.String(), nullable=False),
        sa.Column("quote_id", sa.String(), nullable=False),
        sa.Column("request", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("due_dong", sa.BigInteger(), nullable=False),
        sa.Column("budget_dong", sa.BigInteger(), nullable=False),
        sa.Column("paid_dong", sa.BigInteger(), nullable=False),
        sa.Column("refunded_dong", sa.BigInteger(), nullable=False),
        sa.Column("held_dong", sa.BigInteger(), nullable=False),
        sa.Column("excess_dong", sa.BigInteger(), nullable=False),
        sa.Column("excess_held_dong", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.String(), nullable=True),
        sa.Column("live", sa.String(), nullable=True),
        sa.Column("budget_released", sa.Boolean(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("paid_at", Instant(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("ended is null or ended in ('expired', 'cancelled')", name=op.f("ck_payment_ended_known")),
        sa.CheckConstraint(
            "status in ('open', 'pending', 'unknown', 'partially_paid', 'paid', 'expired', 'cancelled', 'refund_pending', 'refunded')",
            name=op.f("ck_payment_status_known"),
        ),
        sa.CheckConstraint("due_dong >= 0 and budget_dong >= 0", name=op.f("ck_payment_owes_nothing_negative")),
        sa.CheckConstraint(
            "excess_held_dong between 0 and excess_dong", name=op.f("ck_payment_excess_held_within_excess")
        ),
        sa.CheckConstraint(
            "held_dong >= 0 and refunded_dong >= 0 and held_dong + refunded_dong <= paid_dong",
            name=op.f("ck_payment_refunds_within_paid"),
        ),
        sa.CheckConstraint("paid_dong between 0 and due_dong", name=op.f("ck_payment_paid_within_due")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment")),
        sa.UniqueConstraint("bill_reference", name=op.f("uq_payment_bill_reference")),
    )
    op.create_index(op.f("ix_payment_dossier_code"), "payment", ["dossier_code"], unique=False)
    op.create_index("ix_payment_status_id", "payment", ["status", "id"], unique=False)
    op.create_index(
        "ix_payment_to_expire",
        "payment",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("ended is null and paid_dong < due_dong"),
    )
    op.create_table(
        "payout",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("gross_dong", sa.BigInteger(), nullable=False),
        sa.Column("fee_dong", sa.BigInteger(), nullable=False),
        sa.Column("net_dong", sa.BigInteger(), nullable=False),
        sa.Column("announced_dong", sa.BigInteger(), nullable=False),
        sa.Column("arrival_date", sa.Date(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("imported_at", Instant(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.CheckConstraint("net_dong = gross_dong - fee_dong", name=op.f("ck_payout_net_is_gross_less_fee")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payout")),
    )
    op.create_index(op.f("ix_payout_arrival_date"), "payout", ["arrival_date"], unique=False)
    op.create_table(
        "receipt_series",
        sa.Column("series", sa.String(), nullable=False),
        sa.Column("last_serial", sa.Integer(), nullable=False),
        sa.CheckConstraint("last_serial >= 0", name=op.f("ck_receipt_series_counts_up")),
        sa.PrimaryKeyConstraint("series", name=op.f("pk_receipt_series")),
    )
    op.create_table(
        "remittance",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("amount_dong", sa.BigInteger(), nullable=False),
        sa.Column("collector", sa.String(), nullable=False),
        sa.Column("deposited_at", Instant(), nullable=False),
        sa.Column("deposited_on", sa.Date(), nullable=False),
        sa.Column("dossier_codes", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.CheckConstraint("amount_dong > 0", name=op.f("ck_remittance_brings_money")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_remittance")),
        sa.UniqueConstraint("event_id", name=op.f("uq_remittance_event_id")),
        sa.UniqueConstraint("reference", name=op.f("uq_remittance_reference")),
    )
    op.create_index(op.f("ix_remittance_deposited_on"), "remittance", ["deposited_on"], unique=False)
    op.create_table(
        "statement",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("identity", sa.String(), nullable=False),
        sa.Column("format", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("opening_dong", sa.BigInteger(), nullable=False),
        sa.Column("closing_dong", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("imported_at", Instant(), nullable=False),
        sa.Column("imported_by", sa.String(), nullable=False),
        sa.CheckConstraint("format in ('camt.053', 'csv')", name=op.f("ck_statement_format_known")),
        sa.CheckConstraint("status in ('accepted', 'quarantined')", name=op.f("ck_statement_status_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_statement")),
        sa.UniqueConstraint("sha256", name=op.f("uq_statement_sha256")),
    )
    op.create_index(op.f("ix_statement_business_date"), "statement", ["business_date"], unique=False)
    op.create_table(
        "webhook_delivery",
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("endpoint_id", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", Instant(), nullable=False),
        sa.Column("delivered_at", Instant(), nullable=True),
        sa.Column("given_up_at", Instant(), nullable=True),
        sa.Column("last_result", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", "endpoint_id", name=op.f("pk_webhook_delivery")),
    )
    op.create_index(op.f("ix_webhook_delivery_next_attempt_at"), "webhook_delivery", ["next_attempt_at"], unique=False)
    op.create_table(
        "webhook_endpoint",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("secret", sa.String(), nullable=False),
        sa.Column("kinds", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("disabled_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoint")),
    )
    op.create_table(
        "attempt",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("payment_id", sa.String(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("amount_dong", sa.BigInteger(), nullable=False),
        sa.Column("received_dong", sa.BigInteger(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("qr_payload", sa.String(), nullable=True),
        sa.Column("payment_method", sa.String(), nullable=True),
        sa.Column("gateway_intent_id", sa.String(), nullable=True),
        sa.Column("pay_url", sa.String(), nullable=True),
        sa.Column("last_error", sa.String(), nullable=False),
        sa.Column("check_count", sa.Integer(), nullable=False),
        sa.Column("next_check_at", Instant(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.CheckConstraint(
            "method in ('card', 'vietqr', 'cash_on_delivery', 'cash_at_counter')", name=op.f("ck_attempt_method_known")
        ),
        sa.CheckConstraint(
            "status in ('created', 'pending', 'requires_action', 'succeeded', 'succeeded_mismatch', 'failed', 'expired', 'cancelled', 'unknown')",
            name=op.f("ck_attempt_status_known"),
        ),
        sa.CheckConstraint("amount_dong > 0 and received_dong >= 0", name=op.f("ck_attempt_asks_for_money")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_attempt_payment_id_payment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
        sa.UniqueConstraint("gateway_intent_id", name=op.f("uq_attempt_gateway_intent_id")),
        sa.UniqueConstraint("reference", name=op.f("uq_attempt_reference")),
    )
    op.create_index(
        "ix_attempt_due",
        "attempt",
        ["next_check_at"],
        unique=False,
        postgresql_where=sa.text("status in ('created', 'pending', 'requires_action', 'unknown')"),
    )
    op.create_index(op.f("ix_attempt_payment_id"), "attempt", ["payment_id"], unique=False)
    op.create_index(
        "uq_attempt_one_live",
        "attempt",
        ["payment_id"],
        unique=True,
        postgresql_where=sa.text("status in ('created', 'pending', 'requires_action', 'unknown')"),
    )
    op.create_table(
        "payment_line",
        sa.Column("payment_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("item", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("leg", sa.String(), nullable=True),
        sa.Column("label_vi", sa.String(), nullable=False),
        sa.Column("label_en", sa.String(), nullable=False),
        sa.Column("beneficiary", sa.String(), nullable=False),
        sa.Column("citizen_dong", sa.BigInteger(), nullable=False),
        sa.Column("budget_dong", sa.BigInteger(), nullable=False),
        sa.Column("reversed_dong", sa.BigInteger(), nullable=False),
        sa.Column("given_back_dong", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "kind in ('fee', 'charge', 'postage', 'collection')", name=op.f("ck_payment_line_kind_known")
        ),
        sa.CheckConstraint("leg is null or leg in ('send', 'return')", name=op.f("ck_payment_line_leg_known")),
        sa.CheckConstraint(
            "citizen_dong >= 0 and budget_dong >= 0", name=op.f("ck_payment_line_owes_nothing_negative")
        ),
        sa.CheckConstraint(
            "reversed_dong >= 0 and given_back_dong >= 0 and reversed_dong + given_back_dong <= citizen_dong",
            name=op.f("ck_payment_line_gives_back_what_it_has"),
        ),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_payment_line_payment_id_payment")),
        sa.PrimaryKeyConstraint("payment_id", "position", name=op.f("pk_payment_line")),
    )
    op.create_table(
        "payout_item",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("payout_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("gross_dong", sa.BigInteger(), nullable=False),
        sa.Column("fee_dong", sa.BigInteger(), nullable=False),
        sa.Column("known", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["payout_id"], ["payout.id"], name=op.f("fk_payout_item_payout_id_payout")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payout_item")),
    )
    op.create_index(op.f("ix_payout_item_payout_id"), "payout_item", ["payout_id"], unique=False)
    op.create_index(op.f("ix_payout_item_source"), "payout_item", ["source"], unique=False)
    op.create_table(
        "receipt",
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("series", sa.String(), nullable=False),
        sa.Column("serial", sa.Integer(), nullable=False),
        sa.Column("payment_id", sa.String(), nullable=False),
        sa.Column("amount_dong", sa.BigInteger(), nullable=False),
        sa.Column("check_code", sa.String(), nullable=False),
        sa.Column("content", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("issued_at", Instant(), nullable=False),
        sa.Column("cancelled_at", Instant(), nullable=True),
        sa.CheckConstraint("amount_dong >= 0 and serial > 0", name=op.f("ck_receipt_counts_up")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_receipt_payment_id_payment")),
        sa.ForeignKeyConstraint(["series"], ["receipt_series.series"], name=op.f("fk_receipt_series_receipt_series")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_receipt")),
        sa.UniqueConstraint("payment_id", name=op.f("uq_receipt_payment_id")),
        sa.UniqueConstraint("series", "serial", name="uq_receipt_series_serial"),
    )
    op.create_table(
        "refund",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("request_key", sa.String(), nullable=False),
        sa.Column("payment_id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("amount_dong", sa.BigInteger(), nullable=False),
        sa.Column("items", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("proposal_hash", sa.String(), nullable=False),
        sa.Column("requested_by", sa.String(), nullable=False),
        sa.Column("requested_at", Instant(), nullable=False),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.Column("decided_at", Instant(), nullable=True),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("last_error", sa.String(), nullable=False),
        sa.Column("check_count", sa.Integer(), nullable=False),
        sa.Column("next_check_at", Instant(), nullable=False),
        sa.Column("finished_at", Instant(), nullable=True),
        sa.CheckConstraint("(status = 'requested') = (decided_by is null)", name=op.f("ck_refund_decided_or_waiting")),
        sa.CheckConstraint(
            "route in ('gateway', 'bank_transfer', 'treasury_voucher', 'undecided')", name=op.f("ck_refund_route_known")
        ),
        sa.CheckConstraint("source in ('bill', 'excess')", name=op.f("ck_refund_source_known")),
        sa.CheckConstraint(
            "status in ('requested', 'approved', 'rejected', 'processing', 'succeeded', 'failed')",
            name=op.f("ck_refund_status_known"),
        ),
        sa.CheckConstraint("amount_dong > 0", name=op.f("ck_refund_gives_money")),
        sa.CheckConstraint("decided_by is null or decided_by <> requested_by", name=op.f("ck_refund_second_person")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_refund_payment_id_payment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund")),
        sa.UniqueConstraint("request_key", name=op.f("uq_refund_request_key")),
    )
    op.create_index(
        "ix_refund_due",
        "refund",
        ["next_check_at"],
        unique=False,
        postgresql_where=sa.text("status in ('approved', 'processing')"),
    )
    op.create_index(op.f("ix_refund_payment_id"), "refund", ["payment_id"], unique=False)
    op.create_index("ix_refund_status_id", "refund", ["status", "id"], unique=False)
    op.create_table(
        "statement_line",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("statement_id", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("booked_on", sa.Date(), nullable=False),
        sa.Column("value_on", sa.Date(), nullable=False),
        sa.Column("amount_dong", sa.BigInteger(), nullable=False),
        sa.Column("bank_reference", sa.String(), nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.Column("payer_bin", sa.String(), nullable=True),
        sa.Column("payer_account", sa.String(), nullable=True),
        sa.Column("payer_name", sa.String(), nullable=True),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("occurrence", sa.Integer(), nullable=False),
        sa.CheckConstraint("amount_dong <> 0", name=op.f("ck_statement_line_moves_money")),
        sa.ForeignKeyConstraint(
            ["statement_id"], ["statement.id"], name=op.f("fk_statement_line_statement_id_statement")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_statement_line")),
        sa.UniqueConstraint("account", "fingerprint", "occurrence", name="uq_statement_line_fingerprint"),
    )
    op.create_index("ix_statement_line_account_booked_on", "statement_line", ["account", "booked_on"], unique=False)
    op.create_index(op.f("ix_statement_line_bank_reference"), "statement_line", ["bank_reference"], unique=False)
    op.create_table(
        "fact",
        sa.Column("payment_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("attempt_id", sa.String(), nullable=True),
        sa.Column("refund_id", sa.String(), nullable=True),
        sa.Column("amount_dong", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at", Instant(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name=op.f("fk_fact_attempt_id_attempt")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_fact_payment_id_payment")),
        sa.ForeignKeyConstraint(["refund_id"], ["refund.id"], name=op.f("fk_fact_refund_id_refund")),
        sa.PrimaryKeyConstraint("payment_id", "number", name=op.f("pk_fact")),
        sa.UniqueConstraint("id", name=op.f("uq_fact_id")),
    )
    op.create_table(
        "intake",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("payment_id", sa.String(), nullable=False),
        sa.Column("attempt_id", sa.String(), nullable=True),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("source_reference", sa.String(), nullable=False),
        sa.Column("amount_dong", sa.BigInteger(), nullable=False),
        sa.Column("applied_dong", sa.BigInteger(), nullable=False),
        sa.Column("excess_dong", sa.BigInteger(), nullable=False),
        sa.Column("applied_returned_dong", sa.BigInteger(), nullable=False),
        sa.Column("excess_returned_dong", sa.BigInteger(), nullable=False),
        sa.Column("payer_bin", sa.String(), nullable=True),
        sa.Column("payer_account", sa.String(), nullable=True),
        sa.Column("payer_name", sa.String(), nullable=True),
        sa.Column("collector", sa.String(), nullable=True),
        sa.Column("received_at", Instant(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.CheckConstraint("source in ('gateway', 'bank', 'cash')", name=op.f("ck_intake_source_known")),
        sa.CheckConstraint(
            "amount_dong > 0 and amount_dong = applied_dong + excess_dong", name=op.f("ck_intake_parts_make_the_whole")
        ),
        sa.CheckConstraint(
            "applied_returned_dong between 0 and applied_dong", name=op.f("ck_intake_applied_returned_within")
        ),
        sa.CheckConstraint(
            "excess_returned_dong between 0 and excess_dong", name=op.f("ck_intake_excess_returned_within")
        ),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name=op.f("fk_intake_attempt_id_attempt")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_intake_payment_id_payment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intake")),
        sa.UniqueConstraint("source", "source_reference", name="uq_intake_source_reference"),
    )
    op.create_index(op.f("ix_intake_payment_id"), "intake", ["payment_id"], unique=False)
    op.create_table(
        "journal",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("posting_key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("payment_id", sa.String(), nullable=True),
        sa.Column("refund_id", sa.String(), nullable=True),
        sa.Column("occurred_at", Instant(), nullable=False),
        sa.Column("value_date", sa.Date(), nullable=False),
        sa.Column("posted_at", Instant(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("entry_count", sa.Integer(), nullable=False),
        sa.CheckConstraint("entry_count >= 2", name=op.f("ck_journal_has_entries")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_journal_payment_id_payment")),
        sa.ForeignKeyConstraint(["refund_id"], ["refund.id"], name=op.f("fk_journal_refund_id_refund")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal")),
        sa.UniqueConstraint("posting_key", name=op.f("uq_journal_posting_key")),
    )
    op.create_index("ix_journal_business_date_kind", "journal", ["business_date", "kind"], unique=False)
    op.create_index(op.f("ix_journal_payment_id"), "journal", ["payment_id"], unique=False)
    op.create_index(op.f("ix_journal_refund_id"), "journal", ["refund_id"], unique=False)
    op.create_table(
        "payment_share",
        sa.Column("payment_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("payer", sa.String(), nullable=False),
        sa.Column("amount_dong", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_dong >= 0", name=op.f("ck_payment_share_not_negative")),
        sa.ForeignKeyConstraint(
            ["payment_id", "position"],
            ["payment_line.payment_id", "payment_line.position"],
            name=op.f("fk_payment_share_payment_id_position_payment_line"),
        ),
        sa.PrimaryKeyConstraint("payment_id", "position", "number", name=op.f("pk_payment_share")),
    )
    op.create_table(
        "refund_part",
        sa.Column("refund_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("amount_dong", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_dong > 0", name=op.f("ck_refund_part_gives_money")),
        sa.ForeignKeyConstraint(["refund_id"], ["refund.id"], name=op.f("fk_refund_part_refund_id_refund")),
        sa.PrimaryKeyConstraint("refund_id", "position", name=op.f("pk_refund_part")),
    )
    op.create_table(
        "bank_credit",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("bank_reference", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("amount_dong", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.Column("payer_bin", sa.String(), nullable=True),
        sa.Column("payer_account", sa.String(), nullable=True),
        sa.Column("payer_name", sa.String(), nullable=True),
        sa.Column("booked_at", Instant(), nullable=False),
        sa.Column("booked_on", sa.Date(), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("intake_id", sa.String(), nullable=True),
        sa.CheckConstraint(
            "(status = 'applied') = (intake_id is not null)", name=op.f("ck_bank_credit_applied_has_intake")
        ),
        sa.CheckConstraint("origin in ('advice', 'statement')", name=op.f("ck_bank_credit_origin_known")),
        sa.CheckConstraint("status in ('held', 'applied', 'recognised')", name=op.f("ck_bank_credit_status_known")),
        sa.CheckConstraint("amount_dong > 0", name=op.f("ck_bank_credit_brings_money")),
        sa.ForeignKeyConstraint(["intake_id"], ["intake.id"], name=op.f("fk_bank_credit_intake_id_intake")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_credit")),
        sa.UniqueConstraint("bank_reference", name=op.f("uq_bank_credit_bank_reference")),
        sa.UniqueConstraint("intake_id", name=op.f("uq_bank_credit_intake_id")),
    )
    op.create_index(op.f("ix_bank_credit_booked_on"), "bank_credit", ["booked_on"], unique=False)
    op.create_table(
        "entry",
        sa.Column("journal_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("amount_dong", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.CheckConstraint("amount_dong <> 0", name=op.f("ck_entry_moves_money")),
        sa.ForeignKeyConstraint(["account"], ["account.code"], name=op.f("fk_entry_account_account")),
        sa.ForeignKeyConstraint(["journal_id"], ["journal.id"], name=op.f("fk_entry_journal_id_journal")),
        sa.PrimaryKeyConstraint("journal_id", "position", name=op.f("pk_entry")),
    )
    op.create_index("ix_entry_account_subject", "entry", ["account", "subject"], unique=False)
    op.create_table(
        "line_match",
        sa.Column("line_id", sa.String(), nullable=False),
        sa.Column("flow", sa.String(), nullable=False),
        sa.Column("item", sa.String(), nullable=False),
        sa.Column("evidence", sa.String(), nullable=False),
        sa.Column("journal_id", sa.String(), nullable=False),
        sa.Column("matched_at", Instant(), nullable=False),
        sa.CheckConstraint(
            "flow in ('card', 'vietqr', 'post_remittance', 'transfer_out', 'unidentified')",
            name=op.f("ck_line_match_flow_known"),
        ),
        sa.ForeignKeyConstraint(["journal_id"], ["journal.id"], name=op.f("fk_line_match_journal_id_journal")),
        sa.ForeignKeyConstraint(["line_id"], ["statement_line.id"], name=op.f("fk_line_match_line_id_statement_line")),
        sa.PrimaryKeyConstraint("line_id", name=op.f("pk_line_match")),
    )
    op.create_index("ix_line_match_flow_item", "line_match", ["flow", "item"], unique=False)
    op.create_table(
        "refund_leg",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("refund_id", sa.String(), nullable=False),
        sa.Column("intake_id", sa.String(), nullable=False),
        sa.Column("amount_dong", sa.BigInteger(), nullable=False),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("gateway_refund_id", sa.String(), nullable=True),
        sa.Column("bank_order_reference", sa.String(), nullable=True),
        sa.Column("settle_event_id", sa.String(), nullable=True),
        sa.Column("paid_on", sa.Date(), nullable=True),
        sa.Column("last_error", sa.String(), nullable=False),
        sa.CheckConstraint(
            "route in ('gateway', 'bank_transfer', 'treasury_voucher')", name=op.f("ck_refund_leg_route_known")
        ),
        sa.CheckConstraint(
            "status in ('waiting', 'processing', 'succeeded', 'failed')", name=op.f("ck_refund_leg_status_known")
        ),
        sa.CheckConstraint("amount_dong > 0", name=op.f("ck_refund_leg_gives_money")),
        sa.ForeignKeyConstraint(["intake_id"], ["intake.id"], name=op.f("fk_refund_leg_intake_id_intake")),
        sa.ForeignKeyConstraint(["refund_id"], ["refund.id"], name=op.f("fk_refund_leg_refund_id_refund")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund_leg")),
        sa.UniqueConstraint("bank_order_reference", name=op.f("uq_refund_leg_bank_order_reference")),
        sa.UniqueConstraint("gateway_refund_id", name=op.f("uq_refund_leg_gateway_refund_id")),
    )
    op.create_index(op.f("ix_refund_leg_intake_id"), "refund_leg", ["intake_id"], unique=False)
    op.create_index(op.f("ix_refund_leg_paid_on"), "refund_leg", ["paid_on"], unique=False)
    op.create_index(op.f("ix_refund_leg_refund_id"), "refund_leg", ["refund_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_refund_leg_refund_id"), table_name="refund_leg")
    op.drop_index(op.f("ix_refund_leg_paid_on"), table_name="refund_leg")
    op.drop_index(op.f("ix_refund_leg_intake_id"), table_name="refund_leg")
    op.drop_table("refund_leg")
    op.drop_index("ix_line_match_flow_item", table_name="line_match")
    op.drop_table("line_match")
    op.drop_index("ix_entry_account_subject", table_name="entry")
    op.drop_table("entry")
    op.drop_index(op.f("ix_bank_credit_booked_on"), table_name="bank_credit")
    op.drop_table("bank_credit")
    op.drop_table("refund_part")
    op.drop_table("payment_share")
    op.drop_index(op.f("ix_journal_refund_id"), table_name="journal")
    op.drop_index(op.f("ix_journal_payment_id"), table_name="journal")
    op.drop_index("ix_journal_business_date_kind", table_name="journal")
    op.drop_table("journal")
    op.drop_index(op.f("ix_intake_payment_id"), table_name="intake")
    op.drop_table("intake")
    op.drop_table("fact")
    op.drop_index(op.f("ix_statement_line_bank_reference"), table_name="statement_line")
    op.drop_index("ix_statement_line_account_booked_on", table_name="statement_line")
    op.drop_table("statement_line")
    op.drop_index("ix_refund_status_id", table_name="refund")
    op.drop_index(op.f("ix_refund_payment_id"), table_name="refund")
    op.drop_index(
        "ix_refund_due", table_name="refund", postgresql_where=sa.text("status in ('approved', 'processing')")
    )
    op.drop_table("refund")
    op.drop_table("receipt")
    op.drop_index(op.f("ix_payout_item_source"), table_name="payout_item")
    op.drop_index(op.f("ix_payout_item_payout_id"), table_name="payout_item")
    op.drop_table("payout_item")
    op.drop_table("payment_line")
    op.drop_index(
        "uq_attempt_one_live",
        table_name="attempt",
        postgresql_where=sa.text("status in ('created', 'pending', 'requires_action', 'unknown')"),
    )
    op.drop_index(op.f("ix_attempt_payment_id"), table_name="attempt")
    op.drop_index(
        "ix_attempt_due",
        table_name="attempt",
        postgresql_where=sa.text("status in ('created', 'pending', 'requires_action', 'unknown')"),
    )
    op.drop_table("attempt")
    op.drop_table("webhook_endpoint")
    op.drop_index(op.f("ix_webhook_delivery_next_attempt_at"), table_name="webhook_delivery")
    op.drop_table("webhook_delivery")
    op.drop_index(op.f("ix_statement_business_date"), table_name="statement")
    op.drop_table("statement")
    op.drop_index(op.f("ix_remittance_deposited_on"), table_name="remittance")
    op.drop_table("remittance")
    op.drop_table("receipt_series")
    op.drop_index(op.f("ix_payout_arrival_date"), table_name="payout")
    op.drop_table("payout")
    op.drop_index(
        "ix_payment_to_expire", table_name="payment", postgresql_where=sa.text("ended is null and paid_dong < due_dong")
    )
    op.drop_index("ix_payment_status_id", table_name="payment")
    op.drop_index(op.f("ix_payment_dossier_code"), table_name="payment")
    op.drop_table("payment")
    op.drop_table("payer")
    op.drop_index(op.f("ix_outbox_event_subject"), table_name="outbox_event")
    op.drop_index(op.f("ix_outbox_event_kind"), table_name="outbox_event")
    op.drop_table("outbox_event")
    op.drop_index("ix_inbound_due", table_name="inbound", postgresql_where=sa.text("processed_at is null"))
    op.drop_table("inbound")
    op.drop_table("idempotency_key")
    op.drop_table("day_run")
    op.drop_table("day_close")
    op.drop_index("ix_break_status_id", table_name="break")
    op.drop_index("ix_break_business_date", table_name="break")
    op.drop_table("break")
    op.drop_table("account")
