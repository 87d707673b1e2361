"""Finds the items that make a sum, and whether they are the only ones. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sums:
    """Ways to make a total, by positions. `is_whole` is False when the search ran out before all were seen."""

    ways: tuple[tuple[int, ...], ...]
    is_whole: bool


def ways_to_make(total: int, amounts: Sequence[int], *, most: int, nodes: int) -> Sums:
    """Up to two ways to make `total` of two to `most` amounts, all positive. The order of amounts decides nothing.

    Depth first over the amounts from the largest, leaving a branch when the rest cannot reach the total or must pass
    it. Equal amounts are one choice of how many, so interchangeable items do not count as two ways; which of them is
    taken is told by position. After `nodes` steps the search gives up and says so.
    """
    order = sorted(range(len(amounts)), key=lambda at: (-amounts[at], at))
    sizes = [amounts[at] for at in order]
    rest = [0] * (len(sizes) + 1)
    for at in range(len(sizes) - 1, -1, -1):
        rest[at] = rest[at + 1] + sizes[at]
    found: list[tuple[int, ...]] = []
    left = nodes
    stack: list[tuple[int, int, tuple[int, ...]]] = [(0, total, ())]
    while stack:
        at, missing, taken = stack.pop()
        left -= 1
        if left < 0:
            return Sums(tuple(found), is_whole=False)
        if missing == 0:
            if len(taken) >= 2:
                found.append(tuple(sorted(order[each] for each in taken)))
                if len(found) == 2:
                    return Sums(tuple(found), is_whole=True)
            continue
        if at == len(sizes) or len(taken) == most or missing > rest[at]:
            continue
        beyond = at
        while beyond < len(sizes) and sizes[beyond] == sizes[at]:
            beyond += 1
        stack.append((beyond, missing, taken))
        count = min(beyond - at, missing // sizes[at], most - len(taken))
        stack += [(beyond, missing - n * sizes[at], (*taken, *range(at, at + n))) for n in range(1, count + 1)]
    return Sums(tuple(found), is_whole=True)
