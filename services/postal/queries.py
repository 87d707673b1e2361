"""Reads: rows of the postal tables, and how they look in the contract. Nothing here changes anything."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import ColumnElement, Table, and_, func, inspect, or_
from sqlalchemy import select as core_select
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.bulk import among
from kit.errors import BadInput, FieldError, NotFound, WrongMoment
from kit.pagination import Page, decode_cursor, encode_cursor, page_of
from services.postal import chain, contract, custody, desk_wording, rules, s10, wording
from services.postal.desk_models import Wish
from services.postal.models import CashCollection, Claim, Contact, Event, LogRow, Piece, Shipment, Verdict


class NoSuchShipment(NotFound):
    kind = "no-such-shipment"


class NoSuchClaim(NotFound):
    kind = "no-such-claim"


class NotCollectedYet(WrongMoment):
    kind = "not-collected-yet"


async def shipment(session: AsyncSession, shipment_id: str, *, lock: bool = False) -> Shipment:
    """A shipment by id. Raises NoSuchShipment."""
    query = select(Shipment).where(col(Shipment.id) == shipment_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    row = (await session.exec(query)).one_or_none()
    if row is None:
        raise NoSuchShipment("Không có bưu gửi này; hãy kiểm tra lại mã.", "There is no such shipment; check the id.")
    return row


async def shipment_by_number(session: AsyncSession, number: str) -> Shipment:
    """A shipment by its item number, as typed or scanned. Raises BadInput (wrong check digit), NoSuchShipment."""
    parsed = s10.parse(number)
    if parsed is None:
        raise BadInput(
            "Số hiệu bưu gửi không đúng; hãy kiểm tra lại từng ký tự.",
            "The item number is not right; check it character by character.",
            fields=[FieldError("s10", "sai dạng hoặc sai số kiểm tra", "wrong form or wrong check digit")],
        )
    row = (await session.exec(select(Shipment).where(col(Shipment.s10) == str(parsed)))).one_or_none()
    if row is None:
        raise NoSuchShipment("Không tìm thấy bưu gửi có số hiệu này.", "No item with this number is known here.")
    return row


async def contact(session: AsyncSession, contact_id: str) -> Contact:
    """The contact of a shipment; the foreign key guarantees that it is there."""
    row = await session.get(Contact, contact_id)
    assert row is not None
    return row


async def pieces_of(session: AsyncSession, shipment_ids: Iterable[str]) -> dict[str, list[Piece]]:
    """The checklists of several shipments, in order of position."""
    query = select(Piece).where(among(col(Piece.shipment_id), shipment_ids))
    found: dict[str, list[Piece]] = defaultdict(list)
    for piece in (await session.exec(query.order_by(col(Piece.position)))).all():
        found[piece.shipment_id].append(piece)
    return found


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """A stored event with what the fold makes of it today."""

    event: Event
    applied: bool
    anomaly: str | None


@dataclass(frozen=True, slots=True)
class LogLine:
    """The same, light: for intake, tracking and checks, which read many and change none."""

    event: LogRow
    applied: bool
    anomaly: str | None


async def events_of(session: AsyncSession, shipment_ids: Iterable[str]) -> dict[str, list[LoggedEvent]]:
    """The logs of several shipments, in the order in which they were stored."""
    query = (
        select(Event, Verdict.applied, Verdict.anomaly)
        .join(Verdict, col(Verdict.event_id) == col(Event.id))
        .where(col(Event.shipment_id).in_(list(shipment_ids)))
        .order_by(col(Event.shipment_id), col(Event.chain_position))
    )
    found: dict[str, list[LoggedEvent]] = defaultdict(list)
    for event, applied, anomaly in (await session.exec(query)).all():
        found[event.shipment_id].append(LoggedEvent(event, applied, anomaly))
    return found


_LOG_COLUMNS = tuple(cast("Table", inspect(Event).local_table).c[part.name] for part in fields(LogRow))


async def log_of(session: AsyncSession, shipment_ids: Iterable[str]) -> dict[str, list[LogLine]]:
    """The logs of several shipments, in the order in which they were stored, without mapped objects."""
    query = (
        core_select(*_LOG_COLUMNS, col(Verdict.applied), col(Verdict.anomaly))
        .join(Verdict, col(Verdict.event_id) == col(Event.id))
        .where(among(col(Event.shipment_id), shipment_ids))
        .order_by(col(Event.shipment_id), col(Event.chain_position))
    )
    found: dict[str, list[LogLine]] = defaultdict(list)
    for *row, applied, anomaly in (await (await session.connection()).execute(query)).all():
        event = LogRow(*row)
        found[event.shipment_id].append(LogLine(event, applied, anomaly))
    return found


def happened_at(event: Event | LogRow) -> datetime:
    """When a fact happened: the device's time less the skew it reported when it synchronised."""
    return event.occurred_at - timedelta(milliseconds=event.skew_ms or 0)


def fact_of(event: Event | LogRow) -> custody.Fact:
    """A stored event as the fold sees it: with its time by the service's clock."""
    evidence = contract.Evidence.model_validate(event.evidence) if event.evidence is not None else None
    party = contract.Party.model_validate(event.party) if event.party is not None else None
    return custody.Fact(
        event_id=event.id,
        kind=cast("contract.EventKind", event.kind),
        occurred_at=happened_at(event),
        received_at=event.received_at,
        source=cast("rules.Source", event.source),
        actor=event.actor,
        device_seq=event.device_seq,
        device_id=event.device_id,
        place=event.place,
        skew=timedelta(milliseconds=event.skew_ms) if event.skew_ms is not None else None,
        code_right=event.code_right,
        party=party,
        voids=tuple(event.voids or ()),
        reason=cast("contract.ReasonCode | None", event.reason),
        measure=cast("contract.MeasureCode | None", event.measure),
        cash_collected_dong=event.cash_collected_dong,
        evidence=evidence,
    )


def log_body(event: Event | LogRow) -> dict[str, object]:
    """Everything of an event that its hash covers. What an event does not have is left out."""
    later = {
        "code_right": event.code_right,
        "party": event.party,
        "skew_ms": event.skew_ms,
        "voids": event.voids,
    }
    return {
        **{name: value for name, value in later.items() if value is not None},
        "actor": event.actor,
        "body_sha256": event.body_sha256,
        "cash_collected_dong": event.cash_collected_dong,
        "device_id": event.device_id,
        "device_seq": event.device_seq,
        "event_id": event.id,
        "evidence": event.evidence,
        "kind": event.kind,
        "measure": event.measure,
        "note": event.note,
        "occurred_at": event.occurred_at.isoformat(timespec="microseconds"),
        "place": event.place,
        "reason": event.reason,
        "received_at": event.received_at.isoformat(timespec="microseconds"),
        "shipment_id": event.shipment_id,
        "source": event.source,
    }


def check_chain(row: Shipment, log: Sequence[LoggedEvent] | Sequence[LogLine]) -> chain.ChainCheck:
    """Whether a shipment's log is still as it was written."""
    links = [chain.Link(e.event.chain_position, e.event.prev_hash, e.event.hash, log_body(e.event)) for e in log]
    return chain.verify(links, head=row.chain_head, length=row.chain_length)


# --- contract shapes -----------------------------------------------------------------------------


def shipment_record(row: Shipment, pieces: Sequence[Piece], *, public_url: str) -> contract.Shipment:
    """A shipment as other rooms may know it."""
    return contract.Shipment(
        id=row.id,
        s10=row.s10,
        dossier_code=row.dossier_code,
        direction=cast("contract.Direction", row.direction),
        status=cast("contract.ShipmentStatus", row.status),
        custodian=cast("contract.Custodian", row.custodian),
        agency=row.agency,
        weight_grams=row.weight_grams,
        postage_dong=row.postage_dong,
        pieces=tuple(contract.Piece(position=p.position, name=p.name, collected=p.collected) for p in pieces),
        seal_number=row.seal_number,
        cash_due_dong=row.cash_due_dong,
        cash_collected_dong=row.cash_collected_dong,
        attempts=row.attempts,
        held_until=row.held_until,
        receipt_code=row.receipt_code,
        tracking_url=f"{public_url}/track/{row.s10}",
        created_at=row.created_at,
        version=row.version,
        pickup_status=cast("contract.PickupStatus", row.pickup_status),
        files_missing=row.files_missing,
        release_since=row.release_since,
        release_to=row.release_to,
    )


def event_record(entry: LoggedEvent) -> contract.ShipmentEvent:
    """A logged event as readers of the API see it."""
    event = entry.event
    return contract.ShipmentEvent(
        id=event.id,
        kind=event.kind,
        occurred_at=event.occurred_at,
        received_at=event.received_at,
        device_id=event.device_id,
        device_seq=event.device_seq,
        actor=event.actor,
        place=event.place,
        reason=event.reason,
        measure=event.measure,
        applied=entry.applied,
        anomaly=entry.anomaly,
        note=event.note,
    )


async def one_shipment(session: AsyncSession, row: Shipment, *, public_url: str) -> contract.Shipment:
    """A shipment with its checklist."""
    pieces = await pieces_of(session, [row.id])
    return shipment_record(row, pieces[row.id], public_url=public_url)


async def shipment_detail(session: AsyncSession, shipment_id: str, *, public_url: str) -> contract.ShipmentDetail:
    """A shipment with its whole log, in the order of the fold. Raises NoSuchShipment."""
    row = await shipment(session, shipment_id)
    record = await one_shipment(session, row, public_url=public_url)
    log = (await events_of(session, [row.id]))[row.id]
    in_order = sorted(log, key=lambda entry: fact_of(entry.event).order)
    return contract.ShipmentDetail(
        **record.model_dump(),
        events=tuple(event_record(e) for e in in_order),
        quote=contract.KeptQuote.model_validate(row.quote) if row.quote is not None else None,
    )


@dataclass(frozen=True, slots=True)
class ShipmentFilter:
    """Which shipments a list shows; None means any."""

    dossier_code: str | None = None
    status: str | None = None
    direction: str | None = None


async def shipments(session: AsyncSession, chosen: ShipmentFilter, *, cursor: str | None, limit: int) -> Page[Shipment]:
    """Shipments, newest first; ids are time-ordered."""
    query = select(Shipment).order_by(col(Shipment.id).desc()).limit(limit + 1)
    if chosen.dossier_code is not None:
        query = query.where(col(Shipment.dossier_code) == chosen.dossier_code)
    if chosen.status is not None:
        query = query.where(col(Shipment.status) == chosen.status)
    if chosen.direction is not None:
        query = query.where(col(Shipment.direction) == chosen.direction)
    if cursor is not None:
        (after,) = decode_cursor(cursor, str)
        query = query.where(col(Shipment.id) < _storable(after))
    rows = (await session.exec(query)).all()
    return page_of(rows, limit=limit, cursor_of=lambda row: encode_cursor(row.id))


def _storable(position: str | int) -> str:
    """A cursor is the caller's text: PostgreSQL has no room for NUL or for half a surrogate pair."""
    return str(position).replace("\x00", "").encode("utf-8", "replace").decode()


async def shipment_page(
    session: AsyncSession, chosen: ShipmentFilter, *, cursor: str | None, limit: int, public_url: str
) -> contract.ShipmentPage:
    """A page of shipments with their checklists."""
    page = await shipments(session, chosen, cursor=cursor, limit=limit)
    pieces = await pieces_of(session, [row.id for row in page.items])
    items = tuple(shipment_record(row, pieces[row.id], public_url=public_url) for row in page.items)
    return contract.ShipmentPage(items=items, next_cursor=page.next_cursor)


async def receipt(session: AsyncSession, shipment_id: str) -> contract.PickupReceipt:
    """Proof that the post took the papers. Raises NoSuchShipment, NotCollectedYet."""
    row = await shipment(session, shipment_id)
    log = (await events_of(session, [row.id]))[row.id]
    collections = [e for e in log if e.applied and e.event.kind in rules.COLLECTIONS]
    if row.receipt_code is None or not collections:
        raise NotCollectedYet(
            "Bưu điện chưa nhận hồ sơ nên chưa có biên nhận; hãy xem lại sau khi bưu tá đã kiểm đếm và niêm phong.",
            "The post has not picked up the papers, so there is no receipt yet; look again after the pickup.",
        )
    [found] = collections
    evidence = contract.Evidence.model_validate(found.event.evidence)
    assert evidence.seal_number is not None
    assert evidence.citizen_signature_sha256 is not None
    assert evidence.courier_signature_sha256 is not None
    pieces = (await pieces_of(session, [row.id]))[row.id]
    return contract.PickupReceipt(
        receipt_code=row.receipt_code,
        s10=row.s10,
        shipment_id=row.id,
        dossier_code=row.dossier_code,
        direction=cast("contract.Direction", row.direction),
        collected_at=happened_at(found.event),
        collected_by=found.event.actor,
        pieces=tuple(contract.Piece(position=p.position, name=p.name, collected=p.collected) for p in pieces),
        page_count=evidence.page_count,
        seal_number=evidence.seal_number,
        sender_signature_sha256=evidence.citizen_signature_sha256,
        courier_signature_sha256=evidence.courier_signature_sha256,
        cash_collected_dong=row.cash_collected_dong,
        event_hash=found.event.hash,
    )


_PUBLIC_PLACES = frozenset(
    {"arrived_origin_office", "departed", "arrived_delivery_office", "held", "ready_for_collection"}
)
"""Kinds whose place is a post office. At a door, a place could name a person or a home: it stays inside."""


_INSIDE = frozenset({"evidence_stored", "custody_released", "custody_accepted", "pickup_rejected"})
"""Kinds that say nothing to those who wait for the envelope."""


async def tracking(session: AsyncSession, number: str) -> contract.Tracking:
    """What anybody who holds the number may know. Raises BadInput, NoSuchShipment."""
    row = await shipment_by_number(session, number)
    log = (await log_of(session, [row.id]))[row.id]
    told = (e for e in log if e.applied and e.event.kind not in _INSIDE)
    applied = sorted(told, key=lambda entry: fact_of(entry.event).order)
    status = cast("contract.ShipmentStatus", row.status)
    return contract.Tracking(
        s10=row.s10,
        status=status,
        status_vi=wording.STATUS[status][0],
        status_en=wording.STATUS[status][1],
        custodian=cast("contract.Custodian", row.custodian),
        next_vi=wording.NEXT[status][0],
        next_en=wording.NEXT[status][1],
        events=tuple(_tracking_event(entry.event) for entry in applied),
        held_until=row.held_until,
    )


def _tracking_event(event: Event | LogRow) -> contract.TrackingEvent:
    vi, en = wording.EVENT[cast("contract.EventKind", event.kind)]
    if event.kind in ("attempt_failed", "pickup_failed", "held") and event.reason is not None:
        reason = rules.REASONS[cast("contract.ReasonCode", event.reason)]
        vi, en = f"{vi}: {reason.vi.lower()}", f"{en}: {reason.en.lower()}"
    return contract.TrackingEvent(
        occurred_at=happened_at(event),
        text_vi=vi,
        text_en=en,
        place=event.place if event.kind in _PUBLIC_PLACES else "",
    )


# --- rounds --------------------------------------------------------------------------------------

TASKS: Mapping[contract.Task, tuple[contract.ShipmentStatus, ...]] = {
    "pick_up": ("booked", "pickup_in_progress", "pickup_failed"),
    "deliver": ("out_for_delivery", "delivered_pending_evidence"),
    "take_out": ("at_delivery_office", "attempt_failed"),
    "hand_in": ("collected", "collected_pending_evidence"),
    "keep": ("ready_for_collection", "held"),
}
"""What a courier does about an item in each state; other states are not on a round."""

TASK_OF: Mapping[str, contract.Task] = {status: task for task, statuses in TASKS.items() for status in statuses}


async def stops(
    session: AsyncSession, *, task: contract.Task | None, commune: str | None, cursor: str | None, limit: int
) -> contract.StopPage:
    """The round: what waits for pickup, delivery or an office, most urgent pickup first."""
    query = select(Shipment, Contact).join(Contact, col(Contact.id) == col(Shipment.contact_id))
    wanted = TASKS[task] if task is not None else tuple(TASK_OF)
    query = query.where(col(Shipment.status).in_(wanted)).order_by(col(Shipment.id)).limit(limit + 1)
    if commune is not None:
        at_citizen = or_(
            and_(col(Shipment.direction) == "outbound", col(Shipment.status).in_(TASKS["pick_up"])),
            and_(col(Shipment.direction) == "return", col(Shipment.status).not_in(TASKS["pick_up"])),
        )
        query = query.where(
            or_(
                and_(at_citizen, col(Contact.commune) == commune),
                and_(~at_citizen, col(Shipment.agency_commune) == commune),
            )
        )
    if cursor is not None:
        (after,) = decode_cursor(cursor, str)
        query = query.where(col(Shipment.id) > _storable(after))
    rows = (await session.exec(query)).all()
    page = page_of(rows, limit=limit, cursor_of=lambda row: encode_cursor(row[0].id))
    pieces = await pieces_of(session, [row[0].id for row in page.items])
    asked = await accepted_wishes(session, [row[0].id for row in page.items])
    items = tuple(stop_record(row[0], row[1], len(pieces[row[0].id]), asked[row[0].id]) for row in page.items)
    return contract.StopPage(items=items, next_cursor=page.next_cursor)


async def accepted_wishes(session: AsyncSession, shipment_ids: Iterable[str]) -> dict[str, list[Wish]]:
    """What the citizens of several shipments asked for and nobody has done yet."""
    query = select(Wish).where(col(Wish.shipment_id).in_(list(shipment_ids)), col(Wish.status) == "accepted")
    found: dict[str, list[Wish]] = defaultdict(list)
    for wish in (await session.exec(query.order_by(col(Wish.id)))).all():
        found[wish.shipment_id].append(wish)
    return found


def stop_record(row: Shipment, person: Contact, pieces: int, wishes: Sequence[Wish] = ()) -> contract.Stop:
    """A stop of the round: at the citizen's door with name and phone, or at the agency; as the citizen asked."""
    task = TASK_OF[row.status]
    at_citizen = (row.direction == "outbound") == (task == "pick_up")
    moved = next((wish for wish in wishes if wish.kind == "redirect" and at_citizen), None)
    notes = [desk_wording.instruction(w.kind, w.on_day, w.person_name, w.person_id_tail) for w in wishes]
    still_due = 0 if row.cash_collected_dong or not at_citizen else row.cash_due_dong
    return contract.Stop(
        shipment_id=row.id,
        s10=row.s10,
        direction=cast("contract.Direction", row.direction),
        status=cast("contract.ShipmentStatus", row.status),
        task=task,
        name=person.name if at_citizen else row.agency,
        phone=person.phone if at_citizen else None,
        address=(moved.address or "") if moved else (person.address if at_citizen else ""),
        commune=(moved.commune or "") if moved else (person.commune if at_citizen else row.agency_commune),
        pieces=pieces,
        cash_due_dong=still_due,
        pickup_by=row.pickup_by,
        held_until=row.held_until,
        attempts=row.attempts,
        note_vi="; ".join(vi for vi, _ in notes),
        note_en="; ".join(en for _, en in notes),
    )


async def task_counts(session: AsyncSession) -> dict[contract.Task, int]:
    """How many stops each task has."""
    query = select(Shipment.status, func.count()).where(col(Shipment.status).in_(tuple(TASK_OF)))
    counts: dict[contract.Task, int] = dict.fromkeys(TASKS, 0)
    for status, count in (await session.exec(query.group_by(col(Shipment.status)))).all():
        counts[TASK_OF[status]] += count
    return counts


async def undeposited_cash(session: AsyncSession, courier: str) -> tuple[int, int]:
    """How many collections a courier still holds in cash, and their sum in đồng."""
    query = select(func.count(), func.coalesce(func.sum(CashCollection.amount_dong), 0)).where(
        col(CashCollection.courier) == courier, col(CashCollection.deposit_id).is_(None)
    )
    count, total = (await session.exec(query)).one()
    return int(count), int(total)


# --- board ---------------------------------------------------------------------------------------

_ON_THE_MOVE = (
    "collected_pending_evidence",
    "collected",
    "at_origin_office",
    "in_transit",
    "at_delivery_office",
    "out_for_delivery",
    "attempt_failed",
    "returning",
)


@dataclass(frozen=True, slots=True)
class Board:
    """What a dispatcher sees first: problems, then how many items are in each state."""

    counts: dict[str, int]
    lost_or_sought: list[Shipment]
    failed: list[Shipment]
    kept: list[Shipment]
    silent: list[Shipment]
    unproven: list[Shipment]
    odd: list[tuple[Shipment, str, str]]
    """Shipments with a fact that somebody must look at: its kind and its anomaly."""


async def board(session: AsyncSession, *, at: datetime, silence_hours: int) -> Board:
    """The problem board at a moment. Each list holds at most 50, the longest waiting first."""
    status, seen = col(Shipment.status), col(Shipment.last_seen_at)
    counted = await session.exec(select(status, func.count()).group_by(status))
    silent_since = at - timedelta(hours=silence_hours)
    return Board(
        counts={str(state): int(count) for state, count in counted.all()},
        lost_or_sought=await _waiting(session, status.in_(("lost", "damaged", "investigating"))),
        failed=await _waiting(session, status.in_(("pickup_failed", "attempt_failed"))),
        kept=await _waiting(session, status.in_(("held", "ready_for_collection"))),
        silent=await _waiting(session, and_(status.in_(_ON_THE_MOVE), seen < silent_since)),
        unproven=await _waiting(session, status == "delivered_pending_evidence"),
        odd=await _odd(session, since=at - timedelta(days=7)),
    )


async def _waiting(session: AsyncSession, condition: ColumnElement[bool]) -> list[Shipment]:
    query = select(Shipment).where(condition).order_by(col(Shipment.last_seen_at), col(Shipment.id)).limit(50)
    return list((await session.exec(query)).all())


async def _odd(session: AsyncSession, *, since: datetime) -> list[tuple[Shipment, str, str]]:
    query = (
        select(Shipment, Event.kind, Verdict.anomaly)
        .join(Verdict, col(Verdict.shipment_id) == col(Shipment.id))
        .join(Event, col(Event.id) == col(Verdict.event_id))
        .where(
            col(Verdict.anomaly).is_not(None),
            col(Verdict.anomaly).not_in(sorted(wording.QUIET_ANOMALIES)),
            col(Event.received_at) >= since,
        )
        .order_by(col(Event.received_at).desc(), col(Event.id))
        .limit(50)
    )
    return [(row, kind, str(anomaly)) for row, kind, anomaly in (await session.exec(query)).all()]


# --- claims --------------------------------------------------------------------------------------


def claim_record(row: Claim) -> contract.Claim:
    """A claim as other rooms may know it."""
    return contract.Claim.model_validate(row, from_attributes=True)


async def claim(session: AsyncSession, claim_id: str, *, lock: bool = False) -> Claim:
    """A claim by id. Raises NoSuchClaim."""
    query = select(Claim).where(col(Claim.id) == claim_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    row = (await session.exec(query)).one_or_none()
    if row is None:
        raise NoSuchClaim("Không có khiếu nại này; hãy kiểm tra lại mã.", "There is no such claim; check the id.")
    return row


async def claims(
    session: AsyncSession,
    *,
    status: str | None,
    dossier_code: str | None = None,
    shipment_id: str | None = None,
    cursor: str | None,
    limit: int,
) -> Page[Claim]:
    """Claims, newest first."""
    query = select(Claim).order_by(col(Claim.id).desc()).limit(limit + 1)
    if status is not None:
        query = query.where(col(Claim.status) == status)
    if dossier_code is not None:
        query = query.where(col(Claim.dossier_code) == dossier_code)
    if shipment_id is not None:
        query = query.where(col(Claim.shipment_id) == shipment_id)
    if cursor is not None:
        (after,) = decode_cursor(cursor, str)
        query = query.where(col(Claim.id) < _storable(after))
    rows = (await session.exec(query)).all()
    return page_of(rows, limit=limit, cursor_of=lambda row: encode_cursor(row.id))
