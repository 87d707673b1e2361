"""Credit notices: told to the account holder as signed webhooks in the Standard Webhooks manner."""

import base64
import binascii
import hashlib
import hmac
import json
import secrets

from sandbox.wire import Message

EVENT = "transfer.credited"


def credit_notice(data: dict[str, str | int], *, url: str, secret: str) -> Message:
    """The notice of one credit, ready for delivery."""
    body = json.dumps({"type": EVENT, "data": data}, ensure_ascii=False, separators=(",", ":"))
    return Message(f"msg_{secrets.token_hex(12)}", EVENT, "holder", url, secret, body)


def signing_key(secret: str) -> bytes:
    """The bytes of a `whsec_…` secret; raises `ValueError` when it is not base64."""
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("the notify secret must be base64, optionally after whsec_") from None


def signed(message: Message, timestamp: int) -> dict[str, str]:
    """The three Standard Webhooks headers: id, time of sending, and HMAC-SHA256 over both and body."""
    content = f"{message.id}.{timestamp}.{message.body}".encode()
    digest = hmac.new(signing_key(message.secret), content, hashlib.sha256).digest()
    return {
        "webhook-id": message.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
