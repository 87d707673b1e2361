"""Disputes: a cardholder's bank takes money back. The books hold it, finance answers, the decision is booked once."""

import logging
from datetime import UTC, datetime, timedelta

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now, transaction
from kit.errors import WrongMoment
from services.payment import ledger, rules
from services.payment.contract import AnswerDispute, DisputeStatus
from services.payment.gateway.protocol import Dispute as GatewayDispute
from services.payment.gateway.protocol import GatewayError, GatewayRefused
from services.payment.ledger import DisputeParts, Occasion
from services.payment.models import Dispute, Intake, Payment
from services.payment.operations.posting import announce, locked_payment, post, record
from services.payment.problems import DisputeUnknown
from services.payment.till import Till, local_date

log = logging.getLogger(__name__)

_ASK_AGAIN = timedelta(days=1)
_TRY_AGAIN = timedelta(minutes=2)


def dispute_unknown() -> DisputeUnknown:
    """The refusal for a dispute id that names nothing."""
    return DisputeUnknown(
        "Không có tra soát nào với mã này; hãy kiểm tra lại mã.", "No dispute has this id; check the id and try again."
    )


async def fold_dispute(session: AsyncSession, seen: GatewayDispute) -> str:
    """Write down what the gateway says of a dispute; repeating or reordering what it says changes nothing.

    News older than what is known is passed over: a decided dispute stays decided.
    """
    to = rules.GATEWAY_DISPUTES.get(seen.status)
    intake = await _disputed_intake(session, seen)
    if to is None or intake is None:
        log.error("a dispute is not understood", extra={"dispute": seen.id, "status": seen.status})
        return "no money of ours" if intake is None else f"status {seen.status} is not known"
    payment = await locked_payment(session, intake.payment_id)
    row = await session.get(Dispute, seen.id, populate_existing=True)
    if row is None:
        row = await _open(session, payment, intake, seen, inquiry=to in ("inquiry", "closed"))
    for step in rules.dispute_steps(row.status, to):  # type: ignore[arg-type]
        await _step(session, payment, row, step)
    row.evidence_due_at = _instant(seen.evidence_due)
    if row.answered_at is not None and row.sent_at is None and seen.evidence_count:
        row.sent_at = now()
    session.add(row)
    return f"folded {seen.status}"


def _instant(seconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None


async def _disputed_intake(session: AsyncSession, seen: GatewayDispute) -> Intake | None:
    query = select(Intake).where(col(Intake.source) == "gateway", col(Intake.source_reference) == seen.intent_id)
    return (await session.exec(query)).first()


async def _open(
    session: AsyncSession, payment: Payment, intake: Intake, seen: GatewayDispute, *, inquiry: bool
) -> Dispute:
    opened_at = datetime.fromtimestamp(seen.created, UTC)
    row = Dispute(
        id=seen.id,
        payment_id=payment.id,
        intake_id=intake.id,
        status="inquiry",
        reason=seen.reason,
        amount_dong=seen.amount_dong,
        holds_money=False,
        next_check_at=now() + _ASK_AGAIN,
        opened_at=opened_at,
    )
    session.add(row)
    await session.flush()
    if inquiry:
        await _fact(session, payment, row, "inquiry_opened", 0)
        await announce(session, "payment.inquiry_opened", payment, row.amount_dong, occurred_at=opened_at)
    else:
        await _take(session, payment, intake, row)
    return row


async def _take(session: AsyncSession, payment: Payment, intake: Intake, row: Dispute) -> None:
    """The gateway has taken the money: the books hold it, from the bill first, then from what is in suspense."""
    taken = select(
        func.coalesce(func.sum(col(Dispute.bill_dong)), 0), func.coalesce(func.sum(col(Dispute.excess_dong)), 0)
    ).where(col(Dispute.intake_id) == intake.id, col(Dispute.status) != "won")
    bill_taken, excess_taken = (await session.exec(taken)).one()
    bill = min(
        row.amount_dong,
        intake.applied_dong - intake.applied_returned_dong - int(bill_taken),
        payment.paid_dong - payment.refunded_dong - payment.disputed_dong - payment.lost_dong,
    )
    excess = min(
        row.amount_dong - bill,
        intake.excess_dong - intake.excess_returned_dong - int(excess_taken),
        payment.excess_dong - payment.excess_held_dong,
    )
    row.bill_dong, row.excess_dong = bill, excess
    row.beyond_dong = row.amount_dong - bill - excess
    row.holds_money, row.status = True, "needs_response"
    session.add(row)
    occasion = _occasion(payment, row)
    await post(session, ledger.dispute_opened(occasion, dispute_id=row.id, amount_dong=row.amount_dong))
    await _facts(session, payment, row, "dispute_opened")
    await announce(session, "payment.disputed", payment, row.amount_dong, occurred_at=row.opened_at)


async def _step(session: AsyncSession, payment: Payment, row: Dispute, to: DisputeStatus) -> None:
    kind = rules.dispute_fact(row.status, to)  # type: ignore[arg-type]
    if to == "needs_response":
        intake = await session.get(Intake, row.intake_id)
        assert intake is not None
        await _take(session, payment, intake, row)
        return
    row.status = to
    if to in ("won", "lost", "closed"):
        row.closed_at = now()
    session.add(row)
    occasion = _occasion(payment, row)
    if to == "won":
        await post(session, ledger.dispute_won(occasion, dispute_id=row.id, amount_dong=row.amount_dong))
    elif to == "lost":
        parts = DisputeParts(row.bill_dong, row.excess_dong, row.beyond_dong)
        await post(session, ledger.dispute_lost(occasion, dispute_id=row.id, intake_id=row.intake_id, parts=parts))
    if to in ("won", "lost"):
        await _facts(session, payment, row, kind)
        await announce(session, f"payment.{kind}", payment, row.amount_dong, occurred_at=now())
    else:
        await _fact(session, payment, row, kind, row.bill_dong)


def _occasion(payment: Payment, row: Dispute) -> Occasion:
    at = now()
    return Occasion(key=row.id, occurred_at=at, value_date=local_date(at), payment_id=payment.id)


async def _facts(session: AsyncSession, payment: Payment, row: Dispute, kind: str) -> None:
    """The facts of a move of money: of the bill's part, also when it is 0 so that it is seen, and of the excess."""
    await _fact(session, payment, row, kind, row.bill_dong)
    if row.excess_dong:
        await _fact(session, payment, row, f"excess_{kind}", row.excess_dong)


async def _fact(session: AsyncSession, payment: Payment, row: Dispute, kind: str, amount_dong: int) -> None:
    await record(
        session,
        payment,
        kind,
        amount_dong,
        occurred_at=now(),
        actor=row.answered_by if kind == "dispute_answered" and row.answered_by else "gateway",
        detail=f"{row.id} {row.reason}",
    )


# --- finance answers -------------------------------------------------------------------------------


async def answer_dispute(till: Till, dispute_id: str, answer: AnswerDispute, *, actor: str) -> None:
    """Keep our side of a dispute and send it to the cardholder's bank, once; the sweeper sends it again until taken.

    Raises DisputeUnknown, or WrongMoment when nothing can be answered any more or another answer was given.
    """
    async with transaction(till.sessions) as session:
        row = await session.get(Dispute, dispute_id, with_for_update=True)
        if row is None:
            raise dispute_unknown()
        if row.answered_at is not None and row.evidence == answer.text:
            return
        late = row.evidence_due_at is not None and row.evidence_due_at <= now()
        if row.answered_at is not None or row.status not in ("inquiry", "needs_response") or late:
            raise WrongMoment(
                "Tra soát này đã có giải trình, đã hết hạn hoặc đã có kết luận; hãy tải lại để xem tình trạng.",
                "This dispute is answered, past its date, or decided; reload to see how it stands.",
                extra={"dispute_status": row.status},
            )
        row.evidence, row.answered_by, row.answered_at = answer.text, actor, now()
        row.next_check_at = now()
        session.add(row)
    await check_dispute(till, dispute_id)


async def check_dispute(till: Till, dispute_id: str) -> None:
    """Send an answer that is still here, or ask how an open dispute stands. Safe to repeat and to interrupt."""
    async with till.sessions() as session:
        row = await session.get(Dispute, dispute_id)
    if row is None or row.closed_at is not None:
        return
    try:
        if row.answered_at is not None and row.sent_at is None:
            evidence = {"uncategorized_text": row.evidence}
            seen = await till.gateway.submit_evidence(row.id, evidence, key=f"{row.id}:disputes.evidence")
        else:
            seen = await till.gateway.retrieve_dispute(row.id)
    except GatewayRefused as refusal:
        # Answered too late, or decided meanwhile: how it stands says which.
        await _note(till, dispute_id, refusal.code)
        await _read_again(till, dispute_id)
        return
    except GatewayError as error:
        await _note(till, dispute_id, str(error))
        return
    await _fold(till, seen)


async def _fold(till: Till, seen: GatewayDispute) -> None:
    async with transaction(till.sessions) as session:
        await fold_dispute(session, seen)
        row = await session.get(Dispute, seen.id)
        assert row is not None
        row.next_check_at = now() + _ASK_AGAIN
        session.add(row)


async def _read_again(till: Till, dispute_id: str) -> None:
    try:
        seen = await till.gateway.retrieve_dispute(dispute_id)
    except GatewayError as error:
        log.warning("a dispute could not be read", extra={"dispute": dispute_id, "reason": str(error)})
        return
    await _fold(till, seen)


async def _note(till: Till, dispute_id: str, reason: str) -> None:
    async with transaction(till.sessions) as session:
        row = await session.get(Dispute, dispute_id, with_for_update=True)
        assert row is not None
        row.last_error, row.next_check_at = reason[:300], now() + _TRY_AGAIN
        session.add(row)


async def pull_disputes(till: Till, *, days: int = 45) -> int:
    """Fold every dispute the gateway has opened lately, for those whose webhook never came; how many there were."""
    since = int((now() - timedelta(days=days)).timestamp())
    found = await till.gateway.disputes(created_from=since)
    for seen in found:
        async with transaction(till.sessions) as session:
            await fold_dispute(session, seen)
    return len(found)
