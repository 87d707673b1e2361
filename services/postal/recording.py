"""Takes in facts: stores each once, folds what is known, keeps the lists true and tells the news once.

A shipment's row is locked while its log grows, so two devices syncing at the same moment cannot fork its chain.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import Table, inspect, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.ids import new_id, new_reference
from services.postal import chain, contract, custody, queries, rules, s10, wording
from services.postal.contract import EventResult, PostalEvent, PostEvent
from services.postal.models import Announcement, CashCollection, Event, Piece, Shipment, Verdict, outbox


@dataclass(frozen=True, slots=True)
class Sender:
    """Who brings the facts: the actor written into the log, and in which capacity."""

    actor: str
    source: rules.Source


async def record_events(
    session: AsyncSession, events: Sequence[PostEvent], *, sender: Sender, at: datetime, hold_days: int
) -> list[EventResult]:
    """Store a batch and say of each item what became of it, in the order of the batch.

    Facts of unknown items are not stored. A repeated id with the same content is a `duplicate`, with another
    content a `conflict`; both change nothing.
    """
    shipments = await _lock_shipments(session, events)
    seen = await _stored_bodies(session, events)
    fresh: dict[str, list[PostEvent]] = defaultdict(list)
    outcomes: list[str] = []
    for event in events:
        body = body_sha256(event)
        row = shipments.get(s10.compact(event.s10))
        if row is None:
            outcomes.append("unknown_item")
        elif event.event_id in seen:
            outcomes.append("duplicate" if seen[event.event_id] == body else "conflict")
        else:
            seen[event.event_id] = body
            fresh[row.id].append(event)
            outcomes.append("stored")
    await _grow_logs(session, shipments, fresh, sender=sender, at=at, hold_days=hold_days)
    verdicts = await _verdicts_of(session, events)
    return [
        _result(event, outcome, shipments.get(s10.compact(event.s10)), verdicts)
        for event, outcome in zip(events, outcomes, strict=True)
    ]


def body_sha256(event: PostEvent) -> str:
    """What makes two sendings of an event the same: its content, with times in UTC and the number compact."""
    content = event.model_dump(mode="json")
    content["occurred_at"] = event.occurred_at.astimezone(UTC).isoformat(timespec="microseconds")
    content["s10"] = s10.compact(event.s10)
    return chain.digest(content)


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


async def _lock_shipments(session: AsyncSession, events: Sequence[PostEvent]) -> dict[str, Shipment]:
    """The shipments of a batch by item number, locked in one order so that two batches never wait for each other."""
    numbers = sorted({s10.compact(event.s10) for event in events})
    query = (
        select(Shipment)
        .where(col(Shipment.s10).in_(numbers))
        .order_by(col(Shipment.id))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
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
    session: AsyncSession,
    shipments: Mapping[str, Shipment],
    fresh: Mapping[str, Sequence[PostEvent]],
    *,
    sender: Sender,
    at: datetime,
    hold_days: int,
) -> None:
    if not fresh:
        return
    known = await queries.events_of(session, fresh)
    pieces = await queries.pieces_of(session, fresh)
    told = await _news_told(session, fresh)
    grown: list[tuple[Shipment, list[Event], custody.Custody]] = []
    for row in shipments.values():
        if row.id not in fresh:
            continue
        added = _append(row, fresh[row.id], sender=sender, at=at)
        facts = [queries.fact_of(entry.event) for entry in known[row.id]] + [queries.fact_of(event) for event in added]
        leg = leg_of(row, piece_count=len(pieces[row.id]), hold_days=hold_days)
        grown.append((row, added, custody.fold(leg, facts)))
    await _insert(session, Event, [_columns(event) for _, added, _ in grown for event in added])
    await _store_verdicts(session, [(row, result, known[row.id]) for row, _, result in grown])
    for row, added, result in grown:
        await _project(session, row, result, pieces[row.id])
        await _announce(session, row, result, known[row.id], added, told=told[row.id], at=at)


def leg_of(row: Shipment, *, piece_count: int, hold_days: int) -> custody.Leg:
    """What the fold must know of a shipment besides its events."""
    return custody.Leg(
        direction=cast("contract.Direction", row.direction),
        piece_count=piece_count,
        cash_due_dong=row.cash_due_dong,
        booked_at=row.created_at,
        hold_days=hold_days,
    )


def _append(row: Shipment, events: Sequence[PostEvent], *, sender: Sender, at: datetime) -> list[Event]:
    added = []
    for event in events:
        stored = Event(
            id=event.event_id,
            shipment_id=row.id,
            chain_position=row.chain_length + 1,
            kind=event.kind,
            occurred_at=event.occurred_at.astimezone(UTC),
            received_at=at,
            source=sender.source,
            actor=sender.actor,
            device_id=event.device_id,
            device_seq=event.device_seq,
            place=event.place,
            reason=event.reason,
            measure=event.measure,
            cash_collected_dong=event.cash_collected_dong,
            evidence=event.evidence.model_dump(mode="json") if event.evidence is not None else None,
            note=event.note,
            body_sha256=body_sha256(event),
            prev_hash=row.chain_head,
            hash="",
        )
        stored.hash = chain.link_hash(row.chain_head, queries.log_body(stored))
        row.chain_head, row.chain_length = stored.hash, stored.chain_position
        added.append(stored)
    return added


def _columns(event: Event) -> dict[str, Any]:
    return event.model_dump()


async def _insert(session: AsyncSession, model: type[SQLModel], rows: list[dict[str, Any]]) -> None:
    if rows:
        table = cast("Table", inspect(model).local_table)
        await (await session.connection()).execute(insert(table), rows)


async def _store_verdicts(
    session: AsyncSession, grown: Sequence[tuple[Shipment, custody.Custody, Sequence[queries.LoggedEvent]]]
) -> None:
    """Write what changed: a late fact may alter what was thought of facts before it."""
    rows = []
    for row, result, log in grown:
        before = {entry.event.id: (entry.applied, entry.anomaly) for entry in log}
        for verdict in result.verdicts:
            identity = verdict.fact.event_id
            if before.get(identity) != (verdict.applied, verdict.anomaly):
                values = {"shipment_id": row.id, "applied": verdict.applied, "anomaly": verdict.anomaly}
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
    "pickup_failed": "shipment.pickup_failed",
    "attempt_failed": "shipment.attempt_failed",
    "held": "shipment.held",
    "ready_for_collection": "shipment.held",
}


async def _announce(
    session: AsyncSession,
    row: Shipment,
    result: custody.Custody,
    log: Sequence[queries.LoggedEvent],
    added: Sequence[Event],
    *,
    told: set[str],
    at: datetime,
) -> None:
    """Tell each piece of news once. A fact that only fills in history is news only if a milestone was untold."""
    direction = cast("contract.Direction", row.direction)
    new = {event.id for event in added}
    newest = max((queries.fact_of(e.event).order for e in log if e.applied), default=None)
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
