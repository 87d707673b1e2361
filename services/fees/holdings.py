"""What a publication holds: documents by path, laid over by officers, merged when a release brings its own.

A path is relative to the catalogue (`adjustments/provinces.yaml`). A state of the law is all its documents together;
what an officer publishes replaces, adds or takes out whole documents.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Held:
    """What one publication holds under a path, by hash: the text in force, and what the last release shipped there.

    `in_force` is None where an officer took the document out; `shipped` is None where an officer added it.
    """

    in_force: str | None
    shipped: str | None

    @property
    def by_officer(self) -> bool:
        """Whether what is in force is an officer's and not the release's."""
        return self.in_force != self.shipped


def text_hash(text: str) -> str:
    """SHA-256 of a document, the name under which it is kept."""
    return hashlib.sha256(text.encode()).hexdigest()


def set_hash(hashes: Mapping[str, str | None]) -> str:
    """SHA-256 of a whole set of documents: paths and the hashes of their texts (or None where one is taken out)."""
    lines = "\n".join(f"{path}\t{sha256 or '-'}" for path, sha256 in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def laid_over(base: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """`base` with the documents of a draft in place of, beside, or (None) instead of its own."""
    together: dict[str, str | None] = {**base, **changes}
    return {path: text for path, text in together.items() if text is not None}


def merged(head: Mapping[str, Held], shipped: Mapping[str, str]) -> dict[str, Held]:
    """What is in force once a release with `shipped` documents (hash by path) meets the law published so far.

    Three-way, a document at a time: where no officer wrote, the release's document comes into force, also when it is
    gone; where an officer wrote, the officer's stays, and what the release ships is kept beside it for comparison.
    """
    result: dict[str, Held] = {}
    for path in sorted({*head, *shipped}):
        known, new = head.get(path), shipped.get(path)
        in_force = known.in_force if known is not None and known.by_officer else new
        if in_force is not None or new is not None:
            result[path] = Held(in_force, new)
    return result


def overtaken(head: Mapping[str, Held], shipped: Mapping[str, str]) -> list[str]:
    """Paths where a release changed a document under an officer's: somebody should compare the two."""
    return [path for path, held in head.items() if held.by_officer and held.shipped != shipped.get(path)]


def moved(base: Mapping[str, Held], head: Mapping[str, Held], paths: Iterable[str]) -> list[str]:
    """Of `paths`, those whose text in force is another at `head` than it was at `base`."""

    def text_at(held: Held | None) -> str | None:
        return held.in_force if held is not None else None

    return [path for path in paths if text_at(base.get(path)) != text_at(head.get(path))]
