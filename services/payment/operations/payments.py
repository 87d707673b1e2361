"""Opens bills, records cash, ends bills, and writes down who pays and what the post has deposited."""

from datetime import UTC, datetime

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from kit.errors import BadInput, FieldError
from kit.ids import new_id
from services.payment import ledger, rules
from services.payment.contract import CancelPayment, CreatePayment, Method, PutPayer, RecordCash, RecordRemittance
from services.payment.ledger import Occasion
from services.payment.models import Attempt, Intake, Payer, Payment, PaymentLine, PaymentShare, Remittance
from services.payment.operations.money import Arrival, line_balances, lines_of, move_attempt, receive
from services.payment.operations.posting import (
    SYSTEM,
    announce,
    locked_payment,
    post,
    record,
    standing_of,
)
from services.payment.operations.receipts import issue_receipt
from services.payment.problems import BillDiffers, EventDiffers
from services.payment.till import Terms, local_date

MAX_BILL_DONG = 10**12


async def open_payment(session: AsyncSession, bill: CreatePayment, terms: Terms, *, actor: str) -> tuple[Payment, bool]:
    """Open a bill, and whether it is new: the second request for a reference gives the first bill.

    A bill of which the citizen owes nothing is paid at once and gets its receipt of 0 đồng.
    Raises BillDiffers when the reference stands for another bill, BadInput when the bill cannot be.
    """
    request = bill.model_dump(mode="json", exclude={"currency"}) | {
        "expires_at": bill.expires_at.astimezone(UTC).isoformat()
    }
    first = (await session.exec(select(Payment).where(col(Payment.bill_reference) == bill.bill_reference))).first()
    if first is None:
        payment = _new_payment(bill, request)
        values = payment.model_dump()
        connection = await session.connection()
        made = await connection.execute(
            insert(Payment).values(**values).on_conflict_do_nothing(index_elements=["bill_reference"])
        )
        if made.rowcount == 1:
            opened = await locked_payment(session, payment.id)
            await _write_bill(session, opened, bill, terms, actor=actor)
            return opened, True
        # Another request has won the race and committed meanwhile.
        query = select(Payment).where(col(Payment.bill_reference) == bill.bill_reference)
        first = (await session.exec(query)).one()
    names = rules.differences(first.request, request)
    if names:
        listed = ", ".join(names)
        raise BillDiffers(
            f"Số hiệu này đã dùng cho khoản thu khác ở: {listed}. Hãy dùng số hiệu mới, hoặc gửi lại đúng nội dung cũ.",
            f"This reference stands for a bill that differs in: {listed}. Use a new reference, or send the same bill.",
            extra={"differences": names, "payment_id": first.id},
        )
    return first, False


def _new_payment(bill: CreatePayment, request: dict[str, object]) -> Payment:
    moment = now()
    shares = [share for line in bill.lines for share in line.shares]
    due = sum(share.amount_dong for share in shares if share.payer == "citizen")
    budget = sum(share.amount_dong for share in shares if share.payer != "citizen")
    if max(due, budget) > MAX_BILL_DONG:
        raise BadInput(
            "Tổng khoản thu vượt quá một nghìn tỷ đồng; hãy kiểm tra lại số tiền.",
            "The bill exceeds a thousand billion đồng; check the amounts.",
            fields=[FieldError("lines", "tổng quá lớn", "the total is too large")],
        )
    if bill.expires_at <= moment:
        raise BadInput(
            "Hạn nộp đã qua; hãy gửi hạn nộp ở tương lai.",
            "The bill would already be expired; send a time in the future.",
            fields=[FieldError("expires_at", "phải ở tương lai", "must be in the future")],
        )
    return Payment(
        id=new_id("pay"),
        bill_reference=bill.bill_reference,
        dossier_code=bill.dossier_code,
        procedure=bill.procedure,
        quote_id=bill.quote_id,
        request=request,
        status=rules.status_of(rules.Standing(due_dong=due)),
        due_dong=due,
        budget_dong=budget,
        expires_at=bill.expires_at,
        created_at=moment,
        version=0,
    )


async def _write_bill(
    session: AsyncSession, payment: Payment, bill: CreatePayment, terms: Terms, *, actor: str
) -> None:
    lines: list[ledger.LineShare] = []
    for position, line in enumerate(bill.lines, start=1):
        citizen = sum(share.amount_dong for share in line.shares if share.payer == "citizen")
        budget = sum(share.amount_dong for share in line.shares if share.payer != "citizen")
        lines.append(ledger.LineShare(ledger.owed_to(line.kind, line.beneficiary), citizen, budget))
        row = PaymentLine(
            payment_id=payment.id,
            position=position,
            item=line.item,
            kind=line.kind,
            leg=line.leg,
            label_vi=line.label_vi,
            label_en=line.label_en,
            beneficiary=line.beneficiary,
            citizen_dong=citizen,
            budget_dong=budget,
        )
        session.add(row)
        await session.flush()
        for number, share in enumerate(line.shares, start=1):
            session.add(
                PaymentShare(
                    payment_id=payment.id,
                    position=position,
                    number=number,
                    payer=share.payer,
                    amount_dong=share.amount_dong,
                )
            )
    at = payment.created_at
    occasion = Occasion(key=payment.id, occurred_at=at, value_date=local_date(at), payment_id=payment.id)
    await post(session, ledger.bill_opened(occasion, lines))
    await record(session, payment, "opened", payment.due_dong, occurred_at=at, actor=actor, detail=bill.quote_id)
    await announce(session, "payment.opened", payment, payment.due_dong, occurred_at=at)
    if payment.due_dong == 0:
        await issue_receipt(session, payment, terms)
        await announce(session, "payment.paid", payment, 0, occurred_at=at)


async def record_cash(session: AsyncSession, payment_id: str, cash: RecordCash, terms: Terms, *, actor: str) -> Payment:
    """Book cash that a courier or a counter holds. The same event twice is one collection.

    Cash in hand is a fact: it is booked whatever the bill's state, and held in suspense where it is not owed.
    Raises EventDiffers when the event is known with another content.
    """
    payment = await locked_payment(session, payment_id)
    query = select(Intake).where(col(Intake.source) == "cash", col(Intake.source_reference) == cash.event_id)
    known = (await session.exec(query)).first()
    if known is not None:
        if (known.payment_id, known.amount_dong, known.collector) != (payment_id, cash.amount_dong, cash.collector):
            raise event_differs(cash.event_id)
        return payment
    method: Method = "cash_on_delivery" if cash.place == "courier" else "cash_at_counter"
    live = await live_attempt(session, payment_id)
    attempt = live if live is not None and live.method in ("cash_on_delivery", "cash_at_counter") else None
    arrival = Arrival(
        source="cash",
        reference=cash.event_id,
        subject=cash.collector,
        method=method,
        amount_dong=cash.amount_dong,
        received_at=cash.collected_at,
        actor=actor,
        collector=cash.collector,
    )
    await receive(session, payment, attempt, arrival, terms)
    if live is not None and attempt is None and payment.paid_dong == payment.due_dong:
        live.next_check_at = now()  # the sweeper gives it up, asking the gateway first
        session.add(live)
    return payment


async def live_attempt(session: AsyncSession, payment_id: str) -> Attempt | None:
    """The attempt of a payment that may still bring money by itself."""
    query = select(Attempt).where(col(Attempt.payment_id) == payment_id, col(Attempt.status).in_(sorted(rules.LIVE)))
    return (await session.exec(query)).first()


async def end_bill(
    session: AsyncSession,
    payment: Payment,
    ended: rules.Ended,
    *,
    actor: str,
    detail: str,
) -> None:
    """End a locked bill that has no live attempt: what is unpaid is reversed, what was paid stays to be refunded.

    A bill paid in full keeps its status; only what the budgets would have paid is reversed.
    """
    at = now()
    standing = standing_of(payment)
    lines = await lines_of(session, payment.id)
    unpaid = standing.remaining_dong
    parts = rules.unpaid_parts(await line_balances(session, payment.id), unpaid)
    reversed_: list[ledger.LineShare] = []
    for position, line in lines.items():
        part = parts.get(position, 0)
        line.reversed_dong += part
        session.add(line)
        budget = 0 if payment.budget_released else line.budget_dong
        reversed_.append(ledger.LineShare(ledger.owed_to(line.kind, line.beneficiary), part, budget))  # type: ignore[arg-type]
    occasion = Occasion(
        key=f"{payment.id}:{payment.version}", occurred_at=at, value_date=local_date(at), payment_id=payment.id
    )
    await post(session, ledger.unpaid_reversed(occasion, reversed_))
    if payment.budget_dong and not payment.budget_released:
        payment.budget_released = True
        await record(
            session, payment, "budget_released", payment.budget_dong, occurred_at=at, actor=actor, detail=detail
        )
    if unpaid:
        await record(session, payment, ended, unpaid, occurred_at=at, actor=actor, detail=detail)
        await announce(session, f"payment.{ended}", payment, unpaid, occurred_at=at)


async def cancel_now(session: AsyncSession, payment_id: str, cancel: CancelPayment, *, actor: str) -> Payment:
    """Cancel a bill whose card attempt, if any, has been asked about at the gateway. Repeating it changes nothing."""
    payment = await locked_payment(session, payment_id)
    if payment.ended is not None:
        return payment
    live = await live_attempt(session, payment_id)
    if live is not None:
        assert live.method != "card", "a card attempt is ended at the gateway first"
        await move_attempt(session, payment, live, "cancelled", occurred_at=now(), actor=actor, detail=cancel.reason)
    await end_bill(session, payment, "cancelled", actor=actor, detail=cancel.reason)
    return payment


async def remind(session: AsyncSession, payment_id: str, *, actor: str) -> Payment:
    """Announce that a bill still waits for money; nothing is announced when it does not."""
    payment = await locked_payment(session, payment_id)
    remaining = standing_of(payment).remaining_dong
    if remaining:
        at = now()
        await record(session, payment, "reminded", remaining, occurred_at=at, actor=actor)
        await announce(session, "payment.reminded", payment, remaining, occurred_at=at)
    return payment


async def put_payer(session: AsyncSession, dossier_code: str, payer: PutPayer) -> None:
    """Keep who is named on the dossier's next receipt."""
    values = {"name": payer.name, "address": payer.address, "updated_at": now()}
    statement = insert(Payer).values(dossier_code=dossier_code, **values)
    await (await session.connection()).execute(
        statement.on_conflict_do_update(index_elements=["dossier_code"], set_=values)
    )


async def record_remittance(session: AsyncSession, remittance: RecordRemittance) -> Remittance:
    """Move a deposited shift's cash from the collector to the post. The same event twice is one deposit.

    Raises EventDiffers when the event or the reference is known with another content.
    """
    query = select(Remittance).where(
        (col(Remittance.event_id) == remittance.event_id) | (col(Remittance.reference) == remittance.reference)
    )
    known = (await session.exec(query)).first()
    if known is not None:
        same = (known.event_id, known.reference, known.amount_dong, known.collector)
        if same != (remittance.event_id, remittance.reference, remittance.amount_dong, remittance.collector):
            raise event_differs(remittance.event_id)
        return known
    row = Remittance(
        id=new_id("rmt"),
        event_id=remittance.event_id,
        reference=remittance.reference,
        amount_dong=remittance.amount_dong,
        collector=remittance.collector,
        deposited_at=remittance.deposited_at,
        deposited_on=local_date(remittance.deposited_at),
        dossier_codes=list(remittance.dossier_codes),
        recorded_at=now(),
    )
    session.add(row)
    occasion = Occasion(key=row.id, occurred_at=row.deposited_at, value_date=row.deposited_on)
    journal = ledger.cash_deposited(
        occasion, collector=row.collector, reference=row.reference, amount_dong=row.amount_dong
    )
    await post(session, journal)
    return row


def event_differs(event_id: str) -> EventDiffers:
    """The refusal for an event that is known with another content."""
    return EventDiffers(
        f"Sự kiện {event_id} đã ghi nhận với nội dung khác; hãy dùng mã sự kiện mới cho sự kiện mới.",
        f"Event {event_id} was recorded with other content; use a new event id for a new event.",
    )


async def expire_payment(session: AsyncSession, payment_id: str, *, moment: datetime) -> bool:
    """Expire a bill past its time, unless an attempt is still live; whether it has ended."""
    payment = await locked_payment(session, payment_id)
    if payment.ended is not None or payment.paid_dong >= payment.due_dong:
        return True
    if payment.live is not None or payment.expires_at > moment:
        return False
    await end_bill(session, payment, "expired", actor=SYSTEM, detail="expires_at")
    return True
