"""Statements of account: what an agency's account held, its movements, what it holds; all balances at a moment."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, datetime

from sqlmodel import col, func, select, tuple_
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import Sessions
from services.payment import ledger
from services.payment import models as m

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Movement:
    """One movement of an account, in đồng. `balance_dong` is what the agency is owed after it."""

    business_date: date
    value_date: date
    occurred_at: datetime
    kind: str
    journal_id: str
    position: int
    payment_id: str | None
    dossier_code: str
    credit_dong: int
    debit_dong: int
    balance_dong: int


@dataclass(frozen=True, slots=True)
class AccountSummary:
    """An agency's account over a period, in đồng: credits are what it earned, debits what was taken off again."""

    agency: str
    opening_dong: int
    credit_dong: int
    debit_dong: int

    @property
    def closing_dong(self) -> int:
        return self.opening_dong + self.credit_dong - self.debit_dong


async def agency_accounts(session: AsyncSession, first: date | None, last: date | None) -> list[AccountSummary]:
    """Every agency that ever earned something, over business dates from `first` to `last`, both included."""
    return [summary async for summary in _summaries(session, None, first, last)]


async def agency_account(
    session: AsyncSession, agency: str, first: date | None, last: date | None
) -> AccountSummary | None:
    """One agency's account over a period; None when nothing was ever posted to it."""
    return await anext(_summaries(session, agency, first, last), None)


async def _summaries(
    session: AsyncSession, agency: str | None, first: date | None, last: date | None
) -> AsyncIterator[AccountSummary]:
    amount, day = col(m.EntryRow.amount_dong), col(m.JournalRow.business_date)
    begin, end = first or date.min, last or date.max
    inside = (day >= begin) & (day <= end)
    account = col(m.EntryRow.account)
    chosen = account.startswith(ledger.fee_revenue(""), autoescape=True)
    if agency is not None:
        chosen = account == ledger.fee_revenue(agency)
    query = (
        select(
            account,
            func.coalesce(-func.sum(amount).filter(day < begin), 0),
            func.coalesce(-func.sum(amount).filter(inside, amount < 0), 0),
            func.coalesce(func.sum(amount).filter(inside, amount > 0), 0),
        )
        .join(m.JournalRow, col(m.JournalRow.id) == col(m.EntryRow.journal_id))
        .where(chosen)
        .group_by(account)
        .order_by(account)
    )
    prefix = len(ledger.fee_revenue(""))
    for code, opening, credit, debit in (await session.exec(query)).all():
        yield AccountSummary(code[prefix:], int(opening), int(credit), int(debit))


async def movements(
    sessions: Sessions, agency: str, first: date | None, last: date | None, *, opening_dong: int
) -> AsyncIterator[Movement]:
    """Every movement of an agency's account in the order it was booked, in short reads however many there are."""
    balance, place = opening_dong, ("", 0)
    journal, position = col(m.EntryRow.journal_id), col(m.EntryRow.position)
    while True:
        query = (
            select(m.EntryRow, m.JournalRow, m.Payment.dossier_code)
            .join(m.JournalRow, col(m.JournalRow.id) == journal)
            .join(m.Payment, col(m.Payment.id) == col(m.JournalRow.payment_id), isouter=True)
            .where(col(m.EntryRow.account) == ledger.fee_revenue(agency), tuple_(journal, position) > tuple_(*place))
            .order_by(journal, position)
            .limit(_BATCH)
        )
        if first is not None:
            query = query.where(col(m.JournalRow.business_date) >= first)
        if last is not None:
            query = query.where(col(m.JournalRow.business_date) <= last)
        async with sessions() as session:
            rows = (await session.exec(query)).all()
        for entry, row, code in rows:
            balance -= entry.amount_dong
            yield _movement(entry, row, code, balance)
        if len(rows) < _BATCH:
            return
        place = (rows[-1][0].journal_id, rows[-1][0].position)


def _movement(entry: m.EntryRow, row: m.JournalRow, code: str | None, balance: int) -> Movement:
    return Movement(
        business_date=row.business_date,
        value_date=row.value_date,
        occurred_at=row.occurred_at,
        kind=row.kind,
        journal_id=row.id,
        position=entry.position,
        payment_id=row.payment_id,
        dossier_code=code or "",
        credit_dong=max(0, -entry.amount_dong),
        debit_dong=max(0, entry.amount_dong),
        balance_dong=balance,
    )


async def balances_at(session: AsyncSession, moment: datetime) -> dict[str, int]:
    """Debits minus credits of every account as the books knew them at a moment: by when a journal was posted."""
    query = (
        select(m.EntryRow.account, func.sum(m.EntryRow.amount_dong))
        .join(m.JournalRow, col(m.JournalRow.id) == col(m.EntryRow.journal_id))
        .where(col(m.JournalRow.posted_at) <= moment)
        .group_by(col(m.EntryRow.account))
        .order_by(col(m.EntryRow.account))
    )
    return {account: int(total) for account, total in (await session.exec(query)).all()}
