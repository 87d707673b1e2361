"""A shipment's state is a fold over its events: one order, one transition table, one custodian at every moment.

The same set of facts gives the same state, in whatever order and however often they arrived. A fact that does
not fit is kept with `applied=False` and the reason; it is never dropped and never blocks the next one. Once an
end is reached, further facts may only replace it by a stronger end (`rules.END_STRENGTH`). The one exception:
an envelope scanned in the post's hands after a cancellation is on its way back, because paper in a courier's bag
cannot be nowhere. Facts that two people have set aside by a correction are kept and count for nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from services.postal import rules
from services.postal.custody.effects import VIETNAM, count_cash, enter, record_collection, take_evidence
from services.postal.custody.state import Custody, Fact, Leg, Release, State, Verdict
from services.postal.custody.steps import is_another_couriers, step_of

__all__ = ["VIETNAM", "Custody", "Fact", "Leg", "Release", "Verdict", "fold"]


def fold(leg: Leg, facts: Iterable[Fact]) -> Custody:
    """The state of a leg after these facts. Repeated event ids count once."""
    unique = {fact.event_id: fact for fact in facts}
    in_order = sorted(unique.values(), key=lambda fact: fact.order)
    voided = {identity for fact in in_order if _is_correction(fact) for identity in fact.voids}
    jumped = _out_of_step(in_order)
    state = State(leg, "booked", rules.sender(leg.direction), leg.booked_at)
    verdicts = [
        _set_aside(state, fact)
        if fact.event_id in voided and not _is_correction(fact)
        else _judge(state, fact, jumped=fact.event_id in jumped)
        for fact in in_order
    ]
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
        pickup=state.pickup,
        files_named=frozenset(state.files_named),
        files_missing=frozenset(state.files_named - state.files_stored),
        release=state.release,
    )


def _is_correction(fact: Fact) -> bool:
    return fact.kind == "corrected" and fact.source == "system"


def _set_aside(state: State, fact: Fact) -> Verdict:
    """A fact that a correction has taken out: it stays in the log and counts for nothing."""
    return Verdict(
        fact=fact,
        applied=False,
        anomaly="corrected",
        status_before=state.status,
        status=state.status,
        custodian=state.custodian,
    )


def _out_of_step(in_order: Sequence[Fact]) -> set[str]:
    """Facts whose time contradicts their device's own count: its clock was moved between them."""
    latest: dict[str, datetime] = {}
    found = set()
    for fact in sorted(in_order, key=lambda fact: (fact.device_seq, fact.occurred_at, fact.event_id)):
        before = latest.get(fact.device_id)
        if before is not None and fact.occurred_at < before - rules.CLOCK_NOISE:
            found.add(fact.event_id)
        latest[fact.device_id] = fact.occurred_at if before is None else max(before, fact.occurred_at)
    return found


def _judge(state: State, fact: Fact, *, jumped: bool) -> Verdict:
    before = state.status
    step = step_of(state, fact)
    anomalies = list(step.anomalies)
    recorded = False
    if not step.refused:
        if fact.kind in rules.NEEDS_THE_ENVELOPE and is_another_couriers(state, fact):
            anomalies.append("not_the_holder")
        take_evidence(state, fact)
        recorded = record_collection(state, fact)
        enter(state, fact, step.status or state.status, moved=step.status is not None)
        anomalies += _clock_anomalies(state, fact, jumped=jumped)
        if fact.kind not in rules.WITHOUT_MOVE or fact.party is not None:
            state.last_seen_at = max(state.last_seen_at, fact.occurred_at)
    counted, cash_anomaly = (0, None) if step.refused else count_cash(state, fact)
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


def _clock_anomalies(state: State, fact: Fact, *, jumped: bool) -> list[str]:
    found = []
    if fact.occurred_at < state.leg.booked_at - rules.CLOCK_TOLERANCE:
        found.append("clock_behind")
    if fact.skew is not None and abs(fact.skew) > rules.CLOCK_NOISE:
        found.append("clock_corrected")
    if jumped:
        found.append("clock_jumped")
    return found
