"""What other rooms may know of the postal service: contacts, shipments, courier events, claims, remittances."""

from datetime import date, datetime
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
    model_validator,
)

from kit.money import Dong, PositiveDong

Direction = Literal["outbound", "return"]
"""outbound: citizen → agency; return: agency → citizen."""

ShipmentStatus = Literal[
    "draft",
    "booked",
    "pickup_in_progress",
    "pickup_failed",
    "collected_pending_evidence",
    "collected",
    "at_origin_office",
    "in_transit",
    "at_delivery_office",
    "held",
    "out_for_delivery",
    "attempt_failed",
    "ready_for_collection",
    "delivered_pending_evidence",
    "delivered",
    "returning",
    "returned",
    "investigating",
    "lost",
    "damaged",
    "cancelled",
]
PickupStatus = Literal[
    "requested",
    "accepted",
    "rejected",
    "collected",
    "partially_collected",
    "failed",
    "cancelled",
    "expired",
]
"""The visit to fetch the papers: a machine of its own beside the leg's."""
FieldKind = Literal[
    "pickup_accepted",
    "pickup_rejected",
    "pickup_started",
    "pickup_failed",
    "pickup_expired",
    "collected",
    "partially_collected",
    "arrived_origin_office",
    "departed",
    "arrived_delivery_office",
    "held",
    "released",
    "out_for_delivery",
    "attempt_failed",
    "ready_for_collection",
    "handed_over",
    "evidence_added",
    "return_started",
    "returned",
    "investigation_opened",
    "found",
    "declared_lost",
    "declared_damaged",
    "cancelled",
    "custody_released",
    "custody_accepted",
    "missing_from_bag",
]
"""What couriers, offices and carriers may report."""
EventKind = Literal[FieldKind, "evidence_stored", "corrected", "unmapped"]
"""Every fact of the log. The last three are written by the service itself: a named file has arrived; two people
correct the log; a carrier sent a code that no map knows."""
Custodian = Literal["citizen", "courier", "post_office", "transport", "agency", "nobody_known"]
ReasonCode = Literal[
    "R01",
    "R02",
    "R03",
    "R04",
    "R05",
    "R06",
    "R07",
    "R08",
    "R09",
    "R10",
    "R11",
    "R12",
    "R13",
    "R14",
    "R15",
    "R16",
    "R20",
    "R21",
    "R22",
    "R23",
]
MeasureCode = Literal["M1", "M2", "M3", "M4", "M5", "M6"]
Task = Literal["pick_up", "hand_in", "take_out", "deliver", "keep"]
ClaimStatus = Literal["submitted", "in_review", "approved", "rejected", "paid"]
DOSSIER_CODE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9.\-]{3,63}$"
DossierCode = Annotated[str, StringConstraints(pattern=DOSSIER_CODE_PATTERN)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=120)]
Commune = Annotated[str, StringConstraints(pattern=r"^\d{5}$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class PutContact(Strict):
    """Where the citizen of a dossier lives. Kept here so that workflow histories carry no name, address or phone."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    phone: Annotated[str, StringConstraints(pattern=r"^\+?\d{8,15}$")]
    address: Annotated[str, StringConstraints(min_length=1, max_length=300)]
    commune: Commune


class Contact(Record):
    """The answer never repeats the phone in full: other services need the id only."""

    id: str
    dossier_code: str
    commune: str


class CashShare(Strict):
    """The part of the cash that belongs to one owner: the state's fee, the agency's charge, the post's postage."""

    item: Key
    kind: Literal["fee", "charge", "postage", "collection"]
    owner: Key
    amount_dong: PositiveDong


class Money(Strict):
    """What the courier must collect in cash at the door, by line owner."""

    amount_dong: PositiveDong
    payment_id: Key
    attempt_reference: Key
    lines: Annotated[tuple[CashShare, ...], Field(max_length=50)] = ()
    """Whose money it is; empty when the caller does not say. Together they are the amount."""

    @model_validator(mode="after")
    def _the_lines_are_the_amount(self) -> Self:
        if self.lines and sum(line.amount_dong for line in self.lines) != self.amount_dong:
            raise ValueError("the lines together must be the amount")
        return self

    @model_serializer(mode="wrap")
    def _without_empty_lines(self, serialise: SerializerFunctionWrapHandler) -> dict[str, object]:
        """A booking made by older code is the same booking when it comes again."""
        document: dict[str, object] = serialise(self)
        if not self.lines:
            document.pop("lines", None)
        return document


class QuotedPostage(Strict):
    """One line of the quote that speaks of this leg, in đồng; `basis`: the rules and instruments it rests on."""

    item: Key
    gross_dong: Dong
    due_dong: Dong
    basis: Annotated[tuple[Annotated[str, StringConstraints(max_length=200)], ...], Field(max_length=50)] = ()


class FrozenQuote(Strict):
    """What the postage of a leg was computed from, frozen when it was booked: fees prices, the post keeps the proof."""

    quote_id: Key
    inputs_hash: Key
    catalogue_version: Key
    agreement: Key
    """Id of the price agreement between the province and the post."""
    lines: Annotated[tuple[QuotedPostage, ...], Field(min_length=1, max_length=20)]


class CreateShipment(Strict):
    """Book one leg. `shipment_key` is unique for ever: the second time returns the first shipment."""

    shipment_key: Key
    dossier_code: DossierCode
    direction: Direction
    contact_id: Key
    agency: Key
    agency_commune: Commune
    weight_grams: Annotated[int, Field(strict=True, ge=1, le=30_000)]
    postage_dong: Dong
    """Gross postage of this leg as quoted: the base of compensation."""
    checklist: Annotated[
        tuple[Annotated[str, StringConstraints(min_length=1, max_length=200)], ...],
        Field(min_length=1, max_length=50),
    ]
    cash: Money | None = None
    pickup_by: datetime | None = None
    previous_shipment_id: Key | None = None
    quote: FrozenQuote | None = None

    @model_validator(mode="after")
    def _the_quote_is_of_this_postage(self) -> Self:
        if self.quote is not None and sum(line.gross_dong for line in self.quote.lines) != self.postage_dong:
            raise ValueError("the lines of the quote must sum to postage_dong")
        return self


class Piece(Record):
    """One paper on the checklist and whether it is in the envelope."""

    position: int
    name: str
    collected: bool


class ShipmentEvent(Record):
    """One fact of the log, as stored. `applied` is false for an illegal or late fact; `anomaly` says why."""

    id: str
    kind: str
    occurred_at: datetime
    received_at: datetime
    device_id: str
    device_seq: int
    actor: str
    place: str
    reason: str | None
    measure: str | None
    applied: bool
    anomaly: str | None
    note: str


class Shipment(Record):
    id: str
    s10: str
    dossier_code: str
    direction: Direction
    status: ShipmentStatus
    custodian: Custodian
    agency: str
    weight_grams: int
    postage_dong: int
    pieces: tuple[Piece, ...]
    seal_number: str | None
    cash_due_dong: int
    cash_collected_dong: int
    attempts: int
    held_until: date | None
    receipt_code: str | None
    tracking_url: str
    created_at: datetime
    version: int
    pickup_status: PickupStatus = "requested"
    files_missing: int = 0
    """Evidence files that facts have named and that have not arrived."""
    release_since: datetime | None = None
    """A handover that was begun and not accepted: since when; the custodian is still the one who released."""
    release_to: str | None = None


class KeptQuote(Record):
    """The frozen quote of a leg; `sha256` is of its canonical JSON."""

    quote: FrozenQuote
    sha256: str


class ShipmentDetail(Shipment):
    events: tuple[ShipmentEvent, ...]
    quote: KeptQuote | None = None


class ShipmentPage(Record):
    items: tuple[Shipment, ...]
    next_cursor: str | None = None


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileKind = Literal[
    "seal_photo",
    "handover_photo",
    "door_photo",
    "citizen_signature",
    "courier_signature",
    "receiver_signature",
    "authorisation",
    "receipt",
]


class EvidenceFile(Strict):
    """A file that belongs to a fact, by its content. Until it has arrived the fact closes nothing."""

    kind: FileKind
    sha256: Sha256


class Evidence(Strict):
    """Proof of a handover. At pickup: ticks, seal, two signatures; at delivery: who received, and how it was proved.

    `code` is what the receiver shows or reads out (`codes.receiver_code`); a phone without signal checks it against
    its seal, and the service checks it again when the fact arrives.
    """

    collected_positions: Annotated[tuple[int, ...], Field(max_length=50)] = ()
    page_count: Annotated[int, Field(strict=True, ge=0, le=10_000)] | None = None
    seal_number: Annotated[str, StringConstraints(max_length=40)] | None = None
    citizen_signature_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    courier_signature_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    receiver: Literal["addressee", "authorised_person", "agency_officer"] | None = None
    proof: Literal["code", "signature", "photo"] | None = None
    code: Annotated[str, StringConstraints(max_length=40)] | None = None
    files: Annotated[tuple[EvidenceFile, ...], Field(max_length=12)] = ()


class Party(Strict):
    """Somebody who holds papers: in a release the one who is to take them, in an acceptance the one who took them."""

    custodian: Literal["citizen", "courier", "post_office", "transport", "agency"]
    name: Annotated[str, StringConstraints(min_length=1, max_length=120)]


class EventBody(Strict):
    """One fact, whoever brings it. `event_id` is made by the device; sending again is harmless."""

    event_id: Annotated[
        str,
        StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"),
    ]
    s10: Annotated[str, StringConstraints(min_length=13, max_length=20)]
    kind: EventKind
    occurred_at: datetime
    """By the clock of the device, with its offset; `PostEvents.clocks` corrects a wrong clock."""
    device_id: Key
    device_seq: Annotated[int, Field(strict=True, ge=1)]
    place: Annotated[str, StringConstraints(max_length=120)] = ""
    reason: ReasonCode | None = None
    measure: MeasureCode | None = None
    cash_collected_dong: Dong = 0
    evidence: Evidence | None = None
    note: Annotated[str, StringConstraints(max_length=500)] = ""
    party: Party | None = None
    """Of `custody_released` and `custody_accepted` only."""

    @model_validator(mode="after")
    def _time_has_an_offset(self) -> Self:
        if self.occurred_at.tzinfo is None:
            raise ValueError("occurred_at needs a time zone offset")
        return self

    @model_validator(mode="after")
    def _a_handover_names_the_other_side(self) -> Self:
        if (self.party is not None) != (self.kind in ("custody_released", "custody_accepted")):
            raise ValueError("custody_released and custody_accepted name a party, other kinds do not")
        return self


class PostEvent(EventBody):
    """One fact from a courier's device, an office or the carrier."""

    kind: FieldKind


class DeviceClock(Strict):
    """How far a device's clock was from the server's when it last synchronised: positive when it runs ahead."""

    device_id: Key
    skew_ms: Annotated[int, Field(strict=True, ge=-(40 * 86_400_000), le=40 * 86_400_000)]


class PostEvents(Strict):
    """A batch. The skew belongs to the batch, not to the facts, so that a fact sent again is the same fact."""

    events: Annotated[tuple[PostEvent, ...], Field(min_length=1, max_length=3_000)]
    clocks: Annotated[tuple[DeviceClock, ...], Field(max_length=100)] = ()


class EventResult(Record):
    """Per item: `stored` (first time), `duplicate` (same body), `conflict` (same id, other body), `unknown_item`."""

    event_id: str
    result: Literal["stored", "duplicate", "conflict", "unknown_item"]
    applied: bool
    anomaly: str | None
    status: str | None


class EventResults(Record):
    results: tuple[EventResult, ...]


class Stop(Record):
    """One address of a courier's round. The only answer of this API with a name and a phone: couriers need them."""

    shipment_id: str
    s10: str
    direction: Direction
    status: ShipmentStatus
    task: Task
    """pick_up and deliver at a door; hand_in at, take_out from, keep at the office."""
    name: str
    phone: str | None
    address: str
    commune: str
    pieces: int
    cash_due_dong: int
    """Still to be collected at this stop, 0 when nothing is."""
    pickup_by: datetime | None
    held_until: date | None
    attempts: int
    note_vi: str = ""
    note_en: str = ""
    """What the citizen asked for and the courier must heed: a day, another receiver, another address (then `address`
    is already the new one)."""


class StopPage(Record):
    items: tuple[Stop, ...]
    next_cursor: str | None = None


class PickupReceipt(Record):
    """What the citizen or agency holds after pickup: proof of acceptance, and so the key of any later claim."""

    receipt_code: str
    s10: str
    shipment_id: str
    dossier_code: str
    direction: Direction
    collected_at: datetime
    collected_by: str
    pieces: tuple[Piece, ...]
    page_count: int | None
    seal_number: str
    sender_signature_sha256: str
    courier_signature_sha256: str
    cash_collected_dong: int
    event_hash: str
    """Hash of the pickup in the shipment's chain: whoever keeps it can tell that the record was not rewritten."""


class CreateDeposit(Strict):
    """A courier hands the cash of a shift to the post office, which remits it under `reference`."""

    event_id: Key
    courier: Key
    counted_dong: PositiveDong


class Deposit(Record):
    id: str
    reference: str
    courier: str
    counted_dong: int
    expected_dong: int
    difference_dong: int
    dossier_codes: tuple[str, ...]
    deposited_at: datetime


class CreateClaim(Strict):
    """Claim for a lost or damaged item. `claim_key` is unique for ever."""

    claim_key: Key
    shipment_id: Key
    reason: Literal["lost", "damaged", "late"]


class DecideClaim(Strict):
    decision: Literal["approve", "reject"]
    note: Annotated[str, StringConstraints(max_length=500)] = ""


class Claim(Record):
    """Compensation is 4 times the gross postage on total loss, the charge's refund included (carriers' statement of the
    legal default under Luật Bưu chính 2010 and NĐ 47/2011, Đ.25; not verified against the text)."""

    id: str
    shipment_id: str
    dossier_code: str
    status: ClaimStatus
    reason: str
    compensation_dong: int
    answer_by: date
    pay_by: date | None
    created_at: datetime
    decided_at: datetime | None


class ClaimPage(Record):
    items: tuple[Claim, ...]
    next_cursor: str | None = None


class Tracking(Record):
    """What anybody holding the number may know: no name, no address, no kind of dossier."""

    s10: str
    status: ShipmentStatus
    status_vi: str
    status_en: str
    custodian: Custodian
    next_vi: str
    next_en: str
    events: tuple["TrackingEvent", ...]
    held_until: date | None = None
    """Last day on which the post office keeps the item for its receiver."""


class TrackingEvent(Record):
    occurred_at: datetime
    text_vi: str
    text_en: str
    place: str


class PostalEvent(Record):
    """Body `data` of every webhook `shipment.*` and `claim.*`. A hint: re-read the shipment before acting."""

    event_id: str
    dossier_code: str
    shipment_id: str
    direction: Direction
    status: str
    cash_collected_dong: int = 0
    collector: str = ""
    claim_id: str | None = None
    occurred_at: datetime


class DepositEvent(Record):
    """Body `data` of the webhook `deposit.made`."""

    event_id: str
    deposit_id: str
    reference: str
    amount_dong: int
    collector: str
    deposited_at: datetime
    dossier_codes: tuple[str, ...]


class BeginUpload(Strict):
    """Announces an evidence file by its content. Pictures carry no place; the courier's page takes it out."""

    sha256: Sha256
    media_type: Literal["image/jpeg", "image/png", "application/pdf"]
    size_bytes: Annotated[int, Field(strict=True, ge=1, le=100 * 1024 * 1024)]


class UploadState(Record):
    """How far a file has come: the next part begins at `offset`; `complete` when it is safely stored."""

    sha256: str
    offset: int
    complete: bool


class ScannedCode(Record):
    """A code found in a photo. `s10` only when it holds a valid item number; `label` only when a label's QR."""

    format: str
    text: str
    s10: str | None = None
    label: Literal["right", "false"] | None = None


class Scans(Record):
    """Every code of a photo, nothing when none could be read."""

    codes: tuple[ScannedCode, ...]
