"""Refunds: never above what was captured, at once or, when the test asks for it, later or never."""

from sandbox.gateway.account import Document, merged
from sandbox.gateway.balance import record
from sandbox.gateway.cards import CARDS
from sandbox.gateway.desk import Desk
from sandbox.gateway.errors import ApiError, unexpected_state
from sandbox.gateway.events import seconds
from sandbox.gateway.payments import refund_document

FUTURES = ("succeeded", "pending", "failed", "pending_then_failed", "requires_action")
"""What `metadata[sandbox_refund]` can ask for.

`pending` succeeds later; `failed` succeeds first and fails later, as the documented test card does,
so that money moves and comes back; `pending_then_failed` never moves money; `requires_action` waits
for the customer and is the only kind that can be canceled.
"""


def create_refund(desk: Desk, parameters: Document) -> Document:
    """Give back all that is left of a charge, or the part asked for."""
    charge = _charge_to_refund(desk, parameters)
    left = charge["amount"] - charge["amount_refunded"]
    if left <= 0:
        raise ApiError(
            400,
            "invalid_request_error",
            f"Charge {charge['id']} has already been refunded.",
            code="charge_already_refunded",
        )
    amount = parameters.get("amount", left)
    if amount > left:
        raise ApiError(
            400,
            "invalid_request_error",
            f"Refund amount (₫{amount:,}) is greater than unrefunded amount on charge (₫{left:,})",
            param="amount",
        )
    refund = refund_document(desk.account, charge, amount)
    refund["reason"] = parameters.get("reason")
    refund["metadata"] = merged({}, parameters.get("metadata", {}))
    future = _future(desk, charge, refund)
    moves_now = future in ("succeeded", "failed")
    refund["status"] = "succeeded" if moves_now else "pending"
    if future == "requires_action":
        refund["status"] = "requires_action"
    desk.account.insert(refund, charge=charge["id"], payment_intent=charge["payment_intent"])
    if moves_now:
        _move(desk, refund)
    _adjust(desk, charge, amount)
    if future in ("pending", "failed", "pending_then_failed"):
        _schedule(desk, refund, "succeed" if future == "pending" else "fail")
    metadata = charge["metadata"] | refund["metadata"]
    desk.announce("refund.created", refund, metadata=metadata)
    desk.announce("charge.refunded", charge, metadata=metadata)
    return refund


def update_refund(desk: Desk, identifier: str, parameters: Document) -> Document:
    """Only metadata can be changed."""
    refund = desk.account.load("re", identifier, "refund")
    if "metadata" in parameters:
        previous = refund["metadata"]
        refund["metadata"] = merged(previous, parameters["metadata"])
        desk.account.save(refund)
        desk.announce("refund.updated", refund, previous={"metadata": previous})
    return refund


def cancel_refund(desk: Desk, identifier: str) -> Document:
    """Take back a refund that still waits for the customer."""
    refund = desk.account.load("re", identifier, "refund")
    if refund["status"] != "requires_action":
        raise unexpected_state(
            f"You cannot cancel this Refund because it has a status of {refund['status']}. Only a"
            " Refund with one of the following statuses may be canceled: requires_action."
        )
    return _end(desk, refund, "canceled", "refund.updated")


def settle_refund(desk: Desk, identifier: str, *, succeeds: bool) -> Document:
    """What the card network finally does with a refund; a repeated outcome changes nothing."""
    refund = desk.account.load("re", identifier, "refund")
    status = refund["status"]
    if status in ("failed", "canceled") or (status == "succeeded" and succeeds):
        return refund
    if succeeds:
        previous = {"status": status}
        refund["status"] = "succeeded"
        _move(desk, refund)
        _announce_update(desk, refund, previous)
        return refund
    refund["failure_reason"] = "expired_or_canceled_card"
    if refund["balance_transaction"]:
        back = record(
            desk.account,
            "refund_failure",
            refund["id"],
            refund["amount"],
            description="REFUND FAILURE",
        )
        refund["failure_balance_transaction"] = back["id"]
    return _end(desk, refund, "failed", "refund.failed")


def _charge_to_refund(desk: Desk, parameters: Document) -> Document:
    account = desk.account
    if ("charge" in parameters) == ("payment_intent" in parameters):
        raise ApiError(
            400,
            "invalid_request_error",
            "One of the following params should be provided for this request: payment_intent or charge.",
            kept=False,
        )
    if "charge" in parameters:
        charge = account.load("ch", parameters["charge"], "charge")
    else:
        intent = account.load("pi", parameters["payment_intent"], "payment_intent")
        if intent["status"] != "succeeded":
            raise unexpected_state(f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.")
        charge = account.load("ch", intent["latest_charge"], "charge")
    if charge["disputed"] and not _only_inquired(desk, charge):
        raise ApiError(
            400,
            "invalid_request_error",
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            code="charge_disputed",
        )
    if not charge["captured"]:
        raise ApiError(
            400,
            "invalid_request_error",
            f"Charge {charge['id']} has not been captured and cannot be refunded.",
            code="charge_not_refundable",
        )
    return charge


def _only_inquired(desk: Desk, charge: Document) -> bool:
    found = desk.account.state.number(
        "SELECT count(*) FROM disputes WHERE charge = ? AND json_extract(document, '$.status') NOT LIKE 'warning%'"
        " AND json_extract(document, '$.status') <> 'won'",
        [charge["id"]],
    )
    return found == 0


def _future(desk: Desk, charge: Document, refund: Document) -> str:
    wish = refund["metadata"].get("sandbox_refund") or charge["metadata"].get("sandbox_refund")
    if wish in FUTURES:
        return str(wish)
    row = desk.account.state.row("SELECT token FROM payment_methods WHERE id = ?", [charge["payment_method"]])
    assert row is not None
    return CARDS[row["token"]].refund


def _schedule(desk: Desk, refund: Document, outcome: str) -> None:
    delay = seconds(refund["metadata"].get("sandbox_refund_seconds"), 2.0)
    desk.account.state.execute(
        "INSERT INTO timers (due_at, action, target) VALUES (?, ?, ?)",
        [desk.account.clock() + delay, f"refund.{outcome}", refund["id"]],
    )


def _move(desk: Desk, refund: Document) -> None:
    """Take the money from the balance; the fee of the charge is not given back."""
    transaction = record(
        desk.account,
        "refund",
        refund["id"],
        -refund["amount"],
        description="REFUND FOR CHARGE",
    )
    refund["balance_transaction"] = transaction["id"]
    desk.account.save(refund)


def _adjust(desk: Desk, charge: Document, amount: int) -> None:
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] >= charge["amount"]
    desk.account.save(charge)


def _end(desk: Desk, refund: Document, status: str, event_type: str) -> Document:
    """Close a refund that gave nothing back: its amount can be refunded again."""
    previous = {"status": refund["status"]}
    refund["status"] = status
    desk.account.save(refund)
    charge = desk.account.load("ch", refund["charge"], "charge")
    _adjust(desk, charge, -refund["amount"])
    if event_type != "refund.updated":
        desk.announce(event_type, refund, metadata=charge["metadata"] | refund["metadata"])
    _announce_update(desk, refund, previous)
    return refund


def _announce_update(desk: Desk, refund: Document, previous: Document) -> None:
    charge = desk.account.load("ch", refund["charge"], "charge")
    metadata = charge["metadata"] | refund["metadata"]
    for event_type in ("refund.updated", "charge.refund.updated"):
        desk.announce(event_type, refund, metadata=metadata, previous=previous)
