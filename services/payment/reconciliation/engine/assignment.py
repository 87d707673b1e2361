"""Decides who belongs to whom within a group: the best pairing as a whole, where no other is as good. Pure."""

from collections.abc import Callable, Sequence

_IMPOSSIBLE = -(10**9)
_LARGEST_GROUP = 60
"""Items on a side beyond which a group is not decided by machine: evidence that weak is no evidence."""


def best_pairs(
    lefts: Sequence[str], rights: Sequence[str], score: Callable[[str, str], int | None], *, margin: int
) -> tuple[list[tuple[str, str]], bool]:
    """The pairing of the greatest total score, and whether it is clear.

    `score` is None for a pair that cannot be. The pairing is clear when every other one that pairs differently scores
    less by at least `margin`; otherwise it must not be used. The result does not depend on the order of the items.
    """
    if max(len(lefts), len(rights)) > _LARGEST_GROUP:
        return [], False
    first, second = sorted(lefts), sorted(rights)
    table = [[_worth(score(left, right)) for right in second] for left in first]
    best, total = _solve(table)
    if not best:
        return [], True
    for row, column in best:
        kept = table[row][column]
        table[row][column] = _IMPOSSIBLE
        _, other = _solve(table)
        table[row][column] = kept
        if total - other < margin:
            return [], False
    return [(first[row], second[column]) for row, column in best], True


def _worth(score: int | None) -> int:
    return _IMPOSSIBLE if score is None else score


def _solve(table: Sequence[Sequence[int]]) -> tuple[list[tuple[int, int]], int]:
    """Pairs (row, column) of the greatest total, leaving out those that cannot be or bring nothing.

    The Hungarian method with potentials, O(n³); H. W. Kuhn, The Hungarian Method for the assignment problem (1955).
    """
    rows, columns = len(table), max((len(row) for row in table), default=0)
    size = rows + columns  # a dummy partner for each, at no worth: nobody has to be paired
    cost = [
        [-(table[r][c]) if r < rows and c < columns and table[r][c] > 0 else 0 for c in range(size)]
        for r in range(size)
    ]
    partner = _hungarian(cost)
    pairs = [
        (row, column)
        for column, row in enumerate(partner)
        if row < rows and column < columns and table[row][column] > 0
    ]
    return sorted(pairs), sum(table[row][column] for row, column in pairs)


def _hungarian(cost: Sequence[Sequence[int]]) -> list[int]:
    """The row of each column, at the least total cost of a square table."""
    size = len(cost)
    infinite = 10**15
    of_row, of_column = [0] * (size + 1), [0] * (size + 1)
    partner, way = [0] * (size + 1), [0] * (size + 1)
    for row in range(1, size + 1):
        partner[0] = row
        column = 0
        least = [infinite] * (size + 1)
        used = [False] * (size + 1)
        while partner[column]:
            used[column] = True
            current, step, nearest = partner[column], infinite, 0
            for other in range(1, size + 1):
                if used[other]:
                    continue
                slack = cost[current - 1][other - 1] - of_row[current] - of_column[other]
                if slack < least[other]:
                    least[other], way[other] = slack, column
                if least[other] < step:
                    step, nearest = least[other], other
            for other in range(size + 1):
                if used[other]:
                    of_row[partner[other]] += step
                    of_column[other] -= step
                else:
                    least[other] -= step
            column = nearest
        while column:
            before = way[column]
            partner[column] = partner[before]
            column = before
    return [row - 1 for row in partner[1:]]
