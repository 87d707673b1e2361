"""Breaches become cases: clocks are checked against the truth, each breach opens one case, and is told once."""

from dataclasses import dataclass
from datetime import datetime, time
from typing import cast

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.calendar import BusinessCalendar
from kit.db import now
from kit.errors import NotFound, WrongMoment
from kit.ids import new_id, uuid7
from services.postal import deadlines, desk_contract, desk_queries, queries, recording, rules
from services.postal.contract import PickupStatus, PostEvent
from services.postal.desk_contract import Case as CaseRecord
from services.postal.desk_contract import CaseEvent, CaseKind, DeadlineCheck, StopClock
from services.postal.desk_models import Case, ClockStop
from services.postal.models import Announcement, Shipment, outbox

SYSTEM = "postal-service"


class AlreadyClosed(WrongMoment):
    kind = "case-already-closed"


class TakenByAnother(WrongMoment):
    kind = "case-taken-by-another"


class ClockStandsStill(WrongMoment):
    kind = "clock-stands-still"


class NoSuchStop(NotFound):
    kind = "no-such-stop"


@dataclass(frozen=True, slots=True)
class Plan:
    """By which calendar and allowances this installation counts."""

    calendar: BusinessCalendar
    allowances: deadlines.Allowances
    terms: rules.Terms


@dataclass(frozen=True, slots=True)
class DeskTerms:
    """What the operator decided about links and cash."""

    public_url: str
    label_secret: str
    link_days: int
    float_limit_dong: int
    float_hours: int


async def check_deadlines(session: AsyncSession, shipment_id: str, *, plan: Plan, at: datetime) -> DeadlineCheck:
    """Compare a shipment's clocks with the moment: open a case for each breach, close those that are past.

    Harmless to repeat. Raises NoSuchShipment.
    """
    row = await queries.shipment(session, shipment_id, lock=True)
    journey = await desk_queries.journey_of(session, row)
    running = deadlines.clocks(journey, plan.calendar, plan.allowances, now=at)
    late = {clock.key: clock for clock in running if clock.due_at <= at}
    for clock in late.values():
        new = await open_case(
            session, row, clock.kind, key=f"{row.id}:{clock.key}", due_at=clock.due_at, at=at, told_at=clock.due_at
        )
        if new and clock.kind == "pickup":
            await _expire_pickup(session, row, due_at=clock.due_at, plan=plan, at=at)
    expired = deadlines.run_out(journey.stops, plan.allowances, now=at)
    for stop in expired:
        key = f"{row.id}:stop_unreleased:{stop.since:%Y%m%dT%H%M%S}"
        await open_case(session, row, "stop_unreleased", key=key, due_at=stop.since, at=at, told_at=at)
    await _close_what_is_past(session, row, keys={f"{row.id}:{key}" for key in late}, expired=bool(expired), at=at)
    await _remind(session, row, journey, plan.calendar, at=at)
    return DeadlineCheck(
        shipment_id=row.id,
        dossier_code=row.dossier_code,
        clocks=tuple(
            desk_contract.Clock(kind=c.kind, since=c.since, due_at=c.due_at, standing=c.standing) for c in running
        ),
        open_cases=tuple(found.kind for found in await desk_queries.open_cases_of(session, row.id)),
        next_check_at=_next_look(journey, running, plan, at=at),
        ended=deadlines.has_ended(journey),
    )


async def _expire_pickup(session: AsyncSession, row: Shipment, *, due_at: datetime, plan: Plan, at: datetime) -> None:
    """A visit that nobody made is over as a fact of the log, not as somebody's reading of a date."""
    if "expired" not in rules.PICKUP_LEGAL[cast("PickupStatus", row.pickup_status)]:
        return
    event = PostEvent(
        event_id=str(uuid7()),
        s10=row.s10,
        kind="pickup_expired",
        occurred_at=due_at,
        device_id=SYSTEM,
        device_seq=row.chain_length + 1,
    )
    await recording.record_events(session, [event], sender=recording.Sender(SYSTEM, "system"), at=at, terms=plan.terms)


def _next_look(
    journey: deadlines.Journey, running: tuple[deadlines.RunningClock, ...], plan: Plan, *, at: datetime
) -> datetime | None:
    """The earliest moment at which a check could find something new without any news."""
    moments = [clock.due_at for clock in running]
    moments += [
        datetime.combine(day, time(8), tzinfo=plan.calendar.zone)
        for day in deadlines.reminder_days(journey, plan.calendar)
    ]
    moments += [pause.until for pause in deadlines.pauses(journey.stops, plan.allowances, now=at)]
    return min((moment for moment in moments if moment > at), default=None)


async def open_case(
    session: AsyncSession,
    row: Shipment,
    kind: CaseKind,
    *,
    key: str,
    due_at: datetime,
    at: datetime,
    told_at: datetime,
    courier: str | None = None,
) -> bool:
    """Open a case for one breach and tell it; False when this breach has its case already."""
    values = {
        "id": new_id("cas"),
        "case_key": key,
        "shipment_id": row.id,
        "dossier_code": row.dossier_code,
        "kind": kind,
        "status": "open",
        "courier": courier,
        "due_at": due_at,
        "opened_at": at,
        "resolution": "",
    }
    statement = insert(Case).values(values).on_conflict_do_nothing(index_elements=["case_key"])
    made = (await session.exec(statement.returning(col(Case.id)))).one_or_none()
    if made is None:
        return False
    await _announce(session, row, await desk_queries.case(session, str(values["id"])), "case.opened", at=told_at)
    return True


async def _close_what_is_past(
    session: AsyncSession, row: Shipment, *, keys: set[str], expired: bool, at: datetime
) -> None:
    """A clock that no longer runs late closes its own case: the step was taken, late, or the clock stood still."""
    for found in await desk_queries.open_cases_of(session, row.id):
        over = found.case_key not in keys
        if found.kind in _BY_HAND or not over or (found.kind == "stop_unreleased" and expired):
            continue
        await _close(session, row, found, by=SYSTEM, resolution=_OVERTAKEN, at=at)


_BY_HAND = frozenset({"dispute", "shift_difference"})
"""Cases that only a person closes."""

_OVERTAKEN = "Bước bị trễ đã được thực hiện hoặc thời hạn đã được dừng có căn cứ."


async def _remind(
    session: AsyncSession, row: Shipment, journey: deadlines.Journey, calendar: BusinessCalendar, *, at: datetime
) -> None:
    """Remind the receiver of a waiting item, once for each reminder day that has come."""
    local = at.astimezone(calendar.zone)
    today = local.date()
    for day in deadlines.reminder_days(journey, calendar):
        if day > today or (day == today and local.hour < 8):
            continue
        news = f"shipment.hold_reminder:{day.isoformat()}"
        statement = insert(Announcement).values(shipment_id=row.id, news=news, announced_at=at)
        once = statement.on_conflict_do_nothing().returning(col(Announcement.news))
        if (await session.exec(once)).one_or_none() is not None and day == today:
            await recording.tell(session, row, "shipment.hold_reminder", status=row.status, occurred_at=at)


# --- people and cases ----------------------------------------------------------------------------


async def take_case(session: AsyncSession, case_id: str, *, by: str) -> Case:
    """Say that one sees to it. Taken by oneself already: nothing happens. Raises AlreadyClosed, TakenByAnother."""
    row = await desk_queries.case(session, case_id, lock=True)
    _check_open(row)
    if row.taken_by not in (None, by):
        raise TakenByAnother(
            f"Vụ việc này đang do {row.taken_by} xử lý; hãy trao đổi với người đó.",
            f"{row.taken_by} is seeing to this case; talk to that person.",
        )
    row.status, row.taken_by = "taken", by
    session.add(row)
    await session.flush()
    return row


async def close_case(session: AsyncSession, case_id: str, *, resolution: str, by: str) -> Case:
    """Close it with what was done. The same again changes nothing. Raises NoSuchCase, AlreadyClosed."""
    row = await desk_queries.case(session, case_id, lock=True)
    if row.status == "closed" and (row.closed_by, row.resolution) == (by, resolution):
        return row
    _check_open(row)
    shipment = await queries.shipment(session, row.shipment_id) if row.shipment_id is not None else None
    await _close(session, shipment, row, by=by, resolution=resolution, at=now())
    return row


def _check_open(row: Case) -> None:
    if row.status == "closed":
        raise AlreadyClosed(
            "Vụ việc này đã đóng; nếu phát sinh lại, hệ thống sẽ mở vụ việc mới.",
            "This case is closed; if it happens again a new one is opened.",
        )


async def _close(
    session: AsyncSession, shipment: Shipment | None, row: Case, *, by: str, resolution: str, at: datetime
) -> None:
    row.status, row.closed_by, row.closed_at, row.resolution = "closed", by, at, resolution
    session.add(row)
    await session.flush()
    if shipment is not None:
        await _announce(session, shipment, row, "case.closed", at=at)


async def _announce(session: AsyncSession, shipment: Shipment, row: Case, kind: str, *, at: datetime) -> None:
    identity = new_id("evt")
    event = CaseEvent(
        event_id=identity,
        dossier_code=shipment.dossier_code,
        shipment_id=shipment.id,
        direction=shipment.direction,
        status=row.kind,
        case_id=row.id,
        due_at=row.due_at,
        occurred_at=at,
    )
    await outbox.announce(
        session, kind, subject=shipment.dossier_code, data=event.model_dump(mode="json"), event_id=identity
    )


def case_record(row: Case) -> CaseRecord:
    """A case as other rooms may know it."""
    return CaseRecord.model_validate(row, from_attributes=True)


# --- clocks that stand still ---------------------------------------------------------------------


async def stop_clock(session: AsyncSession, shipment_id: str, body: StopClock, *, by: str) -> ClockStop:
    """Let the clocks stand still from now on. Raises NoSuchShipment, ClockStandsStill, WrongMoment after the end."""
    row = await queries.shipment(session, shipment_id, lock=True)
    if row.status in rules.END_STRENGTH:
        raise WrongMoment(
            "Hành trình đã kết thúc nên không còn thời hạn nào để dừng.",
            "The journey is over, so no clock is left to stop.",
        )
    open_stop = select(ClockStop.id).where(col(ClockStop.shipment_id) == row.id, col(ClockStop.released_at).is_(None))
    if (await session.exec(open_stop)).first() is not None:
        raise ClockStandsStill(
            "Thời hạn của bưu gửi này đang được dừng; hãy cho chạy lại trước khi dừng vì lý do khác.",
            "The clocks of this item stand still already; release them before stopping for another reason.",
        )
    stop = ClockStop(
        id=new_id("stp"), shipment_id=row.id, reason=body.reason, note=body.note, since=now(), stopped_by=by
    )
    session.add(stop)
    await session.flush()
    await recording.tell(session, row, "shipment.clock_stopped", status=row.status, occurred_at=stop.since)
    return stop


async def release_clock(session: AsyncSession, stop_id: str, *, by: str) -> ClockStop:
    """Let them run on. Released already: nothing happens. Raises NoSuchStop."""
    query = select(ClockStop).where(col(ClockStop.id) == stop_id).with_for_update()
    stop = (await session.exec(query.execution_options(populate_existing=True))).one_or_none()
    if stop is None:
        raise NoSuchStop("Không có lần dừng này; hãy kiểm tra lại mã.", "There is no such stop; check the id.")
    if stop.released_at is None:
        row = await queries.shipment(session, stop.shipment_id)
        stop.released_at, stop.released_by = now(), by
        session.add(stop)
        await session.flush()
        await recording.tell(session, row, "shipment.clock_released", status=row.status, occurred_at=stop.released_at)
    return stop
