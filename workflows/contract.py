"""What goes in and out of the workflows: starting a dossier, facts about it, commands to it, and how it stands.

Payloads carry ids, amounts and dates. No name, address or phone: those stay in the services.
"""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from services.fees.contract import Commune, QuoteRequest
from services.payment.contract import DossierCode, Method, RefundReason

PayWhen = Literal["before_acceptance", "after_acceptance", "on_return"]
Phase = Literal[
    "quoting",
    "collecting",
    "picking_up",
    "accepting",
    "supplementing",
    "processing",
    "returning",
    "handing_over",
    "undoing",
    "finished",
]
Outcome = Literal[
    "result_delivered",
    "result_handed_over",
    "refused",
    "withdrawn",
    "expired_unpaid",
    "papers_lost",
    "result_lost",
]
Papers = Literal["citizen", "agency", "post", "lost", "none"]
AgencyFactKind = Literal[
    "accepted", "supplement_requested", "supplement_received", "refused", "extended", "result_ready", "handed_over"
]
DAY_SECONDS = 86_400
LONGEST_ATTEMPT_SECONDS = 30 * DAY_SECONDS
"""The payment service gives no try at collecting more time than this."""
Seconds = Annotated[int, Field(strict=True, ge=1, le=400 * DAY_SECONDS)]
EventId = Annotated[str, StringConstraints(min_length=8, max_length=120, pattern=r"^[A-Za-z0-9_.:\-]+$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Payload(BaseModel):
    """Anything in a workflow history: readers ignore what newer code added."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Deadlines(Strict):
    """How long each step may take, in seconds of real time. A deadline re-reads the truth before it acts.

    No published rule gives these lengths (facts: hold and attempt limits not found); an agency sets its own.
    """

    payment_seconds: Seconds = 7 * DAY_SECONDS
    attempt_seconds: Annotated[int, Field(strict=True, ge=1, le=LONGEST_ATTEMPT_SECONDS)] = 15 * 60
    pickup_seconds: Seconds = 3 * DAY_SECONDS
    transit_seconds: Seconds = 5 * DAY_SECONDS
    acceptance_seconds: Seconds = 3 * DAY_SECONDS
    supplement_seconds: Seconds = 30 * DAY_SECONDS
    processing_seconds: Seconds = 30 * DAY_SECONDS
    return_seconds: Seconds = 15 * DAY_SECONDS


class CitizenDetails(Strict):
    """Who files: handed to the postal and payment services at intake, never to a workflow."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    phone: Annotated[str, StringConstraints(pattern=r"^\+?\d{8,15}$")]
    address: Annotated[str, StringConstraints(min_length=1, max_length=300)]
    commune: Commune


class StartDossier(Strict):
    """Everything needed to see a dossier through. The code is issued by the portal and is the key for ever."""

    code: DossierCode
    request: QuoteRequest
    pay_when: PayWhen
    pay_by: Method
    citizen: CitizenDetails
    checklist: Annotated[
        tuple[Annotated[str, StringConstraints(min_length=1, max_length=200)], ...], Field(min_length=1, max_length=50)
    ] = ("Hồ sơ",)
    deadlines: Deadlines = Deadlines()

    @model_validator(mode="after")
    def _cash_needs_a_courier(self) -> "StartDossier":
        if self.pay_by != "cash_on_delivery":
            return self
        postal = self.request.postal
        leg = {"before_acceptance": postal.send, "on_return": postal.return_result, "after_acceptance": False}
        if not leg[self.pay_when]:
            raise ValueError(
                "cash_on_delivery needs the courier: pay_when before_acceptance with postal.send, "
                "or on_return with postal.return_result"
            )
        return self


class DossierInput(Payload):
    """What the workflow itself is started with."""

    code: str
    fingerprint: str
    """SHA-256 of the whole request, names included: tells whether a second start asks for the same."""
    request: QuoteRequest
    pay_when: PayWhen
    pay_by: Method
    contact_id: str | None
    checklist: tuple[str, ...]
    deadlines: Deadlines


class ServiceNews(Payload):
    """A hint from a service: something happened to this payment, shipment or claim. Re-read before acting."""

    event_id: str
    kind: str
    subject_id: str
    direction: Literal["outbound", "return"] | None = None
    amount_dong: int = 0
    collector: str = ""
    occurred_at: datetime


class AgencyFact(Strict):
    """What the agency's dossier system says. `event_id` makes a repeat harmless."""

    event_id: EventId
    kind: AgencyFactKind
    occurred_at: datetime
    due_on: date | None = None
    reason: Annotated[str, StringConstraints(max_length=500)] = ""

    @model_validator(mode="after")
    def _time_has_an_offset(self) -> "AgencyFact":
        if self.occurred_at.tzinfo is None:
            raise ValueError("occurred_at needs a time zone offset")
        return self


class Withdraw(Strict):
    """The citizen takes the dossier back."""

    reason: Annotated[str, StringConstraints(max_length=500)] = ""


class PayAgain(Strict):
    """Another try at paying: another method, or the same after an expiry."""

    method: Literal["card", "vietqr"]
    payment_method: Annotated[str, StringConstraints(max_length=100)] | None = None


class ChangeDeadline(Strict):
    """Give one step more or less time, counted from now."""

    step: Literal["payment", "acceptance", "supplement", "processing"]
    seconds: Seconds


class Answered(Payload):
    """The answer to a command."""

    accepted: bool
    text_vi: str
    text_en: str


class Leg(Payload):
    """One postal leg as last read."""

    direction: Literal["outbound", "return"]
    shipment_id: str
    s10: str
    status: str
    custodian: str
    tracking_url: str


class MoneyState(Payload):
    """What is owed and how far it is paid, in đồng."""

    payment_id: str | None = None
    status: str = "not_opened"
    due_dong: int = 0
    paid_dong: int = 0
    budget_dong: int = 0
    refunded_dong: int = 0
    pay_page_url: str | None = None
    receipt_number: str | None = None


class Moment(Payload):
    """One line of the journey."""

    at: datetime
    vi: str
    en: str


class DossierView(Payload):
    """Where the dossier is, what it waits for, and what happens next. `portal_status` is the national code 1–10."""

    code: str
    procedure: str
    phase: Phase
    portal_status: int
    outcome: Outcome | None
    papers: Papers
    waits_for: Moment | None
    waits_until: datetime | None
    next_vi: str
    next_en: str
    money: MoneyState
    quote_id: str | None
    legs: tuple[Leg, ...]
    claim_compensation_dong: int = 0
    overdue: tuple[str, ...] = ()
    anomalies: tuple[str, ...] = ()
    history: tuple[Moment, ...] = ()


class RefundInput(Payload):
    """A refund to see through. Without an amount, everything refundable on `items` is given back."""

    request_key: str
    payment_id: str
    dossier_code: str
    reason: RefundReason
    source: Literal["bill", "excess"]
    amount_dong: int
    items: tuple[str, ...] = ()
    remind_seconds: int = DAY_SECONDS


class RefundResult(Payload):
    """How a refund ended."""

    refund_id: str
    status: str
    amount_dong: int


class ReconcileInput(Payload):
    """One business date of the collecting account."""

    account: str
    business_date: date
    statement_seconds: int = DAY_SECONDS
    """How long to wait for the statement before asking somebody."""


class ClaimInput(Payload):
    """A lost or damaged item whose compensation is to be seen through."""

    shipment_id: str
    dossier_code: str
    reason: Literal["lost", "damaged", "late"]
    remind_seconds: int = 7 * DAY_SECONDS


class ClaimResult(Payload):
    """How a claim ended."""

    claim_id: str
    status: str
    compensation_dong: int


class WatchInput(Payload):
    """A leg whose deadlines are to be held. `breaches`: kinds that were late before, when a long history is cut."""

    shipment_id: str
    dossier_code: str
    look_seconds: int = 7 * DAY_SECONDS
    """The longest time between two looks, whatever the service said was due next."""
    breaches: tuple[str, ...] = ()


class WatchResult(Payload):
    """What a watch has seen: every kind of deadline that was late, and how the watch ended."""

    shipment_id: str
    breaches: tuple[str, ...]
    end: str


class RemittanceInput(Payload):
    """Cash that a courier has deposited and the post will remit."""

    event_id: str
    reference: str
    amount_dong: int
    collector: str
    deposited_at: datetime
    dossier_codes: tuple[str, ...] = ()
    deposit_id: str | None = None
    """The deposit at the post, to be told that the books have it; None in runs begun by older code."""


# --- names that callers and tests share -------------------------------------------------------------

WORKFLOW_QUEUE = "dossier"
FEES_QUEUE = "svc-fees"
PAYMENT_QUEUE = "svc-payment"
POSTAL_QUEUE = "svc-postal"


def dossier_workflow_id(code: str) -> str:
    """The id is the start's idempotency key."""
    return f"dossier/{code}"


def refund_workflow_id(request_key: str) -> str:
    """One workflow a refund request."""
    return f"refund/{request_key}"


def claim_workflow_id(shipment_id: str) -> str:
    """One claim a shipment."""
    return f"claim/{shipment_id}"


def watch_workflow_id(shipment_id: str) -> str:
    """One watch a shipment."""
    return f"watch/{shipment_id}"


def remittance_workflow_id(event_id: str) -> str:
    """One workflow a deposit."""
    return f"remittance/{event_id}"


def reconciliation_workflow_id(account: str, business_date: date) -> str:
    """One workflow an account and business date."""
    return f"reconcile/{account}/{business_date.isoformat()}"
