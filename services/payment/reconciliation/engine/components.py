"""Splits candidate pairs into the groups that must be decided together. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

Pair = tuple[str, str]


def components(pairs: Iterable[Pair]) -> list[tuple[list[str], list[str]]]:
    """Connected groups of (expected keys, seen keys), each sorted; in the order of their smallest expected key."""
    of_expected: dict[str, list[str]] = defaultdict(list)
    of_seen: dict[str, list[str]] = defaultdict(list)
    for expected, seen in pairs:
        of_expected[expected].append(seen)
        of_seen[seen].append(expected)
    visited: set[str] = set()
    groups: list[tuple[list[str], list[str]]] = []
    for start in sorted(of_expected):
        if start in visited:
            continue
        left, right = _reach(start, of_expected, of_seen)
        visited |= left
        groups.append((sorted(left), sorted(right)))
    return groups


def _reach(
    start: str, of_expected: Mapping[str, list[str]], of_seen: Mapping[str, list[str]]
) -> tuple[set[str], set[str]]:
    left, right = {start}, set[str]()
    fresh = [start]
    while fresh:
        news: list[str] = []
        for expected in fresh:
            for seen in of_expected[expected]:
                if seen not in right:
                    right.add(seen)
                    news += [other for other in of_seen[seen] if other not in left]
                    left.update(of_seen[seen])
        fresh = news
    return left, right
