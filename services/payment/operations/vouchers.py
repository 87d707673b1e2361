"""Refund vouchers: orders to the State Treasury for money it already holds, and what the treasury says of them.

Circular 01/2023/TT-VPCP, Article 30: for money booked to the agency's treasury account an authorised officer makes the
refund voucher against the payment's transaction code and sends it to the treasury.
"""

from datetime import date

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from kit.errors import BadInput, FieldError, WrongMoment
from services.payment import ledger, rules
from services.payment.contract import MoveVoucher, SettleRefund, VoucherStatus
from services.payment.models import (
    Attempt,
    Intake,
    Payer,
    Payment,
    Receipt,
    Refund,
    RefundLeg,
    Voucher,
    VoucherEvent,
    VoucherYear,
)
from services.payment.operations.posting import post, record
from services.payment.operations.refund_state import legs_of, locked_refund, move_refund, occasion_of, settle_refund
from services.payment.problems import EventDiffers, VoucherUnknown
from services.payment.till import local_date


async def prepare_voucher(
    session: AsyncSession, payment: Payment, refund: Refund, leg: RefundLeg, *, actor: str
) -> Voucher:
    """Number the voucher of a leg and keep what its paper says; the one that is alive when there is one.

    Numbers count from 1 each year without gaps: the year's row stays locked until the transaction ends.
    """
    alive = select(Voucher).where(col(Voucher.leg_id) == leg.id, col(Voucher.status) != "refused")
    found = (await session.exec(alive)).first()
    if found is not None:
        return found
    moment = now()
    year = local_date(moment).year
    await (await session.connection()).execute(insert(VoucherYear).values(year=year).on_conflict_do_nothing())
    counter = await session.get(VoucherYear, year, with_for_update=True, populate_existing=True)
    assert counter is not None
    counter.last_serial += 1
    session.add(counter)
    voucher = Voucher(
        number=f"HT{year}-{counter.last_serial:06d}",
        year=year,
        serial=counter.last_serial,
        refund_id=refund.id,
        leg_id=leg.id,
        status="prepared",
        amount_dong=leg.amount_dong,
        content=await _content(session, payment, refund, leg),
        prepared_by=actor,
        prepared_at=moment,
    )
    session.add(voucher)
    await _fact(session, payment, voucher, "voucher_prepared", actor=actor)
    return voucher


async def _content(session: AsyncSession, payment: Payment, refund: Refund, leg: RefundLeg) -> dict[str, object]:
    """What the paper says, as of now: later changes of name do not touch it."""
    payer = await session.get(Payer, payment.dossier_code)
    intake = await session.get(Intake, leg.intake_id)
    assert intake is not None
    attempt = await session.get(Attempt, intake.attempt_id) if intake.attempt_id else None
    receipt = select(Receipt).where(col(Receipt.payment_id) == payment.id).order_by(col(Receipt.issued_at).desc())
    last_receipt = (await session.exec(receipt.limit(1))).first()
    return {
        "dossier_code": payment.dossier_code,
        "procedure": payment.procedure,
        "payer_name": payer.name if payer else "",
        "payer_address": payer.address if payer else "",
        "payer_account": intake.payer_account or "",
        "payer_bin": intake.payer_bin or "",
        "payer_account_name": intake.payer_name or "",
        "transaction_code": intake.source_reference,
        "payment_reference": attempt.reference if attempt else "",
        "method": intake.method,
        "paid_on": local_date(intake.received_at).isoformat(),
        "paid_dong": intake.amount_dong,
        "receipt_number": last_receipt.number if last_receipt else "",
        "reason": refund.reason,
        "note": refund.note,
        "requested_by": refund.requested_by,
        "decided_by": refund.decided_by or "",
    }


async def prepare_again(session: AsyncSession, refund_id: str, *, actor: str) -> list[Voucher]:
    """Prepare a voucher for every leg whose last one the treasury refused. Raises WrongMoment when there is none."""
    payment, refund = await locked_refund(session, refund_id)
    legs = [each for each in await legs_of(session, refund_id) if _waits(each)]
    alive = set((await session.exec(select(Voucher.leg_id).where(col(Voucher.status) != "refused"))).all())
    wanting = [leg for leg in legs if leg.id not in alive]
    if not wanting:
        raise WrongMoment(
            "Khoản hoàn này không có phần nào cần lập chứng từ mới; hãy tải lại để xem tình trạng.",
            "No part of this refund needs another voucher; reload to see how it stands.",
            extra={"refund_status": refund.status},
        )
    return [await prepare_voucher(session, payment, refund, leg, actor=actor) for leg in wanting]


def _waits(leg: RefundLeg) -> bool:
    return leg.route == "treasury_voucher" and leg.status == "waiting"


async def move_voucher(session: AsyncSession, number: str, move: MoveVoucher, *, actor: str) -> Voucher:
    """Record what happened to a voucher. The same event twice is one; `paid` books the money and ends the leg.

    Raises VoucherUnknown, BadInput when what the paper must carry is missing, EventDiffers, WrongMoment.
    """
    found = await session.get(Voucher, number)
    if found is None:
        raise VoucherUnknown(
            "Không có chứng từ hoàn trả với số này; hãy kiểm tra lại số.",
            "No refund voucher has this number; check the number and try again.",
        )
    payment, refund = await locked_refund(session, found.refund_id)
    voucher = await session.get(Voucher, number, populate_existing=True)
    assert voucher is not None
    known = await session.get(VoucherEvent, move.event_id)
    if known is not None:
        if (known.number, known.to_status, known.reference) != (number, move.to, move.reference):
            raise EventDiffers(
                "Sự kiện này đã ghi nhận với nội dung khác; hãy dùng mã sự kiện mới.",
                "This event was recorded with other content; use a new event id.",
            )
        return voucher
    _check_move(voucher, move)
    session.add(
        VoucherEvent(
            event_id=move.event_id,
            number=number,
            to_status=move.to,
            reference=move.reference,
            reason=move.reason,
            actor=actor,
            recorded_at=now(),
        )
    )
    await change_voucher(session, payment, refund, voucher, move, actor=actor)
    return voucher


def _check_move(voucher: Voucher, move: MoveVoucher) -> None:
    if (voucher.status, move.to) not in rules.VOUCHER_EDGES:
        raise WrongMoment(
            "Chứng từ không còn ở bước cho phép ghi nhận việc này; hãy tải lại để xem tình trạng.",
            "The voucher is not at a step that allows this; reload to see how it stands.",
            extra={"voucher_status": voucher.status},
        )
    if move.to in ("accepted", "paid") and not move.reference.strip():
        raise BadInput(
            "Cần số chứng từ của Kho bạc.",
            "The treasury's document number is needed.",
            fields=[FieldError("reference", "bắt buộc", "is needed")],
        )
    if move.to == "refused" and len(move.reason.strip()) < 3:
        raise BadInput(
            "Cần lý do Kho bạc từ chối.",
            "The treasury's reason for refusing is needed.",
            fields=[FieldError("reason", "bắt buộc", "is needed")],
        )
    if move.on is not None and move.on > local_date(now()):
        raise BadInput(
            "Ngày trên chứng từ chưa tới.",
            "The date on the paper has not come yet.",
            fields=[FieldError("on", "không được ở tương lai", "must not be in the future")],
        )


async def change_voucher(
    session: AsyncSession, payment: Payment, refund: Refund, voucher: Voucher, move: MoveVoucher, *, actor: str
) -> None:
    """Move a voucher along an edge that was checked, with its fact; paying it books the money."""
    to: VoucherStatus = move.to
    moment = now()
    voucher.status = to
    if to == "sent":
        voucher.sent_at = moment
    else:
        voucher.answered_at = moment
        voucher.treasury_reference = move.reference or voucher.treasury_reference
    if to == "refused":
        voucher.refusal = move.reason
        refund.last_error = move.reason[:300]
        session.add(refund)
    if to == "paid":
        voucher.paid_on = move.on or local_date(moment)
    session.add(voucher)
    await _fact(session, payment, voucher, f"voucher_{to}", actor=actor)
    if refund.status == "approved":
        await move_refund(session, payment, refund, "processing", actor=actor)
    if voucher.paid_on is not None:
        await _pay_leg(session, payment, refund, voucher, voucher.paid_on)
        await settle_refund(session, payment, refund)


async def _pay_leg(session: AsyncSession, payment: Payment, refund: Refund, voucher: Voucher, on: date) -> None:
    leg = await session.get(RefundLeg, voucher.leg_id, populate_existing=True)
    assert leg is not None
    leg.status, leg.paid_on, leg.last_error = "succeeded", on, ""
    leg.bank_order_reference = await _free_reference(session, voucher)
    session.add(leg)
    journal = ledger.refund_paid(
        occasion_of(payment, refund, f":{leg.id}"),
        account=ledger.BANK_CLEARING,
        subject=voucher.treasury_reference,
        amount_dong=leg.amount_dong,
    )
    await post(session, journal)


async def _free_reference(session: AsyncSession, voucher: Voucher) -> str:
    """The treasury's number; with ours when one of its papers pays several vouchers."""
    query = select(RefundLeg.id).where(col(RefundLeg.bank_order_reference) == voucher.treasury_reference)
    taken = (await session.exec(query)).first()
    return f"{voucher.treasury_reference}/{voucher.number}" if taken else voucher.treasury_reference


async def _fact(session: AsyncSession, payment: Payment, voucher: Voucher, kind: str, *, actor: str) -> None:
    detail = " ".join(part for part in (voucher.number, voucher.treasury_reference, voucher.refusal) if part)
    await record(
        session,
        payment,
        kind,
        voucher.amount_dong,
        occurred_at=now(),
        actor=actor,
        detail=detail,
        refund_id=voucher.refund_id,
    )


async def settle_vouchers(session: AsyncSession, refund_id: str, settled: SettleRefund, *, actor: str) -> Refund:
    """The treasury or counter has paid out all that waits of a refund. The same event twice is one payment.

    Raises WrongMoment when no voucher waits, EventDiffers when the event settled it with another reference.
    """
    payment, refund = await locked_refund(session, refund_id)
    legs = await legs_of(session, refund_id)
    done = [leg for leg in legs if leg.settle_event_id == settled.event_id]
    if done:
        if any(not (leg.bank_order_reference or "").startswith(settled.reference) for leg in done):
            raise EventDiffers(
                "Sự kiện này đã ghi nhận với số chứng từ khác.", "This event was recorded with another reference."
            )
        return refund
    waiting = [leg for leg in legs if _waits(leg)]
    if refund.status not in ("approved", "processing", "succeeded") or not waiting:
        raise WrongMoment(
            "Yêu cầu hoàn này không chờ chi qua kho bạc hay quầy; hãy tải lại để xem tình trạng.",
            "No voucher of this refund waits to be paid out; reload to see how it stands.",
            extra={"refund_status": refund.status},
        )
    for leg in waiting:
        leg.settle_event_id = settled.event_id
        session.add(leg)
        voucher = await prepare_voucher(session, payment, refund, leg, actor=actor)
        move = MoveVoucher(event_id=f"{settled.event_id}:{leg.id}"[:120], to="paid", reference=settled.reference)
        await change_voucher(session, payment, refund, voucher, move, actor=actor)
    return refund
