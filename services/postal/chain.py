"""The hash chain of a shipment's log: each event seals the one before, so a rewritten or missing line shows."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

START = "0" * 64
"""What the first event of a shipment seals."""


@dataclass(frozen=True, slots=True)
class Link:
    """One stored event: its place, what it sealed, its own hash, and the body both were made from."""

    position: int
    prev_hash: str
    hash: str
    body: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ChainCheck:
    """Whether a log is as it was written; otherwise the first place where it is not."""

    intact: bool
    length: int
    broken_at: int | None = None


def canonical(body: Mapping[str, object]) -> bytes:
    """One spelling for one content: keys sorted, no spaces, UTF-8."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(body: Mapping[str, object]) -> str:
    """SHA-256 of a body in canonical spelling, in hexadecimal."""
    return hashlib.sha256(canonical(body)).hexdigest()


def text_hash(text: str) -> str:
    """SHA-256 of a text in UTF-8, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def link_hash(prev_hash: str, body: Mapping[str, object]) -> str:
    """Hash of an event that follows `prev_hash`."""
    return hashlib.sha256(prev_hash.encode() + b"\n" + canonical(body)).hexdigest()


def verify(links: Iterable[Link], *, head: str, length: int) -> ChainCheck:
    """Walk a shipment's log from its start to `head`. A cut tail is found as well as a changed middle."""
    previous, count = START, 0
    for link in sorted(links, key=lambda link: link.position):
        expected = link_hash(previous, link.body)
        if link.position != count + 1 or link.prev_hash != previous or link.hash != expected:
            return ChainCheck(intact=False, length=count, broken_at=count + 1)
        previous, count = link.hash, link.position
    if previous != head or count != length:
        return ChainCheck(intact=False, length=count, broken_at=count + 1)
    return ChainCheck(intact=True, length=count)
