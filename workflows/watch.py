"""Holds the timer of a shipment's deadlines: the postal service knows the clocks, this asks it to look in time."""

from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from services.postal.desk_contract import DeadlineCheck
    from workflows.activities import DeadlineCall, PostalActivities
    from workflows.calls import Refused, act
    from workflows.contract import ServiceNews, WatchInput, WatchResult
    from workflows.news import NewsBox

_SOON = timedelta(seconds=5)
"""Our clock and the service's may differ: never ask again at once."""


@workflow.defn(name="Watch")
class WatchWorkflow:
    """From the booking of a leg until nothing of it is timed any more. Every look is harmless to repeat."""

    @workflow.init
    def __init__(self, watched: WatchInput) -> None:
        self._input = watched
        self._box = NewsBox()
        self._state: DeadlineCheck | None = None
        self._breaches = list(watched.breaches)

    @workflow.signal
    def service_news(self, news: ServiceNews) -> None:
        """Something happened to this shipment, or a clock was stopped or released."""
        self._box.put(news)

    @workflow.query
    def view(self) -> DeadlineCheck | None:
        """The deadlines as last checked."""
        return self._state

    @workflow.run
    async def run(self, watched: WatchInput) -> WatchResult:
        """Look, wait until the next clock is due or something is said, and look again."""
        call = DeadlineCall(shipment_id=watched.shipment_id)
        while True:
            self._box.empty()
            try:
                self._state = await act(PostalActivities, PostalActivities.check_deadlines, call)
            except Refused as refusal:  # nothing to watch: the booking was undone, or never was
                return WatchResult(shipment_id=watched.shipment_id, breaches=tuple(self._breaches), end=refusal.kind)
            self._breaches += [kind for kind in self._state.open_cases if kind not in self._breaches]
            if self._state.ended:
                return WatchResult(shipment_id=watched.shipment_id, breaches=tuple(self._breaches), end="ended")
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(watched.model_copy(update={"breaches": tuple(self._breaches)}))
            await self._box.wait(self._until(self._state.next_check_at))

    def _until(self, due: datetime | None) -> timedelta:
        longest = timedelta(seconds=self._input.look_seconds)
        if due is None:
            return longest
        return min(max(due - workflow.now(), _SOON), longest)
