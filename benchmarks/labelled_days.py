"""Days of business with faults and the truth about them: what a matching engine is scored against. Seeded.

The faults are those that finance staff of public systems report: short and double payments, references mistyped, cut or
lost in the bank's words, two bills in one transfer, one bill in two, lumps of cash, late, returned and strange money.
"""

import random
from dataclasses import dataclass, field
from datetime import date, timedelta

from kit.ids import check_character
from services.payment.reconciliation.engine.items import Item

_SIGNS = "0123456789ABCDEFGHJKMNPQRSTVWXY"
_FEES = (5_000, 8_000, 20_000, 35_000, 50_000, 75_000, 100_000, 135_000, 150_000, 200_000, 300_000, 400_000, 500_000)
_NAMES = ("NGUYEN VAN AN", "TRAN THI BICH", "LE HOANG CUONG", "PHAM MINH DUC", "HOANG THU HA", "VU QUANG HUY",
          "DANG THI LAN", "BUI DUC MANH", "DO THANH NGA", "HO NGOC PHUC")  # fmt: skip
_WORDS = ("nop le phi", "thanh toan ho so", "dich vu cong", "phi ho chieu", "chuyen tien", "le phi cap lai", "")
FAULTS = (
    "short", "over", "double", "one_sign", "swapped", "missing_sign", "cut_long", "cut_short", "lost_reference",
    "two_bills", "two_parts", "late", "returned", "stranger",
)  # fmt: skip


@dataclass(slots=True)
class LabelledDays:
    """Two sides and the truth: for each seen key, the expected keys it answers; nothing for what answers none."""

    expected: list[Item] = field(default_factory=list)
    seen: list[Item] = field(default_factory=list)
    truth: dict[str, frozenset[str]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    """The fault of a seen line that has one."""


class _Maker:
    def __init__(self, seed: int, fault_rate: float, first: date) -> None:
        self.random = random.Random(seed)
        self.rate = fault_rate
        self.first = first
        self.days = LabelledDays()
        self.lines = 0

    def reference(self) -> str:
        body = "".join(self.random.choices(_SIGNS, k=8))
        return f"LT{body}{check_character(body)}"

    def expect(self, key: str, amount: int, on: date, **more: object) -> Item:
        item = Item(key=key, amount_dong=amount, on=on, **more)  # type: ignore[arg-type]
        self.days.expected.append(item)
        return item

    def see(self, amount: int, on: date, text: str, answers: set[str], *, fault: str = "", **more: object) -> None:
        self.lines += 1
        key = f"line-{self.lines:08d}"
        self.days.seen.append(Item(key=key, amount_dong=amount, on=on, text=text, **more))  # type: ignore[arg-type]
        self.days.truth[key] = frozenset(answers)
        if fault:
            self.days.faults[key] = fault

    def wrapped(self, reference: str) -> str:
        """A reference as banks show it: upper case, punctuation gone, between words of their own."""
        text = f"{reference} {self.random.choice(_WORDS)}".strip().upper()
        form = self.random.randrange(4)
        if form == 0:
            return f"MBVCB.{self.random.randrange(10**10)}.{text}.CT TU {self.random.randrange(10**12)}"
        if form == 1:
            return f"CHUYEN TIEN {text}".replace(" ", "")
        return text if form == 2 else f"{text} FT{self.random.randrange(10**9)}"


def labelled_days(items: int, *, seed: int, fault_rate: float = 0.005, first: date = date(2026, 11, 2)) -> LabelledDays:
    """About `items` bills over ten days with their credits, payouts, remittances and refunds, and faults at a rate."""
    maker = _Maker(seed, fault_rate, first)
    for number in range(items):
        _bill(maker, number)
    for number in range(max(items // 200, 10)):
        _payout(maker, number)
        _refund(maker, number)
    for day in range(10):
        _cash(maker, day)
    maker.random.shuffle(maker.days.expected)
    maker.random.shuffle(maker.days.seen)
    return maker.days


def _bill(maker: _Maker, number: int) -> None:
    chance = maker.random
    on = maker.first + timedelta(days=chance.randrange(10))
    amount, reference, key = chance.choice(_FEES), maker.reference(), f"bill-{number:08d}"
    name = chance.choice(_NAMES)
    maker.expect(key, amount, on, references=(reference,), name=name)
    if chance.random() >= maker.rate:
        maker.see(amount, on, maker.wrapped(reference), {key}, name=name)
        return
    _faulty_bill(maker, chance.choice(FAULTS), key, amount, on, reference, name)


def _faulty_bill(maker: _Maker, fault: str, key: str, amount: int, on: date, reference: str, name: str) -> None:
    chance = maker.random
    at = chance.randrange(2, len(reference) - 1)
    match fault:
        case "short" | "over":
            wrong = amount + (1_000 if fault == "over" else -1_000)
            maker.see(wrong, on, maker.wrapped(reference), {key}, fault=fault, name=name)
        case "double":
            maker.see(amount, on, maker.wrapped(reference), {key}, name=name)
            maker.see(amount, on, maker.wrapped(reference), set(), fault=fault, name=name)
        case "one_sign":
            other = chance.choice([sign for sign in _SIGNS if sign != reference[at]])
            maker.see(amount, on, reference[:at] + other + reference[at + 1 :], {key}, fault=fault, name=name)
        case "swapped":
            text = reference[:at] + reference[at + 1] + reference[at] + reference[at + 2 :]
            maker.see(amount, on, text, {key}, fault=fault if text != reference else "", name=name)
        case "missing_sign":
            maker.see(amount, on, reference[:at] + reference[at + 1 :] + " NOP PHI", {key}, fault=fault, name=name)
        case "cut_long":
            maker.see(amount, on, f"THANH TOAN {reference[:-1]}", {key}, fault=fault, name=name)
        case "cut_short":
            maker.see(amount, on, f"THANH TOAN HO SO {reference[:6]}", {key}, fault=fault, name=name)
        case "lost_reference":
            maker.see(amount, on, f"{name} NOP LE PHI", {key}, fault=fault, name=name)
        case "two_bills":
            second, other = f"{key}-b", maker.reference()
            more = chance.choice(_FEES)
            maker.expect(second, more, on, references=(other,), name=name)
            maker.see(amount + more, on, f"{reference} VA {other}", {key, second}, fault=fault, name=name)
        case "two_parts":
            part = amount // 1_000 // 2 * 1_000 or 1_000
            maker.see(part, on, maker.wrapped(reference), {key}, fault=fault, name=name)
            maker.see(amount - part, on + timedelta(days=1), maker.wrapped(reference), {key}, fault=fault, name=name)
        case "late":
            maker.see(amount, on + timedelta(days=30), maker.wrapped(reference), {key}, fault=fault, name=name)
        case "returned":
            maker.see(amount, on, maker.wrapped(reference), {key}, name=name)
            maker.see(-amount, on + timedelta(days=1), f"HOAN TRA {reference}", set(), fault=fault, name=name)
        case _:
            # The bill is never paid; money of somebody else's comes instead.
            maker.see(amount, on, maker.wrapped(maker.reference()), set(), fault=fault, name=name)


def _payout(maker: _Maker, number: int) -> None:
    chance = maker.random
    on = maker.first + timedelta(days=chance.randrange(10))
    identifier = f"po_{chance.randrange(16**12):012x}"
    key, amount = f"payout-{number:06d}", chance.randrange(1_000_000, 900_000_000)
    maker.expect(key, amount, on, references=(identifier,))
    arrived = on + timedelta(days=chance.randrange(3))
    if chance.random() < maker.rate:
        maker.see(amount - 3_300, arrived, f"STRIPE {identifier}", {key}, fault="fee_drift")
    else:
        maker.see(amount, arrived, f"SETTLEMENT {identifier.upper()}", {key})


def _refund(maker: _Maker, number: int) -> None:
    chance = maker.random
    on = maker.first + timedelta(days=chance.randrange(10))
    order = f"FT{chance.randrange(10**11):011d}"
    key, amount = f"refund-{number:06d}", -chance.choice(_FEES)
    account = f"{chance.randrange(10**12):012d}"
    maker.expect(key, amount, on, ids=(order,), party=account)
    if chance.random() < 0.9:
        maker.see(amount, on, "HOAN PHI", {key}, ids=(order,), party=account)
    else:
        maker.see(amount, on + timedelta(days=1), "HOAN PHI", {key}, party=account)


def _cash(maker: _Maker, day: int) -> None:
    """A post office's deposits: mostly one by one under their references, sometimes several in one sum."""
    chance = maker.random
    on = maker.first + timedelta(days=day)
    for office in range(5):
        group = f"BC{office:04d}"
        keys, total = set(), 0
        for number in range(chance.randrange(2, 6)):
            key, amount = f"cash-{day:02d}-{office}-{number}", chance.randrange(11, 999) * 1_000 + chance.randrange(999)
            maker.expect(
                key, amount, on, references=(f"BK{day:02d}{office}{number}{chance.randrange(10**6):06d}",), group=group
            )
            keys.add(key)
            total += amount
        maker.see(total, on + timedelta(days=1), f"NOP TIEN {group}", keys, group=group, fault="lump")
