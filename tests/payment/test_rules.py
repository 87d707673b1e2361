"""The rules of bills and refunds as tables and properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.payment import rules
from services.payment.rules import LineBalance, Source, Standing


@pytest.mark.parametrize(
    ("standing", "status"),
    [
        (Standing(due_dong=100), "open"),
        (Standing(due_dong=0), "paid"),
        (Standing(due_dong=100, live="pending"), "pending"),
        (Standing(due_dong=100, live="created"), "pending"),
        (Standing(due_dong=100, live="unknown"), "unknown"),
        (Standing(due_dong=100, paid_dong=40), "partially_paid"),
        (Standing(due_dong=100, paid_dong=40, live="unknown"), "unknown"),
        (Standing(due_dong=100, paid_dong=100), "paid"),
        (Standing(due_dong=100, paid_dong=100, live="pending"), "paid"),
        (Standing(due_dong=100, paid_dong=100, excess_dong=5), "paid"),
        (Standing(due_dong=100, paid_dong=100, held_dong=1), "refund_pending"),
        (Standing(due_dong=100, paid_dong=100, refunded_dong=40), "paid"),
        (Standing(due_dong=100, paid_dong=100, refunded_dong=100), "refunded"),
        (Standing(due_dong=100, ended="expired"), "expired"),
        (Standing(due_dong=100, paid_dong=40, ended="cancelled"), "cancelled"),
        (Standing(due_dong=100, paid_dong=40, refunded_dong=40, ended="cancelled"), "refunded"),
    ],
)
def test_the_status_follows_from_the_figures(standing: Standing, status: str) -> None:
    assert rules.status_of(standing) == status


def test_every_fact_of_the_tables_has_an_effect() -> None:
    kinds = {*rules.ATTEMPT_EDGES.values()}
    for kind in rules.REFUND_EDGES.values():
        kinds |= {kind, f"excess_{kind}"}

    assert kinds <= set(rules.EFFECTS)


def test_no_attempt_that_brought_money_ever_changes_again() -> None:
    assert not [edge for edge in rules.ATTEMPT_EDGES if edge[0].startswith("succeeded")]


def test_every_dead_attempt_can_still_turn_out_paid() -> None:
    for dead in ("failed", "expired", "cancelled"):
        assert rules.attempt_fact(dead, "succeeded") == "attempt_succeeded_late"


@pytest.mark.parametrize("move", [("succeeded", "failed"), ("expired", "pending"), ("failed", "cancelled")])
def test_moves_outside_the_table_are_a_defect(move: tuple[str, str]) -> None:
    with pytest.raises(rules.ForbiddenMove):
        rules.attempt_fact(*move)  # type: ignore[arg-type]


def test_unknown_words_of_the_gateway_mean_unknown_to_the_caller() -> None:
    assert "paid_probably" not in rules.GATEWAY_STATUSES
    assert rules.GATEWAY_STATUSES.get("paid_probably", "unknown") == "unknown"


def test_questions_get_rarer_and_never_stop() -> None:
    assert [rules.requery_after(count) for count in range(8)] == [2, 10, 60, 600, 3600, 21600, 21600, 21600]


balances = st.lists(
    st.tuples(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9), st.sampled_from("abc")).map(
        lambda t: (max(t[0], t[1] + t[2]), t[1], t[2], t[3])
    ),
    max_size=6,
).map(
    lambda rows: [
        LineBalance(position, item, citizen, reversed_, given)
        for position, (citizen, reversed_, given, item) in enumerate(rows, start=1)
    ]
)


@given(balances, st.data(), st.lists(st.sampled_from("abc"), max_size=2, unique=True))
def test_refund_parts_make_the_amount_and_no_line_gives_more_than_it_has(
    lines: list[LineBalance], data: st.DataObject, items: list[str]
) -> None:
    most = rules.refundable_on(lines, items)
    amount = data.draw(st.integers(0, most))

    parts = rules.refund_parts(lines, amount, items)

    assert sum(parts.values()) == amount
    by_position = {line.position: line for line in lines}
    for position, part in parts.items():
        assert 0 < part <= by_position[position].left_dong
        assert not items or by_position[position].item in items
    with pytest.raises(ValueError, match="more than the lines hold"):
        rules.refund_parts(lines, most + 1, items)


def test_money_paid_in_covers_the_first_lines() -> None:
    lines = [LineBalance(1, "a", 100, 0, 0), LineBalance(2, "b", 50, 0, 0), LineBalance(3, "c", 30, 0, 0)]

    assert rules.unpaid_parts(lines, 60) == {3: 30, 2: 30}
    assert rules.refund_parts(lines, 120, ()) == {1: 100, 2: 20}


@given(st.lists(st.integers(0, 10**9), max_size=6), st.data())
def test_legs_make_the_amount_and_no_arrival_gives_more_than_it_brought(sums: list[int], data: st.DataObject) -> None:
    sources = [Source(f"int_{index}", amount) for index, amount in enumerate(sums)]
    amount = data.draw(st.integers(0, sum(sums)))

    legs = rules.refund_legs(sources, amount)

    assert sum(part for _, part in legs) == amount
    left = {source.intake_id: source.left_dong for source in sources}
    assert all(0 < part <= left[intake] for intake, part in legs)
    with pytest.raises(ValueError, match="ever came in"):
        rules.refund_legs(sources, sum(sums) + 1)


moves = st.lists(
    st.tuples(
        st.sampled_from(["money_applied", "money_held", "refund_requested", "refund_rejected", "refund_succeeded"]),
        st.integers(0, 1000),
    ),
    max_size=20,
)


@given(moves)
def test_the_fold_does_not_depend_on_where_it_is_cut(facts: list[tuple[str, int]]) -> None:
    whole = rules.folded(1000, facts)
    standing = Standing(due_dong=1000)
    for kind, amount in facts:
        standing = rules.after(standing, kind, amount)

    assert standing == whole
