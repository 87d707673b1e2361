"""The code with which a receiver proves, on the spot and without a network, that the envelope is for them.

The citizen holds the code (on the tracking link, or on paper); the courier's phone holds only its seal, a slow salted
hash, and so can tell a right code from a wrong one without ever knowing it. Eight symbols of thirty-one are too many
to try out against a seal on a phone; the server compares the code itself.
"""

import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXY"
"""The symbols of our references: none that is misread for another."""

LENGTH = 8
SEAL_ROUNDS = 5_000
"""Rounds of PBKDF2-HMAC-SHA256: a blink on a cheap phone, and 4·10¹⁵ hashes for trying out every code of one item."""

MAX_TRIES = 5
"""Wrong codes at one stop before the phone asks for another proof."""


@dataclass(frozen=True, slots=True)
class Seal:
    """What a phone needs to check a code. Both in hexadecimal."""

    salt: str
    digest: str
    rounds: int = SEAL_ROUNDS


def receiver_code(secret: str, number: str) -> str:
    """The code of an item, the same whenever it is asked for; without `secret` it cannot be told from chance."""
    digest = hmac.new(secret.encode(), f"receiver:{number}".encode(), hashlib.sha256).digest()
    value = int.from_bytes(digest, "big")
    symbols = []
    for _ in range(LENGTH):
        value, index = divmod(value, len(ALPHABET))
        symbols.append(ALPHABET[index])
    return "".join(symbols)


def compact(typed: str) -> str:
    """A code as typed or read aloud: capitals, no separators, letters that look like digits taken for them."""
    kept = "".join(character for character in typed.upper() if character.isascii() and character.isalnum())
    return kept.translate(str.maketrans("OILZU", "0112V"))


def is_code(typed: str, *, secret: str, number: str) -> bool:
    """Whether `typed` is the code of this item."""
    return hmac.compare_digest(compact(typed).encode(), receiver_code(secret, number).encode())


def seal_of(code: str, *, salt: str, rounds: int = SEAL_ROUNDS) -> Seal:
    """The seal of a code under a salt (hexadecimal, at least 16 bytes)."""
    if len(bytes.fromhex(salt)) < 16:
        raise ValueError("a salt has at least 16 bytes")
    digest = hashlib.pbkdf2_hmac("sha256", code.encode(), bytes.fromhex(salt), rounds)
    return Seal(salt, digest.hex(), rounds)


@lru_cache(maxsize=10_000)
def receiver_seal(secret: str, number: str) -> Seal:
    """The seal a courier's phone takes along for an item: one item has one salt, so that a round is the same twice."""
    salt = hmac.new(secret.encode(), f"receiver-salt:{number}".encode(), hashlib.sha256).hexdigest()[:32]
    return seal_of(receiver_code(secret, number), salt=salt)
