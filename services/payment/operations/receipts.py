"""Issues and cancels receipts: numbers without gaps within a series, the content kept as it was."""

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from services.payment.models import Attempt, Intake, Payer, Payment, PaymentLine, Receipt, ReceiptSeries
from services.payment.operations.posting import SYSTEM, record
from services.payment.till import Terms


async def issue_receipt(session: AsyncSession, payment: Payment, terms: Terms) -> Receipt:
    """Number and keep the receipt of a fully paid bill; a bill of 0 đồng gets one as well. Once a payment.

    The series row stays locked until the transaction ends, so a number that is rolled back is used by the next.
    """
    found = (await session.exec(select(Receipt).where(col(Receipt.payment_id) == payment.id))).first()
    if found is not None:
        return found
    connection = await session.connection()
    await connection.execute(insert(ReceiptSeries).values(series=terms.receipt_series).on_conflict_do_nothing())
    series = await session.get(ReceiptSeries, terms.receipt_series, with_for_update=True, populate_existing=True)
    assert series is not None
    series.last_serial += 1
    session.add(series)
    moment = now()
    number = f"{series.series}-{series.last_serial:07d}"
    receipt = Receipt(
        number=number,
        series=series.series,
        serial=series.last_serial,
        payment_id=payment.id,
        amount_dong=payment.due_dong,
        check_code=terms.code_for("receipt", number)[:10].upper(),
        content=await _content(session, payment, terms),
        issued_at=moment,
    )
    session.add(receipt)
    await record(session, payment, "receipt_issued", 0, occurred_at=moment, actor=SYSTEM, detail=number)
    return receipt


async def cancel_receipt(session: AsyncSession, payment: Payment) -> None:
    """Mark the receipt of a fully refunded bill as cancelled; the number stays used."""
    receipt = (await session.exec(select(Receipt).where(col(Receipt.payment_id) == payment.id))).first()
    if receipt is None or receipt.cancelled_at is not None:
        return
    receipt.cancelled_at = now()
    session.add(receipt)
    await record(
        session, payment, "receipt_cancelled", 0, occurred_at=receipt.cancelled_at, actor=SYSTEM, detail=receipt.number
    )


async def _content(session: AsyncSession, payment: Payment, terms: Terms) -> dict[str, object]:
    """What the paper says, as of the moment of issue: later changes of name or rate do not touch it."""
    lines = (
        await session.exec(
            select(PaymentLine).where(col(PaymentLine.payment_id) == payment.id).order_by(col(PaymentLine.position))
        )
    ).all()
    payer = await session.get(Payer, payment.dossier_code)
    intakes = (
        await session.exec(select(Intake).where(col(Intake.payment_id) == payment.id).order_by(col(Intake.recorded_at)))
    ).all()
    references = {
        attempt.id: attempt.reference
        for attempt in (await session.exec(select(Attempt).where(col(Attempt.payment_id) == payment.id))).all()
    }
    return {
        "agency_name": terms.agency_name,
        "dossier_code": payment.dossier_code,
        "procedure": payment.procedure,
        "payer_name": payer.name if payer else "",
        "payer_address": payer.address if payer else "",
        "due_dong": payment.due_dong,
        "budget_dong": payment.budget_dong,
        "lines": [
            {
                "kind": line.kind,
                "label_vi": line.label_vi,
                "label_en": line.label_en,
                "beneficiary": line.beneficiary,
                "citizen_dong": line.citizen_dong,
                "budget_dong": line.budget_dong,
            }
            for line in lines
        ],
        "methods": sorted({intake.method for intake in intakes}) or ["none"],
        "references": [references[i.attempt_id] for i in intakes if i.attempt_id in references],
    }
