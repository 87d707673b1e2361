"""Webhooks in: stored once as received, answered, then worked on until understood, whatever dies in between."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
from pydantic import ValidationError
from sqlalchemy import bindparam, update
from sqlalchemy import select as core_select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now, transaction
from kit.ids import new_id
from services.payment.bank import CreditNotice
from services.payment.gateway import GatewayError, GatewayRefused
from services.payment.models import Attempt, Inbound
from services.payment.operations.attempts import fold_intent
from services.payment.operations.credits import take_credit
from services.payment.operations.disputes import fold_dispute
from services.payment.operations.refund_routes import fold_gateway_refund
from services.payment.operations.reservations import release_forgotten
from services.payment.till import Till

log = logging.getLogger(__name__)

_LEASE_SECONDS = 60
_BATCH = 20
_PAUSES = (1, 2, 5, 15, 60, 300, 1_800)


async def store(session: AsyncSession, *, source: str, event_id: str, kind: str, body: dict[str, Any]) -> bool:
    """Keep a verified webhook; whether it is new. The same event twice is one row."""
    moment = now()
    made = await (await session.connection()).execute(
        insert(Inbound)
        .values(
            id=new_id("inb"),
            source=source,
            event_id=event_id,
            kind=kind,
            body=body,
            received_at=moment,
            attempts=0,
            next_attempt_at=moment,
            last_result="",
        )
        .on_conflict_do_nothing(index_elements=["source", "event_id"])
    )
    return made.rowcount == 1


@dataclass(frozen=True, slots=True)
class _Job:
    """A webhook to work on."""

    id: str
    source: str
    kind: str
    body: dict[str, Any]


async def work_once(till: Till) -> int:
    """Work on the due webhooks, oldest first; how many there were. Several workers may run.

    What was understood is ticked off together at the end: whoever dies before that leaves work whose repetition
    changes nothing.
    """
    jobs = await _lease(till)
    done = [{"row": job.id, "result": result} for job in jobs if (result := await _work_on(till, job)) is not None]
    if done:
        table = Inbound.__table__  # type: ignore[attr-defined]
        async with transaction(till.sessions) as session:
            await (await session.connection()).execute(
                update(table)
                .where(table.c.id == bindparam("row"))
                .values(processed_at=now(), attempts=table.c.attempts + 1, last_result=bindparam("result")),
                done,
            )
    return len(jobs)


async def _lease(till: Till) -> list[_Job]:
    """Take the due webhooks for a while; other workers leave them alone meanwhile."""
    moment = now()
    async with transaction(till.sessions) as session:
        due = (
            core_select(col(Inbound.id))
            .where(col(Inbound.processed_at).is_(None), col(Inbound.next_attempt_at) <= moment)
            .order_by(col(Inbound.received_at))
            .limit(_BATCH)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        leased = await (await session.connection()).execute(
            update(Inbound)
            .where(col(Inbound.id).in_(due))
            .values(next_attempt_at=moment + timedelta(seconds=_LEASE_SECONDS))
            .returning(
                col(Inbound.received_at), col(Inbound.id), col(Inbound.source), col(Inbound.kind), col(Inbound.body)
            )
        )
        # The order of what an update returns is nobody's promise.
        return [_Job(*row[1:]) for row in sorted(leased.all(), key=lambda row: (row[0], row[1]))]


async def _work_on(till: Till, job: _Job) -> str | None:
    """What became of a webhook; None when it has to wait."""
    try:
        return await (_gateway_event(till, job) if job.source == "gateway" else _bank_notice(till, job))
    except (GatewayError, httpx.HTTPError, SQLAlchemyError, OSError) as error:
        log.warning("a webhook waits", extra={"inbound": job.id, "reason": type(error).__name__})
        await _put_back(till, job.id, f"{type(error).__name__}: {error}")
    except (ValidationError, ValueError, KeyError, TypeError, AssertionError) as error:
        # A defect of ours or a shape we do not know: kept, retried rarely, and loud.
        log.exception("a webhook is not understood", extra={"inbound": job.id})
        await _put_back(till, job.id, f"{type(error).__name__}: {error}")
    return None


async def _put_back(till: Till, identity: str, reason: str) -> None:
    async with transaction(till.sessions) as session:
        row = await session.get(Inbound, identity, with_for_update=True)
        assert row is not None
        pause = _PAUSES[min(row.attempts, len(_PAUSES) - 1)]
        row.attempts += 1
        row.next_attempt_at = now() + timedelta(seconds=pause)
        row.last_result = reason[:300]
        session.add(row)


async def _gateway_event(till: Till, row: _Job) -> str:
    """Fetch the object an event speaks of and fold what it is now; the event itself is only a hint."""
    subject = row.body["data"]["object"]
    noun, identity = str(subject.get("object", "")), str(subject.get("id", ""))
    if noun == "charge":
        found = subject.get("payment_intent")
        intent_id = str(found["id"] if isinstance(found, dict) else found) if found else None
        return await _fold_intent(till, intent_id) if intent_id else "a charge without an intent"
    if noun == "payment_intent":
        return await _fold_intent(till, identity)
    if noun == "refund":
        try:
            refund = await till.gateway.retrieve_refund(identity)
        except GatewayRefused as refusal:
            return f"refund not readable: {refusal.code}"
        async with transaction(till.sessions) as session:
            return await fold_gateway_refund(session, refund)
    if noun == "dispute":
        try:
            dispute = await till.gateway.retrieve_dispute(identity)
        except GatewayRefused as refusal:
            return f"dispute not readable: {refusal.code}"
        async with transaction(till.sessions) as session:
            return await fold_dispute(session, dispute)
    return f"nothing to do for {row.kind}"


async def _fold_intent(till: Till, intent_id: str) -> str:
    try:
        intent = await till.gateway.retrieve_intent(intent_id)
    except GatewayRefused as refusal:
        return f"intent not readable: {refusal.code}"
    async with transaction(till.sessions) as session:
        query = select(Attempt.id).where(col(Attempt.gateway_intent_id) == intent_id)
        attempt_id = (await session.exec(query)).first()
        if attempt_id is None:
            named = await session.get(Attempt, intent.metadata.get("attempt_id", ""))
            # The news may be faster than our own note of the intent's id.
            attempt_id = named.id if named is not None and named.gateway_intent_id is None else None
        if attempt_id is None:
            return "no attempt of ours"
        await fold_intent(session, attempt_id, intent, till.terms)
    await release_forgotten(till, attempt_id, intent)
    return f"folded {intent.status}"


async def _bank_notice(till: Till, row: _Job) -> str:
    notice = CreditNotice.model_validate(row.body["data"])
    if notice.account != till.terms.bank_account:
        log.error("a notice for another account", extra={"inbound": row.id})
        return "another account"
    return await take_credit(till, notice, origin="advice")
