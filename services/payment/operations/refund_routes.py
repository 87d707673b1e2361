"""An approved refund goes back the way the money came, once, whatever dies between; or by an order to the treasury.

A leg's id is the key at the gateway and the bank, so the sweeper may repeat any call of an approved refund until it has
an answer.
"""

import logging
from datetime import date

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now, transaction
from services.payment import ledger, rules
from services.payment.bank import BankRefused, BankUnreachable, Beneficiary
from services.payment.gateway import GatewayRefund, GatewayRefused, GatewayUnreachable
from services.payment.models import Intake, Payment, Refund, RefundLeg
from services.payment.operations.posting import SYSTEM, post
from services.payment.operations.refund_state import legs_of, locked_refund, occasion_of, settle_refund, undo_refund
from services.payment.operations.vouchers import prepare_voucher
from services.payment.till import Till, local_date

log = logging.getLogger(__name__)


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
        payment, locked = await locked_refund(session, refund.id)
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
    occasion = occasion_of(payment, refund, f":{leg.id}")
    await post(session, ledger.refund_paid(occasion, account=account, subject=subject, amount_dong=leg.amount_dong))


async def fold_gateway_refund(session: AsyncSession, answer: GatewayRefund) -> str:
    """Write down what the gateway says of a refund of ours; repeating or reordering it changes nothing."""
    leg = await _leg_named(session, answer)
    if leg is None:
        return "no refund of ours"
    payment, refund = await locked_refund(session, leg.refund_id)
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
        await settle_refund(session, payment, refund)
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
    occasion = occasion_of(payment, refund, f":{leg.id}:returned")
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
        await undo_refund(session, payment, refund, answer.error or "returned")
        return
    await _fail_leg(session, refund.id, leg.id, answer.error or "returned")


async def _fail_leg(session: AsyncSession, refund_id: str, leg_id: str, reason: str) -> None:
    """A leg that cannot go its way fails the whole refund; beside legs that can, it becomes a treasury voucher."""
    payment, refund = await locked_refund(session, refund_id)
    leg = await session.get(RefundLeg, leg_id, populate_existing=True)
    assert leg is not None
    leg.last_error = reason[:300]
    refund.last_error = reason[:300]
    session.add(leg)
    if len(await legs_of(session, refund_id)) > 1:
        leg.route, leg.status = "treasury_voucher", "waiting"
        refund.route = "treasury_voucher"
        await prepare_voucher(session, payment, refund, leg, actor=SYSTEM)
        return
    leg.status = "failed"
    await undo_refund(session, payment, refund, reason)


async def _note(till: Till, leg_id: str, reason: str) -> None:
    async with transaction(till.sessions) as session:
        leg = await session.get(RefundLeg, leg_id, with_for_update=True)
        if leg is not None:
            leg.last_error = reason[:300]
            session.add(leg)


async def _conclude(till: Till, refund_id: str) -> None:
    async with transaction(till.sessions) as session:
        payment, refund = await locked_refund(session, refund_id)
        await settle_refund(session, payment, refund)
