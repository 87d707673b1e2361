"""The workflows' hands: one typed HTTP call each. Every write carries a key made of workflow, step and ordinal."""

from datetime import date, datetime, timedelta
from typing import NoReturn, TypeVar

from pydantic import BaseModel
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from kit.http import JsonClient, Refused, Unreachable
from services.fees.contract import Quote, QuoteRequest
from services.payment.contract import (
    Attempt,
    CancelPayment,
    CreateAttempt,
    CreatePayment,
    Payment,
    Reconciliation,
    RecordCash,
    RecordRemittance,
    Refund,
    RequestRefund,
    RunReconciliation,
)
from services.postal.contract import Claim, CreateClaim, CreateShipment, Shipment
from services.postal.desk_contract import DeadlineCheck
from workflows.contract import Payload

Answer = TypeVar("Answer", bound=BaseModel)


class QuoteCall(Payload):
    key: str
    request: QuoteRequest


class OpenPaymentCall(Payload):
    key: str
    body: CreatePayment


class AttemptCall(Payload):
    key: str
    payment_id: str
    body: CreateAttempt


class PaymentCall(Payload):
    payment_id: str


class CancelPaymentCall(Payload):
    key: str
    payment_id: str
    body: CancelPayment


class CashCall(Payload):
    key: str
    payment_id: str
    body: RecordCash


class RefundCall(Payload):
    key: str
    payment_id: str
    body: RequestRefund


class RefundRead(Payload):
    refund_id: str


class RemittanceCall(Payload):
    key: str
    body: RecordRemittance


class ReconcileCall(Payload):
    key: str
    business_date: date


class ShipmentCall(Payload):
    key: str
    body: CreateShipment


class ShipmentRead(Payload):
    shipment_id: str


class CancelShipmentCall(Payload):
    key: str
    shipment_id: str


class ClaimCall(Payload):
    key: str
    body: CreateClaim


class DeadlineCall(Payload):
    shipment_id: str


class DepositCall(Payload):
    deposit_id: str


class ClaimRead(Payload):
    claim_id: str


class ReminderCall(Payload):
    """A reminder that the citizen's payment is due soon."""

    key: str
    payment_id: str
    due_at: datetime


class Nothing(BaseModel):
    """An answer whose body does not matter."""


def _give_up(error: Refused) -> NoReturn:
    """A refusal is an answer: the workflow decides what it means, no retry will change it."""
    raise ApplicationError(
        error.detail or error.kind,
        type=error.kind,
        non_retryable=True,
        category=ApplicationErrorCategory.BENIGN,
    ) from error


async def _call(
    client: JsonClient,
    method: str,
    path: str,
    answer: type[Answer],
    *,
    body: BaseModel | None = None,
    key: str | None = None,
) -> Answer:
    try:
        return await client.call(method, path, answer, body=body, key=key)
    except Refused as error:
        if error.status in (401, 403):  # about us, not about the dossier: an operator mends it, the call goes on
            raise ApplicationError(str(error), type=error.kind) from error
        _give_up(error)
    except Unreachable as error:
        delay = timedelta(seconds=error.retry_after_seconds) if error.retry_after_seconds else None
        raise ApplicationError(str(error), type="unreachable", next_retry_delay=delay) from error


class FeesActivities:
    """Calls to the fees service."""

    def __init__(self, fees: JsonClient) -> None:
        self._fees = fees

    @activity.defn
    async def quote_fees(self, call: QuoteCall) -> Quote:
        """What is owed, by whom, under the law of the filing date."""
        return await _call(self._fees, "POST", "/v1/quotes", Quote, body=call.request, key=call.key)


class PaymentActivities:
    """Calls to the payment service."""

    def __init__(self, payment: JsonClient) -> None:
        self._payment = payment

    @activity.defn
    async def open_payment(self, call: OpenPaymentCall) -> Payment:
        """Open the bill; the second call returns the first bill."""
        return await _call(self._payment, "POST", "/v1/payments", Payment, body=call.body, key=call.key)

    @activity.defn
    async def start_attempt(self, call: AttemptCall) -> Attempt:
        """Start one try at collecting."""
        path = f"/v1/payments/{call.payment_id}/attempts"
        return await _call(self._payment, "POST", path, Attempt, body=call.body, key=call.key)

    @activity.defn
    async def read_payment(self, call: PaymentCall) -> Payment:
        """The payment as it stands."""
        return await _call(self._payment, "GET", f"/v1/payments/{call.payment_id}", Payment)

    @activity.defn
    async def refresh_payment(self, call: PaymentCall) -> Payment:
        """Ask the gateway again before believing that nothing was paid."""
        path = f"/v1/payments/{call.payment_id}/refresh"
        info = activity.info()
        # The run is named: after a reset the ids of activities repeat, and the truth must be asked for anew.
        key = f"refresh:{info.workflow_id}:{info.workflow_run_id}:{info.activity_id}"
        return await _call(self._payment, "POST", path, Payment, key=key)

    @activity.defn
    async def cancel_payment(self, call: CancelPaymentCall) -> Payment:
        """End the bill; what was paid stays to be refunded."""
        path = f"/v1/payments/{call.payment_id}/cancel"
        return await _call(self._payment, "POST", path, Payment, body=call.body, key=call.key)

    @activity.defn
    async def record_cash(self, call: CashCall) -> Payment:
        """Tell the books that a courier holds money for this bill."""
        path = f"/v1/payments/{call.payment_id}/cash"
        return await _call(self._payment, "POST", path, Payment, body=call.body, key=call.key)

    @activity.defn
    async def remind_payer(self, call: ReminderCall) -> Nothing:
        """Announce that a bill is due soon; the portal tells the citizen."""
        path = f"/v1/payments/{call.payment_id}/reminders"
        return await _call(self._payment, "POST", path, Nothing, key=call.key)

    @activity.defn
    async def request_refund(self, call: RefundCall) -> Refund:
        """Propose a refund; a second person decides."""
        path = f"/v1/payments/{call.payment_id}/refunds"
        return await _call(self._payment, "POST", path, Refund, body=call.body, key=call.key)

    @activity.defn
    async def read_refund(self, call: RefundRead) -> Refund:
        """The refund as it stands."""
        return await _call(self._payment, "GET", f"/v1/refunds/{call.refund_id}", Refund)

    @activity.defn
    async def record_remittance(self, call: RemittanceCall) -> Nothing:
        """Move deposited cash from the courier to the post in the books."""
        return await _call(self._payment, "POST", "/v1/remittances", Nothing, body=call.body, key=call.key)

    @activity.defn
    async def run_reconciliation(self, call: ReconcileCall) -> Reconciliation:
        """Fetch, match and tie out one business date. Harmless when repeated."""
        body = RunReconciliation(business_date=call.business_date)
        return await _call(self._payment, "POST", "/v1/reconciliations", Reconciliation, body=body, key=call.key)


class PostalActivities:
    """Calls to the postal service."""

    def __init__(self, postal: JsonClient) -> None:
        self._postal = postal

    @activity.defn
    async def book_shipment(self, call: ShipmentCall) -> Shipment:
        """Book one leg; the second call returns the first shipment."""
        return await _call(self._postal, "POST", "/v1/shipments", Shipment, body=call.body, key=call.key)

    @activity.defn
    async def read_shipment(self, call: ShipmentRead) -> Shipment:
        """The shipment as it stands."""
        return await _call(self._postal, "GET", f"/v1/shipments/{call.shipment_id}", Shipment)

    @activity.defn
    async def cancel_shipment(self, call: CancelShipmentCall) -> Shipment:
        """Call a pickup off; refused once the papers are with the post."""
        path = f"/v1/shipments/{call.shipment_id}/cancel"
        return await _call(self._postal, "POST", path, Shipment, key=call.key)

    @activity.defn
    async def check_deadlines(self, call: DeadlineCall) -> DeadlineCheck:
        """Let the post compare a leg's clocks with the present moment. Harmless when repeated."""
        return await _call(self._postal, "POST", f"/v1/shipments/{call.shipment_id}/deadlines", DeadlineCheck)

    @activity.defn
    async def note_remitted(self, call: DepositCall) -> Nothing:
        """Tell the post that the books have taken over a deposit. Harmless when repeated."""
        return await _call(self._postal, "POST", f"/v1/deposits/{call.deposit_id}/remitted", Nothing)

    @activity.defn
    async def submit_claim(self, call: ClaimCall) -> Claim:
        """Claim compensation; the second call returns the first claim."""
        return await _call(self._postal, "POST", "/v1/claims", Claim, body=call.body, key=call.key)

    @activity.defn
    async def read_claim(self, call: ClaimRead) -> Claim:
        """The claim as it stands."""
        return await _call(self._postal, "GET", f"/v1/claims/{call.claim_id}", Claim)
