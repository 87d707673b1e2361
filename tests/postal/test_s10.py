"""Item numbers: published vectors, edge serials, wrong digits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.postal import s10

PUBLISHED = [
    "RB123456785GB",
    "RB123456785US",
    "RB123456785CV",
    "RB123456785CF",
    "EJ423686407VN",
    "EC521602781VN",
    "EN536199851JP",
    "EG230930844KR",
    "EM008463429KR",
    "EZ000012162US",
    "LX210720682NL",
    "EW112720413FR",
    "CD530123554DE",
    "XP696982485FR",
    "LX035843846BE",
    "LE223553042BE",
    "MM000043788US",
    "EA123456785US",
    "ZS204724186GB",
    "ZS034809548GB",
]


@pytest.mark.parametrize("number", PUBLISHED)
def test_published_numbers_are_valid_and_written_back_the_same(number: str) -> None:
    parsed = s10.parse(number)

    assert parsed is not None
    assert str(parsed) == number


@pytest.mark.parametrize(
    ("serial", "digit"),
    [
        (47312482, 9),
        (1234567, 5),
        (12345678, 5),
        (53619985, 1),
        (846342, 9),
        (70000000, 0),
        (0, 5),
        (1, 4),
        (99999999, 5),
        (87654321, 6),
    ],
)
def test_check_digits_of_edge_serials(serial: int, digit: int) -> None:
    assert s10.check_digit(serial) == digit


@pytest.mark.parametrize(
    "number",
    [
        "RB123456786US",
        "EJ012345678VN",
        "ET123456789AU",
        "LX123456789US",
        "RR123456789IE",
        "RM123456789GB",
        "EA123456795US",
        "RB12345678US",
        "RB1234567855US",
        "R1123456785US",
        "RB12345678५US",
        "",
    ],
)
def test_wrong_digits_and_forms_are_refused(number: str) -> None:
    assert not s10.is_valid(number)


def test_a_number_of_a_test_country_is_well_formed() -> None:
    assert str(s10.parse("RB123456785XX")) == "RB123456785XX"


def test_spaces_and_lower_case_are_accepted_and_stored_compact() -> None:
    assert str(s10.parse(" rb 1234 5678 5 gb ")) == "RB123456785GB"
    assert s10.ItemNumber("RB", 12345678, "GB").spaced == "RB 1234 5678 5 GB"


@given(st.integers(0, s10.MAX_SERIAL), st.integers(0, 7), st.integers(1, 9))
def test_a_single_wrong_figure_is_nearly_always_found(serial: int, place: int, shift: int) -> None:
    """Remainder 0 is written 5 like remainder 6: the only blind spot of the standard."""
    digits = f"{serial:08d}"
    wrong = int(digits[:place] + str((int(digits[place]) + shift) % 10) + digits[place + 1 :])
    if s10.check_digit(wrong) == s10.check_digit(serial):
        assert s10.check_digit(serial) == 5


@pytest.mark.parametrize("serial", [-1, 100_000_000])
def test_a_serial_has_eight_digits(serial: int) -> None:
    with pytest.raises(ValueError, match="eight digits"):
        s10.check_digit(serial)
