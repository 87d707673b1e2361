"""A dossier's money: its quote and bill, the tries at collecting, the courier's cash, and what is given back."""

from collections.abc import Collection
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import WorkflowAlreadyStartedError

from services.fees.contract import Quote
from services.payment.contract import Attempt, CancelPayment, CreateAttempt, CreatePayment, Payment, RecordCash
from services.postal.contract import Money as CashToCollect
from services.postal.contract import Shipment
from workflows.activities import (
    AttemptCall,
    CancelPaymentCall,
    CashCall,
    FeesActivities,
    OpenPaymentCall,
    PaymentActivities,
    PaymentCall,
    QuoteCall,
    ReminderCall,
)
from workflows.calls import Refused, act
from workflows.contract import (
    DossierInput,
    MoneyState,
    Outcome,
    RefundInput,
    RefundResult,
    ServiceNews,
    refund_workflow_id,
)
from workflows.progress import Ended, Progress
from workflows.refund import RefundWorkflow
from workflows.rules import UNSETTLED, attempt_seconds, bill_lines, cash_shares, refundable
from workflows.texts import CANCEL_REASON, REFUND_REASON

_UNKNOWN_GRACE = timedelta(minutes=5)
_BACKSTOP = timedelta(days=365)
"""The workflow ends a bill at its own deadlines. The bill's own expiry comes a year later: an agency that is late
must not cost the citizen a bill that nobody has asked to be paid yet."""


class Money:
    """The payment service holds the truth; this remembers what was last read and asks for the next step."""

    def __init__(self, dossier: DossierInput, progress: Progress) -> None:
        self._input = dossier
        self._progress = progress
        self._attempts = 0
        self._cash: dict[str, ServiceNews] = {}
        self._cash_recorded: set[str] = set()
        self.has_news = False
        self.quote: Quote | None = None
        self.payment: Payment | None = None

    @property
    def is_paid(self) -> bool:
        """Whether the citizen's part has come in, whatever was given back since."""
        return self.payment is not None and self.payment.paid_dong >= self.payment.due_dong

    @property
    def state(self) -> MoneyState:
        """As last read."""
        if self.payment is None:
            return MoneyState()
        return MoneyState(
            payment_id=self.payment.id,
            status=self.payment.status,
            due_dong=self.payment.due_dong,
            paid_dong=self.payment.paid_dong,
            budget_dong=self.payment.budget_dong,
            refunded_dong=self.payment.refunded_dong,
            pay_page_url=self.payment.pay_page_url,
            receipt_number=self.payment.receipt_number,
        )

    async def assess(self) -> None:
        """Quote and open the bill, even one of 0 đồng: its receipt and its explicit 0 are wanted."""
        self._progress.enter("quoting")
        code, limits = self._input.code, self._input.deadlines
        quote_call = QuoteCall(key=quote_key(code, self._input.fingerprint), request=self._input.request)
        self.quote = await self._progress.insist(FeesActivities, FeesActivities.quote_fees, quote_call)
        body = CreatePayment(
            bill_reference=f"dossier/{code}",
            dossier_code=code,
            procedure=self.quote.procedure,
            quote_id=self.quote.id,
            lines=bill_lines(self.quote),
            expires_at=workflow.now() + timedelta(seconds=sum(limits.model_dump().values())) + _BACKSTOP,
        )
        call = OpenPaymentCall(key=f"dossier/{code}:open", body=body)
        self.payment = await self._progress.insist(PaymentActivities, PaymentActivities.open_payment, call)
        self._progress.note("Đã xác định số tiền phải nộp", "What is owed has been assessed")

    async def collect(self) -> None:
        """Wait until the citizen's part is paid; a reminder half-way; at the deadline ask once more, then end."""
        if self.is_paid:
            return
        progress = self._progress
        progress.enter("collecting")
        begun = workflow.now()
        progress.begin("payment", self._input.deadlines.payment_seconds)
        reminder: datetime | None = begun + (progress.deadlines["payment"] - begun) / 2
        await self._start_attempt(self._input.pay_by)
        while not self.is_paid:
            deadline = progress.deadlines["payment"]
            until = min(deadline, reminder) if reminder else deadline
            heard = await progress.wait(
                lambda: self.has_news, until=until, vi="công dân nộp tiền", en="the citizen's payment"
            )
            if not heard and until == deadline:
                await self._at_deadline()
            else:
                await self.refresh()  # before a reminder too: nobody is reminded of what he has paid
            if not heard and until == reminder:
                reminder = None
                await self._remind(deadline)
            if not self.is_paid and self.payment is not None and self.payment.status in ("expired", "cancelled"):
                raise Ended("expired_unpaid")
        progress.end("payment")

    async def _at_deadline(self) -> None:
        """The truth before the act: money of unknown fate is waited for, nothing else is."""
        await self.refresh(ask_gateway=True)
        if self.is_paid:
            return
        if self.payment is not None and self.payment.status == "unknown":
            self._progress.deadlines["payment"] = workflow.now() + _UNKNOWN_GRACE
            return
        raise Ended("expired_unpaid")

    async def refresh(self, *, ask_gateway: bool = False) -> None:
        """Read the payment again. News that comes during the reading is kept for the next."""
        if self.payment is None:
            return
        self.has_news = False
        method = PaymentActivities.refresh_payment if ask_gateway else PaymentActivities.read_payment
        call = PaymentCall(payment_id=self.payment.id)
        self.payment = await self._progress.insist(PaymentActivities, method, call)

    async def _start_attempt(self, method: str, *, replace: bool = False) -> Attempt | None:
        """Start a try at collecting; None when the service refuses: paid meanwhile, or another try is alive."""
        assert self.payment is not None
        self._attempts += 1
        body = CreateAttempt.model_validate(
            {
                "method": method,
                "replace": replace,
                "expires_in_seconds": attempt_seconds(self._input, method),
            }
        )
        key = f"dossier/{self._input.code}:attempt:{self._attempts}"
        call = AttemptCall(key=key, payment_id=self.payment.id, body=body)
        try:
            return await act(PaymentActivities, PaymentActivities.start_attempt, call)
        except Refused:
            await self.refresh()
            return None

    async def _remind(self, due_at: datetime) -> None:
        if self.is_paid or self.payment is None:
            return
        key = f"dossier/{self._input.code}:remind"
        call = ReminderCall(key=key, payment_id=self.payment.id, due_at=due_at)
        try:
            await act(PaymentActivities, PaymentActivities.remind_payer, call)
        except Refused:
            workflow.logger.warning("a reminder was refused")  # a notice never fails a dossier

    # --- cash ----------------------------------------------------------------------------------

    def is_due_at_the_door(self, moment: str) -> bool:
        """Whether the courier is to collect the citizen's part at this moment."""
        return self._input.pay_by == "cash_on_delivery" and self._input.pay_when == moment and not self.is_paid

    async def cash_at_the_door(self, moment: str) -> CashToCollect | None:
        """What the courier must collect on this leg, or None. A try the citizen has left half-way is given up first."""
        if not self.is_due_at_the_door(moment):
            return None
        attempt = await self._start_attempt("cash_on_delivery", replace=True)
        if attempt is None or self.payment is None:
            return None
        return CashToCollect(
            amount_dong=attempt.amount_dong,
            payment_id=self.payment.id,
            attempt_reference=attempt.reference,
            lines=cash_shares(self.quote, attempt.amount_dong),
        )

    def hear_of_cash(self, news: ServiceNews) -> None:
        """Remember who collected cash and when, from the first news that says so."""
        if news.collector and news.amount_dong > 0:
            self._cash.setdefault(news.subject_id, news)

    async def record_cash(self, leg: Shipment) -> None:
        """Put what the courier has collected on a leg into the books, once."""
        if self.payment is None or leg.cash_collected_dong == 0 or leg.id in self._cash_recorded:
            return
        news = self._cash.get(leg.id)
        event_id = f"cash/{leg.id}"
        body = RecordCash(
            event_id=event_id,
            amount_dong=leg.cash_collected_dong,
            collected_at=news.occurred_at if news else workflow.now(),
            collector=news.collector if news else "post",
            place="courier",
        )
        call = CashCall(key=event_id, payment_id=self.payment.id, body=body)
        self._cash_recorded.add(leg.id)
        self.payment = await self._progress.insist(PaymentActivities, PaymentActivities.record_cash, call)

    async def expect_cash(self) -> None:
        """The leg has ended; its cash must be in the books, or a person must look."""
        await self.refresh()
        if not self.is_paid:
            self._progress.mark("the courier's leg ended without the cash that was due")

    # --- the way back --------------------------------------------------------------------------

    async def settle(self, outcome: Outcome, used_legs: Collection[str]) -> None:
        """End the bill and propose giving back what the citizen paid for nothing."""
        if self.payment is None or self.quote is None:
            return
        await self._end_bill(CANCEL_REASON[outcome])
        items, amount = refundable(self.quote, used_legs)
        amount = min(amount, self.payment.refundable_dong)
        if amount == 0:
            return
        self._progress.note("Đề nghị hoàn trả tiền cho công dân", "A refund to the citizen is proposed")
        request_key = f"dossier/{self._input.code}:refund"
        refund = RefundInput(
            request_key=request_key,
            payment_id=self.payment.id,
            dossier_code=self._input.code,
            reason=REFUND_REASON[outcome],
            source="bill",
            amount_dong=amount,
            items=items,
        )
        status = await self._see_refunded(refund)
        if status != "succeeded":
            self._progress.mark(f"refund {status}")

    async def _end_bill(self, reason: str) -> None:
        """End it, or find it ended. Money of unknown fate cannot be given up: its fate is waited for."""
        assert self.payment is not None
        key = f"dossier/{self._input.code}:cancel"
        body = CancelPayment.model_validate({"reason": reason})
        call = CancelPaymentCall(key=key, payment_id=self.payment.id, body=body)
        while True:
            try:
                self.payment = await act(PaymentActivities, PaymentActivities.cancel_payment, call)
            except Refused:
                await self.refresh(ask_gateway=True)
            else:
                return
            if self.payment.status not in UNSETTLED:
                return
            await self._progress.wait(
                lambda: self.has_news,
                until=workflow.now() + _UNKNOWN_GRACE,
                vi="kết quả giao dịch đang xử lý",
                en="the fate of a payment under way",
            )

    async def _see_refunded(self, refund: RefundInput) -> str:
        try:
            result: RefundResult = await workflow.execute_child_workflow(
                RefundWorkflow.run,
                refund,
                id=refund_workflow_id(refund.request_key),
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            )
        except WorkflowAlreadyStartedError:  # this run repeats one that was reset
            return "is watched by an earlier run"
        return result.status


def quote_key(code: str, fingerprint: str) -> str:
    """Idempotency key of a dossier's quote: the intake's check and the workflow get the same quote."""
    return f"dossier/{code}:quote:{fingerprint[:16]}"
