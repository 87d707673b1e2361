"""Money arrives: what the bill still needs is applied, the rest is held in suspense, and nobody is told it failed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from kit.ids import new_id
from services.payment import ledger, rules
from services.payment.contract import AttemptStatus, Method
from services.payment.ledger import Occasion
from services.payment.models import Attempt, Intake, Payment, PaymentLine
from services.payment.operations.posting import announce, post, record, standing_of
from services.payment.operations.receipts import issue_receipt
from services.payment.till import Terms, local_date

_ACCOUNTS = {
    "gateway": ledger.GATEWAY_CLEARING,
    "bank": ledger.BANK_CLEARING,
    "cash": ledger.COURIER_CASH,
}


_ATTEMPT_NEWS = {
    "authorised": "payment.attempt_authorised",
    "failed": "payment.attempt_failed",
    "expired": "payment.attempt_expired",
}


@dataclass(frozen=True, slots=True)
class Arrival:
    """One arrival of money. `source` and `reference` are unique for ever; `subject` names it in the clearing."""

    source: Literal["gateway", "bank", "cash"]
    reference: str
    subject: str
    method: Method
    amount_dong: int
    received_at: datetime
    actor: str
    payer_bin: str | None = None
    payer_account: str | None = None
    payer_name: str | None = None
    collector: str | None = None
    held_as: str | None = None
    """Subject under which suspense has held this money until now; None when it is new to the books."""


async def receive(
    session: AsyncSession, payment: Payment, attempt: Attempt | None, arrival: Arrival, terms: Terms
) -> Intake | None:
    """Book money that came in for a locked payment; None when this arrival is already booked.

    The attempt that asked for it succeeds, even when it had been given up before.
    """
    known = select(Intake).where(
        col(Intake.source) == arrival.source, col(Intake.source_reference) == arrival.reference
    )
    if (await session.exec(known)).first() is not None:
        return None
    if attempt is not None:
        await _settle_attempt(session, payment, attempt, arrival)
    standing = standing_of(payment)
    applied = min(arrival.amount_dong, standing.remaining_dong)
    came_before = payment.paid_dong + payment.excess_dong > 0
    policy = rules.policy_for(standing, arrival.amount_dong, came_before=came_before)
    intake = Intake(
        id=new_id("int"),
        payment_id=payment.id,
        attempt_id=attempt.id if attempt else None,
        method=arrival.method,
        source=arrival.source,
        source_reference=arrival.reference,
        amount_dong=arrival.amount_dong,
        applied_dong=applied,
        excess_dong=arrival.amount_dong - applied,
        payer_bin=arrival.payer_bin or None,
        payer_account=arrival.payer_account or None,
        payer_name=arrival.payer_name or None,
        collector=arrival.collector,
        policy="assigned" if arrival.held_as is not None else policy,
        received_at=arrival.received_at,
        recorded_at=now(),
    )
    session.add(intake)
    await session.flush()
    await post(session, _journal(payment, intake, arrival))
    await _tell(session, payment, intake, arrival, terms)
    return intake


def _journal(payment: Payment, intake: Intake, arrival: Arrival) -> ledger.Journal | None:
    occasion = Occasion(
        key=intake.id,
        occurred_at=arrival.received_at,
        value_date=local_date(arrival.received_at),
        payment_id=payment.id,
    )
    if arrival.held_as is not None:
        return ledger.suspense_assigned(
            occasion,
            held_as=arrival.held_as,
            intake_id=intake.id,
            applied_dong=intake.applied_dong,
            excess_dong=intake.excess_dong,
        )
    return ledger.money_received(
        occasion,
        account=_ACCOUNTS[arrival.source],
        subject=arrival.subject,
        applied_dong=intake.applied_dong,
        excess_dong=intake.excess_dong,
        intake_id=intake.id,
    )


async def _tell(session: AsyncSession, payment: Payment, intake: Intake, arrival: Arrival, terms: Terms) -> None:
    """Write the facts of an arrival and announce what they mean."""
    at = arrival.received_at

    async def fact(kind: str, amount_dong: int, why: str = "") -> None:
        await record(
            session,
            payment,
            kind,
            amount_dong,
            occurred_at=at,
            actor=arrival.actor,
            detail=f"{arrival.source}:{arrival.reference}{why}",
            attempt_id=intake.attempt_id,
        )

    if intake.applied_dong:
        await fact("money_applied", intake.applied_dong)
        if payment.paid_dong == payment.due_dong:
            await issue_receipt(session, payment, terms)
            await announce(session, "payment.paid", payment, payment.paid_dong, occurred_at=at)
        else:
            await announce(session, "payment.partially_paid", payment, intake.applied_dong, occurred_at=at)
    if intake.excess_dong:
        await fact("money_held", intake.excess_dong, f" {intake.policy}")
        await announce(session, "payment.excess_received", payment, intake.excess_dong, occurred_at=at)


async def _settle_attempt(session: AsyncSession, payment: Payment, attempt: Attempt, arrival: Arrival) -> None:
    attempt.received_dong += arrival.amount_dong
    session.add(attempt)
    if attempt.status in ("succeeded", "succeeded_mismatch"):
        return
    expected = attempt.amount_dong if attempt.capture_dong is None else attempt.capture_dong
    exact = attempt.received_dong == expected
    await move_attempt(
        session,
        payment,
        attempt,
        "succeeded" if exact else "succeeded_mismatch",
        occurred_at=arrival.received_at,
        actor=arrival.actor,
    )


async def move_attempt(
    session: AsyncSession,
    payment: Payment,
    attempt: Attempt,
    to: AttemptStatus,
    *,
    occurred_at: datetime,
    actor: str,
    detail: str = "",
) -> None:
    """Change an attempt along an edge of the table, with its fact; announce a reservation or an end without money."""
    kind = rules.attempt_fact(attempt.status, to)  # type: ignore[arg-type]
    attempt.status = to
    if to not in rules.LIVE:
        attempt.ended_at = now()
    if detail:
        attempt.last_error = detail[:300]
    session.add(attempt)
    amount = attempt.received_dong if to.startswith("succeeded") else attempt.amount_dong
    if to == "authorised":
        amount = attempt.authorised_dong
    await record(
        session,
        payment,
        kind,
        amount,
        occurred_at=occurred_at,
        actor=actor,
        detail=detail or attempt.reference,
        attempt_id=attempt.id,
    )
    news = _ATTEMPT_NEWS.get(to)
    if news is not None:
        await announce(session, news, payment, amount, occurred_at=occurred_at)


async def line_balances(session: AsyncSession, payment_id: str) -> list[rules.LineBalance]:
    """The lines of a payment as refunds and reversals see them, in bill order."""
    rows = (await lines_of(session, payment_id)).values()
    return [
        rules.LineBalance(line.position, line.item, line.citizen_dong, line.reversed_dong, line.given_back_dong)
        for line in rows
    ]


async def lines_of(session: AsyncSession, payment_id: str) -> dict[int, PaymentLine]:
    """The lines of a payment by position, in bill order."""
    query = select(PaymentLine).where(col(PaymentLine.payment_id) == payment_id).order_by(col(PaymentLine.position))
    return {line.position: line for line in (await session.exec(query)).all()}
