"""The rules of the post as tables: states and moves, who holds the paper, reasons and measures, compensation.

Everything here is data or arithmetic; `custody` reads it to fold a shipment's events.
"""

import calendar
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from services.postal.contract import (
    Custodian,
    Direction,
    EventKind,
    MeasureCode,
    PickupStatus,
    ReasonCode,
    ShipmentStatus,
)

Source = Literal["carrier", "courier", "dispatcher", "system"]

SOURCE_RANK: Mapping[Source, int] = {"carrier": 0, "courier": 1, "dispatcher": 2, "system": 3}
"""Which of two facts of the same instant comes first."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the operator of this installation decided; the app makes it from the settings."""

    public_url: str
    label_secret: str
    hold_days: int
    silence_hours: int


BEFORE_COLLECTION: frozenset[ShipmentStatus] = frozenset({"draft", "booked", "pickup_in_progress", "pickup_failed"})
"""The paper is still with whoever sends it."""

END_STRENGTH: Mapping[ShipmentStatus, int] = {"cancelled": 1, "lost": 2, "damaged": 3, "returned": 4, "delivered": 5}
"""Ends of a leg. Only a stronger end replaces an end: a proven handover outweighs any declaration about the item."""

LEGAL: Mapping[ShipmentStatus, frozenset[ShipmentStatus]] = {
    "draft": frozenset({"booked", "cancelled"}),
    "booked": frozenset(
        {"pickup_in_progress", "pickup_failed", "collected_pending_evidence", "collected", "cancelled"}
    ),
    "pickup_in_progress": frozenset({"collected_pending_evidence", "collected", "pickup_failed", "cancelled"}),
    "pickup_failed": frozenset({"pickup_in_progress", "collected_pending_evidence", "collected", "cancelled"}),
    "collected_pending_evidence": frozenset(
        {"collected", "at_origin_office", "in_transit", "at_delivery_office", "held", "investigating", "returning"}
    ),
    "collected": frozenset(
        {"at_origin_office", "in_transit", "at_delivery_office", "held", "investigating", "returning"}
    ),
    "at_origin_office": frozenset(
        {
            "in_transit",
            "at_delivery_office",
            "held",
            "out_for_delivery",
            "ready_for_collection",
            "returning",
            "investigating",
        }
    ),
    "in_transit": frozenset(
        {
            "in_transit",  # each lorry is a departure of its own
            "at_delivery_office",
            "held",
            "out_for_delivery",
            "ready_for_collection",
            "returning",
            "investigating",
        }
    ),
    "at_delivery_office": frozenset(
        {"held", "out_for_delivery", "ready_for_collection", "returning", "investigating"},
    ),
    "held": frozenset({"returning", "investigating"}),  # and the state it came from, by `released`
    "out_for_delivery": frozenset(
        {"delivered_pending_evidence", "attempt_failed", "at_delivery_office", "investigating"}
    ),
    "attempt_failed": frozenset(
        {"at_delivery_office", "out_for_delivery", "ready_for_collection", "returning", "held", "investigating"}
    ),
    "ready_for_collection": frozenset({"delivered_pending_evidence", "returning", "out_for_delivery", "investigating"}),
    "delivered_pending_evidence": frozenset({"delivered", "attempt_failed", "investigating"}),
    "returning": frozenset({"returned", "investigating"}),
    "investigating": frozenset({"lost", "damaged"}),  # and the state it came from, by `found`
    "delivered": frozenset(),
    "returned": frozenset(),
    "lost": frozenset(),
    "damaged": frozenset(),
    "cancelled": frozenset(),
}
"""The one transition table. Beyond it, a step forward over missed scans is accepted and marked."""

FORWARD_RANK: Mapping[ShipmentStatus, int] = {
    "draft": 0,
    "booked": 1,
    "pickup_in_progress": 2,
    "pickup_failed": 2,
    "collected_pending_evidence": 3,
    "collected": 3,
    "at_origin_office": 4,
    "in_transit": 5,
    "at_delivery_office": 6,
    "held": 7,
    "out_for_delivery": 8,
    "attempt_failed": 9,
    "ready_for_collection": 9,
    "delivered_pending_evidence": 10,
}

TARGET: Mapping[EventKind, ShipmentStatus] = {
    "pickup_started": "pickup_in_progress",
    "pickup_failed": "pickup_failed",
    "collected": "collected",
    "partially_collected": "collected",
    "arrived_origin_office": "at_origin_office",
    "departed": "in_transit",
    "arrived_delivery_office": "at_delivery_office",
    "held": "held",
    "out_for_delivery": "out_for_delivery",
    "attempt_failed": "attempt_failed",
    "ready_for_collection": "ready_for_collection",
    "return_started": "returning",
    "returned": "returned",
    "investigation_opened": "investigating",
    "declared_lost": "lost",
    "declared_damaged": "damaged",
    "missing_from_bag": "investigating",
}
"""Where a kind leads; released, found, handed_over, evidence_added and cancelled depend on the state, and the kinds of
`WITHOUT_MOVE` leave it as it is."""

WITHOUT_MOVE: frozenset[EventKind] = frozenset(
    {
        "pickup_accepted",
        "pickup_rejected",
        "pickup_expired",
        "custody_released",
        "custody_accepted",
        "evidence_stored",
        "corrected",
        "unmapped",
    }
)

PICKUP_TARGET: Mapping[EventKind, PickupStatus] = {
    "pickup_accepted": "accepted",
    "pickup_started": "accepted",
    "pickup_rejected": "rejected",
    "pickup_failed": "failed",
    "pickup_expired": "expired",
    "collected": "collected",
    "partially_collected": "partially_collected",
    "cancelled": "cancelled",
}

PICKUP_LEGAL: Mapping[PickupStatus, frozenset[PickupStatus]] = {
    "requested": frozenset(
        {"accepted", "rejected", "failed", "expired", "cancelled", "collected", "partially_collected"}
    ),
    "accepted": frozenset(
        {"accepted", "rejected", "failed", "expired", "cancelled", "collected", "partially_collected"}
    ),
    "rejected": frozenset({"accepted", "failed", "expired", "cancelled", "collected", "partially_collected"}),
    "failed": frozenset({"accepted", "rejected", "failed", "expired", "cancelled", "collected", "partially_collected"}),
    "expired": frozenset({"accepted", "failed", "cancelled", "collected", "partially_collected"}),
    "collected": frozenset(),
    "partially_collected": frozenset(),
    "cancelled": frozenset({"collected", "partially_collected"}),  # taken in spite of it: on its way back
}
"""The visit to fetch the papers, a machine of its own: a rejected, failed or expired one may be accepted again."""

COLLECTIONS: frozenset[EventKind] = frozenset({"collected", "partially_collected"})

PHYSICAL: frozenset[EventKind] = COLLECTIONS | frozenset(
    {
        "arrived_origin_office",
        "departed",
        "arrived_delivery_office",
        "held",
        "out_for_delivery",
        "ready_for_collection",
    }
)
"""Facts that cannot be recorded without the envelope in the post's hands."""

NOT_FOR_COURIERS: frozenset[EventKind] = frozenset(
    {"found", "declared_lost", "declared_damaged", "cancelled", "pickup_expired", "missing_from_bag"}
)
"""Nobody writes off an item from his own bag: these need the carrier's office or a dispatcher."""

ONLY_BY_THE_SERVICE: frozenset[EventKind] = frozenset({"evidence_stored", "corrected", "unmapped"})

NEEDS_THE_ENVELOPE: frozenset[EventKind] = frozenset({"attempt_failed", "handed_over", "custody_released"})
"""Facts that a courier can only report of an envelope in his own bag."""

POST_HANDS: frozenset[Custodian] = frozenset({"courier", "post_office", "transport"})

_HOLDER: Mapping[ShipmentStatus, Custodian] = {
    "collected_pending_evidence": "courier",
    "collected": "courier",
    "at_origin_office": "post_office",
    "in_transit": "transport",
    "at_delivery_office": "post_office",
    "held": "post_office",
    "out_for_delivery": "courier",
    "attempt_failed": "courier",
    "ready_for_collection": "post_office",
    "delivered_pending_evidence": "courier",  # custody passes with the proof, not with the claim
    "lost": "nobody_known",
    "damaged": "post_office",
}


def sender(direction: Direction) -> Custodian:
    """Who holds the paper before the post does, and again after a return."""
    return "citizen" if direction == "outbound" else "agency"


def receiver(direction: Direction) -> Custodian:
    """Who holds the paper once it is delivered."""
    return "agency" if direction == "outbound" else "citizen"


def custodian_in(status: ShipmentStatus, direction: Direction, *, before: Custodian) -> Custodian:
    """Who holds the paper in `status`; `before` answers on while it is searched for or on its way back."""
    if status in BEFORE_COLLECTION or status in ("cancelled", "returned"):
        return sender(direction)
    if status == "delivered":
        return receiver(direction)
    return _HOLDER.get(status, before)


def is_forward(origin: ShipmentStatus, target: ShipmentStatus) -> bool:
    """Whether `target` lies further along the way than `origin`, so that only scans are missing between."""
    start, end = FORWARD_RANK.get(origin), FORWARD_RANK.get(target)
    return start is not None and end is not None and end > start


PROPER_RECEIVERS: Mapping[Direction, frozenset[str]] = {
    "outbound": frozenset({"agency_officer"}),
    "return": frozenset({"addressee", "authorised_person"}),
}
"""Who may take an item. Papers are never left with a neighbour."""


def paper_signature_sha256(event_id: str, number: str, party: str) -> str:
    """Stands for a signature given on paper: the courier attests, in this very event, that `party` has signed the slip.

    Anybody can recompute it, so a reader can tell an attestation from the hash of a signature drawn on a screen.
    """
    return hashlib.sha256(f"signed on paper\n{event_id}\n{number}\n{party}".encode()).hexdigest()


CLOCK_TOLERANCE = timedelta(hours=26)
"""A phone set to the wrong day or time zone is off by at most this; more, after the skew that the phone itself has
reported is taken off, is a broken clock."""

CLOCK_NOISE = timedelta(minutes=5)
"""A skew below this is not worth a word."""

PHOTOS = frozenset({"handover_photo", "door_photo", "seal_photo"})

SAME_ATTEMPT = timedelta(hours=4)
"""Two failures closer than this are one attempt."""

Stage = Literal["pickup", "delivery"]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a visit failed and what may follow. `fault` names the party the delay is charged to."""

    code: ReasonCode
    vi: str
    en: str
    stages: frozenset[Stage]
    measures: tuple[MeasureCode, ...]
    counts_as_attempt: bool
    fault: Literal["receiver", "sender", "post", "outside"]


_BOTH: frozenset[Stage] = frozenset({"pickup", "delivery"})
_PICKUP: frozenset[Stage] = frozenset({"pickup"})
_DELIVERY: frozenset[Stage] = frozenset({"delivery"})

REASONS: Mapping[ReasonCode, Reason] = {
    reason.code: reason
    for reason in (
        Reason("R01", "Người nhận vắng mặt", "Nobody in", _BOTH, ("M1", "M2"), True, "receiver"),
        Reason(
            "R02", "Không liên lạc được qua điện thoại", "Phone not answered", _BOTH, ("M1", "M2"), True, "receiver"
        ),
        Reason("R03", "Khách hẹn lại thời gian khác", "Another time asked for", _BOTH, ("M1", "M2"), False, "receiver"),
        Reason(
            "R04", "Địa chỉ sai hoặc thiếu", "Address wrong or incomplete", _BOTH, ("M3", "M4", "M5"), False, "sender"
        ),
        Reason("R05", "Người nhận đã chuyển nơi ở", "Moved away", _BOTH, ("M3", "M4", "M5"), False, "receiver"),
        Reason(
            "R06",
            "Không có người này tại địa chỉ",
            "No such person at the address",
            _BOTH,
            ("M3", "M5"),
            False,
            "sender",
        ),
        Reason("R07", "Người nhận từ chối nhận", "Refused by the receiver", _DELIVERY, ("M2", "M5"), True, "receiver"),
        Reason(
            "R08", "Chưa có tiền nộp phí, lệ phí", "Cannot pay the amount due", _BOTH, ("M1", "M2"), True, "receiver"
        ),
        Reason(
            "R09",
            "Thanh toán điện tử không thành công",
            "Electronic payment failed",
            _BOTH,
            ("M1", "M2"),
            False,
            "outside",
        ),
        Reason(
            "R10",
            "Không chứng minh được nhân thân hoặc giấy ủy quyền",
            "Identity or authorisation not proven",
            _DELIVERY,
            ("M1", "M2"),
            True,
            "receiver",
        ),
        Reason("R11", "Cơ quan đóng cửa, không có người nhận", "Office closed", _BOTH, ("M1", "M2"), True, "receiver"),
        Reason("R12", "Người nhận đã mất", "Receiver has died", _DELIVERY, ("M2", "M5"), False, "outside"),
        Reason(
            "R13",
            "Thời tiết xấu, ngập lụt, đường hỏng",
            "Weather, flood or road",
            _BOTH,
            ("M1", "M2"),
            False,
            "outside",
        ),
        Reason(
            "R14",
            "Bưu gửi hư hỏng hoặc niêm phong rách",
            "Item damaged or seal broken",
            _DELIVERY,
            ("M2", "M6"),
            False,
            "post",
        ),
        Reason("R15", "Thiếu bưu gửi trong túi", "Item missing from the bag", _DELIVERY, ("M6",), False, "post"),
        Reason("R16", "Bưu tá hết giờ làm việc", "Courier out of time", _BOTH, ("M1",), False, "post"),
        Reason(
            "R20", "Người nộp chưa chuẩn bị xong giấy tờ", "Papers not ready", _PICKUP, ("M1", "M5"), True, "sender"
        ),
        Reason(
            "R21",
            "Giấy tờ chưa đủ theo danh mục công bố",
            "Papers incomplete against the checklist",
            _PICKUP,
            ("M1", "M5"),
            True,
            "sender",
        ),
        Reason(
            "R22", "Người nộp hủy yêu cầu thu gom", "Pickup cancelled by the citizen", _PICKUP, ("M5",), False, "sender"
        ),
        Reason(
            "R23",
            "Không gặp người nộp tại địa chỉ hẹn",
            "Sender not at the address",
            _PICKUP,
            ("M1", "M3"),
            True,
            "sender",
        ),
    )
}
"""Our own codes after the pairs that posts exchange (unsuccessful delivery carries a reason and a measure); the
UPU's numeric lists are for its members, so none is guessed here."""

MEASURES: Mapping[MeasureCode, tuple[str, str]] = {
    "M1": ("hẹn đến lại vào ngày làm việc khác", "another visit on another working day"),
    "M2": ("giữ tại bưu cục, mời đến nhận", "kept at the post office for collection"),
    "M3": ("xác minh lại địa chỉ", "address being verified"),
    "M4": ("chuyển tiếp đến địa chỉ mới", "forwarded to the new address"),
    "M5": ("trả lại người gửi", "given back to the sender"),
    "M6": ("mở tra soát", "search opened"),
}

_PICKUP_MEASURES: frozenset[MeasureCode] = frozenset({"M1", "M3", "M5"})
"""Before pickup there is nothing to keep, forward or search for."""


def allowed_measures(reason: ReasonCode, stage: Stage) -> tuple[MeasureCode, ...]:
    """What may follow a failed visit for this reason at this stage; nothing when the reason does not belong there."""
    entry = REASONS[reason]
    if stage not in entry.stages:
        return ()
    if stage == "pickup":
        return tuple(measure for measure in entry.measures if measure in _PICKUP_MEASURES)
    return entry.measures


def reason_pairs(stage: Stage) -> list[tuple[Reason, MeasureCode]]:
    """Every permitted pair of reason and measure at a stage, in the order of the codes."""
    return [(reason, measure) for code, reason in REASONS.items() for measure in allowed_measures(code, stage)]


def held_until(day: date, *, hold_days: int) -> date:
    """Last day on which a post office keeps an item that it began to keep on `day`."""
    return day + timedelta(days=hold_days)


# --- claims --------------------------------------------------------------------------------------

LOSS_MULTIPLE = 4
"""Total loss or damage: four times the postage, its refund included. This is how carriers state the legal default
(Luật Bưu chính 2010; Nghị định 47/2011/NĐ-CP, Đ.25); not verified against the text."""


def compensation(reason: str, postage_dong: int) -> int:
    """Đồng owed on the gross postage of the leg: four times it for loss or damage, its refund for lateness."""
    return postage_dong if reason == "late" else LOSS_MULTIPLE * postage_dong


def answer_by(submitted_on: date) -> date:
    """A domestic claim is answered within two months (Luật Bưu chính 2010, Đ.38)."""
    return _months_after(submitted_on, 2)


def pay_by(decided_on: date) -> date:
    """Compensation is paid within 30 days of the decision."""
    return decided_on + timedelta(days=30)


def _months_after(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
