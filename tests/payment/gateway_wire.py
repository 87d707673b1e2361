"""What the client may send: every call, its parameters and their types, as the gateway's public description has them.

The table was checked by hand against the published OpenAPI description; the tests hold the client to the table.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import httpx

Type = str | tuple[str, ...] | Mapping[str, Any]
"""`integer`, `string`, `boolean`, `texts` (array of strings), `metadata`; a tuple of the words allowed; or members."""

_RANGE = {"gt": "integer", "gte": "integer", "lt": "integer", "lte": "integer"}
_LIST: Mapping[str, Type] = {
    "limit": "integer",
    "starting_after": "string",
    "ending_before": "string",
    "expand": "texts",
}
_EVIDENCE: Mapping[str, Type] = {
    "access_activity_log": "string",
    "customer_name": "string",
    "product_description": "string",
    "service_date": "string",
    "uncategorized_text": "string",
}

WIRE: Mapping[tuple[str, str], Mapping[str, Type]] = {
    ("POST", "/v1/payment_intents"): {
        "amount": "integer",
        "currency": "string",
        "payment_method_types": "texts",
        "payment_method": "string",
        "capture_method": ("automatic", "manual"),
        "metadata": "metadata",
    },
    ("GET", "/v1/payment_intents"): {**_LIST, "created": _RANGE},
    ("GET", "/v1/payment_intents/{intent}"): {},
    ("POST", "/v1/payment_intents/{intent}/confirm"): {"return_url": "string"},
    ("POST", "/v1/payment_intents/{intent}/capture"): {"amount_to_capture": "integer"},
    ("POST", "/v1/payment_intents/{intent}/cancel"): {
        "cancellation_reason": ("abandoned", "duplicate", "fraudulent", "requested_by_customer")
    },
    ("GET", "/v1/charges"): {**_LIST, "payment_intent": "string"},
    ("GET", "/v1/charges/{charge}"): {},
    ("POST", "/v1/refunds"): {"payment_intent": "string", "amount": "integer", "metadata": "metadata"},
    ("GET", "/v1/refunds"): {**_LIST, "payment_intent": "string"},
    ("GET", "/v1/refunds/{refund}"): {},
    ("GET", "/v1/disputes"): {**_LIST, "created": _RANGE},
    ("GET", "/v1/disputes/{dispute}"): {},
    ("POST", "/v1/disputes/{dispute}"): {"evidence": _EVIDENCE, "submit": "boolean"},
    ("POST", "/v1/disputes/{dispute}/close"): {},
    ("GET", "/v1/payouts"): {**_LIST, "arrival_date": _RANGE},
    ("GET", "/v1/payouts/{payout}"): {},
    ("GET", "/v1/balance_transactions"): {**_LIST, "payout": "string"},
    ("GET", "/v1/events"): {**_LIST, "created": _RANGE},
    ("POST", "/v1/webhook_endpoints"): {"url": "string", "enabled_events": "texts"},
    ("GET", "/v1/webhook_endpoints"): _LIST,
    ("DELETE", "/v1/webhook_endpoints/{webhook_endpoint}"): {},
}


def call_of(request: httpx.Request) -> tuple[str, str]:
    """The row of the table that a request belongs to. Raises LookupError when there is none."""
    for method, path in WIRE:
        pattern = re.sub(r"\\\{[a-z_]+\\\}", "[^/]+", re.escape(path))
        if request.method == method and re.fullmatch(pattern, request.url.path):
            return method, path
    raise LookupError(f"{request.method} {request.url.path} is not in the table")


def faults_in(request: httpx.Request) -> list[str]:
    """What of a request the public description would refuse; empty when it would pass."""
    wire = WIRE[call_of(request)]
    text = request.url.query.decode() if request.method in ("GET", "DELETE") else request.content.decode()
    faults = []
    if request.method == "POST" and request.headers.get("content-type") != "application/x-www-form-urlencoded":
        faults.append("the body is no form")
    for name, value in parse_qsl(text, keep_blank_values=True):
        path = re.findall(r"[^\[\]]+", name)
        wanted: Any = wire
        for part in path:
            if isinstance(wanted, Mapping):
                wanted = wanted.get(part)
            elif wanted == "metadata" or (wanted == "texts" and part.isdigit()):
                wanted = "string"
            else:
                wanted = None
        if not _fits(wanted, value):
            faults.append(f"{name}={value}")
    return faults


def _fits(wanted: object, value: str) -> bool:
    if isinstance(wanted, tuple):
        return value in wanted
    if wanted == "integer":
        return re.fullmatch(r"-?\d+", value) is not None
    if wanted == "boolean":
        return value in ("true", "false")
    return wanted == "string" and value != ""
