"""Reads of bills: contract records built from rows, newest lists by cursor."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

from sqlmodel import col, func, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from kit.pagination import encode_cursor, page_of
from kit.web import LOCAL_ZONE
from services.payment import ledger
from services.payment import models as m
from services.payment.contract import (
    Attempt,
    BillLine,
    BillShare,
    MoneyArrival,
    Payment,
    PaymentDetail,
    PaymentFact,
    PaymentPage,
    PaymentTotals,
)
from services.payment.queries.cursors import id_after
from services.payment.till import Terms


async def payment_by_id(session: AsyncSession, payment_id: str, terms: Terms) -> Payment | None:
    """One bill with its lines and attempts."""
    row = await session.get(m.Payment, payment_id, populate_existing=True)
    return (await payments_of(session, [row], terms))[0] if row else None


async def payment_detail(session: AsyncSession, payment_id: str, terms: Terms) -> PaymentDetail | None:
    """One bill with its whole history."""
    payment = await payment_by_id(session, payment_id, terms)
    if payment is None:
        return None
    facts = await facts_of(session, payment_id)
    arrivals = await arrivals_of(session, payment_id)
    return PaymentDetail(**dict(payment), facts=tuple(facts), arrivals=tuple(arrivals))


async def arrivals_of(session: AsyncSession, payment_id: str) -> list[MoneyArrival]:
    """The money that came in for a bill and what was done with it, oldest first."""
    query = select(m.Intake).where(col(m.Intake.payment_id) == payment_id).order_by(col(m.Intake.id))
    return [
        MoneyArrival(
            id=row.id,
            method=row.method,
            source=row.source,
            reference=row.source_reference,
            amount_dong=row.amount_dong,
            applied_dong=row.applied_dong,
            held_dong=row.excess_dong,
            returned_dong=row.applied_returned_dong + row.excess_returned_dong,
            policy=row.policy,
            received_at=row.received_at,
        )
        for row in (await session.exec(query)).all()
    ]


async def facts_of(session: AsyncSession, payment_id: str) -> list[PaymentFact]:
    """The history of a bill, oldest first."""
    query = select(m.Fact).where(col(m.Fact.payment_id) == payment_id).order_by(col(m.Fact.number))
    return [
        PaymentFact(
            id=fact.id,
            kind=fact.kind,
            amount_dong=fact.amount_dong,
            occurred_at=fact.occurred_at,
            recorded_at=fact.recorded_at,
            actor=fact.actor,
            detail=fact.detail,
        )
        for fact in (await session.exec(query)).all()
    ]


async def payment_page(
    session: AsyncSession,
    terms: Terms,
    *,
    status: str | None = None,
    dossier_code: str | None = None,
    method: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> PaymentPage:
    """Bills, newest first. `method` keeps those with an attempt of that kind."""
    query = select(m.Payment).order_by(col(m.Payment.id).desc()).limit(limit + 1)
    if status is not None:
        query = query.where(col(m.Payment.status) == status)
    if dossier_code is not None:
        query = query.where(col(m.Payment.dossier_code) == dossier_code)
    if method == "none":
        query = query.where(col(m.Payment.due_dong) == 0)
    elif method is not None:
        tried = select(m.Attempt.payment_id).where(col(m.Attempt.method) == method)
        query = query.where(col(m.Payment.id).in_(tried))
    if cursor is not None:
        query = query.where(col(m.Payment.id) < id_after(cursor))
    rows = (await session.exec(query)).all()
    page = page_of(rows, limit=limit, cursor_of=lambda row: encode_cursor(row.id))
    return PaymentPage(items=tuple(await payments_of(session, page.items, terms)), next_cursor=page.next_cursor)


async def payments_of(session: AsyncSession, rows: Sequence[m.Payment], terms: Terms) -> list[Payment]:
    """Contract records of rows, with three queries however many they are."""
    ids = [row.id for row in rows]
    shares: dict[tuple[str, int], list[BillShare]] = {}
    share_query = select(m.PaymentShare).where(col(m.PaymentShare.payment_id).in_(ids))
    for share in (await session.exec(share_query.order_by(col(m.PaymentShare.number)))).all():
        shares.setdefault((share.payment_id, share.position), []).append(
            BillShare(payer=share.payer, amount_dong=share.amount_dong)
        )
    lines: dict[str, list[BillLine]] = {}
    line_query = select(m.PaymentLine).where(col(m.PaymentLine.payment_id).in_(ids))
    for line in (await session.exec(line_query.order_by(col(m.PaymentLine.position)))).all():
        lines.setdefault(line.payment_id, []).append(
            BillLine(
                item=line.item,
                kind=line.kind,
                leg=line.leg,
                label_vi=line.label_vi,
                label_en=line.label_en,
                beneficiary=line.beneficiary,
                shares=tuple(shares[(line.payment_id, line.position)]),
            )
        )
    attempts: dict[str, list[Attempt]] = {}
    attempt_query = select(m.Attempt).where(col(m.Attempt.payment_id).in_(ids))
    for attempt in (await session.exec(attempt_query.order_by(col(m.Attempt.id)))).all():
        attempts.setdefault(attempt.payment_id, []).append(attempt_record(attempt))
    receipts: dict[str, str] = {
        receipt.payment_id: receipt.number for receipt in (await session.exec(_receipts(ids))).all()
    }
    return [
        Payment(
            id=row.id,
            bill_reference=row.bill_reference,
            dossier_code=row.dossier_code,
            procedure=row.procedure,
            status=row.status,
            due_dong=row.due_dong,
            paid_dong=row.paid_dong,
            budget_dong=row.budget_dong,
            excess_dong=row.excess_dong,
            refunded_dong=row.refunded_dong,
            refundable_dong=max(
                0, row.paid_dong - row.refunded_dong - row.held_dong - row.disputed_dong - row.lost_dong
            ),
            disputed_dong=row.disputed_dong,
            lost_dong=row.lost_dong,
            lines=tuple(lines.get(row.id, ())),
            attempts=tuple(attempts.get(row.id, ())),
            receipt_number=receipts.get(row.id),
            pay_page_url=terms.pay_page_url(row.id),
            expires_at=row.expires_at,
            created_at=row.created_at,
            version=row.version,
        )
        for row in rows
    ]


def _receipts(ids: list[str]) -> SelectOfScalar[m.Receipt]:
    """The receipts of bills, the last issued last."""
    return select(m.Receipt).where(col(m.Receipt.payment_id).in_(ids)).order_by(col(m.Receipt.issued_at))


def attempt_record(attempt: m.Attempt) -> Attempt:
    """The contract's view of an attempt."""
    return Attempt(
        id=attempt.id,
        method=attempt.method,
        status=attempt.status,
        capture=attempt.capture,
        authorised_dong=attempt.authorised_dong,
        capture_dong=attempt.capture_dong,
        amount_dong=attempt.amount_dong,
        received_dong=attempt.received_dong,
        reference=attempt.reference,
        qr_payload=attempt.qr_payload,
        gateway_intent_id=attempt.gateway_intent_id,
        pay_url=attempt.pay_url,
        expires_at=attempt.expires_at,
        created_at=attempt.created_at,
    )


async def current_qr(session: AsyncSession, payment_id: str) -> str | None:
    """Payload of the VietQR code to show now: that of the live attempt."""
    query = select(m.Attempt.qr_payload).where(
        col(m.Attempt.payment_id) == payment_id,
        col(m.Attempt.method) == "vietqr",
        col(m.Attempt.status) == "pending",
    )
    return (await session.exec(query)).first()


async def receipt_of(session: AsyncSession, payment_id: str) -> m.Receipt | None:
    """The receipt of a bill, the last one issued."""
    newest = select(m.Receipt).where(col(m.Receipt.payment_id) == payment_id).order_by(col(m.Receipt.issued_at).desc())
    return (await session.exec(newest.limit(1))).first()


async def why_held(session: AsyncSession, payment_id: str) -> str:
    """Why money of a bill is held in suspense: paid_late, paid_twice or overpaid, by the last arrival that was."""
    query = (
        select(m.Intake.policy)
        .where(col(m.Intake.payment_id) == payment_id, col(m.Intake.policy).in_(["paid_late", "paid_twice"]))
        .where(col(m.Intake.excess_dong) > col(m.Intake.excess_returned_dong))
        .order_by(col(m.Intake.id).desc())
    )
    return (await session.exec(query.limit(1))).first() or "overpaid"


def _day_bounds(first: date | None, last: date | None) -> tuple[datetime | None, datetime | None]:
    begin = datetime.combine(first, time(), LOCAL_ZONE) if first else None
    end = datetime.combine(last + timedelta(days=1), time(), LOCAL_ZONE) if last else None
    return begin, end


async def totals(session: AsyncSession, first: date | None, last: date | None) -> PaymentTotals:
    """What the bills opened between two dates (both included) come to, and whether the books balance."""
    begin, end = _day_bounds(first, last)
    inside = []
    if begin is not None:
        inside.append(col(m.Payment.created_at) >= begin)
    if end is not None:
        inside.append(col(m.Payment.created_at) < end)
    payer_query = (
        select(m.PaymentShare.payer, func.sum(m.PaymentShare.amount_dong))
        .join(m.Payment, col(m.Payment.id) == col(m.PaymentShare.payment_id))
        .where(*inside)
        .group_by(col(m.PaymentShare.payer))
    )
    owed = func.sum(m.PaymentLine.citizen_dong + m.PaymentLine.budget_dong)
    beneficiary_query = (
        select(m.PaymentLine.beneficiary, owed)
        .join(m.Payment, col(m.Payment.id) == col(m.PaymentLine.payment_id))
        .where(*inside)
        .group_by(col(m.PaymentLine.beneficiary))
    )
    money_query = select(
        func.coalesce(func.sum(m.Payment.paid_dong), 0), func.coalesce(func.sum(m.Payment.refunded_dong), 0)
    ).where(*inside)
    paid, refunded = (await session.exec(money_query)).one()
    suspense = await session.exec(
        select(func.coalesce(func.sum(m.EntryRow.amount_dong), 0)).where(col(m.EntryRow.account) == ledger.SUSPENSE)
    )
    trial = await session.exec(select(func.coalesce(func.sum(m.EntryRow.amount_dong), 0)))
    return PaymentTotals(
        by_payer={payer: int(amount) for payer, amount in (await session.exec(payer_query)).all()},
        by_beneficiary={name: int(amount) for name, amount in (await session.exec(beneficiary_query)).all()},
        collected_dong=int(paid),
        refunded_dong=int(refunded),
        suspense_dong=-int(suspense.one()),
        trial_balance_dong=int(trial.one()),
    )


async def payments_matching(session: AsyncSession, text: str, *, limit: int = 20) -> list[m.Payment]:
    """Bills whose dossier code, bill reference or attempt reference is exactly `text`."""
    with_reference = select(m.Attempt.payment_id).where(col(m.Attempt.reference) == text.upper())
    query = (
        select(m.Payment)
        .where(
            or_(
                col(m.Payment.dossier_code) == text,
                col(m.Payment.bill_reference) == text,
                col(m.Payment.id) == text,
                col(m.Payment.id).in_(with_reference),
            )
        )
        .order_by(col(m.Payment.id).desc())
        .limit(limit)
    )
    return list((await session.exec(query)).all())
