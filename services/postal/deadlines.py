"""The clocks of a shipment: what must have happened by when, on which days they run, and when they may stand still.

Pure: the state of a leg, its stops and a calendar give its clocks. No published rule gives the lengths, so each is the
operator's own (`Allowances`), except the legal ones of claims. A clock stands still only for a stop with a reason and
a release; a stop that nobody releases runs out and then counts for nothing, as posts count a retention without its
release event. Whatever the post itself is late with never stops a clock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from kit.calendar import BusinessCalendar, Pause, months_after
from services.postal import rules
from services.postal.contract import ReasonCode, ShipmentStatus
from services.postal.desk_contract import ClockKind, StopReason


@dataclass(frozen=True, slots=True)
class Allowances:
    """How long each step may take. Days are working days, hours run on working days only; `hold_days` are plain days.

    `near`: both ends in one commune.
    """

    pickup_days: int = 2
    first_attempt_days_near: int = 3
    first_attempt_days: int = 6
    delivery_days_near: int = 5
    delivery_days: int = 8
    next_attempt_days: int = 2
    movement_hours_near: int = 24
    movement_hours: int = 48
    custody_hours: int = 4
    evidence_hours: int = 24
    presumed_lost_days: int = 10
    longest_stop_days: int = 14
    """How long a stop holds a clock while nobody releases it; plain days."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A stretch in which the post may wait, from a fact or a dispatcher."""

    since: datetime
    released_at: datetime | None
    reason: StopReason


@dataclass(frozen=True, slots=True)
class Journey:
    """What the clocks must know of a leg. `entered_at`: when it came into its present state."""

    status: ShipmentStatus
    booked_at: datetime
    entered_at: datetime
    last_seen_at: datetime
    near: bool = False
    pickup_by: datetime | None = None
    collected_at: datetime | None = None
    first_attempt_at: datetime | None = None
    held_until: date | None = None
    release_since: datetime | None = None
    claim_answer_by: date | None = None
    claim_pay_by: date | None = None
    stops: tuple[Stop, ...] = ()


@dataclass(frozen=True, slots=True)
class RunningClock:
    """A deadline of a journey. The same run of the same clock always has the same key."""

    kind: ClockKind
    since: datetime
    due_at: datetime
    standing: StopReason | None = None

    @property
    def key(self) -> str:
        """Names this run of the clock."""
        return f"{self.kind}:{self.since:%Y%m%dT%H%M%S}"


STOP_REASON: Mapping[ReasonCode, StopReason] = {
    "R03": "citizen_asked",
    "R11": "office_closed",
    "R12": "deceased",
    "R13": "weather",
}
"""Reasons of a `held` fact that let the clocks stand still until its `released`; with any other they run on."""

ON_THE_MOVE: frozenset[ShipmentStatus] = frozenset(
    {
        "collected",
        "at_origin_office",
        "in_transit",
        "at_delivery_office",
        "out_for_delivery",
        "attempt_failed",
        "returning",
    }
)
WAITS_FOR_RECEIVER: frozenset[ShipmentStatus] = frozenset({"held", "ready_for_collection"})
WAITS_FOR_PROOF: frozenset[str] = frozenset({"delivered_pending_evidence", "collected_pending_evidence"})
HOLD_REMINDERS = (1, 5, 9)
"""Days after an item began to wait at the office on which its receiver is reminded."""


def pauses(stops: Iterable[Stop], allowances: Allowances, *, now: datetime) -> list[Pause]:
    """Stops that count: released ones, and open ones for as long as a stop may last."""
    found = []
    longest = timedelta(days=allowances.longest_stop_days)
    for stop in stops:
        if stop.released_at is not None:
            found.append(Pause(stop.since, max(stop.since, stop.released_at)))
        elif now < stop.since + longest:
            found.append(Pause(stop.since, stop.since + longest))
    return found


def run_out(stops: Iterable[Stop], allowances: Allowances, *, now: datetime) -> list[Stop]:
    """Open stops that lasted longer than a stop may: they count for nothing, and somebody must say why."""
    longest = timedelta(days=allowances.longest_stop_days)
    return [stop for stop in stops if stop.released_at is None and now >= stop.since + longest]


def has_ended(journey: Journey) -> bool:
    """Whether nothing of this leg is timed any more."""
    over = journey.status in rules.END_STRENGTH
    return over and journey.claim_answer_by is None and journey.claim_pay_by is None


def clocks(
    journey: Journey, calendar: BusinessCalendar, allowances: Allowances, *, now: datetime
) -> tuple[RunningClock, ...]:
    """Every clock that runs, by due time."""
    held = pauses(journey.stops, allowances, now=now)
    standing = next((s.reason for s in journey.stops if s.released_at is None and s.since <= now), None)
    if standing is not None and not any(pause.since <= now < pause.until for pause in held):
        standing = None
    timing = _Timing(calendar, allowances, held)
    found = [
        *_of_pickup(journey, timing),
        *_of_the_way(journey, timing),
        *_of_custody(journey, timing),
        *_of_claims(journey, timing),
    ]
    stoppable = [RunningClock(kind, since, due, standing if kind in STOPPABLE else None) for kind, since, due in found]
    return tuple(sorted(stoppable, key=lambda clock: (clock.due_at, clock.kind)))


STOPPABLE: frozenset[ClockKind] = frozenset(
    {"pickup", "first_attempt", "delivery", "next_attempt", "movement", "presumed_lost"}
)
"""Clocks of carrying. Custody, proof, the holding of an item and the law's own dates never stand still."""

_Timed = tuple[ClockKind, datetime, datetime]


@dataclass(frozen=True, slots=True)
class _Timing:
    calendar: BusinessCalendar
    allowances: Allowances
    held: list[Pause]

    def days(self, since: datetime, count: int) -> datetime:
        """The end of the `count`-th working day after `since`; days on which a stop was in force do not count."""
        zone = self.calendar.zone
        still = {
            pause.since.astimezone(zone).date() + timedelta(days=ahead)
            for pause in self.held
            for ahead in range((pause.until.astimezone(zone).date() - pause.since.astimezone(zone).date()).days)
        }
        day = self.calendar.add_working_days(since.astimezone(zone).date(), count, still=still)
        return self.calendar.end_of(day)

    def hours(self, since: datetime, count: int, *, stoppable: bool) -> datetime:
        """When so many hours have run."""
        return self.calendar.add_working_time(since, timedelta(hours=count), pauses=self.held if stoppable else ())

    def standstill(self, since: datetime, until: datetime) -> timedelta:
        """How long stops were in force between two moments."""
        spans = ((max(p.since, since), min(p.until, until)) for p in self.held)
        return sum((end - start for start, end in spans if end > start), timedelta(0))


def _of_pickup(journey: Journey, timing: _Timing) -> list[_Timed]:
    if journey.status not in rules.BEFORE_COLLECTION:
        return []
    since = journey.booked_at
    if journey.pickup_by is None:
        return [("pickup", since, timing.days(since, timing.allowances.pickup_days))]
    return [("pickup", since, journey.pickup_by + timing.standstill(since, journey.pickup_by))]


def _of_the_way(journey: Journey, timing: _Timing) -> list[_Timed]:
    since, allowed = journey.collected_at, timing.allowances
    if since is None or journey.status in rules.END_STRENGTH:
        return []
    found: list[_Timed] = []
    goes_on = journey.status not in WAITS_FOR_PROOF and journey.status != "returning"
    if goes_on and journey.first_attempt_at is None:
        count = allowed.first_attempt_days_near if journey.near else allowed.first_attempt_days
        found.append(("first_attempt", since, timing.days(since, count)))
    if goes_on and journey.status not in WAITS_FOR_RECEIVER:
        count = allowed.delivery_days_near if journey.near else allowed.delivery_days
        found.append(("delivery", since, timing.days(since, count)))
    if journey.status == "attempt_failed":
        found.append(("next_attempt", journey.entered_at, timing.days(journey.entered_at, allowed.next_attempt_days)))
    if journey.status in WAITS_FOR_RECEIVER and journey.held_until is not None:
        found.append(("hold", journey.entered_at, timing.calendar.end_of(journey.held_until)))
    seen = journey.last_seen_at
    if journey.status in ON_THE_MOVE:
        count = allowed.movement_hours_near if journey.near else allowed.movement_hours
        found.append(("movement", seen, timing.hours(seen, count, stoppable=True)))
    if journey.status in ON_THE_MOVE or journey.status == "investigating":
        found.append(("presumed_lost", seen, timing.days(seen, allowed.presumed_lost_days)))
    return found


def _of_custody(journey: Journey, timing: _Timing) -> list[_Timed]:
    found: list[_Timed] = []
    if journey.release_since is not None and journey.status not in rules.END_STRENGTH:
        since = journey.release_since
        found.append(("custody", since, timing.hours(since, timing.allowances.custody_hours, stoppable=False)))
    if journey.status in WAITS_FOR_PROOF:
        since = journey.entered_at
        found.append(("evidence", since, timing.hours(since, timing.allowances.evidence_hours, stoppable=False)))
    return found


def _of_claims(journey: Journey, timing: _Timing) -> list[_Timed]:
    found: list[_Timed] = []
    if journey.claim_answer_by is not None:
        found.append(("claim_answer", journey.booked_at, timing.calendar.end_of(journey.claim_answer_by)))
    if journey.claim_pay_by is not None:
        found.append(("claim_payment", journey.booked_at, timing.calendar.end_of(journey.claim_pay_by)))
    return found


def published_end(journey: Journey, calendar: BusinessCalendar, allowances: Allowances) -> date | None:
    """The last day of the published transit time, from which the law counts; None before the post holds the papers."""
    if journey.collected_at is None:
        return None
    count = allowances.delivery_days_near if journey.near else allowances.delivery_days
    return calendar.add_working_days(journey.collected_at.astimezone(calendar.zone).date(), count)


def claim_until(reason: str, *, published_end: date | None, delivered_on: date | None, declared_on: date) -> date:
    """The last day on which a claim may be made (Luật Bưu chính 49/2010/QH12, Điều 38; not verified against the text).

    Six months from the end of the published transit time for loss and lateness; one month from delivery for damage,
    from the declaration when a damaged item was not delivered.
    """
    if reason == "damaged":
        return months_after(delivered_on or declared_on, 1)
    return months_after(published_end or declared_on, 6)


def reminder_days(journey: Journey, calendar: BusinessCalendar) -> list[date]:
    """Days on which the receiver of a waiting item is reminded, none after the last day of keeping."""
    if journey.status not in WAITS_FOR_RECEIVER or journey.held_until is None:
        return []
    first = journey.entered_at.astimezone(calendar.zone).date()
    days = [first + timedelta(days=ahead) for ahead in HOLD_REMINDERS]
    return [day for day in days if day <= journey.held_until]
