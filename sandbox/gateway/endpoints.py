"""The gateway's table of endpoints: what each accepts, and what it does."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.gateway import disputes, payments, refunds
from sandbox.gateway.account import Document
from sandbox.gateway.balance import balance
from sandbox.gateway.desk import Desk
from sandbox.gateway.errors import invalid_parameter
from sandbox.gateway.events import RETENTION_SECONDS, create_endpoint, delete_endpoint
from sandbox.gateway.parameters import (
    LISTING,
    Shape,
    boolean,
    email,
    integer,
    metadata,
    moment,
    nested,
    one_of,
    string,
    texts,
    web_address,
)

Action = Callable[[Desk, dict[str, str], Document], Document]
"""Does the work: the desk, the path's parameters and the checked ones."""


@dataclass(frozen=True)
class Endpoint:
    """One row of the API: what it accepts and what it does."""

    method: str
    path: str
    action: Action
    shape: Shape
    required: tuple[str, ...] = ()


_EXPAND: Shape = {"expand": texts}


def _currency(raw: object, name: str) -> str:
    if isinstance(raw, str) and raw.lower() == "vnd":
        return "vnd"
    raise invalid_parameter(f"Invalid currency: {raw}. This account currently supports these currencies: vnd", name)


def _card_only(raw: object, name: str) -> list[str]:
    types = texts(raw, name)
    for value in types:
        if value != "card":
            raise invalid_parameter(
                f"The payment method type provided: {value} is invalid. Please ensure the provided"
                " type is activated in your dashboard and your account is enabled for it.",
                name,
            )
    return types


_METHOD_DATA: Shape = {"type": one_of("card"), "card": nested({"token": string()})}
_INTENT_FIELDS: Shape = {
    "customer": string(),
    "description": string(maximum=1000, unset=True),
    "metadata": metadata,
    "payment_method": string(),
    "payment_method_data": nested(_METHOD_DATA, required=("type",)),
    "payment_method_types": _card_only,
    "receipt_email": email,
    "statement_descriptor_suffix": string(maximum=22, unset=True),
    **_EXPAND,
}
_CREATE_INTENT: Shape = {
    **_INTENT_FIELDS,
    "amount": integer(),
    "automatic_payment_methods": nested(
        {"enabled": boolean, "allow_redirects": one_of("always", "never")}, required=("enabled",)
    ),
    "capture_method": one_of("automatic", "automatic_async", "manual"),
    "confirm": boolean,
    "currency": _currency,
    "return_url": web_address,
}
_CONFIRM: Shape = {
    "payment_method": string(),
    "payment_method_data": nested(_METHOD_DATA, required=("type",)),
    "receipt_email": email,
    "return_url": web_address,
    **_EXPAND,
}
_CANCEL: Shape = {
    "cancellation_reason": one_of("duplicate", "fraudulent", "requested_by_customer", "abandoned"),
    **_EXPAND,
}
_REFUND: Shape = {
    "amount": integer(minimum=1),
    "charge": string(),
    "payment_intent": string(),
    "reason": one_of("duplicate", "fraudulent", "requested_by_customer"),
    "metadata": metadata,
    **_EXPAND,
}
_DISPUTE: Shape = {
    "evidence": nested({name: string(maximum=150_000, unset=True) for name in disputes.EVIDENCE}),
    "metadata": metadata,
    "submit": boolean,
    **_EXPAND,
}
_ENDPOINT: Shape = {
    "url": web_address,
    "enabled_events": texts,
    "description": string(unset=True),
    "metadata": metadata,
    **_EXPAND,
}


def _retrieve(prefix: str, name: str) -> Action:
    return lambda desk, path, _: desk.account.load(prefix, path[name], name)


def _list(prefix: str, url: str, *filters: str) -> Action:
    return lambda desk, _, parameters: desk.account.listing(prefix, url, parameters, filters=filters)


def _list_events(desk: Desk, _: dict[str, str], parameters: Document) -> Document:
    conditions: list[tuple[str, str | int]] = [("created > ?", desk.account.now() - RETENTION_SECONDS)]
    if "types" in parameters:
        wanted = json.dumps(parameters["types"])
        conditions.append(("type IN (SELECT value FROM json_each(?))", wanted))
    page = desk.account.listing("evt", "/v1/events", parameters, filters=("type",), conditions=tuple(conditions))
    for event in page["data"]:
        event["pending_webhooks"] = desk.announcer.deliveries.waiting_for(event["id"])
    return page


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST",
        "/payment_intents",
        lambda desk, _, p: payments.create_intent(desk, p),
        _CREATE_INTENT,
        ("amount", "currency"),
    ),
    Endpoint(
        "GET",
        "/payment_intents",
        _list("pi", "/v1/payment_intents", "customer"),
        {**LISTING, "customer": string()},
    ),
    Endpoint(
        "GET",
        "/payment_intents/{intent}",
        _retrieve("pi", "intent"),
        {**_EXPAND, "client_secret": string()},
    ),
    Endpoint(
        "POST",
        "/payment_intents/{intent}",
        lambda desk, path, p: payments.update_intent(desk, path["intent"], p),
        {**_INTENT_FIELDS, "amount": integer(), "currency": _currency},
    ),
    Endpoint(
        "POST",
        "/payment_intents/{intent}/confirm",
        lambda desk, path, p: payments.confirm_intent(desk, path["intent"], p),
        _CONFIRM,
    ),
    Endpoint(
        "POST",
        "/payment_intents/{intent}/capture",
        lambda desk, path, p: payments.capture_intent(desk, path["intent"], p),
        {"amount_to_capture": integer(minimum=1), **_EXPAND},
    ),
    Endpoint(
        "POST",
        "/payment_intents/{intent}/cancel",
        lambda desk, path, p: payments.cancel_intent(desk, path["intent"], p),
        _CANCEL,
    ),
    Endpoint(
        "POST",
        "/payment_methods",
        lambda desk, _, p: payments.create_method(desk, p),
        {**_METHOD_DATA, **_EXPAND},
        ("type",),
    ),
    Endpoint("GET", "/payment_methods/{payment_method}", _retrieve("pm", "payment_method"), _EXPAND),
    Endpoint(
        "GET",
        "/charges",
        _list("ch", "/v1/charges", "payment_intent", "customer"),
        {**LISTING, "payment_intent": string(), "customer": string()},
    ),
    Endpoint("GET", "/charges/{charge}", _retrieve("ch", "charge"), _EXPAND),
    Endpoint("POST", "/refunds", lambda desk, _, p: refunds.create_refund(desk, p), _REFUND),
    Endpoint(
        "GET",
        "/refunds",
        _list("re", "/v1/refunds", "charge", "payment_intent"),
        {**LISTING, "charge": string(), "payment_intent": string()},
    ),
    Endpoint("GET", "/refunds/{refund}", _retrieve("re", "refund"), _EXPAND),
    Endpoint(
        "POST",
        "/refunds/{refund}",
        lambda desk, path, p: refunds.update_refund(desk, path["refund"], p),
        {"metadata": metadata, **_EXPAND},
    ),
    Endpoint(
        "POST",
        "/refunds/{refund}/cancel",
        lambda desk, path, _: refunds.cancel_refund(desk, path["refund"]),
        _EXPAND,
    ),
    Endpoint(
        "GET",
        "/disputes",
        _list("du", "/v1/disputes", "charge", "payment_intent"),
        {**LISTING, "charge": string(), "payment_intent": string()},
    ),
    Endpoint("GET", "/disputes/{dispute}", _retrieve("du", "dispute"), _EXPAND),
    Endpoint(
        "POST",
        "/disputes/{dispute}",
        lambda desk, path, p: disputes.update_dispute(desk, path["dispute"], p),
        _DISPUTE,
    ),
    Endpoint(
        "POST",
        "/disputes/{dispute}/close",
        lambda desk, path, _: disputes.close_dispute(desk, path["dispute"]),
        _EXPAND,
    ),
    Endpoint(
        "GET",
        "/balance_transactions",
        _list("txn", "/v1/balance_transactions", "payout", "type", "source", "currency"),
        {
            **LISTING,
            "payout": string(),
            "type": string(),
            "source": string(),
            "currency": _currency,
        },
    ),
    Endpoint("GET", "/balance_transactions/{id}", _retrieve("txn", "id"), _EXPAND),
    Endpoint("GET", "/balance", lambda desk, *_: balance(desk.account), _EXPAND),
    Endpoint(
        "GET",
        "/payouts",
        _list("po", "/v1/payouts", "status"),
        {**LISTING, "arrival_date": moment, "status": string()},
    ),
    Endpoint("GET", "/payouts/{payout}", _retrieve("po", "payout"), _EXPAND),
    Endpoint("GET", "/events", _list_events, {**LISTING, "type": string(), "types": texts}),
    Endpoint("GET", "/events/{id}", lambda desk, path, _: desk.announcer.event(path["id"]), _EXPAND),
    Endpoint(
        "POST",
        "/webhook_endpoints",
        lambda desk, _, p: create_endpoint(desk.account, p),
        _ENDPOINT,
        ("url", "enabled_events"),
    ),
    Endpoint("GET", "/webhook_endpoints", _list("we", "/v1/webhook_endpoints"), LISTING),
    Endpoint(
        "GET",
        "/webhook_endpoints/{webhook_endpoint}",
        _retrieve("we", "webhook_endpoint"),
        _EXPAND,
    ),
    Endpoint(
        "DELETE",
        "/webhook_endpoints/{webhook_endpoint}",
        lambda desk, path, _: delete_endpoint(desk.account, path["webhook_endpoint"]),
        _EXPAND,
    ),
)
