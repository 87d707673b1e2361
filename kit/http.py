"""Typed calls to a neighbour's JSON API: token, idempotency key, timeouts, and errors sorted by who can cure them."""

import asyncio
import time
from contextvars import ContextVar
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter

from kit.telemetry import request_id_var

Answer = TypeVar("Answer", bound=BaseModel)

TIMEOUT = httpx.Timeout(10.0, connect=3.0)
KEEPALIVE_SECONDS = 2.0
"""Shorter than any server's own patience (uvicorn: 5 s), or a request meets a connection that is just being closed."""

language_var: ContextVar[str] = ContextVar("language", default="vi")
"""Language of whoever asked us, passed on so that a neighbour's refusal is readable to them."""

_RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
_TOKEN_SLACK_SECONDS = 60


class Refused(Exception):
    """The neighbour understood and said no. Asking again the same way gives the same answer."""

    def __init__(self, status: int, kind: str, detail: str, document: dict[str, Any]) -> None:
        super().__init__(f"{status} {kind}: {detail}")
        self.status = status
        self.kind = kind
        self.detail = detail
        self.document = document


class Unreachable(Exception):
    """No answer, or a passing trouble of the neighbour. The call may have had its effect; repeat with the same key."""

    def __init__(self, reason: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


class TokenSource:
    """Client-credentials tokens, fetched when needed and kept until a minute before they expire."""

    def __init__(self, *, token_url: str, client_id: str, client_secret: str, http: httpx.AsyncClient) -> None:
        self._token_url = token_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._http = http
        self._token = ""
        self._expires_at = 0.0
        self._lock = asyncio.Lock()

    async def token(self) -> str:
        """A valid access token. Raises Unreachable or Refused."""
        async with self._lock:
            if time.monotonic() >= self._expires_at:
                await self._fetch()
            return self._token

    async def _fetch(self) -> None:
        form = {"grant_type": "client_credentials"}
        try:
            response = await self._http.post(self._token_url, data=form, auth=(self._client_id, self._client_secret))
        except httpx.HTTPError as error:
            raise Unreachable(f"identity provider: {type(error).__name__}") from error
        if response.status_code in _RETRYABLE:
            raise Unreachable(f"identity provider: {response.status_code}")
        if not response.is_success:
            raise Refused(response.status_code, "token-refused", "the identity provider refused the client", {})
        document = response.json()
        self._token = str(document["access_token"])
        self._expires_at = time.monotonic() + float(document.get("expires_in", 300)) - _TOKEN_SLACK_SECONDS


class JsonClient:
    """One neighbour. Holds a connection pool; safe to share between tasks."""

    def __init__(self, base_url: str, *, http: httpx.AsyncClient, tokens: TokenSource | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        self._http = http
        self._tokens = tokens

    async def call(
        self,
        method: str,
        path: str,
        answer: type[Answer],
        *,
        body: BaseModel | None = None,
        key: str | None = None,
        query: dict[str, str | int] | None = None,
    ) -> Answer:
        """Send and read one JSON document.

        `key` becomes the Idempotency-Key: give the same for every retry of the same intention.
        Raises Refused for answers that a retry cannot change, Unreachable for all that may pass.
        """
        headers = {"accept": "application/json", "accept-language": language_var.get()}
        if request_id_var.get() != "-":
            headers["x-request-id"] = request_id_var.get()
        if self._tokens is not None:
            headers["authorization"] = f"Bearer {await self._tokens.token()}"
        if key is not None:
            headers["idempotency-key"] = key
        content = None
        if body is not None:
            headers["content-type"] = "application/json"
            content = body.model_dump_json().encode()
        try:
            response = await self._http.request(
                method, self._base_url + path, content=content, headers=headers, params=query, timeout=TIMEOUT
            )
        except httpx.HTTPError as error:
            raise Unreachable(f"{method} {path}: {type(error).__name__}") from error
        return _read(response, answer, f"{method} {path}")


def _read(response: httpx.Response, answer: type[Answer], what: str) -> Answer:
    if response.is_success:
        return TypeAdapter(answer).validate_json(response.content)
    document = _problem_of(response)
    kind = str(document.get("type", "")).rsplit("/", 1)[-1] or "unknown"
    if response.status_code in _RETRYABLE or kind == "idempotency-key-in-flight":
        retry_after = response.headers.get("retry-after", "")
        seconds = float(retry_after) if retry_after.isdigit() else None
        raise Unreachable(f"{what}: {response.status_code} {kind}", seconds)
    raise Refused(response.status_code, kind, str(document.get("detail", "")), document)


def _problem_of(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
