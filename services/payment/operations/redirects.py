"""What a redirect gateway tells us: matched with the order it speaks of, kept, and asked about before money moves."""

from dataclasses import dataclass

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from services.payment import rules
from services.payment.gateway.redirect import INTENT_PREFIX
from services.payment.gateway.redirect_wire import Callback
from services.payment.models import Attempt, Intake
from services.payment.operations import inbox


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gateway's server is told, in the code and words of its wire."""

    code: str
    message: str


NOT_GENUINE = Answer("97", "Invalid signature")
UNKNOWN_ORDER = Answer("01", "Order not found")
OTHER_AMOUNT = Answer("04", "Invalid amount")
KNOWN_ALREADY = Answer("02", "Order already confirmed")
TAKEN = Answer("00", "Confirm success")


async def take_notice(session: AsyncSession, callback: Callback, *, terminal: str) -> Answer:
    """Keep a genuine notice for the inbox, which asks the gateway how the order really stands.

    A notice with another amount than ours is kept as well: what the gateway took will be booked as it says when asked.
    """
    attempt = await attempt_of(session, callback, terminal=terminal)
    if attempt is None or attempt.gateway_intent_id is None:
        return UNKNOWN_ORDER
    if await _is_known(session, attempt, callback):
        return KNOWN_ALREADY
    await keep(session, attempt, callback, kind="redirect.notice")
    return TAKEN if callback.amount_hundredths == attempt.amount_dong * 100 else OTHER_AMOUNT


async def attempt_of(session: AsyncSession, callback: Callback, *, terminal: str) -> Attempt | None:
    """The attempt whose order a callback speaks of; None for another terminal's order or one that is not ours."""
    if callback.terminal != terminal or not 0 < len(callback.reference) <= 100:
        return None
    query = select(Attempt).where(
        col(Attempt.reference) == callback.reference,
        col(Attempt.gateway_intent_id).startswith(INTENT_PREFIX, autoescape=True),
    )
    return (await session.exec(query)).first()


async def keep(session: AsyncSession, attempt: Attempt, callback: Callback, *, kind: str) -> bool:
    """Have the order asked about; whether this callback is new. The same one again is the same row."""
    return await inbox.store(
        session,
        source="gateway",
        event_id=f"{kind}:{callback.digest[:64]}",
        kind=kind,
        body={
            "data": {"object": {"object": "payment_intent", "id": attempt.gateway_intent_id}},
            "said": {
                "reference": callback.reference,
                "amount_hundredths": callback.amount_hundredths,
                "response_code": callback.response_code,
                "transaction_status": callback.transaction_status,
                "transaction_no": callback.transaction_no,
            },
        },
    )


async def _is_known(session: AsyncSession, attempt: Attempt, callback: Callback) -> bool:
    """Whether what a callback says has been written down already."""
    if not callback.paid:
        return attempt.status not in rules.LIVE
    query = select(Intake.id).where(
        col(Intake.source) == "gateway", col(Intake.source_reference) == attempt.gateway_intent_id
    )
    return (await session.exec(query)).first() is not None
