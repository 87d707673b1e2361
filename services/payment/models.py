"""Tables of the payment database. Amounts are đồng as bigint; every rule that PostgreSQL can hold, it holds."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from kit.db import Instant, Json, service_metadata
from kit.idempotency import add_idempotency_table
from kit.webhooks import DeliveryColumns, Outbox, OutboxColumns, WebhookEndpointColumns


class Model(SQLModel, registry=registry(metadata=service_metadata())):
    """What every table of this service stands on."""


def _dong(default: int | None = None) -> Any:  # noqa: ANN401 — a column declaration
    if default is None:
        return Field(sa_type=BigInteger)
    return Field(default=default, sa_type=BigInteger)


def _in(column: str, *values: str) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} in ({listed})", name=f"{column}_known")


# --- the books -------------------------------------------------------------------------------------


class Account(Model, table=True):
    """One account of the chart; agency accounts appear with their first posting."""

    __tablename__ = "account"
    __table_args__ = (_in("kind", "asset", "liability", "income", "expense", "equity"),)

    code: str = Field(primary_key=True)
    kind: str


class JournalRow(Model, table=True):
    """One balanced change of the books. Never updated, never deleted, never in a closed day: triggers see to it."""

    __tablename__ = "journal"
    __table_args__ = (
        CheckConstraint("entry_count >= 2", name="has_entries"),
        Index("ix_journal_business_date_kind", "business_date", "kind"),
    )

    id: str = Field(primary_key=True)
    posting_key: str = Field(unique=True)
    kind: str
    payment_id: str | None = Field(default=None, foreign_key="payment.id", index=True)
    refund_id: str | None = Field(default=None, foreign_key="refund.id", index=True)
    occurred_at: datetime = Field(sa_type=Instant)
    value_date: date
    posted_at: datetime = Field(sa_type=Instant)
    business_date: date
    entry_count: int


class EntryRow(Model, table=True):
    """One side of a journal: positive debit, negative credit."""

    __tablename__ = "entry"
    __table_args__ = (
        CheckConstraint("amount_dong <> 0", name="moves_money"),
        Index("ix_entry_account_subject", "account", "subject"),
    )

    journal_id: str = Field(primary_key=True, foreign_key="journal.id")
    position: int = Field(primary_key=True)
    account: str = Field(foreign_key="account.code")
    amount_dong: int = _dong()
    subject: str = ""


# --- bills -----------------------------------------------------------------------------------------


class Payment(Model, table=True):
    """The bill of one dossier and how far it is paid. The figures are the fold of its facts."""

    __tablename__ = "payment"
    __table_args__ = (
        CheckConstraint("due_dong >= 0 and budget_dong >= 0", name="owes_nothing_negative"),
        CheckConstraint("paid_dong between 0 and due_dong", name="paid_within_due"),
        CheckConstraint(
            "held_dong >= 0 and refunded_dong >= 0 and held_dong + refunded_dong <= paid_dong",
            name="refunds_within_paid",
        ),
        CheckConstraint("excess_held_dong between 0 and excess_dong", name="excess_held_within_excess"),
        CheckConstraint("ended is null or ended in ('expired', 'cancelled')", name="ended_known"),
        _in(
            "status",
            "open",
            "pending",
            "unknown",
            "partially_paid",
            "paid",
            "expired",
            "cancelled",
            "refund_pending",
            "refunded",
        ),
        Index("ix_payment_status_id", "status", "id"),
        Index("ix_payment_to_expire", "expires_at", postgresql_where=text("ended is null and paid_dong < due_dong")),
    )

    id: str = Field(primary_key=True)
    bill_reference: str = Field(unique=True)
    dossier_code: str = Field(index=True)
    procedure: str
    quote_id: str
    request: dict[str, Any] = Field(sa_type=Json)
    """The bill as first asked for: what a repeat is compared with."""
    status: str
    due_dong: int = _dong()
    budget_dong: int = _dong()
    paid_dong: int = _dong(0)
    refunded_dong: int = _dong(0)
    held_dong: int = _dong(0)
    excess_dong: int = _dong(0)
    excess_held_dong: int = _dong(0)
    ended: str | None = None
    live: str | None = None
    budget_released: bool = False
    expires_at: datetime = Field(sa_type=Instant)
    created_at: datetime = Field(sa_type=Instant)
    paid_at: datetime | None = Field(default=None, sa_type=Instant)
    version: int = 0


class PaymentLine(Model, table=True):
    """One thing owed. `reversed_dong` will not be collected; `given_back_dong` is refunded or asked for."""

    __tablename__ = "payment_line"
    __table_args__ = (
        CheckConstraint("citizen_dong >= 0 and budget_dong >= 0", name="owes_nothing_negative"),
        CheckConstraint(
            "reversed_dong >= 0 and given_back_dong >= 0 and reversed_dong + given_back_dong <= citizen_dong",
            name="gives_back_what_it_has",
        ),
        CheckConstraint("leg is null or leg in ('send', 'return')", name="leg_known"),
        _in("kind", "fee", "charge", "postage", "collection"),
    )

    payment_id: str = Field(primary_key=True, foreign_key="payment.id")
    position: int = Field(primary_key=True)
    item: str
    kind: str
    leg: str | None = None
    label_vi: str
    label_en: str
    beneficiary: str
    citizen_dong: int = _dong()
    budget_dong: int = _dong()
    reversed_dong: int = _dong(0)
    given_back_dong: int = _dong(0)


class PaymentShare(Model, table=True):
    """Who pays how much of a line."""

    __tablename__ = "payment_share"
    __table_args__ = (
        CheckConstraint("amount_dong >= 0", name="not_negative"),
        ForeignKeyConstraint(["payment_id", "position"], ["payment_line.payment_id", "payment_line.position"]),
    )

    payment_id: str = Field(primary_key=True)
    position: int = Field(primary_key=True)
    number: int = Field(primary_key=True)
    payer: str
    amount_dong: int = _dong()


class Attempt(Model, table=True):
    """One try at collecting a bill. At most one is live a bill: the partial unique index sees to it."""

    __tablename__ = "attempt"
    __table_args__ = (
        CheckConstraint("amount_dong > 0 and received_dong >= 0", name="asks_for_money"),
        _in("method", "card", "vietqr", "cash_on_delivery", "cash_at_counter"),
        _in(
            "status",
            "created",
            "pending",
            "requires_action",
            "succeeded",
            "succeeded_mismatch",
            "failed",
            "expired",
            "cancelled",
            "unknown",
        ),
        Index(
            "uq_attempt_one_live",
            "payment_id",
            unique=True,
            postgresql_where=text("status in ('created', 'pending', 'requires_action', 'unknown')"),
        ),
        Index(
            "ix_attempt_due",
            "next_check_at",
            postgresql_where=text("status in ('created', 'pending', 'requires_action', 'unknown')"),
        ),
    )

    id: str = Field(primary_key=True)
    payment_id: str = Field(foreign_key="payment.id", index=True)
    method: str
    status: str
    amount_dong: int = _dong()
    received_dong: int = _dong(0)
    reference: str = Field(unique=True)
    qr_payload: str | None = None
    payment_method: str | None = None
    """Token of the gateway, kept so that an interrupted call can be repeated word for word."""
    gateway_intent_id: str | None = Field(default=None, unique=True)
    pay_url: str | None = None
    last_error: str = ""
    check_count: int = 0
    next_check_at: datetime = Field(sa_type=Instant)
    expires_at: datetime = Field(sa_type=Instant)
    created_at: datetime = Field(sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)


class Fact(Model, table=True):
    """One line of a payment's history; append-only. `number` counts from 1 without gaps."""

    __tablename__ = "fact"

    payment_id: str = Field(primary_key=True, foreign_key="payment.id")
    number: int = Field(primary_key=True)
    id: str = Field(unique=True)
    kind: str
    attempt_id: str | None = Field(default=None, foreign_key="attempt.id")
    refund_id: str | None = Field(default=None, foreign_key="refund.id")
    amount_dong: int = _dong()
    occurred_at: datetime = Field(sa_type=Instant)
    recorded_at: datetime = Field(sa_type=Instant)
    actor: str
    detail: str = ""


class Intake(Model, table=True):
    """One arrival of money for a bill, and how much of it has gone back."""

    __tablename__ = "intake"
    __table_args__ = (
        UniqueConstraint("source", "source_reference", name="uq_intake_source_reference"),
        CheckConstraint("amount_dong > 0 and amount_dong = applied_dong + excess_dong", name="parts_make_the_whole"),
        CheckConstraint("applied_returned_dong between 0 and applied_dong", name="applied_returned_within"),
        CheckConstraint("excess_returned_dong between 0 and excess_dong", name="excess_returned_within"),
        _in("source", "gateway", "bank", "cash"),
    )

    id: str = Field(primary_key=True)
    payment_id: str = Field(foreign_key="payment.id", index=True)
    attempt_id: str | None = Field(default=None, foreign_key="attempt.id")
    method: str
    source: str
    source_reference: str
    amount_dong: int = _dong()
    applied_dong: int = _dong()
    excess_dong: int = _dong()
    applied_returned_dong: int = _dong(0)
    excess_returned_dong: int = _dong(0)
    payer_bin: str | None = None
    payer_account: str | None = None
    payer_name: str | None = None
    collector: str | None = None
    received_at: datetime = Field(sa_type=Instant)
    recorded_at: datetime = Field(sa_type=Instant)


class BankCredit(Model, table=True):
    """A transfer that reached the collecting account, from an advice or, when that was lost, from a statement."""

    __tablename__ = "bank_credit"
    __table_args__ = (
        CheckConstraint("amount_dong > 0", name="brings_money"),
        CheckConstraint("(status = 'applied') = (intake_id is not null)", name="applied_has_intake"),
        _in("origin", "advice", "statement"),
        _in("status", "held", "applied", "recognised"),
    )

    id: str = Field(primary_key=True)
    bank_reference: str = Field(unique=True)
    origin: str
    amount_dong: int = _dong()
    content: str
    payer_bin: str | None = None
    payer_account: str | None = None
    payer_name: str | None = None
    booked_at: datetime = Field(sa_type=Instant)
    booked_on: date = Field(index=True)
    recorded_at: datetime = Field(sa_type=Instant)
    status: str
    """`held` in suspense, `applied` to a bill, or `recognised` as a payout or remittance, booked by its statement."""
    intake_id: str | None = Field(default=None, foreign_key="intake.id", unique=True)
    """The arrival it became, once applied."""


class Remittance(Model, table=True):
    """Cash the post has deposited and owes to the bank account."""

    __tablename__ = "remittance"
    __table_args__ = (CheckConstraint("amount_dong > 0", name="brings_money"),)

    id: str = Field(primary_key=True)
    event_id: str = Field(unique=True)
    reference: str = Field(unique=True)
    amount_dong: int = _dong()
    collector: str
    deposited_at: datetime = Field(sa_type=Instant)
    deposited_on: date = Field(index=True)
    dossier_codes: list[str] = Field(sa_type=Json)
    recorded_at: datetime = Field(sa_type=Instant)


class Payer(Model, table=True):
    """Who is named on a dossier's receipt."""

    __tablename__ = "payer"

    dossier_code: str = Field(primary_key=True)
    name: str
    address: str = ""
    updated_at: datetime = Field(sa_type=Instant)


# --- refunds ---------------------------------------------------------------------------------------


class Refund(Model, table=True):
    """Money to give back: asked for by one person, decided by another."""

    __tablename__ = "refund"
    __table_args__ = (
        CheckConstraint("amount_dong > 0", name="gives_money"),
        CheckConstraint("decided_by is null or decided_by <> requested_by", name="second_person"),
        CheckConstraint("(status = 'requested') = (decided_by is null)", name="decided_or_waiting"),
        _in("source", "bill", "excess"),
        _in("status", "requested", "approved", "rejected", "processing", "succeeded", "failed"),
        _in("route", "gateway", "bank_transfer", "treasury_voucher", "undecided"),
        Index("ix_refund_status_id", "status", "id"),
        Index("ix_refund_due", "next_check_at", postgresql_where=text("status in ('approved', 'processing')")),
    )

    id: str = Field(primary_key=True)
    request_key: str = Field(unique=True)
    payment_id: str = Field(foreign_key="payment.id", index=True)
    source: str
    reason: str
    amount_dong: int = _dong()
    items: list[str] = Field(sa_type=Json)
    status: str
    route: str = "undecided"
    proposal_hash: str
    requested_by: str
    requested_at: datetime = Field(sa_type=Instant)
    decided_by: str | None = None
    decided_at: datetime | None = Field(default=None, sa_type=Instant)
    note: str = ""
    last_error: str = ""
    check_count: int = 0
    next_check_at: datetime = Field(sa_type=Instant)
    finished_at: datetime | None = Field(default=None, sa_type=Instant)


class RefundPart(Model, table=True):
    """How much of a refund is taken from one line of the bill."""

    __tablename__ = "refund_part"
    __table_args__ = (CheckConstraint("amount_dong > 0", name="gives_money"),)

    refund_id: str = Field(primary_key=True, foreign_key="refund.id")
    position: int = Field(primary_key=True)
    amount_dong: int = _dong()


class RefundLeg(Model, table=True):
    """The part of an approved refund that goes back along one arrival of money. Its id is the key at the outside."""

    __tablename__ = "refund_leg"
    __table_args__ = (
        CheckConstraint("amount_dong > 0", name="gives_money"),
        _in("route", "gateway", "bank_transfer", "treasury_voucher"),
        _in("status", "waiting", "processing", "succeeded", "failed"),
    )

    id: str = Field(primary_key=True)
    refund_id: str = Field(foreign_key="refund.id", index=True)
    intake_id: str = Field(foreign_key="intake.id", index=True)
    amount_dong: int = _dong()
    route: str
    status: str
    gateway_refund_id: str | None = Field(default=None, unique=True)
    bank_order_reference: str | None = Field(default=None, unique=True)
    settle_event_id: str | None = None
    paid_on: date | None = Field(default=None, index=True)
    last_error: str = ""


# --- what the outside told us ----------------------------------------------------------------------


class Inbound(Model, table=True):
    """A verified webhook, stored once and worked on until it is understood."""

    __tablename__ = "inbound"
    __table_args__ = (
        UniqueConstraint("source", "event_id", name="uq_inbound_source_event_id"),
        _in("source", "gateway", "bank"),
        Index("ix_inbound_due", "next_attempt_at", postgresql_where=text("processed_at is null")),
    )

    id: str = Field(primary_key=True)
    source: str
    event_id: str
    kind: str
    body: dict[str, Any] = Field(sa_type=Json)
    received_at: datetime = Field(sa_type=Instant)
    attempts: int = 0
    next_attempt_at: datetime = Field(sa_type=Instant)
    processed_at: datetime | None = Field(default=None, sa_type=Instant)
    last_result: str = ""


class Payout(Model, table=True):
    """A settlement of the gateway, as its API told it."""

    __tablename__ = "payout"
    __table_args__ = (CheckConstraint("net_dong = gross_dong - fee_dong", name="net_is_gross_less_fee"),)

    id: str = Field(primary_key=True)
    gross_dong: int = _dong()
    fee_dong: int = _dong()
    net_dong: int = _dong()
    announced_dong: int = _dong()
    """The payout's own amount; equals the net of its transactions or a break says so."""
    arrival_date: date = Field(index=True)
    status: str
    imported_at: datetime = Field(sa_type=Instant)
    business_date: date


class PayoutItem(Model, table=True):
    """One balance transaction of a payout."""

    __tablename__ = "payout_item"

    id: str = Field(primary_key=True)
    payout_id: str = Field(foreign_key="payout.id", index=True)
    kind: str
    source: str = Field(index=True)
    gross_dong: int = _dong()
    fee_dong: int = _dong()
    known: bool


class Statement(Model, table=True):
    """A bank statement as received. A quarantined one has told us nothing yet."""

    __tablename__ = "statement"
    __table_args__ = (
        _in("status", "accepted", "quarantined"),
        _in("format", "camt.053", "csv"),
    )

    id: str = Field(primary_key=True)
    account: str
    identity: str
    """The bank's own identification; a day that is still running may be issued several times under the same one."""
    format: str
    sha256: str = Field(unique=True)
    business_date: date = Field(index=True)
    opening_dong: int = _dong()
    closing_dong: int = _dong()
    lines: int
    status: str
    imported_at: datetime = Field(sa_type=Instant)
    imported_by: str


class StatementLine(Model, table=True):
    """One movement on the bank account, credit positive. Known by fingerprint and how often it occurs in its file."""

    __tablename__ = "statement_line"
    __table_args__ = (
        UniqueConstraint("account", "fingerprint", "occurrence", name="uq_statement_line_fingerprint"),
        CheckConstraint("amount_dong <> 0", name="moves_money"),
        Index("ix_statement_line_account_booked_on", "account", "booked_on"),
    )

    id: str = Field(primary_key=True)
    statement_id: str = Field(foreign_key="statement.id")
    account: str
    number: int
    booked_on: date
    value_on: date
    amount_dong: int = _dong()
    bank_reference: str = Field(index=True)
    content: str
    payer_bin: str | None = None
    payer_account: str | None = None
    payer_name: str | None = None
    fingerprint: str
    occurrence: int


class LineMatch(Model, table=True):
    """What a statement line was recognised as. A line has one match; the posting goes with it."""

    __tablename__ = "line_match"
    __table_args__ = (
        _in("flow", "card", "vietqr", "post_remittance", "transfer_out", "unidentified"),
        Index("ix_line_match_flow_item", "flow", "item"),
    )

    line_id: str = Field(primary_key=True, foreign_key="statement_line.id")
    flow: str
    item: str
    """Payout, bank reference, remittance reference or order reference the line answers; the line itself when none."""
    evidence: str
    journal_id: str = Field(foreign_key="journal.id")
    matched_at: datetime = Field(sa_type=Instant)


class Break(Model, table=True):
    """A difference somebody has to explain."""

    __tablename__ = "break"
    __table_args__ = (
        UniqueConstraint("kind", "subject", name="uq_break_kind_subject"),
        _in("status", "open", "resolved"),
        CheckConstraint("(status = 'resolved') = (resolved_at is not null)", name="resolved_has_time"),
        CheckConstraint("resolved_by is null or proposed_by is null or resolved_by <> proposed_by", name="two_people"),
        Index("ix_break_status_id", "status", "id"),
        Index("ix_break_business_date", "business_date"),
    )

    id: str = Field(primary_key=True)
    kind: str
    business_date: date
    amount_dong: int = _dong()
    account: str
    flow: str | None = None
    subject: str
    text_vi: str
    text_en: str
    status: str = "open"
    opened_at: datetime = Field(sa_type=Instant)
    proposal: dict[str, Any] | None = Field(default=None, sa_type=Json)
    proposal_hash: str | None = None
    proposed_by: str | None = None
    resolved_at: datetime | None = Field(default=None, sa_type=Instant)
    resolved_by: str | None = None
    resolution: str | None = None


class DayRun(Model, table=True):
    """That a business date has been reconciled, and when last."""

    __tablename__ = "day_run"

    business_date: date = Field(primary_key=True)
    settlement_at: datetime = Field(sa_type=Instant)
    """When the gateway last told us all its payouts up to this date."""
    ran_at: datetime = Field(sa_type=Instant)


class DayClose(Model, table=True):
    """The closing of a business date: proposed by one person, confirmed by another, sealed for ever."""

    __tablename__ = "day_close"
    __table_args__ = (
        _in("status", "proposed", "closed"),
        CheckConstraint("closed_by is null or closed_by <> proposed_by", name="second_person"),
        CheckConstraint(
            "(status = 'closed') = (closed_by is not null and seal is not null and number is not null)",
            name="closed_is_sealed",
        ),
    )

    business_date: date = Field(primary_key=True)
    status: str
    proposal_hash: str
    proposed_by: str
    proposed_at: datetime = Field(sa_type=Instant)
    snapshot: dict[str, Any] = Field(sa_type=Json)
    closed_by: str | None = None
    closed_at: datetime | None = Field(default=None, sa_type=Instant)
    number: int | None = Field(default=None, unique=True)
    previous_seal: str | None = None
    seal: str | None = Field(default=None, unique=True)


# --- receipts --------------------------------------------------------------------------------------


class ReceiptSeries(Model, table=True):
    """Counts the receipts of a series; its row lock is what keeps the numbers without gaps."""

    __tablename__ = "receipt_series"
    __table_args__ = (CheckConstraint("last_serial >= 0", name="counts_up"),)

    series: str = Field(primary_key=True)
    last_serial: int = 0


class Receipt(Model, table=True):
    """A receipt as issued. The content is a snapshot; only a full refund changes it, by cancelling."""

    __tablename__ = "receipt"
    __table_args__ = (
        UniqueConstraint("series", "serial", name="uq_receipt_series_serial"),
        CheckConstraint("amount_dong >= 0 and serial > 0", name="counts_up"),
    )

    number: str = Field(primary_key=True)
    series: str = Field(foreign_key="receipt_series.series")
    serial: int
    payment_id: str = Field(foreign_key="payment.id", unique=True)
    amount_dong: int = _dong()
    check_code: str
    content: dict[str, Any] = Field(sa_type=Json)
    issued_at: datetime = Field(sa_type=Instant)
    cancelled_at: datetime | None = Field(default=None, sa_type=Instant)


# --- news ------------------------------------------------------------------------------------------


class OutboxEvent(OutboxColumns, Model, table=True):
    __tablename__ = "outbox_event"


class WebhookEndpoint(WebhookEndpointColumns, Model, table=True):
    __tablename__ = "webhook_endpoint"


class WebhookDelivery(DeliveryColumns, Model, table=True):
    __tablename__ = "webhook_delivery"


outbox = Outbox(events=OutboxEvent, endpoints=WebhookEndpoint, deliveries=WebhookDelivery)
add_idempotency_table(Model.metadata)
