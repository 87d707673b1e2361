"""The one way in which the small workflows wait: for news of what they watch, or until it is time to look again."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.contract import ServiceNews


class NewsBox:
    """Remembers that something was said. A repeated event says nothing new."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._unread = False

    def put(self, news: ServiceNews) -> None:
        """Take in a piece of news."""
        if news.event_id not in self._seen:
            self._seen.add(news.event_id)
            self._unread = True

    def empty(self) -> None:
        """What was said so far is about to be read; what is said from now on is new."""
        self._unread = False

    async def wait(self, longest: timedelta) -> bool:
        """Wait for news; False when the time is up without any."""
        try:
            await workflow.wait_condition(lambda: self._unread, timeout=longest)
        except TimeoutError:
            return False
        return True
