"""Disputes, refund vouchers of the treasury, receipts that replace one another, and why money was held."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from kit.db import Instant

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None

HISTORIES = ("voucher_event", "receipt_form")

REFUNDS_WITHIN_RECEIPTS = """
    create or replace function refunds_within_receipts() returns trigger language plpgsql as $$
    declare
        asked numeric;
        received numeric;
        disputed numeric;
    begin
        select coalesce(sum(amount_dong), 0) into asked from refund
            where payment_id = new.payment_id and source = new.source and status not in ('rejected', 'failed');
        select coalesce(sum(case when new.source = 'bill' then applied_dong else excess_dong end), 0) into received
            from intake where payment_id = new.payment_id;
        %s
        if asked + disputed > received then
            raise exception 'refunds of %% đồng and disputes of %% đồng exceed the %% đồng received',
                asked, disputed, received using errcode = '23514';
        end if;
        return null;
    end $$
"""

# Only a refund that begins or is approved is held against disputes: what was under way before has to be recorded.
WITH_DISPUTES = """
        if tg_op = 'INSERT' or (old.status = 'requested' and new.status = 'approved') then
            select coalesce(sum(case when new.source = 'bill' then bill_dong else excess_dong end), 0) into disputed
                from dispute where payment_id = new.payment_id and status <> 'won';
        else
            disputed := 0;
        end if;
"""
WITHOUT_DISPUTES = "disputed := 0;"

# A receipt's paper never changes: it is cancelled once, and stays cancelled.
RECEIPT_KEEPS = """
    create function receipt_keeps() returns trigger language plpgsql as $$
    begin
        if tg_op = 'DELETE' then
            raise exception 'receipts are never removed' using errcode = '23001';
        end if;
        if (old.number, old.series, old.serial, old.payment_id, old.amount_dong, old.check_code, old.content,
            old.issued_at, old.replaces) is distinct from
           (new.number, new.series, new.serial, new.payment_id, new.amount_dong, new.check_code, new.content,
            new.issued_at, new.replaces) or old.cancelled_at is not null then
            raise exception 'receipt % is issued and does not change', old.number using errcode = '23001';
        end if;
        return new;
    end $$
"""

# A number that is taken is never given back, so numbers count up by one.
COUNTS_BY_ONE = """
    create function counts_by_one() returns trigger language plpgsql as $$
    begin
        if new.last_serial <> old.last_serial + 1 then
            raise exception '% counts by one, from % to %', tg_table_name, old.last_serial, new.last_serial
                using errcode = '23514';
        end if;
        return new;
    end $$
"""


def upgrade() -> None:
    _receipt_form()
    _voucher_year()
    _dispute()
    _voucher()
    _voucher_event()
    _columns()
    _guards()


def _receipt_form() -> None:
    op.create_table(
        "receipt_form",
        sa.Column("agency", sa.String(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("agency_name", sa.String(), nullable=False),
        sa.Column("parent_name", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("tax_code", sa.String(), nullable=False),
        sa.Column("form_code", sa.String(), nullable=False),
        sa.Column("series", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("entered_by", sa.String(), nullable=False),
        sa.Column("entered_at", Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("agency", "valid_from", name=op.f("pk_receipt_form")),
    )


def _voucher_year() -> None:
    op.create_table(
        "voucher_year",
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("last_serial", sa.Integer(), nullable=False),
        sa.CheckConstraint("last_serial >= 0", name=op.f("ck_voucher_year_counts_up")),
        sa.PrimaryKeyConstraint("year", name=op.f("pk_voucher_year")),
    )


def _dispute() -> None:
    op.create_table(
        "dispute",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("payment_id", sa.String(), nullable=False),
        sa.Column("intake_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("amount_dong", sa.BigInteger(), nullable=False),
        sa.Column("holds_money", sa.Boolean(), nullable=False),
        sa.Column("bill_dong", sa.BigInteger(), nullable=False),
        sa.Column("excess_dong", sa.BigInteger(), nullable=False),
        sa.Column("beyond_dong", sa.BigInteger(), nullable=False),
        sa.Column("evidence_due_at", Instant(timezone=True), nullable=True),
        sa.Column("evidence", sa.String(), nullable=False),
        sa.Column("answered_by", sa.String(), nullable=True),
        sa.Column("answered_at", Instant(timezone=True), nullable=True),
        sa.Column("sent_at", Instant(timezone=True), nullable=True),
        sa.Column("last_error", sa.String(), nullable=False),
        sa.Column("next_check_at", Instant(timezone=True), nullable=False),
        sa.Column("opened_at", Instant(timezone=True), nullable=False),
        sa.Column("closed_at", Instant(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(closed_at is not null) = (status in ('won', 'lost', 'closed'))",
            name=op.f("ck_dispute_closed_when_decided"),
        ),
        sa.CheckConstraint(
            "holds_money or status not in ('needs_response', 'under_review', 'won', 'lost')",
            name=op.f("ck_dispute_holds_what_it_takes"),
        ),
        sa.CheckConstraint(
            "status in ('inquiry', 'needs_response', 'under_review', 'won', 'lost', 'closed')",
            name=op.f("ck_dispute_status_known"),
        ),
        sa.CheckConstraint(
            "(answered_at is null) = (answered_by is null)", name=op.f("ck_dispute_answered_by_somebody")
        ),
        sa.CheckConstraint("amount_dong > 0", name=op.f("ck_dispute_takes_money")),
        sa.CheckConstraint(
            "bill_dong >= 0 and excess_dong >= 0 and beyond_dong >= 0"
            " and (not holds_money or amount_dong = bill_dong + excess_dong + beyond_dong)",
            name=op.f("ck_dispute_parts_make_the_whole"),
        ),
        sa.ForeignKeyConstraint(["intake_id"], ["intake.id"], name=op.f("fk_dispute_intake_id_intake")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_dispute_payment_id_payment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dispute")),
    )
    op.create_index(op.f("ix_dispute_intake_id"), "dispute", ["intake_id"], unique=False)
    op.create_index(
        "ix_dispute_open", "dispute", ["opened_at"], unique=False, postgresql_where=sa.text("closed_at is null")
    )
    op.create_index(op.f("ix_dispute_payment_id"), "dispute", ["payment_id"], unique=False)


def _voucher() -> None:
    op.create_table(
        "voucher",
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("serial", sa.Integer(), nullable=False),
        sa.Column("refund_id", sa.String(), nullable=False),
        sa.Column("leg_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("amount_dong", sa.BigInteger(), nullable=False),
        sa.Column("content", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("treasury_reference", sa.String(), nullable=False),
        sa.Column("refusal", sa.String(), nullable=False),
        sa.Column("prepared_by", sa.String(), nullable=False),
        sa.Column("prepared_at", Instant(timezone=True), nullable=False),
        sa.Column("sent_at", Instant(timezone=True), nullable=True),
        sa.Column("answered_at", Instant(timezone=True), nullable=True),
        sa.Column("paid_on", sa.Date(), nullable=True),
        sa.CheckConstraint("(status = 'paid') = (paid_on is not null)", name=op.f("ck_voucher_paid_on_a_day")),
        sa.CheckConstraint("(status = 'refused') = (refusal <> '')", name=op.f("ck_voucher_refused_for_a_reason")),
        sa.CheckConstraint(
            "status in ('prepared', 'refused') or sent_at is not null or paid_on is not null",
            name=op.f("ck_voucher_sent"),
        ),
        sa.CheckConstraint(
            "status in ('prepared', 'sent', 'accepted', 'refused', 'paid')", name=op.f("ck_voucher_status_known")
        ),
        sa.CheckConstraint("amount_dong > 0 and serial > 0", name=op.f("ck_voucher_gives_money")),
        sa.ForeignKeyConstraint(["leg_id"], ["refund_leg.id"], name=op.f("fk_voucher_leg_id_refund_leg")),
        sa.ForeignKeyConstraint(["refund_id"], ["refund.id"], name=op.f("fk_voucher_refund_id_refund")),
        sa.ForeignKeyConstraint(["year"], ["voucher_year.year"], name=op.f("fk_voucher_year_voucher_year")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_voucher")),
        sa.UniqueConstraint("year", "serial", name="uq_voucher_year_serial"),
    )
    op.create_index(op.f("ix_voucher_leg_id"), "voucher", ["leg_id"], unique=False)
    op.create_index(op.f("ix_voucher_refund_id"), "voucher", ["refund_id"], unique=False)
    op.create_index("ix_voucher_status_number", "voucher", ["status", "number"], unique=False)
    op.create_index(
        "uq_voucher_one_alive", "voucher", ["leg_id"], unique=True, postgresql_where=sa.text("status <> 'refused'")
    )


def _voucher_event() -> None:
    op.create_table(
        "voucher_event",
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("to_status", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("recorded_at", Instant(timezone=True), nullable=False),
        sa.CheckConstraint(
            "to_status in ('sent', 'accepted', 'refused', 'paid')", name=op.f("ck_voucher_event_to_status_known")
        ),
        sa.ForeignKeyConstraint(["number"], ["voucher.number"], name=op.f("fk_voucher_event_number_voucher")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_voucher_event")),
    )
    op.create_index(op.f("ix_voucher_event_number"), "voucher_event", ["number"], unique=False)


def _columns() -> None:
    op.add_column("intake", sa.Column("policy", sa.String(), server_default="applied", nullable=False))
    op.add_column("payment", sa.Column("disputed_dong", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("payment", sa.Column("lost_dong", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("receipt", sa.Column("cancelled_by", sa.String(), nullable=True))
    op.add_column("receipt", sa.Column("cancel_reason", sa.String(), server_default="", nullable=False))
    op.add_column("receipt", sa.Column("replaces", sa.String(), nullable=True))
    op.drop_constraint(op.f("uq_receipt_payment_id"), "receipt", type_="unique")
    op.create_index("ix_receipt_issued_at", "receipt", ["issued_at"], unique=False)
    op.create_index("ix_receipt_payment_id", "receipt", ["payment_id"], unique=False)
    op.create_index(
        "uq_receipt_one_valid", "receipt", ["payment_id"], unique=True, postgresql_where=sa.text("cancelled_at is null")
    )
    op.create_unique_constraint(op.f("uq_receipt_replaces"), "receipt", ["replaces"])
    op.create_foreign_key(op.f("fk_receipt_replaces_receipt"), "receipt", "receipt", ["replaces"], ["number"])
    op.execute("update receipt set cancel_reason = 'refunded', cancelled_by = 'system' where cancelled_at is not null")
    op.create_check_constraint(
        op.f("ck_receipt_cancelled_for_a_reason"), "receipt", "cancelled_at is null or cancel_reason <> ''"
    )
    op.create_check_constraint(
        op.f("ck_payment_disputes_within_paid"),
        "payment",
        "disputed_dong >= 0 and lost_dong >= 0 and disputed_dong + lost_dong <= paid_dong",
    )
    op.create_check_constraint(
        op.f("ck_intake_policy_known"),
        "intake",
        "policy in ('applied', 'underpaid', 'overpaid', 'paid_twice', 'paid_late', 'assigned')",
    )


def _guards() -> None:
    op.execute(REFUNDS_WITHIN_RECEIPTS % WITH_DISPUTES)
    op.execute(RECEIPT_KEEPS)
    op.execute(COUNTS_BY_ONE)
    op.execute("create trigger keeps before update or delete on receipt for each row execute function receipt_keeps()")
    for table in ("receipt_series", "voucher_year"):
        op.execute(f"create trigger by_one before update on {table} for each row execute function counts_by_one()")
    for table in HISTORIES:
        op.execute(
            f"create trigger never_changed before update or delete on {table}"
            " for each row execute function refuse_change()"
        )


def downgrade() -> None:
    op.execute("drop trigger keeps on receipt")
    for table in ("receipt_series", "voucher_year"):
        op.execute(f"drop trigger by_one on {table}")
    op.execute("drop function receipt_keeps()")
    op.execute("drop function counts_by_one()")
    op.execute(REFUNDS_WITHIN_RECEIPTS % WITHOUT_DISPUTES)
    op.execute("alter table payment drop constraint ck_payment_disputes_within_paid")
    op.execute("alter table intake drop constraint ck_intake_policy_known")
    op.execute("alter table receipt drop constraint ck_receipt_cancelled_for_a_reason")
    op.drop_constraint(op.f("fk_receipt_replaces_receipt"), "receipt", type_="foreignkey")
    op.drop_constraint(op.f("uq_receipt_replaces"), "receipt", type_="unique")
    op.drop_index("uq_receipt_one_valid", table_name="receipt", postgresql_where=sa.text("cancelled_at is null"))
    op.drop_index("ix_receipt_payment_id", table_name="receipt")
    op.drop_index("ix_receipt_issued_at", table_name="receipt")
    op.create_unique_constraint(
        op.f("uq_receipt_payment_id"), "receipt", ["payment_id"], postgresql_nulls_not_distinct=False
    )
    op.drop_column("receipt", "replaces")
    op.drop_column("receipt", "cancel_reason")
    op.drop_column("receipt", "cancelled_by")
    op.drop_column("payment", "lost_dong")
    op.drop_column("payment", "disputed_dong")
    op.drop_column("intake", "policy")
    op.drop_index(op.f("ix_voucher_event_number"), table_name="voucher_event")
    op.drop_table("voucher_event")
    op.drop_index("uq_voucher_one_alive", table_name="voucher", postgresql_where=sa.text("status <> 'refused'"))
    op.drop_index("ix_voucher_status_number", table_name="voucher")
    op.drop_index(op.f("ix_voucher_refund_id"), table_name="voucher")
    op.drop_index(op.f("ix_voucher_leg_id"), table_name="voucher")
    op.drop_table("voucher")
    op.drop_index(op.f("ix_dispute_payment_id"), table_name="dispute")
    op.drop_index("ix_dispute_open", table_name="dispute", postgresql_where=sa.text("closed_at is null"))
    op.drop_index(op.f("ix_dispute_intake_id"), table_name="dispute")
    op.drop_table("dispute")
    op.drop_table("voucher_year")
    op.drop_table("receipt_form")
