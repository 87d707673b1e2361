"""Publishes a seal over every day's facts, and proves single facts against it.

A day is sealed once it is over and every request of it must have ended. From then on nobody can change, add or take
away a fact of that day without the published seal telling, not even with full rights over the database.
"""

import asyncio
import logging
from datetime import date, datetime, time, timedelta
from itertools import pairwise

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import Sessions, now, transaction
from kit.errors import NotFound
from services.postal import chain, merkle, queries, rules
from services.postal.custody import VIETNAM
from services.postal.custody_contract import Proof, ReceiptBundle, Root, SealedFact
from services.postal.models import CustodyRoot, Event, Shipment

log = logging.getLogger(__name__)

GRACE = timedelta(minutes=10)
"""After midnight; statements end within 30 seconds, so that no fact of the day can still be on its way in."""

_LOCK = 7_201_605_150_927_011
_LOOK_AGAIN_SECONDS = 300


class NoSuchRoot(NotFound):
    kind = "no-such-root"


class NoSuchReceipt(NotFound):
    kind = "no-such-receipt"


def seal_of(day: date, *, size: int, root: str, previous_seal: str) -> str:
    """What is published for a day: it binds the day's root to all days before it."""
    return chain.text_hash(f"custody-root/1\n{day.isoformat()}\n{size}\n{root}\n{previous_seal}\n")


def day_of(moment: datetime) -> date:
    """The day, in Vietnam, to whose tree a fact received at `moment` belongs."""
    return moment.astimezone(VIETNAM).date()


def bounds_of(day: date) -> tuple[datetime, datetime]:
    """First moment of a day in Vietnam and of the next."""
    start = datetime.combine(day, time.min, VIETNAM)
    return start, start + timedelta(days=1)


async def leaves_of(session: AsyncSession, day: date) -> list[str]:
    """Hashes of all facts received on a day, as stored, ascending."""
    start, end = bounds_of(day)
    query = select(Event.hash).where(col(Event.received_at) >= start, col(Event.received_at) < end)
    return sorted((await session.exec(query)).all())


async def publish_roots(session: AsyncSession, *, at: datetime) -> list[CustodyRoot]:
    """Seal every day that is over and not sealed yet, oldest first, days without facts too. Again is harmless."""
    await session.exec(select(func.pg_advisory_xact_lock(_LOCK)))
    last = (await session.exec(select(CustodyRoot).order_by(col(CustodyRoot.day).desc()).limit(1))).first()
    if last is None:
        first = (await session.exec(select(func.min(Event.received_at)))).one()
        day = day_of(first) if first is not None else None
    else:
        day = last.day + timedelta(days=1)
    made: list[CustodyRoot] = []
    while day is not None and bounds_of(day)[1] + GRACE <= at:
        leaves = await leaves_of(session, day)
        root = await asyncio.to_thread(merkle.root_of, [bytes.fromhex(leaf) for leaf in leaves])
        previous_seal = last.seal if last is not None else chain.START
        last = CustodyRoot(
            day=day,
            size=len(leaves),
            root=root,
            previous_day=last.day if last is not None else None,
            previous_seal=previous_seal,
            seal=seal_of(day, size=len(leaves), root=root, previous_seal=previous_seal),
            published_at=at,
        )
        await session.exec(insert(CustodyRoot).values(last.model_dump()))
        made.append(last)
        day += timedelta(days=1)
    return made


async def keep_publishing(sessions: Sessions) -> None:
    """Seal days as they end, for as long as the service runs."""
    while True:
        try:
            async with transaction(sessions) as session:
                made = await publish_roots(session, at=now())
        except Exception:  # the next round tries again; the service must not end for it
            log.exception("the day's seal was not published")
        else:
            for root in made:
                log.info("day sealed", extra={"day": root.day.isoformat(), "size": root.size, "seal": root.seal})
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)


async def roots(session: AsyncSession, *, before: date | None, limit: int) -> list[Root]:
    """Published seals, newest first."""
    query = select(CustodyRoot).order_by(col(CustodyRoot.day).desc()).limit(limit)
    if before is not None:
        query = query.where(col(CustodyRoot.day) < before)
    return [root_record(row) for row in (await session.exec(query)).all()]


async def root(session: AsyncSession, day: date) -> Root:
    """The published seal of a day. Raises NoSuchRoot."""
    row = await session.get(CustodyRoot, day)
    if row is None:
        raise NoSuchRoot(
            "Ngày này chưa được niêm phong; dấu niêm phong được công bố vào ngày hôm sau.",
            "This day is not sealed yet; its seal is published on the day after.",
        )
    return root_record(row)


def root_record(row: CustodyRoot) -> Root:
    """A published seal as the world may know it."""
    return Root.model_validate(row, from_attributes=True)


async def proof_of(session: AsyncSession, event: Event) -> tuple[Root, Proof] | None:
    """The seal of an event's day and the event's place in it; None while the day is not sealed."""
    row = await session.get(CustodyRoot, day_of(event.received_at))
    if row is None:
        return None
    leaves = await leaves_of(session, row.day)
    index = leaves.index(event.hash)
    path = await asyncio.to_thread(merkle.path_to, [bytes.fromhex(leaf) for leaf in leaves], index)
    return root_record(row), Proof(index=index, size=len(leaves), path=tuple(path))


async def receipt_bundle(session: AsyncSession, shipment_id: str, *, issuer: str) -> ReceiptBundle:
    """A receipt with all that is needed to verify it offline. Raises NoSuchShipment, NotCollectedYet."""
    receipt = await queries.receipt(session, shipment_id)
    log_of_leg = (await queries.events_of(session, [shipment_id]))[shipment_id]
    [event] = [e.event for e in log_of_leg if e.applied and e.event.kind in rules.COLLECTIONS]
    fact = SealedFact(
        position=event.chain_position,
        prev_hash=event.prev_hash,
        hash=event.hash,
        body=chain.canonical(queries.log_body(event)).decode(),
    )
    proven = await proof_of(session, event)
    root_found, proof = proven if proven is not None else (None, None)
    return ReceiptBundle(issuer=issuer, receipt=receipt, fact=fact, root=root_found, proof=proof)


async def bundle_by_code(session: AsyncSession, code: str, number: str, *, issuer: str) -> ReceiptBundle:
    """The same for whoever holds the receipt: both its code and the item number are needed. Raises NoSuchReceipt."""
    query = select(Shipment.id).where(col(Shipment.receipt_code) == code, col(Shipment.s10) == number)
    found = (await session.exec(query)).one_or_none()
    if found is None:
        raise NoSuchReceipt(
            "Không có biên nhận nào với mã và số hiệu này; hãy nhập đúng cả hai như trên biên nhận.",
            "There is no receipt with this code and number; enter both as they stand on the receipt.",
        )
    return await receipt_bundle(session, found, issuer=issuer)


async def broken_seals(session: AsyncSession) -> list[tuple[date, str]]:
    """Days whose published seal no longer fits the stored facts, or the days before it, with what is wrong."""
    rows = (await session.exec(select(CustodyRoot).order_by(col(CustodyRoot.day)))).all()
    found: list[tuple[date, str]] = []
    for row in rows:
        leaves = await leaves_of(session, row.day)
        if len(leaves) != row.size:
            found.append((row.day, f"{row.size} facts were sealed, {len(leaves)} are stored"))
        elif merkle.root_of([bytes.fromhex(leaf) for leaf in leaves]) != row.root:
            found.append((row.day, "the stored facts are not those that were sealed"))
        if seal_of(row.day, size=row.size, root=row.root, previous_seal=row.previous_seal) != row.seal:
            found.append((row.day, "the published seal does not fit its own root"))
    for before, after in pairwise(rows):
        if (after.previous_day, after.previous_seal) != (before.day, before.seal):
            found.append((after.day, f"the seal does not follow that of {before.day}"))
    return found
