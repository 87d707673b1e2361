"""đồng: whole numbers, parts that sum to the whole, words an official would sign."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.money import MAX_DONG, Money, basis_points_of, dong_in_words, format_dong, percent_of, share


@given(st.integers(0, MAX_DONG), st.lists(st.integers(0, 1000), min_size=1, max_size=12))
def test_parts_sum_to_the_whole_and_none_strays_by_more_than_a_dong(amount: int, weights: list[int]) -> None:
    if sum(weights) == 0:
        with pytest.raises(ValueError, match="at least one positive"):
            share(amount, weights)
        return

    parts = share(amount, weights)

    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part * sum(weights) - amount * weight) < sum(weights)


@pytest.mark.parametrize(
    ("amount", "percent", "expected"),
    [(200_000, 90, 180_000), (1, 50, 1), (1, 49, 0), (3, 50, 2), (0, 50, 0), (70_000, 50, 35_000)],
)
def test_percent_is_rounded_half_up_once(amount: int, percent: int, expected: int) -> None:
    assert percent_of(amount, percent) == expected


@pytest.mark.parametrize(
    ("amount", "basis_points", "expected"),
    [
        (2_000_000_000, 15, 3_000_000),
        (1_000_333, 50, 5_002),
        (1_000_333, 15, 1_500),
        (100, 50, 1),
        (99, 50, 0),
        (7, 10_000, 7),
    ],
)
def test_hundredths_of_a_per_cent_round_half_up_too(amount: int, basis_points: int, expected: int) -> None:
    assert basis_points_of(amount, basis_points) == expected


@pytest.mark.parametrize(
    ("amount", "vi", "en"),
    [(0, "0 ₫", "₫0"), (180_000, "180.000 ₫", "₫180,000"), (-26_000, "−26.000 ₫", "−₫26,000")],
)
def test_amounts_are_written_as_each_language_writes_them(amount: int, vi: str, en: str) -> None:
    assert format_dong(amount, "vi") == vi
    assert format_dong(amount, "en") == en


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (0, "Không đồng"),
        (5, "Năm đồng"),
        (10, "Mười đồng"),
        (15, "Mười lăm đồng"),
        (21, "Hai mươi mốt đồng"),
        (24, "Hai mươi tư đồng"),
        (105, "Một trăm lẻ năm đồng"),
        (1_000, "Một nghìn đồng"),
        (1_005, "Một nghìn không trăm lẻ năm đồng"),
        (180_000, "Một trăm tám mươi nghìn đồng"),
        (15_250, "Mười lăm nghìn hai trăm năm mươi đồng"),
        (20_000_000, "Hai mươi triệu đồng"),
        (1_000_000_000, "Một tỷ đồng"),
        (1_000_000_001, "Một tỷ không trăm lẻ một đồng"),
        (1_500_000_000_000, "Một nghìn năm trăm tỷ đồng"),
    ],
)
def test_amounts_in_words_are_those_of_a_receipt(amount: int, words: str) -> None:
    assert dong_in_words(amount) == words


def test_an_amount_in_words_is_never_negative() -> None:
    with pytest.raises(ValueError, match="negative"):
        dong_in_words(-1)


@pytest.mark.parametrize("wrong", [1.0, True, "5", None])
def test_money_is_made_of_whole_numbers_only(wrong: object) -> None:
    with pytest.raises(TypeError):
        Money(wrong)  # type: ignore[arg-type]


def test_money_adds_and_subtracts_exactly() -> None:
    assert Money(MAX_DONG) + Money(1) - Money(MAX_DONG) == Money(1)
    assert -Money(5) == Money(-5)
    assert not Money(0)
