"""Issues, cancels and replaces receipts: numbers without gaps within a series, the content kept as it was."""

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from kit.errors import WrongMoment
from services.payment.contract import PutReceiptForm, ReplaceReceipt
from services.payment.models import (
    Attempt,
    Intake,
    Payer,
    Payment,
    PaymentLine,
    Receipt,
    ReceiptForm,
    ReceiptSeries,
)
from services.payment.operations.posting import SYSTEM, locked_payment, record
from services.payment.problems import EventDiffers, ReceiptUnknown
from services.payment.till import Terms, local_date

REFUNDED = "refunded"
"""Why a receipt is cancelled when all of its money has gone back."""


async def issue_receipt(
    session: AsyncSession, payment: Payment, terms: Terms, *, replaces: str | None = None
) -> Receipt:
    """Number and keep the receipt of a fully paid bill; a bill of 0 đồng gets one as well. One is valid at a time.

    The series row stays locked until the transaction ends, so a number that is rolled back is used by the next.
    """
    found = await _newest(session, payment.id)
    if found is not None and replaces is None:
        return found
    moment = now()
    content = await _content(session, payment, terms)
    form = await _form_of(session, payment)
    content |= _letterhead(form, terms)
    series = await _next_in(session, form.series if form else terms.receipt_series)
    number = f"{series.series}-{series.last_serial:07d}"
    receipt = Receipt(
        number=number,
        series=series.series,
        serial=series.last_serial,
        payment_id=payment.id,
        amount_dong=payment.due_dong,
        check_code=terms.code_for("receipt", number)[:10].upper(),
        content=content | ({"replaces": replaces} if replaces else {}),
        issued_at=moment,
        replaces=replaces,
    )
    session.add(receipt)
    await record(session, payment, "receipt_issued", 0, occurred_at=moment, actor=SYSTEM, detail=number)
    return receipt


async def _newest(session: AsyncSession, payment_id: str) -> Receipt | None:
    newest = select(Receipt).where(col(Receipt.payment_id) == payment_id).order_by(col(Receipt.issued_at).desc())
    return (await session.exec(newest.limit(1))).first()


async def _next_in(session: AsyncSession, name: str) -> ReceiptSeries:
    await (await session.connection()).execute(insert(ReceiptSeries).values(series=name).on_conflict_do_nothing())
    series = await session.get(ReceiptSeries, name, with_for_update=True, populate_existing=True)
    assert series is not None
    series.last_serial += 1
    session.add(series)
    return series


async def _form_of(session: AsyncSession, payment: Payment) -> ReceiptForm | None:
    """The form of the one agency whose fees and charges a bill holds, as of today; None when they are several."""
    kinds = ("fee", "charge")
    query = select(PaymentLine.beneficiary).where(
        col(PaymentLine.payment_id) == payment.id, col(PaymentLine.kind).in_(kinds)
    )
    agencies = set((await session.exec(query)).all())
    if len(agencies) != 1:
        return None
    newest = (
        select(ReceiptForm)
        .where(col(ReceiptForm.agency) == agencies.pop(), col(ReceiptForm.valid_from) <= local_date(now()))
        .order_by(col(ReceiptForm.valid_from).desc())
    )
    return (await session.exec(newest.limit(1))).first()


def _letterhead(form: ReceiptForm | None, terms: Terms) -> dict[str, object]:
    if form is None:
        return {"agency_name": terms.agency_name}
    return {
        "agency_name": form.agency_name,
        "parent_name": form.parent_name,
        "agency_address": form.address,
        "tax_code": form.tax_code,
        "form_code": form.form_code,
        "title": form.title,
    }


async def cancel_receipt(session: AsyncSession, payment: Payment) -> None:
    """Mark the receipt of a fully refunded bill as cancelled; the number stays used."""
    receipt = await _newest(session, payment.id)
    if receipt is None or receipt.cancelled_at is not None:
        return
    await _cancel(session, payment, receipt, reason=REFUNDED, actor=SYSTEM)


async def _cancel(session: AsyncSession, payment: Payment, receipt: Receipt, *, reason: str, actor: str) -> None:
    receipt.cancelled_at, receipt.cancelled_by, receipt.cancel_reason = now(), actor, reason
    session.add(receipt)
    await session.flush()
    await record(
        session,
        payment,
        "receipt_cancelled",
        0,
        occurred_at=receipt.cancelled_at,
        actor=actor,
        detail=receipt.number if reason == REFUNDED else f"{receipt.number} {reason}",
    )


async def replace_receipt(
    session: AsyncSession, number: str, wish: ReplaceReceipt, terms: Terms, *, actor: str
) -> Receipt:
    """Cancel a receipt for a reason and issue another in its place; the corrected names are kept for the dossier.

    Raises ReceiptUnknown, or WrongMoment when the receipt is cancelled already.
    """
    found = await session.get(Receipt, number)
    if found is None:
        raise receipt_unknown()
    payment = await locked_payment(session, found.payment_id)
    receipt = await session.get(Receipt, number, populate_existing=True)
    assert receipt is not None
    if receipt.cancelled_at is not None:
        raise WrongMoment(
            "Biên lai này đã hủy; hãy mở biên lai thay thế hoặc khoản thu để xem.",
            "This receipt is cancelled already; open the one that replaced it, or the payment.",
        )
    await _correct_payer(session, payment.dossier_code, wish)
    await _cancel(session, payment, receipt, reason=wish.reason, actor=actor)
    return await issue_receipt(session, payment, terms, replaces=number)


def receipt_unknown() -> ReceiptUnknown:
    """The refusal for a receipt number that names nothing."""
    return ReceiptUnknown(
        "Không có biên lai với số này; hãy kiểm tra lại số.", "No receipt has this number; check it and try again."
    )


async def _correct_payer(session: AsyncSession, dossier_code: str, wish: ReplaceReceipt) -> None:
    if wish.payer_name is None and wish.payer_address is None:
        return
    payer = await session.get(Payer, dossier_code, with_for_update=True)
    if payer is None:
        payer = Payer(dossier_code=dossier_code, name="", updated_at=now())
    payer.name = wish.payer_name if wish.payer_name is not None else payer.name
    payer.address = wish.payer_address if wish.payer_address is not None else payer.address
    payer.updated_at = now()
    session.add(payer)
    await session.flush()


async def put_receipt_form(session: AsyncSession, agency: str, form: PutReceiptForm, *, actor: str) -> ReceiptForm:
    """Say how an agency's receipts look from a date on. The same again changes nothing.

    Raises EventDiffers when that date has another form already: forms are never changed, a later date gets another.
    """
    known = await session.get(ReceiptForm, (agency, form.valid_from))
    values = form.model_dump()
    if known is not None:
        if any(getattr(known, name) != value for name, value in values.items()):
            raise EventDiffers(
                "Cơ quan này đã có mẫu biên lai khác từ ngày đó; hãy chọn ngày khác.",
                "This agency has another form from that date; choose another date.",
            )
        return known
    row = ReceiptForm(agency=agency, entered_by=actor, entered_at=now(), **values)
    session.add(row)
    return row


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
