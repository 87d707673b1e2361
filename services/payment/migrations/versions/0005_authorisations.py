"""Card attempts that reserve money and take it later."""

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None

LIVE = ("created", "pending", "requires_action", "unknown")
STATUSES = (
    "created", "pending", "requires_action", "authorised", "succeeded", "succeeded_mismatch", "failed", "expired",
    "cancelled", "unknown",
)  # fmt: skip

CHECKS = {
    "capture_known": "capture in ('now', 'later')",
    "only_cards_reserve": "capture = 'now' or method = 'card'",
    "authorised_for_later": "status <> 'authorised' or (capture = 'later' and authorised_dong > 0)",
    "captures_within_authorised": "authorised_dong >= 0 and (capture_dong is null"
    " or (capture = 'later' and capture_dong between 1 and authorised_dong))",
}


def upgrade() -> None:
    op.add_column("attempt", sa.Column("capture", sa.String(), server_default="now", nullable=False))
    op.add_column("attempt", sa.Column("authorised_dong", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("attempt", sa.Column("capture_dong", sa.BigInteger(), nullable=True))
    _statuses(STATUSES, live=(*LIVE[:3], "authorised", LIVE[3]))
    for name, check in CHECKS.items():
        op.create_check_constraint(op.f(f"ck_attempt_{name}"), "attempt", check)


def downgrade() -> None:
    """Refused by the check of statuses while an attempt is authorised: its money has to be taken or released first."""
    for name in CHECKS:
        op.execute(f"alter table attempt drop constraint ck_attempt_{name}")
    _statuses(tuple(status for status in STATUSES if status != "authorised"), live=LIVE)
    op.drop_column("attempt", "capture_dong")
    op.drop_column("attempt", "authorised_dong")
    op.drop_column("attempt", "capture")


def _statuses(known: tuple[str, ...], *, live: tuple[str, ...]) -> None:
    """Which statuses there are, and which of them block a second attempt and are asked about."""
    op.execute("alter table attempt drop constraint ck_attempt_status_known")
    op.create_check_constraint(op.f("ck_attempt_status_known"), "attempt", f"status in {known!r}")
    op.drop_index("uq_attempt_one_live", table_name="attempt")
    op.drop_index("ix_attempt_due", table_name="attempt")
    where = sa.text(f"status in {live!r}")
    op.create_index("ix_attempt_due", "attempt", ["next_check_at"], unique=False, postgresql_where=where)
    op.create_index("uq_attempt_one_live", "attempt", ["payment_id"], unique=True, postgresql_where=where)
