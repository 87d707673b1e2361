"""Recognises what a statement line answers, by evidence only: an id or a reference, never an amount that fits."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

from services.payment import ledger
from services.payment.vietqr import squeezed

Flow = Literal["card", "vietqr", "post_remittance", "transfer_out", "unidentified"]


@dataclass(frozen=True, slots=True)
class Expected:
    """What the books expect on a statement: expected amounts by item, signed as the bank shows them, in đồng."""

    payouts: Mapping[str, int]
    credits: Mapping[str, int]
    """Transfers we were told of, by bank reference."""
    remittances: Mapping[str, int]
    orders: Mapping[str, int]
    """Transfers out, by bank reference or voucher number."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a line is: its flow, the item it answers, the clearing account that empties, and why we think so."""

    flow: Flow
    item: str
    account: str
    subject: str
    evidence: str
    expected_dong: int | None


def recognise(
    *, line_id: str, amount_dong: int, bank_reference: str, content: str, expected: Expected, taken: AbstractSet[str]
) -> Recognised:
    """Say what a line answers. `taken` holds items already answered: a second line for one is not guessed to be it."""
    text = squeezed(content)
    found = _credit(bank_reference, text, expected) if amount_dong > 0 else _debit(bank_reference, text, expected)
    if found is not None and found.item not in taken:
        return found
    reason = f"a second line for {found.item}" if found is not None else "nothing we know of"
    return Recognised("unidentified", line_id, ledger.SUSPENSE, line_id, reason, None)


def _credit(bank_reference: str, text: str, expected: Expected) -> Recognised | None:
    payout = _named(text, expected.payouts)
    if payout is not None:
        amount = expected.payouts[payout]
        return Recognised("card", payout, ledger.PAYOUT_IN_TRANSIT, payout, "payout id in the content", amount)
    remittance = _named(text, expected.remittances)
    if bank_reference in expected.credits:
        amount = expected.credits[bank_reference]
        return Recognised("vietqr", bank_reference, ledger.BANK_CLEARING, bank_reference, "bank reference", amount)
    if remittance is not None:
        amount = expected.remittances[remittance]
        evidence = "remittance reference in the content"
        return Recognised("post_remittance", remittance, ledger.POST_REMITTANCE, remittance, evidence, amount)
    return None


def _debit(bank_reference: str, text: str, expected: Expected) -> Recognised | None:
    if bank_reference in expected.orders:
        amount = expected.orders[bank_reference]
        return Recognised(
            "transfer_out", bank_reference, ledger.BANK_CLEARING, bank_reference, "bank reference", amount
        )
    voucher = _named(text, expected.orders)
    if voucher is not None:
        amount = expected.orders[voucher]
        return Recognised(
            "transfer_out", voucher, ledger.BANK_CLEARING, voucher, "voucher number in the content", amount
        )
    return None


def _named(text: str, items: Mapping[str, int]) -> str | None:
    """The item whose id a content carries; the longest, when one id contains another."""
    named = [item for item in items if len(squeezed(item)) >= 4 and squeezed(item) in text]
    return max(named, key=len, default=None)
