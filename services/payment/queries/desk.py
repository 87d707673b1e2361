"""Reads that only pages need: filtered lists with their sums, the books by account, and the finance desk."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from sqlmodel import col, func, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.errors import BadInput
from kit.pagination import Page, decode_cursor, encode_cursor, page_of
from kit.web import LOCAL_ZONE
from services.payment import ledger, rules
from services.payment import models as m
from services.payment.contract import BillShare, PaymentPage, Refund
from services.payment.queries.payments import payments_of
from services.payment.queries.refunds import refunds_of
from services.payment.till import Terms


def _position(cursor: str, *kinds: type[str] | type[int]) -> tuple[Any, ...]:
    """A cursor's position; PostgreSQL takes no NUL, so a cursor with one is not ours."""
    position = decode_cursor(cursor, *kinds)
    if any(isinstance(part, str) and "\x00" in part for part in position):
        raise BadInput("Con trỏ trang không hợp lệ.", "The page cursor is not valid.")
    return position


# --- bills -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BillFilter:
    """Which bills are asked for. `text` is a dossier code, a bill reference or the reference of an attempt."""

    status: str | None = None
    method: str | None = None
    text: str = ""
    first: date | None = None
    last: date | None = None
    with_excess: bool = False


@dataclass(frozen=True, slots=True)
class BillTotals:
    """What the bills of a filter come to, in đồng."""

    count: int
    due_dong: int
    budget_dong: int
    paid_dong: int
    refunded_dong: int


def bill_conditions(wanted: BillFilter) -> list[Any]:
    """A filter as conditions of a query."""
    conditions: list[Any] = []
    if wanted.status is not None:
        conditions.append(col(m.Payment.status) == wanted.status)
    if wanted.method == "none":
        conditions.append(col(m.Payment.due_dong) == 0)
    elif wanted.method is not None:
        tried = select(m.Attempt.payment_id).where(col(m.Attempt.method) == wanted.method)
        conditions.append(col(m.Payment.id).in_(tried))
    if wanted.text:
        named = select(m.Attempt.payment_id).where(col(m.Attempt.reference) == wanted.text.upper())
        conditions.append(
            or_(
                col(m.Payment.dossier_code) == wanted.text,
                col(m.Payment.bill_reference) == wanted.text,
                col(m.Payment.id).in_(named),
            )
        )
    if wanted.first is not None:
        conditions.append(col(m.Payment.created_at) >= datetime.combine(wanted.first, time(), LOCAL_ZONE))
    if wanted.last is not None:
        end = datetime.combine(wanted.last + timedelta(days=1), time(), LOCAL_ZONE)
        conditions.append(col(m.Payment.created_at) < end)
    if wanted.with_excess:
        conditions.append(col(m.Payment.excess_dong) > 0)
    return conditions


async def bills(session: AsyncSession, terms: Terms, wanted: BillFilter, *, cursor: str, limit: int) -> PaymentPage:
    """Bills of a filter, newest first."""
    query = select(m.Payment).where(*bill_conditions(wanted)).order_by(col(m.Payment.id).desc()).limit(limit + 1)
    if cursor:
        (after,) = _position(cursor, str)
        query = query.where(col(m.Payment.id) < after)
    rows = (await session.exec(query)).all()
    page = page_of(rows, limit=limit, cursor_of=lambda row: encode_cursor(row.id))
    return PaymentPage(items=tuple(await payments_of(session, page.items, terms)), next_cursor=page.next_cursor)


async def bill_totals(session: AsyncSession, wanted: BillFilter) -> BillTotals:
    """The sums of a filter over all its pages."""
    sums = [
        func.coalesce(func.sum(column), 0)
        for column in (m.Payment.due_dong, m.Payment.budget_dong, m.Payment.paid_dong, m.Payment.refunded_dong)
    ]
    row: Any = (
        await session.exec(select(func.count(), *sums).select_from(m.Payment).where(*bill_conditions(wanted)))
    ).one()
    return BillTotals(*(int(figure) for figure in row))


@dataclass(frozen=True, slots=True)
class LineView:
    """One line of a bill with who pays it and what became of it."""

    line: m.PaymentLine
    shares: tuple[BillShare, ...]

    @property
    def whole_dong(self) -> int:
        return self.line.citizen_dong + self.line.budget_dong


async def bill_lines(session: AsyncSession, payment_id: str) -> list[LineView]:
    """The lines of a bill in their order."""
    line_query = select(m.PaymentLine).where(col(m.PaymentLine.payment_id) == payment_id)
    share_query = select(m.PaymentShare).where(col(m.PaymentShare.payment_id) == payment_id)
    shares: dict[int, list[BillShare]] = {}
    for share in (await session.exec(share_query.order_by(col(m.PaymentShare.number)))).all():
        shares.setdefault(share.position, []).append(BillShare(payer=share.payer, amount_dong=share.amount_dong))
    lines = (await session.exec(line_query.order_by(col(m.PaymentLine.position)))).all()
    return [LineView(line, tuple(shares.get(line.position, ()))) for line in lines]


@dataclass(frozen=True, slots=True)
class BillStanding:
    """What is still to come in and what may be given back of a bill, in đồng."""

    remaining_dong: int
    refundable_dong: int
    returnable_excess_dong: int


async def standing_of_bill(session: AsyncSession, payment_id: str) -> BillStanding:
    """The figures of a bill that exists. Money of a bill still being collected is not refundable."""
    payment = (await session.exec(select(m.Payment).where(col(m.Payment.id) == payment_id))).one()
    standing = rules.Standing(
        due_dong=payment.due_dong,
        paid_dong=payment.paid_dong,
        refunded_dong=payment.refunded_dong,
        held_dong=payment.held_dong,
        excess_dong=payment.excess_dong,
        excess_held_dong=payment.excess_held_dong,
        disputed_dong=payment.disputed_dong,
        lost_dong=payment.lost_dong,
        ended="expired" if payment.ended == "expired" else "cancelled" if payment.ended else None,
    )
    return BillStanding(
        remaining_dong=standing.remaining_dong,
        refundable_dong=0 if standing.remaining_dong else standing.refundable_dong,
        returnable_excess_dong=standing.returnable_excess_dong,
    )


async def payer_of(session: AsyncSession, dossier_code: str) -> m.Payer | None:
    """Who is named on the dossier's receipt."""
    return await session.get(m.Payer, dossier_code)


@dataclass(frozen=True, slots=True)
class JournalView:
    """A journal with its entries."""

    journal: m.JournalRow
    entries: tuple[m.EntryRow, ...]


async def journals_of(session: AsyncSession, payment_id: str) -> list[JournalView]:
    """What a bill has done to the books, oldest first."""
    query = select(m.JournalRow).where(col(m.JournalRow.payment_id) == payment_id).order_by(col(m.JournalRow.id))
    journals = (await session.exec(query)).all()
    entries: dict[str, list[m.EntryRow]] = {}
    entry_query = select(m.EntryRow).where(col(m.EntryRow.journal_id).in_([journal.id for journal in journals]))
    for entry in (await session.exec(entry_query.order_by(col(m.EntryRow.position)))).all():
        entries.setdefault(entry.journal_id, []).append(entry)
    return [JournalView(journal, tuple(entries[journal.id])) for journal in journals]


# --- refunds ---------------------------------------------------------------------------------------

REFUND_TABS: dict[str, tuple[str, ...]] = {
    "requested": ("requested",),
    "processing": ("approved", "processing"),
    "finished": ("succeeded", "rejected", "failed"),
}


@dataclass(frozen=True, slots=True)
class RefundView:
    """A refund with what the desk must know of it besides its record."""

    refund: Refund
    note: str
    last_error: str
    voucher_waiting: bool


async def refunds_under(session: AsyncSession, tab: str, *, cursor: str, limit: int) -> Page[RefundView]:
    """Refunds of a tab. Those that wait for a decision come oldest first, the others newest first."""
    waiting = tab == "requested"
    order = col(m.Refund.id).asc() if waiting else col(m.Refund.id).desc()
    query = select(m.Refund).where(col(m.Refund.status).in_(REFUND_TABS[tab])).order_by(order).limit(limit + 1)
    if cursor:
        (after,) = _position(cursor, str)
        query = query.where(col(m.Refund.id) > after if waiting else col(m.Refund.id) < after)
    rows = (await session.exec(query)).all()
    page = page_of(rows, limit=limit, cursor_of=lambda row: encode_cursor(row.id))
    return Page(tuple(await _refund_views(session, page.items)), page.next_cursor)


async def refunds_of_bill(session: AsyncSession, payment_id: str) -> list[RefundView]:
    """Every refund of a bill, newest first."""
    query = select(m.Refund).where(col(m.Refund.payment_id) == payment_id).order_by(col(m.Refund.id).desc())
    return await _refund_views(session, (await session.exec(query)).all())


async def _refund_views(session: AsyncSession, rows: Sequence[m.Refund]) -> list[RefundView]:
    vouchers = set(
        (
            await session.exec(
                select(m.RefundLeg.refund_id).where(
                    col(m.RefundLeg.refund_id).in_([row.id for row in rows]),
                    col(m.RefundLeg.route) == "treasury_voucher",
                    col(m.RefundLeg.status) == "waiting",
                )
            )
        ).all()
    )
    records = {record.id: record for record in await refunds_of(session, rows)}
    return [RefundView(records[row.id], row.note, row.last_error, row.id in vouchers) for row in rows]


async def refund_counts(session: AsyncSession) -> dict[str, int]:
    """How many refunds each tab holds."""
    query = select(m.Refund.status, func.count()).group_by(col(m.Refund.status))
    found = dict((await session.exec(query)).all())
    return {tab: sum(found.get(status, 0) for status in statuses) for tab, statuses in REFUND_TABS.items()}


# --- the books -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AccountRow:
    """One account over a period, in đồng; balances are debits minus credits."""

    account: str
    kind: str
    opening_dong: int
    debit_dong: int
    credit_dong: int

    @property
    def closing_dong(self) -> int:
        return self.opening_dong + self.debit_dong - self.credit_dong


async def trial_balance(session: AsyncSession, first: date | None, last: date | None) -> list[AccountRow]:
    """Every account that ever moved, over business dates from `first` to `last`, both included."""
    amount, day = col(m.EntryRow.amount_dong), col(m.JournalRow.business_date)
    begin = first or date.min
    opening = func.coalesce(func.sum(amount).filter(day < begin), 0)
    debit = func.coalesce(func.sum(amount).filter(day >= begin, amount > 0), 0)
    credit = func.coalesce(-func.sum(amount).filter(day >= begin, amount < 0), 0)
    query = (
        select(m.EntryRow.account, opening, debit, credit)
        .join(m.JournalRow, col(m.JournalRow.id) == col(m.EntryRow.journal_id))
        .group_by(col(m.EntryRow.account))
        .order_by(col(m.EntryRow.account))
    )
    if last is not None:
        query = query.where(day <= last)
    rows = [
        AccountRow(account, ledger.kind_of(account), int(start), int(debits), int(credits_))
        for account, start, debits, credits_ in (await session.exec(query)).all()
    ]
    chart = {account: number for number, account in enumerate(ledger.KINDS)}
    return sorted(rows, key=lambda row: (chart.get(row.account, len(chart)), row.account))


async def account_exists(session: AsyncSession, account: str) -> bool:
    """Whether anything was ever posted to an account, or the chart has it."""
    return account in ledger.KINDS or await session.get(m.Account, account) is not None


@dataclass(frozen=True, slots=True)
class EntryView:
    """One entry with its journal, and what it belongs to."""

    entry: m.EntryRow
    journal: m.JournalRow
    dossier_code: str | None


async def entries_of(
    session: AsyncSession, account: str, first: date | None, last: date | None, *, cursor: str, limit: int
) -> Page[EntryView]:
    """The entries of an account, newest first."""
    query = (
        select(m.EntryRow, m.JournalRow, m.Payment.dossier_code)
        .join(m.JournalRow, col(m.JournalRow.id) == col(m.EntryRow.journal_id))
        .join(m.Payment, col(m.Payment.id) == col(m.JournalRow.payment_id), isouter=True)
        .where(col(m.EntryRow.account) == account)
        .order_by(col(m.EntryRow.journal_id).desc(), col(m.EntryRow.position))
        .limit(limit + 1)
    )
    if first is not None:
        query = query.where(col(m.JournalRow.business_date) >= first)
    if last is not None:
        query = query.where(col(m.JournalRow.business_date) <= last)
    if cursor:
        journal, position = _position(cursor, str, int)
        query = query.where(
            or_(
                col(m.EntryRow.journal_id) < journal,
                (col(m.EntryRow.journal_id) == journal) & (col(m.EntryRow.position) > min(position, 2**31 - 1)),
            )
        )
    rows = [EntryView(entry, journal, code) for entry, journal, code in (await session.exec(query)).all()]
    return page_of(rows, limit=limit, cursor_of=lambda row: encode_cursor(row.entry.journal_id, row.entry.position))


# --- the desk --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BreakGroup:
    """Open breaks of one kind. `oldest` is the first business date that has one."""

    kind: str
    count: int
    amount_dong: int
    oldest: date


async def open_breaks_by_kind(session: AsyncSession) -> list[BreakGroup]:
    """Open breaks, the kind that has waited longest first."""
    query = (
        select(
            m.Break.kind,
            func.count(),
            func.sum(func.abs(m.Break.amount_dong)),
            func.min(m.Break.business_date),
        )
        .where(col(m.Break.status) == "open")
        .group_by(col(m.Break.kind))
    )
    groups = [BreakGroup(kind, int(n), int(total), oldest) for kind, n, total, oldest in (await session.exec(query))]
    return sorted(groups, key=lambda group: (group.oldest, group.kind))


async def suspense_held(session: AsyncSession) -> int:
    """Money held until its owner or purpose is settled, in đồng."""
    query = select(func.coalesce(func.sum(m.EntryRow.amount_dong), 0)).where(col(m.EntryRow.account) == ledger.SUSPENSE)
    return -int((await session.exec(query)).one())


async def bills_with_excess(session: AsyncSession) -> int:
    """How many bills hold money beyond what was due."""
    query = select(func.count()).select_from(m.Payment).where(col(m.Payment.excess_dong) > 0)
    return int((await session.exec(query)).one())


async def last_closed_day(session: AsyncSession) -> date | None:
    """The latest business date that is sealed."""
    query = select(func.max(m.DayClose.business_date)).where(col(m.DayClose.status) == "closed")
    return (await session.exec(query)).one()


@dataclass(frozen=True, slots=True)
class DayView:
    """What is on record of one business date, without tying it out."""

    business_date: date
    statement: bool
    ran_at: datetime | None
    open_breaks: int
    open_breaks_dong: int
    proposed_by: str | None
    closed_by: str | None
    closed_at: datetime | None
    number: int | None

    @property
    def state(self) -> str:
        if self.closed_at is not None:
            return "closed"
        if self.open_breaks:
            return "breaks_open"
        if self.proposed_by is not None:
            return "proposed"
        return "waiting" if self.ran_at is None or not self.statement else "ran"


async def days_on_record(session: AsyncSession, *, before: date | None, limit: int) -> Page[DayView]:
    """Business dates that have bookings, a statement, breaks or a closing, newest first."""
    known = (
        select(col(m.JournalRow.business_date))
        .union(
            select(col(m.Statement.business_date)),
            select(col(m.Break.business_date)),
            select(col(m.DayRun.business_date)),
            select(col(m.DayClose.business_date)),
        )
        .subquery()
    )
    query = select(known.c.business_date).order_by(known.c.business_date.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(known.c.business_date < before)
    days = list((await session.exec(query)).all())
    page = page_of(days, limit=limit, cursor_of=lambda day: day.isoformat())
    return Page(tuple(await _day_views(session, page.items)), page.next_cursor)


async def _day_views(session: AsyncSession, days: Sequence[date]) -> list[DayView]:
    statements = set(
        (
            await session.exec(
                select(col(m.Statement.business_date)).where(
                    col(m.Statement.business_date).in_(days), col(m.Statement.status) == "accepted"
                )
            )
        ).all()
    )
    runs = {
        run.business_date: run
        for run in (await session.exec(select(m.DayRun).where(col(m.DayRun.business_date).in_(days)))).all()
    }
    closes = {
        close.business_date: close
        for close in (await session.exec(select(m.DayClose).where(col(m.DayClose.business_date).in_(days)))).all()
    }
    break_query = (
        select(col(m.Break.business_date), func.count(), func.sum(func.abs(m.Break.amount_dong)))
        .where(col(m.Break.status) == "open", col(m.Break.business_date).in_(days))
        .group_by(col(m.Break.business_date))
    )
    breaks = {day: (int(n), int(total)) for day, n, total in (await session.exec(break_query)).all()}
    views = []
    for day in days:
        run, close = runs.get(day), closes.get(day)
        count, amount = breaks.get(day, (0, 0))
        views.append(
            DayView(
                business_date=day,
                statement=day in statements,
                ran_at=run.ran_at if run else None,
                open_breaks=count,
                open_breaks_dong=amount,
                proposed_by=close.proposed_by if close else None,
                closed_by=close.closed_by if close else None,
                closed_at=close.closed_at if close else None,
                number=close.number if close else None,
            )
        )
    return views


async def days_to_close(session: AsyncSession, today: date) -> list[date]:
    """Business dates before today that have bookings and are not sealed, oldest first."""
    closed = select(col(m.DayClose.business_date)).where(col(m.DayClose.status) == "closed")
    query = (
        select(col(m.JournalRow.business_date))
        .distinct()
        .where(col(m.JournalRow.business_date) < today, col(m.JournalRow.business_date).not_in(closed))
        .order_by(col(m.JournalRow.business_date))
    )
    return list((await session.exec(query)).all())


async def receipt_checked(session: AsyncSession, number: str, code: str) -> m.Receipt | None:
    """The receipt that bears this number and check code; None when either is wrong."""
    receipt = await session.get(m.Receipt, number)
    if receipt is None or not secrets.compare_digest(receipt.check_code.encode(), code.upper().encode()):
        return None
    return receipt


async def breaks_of_day(session: AsyncSession, day: date) -> list[m.Break]:
    """Every break of a business date, the open ones first."""
    query = select(m.Break).where(col(m.Break.business_date) == day)
    return list((await session.exec(query.order_by(col(m.Break.status), col(m.Break.id)))).all())


async def close_of(session: AsyncSession, day: date) -> m.DayClose | None:
    """The closing of a business date, proposed or sealed."""
    return await session.get(m.DayClose, day)


async def statements_of(session: AsyncSession, day: date) -> list[m.Statement]:
    """The bank statements received for a business date, oldest first."""
    query = select(m.Statement).where(col(m.Statement.business_date) == day).order_by(col(m.Statement.id))
    return list((await session.exec(query)).all())
