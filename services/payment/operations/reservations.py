"""Where a card's money may be reserved, when it has been taken, and that no reservation is forgotten."""

import logging

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.errors import BadInput, FieldError
from services.payment import rules
from services.payment.contract import CreateAttempt
from services.payment.gateway import GatewayRefused, Intent
from services.payment.models import Attempt, Payment
from services.payment.operations.posting import standing_of
from services.payment.till import Till

log = logging.getLogger(__name__)


def check_reservable(till: Till, wish: CreateAttempt) -> None:
    """Raise BadInput for money to be captured later where nothing can reserve it."""
    if wish.method != "card":
        raise BadInput(
            "Chỉ thẻ ngân hàng giữ tiền trước, thu sau được; hãy bỏ capture=later hoặc chọn nộp bằng thẻ.",
            "Only a bank card can reserve money now and be captured later; leave out capture=later, or pay by card.",
            fields=[FieldError("capture", "chỉ dùng được với thẻ", "is for cards only")],
        )
    if not till.gateway.can_reserve(payment_method=wish.payment_method):
        raise BadInput(
            "Cổng thanh toán đang dùng thu tiền ngay, không giữ tiền trước được; hãy bỏ capture=later.",
            "The gateway in use takes money at once and reserves none; leave out capture=later.",
            fields=[FieldError("capture", "cổng này không giữ tiền", "this gateway reserves no money")],
        )


async def only_captured(session: AsyncSession, payment: Payment) -> bool:
    """Whether a bill was paid in full with reserved money and no budget's part is left to release."""
    if payment.ended is not None or standing_of(payment).remaining_dong:
        return False
    if payment.budget_dong and not payment.budget_released:
        return False
    query = select(Attempt.id).where(
        col(Attempt.payment_id) == payment.id, col(Attempt.capture) == "later", col(Attempt.received_dong) > 0
    )
    return (await session.exec(query)).first() is not None


async def release_forgotten(till: Till, attempt_id: str, intent: Intent) -> None:
    """Give the cardholder's money free when it was reserved for an attempt that had already ended.

    A refused card leaves its intent open at the gateway, so somebody may still reserve money there. Raises
    GatewayUnreachable when the gateway does not answer: whoever heard of the reservation has to come back.
    """
    if intent.status != "requires_capture":
        return
    async with till.sessions() as session:
        attempt = await session.get(Attempt, attempt_id)
    if attempt is None or attempt.status in rules.LIVE:
        return
    try:
        await till.gateway.cancel_intent(intent.id, key=f"{attempt_id}:payment_intents.cancel")
    except GatewayRefused as refusal:
        log.warning("a reservation was not released", extra={"attempt": attempt_id, "code": refusal.code})
