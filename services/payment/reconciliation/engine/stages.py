"""The stages of matching, certain to likely: each settles what its evidence proves and holds what it does not. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher

from services.payment.reconciliation.engine.assignment import best_pairs
from services.payment.reconciliation.engine.components import Pair, components
from services.payment.reconciliation.engine.items import Board, Item, Match, Stage, in_order
from services.payment.reconciliation.engine.lumps import Sums, ways_to_make
from services.payment.reconciliation.engine.references import ReferenceIndex
from services.payment.vietqr import squeezed

_MARGIN = 10
_SUM_MOST = 6
"""Seen items that may pay one expected item in instalments, or bills that one transfer may name."""


def by_id(board: Board) -> None:
    """The bank's or the gateway's own identifier: beyond doubt, whatever the amount."""
    named: dict[str, list[str]] = defaultdict(list)
    for item in board.expected.values():
        for name in item.ids:
            named[name].append(item.key)
    pairs = [(key, item.key) for item in board.seen.values() for name in item.ids for key in named.get(name, ())]
    _decide(board, "id", pairs, "identifier")


def by_reference(board: Board) -> None:
    """A reference of ours that stands whole in the text; its check character has been right."""
    index = _index(board)
    pairs = [(key, item.key) for item in board.seen.values() if item.text for key in index.whole(squeezed(item.text))]
    _decide(board, "reference", [pair for pair in pairs if _same_way(board, pair)], "reference in the text")


def by_damaged_reference(board: Board) -> None:
    """A reference cut short or with one sign wrong: believed only with the exact amount, a near date and no rival."""
    index = _index(board, prefix_least=board.rules.prefix_least)
    faults: dict[Pair, str] = {}
    for item in board.seen.values():
        if item.text:
            for key, fault in index.damaged(squeezed(item.text)).items():
                if _fits(board, (key, item.key)):
                    faults[key, item.key] = fault
    for expected, seen in components(faults):
        if len(expected) == len(seen) == 1:
            pair = (expected[0], seen[0])
            board.settle("damaged_reference", *_items(board, *pair), faults[pair], "exact amount")
        else:
            _hold(board, "damaged_reference", expected, seen, "several references are one sign away")


def by_party(board: Board) -> None:
    """The account of the other side, the exact amount and a near date, with nobody else it could be."""
    known: dict[tuple[str, int], list[str]] = defaultdict(list)
    for item in board.expected.values():
        if item.party:
            known[item.party, item.amount_dong].append(item.key)
    pairs = [
        (key, item.key)
        for item in board.seen.values()
        if item.party
        for key in known.get((item.party, item.amount_dong), ())
        if _fits(board, (key, item.key))
    ]
    allowed = set(pairs)

    def score(expected: str, seen: str) -> int | None:
        if (expected, seen) not in allowed:
            return None
        return 1_000 - abs((board.seen[seen].on - board.expected[expected].on).days)

    for expected, seen in components(pairs):
        if len(expected) == len(seen) and len(expected) * len(seen) == _pairs_between(allowed, expected, seen):
            # Interchangeable: as many of them as of the others, all alike.
            for left, right in zip(_dated(board.expected, expected), _dated(board.seen, seen), strict=True):
                board.settle("party", [left], [right], "account", "exact amount")
            continue
        found, is_clear = best_pairs(expected, seen, score, margin=_MARGIN)
        if not is_clear:
            _hold(board, "party", expected, seen, "same account and amount several times")
            continue
        for pair in found:
            board.settle("party", *_items(board, *pair), "account", "exact amount", "nearest date")


def by_lump(board: Board) -> None:
    """One seen sum for several expected items of its group, when exactly one choice of them makes it.

    What one sum takes is no longer there for another, so the search goes on until nothing more is proven; only then
    is held what can still be made in several ways. That is why another run finds nothing new.
    """
    while _settle_lumps(board):
        pass
    doubtful: list[tuple[Item, list[Item], str]] = []
    for seen, members in _lumps(board):
        found = _sums(board, seen, members)
        if found.ways or not found.is_whole:
            touched = sorted({at for way in found.ways for at in way})
            why = "several choices make the sum" if len(found.ways) > 1 else "too many choices to try them all"
            doubtful.append((seen, [members[at] for at in touched], why))
    for seen, members, why in doubtful:
        board.hold("lump", members, [seen], why)


def _settle_lumps(board: Board) -> bool:
    """One pass over the sums not settled yet; whether it settled any."""
    before = len(board.matches)
    for seen, members in _lumps(board):
        found = _sums(board, seen, members)
        if len(found.ways) == 1 and found.is_whole:
            chosen = [members[at] for at in found.ways[0]]
            board.settle("lump", chosen, [seen], f"the only {len(chosen)} of the group that make the sum")
    return len(board.matches) > before


def _lumps(board: Board) -> Iterator[tuple[Item, list[Item]]]:
    """Seen items that may be sums, each with the expected items of its group that it may be made of."""
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in in_order(list(board.expected.values())):
        if item.group:
            groups[item.group].append(item)
    for seen in in_order([item for item in board.seen.values() if item.group in groups]):
        yield (
            seen,
            [
                item
                for item in groups[seen.group]
                if item.key in board.expected and board.is_near(item, seen) and item.amount_dong * seen.amount_dong > 0
            ],
        )


def _sums(board: Board, seen: Item, members: Sequence[Item]) -> Sums:
    sizes = [abs(item.amount_dong) for item in members]
    return ways_to_make(abs(seen.amount_dong), sizes, most=board.rules.lump_most, nodes=board.rules.lump_nodes)


def propose_similar(board: Board) -> list[Match]:
    """What is left with the same amount, a near date and a similar name: proposals, best first, each item once."""
    amounts: dict[int, list[str]] = defaultdict(list)
    for item in board.expected.values():
        amounts[item.amount_dong].append(item.key)
    scored: list[tuple[float, str, str]] = []
    for seen in board.seen.values():
        near = [key for key in amounts.get(seen.amount_dong, ()) if board.is_near(board.expected[key], seen)]
        if len(near) == 1:
            scored.append((0.5, near[0], seen.key))
        for key in near[:200]:
            likeness = _likeness(board.expected[key].name, seen.name or seen.text)
            if likeness >= board.rules.similar_least:
                scored.append((likeness, key, seen.key))
    proposals: list[Match] = []
    used: set[str] = set()
    for likeness, key, seen_key in sorted(scored, key=lambda each: (-each[0], each[1], each[2])):
        if not {f"e{key}", f"s{seen_key}"} & used:
            used |= {f"e{key}", f"s{seen_key}"}
            proposals.append(Match("similar", (key,), (seen_key,), 0, ("exact amount", f"likeness {likeness:.2f}")))
    return proposals


def _likeness(one: str, other: str) -> float:
    first, second = squeezed(one), squeezed(other)
    if len(first) < 5 or len(second) < 5:
        return 0.0
    return 1.0 if first in second else SequenceMatcher(None, first, second).ratio()


# --- deciding among items that name each other -----------------------------------------------------


def _decide(board: Board, stage: Stage, pairs: Iterable[Pair], why: str) -> None:
    for expected_keys, seen_keys in components(pairs):
        expected = [board.expected[key] for key in expected_keys]
        seen = in_order([board.seen[key] for key in seen_keys])
        if len(expected) == 1:
            _answers_to_one(board, stage, expected[0], seen, why)
        elif len(seen) == 1:
            _one_that_names_several(board, stage, expected, seen[0], why)
        else:
            _several_for_several(board, stage, expected, seen, why)


def _answers_to_one(board: Board, stage: Stage, expected: Item, seen: Sequence[Item], why: str) -> None:
    """All name the same item: the exact amount answers it, equal ones repeat it, parts that make it are instalments."""
    if len(seen) == 1:
        board.settle(stage, [expected], seen, why)
        return
    exact = [item for item in seen if item.amount_dong == expected.amount_dong]
    if exact:
        answer = exact[0]
        others = [item for item in seen if item is not answer]
        board.settle(stage, [expected], [answer], why, "exact amount")
        for item in others:
            board.repeat(item, of=expected, answered_by=answer)
    elif len(seen) <= _SUM_MOST:
        board.settle(stage, [expected], seen, why, "in parts")
    else:
        board.hold(stage, [expected], seen, why, "many parts and none of the amount")


def _one_that_names_several(board: Board, stage: Stage, expected: Sequence[Item], seen: Item, why: str) -> None:
    """One text with several references: the sum of all of them, or the one whose amount it is."""
    if sum(item.amount_dong for item in expected) == seen.amount_dong and len(expected) <= _SUM_MOST:
        board.settle(stage, expected, [seen], why, "sum of those named")
        return
    exact = [item for item in expected if item.amount_dong == seen.amount_dong]
    if len(exact) == 1:
        board.settle(stage, exact, [seen], why, "exact amount")
    else:
        board.hold(stage, expected, [seen], why, "names several and is the sum of none")


def _several_for_several(board: Board, stage: Stage, expected: Sequence[Item], seen: Sequence[Item], why: str) -> None:
    """A tangle: the pairing in which every amount is exact, if there is only one; otherwise a person."""
    amounts = {item.key: item.amount_dong for item in (*expected, *seen)}
    lefts, rights = [item.key for item in expected], [item.key for item in seen]

    def score(left: str, right: str) -> int | None:
        return 100 if amounts[left] == amounts[right] else None

    found, is_clear = best_pairs(lefts, rights, score, margin=_MARGIN)
    if not is_clear or len(found) != min(len(lefts), len(rights)):
        board.hold(stage, expected, seen, why, "several name each other")
        return
    for left, right in found:
        board.settle(stage, *_items(board, left, right), why, "exact amount")


def _index(board: Board, *, prefix_least: int | None = None) -> ReferenceIndex:
    references: Mapping[str, Iterable[str]] = {
        item.key: item.references for item in board.expected.values() if item.references
    }
    return ReferenceIndex.of(references, prefix_least=prefix_least)


def _same_way(board: Board, pair: Pair) -> bool:
    """Money that came in answers what was to come in."""
    return board.expected[pair[0]].amount_dong * board.seen[pair[1]].amount_dong > 0


def _fits(board: Board, pair: Pair) -> bool:
    expected, seen = board.expected[pair[0]], board.seen[pair[1]]
    return expected.amount_dong == seen.amount_dong and board.is_near(expected, seen)


def _pairs_between(pairs: set[Pair], expected: Sequence[str], seen: Sequence[str]) -> int:
    return sum((left, right) in pairs for left in expected for right in seen)


def _dated(items: Mapping[str, Item], keys: Sequence[str]) -> list[Item]:
    return in_order([items[key] for key in keys])


def _items(board: Board, expected: str, seen: str) -> tuple[list[Item], list[Item]]:
    return [board.expected[expected]], [board.seen[seen]]


def _hold(board: Board, stage: Stage, expected: Sequence[str], seen: Sequence[str], why: str) -> None:
    board.hold(stage, [board.expected[key] for key in expected], [board.seen[key] for key in seen], why)
