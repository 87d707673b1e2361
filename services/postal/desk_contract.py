"""What other rooms may know of the dispatcher's desk: deadlines, cases, rounds, citizens' wishes, shift money."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from kit.money import PositiveDong
from services.postal.contract import Commune, Key, Record, Strict

ClockKind = Literal[
    "pickup",
    "first_attempt",
    "delivery",
    "next_attempt",
    "hold",
    "movement",
    "custody",
    "evidence",
    "presumed_lost",
    "claim_answer",
    "claim_payment",
]
"""What is timed. `delivery` is the published transit time, from which the law counts the time to complain."""
CaseKind = Literal[ClockKind, "stop_unreleased", "dispute", "shift_difference"]
CaseStatus = Literal["open", "taken", "closed"]
StopReason = Literal["weather", "citizen_asked", "office_closed", "authority", "deceased"]
"""Why a clock may stand still. Anything else is the post's own delay and counts."""
WishKind = Literal["redelivery", "redirect", "hold", "authorise"]
WishStatus = Literal["waiting_for_code", "accepted", "done", "withdrawn", "overtaken", "failed"]
Note = Annotated[str, StringConstraints(max_length=500)]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=120)]


class Clock(Record):
    """One running deadline of a shipment. `standing`: why it stands still at this moment; `due_at` then supposes that
    it goes on standing for the longest time a stop may last."""

    kind: ClockKind
    since: datetime
    due_at: datetime
    standing: StopReason | None = None


class DeadlineCheck(Record):
    """What a check found: the clocks, the cases open now, when to look again, and whether anything is left to watch."""

    shipment_id: str
    dossier_code: str
    clocks: tuple[Clock, ...]
    open_cases: tuple[str, ...]
    next_check_at: datetime | None
    ended: bool


class Case(Record):
    """Something that a person must see to, opened once for one breach."""

    id: str
    shipment_id: str | None
    dossier_code: str
    kind: CaseKind
    status: CaseStatus
    due_at: datetime
    opened_at: datetime
    taken_by: str | None
    closed_at: datetime | None
    resolution: str


class CasePage(Record):
    items: tuple[Case, ...]
    next_cursor: str | None = None


class CloseCase(Strict):
    """What was done about it; it stays with the case."""

    resolution: Annotated[str, StringConstraints(min_length=3, max_length=500)]


class StopClock(Strict):
    """Let the clocks of a shipment stand still. Without a release the stop runs out and counts for nothing."""

    reason: StopReason
    note: Annotated[str, StringConstraints(min_length=3, max_length=500)]


class Stopped(Record):
    id: str
    shipment_id: str
    reason: StopReason
    since: datetime
    released_at: datetime | None


class CitizenLink(Record):
    """The address of a citizen's own page of one shipment. Shown once: only its fingerprint is kept."""

    url: str
    expires_at: datetime


class ConfirmationCode(Record):
    """The code that confirms a wish; whoever may read it sends it to the citizen's telephone or account."""

    wish_id: str
    code: str
    expires_at: datetime


class PutCourier(Strict):
    """A courier whom stops can be given to, and the communes he knows."""

    name: ShortText
    communes: Annotated[tuple[Commune, ...], Field(max_length=60)] = ()
    active: bool = True


class Courier(Record):
    code: str
    name: str
    communes: tuple[str, ...]
    active: bool


class AssignStop(Strict):
    """One stop as the dispatcher saw it: `seen_version` 0 when nobody had it."""

    shipment_id: Key
    seen_version: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 0


class AssignStops(Strict):
    """Give stops to a courier, or back to nobody."""

    courier: Key | None
    stops: Annotated[tuple[AssignStop, ...], Field(min_length=1, max_length=200)]
    reason: Annotated[str, StringConstraints(max_length=200)] = ""


class Assigned(Record):
    """Per stop: `assigned`, `unchanged`, `taken` (somebody else gave it away meanwhile) or `not_a_stop`."""

    shipment_id: str
    result: Literal["assigned", "unchanged", "taken", "not_a_stop"]
    courier: str | None
    version: int


class AssignmentResults(Record):
    results: tuple[Assigned, ...]


class OwnedDong(Record):
    """Money of one owner on its way: expected at the doors, collected, still in couriers' bags, handed in, remitted."""

    owner: str
    kind: str
    expected_dong: int
    collected_dong: int
    float_dong: int
    deposited_dong: int
    remitted_dong: int


class CourierFloat(Record):
    """Cash that one courier holds. `oldest_at`: when the oldest of it was taken."""

    courier: str
    collections: int
    float_dong: int
    oldest_at: datetime | None
    over_limit: bool
    too_old: bool


class HandOverShift(Strict):
    """The end of a shift at the counter: somebody else than the courier counts. A difference needs its cause."""

    event_id: Key
    courier: Key
    counted_dong: PositiveDong
    cause: Literal["none", "change_error", "false_note", "courier_owes", "citizen_overpaid", "under_inquiry"] = "none"
    note: Note = ""


class ShiftCount(Record):
    deposit_id: str
    reference: str
    courier: str
    counted_by: str
    expected_dong: int
    counted_dong: int
    difference_dong: int
    cause: str
    counted_at: datetime


class RemittedDeposit(Record):
    deposit_id: str
    remitted_at: datetime


class CaseEvent(Record):
    """Body `data` of the webhooks `case.opened` and `case.closed`. A hint: re-read the shipment before acting."""

    event_id: str
    dossier_code: str
    shipment_id: str
    direction: Literal["outbound", "return"]
    status: str
    """The kind of the case."""
    case_id: str
    due_at: datetime
    occurred_at: datetime


class WishEvent(Record):
    """Body `data` of the webhooks `wish.*`. The confirmation code is not in it: it is asked for with `wish_id`."""

    event_id: str
    dossier_code: str
    shipment_id: str
    direction: Literal["outbound", "return"]
    status: str
    wish_id: str
    occurred_at: datetime


class RecoveryStep(Record):
    """One thing to do about one lost paper."""

    paper: str
    step: int
    text_vi: str
    text_en: str
    done_on: date | None = None
