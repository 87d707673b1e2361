"""Clocks of a shipment: each deadline, what stops it, and what never does."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.calendar import vietnam_calendar
from services.postal.deadlines import (
    Allowances,
    Journey,
    RunningClock,
    Stop,
    clocks,
    has_ended,
    published_end,
    reminder_days,
    run_out,
)

CALENDAR = vietnam_calendar()
ALLOWED = Allowances()


def local(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+07:00")


MONDAY = local("2026-03-02T09:00:00")
ON_THE_WAY = Journey(status="in_transit", booked_at=MONDAY, entered_at=MONDAY, last_seen_at=MONDAY, collected_at=MONDAY)


def due(journey: Journey, now: datetime = MONDAY) -> dict[str, str]:
    """Each clock's due time in Vietnam."""
    found = clocks(journey, CALENDAR, ALLOWED, now=now)
    return {clock.kind: clock.due_at.astimezone(CALENDAR.zone).strftime("%d/%m %H:%M") for clock in found}


def test_a_booking_has_two_working_days_until_its_pickup() -> None:
    booked = Journey("booked", MONDAY, MONDAY, MONDAY)

    assert due(booked) == {"pickup": "05/03 00:00"}
    assert due(replace(booked, booked_at=local("2026-02-13T09:00:00"))) == {"pickup": "25/02 00:00"}  # over Tết
    assert due(replace(booked, pickup_by=local("2026-03-02T17:00:00"))) == {"pickup": "02/03 17:00"}


def test_an_item_on_its_way_has_first_attempt_delivery_movement_and_presumption() -> None:
    assert due(ON_THE_WAY) == {
        "movement": "04/03 09:00",
        "first_attempt": "11/03 00:00",
        "delivery": "13/03 00:00",
        "presumed_lost": "17/03 00:00",
    }
    assert due(replace(ON_THE_WAY, near=True)) == {
        "movement": "03/03 09:00",
        "first_attempt": "06/03 00:00",
        "delivery": "10/03 00:00",
        "presumed_lost": "17/03 00:00",
    }


def test_a_failed_attempt_leads_to_the_next_within_two_working_days() -> None:
    failed = replace(ON_THE_WAY, status="attempt_failed", first_attempt_at=MONDAY)

    assert due(failed) == {
        "movement": "04/03 09:00",
        "next_attempt": "05/03 00:00",
        "delivery": "13/03 00:00",
        "presumed_lost": "17/03 00:00",
    }


def test_an_item_kept_for_its_receiver_has_its_last_day_and_reminders() -> None:
    kept = replace(ON_THE_WAY, status="ready_for_collection", first_attempt_at=MONDAY, held_until=date(2026, 3, 12))

    assert due(kept) == {"hold": "13/03 00:00"}
    assert reminder_days(kept, CALENDAR) == [date(2026, 3, 3), date(2026, 3, 7), date(2026, 3, 11)]
    assert reminder_days(replace(kept, held_until=date(2026, 3, 5)), CALENDAR) == [date(2026, 3, 3)]
    assert reminder_days(ON_THE_WAY, CALENDAR) == []


def test_a_handover_without_acceptance_and_missing_proof_are_timed_in_hours() -> None:
    released = replace(ON_THE_WAY, release_since=MONDAY)
    unproven = replace(ON_THE_WAY, status="delivered_pending_evidence", first_attempt_at=MONDAY)

    assert due(released)["custody"] == "02/03 13:00"
    assert due(unproven) == {"evidence": "03/03 09:00"}


def test_the_laws_dates_of_a_claim_outlive_the_leg() -> None:
    lost = replace(ON_THE_WAY, status="lost", claim_answer_by=date(2026, 5, 2))
    approved = replace(lost, claim_answer_by=None, claim_pay_by=date(2026, 4, 30))

    assert due(lost) == {"claim_answer": "03/05 00:00"}
    assert due(approved) == {"claim_payment": "01/05 00:00"}
    assert not has_ended(lost)
    assert has_ended(replace(lost, claim_answer_by=None))
    assert not has_ended(ON_THE_WAY)


def test_a_released_stop_moves_the_deadlines_by_its_length() -> None:
    stop = Stop(local("2026-03-03T09:00:00"), local("2026-03-05T09:00:00"), "weather")
    stopped = replace(ON_THE_WAY, stops=(stop,))

    assert due(stopped) == {
        "movement": "06/03 09:00",
        "first_attempt": "13/03 00:00",
        "delivery": "17/03 00:00",
        "presumed_lost": "19/03 00:00",
    }


def test_an_open_stop_holds_for_a_while_and_then_counts_for_nothing() -> None:
    stop = Stop(local("2026-03-03T09:00:00"), None, "weather")
    stopped = replace(ON_THE_WAY, stops=(stop,))
    within, after = local("2026-03-10T09:00:00"), local("2026-03-17T09:00:00")

    assert {c.standing for c in clocks(stopped, CALENDAR, ALLOWED, now=within)} == {"weather"}
    assert due(stopped, within)["movement"] == "18/03 09:00"
    assert run_out(stopped.stops, ALLOWED, now=within) == []
    assert {c.standing for c in clocks(stopped, CALENDAR, ALLOWED, now=after)} == {None}
    assert due(stopped, after) == due(ON_THE_WAY)
    assert run_out(stopped.stops, ALLOWED, now=after) == [stop]


@pytest.mark.parametrize("kind", ["custody", "evidence", "hold", "claim_answer"])
def test_custody_proof_keeping_and_the_law_never_stand_still(kind: str) -> None:
    journeys = {
        "custody": replace(ON_THE_WAY, release_since=MONDAY),
        "evidence": replace(ON_THE_WAY, status="delivered_pending_evidence"),
        "hold": replace(ON_THE_WAY, status="held", held_until=date(2026, 3, 12)),
        "claim_answer": replace(ON_THE_WAY, status="lost", claim_answer_by=date(2026, 5, 2)),
    }
    stop = Stop(MONDAY - timedelta(hours=1), MONDAY + timedelta(days=5), "weather")

    assert due(replace(journeys[kind], stops=(stop,)))[kind] == due(journeys[kind])[kind]


def test_the_published_time_ends_on_a_working_day_and_needs_a_pickup() -> None:
    assert published_end(ON_THE_WAY, CALENDAR, ALLOWED) == date(2026, 3, 12)
    assert published_end(replace(ON_THE_WAY, collected_at=None), CALENDAR, ALLOWED) is None


def test_the_same_run_of_a_clock_has_the_same_key_whatever_its_due_time() -> None:
    first, second = RunningClock("pickup", MONDAY, MONDAY), RunningClock("pickup", MONDAY, MONDAY + timedelta(days=1))

    assert first.key == second.key == "pickup:20260302T090000"


@given(
    st.integers(0, 20 * 24),
    st.integers(0, 10 * 24),
    st.integers(0, 40 * 24),
    st.booleans(),
)
def test_a_stop_never_brings_a_deadline_forward(start: int, length: int, now: int, released: bool) -> None:
    since = MONDAY + timedelta(hours=start)
    stop = Stop(since, since + timedelta(hours=length) if released else None, "weather")
    moment = MONDAY + timedelta(hours=now)
    plain = {c.kind: c.due_at for c in clocks(ON_THE_WAY, CALENDAR, ALLOWED, now=moment)}
    stopped = {c.kind: c.due_at for c in clocks(replace(ON_THE_WAY, stops=(stop,)), CALENDAR, ALLOWED, now=moment)}

    assert plain.keys() == stopped.keys()
    assert all(plain[kind] <= stopped[kind] for kind in plain)
    assert all(moment.tzinfo is UTC for moment in stopped.values())
