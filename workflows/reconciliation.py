"""One business date of one account: fetch, match, wait for the statement, tie out, or ask for people."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from services.payment.contract import Reconciliation
    from workflows.activities import PaymentActivities, ReconcileCall
    from workflows.calls import act
    from workflows.contract import ReconcileInput, ServiceNews
    from workflows.news import NewsBox


@workflow.defn(name="ReconcileDay")
class ReconciliationWorkflow:
    """Ends when the day ties out to zero. Every run of the matching is harmless to repeat."""

    @workflow.init
    def __init__(self, day: ReconcileInput) -> None:
        self._input = day
        self._box = NewsBox()
        self._runs = 0
        self._overdue = False
        self._state: Reconciliation | None = None

    @workflow.signal
    def service_news(self, news: ServiceNews) -> None:
        """A statement arrived, or a break was resolved."""
        self._box.put(news)

    @workflow.query
    def view(self) -> Reconciliation | None:
        """The day as last tied out."""
        return self._state

    @workflow.run
    async def run(self, day: ReconcileInput) -> Reconciliation:
        """Run, and run again on news, until statement and settlement are in and nothing is unexplained.

        The key names the run: a day that is started again must be matched again, not answered from memory.
        """
        identity = f"{workflow.info().workflow_id}:{workflow.info().run_id}"
        while True:
            self._runs += 1
            self._box.empty()
            self._state = await act(
                PaymentActivities,
                PaymentActivities.run_reconciliation,
                ReconcileCall(key=f"{identity}:run:{self._runs}", business_date=day.business_date),
            )
            if self._state.status in ("balanced", "closed"):
                return self._state
            if not await self._box.wait(timedelta(seconds=day.statement_seconds)):
                self._overdue = True
                workflow.logger.warning("the day is not balanced yet", extra={"date": day.business_date.isoformat()})
