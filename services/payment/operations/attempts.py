"""Tries at collecting a bill. Cards follow intent, commit, call, result; whatever happens between, the truth is asked.

A card attempt first makes an unconfirmed intent, which takes no money and may be repeated for ever, and confirms it
in a second call whose outcome can always be read from the intent. So no lost answer can lead to a second charge.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now, transaction
from kit.ids import new_id, new_reference
from services.payment import rules, vietqr
from services.payment.contract import AttemptStatus, CancelPayment, CreateAttempt
from services.payment.gateway import GatewayError, GatewayRefused, GatewayUnreachable, Intent
from services.payment.models import Attempt, Intake, Payment
from services.payment.operations.money import Arrival, move_attempt, receive
from services.payment.operations.payments import cancel_now, live_attempt
from services.payment.operations.posting import SYSTEM, announce, locked_payment, record, standing_of
from services.payment.operations.reservations import check_reservable, only_captured, release_forgotten
from services.payment.problems import AttemptLive, CashExpected, GatewayAway, MoneyCaptured, NothingToCollect
from services.payment.till import Terms, Till

log = logging.getLogger(__name__)

CITIZEN = "citizen"
"""Actor of what somebody does who followed the link of a bill."""

_CANCELLABLE = frozenset({"requires_payment_method", "requires_confirmation", "requires_action", "processing"})
_CREATE_KEY_SECONDS = 23 * 3_600
"""The gateway forgets keys after a day; past this an intent that was never seen is not asked for again."""


async def start_attempt(till: Till, payment_id: str, wish: CreateAttempt, *, actor: str) -> Attempt:
    """Start one try at collecting the rest of a bill, and for a card make it at the gateway.

    Raises NothingToCollect, or AttemptLive while another attempt is live (unless `replace` gives it up first).
    A gateway without an answer leaves the attempt `unknown`, which blocks further attempts until it is known.
    Raises BadInput for money to be captured later where nothing can reserve it.
    """
    if wish.capture == "later":
        check_reservable(till, wish)
    if wish.replace:
        await _give_up_live(till, payment_id, actor=actor)
    try:
        async with transaction(till.sessions) as session:
            attempt = await _write_attempt(session, payment_id, wish, till.terms, actor=actor)
    except IntegrityError as error:
        if "uq_attempt_one_live" not in str(error.orig):
            raise
        raise _attempt_live(None) from error
    if attempt.method == "card":
        await drive_attempt(till, attempt.id)
    async with till.sessions() as session:
        found = await session.get(Attempt, attempt.id)
    assert found is not None
    return found


async def _write_attempt(
    session: AsyncSession, payment_id: str, wish: CreateAttempt, terms: Terms, *, actor: str
) -> Attempt:
    payment = await locked_payment(session, payment_id)
    live = await live_attempt(session, payment_id)
    if live is not None:
        raise _attempt_live(live)
    remaining = standing_of(payment).remaining_dong
    if remaining <= 0 or payment.expires_at <= now():
        raise NothingToCollect(
            "Khoản thu đã nộp đủ, đã kết thúc hoặc đã quá hạn; không nhận nộp thêm.",
            "The bill is paid, has ended, or is past its time; nothing more is collected for it.",
            extra={"payment_status": payment.status},
        )
    moment = now()
    lives = wish.expires_in_seconds or {
        "card": terms.card_attempt_seconds,
        "vietqr": terms.vietqr_attempt_seconds,
    }.get(wish.method, terms.cash_attempt_seconds)
    reference = new_reference(vietqr.REFERENCE_PREFIX)
    expires_at = min(moment + timedelta(seconds=lives), payment.expires_at)
    attempt = Attempt(
        id=new_id("att"),
        payment_id=payment_id,
        method=wish.method,
        status="created",
        amount_dong=remaining,
        reference=reference,
        qr_payload=_qr_payload(terms, remaining, reference) if wish.method == "vietqr" else None,
        payment_method=wish.payment_method if wish.method == "card" else None,
        capture=wish.capture,
        next_check_at=_first_check(wish.method, moment, expires_at),
        expires_at=expires_at,
        created_at=moment,
    )
    session.add(attempt)
    await session.flush()
    await record(
        session,
        payment,
        "attempt_started",
        remaining,
        occurred_at=moment,
        actor=actor,
        detail=f"{wish.method} {reference}",
        attempt_id=attempt.id,
    )
    if wish.method != "card":
        await move_attempt(session, payment, attempt, "pending", occurred_at=moment, actor=actor)
    await announce(session, "payment.attempt_started", payment, remaining, occurred_at=moment)
    return attempt


def _first_check(method: str, moment: datetime, expires_at: datetime) -> datetime:
    """A card attempt that nobody finishes is picked up again soon: its process may have died before the first call."""
    if method != "card":
        return expires_at
    return min(moment + timedelta(seconds=30), expires_at)


def _qr_payload(terms: Terms, amount_dong: int, reference: str) -> str:
    return vietqr.write(
        vietqr.VietQr(
            bin=terms.bank_bin, account=terms.bank_account, amount_dong=amount_dong, content=reference, dynamic=True
        )
    )


def _attempt_live(live: Attempt | None) -> AttemptLive:
    unknown = live is not None and live.status == "unknown"
    if unknown:
        vi = "Chưa rõ lần thanh toán trước đã thu tiền hay chưa; hãy chờ hệ thống hỏi lại cổng thanh toán."
        en = "It is not known whether the last attempt took money; wait until the gateway has been asked again."
    elif live is not None and live.status == "authorised":
        vi = "Tiền đang được giữ trên thẻ, chưa thu; hãy thu, hoặc gửi replace=true để hủy giữ và nộp cách khác."
        en = "A card's money is reserved, not captured; capture it, or send replace=true to release it and start anew."
    else:
        vi = (
            "Lần thanh toán trước chưa kết thúc; hãy hoàn tất, chờ hết hạn, hoặc gửi replace=true để thay bằng lần mới."
        )
        en = "The last attempt is still under way; finish it, let it expire, or send replace=true to start another."
    extra = {"attempt_id": live.id, "attempt_status": live.status} if live else {}
    return AttemptLive(vi, en, extra=extra)


async def _give_up_live(till: Till, payment_id: str, *, actor: str) -> None:
    """End the live attempt so that another can start; an unknown one stays and blocks.

    Raises CashExpected when a citizen would turn a courier away who will ask for the same money.
    """
    async with transaction(till.sessions) as session:
        payment = await locked_payment(session, payment_id)
        live = await live_attempt(session, payment_id)
        if live is not None and actor == CITIZEN and live.status == "authorised":
            raise AttemptLive(
                "Tiền đang được giữ trên thẻ cho khoản này; cơ quan sẽ thu hoặc trả lại, không cần nộp cách khác.",
                "Money is reserved on a card for this bill; the agency takes or releases it. Do not pay another way.",
                extra={"attempt_id": live.id, "attempt_status": live.status},
            )
        if (
            live is not None
            and actor == CITIZEN
            and live.method
            not in rules.online_methods(
                standing_of(payment),
                live.method,  # type: ignore[arg-type]
            )
        ):
            raise CashExpected(
                "Khoản này đã hẹn nộp tiền mặt hoặc đang chờ xác nhận; muốn đổi cách nộp, hãy hỏi nơi nộp hồ sơ.",
                "Cash is expected for this bill, or an answer is waited for; ask the place of filing to change it.",
            )
        if live is None or live.status == "unknown":
            return
        if live.method != "card":
            await move_attempt(session, payment, live, "cancelled", occurred_at=now(), actor=actor, detail="replaced")
            return
    await drive_attempt(till, live.id, ending=True)


# --- cards -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Unsure(Exception):
    """A call that may have taken money gave no answer."""

    reason: str


async def drive_attempt(till: Till, attempt_id: str, *, ending: bool = False) -> bool:
    """Bring a live card attempt as far as the gateway lets it: make its intent, confirm it, or read how it stands.

    With `ending` an intent that has not taken the money is cancelled there, and the attempt ends here. Safe to repeat
    and to interrupt anywhere. Whether the gateway answered.
    """
    async with till.sessions() as session:
        attempt = await session.get(Attempt, attempt_id)
        payment = await session.get(Payment, attempt.payment_id) if attempt else None
    if attempt is None or payment is None or attempt.method != "card" or attempt.status not in rules.LIVE:
        return True
    ending = ending or standing_of(payment).remaining_dong == 0
    try:
        intent = await _intent_now(till, attempt, payment, ending=ending)
    except _Unsure as unsure:
        await _leave_unknown(till, attempt_id, unsure.reason)
        return False
    except GatewayUnreachable as error:
        await _ask_later(till, attempt_id, str(error))
        return False
    except GatewayRefused as refusal:
        log.warning("the gateway refused an attempt", extra={"attempt": attempt_id, "code": refusal.code})
        await _refused(till, attempt_id, refusal)
        return True
    async with transaction(till.sessions) as session:
        await fold_intent(session, attempt_id, intent, till.terms, ending=ending)
    return True


async def _intent_now(till: Till, attempt: Attempt, payment: Payment, *, ending: bool) -> Intent:
    """The intent of an attempt after everything that may be done for it has been done."""
    gateway = till.gateway
    if attempt.gateway_intent_id is None:
        if (now() - attempt.created_at).total_seconds() > _CREATE_KEY_SECONDS:
            raise GatewayUnreachable("the intent was never seen and its key is too old to repeat")
        intent = await _create_intent(till, attempt, payment)
        async with transaction(till.sessions) as session:
            row = await session.get(Attempt, attempt.id, with_for_update=True)
            assert row is not None
            row.gateway_intent_id = intent.id
            session.add(row)
    else:
        intent = await gateway.retrieve_intent(attempt.gateway_intent_id)
    if intent.status == "requires_confirmation" and not ending:
        intent = await _confirmed(till, attempt, payment, intent)
    if intent.status == "requires_capture" and not ending:
        intent = await _as_captured(till, attempt, intent)
    if ending and intent.status in _CANCELLABLE | {"requires_capture"}:
        try:
            intent = await gateway.cancel_intent(intent.id, key=f"{attempt.id}:payment_intents.cancel")
        except GatewayRefused:
            # It moved on between the question and the cancellation: ask once more.
            intent = await gateway.retrieve_intent(intent.id)
    return intent


async def _create_intent(till: Till, attempt: Attempt, payment: Payment) -> Intent:
    try:
        return await till.gateway.create_intent(
            attempt.amount_dong,
            metadata={
                "dossier_code": payment.dossier_code,
                "payment_id": payment.id,
                "attempt_id": attempt.id,
                "reference": attempt.reference,
            },
            key=f"{attempt.id}:payment_intents.create",
            payment_method=attempt.payment_method,
            expires_at=attempt.expires_at,
            capture_later=attempt.capture == "later",
        )
    except GatewayUnreachable as error:
        raise _Unsure(str(error)) from error


async def _confirmed(till: Till, attempt: Attempt, payment: Payment, intent: Intent) -> Intent:
    try:
        return await till.gateway.confirm_intent(
            intent.id,
            key=f"{attempt.id}:payment_intents.confirm",
            return_url=till.terms.pay_page_url(payment.id),
        )
    except GatewayUnreachable as error:
        raise _Unsure(str(error)) from error
    except GatewayRefused as refusal:
        if refusal.intent is not None:
            return refusal.intent
        return await till.gateway.retrieve_intent(intent.id)


async def _as_captured(till: Till, attempt: Attempt, intent: Intent) -> Intent:
    """The intent after what is to be taken of it has been taken; unchanged while it is to stay reserved.

    A refused capture is forgotten, so that another amount may be asked for.
    """
    if attempt.capture == "later" and attempt.capture_dong is None:
        return intent
    key = f"{attempt.id}:payment_intents.capture"
    if attempt.capture_dong is not None:
        key = f"{key}:{attempt.capture_dong}"
    try:
        return await till.gateway.capture_intent(intent.id, key=key, amount_dong=attempt.capture_dong)
    except GatewayUnreachable as error:
        raise _Unsure(str(error)) from error
    except GatewayRefused as refusal:
        intent = await till.gateway.retrieve_intent(intent.id)
        if intent.status == "requires_capture" and attempt.capture_dong is not None:
            await _forget_capture(till, attempt, refusal)
        return intent


async def _forget_capture(till: Till, attempt: Attempt, refusal: GatewayRefused) -> None:
    async with transaction(till.sessions) as session:
        payment = await locked_payment(session, attempt.payment_id)
        row = await session.get(Attempt, attempt.id, populate_existing=True)
        if row is None or row.status not in rules.LIVE or row.capture_dong != attempt.capture_dong:
            return
        asked, row.capture_dong = row.capture_dong, None
        row.last_error = refusal.code[:300]
        session.add(row)
        await record(
            session,
            payment,
            "capture_refused",
            asked or 0,
            occurred_at=now(),
            actor="gateway",
            detail=refusal.code,
            attempt_id=row.id,
        )


async def fold_intent(
    session: AsyncSession, attempt_id: str, intent: Intent, terms: Terms, *, ending: bool = False
) -> None:
    """Write down what the gateway says of an attempt. Repeating or reordering what it says changes nothing.

    Money taken is always booked, also for an attempt given up or an amount we did not ask for.
    """
    found = await session.get(Attempt, attempt_id)
    if found is None:
        log.error("an intent names no attempt of ours", extra={"intent": intent.id})
        return
    payment = await locked_payment(session, found.payment_id)
    attempt = await session.get(Attempt, attempt_id, populate_existing=True)
    assert attempt is not None
    if attempt.gateway_intent_id is None:
        attempt.gateway_intent_id = intent.id
    if attempt.pay_url is None:
        hosted = f"{terms.gateway_pay_page}/pay/{intent.id}?" + urlencode(
            {"return_url": terms.pay_page_url(payment.id)}
        )
        attempt.pay_url = intent.action_url or (hosted if attempt.payment_method is None else None)
    session.add(attempt)
    if intent.status == "succeeded":
        await _captured(session, payment, attempt, intent, terms)
        return
    if attempt.status not in rules.LIVE:
        return
    to = _status_for(attempt, intent, ending=ending)
    if to == "authorised" and not attempt.authorised_dong:
        attempt.authorised_dong = intent.capturable_dong
        attempt.expires_at = min(now() + timedelta(seconds=terms.authorisation_seconds), payment.expires_at)
        attempt.check_count = 0
    _schedule(attempt, answered=to != "unknown")
    if attempt.authorised_dong and to in rules.BEFORE_AUTHORISED:
        return
    if to != attempt.status:
        await move_attempt(
            session, payment, attempt, to, occurred_at=now(), actor="gateway", detail=intent.error or intent.status
        )


def _status_for(attempt: Attempt, intent: Intent, *, ending: bool) -> AttemptStatus:
    """What an intent that has not taken money makes of an attempt."""
    to = rules.GATEWAY_STATUSES.get(intent.status, "unknown")
    if intent.status == "requires_payment_method" and attempt.payment_method is not None and intent.error:
        return "failed"  # the named card was tried and refused; a hosted page lets the citizen try another
    if to == "authorised" and attempt.capture == "now":
        return "pending"  # the capture follows by itself
    if to == "authorised" and intent.capturable_dong <= 0:
        return "unknown"
    if to == "cancelled" and (intent.lapsed or (ending and attempt.expires_at <= now())):
        return "expired"
    return to


async def _captured(session: AsyncSession, payment: Payment, attempt: Attempt, intent: Intent, terms: Terms) -> None:
    if intent.currency != "vnd" or intent.received_dong <= 0:
        log.error("the gateway reports money we cannot book", extra={"intent": intent.id, "currency": intent.currency})
        if attempt.status in rules.LIVE - {"unknown"}:
            await move_attempt(session, payment, attempt, "unknown", occurred_at=now(), actor="gateway")
        return
    arrival = Arrival(
        source="gateway",
        reference=intent.id,
        subject=intent.charge_id or intent.id,
        method="card",
        amount_dong=intent.received_dong,
        received_at=now(),
        actor="gateway",
    )
    await receive(session, payment, attempt, arrival, terms)


def _schedule(attempt: Attempt, *, answered: bool) -> None:
    """When to ask next: on the schedule, and at the latest when the attempt expires."""
    moment = now()
    pause = timedelta(seconds=rules.requery_after(attempt.check_count))
    attempt.check_count += 1
    due = moment + pause
    if answered and attempt.expires_at > moment:
        due = min(due, attempt.expires_at)
    attempt.next_check_at = due


async def _leave_unknown(till: Till, attempt_id: str, reason: str) -> None:
    """A call that may have taken money gave no answer: the attempt is unknown and will be asked about."""
    async with transaction(till.sessions) as session:
        found = await session.get(Attempt, attempt_id)
        assert found is not None
        payment = await locked_payment(session, found.payment_id)
        attempt = await session.get(Attempt, attempt_id, populate_existing=True)
        if attempt is None or attempt.status not in rules.LIVE:
            return
        _schedule(attempt, answered=False)
        if attempt.status != "unknown":
            await move_attempt(session, payment, attempt, "unknown", occurred_at=now(), actor=SYSTEM, detail=reason)
        session.add(attempt)


async def _ask_later(till: Till, attempt_id: str, reason: str) -> None:
    """A mere question had no answer: nothing is known that was not known before."""
    async with transaction(till.sessions) as session:
        attempt = await session.get(Attempt, attempt_id, with_for_update=True)
        if attempt is None or attempt.status not in rules.LIVE:
            return
        _schedule(attempt, answered=False)
        attempt.last_error = reason[:300]
        session.add(attempt)


async def _refused(till: Till, attempt_id: str, refusal: GatewayRefused) -> None:
    """The gateway will not make this intent: the attempt failed without taking money.

    A refusal about an intent that exists says nothing about its money: that attempt becomes unknown.
    """
    async with transaction(till.sessions) as session:
        found = await session.get(Attempt, attempt_id)
        assert found is not None
        payment = await locked_payment(session, found.payment_id)
        attempt = await session.get(Attempt, attempt_id, populate_existing=True)
        if attempt is None or attempt.status not in rules.LIVE:
            return
        to: AttemptStatus = "unknown" if attempt.gateway_intent_id else "failed"
        _schedule(attempt, answered=False)
        if attempt.status != to:
            await move_attempt(session, payment, attempt, to, occurred_at=now(), actor="gateway", detail=refusal.code)


# --- ends ------------------------------------------------------------------------------------------


async def expire_attempt(till: Till, attempt_id: str) -> None:
    """End an attempt past its time. A card is asked about at the gateway first; money found there is booked."""
    async with till.sessions() as session:
        attempt = await session.get(Attempt, attempt_id)
    if attempt is None or attempt.status not in rules.LIVE or attempt.expires_at > now():
        return
    if attempt.capture_dong is not None:
        await drive_attempt(till, attempt_id)  # asked for in time: whether it is still taken is the gateway's word
        return
    if attempt.capture == "later" and not attempt.authorised_dong and attempt.gateway_intent_id:
        await _look_again(till, attempt)
        async with till.sessions() as session:
            attempt = await session.get(Attempt, attempt_id)
        if attempt is None or attempt.expires_at > now():
            return  # reserved in time, and the news was lost
    if attempt.method == "card":
        await drive_attempt(till, attempt_id, ending=True)
        return
    async with transaction(till.sessions) as session:
        payment = await locked_payment(session, attempt.payment_id)
        row = await session.get(Attempt, attempt_id, populate_existing=True)
        if row is not None and row.status in rules.LIVE:
            await move_attempt(session, payment, row, "expired", occurred_at=row.expires_at, actor=SYSTEM)


async def check_attempt(till: Till, attempt_id: str) -> None:
    """What the sweeper does with a due attempt: end it when its time is over or its bill needs nothing, else ask."""
    async with till.sessions() as session:
        attempt = await session.get(Attempt, attempt_id)
        payment = await session.get(Payment, attempt.payment_id) if attempt else None
    if attempt is None or payment is None or attempt.status not in rules.LIVE:
        return
    if attempt.expires_at <= now():
        await expire_attempt(till, attempt_id)
    elif attempt.method == "card":
        await drive_attempt(till, attempt_id)
    elif standing_of(payment).remaining_dong == 0:
        await _give_up_live(till, attempt.payment_id, actor=SYSTEM)


async def refresh_payment(till: Till, payment_id: str) -> None:
    """Ask the gateway about the attempts of a bill that may have brought money nobody told us of."""
    async with till.sessions() as session:
        payment = await session.get(Payment, payment_id)
        query = (
            select(Attempt)
            .where(col(Attempt.payment_id) == payment_id, col(Attempt.method) == "card")
            .order_by(col(Attempt.created_at))
        )
        attempts = (await session.exec(query)).all()
        booked = set(
            (
                await session.exec(
                    select(Intake.source_reference).where(
                        col(Intake.payment_id) == payment_id, col(Intake.source) == "gateway"
                    )
                )
            ).all()
        )
    if payment is None:
        return
    for attempt in attempts:
        if attempt.status in rules.LIVE:
            await check_attempt(till, attempt.id)
        elif attempt.gateway_intent_id and attempt.gateway_intent_id not in booked:
            await _look_again(till, attempt)


async def _look_again(till: Till, attempt: Attempt) -> None:
    """Read the intent of an attempt given up long ago: a citizen may have paid it since."""
    assert attempt.gateway_intent_id is not None
    try:
        intent = await till.gateway.retrieve_intent(attempt.gateway_intent_id)
    except GatewayError as error:
        log.warning("an old intent could not be read", extra={"attempt": attempt.id, "reason": str(error)})
        return
    async with transaction(till.sessions) as session:
        await fold_intent(session, attempt.id, intent, till.terms)
    try:
        await release_forgotten(till, attempt.id, intent)
    except GatewayError as error:
        log.warning("a reservation could not be released", extra={"attempt": attempt.id, "reason": str(error)})


async def cancel_payment(till: Till, payment_id: str, cancel: CancelPayment, *, actor: str) -> Payment:
    """End a bill: a live card intent is cancelled at the gateway first, and money found there is booked.

    Money that a card has reserved is released. Raises GatewayAway while the gateway does not say whether it took money:
    the bill then stays as it is. Raises MoneyCaptured when the reserved money has been captured and nothing of the bill
    is left to end: what was taken goes back by a refund.
    """
    async with till.sessions() as session:
        await locked_payment(session, payment_id)
        live = await live_attempt(session, payment_id)
    if live is not None and live.method == "card":
        await drive_attempt(till, live.id, ending=True)
    async with transaction(till.sessions) as session:
        payment = await locked_payment(session, payment_id)
        live = await live_attempt(session, payment_id)
        if await only_captured(session, payment):
            raise MoneyCaptured(
                "Tiền giữ trên thẻ đã được thu đủ nên không hủy được nữa; hãy lập đề nghị hoàn trả.",
                "The reserved money has been captured in full and cannot be released any more; ask for a refund.",
                extra={"payment_status": payment.status},
            )
        if live is not None and live.method == "card":
            raise GatewayAway(
                "Cổng thanh toán chưa xác nhận khoản thu này đã được trả hay chưa; hãy thử hủy lại sau ít phút.",
                "The gateway has not said whether this bill was paid; try to cancel again in a few minutes.",
                headers={"Retry-After": "5"},
            )
        return await cancel_now(session, payment_id, cancel, actor=actor)
