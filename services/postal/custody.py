"""A shipment's state is a fold over its events: one order, one transition table, one custodian at every moment.

The same set of facts gives the same state, in whatever order and however often they arrived. A fact that does
not fit is kept with `applied=False` and the reason; it is never dropped and never blocks the next one. Once an
end is reached, further facts may only replace it by a stronger end (`rules.END_STRENGTH`). The one exception:
an envelope scanned in the post's hands after a cancellation is on its way back, because paper in a courier's bag
cannot be nowhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone

from services.postal import rules
from services.postal.contract import Custodian, Direction, EventKind, Evidence, MeasureCode, ReasonCode, ShipmentStatus
from services.postal.rules import Source, Stage

VIETNAM = timezone(timedelta(hours=7))
"""Vietnam has kept one offset, without summer time, since 1975; holding days are counted in it."""


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


@dataclass(slots=True)
class _State:
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
    receivers: set[str] = field(default_factory=set)
    proofs: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Step:
    """What a fact does: move to a status (None: stay), or nothing when refused; with the codes to show."""

    status: ShipmentStatus | None = None
    anomalies: tuple[str, ...] = ()
    refused: bool = False


def _refuse(anomaly: str) -> _Step:
    return _Step(None, (anomaly,), refused=True)


def fold(leg: Leg, facts: Iterable[Fact]) -> Custody:
    """The state of a leg after these facts. Repeated event ids count once."""
    unique = {fact.event_id: fact for fact in facts}
    state = _State(leg, "booked", rules.sender(leg.direction), leg.booked_at)
    verdicts = [_judge(state, fact) for fact in sorted(unique.values(), key=lambda fact: fact.order)]
    collection = state.collection
    evidence = collection.evidence if collection is not None else None
    return Custody(
        status=state.status,
        custodian=state.custodian,
        verdicts=tuple(verdicts),
        collected_positions=state.collected_positions,
        seal_number=evidence.seal_number if evidence else None,
        page_count=evidence.page_count if evidence else None,
        collection=collection,
        cash=state.cash,
        attempts=state.attempts,
        held_until=state.held_until,
        last_seen_at=state.last_seen_at,
    )


def _judge(state: _State, fact: Fact) -> Verdict:
    before = state.status
    step = _step(state, fact)
    anomalies = list(step.anomalies)
    recorded = False
    if not step.refused:
        recorded = _record_collection(state, fact)
        _enter(state, fact, step.status or state.status, moved=step.status is not None)
        if fact.occurred_at < state.leg.booked_at - rules.CLOCK_TOLERANCE:
            anomalies.append("clock_behind")
        state.last_seen_at = max(state.last_seen_at, fact.occurred_at)
    counted, cash_anomaly = (0, None) if step.refused else _count_cash(state, fact)
    if cash_anomaly is not None:
        anomalies.append(cash_anomaly)
    verdict = Verdict(
        fact=fact,
        applied=not step.refused,
        anomaly=",".join(anomalies) or None,
        status_before=before,
        status=state.status,
        custodian=state.custodian,
        counted_cash_dong=counted,
        recorded_collection=recorded,
    )
    if counted:
        state.cash = verdict
    return verdict


# --- which step a fact takes ---------------------------------------------------------------------


def _step(state: _State, fact: Fact) -> _Step:
    if fact.occurred_at > fact.received_at + rules.CLOCK_TOLERANCE:
        return _refuse("clock_ahead")
    if fact.source == "courier" and fact.kind in rules.NOT_FOR_COURIERS:
        return _refuse("not_authorised")
    match fact.kind:
        case "handed_over":
            return _handed_over(state, fact)
        case "evidence_added":
            return _evidence_added(state, fact)
        case "returned":
            return _returned(state, fact)
        case "declared_lost" | "declared_damaged":
            return _written_off(state, fact)
        case "cancelled":
            return _cancelled(state)
        case "released":
            return _Step(state.held_from) if state.status == "held" else _out_of_place(state)
        case "found":
            return _Step(state.sought_from) if state.status == "investigating" else _out_of_place(state)
        case "collected" | "partially_collected":
            return _collected(state, fact)
        case _:
            return _moved(state, fact)


def _out_of_place(state: _State) -> _Step:
    return _refuse("after_end" if state.status in rules.END_STRENGTH else "illegal_transition")


def _handed_over(state: _State, fact: Fact) -> _Step:
    """A handover proven by the right receiver ends the leg from any weaker state; unproven, it waits for evidence."""
    if state.status == "delivered":
        return _refuse("after_end")
    state.handover_claimed = True
    _take_evidence(state, fact)
    if _is_proven(state):
        return _Step(
            "delivered", _path_to_end(state, {"out_for_delivery", "ready_for_collection", "delivered_pending_evidence"})
        )
    if rules.END_STRENGTH.get(state.status, 0) > 1:
        return _refuse("after_end")
    if state.status == "delivered_pending_evidence":
        return _refuse("repeated")
    if state.status == "returning":
        return _refuse("illegal_transition")
    anomalies = _wrong_receiver(state)
    if state.status == "cancelled":
        return _Step("delivered_pending_evidence", ("moved_after_cancel", *anomalies))
    if "delivered_pending_evidence" not in rules.LEGAL[state.status]:
        anomalies = ("missing_scan", *anomalies)
    return _Step("delivered_pending_evidence", anomalies)


def _evidence_added(state: _State, fact: Fact) -> _Step:
    if not state.handover_claimed:
        return _refuse("fact_missing")
    if fact.evidence is None:
        return _refuse("evidence_missing")
    _take_evidence(state, fact)
    if state.status == "delivered":
        return _Step()
    if _is_proven(state):
        return _Step("delivered", _path_to_end(state, {"delivered_pending_evidence"}))
    return _Step(None, _wrong_receiver(state) or ("evidence_missing",))


def _take_evidence(state: _State, fact: Fact) -> None:
    if fact.evidence is not None:
        if fact.evidence.receiver is not None:
            state.receivers.add(fact.evidence.receiver)
        if fact.evidence.proof is not None:
            state.proofs.add(fact.evidence.proof)


def _is_proven(state: _State) -> bool:
    return bool(state.proofs) and bool(state.receivers & rules.PROPER_RECEIVERS[state.leg.direction])


def _wrong_receiver(state: _State) -> tuple[str, ...]:
    proper = rules.PROPER_RECEIVERS[state.leg.direction]
    return ("wrong_receiver",) if state.receivers and not state.receivers & proper else ()


def _path_to_end(state: _State, expected: set[ShipmentStatus]) -> tuple[str, ...]:
    if state.status in rules.END_STRENGTH:
        return ("contradicts_end",)
    return () if state.status in expected else ("missing_scan",)


def _end_refusal(state: _State, end: ShipmentStatus) -> _Step | None:
    if state.status in rules.BEFORE_COLLECTION or state.status == "cancelled":
        return _refuse("nothing_collected")
    if rules.END_STRENGTH.get(state.status, 0) >= rules.END_STRENGTH[end]:
        return _refuse("after_end")
    return None


def _returned(state: _State, fact: Fact) -> _Step:
    refusal = _end_refusal(state, "returned")
    if refusal is not None:
        return refusal
    proven = fact.evidence is not None and fact.evidence.proof is not None
    return _Step("returned", _path_to_end(state, {"returning"}) + (() if proven else ("evidence_missing",)))


def _written_off(state: _State, fact: Fact) -> _Step:
    end = rules.TARGET[fact.kind]
    return _end_refusal(state, end) or _Step(end, _path_to_end(state, {"investigating"}))


def _cancelled(state: _State) -> _Step:
    """Before pickup a cancellation ends the leg; afterwards it calls the envelope back."""
    if state.status in rules.BEFORE_COLLECTION:
        return _Step("cancelled")
    if "returning" in rules.LEGAL[state.status] or state.status == "out_for_delivery":
        return _Step("returning")
    return _out_of_place(state)


def _collected(state: _State, fact: Fact) -> _Step:
    """Count, seal and both signatures, or the paper stays where it was. A late record fills in what a scan skipped."""
    if not _collection_is_evidenced(state.leg, fact):
        return _refuse("evidence_missing")
    if state.status == "cancelled":
        return _Step("returning", ("moved_after_cancel",))
    if state.status in rules.BEFORE_COLLECTION:
        return _Step("collected")
    if state.collection is None:
        return _Step(None, ("out_of_order",))
    return _refuse("after_end" if state.status in rules.END_STRENGTH else "repeated")


def _collection_is_evidenced(leg: Leg, fact: Fact) -> bool:
    evidence = fact.evidence
    if evidence is None or not evidence.seal_number or not evidence.seal_number.strip():
        return False
    if evidence.citizen_signature_sha256 is None or evidence.courier_signature_sha256 is None:
        return False
    every = set(range(1, leg.piece_count + 1))
    ticked = set(evidence.collected_positions)
    if not ticked or not ticked <= every:
        return False
    return fact.kind == "partially_collected" or ticked == every


def _moved(state: _State, fact: Fact) -> _Step:
    """The ordinary scans: along the table, or forward over missed scans."""
    target = rules.TARGET[fact.kind]
    refusal = _visit_refusal(fact)
    if refusal is not None:
        return refusal
    status = state.status
    if status == "cancelled":
        return _Step("returning", ("moved_after_cancel",)) if fact.kind in rules.PHYSICAL else _refuse("after_end")
    if status in rules.END_STRENGTH:
        return _refuse("after_end")
    if target in rules.LEGAL[status]:
        return _Step(target)
    if status == target:
        return _again(state, fact)
    if status == "returning":
        return _Step() if fact.kind in rules.PHYSICAL else _refuse("illegal_transition")
    if status in rules.BEFORE_COLLECTION and fact.kind not in rules.PHYSICAL:
        return _refuse("illegal_transition" if target in rules.BEFORE_COLLECTION else "nothing_collected")
    return _skipped(state, target)


def _visit_refusal(fact: Fact) -> _Step | None:
    """A failed visit needs a reason and a measure that belong together; an item is kept back only for a reason."""
    if fact.kind == "held":
        return None if fact.reason is not None else _refuse("reason_missing")
    stages: dict[EventKind, Stage] = {"pickup_failed": "pickup", "attempt_failed": "delivery"}
    stage = stages.get(fact.kind)
    if stage is None:
        return None
    if fact.reason is None or fact.measure is None:
        return _refuse("reason_missing")
    if fact.measure not in rules.allowed_measures(fact.reason, stage):
        return _refuse("measure_not_allowed")
    return None


def _again(state: _State, fact: Fact) -> _Step:
    """A second failure counts as another visit only when enough time has passed."""
    is_visit = fact.kind in ("attempt_failed", "pickup_failed")
    last = state.last_failure_at
    if is_visit and last is not None and fact.occurred_at - last >= rules.SAME_ATTEMPT:
        return _Step(state.status, ("missing_scan",))
    return _refuse("repeated")


def _skipped(state: _State, target: ShipmentStatus) -> _Step:
    status = state.status
    if status == "investigating":
        on_its_way = rules.FORWARD_RANK.keys() - rules.BEFORE_COLLECTION
        found = target in on_its_way or target == "returning"
        return _Step(target, ("missing_scan",)) if found else _refuse("illegal_transition")
    origin = state.held_from if status == "held" else status
    if origin == target or target in rules.LEGAL[origin] or rules.is_forward(origin, target):
        return _Step(target, ("missing_scan",))
    failed_unseen = status == "out_for_delivery" and target in ("held", "returning")
    if failed_unseen or (status == "ready_for_collection" and target == "held"):
        return _Step(target, ("missing_scan",))
    return _refuse("illegal_transition")


# --- what a step leaves behind -------------------------------------------------------------------


def _record_collection(state: _State, fact: Fact) -> bool:
    if fact.kind not in rules.COLLECTIONS or fact.evidence is None:
        return False
    state.collection = fact
    state.collected_positions = frozenset(fact.evidence.collected_positions)
    return True


def _enter(state: _State, fact: Fact, target: ShipmentStatus, *, moved: bool) -> None:
    before = state.status
    on_the_way_back = (
        target == "returning"
        and fact.kind in rules.PHYSICAL
        and (before == "cancelled" or fact.kind not in rules.COLLECTIONS)
    )
    scanned_as = rules.TARGET[fact.kind] if on_the_way_back else target
    state.custodian = rules.custodian_in(scanned_as, state.leg.direction, before=state.custodian)
    if target == "held" and before != "held":
        origin = state.sought_from if before == "investigating" else before
        if origin in rules.BEFORE_COLLECTION:  # scans were missed: an office that keeps it back has taken it in
            origin = "at_origin_office"
        state.held_from = state.held_from if origin == "held" else origin
    if target == "investigating" and before != "investigating":
        state.sought_from = before
    if moved:
        _count_attempt(state, fact, before)
        if target not in ("held", "ready_for_collection"):
            state.held_until = None
        elif before != target:
            day = fact.occurred_at.astimezone(VIETNAM).date()
            state.held_until = rules.held_until(day, hold_days=state.leg.hold_days)
    state.status = target


def _count_attempt(state: _State, fact: Fact, before: ShipmentStatus) -> None:
    """Failed visits of the present stage: those before pickup are forgotten once the papers are collected."""
    if before in rules.BEFORE_COLLECTION and fact.kind in rules.PHYSICAL:
        state.attempts, state.last_failure_at = 0, None
    if fact.kind not in ("attempt_failed", "pickup_failed") or fact.reason is None:
        return
    last = state.last_failure_at
    if last is None or fact.occurred_at - last >= rules.SAME_ATTEMPT:
        state.last_failure_at = fact.occurred_at
        state.attempts += rules.REASONS[fact.reason].counts_as_attempt


def _count_cash(state: _State, fact: Fact) -> tuple[int, str | None]:
    """Cash is taken once a leg, at the citizen's door, and never above what is due."""
    if fact.kind not in rules.COLLECTIONS and fact.kind != "handed_over":
        return (0, "cash_out_of_place") if fact.cash_collected_dong else (0, None)
    due = state.leg.cash_due_dong
    amount = fact.cash_collected_dong
    if amount == 0:
        at_citizen = fact.kind == "handed_over" if state.leg.direction == "return" else fact.kind != "handed_over"
        owed = due > 0 and state.cash is None and at_citizen
        return 0, "cash_missing" if owed else None
    if state.cash is not None:
        return 0, "cash_twice"
    if amount > due:
        return 0, "cash_above_due"
    return amount, None if amount == due else "cash_differs"
