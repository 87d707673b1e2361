"""Matches what the books expect with what a statement shows: certain evidence first, never an amount that fits. Pure.

The outcome depends on the items alone: not on their order, not on which file brought them, not on when. Running again
on what is left changes nothing.
"""

from collections.abc import Iterable

from services.payment.reconciliation.engine import stages
from services.payment.reconciliation.engine.items import Board, Item, MatchingRules, Outcome


def match(expected: Iterable[Item], seen: Iterable[Item], rules: MatchingRules) -> Outcome:
    """Run every stage. Raises ValueError when two items share a key."""
    board = Board(_by_key(expected), _by_key(seen), rules)
    stages.by_id(board)
    stages.by_reference(board)
    stages.by_damaged_reference(board)
    stages.by_party(board)
    stages.by_lump(board)
    proposals = stages.propose_similar(board)
    return Outcome(
        matches=tuple(sorted(board.matches, key=lambda each: (each.seen, each.expected))),
        ambiguous=tuple(sorted(board.ambiguous, key=lambda each: (each.seen, each.expected))),
        repeats=tuple(sorted(board.repeats, key=lambda each: each.seen)),
        proposals=tuple(sorted(proposals, key=lambda each: (each.seen, each.expected))),
        expected_left=tuple(sorted(board.expected)),
        seen_left=tuple(sorted(board.seen)),
    )


def _by_key(items: Iterable[Item]) -> dict[str, Item]:
    found: dict[str, Item] = {}
    for item in sorted(items, key=lambda each: each.key):
        if item.key in found:
            raise ValueError(f"two items have the key {item.key}")
        found[item.key] = item
    return found
