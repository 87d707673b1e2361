"""Tables of the payment database; every rule that PostgreSQL can hold, it holds."""

from services.payment.models.bank import (
    BankCredit,
    Break,
    BreakNote,
    LineMatch,
    Payout,
    PayoutItem,
    Remittance,
    Statement,
    StatementLine,
)
from services.payment.models.bills import (
    Attempt,
    Fact,
    Intake,
    Payer,
    Payment,
    PaymentLine,
    PaymentShare,
    Receipt,
    ReceiptSeries,
)
from services.payment.models.books import Account, DayClose, DayRun, EntryRow, JournalRow
from services.payment.models.news import Inbound, OutboxEvent, WebhookDelivery, WebhookEndpoint, outbox
from services.payment.models.refunds import Refund, RefundLeg, RefundPart
from services.payment.models.registry import Model

__all__ = [
    "Account",
    "Attempt",
    "BankCredit",
    "Break",
    "BreakNote",
    "DayClose",
    "DayRun",
    "EntryRow",
    "Fact",
    "Inbound",
    "Intake",
    "JournalRow",
    "LineMatch",
    "Model",
    "OutboxEvent",
    "Payer",
    "Payment",
    "PaymentLine",
    "PaymentShare",
    "Payout",
    "PayoutItem",
    "Receipt",
    "ReceiptSeries",
    "Refund",
    "RefundLeg",
    "RefundPart",
    "Remittance",
    "Statement",
    "StatementLine",
    "WebhookDelivery",
    "WebhookEndpoint",
    "outbox",
]
