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

from sqlalchemy import Table, delete, func, inspect, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from kit.ids import new_id, new_reference
from services.postal import chain, codes, contract, custody, queries, rules, s10, wording
from services.postal.contract import EventBody, EventKind, EventResult, Evidence, EvidenceFile, PostalEvent, PostEvent
from services.postal.models import (
    Announcement,
    CashCollection,
    Correction,
    Event,
    EventFile,
    Piece,
    Shipment,
    Verdict,
    outbox,
)
from services.postal.models import EvidenceFile as StoredFile


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
    await _grow_logs(session, shipments.values(), fresh, at=at)
    verdicts = await _verdicts_of(session, events)
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
    query = _locked().where(col(Shipment.s10).in_(sorted(numbers)))
    return {row.s10: row for row in (await session.exec(query)).all()}


async def _stored_bodies(session: AsyncSession, events: Sequence[PostEvent]) -> dict[str, str]:
    ids = {event.event_id for event in events}
    query = select(Event.id, Event.body_sha256).where(col(Event.id).in_(ids))
    return dict((await session.exec(query)).all())


async def _verdicts_of(session: AsyncSession, events: Sequence[PostEvent]) -> dict[str, tuple[bool, str | None]]:
    ids = {event.event_id for event in events}
    query = select(Verdict.event_id, Verdict.applied, Verdict.anomaly).where(col(Verdict.event_id).in_(ids))
    return {event_id: (applied, anomaly) for event_id, applied, anomaly in (await session.exec(query)).all()}


# --- the log grows -------------------------------------------------------------------------------


async def _grow_logs(
    session: AsyncSession, shipments: Iterable[Shipment], fresh: Mapping[str, list[_Incoming]], *, at: datetime
) -> None:
    if not fresh:
        return
    known = await queries.events_of(session, fresh)
    pieces = await queries.pieces_of(session, fresh)
    told = await _news_told(session, fresh)
    stored = await _stored_files(session, fresh)
    grown: list[_Grown] = []
    for row in shipments:
        if row.id not in fresh:
            continue
        log = known[row.id]
        logged = {entry.event.id for entry in log}
        named = sorted({file.sha256 for fact in fresh[row.id] for file in _files(fact.event)} & stored)
        arrived = [_file_arrived(row, sha256, at) for sha256 in named]
        facts = {fact.event.event_id: fact for fact in (*fresh[row.id], *arrived) if fact.event.event_id not in logged}
        added = _append(row, list(facts.values()), at=at)
        everything = (*(queries.fact_of(entry.event) for entry in log), *map(queries.fact_of, added))
        result = custody.fold(leg_of(row, piece_count=len(pieces[row.id])), everything)
        grown.append(_Grown(row, log, added, result))
    await _insert(session, Event, [_columns(event) for one in grown for event in one.added])
    await _insert(session, EventFile, [file for one in grown for event in one.added for file in _file_rows(event)])
    await _store_verdicts(session, grown)
    for one in grown:
        await _project(session, one.row, one.result, pieces[one.row.id])
        await _announce(session, one, told=told[one.row.id], at=at)


@dataclass(frozen=True, slots=True)
class _Grown:
    """A shipment whose log has just grown."""

    row: Shipment
    log: Sequence[queries.LoggedEvent]
    added: Sequence[Event]
    result: custody.Custody


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


def _file_rows(event: Event) -> list[dict[str, Any]]:
    if event.kind == "evidence_stored" or event.evidence is None:
        return []
    kinds = {file["sha256"]: file["kind"] for file in event.evidence.get("files", ())}
    return [
        {"event_id": event.id, "sha256": sha256, "shipment_id": event.shipment_id, "kind": kind}
        for sha256, kind in kinds.items()
    ]


def leg_of(row: Shipment, *, piece_count: int) -> custody.Leg:
    """What the fold must know of a shipment besides its events."""
    return custody.Leg(
        direction=cast("contract.Direction", row.direction),
        piece_count=piece_count,
        cash_due_dong=row.cash_due_dong,
        booked_at=row.created_at,
        hold_days=row.hold_days,
    )


def _append(row: Shipment, facts: Sequence[_Incoming], *, at: datetime) -> list[Event]:
    added = []
    for fact in facts:
        event = fact.event
        stored = Event(
            id=event.event_id,
            shipment_id=row.id,
            chain_position=row.chain_length + 1,
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
            prev_hash=row.chain_head,
            hash="",
            skew_ms=fact.skew_ms,
            code_right=fact.code_right,
            party=event.party.model_dump(mode="json") if event.party is not None else None,
            voids=fact.voids,
        )
        stored.hash = chain.link_hash(row.chain_head, queries.log_body(stored))
        row.chain_head, row.chain_length = stored.hash, stored.chain_position
        added.append(stored)
    return added


def _evidence_column(event: EventBody) -> dict[str, Any] | None:
    """The evidence as kept. The delivery code is compared and then forgotten: readers of the log must not know it."""
    if event.evidence is None:
        return None
    content = event.evidence.model_dump(mode="json", exclude={"code"})
    if not content["files"]:
        del content["files"]
    return content


def _columns(event: Event) -> dict[str, Any]:
    return event.model_dump()


async def _insert(session: AsyncSession, model: type[SQLModel], rows: list[dict[str, Any]]) -> None:
    if rows:
        table = cast("Table", inspect(model).local_table)
        await (await session.connection()).execute(insert(table), rows)


async def _store_verdicts(session: AsyncSession, grown: Sequence[_Grown]) -> None:
    """Write what changed: a late fact may alter what was thought of facts before it."""
    rows = []
    for one in grown:
        before = {entry.event.id: (entry.applied, entry.anomaly) for entry in one.log}
        for verdict in one.result.verdicts:
            identity = verdict.fact.event_id
            if before.get(identity) != (verdict.applied, verdict.anomaly):
                values = {"shipment_id": one.row.id, "applied": verdict.applied, "anomaly": verdict.anomaly}
                rows.append({"event_id": identity, **values})
    if not rows:
        return
    statement = insert(cast("Table", inspect(Verdict).local_table))
    changed = {"applied": statement.excluded.applied, "anomaly": statement.excluded.anomaly}
    upsert = statement.on_conflict_do_update(index_elements=["event_id"], set_=changed)
    await (await session.connection()).execute(upsert, rows)


async def _project(session: AsyncSession, row: Shipment, result: custody.Custody, pieces: Sequence[Piece]) -> None:
    """Bring the shipment's row, its checklist and its cash in line with the fold."""
    row.status, row.custodian = result.status, result.custodian
    row.seal_number, row.attempts, row.held_until = result.seal_number, result.attempts, result.held_until
    row.last_seen_at = result.last_seen_at
    row.pickup_status, row.files_missing = result.pickup, len(result.files_missing)
    row.release_since = result.release.since if result.release is not None else None
    row.release_to = result.release.name or wording.CUSTODIAN[result.release.to][0] if result.release else None
    row.version += 1
    if result.collection is not None and row.receipt_code is None:
        row.receipt_code = new_reference("BN")
    ticked = {piece.position for piece in pieces if piece.collected}
    if ticked != result.collected_positions:
        table = cast("Table", inspect(Piece).local_table)
        ticks = update(table).where(table.c.shipment_id == row.id)
        await (await session.connection()).execute(
            ticks.values(collected=table.c.position.in_(result.collected_positions))
        )
    await _project_cash(session, row, result)


async def _project_cash(session: AsyncSession, row: Shipment, result: custody.Custody) -> None:
    """Cash in the courier's hands. A correction takes it back only while nobody has counted it into a deposit."""
    if result.cash is None and row.cash_collected_dong:
        undeposited = delete(CashCollection).where(
            col(CashCollection.shipment_id) == row.id, col(CashCollection.deposit_id).is_(None)
        )
        gone = await session.exec(undeposited.returning(col(CashCollection.shipment_id)))
        if gone.first() is not None:
            row.cash_collected_dong = 0
    if result.cash is not None and row.cash_collected_dong == 0:
        row.cash_collected_dong = result.cash.counted_cash_dong
        cash = CashCollection(
            shipment_id=row.id,
            event_id=result.cash.fact.event_id,
            dossier_code=row.dossier_code,
            courier=result.cash.fact.actor,
            amount_dong=result.cash.counted_cash_dong,
            collected_at=result.cash.fact.occurred_at,
        )
        await _insert(session, CashCollection, [cash.model_dump()])


# --- the news ------------------------------------------------------------------------------------


async def _news_told(session: AsyncSession, shipment_ids: Mapping[str, object]) -> dict[str, set[str]]:
    query = select(Announcement.shipment_id, Announcement.news).where(
        col(Announcement.shipment_id).in_(list(shipment_ids))
    )
    told: dict[str, set[str]] = defaultdict(set)
    for shipment_id, news in (await session.exec(query)).all():
        told[shipment_id].add(news)
    return told


def milestone(verdict: custody.Verdict, direction: contract.Direction) -> str | None:
    """News of a state that a leg reaches at most once in its life."""
    if verdict.recorded_collection:
        return f"shipment.{verdict.fact.kind}"
    match verdict.entered:
        case "delivered":
            return "shipment.arrived" if direction == "outbound" else "shipment.delivered"
        case "returned" | "lost" | "cancelled" as end:
            return f"shipment.{end}"
        case _:
            return None


_REPEATABLE: Mapping[contract.EventKind, str] = {
    "pickup_rejected": "shipment.pickup_rejected",
    "pickup_expired": "shipment.pickup_expired",
    "corrected": "shipment.corrected",
    "missing_from_bag": "shipment.missing_from_bag",
    "pickup_failed": "shipment.pickup_failed",
    "attempt_failed": "shipment.attempt_failed",
    "held": "shipment.held",
    "ready_for_collection": "shipment.held",
}


async def _announce(session: AsyncSession, one: _Grown, *, told: set[str], at: datetime) -> None:
    """Tell each piece of news once. A fact that only fills in history is news only if a milestone was untold."""
    row, result = one.row, one.result
    direction = cast("contract.Direction", row.direction)
    new = {event.id for event in one.added}
    newest = max((queries.fact_of(e.event).order for e in one.log if e.applied), default=None)
    if any(event.kind == "corrected" for event in one.added):
        await _take_back(session, row, {milestone(verdict, direction) for verdict in result.verdicts}, told=told)
    for verdict in result.verdicts:
        fact = verdict.fact
        reached = milestone(verdict, direction)
        if reached is not None:
            await _tell(session, row, reached, reached, verdict, told=told, at=at)
        if verdict.counted_cash_dong:
            await _tell(session, row, "shipment.cash_collected", "shipment.cash_collected", verdict, told=told, at=at)
        if fact.event_id not in new:
            continue
        again = _REPEATABLE.get(fact.kind)
        if again is not None and verdict.applied and (newest is None or fact.order > newest):
            await _tell(session, row, again, f"{again}:{fact.event_id}", verdict, told=told, at=at)
        if wording.needs_attention(verdict.anomaly) or verdict.entered == "damaged":
            await _tell(
                session, row, "shipment.anomaly", f"shipment.anomaly:{fact.event_id}", verdict, told=told, at=at
            )


async def _take_back(session: AsyncSession, row: Shipment, reached: AbstractSet[str | None], *, told: set[str]) -> None:
    """After a correction, milestones that did not happen may be told again when they do."""
    milestones = {news for news in told if ":" not in news and news != "shipment.cash_collected"}
    untrue = milestones - reached
    if untrue:
        told -= untrue
        await session.exec(
            delete(Announcement).where(col(Announcement.shipment_id) == row.id, col(Announcement.news).in_(untrue))
        )


async def _tell(
    session: AsyncSession,
    row: Shipment,
    kind: str,
    news: str,
    verdict: custody.Verdict,
    *,
    told: set[str],
    at: datetime,
) -> None:
    if news in told:
        return
    told.add(news)
    cash = kind == "shipment.cash_collected"
    await _insert(session, Announcement, [{"shipment_id": row.id, "news": news, "announced_at": at}])
    await tell(
        session,
        row,
        kind,
        status=verdict.status,
        occurred_at=verdict.fact.occurred_at,
        cash_collected_dong=row.cash_collected_dong if cash else 0,
        collector=verdict.fact.actor if cash else "",
    )


async def tell(
    session: AsyncSession,
    row: Shipment,
    kind: str,
    *,
    status: str,
    occurred_at: datetime,
    cash_collected_dong: int = 0,
    collector: str = "",
    claim_id: str | None = None,
) -> None:
    """Put one piece of news of a shipment into the outbox."""
    identity = new_id("evt")
    event = PostalEvent(
        event_id=identity,
        dossier_code=row.dossier_code,
        shipment_id=row.id,
        direction=cast("contract.Direction", row.direction),
        status=status,
        cash_collected_dong=cash_collected_dong,
        collector=collector,
        claim_id=claim_id,
        occurred_at=occurred_at,
    )
    data = event.model_dump(mode="json")
    await outbox.announce(session, kind, subject=row.dossier_code, data=data, event_id=identity)
