"""Finds expected references in what banks leave of a text: whole, cut short, or with one sign wrong. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from services.payment.vietqr import CONFUSED, REFERENCE_PREFIX, references_in, squeezed

_GRAM = 4
"""Fewest signs of a name that is looked for in a text."""


@dataclass(slots=True)
class ReferenceIndex:
    """Expected references, looked up in the time of the text's length whatever their number.

    References of one length begin with the same prefix and end with a check character, so a wrong sign does not make
    another expected reference; that is still proven here, by looking at every expected one within one sign.
    """

    _whole: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _wounds: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _begins: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _lengths: set[int] = field(default_factory=set)
    _others: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Names of other makes, by their first signs."""

    @classmethod
    def of(cls, references: Mapping[str, Iterable[str]], *, prefix_least: int | None = None) -> "ReferenceIndex":
        """An index of references by the key of the item each belongs to; for damaged ones too, with `prefix_least`."""
        index = cls()
        for key, names in references.items():
            for name in names:
                index._add(key, squeezed(name), prefix_least)
        return index

    def _add(self, key: str, name: str, prefix_least: int | None) -> None:
        if len(name) < _GRAM:
            return
        self._whole[name].append(key)
        if not name.startswith(REFERENCE_PREFIX):
            self._others[name[:_GRAM]].add(name)
            return
        self._lengths.add(len(name))
        if prefix_least is None:
            return
        for at in range(len(REFERENCE_PREFIX), len(name)):
            self._wounds[name[:at] + name[at + 1 :]].add(name)
        for length in range(prefix_least, len(name)):
            self._begins[name[:length]].add(name)

    def whole(self, text: str) -> set[str]:
        """Keys of the items whose reference stands in the text."""
        found: set[str] = set()
        for start in self._starts(text):
            for length in self._lengths:
                piece = text[start : start + length]
                name = REFERENCE_PREFIX + piece[len(REFERENCE_PREFIX) :].translate(CONFUSED)
                found.update(self._whole.get(name, ()))
        return found or self._named(text)

    def _named(self, text: str) -> set[str]:
        """Names of other makes (payouts, remittances, vouchers), of any form: a longer one hides those within it."""
        named = [
            name
            for at in range(len(text) - _GRAM + 1)
            for name in self._others.get(text[at : at + _GRAM], ())
            if text.startswith(name, at)
        ]
        longest = [name for name in named if not any(name != other and name in other for other in named)]
        return {key for name in longest for key in self._whole[name]}

    def damaged(self, text: str) -> dict[str, str]:
        """Keys of the items the text may name with one fault, and the fault: `cut short` or `one sign wrong`.

        A text with a well-formed reference names that one, expected or not.
        """
        found: dict[str, str] = {}
        if references_in(text):
            return found
        for start in self._starts(text):
            rest = REFERENCE_PREFIX + text[start + len(REFERENCE_PREFIX) :].translate(CONFUSED)
            for name in self._begins.get(rest, ()):
                for key in self._whole[name]:
                    found.setdefault(key, "cut short")
            for name in self._mistyped(rest):
                for key in self._whole[name]:
                    found.setdefault(key, "one sign wrong")
        return found

    def _starts(self, text: str) -> Iterator[int]:
        at = text.find(REFERENCE_PREFIX)
        while at >= 0:
            yield at
            at = text.find(REFERENCE_PREFIX, at + 1)

    def _mistyped(self, rest: str) -> set[str]:
        """References within one sign: wrong, missing, too many, or swapped with its neighbour."""
        found: set[str] = set()
        head = len(REFERENCE_PREFIX)
        for length in self._lengths:
            found |= self._wounds.get(rest[: length - 1], set())  # one sign missing
            longer = rest[: length + 1]
            for at in range(head, len(longer)):
                name = longer[:at] + longer[at + 1 :]
                if len(name) == length and name in self._whole:  # one too many
                    found.add(name)
            piece = rest[:length]
            if len(piece) < length:
                continue
            for at in range(head, length):
                found |= {n for n in self._wounds.get(piece[:at] + piece[at + 1 :], ()) if _one_wrong(n, piece)}
            for at in range(head, length - 1):
                swapped = piece[:at] + piece[at + 1] + piece[at] + piece[at + 2 :]
                if swapped in self._whole:
                    found.add(swapped)
        return found


def _one_wrong(one: str, other: str) -> bool:
    return len(one) == len(other) and sum(a != b for a, b in zip(one, other, strict=True)) == 1
