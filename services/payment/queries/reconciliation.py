"""Reads of reconciliation: the tie-out of a day from its three sources, its lines, breaks and books."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import text
from sqlmodel import and_, col, func, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.pagination import encode_cursor, page_of
from services.payment import ledger
from services.payment import models as m
from services.payment.contract import Break, BreakPage, Reconciliation, ReconciliationStatus
from services.payment.queries.cursors import id_after
from services.payment.reconciliation.matching import Flow
from services.payment.reconciliation.tieout import Bank, DayBreak, Item, TieOut, tie_out

_DEAD_PAYOUTS = ("failed", "canceled")


async def reconciliation_of(session: AsyncSession, account: str, on: date) -> Reconciliation:
    """How a business date stands. A closed day shows what was sealed."""
    close = await session.get(m.DayClose, on, populate_existing=True)
    if close is not None and close.status == "closed":
        assert close.closed_by is not None
        sealed = Reconciliation.model_validate(close.snapshot["reconciliation"])
        return sealed.model_copy(
            update={
                "status": "closed",
                "closed_by": (close.proposed_by, close.closed_by),
                "seal": close.seal,
                "proposed_by": close.proposed_by,
                "proposal_hash": close.proposal_hash,
            }
        )
    return await live_reconciliation(session, account, on, close)


async def live_reconciliation(
    session: AsyncSession, account: str, on: date, close: m.DayClose | None = None
) -> Reconciliation:
    """The tie-out of a day as the data stand now."""
    statement = await statement_of(session, account, on)
    breaks = await _day_breaks(session, on)
    found = await _tie_out(session, account, on, statement, breaks)
    run = await session.get(m.DayRun, on, populate_existing=True)
    open_breaks = [row for row in breaks if row.status == "open"]
    matched = await session.exec(
        select(func.count(func.distinct(col(m.LineMatch.line_id))))
        .select_from(m.LineMatch)
        .join(m.StatementLine, col(m.StatementLine.id) == col(m.LineMatch.line_id))
        .where(col(m.StatementLine.booked_on) == on)
    )
    status: ReconciliationStatus = "breaks_open"
    if statement is None or run is None:
        status = "waiting"
    elif not open_breaks and found.unexplained_dong == 0:
        status = "balanced"
    return Reconciliation(
        account=account,
        business_date=on,
        status=status,
        statement_imported=statement is not None,
        settlement_imported=run is not None,
        opening_dong=statement.opening_dong if statement else 0,
        closing_dong=statement.closing_dong if statement else 0,
        ledger_bank_dong=await _ledger_bank(session, on),
        rows=found.rows,
        open_breaks=len(open_breaks),
        open_breaks_dong=sum(row.amount_dong for row in open_breaks),
        unexplained_dong=found.unexplained_dong,
        matched_lines=matched.one(),
        proposed_by=close.proposed_by if close else None,
        proposal_hash=close.proposal_hash if close else None,
    )


async def statement_of(session: AsyncSession, account: str, on: date) -> m.Statement | None:
    """The fullest accepted issue of a day's statement."""
    query = (
        select(m.Statement)
        .where(
            col(m.Statement.account) == account,
            col(m.Statement.business_date) == on,
            col(m.Statement.status) == "accepted",
        )
        .order_by(col(m.Statement.lines).desc(), col(m.Statement.imported_at).desc())
    )
    return (await session.exec(query)).first()


async def _tie_out(
    session: AsyncSession, account: str, on: date, statement: m.Statement | None, breaks: Sequence[m.Break]
) -> TieOut:
    items = await _items(session, account, on)
    day_breaks = [
        DayBreak(
            flow=row.flow,
            key=row.subject,
            kind=row.kind,
            amount_dong=row.amount_dong,
            is_open=row.status == "open",
        )
        for row in breaks
        if row.flow is not None
    ]
    bank = None
    if statement is not None:
        bank = Bank(
            closing_dong=statement.closing_dong,
            ledger_dong=await _ledger_bank(session, on),
            ledger_by_flow=await _ledger_by_flow(session, on),
        )
    return tie_out(on, items, day_breaks, bank)


async def _day_breaks(session: AsyncSession, on: date) -> list[m.Break]:
    return list((await session.exec(select(m.Break).where(col(m.Break.business_date) == on))).all())


async def _ledger_bank(session: AsyncSession, on: date) -> int:
    query = (
        select(func.coalesce(func.sum(m.EntryRow.amount_dong), 0))
        .join(m.JournalRow, col(m.JournalRow.id) == col(m.EntryRow.journal_id))
        .where(col(m.EntryRow.account) == ledger.BANK, col(m.JournalRow.business_date) <= on)
    )
    return int((await session.exec(query)).one())


async def _ledger_by_flow(session: AsyncSession, on: date) -> dict[str, int]:
    query = (
        select(m.LineMatch.flow, func.sum(m.LineMatch.amount_dong))
        .join(m.JournalRow, col(m.JournalRow.id) == col(m.LineMatch.journal_id))
        .where(col(m.JournalRow.business_date) == on)
        .group_by(col(m.LineMatch.flow))
    )
    return {flow: int(amount) for flow, amount in (await session.exec(query)).all()}


@dataclass
class _Sides:
    source: list[tuple[date, int]]
    bank: list[tuple[date, int]]
    told_late: bool = False


async def _items(session: AsyncSession, account: str, on: date) -> list[Item]:
    """Every item with a side on the day, with all its sides."""
    sides: dict[tuple[str, str], _Sides] = {}

    def of(flow: str, key: str) -> _Sides:
        return sides.setdefault((flow, key), _Sides([], []))

    lines = (
        await session.exec(
            select(m.LineMatch.flow, m.LineMatch.item, col(m.StatementLine.booked_on), m.LineMatch.amount_dong)
            .join(m.StatementLine, col(m.StatementLine.id) == col(m.LineMatch.line_id))
            .where(col(m.StatementLine.account) == account, col(m.StatementLine.booked_on) == on)
        )
    ).all()
    keys = {(flow, item) for flow, item, _, _ in lines}
    for flow, item, booked_on, amount in lines:
        of(flow, item).bank.append((booked_on, amount))
    for flow, key, when, amount in await _sources(session, on, keys):
        of(flow, key).source.append((when, amount))
    await _other_dates(session, on, sides)
    lost = await session.exec(
        select(m.BankCredit.bank_reference).where(
            col(m.BankCredit.origin) == "statement",
            col(m.BankCredit.status) == "applied",
            col(m.BankCredit.booked_on) == on,
        )
    )
    for reference in lost.all():
        of("vietqr", reference).told_late = True
    return [
        Item(flow=_flow(flow), key=key, source=tuple(each.source), bank=tuple(each.bank), told_late=each.told_late)
        for (flow, key), each in sides.items()
    ]


def _flow(text_: str) -> Flow:
    flow: Flow = text_  # type: ignore[assignment]
    return flow


async def _sources(session: AsyncSession, on: date, keys: set[tuple[str, str]]) -> list[tuple[str, str, date, int]]:
    """What gateway, bank notices, post and our own orders say, of the day or about its statement lines."""
    named: dict[str, list[str]] = {}
    for flow, item in keys:
        named.setdefault(flow, []).append(item)
    found: list[tuple[str, str, date, int]] = []
    payouts = select(m.Payout).where(
        or_(col(m.Payout.arrival_date) == on, col(m.Payout.id).in_(named.get("card", []))),
        col(m.Payout.status).not_in(_DEAD_PAYOUTS),
    )
    found += [("card", p.id, p.arrival_date, p.announced_dong) for p in (await session.exec(payouts)).all()]
    credits_ = select(m.BankCredit).where(
        or_(col(m.BankCredit.booked_on) == on, col(m.BankCredit.bank_reference).in_(named.get("vietqr", []))),
        col(m.BankCredit.origin) == "advice",
        col(m.BankCredit.status) != "recognised",
    )
    found += [("vietqr", c.bank_reference, c.booked_on, c.amount_dong) for c in (await session.exec(credits_)).all()]
    remittances = select(m.Remittance).where(
        or_(col(m.Remittance.deposited_on) == on, col(m.Remittance.reference).in_(named.get("post_remittance", [])))
    )
    found += [
        ("post_remittance", r.reference, r.deposited_on, r.amount_dong) for r in (await session.exec(remittances)).all()
    ]
    legs = select(m.RefundLeg).where(
        col(m.RefundLeg.status) == "succeeded",
        col(m.RefundLeg.bank_order_reference).is_not(None),
        or_(
            col(m.RefundLeg.paid_on) == on,
            col(m.RefundLeg.bank_order_reference).in_(named.get("transfer_out", [])),
        ),
    )
    for leg in (await session.exec(legs)).all():
        assert leg.bank_order_reference is not None
        assert leg.paid_on is not None
        found.append(("transfer_out", order_item(leg.bank_order_reference), leg.paid_on, -leg.amount_dong))
    return found


def order_item(reference: str) -> str:
    """The name a transfer out has on the statement; several vouchers paid as one share it."""
    return reference.split("/leg_", maxsplit=1)[0]


async def _other_dates(session: AsyncSession, on: date, sides: dict[tuple[str, str], _Sides]) -> None:
    """Statement lines of other dates for items announced on the day: they tell timing from missing."""
    waiting = [key for (_, key), each in sides.items() if not each.bank]
    if not waiting:
        return
    query = (
        select(m.LineMatch.flow, m.LineMatch.item, col(m.StatementLine.booked_on), m.LineMatch.amount_dong)
        .join(m.StatementLine, col(m.StatementLine.id) == col(m.LineMatch.line_id))
        .where(col(m.LineMatch.item).in_(waiting), col(m.StatementLine.booked_on) != on)
    )
    for flow, item, booked_on, amount in (await session.exec(query)).all():
        if (flow, item) in sides:
            sides[(flow, item)].bank.append((booked_on, amount))


async def lines_of_day(
    session: AsyncSession, account: str, on: date
) -> list[tuple[m.StatementLine, m.LineMatch | None]]:
    """The statement lines of a day in the bank's order, with what each was recognised as."""
    query = (
        select(m.StatementLine, m.LineMatch)
        .join(
            m.LineMatch,
            and_(col(m.LineMatch.line_id) == col(m.StatementLine.id), col(m.LineMatch.part) == 0),
            isouter=True,
        )
        .where(col(m.StatementLine.account) == account, col(m.StatementLine.booked_on) == on)
        .order_by(col(m.StatementLine.number), col(m.StatementLine.id))
    )
    return [(line, match) for line, match in (await session.exec(query)).all()]


async def break_page(
    session: AsyncSession,
    *,
    status: str | None = None,
    business_date: date | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> BreakPage:
    """Breaks, newest first."""
    query = select(m.Break).order_by(col(m.Break.id).desc()).limit(limit + 1)
    if status is not None:
        query = query.where(col(m.Break.status) == status)
    if business_date is not None:
        query = query.where(col(m.Break.business_date) == business_date)
    if cursor is not None:
        query = query.where(col(m.Break.id) < id_after(cursor))
    rows = (await session.exec(query)).all()
    page = page_of(rows, limit=limit, cursor_of=lambda row: encode_cursor(row.id))
    return BreakPage(items=tuple(break_record(row) for row in page.items), next_cursor=page.next_cursor)


async def break_by_id(session: AsyncSession, break_id: str) -> Break | None:
    """One break."""
    row = await session.get(m.Break, break_id, populate_existing=True)
    return break_record(row) if row else None


def break_record(row: m.Break) -> Break:
    """The contract's view of a break."""
    return Break(
        id=row.id,
        kind=row.kind,
        business_date=row.business_date,
        amount_dong=row.amount_dong,
        account=row.account,
        subject=row.subject,
        text_vi=row.text_vi,
        text_en=row.text_en,
        status=row.status,
        opened_at=row.opened_at,
        resolved_at=row.resolved_at,
        resolution=row.resolution,
        flow=row.flow,
        proposed_by=row.proposed_by,
        proposal_hash=row.proposal_hash,
        assignee=row.assignee,
        due_on=row.due_on,
        version=row.version,
    )


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """One line of the trial balance, in đồng."""

    code: str
    kind: str
    debit_dong: int
    credit_dong: int

    @property
    def balance_dong(self) -> int:
        return self.debit_dong - self.credit_dong


async def trial_balance(session: AsyncSession, until: date | None = None) -> list[AccountBalance]:
    """Every account with what was ever debited and credited, up to a business date."""
    amount = m.EntryRow.amount_dong
    query = (
        select(
            m.Account.code,
            m.Account.kind,
            func.coalesce(func.sum(amount).filter(col(amount) > 0), 0),
            func.coalesce(-func.sum(amount).filter(col(amount) < 0), 0),
        )
        .join(m.EntryRow, col(m.EntryRow.account) == col(m.Account.code))
        .join(m.JournalRow, col(m.JournalRow.id) == col(m.EntryRow.journal_id))
        .group_by(col(m.Account.code), col(m.Account.kind))
        .order_by(col(m.Account.code))
    )
    if until is not None:
        query = query.where(col(m.JournalRow.business_date) <= until)
    return [AccountBalance(code, kind, int(d), int(c)) for code, kind, d, c in (await session.exec(query)).all()]


async def open_items(session: AsyncSession, account: str) -> list[tuple[str, int, date]]:
    """The named residuals of a clearing account: (subject, đồng, first value date)."""
    query = (
        select(m.EntryRow.subject, func.sum(m.EntryRow.amount_dong), func.min(m.JournalRow.value_date))
        .join(m.JournalRow, col(m.JournalRow.id) == col(m.EntryRow.journal_id))
        .where(col(m.EntryRow.account) == account)
        .group_by(col(m.EntryRow.subject))
        .having(func.sum(m.EntryRow.amount_dong) != 0)
        .order_by(func.min(m.JournalRow.value_date))
        .limit(500)
    )
    return [(subject, int(amount), first) for subject, amount, first in (await session.exec(query)).all()]


async def ledger_digest(session: AsyncSession, on: date) -> str:
    """SHA-256 over every entry of a business day, in a fixed order: what a seal stands on."""
    rows = await (await session.connection()).execute(
        text(
            "select j.posting_key, e.account, e.amount_dong, e.subject from journal j join entry e"
            " on e.journal_id = j.id where j.business_date = :on order by j.id, e.position"
        ),
        {"on": on},
    )
    digest = hashlib.sha256()
    for row in rows:
        digest.update("|".join(str(value) for value in row).encode() + b"\n")
    return digest.hexdigest()
