"""Writes the books and the histories: a journal, a fact with the figures it moves, and the news of it."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import cast

from sqlalchemy import Table, func, inspect, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from kit.ids import new_id
from services.payment import ledger, rules
from services.payment.contract import PaymentEvent
from services.payment.ledger import Journal
from services.payment.models import Account, DayClose, EntryRow, Fact, JournalRow, Payment, Refund, outbox
from services.payment.problems import PaymentUnknown
from services.payment.till import local_date

JOURNALS = cast("Table", inspect(JournalRow).local_table)
_BATCH = 500
"""Journals a statement carries; five entries each stay below PostgreSQL's limit of parameters."""

SYSTEM = "system"
"""Actor of what the service does by itself."""


async def post(session: AsyncSession, journal: Journal | None) -> str | None:
    """Write a journal into its business day, or the first open day from today on; its id, None when nothing moves.

    Posting the same key again changes nothing and gives the first id: an event is booked once.
    """
    return (await post_all(session, [journal]))[journal.key] if journal is not None else None


async def post_all(session: AsyncSession, journals: Sequence[Journal]) -> dict[str, str]:
    """Write many journals as `post` does, with few statements however many; their ids by posting key."""
    ids: dict[str, str] = {}
    for begin in range(0, len(journals), _BATCH):
        ids |= await _post_batch(session, journals[begin : begin + _BATCH])
    return ids


async def _post_batch(session: AsyncSession, journals: Sequence[Journal]) -> dict[str, str]:
    connection = await session.connection()
    keys = [journal.key for journal in journals]
    known = select(JOURNALS.c.posting_key, JOURNALS.c.id).where(JOURNALS.c.posting_key.in_(keys))
    ids = {str(row.posting_key): str(row.id) for row in (await connection.execute(known)).all()}
    new = {journal.key: journal for journal in journals if journal.key not in ids}
    if not new:
        return ids
    posted_at = now()
    today = await open_day(session, local_date(posted_at))
    accounts = sorted({entry.account for journal in new.values() for entry in journal.entries})
    await connection.execute(
        insert(Account)
        .values([{"code": code, "kind": ledger.kind_of(code)} for code in accounts])
        .on_conflict_do_nothing()
    )
    made = {key: new_id("jrn") for key in new}
    await connection.execute(
        insert(JournalRow).values([_journal_values(made[key], new[key], posted_at, today) for key in new])
    )
    entries = [values for key in new for values in _entry_values(made[key], new[key])]
    for begin in range(0, len(entries), 5 * _BATCH):
        await connection.execute(insert(EntryRow).values(entries[begin : begin + 5 * _BATCH]))
    return ids | made


def _journal_values(identity: str, journal: Journal, posted_at: datetime, today: date) -> dict[str, object]:
    return {
        "id": identity,
        "posting_key": journal.key,
        "kind": journal.kind,
        "payment_id": journal.payment_id,
        "refund_id": journal.refund_id,
        "occurred_at": journal.occurred_at,
        "value_date": journal.value_date,
        "posted_at": posted_at,
        "business_date": journal.business_date or today,
        "entry_count": len(journal.entries),
    }


def _entry_values(journal_id: str, journal: Journal) -> list[dict[str, object]]:
    return [
        {
            "journal_id": journal_id,
            "position": position,
            "account": entry.account,
            "amount_dong": entry.amount_dong,
            "subject": entry.subject,
        }
        for position, entry in enumerate(journal.entries, start=1)
    ]


async def open_day(session: AsyncSession, day: date) -> date:
    """The first business day from `day` on that has not been closed."""
    query = select(col(DayClose.business_date)).where(
        col(DayClose.status) == "closed", col(DayClose.business_date) >= day
    )
    closed = set((await (await session.connection()).scalars(query)).all())
    while day in closed:
        day += timedelta(days=1)
    return day


async def balance(session: AsyncSession, account: str, subject: str | None = None) -> int:
    """Debits minus credits of an account, or of one of its subjects, in đồng."""
    query = select(func.coalesce(func.sum(EntryRow.amount_dong), 0)).where(col(EntryRow.account) == account)
    if subject is not None:
        query = query.where(col(EntryRow.subject) == subject)
    return int((await (await session.connection()).scalar(query)) or 0)


async def locked_payment(session: AsyncSession, payment_id: str) -> Payment:
    """The payment, held until the transaction ends: whatever changes a payment takes this lock first.

    Raises PaymentUnknown.
    """
    payment = await session.get(Payment, payment_id, with_for_update=True, populate_existing=True)
    if payment is None:
        raise payment_unknown()
    return payment


def payment_unknown() -> PaymentUnknown:
    """The refusal for a payment id that names nothing."""
    return PaymentUnknown(
        "Không có khoản thu với mã này; hãy kiểm tra lại mã.", "No payment has this id; check the id and try again."
    )


def standing_of(payment: Payment) -> rules.Standing:
    """The figures of a payment as a value."""
    return rules.Standing(
        due_dong=payment.due_dong,
        paid_dong=payment.paid_dong,
        refunded_dong=payment.refunded_dong,
        held_dong=payment.held_dong,
        excess_dong=payment.excess_dong,
        excess_held_dong=payment.excess_held_dong,
        disputed_dong=payment.disputed_dong,
        lost_dong=payment.lost_dong,
        ended=payment.ended,  # type: ignore[arg-type]
        live=payment.live,  # type: ignore[arg-type]
    )


async def record(
    session: AsyncSession,
    payment: Payment,
    kind: str,
    amount_dong: int,
    *,
    occurred_at: datetime,
    actor: str,
    detail: str = "",
    attempt_id: str | None = None,
    refund_id: str | None = None,
) -> None:
    """Write one fact of a locked payment and move its figures and status by it."""
    standing = rules.after(standing_of(payment), kind, amount_dong)
    status = rules.status_of(standing)
    if kind != "opened":
        rules.checked_move(payment.status, status)  # type: ignore[arg-type]
    payment.status = status
    payment.paid_dong = standing.paid_dong
    payment.refunded_dong = standing.refunded_dong
    payment.held_dong = standing.held_dong
    payment.excess_dong = standing.excess_dong
    payment.excess_held_dong = standing.excess_held_dong
    payment.disputed_dong = standing.disputed_dong
    payment.lost_dong = standing.lost_dong
    payment.ended = standing.ended
    payment.live = standing.live
    payment.version += 1
    if payment.paid_at is None and payment.paid_dong >= payment.due_dong and standing.ended is None:
        payment.paid_at = occurred_at
    session.add(payment)
    session.add(
        Fact(
            payment_id=payment.id,
            number=payment.version,
            id=new_id("fct"),
            kind=kind,
            attempt_id=attempt_id,
            refund_id=refund_id,
            amount_dong=amount_dong,
            occurred_at=occurred_at,
            recorded_at=now(),
            actor=actor,
            detail=detail[:500],
        )
    )
    await session.flush()


async def announce(
    session: AsyncSession,
    kind: str,
    payment: Payment,
    amount_dong: int,
    *,
    occurred_at: datetime,
    refund_id: str | None = None,
    status: str | None = None,
) -> None:
    """Put the news of a payment or refund into the outbox, in the same transaction."""
    refund = await session.get(Refund, refund_id) if refund_id is not None else None
    event = PaymentEvent(
        event_id=new_id("evt"),
        dossier_code=payment.dossier_code,
        payment_id=payment.id,
        refund_id=refund_id,
        request_key=refund.request_key if refund is not None else None,
        status=status or payment.status,
        amount_dong=amount_dong,
        occurred_at=occurred_at,
    )
    await outbox.announce(
        session, kind, subject=payment.dossier_code, data=event.model_dump(mode="json"), event_id=event.event_id
    )
