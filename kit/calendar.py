"""Working days: a business calendar with holidays, swapped days and clocks that stand still, and Vietnam's own data.

Pure arithmetic on local dates. Each dated exception names its legal basis and says whether its text was verified, so
that a page can show on what a deadline rests. Years for which the movable holidays (Tết, Giỗ Tổ) are not entered are
`covers(day) == False`: fixed holidays still hold there, and whoever shows a deadline says that it may move.
"""

import calendar
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

VIETNAM_ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
SATURDAY_AND_SUNDAY = frozenset({5, 6})
SUNDAY = frozenset({6})
_LONGEST_SEARCH = 3_660
"""Days looked through for a working day before the calendar itself must be wrong."""


@dataclass(frozen=True, slots=True)
class DayOff:
    """A dated exception. `works` turns a weekly rest day into a working day (a swap); otherwise nobody works."""

    day: date
    vi: str
    en: str
    source: str
    verified: bool = False
    works: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """A stretch of time in which a clock stands still: from `since` to `until`, aware instants."""

    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        if self.until < self.since:
            raise ValueError("a pause ends after it began")


def months_after(day: date, months: int) -> date:
    """The same day so many months later, or the last day of that month when it has none such."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


@dataclass(frozen=True)
class BusinessCalendar:
    """Which days are worked. `weekend`: weekdays at rest, Monday = 0. `fixed`: (month, day) off in every year."""

    exceptions: Sequence[DayOff] = ()
    fixed: Mapping[tuple[int, int], DayOff] = field(default_factory=dict)
    weekend: frozenset[int] = SATURDAY_AND_SUNDAY
    years: frozenset[int] = frozenset()
    zone: ZoneInfo = VIETNAM_ZONE

    def __post_init__(self) -> None:
        by_day = {entry.day: entry for entry in self.exceptions}
        if len(by_day) != len(self.exceptions):
            raise ValueError("a day is entered twice")
        object.__setattr__(self, "_by_day", by_day)

    def exception(self, day: date) -> DayOff | None:
        """The dated or yearly entry of a day, None on an ordinary day."""
        entry: DayOff | None = self._by_day.get(day)  # type: ignore[attr-defined]
        if entry is not None or day.year in self.years:
            return entry
        return self.fixed.get((day.month, day.day))

    def covers(self, day: date) -> bool:
        """Whether the movable holidays of this day's year are entered."""
        return day.year in self.years

    def is_working_day(self, day: date) -> bool:
        """Whether people work on this day: swapped days work, holidays and weekly rest days do not."""
        entry = self.exception(day)
        if entry is not None:
            return entry.works
        return day.weekday() not in self.weekend

    def next_working_day(self, day: date) -> date:
        """This day if it is worked, else the first one after it that is."""
        for ahead in range(_LONGEST_SEARCH):
            found = day + timedelta(days=ahead)
            if self.is_working_day(found):
                return found
        raise ValueError("the calendar has no working day within ten years")

    def add_working_days(self, day: date, count: int, *, still: Iterable[date] = ()) -> date:
        """The `count`-th working day after `day`, which itself never counts; days in `still` do not count either.

        0 gives the first working day on or after `day`. Raises ValueError on a negative count.
        """
        if count < 0:
            raise ValueError("count whole working days forward")
        stopped = frozenset(still)
        found = self.next_working_day(day) if count == 0 else day
        for _ in range(count):
            found = self.next_working_day(found + timedelta(days=1))
            while found in stopped:
                found = self.next_working_day(found + timedelta(days=1))
        return found

    def working_days_between(self, first: date, last: date) -> int:
        """How many working days lie after `first`, up to and with `last`; 0 when `last` is not later."""
        days = max((last - first).days, 0)
        return sum(self.is_working_day(first + timedelta(days=ahead)) for ahead in range(1, days + 1))

    def end_of(self, day: date) -> datetime:
        """The instant at which a day is over, in UTC: a due date holds until then."""
        return self._midnight(day + timedelta(days=1))

    def add_working_time(self, since: datetime, amount: timedelta, *, pauses: Iterable[Pause] = ()) -> datetime:
        """When `amount` has run since `since`, in UTC. The clock runs round the clock on working days only.

        It stands still on days off and in `pauses`. Raises ValueError on a negative amount or a naive time.
        """
        if amount < timedelta(0) or since.tzinfo is None:
            raise ValueError("an aware start and an amount that is not negative are needed")
        stops = sorted((pause for pause in pauses if pause.until > since), key=lambda pause: pause.since)
        at, left = since.astimezone(UTC), amount
        for _ in range(_LONGEST_SEARCH + 2 * len(stops)):
            standing = max((p.until for p in stops if p.since <= at < p.until), default=None)
            if standing is not None:
                at = standing.astimezone(UTC)
                continue
            day = at.astimezone(self.zone).date()
            midnight = self.end_of(day)
            if not self.is_working_day(day):
                at = midnight
                continue
            boundary = min([midnight, *(p.since.astimezone(UTC) for p in stops if p.since > at)])
            if left <= boundary - at:
                return at + left
            left -= boundary - at
            at = boundary
        raise ValueError("the calendar has too little working time")

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), tzinfo=self.zone).astimezone(UTC)


# --- Vietnam -------------------------------------------------------------------------------------

_LABOUR_CODE = "Bộ luật Lao động 45/2019/QH14, Điều 112"
_IN_LIEU = "Bộ luật Lao động 45/2019/QH14, Điều 111 khoản 3 (nghỉ bù)"
_SWAP = "Hoán đổi ngày làm việc theo thông báo của Bộ Nội vụ"
_CULTURE_DAY = "Nghị quyết 80-NQ/TW ngày 07/01/2026; chưa đối chiếu văn bản luật hóa"


def _off(day: str, vi: str, en: str, source: str = _LABOUR_CODE, *, works: bool = False) -> DayOff:
    return DayOff(date.fromisoformat(day), vi, en, source, works=works)


def _tet(*days: str, source: str = _LABOUR_CODE) -> list[DayOff]:
    return [_off(day, "Tết Nguyên đán", "Lunar New Year", source) for day in days]


_YEARLY = (
    _off("2000-01-01", "Tết Dương lịch", "New Year"),
    _off("2000-04-30", "Ngày Chiến thắng", "Reunification Day"),
    _off("2000-05-01", "Quốc tế Lao động", "Labour Day"),
    _off("2000-09-02", "Quốc khánh", "National Day"),
)

_PROJECTED = "Dự kiến theo âm lịch và Điều 111, 112 Bộ luật Lao động; chờ thông báo của Bộ Nội vụ"

VIETNAM_DAYS: tuple[DayOff, ...] = (
    _off("2025-01-01", "Tết Dương lịch", "New Year"),
    *_tet("2025-01-27", "2025-01-28", "2025-01-29", "2025-01-30", "2025-01-31"),
    _off("2025-04-07", "Giỗ Tổ Hùng Vương", "Hùng Kings' Day"),
    _off("2025-04-26", "Làm bù cho ngày 02/05", "Worked in place of 2 May", _SWAP, works=True),
    _off("2025-04-30", "Ngày Chiến thắng", "Reunification Day"),
    _off("2025-05-01", "Quốc tế Lao động", "Labour Day"),
    _off("2025-05-02", "Nghỉ hoán đổi", "Swapped day off", _SWAP),
    _off("2025-09-01", "Quốc khánh", "National Day"),
    _off("2025-09-02", "Quốc khánh", "National Day"),
    _off("2026-01-01", "Tết Dương lịch", "New Year"),
    _off("2026-01-02", "Nghỉ hoán đổi", "Swapped day off", _SWAP),
    _off("2026-01-10", "Làm bù cho ngày 02/01", "Worked in place of 2 January", _SWAP, works=True),
    *_tet("2026-02-16", "2026-02-17", "2026-02-18", "2026-02-19", "2026-02-20"),
    _off("2026-04-26", "Giỗ Tổ Hùng Vương", "Hùng Kings' Day"),
    _off("2026-04-27", "Nghỉ bù Giỗ Tổ Hùng Vương", "In lieu of Hùng Kings' Day", _IN_LIEU),
    _off("2026-04-30", "Ngày Chiến thắng", "Reunification Day"),
    _off("2026-05-01", "Quốc tế Lao động", "Labour Day"),
    _off("2026-08-22", "Làm bù cho ngày 31/08", "Worked in place of 31 August", _SWAP, works=True),
    _off("2026-08-31", "Nghỉ hoán đổi", "Swapped day off", _SWAP),
    _off("2026-09-01", "Quốc khánh", "National Day"),
    _off("2026-09-02", "Quốc khánh", "National Day"),
    _off("2026-11-24", "Ngày Văn hóa Việt Nam", "Vietnamese Culture Day", _CULTURE_DAY),
    _off("2027-01-01", "Tết Dương lịch", "New Year"),
    *_tet(
        "2027-02-05",
        "2027-02-06",
        "2027-02-07",
        "2027-02-08",
        "2027-02-09",
        "2027-02-10",
        "2027-02-11",
        source=_PROJECTED,
    ),
    _off("2027-04-16", "Giỗ Tổ Hùng Vương", "Hùng Kings' Day", _PROJECTED),
    _off("2027-04-30", "Ngày Chiến thắng", "Reunification Day"),
    _off("2027-05-01", "Quốc tế Lao động", "Labour Day"),
    _off("2027-05-03", "Nghỉ bù Quốc tế Lao động", "In lieu of Labour Day", _IN_LIEU),
    _off("2027-09-02", "Quốc khánh", "National Day"),
    _off("2027-09-03", "Quốc khánh", "National Day", _PROJECTED),
    _off("2027-11-24", "Ngày Văn hóa Việt Nam", "Vietnamese Culture Day", _CULTURE_DAY),
)
"""Days that differ from the ordinary week. None is marked verified: the notices' texts were not at hand."""


def vietnam_calendar(*, saturdays_worked: bool = False) -> BusinessCalendar:
    """The calendar of state offices in Vietnam; with `saturdays_worked`, that of a counter open six days."""
    return BusinessCalendar(
        exceptions=VIETNAM_DAYS,
        fixed={(entry.day.month, entry.day.day): entry for entry in _YEARLY},
        weekend=SUNDAY if saturdays_worked else SATURDAY_AND_SUNDAY,
        years=frozenset(entry.day.year for entry in VIETNAM_DAYS),
    )
