"""The gateway's wire API: authentication, parameters, idempotency and the routes under /v1."""

import hashlib
import hmac
import json
import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from sandbox.gateway import faults, payments, refunds
from sandbox.gateway.account import API_VERSION, Account, Call, Document, new_id
from sandbox.gateway.balance import balance
from sandbox.gateway.errors import ApiError, invalid_parameter
from sandbox.gateway.events import (
    RETENTION_SECONDS,
    Announcer,
    create_endpoint,
    delete_endpoint,
)
from sandbox.gateway.parameters import (
    LISTING,
    Shape,
    boolean,
    checked,
    email,
    integer,
    metadata,
    moment,
    nested,
    one_of,
    parsed,
    string,
    texts,
    web_address,
)
from sandbox.gateway.payments import Desk

FORM = "application/x-www-form-urlencoded"
IDEMPOTENCY_SECONDS = 24 * 3600
_VERSION = re.compile(r"^\d{4}-\d{2}-\d{2}(\.[a-z_]+)?$")

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


@dataclass(frozen=True)
class Api:
    """The API of one account."""

    account: Account
    announcer: Announcer

    async def serve(self, endpoint: Endpoint, request: Request) -> Response:
        """Answer one request, with every refusal in the wire's own words."""
        request_id = new_id("req")[:18]
        headers = {"Request-Id": request_id, "Stripe-Version": API_VERSION}
        key = request.headers.get("idempotency-key") if endpoint.method == "POST" else None
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            if version := request.headers.get("stripe-version"):
                headers["Stripe-Version"] = _known_version(version)
            authenticate(self.account, request)
            raw = await _raw_parameters(request)
            fault = faults.fault_for(self.account, request, raw)
            call = Call(request_id, key, str(request.base_url))
            await faults.before(fault, request)
            with _InFlight(self.account, key):
                await faults.during(fault)
                status, body, extra = self._answer(endpoint, request, raw, call)
            await faults.after(fault, request)
        except ApiError as refusal:
            status, body, extra = refusal.status, json.dumps(refusal.body()), {}
            if status in (409, 429, 500):
                extra["Stripe-Should-Retry"] = "true"
            if status == 401:
                extra["WWW-Authenticate"] = 'Bearer realm="Stripe"'
        return Response(body, status, headers | extra, "application/json")

    def _answer(
        self, endpoint: Endpoint, request: Request, raw: Document, call: Call
    ) -> tuple[int, str, dict[str, str]]:
        """Do the work, or repeat the stored answer when the key was seen before."""
        desk = Desk(self.account, self.announcer, call)

        def act() -> Document:
            parameters = checked(raw, endpoint.shape, required=endpoint.required)
            expand = parameters.pop("expand", [])
            result = endpoint.action(desk, dict(request.path_params), parameters)
            if expand:
                # Events and stored rows keep the unexpanded object.
                result = json.loads(json.dumps(result))
                self.account.expand(result, expand)
            return result

        if endpoint.method == "GET":
            return 200, json.dumps(act(), ensure_ascii=False), {}
        with self.account.state.transaction():
            if call.idempotency_key is None:
                status, body = _outcome(act)
                return status, body, {}
            fingerprint = _fingerprint(request, raw)
            stored = self._stored_answer(request, call.idempotency_key, fingerprint)
            if stored:
                return stored
            status, body = _outcome(act)
            self._store_answer(request, call, fingerprint, status, body)
            return status, body, {}

    def _stored_answer(self, request: Request, key: str, fingerprint: str) -> tuple[int, str, dict[str, str]] | None:
        row = self.account.state.row(
            "SELECT * FROM idempotency WHERE key = ? AND created > ?",
            [key, self.account.now() - IDEMPOTENCY_SECONDS],
        )
        if row is None:
            return None
        path = request.url.path
        if row["path"] != path:
            raise _idempotency_error(
                "Keys for idempotent requests can only be used for the same endpoint they were"
                f" first used for ('{path}' vs '{row['path']}'). Try using a key other than"
                f" '{key}' if you meant to execute a different request."
            )
        if row["fingerprint"] != fingerprint:
            raise _idempotency_error(
                "Keys for idempotent requests can only be used with the same parameters they were"
                f" first used with. Try using a key other than '{key}' if you meant to execute a"
                " different request."
            )
        headers = {"Idempotent-Replayed": "true", "Original-Request": row["request"]}
        return row["status"], row["body"], headers

    def _store_answer(self, request: Request, call: Call, fingerprint: str, status: int, body: str) -> None:
        self.account.state.execute(
            "INSERT OR REPLACE INTO idempotency"
            " (key, created, path, fingerprint, request, status, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                call.idempotency_key,
                self.account.now(),
                request.url.path,
                fingerprint,
                call.request_id,
                status,
                body,
            ],
        )


class _InFlight:
    """Holds an idempotency key while its request is being worked on."""

    def __init__(self, account: Account, key: str | None) -> None:
        self._account = account
        self._key = key

    def __enter__(self) -> None:
        if self._key is None:
            return
        if not 0 < len(self._key) <= 255:
            raise ApiError(
                400,
                "invalid_request_error",
                "Idempotency keys must have between 1 and 255 characters.",
                kept=False,
            )
        if self._key in self._account.in_flight:
            raise ApiError(
                409,
                "idempotency_error",
                "There is currently another in-progress request using this Idempotent Key (that"
                " probably means you submitted twice, and the other request is still going"
                f" through): {self._key}. Please try again later.",
                code="idempotency_key_in_use",
                kept=False,
            )
        self._account.in_flight.add(self._key)

    def __exit__(self, *_: object) -> None:
        if self._key is not None:
            self._account.in_flight.discard(self._key)


def authenticate(account: Account, request: Request) -> None:
    """Require the secret key, as a bearer token or as the user name of Basic credentials."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    given = ""
    if scheme.lower() == "bearer":
        given = credentials.strip()
    elif scheme.lower() == "basic":
        try:
            given = b64decode(credentials, validate=True).decode().partition(":")[0]
        except ValueError:
            given = ""
    if not given:
        raise ApiError(
            401,
            "invalid_request_error",
            "You did not provide an API key. You need to provide your API key in the Authorization"
            " header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
            kept=False,
        )
    if not hmac.compare_digest(given.encode(), account.settings.key.encode()):
        shown = f"{given[:8]}{'*' * max(0, len(given) - 12)}{given[-4:] if len(given) > 12 else ''}"
        raise ApiError(401, "invalid_request_error", f"Invalid API Key provided: {shown}", kept=False)


def forget_old_keys(account: Account) -> None:
    """Drop idempotency keys past the 24 hours for which they are remembered."""
    with account.state.transaction():
        account.state.execute("DELETE FROM idempotency WHERE created <= ?", [account.now() - IDEMPOTENCY_SECONDS])


def add_routes(app: FastAPI, api: Api) -> None:
    for endpoint in ENDPOINTS:
        app.add_route(f"/v1{endpoint.path}", _route(api, endpoint), methods=[endpoint.method])

    async def refuse(request: Request) -> Response:
        message = f"Unrecognized request URL ({request.method}: {request.url.path})."
        refusal = ApiError(404, "invalid_request_error", message)
        headers = {"Request-Id": new_id("req")[:18]}
        return Response(json.dumps(refusal.body()), 404, headers, "application/json")

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    app.add_route("/v1/{rest:path}", refuse, methods=methods, include_in_schema=False)


def _route(api: Api, endpoint: Endpoint) -> Callable[[Request], Any]:
    async def serve(request: Request) -> Response:
        return await api.serve(endpoint, request)

    return serve


def _known_version(version: str) -> str:
    if not _VERSION.match(version):
        raise ApiError(400, "invalid_request_error", f"Invalid Stripe API version: {version}", kept=False)
    return version


async def _raw_parameters(request: Request) -> Document:
    if request.method == "GET":
        return parsed(request.url.query)
    body = await request.body()
    if body and not request.headers.get("content-type", "").lower().startswith(FORM):
        raise ApiError(
            400,
            "invalid_request_error",
            f"Invalid request (check that your POST content type is {FORM}).",
            kept=False,
        )
    return parsed(body)


def _outcome(act: Callable[[], Document]) -> tuple[int, str]:
    """Status and body; a refusal that came after work began is an outcome like any other."""
    try:
        return 200, json.dumps(act(), ensure_ascii=False)
    except ApiError as refusal:
        if not refusal.kept:
            raise
        return refusal.status, json.dumps(refusal.body(), ensure_ascii=False)


def _fingerprint(request: Request, raw: Document) -> str:
    text = json.dumps([request.method, request.url.path, raw], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _idempotency_error(message: str) -> ApiError:
    return ApiError(400, "idempotency_error", message, kept=False)


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
