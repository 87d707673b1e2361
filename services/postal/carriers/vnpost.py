"""An adapter in the shape of Vietnam Post's partner interface: orders, labels, messages by webhook and by polling.

The partner documentation is not public. What is known of it is kept: each message has a transaction id that is unique
per status (`ems-transaction`), receivers sort by `datetime`, an order has a reference beside the item number. Paths and
field names stand in one place here, to be set right when a contract brings the document.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from kit.errors import BadInput
from kit.http import TIMEOUT, Refused, Unreachable
from services.postal.carriers.protocol import BadSignature, Booked, CarrierEvent, Order

WINDOW = timedelta(minutes=5)
"""Signed messages older or newer than this are refused: they may be somebody's recording."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    transaction: str = Field(alias="ems-transaction", min_length=1, max_length=120)
    order_code: str = Field(min_length=1, max_length=60)
    status_code: str = Field(min_length=1, max_length=30)
    happened: AwareDatetime = Field(alias="datetime")
    office: str = Field(default="", max_length=120)
    reason_code: str | None = Field(default=None, max_length=30)

    def as_event(self) -> CarrierEvent:
        return CarrierEvent(
            key=self.transaction,
            reference=self.order_code,
            code=self.status_code,
            occurred_at=self.happened,
            place=self.office,
            reason_code=self.reason_code,
            body=self.model_dump(mode="json", by_alias=True),
        )


class VnpostCarrier:
    """Talks to one partner account."""

    name = "vnpost"

    def __init__(self, http: httpx.AsyncClient, *, url: str, token: str, webhook_secret: str) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {token}"}
        self._secret = webhook_secret.encode()

    async def create_order(self, order: Order) -> Booked:
        """Place an order; the same key gives the same order. Raises Refused, Unreachable."""
        content = {
            "client_order_key": order.key,
            "item_code": order.s10,
            "sender_commune": order.sender_commune,
            "receiver_commune": order.receiver_commune,
            "weight": order.weight_grams,
            "collect_amount": order.collect_dong,
            "note": order.note,
        }
        answer = await self._call("POST", "/orders", content=content)
        return Booked(reference=str(answer.json()["order_code"]))

    async def cancel_order(self, reference: str) -> None:
        """Call an order off; a second time is harmless. Raises Refused once the envelope is taken."""
        await self._call("POST", f"/orders/{reference}/cancel")

    async def label(self, reference: str) -> bytes:
        """The carrier's own label, as PDF."""
        return (await self._call("GET", f"/orders/{reference}/label")).content

    async def events_since(self, cursor: str) -> tuple[list[CarrierEvent], str]:
        """Messages after a cursor, oldest first, and the cursor after them."""
        answer = await self._call("GET", "/events", query={"after": cursor} if cursor else {})
        document = answer.json()
        return _read(document["events"]), str(document["cursor"])

    def read_webhook(self, headers: Mapping[str, str], body: bytes, *, at: datetime) -> list[CarrierEvent]:
        """Messages sent to us: HMAC-SHA256 over `timestamp.body`, compared in constant time, five minutes at most."""
        stamp, signature = headers.get("x-vnpost-timestamp", ""), headers.get("x-vnpost-signature", "")
        expected = sign(self._secret, stamp, body)
        recent = stamp.isascii() and stamp.isdigit() and len(stamp) <= 12
        recent = recent and abs(at.timestamp() - int(stamp)) <= WINDOW.total_seconds()
        if not (recent and hmac.compare_digest(signature.encode(), expected.encode())):
            raise BadSignature(
                "Chữ ký của thông điệp không đúng hoặc đã quá 5 phút; hãy ký lại bằng khóa hiện hành.",
                "The signature is not right or older than five minutes; sign again with the present key.",
            )
        try:
            document = json.loads(body)
        except ValueError as error:
            raise _not_understood() from error
        return _read(document.get("events") if isinstance(document, dict) else None)

    async def _call(
        self, method: str, path: str, *, content: dict[str, Any] | None = None, query: dict[str, str] | None = None
    ) -> httpx.Response:
        try:
            answer = await self._http.request(
                method, self._url + path, json=content, params=query, headers=self._headers, timeout=TIMEOUT
            )
        except httpx.TransportError as error:
            raise Unreachable(type(error).__name__) from error
        if answer.status_code >= 500 or answer.status_code in (408, 425, 429):
            raise Unreachable(f"status {answer.status_code}")
        if answer.status_code >= 400:
            raise Refused(answer.status_code, "carrier-refused", answer.text[:200], {})
        return answer


def sign(secret: bytes, stamp: str, body: bytes) -> str:
    """The signature of a message, in hexadecimal."""
    return hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _read(messages: object) -> list[CarrierEvent]:
    if not isinstance(messages, list):
        raise _not_understood()
    try:
        events = [_Message.model_validate(message).as_event() for message in messages]
    except ValidationError as error:
        raise _not_understood() from error
    return sorted(events, key=lambda event: (event.occurred_at, event.key))


def _not_understood() -> BadInput:
    return BadInput(
        "Thông điệp không đúng cấu trúc đã thỏa thuận; hãy gửi danh sách `events`.",
        "The message does not have the agreed structure; send a list `events`.",
    )
