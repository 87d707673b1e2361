"""Faults on request: scripted for requests that match, or asked for in a request's own header.

A script is stored, consumed once per matching request, and survives a restart. The header
`Sandbox-Fault: effect` (or `effect;seconds=2`) works on its own request only.
"""

import asyncio
import contextlib
import fnmatch
import json
from dataclasses import dataclass
from typing import Any, Literal, get_args

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.gateway.account import Account
from sandbox.gateway.errors import ApiError, invalid_parameter

Effect = Literal["timeout_before", "timeout_after", "500", "429", "reset", "reset_after", "slow"]
EFFECTS: tuple[str, ...] = get_args(Effect)
DEFAULT_SECONDS = {"timeout_before": 60.0, "timeout_after": 60.0, "slow": 2.0}


@dataclass(frozen=True)
class Fault:
    """One effect to apply to one request; `seconds` is how long it hangs or waits."""

    effect: str
    seconds: float


NO_FAULT = Fault("none", 0.0)


def add_fault(account: Account, match: dict[str, str], effect: Effect, *, seconds: float | None, times: int) -> None:
    account.state.execute(
        "INSERT INTO faults (match, effect, seconds, remaining) VALUES (?, ?, ?, ?)",
        [json.dumps(match), effect, seconds, times],
    )


def pending_faults(account: Account) -> list[dict[str, Any]]:
    rows = account.state.rows("SELECT * FROM faults WHERE remaining > 0 ORDER BY seq")
    return [{**dict(row), "match": json.loads(row["match"])} for row in rows]


def fault_for(account: Account, request: Request, raw: dict[str, Any]) -> Fault:
    """The fault this request meets; a scripted one is used up by it."""
    if header := request.headers.get("sandbox-fault"):
        return _from_header(header)
    for row in account.state.rows("SELECT * FROM faults WHERE remaining > 0 ORDER BY seq"):
        match = json.loads(row["match"])
        if all(_matches(account, request, raw, key, value) for key, value in match.items()):
            account.state.execute("UPDATE faults SET remaining = remaining - 1 WHERE seq = ?", [row["seq"]])
            return _fault(row["effect"], row["seconds"])
    return NO_FAULT


async def before(fault: Fault, request: Request) -> None:
    """Apply what happens before any work is done, instead of it."""
    if fault.effect == "timeout_before":
        await hang(fault, request)
    elif fault.effect == "reset":
        raise ConnectionDropped
    elif fault.effect == "500":
        raise ApiError(500, "api_error", "An unknown error occurred", kept=False)
    elif fault.effect == "429":
        raise ApiError(
            429,
            "invalid_request_error",
            "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.",
            code="rate_limit",
            kept=False,
        )


async def during(fault: Fault) -> None:
    """Make the work itself slow: its idempotency key is taken meanwhile."""
    if fault.effect == "slow":
        await asyncio.sleep(fault.seconds)


async def after(fault: Fault, request: Request) -> None:
    """Apply what happens once the work is done and committed, instead of an answer."""
    if fault.effect == "timeout_after":
        await hang(fault, request)
    elif fault.effect == "reset_after":
        raise ConnectionDropped


async def hang(fault: Fault, request: Request) -> None:
    """Stay silent until the client gives up or the time is over, then drop the connection."""

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(fault.seconds):
            # The body has been read: the only message still to come is the disconnection.
            while (await request.receive())["type"] != "http.disconnect":
                continue
    raise ConnectionDropped


class ConnectionDropped(ConnectionResetError):
    """The connection breaks without an answer."""


class ConnectionDropper:
    """Turns `ConnectionDropped` into a TCP connection that really breaks."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except ConnectionDropped:
            # ASGI has no word for this; uvicorn's `receive` is a method of the object that owns
            # the transport. A caller without a transport gets the exception itself.
            cycle = getattr(receive, "__self__", None)
            transport = getattr(cycle, "transport", None)
            if transport is None:
                raise
            transport.abort()


def _from_header(header: str) -> Fault:
    effect, *options = (part.strip() for part in header.split(";"))
    if effect not in EFFECTS:
        raise invalid_parameter(f"Unknown fault; known: {', '.join(EFFECTS)}", "Sandbox-Fault")
    seconds = None
    for option in options:
        name, _, value = option.partition("=")
        if name == "seconds":
            with contextlib.suppress(ValueError):
                seconds = float(value)
    return _fault(effect, seconds)


def _fault(effect: str, seconds: float | None) -> Fault:
    return Fault(effect, DEFAULT_SECONDS.get(effect, 0.0) if seconds is None else seconds)


def _matches(account: Account, request: Request, raw: dict[str, Any], key: str, wanted: str) -> bool:
    """Whether the request has the value: `path` and `method`, or a parameter by its dotted name.

    A request about an existing payment intent is also matched by that intent's metadata.
    """
    if key == "path":
        return fnmatch.fnmatchcase(request.url.path, wanted)
    if key == "method":
        return request.method == wanted.upper()
    value: object = raw
    for name in key.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if value is None and key.startswith("metadata."):
        value = _stored_metadata(account, request, raw).get(key.removeprefix("metadata."))
    return value == wanted


def _stored_metadata(account: Account, request: Request, raw: dict[str, Any]) -> dict[str, str]:
    intent = request.path_params.get("intent") or raw.get("payment_intent")
    row = account.state.row("SELECT document FROM payment_intents WHERE id = ?", [intent])
    return dict(json.loads(row["document"])["metadata"]) if row else {}
