"""What the post asks of any carrier, whoever it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from kit.errors import Forbidden


class BadSignature(Forbidden):
    """A message does not carry the carrier's signature, or is too old."""

    kind = "bad-signature"


@dataclass(frozen=True, slots=True)
class Order:
    """What a carrier must know to fetch and bring one envelope. `key` makes a repeat the same order."""

    key: str
    s10: str
    sender_commune: str
    receiver_commune: str
    weight_grams: int
    collect_dong: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Booked:
    """The carrier's own number of an order."""

    reference: str


@dataclass(frozen=True, slots=True)
class CarrierEvent:
    """One message of a carrier about an item. `key` is its own id: the same key is the same message."""

    key: str
    reference: str
    code: str
    occurred_at: datetime
    place: str = ""
    reason_code: str | None = None
    body: Mapping[str, Any] | None = None


class Carrier(Protocol):
    """A carrier's interface. Calls raise `kit.http.Refused` and `kit.http.Unreachable`."""

    @property
    def name(self) -> str:
        """Short name, which is also the name of its status map."""
        ...

    async def create_order(self, order: Order) -> Booked:
        """Place an order; the same key gives the same order."""
        ...

    async def cancel_order(self, reference: str) -> None:
        """Call an order off; a second time is harmless."""
        ...

    async def label(self, reference: str) -> bytes:
        """The carrier's own label, as PDF."""
        ...

    async def events_since(self, cursor: str) -> tuple[list[CarrierEvent], str]:
        """Messages after a cursor ("" for all), oldest first, and the cursor after them."""
        ...

    def read_webhook(self, headers: Mapping[str, str], body: bytes, *, at: datetime) -> list[CarrierEvent]:
        """Messages that the carrier has sent by itself. Raises BadSignature, BadInput."""
        ...
