"""References survive typing, ids sort by time, cursors are ours or refused."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import BadInput
from kit.ids import is_reference, new_id, new_reference, uuid7
from kit.pagination import decode_cursor, encode_cursor, page_of

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXY"


def test_a_uuid7_says_its_version_and_sorts_by_time() -> None:
    first = uuid7()
    time.sleep(0.002)
    second = uuid7()

    assert (first.version, first.variant) == (7, "specified in RFC 4122")
    assert first < second
    assert new_id("pay").startswith("pay_")


@given(st.integers(0, 8), st.sampled_from(_ALPHABET))
def test_one_mistyped_character_is_noticed(position: int, other: str) -> None:
    reference = new_reference("LT")
    index = 2 + position
    mistyped = reference[:index] + other + reference[index + 1 :]

    assert is_reference(reference, "LT")
    assert is_reference(mistyped, "LT") == (mistyped == reference)


@given(st.integers(0, 6))
def test_two_swapped_neighbours_are_noticed(position: int) -> None:
    reference = new_reference("LT")
    index = 2 + position
    swapped = reference[:index] + reference[index + 1] + reference[index] + reference[index + 2 :]

    assert is_reference(swapped, "LT") == (swapped == reference)


@pytest.mark.parametrize("text", ["", "LT", "LT1234567", "XX123456789", "LT12345678I", "lt123456789"])
def test_what_is_no_reference_is_refused(text: str) -> None:
    assert not is_reference(text, "LT")


def test_a_cursor_comes_back_as_it_went() -> None:
    assert decode_cursor(encode_cursor("pay_1", 5), str, int) == ("pay_1", 5)


@pytest.mark.parametrize(
    "cursor", ["", "x", "W10", "WzEsMl0", "\x00", "ê", "W1tbW1tbW1tbW10", encode_cursor("a\x00", 5)]
)
def test_a_foreign_cursor_is_refused_by_name(cursor: str) -> None:
    with pytest.raises(BadInput) as refused:
        decode_cursor(cursor, str, int)
    assert refused.value.fields[0].field == "cursor"


def test_a_page_ends_with_a_cursor_only_when_more_follows() -> None:
    full = page_of([1, 2, 3], limit=2, cursor_of=str)
    last = page_of([1, 2], limit=2, cursor_of=str)

    assert (full.items, full.next_cursor) == ((1, 2), "2")
    assert (last.items, last.next_cursor) == ((1, 2), None)


def test_ids_of_one_millisecond_sort_in_the_order_in_which_they_were_made() -> None:
    ids = [uuid7() for _ in range(20_000)]

    assert ids == sorted(ids)
    assert len(set(ids)) == 20_000
    assert {identity.version for identity in ids} == {7}
