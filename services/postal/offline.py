"""What a courier's phone takes along for a day without signal: the stops, and all it needs to judge on its own."""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.pagination import MAX_LIMIT
from services.postal import codes, contract, labels, queries, rules, wording
from services.postal.desk_models import Assignment, Wish
from services.postal.models import Shipment

MOST_STOPS = 1_000
"""More stops than any round has; the rest is told, not hidden (`more`)."""


MOVES: Mapping[str, tuple[contract.EventKind, ...]] = {
    "booked": ("pickup_started",),
    "pickup_failed": ("pickup_started",),
    "collected_pending_evidence": ("arrived_origin_office",),
    "collected": ("arrived_origin_office",),
    "at_delivery_office": ("out_for_delivery", "ready_for_collection"),
    "attempt_failed": ("out_for_delivery", "ready_for_collection", "arrived_delivery_office"),
    "out_for_delivery": ("arrived_delivery_office",),
    "held": ("released",),
    "ready_for_collection": ("out_for_delivery",),
}
"""Steps of one press in each state."""

AT_THE_DOOR = (
    "out_for_delivery",
    "at_delivery_office",
    "attempt_failed",
    "ready_for_collection",
    "held",
    "delivered_pending_evidence",
)
"""States in which an envelope can be handed to its receiver."""

_FROM_A_PHONE: tuple[contract.EventKind, ...] = (
    "pickup_started",
    "pickup_failed",
    "collected",
    "partially_collected",
    "arrived_origin_office",
    "out_for_delivery",
    "attempt_failed",
    "ready_for_collection",
    "arrived_delivery_office",
)


def where_it_leads() -> dict[str, tuple[str, str]]:
    """Status and task of an item after a fact, for a phone that cannot ask: the service has the last word."""
    led: dict[str, tuple[str, str]] = {}
    for kind in _FROM_A_PHONE:
        status = rules.TARGET[kind]
        led[kind] = (status, queries.TASK_OF.get(status, "done"))
    led["handed_over"] = led["evidence_added"] = ("delivered_pending_evidence", "done")
    led["released"] = ("at_delivery_office", "take_out")
    return led


async def round_of(session: AsyncSession, courier: str, *, secret: str) -> dict[str, Any]:
    """The stops of a courier's round with checklists and seals, and the tables of reasons, measures and receivers.

    A seal lets the phone tell a right delivery code or label from a wrong one; neither can be read out of it.
    """
    stops: list[contract.Stop] = []
    cursor: str | None = None
    while len(stops) < MOST_STOPS:
        page = await queries.stops(session, task=None, commune=None, cursor=cursor, limit=MAX_LIMIT)
        stops += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    others = await _given_to_others(session, [stop.shipment_id for stop in stops], courier)
    stops = [stop for stop in stops if stop.shipment_id not in others]
    pieces = await queries.pieces_of(session, [stop.shipment_id for stop in stops])
    seals = await _seal_numbers(session, [stop.shipment_id for stop in stops])
    count, total = await queries.undeposited_cash(session, courier)
    notes = await _wishes(session, [stop.shipment_id for stop in stops])
    packed = await asyncio.to_thread(_packed, stops, secret)
    for stop in packed:
        stop["checklist"] = [[piece.position, piece.name] for piece in pieces[stop["shipment_id"]]]
        stop["notes"] = notes[stop["shipment_id"]]
        stop["seal_number"] = seals.get(stop["shipment_id"])
    return {
        "stops": packed,
        "more": cursor is not None,
        "moves": MOVES,
        "leads": where_it_leads(),
        "before": sorted(rules.BEFORE_COLLECTION),
        "at_door": AT_THE_DOOR,
        "reasons": _reasons(),
        "measures": {code: list(words) for code, words in rules.MEASURES.items()},
        "statuses": {status: list(words) for status, words in wording.STATUS.items()},
        "receivers": {
            direction: [[name, *wording.RECEIVER[name]] for name in sorted(names)]
            for direction, names in rules.PROPER_RECEIVERS.items()
        },
        "cash": {"count": count, "total_dong": total},
        "code_tries": codes.MAX_TRIES,
    }


def _packed(stops: list[contract.Stop], secret: str) -> list[dict[str, Any]]:
    found = []
    for stop in stops:
        packed = stop.model_dump(mode="json")
        token = labels.label_token(secret, stop.s10)
        packed["label_seal"] = hashlib.sha256(token.encode()).hexdigest()
        if stop.direction == "return":
            seal = codes.receiver_seal(secret, stop.s10)
            packed["code_seal"] = {"salt": seal.salt, "digest": seal.digest, "rounds": seal.rounds}
        found.append(packed)
    return found


async def _given_to_others(session: AsyncSession, shipment_ids: list[str], courier: str) -> set[str]:
    """Stops that a dispatcher gave to somebody else. What was given to nobody is on every round."""
    query = select(Assignment.shipment_id).where(
        col(Assignment.shipment_id).in_(shipment_ids),
        col(Assignment.courier).is_not(None),
        col(Assignment.courier) != courier,
    )
    return set((await session.exec(query)).all())


async def _wishes(session: AsyncSession, shipment_ids: list[str]) -> dict[str, list[wording.Words]]:
    """What the citizen has asked for and confirmed, as the courier must read it at the door."""
    query = select(Wish).where(col(Wish.shipment_id).in_(shipment_ids), col(Wish.status) == "accepted")
    found: dict[str, list[wording.Words]] = defaultdict(list)
    for wish in (await session.exec(query.order_by(col(Wish.id)))).all():
        found[wish.shipment_id].append(_wish_words(wish))
    return found


def _wish_words(wish: Wish) -> wording.Words:
    match wish.kind:
        case "authorise":
            card = wish.person_id_tail
            return (
                f"Được giao cho {wish.person_name}; đối chiếu 4 số cuối căn cước: {card}",
                f"May be given to {wish.person_name}; the identity card must end in {card}",
            )
        case "redirect":
            where = f"{wish.address}, {wish.commune}"
            return f"Địa chỉ mới: {where}", f"New address: {where}"
        case "redelivery":
            return f"Khách hẹn phát ngày {wish.on_day:%d/%m}", f"Asked for delivery on {wish.on_day:%d/%m}"
        case _:
            return "Khách sẽ đến bưu cục nhận", "Will be collected at the post office"


async def _seal_numbers(session: AsyncSession, shipment_ids: list[str]) -> dict[str, str]:
    query = select(Shipment.id, Shipment.seal_number).where(
        col(Shipment.id).in_(shipment_ids), col(Shipment.seal_number).is_not(None)
    )
    return {shipment_id: str(number) for shipment_id, number in (await session.exec(query)).all()}


def _reasons() -> dict[rules.Stage, list[dict[str, Any]]]:
    stages: tuple[rules.Stage, ...] = ("pickup", "delivery")
    return {
        stage: [
            {
                "code": reason.code,
                "words": [reason.vi, reason.en],
                "measures": list(rules.allowed_measures(reason.code, stage)),
            }
            for reason in rules.REASONS.values()
            if rules.allowed_measures(reason.code, stage)
        ]
        for stage in stages
    }
