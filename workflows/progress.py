"""How far a dossier is: its phase, deadlines and history, and the one way in which it waits."""

from collections.abc import Awaitable, Callable
from datetime import date, datetime, time, timedelta, timezone

from temporalio import workflow

from workflows.calls import Answer, Call, Refused, Service, act
from workflows.contract import Moment, Outcome, Phase
from workflows.texts import PHASES

_MAX_HISTORY = 200
_ASK_AGAIN = timedelta(hours=1)
VIETNAM = timezone(timedelta(hours=7))
"""Asia/Ho_Chi_Minh; it has no summer time."""


class Ended(Exception):
    """The journey ends before its last step."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Progress:
    """What people read about a dossier, and what every step asks before it goes on."""

    def __init__(self) -> None:
        self.phase: Phase = "quoting"
        self.outcome: Outcome | None = None
        self.withdrawn = False
        self.withdrawable = True
        self.deadlines: dict[str, datetime] = {}
        self.waits_for: Moment | None = None
        self.waits_until: datetime | None = None
        self.overdue: list[str] = []
        self.anomalies: list[str] = []
        self.history: list[Moment] = []

    def enter(self, phase: Phase) -> None:
        """Begin a phase; entering the present one again changes nothing."""
        if phase != self.phase:
            self.phase = phase
            self.note(*PHASES[phase])

    def note(self, vi: str, en: str) -> None:
        """Add a line to the history; the oldest lines fall off."""
        self.history = [*self.history[-_MAX_HISTORY + 1 :], Moment(at=workflow.now(), vi=vi, en=en)]

    def mark(self, anomaly: str) -> None:
        """Name something that a person must look at, once."""
        if anomaly not in self.anomalies:
            self.anomalies.append(anomaly)

    def begin(self, step: str, seconds: int) -> None:
        """Start a step's clock, unless somebody has set its deadline before it began."""
        self.deadlines.setdefault(step, workflow.now() + timedelta(seconds=seconds))

    def end(self, step: str) -> None:
        """Forget a step's clock, so that the next time it begins anew."""
        self.deadlines.pop(step, None)

    def move_deadline(self, step: str, until: datetime) -> None:
        """Set a step's deadline. A step that was overdue is not, when it has time again."""
        self.deadlines[step] = until
        if until > workflow.now() and step in self.overdue:
            self.overdue.remove(step)

    def end_if_withdrawn(self) -> None:
        """Raise Ended when an accepted withdrawal waits; it is looked for before every step that cannot be undone."""
        if self.withdrawn and self.withdrawable:
            raise Ended("withdrawn")

    async def wait(self, condition: Callable[[], bool], *, until: datetime | None, vi: str, en: str) -> bool:
        """Wait for news or a moved deadline; False when the time is up. A withdrawal ends the journey here."""
        self.waits_for = Moment(at=workflow.now(), vi=f"Đang chờ {vi}", en=f"Waiting for {en}")
        self.waits_until = until
        left = None if until is None else max(until - workflow.now(), timedelta(0))
        before = dict(self.deadlines)
        try:
            await workflow.wait_condition(
                lambda: condition() or (self.withdrawn and self.withdrawable) or self.deadlines != before, timeout=left
            )
            heard = True
        except TimeoutError:
            heard = False
        finally:
            self.waits_for = self.waits_until = None
        self.end_if_withdrawn()
        return heard

    async def insist(
        self, service: type[Service], method: Callable[[Service, Call], Awaitable[Answer]], call: Call
    ) -> Answer:
        """An activity without which nothing goes on: a refusal is shown to people and the call made again hourly.

        The key stays the same: a refused call has had no effect, so the services keep no answer for it.
        """
        while True:
            try:
                return await act(service, method, call)
            except Refused as refusal:
                self.mark(refusal.message)
            await self.wait(
                lambda: False,
                until=workflow.now() + _ASK_AGAIN,
                vi="cán bộ xử lý vướng mắc",
                en="an officer to clear what a service refused",
            )


def end_of_day(day: date) -> datetime:
    """The instant at which a day is over in Vietnam: a due date holds until then."""
    return datetime.combine(day + timedelta(days=1), time(), tzinfo=VIETNAM)
