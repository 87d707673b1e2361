"""What banks do to a transfer's content on the way, and how they number transactions.

Content loses case, diacritics and punctuation, is wrapped in the sending bank's own words, and is
cut. Everything is a function of the bank's seed and the transaction's number, so that a run can be
repeated exactly.
"""

import hashlib
import unicodedata
from datetime import date

LONGEST = 210
BANKS = (
    "970436",
    "970422",
    "970407",
    "970418",
    "970415",
    "970405",
    "970416",
    "970432",
    "970423",
    "970403",
    "970448",
    "970437",
    "970441",
)
"""Sending banks by number; the last has no words of its own and uses those of another."""
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def plain(text: str) -> str:
    """`text` as a bank core keeps it: capital Latin letters, digits and single spaces."""
    decomposed = unicodedata.normalize("NFD", text.replace("đ", "d").replace("Đ", "D"))
    kept = "".join(
        letter for letter in decomposed.upper() if letter.isascii() and (letter.isalnum() or letter.isspace())
    )
    return " ".join(kept.split())


def bank_reference(seed: str, number: int, on: date) -> str:
    """The reference of transaction `number`: unique, and not guessable from its neighbours."""
    # An odd factor permutes the 30-bit numbers; the seed shifts the permutation.
    shift = int.from_bytes(hashlib.sha256(f"{seed}/reference".encode()).digest()[:4], "big")
    mixed = ((number * 0x2545F491 + shift) & 0x3FFFFFFF) ^ (shift >> 2 & 0x3FFFFFFF)
    letters = "".join(_ALPHABET[mixed >> (5 * place) & 31] for place in reversed(range(6)))
    return f"FT{on:%y%j}{letters}"


def trace_number(seed: str, number: int) -> str:
    """The ten digits the sending bank gave the transfer."""
    digest = hashlib.sha256(f"{seed}/trace/{number}".encode()).digest()
    return f"{int.from_bytes(digest[:8], 'big') % 10**10:010d}"


def _in_lines(words: str) -> str:
    """Words as a bank that keeps 35 characters a line tears them: a space, wherever it falls."""
    return " ".join(words[at : at + 35] for at in range(0, len(words), 35))


def mangled(
    text: str,
    *,
    seed: str,
    number: int,
    payer_name: str,
    payer_account: str,
    payer_bin: str,
    account: str,
) -> str:
    """A customer's content as it reaches the receiving account, at most 210 characters."""
    words, payer = plain(text), plain(payer_name)
    trace = trace_number(seed, number)
    layouts = {
        "970436": f"MBVCB.{trace}.{words}.CT tu {payer_account} {payer} toi {account}",
        "970422": f"{words} Ma giao dich Trace{trace[:6]} Trace {trace[:6]}",
        "970407": f"{payer} chuyen tien {words} FT{trace}",
        "970418": f"REM Tfr Ac {payer_account} O@L_{trace}_{words}",
        "970415": f"CT DEN:{trace} {words}",
        "970405": f"{trace}-{words}-{payer}",
        "970416": f"{payer} {payer_account} {words} GD {trace} {trace[:6]}",
        "970432": f"NHAN TU {payer_account} TRACE {trace[:6]} ND {words}",
        "970423": f"{words.replace(' ', '')} FT{trace}",
        "970403": f"IBFT {words}"[:50],
        "970448": f"{trace[:6]}.{_in_lines(words)}",
        "970437": f"{words.lower()} ct tu {payer.lower()}"[:70],
    }
    usual = tuple(layouts.values())[:6]
    chosen = layouts.get(payer_bin, usual[int(trace) % len(usual)])
    return " ".join(chosen.split())[:LONGEST]
