"""The books: which accounts exist and which journal each event of the house writes. Pure; posting is in operations.

A positive amount is a debit, a negative one a credit. Every journal sums to zero or cannot be made. The `subject` of an
entry on a clearing account names what the money waits for (a charge, a payout, a bank reference, a collector), so a
clearing account's balance is always the sum of named open items.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from services.payment.contract import LineKind

CITIZEN_RECEIVABLE = "citizen_receivable"
BUDGET_RECEIVABLE = "budget_receivable"
GATEWAY_CLEARING = "gateway_clearing"
PAYOUT_IN_TRANSIT = "payout_in_transit"
BANK_CLEARING = "bank_clearing"
BANK = "bank"
COURIER_CASH = "courier_cash"
POST_REMITTANCE = "post_remittance"
SUSPENSE = "suspense"
REFUND_PAYABLE = "refund_payable"
DISPUTE_HOLD = "dispute_hold"
GATEWAY_FEE = "gateway_fee"
POSTAGE_PAYABLE = "postage_payable"
WRITE_OFF = "write_off"
OPENING_BALANCE = "opening_balance"
"""What stood on the bank account before these books began."""
_FEE_REVENUE = "fee_revenue:"

AccountKind = Literal["asset", "liability", "income", "expense", "equity"]

KINDS: Mapping[str, AccountKind] = {
    CITIZEN_RECEIVABLE: "asset",
    BUDGET_RECEIVABLE: "asset",
    GATEWAY_CLEARING: "asset",
    PAYOUT_IN_TRANSIT: "asset",
    BANK_CLEARING: "asset",
    BANK: "asset",
    COURIER_CASH: "asset",
    POST_REMITTANCE: "asset",
    SUSPENSE: "liability",
    REFUND_PAYABLE: "liability",
    DISPUTE_HOLD: "asset",
    GATEWAY_FEE: "expense",
    POSTAGE_PAYABLE: "liability",
    WRITE_OFF: "expense",
    OPENING_BALANCE: "equity",
}


class Unbalanced(ValueError):
    """A journal that does not sum to zero, has a zero entry, or names no known account."""


def fee_revenue(agency: str) -> str:
    """Account of the fees and charges that belong to one agency."""
    return f"{_FEE_REVENUE}{agency}"


def kind_of(account: str) -> AccountKind:
    """What sort of account this is. Raises Unbalanced for a name outside the chart."""
    if account.startswith(_FEE_REVENUE) and len(account) > len(_FEE_REVENUE):
        return "income"
    if account not in KINDS:
        raise Unbalanced(f"no account {account!r} in the chart")
    return KINDS[account]


def owed_to(kind: LineKind, beneficiary: str) -> str:
    """The account a line of a bill is owed to: the agency's revenue, or the post."""
    return fee_revenue(beneficiary) if kind in ("fee", "charge") else POSTAGE_PAYABLE


@dataclass(frozen=True, slots=True)
class Entry:
    """One side of a journal, in đồng: positive debit, negative credit, never zero."""

    account: str
    amount_dong: int
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Journal:
    """One balanced change of the books. `key` is unique for ever: the same event is never posted twice."""

    key: str
    kind: str
    entries: tuple[Entry, ...]
    occurred_at: datetime
    value_date: date
    payment_id: str | None = None
    refund_id: str | None = None
    business_date: date | None = None
    """The day to post into; the first open day from today on when None."""

    def __post_init__(self) -> None:
        for entry in self.entries:
            kind_of(entry.account)
            if type(entry.amount_dong) is not int or entry.amount_dong == 0:
                raise Unbalanced(f"{self.kind}: an entry of {entry.amount_dong!r} đồng")
        if not self.entries or sum(entry.amount_dong for entry in self.entries) != 0:
            raise Unbalanced(f"{self.kind}: the entries do not sum to zero")


@dataclass(frozen=True, slots=True)
class Occasion:
    """When something happened, and what it belongs to: common to every journal."""

    key: str
    occurred_at: datetime
    value_date: date
    payment_id: str | None = None
    refund_id: str | None = None
    business_date: date | None = None


@dataclass(frozen=True, slots=True)
class LineShare:
    """What one line of a bill owes to one account, by who pays it, in đồng."""

    account: str
    citizen_dong: int
    budget_dong: int = 0


def _journal(kind: str, occasion: Occasion, entries: Iterable[Entry]) -> Journal | None:
    """A journal without its zero entries; None when nothing moves."""
    summed: dict[tuple[str, str], int] = {}
    for entry in entries:
        place = (entry.account, entry.subject)
        summed[place] = summed.get(place, 0) + entry.amount_dong
    kept = tuple(Entry(account, amount, subject) for (account, subject), amount in summed.items() if amount)
    if not kept:
        return None
    return Journal(
        key=f"{kind}:{occasion.key}",
        kind=kind,
        entries=kept,
        occurred_at=occasion.occurred_at,
        value_date=occasion.value_date,
        payment_id=occasion.payment_id,
        refund_id=occasion.refund_id,
        business_date=occasion.business_date,
    )


def bill_opened(occasion: Occasion, lines: Sequence[LineShare]) -> Journal | None:
    """Dr citizen_receivable, Dr budget_receivable / Cr who the lines are owed to. None for a bill of 0 đồng."""
    payment = occasion.payment_id or ""
    return _journal(
        "bill_opened",
        occasion,
        [
            Entry(CITIZEN_RECEIVABLE, sum(line.citizen_dong for line in lines), payment),
            Entry(BUDGET_RECEIVABLE, sum(line.budget_dong for line in lines), payment),
            *(Entry(line.account, -line.citizen_dong - line.budget_dong) for line in lines),
        ],
    )


def unpaid_reversed(occasion: Occasion, lines: Sequence[LineShare]) -> Journal | None:
    """The opposite of `bill_opened` for the parts that will not be collected."""
    payment = occasion.payment_id or ""
    return _journal(
        "unpaid_reversed",
        occasion,
        [
            Entry(CITIZEN_RECEIVABLE, -sum(line.citizen_dong for line in lines), payment),
            Entry(BUDGET_RECEIVABLE, -sum(line.budget_dong for line in lines), payment),
            *(Entry(line.account, line.citizen_dong + line.budget_dong) for line in lines),
        ],
    )


def money_received(
    occasion: Occasion, *, account: str, subject: str, applied_dong: int, excess_dong: int, intake_id: str
) -> Journal | None:
    """Dr where the money is / Cr citizen_receivable for what the bill needed, Cr suspense for the rest."""
    return _journal(
        "money_received",
        occasion,
        [
            Entry(account, applied_dong + excess_dong, subject),
            Entry(CITIZEN_RECEIVABLE, -applied_dong, occasion.payment_id or ""),
            Entry(SUSPENSE, -excess_dong, intake_id),
        ],
    )


def unmatched_credit(occasion: Occasion, *, amount_dong: int, bank_reference: str, held_as: str) -> Journal | None:
    """Dr bank_clearing / Cr suspense: money that names no bill."""
    return _journal(
        "unmatched_credit",
        occasion,
        [Entry(BANK_CLEARING, amount_dong, bank_reference), Entry(SUSPENSE, -amount_dong, held_as)],
    )


def credit_recognised(
    occasion: Occasion, *, amount_dong: int, held_as: str, account: str, subject: str
) -> Journal | None:
    """Held money turns out to be a payout or remittance: Dr suspense / Cr the account its statement line answers."""
    return _journal(
        "credit_recognised", occasion, [Entry(SUSPENSE, amount_dong, held_as), Entry(account, -amount_dong, subject)]
    )


def suspense_assigned(
    occasion: Occasion, *, held_as: str, intake_id: str, applied_dong: int, excess_dong: int
) -> Journal | None:
    """Held money is given to a bill: Dr suspense / Cr citizen_receivable, the rest held for the payment instead."""
    return _journal(
        "suspense_assigned",
        occasion,
        [
            Entry(SUSPENSE, applied_dong + excess_dong, held_as),
            Entry(CITIZEN_RECEIVABLE, -applied_dong, occasion.payment_id or ""),
            Entry(SUSPENSE, -excess_dong, intake_id),
        ],
    )


def written_off(occasion: Occasion, *, account: str, subject: str, residual_dong: int) -> Journal | None:
    """Clear a residual (debit positive) of a clearing account against write_off, decided by two people."""
    return _journal(
        "written_off", occasion, [Entry(account, -residual_dong, subject), Entry(WRITE_OFF, residual_dong, subject)]
    )


def refund_approved(occasion: Occasion, parts: Sequence[tuple[str, int, str]]) -> Journal | None:
    """Dr revenue, postage or suspense (account, đồng, subject) / Cr refund_payable."""
    total = sum(amount for _, amount, _ in parts)
    return _journal(
        "refund_approved",
        occasion,
        [
            *(Entry(account, amount, subject) for account, amount, subject in parts),
            Entry(REFUND_PAYABLE, -total, occasion.refund_id or ""),
        ],
    )


def refund_failed(occasion: Occasion, parts: Sequence[tuple[str, int, str]]) -> Journal | None:
    """The opposite of `refund_approved`: the money stays, or came back."""
    total = sum(amount for _, amount, _ in parts)
    return _journal(
        "refund_failed",
        occasion,
        [
            Entry(REFUND_PAYABLE, total, occasion.refund_id or ""),
            *(Entry(account, -amount, subject) for account, amount, subject in parts),
        ],
    )


def refund_paid(occasion: Occasion, *, account: str, subject: str, amount_dong: int) -> Journal | None:
    """Dr refund_payable / Cr gateway_clearing or bank_clearing."""
    return _journal(
        "refund_paid",
        occasion,
        [Entry(REFUND_PAYABLE, amount_dong, occasion.refund_id or ""), Entry(account, -amount_dong, subject)],
    )


def refund_returned(occasion: Occasion, *, account: str, subject: str, amount_dong: int) -> Journal | None:
    """A refund already paid came back: Dr gateway_clearing or bank_clearing / Cr refund_payable."""
    return _journal(
        "refund_returned",
        occasion,
        [Entry(account, amount_dong, subject), Entry(REFUND_PAYABLE, -amount_dong, occasion.refund_id or "")],
    )


@dataclass(frozen=True, slots=True)
class DisputeParts:
    """Where disputed money lay, in đồng: on the bill, in suspense under its arrival, or already gone back."""

    bill_dong: int
    excess_dong: int
    beyond_dong: int

    @property
    def whole_dong(self) -> int:
        return self.bill_dong + self.excess_dong + self.beyond_dong


def dispute_opened(occasion: Occasion, *, dispute_id: str, amount_dong: int) -> Journal | None:
    """Dr dispute_hold / Cr gateway_clearing: the gateway holds the money back until the bank has decided."""
    return _journal(
        "dispute_opened",
        occasion,
        [Entry(DISPUTE_HOLD, amount_dong, dispute_id), Entry(GATEWAY_CLEARING, -amount_dong, dispute_id)],
    )


def dispute_won(occasion: Occasion, *, dispute_id: str, amount_dong: int) -> Journal | None:
    """The opposite of `dispute_opened`: the gateway gives the money back."""
    return _journal(
        "dispute_won",
        occasion,
        [Entry(GATEWAY_CLEARING, amount_dong, dispute_id), Entry(DISPUTE_HOLD, -amount_dong, dispute_id)],
    )


def dispute_lost(occasion: Occasion, *, dispute_id: str, intake_id: str, parts: DisputeParts) -> Journal | None:
    """Dr citizen_receivable (the service was given and is owed again), Dr suspense for held excess, Dr write_off for
    what had been given back before / Cr dispute_hold."""
    return _journal(
        "dispute_lost",
        occasion,
        [
            Entry(CITIZEN_RECEIVABLE, parts.bill_dong, occasion.payment_id or ""),
            Entry(SUSPENSE, parts.excess_dong, intake_id),
            Entry(WRITE_OFF, parts.beyond_dong, dispute_id),
            Entry(DISPUTE_HOLD, -parts.whole_dong, dispute_id),
        ],
    )


def cash_deposited(occasion: Occasion, *, collector: str, reference: str, amount_dong: int) -> Journal | None:
    """Dr post_remittance / Cr courier_cash: the post has the shift's cash and owes it to the bank account."""
    return _journal(
        "cash_deposited",
        occasion,
        [Entry(POST_REMITTANCE, amount_dong, reference), Entry(COURIER_CASH, -amount_dong, collector)],
    )


@dataclass(frozen=True, slots=True)
class SettledItem:
    """One balance transaction inside a payout. `known` when the books hold its source in gateway_clearing."""

    transaction_id: str
    source: str
    gross_dong: int
    fee_dong: int
    known: bool


def payout_settled(occasion: Occasion, *, payout_id: str, items: Sequence[SettledItem]) -> Journal | None:
    """Dr payout_in_transit (net), Dr gateway_fee / Cr gateway_clearing a charge; unknown sources go to suspense."""
    entries: list[Entry] = []
    for item in items:
        entries.append(Entry(PAYOUT_IN_TRANSIT, item.gross_dong - item.fee_dong, payout_id))
        entries.append(Entry(GATEWAY_FEE, item.fee_dong))
        if item.known:
            entries.append(Entry(GATEWAY_CLEARING, -item.gross_dong, item.source))
        else:
            entries.append(Entry(SUSPENSE, -item.gross_dong, item.transaction_id))
    return _journal("payout_settled", occasion, entries)


def payout_failed(occasion: Occasion, *, payout_id: str, net_dong: int) -> Journal | None:
    """A payout never arrived: Dr gateway_clearing / Cr payout_in_transit; the gateway owes it again."""
    return _journal(
        "payout_failed",
        occasion,
        [Entry(GATEWAY_CLEARING, net_dong, payout_id), Entry(PAYOUT_IN_TRANSIT, -net_dong, payout_id)],
    )


def bank_opening(occasion: Occasion, *, amount_dong: int) -> Journal | None:
    """Dr bank / Cr opening_balance: what stood on the account before its first statement here."""
    return _journal("bank_opening", occasion, [Entry(BANK, amount_dong), Entry(OPENING_BALANCE, -amount_dong)])


def statement_line(occasion: Occasion, *, account: str, parts: Sequence[tuple[str, int]]) -> Journal | None:
    """A line of the bank (credit positive): Dr bank / Cr the clearing account it answers, or suspense, part by part."""
    total = sum(amount for _, amount in parts)
    answers = [Entry(account, -amount, subject) for subject, amount in parts]
    return _journal("statement_line", occasion, [Entry(BANK, total), *answers])
