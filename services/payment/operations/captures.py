"""Taking money that a card has reserved: what is to be taken is written down first, then the gateway is called.

There is one capture an attempt. Whoever dies after writing leaves a wish that the next question carries out, with the
same key at the gateway, so that money is taken once. Against a cancellation that comes at the same time the gateway
decides: it takes the money or releases it, and both callers are told which.
"""

from datetime import timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now, transaction
from kit.errors import BadInput, FieldError
from services.payment import rules
from services.payment.contract import CaptureAttempt
from services.payment.models import Attempt, Payment
from services.payment.operations.attempts import drive_attempt
from services.payment.operations.posting import locked_payment, record, standing_of
from services.payment.problems import (
    AttemptUnknown,
    AuthorisationEnded,
    CaptureDiffers,
    CaptureRefused,
    NothingAuthorised,
    NothingToCollect,
)
from services.payment.till import Till

_PICKED_UP_SECONDS = 30
"""A capture that nobody finishes is carried out by the sweeper after this long."""


async def capture_attempt(till: Till, payment_id: str, attempt_id: str, wish: CaptureAttempt, *, actor: str) -> Attempt:
    """Take what an authorised attempt has reserved. Repeating it with the same amount gives the same attempt.

    Without the gateway's answer the attempt is `unknown` and asked about. Raises AttemptUnknown; BadInput for more than
    is reserved or due; NothingAuthorised, NothingToCollect, AuthorisationEnded, CaptureDiffers or CaptureRefused.
    """
    async with transaction(till.sessions) as session:
        payment = await locked_payment(session, payment_id)
        attempt = await session.get(Attempt, attempt_id, populate_existing=True)
        if attempt is None or attempt.payment_id != payment_id:
            raise AttemptUnknown(
                "Khoản thu không có lần thanh toán với mã này; hãy kiểm tra lại mã.",
                "The bill has no attempt with this id; check the id and try again.",
            )
        to_do = await _written(session, payment, attempt, wish.amount_dong, actor=actor)
    if to_do:
        await drive_attempt(till, attempt_id)
    async with till.sessions() as session:
        found = await session.get(Attempt, attempt_id)
    assert found is not None
    if found.status in ("failed", "expired", "cancelled"):
        raise _ended(found)
    if found.status == "authorised" and found.capture_dong is None:
        raise CaptureRefused(
            f"Cổng thanh toán từ chối thu khoản đang giữ ({found.last_error}); chưa có tiền nào bị trừ. "
            "Hãy thử số tiền khác hoặc hủy giữ.",
            f"The gateway refused to capture ({found.last_error}); no money was taken. "
            "Try another amount, or release the reservation.",
            extra={"attempt_id": found.id, "attempt_status": found.status},
        )
    return found


async def _written(
    session: AsyncSession, payment: Payment, attempt: Attempt, amount_dong: int | None, *, actor: str
) -> bool:
    """Write down what is to be captured of a locked payment's attempt; False when it is in hand already."""
    taken = attempt.status in ("succeeded", "succeeded_mismatch")
    asked = attempt.capture_dong if attempt.capture_dong is not None or not taken else attempt.received_dong
    extra = {"attempt_id": attempt.id, "attempt_status": attempt.status}
    if attempt.capture == "later" and asked is not None and (taken or attempt.status in rules.LIVE):
        if amount_dong not in (None, asked):
            raise CaptureDiffers(
                f"Khoản giữ này đã thu hoặc đang thu {asked} đồng và chỉ thu được một lần; phần thiếu hãy thu bằng lần "
                "thanh toán mới.",
                f"{asked} đồng of this authorisation are or will be captured, and there is one capture; collect what "
                "is missing by a new attempt.",
                extra=extra | {"capture_dong": asked},
            )
        return not taken
    if attempt.status in ("failed", "expired", "cancelled"):
        raise _ended(attempt)
    if attempt.status != "authorised":
        raise NothingAuthorised(
            "Lần thanh toán này chưa giữ được tiền trên thẻ, hoặc thu tiền ngay nên không cần thu riêng; hãy xem lại "
            "tình trạng.",
            "This attempt has no money reserved, or takes it at once and needs no capture; look at its status.",
            extra=extra,
        )
    standing = standing_of(payment)
    most = rules.capturable_dong(standing, attempt.authorised_dong)
    if most <= 0:
        raise NothingToCollect(
            "Khoản thu đã nộp đủ hoặc đã kết thúc; không thu thêm, tiền giữ trên thẻ sẽ được trả lại.",
            "The bill is paid or has ended; nothing more is taken, and the reserved money is released.",
            extra={"payment_status": payment.status},
        )
    amount = most if amount_dong is None else amount_dong
    if amount > most:
        raise BadInput(
            f"Chỉ thu được nhiều nhất {most} đồng: không quá số tiền đang giữ và số còn phải nộp.",
            f"At most {most} đồng can be captured: no more than is reserved and still due.",
            fields=[FieldError("amount_dong", f"nhiều nhất {most}", f"at most {most}")],
        )
    attempt.capture_dong = amount
    attempt.next_check_at = now() + timedelta(seconds=_PICKED_UP_SECONDS)
    session.add(attempt)
    await record(session, payment, "capture_requested", amount, occurred_at=now(), actor=actor, attempt_id=attempt.id)
    return True


def _ended(attempt: Attempt) -> AuthorisationEnded:
    why = {
        "cancelled": (
            "Việc giữ tiền đã bị hủy và tiền đã trả lại cho chủ thẻ",
            "The authorisation was released and the money is the cardholder's again",
        ),
        "expired": (
            "Việc giữ tiền đã hết hạn và ngân hàng phát hành đã trả lại tiền",
            "The authorisation has lapsed and the card's bank has released the money",
        ),
        "failed": (
            "Thẻ đã bị từ chối nên không có tiền nào được giữ",
            "The card was declined, so nothing was reserved",
        ),
    }[attempt.status]
    return AuthorisationEnded(
        f"{why[0]}; không thu được nữa. Hãy tạo lần thanh toán mới nếu vẫn cần thu.",
        f"{why[1]}; it cannot be captured. Start a new attempt if the money is still due.",
        extra={"attempt_id": attempt.id, "attempt_status": attempt.status},
    )
