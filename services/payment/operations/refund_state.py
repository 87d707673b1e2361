"""What every step of a refund stands on: its rows under lock, the accounts it touches, its moves with their facts."""

from datetime import timedelta

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from services.payment import ledger, rules
from services.payment.contract import LineKind, RefundStatus
from services.payment.ledger import Occasion
from services.payment.models import Dispute, Intake, Payment, PaymentLine, Refund, RefundLeg, RefundPart
from services.payment.operations.money import lines_of
from services.payment.operations.posting import SYSTEM, announce, locked_payment, post, record
from services.payment.operations.receipts import cancel_receipt
from services.payment.problems import MoneyDisputed, RefundUnknown
from services.payment.till import local_date


async def locked_refund(session: AsyncSession, refund_id: str) -> tuple[Payment, Refund]:
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


def occasion_of(payment: Payment, refund: Refund, suffix: str = "") -> Occasion:
    """Now, for a journal of a refund; `suffix` tells its journals apart."""
    at = now()
    return Occasion(
        key=refund.id + suffix,
        occurred_at=at,
        value_date=local_date(at),
        payment_id=payment.id,
        refund_id=refund.id,
    )


async def sides_of(session: AsyncSession, refund: Refund) -> list[tuple[str, int, str]]:
    """Which accounts a refund is taken from: the lines' own, or suspense by arrival."""
    if refund.source == "bill":
        lines = await lines_of(session, refund.payment_id)
        parts = await parts_of(session, refund)
        return [(_owed_to(lines[part.position]), part.amount_dong, "") for part in parts]
    legs = await legs_of(session, refund.id)
    if legs:
        return [(ledger.SUSPENSE, leg.amount_dong, leg.intake_id) for leg in legs]
    return [(ledger.SUSPENSE, amount, intake_id) for intake_id, amount in await split_of(session, refund)]


def _owed_to(line: PaymentLine) -> str:
    kind: LineKind = line.kind  # type: ignore[assignment]
    return ledger.owed_to(kind, line.beneficiary)


async def parts_of(session: AsyncSession, refund: Refund) -> list[RefundPart]:
    """What a refund takes from which line."""
    query = select(RefundPart).where(col(RefundPart.refund_id) == refund.id).order_by(col(RefundPart.position))
    return list((await session.exec(query)).all())


async def legs_of(session: AsyncSession, refund_id: str) -> list[RefundLeg]:
    """The legs of a refund, in the order they were made."""
    query = select(RefundLeg).where(col(RefundLeg.refund_id) == refund_id).order_by(col(RefundLeg.id))
    return list((await session.exec(query)).all())


async def intakes_of(session: AsyncSession, payment_id: str) -> dict[str, Intake]:
    """The arrivals of money of a payment by id, the oldest first."""
    query = select(Intake).where(col(Intake.payment_id) == payment_id).order_by(col(Intake.id))
    return {intake.id: intake for intake in (await session.exec(query)).all()}


async def split_of(session: AsyncSession, refund: Refund) -> list[tuple[str, int]]:
    """Which arrivals a refund is taken from, the oldest first; what is disputed cannot go back a second time.

    Raises MoneyDisputed when disputes have taken what the refund would give.
    """
    intakes = (await intakes_of(session, refund.payment_id)).values()
    query = select(Dispute).where(col(Dispute.payment_id) == refund.payment_id, col(Dispute.status) != "won")
    gone: dict[str, int] = {}
    for dispute in (await session.exec(query)).all():
        part = dispute.bill_dong if refund.source == "bill" else dispute.excess_dong
        gone[dispute.intake_id] = gone.get(dispute.intake_id, 0) + part
    if refund.source == "bill":
        left = {i.id: i.applied_dong - i.applied_returned_dong for i in intakes}
    else:
        left = {i.id: i.excess_dong - i.excess_returned_dong for i in intakes}
    sources = [rules.Source(identity, max(0, dong - gone.get(identity, 0))) for identity, dong in left.items()]
    try:
        return rules.refund_legs(sources, refund.amount_dong)
    except ValueError as error:
        raise MoneyDisputed(
            "Ngân hàng của chủ thẻ đang giữ hoặc đã lấy lại số tiền này; hãy chờ kết quả tra soát, hoặc không duyệt.",
            "The cardholder's bank holds or has taken this money back; wait for the dispute to end, or reject.",
        ) from error


def give_back(intake: Intake, refund: Refund, amount: int) -> None:
    """Note on an arrival that some of it goes back, or with a negative amount that it did not."""
    if refund.source == "bill":
        intake.applied_returned_dong += amount
    else:
        intake.excess_returned_dong += amount


async def release(session: AsyncSession, refund: Refund) -> None:
    """Give the lines back what a refund that will not happen had taken from them."""
    lines = await lines_of(session, refund.payment_id)
    for part in await parts_of(session, refund):
        lines[part.position].given_back_dong -= part.amount_dong
        session.add(lines[part.position])


async def undo_refund(session: AsyncSession, payment: Payment, refund: Refund, reason: str) -> None:
    """The refund failed: what it had taken from lines, arrivals and books goes back."""
    await post(session, ledger.refund_failed(occasion_of(payment, refund, ":failed"), await sides_of(session, refund)))
    await release(session, refund)
    intakes = await intakes_of(session, refund.payment_id)
    for leg in await legs_of(session, refund.id):
        give_back(intakes[leg.intake_id], refund, -leg.amount_dong)
        session.add(intakes[leg.intake_id])
    await move_refund(session, payment, refund, "failed", actor=SYSTEM, detail=reason)


async def move_refund(
    session: AsyncSession, payment: Payment, refund: Refund, to: RefundStatus, *, actor: str, detail: str = ""
) -> None:
    """Change a refund along an edge of the table, with its fact and its news."""
    kind = rules.refund_fact(refund.status, to, source=refund.source)  # type: ignore[arg-type]
    refund.status = to
    if to in ("rejected", "succeeded", "failed"):
        refund.finished_at = now()
    session.add(refund)
    await write_fact(session, payment, refund, kind, actor=actor, detail=detail)
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


async def write_fact(
    session: AsyncSession, payment: Payment, refund: Refund, kind: str, *, actor: str, detail: str
) -> None:
    """Write a fact of a refund with its amount."""
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


async def settle_refund(session: AsyncSession, payment: Payment, refund: Refund) -> None:
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
        await move_refund(session, payment, refund, "succeeded", actor=SYSTEM)
    elif refund.status == "approved":
        await move_refund(session, payment, refund, "processing", actor=SYSTEM)
