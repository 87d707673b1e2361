"""Objects of the Stripe wire read into our values. What is missing becomes harmless; only an id is needed."""

from typing import Any

from services.payment.gateway.protocol import (
    BalanceTransaction,
    Charge,
    Dispute,
    Document,
    GatewayEndpoint,
    GatewayEvent,
    GatewayPayout,
    GatewayRefund,
    Intent,
)


def id_of(value: Any) -> str | None:  # noqa: ANN401 — an id, or the object when it was expanded
    """The id behind a member that may be expanded."""
    if isinstance(value, dict):
        return str(value["id"]) if "id" in value else None
    return str(value) if value else None


def texts(value: Any) -> dict[str, str]:  # noqa: ANN401
    """Metadata."""
    return {str(name): str(text) for name, text in value.items()} if isinstance(value, dict) else {}


def intent_of(document: Document) -> Intent:
    """A payment intent; its charge also from wire versions that listed charges."""
    action = document.get("next_action") or {}
    error = document.get("last_payment_error") or {}
    charge = document.get("latest_charge")
    if charge is None:
        listed = (document.get("charges") or {}).get("data") or []
        charge = listed[0] if listed else None
    return Intent(
        id=str(document["id"]),
        status=str(document.get("status", "")),
        amount_dong=int(document.get("amount") or 0),
        received_dong=int(document.get("amount_received") or 0),
        currency=str(document.get("currency", "")).lower(),
        charge_id=id_of(charge),
        created=int(document.get("created") or 0),
        metadata=texts(document.get("metadata")),
        action_url=(action.get("redirect_to_url") or {}).get("url"),
        error=str(error.get("decline_code") or error.get("code") or ""),
        capturable_dong=int(document.get("amount_capturable") or 0),
        lapsed=document.get("cancellation_reason") == "automatic",
    )


def charge_of(document: Document) -> Charge:
    """A charge."""
    return Charge(
        id=str(document["id"]),
        status=str(document.get("status", "")),
        intent_id=id_of(document.get("payment_intent")),
        amount_dong=int(document.get("amount") or 0),
        captured_dong=int(document.get("amount_captured") or 0),
        refunded_dong=int(document.get("amount_refunded") or 0),
        disputed=bool(document.get("disputed")),
    )


def refund_of(document: Document) -> GatewayRefund:
    """A refund."""
    return GatewayRefund(
        id=str(document["id"]),
        status=str(document.get("status", "")),
        amount_dong=int(document.get("amount") or 0),
        intent_id=id_of(document.get("payment_intent")),
        metadata=texts(document.get("metadata")),
        error=str(document.get("failure_reason") or ""),
    )


def payout_of(document: Document) -> GatewayPayout:
    """A payout."""
    return GatewayPayout(
        id=str(document["id"]),
        status=str(document.get("status", "")),
        amount_dong=int(document.get("amount") or 0),
        arrival=int(document.get("arrival_date") or 0),
        created=int(document.get("created") or 0),
    )


def transaction_of(document: Document) -> BalanceTransaction:
    """A balance transaction."""
    source = document.get("source")
    return BalanceTransaction(
        id=str(document["id"]),
        kind=str(document.get("type", "")),
        gross_dong=int(document.get("amount") or 0),
        fee_dong=int(document.get("fee") or 0),
        net_dong=int(document.get("net") or 0),
        source=id_of(source) or "",
        intent_id=id_of(source.get("payment_intent")) if isinstance(source, dict) else None,
        category=str(document.get("reporting_category") or document.get("type") or ""),
    )


def dispute_of(document: Document) -> Dispute:
    """A dispute."""
    details = document.get("evidence_details") or {}
    return Dispute(
        id=str(document["id"]),
        status=str(document.get("status", "")),
        amount_dong=int(document.get("amount") or 0),
        charge_id=id_of(document.get("charge")) or "",
        intent_id=id_of(document.get("payment_intent")),
        reason=str(document.get("reason", "")),
        created=int(document.get("created") or 0),
        evidence_due=int(details["due_by"]) if details.get("due_by") else None,
        evidence_count=int(details.get("submission_count") or 0),
        movements=tuple(transaction_of(each) for each in document.get("balance_transactions") or []),
        metadata=texts(document.get("metadata")),
    )


def endpoint_of(document: Document) -> GatewayEndpoint:
    """A webhook endpoint."""
    return GatewayEndpoint(
        id=str(document["id"]),
        url=str(document.get("url", "")),
        status="deleted" if document.get("deleted") else str(document.get("status", "")),
        events=tuple(str(kind) for kind in document.get("enabled_events") or []),
        secret=str(document.get("secret") or ""),
    )


def event_of(document: Document) -> GatewayEvent:
    """An event. Raises KeyError, TypeError or AttributeError for what is none."""
    subject = document["data"]["object"]
    return GatewayEvent(str(document["id"]), str(document["type"]), str(subject.get("id", "")), document)
