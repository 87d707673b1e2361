"""What other rooms may know of the payment service: bills, attempts, refunds, receipts, reconciliation, events."""

from datetime import date, datetime
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from kit.money import Dong, PositiveDong

Method = Literal["card", "vietqr", "cash_on_delivery", "cash_at_counter", "none"]
"""`none` belongs to a bill of which the citizen owes nothing."""

LineKind = Literal["fee", "charge", "postage", "collection"]
PaymentStatus = Literal[
    "open",
    "pending",
    "unknown",
    "partially_paid",
    "paid",
    "expired",
    "cancelled",
    "refund_pending",
    "refunded",
]
AttemptStatus = Literal[
    "created",
    "pending",
    "requires_action",
    "authorised",
    "succeeded",
    "succeeded_mismatch",
    "failed",
    "expired",
    "cancelled",
    "unknown",
]
Capture = Literal["now", "later"]
"""When a card's money is taken: with the payer's consent, or by a call of its own after that has reserved it."""
RefundStatus = Literal["requested", "approved", "rejected", "processing", "succeeded", "failed"]
RefundReason = Literal["refused", "withdrawn", "papers_lost", "overpaid", "paid_twice", "paid_late", "other"]
DisputeStatus = Literal["inquiry", "needs_response", "under_review", "won", "lost", "closed"]
"""`inquiry` is a bank's question that moves no money, `closed` its end."""
VoucherStatus = Literal["prepared", "sent", "accepted", "refused", "paid"]
MoneyPolicy = Literal["applied", "underpaid", "overpaid", "paid_twice", "paid_late", "assigned"]
"""What was done with an arrival of money: applied in full; applied and more is due; the rest held because it was too
much, came a second time, or came after the bill had ended; or given to the bill by two people."""
ReconciliationStatus = Literal["waiting", "balanced", "breaks_open", "closed"]
BreakKind = Literal[
    "missing_in_bank",
    "missing_in_ledger",
    "missing_in_gateway",
    "amount_over",
    "amount_under",
    "fee_variance",
    "duplicate_credit",
    "wrong_reference",
    "late",
    "ambiguous",
    "statement_unbalanced",
    "statement_gap",
    "statement_conflict",
]
DOSSIER_CODE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9.\-]{3,63}$"
DossierCode = Annotated[str, StringConstraints(pattern=DOSSIER_CODE_PATTERN)]
NO_NUL = r"^[^\x00]*$"
"""PostgreSQL stores every character but this one."""
Key = Annotated[str, StringConstraints(min_length=1, max_length=120, pattern=NO_NUL)]


Day = TypeVar("Day", date, datetime)


def _of_our_time(value: Day) -> Day:
    if not 2000 <= value.year <= 2199:
        raise ValueError("must lie between the years 2000 and 2199")
    return value


Moment = Annotated[AwareDatetime, AfterValidator(_of_our_time)]
"""A time with its offset."""
BusinessDate = Annotated[date, AfterValidator(_of_our_time)]
"""A date on the wall in Việt Nam."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class BillShare(Strict):
    payer: Annotated[str, StringConstraints(pattern=r"^(citizen|budget:[A-Za-z0-9.\-]{1,20})$")]
    amount_dong: Dong


class BillLine(Strict):
    """One thing owed, as quoted. A line of 0 đồng stays on the bill and on the receipt."""

    item: Key
    kind: LineKind
    leg: Literal["send", "return"] | None = None
    label_vi: Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=NO_NUL)]
    label_en: Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=NO_NUL)]
    beneficiary: Key
    shares: Annotated[tuple[BillShare, ...], Field(min_length=1, max_length=10)]


class CreatePayment(Strict):
    """Open the bill of one dossier. `bill_reference` is unique for ever: the second time returns the first bill."""

    bill_reference: Key
    dossier_code: DossierCode
    procedure: Key
    quote_id: Key
    lines: Annotated[tuple[BillLine, ...], Field(min_length=1, max_length=50)]
    expires_at: Moment
    currency: Literal["VND"] = "VND"
    """Whole đồng only; another currency is refused, never converted."""


class CreateAttempt(Strict):
    """Start one try at collecting the rest of a bill. `payment_method` is a token of the gateway, for cards only.

    A bill has one live attempt. With `replace` the live one is given up first (a card is asked about at the gateway);
    without it a second attempt is refused. An `unknown` attempt is never replaced.
    `capture: "later"` only reserves a card's money (status `authorised`): it is taken by a capture, or released when
    the attempt is replaced, the bill cancelled, or the reservation lapses.
    """

    method: Literal["card", "vietqr", "cash_on_delivery", "cash_at_counter"]
    payment_method: Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=NO_NUL)] | None = None
    replace: bool = False
    capture: Capture = "now"
    expires_in_seconds: Annotated[int, Field(strict=True, ge=1, le=30 * 86_400)] | None = None


class CaptureAttempt(Strict):
    """Take money that a card has reserved. Less than was reserved releases the rest; there is no second capture.

    Without `amount_dong`: all that is reserved, at most what the bill still needs.
    """

    amount_dong: PositiveDong | None = None


class Attempt(Record):
    id: str
    method: Method
    status: AttemptStatus
    capture: Capture = "now"
    authorised_dong: int = 0
    """What the card's bank has reserved for this attempt; no money until it is captured."""
    capture_dong: int | None = None
    """What was asked to be taken of it: in hand once the status is `succeeded`, carried out again until then."""
    amount_dong: Dong
    received_dong: int = 0
    """What this attempt brought in; differs from `amount_dong` when the status is `succeeded_mismatch`."""
    reference: str
    """Short alphanumeric reference with check digit; the content of a VietQR transfer."""
    qr_payload: str | None = None
    gateway_intent_id: str | None = None
    pay_url: str | None = None
    expires_at: datetime
    created_at: datetime


class PaymentFact(Record):
    """One line of a payment's history, oldest first."""

    id: str
    kind: str
    amount_dong: int
    occurred_at: datetime
    recorded_at: datetime
    actor: str
    detail: str


class MoneyArrival(Record):
    """One arrival of money for a bill, what was done with it and how much of it has gone back, in đồng."""

    id: str
    method: Method
    source: Literal["gateway", "bank", "cash"]
    reference: str
    amount_dong: int
    applied_dong: int
    held_dong: int
    """Beyond what the bill needed: kept in suspense until two people give it back."""
    returned_dong: int
    policy: MoneyPolicy
    received_at: datetime


class Payment(Record):
    """A bill and how far it is paid. Amounts in đồng; `due_dong` is the citizen's part, `budget_dong` the budgets'."""

    id: str
    bill_reference: str
    dossier_code: str
    procedure: str
    status: PaymentStatus
    due_dong: int
    paid_dong: int
    budget_dong: int
    excess_dong: int
    """Money received beyond what was due, or after the bill had ended, still held in suspense."""
    refunded_dong: int
    refundable_dong: int
    """What a refund may still give back of the dossier's own money, pending refunds and disputes already deducted."""
    disputed_dong: int = 0
    """What cardholders' banks have taken back and not decided about yet."""
    lost_dong: int = 0
    """What disputes have taken for good: the citizen owes it again."""
    lines: tuple[BillLine, ...]
    attempts: tuple[Attempt, ...]
    receipt_number: str | None
    pay_page_url: str
    expires_at: datetime
    created_at: datetime
    version: int


class PaymentDetail(Payment):
    facts: tuple[PaymentFact, ...]
    arrivals: tuple[MoneyArrival, ...] = ()


class PaymentPage(Record):
    items: tuple[Payment, ...]
    next_cursor: str | None = None


class RecordCash(Strict):
    """Cash that a courier or a counter has taken. `event_id` makes a repeat harmless."""

    event_id: Key
    amount_dong: PositiveDong
    collected_at: Moment
    collector: Key
    place: Literal["courier", "counter"]


class CancelPayment(Strict):
    reason: Literal["refused", "withdrawn", "expired", "papers_lost", "other"]


class RequestRefund(Strict):
    """Ask for money back. `source` says whether dossier money or held excess is returned.

    `request_key` is unique for ever; two equal partial refunds carry two keys.
    `items` limits the refund to some lines and their order of law; without it every refundable line counts.
    """

    request_key: Key
    reason: RefundReason
    source: Literal["bill", "excess"]
    amount_dong: PositiveDong
    expected_refundable_dong: Dong | None = None
    items: Annotated[tuple[Key, ...], Field(max_length=50)] = ()


class DecideRefund(Strict):
    """The second person's answer. `proposal_hash` proves which proposal was read."""

    decision: Literal["approve", "reject"]
    proposal_hash: Key
    note: Annotated[str, StringConstraints(max_length=500, pattern=NO_NUL)] = ""


class SettleRefund(Strict):
    """The treasury or the counter has paid a voucher out. `event_id` makes a repeat harmless."""

    event_id: Key
    reference: Key


class Refund(Record):
    id: str
    payment_id: str
    dossier_code: str
    status: RefundStatus
    reason: RefundReason
    source: Literal["bill", "excess"]
    amount_dong: int
    route: Literal["gateway", "bank_transfer", "treasury_voucher", "undecided"]
    proposal_hash: str
    requested_by: str
    decided_by: str | None
    gateway_refund_id: str | None
    bank_order_reference: str | None
    created_at: datetime
    finished_at: datetime | None


class RefundPage(Record):
    items: tuple[Refund, ...]
    next_cursor: str | None = None


class AnswerDispute(Strict):
    """Our side of a dispute: what was served and how it was agreed. Sent to the cardholder's bank once."""

    text: Annotated[str, StringConstraints(min_length=20, max_length=10_000, pattern=NO_NUL)]


class Dispute(Record):
    """Money that a cardholder's bank takes back, and how far the argument about it is."""

    id: str
    payment_id: str
    dossier_code: str
    status: DisputeStatus
    reason: str
    amount_dong: int
    evidence_due_at: datetime | None
    evidence: str
    answered_by: str | None
    answered_at: datetime | None
    opened_at: datetime
    closed_at: datetime | None


class DisputePage(Record):
    items: tuple[Dispute, ...]
    next_cursor: str | None = None


class MoveVoucher(Strict):
    """What happened to a refund voucher: sent to the State Treasury, accepted, refused, or paid out.

    `event_id` makes a repeat harmless. `reference` is the treasury's number and needed for what the treasury says;
    `reason` is needed for a refusal.
    """

    event_id: Key
    to: Literal["sent", "accepted", "refused", "paid"]
    reference: Annotated[str, StringConstraints(max_length=120, pattern=NO_NUL)] = ""
    reason: Annotated[str, StringConstraints(max_length=500, pattern=NO_NUL)] = ""
    on: BusinessDate | None = None
    """The date on the treasury's paper; today when absent."""


class Voucher(Record):
    """An order to the State Treasury to give money back to a payer, and how far it is."""

    number: str
    refund_id: str
    payment_id: str
    dossier_code: str
    status: VoucherStatus
    amount_dong: int
    beneficiary: str
    treasury_reference: str
    refusal: str
    prepared_at: datetime
    sent_at: datetime | None
    answered_at: datetime | None
    paid_on: date | None


class VoucherPage(Record):
    items: tuple[Voucher, ...]
    next_cursor: str | None = None


class ReplaceReceipt(Strict):
    """Cancel a receipt that says something wrong and issue another in its place, with a reason for the file.

    The particulars are corrected by what is given; the amounts never change this way.
    """

    reason: Annotated[str, StringConstraints(min_length=5, max_length=300, pattern=NO_NUL)]
    payer_name: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL)] | None = None
    payer_address: Annotated[str, StringConstraints(max_length=300, pattern=NO_NUL)] | None = None


class Receipt(Record):
    """A numbered receipt as issued. `replaces` names the cancelled one it stands for."""

    number: str
    series: str
    serial: int
    payment_id: str
    dossier_code: str
    payer_name: str
    amount_dong: int
    check_code: str
    issued_at: datetime
    cancelled_at: datetime | None
    cancelled_by: str | None
    cancel_reason: str
    replaces: str | None


class ReceiptPage(Record):
    items: tuple[Receipt, ...]
    next_cursor: str | None = None


class PutReceiptForm(Strict):
    """How receipts of one agency look from a date on: its names, its form and series, and who signs."""

    valid_from: BusinessDate
    agency_name: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL)]
    parent_name: Annotated[str, StringConstraints(max_length=200, pattern=NO_NUL)] = ""
    address: Annotated[str, StringConstraints(max_length=300, pattern=NO_NUL)] = ""
    tax_code: Annotated[str, StringConstraints(pattern=r"^([0-9]{10}(-[0-9]{3})?)?$")] = ""
    form_code: Annotated[str, StringConstraints(pattern=r"^[0-9]{2}BL[PN][0-9]?-[0-9]{3}$")] = "01BLP0-001"
    series: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9\-]{2,12}$")]
    title: Annotated[str, StringConstraints(min_length=5, max_length=120, pattern=NO_NUL)] = "BIÊN LAI THU PHÍ, LỆ PHÍ"


class AccountBalance(Record):
    """Debits minus credits of one account, in đồng."""

    account: str
    kind: Literal["asset", "liability", "income", "expense", "equity"]
    balance_dong: int


class TrialBalance(Record):
    """Every account at a moment. `sum_dong` is 0, or the books are wrong."""

    at: datetime
    accounts: tuple[AccountBalance, ...]
    sum_dong: int


class AgencyMovement(Record):
    """One movement of an agency's account, in đồng; a credit is what it earned."""

    business_date: date
    occurred_at: datetime
    kind: str
    dossier_code: str
    credit_dong: int
    debit_dong: int
    balance_dong: int


class AgencyStatement(Record):
    """What an agency's account held, how it moved and what it holds, in đồng."""

    agency: str
    opening_dong: int
    credit_dong: int
    debit_dong: int
    closing_dong: int
    movements: tuple[AgencyMovement, ...]


class PutPayer(Strict):
    """Who is named on the receipt. Kept here so that workflow histories never carry a name."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL)]
    address: Annotated[str, StringConstraints(max_length=300, pattern=NO_NUL)] = ""


class RecordRemittance(Strict):
    """The post has deposited a shift's cash and will remit it. `event_id` makes a repeat harmless."""

    event_id: Key
    reference: Key
    amount_dong: PositiveDong
    collector: Key
    deposited_at: Moment
    dossier_codes: Annotated[tuple[DossierCode, ...], Field(max_length=5_000)] = ()


class Remittance(Record):
    """A deposit of the post, as recorded."""

    id: str
    event_id: str
    reference: str
    amount_dong: int
    collector: str
    deposited_at: datetime
    recorded_at: datetime


class TieOutRow(Record):
    """One flow of money seen from three sides, in đồng. `difference_dong` is what nothing explains."""

    flow: Literal["card", "vietqr", "post_remittance", "transfer_out", "unidentified"]
    source_dong: int
    bank_dong: int
    ledger_dong: int
    timing_dong: int
    difference_dong: int


class Break(Record):
    id: str
    kind: BreakKind
    business_date: date
    amount_dong: int
    account: str
    subject: str
    text_vi: str
    text_en: str
    status: Literal["open", "resolved"]
    opened_at: datetime
    resolved_at: datetime | None
    resolution: str | None
    flow: str | None = None
    """The tie-out row this break explains; None when the bank is not concerned."""
    proposed_by: str | None = None
    proposal_hash: str | None = None
    assignee: str | None = None
    due_on: date | None = None
    version: int = 1
    """What a change has to name, so that nobody overwrites what somebody else did meanwhile."""


class BreakNote(Record):
    """One thing somebody did with a break."""

    number: int
    kind: Literal["assigned", "due", "comment", "proposed", "rejected", "resolved"]
    text: str
    actor: str
    at: datetime


class BreakHistory(Record):
    """A break and everything done with it, oldest first."""

    found: Break
    notes: tuple[BreakNote, ...]


class BreakPage(Record):
    items: tuple[Break, ...]
    next_cursor: str | None = None


class WorkOnBreak(Strict):
    """A change to one break: who works on it, until when, a comment, or a no to what was proposed."""

    id: Annotated[str, StringConstraints(pattern=r"^brk_[0-9a-f]{32}$")]
    version: Annotated[int, Field(ge=1, lt=2**31)]
    assignee: Annotated[str, StringConstraints(max_length=120, pattern=NO_NUL)] | None = None
    """Empty text takes the break from whoever has it; None leaves it."""
    due_on: BusinessDate | None = None
    comment: Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=NO_NUL)] | None = None
    reject: bool = False
    """Refuse the proposal that waits, for the reason in `comment`."""


class WorkOnBreaks(Strict):
    """Changes to many breaks at once. Each stands by itself: a stale one does not stop the others."""

    changes: Annotated[tuple[WorkOnBreak, ...], Field(min_length=1, max_length=500)]


class BreakWorked(Record):
    """What came of one change."""

    id: str
    outcome: Literal["done", "nothing_to_do", "stale", "unknown", "resolved", "not_allowed"]
    version: int | None = None
    """The version now."""


class BreaksWorked(Record):
    results: tuple[BreakWorked, ...]


class ResolveBreak(Strict):
    """How a break ends. `assign` gives held money to a bill, `write_off` books it as loss or gain, `explain` only
    records why nothing needs booking (refused while the ledger still holds money for it).

    Booking needs two people: the first call proposes, a second person repeats it with `proposal_hash`.
    """

    action: Literal["assign", "write_off", "explain"]
    payment_id: Annotated[str, StringConstraints(pattern=r"^pay_[0-9a-f]{32}$")] | None = None
    note: Annotated[str, StringConstraints(min_length=3, max_length=500, pattern=NO_NUL)]
    proposal_hash: Key | None = None


class CloseDay(Strict):
    """Close a business day. The first person's call proposes; a second person confirms with `proposal_hash`."""

    proposal_hash: Key | None = None


class Reconciliation(Record):
    """The state of one account and business date."""

    account: str
    business_date: date
    status: ReconciliationStatus
    statement_imported: bool
    settlement_imported: bool
    opening_dong: int
    closing_dong: int
    ledger_bank_dong: int
    rows: tuple[TieOutRow, ...]
    open_breaks: int
    open_breaks_dong: int
    unexplained_dong: int
    """Signed: bank − ledger − open breaks. Must be 0 before the day can be closed."""
    matched_lines: int
    closed_by: tuple[str, ...] = ()
    seal: str | None = None
    proposed_by: str | None = None
    proposal_hash: str | None = None
    """What a second person confirms to close the day; None while nobody has proposed it."""


class RunReconciliation(Strict):
    business_date: BusinessDate


class StatementImport(Record):
    id: str
    account: str
    business_date: date
    lines: int
    duplicate: bool
    """The file, or every line of it, was imported before."""
    quarantined: bool = False
    """The file does not add up or does not follow the one before: nothing of it is used, and a break says why."""
    opening_dong: int
    closing_dong: int


class PaymentTotals(Record):
    """What all bills of a period come to, by payer and by beneficiary, in đồng."""

    by_payer: dict[str, int]
    by_beneficiary: dict[str, int]
    collected_dong: int
    refunded_dong: int
    suspense_dong: int
    trial_balance_dong: int
    """Debits minus credits over all accounts: 0, or the books are wrong."""


class PaymentEvent(Record):
    """Body `data` of every webhook `payment.*` and `refund.*`. A hint: re-read the payment before acting."""

    event_id: str
    dossier_code: str
    payment_id: str
    refund_id: str | None = None
    request_key: str | None = None
    """The key a refund was requested with: names the workflow that watches it."""
    status: str
    amount_dong: int
    occurred_at: datetime


class BooksEvent(Record):
    """Body `data` of every webhook `statement.*` and `reconciliation.*`: which business date to look at again."""

    event_id: str
    account: str
    business_date: date
    status: str
    amount_dong: int
    """Closing balance of the statement."""
    occurred_at: datetime
