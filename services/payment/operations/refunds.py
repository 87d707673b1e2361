"""Refunds: one person asks, a second decides, and never more goes back than came in.

An approved refund is split into legs, one for each arrival of money it comes from.
"""

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from kit.errors import WrongMoment
from kit.ids import new_id
from services.payment import ledger, rules
from services.payment.contract import DecideRefund, RefundStatus, RequestRefund
from services.payment.models import (
    EntryRow,
    Intake,
    JournalRow,
    Payment,
    Payout,
    PayoutItem,
    Refund,
    RefundLeg,
    RefundPart,
)
from services.payment.operations.money import line_balances, lines_of
from services.payment.operations.posting import announce, locked_payment, post, standing_of
from services.payment.operations.refund_state import (
    give_back,
    intakes_of,
    locked_refund,
    move_refund,
    occasion_of,
    release,
    sides_of,
    split_of,
    write_fact,
)
from services.payment.operations.vouchers import prepare_voucher
from services.payment.problems import (
    ProposalChanged,
    RefundableChanged,
    RefundKeyUsed,
    RefundTooLarge,
    SamePerson,
)
from services.payment.till import Terms

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
    await write_fact(session, payment, refund, kind, actor=actor, detail=wish.reason)
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


async def decide_refund(
    session: AsyncSession, refund_id: str, decision: DecideRefund, terms: Terms, *, actor: str
) -> Refund:
    """Approve or reject. Raises SamePerson (403) for the requester, ProposalChanged (412) for another proposal, and
    MoneyDisputed (409) when a cardholder's bank has the money that would go back.

    Deciding again the same way by the same person gives the first answer.
    """
    payment, refund = await locked_refund(session, refund_id)
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
    legs: list[RefundLeg] = []
    if to == "rejected":
        await release(session, refund)
    else:
        await post(session, ledger.refund_approved(occasion_of(payment, refund), await sides_of(session, refund)))
        legs = await _make_legs(session, refund, terms)
    # Who decided and what was decided reach the database in one statement: its CHECK ties them together.
    refund.decided_by, refund.decided_at, refund.note = actor, now(), decision.note
    await move_refund(session, payment, refund, to, actor=actor, detail=decision.note)
    for leg in legs:
        if leg.route == "treasury_voucher":
            await prepare_voucher(session, payment, refund, leg, actor=actor)
    return refund


async def _make_legs(session: AsyncSession, refund: Refund, terms: Terms) -> list[RefundLeg]:
    legs: list[RefundLeg] = []
    intakes = await intakes_of(session, refund.payment_id)
    for intake_id, amount in await split_of(session, refund):
        intake = intakes[intake_id]
        give_back(intake, refund, amount)
        session.add(intake)
        leg = RefundLeg(
            id=new_id("leg"),
            refund_id=refund.id,
            intake_id=intake_id,
            amount_dong=amount,
            route=await _route_of(session, refund, intake, terms),
            status="waiting",
        )
        session.add(leg)
        legs.append(leg)
        refund.route = leg.route if refund.route in ("undecided", leg.route) else "treasury_voucher"
    refund.next_check_at = now()
    session.add(refund)
    return legs


async def _route_of(session: AsyncSession, refund: Refund, intake: Intake, terms: Terms) -> str:
    """The way back for money that came in some way.

    A voucher where nobody's account is known, and for a card's money that the gateway has settled: it is state revenue
    then (Circular 01/2023/TT-VPCP, Article 30). Excess never became revenue and goes back to the card.
    """
    if intake.source == "gateway":
        revenue = refund.source == "bill" and terms.refund_after_settlement == "treasury_voucher"
        return "treasury_voucher" if revenue and await _is_settled(session, intake) else "gateway"
    if intake.source == "bank" and intake.payer_account and intake.payer_bin:
        return "bank_transfer"
    return "treasury_voucher"


async def _is_settled(session: AsyncSession, intake: Intake) -> bool:
    """Whether a payout of the gateway has carried this money to our bank account."""
    query = (
        select(PayoutItem.id)
        .join(Payout, col(Payout.id) == col(PayoutItem.payout_id))
        .join(EntryRow, col(EntryRow.subject) == col(PayoutItem.source))
        .join(JournalRow, col(JournalRow.id) == col(EntryRow.journal_id))
        .where(
            col(JournalRow.posting_key) == f"money_received:{intake.id}",
            col(EntryRow.account) == ledger.GATEWAY_CLEARING,
            col(Payout.status).not_in(["failed", "canceled"]),
        )
    )
    return (await session.exec(query.limit(1))).first() is not None
