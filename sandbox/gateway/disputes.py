"""Disputes: a cardholder's bank takes money back, our evidence goes there, and it decides."""

from sandbox.gateway.account import Document, merged, new_id
from sandbox.gateway.balance import CURRENCY, record
from sandbox.gateway.desk import Desk
from sandbox.gateway.errors import ApiError

REASONS = (
    "bank_cannot_process",
    "credit_not_processed",
    "duplicate",
    "fraudulent",
    "general",
    "product_not_received",
    "product_unacceptable",
    "subscription_canceled",
    "unrecognized",
)
EVIDENCE = (
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
)
_OPEN = ("needs_response", "warning_needs_response", "under_review", "warning_under_review")
_WISHES = {"winning_evidence": True, "losing_evidence": False}
"""What `uncategorized_text` makes the bank decide at once, as with the documented test evidence."""


def open_dispute(
    desk: Desk, charge: Document, *, reason: str, inquiry: bool = False, due_seconds: float | None = None
) -> Document:
    """The cardholder's bank disputes a captured charge and, unless it only inquires, takes the money at once."""
    account = desk.account
    if not charge["captured"] or charge["disputed"]:
        raise ApiError(400, "invalid_request_error", f"Charge {charge['id']} cannot be disputed now.")
    now = account.now()
    due = now + int(account.settings.dispute_days * 86_400 if due_seconds is None else due_seconds)
    card = charge["payment_method_details"]["card"]
    dispute: Document = {
        "id": new_id("du"),
        "object": "dispute",
        "amount": charge["amount_captured"] - (0 if inquiry else _given_back(charge)),
        "balance_transactions": [],
        "charge": charge["id"],
        "created": now,
        "currency": CURRENCY,
        "enhanced_eligibility_types": [],
        "evidence": dict.fromkeys(EVIDENCE),
        "evidence_details": {
            "due_by": due,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": inquiry,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": card["brand"],
                "case_type": "inquiry" if inquiry else "chargeback",
                "network_reason_code": "10.4" if reason == "fraudulent" else "13.1",
            },
            "type": "card",
        },
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
    }
    account.insert(dispute, charge=charge["id"], payment_intent=charge["payment_intent"])
    charge["disputed"] = True
    account.save(charge)
    account.state.execute(
        "INSERT INTO timers (due_at, action, target) VALUES (?, 'dispute.lapse', ?)", [float(due), dispute["id"]]
    )
    desk.announce("charge.dispute.created", dispute, metadata=charge["metadata"])
    if not inquiry:
        _move(desk, dispute, -dispute["amount"], fee_dong=account.settings.dispute_fee_dong, category="dispute")
        desk.announce("charge.dispute.funds_withdrawn", dispute, metadata=charge["metadata"])
    return dispute


def update_dispute(desk: Desk, identifier: str, parameters: Document) -> Document:
    """Keep evidence, and unless told otherwise submit it to the bank, once."""
    dispute = desk.account.load("du", identifier, "dispute")
    if "metadata" in parameters:
        dispute["metadata"] = merged(dispute["metadata"], parameters["metadata"])
    evidence = parameters.get("evidence")
    if evidence is not None:
        if dispute["status"] not in ("needs_response", "warning_needs_response"):
            raise ApiError(
                400,
                "invalid_request_error",
                f"This dispute has a status of {dispute['status']}; evidence can no longer be submitted.",
            )
        dispute["evidence"] |= evidence
        details = dispute["evidence_details"]
        details["has_evidence"] = any(dispute["evidence"].values())
        if parameters.get("submit", True):
            details["submission_count"] += 1
            warning = dispute["status"].startswith("warning_")
            dispute["status"] = "warning_under_review" if warning else "under_review"
    desk.account.save(dispute)
    desk.announce("charge.dispute.updated", dispute, metadata=_charge(desk, dispute)["metadata"])
    wish = _WISHES.get(dispute["evidence"]["uncategorized_text"] or "")
    if dispute["status"].endswith("under_review") and wish is not None:
        return resolve(desk, identifier, won=wish)
    return dispute


def close_dispute(desk: Desk, identifier: str) -> Document:
    """The merchant accepts the loss."""
    dispute = desk.account.load("du", identifier, "dispute")
    if dispute["status"] not in ("needs_response", "warning_needs_response"):
        raise ApiError(400, "invalid_request_error", "This dispute is already closed or under review.")
    return resolve(desk, identifier, won=False)


def resolve(desk: Desk, identifier: str, *, won: bool) -> Document:
    """The bank decides; deciding again changes nothing. A dispute won brings back the money and the fee."""
    dispute = desk.account.load("du", identifier, "dispute")
    if dispute["status"] not in _OPEN:
        return dispute
    inquiry = dispute["status"].startswith("warning_")
    dispute["status"] = "warning_closed" if inquiry else "won" if won else "lost"
    dispute["evidence_details"]["due_by"] = None
    desk.account.save(dispute)
    desk.account.state.execute("DELETE FROM timers WHERE action = 'dispute.lapse' AND target = ?", [identifier])
    charge = _charge(desk, dispute)
    if won and not inquiry:
        fee = desk.account.settings.dispute_fee_dong
        _move(desk, dispute, dispute["amount"], fee_dong=-fee, category="dispute_reversal")
        desk.announce("charge.dispute.funds_reinstated", dispute, metadata=charge["metadata"])
    if won or inquiry:
        charge["disputed"] = False
        desk.account.save(charge)
    desk.announce("charge.dispute.closed", dispute, metadata=charge["metadata"])
    return dispute


def _move(desk: Desk, dispute: Document, amount: int, *, fee_dong: int, category: str) -> None:
    transaction = record(
        desk.account,
        "adjustment",
        dispute["id"],
        amount,
        fee_dong=fee_dong,
        description=f"Chargeback {'withdrawal' if amount < 0 else 'reversal'} for {dispute['charge']}",
        category=category,
    )
    dispute["balance_transactions"].append(transaction)
    desk.account.save(dispute)


def _charge(desk: Desk, dispute: Document) -> Document:
    return desk.account.load("ch", dispute["charge"], "charge")


def _given_back(charge: Document) -> int:
    """What of the captured amount has been refunded; released authorisations were never captured."""
    return int(charge["amount_refunded"]) - (int(charge["amount"]) - int(charge["amount_captured"]))
