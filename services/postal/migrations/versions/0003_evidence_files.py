"""Evidence files on their way in and stored, and what couriers' devices say of themselves."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

from kit.db import Instant

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_table(
        "evidence_upload",
        sa.Column("sha256", AutoString(), nullable=False),
        sa.Column("uploader", AutoString(), nullable=False),
        sa.Column("media_type", AutoString(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("started_at", Instant(timezone=True), nullable=False),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_evidence_upload_sha256")),
        sa.CheckConstraint("size_bytes > 0", name=op.f("ck_evidence_upload_size_bytes")),
        sa.PrimaryKeyConstraint("sha256", "uploader", name=op.f("pk_evidence_upload")),
    )
    op.create_table(
        "evidence_chunk",
        sa.Column("sha256", AutoString(), nullable=False),
        sa.Column("uploader", AutoString(), nullable=False),
        sa.Column("start_byte", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("start_byte >= 0 and length(content) > 0", name=op.f("ck_evidence_chunk_bytes")),
        sa.ForeignKeyConstraint(
            ["sha256", "uploader"],
            ["evidence_upload.sha256", "evidence_upload.uploader"],
            name=op.f("fk_evidence_chunk_sha256_uploader_evidence_upload"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("sha256", "uploader", "start_byte", name=op.f("pk_evidence_chunk")),
    )
    op.create_table(
        "evidence_file",
        sa.Column("sha256", AutoString(), nullable=False),
        sa.Column("media_type", AutoString(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("uploaded_by", AutoString(), nullable=False),
        sa.Column("stored_at", Instant(timezone=True), nullable=False),
        sa.Column("purged_at", Instant(timezone=True), nullable=True),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_evidence_file_sha256")),
        sa.CheckConstraint("size_bytes > 0", name=op.f("ck_evidence_file_size_bytes")),
        sa.CheckConstraint(
            "media_type in ('image/jpeg', 'image/png', 'application/pdf')", name=op.f("ck_evidence_file_media_type")
        ),
        sa.CheckConstraint(
            "purged_at is null or purged_at >= stored_at", name=op.f("ck_evidence_file_purged_after_it_was_stored")
        ),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_evidence_file")),
    )
    op.create_index(
        "ix_evidence_file_stored_at",
        "evidence_file",
        ["stored_at"],
        unique=False,
        postgresql_where=sa.text("purged_at is null"),
    )
    op.create_table(
        "device",
        sa.Column("device_id", AutoString(), nullable=False),
        sa.Column("courier", AutoString(), nullable=False),
        sa.Column("first_seen_at", Instant(timezone=True), nullable=False),
        sa.Column("last_seen_at", Instant(timezone=True), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("unsent_events", sa.Integer(), nullable=False),
        sa.Column("unsent_files", sa.Integer(), nullable=False),
        sa.Column("clock_skew_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("unsent_events >= 0 and unsent_files >= 0 and last_seq >= 0", name=op.f("ck_device_counts")),
        sa.PrimaryKeyConstraint("device_id", "courier", name=op.f("pk_device")),
    )
    op.create_index("ix_device_last_seen_at", "device", ["last_seen_at"], unique=False)
    # A file kept as evidence is never another file: only the day it was taken away may be written, once.
    op.execute(
        """
        create function refuse_other_evidence() returns trigger language plpgsql as $$
        begin
            if tg_op = 'DELETE'
               or (to_jsonb(old) - 'purged_at') is distinct from (to_jsonb(new) - 'purged_at')
               or old.purged_at is not null then
                raise exception 'evidence stays as it was stored: % is refused', lower(tg_op)
                    using errcode = 'integrity_constraint_violation';
            end if;
            return new;
        end $$
        """
    )
    op.execute(
        "create trigger evidence_file_stays before update or delete on evidence_file "
        "for each row execute function refuse_other_evidence()"
    )


def downgrade() -> None:
    op.execute("drop trigger evidence_file_stays on evidence_file")
    op.execute("drop function refuse_other_evidence()")
    op.drop_index("ix_device_last_seen_at", table_name="device")
    op.drop_table("device")
    op.drop_index(
        "ix_evidence_file_stored_at", table_name="evidence_file", postgresql_where=sa.text("purged_at is null")
    )
    op.drop_table("evidence_file")
    op.drop_table("evidence_chunk")
    op.drop_table("evidence_upload")
