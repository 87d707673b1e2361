"""Reads of receipts, refund vouchers and disputes: lists by cursor, newest first, and one of each."""

from collections.abc import Sequence

from sqlmodel import col, func, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.errors import BadInput
from kit.pagination import decode_cursor, encode_cursor, page_of
from services.payment import models as m
from services.payment.contract import (
    Dispute,
    DisputePage,
    DisputeStatus,
    Receipt,
    ReceiptPage,
    Voucher,
    VoucherPage,
    VoucherStatus,
)


def _after(cursor: str) -> str:
    (position,) = decode_cursor(cursor, str)
    if not isinstance(position, str) or "\x00" in position:
        raise BadInput("Con trỏ trang không hợp lệ.", "The page cursor is not valid.")
    return position


async def _codes(session: AsyncSession, payment_ids: set[str]) -> dict[str, str]:
    query = select(m.Payment.id, m.Payment.dossier_code).where(col(m.Payment.id).in_(payment_ids))
    return dict((await session.exec(query)).all())


# --- receipts --------------------------------------------------------------------------------------


def receipt_record(row: m.Receipt) -> Receipt:
    """The contract's view of a receipt."""
    return Receipt(
        number=row.number,
        series=row.series,
        serial=row.serial,
        payment_id=row.payment_id,
        dossier_code=str(row.content.get("dossier_code", "")),
        payer_name=str(row.content.get("payer_name", "")),
        amount_dong=row.amount_dong,
        check_code=row.check_code,
        issued_at=row.issued_at,
        cancelled_at=row.cancelled_at,
        cancelled_by=row.cancelled_by,
        cancel_reason=row.cancel_reason,
        replaces=row.replaces,
    )


async def receipt_numbered(session: AsyncSession, number: str) -> m.Receipt | None:
    """The receipt that bears a number."""
    return await session.get(m.Receipt, number, populate_existing=True)


async def receipts_of_payment(session: AsyncSession, payment_id: str) -> list[m.Receipt]:
    """Every receipt of a bill, the last one issued first."""
    query = select(m.Receipt).where(col(m.Receipt.payment_id) == payment_id)
    return list((await session.exec(query.order_by(col(m.Receipt.issued_at).desc()))).all())


async def receipt_page(
    session: AsyncSession, *, text: str = "", state: str | None = None, cursor: str | None = None, limit: int = 50
) -> ReceiptPage:
    """Receipts by number, the highest first. `text` is a number, a dossier code or the beginning of a payer's name."""
    query = select(m.Receipt).order_by(col(m.Receipt.number).desc()).limit(limit + 1)
    if text:
        name = col(m.Receipt.content)["payer_name"].astext
        query = query.where(
            or_(
                col(m.Receipt.number) == text.upper(),
                col(m.Receipt.content)["dossier_code"].astext == text,
                func.lower(name).startswith(text.lower(), autoescape=True),
            )
        )
    if state is not None:
        cancelled = col(m.Receipt.cancelled_at)
        query = query.where(cancelled.is_not(None) if state == "cancelled" else cancelled.is_(None))
    if cursor:
        query = query.where(col(m.Receipt.number) < _after(cursor))
    rows = (await session.exec(query)).all()
    page = page_of(rows, limit=limit, cursor_of=lambda row: encode_cursor(row.number))
    return ReceiptPage(items=tuple(receipt_record(row) for row in page.items), next_cursor=page.next_cursor)


async def receipt_forms(session: AsyncSession) -> list[m.ReceiptForm]:
    """How the receipts of each agency look, by agency, the latest date first."""
    query = select(m.ReceiptForm).order_by(col(m.ReceiptForm.agency), col(m.ReceiptForm.valid_from).desc())
    return list((await session.exec(query)).all())


# --- vouchers --------------------------------------------------------------------------------------


async def voucher_records(session: AsyncSession, rows: Sequence[m.Voucher]) -> list[Voucher]:
    """Contract records of vouchers."""
    ids = select(m.Refund.id, m.Refund.payment_id).where(col(m.Refund.id).in_({row.refund_id for row in rows}))
    payments = dict((await session.exec(ids)).all())
    return [
        Voucher(
            number=row.number,
            refund_id=row.refund_id,
            payment_id=payments[row.refund_id],
            dossier_code=str(row.content["dossier_code"]),
            status=row.status,
            amount_dong=row.amount_dong,
            beneficiary=str(row.content["payer_name"] or row.content["payer_account_name"]),
            treasury_reference=row.treasury_reference,
            refusal=row.refusal,
            prepared_at=row.prepared_at,
            sent_at=row.sent_at,
            answered_at=row.answered_at,
            paid_on=row.paid_on,
        )
        for row in rows
    ]


async def voucher_numbered(session: AsyncSession, number: str) -> m.Voucher | None:
    """The voucher that bears a number."""
    return await session.get(m.Voucher, number, populate_existing=True)


async def vouchers_of_refunds(session: AsyncSession, refund_ids: Sequence[str]) -> dict[str, list[m.Voucher]]:
    """The vouchers of refunds, the last one prepared first."""
    found: dict[str, list[m.Voucher]] = {}
    query = select(m.Voucher).where(col(m.Voucher.refund_id).in_(refund_ids)).order_by(col(m.Voucher.number).desc())
    for row in (await session.exec(query)).all():
        found.setdefault(row.refund_id, []).append(row)
    return found


async def voucher_page(
    session: AsyncSession, *, status: VoucherStatus | None = None, cursor: str | None = None, limit: int = 50
) -> VoucherPage:
    """Refund vouchers, the highest number first."""
    query = select(m.Voucher).order_by(col(m.Voucher.number).desc()).limit(limit + 1)
    if status is not None:
        query = query.where(col(m.Voucher.status) == status)
    if cursor:
        query = query.where(col(m.Voucher.number) < _after(cursor))
    rows = (await session.exec(query)).all()
    page = page_of(rows, limit=limit, cursor_of=lambda row: encode_cursor(row.number))
    return VoucherPage(items=tuple(await voucher_records(session, page.items)), next_cursor=page.next_cursor)


async def voucher_counts(session: AsyncSession) -> dict[str, int]:
    """How many vouchers there are by status."""
    query = select(m.Voucher.status, func.count()).group_by(col(m.Voucher.status))
    return dict((await session.exec(query)).all())


# --- disputes --------------------------------------------------------------------------------------


async def dispute_records(session: AsyncSession, rows: Sequence[m.Dispute]) -> list[Dispute]:
    """Contract records of disputes."""
    codes = await _codes(session, {row.payment_id for row in rows})
    return [
        Dispute(
            id=row.id,
            payment_id=row.payment_id,
            dossier_code=codes[row.payment_id],
            status=row.status,
            reason=row.reason,
            amount_dong=row.amount_dong,
            evidence_due_at=row.evidence_due_at,
            evidence=row.evidence,
            answered_by=row.answered_by,
            answered_at=row.answered_at,
            opened_at=row.opened_at,
            closed_at=row.closed_at,
        )
        for row in rows
    ]


async def dispute_by_id(session: AsyncSession, dispute_id: str) -> Dispute | None:
    """One dispute."""
    row = await session.get(m.Dispute, dispute_id, populate_existing=True)
    return (await dispute_records(session, [row]))[0] if row else None


async def dispute_page(
    session: AsyncSession,
    *,
    status: DisputeStatus | None = None,
    payment_id: str | None = None,
    is_open: bool | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> DisputePage:
    """Disputes by id; with `is_open` those that are decided or not."""
    query = select(m.Dispute).order_by(col(m.Dispute.id).desc()).limit(limit + 1)
    if status is not None:
        query = query.where(col(m.Dispute.status) == status)
    if payment_id is not None:
        query = query.where(col(m.Dispute.payment_id) == payment_id)
    if is_open is not None:
        closed = col(m.Dispute.closed_at)
        query = query.where(closed.is_(None) if is_open else closed.is_not(None))
    if cursor:
        query = query.where(col(m.Dispute.id) < _after(cursor))
    rows = (await session.exec(query)).all()
    page = page_of(rows, limit=limit, cursor_of=lambda row: encode_cursor(row.id))
    return DisputePage(items=tuple(await dispute_records(session, page.items)), next_cursor=page.next_cursor)
