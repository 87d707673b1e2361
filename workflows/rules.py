"""Pure decisions about a dossier: what may be given back, which national status holds, where the papers are."""

from collections.abc import Collection, Sequence

from services.fees.contract import Quote, QuoteLine
from services.payment.contract import BillLine, BillShare
from services.postal.contract import CashShare, FrozenQuote, QuotedPostage
from workflows.contract import LONGEST_ATTEMPT_SECONDS, DossierInput, Leg, Outcome, Papers, Phase

NOT_YET_COLLECTED = frozenset({"draft", "booked", "pickup_in_progress", "pickup_failed", "cancelled"})
UNSETTLED = frozenset({"open", "pending", "unknown", "partially_paid"})
"""A bill that may still be paid, or whose money is under way."""
LEG_ENDS = frozenset({"delivered", "returned", "lost", "damaged", "cancelled"})
UNDONE: frozenset[Outcome] = frozenset({"refused", "withdrawn", "expired_unpaid", "papers_lost"})
"""Outcomes after which money and papers go back."""

_STATUS_OF_PHASE: dict[Phase, int] = {
    "quoting": 1,
    "collecting": 6,
    "picking_up": 1,
    "accepting": 1,
    "supplementing": 5,
    "processing": 4,
    "returning": 9,
    "handing_over": 9,
    "undoing": 8,
    "finished": 10,
}
_STATUS_OF_OUTCOME: dict[Outcome, int] = {
    "result_delivered": 10,
    "result_handed_over": 10,
    "refused": 3,
    "withdrawn": 7,
    "expired_unpaid": 8,
    "papers_lost": 8,
    "result_lost": 9,
}


def portal_status(phase: Phase, outcome: Outcome | None) -> int:
    """National status code 1–10 (Cổng Dịch vụ công quốc gia): 9 processed, 10 only when the result is handed over."""
    return _STATUS_OF_OUTCOME[outcome] if outcome is not None else _STATUS_OF_PHASE[phase]


def bill_lines(quote: Quote) -> tuple[BillLine, ...]:
    """The quote's lines as a bill; a line of 0 đồng stays, so that the receipt shows what was waived."""
    return tuple(
        BillLine(
            item=line.item,
            kind=line.kind,
            leg=line.leg,
            label_vi=line.label.vi,
            label_en=line.label.en,
            beneficiary=line.beneficiary,
            shares=tuple(BillShare(payer=s.payer, amount_dong=s.amount_dong) for s in line.shares)
            or (BillShare(payer="citizen", amount_dong=0),),
        )
        for line in quote.lines
    )


def attempt_seconds(dossier: DossierInput, method: str) -> int:
    """How long one try at collecting lives: a page or a QR code minutes, cash as long as the step that brings it."""
    limits = dossier.deadlines
    if method == "cash_at_counter":
        seconds = limits.payment_seconds
    elif method == "cash_on_delivery":
        on_return = dossier.pay_when == "on_return"
        seconds = limits.return_seconds if on_return else limits.pickup_seconds + limits.transit_seconds
    else:
        seconds = limits.attempt_seconds
    return min(seconds, LONGEST_ATTEMPT_SECONDS)


def is_refundable(line: QuoteLine, used_legs: Collection[str]) -> bool:
    """State fees and charges go back in full, postage only of a leg not used; the post has done its collecting."""
    if line.kind in ("fee", "charge"):
        return True
    return line.kind == "postage" and line.leg not in used_legs


def refundable(quote: Quote, used_legs: Collection[str]) -> tuple[tuple[str, ...], int]:
    """Items to give back and their sum in đồng, counting the citizen's shares only."""
    lines = [line for line in quote.lines if is_refundable(line, used_legs)]
    return tuple(line.item for line in lines), sum(line.due_from("citizen") for line in lines)


def cash_shares(quote: Quote | None, amount_dong: int) -> tuple[CashShare, ...]:
    """Whose money the courier brings; nothing when part of the bill is paid already, for then nobody can say."""
    lines = [] if quote is None else [line for line in quote.lines if line.due_from("citizen") > 0]
    if sum(line.due_from("citizen") for line in lines) != amount_dong:
        return ()
    return tuple(
        CashShare(item=line.item, kind=line.kind, owner=line.beneficiary, amount_dong=line.due_from("citizen"))
        for line in lines
    )


def postage_of(quote: Quote, leg: str) -> int:
    """Full postage of a leg before reductions, in đồng: what compensation is counted from."""
    return sum(line.gross_dong for line in quote.lines if line.kind == "postage" and line.leg == leg)


def frozen_postage(quote: Quote, leg: str) -> FrozenQuote | None:
    """What the postage of a leg rests on, for the post to keep; None when the leg costs nothing by this quote."""
    lines = [line for line in quote.lines if line.kind == "postage" and line.leg == leg]
    if not lines:
        return None
    return FrozenQuote(
        quote_id=quote.id,
        inputs_hash=quote.inputs_hash,
        catalogue_version=quote.catalogue_version,
        agreement=lines[0].steps[0].rule if lines[0].steps else "unknown",
        lines=tuple(
            QuotedPostage(
                item=line.item,
                gross_dong=line.gross_dong,
                due_dong=line.due_dong,
                basis=tuple(
                    f"{s.rule}: {s.outcome}, {s.instrument} {s.article}".strip()[:200] for s in line.steps[:50]
                ),
            )
            for line in lines
        ),
    )


def papers_at(*, channel: str, legs: Sequence[Leg], outcome: Outcome | None) -> Papers:
    """Who holds the papers: derived from the legs, and from the channel when nothing went by post."""
    outbound = next((leg for leg in legs if leg.direction == "outbound"), None)
    back = next((leg for leg in reversed(legs) if leg.direction == "return"), None)
    latest = back or outbound
    if latest is not None and latest.status in ("lost", "damaged"):
        return "lost"
    if back is not None and back.status == "delivered":
        return "citizen"
    if back is not None and back.status not in NOT_YET_COLLECTED | {"returned"}:
        return "post"
    sent = outbound is not None and outbound.status not in NOT_YET_COLLECTED
    if sent and outbound is not None and outbound.status != "delivered":
        return "citizen" if outbound.status == "returned" else "post"
    if outcome == "result_handed_over":
        return "citizen" if sent or back is not None or channel == "counter" else "none"
    if outbound is not None and not sent:
        return "citizen"
    if sent or (back is not None and outcome is None):
        return "agency"
    if channel == "counter":
        return "citizen" if outcome is not None else "agency"
    return "none" if channel == "online" else "citizen"
