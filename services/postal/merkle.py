"""Merkle trees after RFC 6962 §2.1: one short root stands for any number of entries, and a short path proves one.

A leaf is hashed behind a zero byte and a node behind a one, so that neither can be passed off as the other.
"""

import hashlib
from collections.abc import Sequence

EMPTY = hashlib.sha256(b"").hexdigest()
"""Root of a tree without entries."""


def leaf_hash(entry: bytes) -> bytes:
    """What an entry is in the tree."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """What stands above two neighbours."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(entries: Sequence[bytes]) -> str:
    """The root over the entries in their order, in hexadecimal."""
    level = [leaf_hash(entry) for entry in entries]
    if not level:
        return EMPTY
    while len(level) > 1:
        level = _above(level)
    return level[0].hex()


def path_to(entries: Sequence[bytes], index: int) -> list[str]:
    """The hashes that lead from entry `index` up to the root, lowest first. Raises IndexError."""
    if not 0 <= index < len(entries):
        raise IndexError(index)
    path: list[str] = []
    level, place = [leaf_hash(entry) for entry in entries], index
    while len(level) > 1:
        neighbour = place ^ 1
        if neighbour < len(level):
            path.append(level[neighbour].hex())
        level, place = _above(level), place // 2
    return path


def is_inside(entry: bytes, *, index: int, size: int, path: Sequence[str], root: str) -> bool:
    """Whether `path` proves that `entry` is number `index` of the `size` entries under `root`."""
    if not 0 <= index < size:
        return False
    found, place, last = leaf_hash(entry), index, size - 1
    steps = [bytes.fromhex(step) for step in path]
    while last:
        if place % 2 or place < last:
            if not steps:
                return False
            neighbour = steps.pop(0)
            found = node_hash(neighbour, found) if place % 2 else node_hash(found, neighbour)
        place, last = place // 2, last // 2
    return not steps and found.hex() == root


def _above(level: Sequence[bytes]) -> list[bytes]:
    """The next level. An odd one out goes up as it is: this is the split at the largest power of two, from below."""
    paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return [*paired, level[-1]] if len(level) % 2 else paired
