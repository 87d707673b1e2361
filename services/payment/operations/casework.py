"""Work on breaks: who has them, until when, what was said. Each change names the version it was made on."""

from collections.abc import Sequence

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from kit.ids import new_id
from services.payment.contract import BreakWorked, WorkOnBreak
from services.payment.models import Break, BreakNote


async def work_on_breaks(session: AsyncSession, changes: Sequence[WorkOnBreak], *, actor: str) -> list[BreakWorked]:
    """Apply changes one by one and say what came of each, in their order.

    A change made on an older version is `stale` and changes nothing; so does one to a break that has ended. Nobody
    refuses a proposal of their own: they replace it.
    """
    ids = sorted({change.id for change in changes})
    query = select(Break).where(col(Break.id).in_(ids)).order_by(col(Break.id)).with_for_update()
    rows = {row.id: row for row in (await session.exec(query.execution_options(populate_existing=True))).all()}
    return [await _work(session, rows.get(change.id), change, actor=actor) for change in changes]


async def _work(session: AsyncSession, row: Break | None, change: WorkOnBreak, *, actor: str) -> BreakWorked:
    if row is None:
        return BreakWorked(id=change.id, outcome="unknown")
    if row.status == "resolved":
        return BreakWorked(id=row.id, outcome="resolved", version=row.version)
    if row.version != change.version:
        return BreakWorked(id=row.id, outcome="stale", version=row.version)
    if change.reject and (row.proposal is None or row.proposed_by == actor or not change.comment):
        return BreakWorked(id=row.id, outcome="not_allowed", version=row.version)
    notes = _changed(row, change)
    if not notes:
        return BreakWorked(id=row.id, outcome="nothing_to_do", version=row.version)
    for kind, text in notes:
        await note(session, row, kind, text, actor=actor)
    return BreakWorked(id=row.id, outcome="done", version=row.version)


def _changed(row: Break, change: WorkOnBreak) -> list[tuple[str, str]]:
    """Make a change on the row; the notes it leaves."""
    notes: list[tuple[str, str]] = []
    if change.assignee is not None and change.assignee != (row.assignee or ""):
        row.assignee = change.assignee or None
        notes.append(("assigned", change.assignee))
    if change.due_on is not None and change.due_on != row.due_on:
        row.due_on = change.due_on
        notes.append(("due", change.due_on.isoformat()))
    if change.reject:
        row.proposal = row.proposal_hash = row.proposed_by = None
        notes.append(("rejected", change.comment or ""))
    elif change.comment:
        notes.append(("comment", change.comment))
    return notes


async def note(session: AsyncSession, row: Break, kind: str, text: str, *, actor: str) -> None:
    """Write down what somebody did with a break, and count its version on."""
    query = select(func.coalesce(func.max(BreakNote.number), 0)).where(col(BreakNote.break_id) == row.id)
    last = (await session.exec(query)).one()
    row.version += 1
    session.add(row)
    session.add(
        BreakNote(
            id=new_id("bnt"), break_id=row.id, number=last + 1, kind=kind, text=text[:1000], actor=actor, at=now()
        )
    )
    await session.flush()
