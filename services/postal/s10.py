"""Item numbers of the Universal Postal Union (standard S10): two letters, eight digits, check digit, country.

The weights and the two special remainders are those of S10 version 12; spaces and lower case are accepted on
input, the compact form is stored.
"""

import re
from dataclasses import dataclass

_WEIGHTS = (8, 6, 4, 2, 3, 5, 9, 7)
_FORM = re.compile(r"([A-Z]{2})([0-9]{8})([0-9])([A-Z]{2})")
MAX_SERIAL = 99_999_999


@dataclass(frozen=True, slots=True)
class ItemNumber:
    """A well-formed number whose check digit is right."""

    indicator: str
    serial: int
    country: str

    def __str__(self) -> str:
        return f"{self.indicator}{self.serial:08d}{check_digit(self.serial)}{self.country}"

    @property
    def spaced(self) -> str:
        """As printed for people: `RR 1234 5678 5 XX`."""
        digits = f"{self.serial:08d}"
        return f"{self.indicator} {digits[:4]} {digits[4:]} {check_digit(self.serial)} {self.country}"


def check_digit(serial: int) -> int:
    """Check digit of an eight-digit serial: 11 minus the weighted sum modulo 11, with 10 → 0 and 11 → 5."""
    if not 0 <= serial <= MAX_SERIAL:
        raise ValueError("a serial has eight digits")
    total = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, f"{serial:08d}", strict=True))
    return {10: 0, 11: 5}.get(11 - total % 11, 11 - total % 11)


def compact(text: str) -> str:
    """What a person or a scanner gave, without spaces and in capitals."""
    return "".join(text.split()).upper()


def parse(text: str) -> ItemNumber | None:
    """The number in `text`, or None when its form or its check digit is wrong."""
    match = _FORM.fullmatch(compact(text))
    if match is None:
        return None
    indicator, serial, digit, country = match.groups()
    if check_digit(int(serial)) != int(digit):
        return None
    return ItemNumber(indicator, int(serial), country)


def is_valid(text: str) -> bool:
    """Whether `text` has the form of an item number and the right check digit."""
    return parse(text) is not None
