"""What goes in and out about the log itself: published roots, verifiable receipts, corrections, bags."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from services.postal.contract import Key, PickupReceipt, Record, Strict

EventId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
ItemNumber = Annotated[str, StringConstraints(min_length=13, max_length=20)]
Words = Annotated[str, StringConstraints(min_length=3, max_length=400)]
Place = Annotated[str, StringConstraints(min_length=1, max_length=120)]
Seal = Annotated[str, StringConstraints(min_length=1, max_length=40)]


class Root(Record):
    """The published seal of one day (Vietnamese calendar).

    `root` is the RFC 6962 tree hash over the hashes of all facts received on that day, as 32 bytes each, in ascending
    order. `seal` is SHA-256 of the text `custody-root/1`, `day`, `size`, `root`, `previous_seal`, one a line, each
    ended by a line feed; it binds the day to all days before it.
    """

    day: date
    size: int
    root: str
    previous_day: date | None
    previous_seal: str
    seal: str
    published_at: datetime


class RootPage(Record):
    items: tuple[Root, ...]


class Proof(Record):
    """Where a fact stands in its day's tree, and the hashes that lead from it to the root, lowest first."""

    index: int
    size: int
    path: tuple[str, ...]


class SealedFact(Record):
    """A fact with everything its hash covers. `hash` is SHA-256 of `prev_hash`, a line feed and `body` in UTF-8."""

    position: int
    prev_hash: str
    hash: str
    body: str
    """Canonical JSON: keys sorted, no spaces."""


class ReceiptBundle(Record):
    """A receipt that proves itself, without any network: see `/verify`. Root and proof come the day after."""

    format: Literal["lien-thong-receipt/1"] = "lien-thong-receipt/1"
    issuer: str
    receipt: PickupReceipt
    fact: SealedFact
    root: Root | None
    proof: Proof | None


class ProposeCorrection(Strict):
    """Ask to have facts set aside (EPCIS 2.0: errorDeclaration). Somebody else must confirm it."""

    event_ids: Annotated[tuple[EventId, ...], Field(min_length=1, max_length=50)]
    reason: Literal["did_not_occur", "incorrect_data"]
    note: Words


class DecideCorrection(Strict):
    decision: Literal["confirm", "refuse"]


class Correction(Record):
    id: str
    shipment_id: str
    event_ids: tuple[str, ...]
    reason: str
    note: str
    status: Literal["proposed", "confirmed", "refused"]
    proposed_by: str
    proposed_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    event_id: str | None
    """The fact in the log by which the correction took effect."""


class CorrectionPage(Record):
    items: tuple[Correction, ...]


class CloseBag(Strict):
    """Put envelopes into a bag, seal it, send it off. `bag_key` is unique for ever."""

    bag_key: Key
    seal_number: Seal
    origin: Place
    destination: Place
    items: Annotated[tuple[ItemNumber, ...], Field(min_length=1, max_length=500)]


class OpenBag(Strict):
    """What was found in a bag when it was opened: every envelope is scanned, nothing is taken from the manifest."""

    seal_number: Seal
    items: Annotated[tuple[ItemNumber, ...], Field(max_length=1_000)]


class BagLine(Record):
    s10: str
    shipment_id: str
    outcome: Literal["found", "missing"] | None


class Bag(Record):
    """`count_out` equals `count_in` and `missing` and `surplus` are empty, or the difference is named."""

    id: str
    bag_key: str
    seal_number: str
    origin: str
    destination: str
    count_in: int
    count_out: int | None
    lines: tuple[BagLine, ...]
    missing: tuple[str, ...]
    surplus: tuple[str, ...]
    seal_intact: bool | None
    closed_by: str
    closed_at: datetime
    opened_by: str | None
    opened_at: datetime | None


class TakenIn(Record):
    """What became of a carrier's messages, by number."""

    recorded: int
    unmapped: int
    unknown_item: int
    ignored: int
    repeated: int


class EmsevtEvent(Record):
    """One event in the words of UPU EMSEVT V3; reason and measure are codes of ours."""

    code: str
    s10: str
    occurred_at: datetime
    office: str
    reason: str | None
    measure: str | None


class EmsevtEvents(Record):
    events: tuple[EmsevtEvent, ...]


class CustodyGap(Record):
    """A handover that was begun and that nobody has accepted; the custodian is still the one who released."""

    shipment_id: str
    s10: str
    status: str
    custodian: str
    release_to: str
    release_since: datetime
    age_seconds: int


class CustodyGaps(Record):
    items: tuple[CustodyGap, ...]
