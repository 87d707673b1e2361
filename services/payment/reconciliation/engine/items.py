"""What is matched and what comes of it: items the books expect, items a statement shows, and their pairs. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

Stage = Literal["id", "reference", "damaged_reference", "party", "lump", "similar"]


@dataclass(frozen=True, slots=True)
class Item:
    """One side of a match. `key` is made of what the item is, never of when it was imported: it decides ties.

    An expected item carries the `references` it hopes to be named by; a seen one carries the `text` to find them in.
    """

    key: str
    amount_dong: int
    on: date
    ids: tuple[str, ...] = ()
    """Identifiers that name it beyond doubt: bank references, gateway ids."""
    references: tuple[str, ...] = ()
    text: str = ""
    party: str = ""
    """Account of the other side."""
    name: str = ""
    group: str = ""
    """What items of may come in one sum: a collector, a payout. Empty: never part of a sum."""


@dataclass(frozen=True, slots=True)
class MatchingRules:
    """How far evidence may be stretched. Versioned: every match says under which rules it was made."""

    version: str = "1"
    days_before: int = 3
    days_after: int = 14
    tolerance_dong: int = 0
    """A named item may differ by so much and still be matched by itself; more is matched with a break."""
    prefix_least: int = 9
    """Fewest signs of a reference cut short, its prefix included: seven random ones, 31⁷, are no accident."""
    lump_most: int = 12
    lump_nodes: int = 20_000
    similar_least: float = 0.85


@dataclass(frozen=True, slots=True)
class Match:
    """Items that are the same money. `difference_dong` is seen less expected."""

    stage: Stage
    expected: tuple[str, ...]
    seen: tuple[str, ...]
    difference_dong: int
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ambiguity:
    """Items that fit together in more than one way. A person decides."""

    stage: Stage
    expected: tuple[str, ...]
    seen: tuple[str, ...]
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A seen item that names an expected one which another seen item has answered."""

    seen: str
    of: str
    answered_by: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that came of a run, in an order that depends on the items alone."""

    matches: tuple[Match, ...]
    ambiguous: tuple[Ambiguity, ...]
    repeats: tuple[Repeat, ...]
    proposals: tuple[Match, ...]
    """Likely, for a person to confirm; their items still count as not matched."""
    expected_left: tuple[str, ...]
    seen_left: tuple[str, ...]


@dataclass(slots=True)
class Board:
    """The items not settled yet. Stages take from it; what is ambiguous leaves it, so that no weaker stage guesses."""

    expected: dict[str, Item]
    seen: dict[str, Item]
    rules: MatchingRules
    matches: list[Match] = field(default_factory=list)
    ambiguous: list[Ambiguity] = field(default_factory=list)
    repeats: list[Repeat] = field(default_factory=list)
    held_expected: set[str] = field(default_factory=set)
    held_seen: set[str] = field(default_factory=set)

    def settle(self, stage: Stage, expected: Sequence[Item], seen: Sequence[Item], *evidence: str) -> None:
        """Match items with each other and take them off the board."""
        self.matches.append(
            Match(
                stage,
                tuple(sorted(item.key for item in expected)),
                tuple(sorted(item.key for item in seen)),
                sum(item.amount_dong for item in seen) - sum(item.amount_dong for item in expected),
                evidence,
            )
        )
        self._remove(expected, seen)

    def hold(self, stage: Stage, expected: Sequence[Item], seen: Sequence[Item], *evidence: str) -> None:
        """Give items to a person and take them off the board."""
        keys = tuple(sorted(item.key for item in expected)), tuple(sorted(item.key for item in seen))
        self.ambiguous.append(Ambiguity(stage, *keys, evidence))
        self.held_expected.update(keys[0])
        self.held_seen.update(keys[1])
        self._remove(expected, seen)

    def repeat(self, seen: Item, *, of: Item, answered_by: Item) -> None:
        """Set a second answer to one item aside."""
        self.repeats.append(Repeat(seen.key, of.key, answered_by.key))
        self._remove((), (seen,))

    def is_near(self, expected: Item, seen: Item) -> bool:
        """Whether the dates allow the seen item to be the expected one."""
        return -self.rules.days_before <= (seen.on - expected.on).days <= self.rules.days_after

    def _remove(self, expected: Sequence[Item], seen: Sequence[Item]) -> None:
        for item in expected:
            self.expected.pop(item.key, None)
        for item in seen:
            self.seen.pop(item.key, None)


def in_order(items: Sequence[Item]) -> list[Item]:
    """Earliest first; the key decides between equals."""
    return sorted(items, key=lambda item: (item.on, item.key))
