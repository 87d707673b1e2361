"""Whether a webhook is the gateway's: its signature over the raw bytes, before anything in them is believed."""

import hashlib
import hmac
import json

from kit.errors import Unauthenticated
from services.payment.gateway.documents import event_of
from services.payment.gateway.protocol import GatewayEvent

TOLERANCE_SECONDS = 300


def verified_event(secret: str, *, header: str, body: bytes, now: float) -> GatewayEvent:
    """The event of a webhook. Raises Unauthenticated unless signed with our secret within the last five minutes."""
    if not secret:
        raise ValueError("an empty webhook secret would believe everybody")
    parts = [part.partition("=") for part in header.split(",")]
    stamp = next((value for name, _, value in parts if name.strip() == "t"), "")
    given = [value for name, _, value in parts if name.strip() == "v1"]
    expected = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    genuine = any([hmac.compare_digest(expected.encode(), value.encode()) for value in given])  # noqa: C419 — all of them
    fresh = stamp.isascii() and stamp.isdigit() and len(stamp) < 12 and abs(now - int(stamp)) <= TOLERANCE_SECONDS
    if not genuine or not fresh:
        raise _not_believed()
    try:
        event = event_of(json.loads(body, parse_constant=_refuse_constant))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _not_believed() from error
    if not 0 < len(event.id) <= 200 or len(event.kind) > 200:
        raise _not_believed()
    return event


def _refuse_constant(name: str) -> None:
    """NaN and the infinities are Python's, not JSON's."""
    raise ValueError(name)


def _not_believed() -> Unauthenticated:
    return Unauthenticated(
        "Chữ ký của thông báo không hợp lệ hoặc đã quá 5 phút.",
        "The signature of this webhook is not valid, or is older than 5 minutes.",
    )
