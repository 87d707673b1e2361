"""Working days in Vietnam: Tết, swapped Saturdays, days in lieu, and clocks that stand still."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.calendar import VIETNAM_DAYS, BusinessCalendar, DayOff, Pause, months_after, vietnam_calendar

CALENDAR = vietnam_calendar()
DAYS = st.dates(date(2025, 1, 1), date(2027, 10, 1))


def local(text: str) -> datetime:
    """A moment in Vietnam."""
    return datetime.fromisoformat(f"{text}+07:00")


@pytest.mark.parametrize(
    ("day", "works"),
    [
        ("2026-02-13", True),
        ("2026-02-16", False),  # the eve of Tết Bính Ngọ
        ("2026-02-20", False),
        ("2026-02-23", True),
        ("2026-01-02", False),  # swapped
        ("2026-01-10", True),  # a Saturday worked for it
        ("2026-04-27", False),  # in lieu of a holiday on a Sunday
        ("2026-08-31", False),
        ("2026-08-22", True),
        ("2026-09-02", False),
        ("2026-11-21", False),  # an ordinary Saturday
        ("2031-04-30", False),  # a fixed holiday of a year whose Tết is not entered
    ],
)
def test_days_of_rest_and_work(day: str, works: bool) -> None:
    assert CALENDAR.is_working_day(date.fromisoformat(day)) is works


def test_three_working_days_before_tet_end_after_it() -> None:
    assert CALENDAR.add_working_days(date(2026, 2, 12), 1) == date(2026, 2, 13)
    assert CALENDAR.add_working_days(date(2026, 2, 12), 3) == date(2026, 2, 24)


def test_a_counter_open_on_saturdays_is_faster() -> None:
    friday = date(2026, 11, 20)

    assert CALENDAR.add_working_days(friday, 1) == date(2026, 11, 23)
    assert vietnam_calendar(saturdays_worked=True).add_working_days(friday, 1) == date(2026, 11, 21)


def test_days_on_which_the_clock_stood_still_do_not_count() -> None:
    still = [date(2026, 3, 3), date(2026, 3, 4)]

    assert CALENDAR.add_working_days(date(2026, 3, 2), 2, still=still) == date(2026, 3, 6)


def test_hours_do_not_run_over_a_weekend() -> None:
    friday_noon = local("2026-11-20T12:00:00")

    assert CALENDAR.add_working_time(friday_noon, timedelta(hours=24)) == local("2026-11-23T12:00:00")


def test_hours_do_not_run_in_a_pause() -> None:
    start = local("2026-03-02T08:00:00")
    pause = Pause(local("2026-03-02T10:00:00"), local("2026-03-03T10:00:00"))

    assert CALENDAR.add_working_time(start, timedelta(hours=4), pauses=[pause]) == local("2026-03-03T12:00:00")


def test_a_year_without_its_tet_is_said_not_to_be_covered() -> None:
    assert CALENDAR.covers(date(2027, 12, 31))
    assert not CALENDAR.covers(date(2028, 1, 3))


def test_every_day_off_names_its_source_and_a_swap_works_on_a_rest_day() -> None:
    assert all(entry.source and entry.vi and entry.en for entry in VIETNAM_DAYS)
    assert all(entry.day.weekday() == 5 for entry in VIETNAM_DAYS if entry.works)
    assert all(not entry.works or entry.source.startswith("Hoán đổi") for entry in VIETNAM_DAYS)


def test_each_year_has_the_eleven_days_of_the_labour_code() -> None:
    for year in (2025, 2026, 2027):
        names = [e.vi for e in VIETNAM_DAYS if e.day.year == year and not e.works]
        assert names.count("Tết Nguyên đán") >= 5
        assert names.count("Quốc khánh") == 2
        assert {"Tết Dương lịch", "Giỗ Tổ Hùng Vương", "Ngày Chiến thắng", "Quốc tế Lao động"} <= set(names)


def test_a_day_entered_twice_a_negative_count_and_a_naive_time_are_refused() -> None:
    twice = DayOff(date(2026, 1, 1), "a", "a", "x")
    with pytest.raises(ValueError, match="twice"):
        BusinessCalendar(exceptions=(twice, twice))
    with pytest.raises(ValueError, match="forward"):
        CALENDAR.add_working_days(date(2026, 1, 1), -1)
    with pytest.raises(ValueError, match="aware"):
        CALENDAR.add_working_time(datetime(2026, 1, 1), timedelta(1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="ends after"):
        Pause(local("2026-01-02T00:00:00"), local("2026-01-01T00:00:00"))


def test_a_calendar_without_any_working_day_is_found_out() -> None:
    never = BusinessCalendar(weekend=frozenset(range(7)))

    with pytest.raises(ValueError, match="no working day"):
        never.next_working_day(date(2026, 1, 1))
    with pytest.raises(ValueError, match="too little"):
        never.add_working_time(local("2026-01-01T00:00:00"), timedelta(hours=1))


def test_months_end_on_the_last_day_where_the_month_is_short() -> None:
    assert months_after(date(2026, 8, 31), 6) == date(2027, 2, 28)
    assert months_after(date(2026, 11, 22), 1) == date(2026, 12, 22)


@given(DAYS, st.integers(1, 30))
def test_adding_and_counting_working_days_are_inverse(day: date, count: int) -> None:
    due = CALENDAR.add_working_days(day, count)

    assert CALENDAR.is_working_day(due)
    assert CALENDAR.working_days_between(day, due) == count


@given(DAYS, st.integers(0, 20), st.integers(0, 20))
def test_working_days_add_up(day: date, first: int, second: int) -> None:
    if first and second:
        step = CALENDAR.add_working_days(day, first)
        assert CALENDAR.add_working_days(step, second) == CALENDAR.add_working_days(day, first + second)


@given(
    st.datetimes(datetime(2025, 1, 1), datetime(2027, 10, 1)),  # noqa: DTZ001 — made aware below
    st.integers(0, 200),
    st.integers(0, 100),
    st.integers(0, 100),
)
def test_a_pause_never_makes_a_deadline_earlier(naive: datetime, hours: int, after: int, length: int) -> None:
    start = naive.replace(tzinfo=UTC)
    stop = Pause(start + timedelta(hours=after), start + timedelta(hours=after + length))
    plain = CALENDAR.add_working_time(start, timedelta(hours=hours))
    paused = CALENDAR.add_working_time(start, timedelta(hours=hours), pauses=[stop])

    assert plain <= paused
    assert paused - start >= timedelta(hours=hours)
    assert (
        CALENDAR.is_working_day(paused.astimezone(CALENDAR.zone).date())
        or paused == start
        or hours == 0
        or (paused.astimezone(CALENDAR.zone).hour == 0)
    )
