"""The world behind Temporal activities: the same names on the same queues as the real ones, no HTTP."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError

from services.fees.contract import Quote
from services.payment.contract import Attempt, Payment, Reconciliation, Refund
from services.postal.contract import Claim, Shipment
from services.postal.desk_contract import DeadlineCheck
from tests.workflows.world import Away, Desk, No, World
from workflows import activities as real
from workflows.contract import FEES_QUEUE, PAYMENT_QUEUE, POSTAL_QUEUE

Answer = TypeVar("Answer")
SOON = timedelta(milliseconds=10)
"""How soon a service that was away is asked again: the clock of the time-skipping server stands still meanwhile."""


async def _said(desk: Desk, name: str, key: str, effect: Callable[[], Answer]) -> Answer:
    """Answer as the real activities do: refusals end the activity, trouble is retried."""
    try:
        return await desk.perform(name, key, effect)
    except No as refusal:
        raise ApplicationError(refusal.kind, type=refusal.kind, non_retryable=True) from refusal
    except Away as trouble:
        raise ApplicationError("away", type="unreachable", next_retry_delay=SOON) from trouble


class Fees:
    def __init__(self, world: World) -> None:
        self._world = world

    @activity.defn
    async def quote_fees(self, call: real.QuoteCall) -> Quote:
        desk = self._world.by_key(call.key)
        return await _said(desk, "quote_fees", call.key, lambda: self._world.quote(call.request, code=desk.code))


class Payments:
    def __init__(self, world: World) -> None:
        self._world = world

    @activity.defn
    async def open_payment(self, call: real.OpenPaymentCall) -> Payment:
        desk = self._world.of(call.body.dossier_code)
        return await _said(desk, "open_payment", call.key, lambda: desk.open(call.body))

    @activity.defn
    async def start_attempt(self, call: real.AttemptCall) -> Attempt:
        desk = self._world.by_id(call.payment_id)
        return await _said(desk, "start_attempt", call.key, lambda: desk.start(call.body))

    @activity.defn
    async def read_payment(self, call: real.PaymentCall) -> Payment:
        desk = self._world.by_id(call.payment_id)
        return await _said(desk, "read_payment", call.payment_id, desk.read)

    @activity.defn
    async def refresh_payment(self, call: real.PaymentCall) -> Payment:
        desk = self._world.by_id(call.payment_id)
        return await _said(desk, "refresh_payment", call.payment_id, desk.refresh)

    @activity.defn
    async def cancel_payment(self, call: real.CancelPaymentCall) -> Payment:
        desk = self._world.by_id(call.payment_id)
        return await _said(desk, f"cancel_payment({call.body.reason})", call.key, lambda: desk.cancel(call.body))

    @activity.defn
    async def record_cash(self, call: real.CashCall) -> Payment:
        desk = self._world.by_id(call.payment_id)
        return await _said(desk, "record_cash", call.key, lambda: desk.take_cash(call.body))

    @activity.defn
    async def remind_payer(self, call: real.ReminderCall) -> real.Nothing:
        desk = self._world.by_id(call.payment_id)
        return await _said(desk, "remind_payer", call.key, real.Nothing)

    @activity.defn
    async def request_refund(self, call: real.RefundCall) -> Refund:
        desk = self._world.by_id(call.payment_id)
        return await _said(desk, "request_refund", call.key, lambda: desk.ask_refund(call.body))

    @activity.defn
    async def read_refund(self, call: real.RefundRead) -> Refund:
        desk = self._world.by_id(call.refund_id)
        return await _said(desk, "read_refund", call.refund_id, lambda: desk.refund(call.refund_id))

    @activity.defn
    async def record_remittance(self, call: real.RemittanceCall) -> real.Nothing:
        def record() -> real.Nothing:
            self._world.remit(call.body)
            return real.Nothing()

        return await _said(self._world.of(call.body.reference), "record_remittance", call.key, record)

    @activity.defn
    async def run_reconciliation(self, call: real.ReconcileCall) -> Reconciliation:
        desk = self._world.of(call.business_date.isoformat())
        return await _said(desk, "run_reconciliation", call.key, lambda: desk.reconcile(call.business_date))


class Post:
    def __init__(self, world: World) -> None:
        self._world = world

    @activity.defn
    async def book_shipment(self, call: real.ShipmentCall) -> Shipment:
        desk = self._world.of(call.body.dossier_code)
        return await _said(desk, "book_shipment", call.key, lambda: desk.book(call.body))

    @activity.defn
    async def read_shipment(self, call: real.ShipmentRead) -> Shipment:
        desk = self._world.by_id(call.shipment_id)
        return await _said(desk, "read_shipment", call.shipment_id, lambda: desk.shipment(call.shipment_id))

    @activity.defn
    async def cancel_shipment(self, call: real.CancelShipmentCall) -> Shipment:
        desk = self._world.by_id(call.shipment_id)
        return await _said(desk, "cancel_shipment", call.key, lambda: desk.call_off(call.shipment_id))

    @activity.defn
    async def check_deadlines(self, call: real.DeadlineCall) -> DeadlineCheck:
        desk = self._world.by_id(call.shipment_id)
        at = activity.info().scheduled_time
        return await _said(desk, "check_deadlines", call.shipment_id, lambda: desk.deadlines(call.shipment_id, at=at))

    @activity.defn
    async def note_remitted(self, call: real.DepositCall) -> real.Nothing:
        desk = self._world.of(call.deposit_id.removeprefix("dep-"))
        return await _said(desk, "note_remitted", call.deposit_id, real.Nothing)

    @activity.defn
    async def submit_claim(self, call: real.ClaimCall) -> Claim:
        desk = self._world.by_id(call.body.shipment_id)
        return await _said(desk, "submit_claim", call.key, lambda: desk.claim(call.body))

    @activity.defn
    async def read_claim(self, call: real.ClaimRead) -> Claim:
        desk = self._world.by_id(call.claim_id)
        return await _said(desk, "read_claim", call.claim_id, lambda: desk.claim_of(call.claim_id))


def activities(world: World) -> dict[str, Sequence[Callable[..., Awaitable[Any]]]]:
    """What each queue's worker runs."""
    fees, payments, post = Fees(world), Payments(world), Post(world)
    return {
        FEES_QUEUE: [fees.quote_fees],
        PAYMENT_QUEUE: [
            payments.open_payment,
            payments.start_attempt,
            payments.read_payment,
            payments.refresh_payment,
            payments.cancel_payment,
            payments.record_cash,
            payments.remind_payer,
            payments.request_refund,
            payments.read_refund,
            payments.record_remittance,
            payments.run_reconciliation,
        ],
        POSTAL_QUEUE: [
            post.book_shipment,
            post.read_shipment,
            post.cancel_shipment,
            post.check_deadlines,
            post.note_remitted,
            post.submit_claim,
            post.read_claim,
        ],
    }
