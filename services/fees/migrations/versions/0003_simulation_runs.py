"""Runs of the policy simulation: what was asked, by whom, and the answer. An ended run never changes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

import kit.db

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None

REFUSE_AFTER_END = """
create function refuse_change_after_end() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' or old.status <> 'running' then
        raise exception 'a simulation that has ended is never changed' using errcode = 'restrict_violation';
    end if;
    if (new.author, new.created_at, new.input_sha256, new.catalogue_version, new.request)
        is distinct from (old.author, old.created_at, old.input_sha256, old.catalogue_version, old.request) then
        raise exception 'what a simulation was asked is never changed' using errcode = 'restrict_violation';
    end if;
    return new;
end
$$
"""


def _json() -> sa.types.TypeEngine[object]:
    return postgresql.JSONB(none_as_null=True, astext_type=sa.Text())


def upgrade() -> None:
    op.create_table(
        "simulation_run",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("progress_percent", sa.Integer(), nullable=False),
        sa.Column("stage", _json(), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("created_at", kit.db.Instant(timezone=True), nullable=False),
        sa.Column("heartbeat_at", kit.db.Instant(timezone=True), nullable=False),
        sa.Column("finished_at", kit.db.Instant(timezone=True), nullable=True),
        sa.Column("input_sha256", sa.String(length=64), nullable=False),
        sa.Column("catalogue_version", sa.String(length=16), nullable=False),
        sa.Column("request", _json(), nullable=False),
        sa.Column("failure", _json(), nullable=True),
        sa.Column("result", _json(), nullable=True),
        sa.CheckConstraint(
            "status in ('running', 'done', 'failed', 'cancelled', 'interrupted')",
            name=op.f("ck_simulation_run_status_known"),
        ),
        sa.CheckConstraint(
            "(status = 'running') = (finished_at is null)", name=op.f("ck_simulation_run_ended_means_finished")
        ),
        sa.CheckConstraint(
            "(status = 'done') = (result is not null)", name=op.f("ck_simulation_run_done_means_result")
        ),
        sa.CheckConstraint(
            "(status = 'failed') = (failure is not null)", name=op.f("ck_simulation_run_failed_means_reason")
        ),
        sa.CheckConstraint("progress_percent between 0 and 100", name=op.f("ck_simulation_run_progress_is_percent")),
        sa.CheckConstraint("input_sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_simulation_run_input_sha256_is_hex")),
        sa.ForeignKeyConstraint(
            ["catalogue_version"],
            ["catalogue_version.version"],
            name=op.f("fk_simulation_run_catalogue_version_catalogue_version"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_simulation_run")),
    )
    op.create_index(op.f("ix_simulation_run_status"), "simulation_run", ["status"], unique=False)
    op.create_index(op.f("ix_simulation_run_input_sha256"), "simulation_run", ["input_sha256"], unique=False)
    op.execute(REFUSE_AFTER_END)
    op.execute(
        "create trigger simulation_run_ends_once before update or delete on simulation_run "
        "for each row execute function refuse_change_after_end()"
    )


def downgrade() -> None:
    op.drop_table("simulation_run")
    op.execute("drop function refuse_change_after_end()")
