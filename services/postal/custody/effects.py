"""What a step leaves behind: who holds the envelope, the pickup's state, visits, days of keeping, cash."""

from datetime import timedelta, timezone

from services.postal import rules
from services.postal.contract import Custodian, PickupStatus, ShipmentStatus
from services.postal.custody.state import Fact, Release, State, files_of

VIETNAM = timezone(timedelta(hours=7))
"""Vietnam has kept one offset, without summer time, since 1975; holding days are counted in it."""


def take_evidence(state: State, fact: Fact) -> None:
    """Remember which files a fact names or brings, and what it says of the handover to the receiver."""
    if fact.kind == "evidence_stored":
        state.files_stored |= files_of(fact)
        return
    state.files_named |= files_of(fact)
    if fact.kind in ("handed_over", "evidence_added"):
        state.handover_claimed = True
        state.evidence.append(fact)


def record_collection(state: State, fact: Fact) -> bool:
    if fact.kind not in rules.COLLECTIONS or fact.evidence is None:
        return False
    state.collection = fact
    state.collected_positions = frozenset(fact.evidence.collected_positions)
    return True


def enter(state: State, fact: Fact, target: ShipmentStatus, *, moved: bool) -> None:
    before = state.status
    on_the_way_back = (
        target == "returning"
        and fact.kind in rules.PHYSICAL
        and (before == "cancelled" or fact.kind not in rules.COLLECTIONS)
    )
    _pass_custody(state, fact, rules.TARGET[fact.kind] if on_the_way_back else target)
    state.pickup = _pickup_after(state.pickup, fact)
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


def _pickup_after(before: PickupStatus, fact: Fact) -> PickupStatus:
    target = rules.PICKUP_TARGET.get(fact.kind)
    return target if target is not None and target in rules.PICKUP_LEGAL[before] else before


def _pass_custody(state: State, fact: Fact, scanned_as: ShipmentStatus) -> None:
    """Custody passes by two scans: a courier who alone reports that an office has the envelope keeps it until an
    office, or the next one who handles it, scans it too."""
    if fact.kind in ("evidence_stored", "corrected"):
        if scanned_as == "delivered":
            _hold(state, fact, rules.receiver(state.leg.direction))
        return
    if fact.kind == "custody_released":
        assert fact.party is not None
        state.release = Release(fact.occurred_at, fact.party.custodian, fact.party.name, fact.event_id)
        return
    if fact.kind == "custody_accepted":
        assert fact.party is not None
        _hold(state, fact, fact.party.custodian)
        return
    after = rules.custodian_in(scanned_as, state.leg.direction, before=state.custodian)
    if after == "nobody_known":
        state.custodian, state.release, state.holder = after, None, None
    elif _is_one_sided(state, fact, after):
        if state.release is None:
            state.release = Release(fact.occurred_at, after, fact.place, fact.event_id)
    elif after != state.custodian or fact.kind in rules.PHYSICAL or scanned_as in rules.END_STRENGTH:
        _hold(state, fact, after)


def _is_one_sided(state: State, fact: Fact, after: Custodian) -> bool:
    holder = state.holder
    return (
        fact.source == "courier"
        and state.custodian == "courier"
        and after in ("post_office", "transport")
        and holder is not None
        and holder.actor == fact.actor
    )


def _hold(state: State, fact: Fact, custodian: Custodian) -> None:
    state.custodian, state.release, state.holder = custodian, None, fact


def _count_attempt(state: State, fact: Fact, before: ShipmentStatus) -> None:
    """Failed visits of the present stage: those before pickup are forgotten once the papers are collected."""
    if before in rules.BEFORE_COLLECTION and fact.kind in rules.PHYSICAL:
        state.attempts, state.last_failure_at = 0, None
    if fact.kind not in ("attempt_failed", "pickup_failed") or fact.reason is None:
        return
    last = state.last_failure_at
    if last is None or fact.occurred_at - last >= rules.SAME_ATTEMPT:
        state.last_failure_at = fact.occurred_at
        state.attempts += rules.REASONS[fact.reason].counts_as_attempt


def count_cash(state: State, fact: Fact) -> tuple[int, str | None]:
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
