"""Vietnamese đồng as whole numbers: checked arithmetic, splitting, and how amounts are written for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field

CURRENCY = "VND"
MAX_DONG = 1_000_000_000_000
"""One thousand billion đồng: above this an amount is a typing error, not a fee."""

Dong = Annotated[int, Field(strict=True, ge=0, le=MAX_DONG)]
"""An amount owed or paid, in whole đồng. Fractions, text and booleans are refused."""

PositiveDong = Annotated[int, Field(strict=True, gt=0, le=MAX_DONG)]
SignedDong = Annotated[int, Field(strict=True, ge=-MAX_DONG, le=MAX_DONG)]

Language = Literal["vi", "en"]


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An amount of đồng, possibly negative in a ledger. Adding anything but Money is a TypeError."""

    dong: int

    def __post_init__(self) -> None:
        if type(self.dong) is not int:
            raise TypeError(f"đồng are whole numbers, not {type(self.dong).__name__}")

    def __add__(self, other: Self) -> "Money":
        return Money(self.dong + other.dong)

    def __sub__(self, other: Self) -> "Money":
        return Money(self.dong - other.dong)

    def __neg__(self) -> "Money":
        return Money(-self.dong)

    def __bool__(self) -> bool:
        return self.dong != 0


def share(amount: int, weights: Sequence[int]) -> list[int]:
    """Split `amount` đồng in proportion to `weights` so that the parts sum to it exactly.

    The largest remainders receive the left-over đồng, the earlier weight first on a tie, so the
    result does not depend on anything but its inputs. Raises ValueError when no weight is positive.
    """
    total = sum(weights)
    if total <= 0 or min(weights) < 0:
        raise ValueError("weights must be non-negative and at least one positive")
    parts = [amount * weight // total for weight in weights]
    remainders = [amount * weight % total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-remainders[i], i))
    for index in by_remainder[: amount - sum(parts)]:
        parts[index] += 1
    return parts


def percent_of(amount: int, percent: int) -> int:
    """`percent` per cent of `amount` đồng, rounded half up: the one rounding place of the house.

    No rounding rule is published for fee reductions; every published result is a whole thousand,
    where rounding does not act.
    """
    return basis_points_of(amount, percent * 100)


def basis_points_of(amount: int, basis_points: int) -> int:
    """`basis_points` hundredths of a per cent of `amount` đồng, rounded half up like every percentage."""
    return (amount * basis_points + 5_000) // 10_000


def format_dong(amount: int, language: Language = "vi") -> str:
    """Write an amount as officials do: `180.000 ₫` in Vietnamese, `₫180,000` in English."""
    sign = "−" if amount < 0 else ""
    grouped = f"{abs(amount):,}"
    if language == "en":
        return f"{sign}₫{grouped}"
    return f"{sign}{grouped.replace(',', '.')} ₫"


_DIGITS = ("không", "một", "hai", "ba", "bốn", "năm", "sáu", "bảy", "tám", "chín")
_SCALES = ("", "nghìn", "triệu", "tỷ")


def _three_digits(number: int, *, leading: bool) -> list[str]:
    hundreds, rest = divmod(number, 100)
    tens, units = divmod(rest, 10)
    words: list[str] = []
    if hundreds or not leading:
        words += [_DIGITS[hundreds], "trăm"]
    if tens == 0 and units:
        words += ["lẻ", _DIGITS[units]] if words else [_DIGITS[units]]
    elif tens == 1:
        words.append("mười")
        words += {0: [], 5: ["lăm"]}.get(units, [_DIGITS[units]])
    elif tens > 1:
        words += [_DIGITS[tens], "mươi"]
        words += {0: [], 1: ["mốt"], 4: ["tư"], 5: ["lăm"]}.get(units, [_DIGITS[units]])
    return words


def dong_in_words(amount: int) -> str:
    """An amount in Vietnamese words, as a receipt must show it: `Một trăm tám mươi nghìn đồng`."""
    if amount < 0:
        raise ValueError("an amount in words is never negative")
    if amount == 0:
        return "Không đồng"
    groups: list[int] = []
    rest = amount
    while rest:
        rest, group = divmod(rest, 1000)
        groups.append(group)
    words: list[str] = []
    for index in reversed(range(len(groups))):
        group = groups[index]
        if group:
            words += _three_digits(group, leading=not words)
            if index % 3:
                words.append(_SCALES[index % 3])
        if index and index % 3 == 0 and words:
            words.append("tỷ")
    return " ".join(words).capitalize() + " đồng"
