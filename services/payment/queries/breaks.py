"""Reads of breaks: the queue people work through, its ages, and the history of one."""

from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import ColumnElement, case
from sqlmodel import and_, col, func, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.pagination import Page, encode_cursor, page_of
from services.payment import models as m
from services.payment.contract import Break, BreakHistory, BreakNote
from services.payment.queries.cursors import id_after
from services.payment.queries.reconciliation import break_record

AGES: tuple[tuple[str, int, int | None], ...] = (
    ("under_1", 0, 1),
    ("1_to_3", 1, 3),
    ("3_to_7", 3, 7),
    ("over_7", 7, None),
)
"""Age bands in days: from, and until before; None: without end."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which breaks to show. Empty fields do not filter."""

    status: str | None = None
    kind: str | None = None
    assignee: str | None = None
    """`-` for those nobody has."""
    business_date: date | None = None
    age: str | None = None
    overdue: bool = False
    text: str = ""
    """Found in the sentence, the subject, or the text, reference and payer of its statement line."""


@dataclass(frozen=True, slots=True)
class AgeBand:
    """Open breaks of one age."""

    age: str
    count: int
    amount_dong: int


async def break_queue(
    session: AsyncSession, wanted: Wanted, *, today: date, cursor: str | None = None, limit: int = 50
) -> Page[m.Break]:
    """Breaks as they should be worked through: the oldest first."""
    query = select(m.Break).where(*_conditions(wanted, today)).order_by(col(m.Break.id)).limit(limit + 1)
    if cursor:
        query = query.where(col(m.Break.id) > id_after(cursor))
    rows = (await session.exec(query)).all()
    return page_of(rows, limit=limit, cursor_of=lambda row: encode_cursor(row.id))


def _conditions(wanted: Wanted, today: date) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.status:
        found.append(col(m.Break.status) == wanted.status)
    if wanted.kind:
        found.append(col(m.Break.kind) == wanted.kind)
    if wanted.assignee:
        empty = wanted.assignee == "-"
        found.append(col(m.Break.assignee).is_(None) if empty else col(m.Break.assignee) == wanted.assignee)
    if wanted.business_date:
        found.append(col(m.Break.business_date) == wanted.business_date)
    if wanted.overdue:
        found.append(col(m.Break.due_on) < today)
    for age, begin, end in AGES:
        if age == wanted.age:
            found.append(_aged(today, begin, end))
    if wanted.text:
        found.append(_says(wanted.text))
    return found


def _aged(today: date, begin: int, end: int | None) -> ColumnElement[bool]:
    young = col(m.Break.business_date) <= today - timedelta(days=begin)
    return young if end is None else and_(young, col(m.Break.business_date) > today - timedelta(days=end))


def _says(text: str) -> ColumnElement[bool]:
    pattern = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    told = [
        select(table.id).where(
            or_(
                col(table.content).ilike(pattern),
                col(table.bank_reference).ilike(pattern),
                col(table.payer_name).ilike(pattern),
                col(table.payer_account).ilike(pattern),
            )
        )
        for table in (m.StatementLine, m.BankCredit)
    ]
    return or_(
        col(m.Break.text_vi).ilike(pattern),
        col(m.Break.subject).ilike(pattern),
        *(col(m.Break.subject).in_(ids) for ids in told),
    )


async def ages_of_open(session: AsyncSession, today: date) -> list[AgeBand]:
    """Open breaks by age, every band present. `amount_dong` adds without sign."""
    days = today - col(m.Break.business_date)
    branches = [(days < end, age) for age, _, end in AGES if end is not None]
    band = case(*branches, else_=AGES[-1][0])
    query = (
        select(band, func.count(), func.coalesce(func.sum(func.abs(m.Break.amount_dong)), 0))
        .where(col(m.Break.status) == "open")
        .group_by(band)
    )
    found = {age: (int(count), int(amount)) for age, count, amount in (await session.exec(query)).all()}
    return [AgeBand(age, *found.get(age, (0, 0))) for age, _, _ in AGES]


async def assignees(session: AsyncSession) -> list[str]:
    """Everybody who has an open break, in alphabetical order."""
    query = (
        select(m.Break.assignee)
        .where(col(m.Break.status) == "open", col(m.Break.assignee).is_not(None))
        .distinct()
        .order_by(col(m.Break.assignee))
    )
    return [name for name in (await session.exec(query)).all() if name]


async def history_of(session: AsyncSession, break_id: str) -> BreakHistory | None:
    """A break and what was done with it."""
    row = await session.get(m.Break, break_id, populate_existing=True)
    if row is None:
        return None
    query = select(m.BreakNote).where(col(m.BreakNote.break_id) == break_id).order_by(col(m.BreakNote.number))
    notes = (await session.exec(query)).all()
    found: Break = break_record(row)
    return BreakHistory(
        found=found,
        notes=tuple(
            BreakNote(number=each.number, kind=each.kind, text=each.text, actor=each.actor, at=each.at)
            for each in notes
        ),
    )


async def break_row(session: AsyncSession, break_id: str) -> m.Break | None:
    """A break with its waiting proposal, as the desk shows it."""
    return await session.get(m.Break, break_id)


async def line_of(session: AsyncSession, subject: str) -> m.StatementLine | m.BankCredit | None:
    """What the bank shows of the money a break is about: its statement line, or the credit it was told of."""
    if subject.startswith("sln_"):
        return await session.get(m.StatementLine, subject)
    if not subject.startswith("crd_"):
        return None
    credit = await session.get(m.BankCredit, subject)
    if credit is None:
        return None
    query = select(m.StatementLine).where(col(m.StatementLine.bank_reference) == credit.bank_reference)
    return (await session.exec(query)).first() or credit
