"""The first tables: catalogue versions and quotes (neither ever changes), idempotency keys, the outbox."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

import kit.db

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

IMMUTABLE = ("catalogue_version", "quote")

# A quote is evidence: what a citizen was told, under which state of the law. Nobody rewrites it, not even by SQL.
REFUSE_CHANGE = """
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'rows of % are never changed or deleted', tg_table_name using errcode = 'restrict_violation';
end
$$
"""


def upgrade() -> None:
    op.create_table(
        "catalogue_version",
        sa.Column("version", sa.String(length=16), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("content", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("published_at", kit.db.Instant(timezone=True), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_catalogue_version_sha256_is_hex")),
        sa.CheckConstraint("version = left(sha256, 16)", name=op.f("ck_catalogue_version_version_is_hash")),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_catalogue_version")),
        sa.UniqueConstraint("sha256", name=op.f("uq_catalogue_version_sha256")),
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
        "outbox_event",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("data", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", kit.db.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_event")),
    )
    op.create_index(op.f("ix_outbox_event_kind"), "outbox_event", ["kind"], unique=False)
    op.create_index(op.f("ix_outbox_event_subject"), "outbox_event", ["subject"], unique=False)
    op.create_table(
        "webhook_delivery",
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("endpoint_id", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", kit.db.Instant(timezone=True), nullable=False),
        sa.Column("delivered_at", kit.db.Instant(timezone=True), nullable=True),
        sa.Column("given_up_at", kit.db.Instant(timezone=True), nullable=True),
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
        sa.Column("created_at", kit.db.Instant(timezone=True), nullable=False),
        sa.Column("disabled_at", kit.db.Instant(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoint")),
    )
    op.create_table(
        "quote",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("created_at", kit.db.Instant(timezone=True), nullable=False),
        sa.Column("expires_at", kit.db.Instant(timezone=True), nullable=False),
        sa.Column("inputs_hash", sa.String(length=64), nullable=False),
        sa.Column("catalogue_version", sa.String(length=16), nullable=False),
        sa.Column("procedure", sa.String(length=64), nullable=False),
        sa.Column("title", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("request", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("lines", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("total_dong", sa.BigInteger(), nullable=False),
        sa.Column("citizen_dong", sa.BigInteger(), nullable=False),
        sa.Column("budget_dong", sa.BigInteger(), nullable=False),
        sa.Column("requested_by", sa.String(length=200), nullable=False),
        sa.CheckConstraint("inputs_hash ~ '^[0-9a-f]{64}$'", name=op.f("ck_quote_inputs_hash_is_hex")),
        sa.CheckConstraint("citizen_dong + budget_dong = total_dong", name=op.f("ck_quote_payers_sum_to_total")),
        sa.CheckConstraint("citizen_dong >= 0 and budget_dong >= 0", name=op.f("ck_quote_shares_not_negative")),
        sa.CheckConstraint("expires_at > created_at", name=op.f("ck_quote_expires_after_creation")),
        sa.ForeignKeyConstraint(
            ["catalogue_version"],
            ["catalogue_version.version"],
            name=op.f("fk_quote_catalogue_version_catalogue_version"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quote")),
    )
    op.create_index(op.f("ix_quote_created_at"), "quote", ["created_at"], unique=False)
    op.create_index(op.f("ix_quote_inputs_hash"), "quote", ["inputs_hash"], unique=False)
    op.execute(REFUSE_CHANGE)
    for table in IMMUTABLE:
        op.execute(
            f"create trigger {table}_is_immutable before update or delete on {table} "
            "for each row execute function refuse_change()"
        )
        op.execute(
            f"create trigger {table}_is_never_emptied before truncate on {table} "
            "for each statement execute function refuse_change()"
        )


def downgrade() -> None:
    op.drop_index(op.f("ix_quote_inputs_hash"), table_name="quote")
    op.drop_index(op.f("ix_quote_created_at"), table_name="quote")
    op.drop_table("quote")
    op.drop_table("webhook_endpoint")
    op.drop_index(op.f("ix_webhook_delivery_next_attempt_at"), table_name="webhook_delivery")
    op.drop_table("webhook_delivery")
    op.drop_index(op.f("ix_outbox_event_subject"), table_name="outbox_event")
    op.drop_index(op.f("ix_outbox_event_kind"), table_name="outbox_event")
    op.drop_table("outbox_event")
    op.drop_table("idempotency_key")
    op.drop_table("catalogue_version")
    op.execute("drop function refuse_change()")
