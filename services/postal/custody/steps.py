"""Which step a fact takes from where the leg stands: along the table, over missed scans, or none."""

from collections.abc import Callable, Mapping

from services.postal import rules
from services.postal.contract import EventKind, ShipmentStatus
from services.postal.custody.state import Fact, Leg, State, Step, files_of, refuse
from services.postal.rules import Stage


def step_of(state: State, fact: Fact) -> Step:
    """The step of one fact; refused when it does not fit, may not come from this source, or lies in the future."""
    if fact.occurred_at > fact.received_at + rules.CLOCK_TOLERANCE:
        return refuse("clock_ahead")
    if fact.source == "courier" and fact.kind in rules.NOT_FOR_COURIERS:
        return refuse("not_authorised")
    if fact.source != "system" and fact.kind in rules.ONLY_BY_THE_SERVICE:
        return refuse("not_authorised")
    return _STEPS.get(fact.kind, _moved)(state, fact)


def _unmapped(state: State, fact: Fact) -> Step:  # noqa: ARG001 — every step is asked in the same way
    return refuse("unmapped")


def _corrected(state: State, fact: Fact) -> Step:  # noqa: ARG001 — the fold has set the facts aside already
    return Step()


def _released(state: State, fact: Fact) -> Step:  # noqa: ARG001
    return Step(state.held_from) if state.status == "held" else _out_of_place(state)


def _found(state: State, fact: Fact) -> Step:  # noqa: ARG001
    return Step(state.sought_from) if state.status == "investigating" else _out_of_place(state)


def _pickup_answered(state: State, fact: Fact) -> Step:
    """The pickup's own machine moves; the leg waits as before."""
    target = rules.PICKUP_TARGET[fact.kind]
    if state.status not in rules.BEFORE_COLLECTION or target not in rules.PICKUP_LEGAL[state.pickup]:
        return refuse("illegal_transition")
    if fact.kind == "pickup_rejected" and fact.reason is None:
        return refuse("reason_missing")
    return Step()


def _out_of_place(state: State) -> Step:
    return refuse("after_end" if state.status in rules.END_STRENGTH else "illegal_transition")


def _handed_over(state: State, fact: Fact) -> Step:
    """A handover proven by the right receiver ends the leg from any weaker state; unproven, it waits for evidence."""
    if state.status == "delivered":
        return refuse("after_end")
    proven = is_proven(state, also=fact)
    refusal = None if proven else _unproven_refusal(state)
    if refusal is not None:
        return refusal
    faults = (*_proof_faults(fact), *_wrong_receiver(state, fact))
    if proven:
        expected: set[ShipmentStatus] = {"out_for_delivery", "ready_for_collection", "delivered_pending_evidence"}
        return Step("delivered", _path_to_end(state, expected))
    if state.status == "cancelled":
        return Step("delivered_pending_evidence", ("moved_after_cancel", *faults))
    if "delivered_pending_evidence" not in rules.LEGAL[state.status]:
        faults = ("missing_scan", *faults)
    return Step("delivered_pending_evidence", faults)


def _unproven_refusal(state: State) -> Step | None:
    if rules.END_STRENGTH.get(state.status, 0) > 1:
        return refuse("after_end")
    if state.status == "delivered_pending_evidence":
        return refuse("repeated")
    if state.status == "returning":
        return refuse("illegal_transition")
    return None


def _evidence_added(state: State, fact: Fact) -> Step:
    if not state.handover_claimed:
        return refuse("fact_missing")
    if fact.evidence is None:
        return refuse("evidence_missing")
    if state.status == "delivered":
        return Step()
    if is_proven(state, also=fact):
        return Step("delivered", _path_to_end(state, {"delivered_pending_evidence"}))
    waits = ("files_missing",) if not state.has_files(fact) else ("evidence_missing",)
    return Step(None, (*_proof_faults(fact), *_wrong_receiver(state, fact)) or waits)


def _evidence_stored(state: State, fact: Fact) -> Step:
    """A file has arrived: what waited for it goes on. A leg is closed when fact and every piece of evidence agree."""
    arrived = state.files_stored | files_of(fact)
    if state.handover_claimed and state.status != "delivered" and is_proven(state, stored=arrived):
        return Step("delivered", _path_to_end(state, {"delivered_pending_evidence"}))
    if state.status == "collected_pending_evidence" and state.collection is not None:
        return Step("collected") if files_of(state.collection) <= arrived else Step()
    return Step()


def is_proven(state: State, *, also: Fact | None = None, stored: set[str] | None = None) -> bool:
    """Whether a proper receiver and a valid proof are both vouched for by facts whose own files have arrived."""
    present = state.files_stored if stored is None else stored
    facts = [*state.evidence, also] if also is not None else state.evidence
    complete = [fact for fact in facts if files_of(fact) <= present]
    proper = rules.PROPER_RECEIVERS[state.leg.direction]
    received = any(fact.evidence is not None and fact.evidence.receiver in proper for fact in complete)
    return received and any(map(_has_proof, complete))


def _has_proof(fact: Fact) -> bool:
    return fact.evidence is not None and fact.evidence.proof is not None and not _proof_faults(fact)


def _proof_faults(fact: Fact) -> tuple[str, ...]:
    """Why a proof that is claimed is none: a code not given or not the right one, a photo without a photo."""
    evidence = fact.evidence
    if fact.code_right is False:
        return ("code_wrong",)
    if evidence is None or evidence.proof is None:
        return ()
    if evidence.proof == "code" and fact.code_right is None:
        return ("code_missing",)
    if evidence.proof == "photo" and not any(file.kind in rules.PHOTOS for file in evidence.files):
        return ("photo_missing",)
    return ()


def _wrong_receiver(state: State, fact: Fact) -> tuple[str, ...]:
    facts = [*state.evidence, fact]
    named = {f.evidence.receiver for f in facts if f.evidence is not None and f.evidence.receiver is not None}
    return ("wrong_receiver",) if named and not named & rules.PROPER_RECEIVERS[state.leg.direction] else ()


def _custody_released(state: State, fact: Fact) -> Step:
    """The holder offers the envelope to somebody; it stays his until that somebody accepts it."""
    if state.status in rules.END_STRENGTH:
        return refuse("after_end")
    if state.custodian not in rules.POST_HANDS:
        return refuse("nothing_collected")
    return refuse("not_the_holder") if is_another_couriers(state, fact) else Step()


def _custody_accepted(state: State, fact: Fact) -> Step:
    """The second scan, by another person than the first. Citizens and agencies accept by a proven handover instead."""
    if state.status in rules.END_STRENGTH:
        return refuse("after_end")
    if state.custodian not in rules.POST_HANDS or state.status in rules.BEFORE_COLLECTION:
        return refuse("nothing_collected")
    assert fact.party is not None
    if fact.party.custodian not in rules.POST_HANDS:
        return refuse("illegal_transition")
    if state.holder is not None and state.holder.actor == fact.actor:
        return refuse("same_person")
    return Step(None, () if state.release is not None else ("release_missing",))


def is_another_couriers(state: State, fact: Fact) -> bool:
    """Whether a courier reports of an envelope that a different courier carries."""
    holder = state.holder
    return (
        fact.source == "courier"
        and state.custodian == "courier"
        and holder is not None
        and holder.source == "courier"
        and holder.actor != fact.actor
    )


def _path_to_end(state: State, expected: set[ShipmentStatus]) -> tuple[str, ...]:
    if state.status in rules.END_STRENGTH:
        return ("contradicts_end",)
    return () if state.status in expected else ("missing_scan",)


def _end_refusal(state: State, end: ShipmentStatus) -> Step | None:
    if state.status in rules.BEFORE_COLLECTION or state.status == "cancelled":
        return refuse("nothing_collected")
    if rules.END_STRENGTH.get(state.status, 0) >= rules.END_STRENGTH[end]:
        return refuse("after_end")
    return None


def _returned(state: State, fact: Fact) -> Step:
    refusal = _end_refusal(state, "returned")
    if refusal is not None:
        return refusal
    proven = fact.evidence is not None and fact.evidence.proof is not None
    return Step("returned", _path_to_end(state, {"returning"}) + (() if proven else ("evidence_missing",)))


def _written_off(state: State, fact: Fact) -> Step:
    end = rules.TARGET[fact.kind]
    return _end_refusal(state, end) or Step(end, _path_to_end(state, {"investigating"}))


def _cancelled(state: State, fact: Fact) -> Step:  # noqa: ARG001
    """Before pickup a cancellation ends the leg; afterwards it calls the envelope back."""
    if state.status in rules.BEFORE_COLLECTION:
        return Step("cancelled")
    if "returning" in rules.LEGAL[state.status] or state.status == "out_for_delivery":
        return Step("returning")
    return _out_of_place(state)


def _collected(state: State, fact: Fact) -> Step:
    """Count, seal and both signatures, or the paper stays where it was. A late record fills in what a scan skipped."""
    if state.collection is not None and state.status not in rules.BEFORE_COLLECTION | {"cancelled"}:
        return refuse("after_end" if state.status in rules.END_STRENGTH else "repeated")
    if not _collection_is_evidenced(state.leg, fact):
        return refuse("evidence_missing")
    if state.status == "cancelled":
        return Step("returning", ("moved_after_cancel",))
    if state.status in rules.BEFORE_COLLECTION:
        return Step("collected" if state.has_files(fact) else "collected_pending_evidence")
    if state.collection is None:
        return Step(None, ("out_of_order",))
    return refuse("after_end" if state.status in rules.END_STRENGTH else "repeated")


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


def _moved(state: State, fact: Fact) -> Step:
    """The ordinary scans: along the table, or forward over missed scans."""
    target = rules.TARGET[fact.kind]
    refusal = _visit_refusal(fact)
    if refusal is not None:
        return refusal
    status = state.status
    if status == "cancelled":
        return Step("returning", ("moved_after_cancel",)) if fact.kind in rules.PHYSICAL else refuse("after_end")
    if status in rules.END_STRENGTH:
        return refuse("after_end")
    if target in rules.LEGAL[status]:
        return Step(target)
    if status == target:
        return _again(state, fact)
    if status == "returning":
        return Step() if fact.kind in rules.PHYSICAL else refuse("illegal_transition")
    if status in rules.BEFORE_COLLECTION and fact.kind not in rules.PHYSICAL:
        return refuse("illegal_transition" if target in rules.BEFORE_COLLECTION else "nothing_collected")
    return _skipped(state, target)


def _visit_refusal(fact: Fact) -> Step | None:
    """A failed visit needs a reason and a measure that belong together; an item is kept back only for a reason."""
    if fact.kind == "held":
        return None if fact.reason is not None else refuse("reason_missing")
    stages: dict[EventKind, Stage] = {"pickup_failed": "pickup", "attempt_failed": "delivery"}
    stage = stages.get(fact.kind)
    if stage is None:
        return None
    if fact.reason is None or fact.measure is None:
        return refuse("reason_missing")
    if fact.measure not in rules.allowed_measures(fact.reason, stage):
        return refuse("measure_not_allowed")
    return None


def _again(state: State, fact: Fact) -> Step:
    """A second failure counts as another visit only when enough time has passed."""
    is_visit = fact.kind in ("attempt_failed", "pickup_failed")
    last = state.last_failure_at
    if is_visit and last is not None and fact.occurred_at - last >= rules.SAME_ATTEMPT:
        return Step(state.status, ("missing_scan",))
    return refuse("repeated")


def _skipped(state: State, target: ShipmentStatus) -> Step:
    status = state.status
    if status == "investigating":
        on_its_way = rules.FORWARD_RANK.keys() - rules.BEFORE_COLLECTION
        found = target in on_its_way or target == "returning"
        return Step(target, ("missing_scan",)) if found else refuse("illegal_transition")
    origin = state.held_from if status == "held" else status
    if origin == target or target in rules.LEGAL[origin] or rules.is_forward(origin, target):
        return Step(target, ("missing_scan",))
    failed_unseen = status == "out_for_delivery" and target in ("held", "returning")
    if failed_unseen or (status == "ready_for_collection" and target == "held"):
        return Step(target, ("missing_scan",))
    return refuse("illegal_transition")


_STEPS: Mapping[EventKind, Callable[[State, Fact], Step]] = {
    "pickup_accepted": _pickup_answered,
    "pickup_rejected": _pickup_answered,
    "pickup_expired": _pickup_answered,
    "collected": _collected,
    "partially_collected": _collected,
    "released": _released,
    "handed_over": _handed_over,
    "evidence_added": _evidence_added,
    "evidence_stored": _evidence_stored,
    "returned": _returned,
    "found": _found,
    "declared_lost": _written_off,
    "declared_damaged": _written_off,
    "cancelled": _cancelled,
    "custody_released": _custody_released,
    "custody_accepted": _custody_accepted,
    "corrected": _corrected,
    "unmapped": _unmapped,
}
"""Kinds whose step depends on more than the table; all others are ordinary scans."""
