"""Takes in what carriers say: stored as it came, then read by the carrier's map, then a fact like any other."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.ids import new_id
from services.postal import recording, rules, s10
from services.postal.carriers import CarrierEvent, StatusMap, status_map
from services.postal.contract import PostEvent
from services.postal.models import CarrierMessage, Shipment
from services.postal.recording import Sender


@dataclass(frozen=True, slots=True)
class Taken:
    """How many messages were new facts, unknown codes, of unknown items, without news, and seen before."""

    recorded: int = 0
    unmapped: int = 0
    unknown_item: int = 0
    ignored: int = 0
    repeated: int = 0


async def take_in(
    session: AsyncSession, carrier: str, events: Sequence[CarrierEvent], *, at: datetime, terms: rules.Terms
) -> Taken:
    """Store and record a carrier's messages. The same message again changes nothing.

    A code that the map does not know is written into the item's log as `unmapped`, which is news for a dispatcher.
    """
    codes = status_map(carrier)
    counts = dict.fromkeys(("recorded", "unmapped", "unknown_item", "ignored", "repeated"), 0)
    for event in events:
        counts[await _take_one(session, carrier, codes, event, at=at, terms=terms)] += 1
    return Taken(**counts)


async def _take_one(
    session: AsyncSession, carrier: str, codes: StatusMap, event: CarrierEvent, *, at: datetime, terms: rules.Terms
) -> str:
    row = await _shipment(session, carrier, event.reference)
    meaning = codes.codes.get(event.code)
    if row is None:
        outcome = "unknown_item"
    elif meaning is None:
        outcome = "unmapped"
    else:
        outcome = "ignored" if meaning.ignored else "recorded"
    message = CarrierMessage(
        id=new_id("msg"),
        carrier=carrier,
        message_key=event.key,
        reference=event.reference,
        code=event.code,
        body=dict(event.body or {}),
        outcome=outcome,
        shipment_id=row.id if row is not None else None,
        received_at=at,
    )
    statement = insert(CarrierMessage).values(message.model_dump()).on_conflict_do_nothing()
    if (await session.exec(statement.returning(col(CarrierMessage.id)))).one_or_none() is None:
        return "repeated"
    identity = _event_id(carrier, event.key)
    if outcome == "unmapped" and row is not None:
        note = f"{codes.name}: {event.code}"
        await recording.record_as_service(session, row, "unmapped", event_id=identity, note=note, at=at)
    elif outcome == "recorded" and row is not None and meaning is not None and meaning.kind is not None:
        cause = codes.reasons.get(event.reason_code or "")
        fact = PostEvent(
            event_id=identity,
            s10=row.s10,
            kind=meaning.kind,
            occurred_at=event.occurred_at,
            device_id=f"carrier/{carrier}",
            device_seq=row.chain_length + 1,
            place=event.place[:120],
            reason=cause.reason if cause is not None else meaning.reason,
            measure=cause.measure if cause is not None else meaning.measure,
            note=f"{codes.name}: {event.code}",
        )
        sender = Sender(f"carrier/{carrier}", "carrier")
        await recording.record_events(session, [fact], sender=sender, at=at, terms=terms)
    return outcome


async def _shipment(session: AsyncSession, carrier: str, reference: str) -> Shipment | None:
    """The item a carrier means: by its own order number or by the item number, locked."""
    by_order = (col(Shipment.carrier) == carrier) & (col(Shipment.carrier_reference) == reference)
    query = select(Shipment).where(or_(by_order, col(Shipment.s10) == s10.compact(reference)))
    return (await session.exec(query.with_for_update().execution_options(populate_existing=True))).one_or_none()


def _event_id(carrier: str, key: str) -> str:
    """A carrier's message is the same fact whenever it comes."""
    return str(UUID(bytes=hashlib.sha256(f"{carrier}\n{key}".encode()).digest()[:16], version=5))
