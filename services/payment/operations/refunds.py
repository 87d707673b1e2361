"""Gives money back: one person asks, a second decides, and it goes back the way it came, once, whatever dies between.

A refund is split into legs, one for each arrival of money it comes from. A leg's id is the key at the gateway and the
bank, so the sweeper may repeat any call of an approved refund until it has an answer.
"""

import logging
from datetime import date, timedelta

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now, transaction
from kit.errors import WrongMoment
from kit.ids import new_id
from services.payment import ledger, rules
from services.payment.bank import BankRefused, BankUnreachable, Beneficiary
from services.payment.contract import DecideRefund, LineKind, RefundStatus, RequestRefund, SettleRefund
from services.payment.gateway import GatewayRefund, GatewayRefused, GatewayUnreachable
from services.payment.ledger import Occasion
from services.payment.models import Intake, Payment, PaymentLine, Refund, RefundLeg, RefundPart
from services.payment.operations.money import line_balances, lines_of
from services.payment.operations.posting import SYSTEM, announce, locked_payment, post, record, standing_of
from services.payment.operations.receipts import cancel_receipt
from services.payment.problems import (
    EventDiffers,
    ProposalChanged,
    RefundableChanged,
    RefundKeyUsed,
    RefundTooLarge,
    RefundUnknown,
    SamePerson,
)
from services.payment.till import Till, local_date

log = logging.getLogger(__name__)


# --- one person asks -------------------------------------------------------------------------------


async def request_refund(
    session: AsyncSession, payment_id: str, wish: RequestRefund, *, actor: str
) -> tuple[Refund, bool]:
    """Ask for money back, and whether that is new: the second request of a key gives the first refund.

    Raises RefundableChanged (412) when the caller expected another sum to be refundable, RefundTooLarge (409) when
    there is not that much, RefundKeyUsed when the key stands for another refund.
    """
    payment = await locked_payment(session, payment_id)
    known = (await session.exec(select(Refund).where(col(Refund.request_key) == wish.request_key))).first()
    if known is not None:
        return _same_refund(known, payment_id, wish), False
    standing = standing_of(payment)
    if wish.source == "bill" and standing.remaining_dong > 0:
        raise WrongMoment(
            "Khoản thu còn đang thu; hãy hủy phần chưa nộp trước khi hoàn phần đã nộp.",
            "The bill is still being collected; cancel what is unpaid before refunding what was paid.",
        )
    balances = await line_balances(session, payment_id)
    refundable = standing.returnable_excess_dong
    if wish.source == "bill":
        refundable = min(standing.refundable_dong, rules.refundable_on(balances, wish.items))
    _check_amount(wish, refundable)
    parts = rules.refund_parts(balances, wish.amount_dong, wish.items) if wish.source == "bill" else {}
    refund = _new_refund(payment, wish, parts, actor=actor)
    session.add(refund)
    await session.flush()
    lines = await lines_of(session, payment_id)
    for position, amount in parts.items():
        session.add(RefundPart(refund_id=refund.id, position=position, amount_dong=amount))
        lines[position].given_back_dong += amount
        session.add(lines[position])
    kind = "refund_requested" if wish.source == "bill" else "excess_refund_requested"
    await _fact(session, payment, refund, kind, actor=actor, detail=wish.reason)
    await announce(
        session,
        "refund.requested",
        payment,
        refund.amount_dong,
        occurred_at=refund.requested_at,
        refund_id=refund.id,
        status=refund.status,
    )
    return refund, True


def _same_refund(known: Refund, payment_id: str, wish: RequestRefund) -> Refund:
    same = (known.payment_id, known.source, known.amount_dong, known.reason, tuple(known.items))
    if same != (payment_id, wish.source, wish.amount_dong, wish.reason, wish.items):
        raise RefundKeyUsed(
            "Khóa yêu cầu này đã dùng cho một yêu cầu hoàn khác; hãy dùng khóa mới.",
            "This request key stands for another refund; use a new key.",
            extra={"refund_id": known.id},
        )
    return known


def _check_amount(wish: RequestRefund, refundable: int) -> None:
    if wish.expected_refundable_dong is not None and wish.expected_refundable_dong != refundable:
        raise RefundableChanged(
            f"Số tiền được hoàn nay là {refundable} đồng; hãy đọc lại khoản thu rồi lập lại yêu cầu.",
            f"{refundable} đồng can be refunded now; read the payment again and make the request anew.",
            extra={"refundable_dong": refundable},
        )
    if wish.amount_dong > refundable:
        raise RefundTooLarge(
            f"Chỉ còn được hoàn {refundable} đồng; hãy giảm số tiền.",
            f"Only {refundable} đồng can still be refunded; ask for less.",
            extra={"refundable_dong": refundable},
        )


def _new_refund(payment: Payment, wish: RequestRefund, parts: dict[int, int], *, actor: str) -> Refund:
    identity, moment = new_id("rfd"), now()
    proposal: dict[str, object] = {
        "refund_id": identity,
        "payment_id": payment.id,
        "source": wish.source,
        "reason": wish.reason,
        "amount_dong": wish.amount_dong,
        "parts": {str(position): amount for position, amount in parts.items()},
        "requested_by": actor,
    }
    return Refund(
        id=identity,
        request_key=wish.request_key,
        payment_id=payment.id,
        source=wish.source,
        reason=wish.reason,
        amount_dong=wish.amount_dong,
        items=list(wish.items),
        status="requested",
        proposal_hash=rules.fingerprint(proposal),
        requested_by=actor,
        requested_at=moment,
        next_check_at=moment,
    )


# --- another decides -------------------------------------------------------------------------------


async def decide_refund(session: AsyncSession, refund_id: str, decision: DecideRefund, *, actor: str) -> Refund:
    """Approve or reject. Raises SamePerson (403) for the requester, ProposalChanged (412) for another proposal.

    Deciding again the same way by the same person gives the first answer.
    """
    payment, refund = await _locked(session, refund_id)
    to: RefundStatus = "approved" if decision.decision == "approve" else "rejected"
    if actor == refund.requested_by:
        raise SamePerson(
            "Người đề nghị hoàn không được tự duyệt; cần một người khác quyết định.",
            "Whoever asked for a refund may not decide it; another person has to.",
        )
    if refund.status != "requested":
        approved_before = refund.status not in ("rejected", "requested")
        if refund.decided_by == actor and approved_before == (to == "approved"):
            return refund
        raise WrongMoment(
            "Yêu cầu hoàn này đã được quyết định; hãy tải lại để xem kết quả.",
            "This refund has been decided already; reload to see how.",
            extra={"refund_status": refund.status},
        )
    if decision.proposal_hash != refund.proposal_hash:
        raise ProposalChanged(
            "Nội dung bạn đọc không phải nội dung đang chờ duyệt; hãy tải lại rồi quyết định.",
            "What you read is not the proposal that waits; reload it and decide again.",
        )
    if to == "rejected":
        await _release(session, refund)
    else:
        await post(session, ledger.refund_approved(_occasion(payment, refund), await _sides(session, refund)))
        await _make_legs(session, refund)
    # Who decided and what was decided reach the database in one statement: its CHECK ties them together.
    refund.decided_by, refund.decided_at, refund.note = actor, now(), decision.note
    await _move(session, payment, refund, to, actor=actor, detail=decision.note)
    return refund


async def _locked(session: AsyncSession, refund_id: str) -> tuple[Payment, Refund]:
    found = await session.get(Refund, refund_id)
    if found is None:
        raise refund_unknown()
    payment = await locked_payment(session, found.payment_id)
    refund = await session.get(Refund, refund_id, populate_existing=True)
    assert refund is not None
    return payment, refund


def refund_unknown() -> RefundUnknown:
    """The refusal for a refund id that names nothing."""
    return RefundUnknown(
        "Không có yêu cầu hoàn với mã này; hãy kiểm tra lại mã.", "No refund has this id; check the id and try again."
    )


def _occasion(payment: Payment, refund: Refund, suffix: str = "") -> Occasion:
    at = now()
    return Occasion(
        key=refund.id + suffix,
        occurred_at=at,
        value_date=local_date(at),
        payment_id=payment.id,
        refund_id=refund.id,
    )


async def _sides(session: AsyncSession, refund: Refund) -> list[tuple[str, int, str]]:
    """Which accounts a refund is taken from: the lines' own, or suspense by arrival."""
    if refund.source == "bill":
        lines = await lines_of(session, refund.payment_id)
        parts = await _parts(session, refund)
        return [(_owed_to(lines[part.position]), part.amount_dong, "") for part in parts]
    legs = await legs_of(session, refund.id)
    if legs:
        return [(ledger.SUSPENSE, leg.amount_dong, leg.intake_id) for leg in legs]
    return [(ledger.SUSPENSE, amount, intake_id) for intake_id, amount in await _split(session, refund)]


def _owed_to(line: PaymentLine) -> str:
    kind: LineKind = line.kind  # type: ignore[assignment]
    return ledger.owed_to(kind, line.beneficiary)


async def _parts(session: AsyncSession, refund: Refund) -> list[RefundPart]:
    query = select(RefundPart).where(col(RefundPart.refund_id) == refund.id).order_by(col(RefundPart.position))
    return list((await session.exec(query)).all())


async def legs_of(session: AsyncSession, refund_id: str) -> list[RefundLeg]:
    """The legs of a refund, in the order they were made."""
    query = select(RefundLeg).where(col(RefundLeg.refund_id) == refund_id).order_by(col(RefundLeg.id))
    return list((await session.exec(query)).all())


async def _intakes(session: AsyncSession, payment_id: str) -> dict[str, Intake]:
    query = select(Intake).where(col(Intake.payment_id) == payment_id).order_by(col(Intake.id))
    return {intake.id: intake for intake in (await session.exec(query)).all()}


async def _split(session: AsyncSession, refund: Refund) -> list[tuple[str, int]]:
    intakes = (await _intakes(session, refund.payment_id)).values()
    if refund.source == "bill":
        sources = [rules.Source(i.id, i.applied_dong - i.applied_returned_dong) for i in intakes]
    else:
        sources = [rules.Source(i.id, i.excess_dong - i.excess_returned_dong) for i in intakes]
    return rules.refund_legs(sources, refund.amount_dong)


async def _make_legs(session: AsyncSession, refund: Refund) -> None:
    intakes = await _intakes(session, refund.payment_id)
    for intake_id, amount in await _split(session, refund):
        intake = intakes[intake_id]
        _return(intake, refund, amount)
        session.add(intake)
        leg = RefundLeg(
            id=new_id("leg"),
            refund_id=refund.id,
            intake_id=intake_id,
            amount_dong=amount,
            route=route_of(intake),
            status="waiting",
        )
        session.add(leg)
        refund.route = leg.route if refund.route in ("undecided", leg.route) else "treasury_voucher"
    refund.next_check_at = now()
    session.add(refund)
    await session.flush()


def route_of(intake: Intake) -> str:
    """The way back for money that came in some way; a voucher where nobody's account is known."""
    if intake.source == "gateway":
        return "gateway"
    if intake.source == "bank" and intake.payer_account and intake.payer_bin:
        return "bank_transfer"
    return "treasury_voucher"


def _return(intake: Intake, refund: Refund, amount: int) -> None:
    if refund.source == "bill":
        intake.applied_returned_dong += amount
    else:
        intake.excess_returned_dong += amount


async def _release(session: AsyncSession, refund: Refund) -> None:
    """Give the lines back what a refund that will not happen had taken from them."""
    lines = await lines_of(session, refund.payment_id)
    for part in await _parts(session, refund):
        lines[part.position].given_back_dong -= part.amount_dong
        session.add(lines[part.position])


async def _move(
    session: AsyncSession, payment: Payment, refund: Refund, to: RefundStatus, *, actor: str, detail: str = ""
) -> None:
    """Change a refund along an edge of the table, with its fact and its news."""
    kind = rules.refund_fact(refund.status, to, source=refund.source)  # type: ignore[arg-type]
    refund.status = to
    if to in ("rejected", "succeeded", "failed"):
        refund.finished_at = now()
    session.add(refund)
    await _fact(session, payment, refund, kind, actor=actor, detail=detail)
    if to == "succeeded" and refund.source == "bill" and payment.refunded_dong == payment.paid_dong:
        await cancel_receipt(session, payment)
    if to != "processing":
        await announce(
            session,
            f"refund.{to}",
            payment,
            refund.amount_dong,
            occurred_at=now(),
            refund_id=refund.id,
            status=to,
        )


async def _fact(session: AsyncSession, payment: Payment, refund: Refund, kind: str, *, actor: str, detail: str) -> None:
    await record(
        session,
        payment,
        kind,
        refund.amount_dong,
        occurred_at=now(),
        actor=actor,
        detail=detail,
        refund_id=refund.id,
    )


# --- and it goes back ------------------------------------------------------------------------------


async def execute_refund(till: Till, refund_id: str) -> None:
    """Take an approved refund as far as the outside lets it. Safe to repeat and to interrupt anywhere."""
    async with till.sessions() as session:
        refund = await session.get(Refund, refund_id)
        legs = await legs_of(session, refund_id)
    if refund is None or refund.status not in ("approved", "processing"):
        return
    for leg in legs:
        if leg.status in ("succeeded", "failed") or leg.route == "treasury_voucher":
            continue
        try:
            if leg.route == "gateway":
                await _send_to_gateway(till, refund, leg)
            else:
                await _send_to_bank(till, refund, leg)
        except (GatewayUnreachable, BankUnreachable) as error:
            log.warning("a refund waits", extra={"refund": refund_id, "reason": str(error)})
            await _note(till, leg.id, str(error))
    await _conclude(till, refund_id)


async def _send_to_gateway(till: Till, refund: Refund, leg: RefundLeg) -> None:
    async with till.sessions() as session:
        intake = await session.get(Intake, leg.intake_id)
        payment = await session.get(Payment, refund.payment_id)
    assert intake is not None
    assert payment is not None
    try:
        if leg.gateway_refund_id is None:
            answer = await till.gateway.create_refund(
                intake.source_reference,
                leg.amount_dong,
                metadata={
                    "dossier_code": payment.dossier_code,
                    "payment_id": payment.id,
                    "refund_id": refund.id,
                    "leg_id": leg.id,
                },
                key=f"{leg.id}:refunds.create",
            )
        else:
            answer = await till.gateway.retrieve_refund(leg.gateway_refund_id)
    except GatewayRefused as refusal:
        async with transaction(till.sessions) as session:
            await _fail_leg(session, refund.id, leg.id, refusal.code)
        return
    async with transaction(till.sessions) as session:
        await fold_gateway_refund(session, answer)


async def _send_to_bank(till: Till, refund: Refund, leg: RefundLeg) -> None:
    async with till.sessions() as session:
        intake = await session.get(Intake, leg.intake_id)
        payment = await session.get(Payment, refund.payment_id)
    assert intake is not None
    assert payment is not None
    beneficiary = Beneficiary(
        bin=intake.payer_bin or "", account=intake.payer_account or "", name=intake.payer_name or "NGUOI NOP"
    )
    content = f"HOAN TRA PHI LE PHI HO SO {payment.dossier_code}"
    try:
        order = await till.bank.order_transfer(leg.amount_dong, beneficiary, content=content, key=leg.id)
    except BankRefused as refusal:
        async with transaction(till.sessions) as session:
            await _fail_leg(session, refund.id, leg.id, refusal.code)
        return
    async with transaction(till.sessions) as session:
        payment, locked = await _locked(session, refund.id)
        row = await session.get(RefundLeg, leg.id, populate_existing=True)
        assert row is not None
        if row.status == "succeeded":
            return
        row.bank_order_reference = order.bank_reference
        await _leg_paid(
            session,
            payment,
            locked,
            row,
            account=ledger.BANK_CLEARING,
            subject=order.bank_reference,
            paid_on=order.value_date,
        )


async def _leg_paid(
    session: AsyncSession,
    payment: Payment,
    refund: Refund,
    leg: RefundLeg,
    *,
    account: str,
    subject: str,
    paid_on: date,
) -> None:
    leg.status, leg.paid_on, leg.last_error = "succeeded", paid_on, ""
    session.add(leg)
    occasion = _occasion(payment, refund, f":{leg.id}")
    await post(session, ledger.refund_paid(occasion, account=account, subject=subject, amount_dong=leg.amount_dong))


async def fold_gateway_refund(session: AsyncSession, answer: GatewayRefund) -> str:
    """Write down what the gateway says of a refund of ours; repeating or reordering it changes nothing."""
    leg = await _leg_named(session, answer)
    if leg is None:
        return "no refund of ours"
    payment, refund = await _locked(session, leg.refund_id)
    row = await session.get(RefundLeg, leg.id, populate_existing=True)
    assert row is not None
    if row.gateway_refund_id is None:
        row.gateway_refund_id = answer.id
        session.add(row)
    to = rules.GATEWAY_REFUNDS.get(answer.status)
    if to == "succeeded" and row.status in ("waiting", "processing"):
        await _leg_paid(
            session,
            payment,
            refund,
            row,
            account=ledger.GATEWAY_CLEARING,
            subject=answer.id,
            paid_on=local_date(now()),
        )
        await _settle(session, payment, refund)
    elif to == "processing" and row.status == "waiting":
        row.status = "processing"
        session.add(row)
    elif to == "failed" and row.status in ("waiting", "processing"):
        await _fail_leg(session, refund.id, row.id, answer.error or answer.status)
    elif to == "failed" and row.status == "succeeded":
        await _leg_came_back(session, payment, refund, row, answer)
    return f"folded {answer.status}"


async def _leg_named(session: AsyncSession, answer: GatewayRefund) -> RefundLeg | None:
    by_id = (await session.exec(select(RefundLeg).where(col(RefundLeg.gateway_refund_id) == answer.id))).first()
    return by_id or await session.get(RefundLeg, answer.metadata.get("leg_id", ""))


async def _leg_came_back(
    session: AsyncSession, payment: Payment, refund: Refund, leg: RefundLeg, answer: GatewayRefund
) -> None:
    """A refund that had been reported as done was taken back by the card network: the money is here again."""
    occasion = _occasion(payment, refund, f":{leg.id}:returned")
    await post(
        session,
        ledger.refund_returned(
            occasion, account=ledger.GATEWAY_CLEARING, subject=answer.id, amount_dong=leg.amount_dong
        ),
    )
    leg.status = "processing"
    session.add(leg)
    if refund.status == "succeeded" and len(await legs_of(session, refund.id)) == 1:
        leg.status, leg.last_error = "failed", answer.error
        await _undo(session, payment, refund, answer.error or "returned")
        return
    await _fail_leg(session, refund.id, leg.id, answer.error or "returned")


async def _fail_leg(session: AsyncSession, refund_id: str, leg_id: str, reason: str) -> None:
    """A leg that cannot go its way fails the whole refund; beside legs that can, it becomes a treasury voucher."""
    payment, refund = await _locked(session, refund_id)
    leg = await session.get(RefundLeg, leg_id, populate_existing=True)
    assert leg is not None
    leg.last_error = reason[:300]
    refund.last_error = reason[:300]
    session.add(leg)
    if len(await legs_of(session, refund_id)) > 1:
        leg.route, leg.status = "treasury_voucher", "waiting"
        refund.route = "treasury_voucher"
        return
    leg.status = "failed"
    await _undo(session, payment, refund, reason)


async def _undo(session: AsyncSession, payment: Payment, refund: Refund, reason: str) -> None:
    """The refund failed: what it had taken from lines, arrivals and books goes back."""
    await post(session, ledger.refund_failed(_occasion(payment, refund, ":failed"), await _sides(session, refund)))
    await _release(session, refund)
    intakes = await _intakes(session, refund.payment_id)
    for leg in await legs_of(session, refund.id):
        _return(intakes[leg.intake_id], refund, -leg.amount_dong)
        session.add(intakes[leg.intake_id])
    await _move(session, payment, refund, "failed", actor=SYSTEM, detail=reason)


async def _note(till: Till, leg_id: str, reason: str) -> None:
    async with transaction(till.sessions) as session:
        leg = await session.get(RefundLeg, leg_id, with_for_update=True)
        if leg is not None:
            leg.last_error = reason[:300]
            session.add(leg)


async def _conclude(till: Till, refund_id: str) -> None:
    async with transaction(till.sessions) as session:
        payment, refund = await _locked(session, refund_id)
        await _settle(session, payment, refund)


async def _settle(session: AsyncSession, payment: Payment, refund: Refund) -> None:
    """What the legs together make of a refund, and when to look again."""
    if refund.status not in ("approved", "processing"):
        return
    await session.flush()
    legs = await legs_of(session, refund.id)
    pause = rules.requery_after(refund.check_count)
    refund.check_count += 1
    refund.next_check_at = now() + timedelta(seconds=pause)
    session.add(refund)
    if all(leg.status == "succeeded" for leg in legs):
        await _move(session, payment, refund, "succeeded", actor=SYSTEM)
    elif refund.status == "approved":
        await _move(session, payment, refund, "processing", actor=SYSTEM)


async def settle_voucher(session: AsyncSession, refund_id: str, settled: SettleRefund, *, actor: str) -> Refund:
    """The treasury or counter has paid out: finish the voucher legs. The same event twice is one payment.

    Raises WrongMoment when no voucher waits, EventDiffers when the event settled it with another reference.
    """
    payment, refund = await _locked(session, refund_id)
    legs = await legs_of(session, refund_id)
    done = [leg for leg in legs if leg.settle_event_id == settled.event_id]
    if done:
        if any(leg.bank_order_reference not in (settled.reference, f"{settled.reference}/{leg.id}") for leg in done):
            raise EventDiffers(
                "Sự kiện này đã ghi nhận với số chứng từ khác.", "This event was recorded with another reference."
            )
        return refund
    waiting = [leg for leg in legs if leg.route == "treasury_voucher" and leg.status == "waiting"]
    if refund.status not in ("approved", "processing", "succeeded") or not waiting:
        raise WrongMoment(
            "Yêu cầu hoàn này không chờ chi qua kho bạc hay quầy; hãy tải lại để xem tình trạng.",
            "No voucher of this refund waits to be paid out; reload to see how it stands.",
            extra={"refund_status": refund.status},
        )
    for index, leg in enumerate(waiting):
        leg.settle_event_id = settled.event_id
        leg.bank_order_reference = settled.reference if index == 0 else f"{settled.reference}/{leg.id}"
        await _leg_paid(
            session,
            payment,
            refund,
            leg,
            account=ledger.BANK_CLEARING,
            subject=settled.reference,
            paid_on=local_date(now()),
        )
    if refund.status == "approved":
        await _move(session, payment, refund, "processing", actor=actor)
    await _settle(session, payment, refund)
    return refund
