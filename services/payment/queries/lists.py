"""Bills as the rows of a file: everything a filter finds, oldest first, in short reads however many there are."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import col, func, select

from kit.db import Sessions
from services.payment import models as m
from services.payment.queries.desk import BillFilter, bill_conditions

_BATCH = 500


@dataclass(frozen=True, slots=True)
class BillRow:
    """One bill of an export; amounts in đồng."""

    payment: m.Payment
    methods: str
    references: str
    receipt: str
    paid_at: datetime | None


async def bill_rows(sessions: Sessions, wanted: BillFilter) -> AsyncIterator[BillRow]:
    """Every bill of a filter. Each read is short, so a download that somebody leaves halfway holds nothing up."""
    after = ""
    while True:
        query = (
            select(m.Payment)
            .where(*bill_conditions(wanted), col(m.Payment.id) > after)
            .order_by(col(m.Payment.id))
            .limit(_BATCH)
        )
        async with sessions() as session:
            rows = (await session.exec(query)).all()
            ids = [row.id for row in rows]
            attempts = select(
                m.Attempt.payment_id,
                func.string_agg(func.distinct(m.Attempt.method), ", "),
                func.string_agg(m.Attempt.reference, ", "),
            ).where(col(m.Attempt.payment_id).in_(ids))
            tried = {
                payment: (methods, references)
                for payment, methods, references in (
                    await session.exec(attempts.group_by(col(m.Attempt.payment_id)))
                ).all()
            }
            receipts = select(m.Receipt.payment_id, m.Receipt.number).where(
                col(m.Receipt.payment_id).in_(ids), col(m.Receipt.cancelled_at).is_(None)
            )
            numbers = dict((await session.exec(receipts)).all())
        for row in rows:
            methods, references = tried.get(row.id, ("", ""))
            yield BillRow(row, methods, references, numbers.get(row.id, ""), row.paid_at)
        if len(rows) < _BATCH:
            return
        after = rows[-1].id
