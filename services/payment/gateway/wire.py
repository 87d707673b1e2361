"""The Stripe wire itself: forms with brackets, keys, versions, retries within a total time, and its error taxonomy."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from services.payment.gateway.documents import intent_of
from services.payment.gateway.protocol import (
    CardRefused,
    Document,
    GatewayFailed,
    GatewayRefused,
    GatewayUnreachable,
    KeyConflict,
    NotAuthorised,
    RateLimited,
    RequestRefused,
)

log = logging.getLogger(__name__)

PAGE = 100
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 4.0
_request_id: ContextVar[str] = ContextVar("gateway_request_id", default="")


class Wire:
    """One account at one gateway of the Stripe wire. Holds no state of its own; safe to share between tasks."""

    def __init__(
        self,
        *,
        url: str,
        key: str,
        http: httpx.AsyncClient,
        version: str,
        timeout_seconds: float,
        total_seconds: float,
    ) -> None:
        self._url = url.rstrip("/")
        self._key = key
        self._http = http
        self._version = version
        self._timeout = httpx.Timeout(timeout_seconds, connect=min(3.0, timeout_seconds))
        self._total_seconds = total_seconds

    @property
    def last_request_id(self) -> str:
        """The gateway's name for the last call of the running task."""
        return _request_id.get()

    async def pages(self, path: str, query: Document) -> AsyncIterator[Document]:
        """Every object of a list, page after page."""
        cursor: Document = {}
        while True:
            page = await self.call("GET", path, query={**query, **cursor, "limit": PAGE})
            items = page.get("data", [])
            for item in items:
                yield item
            if not page.get("has_more") or not items or items[-1].get("id") == cursor.get("starting_after"):
                return
            cursor = {"starting_after": items[-1]["id"]}

    async def call(
        self, method: str, path: str, *, form: Document | None = None, query: Document | None = None, key: str = ""
    ) -> Document:
        """Send, and send again what may pass, until an answer or until the total time is over.

        Raises GatewayRefused, or GatewayUnreachable when the effect of the call is not known.
        """
        headers = {"authorization": f"Bearer {self._key}", "stripe-version": self._version}
        content = None
        if form is not None:
            headers["content-type"] = "application/x-www-form-urlencoded"
            content = urlencode(nested(form)).encode()
        if key:
            headers["idempotency-key"] = key
        address = self._url + path + (f"?{urlencode(nested(query))}" if query else "")
        request = self._http.build_request(method, address, content=content, headers=headers, timeout=self._timeout)
        deadline = time.monotonic() + self._total_seconds
        _request_id.set("")
        tries = 0
        while True:
            tries += 1
            answer, problem = await self._try(request, deadline)
            pause = min(_FIRST_PAUSE_SECONDS * 2 ** min(tries - 1, 10), _LONGEST_PAUSE_SECONDS)
            pause *= random.uniform(0.5, 1.0)  # noqa: S311 — spreads retries, protects nothing
            if answer is not None:
                if not may_pass(answer):
                    return self._read(answer, method, path)
                pause = max(pause, retry_after(answer, datetime.now(UTC)))
            if time.monotonic() + pause >= deadline:
                raise _gave_up(f"{method} {path}", answer, problem, tries)
            await asyncio.sleep(pause)

    async def _try(self, request: httpx.Request, deadline: float) -> tuple[httpx.Response | None, str]:
        """One sending: an answer, or what went wrong on the way."""
        started = time.monotonic()
        answer, problem = None, ""
        try:
            # The timeouts of a connection begin anew with every byte; the deadline does not.
            async with asyncio.timeout(max(deadline - started, 0.01)):
                answer = await self._http.send(request)
        except httpx.HTTPError as error:
            problem = type(error).__name__
        except TimeoutError:
            problem = "no answer in the total time"
        else:
            _request_id.set(answer.headers.get("request-id", ""))
        log.info(
            "gateway call",
            extra={
                "call": f"{request.method} {request.url.path}",
                "status": answer.status_code if answer is not None else problem,
                "gateway_request_id": answer.headers.get("request-id", "") if answer is not None else "",
                "seconds": round(time.monotonic() - started, 3),
            },
        )
        return answer, problem

    def _read(self, answer: httpx.Response, method: str, path: str) -> Document:
        what, request_id = f"{method} {path}", answer.headers.get("request-id", "")
        try:
            document = answer.json()
        except ValueError as error:
            raise GatewayFailed(f"{what}: {answer.status_code} without JSON", request_id=request_id) from error
        if not isinstance(document, dict):
            raise GatewayFailed(f"{what}: {answer.status_code} without an object", request_id=request_id)
        if answer.is_success:
            return document
        raise _refusal(answer.status_code, document.get("error"), what=what, request_id=request_id)


def path_of(*parts: str) -> str:
    """A path under /v1; ids go in as one segment each, whatever they contain."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def nested(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Form pairs of a nested document, as the wire wants them: `metadata[a]=b`, `expand[0]=c`, `confirm=true`."""
    pairs: list[tuple[str, str]] = []

    def put(name: str, value: Any) -> None:  # noqa: ANN401 — any JSON
        if isinstance(value, Mapping):
            for inner, child in value.items():
                put(f"{name}[{inner}]" if name else str(inner), child)
        elif isinstance(value, list | tuple):
            for index, child in enumerate(value):
                put(f"{name}[{index}]", child)
        elif isinstance(value, bool):
            pairs.append((name, "true" if value else "false"))
        else:
            pairs.append((name, str(value)))

    put("", document)
    return pairs


def may_pass(answer: httpx.Response) -> bool:
    """Whether to send again: as the gateway wishes, else for conflicts, rate limits and failures of its own."""
    wish = answer.headers.get("stripe-should-retry")
    if wish in ("true", "false"):
        return bool(wish == "true")
    return answer.status_code in (409, 429) or answer.status_code >= 500


def retry_after(answer: httpx.Response, at: datetime) -> float:
    """Seconds the gateway asks us to wait, given in seconds or as a date (RFC 9110 §10.2.3); 0 when it asks nothing."""
    wish = answer.headers.get("retry-after", "").strip()
    if wish.isdigit():
        return float(wish)
    try:
        return max((parsedate_to_datetime(wish) - at).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return 0.0


def _gave_up(what: str, answer: httpx.Response | None, problem: str, tries: int) -> GatewayUnreachable:
    if answer is None:
        return GatewayUnreachable(f"{what}: {problem} ({tries} tries)")
    request_id = answer.headers.get("request-id", "")
    text = f"{what}: {answer.status_code} ({tries} tries)"
    if answer.status_code == 429:
        return RateLimited(text, request_id=request_id)
    return GatewayFailed(text, request_id=request_id)


def _refusal(status: int, body: object, *, what: str, request_id: str) -> GatewayRefused | GatewayUnreachable:
    """The error of an answer that repeating does not change."""
    error = body if isinstance(body, dict) else {}
    kind, message = str(error.get("type") or ""), str(error.get("message") or "")
    if status in (401, 403):
        return NotAuthorised(f"{what}: {status} {message or 'not authorised'}", request_id=request_id)
    if kind == "idempotency_error":
        log.error("a key was used for two requests", extra={"call": what, "gateway_request_id": request_id})
        return KeyConflict(f"{what}: {status} {message}", request_id=request_id)
    if status == 429:
        return RateLimited(f"{what}: 429 {message}", request_id=request_id)
    if status >= 500 or kind == "api_error" or status == 409:
        return GatewayFailed(f"{what}: {status} {message}", request_id=request_id)
    intent = error.get("payment_intent")
    refused = CardRefused if kind == "card_error" or status == 402 else RequestRefused
    return refused(
        status,
        str(error.get("decline_code") or error.get("code") or kind or "unknown"),
        message,
        kind=kind,
        param=str(error.get("param") or ""),
        request_id=request_id,
        intent=intent_of(intent) if isinstance(intent, dict) and "id" in intent else None,
    )
