"""Statements in every form banks send, files of several days, and lines that answer several items."""

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None

_FORMATS = "'camt.052', 'camt.053', 'camt.054', 'mt940', 'mt942', 'csv', 'xlsx'"
_NOTES = "'assigned', 'due', 'comment', 'proposed', 'rejected', 'resolved'"


def upgrade() -> None:
    op.drop_constraint("uq_statement_sha256", "statement", type_="unique")
    op.create_unique_constraint(
        "uq_statement_file_day", "statement", ["sha256", "account", "business_date", "identity"]
    )
    for name, values in (("status", "'accepted', 'quarantined', 'noted'"), ("format", _FORMATS)):
        op.drop_constraint(op.f(f"ck_statement_{name}_known"), "statement", type_="check")
        op.create_check_constraint(op.f(f"ck_statement_{name}_known"), "statement", f"{name} in ({values})")
    op.add_column("line_match", sa.Column("part", sa.Integer(), server_default="0", nullable=False))
    op.add_column("line_match", sa.Column("rules_version", sa.String(), server_default="0", nullable=False))
    op.add_column("line_match", sa.Column("amount_dong", sa.BigInteger(), nullable=True))
    op.execute("update line_match m set amount_dong = l.amount_dong from statement_line l where l.id = m.line_id")
    op.alter_column("line_match", "amount_dong", nullable=False)
    op.alter_column("line_match", "part", server_default=None)
    op.alter_column("line_match", "rules_version", server_default=None)
    op.drop_constraint(op.f("pk_line_match"), "line_match", type_="primary")
    op.create_primary_key(op.f("pk_line_match"), "line_match", ["line_id", "part"])
    op.create_unique_constraint("uq_line_match_line_item", "line_match", ["line_id", "item"])
    op.create_check_constraint(op.f("ck_line_match_counts_from_zero"), "line_match", "part >= 0")
    op.add_column("break", sa.Column("assignee", sa.String(), nullable=True))
    op.add_column("break", sa.Column("due_on", sa.Date(), nullable=True))
    op.add_column("break", sa.Column("version", sa.Integer(), server_default="1", nullable=False))
    op.alter_column("break", "version", server_default=None)
    op.create_index(op.f("ix_break_assignee"), "break", ["assignee"])
    op.create_table(
        "break_note",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("break_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(f"kind in ({_NOTES})", name=op.f("ck_break_note_kind_known")),
        sa.ForeignKeyConstraint(["break_id"], ["break.id"], name=op.f("fk_break_note_break_id_break")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_break_note")),
        sa.UniqueConstraint("break_id", "number", name="uq_break_note_number"),
    )
    op.execute(
        "create trigger break_note_stays before update or delete on break_note"
        " for each row execute function refuse_change()"
    )


def downgrade() -> None:
    op.drop_table("break_note")
    op.drop_index(op.f("ix_break_assignee"), table_name="break")
    for name in ("version", "due_on", "assignee"):
        op.drop_column("break", name)
    op.execute("delete from line_match where part > 0")
    op.drop_constraint(op.f("ck_line_match_counts_from_zero"), "line_match", type_="check")
    op.drop_constraint("uq_line_match_line_item", "line_match", type_="unique")
    op.drop_constraint(op.f("pk_line_match"), "line_match", type_="primary")
    op.create_primary_key(op.f("pk_line_match"), "line_match", ["line_id"])
    for name in ("amount_dong", "rules_version", "part"):
        op.drop_column("line_match", name)
    for name, values in (("status", "'accepted', 'quarantined'"), ("format", "'camt.053', 'csv'")):
        op.drop_constraint(op.f(f"ck_statement_{name}_known"), "statement", type_="check")
        op.create_check_constraint(op.f(f"ck_statement_{name}_known"), "statement", f"{name} in ({values})")
    op.drop_constraint("uq_statement_file_day", "statement", type_="unique")
    op.create_unique_constraint("uq_statement_sha256", "statement", ["sha256"])
