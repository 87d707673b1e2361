"""Sees a claim through its legal deadlines: submitted, answered, paid."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from services.postal.contract import Claim, CreateClaim
    from workflows.activities import ClaimCall, ClaimRead, PostalActivities
    from workflows.calls import act
    from workflows.contract import ClaimInput, ClaimResult, ServiceNews

_ENDS = frozenset({"rejected", "paid"})


@workflow.defn(name="Claim")
class ClaimWorkflow:
    """The postal service keeps the claim; this re-reads it on news and at the latest every reminder period."""

    @workflow.init
    def __init__(self, claim: ClaimInput) -> None:
        self._input = claim
        self._seen: set[str] = set()
        self._news = False
        self._state: Claim | None = None

    @workflow.signal
    def service_news(self, news: ServiceNews) -> None:
        """Something happened to this claim."""
        if news.event_id not in self._seen:
            self._seen.add(news.event_id)
            self._news = True

    @workflow.query
    def view(self) -> Claim | None:
        """The claim as last read."""
        return self._state

    @workflow.run
    async def run(self, claim: ClaimInput) -> ClaimResult:
        """Submit (the second submission returns the first claim), then wait for the end."""
        body = CreateClaim(claim_key=claim.shipment_id, shipment_id=claim.shipment_id, reason=claim.reason)
        key = f"claim/{claim.shipment_id}:submit"
        self._state = await act(PostalActivities, PostalActivities.submit_claim, ClaimCall(key=key, body=body))
        while self._state.status not in _ENDS:
            try:
                await workflow.wait_condition(lambda: self._news, timeout=timedelta(seconds=claim.remind_seconds))
            except TimeoutError:
                workflow.logger.warning("claim waits for an answer")
            self._news = False
            self._state = await act(PostalActivities, PostalActivities.read_claim, ClaimRead(claim_id=self._state.id))
        return ClaimResult(
            claim_id=self._state.id, status=self._state.status, compensation_dong=self._state.compensation_dong
        )
