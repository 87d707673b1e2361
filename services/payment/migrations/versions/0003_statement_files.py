"""Statements in every form banks send, and files of several days."""

from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None

_FORMATS = "'camt.052', 'camt.053', 'camt.054', 'mt940', 'mt942', 'csv', 'xlsx'"


def upgrade() -> None:
    op.drop_constraint("uq_statement_sha256", "statement", type_="unique")
    op.create_unique_constraint(
        "uq_statement_file_day", "statement", ["sha256", "account", "business_date", "identity"]
    )
    for name, values in (("status", "'accepted', 'quarantined', 'noted'"), ("format", _FORMATS)):
        op.drop_constraint(op.f(f"ck_statement_{name}_known"), "statement", type_="check")
        op.create_check_constraint(op.f(f"ck_statement_{name}_known"), "statement", f"{name} in ({values})")


def downgrade() -> None:
    for name, values in (("status", "'accepted', 'quarantined'"), ("format", "'camt.053', 'csv'")):
        op.drop_constraint(op.f(f"ck_statement_{name}_known"), "statement", type_="check")
        op.create_check_constraint(op.f(f"ck_statement_{name}_known"), "statement", f"{name} in ({values})")
    op.drop_constraint("uq_statement_file_day", "statement", type_="unique")
    op.create_unique_constraint("uq_statement_sha256", "statement", ["sha256"])
