"""Reads of the dispatcher's desk: what a shipment's clocks need, cases, stops to give out, couriers and their cash."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import cast

from sqlalchemy import and_, func, or_
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.errors import NotFound
from kit.pagination import Page, decode_cursor, encode_cursor, page_of
from services.postal import contract, deadlines, desk_contract, queries, rules
from services.postal.desk_models import (
    Assignment,
    Case,
    CashLine,
    ClockStop,
    Courier,
    DepositRemittance,
    RecoveryTask,
    ShiftCount,
    VisitAnswer,
)
from services.postal.models import CashCollection, Claim, Contact, Deposit, Event, Shipment


class NoSuchCase(NotFound):
    kind = "no-such-case"


class NoSuchCourier(NotFound):
    kind = "no-such-courier"


# --- clocks --------------------------------------------------------------------------------------


async def journey_of(session: AsyncSession, row: Shipment) -> deadlines.Journey:
    """What the clocks must know of a shipment, read from its log, its stops and its claim."""
    log = sorted(
        (entry.event for entry in (await queries.events_of(session, [row.id]))[row.id] if entry.applied),
        key=lambda event: (event.occurred_at, event.chain_position),
    )
    person = await queries.contact(session, row.contact_id)
    first: dict[str, datetime] = {}
    last: dict[str, datetime] = {}
    for event in log:
        first.setdefault(event.kind, event.occurred_at)
        last[event.kind] = event.occurred_at
    collected = min((first[kind] for kind in rules.COLLECTIONS if kind in first), default=None)
    attempts = [
        first[kind] for kind in ("attempt_failed", "handed_over", "ready_for_collection") if kind in first and collected
    ]
    entered = last.get(_ENTERED_BY.get(row.status, ""), row.last_seen_at)
    answer_by, pay_by = await _claim_dates(session, row.id)
    return deadlines.Journey(
        status=cast("contract.ShipmentStatus", row.status),
        booked_at=row.created_at,
        entered_at=entered,
        last_seen_at=row.last_seen_at,
        near=person.commune == row.agency_commune,
        pickup_by=row.pickup_by,
        collected_at=collected,
        first_attempt_at=min(attempts, default=None),
        held_until=row.held_until,
        release_since=row.release_since,
        claim_answer_by=answer_by,
        claim_pay_by=pay_by,
        stops=tuple(_stops_of_log(log) + await _declared_stops(session, row.id)),
    )


_ENTERED_BY: Mapping[str, str] = {
    "held": "held",
    "ready_for_collection": "ready_for_collection",
    "attempt_failed": "attempt_failed",
    "delivered_pending_evidence": "handed_over",
    "collected_pending_evidence": "collected",
    "investigating": "investigation_opened",
}
"""The fact that leads into a state whose stay is timed."""


def _stops_of_log(log: Sequence[Event]) -> list[deadlines.Stop]:
    """A `held` fact with a reason that stops the clock, until its `released`. Moving on without one voids the stop."""
    found: list[deadlines.Stop] = []
    since: tuple[datetime, desk_contract.StopReason] | None = None
    for event in log:
        if event.kind == "held":
            reason = deadlines.STOP_REASON.get(cast("contract.ReasonCode", event.reason))
            since = (event.occurred_at, reason) if reason is not None else None
        elif since is not None and event.kind == "released":
            found.append(deadlines.Stop(since[0], event.occurred_at, since[1]))
            since = None
        elif since is not None and event.kind in rules.TARGET:
            since = None
    if since is not None:
        found.append(deadlines.Stop(since[0], None, since[1]))
    return found


async def _declared_stops(session: AsyncSession, shipment_id: str) -> list[deadlines.Stop]:
    rows = (await session.exec(select(ClockStop).where(col(ClockStop.shipment_id) == shipment_id))).all()
    return [deadlines.Stop(row.since, row.released_at, cast("desk_contract.StopReason", row.reason)) for row in rows]


async def _claim_dates(session: AsyncSession, shipment_id: str) -> tuple[date | None, date | None]:
    query = select(Claim).where(
        col(Claim.shipment_id) == shipment_id, col(Claim.status).in_(("submitted", "in_review", "approved"))
    )
    row = (await session.exec(query)).first()
    if row is None:
        return None, None
    return (None, row.pay_by) if row.status == "approved" else (row.answer_by, None)


async def stops_of(session: AsyncSession, shipment_id: str) -> list[ClockStop]:
    """Stops that dispatchers declared, newest first."""
    query = select(ClockStop).where(col(ClockStop.shipment_id) == shipment_id).order_by(col(ClockStop.since).desc())
    return list((await session.exec(query)).all())


# --- cases ---------------------------------------------------------------------------------------


async def case(session: AsyncSession, case_id: str, *, lock: bool = False) -> Case:
    """A case by id. Raises NoSuchCase."""
    query = select(Case).where(col(Case.id) == case_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    row = (await session.exec(query)).one_or_none()
    if row is None:
        raise NoSuchCase("Không có vụ việc này; hãy kiểm tra lại mã.", "There is no such case; check the id.")
    return row


async def open_cases_of(session: AsyncSession, shipment_id: str) -> list[Case]:
    """Cases of a shipment that are not closed, oldest first."""
    query = select(Case).where(col(Case.shipment_id) == shipment_id, col(Case.status) != "closed")
    return list((await session.exec(query.order_by(col(Case.id)))).all())


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """Which cases a list shows; None means any. `alive`: everything that is not closed."""

    kind: str | None = None
    status: str | None = None
    alive: bool = True
    taken_by: str | None = None
    kinds: frozenset[str] | None = None


async def cases(
    session: AsyncSession, chosen: CaseFilter, *, cursor: str | None, limit: int
) -> Page[tuple[Case, Shipment | None]]:
    """Cases with their shipments, the oldest breach first."""
    query = select(Case, Shipment).join(Shipment, col(Shipment.id) == col(Case.shipment_id), isouter=True)
    if chosen.kind is not None:
        query = query.where(col(Case.kind) == chosen.kind)
    if chosen.kinds is not None:
        query = query.where(col(Case.kind).in_(sorted(chosen.kinds)))
    if chosen.status is not None:
        query = query.where(col(Case.status) == chosen.status)
    elif chosen.alive:
        query = query.where(col(Case.status) != "closed")
    if chosen.taken_by is not None:
        query = query.where(col(Case.taken_by) == chosen.taken_by)
    if cursor is not None:
        (after,) = decode_cursor(cursor, str)
        query = query.where(col(Case.id) > str(after).replace("\x00", "").encode("utf-8", "replace").decode())
    rows = (await session.exec(query.order_by(col(Case.id)).limit(limit + 1))).all()
    return page_of(
        [(found, shipment) for found, shipment in rows], limit=limit, cursor_of=lambda row: encode_cursor(row[0].id)
    )


async def case_counts(session: AsyncSession) -> dict[str, int]:
    """How many cases of each kind are not closed."""
    query = select(Case.kind, func.count()).where(col(Case.status) != "closed").group_by(col(Case.kind))
    return {kind: int(count) for kind, count in (await session.exec(query)).all()}


# --- couriers and stops --------------------------------------------------------------------------


async def courier(session: AsyncSession, code: str) -> Courier:
    """A courier of the roster. Raises NoSuchCourier."""
    row = await session.get(Courier, code)
    if row is None:
        raise NoSuchCourier(
            "Bưu tá này chưa có trong danh sách; hãy thêm trước khi phân tuyến.",
            "This courier is not on the roster; add him before assigning stops.",
        )
    return row


async def couriers(session: AsyncSession, *, active_only: bool = False) -> list[Courier]:
    """The roster by name."""
    query = select(Courier).order_by(col(Courier.name), col(Courier.code))
    if active_only:
        query = query.where(col(Courier.active).is_(True))
    return list((await session.exec(query)).all())


@dataclass(frozen=True, slots=True)
class OpenStop:
    """A stop of today with who has it. `version` is 0 while nobody ever had it."""

    stop: contract.Stop
    courier: str | None
    version: int


@dataclass(frozen=True, slots=True)
class StopFilter:
    """Which stops a list shows; None means any. `courier` "" means those that nobody has."""

    task: contract.Task | None = None
    commune: str | None = None
    courier: str | None = None
    street: str = ""


async def open_stops(session: AsyncSession, chosen: StopFilter, *, limit: int = 400) -> list[OpenStop]:
    """Stops to be visited, by commune and then by street, so that neighbours stand together."""
    wanted = queries.TASKS[chosen.task] if chosen.task is not None else tuple(queries.TASK_OF)
    query = (
        select(Shipment, Contact, Assignment)
        .join(Contact, col(Contact.id) == col(Shipment.contact_id))
        .join(Assignment, col(Assignment.shipment_id) == col(Shipment.id), isouter=True)
        .where(col(Shipment.status).in_(wanted))
        .order_by(col(Shipment.id))
        .limit(limit)
    )
    if chosen.courier == "":
        query = query.where(or_(col(Assignment.shipment_id).is_(None), col(Assignment.courier).is_(None)))
    elif chosen.courier is not None:
        query = query.where(col(Assignment.courier) == chosen.courier)
    rows = (await session.exec(query)).all()
    asked = await queries.accepted_wishes(session, [row.id for row, _, _ in rows])
    found = []
    for row, person, assignment in rows:
        stop = queries.stop_record(row, person, 0, asked[row.id])
        if chosen.commune is not None and stop.commune != chosen.commune:
            continue
        if chosen.street and chosen.street.casefold() not in stop.address.casefold():
            continue
        holder = assignment.courier if assignment is not None else None
        version = assignment.version if assignment is not None else 0
        found.append(OpenStop(stop, holder, version))
    return sorted(found, key=lambda entry: (entry.stop.commune, street_of(entry.stop.address), entry.stop.s10))


def street_of(address: str) -> str:
    """The street of an address without the house number, to put neighbours together; the house number after it."""
    words = address.casefold().replace(",", " ").split()
    numbers = [word for word in words if word[:1].isdigit()]
    return " ".join([word for word in words if not word[:1].isdigit()] + numbers)


async def assigned_shipments(session: AsyncSession, courier_code: str) -> set[str]:
    """Shipments given to a courier: his round."""
    query = (
        select(Assignment.shipment_id)
        .join(Shipment, col(Shipment.id) == col(Assignment.shipment_id))
        .where(col(Assignment.courier) == courier_code, col(Shipment.status).in_(tuple(queries.TASK_OF)))
    )
    return set((await session.exec(query)).all())


# --- couriers' cash ------------------------------------------------------------------------------


async def floats(
    session: AsyncSession, *, at: datetime, limit_dong: int, longest_hours: int
) -> list[desk_contract.CourierFloat]:
    """Cash in couriers' bags, the largest first."""
    total = func.sum(CashCollection.amount_dong)
    query = (
        select(CashCollection.courier, func.count(), total, func.min(CashCollection.collected_at))
        .where(col(CashCollection.deposit_id).is_(None))
        .group_by(col(CashCollection.courier))
        .order_by(total.desc(), col(CashCollection.courier))
    )
    return [
        desk_contract.CourierFloat(
            courier=name,
            collections=int(count),
            float_dong=int(amount),
            oldest_at=oldest,
            over_limit=int(amount) > limit_dong,
            too_old=oldest is not None and at - oldest > timedelta(hours=longest_hours),
        )
        for name, count, amount, oldest in (await session.exec(query)).all()
    ]


async def money_by_owner(session: AsyncSession, *, since: datetime) -> list[desk_contract.OwnedDong]:
    """Where each owner's money is, of shipments booked since a moment: expected, collected, in bags, in, remitted.

    Cash below what was due fills the lines in their order: state fee and charge first, then the post's own.
    """
    query = (
        select(CashLine, CashCollection.amount_dong, CashCollection.deposit_id, DepositRemittance.remitted_at)
        .join(Shipment, col(Shipment.id) == col(CashLine.shipment_id))
        .join(CashCollection, col(CashCollection.shipment_id) == col(CashLine.shipment_id), isouter=True)
        .join(DepositRemittance, col(DepositRemittance.deposit_id) == col(CashCollection.deposit_id), isouter=True)
        .where(col(Shipment.created_at) >= since)
        .order_by(col(CashLine.shipment_id), col(CashLine.position))
    )
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * 5)
    by_shipment: dict[str, list[tuple[CashLine, int | None, str | None, datetime | None]]] = defaultdict(list)
    for line, amount, deposit_id, remitted_at in (await session.exec(query)).all():
        by_shipment[line.shipment_id].append((line, amount, deposit_id, remitted_at))
    for cash in by_shipment.values():
        left = cash[0][1] or 0
        for line, _, deposit_id, remitted in sorted(cash, key=lambda row: (KIND_ORDER[row[0].kind], row[0].position)):
            taken = min(left, line.expected_dong)
            left -= taken
            parts = sums[line.owner, line.kind]
            parts[0] += line.expected_dong
            parts[1] += taken
            parts[2] += taken if deposit_id is None else 0
            parts[3] += taken if deposit_id is not None and remitted is None else 0
            parts[4] += taken if remitted is not None else 0
    return [
        desk_contract.OwnedDong(
            owner=owner,
            kind=kind,
            expected_dong=parts[0],
            collected_dong=parts[1],
            float_dong=parts[2],
            deposited_dong=parts[3],
            remitted_dong=parts[4],
        )
        for (owner, kind), parts in sorted(sums.items(), key=lambda item: (KIND_ORDER[item[0][1]], item[0][0]))
    ]


KIND_ORDER: Mapping[str, int] = {"fee": 0, "charge": 1, "postage": 2, "collection": 3}


@dataclass(frozen=True, slots=True)
class CountedDeposit:
    """A deposit with who counted it; None while nobody has."""

    deposit: Deposit
    count: ShiftCount | None
    remitted_at: datetime | None


async def deposits(session: AsyncSession, *, uncounted: bool, limit: int = 50) -> list[CountedDeposit]:
    """Deposits, newest first; with `uncounted` those that no second person has counted."""
    query = (
        select(Deposit, ShiftCount, DepositRemittance.remitted_at)
        .join(ShiftCount, col(ShiftCount.deposit_id) == col(Deposit.id), isouter=True)
        .join(DepositRemittance, col(DepositRemittance.deposit_id) == col(Deposit.id), isouter=True)
        .order_by(col(Deposit.id).desc())
        .limit(limit)
    )
    if uncounted:
        query = query.where(col(ShiftCount.deposit_id).is_(None))
    return [CountedDeposit(*row) for row in (await session.exec(query)).all()]


async def cash_in_bag(session: AsyncSession, courier_code: str) -> list[CashCollection]:
    """Each collection that a courier has not handed in, oldest first."""
    query = select(CashCollection).where(
        col(CashCollection.courier) == courier_code, col(CashCollection.deposit_id).is_(None)
    )
    return list((await session.exec(query.order_by(col(CashCollection.collected_at)))).all())


@dataclass(frozen=True, slots=True)
class DisputeRate:
    """How often citizens say that a courier who reported a failed visit was not there."""

    courier: str
    answers: int
    disputed: int


async def dispute_rates(session: AsyncSession, *, since: datetime) -> list[DisputeRate]:
    """Per courier, the most disputed first."""
    disputed = func.count().filter(col(VisitAnswer.visited).is_(False))
    query = (
        select(VisitAnswer.courier, func.count(), disputed)
        .where(col(VisitAnswer.answered_at) >= since)
        .group_by(col(VisitAnswer.courier))
        .order_by(disputed.desc(), col(VisitAnswer.courier))
    )
    return [DisputeRate(name, int(all_), int(no)) for name, all_, no in (await session.exec(query)).all()]


async def recovered(session: AsyncSession, shipment_id: str) -> dict[tuple[int, int], RecoveryTask]:
    """Steps of a recovery plan that are done, by position and step."""
    query = select(RecoveryTask).where(col(RecoveryTask.shipment_id) == shipment_id)
    return {(row.position, row.step): row for row in (await session.exec(query)).all()}


async def has_presumed_loss(session: AsyncSession, shipment_id: str) -> bool:
    """Whether an item is presumed lost: its case is open."""
    query = select(Case.id).where(
        and_(col(Case.shipment_id) == shipment_id, col(Case.kind) == "presumed_lost", col(Case.status) != "closed")
    )
    return (await session.exec(query)).first() is not None
