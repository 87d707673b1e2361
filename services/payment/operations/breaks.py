"""Resolves breaks: held money finds its bill, or two people book a difference away. Nothing is booked by one person."""

from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from kit.errors import BadInput, FieldError, NotFound, WrongMoment
from services.payment import ledger, rules
from services.payment.contract import ResolveBreak
from services.payment.ledger import Occasion
from services.payment.models import BankCredit, Break, Payment, StatementLine
from services.payment.operations.casework import note
from services.payment.operations.credits import assign_credit
from services.payment.operations.money import Arrival, receive
from services.payment.operations.posting import balance, locked_payment, payment_unknown, post
from services.payment.problems import ProposalChanged
from services.payment.till import Terms, local_date


async def resolve_break(session: AsyncSession, break_id: str, wish: ResolveBreak, terms: Terms, *, actor: str) -> Break:
    """End a break. `explain` needs nothing in the books; `assign` and `write_off` are proposed and then confirmed.

    The first call proposes. Another person repeating it with `proposal_hash` carries it out; anybody's different call
    replaces the proposal. Raises WrongMoment when the break has ended or when the action does not fit it.
    """
    row = await session.get(Break, break_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound("Không có chênh lệch với mã này.", "No break has this id.")
    if row.status == "resolved":
        raise WrongMoment(
            "Chênh lệch này đã được xử lý; hãy tải lại để xem kết quả.",
            "This break has been resolved; reload to see how.",
        )
    residual = await balance(session, row.account, ledger_subject(row)) if row.account != ledger.BANK else 0
    if wish.action == "explain":
        _needs_no_booking(residual)
        await _finish(session, row, wish.note, actor=actor)
        return row
    await _check_fit(session, row, wish, residual)
    proposal: dict[str, object] = {
        "break_id": row.id,
        "action": wish.action,
        "payment_id": wish.payment_id,
        "note": wish.note,
        "amount_dong": residual,
    }
    digest = rules.fingerprint(proposal)
    confirmed = row.proposal_hash == digest and row.proposed_by != actor and wish.proposal_hash == digest
    if not confirmed:
        if wish.proposal_hash is not None and wish.proposal_hash != digest:
            raise ProposalChanged(
                "Nội dung gửi lên không phải đề nghị đang chờ xác nhận; hãy tải lại rồi xác nhận.",
                "This is not the proposal that waits to be confirmed; reload it and confirm again.",
            )
        if row.proposal_hash != digest:
            row.proposal, row.proposal_hash, row.proposed_by = proposal, digest, actor
            await note(session, row, "proposed", wish.note, actor=actor)
        return row
    if wish.action == "assign":
        await _assign(session, row, wish, terms)
    else:
        await _write_off(session, row, residual)
    await _finish(session, row, wish.note, actor=actor)
    return row


def ledger_subject(row: Break) -> str:
    """The open item of the books that a break is about."""
    return row.subject.removesuffix("@bank")


async def _finish(session: AsyncSession, row: Break, reason: str, *, actor: str) -> None:
    row.status, row.resolved_at, row.resolved_by, row.resolution = "resolved", now(), actor, reason
    await note(session, row, "resolved", reason, actor=actor)


def _needs_no_booking(residual: int) -> None:
    if residual:
        raise WrongMoment(
            f"Sổ còn giữ {abs(residual)} đồng cho chênh lệch này; hãy gán cho khoản thu hoặc đề nghị xử lý vào sổ.",
            f"The books still hold {abs(residual)} đồng for this break; assign it to a bill or write it off.",
        )


async def _check_fit(session: AsyncSession, row: Break, wish: ResolveBreak, residual: int) -> None:
    if residual == 0:
        raise WrongMoment(
            "Sổ không giữ đồng nào cho chênh lệch này; chỉ cần ghi lý do.",
            "The books hold nothing for this break; it only needs an explanation.",
        )
    if wish.action == "write_off":
        return
    if wish.payment_id is None:
        raise BadInput(
            "Hãy nêu khoản thu được gán tiền.",
            "Name the bill that gets the money.",
            fields=[FieldError("payment_id", "bắt buộc khi gán", "needed to assign")],
        )
    if await session.get(Payment, wish.payment_id) is None:
        raise payment_unknown()
    held = row.account == ledger.SUSPENSE and row.subject.startswith(("crd_", "sln_")) and residual < 0
    if not held:
        raise WrongMoment(
            "Chênh lệch này không phải tiền đang giữ nên không gán cho khoản thu được.",
            "This break is not held money, so it cannot be assigned to a bill.",
        )


async def _assign(session: AsyncSession, row: Break, wish: ResolveBreak, terms: Terms) -> None:
    assert wish.payment_id is not None
    if row.subject.startswith("crd_"):
        credit = await session.get(BankCredit, row.subject, with_for_update=True)
        assert credit is not None
        await assign_credit(session, credit, wish.payment_id, terms)
        return
    line = await session.get(StatementLine, row.subject)
    assert line is not None
    payment = await locked_payment(session, wish.payment_id)
    arrival = Arrival(
        source="bank",
        reference=line.id,
        subject=line.id,
        method="vietqr",
        amount_dong=line.amount_dong,
        received_at=now(),
        actor="bank",
        payer_bin=line.payer_bin,
        payer_account=line.payer_account,
        payer_name=line.payer_name,
        held_as=line.id,
    )
    await receive(session, payment, None, arrival, terms)


async def _write_off(session: AsyncSession, row: Break, residual: int) -> None:
    at = now()
    occasion = Occasion(key=row.id, occurred_at=at, value_date=local_date(at))
    await post(
        session,
        ledger.written_off(occasion, account=row.account, subject=ledger_subject(row), residual_dong=residual),
    )
