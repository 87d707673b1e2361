"""Identifiers: time-ordered ids with a prefix that names the noun, and short references people can type."""

import os
import secrets
import threading
import time
import uuid

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXY"
"""Crockford's letters and digits without I, L, O, U, which are misread, and without Z, so that they are a prime 31.

A prime number of symbols with weights below it makes a changed character, or two swapped neighbours, always change
the check character.
"""


_clock_lock = threading.Lock()
_latest = [0]
"""The 60 bits that order the newest id of this process: milliseconds, then a count (RFC 9562 §6.2, method 1)."""


def uuid7() -> uuid.UUID:
    """A UUID of version 7 (RFC 9562 §5.7): milliseconds first, so rows made later sort later.

    Within one process every id sorts after the one before, also within a millisecond and when the clock steps back.
    """
    present = time.time_ns() // 1_000_000 << 12 | int.from_bytes(os.urandom(2), "big") & 0x7FF
    with _clock_lock:
        _latest[0] = ordered = max(present, _latest[0] + 1)
    milliseconds, count = divmod(ordered, 1 << 12)
    value = milliseconds << 80 | count << 64 | int.from_bytes(os.urandom(8), "big")
    value &= ~(0xF << 76) & ~(0x3 << 62)
    return uuid.UUID(int=value | 0x7 << 76 | 0x2 << 62)


def new_id(prefix: str) -> str:
    """A new id such as `pay_0192f0c1b2c37d4e8f901234567890ab`."""
    return f"{prefix}_{uuid7().hex}"


def check_character(body: str) -> str:
    """Check character of a reference: position-weighted sum of the symbols modulo 31."""
    total = sum((index + 1) * _ALPHABET.index(character) for index, character in enumerate(body))
    return _ALPHABET[total % len(_ALPHABET)]


def new_reference(prefix: str, length: int = 8) -> str:
    """A short reference: prefix, `length` random symbols, one check character."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(length))
    return prefix + body + check_character(body)


def is_reference(text: str, prefix: str, length: int = 8) -> bool:
    """Whether `text` is a well-formed reference of this prefix with the right check character."""
    body = text[len(prefix) : -1]
    return (
        text.startswith(prefix)
        and len(body) == length
        and all(character in _ALPHABET for character in body)
        and text[-1] == check_character(body)
    )
