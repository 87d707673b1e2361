"""Sees one refund through: proposed, decided by a second person, paid out, or said why not."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from services.payment.contract import Refund, RequestRefund
    from workflows.activities import PaymentActivities, RefundCall, RefundRead
    from workflows.calls import Refused, act
    from workflows.contract import RefundInput, RefundResult, ServiceNews
    from workflows.news import NewsBox

_ENDS = frozenset({"rejected", "succeeded", "failed"})
"""After `failed` the service changes nothing any more: a person proposes the money again under another key."""


@workflow.defn(name="Refund")
class RefundWorkflow:
    """The payment service does the work and keeps the state; this watches that it comes to an end."""

    @workflow.init
    def __init__(self, refund: RefundInput) -> None:
        self._input = refund
        self._box = NewsBox()
        self._state: Refund | None = None
        self._reminders = 0

    @workflow.signal
    def service_news(self, news: ServiceNews) -> None:
        """Something happened to this refund."""
        self._box.put(news)

    @workflow.query
    def view(self) -> Refund | None:
        """The refund as last read; None before it was proposed."""
        return self._state

    @workflow.run
    async def run(self, refund: RefundInput) -> RefundResult:
        """Propose, then wait for the end. A refusal to propose is a result too: nothing was refundable."""
        try:
            self._state = await act(
                PaymentActivities,
                PaymentActivities.request_refund,
                RefundCall(
                    key=f"{workflow.info().workflow_id}:request",
                    payment_id=refund.payment_id,
                    body=RequestRefund(
                        request_key=refund.request_key,
                        reason=refund.reason,
                        source=refund.source,
                        amount_dong=refund.amount_dong,
                        items=refund.items,
                    ),
                ),
            )
        except Refused as refusal:
            return RefundResult(refund_id="", status=f"not_possible:{refusal.kind}", amount_dong=0)
        while self._state.status not in _ENDS:
            if not await self._box.wait(timedelta(seconds=refund.remind_seconds)):
                self._reminders += 1
            self._box.empty()
            self._state = await act(
                PaymentActivities, PaymentActivities.read_refund, RefundRead(refund_id=self._state.id)
            )
        return RefundResult(refund_id=self._state.id, status=self._state.status, amount_dong=self._state.amount_dong)
