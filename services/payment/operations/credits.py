"""Transfers that reach the collecting account: found their bill by the reference, or held in suspense with a break."""

import logging
import re
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now, transaction
from kit.ids import new_id
from kit.web import LOCAL_ZONE
from services.payment import ledger, vietqr
from services.payment.bank import CreditNotice
from services.payment.contract import BreakKind
from services.payment.ledger import Occasion
from services.payment.models import Attempt, BankCredit, LineMatch, Payout, Remittance, StatementLine
from services.payment.operations.differences import open_break, settle_break
from services.payment.operations.money import Arrival, receive
from services.payment.operations.posting import locked_payment, post
from services.payment.till import Terms, Till

log = logging.getLogger(__name__)

_PAYOUT_LIKE = re.compile(r"PO[0-9A-Z]{10,}")
_PAYOUT_DAYS = 10


async def take_credit(till: Till, notice: CreditNotice, *, origin: str) -> str:
    """Book a credit once by its bank reference, and say what became of it.

    A payout or remittance is only recognised here: its own statement line books it. Raises GatewayUnreachable while it
    cannot be known whether the content names a payout.
    """
    payout = await payout_named(till, notice.content, around=notice.booked_at)
    async with transaction(till.sessions) as session:
        return await book_credit(session, notice, till.terms, origin=origin, payout_id=payout)


async def payout_named(till: Till, content: str, *, around: datetime) -> str | None:
    """The payout whose id a content carries, as far as the gateway knows it."""
    text = vietqr.squeezed(content)
    if not _PAYOUT_LIKE.search(text):
        return None
    since = int(around.timestamp()) - _PAYOUT_DAYS * 86_400
    for payout in await till.gateway.payouts(arrival_from=since):
        if vietqr.squeezed(payout.id) in text:
            return payout.id
    return None


async def book_credit(
    session: AsyncSession, notice: CreditNotice, terms: Terms, *, origin: str, payout_id: str | None = None
) -> str:
    """Book a credit in this transaction; "known" when its bank reference is already booked."""
    candidates = vietqr.references_in(notice.content)
    found = (await session.exec(select(Attempt).where(col(Attempt.reference).in_(candidates)))).all()
    attempt = found[0] if len(found) == 1 else None
    # The payment's lock comes before everything else that is locked, as everywhere.
    payment = await locked_payment(session, attempt.payment_id) if attempt is not None else None
    credit = BankCredit(
        id=new_id("crd"),
        bank_reference=notice.bank_reference,
        origin=origin,
        amount_dong=notice.amount_dong,
        content=notice.content,
        payer_bin=notice.payer_bin or None,
        payer_account=notice.payer_account or None,
        payer_name=notice.payer_name or None,
        booked_at=notice.booked_at.replace(tzinfo=LOCAL_ZONE) if notice.booked_at.tzinfo is None else notice.booked_at,
        booked_on=notice.value_date,
        recorded_at=now(),
        status="held",
    )
    made = await (await session.connection()).execute(
        insert(BankCredit).values(**credit.model_dump()).on_conflict_do_nothing(index_elements=["bank_reference"])
    )
    if made.rowcount == 0:
        return "known"
    stored = await session.get(BankCredit, credit.id)
    assert stored is not None
    if attempt is not None and payment is not None:
        fresh = await session.get(Attempt, attempt.id, populate_existing=True)
        intake = await receive(session, payment, fresh, _arrival(stored), terms)
        assert intake is not None
        stored.status, stored.intake_id = "applied", intake.id
        session.add(stored)
        return f"applied to {payment.id}"
    remittance = await remittance_named(session, notice.content)
    if payout_id is not None or remittance is not None:
        stored.status = "recognised"
        session.add(stored)
        return f"recognised as {payout_id or remittance}"
    await hold_credit(session, stored, "ambiguous" if len(found) > 1 else "wrong_reference")
    return "held in suspense"


def _arrival(credit: BankCredit, held_as: str | None = None) -> Arrival:
    return Arrival(
        source="bank",
        reference=credit.bank_reference,
        subject=credit.bank_reference,
        method="vietqr",
        amount_dong=credit.amount_dong,
        received_at=credit.booked_at,
        actor="bank",
        payer_bin=credit.payer_bin,
        payer_account=credit.payer_account,
        payer_name=credit.payer_name,
        held_as=held_as,
    )


async def hold_credit(session: AsyncSession, credit: BankCredit, kind: BreakKind) -> None:
    """Keep money that names no bill in suspense, with a break that asks whose it is."""
    occasion = Occasion(key=credit.id, occurred_at=credit.booked_at, value_date=credit.booked_on)
    journal = ledger.unmatched_credit(
        occasion, amount_dong=credit.amount_dong, bank_reference=credit.bank_reference, held_as=credit.id
    )
    await post(session, journal)
    await open_break(
        session,
        kind,
        subject=credit.id,
        business_date=credit.booked_on,
        amount_dong=credit.amount_dong,
        account=ledger.SUSPENSE,
        flow=None,
        text_vi=f"Báo có {credit.bank_reference} không ghi mã thanh toán nào của hệ thống; tiền đang ở tài khoản chờ.",
        text_en=f"Credit {credit.bank_reference} carries no reference of ours; the money is held in suspense.",
    )


async def assign_credit(session: AsyncSession, credit: BankCredit, payment_id: str, terms: Terms) -> None:
    """Give held money to a bill: what the bill needs is applied, the rest is held for that payment."""
    payment = await locked_payment(session, payment_id)
    intake = await receive(session, payment, None, _arrival(credit, held_as=credit.id), terms)
    assert intake is not None
    credit.status, credit.intake_id = "applied", intake.id
    session.add(credit)


async def remittance_named(session: AsyncSession, content: str) -> str | None:
    """The recorded remittance whose reference a content carries; the longest when several do."""
    references = (await session.exec(select(Remittance.reference))).all()
    return _longest_in(content, references)


def _longest_in(content: str, references: Sequence[str]) -> str | None:
    text = vietqr.squeezed(content)
    named = [reference for reference in references if len(reference) >= 4 and vietqr.squeezed(reference) in text]
    return max(named, key=len, default=None)


async def recognise_held(session: AsyncSession) -> int:
    """Look again at held credits: a remittance or payout may have become known since. How many were recognised."""
    held = (await session.exec(select(BankCredit).where(col(BankCredit.status) == "held"))).all()
    payouts = (await session.exec(select(Payout.id))).all()
    remittances = (await session.exec(select(Remittance.reference))).all()
    count = 0
    for credit in held:
        payout = _longest_in(credit.content, payouts)
        item = payout or _longest_in(credit.content, remittances)
        if item is None:
            continue
        flow, account = (
            ("card", ledger.PAYOUT_IN_TRANSIT) if payout is not None else ("post_remittance", ledger.POST_REMITTANCE)
        )
        await _recognise(session, credit, item=item, flow=flow, account=account)
        count += 1
    return count


async def _recognise(session: AsyncSession, credit: BankCredit, *, item: str, flow: str, account: str) -> None:
    """Take a held credit out of suspense: its statement line, seen or still to come, books what it really is."""
    query = (
        select(LineMatch)
        .join(StatementLine, col(StatementLine.id) == col(LineMatch.line_id))
        .where(col(StatementLine.bank_reference) == credit.bank_reference, col(LineMatch.flow) == "vietqr")
    )
    match = (await session.exec(query)).first()
    occasion = Occasion(key=credit.id, occurred_at=credit.booked_at, value_date=credit.booked_on)
    if match is None:
        journal = ledger.credit_recognised(
            occasion,
            amount_dong=credit.amount_dong,
            held_as=credit.id,
            account=ledger.BANK_CLEARING,
            subject=credit.bank_reference,
        )
    else:
        journal = ledger.credit_recognised(
            occasion, amount_dong=credit.amount_dong, held_as=credit.id, account=account, subject=item
        )
        match.flow, match.item, match.evidence = flow, item, "recognised after the statement"
        session.add(match)
    await post(session, journal)
    credit.status = "recognised"
    session.add(credit)
    await settle_break(session, ("wrong_reference", "ambiguous"), subject=credit.id, resolution=f"recognised as {item}")
