"""Sees a claim through its legal deadlines: submitted, answered, paid."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from services.postal.contract import Claim, CreateClaim
    from workflows.activities import ClaimCall, ClaimRead, PostalActivities
    from workflows.calls import act
    from workflows.contract import ClaimInput, ClaimResult, ServiceNews
    from workflows.news import NewsBox

_ENDS = frozenset({"rejected", "paid"})


@workflow.defn(name="Claim")
class ClaimWorkflow:
    """The postal service keeps the claim; this re-reads it on news and at the latest every reminder period."""

    @workflow.init
    def __init__(self, claim: ClaimInput) -> None:
        self._input = claim
        self._box = NewsBox()
        self._state: Claim | None = None

    @workflow.signal
    def service_news(self, news: ServiceNews) -> None:
        """Something happened to this claim."""
        self._box.put(news)

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
            if not await self._box.wait(timedelta(seconds=claim.remind_seconds)):
                workflow.logger.warning("claim waits for an answer")
            self._box.empty()
            self._state = await act(PostalActivities, PostalActivities.read_claim, ClaimRead(claim_id=self._state.id))
        return ClaimResult(
            claim_id=self._state.id, status=self._state.status, compensation_dong=self._state.compensation_dong
        )
