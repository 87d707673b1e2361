"""Closes business days: one person proposes, another confirms the same figures, and the seal chains to the last one."""

from datetime import date

from sqlalchemy import text
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from kit.errors import WrongMoment
from services.payment import rules
from services.payment.contract import CloseDay, Reconciliation
from services.payment.models import DayClose
from services.payment.problems import ProposalChanged
from services.payment.queries import reconciliation as queries
from services.payment.till import local_date

_EPOCH = date(2000, 1, 1)
_DAY_LOCK = 7_201_605
"""First half of the advisory lock that postings into a day share and its closing takes alone (see the migrations)."""


async def close_day(session: AsyncSession, account: str, on: date, wish: CloseDay, *, actor: str) -> Reconciliation:
    """Propose to close a day, or confirm somebody else's proposal with its hash.

    Refused with WrongMoment unless the statement is imported, the day was reconciled and nothing is unexplained;
    with ProposalChanged when the figures are not those that were proposed. Closing a closed day shows it.
    """
    await (await session.connection()).execute(
        text("select pg_advisory_xact_lock(:a, :b)"), {"a": _DAY_LOCK, "b": (on - _EPOCH).days}
    )
    row = await session.get(DayClose, on, with_for_update=True, populate_existing=True)
    if row is not None and row.status == "closed":
        return await queries.reconciliation_of(session, account, on)
    if on > local_date(now()):
        raise WrongMoment("Ngày này chưa tới nên chưa khóa được.", "This day has not begun, so it cannot be closed.")
    found = await queries.live_reconciliation(session, account, on)
    _check_closable(found)
    snapshot = await _snapshot(session, found)
    digest = rules.fingerprint(snapshot)
    if wish.proposal_hash is not None and wish.proposal_hash != digest:
        raise ProposalChanged(
            "Số liệu của ngày không còn như lúc đề nghị khóa; hãy tải lại, kiểm tra rồi khóa lại.",
            "The day's figures are not those that were proposed; reload, check them, and close again.",
        )
    if row is None:
        row = DayClose(
            business_date=on,
            status="proposed",
            proposal_hash=digest,
            proposed_by=actor,
            proposed_at=now(),
            snapshot=snapshot,
        )
    elif row.proposal_hash != digest:
        row.proposal_hash, row.proposed_by, row.proposed_at, row.snapshot = digest, actor, now(), snapshot
    elif wish.proposal_hash == digest and row.proposed_by != actor:
        await _seal(session, row, actor=actor)
    session.add(row)
    await session.flush()
    return await queries.reconciliation_of(session, account, on)


def _check_closable(found: Reconciliation) -> None:
    if not found.statement_imported:
        raise WrongMoment(
            "Chưa có sao kê của ngày này; hãy nhập sao kê trước khi khóa sổ.",
            "The statement of this day is not imported; import it before closing.",
        )
    if not found.settlement_imported:
        raise WrongMoment(
            "Ngày này chưa chạy đối soát; hãy chạy đối soát trước khi khóa sổ.",
            "This day has not been reconciled; run the reconciliation before closing.",
        )
    if found.unexplained_dong:
        raise WrongMoment(
            f"Còn {found.unexplained_dong} đồng chưa giải thích được; hãy xử lý trước khi khóa sổ.",
            f"{found.unexplained_dong} đồng are unexplained; deal with them before closing.",
            extra={"unexplained_dong": found.unexplained_dong},
        )


async def _snapshot(session: AsyncSession, found: Reconciliation) -> dict[str, object]:
    """Everything the two people stand for: the tie-out, the trial balance and a digest of the day's entries."""
    figures = found.model_dump(mode="json", exclude={"closed_by", "seal", "proposed_by", "proposal_hash"})
    accounts = await queries.trial_balance(session, found.business_date)
    return {
        "reconciliation": figures,
        "trial_balance": {line.code: line.balance_dong for line in accounts},
        "ledger_digest": await queries.ledger_digest(session, found.business_date),
    }


async def _seal(session: AsyncSession, row: DayClose, *, actor: str) -> None:
    """Close a locked day; one closing at a time, so that the chain has no forks."""
    connection = await session.connection()
    await connection.execute(text("select pg_advisory_xact_lock(:n)"), {"n": _DAY_LOCK})
    last = (
        await session.exec(
            select(DayClose).where(col(DayClose.status) == "closed").order_by(col(DayClose.number).desc()).limit(1)
        )
    ).first()
    count = (await session.exec(select(func.count()).where(col(DayClose.status) == "closed"))).one()
    row.status, row.closed_by, row.closed_at = "closed", actor, now()
    row.number = count + 1
    row.previous_seal = last.seal if last is not None else None
    row.seal = seal_of(row)


def seal_of(row: DayClose) -> str:
    """The seal a closed day must carry: anybody can compute it again and compare."""
    assert row.closed_at is not None
    return rules.fingerprint(
        {
            "number": row.number,
            "business_date": row.business_date.isoformat(),
            "snapshot": row.snapshot,
            "proposal_hash": row.proposal_hash,
            "proposed_by": row.proposed_by,
            "closed_by": row.closed_by,
            "closed_at": row.closed_at.isoformat(),
            "previous_seal": row.previous_seal,
        }
    )
