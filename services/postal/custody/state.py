"""What the fold knows and remembers: a leg, its facts, the state between two facts, and the verdicts."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from services.postal import rules
from services.postal.contract import (
    Custodian,
    Direction,
    EventKind,
    Evidence,
    MeasureCode,
    Party,
    PickupStatus,
    ReasonCode,
    ShipmentStatus,
)
from services.postal.rules import Source


@dataclass(frozen=True, slots=True)
class Leg:
    """What the fold must know of a shipment besides its events. Amounts in đồng."""

    direction: Direction
    piece_count: int
    cash_due_dong: int
    booked_at: datetime
    hold_days: int


@dataclass(frozen=True, slots=True)
class Fact:
    """One event as the fold sees it."""

    event_id: str
    kind: EventKind
    occurred_at: datetime
    received_at: datetime
    source: Source
    actor: str
    device_seq: int
    reason: ReasonCode | None = None
    measure: MeasureCode | None = None
    cash_collected_dong: int = 0
    evidence: Evidence | None = None
    device_id: str = ""
    place: str = ""
    skew: timedelta | None = None
    """How far the device's clock ran ahead; `occurred_at` is corrected by it already."""
    code_right: bool | None = None
    """Whether the delivery code that came with the fact is the right one; None when none came."""
    party: Party | None = None
    voids: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[datetime, int, int, str]:
        """Place in the fold."""
        return self.occurred_at, rules.SOURCE_RANK[self.source], self.device_seq, self.event_id


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the fold made of one fact, and the state right after it. `anomaly`: codes joined by commas."""

    fact: Fact
    applied: bool
    anomaly: str | None
    status_before: ShipmentStatus
    status: ShipmentStatus
    custodian: Custodian
    counted_cash_dong: int = 0
    recorded_collection: bool = False

    @property
    def entered(self) -> ShipmentStatus | None:
        """The state this fact led into, when it changed it."""
        return self.status if self.status != self.status_before else None


@dataclass(frozen=True, slots=True)
class Release:
    """A handover that was begun and that nobody has accepted yet."""

    since: datetime
    to: Custodian
    name: str
    """Of the person or office that is to take it; empty when the scan named none."""
    event_id: str


@dataclass(frozen=True, slots=True)
class Custody:
    """The result of a fold."""

    status: ShipmentStatus
    custodian: Custodian
    verdicts: tuple[Verdict, ...]
    collected_positions: frozenset[int]
    seal_number: str | None
    page_count: int | None
    collection: Fact | None
    """The fact that recorded count, seal and signatures."""
    cash: Verdict | None
    """The fact whose cash was counted."""
    attempts: int
    held_until: date | None
    last_seen_at: datetime
    pickup: PickupStatus
    files_named: frozenset[str]
    files_missing: frozenset[str]
    """Evidence files that counted facts name and that have not arrived, by SHA-256."""
    release: Release | None
    """Set while a handover waits for its acceptance; the custodian is still the one who released."""


@dataclass(slots=True)
class State:
    leg: Leg
    status: ShipmentStatus
    custodian: Custodian
    last_seen_at: datetime
    held_from: ShipmentStatus = "at_delivery_office"
    sought_from: ShipmentStatus = "at_delivery_office"
    collected_positions: frozenset[int] = frozenset()
    collection: Fact | None = None
    cash: Verdict | None = None
    attempts: int = 0
    last_failure_at: datetime | None = None
    held_until: date | None = None
    handover_claimed: bool = False
    evidence: list[Fact] = field(default_factory=list)
    """Facts that speak of a handover to the receiver; each counts once its own files have arrived."""
    files_named: set[str] = field(default_factory=set)
    files_stored: set[str] = field(default_factory=set)
    pickup: PickupStatus = "requested"
    release: Release | None = None
    holder: Fact | None = None
    """The fact by which the present holder took the envelope."""

    def has_files(self, fact: Fact) -> bool:
        """Whether every file that a fact names has arrived."""
        return files_of(fact) <= self.files_stored


@dataclass(frozen=True, slots=True)
class Step:
    """What a fact does: move to a status (None: stay), or nothing when refused; with the codes to show."""

    status: ShipmentStatus | None = None
    anomalies: tuple[str, ...] = ()
    refused: bool = False


def files_of(fact: Fact) -> set[str]:
    """The files a fact names, by SHA-256."""
    return {file.sha256 for file in fact.evidence.files} if fact.evidence is not None else set()


def refuse(anomaly: str) -> Step:
    return Step(None, (anomaly,), refused=True)
