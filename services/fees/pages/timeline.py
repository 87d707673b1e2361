"""Bars of a procedure's history: where each dated entry lies between the first day known and the years to come."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

from services.fees.contract import Text

WIDTH = 720
_TOP = 26
_ROW = 36
_LONGEST_LABEL = 78


class Dated(Protocol):
    """What a bar is drawn of."""

    @property
    def title(self) -> Text: ...
    @property
    def place(self) -> Text: ...
    @property
    def since(self) -> date: ...
    @property
    def until(self) -> date | None: ...
    @property
    def state(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Bar:
    """One entry, in the coordinates of the drawing. Without a last day it reaches the right edge."""

    label: Text
    state: str
    x: float
    width: float
    y: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """The whole drawing: bars, the years under them, and the day that is looked at."""

    bars: tuple[Bar, ...]
    years: tuple[tuple[int, float], ...]
    day_x: float
    height: int


def timeline_of(entries: Sequence[Dated], on: date) -> Timeline | None:
    """Bars from the oldest to the newest; None when there is nothing to draw."""
    if not entries:
        return None
    ends = [entry.until for entry in entries if entry.until is not None]
    first = min([*(entry.since for entry in entries), on])
    last = max([*(entry.since for entry in entries), *ends, on]) + timedelta(days=200)
    first = date(first.year, 1, 1)
    span = max((last - first).days, 365)

    def x_of(day: date) -> float:
        return round((day - first).days / span * WIDTH, 1)

    bars = []
    for index, entry in enumerate(sorted(entries, key=lambda one: (one.since, one.title.vi))):
        end = entry.until + timedelta(days=1) if entry.until is not None else last
        x = x_of(entry.since)
        bars.append(
            Bar(
                label=Text(vi=_label(entry.title.vi, entry.place.vi), en=_label(entry.title.en, entry.place.en)),
                state=entry.state,
                x=x,
                width=max(3.0, round(x_of(end) - x, 1)),
                y=_TOP + index * _ROW,
            )
        )
    every = max(1, (last.year - first.year) // 8)
    years = tuple((year, x_of(date(year, 1, 1))) for year in range(first.year, last.year + 1, every))
    return Timeline(tuple(bars), years, x_of(on), _TOP + len(bars) * _ROW + 6)


def _label(title: str, place: str) -> str:
    words = f"{title} · {place}"
    return words if len(words) <= _LONGEST_LABEL else f"{words[: _LONGEST_LABEL - 1]}…"
