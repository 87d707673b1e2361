"""The gateway's wire API: authentication, parameters, idempotency and the routes under /v1."""

import hashlib
import hmac
import json
import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.gateway import faults
from sandbox.gateway.account import API_VERSION, Account, Call, Document, encoded, new_id
from sandbox.gateway.desk import Desk
from sandbox.gateway.endpoints import ENDPOINTS, Endpoint
from sandbox.gateway.errors import ApiError
from sandbox.gateway.events import Announcer
from sandbox.gateway.parameters import checked, parsed

FORM = "application/x-www-form-urlencoded"
IDEMPOTENCY_SECONDS = 24 * 3600
_VERSION = re.compile(r"^\d{4}-\d{2}-\d{2}(\.[a-z_]+)?$")


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
            call = Call(request_id, key, _base_url(request))
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
            return 200, encoded(act()), {}
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


class Dispatcher:
    """Takes what lies under /v1 straight to its endpoint; everything else goes on to `app`."""

    def __init__(self, app: ASGIApp, api: Api) -> None:
        self._app = app
        self._api = api
        self._table = {_shape_of(endpoint): endpoint for endpoint in ENDPOINTS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        noun, *rest = scope["path"].removeprefix("/v1/").split("/")
        endpoint = self._table.get((scope["method"], noun, len(rest), rest[1] if len(rest) > 1 else ""))
        if endpoint is None or "" in (noun, *rest):
            answer = _unrecognised(scope["method"], scope["path"])
        else:
            name = endpoint.path.split("/")[2][1:-1] if rest else ""
            scope["path_params"] = {name: rest[0]} if rest else {}
            answer = await self._api.serve(endpoint, Request(scope, receive))
        await answer(scope, receive, send)


def _shape_of(endpoint: Endpoint) -> tuple[str, str, int, str]:
    """Method, noun, how many segments follow it, and the last of them where it is a verb."""
    noun, *rest = endpoint.path.removeprefix("/").split("/")
    return endpoint.method, noun, len(rest), rest[1] if len(rest) > 1 else ""


def _unrecognised(method: str, path: str) -> Response:
    refusal = ApiError(404, "invalid_request_error", f"Unrecognized request URL ({method}: {path}).")
    headers = {"Request-Id": new_id("req")[:18]}
    return Response(encoded(refusal.body()), 404, headers, "application/json")


def _base_url(request: Request) -> str:
    return f"{request.scope['scheme']}://{request.headers.get('host', '')}/"


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
        return 200, encoded(act())
    except ApiError as refusal:
        if not refusal.kept:
            raise
        return refusal.status, encoded(refusal.body())


def _fingerprint(request: Request, raw: Document) -> str:
    text = json.dumps([request.method, request.url.path, raw], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _idempotency_error(message: str) -> ApiError:
    return ApiError(400, "idempotency_error", message, kept=False)
