"""What taking and giving money needs besides a database: the gateway, the bank, and the terms of the house."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from kit.db import Sessions
from kit.web import LOCAL_ZONE
from services.payment.bank import BankClient
from services.payment.gateway import Gateway


@dataclass(frozen=True, slots=True)
class Terms:
    """What an installation decides once. Times in seconds."""

    public_url: str
    gateway_pay_page: str
    bank_bin: str
    bank_account: str
    bank_holder: str
    agency_name: str
    receipt_series: str
    secret: str
    card_attempt_seconds: int
    vietqr_attempt_seconds: int
    cash_attempt_seconds: int
    bank_overdue_days: int
    refund_after_settlement: Literal["treasury_voucher", "gateway"] = "treasury_voucher"
    authorisation_seconds: int = 6 * 86_400
    """How long a card's money may stay reserved; longer than this a bank need not keep its word."""

    def code_for(self, *parts: str) -> str:
        """An unguessable code that proves we wrote `parts`: 32 hexadecimal digits of HMAC-SHA256."""
        return hmac.new(self.secret.encode(), "\n".join(parts).encode(), hashlib.sha256).hexdigest()[:32]

    def pay_page_url(self, payment_id: str) -> str:
        """Where the citizen pays; the token is what lets them in."""
        return f"{self.public_url}/pay/{payment_id}?token={self.code_for('pay', payment_id)}"


@dataclass(frozen=True, slots=True)
class Till:
    """Handed to the operations that reach outside."""

    sessions: Sessions
    gateway: Gateway
    bank: BankClient
    terms: Terms


def local_date(moment: datetime) -> date:
    """The date on the wall in Việt Nam."""
    return moment.astimezone(LOCAL_ZONE).date()
