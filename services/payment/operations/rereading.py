"""Looks again at held credits whose reference was damaged on its way, and gives each to the only bill it can mean."""

from datetime import timedelta

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.web import LOCAL_ZONE
from services.payment.models import Attempt, BankCredit
from services.payment.operations.credits import assign_credit
from services.payment.operations.differences import settle_break
from services.payment.reconciliation.engine.items import Item
from services.payment.reconciliation.engine.pipeline import match
from services.payment.reconciliation.matching import RULES
from services.payment.till import Terms

_UNPAID = ("created", "pending", "requires_action", "expired", "cancelled", "unknown")


async def reread_held(session: AsyncSession, terms: Terms) -> int:
    """Assign held credits whose text has one sign of a reference wrong, or its end cut off. How many were assigned.

    Believed only with the exact amount, a near date and no other bill it could mean. The break that asked whose money
    it is ends with the reason, for everybody to see.
    """
    held = (await session.exec(select(BankCredit).where(col(BankCredit.status) == "held"))).all()
    if not held:
        return 0
    earliest = min(credit.booked_at for credit in held) - timedelta(days=RULES.days_after)
    query = select(Attempt).where(
        col(Attempt.method) == "vietqr",
        col(Attempt.status).in_(_UNPAID),
        col(Attempt.received_dong) == 0,
        col(Attempt.created_at) >= earliest,
        col(Attempt.amount_dong).in_({credit.amount_dong for credit in held}),
    )
    attempts = {attempt.id: attempt for attempt in (await session.exec(query)).all()}
    expected = [
        Item(a.id, a.amount_dong, a.created_at.astimezone(LOCAL_ZONE).date(), references=(a.reference,))
        for a in attempts.values()
    ]
    credits_ = {credit.bank_reference: credit for credit in held}
    seen = [Item(key, credit.amount_dong, credit.booked_on, text=credit.content) for key, credit in credits_.items()]
    count = 0
    for found in match(expected, seen, RULES).matches:
        if found.stage != "damaged_reference":
            continue
        credit, attempt = credits_[found.seen[0]], attempts[found.expected[0]]
        await assign_credit(session, credit, attempt.payment_id, terms)
        why = f"{attempt.reference}: {', '.join(found.evidence)}"
        await settle_break(session, ("wrong_reference",), subject=credit.id, resolution=why)
        count += 1
    return count
