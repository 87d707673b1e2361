"""What happens by itself: attempts expire, open questions are asked again, approved refunds go on, bills expire."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

import httpx
from sqlalchemy import ColumnElement, update
from sqlalchemy import select as core_select
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select

from kit.db import now, transaction
from services.payment import rules
from services.payment.models import Attempt, Dispute, Payment, Refund
from services.payment.operations.attempts import check_attempt
from services.payment.operations.disputes import check_dispute
from services.payment.operations.inbox import work_once
from services.payment.operations.payments import expire_payment
from services.payment.operations.refund_routes import execute_refund
from services.payment.till import Till

log = logging.getLogger(__name__)

_BATCH = 20
_LEASE_SECONDS = 60
"""A row taken up is left alone by other processes for this long; longer than any call's total time."""


async def run_sweeper(till: Till, *, pause_seconds: float) -> None:
    """Sweep until cancelled; a database or gateway that is away is waited for."""
    while True:
        try:
            await sweep_once(till)
        except (SQLAlchemyError, OSError, httpx.HTTPError) as error:
            log.warning("the sweeper waits", extra={"reason": f"{type(error).__name__}: {error}"[:300]})
        await asyncio.sleep(pause_seconds)


async def run_inbox(till: Till, wake: asyncio.Event, *, pause_seconds: float) -> None:
    """Work on stored webhooks until cancelled; woken by each new one."""
    while True:
        wake.clear()
        try:
            while await work_once(till):
                pass
        except (SQLAlchemyError, OSError, httpx.HTTPError) as error:
            log.warning("the inbox waits", extra={"reason": f"{type(error).__name__}: {error}"[:300]})
        try:
            await asyncio.wait_for(wake.wait(), timeout=pause_seconds)
        except TimeoutError:
            continue


async def sweep_once(till: Till) -> None:
    """One round: due attempts, due refunds, open disputes, bills past their time."""
    attempts = await _lease(till, Attempt, col(Attempt.status).in_(sorted(rules.LIVE)))
    await _each(check_attempt, till, attempts)
    refunds = await _lease(till, Refund, col(Refund.status).in_(["approved", "processing"]))
    await _each(execute_refund, till, refunds)
    disputes = await _lease(till, Dispute, col(Dispute.closed_at).is_(None))
    await _each(check_dispute, till, disputes)
    for identity in await _bills_to_expire(till):
        await _guarded(_expire, till, identity)


async def _each(work: Callable[[Till, str], Awaitable[None]], till: Till, identities: list[str]) -> None:
    """Work on several rows at once."""
    await asyncio.gather(*(_guarded(work, till, identity) for identity in identities))


async def _guarded(work: Callable[[Till, str], Awaitable[None]], till: Till, identity: str) -> None:
    """One stuck row must not stop the others; it stays leased and is tried again."""
    try:
        await work(till, identity)
    except (SQLAlchemyError, OSError, httpx.HTTPError) as error:
        log.warning("a row waits", extra={"row": identity, "reason": f"{type(error).__name__}: {error}"[:300]})
    except Exception:  # the edge of a background task: a defect is loud and the round goes on
        log.exception("a row could not be worked on", extra={"row": identity})


async def _lease(
    till: Till, table: type[Attempt] | type[Refund] | type[Dispute], is_open: ColumnElement[bool]
) -> list[str]:
    moment = now()
    async with transaction(till.sessions) as session:
        due = (
            core_select(col(table.id))
            .where(is_open, col(table.next_check_at) <= moment)
            .order_by(col(table.next_check_at))
            .limit(_BATCH)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        leased = await (await session.connection()).execute(
            update(table)
            .where(col(table.id).in_(due))
            .values(next_check_at=moment + timedelta(seconds=_LEASE_SECONDS))
            .returning(col(table.id))
        )
        return [str(row.id) for row in leased.all()]


async def _bills_to_expire(till: Till) -> list[str]:
    """Bills past their time with nothing live: an unknown attempt keeps its bill open until it is known."""
    async with till.sessions() as session:
        query = (
            select(Payment.id)
            .where(
                col(Payment.ended).is_(None),
                col(Payment.paid_dong) < col(Payment.due_dong),
                col(Payment.expires_at) <= now(),
                col(Payment.live).is_(None),
            )
            .order_by(col(Payment.expires_at))
            .limit(_BATCH)
        )
        return list((await session.exec(query)).all())


async def _expire(till: Till, payment_id: str) -> None:
    async with transaction(till.sessions) as session:
        await expire_payment(session, payment_id, moment=now())
