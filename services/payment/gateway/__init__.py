"""Payment gateways: one protocol, a client of the Stripe wire, and an adapter for redirect gateways.

`python -m services.payment.gateway check --url URL --key KEY` makes every call the client can make.
"""

from services.payment.gateway.check import check
from services.payment.gateway.choice import ChosenGateway
from services.payment.gateway.client import API_VERSION, GatewayClient
from services.payment.gateway.documents import event_of
from services.payment.gateway.protocol import (
    BalanceTransaction,
    CardRefused,
    Charge,
    Dispute,
    Gateway,
    GatewayEndpoint,
    GatewayError,
    GatewayEvent,
    GatewayFailed,
    GatewayPayout,
    GatewayRefund,
    GatewayRefused,
    GatewayUnreachable,
    Intent,
    KeyConflict,
    NotAuthorised,
    RateLimited,
    RequestRefused,
)
from services.payment.gateway.redirect import RedirectGateway
from services.payment.gateway.signature import verified_event
from services.payment.gateway.wire import nested

__all__ = [
    "API_VERSION",
    "BalanceTransaction",
    "CardRefused",
    "Charge",
    "ChosenGateway",
    "Dispute",
    "Gateway",
    "GatewayClient",
    "GatewayEndpoint",
    "GatewayError",
    "GatewayEvent",
    "GatewayFailed",
    "GatewayPayout",
    "GatewayRefund",
    "GatewayRefused",
    "GatewayUnreachable",
    "Intent",
    "KeyConflict",
    "NotAuthorised",
    "RateLimited",
    "RedirectGateway",
    "RequestRefused",
    "check",
    "event_of",
    "nested",
    "verified_event",
]
