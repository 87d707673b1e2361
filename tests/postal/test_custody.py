"""The fold: any order of the same facts gives the same state, one custodian, and ends that hold."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.postal import rules
from services.postal.contract import (
    Custodian,
    EventKind,
    Evidence,
    EvidenceFile,
    MeasureCode,
    Party,
    ReasonCode,
    ShipmentStatus,
)
from services.postal.custody import Custody, Fact, Leg, Verdict, fold

START = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
HASH = "a" * 64
SEALED = Evidence(
    collected_positions=(1, 2),
    page_count=7,
    seal_number="NP-01",
    citizen_signature_sha256=HASH,
    courier_signature_sha256="b" * 64,
)
BY_ADDRESSEE = Evidence(receiver="addressee", proof="signature")
BY_OFFICER = Evidence(receiver="agency_officer", proof="signature")


def leg(**changes: Any) -> Leg:
    values: dict[str, Any] = {
        "direction": "return",
        "piece_count": 2,
        "cash_due_dong": 0,
        "booked_at": START - timedelta(hours=1),
        "hold_days": 10,
    }
    return Leg(**{**values, **changes})


def fact(kind: EventKind, hour: float, **changes: Any) -> Fact:
    values: dict[str, Any] = {
        "event_id": f"{kind}-{hour}",
        "kind": kind,
        "occurred_at": START + timedelta(hours=hour),
        "received_at": START + timedelta(hours=hour, minutes=5),
        "source": "carrier",
        "actor": "carrier",
        "device_seq": 1,
    }
    if kind in ("attempt_failed", "pickup_failed", "held"):
        values |= {"reason": "R01", "measure": "M1"}
    if kind in rules.COLLECTIONS:
        values["evidence"] = SEALED
    return Fact(**{**values, **changes})


JOURNEY = (
    fact("pickup_started", 0),
    fact("collected", 1),
    fact("arrived_origin_office", 2),
    fact("departed", 3),
    fact("arrived_delivery_office", 8),
    fact("out_for_delivery", 24),
    fact("handed_over", 26, evidence=BY_ADDRESSEE),
)


def outcome(custody: Custody) -> list[tuple[str, bool, str | None]]:
    return [(v.fact.kind, v.applied, v.anomaly) for v in custody.verdicts]


def judged(custody: Custody, kind: EventKind) -> Verdict:
    [verdict] = [v for v in custody.verdicts if v.fact.kind == kind]
    return verdict


def test_a_plain_journey_ends_delivered_with_every_fact_applied() -> None:
    custody = fold(leg(), JOURNEY)

    assert outcome(custody) == [(f.kind, True, None) for f in JOURNEY]
    assert (custody.status, custody.custodian) == ("delivered", "citizen")
    assert [v.status for v in custody.verdicts] == [
        "pickup_in_progress",
        "collected",
        "at_origin_office",
        "in_transit",
        "at_delivery_office",
        "out_for_delivery",
        "delivered",
    ]
    assert [v.custodian for v in custody.verdicts] == [
        "agency",
        "courier",
        "post_office",
        "transport",
        "post_office",
        "courier",
        "citizen",
    ]
    assert custody.seal_number == "NP-01"
    assert custody.page_count == 7
    assert custody.collected_positions == {1, 2}


def test_an_outbound_leg_is_delivered_only_into_an_officers_hands() -> None:
    road = JOURNEY[:-1]

    to_officer = fold(leg(direction="outbound"), (*road, fact("handed_over", 26, evidence=BY_OFFICER)))
    to_somebody = fold(leg(direction="outbound"), (*road, fact("handed_over", 26, evidence=BY_ADDRESSEE)))

    assert (to_officer.status, to_officer.custodian) == ("delivered", "agency")
    assert (to_somebody.status, to_somebody.custodian) == ("delivered_pending_evidence", "courier")
    assert judged(to_somebody, "handed_over").anomaly == "wrong_receiver"


@pytest.mark.parametrize(
    ("evidence", "status"),
    [
        (None, "delivered_pending_evidence"),
        (Evidence(receiver="addressee"), "delivered_pending_evidence"),
        (Evidence(proof="photo"), "delivered_pending_evidence"),
        (Evidence(receiver="agency_officer", proof="photo"), "delivered_pending_evidence"),
        (Evidence(receiver="addressee", proof="photo"), "delivered_pending_evidence"),
        (Evidence(receiver="addressee", proof="code"), "delivered_pending_evidence"),
        (Evidence(receiver="authorised_person", proof="signature"), "delivered"),
    ],
)
def test_delivered_needs_the_fact_and_its_proof(evidence: Evidence | None, status: str) -> None:
    assert fold(leg(), (*JOURNEY[:-1], fact("handed_over", 26, evidence=evidence))).status == status


def test_evidence_that_comes_later_completes_the_delivery() -> None:
    claimed = fact("handed_over", 26, evidence=Evidence(receiver="addressee"))
    proof = fact("evidence_added", 27, evidence=Evidence(proof="signature"))

    custody = fold(leg(), (*JOURNEY[:-1], claimed, proof))

    assert (custody.status, custody.custodian) == ("delivered", "citizen")
    assert judged(custody, "evidence_added").entered == "delivered"


def test_evidence_without_a_handover_changes_nothing() -> None:
    custody = fold(leg(), (*JOURNEY[:-1], fact("evidence_added", 25, evidence=BY_ADDRESSEE)))

    assert custody.status == "out_for_delivery"
    assert outcome(custody)[-1] == ("evidence_added", False, "fact_missing")


@pytest.mark.parametrize(
    "evidence",
    [
        None,
        SEALED.model_copy(update={"collected_positions": (1,)}),
        SEALED.model_copy(update={"collected_positions": (1, 2, 3)}),
        SEALED.model_copy(update={"seal_number": None}),
        SEALED.model_copy(update={"seal_number": "  "}),
        SEALED.model_copy(update={"citizen_signature_sha256": None}),
        SEALED.model_copy(update={"courier_signature_sha256": None}),
    ],
)
def test_papers_are_collected_only_when_counted_sealed_and_signed(evidence: Evidence | None) -> None:
    custody = fold(leg(direction="outbound"), (JOURNEY[0], fact("collected", 1, evidence=evidence)))

    assert (custody.status, custody.custodian) == ("pickup_in_progress", "citizen")
    assert outcome(custody)[-1] == ("collected", False, "evidence_missing")
    assert custody.collection is None
    assert custody.collected_positions == frozenset()


def test_a_partial_pickup_goes_on_with_the_ticked_pieces() -> None:
    ticked = SEALED.model_copy(update={"collected_positions": (2,)})

    custody = fold(leg(), (fact("partially_collected", 1, evidence=ticked),))
    empty = fold(
        leg(), (fact("partially_collected", 1, evidence=SEALED.model_copy(update={"collected_positions": ()})),)
    )

    assert custody.status == "collected"
    assert custody.collected_positions == {2}
    assert (empty.status, judged(empty, "partially_collected").anomaly) == ("booked", "evidence_missing")


def test_missed_scans_do_not_block_a_real_delivery() -> None:
    custody = fold(leg(), (fact("collected", 1), fact("handed_over", 9, evidence=BY_ADDRESSEE)))

    assert outcome(custody) == [("collected", True, None), ("handed_over", True, "missing_scan")]
    assert custody.status == "delivered"


def test_backwards_is_refused_and_the_state_stays() -> None:
    custody = fold(leg(), (*JOURNEY[:5], fact("departed", 9)))

    assert outcome(custody)[-1] == ("departed", False, "illegal_transition")
    assert custody.status == "at_delivery_office"


def test_a_late_scan_fills_in_history_and_leaves_the_end_alone() -> None:
    late = JOURNEY[3]
    without = [f for f in JOURNEY if f is not late]

    custody = fold(leg(), [*without, late])

    assert custody.status == "delivered"
    assert outcome(custody) == [(f.kind, True, None) for f in JOURNEY]


@pytest.mark.parametrize(
    "kind", ["out_for_delivery", "attempt_failed", "declared_lost", "returned", "cancelled", "held"]
)
def test_nothing_lowers_a_delivery(kind: EventKind) -> None:
    for hour in (25.5, 30):
        custody = fold(leg(), (*JOURNEY, fact(kind, hour)))

        assert (custody.status, custody.custodian) == ("delivered", "citizen")


def test_a_proven_handover_outweighs_a_declared_loss() -> None:
    custody = fold(leg(), (*JOURNEY[:4], fact("declared_lost", 20), JOURNEY[-1]))

    assert judged(custody, "declared_lost").status == "lost"
    assert judged(custody, "declared_lost").custodian == "nobody_known"
    assert judged(custody, "handed_over").anomaly == "contradicts_end"
    assert custody.status == "delivered"


def test_held_goes_back_to_where_it_was_and_search_too() -> None:
    held = fold(leg(), (*JOURNEY[:5], fact("held", 10), fact("released", 12)))
    found = fold(leg(), (*JOURNEY[:4], fact("investigation_opened", 10), fact("found", 12)))

    assert [v.status for v in held.verdicts[-2:]] == ["held", "at_delivery_office"]
    assert [v.status for v in found.verdicts[-2:]] == ["investigating", "in_transit"]
    assert [v.custodian for v in found.verdicts[-2:]] == ["transport", "transport"]


def test_an_item_first_seen_when_kept_back_is_never_again_before_its_pickup() -> None:
    """Found by the property below: a stray pickup scan led from `held` back to the sender."""
    stray = (fact("pickup_started", 0), fact("held", 1), fact("pickup_started", 2))

    custody = fold(leg(), stray)
    released = fold(leg(), (*stray, fact("released", 3)))

    assert outcome(custody)[-1] == ("pickup_started", False, "illegal_transition")
    assert (custody.status, custody.custodian) == ("held", "post_office")
    assert (released.status, released.custodian) == ("at_origin_office", "post_office")


def test_release_and_find_need_something_to_end() -> None:
    for kind in ("released", "found"):
        custody = fold(leg(), (*JOURNEY[:4], fact(kind, 10)))

        assert outcome(custody)[-1] == (kind, False, "illegal_transition")


@pytest.mark.parametrize(
    ("reason", "measure", "anomaly"),
    [
        (None, None, "reason_missing"),
        ("R01", None, "reason_missing"),
        (None, "M1", "reason_missing"),
        ("R01", "M5", "measure_not_allowed"),
        ("R20", "M1", "measure_not_allowed"),
        ("R01", "M1", None),
        ("R15", "M6", None),
    ],
)
def test_a_failed_delivery_needs_a_reason_and_a_measure_that_belong_together(
    reason: ReasonCode | None, measure: MeasureCode | None, anomaly: str | None
) -> None:
    failed = fact("attempt_failed", 26, reason=reason, measure=measure)

    custody = fold(leg(), (*JOURNEY[:-1], failed))

    assert outcome(custody)[-1] == ("attempt_failed", anomaly is None, anomaly)
    assert custody.status == ("attempt_failed" if anomaly is None else "out_for_delivery")


def test_two_failures_within_four_hours_are_one_attempt() -> None:
    road = JOURNEY[:-1]
    soon = fold(leg(), (*road, fact("attempt_failed", 26), fact("out_for_delivery", 27), fact("attempt_failed", 28)))
    next_day = fold(
        leg(), (*road, fact("attempt_failed", 26), fact("out_for_delivery", 48), fact("attempt_failed", 50))
    )
    not_counted = fold(leg(), (*road, fact("attempt_failed", 26, reason="R13")))

    assert (soon.attempts, next_day.attempts, not_counted.attempts) == (1, 2, 0)


def test_failed_pickups_are_forgotten_once_the_papers_are_collected() -> None:
    failed = (fact("pickup_failed", 1, reason="R23"), fact("pickup_failed", 25, reason="R20"))

    before, after = fold(leg(), failed), fold(leg(), (*failed, fact("collected", 26)))

    assert (before.status, before.attempts) == ("pickup_failed", 2)
    assert (after.status, after.attempts) == ("collected", 0)


def test_holding_days_are_counted_from_the_local_day() -> None:
    evening = fact("ready_for_collection", 16)  # 17:00 UTC, already the next day in Vietnam

    custody = fold(leg(), (*JOURNEY[:5], evening))

    assert evening.occurred_at.date() == date(2026, 3, 2)
    assert custody.held_until == date(2026, 3, 13)
    assert fold(leg(), (*JOURNEY[:5], evening, fact("out_for_delivery", 40))).held_until is None


def test_cancelling_before_pickup_ends_the_leg_and_after_it_calls_the_papers_back() -> None:
    before = fold(leg(direction="outbound"), (fact("cancelled", 0),))
    after = fold(leg(direction="outbound"), (fact("collected", 1), fact("cancelled", 2)))

    assert (before.status, before.custodian) == ("cancelled", "citizen")
    assert (after.status, after.custodian) == ("returning", "courier")


def test_papers_picked_up_after_a_cancellation_are_on_their_way_back_not_nowhere() -> None:
    cancelled = fact("cancelled", 1)

    for collected in (fact("collected", 0.5), fact("collected", 2)):
        custody = fold(leg(direction="outbound"), (cancelled, collected))
        assert (custody.status, custody.custodian) == ("returning", "courier")
    assert judged(custody, "collected").anomaly == "moved_after_cancel"


def test_custody_follows_the_scans_on_the_way_back() -> None:
    back = (*JOURNEY[:5], fact("return_started", 9), fact("departed", 10), fact("arrived_origin_office", 20))

    custody = fold(leg(direction="outbound"), (*back, fact("returned", 30, evidence=Evidence(proof="signature"))))

    assert [(v.status, v.custodian) for v in custody.verdicts[-4:]] == [
        ("returning", "post_office"),
        ("returning", "transport"),
        ("returning", "post_office"),
        ("returned", "citizen"),
    ]


def test_a_courier_cannot_write_off_an_item_from_his_own_bag() -> None:
    for kind in ("declared_lost", "declared_damaged", "found", "cancelled"):
        custody = fold(leg(), (*JOURNEY[:2], fact(kind, 3, source="courier")))

        assert outcome(custody)[-1] == (kind, False, "not_authorised")
        assert custody.custodian == "courier"


def test_nothing_is_lost_or_returned_that_was_never_collected() -> None:
    for kind in ("declared_lost", "returned", "return_started", "investigation_opened", "attempt_failed"):
        custody = fold(leg(), (fact(kind, 3),))

        assert outcome(custody) == [(kind, False, "nothing_collected")]
        assert custody.custodian == "agency"


def test_a_clock_over_26_hours_ahead_is_kept_aside() -> None:
    ahead = fact("out_for_delivery", 40, received_at=START + timedelta(hours=13, minutes=59))
    bearable = fact("out_for_delivery", 40, received_at=START + timedelta(hours=14))

    assert outcome(fold(leg(), (*JOURNEY[:5], ahead)))[-1] == ("out_for_delivery", False, "clock_ahead")
    assert outcome(fold(leg(), (*JOURNEY[:5], bearable)))[-1] == ("out_for_delivery", True, None)


@pytest.mark.parametrize(
    ("cash", "counted", "anomaly"),
    [
        (150_000, 150_000, None),
        (140_000, 140_000, "cash_differs"),
        (150_001, 0, "cash_above_due"),
        (0, 0, "cash_missing"),
    ],
)
def test_cash_is_counted_up_to_what_is_due_and_a_difference_is_flagged(
    cash: int, counted: int, anomaly: str | None
) -> None:
    handover = fact("handed_over", 26, evidence=BY_ADDRESSEE, cash_collected_dong=cash)

    custody = fold(leg(cash_due_dong=150_000), (*JOURNEY[:-1], handover))

    assert custody.status == "delivered"
    assert (custody.cash.counted_cash_dong if custody.cash else 0) == counted
    assert judged(custody, "handed_over").anomaly == anomaly


def test_cash_is_taken_once_a_leg() -> None:
    paid = fact("collected", 1, cash_collected_dong=90_000)
    again = fact("handed_over", 26, evidence=BY_OFFICER, cash_collected_dong=90_000)

    custody = fold(leg(direction="outbound", cash_due_dong=90_000), (paid, *JOURNEY[2:-1], again))

    assert custody.cash is not None
    assert custody.cash.fact == paid
    assert judged(custody, "handed_over").anomaly == "cash_twice"


def test_cash_of_a_refused_fact_is_not_counted() -> None:
    custody = fold(leg(cash_due_dong=90_000), (fact("collected", 1, evidence=None, cash_collected_dong=90_000),))

    assert custody.cash is None


# --- properties ----------------------------------------------------------------------------------

KINDS: tuple[EventKind, ...] = get_args(EventKind)
EVIDENCES = (
    None,
    SEALED,
    SEALED.model_copy(update={"collected_positions": (1,)}),
    BY_ADDRESSEE,
    BY_OFFICER,
    Evidence(receiver="addressee"),
    Evidence(proof="photo"),
    Evidence(receiver="addressee", proof="code", code="ABC"),
    Evidence(receiver="addressee", proof="photo", files=(EvidenceFile(kind="handover_photo", sha256="1" * 64),)),
    SEALED.model_copy(update={"files": (EvidenceFile(kind="seal_photo", sha256="2" * 64),)}),
)
PARTIES = (Party(custodian="post_office", name="BC Hoàn Kiếm"), Party(custodian="courier", name="buu-ta-2"))


@st.composite
def any_fact(draw: st.DrawFn, kinds: tuple[EventKind, ...] = KINDS) -> Fact:
    kind = draw(st.sampled_from(kinds))
    hour = draw(st.integers(0, 40))
    delay = draw(st.sampled_from((0, 1, 30)))
    return Fact(
        event_id=str(draw(st.uuids())),
        kind=kind,
        occurred_at=START + timedelta(hours=hour),
        received_at=START + timedelta(hours=hour + delay),
        source=draw(st.sampled_from(("carrier", "courier", "dispatcher", "system"))),
        actor=draw(st.sampled_from(("someone", "somebody-else"))),
        device_id=draw(st.sampled_from(("phone-1", "phone-2"))),
        skew=draw(st.sampled_from((None, timedelta(0), timedelta(hours=26)))),
        code_right=draw(st.sampled_from((None, False, True))),
        party=draw(st.sampled_from(PARTIES)) if kind in ("custody_released", "custody_accepted") else None,
        device_seq=draw(st.integers(1, 3)),
        reason=draw(st.sampled_from(("R01", "R13", "R20", None))),
        measure=draw(st.sampled_from(("M1", "M2", None))),
        cash_collected_dong=draw(st.sampled_from((0, 0, 50, 100, 200))),
        evidence=draw(st.sampled_from(EVIDENCES)),
    )


ANY_LEG = st.builds(
    lambda d, c: leg(direction=d, cash_due_dong=c), st.sampled_from(("outbound", "return")), st.sampled_from((0, 100))
)
ANY_FACTS = st.lists(any_fact(), max_size=14)


@settings(max_examples=150, deadline=None)
@given(ANY_LEG, ANY_FACTS, st.randoms(use_true_random=False))
def test_any_order_and_repetition_of_the_same_facts_gives_the_same_custody(
    some_leg: Leg, facts: list[Fact], chance: Any
) -> None:
    shuffled = [*facts, *chance.sample(facts, k=len(facts) // 2)]
    chance.shuffle(shuffled)

    assert fold(some_leg, shuffled) == fold(some_leg, facts)


@settings(max_examples=150, deadline=None)
@given(ANY_LEG, ANY_FACTS)
def test_there_is_exactly_one_custodian_after_every_fact(some_leg: Leg, facts: list[Fact]) -> None:
    custody = fold(some_leg, facts)

    assert len(custody.verdicts) == len(facts)
    for verdict in custody.verdicts:
        assert verdict.status in get_args(ShipmentStatus)
        assert verdict.custodian in get_args(Custodian)
        assert (verdict.custodian == "nobody_known") == (verdict.status == "lost")
        assert verdict.applied or verdict.anomaly is not None
        assert verdict.applied or verdict.status == verdict.status_before
    if custody.verdicts:
        assert (custody.status, custody.custodian) == (custody.verdicts[-1].status, custody.verdicts[-1].custodian)


@settings(max_examples=250, deadline=None)
@given(ANY_LEG, ANY_FACTS, any_fact())
def test_no_further_fact_however_late_lowers_an_end(some_leg: Leg, facts: list[Fact], late: Fact) -> None:
    strength = rules.END_STRENGTH
    before, after = fold(some_leg, facts).status, fold(some_leg, [*facts, late]).status

    if before == "cancelled":  # paper seen in the post's hands reopens it, nothing else
        assert after not in rules.BEFORE_COLLECTION
        assert after == "cancelled" or late.kind in rules.PHYSICAL | {"handed_over"}
    else:
        assert strength.get(after, 0) >= strength.get(before, 0)


@settings(max_examples=150, deadline=None)
@given(ANY_LEG, ANY_FACTS)
def test_cash_is_counted_at_most_once_and_never_above_what_is_due(some_leg: Leg, facts: list[Fact]) -> None:
    counted = [v.counted_cash_dong for v in fold(some_leg, facts).verdicts if v.counted_cash_dong]

    assert len(counted) <= 1
    assert sum(counted) <= some_leg.cash_due_dong


def _every_pair() -> Iterator[tuple[ReasonCode, MeasureCode]]:
    for reason in get_args(ReasonCode):
        for measure in get_args(MeasureCode):
            yield reason, measure


def test_every_reason_has_a_measure_at_every_stage_where_it_can_happen() -> None:
    for stage in ("pickup", "delivery"):
        pairs = {(reason.code, measure) for reason, measure in rules.reason_pairs(stage)}
        allowed = {(r, m) for r, m in _every_pair() if m in rules.allowed_measures(r, stage)}

        assert pairs == allowed
        assert {r for r, _ in pairs} == {code for code, entry in rules.REASONS.items() if stage in entry.stages}
    assert set(rules.REASONS) == set(get_args(ReasonCode))
    assert set(rules.MEASURES) == set(get_args(MeasureCode))


def test_the_transition_table_knows_every_state_and_ends_lead_nowhere() -> None:
    assert set(rules.LEGAL) == set(get_args(ShipmentStatus))
    for status, targets in rules.LEGAL.items():
        assert (targets == frozenset()) == (status in rules.END_STRENGTH)
