"""Takes in facts: stores each once, folds what is known, keeps the lists true and tells the news once.

A shipment's row is locked while its log grows, so two devices syncing at the same moment cannot fork its chain.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm.attributes import set_committed_value
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from kit.bulk import among
from services.postal import chain, codes, contract, custody, logbook, news, queries, rules, s10
from services.postal.contract import EventBody, EventKind, EventResult, Evidence, EvidenceFile, PostEvent
from services.postal.logbook import Grown
from services.postal.models import Correction, Event, EventFile, LogRow, Shipment, Verdict
from services.postal.models import EvidenceFile as StoredFile
from services.postal.news import Bulletin


@dataclass(frozen=True, slots=True)
class Sender:
    """Who brings the facts: the actor written into the log, and in which capacity."""

    actor: str
    source: rules.Source


@dataclass(frozen=True, slots=True)
class _Incoming:
    """A fact on its way into the log, with what the service itself knows of it."""

    event: EventBody
    sender: Sender
    body_sha256: str
    skew_ms: int | None = None
    code_right: bool | None = None
    voids: list[str] | None = None


SERVICE = Sender("postal-service", "system")
tell = news.tell
"""Put one piece of news of a shipment into the outbox."""


async def record_events(
    session: AsyncSession,
    events: Sequence[PostEvent],
    *,
    sender: Sender,
    at: datetime,
    terms: rules.Terms,
    clocks: Mapping[str, int] | None = None,
) -> list[EventResult]:
    """Store a batch and say of each item what became of it, in the order of the batch.

    Facts of unknown items are not stored. A repeated id with the same content is a `duplicate`, with another
    content a `conflict`; both change nothing. `clocks`: by how many milliseconds each device's clock runs ahead.
    """
    await _queue_for_files(session, {file.sha256 for event in events for file in _files(event)})
    shipments = await _lock_shipments(session, {s10.compact(event.s10) for event in events})
    seen = await _stored_bodies(session, events)
    fresh: dict[str, list[_Incoming]] = defaultdict(list)
    outcomes: list[str] = []
    for event in events:
        row = shipments.get(s10.compact(event.s10))
        if row is None:
            outcomes.append("unknown_item")
            continue
        body = body_sha256(event)
        if event.event_id in seen:
            outcomes.append("duplicate" if seen[event.event_id] == body else "conflict")
            continue
        seen[event.event_id] = body
        fresh[row.id].append(
            _Incoming(
                event,
                sender,
                body,
                skew_ms=(clocks or {}).get(event.device_id),
                code_right=_code_right(event, row, terms.label_secret),
            )
        )
        outcomes.append("stored")
    verdicts = await _grow_logs(session, shipments.values(), fresh, at=at)
    repeated = {e.event_id for e, o in zip(events, outcomes, strict=True) if o == "duplicate"} - verdicts.keys()
    verdicts |= await _verdicts_of(session, repeated)
    return [
        _result(event, outcome, shipments.get(s10.compact(event.s10)), verdicts)
        for event, outcome in zip(events, outcomes, strict=True)
    ]


async def evidence_stored(session: AsyncSession, *, sha256: str, at: datetime) -> None:
    """Tell the legs whose facts name this file that it has arrived. Again is harmless.

    Call it in the transaction that adds the row of `evidence_file`. A file that no fact names yet is remembered by
    that row, and counts as soon as a fact names it.
    """
    await _queue_for_files(session, {sha256})
    named = select(EventFile.shipment_id).where(col(EventFile.sha256) == sha256)
    rows = (await session.exec(_locked().where(col(Shipment.id).in_(named)))).all()
    fresh = {row.id: [_file_arrived(row, sha256, at)] for row in rows}
    await _grow_logs(session, rows, fresh, at=at)


async def record_correction(session: AsyncSession, row: Shipment, correction: Correction, *, at: datetime) -> None:
    """Write a confirmed correction into the log of its shipment, whose row the caller has locked.

    The database refuses the fact unless the correction's row names it and two different people.
    """
    assert correction.event_id is not None
    event = EventBody(
        event_id=correction.event_id,
        s10=row.s10,
        kind="corrected",
        occurred_at=at,
        device_id=SERVICE.actor,
        device_seq=row.chain_length + 1,
        note=f"{correction.reason}: {correction.note}"[:500],
    )
    fact = _Incoming(event, SERVICE, body_sha256(event), voids=list(correction.voids))
    await _grow_logs(session, [row], {row.id: [fact]}, at=at)


async def record_as_service(
    session: AsyncSession, row: Shipment, kind: EventKind, *, event_id: str, note: str, at: datetime
) -> None:
    """Write a fact that the service itself has found out into the log of a shipment whose row the caller has locked."""
    event = EventBody(
        event_id=event_id,
        s10=row.s10,
        kind=kind,
        occurred_at=at,
        device_id=SERVICE.actor,
        device_seq=row.chain_length + 1,
        note=note[:500],
    )
    await _grow_logs(session, [row], {row.id: [_Incoming(event, SERVICE, body_sha256(event))]}, at=at)


def body_sha256(event: EventBody) -> str:
    """What makes two sendings of an event the same: its content, with times in UTC and the number compact.

    What later releases added is left out while it is empty, so that a fact sent before an upgrade and again after it
    is the same fact.
    """
    content = event.model_dump(mode="json")
    content["occurred_at"] = event.occurred_at.astimezone(UTC).isoformat(timespec="microseconds")
    content["s10"] = s10.compact(event.s10)
    if content["party"] is None:
        del content["party"]
    evidence = content["evidence"]
    if evidence is not None:
        for name in ("code", "files"):
            if not evidence[name]:
                del evidence[name]
    return chain.digest(content)


def _files(event: EventBody) -> tuple[EvidenceFile, ...]:
    return event.evidence.files if event.evidence is not None else ()


def _code_right(event: EventBody, row: Shipment, secret: str) -> bool | None:
    if event.evidence is None or event.evidence.code is None:
        return None
    return codes.is_code(event.evidence.code, secret=secret, number=row.s10)


def _file_arrived(row: Shipment, sha256: str, at: datetime) -> _Incoming:
    """The fact that a file is there; its id follows from what it says, so that it is written once."""
    identity = UUID(bytes=hashlib.sha256(f"evidence_stored\n{row.id}\n{sha256}".encode()).digest()[:16], version=5)
    event = EventBody(
        event_id=str(identity),
        s10=row.s10,
        kind="evidence_stored",
        occurred_at=at,
        device_id=SERVICE.actor,
        device_seq=1,
        evidence=Evidence(files=(EvidenceFile(kind="receipt", sha256=sha256),)),
    )
    return _Incoming(event, SERVICE, body_sha256(event))


async def _queue_for_files(session: AsyncSession, files: AbstractSet[str]) -> None:
    """One at a time by file: a fact that names a file and the file itself may arrive in the same instant, and
    whichever comes second must see the first. Taken before any shipment is locked, always in the same order."""
    for sha256 in sorted(files):
        await session.exec(select(func.pg_advisory_xact_lock(func.hashtextextended(sha256, 0))))


def _result(
    event: PostEvent, outcome: str, row: Shipment | None, verdicts: Mapping[str, tuple[bool, str | None]]
) -> EventResult:
    told = outcome in ("stored", "duplicate")
    applied, anomaly = verdicts.get(event.event_id, (False, None)) if told else (False, None)
    return EventResult.model_validate(
        {
            "event_id": event.event_id,
            "result": outcome,
            "applied": applied,
            "anomaly": anomaly,
            "status": row.status if row is not None and told else None,
        }
    )


def _locked() -> SelectOfScalar[Shipment]:
    """Rows locked in one order, so that two batches never wait for each other."""
    query = select(Shipment).order_by(col(Shipment.id)).with_for_update()
    return query.execution_options(populate_existing=True)


async def _lock_shipments(session: AsyncSession, numbers: AbstractSet[str]) -> dict[str, Shipment]:
    """The shipments of a batch by item number."""
    query = _locked().where(among(col(Shipment.s10), numbers))
    return {row.s10: row for row in (await session.exec(query)).all()}


async def _stored_bodies(session: AsyncSession, events: Sequence[PostEvent]) -> dict[str, str]:
    ids = {event.event_id for event in events}
    query = select(Event.id, Event.body_sha256).where(among(col(Event.id), ids))
    return dict((await session.exec(query)).all())


async def _verdicts_of(session: AsyncSession, ids: AbstractSet[str]) -> dict[str, tuple[bool, str | None]]:
    if not ids:
        return {}
    query = select(Verdict.event_id, Verdict.applied, Verdict.anomaly).where(among(col(Verdict.event_id), ids))
    return {event_id: (applied, anomaly) for event_id, applied, anomaly in (await session.exec(query)).all()}


# --- the log grows -------------------------------------------------------------------------------


async def _grow_logs(
    session: AsyncSession, shipments: Iterable[Shipment], fresh: Mapping[str, list[_Incoming]], *, at: datetime
) -> dict[str, tuple[bool, str | None]]:
    """Gives what is thought of every fact of these shipments now."""
    if not fresh:
        return {}
    known = await queries.log_of(session, fresh)
    pieces = await queries.pieces_of(session, fresh)
    bulletin = await Bulletin.begin(session, fresh, at=at)
    stored = await _stored_files(session, fresh)
    grown: list[Grown] = []
    for row in shipments:
        if row.id not in fresh:
            continue
        before = {entry.event.id: (entry.applied, entry.anomaly) for entry in known[row.id]}
        named = sorted({file.sha256 for fact in fresh[row.id] for file in _files(fact.event)} & stored)
        arrived = [_file_arrived(row, sha256, at) for sha256 in named]
        facts = {fact.event.event_id: fact for fact in (*fresh[row.id], *arrived) if fact.event.event_id not in before}
        added = _append(row, list(facts.values()), at=at)
        log = [queries.fact_of(entry.event) for entry in known[row.id]]
        leg = leg_of(row, piece_count=len(pieces[row.id]))
        result = custody.fold(leg, (*log, *map(queries.fact_of, added)))
        counted = [fact for fact in log if before[fact.event_id][0]]
        grown.append(Grown(row, before, counted, added, result, pieces[row.id]))
    await logbook.write(session, grown)
    for one in grown:
        bulletin.gather(one.row, one.result, log=one.known, added={event.id: event.kind for event in one.added})
    await bulletin.publish(session)
    return {v.fact.event_id: (v.applied, v.anomaly) for one in grown for v in one.result.verdicts}


async def _stored_files(session: AsyncSession, fresh: Mapping[str, Sequence[_Incoming]]) -> set[str]:
    named = {
        file.sha256
        for facts in fresh.values()
        for fact in facts
        if fact.event.kind != "evidence_stored"
        for file in _files(fact.event)
    }
    if not named:
        return set()
    query = select(StoredFile.sha256).where(col(StoredFile.sha256).in_(named))
    return set((await session.exec(query)).all())


def leg_of(row: Shipment, *, piece_count: int) -> custody.Leg:
    """What the fold must know of a shipment besides its events."""
    return custody.Leg(
        direction=cast("contract.Direction", row.direction),
        piece_count=piece_count,
        cash_due_dong=row.cash_due_dong,
        booked_at=row.created_at,
        hold_days=row.hold_days,
    )


def _append(row: Shipment, facts: Sequence[_Incoming], *, at: datetime) -> list[LogRow]:
    added = []
    head, length = row.chain_head, row.chain_length
    for fact in facts:
        event = fact.event
        stored = LogRow(
            id=event.event_id,
            shipment_id=row.id,
            chain_position=length + 1,
            kind=event.kind,
            occurred_at=event.occurred_at.astimezone(UTC),
            received_at=at,
            source=fact.sender.source,
            actor=fact.sender.actor,
            device_id=event.device_id,
            device_seq=event.device_seq,
            place=event.place,
            reason=event.reason,
            measure=event.measure,
            cash_collected_dong=event.cash_collected_dong,
            evidence=_evidence_column(event),
            note=event.note,
            body_sha256=fact.body_sha256,
            prev_hash=head,
            hash="",
            skew_ms=fact.skew_ms,
            code_right=fact.code_right,
            party=event.party.model_dump(mode="json") if event.party is not None else None,
            voids=fact.voids,
        )
        stored.hash = head = chain.link_hash(head, queries.log_body(stored))
        length = stored.chain_position
        added.append(stored)
    set_committed_value(row, "chain_head", head)
    set_committed_value(row, "chain_length", length)
    return added


def _evidence_column(event: EventBody) -> dict[str, Any] | None:
    """The evidence as kept. The delivery code is compared and then forgotten: readers of the log must not know it."""
    if event.evidence is None:
        return None
    content = event.evidence.model_dump(mode="json", exclude={"code"})
    if not content["files"]:
        del content["files"]
    return content
