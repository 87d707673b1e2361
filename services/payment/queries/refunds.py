"""Reads of refunds."""

from collections.abc import Sequence

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.pagination import encode_cursor, page_of
from services.payment import models as m
from services.payment.contract import Refund, RefundPage
from services.payment.queries.cursors import id_after


async def refund_by_id(session: AsyncSession, refund_id: str) -> Refund | None:
    """One refund."""
    row = await session.get(m.Refund, refund_id, populate_existing=True)
    return (await refunds_of(session, [row]))[0] if row else None


async def refund_page(
    session: AsyncSession,
    *,
    status: str | None = None,
    payment_id: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> RefundPage:
    """Refunds, newest first."""
    query = select(m.Refund).order_by(col(m.Refund.id).desc()).limit(limit + 1)
    if status is not None:
        query = query.where(col(m.Refund.status) == status)
    if payment_id is not None:
        query = query.where(col(m.Refund.payment_id) == payment_id)
    if cursor is not None:
        query = query.where(col(m.Refund.id) < id_after(cursor))
    rows = (await session.exec(query)).all()
    page = page_of(rows, limit=limit, cursor_of=lambda row: encode_cursor(row.id))
    return RefundPage(items=tuple(await refunds_of(session, page.items)), next_cursor=page.next_cursor)


async def refunds_of(session: AsyncSession, rows: Sequence[m.Refund]) -> list[Refund]:
    """Contract records of rows. With several legs, the ids shown are those of the first leg that has one."""
    codes = {
        payment.id: payment.dossier_code
        for payment in (
            await session.exec(select(m.Payment).where(col(m.Payment.id).in_({row.payment_id for row in rows})))
        ).all()
    }
    legs: dict[str, list[m.RefundLeg]] = {}
    query = select(m.RefundLeg).where(col(m.RefundLeg.refund_id).in_([row.id for row in rows]))
    for leg in (await session.exec(query.order_by(col(m.RefundLeg.id)))).all():
        legs.setdefault(leg.refund_id, []).append(leg)
    return [_record(row, codes[row.payment_id], legs.get(row.id, [])) for row in rows]


def _record(row: m.Refund, dossier_code: str, legs: Sequence[m.RefundLeg]) -> Refund:
    return Refund(
        id=row.id,
        payment_id=row.payment_id,
        dossier_code=dossier_code,
        status=row.status,
        reason=row.reason,
        source=row.source,
        amount_dong=row.amount_dong,
        route=row.route,
        proposal_hash=row.proposal_hash,
        requested_by=row.requested_by,
        decided_by=row.decided_by,
        gateway_refund_id=next((leg.gateway_refund_id for leg in legs if leg.gateway_refund_id), None),
        bank_order_reference=next((leg.bank_order_reference for leg in legs if leg.bank_order_reference), None),
        created_at=row.requested_at,
        finished_at=row.finished_at,
    )
