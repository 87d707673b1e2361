"""The matching engine: what evidence proves is matched, what fits twice is held, and no order changes anything."""

import random
from datetime import date, timedelta

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from benchmarks.labelled_days import labelled_days
from benchmarks.matching_quality import score_of
from kit.ids import check_character
from services.payment.reconciliation.engine.assignment import best_pairs
from services.payment.reconciliation.engine.items import Item, MatchingRules, Outcome
from services.payment.reconciliation.engine.lumps import ways_to_make
from services.payment.reconciliation.engine.pipeline import match

ON = date(2026, 11, 3)
RULES = MatchingRules()


def reference(body: str) -> str:
    return f"LT{body}{check_character(body)}"


R1, R2 = reference("7K2M9QAB"), reference("3CDEFGH4")


def bill(key: str, amount: int, name: str = R1, on: date = ON) -> Item:
    return Item(key=key, amount_dong=amount, on=on, references=(name,))


def line(key: str, amount: int, text: str = "", on: date = ON, **more: object) -> Item:
    return Item(key=key, amount_dong=amount, on=on, text=text, **more)  # type: ignore[arg-type]


def run(expected: list[Item], seen: list[Item], rules: MatchingRules = RULES) -> Outcome:
    return match(expected, seen, rules)


def pairs(outcome: Outcome) -> list[tuple[str, tuple[str, ...], tuple[str, ...], int]]:
    return [(each.stage, each.expected, each.seen, each.difference_dong) for each in outcome.matches]


def test_an_identifier_matches_whatever_the_amount_and_says_the_difference() -> None:
    outcome = run([Item("e", -50_000, ON, ids=("FT1",))], [line("s", -49_000, ids=("FT1",))])

    assert pairs(outcome) == [("id", ("e",), ("s",), 1_000)]


@pytest.mark.parametrize(
    "text",
    [
        f"MBVCB.123.{R1} nop le phi.CT tu 19033",
        f"chuyentien{R1.lower()}ft9",
        R1.replace("0", "O"),
        " ".join(R1),
        f"{R1[:5]}-{R1[5:]}",
    ],
)
def test_a_reference_is_found_in_what_banks_make_of_it(text: str) -> None:
    assert pairs(run([bill("e", 200_000)], [line("s", 200_000, text)])) == [("reference", ("e",), ("s",), 0)]


def test_a_short_payment_is_named_and_short() -> None:
    assert pairs(run([bill("e", 200_000)], [line("s", 199_000, R1)])) == [("reference", ("e",), ("s",), -1_000)]


@pytest.mark.parametrize(
    "text",
    [
        R1[:4] + ("3" if R1[4] != "3" else "4") + R1[5:],  # one wrong
        R1[:4] + R1[5:] + " NOP PHI",  # one missing
        R1[:4] + "X" + R1[4:],  # one too many
        R1[:5] + R1[6] + R1[5] + R1[7:],  # two swapped
        f"THANH TOAN {R1[:9]}",  # cut by the bank
    ],
)
def test_a_damaged_reference_is_believed_with_the_exact_amount_and_not_without(text: str) -> None:
    right = run([bill("e", 200_000)], [line("s", 200_000, text)])
    wrong = run([bill("e", 200_000)], [line("s", 150_000, text)])

    assert pairs(right) == [("damaged_reference", ("e",), ("s",), 0)]
    assert wrong.matches == ()
    assert (wrong.expected_left, wrong.seen_left) == (("e",), ("s",))


def test_a_reference_cut_too_short_is_no_evidence() -> None:
    assert run([bill("e", 200_000)], [line("s", 200_000, R1[:6])]).matches == ()


def test_a_right_reference_of_somebody_else_is_not_read_as_a_mistake_in_ours() -> None:
    near = next(
        other
        for sign in "0123456789ABCDEFGHJKMNPQRSTVWXY"
        if (other := reference(R1[2:9] + sign)) != R1 and sum(a != b for a, b in zip(other, R1, strict=True)) <= 2
    )

    assert run([bill("e", 200_000)], [line("s", 200_000, near)]).matches == ()


def test_a_second_payment_of_a_bill_is_a_repeat_of_the_first() -> None:
    outcome = run([bill("e", 200_000)], [line("b", 200_000, R1), line("a", 200_000, R1)])

    assert pairs(outcome) == [("reference", ("e",), ("a",), 0)]
    assert [(each.seen, each.of, each.answered_by) for each in outcome.repeats] == [("b", "e", "a")]


def test_a_bill_paid_in_parts_is_one_match() -> None:
    outcome = run([bill("e", 200_000)], [line("a", 120_000, R1), line("b", 80_000, R1)])

    assert pairs(outcome) == [("reference", ("e",), ("a", "b"), 0)]


def test_a_transfer_that_names_two_bills_and_is_their_sum_pays_both() -> None:
    outcome = run([bill("e1", 200_000), bill("e2", 50_000, R2)], [line("s", 250_000, f"{R1} {R2}")])

    assert pairs(outcome) == [("reference", ("e1", "e2"), ("s",), 0)]


def test_a_transfer_that_names_two_bills_and_is_the_sum_of_neither_is_held() -> None:
    outcome = run([bill("e1", 200_000), bill("e2", 50_000, R2)], [line("s", 240_000, f"{R1} {R2}")])

    assert outcome.matches == ()
    assert [(each.expected, each.seen) for each in outcome.ambiguous] == [(("e1", "e2"), ("s",))]


def test_money_that_goes_out_does_not_answer_money_that_was_to_come_in() -> None:
    assert run([bill("e", 200_000)], [line("s", -200_000, R1)]).matches == ()


def party(key: str, on: date = ON, account: str = "1903") -> Item:
    return Item(key, -50_000, on, party=account)


def test_an_account_and_amount_match_one_to_one_and_alike_pairs_in_order() -> None:
    one = run([party("e")], [line("s", -50_000, party="1903")])
    two = run([party("e2"), party("e1")], [line("s2", -50_000, party="1903"), line("s1", -50_000, party="1903")])

    assert pairs(one) == [("party", ("e",), ("s",), 0)]
    assert pairs(two) == [("party", ("e1",), ("s1",), 0), ("party", ("e2",), ("s2",), 0)]


def test_one_line_for_two_alike_is_held_for_a_person() -> None:
    outcome = run([party("e1"), party("e2")], [line("s", -50_000, party="1903")])

    assert outcome.matches == ()
    assert [(each.stage, each.expected, each.seen) for each in outcome.ambiguous] == [("party", ("e1", "e2"), ("s",))]


def test_an_amount_alone_is_never_more_than_a_proposal() -> None:
    outcome = run([bill("e", 200_000)], [line("s", 200_000, "NGUYEN VAN AN")])

    assert outcome.matches == ()
    assert [(each.expected, each.seen) for each in outcome.proposals] == [(("e",), ("s",))]
    assert (outcome.expected_left, outcome.seen_left) == (("e",), ("s",))


def cash(key: str, amount: int) -> Item:
    return Item(key, amount, ON, group="BC1")


def test_a_lump_is_the_only_choice_that_makes_it() -> None:
    outcome = run([cash("a", 100), cash("b", 250), cash("c", 700)], [line("s", 350, group="BC1")])

    assert pairs(outcome) == [("lump", ("a", "b"), ("s",), 0)]
    assert outcome.expected_left == ("c",)


def test_a_lump_that_can_be_made_twice_is_held() -> None:
    outcome = run([cash("a", 100), cash("b", 250), cash("c", 150), cash("d", 200)], [line("s", 350, group="BC1")])

    assert outcome.matches == ()
    assert [each.stage for each in outcome.ambiguous] == ["lump"]


@given(st.lists(st.integers(1, 60), max_size=9), st.integers(1, 200))
def test_sums_are_found_as_trying_all_choices_finds_them(amounts: list[int], total: int) -> None:
    choices = {
        tuple(sorted(amounts[at] for at in range(len(amounts)) if mask >> at & 1))
        for mask in range(1 << len(amounts))
        if mask.bit_count() >= 2
    }
    right = {choice for choice in choices if sum(choice) == total}

    found = ways_to_make(total, amounts, most=12, nodes=100_000)

    assert found.is_whole
    assert len(found.ways) == min(len(right), 2)
    assert all(sum(amounts[at] for at in way) == total for way in found.ways)


def test_a_search_without_end_says_that_it_gave_up() -> None:
    assert not ways_to_make(12_345, list(range(1_000, 1_060)), most=12, nodes=50).is_whole


@given(st.lists(st.lists(st.integers(-3, 9), min_size=3, max_size=3), min_size=1, max_size=4))
def test_the_best_pairing_is_the_best_of_all_pairings(table: list[list[int]]) -> None:
    def total(rows: tuple[int, ...], columns: frozenset[int]) -> int:
        if not rows:
            return 0
        options = [total(rows[1:], columns)]
        options += [max(table[rows[0]][c], 0) + total(rows[1:], columns - {c}) for c in columns]
        return max(options)

    found, is_clear = best_pairs(
        [str(r) for r in range(len(table))], ["0", "1", "2"], lambda r, c: table[int(r)][int(c)], margin=0
    )

    assert is_clear
    assert sum(table[int(r)][int(c)] for r, c in found) == total(tuple(range(len(table))), frozenset({0, 1, 2}))


def test_a_pairing_as_good_another_way_is_not_clear() -> None:
    assert best_pairs(["a", "b"], ["x", "y"], lambda _a, _b: 5, margin=1) == ([], False)


@settings(max_examples=10, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(seed=st.integers(0, 10_000), order=st.randoms(use_true_random=False))
def test_no_order_of_items_changes_the_outcome_and_another_run_adds_nothing(seed: int, order: random.Random) -> None:
    days = labelled_days(80, seed=seed, fault_rate=0.3)
    first = run(days.expected, days.seen)

    shuffled = run(order.sample(days.expected, len(days.expected)), order.sample(days.seen, len(days.seen)))
    left = set(first.expected_left), set(first.seen_left)
    again = run([e for e in days.expected if e.key in left[0]], [s for s in days.seen if s.key in left[1]])

    assert shuffled == first
    assert again.matches == ()
    assert again.proposals == first.proposals


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_on_labelled_days_no_automatic_match_is_wrong(seed: int) -> None:
    days = labelled_days(3_000, seed=seed, fault_rate=0.05)

    score = score_of(days, run(days.expected, days.seen))

    assert score.wrong == []
    assert score.recall > 0.98


def test_every_item_ends_in_exactly_one_place() -> None:
    days = labelled_days(1_000, seed=5, fault_rate=0.3)
    outcome = run(days.expected, days.seen)

    seen = [key for each in outcome.matches for key in each.seen]
    seen += [key for each in outcome.ambiguous for key in each.seen]
    seen += [each.seen for each in outcome.repeats] + list(outcome.seen_left)
    assert sorted(seen) == sorted(item.key for item in days.seen)
    assert {item.on for item in days.seen} <= {ON + timedelta(days=n) for n in range(-2, 45)}
