"""Decisions about bills, attempts and refunds: transition tables as data, and the arithmetic of what may be given back.

A payment's figures are a fold over its facts (`after`), its status follows from its figures (`status_of`), and a
move from one status to another must be an edge of `PAYMENT_EDGES`. Nothing here reads a clock or a database.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from services.payment.contract import (
    AttemptStatus,
    DisputeStatus,
    Method,
    MoneyPolicy,
    PaymentStatus,
    RefundStatus,
    VoucherStatus,
)

Ended = Literal["expired", "cancelled"]

LIVE: frozenset[AttemptStatus] = frozenset({"created", "pending", "requires_action", "authorised", "unknown"})
"""An attempt that may still bring money; a bill has at most one."""

BEFORE_AUTHORISED: frozenset[AttemptStatus] = frozenset({"created", "pending", "requires_action"})
"""Where no attempt returns to once a card's bank has reserved its money: such news is older than what is known."""

REQUERY_SECONDS = (2, 10, 60, 600, 3_600, 6 * 3_600)
"""When a card attempt or a refund without a final answer is asked about again; the last pause repeats."""

ATTEMPT_EDGES: Mapping[tuple[AttemptStatus, AttemptStatus], str] = {
    ("created", "pending"): "attempt_pending",
    ("created", "requires_action"): "attempt_requires_action",
    ("created", "unknown"): "attempt_unknown",
    ("pending", "requires_action"): "attempt_requires_action",
    ("pending", "unknown"): "attempt_unknown",
    ("requires_action", "pending"): "attempt_pending",
    ("requires_action", "unknown"): "attempt_unknown",
    **{(waiting, "authorised"): "attempt_authorised" for waiting in sorted(BEFORE_AUTHORISED)},
    ("authorised", "unknown"): "attempt_unknown",
    ("unknown", "authorised"): "attempt_authorised",
    ("unknown", "pending"): "attempt_pending",
    ("unknown", "requires_action"): "attempt_requires_action",
    **{(live, end): f"attempt_{end}" for live in sorted(LIVE) for end in ("failed", "expired", "cancelled")},
    **{(live, "succeeded"): "attempt_succeeded" for live in sorted(LIVE)},
    **{(live, "succeeded_mismatch"): "attempt_succeeded_mismatch" for live in sorted(LIVE)},
    # Money outranks everything we believed: an attempt given up may still turn out paid.
    **{(dead, "succeeded"): "attempt_succeeded_late" for dead in ("failed", "expired", "cancelled")},
    **{(dead, "succeeded_mismatch"): "attempt_succeeded_late" for dead in ("failed", "expired", "cancelled")},
}
"""Every change an attempt may make and the fact it writes."""

REFUND_EDGES: Mapping[tuple[RefundStatus, RefundStatus], str] = {
    ("requested", "approved"): "refund_approved",
    ("requested", "rejected"): "refund_rejected",
    ("approved", "processing"): "refund_processing",
    ("approved", "succeeded"): "refund_succeeded",
    ("approved", "failed"): "refund_failed",
    ("processing", "succeeded"): "refund_succeeded",
    ("processing", "failed"): "refund_failed",
    # A card network may take a refund back after having reported success.
    ("succeeded", "failed"): "refund_returned",
}
"""Every change a refund may make and the fact it writes (with `excess_` before it when held money is returned)."""

DISPUTE_EDGES: Mapping[tuple[DisputeStatus | None, DisputeStatus], str] = {
    (None, "inquiry"): "inquiry_opened",
    (None, "needs_response"): "dispute_opened",
    ("inquiry", "closed"): "inquiry_closed",
    ("inquiry", "needs_response"): "dispute_opened",
    ("needs_response", "under_review"): "dispute_answered",
    ("needs_response", "won"): "dispute_won",
    ("needs_response", "lost"): "dispute_lost",
    ("under_review", "won"): "dispute_won",
    ("under_review", "lost"): "dispute_lost",
}
"""Every change of a dispute and the fact it writes; None before we knew of it."""

VOUCHER_EDGES: frozenset[tuple[VoucherStatus, VoucherStatus]] = frozenset(
    {
        ("prepared", "sent"),
        ("sent", "accepted"),
        ("sent", "refused"),
        ("accepted", "paid"),
        ("accepted", "refused"),
        # The treasury may pay without saying first that it will.
        ("sent", "paid"),
        # A counter pays the paper out itself.
        ("prepared", "paid"),
    }
)
"""Every change of a refund voucher. A refused one ends; its refund waits for another voucher."""

PAYMENT_EDGES: frozenset[tuple[PaymentStatus, PaymentStatus]] = frozenset(
    {
        *(("open", new) for new in ("pending", "partially_paid", "paid", "expired", "cancelled")),
        *(("pending", new) for new in ("open", "unknown", "partially_paid", "paid", "expired", "cancelled")),
        *(("unknown", new) for new in ("open", "pending", "partially_paid", "paid")),
        *(("partially_paid", new) for new in ("pending", "paid", "expired", "cancelled")),
        *(("paid", new) for new in ("refund_pending",)),
        *(("expired", new) for new in ("refund_pending",)),
        *(("cancelled", new) for new in ("refund_pending",)),
        *(("refund_pending", new) for new in ("paid", "expired", "cancelled", "refunded")),
        *(("refunded", new) for new in ("paid", "expired", "cancelled", "refund_pending")),
    }
)
"""Every change of status a payment may show; an unchanged status is always allowed."""


class ForbiddenMove(AssertionError):
    """Code tried a change that the tables do not know: a defect, not a refusal."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a payment's facts add up to, in đồng.

    `held_*` is asked for by refunds that are not finished, for excess also by open disputes. Excess leaves
    `excess_dong` when its refund is approved. `disputed_dong` is taken by disputes not decided, `lost_dong` by those
    lost.
    """

    due_dong: int
    paid_dong: int = 0
    refunded_dong: int = 0
    held_dong: int = 0
    excess_dong: int = 0
    excess_held_dong: int = 0
    disputed_dong: int = 0
    lost_dong: int = 0
    ended: Ended | None = None
    live: AttemptStatus | None = None

    @property
    def remaining_dong(self) -> int:
        """What may still be collected: nothing once the bill has ended."""
        return 0 if self.ended else self.due_dong - self.paid_dong

    @property
    def refundable_dong(self) -> int:
        """What a new refund of bill money may ask for."""
        return max(0, self.paid_dong - self.refunded_dong - self.held_dong - self.disputed_dong - self.lost_dong)

    @property
    def returnable_excess_dong(self) -> int:
        """What a new refund of held excess may ask for."""
        return max(0, self.excess_dong - self.excess_held_dong)


@dataclass(frozen=True, slots=True)
class Effect:
    """How a fact of some kind moves the figures: each factor is multiplied by the fact's amount."""

    paid: int = 0
    refunded: int = 0
    held: int = 0
    excess: int = 0
    excess_held: int = 0
    disputed: int = 0
    lost: int = 0
    ended: Ended | None = None
    live: AttemptStatus | None = None
    ends_live: bool = False


EFFECTS: Mapping[str, Effect] = {
    "opened": Effect(),
    "attempt_started": Effect(live="created"),
    "attempt_pending": Effect(live="pending"),
    "attempt_requires_action": Effect(live="requires_action"),
    "attempt_authorised": Effect(live="authorised"),
    "attempt_unknown": Effect(live="unknown"),
    "capture_requested": Effect(),
    "capture_refused": Effect(),
    "attempt_succeeded": Effect(ends_live=True),
    "attempt_succeeded_mismatch": Effect(ends_live=True),
    "attempt_succeeded_late": Effect(),
    "attempt_failed": Effect(ends_live=True),
    "attempt_expired": Effect(ends_live=True),
    "attempt_cancelled": Effect(ends_live=True),
    "money_applied": Effect(paid=1),
    "money_held": Effect(excess=1),
    "expired": Effect(ended="expired"),
    "cancelled": Effect(ended="cancelled"),
    "budget_released": Effect(),
    "refund_requested": Effect(held=1),
    "refund_rejected": Effect(held=-1),
    "refund_approved": Effect(),
    "refund_processing": Effect(),
    "refund_succeeded": Effect(held=-1, refunded=1),
    "refund_failed": Effect(held=-1),
    "refund_returned": Effect(refunded=-1),
    "excess_refund_requested": Effect(excess_held=1),
    "excess_refund_rejected": Effect(excess_held=-1),
    "excess_refund_approved": Effect(excess=-1, excess_held=-1),
    "excess_refund_processing": Effect(),
    "excess_refund_succeeded": Effect(),
    "excess_refund_failed": Effect(excess=1),
    "excess_refund_returned": Effect(excess=1),
    "inquiry_opened": Effect(),
    "inquiry_closed": Effect(),
    "dispute_opened": Effect(disputed=1),
    "dispute_answered": Effect(),
    "dispute_won": Effect(disputed=-1),
    "dispute_lost": Effect(disputed=-1, lost=1),
    "excess_dispute_opened": Effect(excess_held=1),
    "excess_dispute_won": Effect(excess_held=-1),
    "excess_dispute_lost": Effect(excess=-1, excess_held=-1),
    "voucher_prepared": Effect(),
    "voucher_sent": Effect(),
    "voucher_accepted": Effect(),
    "voucher_refused": Effect(),
    "voucher_paid": Effect(),
    "receipt_issued": Effect(),
    "receipt_cancelled": Effect(),
    "reminded": Effect(),
}
"""Every kind of fact and what it does to the figures."""


def after(standing: Standing, kind: str, amount_dong: int) -> Standing:
    """The figures once one more fact is known. Raises KeyError for a kind that is in no table."""
    effect = EFFECTS[kind]
    return replace(
        standing,
        paid_dong=standing.paid_dong + effect.paid * amount_dong,
        refunded_dong=standing.refunded_dong + effect.refunded * amount_dong,
        held_dong=standing.held_dong + effect.held * amount_dong,
        excess_dong=standing.excess_dong + effect.excess * amount_dong,
        excess_held_dong=standing.excess_held_dong + effect.excess_held * amount_dong,
        disputed_dong=standing.disputed_dong + effect.disputed * amount_dong,
        lost_dong=standing.lost_dong + effect.lost * amount_dong,
        ended=effect.ended or standing.ended,
        live=None if effect.ends_live else effect.live or standing.live,
    )


def folded(due_dong: int, facts: Iterable[tuple[str, int]]) -> Standing:
    """The figures that a whole history, oldest first, adds up to."""
    standing = Standing(due_dong=due_dong)
    for kind, amount_dong in facts:
        standing = after(standing, kind, amount_dong)
    return standing


def status_of(standing: Standing) -> PaymentStatus:
    """What a payment with these figures is called."""
    if standing.held_dong > 0:
        return "refund_pending"
    if standing.paid_dong > 0 and standing.refunded_dong == standing.paid_dong:
        return "refunded"
    if standing.ended is not None:
        return standing.ended
    if standing.paid_dong >= standing.due_dong:
        return "paid"
    if standing.live == "unknown":
        return "unknown"
    if standing.live is not None:
        return "pending"
    return "partially_paid" if standing.paid_dong else "open"


def checked_move(old: PaymentStatus, new: PaymentStatus) -> PaymentStatus:
    """The new status. Raises ForbiddenMove when the table has no such edge."""
    if old != new and (old, new) not in PAYMENT_EDGES:
        raise ForbiddenMove(f"a payment cannot go from {old} to {new}")
    return new


def attempt_fact(old: AttemptStatus, new: AttemptStatus) -> str:
    """The fact an attempt's change writes. Raises ForbiddenMove when the table has no such edge."""
    if (old, new) not in ATTEMPT_EDGES:
        raise ForbiddenMove(f"an attempt cannot go from {old} to {new}")
    return ATTEMPT_EDGES[(old, new)]


def refund_fact(old: RefundStatus, new: RefundStatus, *, source: str) -> str:
    """The fact a refund's change writes. Raises ForbiddenMove when the table has no such edge."""
    if (old, new) not in REFUND_EDGES:
        raise ForbiddenMove(f"a refund cannot go from {old} to {new}")
    kind = REFUND_EDGES[(old, new)]
    return f"excess_{kind}" if source == "excess" else kind


def dispute_fact(old: DisputeStatus | None, new: DisputeStatus) -> str:
    """The fact a dispute's change writes. Raises ForbiddenMove when the table has no such edge."""
    if (old, new) not in DISPUTE_EDGES:
        raise ForbiddenMove(f"a dispute cannot go from {old} to {new}")
    return DISPUTE_EDGES[(old, new)]


def dispute_steps(now: DisputeStatus, to: DisputeStatus) -> list[DisputeStatus]:
    """The edges that lead a dispute to where the gateway says it is; none when that is older than what is known."""
    if now == to:
        return []
    if (now, to) in DISPUTE_EDGES:
        return [to]
    if now == "inquiry":
        return ["needs_response", *dispute_steps("needs_response", to)]
    return []


def online_methods(standing: Standing, live_method: Method | None) -> tuple[Method, ...]:
    """The ways to pay that a citizen may choose now by themselves.

    None beside a courier or counter that will ask for the same money, none while a card's money is reserved or it is
    not known whether money was taken, none for a bill that needs nothing.
    """
    if standing.remaining_dong <= 0 or standing.live in ("unknown", "authorised"):
        return ()
    if live_method in ("cash_on_delivery", "cash_at_counter"):
        return ()
    return ("vietqr", "card")


def capturable_dong(standing: Standing, authorised_dong: int) -> int:
    """The most that may be captured of an authorisation: never more than the bill still needs."""
    return min(authorised_dong, standing.remaining_dong)


def policy_for(standing: Standing, amount_dong: int, *, came_before: bool) -> MoneyPolicy:
    """What is done with money that comes in for a bill: what it needs is applied, the rest is held, and this is why.

    `came_before` says that other money has come in for the bill. Nothing is ever refused: it has been paid.
    """
    remaining = standing.remaining_dong
    if 0 < amount_dong < remaining:
        return "underpaid"
    if amount_dong == remaining:
        return "applied"
    if standing.ended is not None:
        return "paid_late"
    return "paid_twice" if came_before and remaining == 0 else "overpaid"


GATEWAY_DISPUTES: Mapping[str, DisputeStatus] = {
    "warning_needs_response": "inquiry",
    "warning_under_review": "inquiry",
    "warning_closed": "closed",
    "needs_response": "needs_response",
    "under_review": "under_review",
    "won": "won",
    "lost": "lost",
}
"""What the gateway's words for disputes mean here; any other word changes nothing and is looked at by people."""

GATEWAY_STATUSES: Mapping[str, AttemptStatus] = {
    "requires_payment_method": "pending",
    "requires_confirmation": "pending",
    "requires_action": "requires_action",
    "processing": "pending",
    "requires_capture": "authorised",
    "canceled": "cancelled",
    "failed": "failed",
    "succeeded": "succeeded",
}
"""What the gateway's words mean here; any other word means `unknown`, never something hopeful."""

GATEWAY_REFUNDS: Mapping[str, RefundStatus] = {
    "pending": "processing",
    "requires_action": "processing",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "failed",
}


def requery_after(count: int) -> int:
    """Seconds until the next question when `count` questions have been asked without a final answer."""
    return REQUERY_SECONDS[min(count, len(REQUERY_SECONDS) - 1)]


@dataclass(frozen=True, slots=True)
class LineBalance:
    """What of one line of a bill the citizen's money covers and may be given back, in đồng."""

    position: int
    item: str
    citizen_dong: int
    reversed_dong: int
    given_back_dong: int

    @property
    def left_dong(self) -> int:
        return self.citizen_dong - self.reversed_dong - self.given_back_dong


def unpaid_parts(lines: Sequence[LineBalance], unpaid_dong: int) -> dict[int, int]:
    """Which lines a bill loses when `unpaid_dong` is reversed: the last first, so that money paid in covers the first.

    Raises ValueError when the lines do not hold that much.
    """
    return _taken(list(reversed(lines)), unpaid_dong)


def refund_parts(lines: Sequence[LineBalance], amount_dong: int, items: Sequence[str]) -> dict[int, int]:
    """Which lines a refund is taken from, in bill order, only from `items` when any are named.

    Raises ValueError when those lines do not hold that much.
    """
    chosen = [line for line in lines if not items or line.item in items]
    return _taken(chosen, amount_dong)


def refundable_on(lines: Sequence[LineBalance], items: Sequence[str]) -> int:
    """What the lines named by `items` (all, when empty) still hold, in đồng."""
    return sum(line.left_dong for line in lines if not items or line.item in items)


def _taken(lines: Sequence[LineBalance], amount_dong: int) -> dict[int, int]:
    parts: dict[int, int] = {}
    rest = amount_dong
    for line in lines:
        part = min(rest, line.left_dong)
        if part > 0:
            parts[line.position] = part
            rest -= part
    if rest:
        raise ValueError(f"{rest} đồng more than the lines hold")
    return parts


@dataclass(frozen=True, slots=True)
class Source:
    """One arrival of money that a refund can go back to, with what it can still give, in đồng."""

    intake_id: str
    left_dong: int


def refund_legs(sources: Sequence[Source], amount_dong: int) -> list[tuple[str, int]]:
    """Split a refund over the arrivals it came from, the oldest first. Raises ValueError when they hold too little."""
    legs: list[tuple[str, int]] = []
    rest = amount_dong
    for source in sources:
        part = min(rest, source.left_dong)
        if part > 0:
            legs.append((source.intake_id, part))
            rest -= part
    if rest:
        raise ValueError(f"{rest} đồng more than ever came in")
    return legs


def fingerprint(document: Mapping[str, object]) -> str:
    """SHA-256 of a document in canonical form: what a second person confirms is exactly what they read."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def differences(first: Mapping[str, object], second: Mapping[str, object]) -> list[str]:
    """Names of the fields in which two documents differ, in alphabetical order."""
    return sorted(name for name in {*first, *second} if first.get(name) != second.get(name))
