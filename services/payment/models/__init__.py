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
)
from services.payment.models.books import Account, DayClose, DayRun, EntryRow, JournalRow
from services.payment.models.disputes import Dispute
from services.payment.models.news import Inbound, OutboxEvent, WebhookDelivery, WebhookEndpoint, outbox
from services.payment.models.receipts import Receipt, ReceiptForm, ReceiptSeries
from services.payment.models.refunds import Refund, RefundLeg, RefundPart
from services.payment.models.registry import Model
from services.payment.models.vouchers import Voucher, VoucherEvent, VoucherYear

__all__ = [
    "Account",
    "Attempt",
    "BankCredit",
    "Break",
    "BreakNote",
    "DayClose",
    "DayRun",
    "Dispute",
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
    "ReceiptForm",
    "ReceiptSeries",
    "Refund",
    "RefundLeg",
    "RefundPart",
    "Remittance",
    "Statement",
    "StatementLine",
    "Voucher",
    "VoucherEvent",
    "VoucherYear",
    "WebhookDelivery",
    "WebhookEndpoint",
    "outbox",
]
