"""Bars of a history lie where their days are, whatever the entries."""

from dataclasses import dataclass
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.fees.contract import Text
from services.fees.pages.timeline import WIDTH, timeline_of

TITLE = Text(vi="Lệ phí", en="Charge")
PLACE = Text(vi="Cả nước", en="The whole country")


@dataclass(frozen=True)
class Entry:
    since: date
    until: date | None
    title: Text = TITLE
    place: Text = PLACE
    state: str = "in_force"


days = st.dates(date(2000, 1, 1), date(2060, 12, 31))


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    since = draw(days)
    length = draw(st.none() | st.integers(0, 4_000))
    return Entry(since, since + timedelta(days=length) if length is not None else None)


@given(st.lists(entries(), min_size=1, max_size=12), days)
def test_bars_stay_inside_and_keep_the_order_of_days(found: list[Entry], on: date) -> None:
    drawing = timeline_of(found, on)

    assert drawing is not None
    assert len(drawing.bars) == len(found)
    assert all(bar.x >= 0 and bar.x + bar.width <= WIDTH + 3 for bar in drawing.bars)
    assert [bar.x for bar in drawing.bars] == sorted(bar.x for bar in drawing.bars)
    assert 0 <= drawing.day_x <= WIDTH
    assert drawing.height > max(bar.y for bar in drawing.bars)


def test_the_bar_of_a_window_ends_where_the_next_begins() -> None:
    drawing = timeline_of(
        [Entry(date(2024, 1, 1), date(2025, 12, 31)), Entry(date(2026, 1, 1), None)], date(2025, 6, 1)
    )

    assert drawing is not None
    one, two = drawing.bars
    assert abs(one.x + one.width - two.x) <= 0.2
    assert two.x + two.width == WIDTH
    assert drawing.years[0] == (2024, 0.0)


def test_nothing_is_drawn_of_nothing() -> None:
    assert timeline_of([], date(2026, 1, 1)) is None
