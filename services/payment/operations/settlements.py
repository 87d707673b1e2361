"""Imports what the gateway settles: payouts with every balance transaction in them, each booked once."""

import logging
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now, transaction
from services.payment import ledger
from services.payment.gateway import BalanceTransaction, GatewayPayout, GatewayRefused
from services.payment.ledger import Occasion, SettledItem
from services.payment.models import Attempt, EntryRow, Payout, PayoutItem
from services.payment.operations.attempts import fold_intent
from services.payment.operations.differences import open_break
from services.payment.operations.disputes import fold_dispute, pull_disputes
from services.payment.operations.posting import open_day, post
from services.payment.operations.refund_routes import fold_gateway_refund
from services.payment.till import Till

log = logging.getLogger(__name__)

_LOOK_BACK_DAYS = 45
_DEAD = frozenset({"failed", "canceled"})


async def import_settlements(till: Till, on: date) -> int:
    """Book every payout that arrives on or before a date and is not booked yet; how many were new or have changed.

    Disputes that nobody told us of are looked for first: a payout may settle them.

    Raises GatewayUnreachable; what was booked before stays booked.
    """
    await pull_disputes(till)
    since = datetime.combine(on - timedelta(days=_LOOK_BACK_DAYS), time(), UTC)
    count = 0
    for payout in reversed(await till.gateway.payouts(arrival_from=int(since.timestamp()))):
        arrival = datetime.fromtimestamp(payout.arrival, UTC).date()
        if arrival <= on:
            count += await _import_one(till, payout, arrival, on)
    return count


async def _import_one(till: Till, payout: GatewayPayout, arrival: date, on: date) -> bool:
    async with till.sessions() as session:
        known = await session.get(Payout, payout.id)
    if known is not None:
        return await _changed(till, payout, on) if known.status != payout.status else False
    transactions = [t for t in await till.gateway.balance_transactions(payout.id) if t.kind != "payout"]
    for each in transactions:
        await _heal(till, each)
    async with transaction(till.sessions) as session:
        items = [await _settled(session, each) for each in transactions]
        gross = sum(item.gross_dong for item in items)
        fee = sum(item.fee_dong for item in items)
        day = await open_day(session, on)
        made = await (await session.connection()).execute(
            insert(Payout)
            .values(
                id=payout.id,
                gross_dong=gross,
                fee_dong=fee,
                net_dong=gross - fee,
                announced_dong=payout.amount_dong,
                arrival_date=arrival,
                status=payout.status,
                imported_at=now(),
                business_date=day,
            )
            .on_conflict_do_nothing()
        )
        if made.rowcount == 0:
            return False
        await _book(session, payout, items, transactions, arrival=arrival, day=day)
        if payout.status in _DEAD:
            await _book_failure(session, payout.id, gross - fee, day)
    return True


async def _book(
    session: AsyncSession,
    payout: GatewayPayout,
    items: list[SettledItem],
    transactions: list[BalanceTransaction],
    *,
    arrival: date,
    day: date,
) -> None:
    for item, each in zip(items, transactions, strict=True):
        session.add(
            PayoutItem(
                id=each.id,
                payout_id=payout.id,
                kind=each.kind,
                source=each.source,
                gross_dong=each.gross_dong,
                fee_dong=each.fee_dong,
                known=item.known,
            )
        )
    occasion = Occasion(
        key=payout.id,
        occurred_at=datetime.fromtimestamp(payout.created or payout.arrival, UTC),
        value_date=arrival,
        business_date=day,
    )
    await post(session, ledger.payout_settled(occasion, payout_id=payout.id, items=items))
    for item, each in zip(items, transactions, strict=True):
        if not item.known:
            await open_break(
                session,
                "missing_in_ledger",
                subject=each.id,
                business_date=day,
                amount_dong=each.gross_dong,
                account=ledger.SUSPENSE,
                flow=None,
                text_vi=f"Cổng thanh toán quyết toán {each.kind} {each.source} mà sổ không có.",
                text_en=f"The gateway settles {each.kind} {each.source}, which the books do not know.",
            )
    missing = payout.amount_dong - sum(item.gross_dong - item.fee_dong for item in items)
    if missing:
        await open_break(
            session,
            "amount_over" if missing > 0 else "amount_under",
            subject=payout.id,
            business_date=day,
            amount_dong=missing,
            account=ledger.PAYOUT_IN_TRANSIT,
            flow=None,
            text_vi=f"Đợt chi trả {payout.id} lệch {missing} đồng so với tổng các giao dịch của nó.",
            text_en=f"Payout {payout.id} is {missing} đồng off the sum of its transactions.",
        )


async def _changed(till: Till, payout: GatewayPayout, on: date) -> bool:
    """A payout in transit has arrived, or has failed and its money is back at the gateway."""
    async with transaction(till.sessions) as session:
        row = await session.get(Payout, payout.id, with_for_update=True, populate_existing=True)
        assert row is not None
        was, row.status = row.status, payout.status
        session.add(row)
        if payout.status in _DEAD and was not in _DEAD:
            await _book_failure(session, row.id, row.net_dong, await open_day(session, on))
    return True


async def _book_failure(session: AsyncSession, payout_id: str, net_dong: int, day: date) -> None:
    occasion = Occasion(key=payout_id, occurred_at=now(), value_date=day, business_date=day)
    await post(session, ledger.payout_failed(occasion, payout_id=payout_id, net_dong=net_dong))


async def _heal(till: Till, each: BalanceTransaction) -> None:
    """Book a charge, refund or dispute whose webhook never came, before its settlement is called unknown.

    A refund that came back and a dispute that was won have been booked before, the other way round.
    """
    comes_back = each.category in ("refund_failure", "dispute_reversal")
    async with till.sessions() as session:
        if await _is_booked(session, each.source) and not comes_back:
            return
    try:
        if each.category.startswith("dispute"):
            dispute = await till.gateway.retrieve_dispute(each.source)
            async with transaction(till.sessions) as session:
                await fold_dispute(session, dispute)
        elif each.intent_id is not None and each.kind == "charge":
            intent = await till.gateway.retrieve_intent(each.intent_id)
            async with transaction(till.sessions) as session:
                query = select(Attempt.id).where(col(Attempt.gateway_intent_id) == intent.id)
                attempt_id = (await session.exec(query)).first()
                if attempt_id is not None:
                    await fold_intent(session, attempt_id, intent, till.terms)
        elif each.source.startswith("re_"):
            refund = await till.gateway.retrieve_refund(each.source)
            async with transaction(till.sessions) as session:
                await fold_gateway_refund(session, refund)
    except GatewayRefused as refusal:
        log.warning("a settled object could not be read", extra={"source": each.source, "code": refusal.code})


async def _is_booked(session: AsyncSession, subject: str) -> bool:
    query = select(EntryRow.journal_id).where(
        col(EntryRow.account) == ledger.GATEWAY_CLEARING, col(EntryRow.subject) == subject
    )
    return (await session.exec(query.limit(1))).first() is not None


async def _settled(session: AsyncSession, each: BalanceTransaction) -> SettledItem:
    return SettledItem(
        transaction_id=each.id,
        source=each.source,
        gross_dong=each.gross_dong,
        fee_dong=each.fee_dong,
        known=await _is_booked(session, each.source),
    )
