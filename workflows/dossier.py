"""A dossier from fee to delivered result: the journey of design §4, its deadlines, and its way back."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from workflows.contract import (
        AgencyFact,
        Answered,
        ChangeDeadline,
        DossierInput,
        DossierView,
        Outcome,
        ServiceNews,
        Withdraw,
    )
    from workflows.money import Money, quote_key
    from workflows.papers import GONE, Papers
    from workflows.progress import VIETNAM, Ended, Progress, end_of_day
    from workflows.rules import UNDONE, papers_at, portal_status
    from workflows.texts import AGENCY_FACTS, NEXT_STEPS, STEP_NAMES

__all__ = ["DossierWorkflow", "quote_key"]

_RESULT_ISSUED = frozenset({"result_ready", "handed_over"})


@workflow.defn(name="Dossier")
class DossierWorkflow:
    """One run a dossier. Facts arrive as signals with event ids, commands as updates; services hold the truth."""

    @workflow.init
    def __init__(self, dossier: DossierInput) -> None:
        self._input = dossier
        self._seen: set[str] = set()
        self._facts: list[AgencyFact] = []
        self._told: set[str] = set()
        self._undo: list[str] = []
        self._progress = Progress()
        self._money = Money(dossier, self._progress)
        self._papers = Papers(dossier, self._progress, self._money)

    # --- messages ------------------------------------------------------------------------------

    @workflow.signal
    def service_news(self, news: ServiceNews) -> None:
        """A payment, shipment or claim changed: mark it for re-reading. Repeats are harmless."""
        if news.event_id in self._seen:
            return
        self._seen.add(news.event_id)
        if news.direction is not None:
            self._papers.news.add(news.direction)
            self._money.hear_of_cash(news)
        else:
            self._money.has_news = True

    @workflow.signal
    def agency_fact(self, fact: AgencyFact) -> None:
        """The agency accepted, refused, asked for more, finished. Repeats are harmless."""
        if fact.event_id not in self._seen:
            self._seen.add(fact.event_id)
            self._facts.append(fact)

    @workflow.update
    def withdraw(self, command: Withdraw) -> Answered:
        """Take the dossier back; money and papers follow."""
        if not self._progress.withdrawn:
            self._progress.withdrawn = True
            self._progress.note("Công dân yêu cầu rút hồ sơ", "The citizen asked to withdraw the dossier")
        return Answered(
            accepted=True,
            text_vi="Đã ghi nhận yêu cầu rút hồ sơ; tiền và giấy tờ sẽ được hoàn trả.",
            text_en="The withdrawal is recorded; money and papers will be returned.",
        )

    @withdraw.validator
    def _may_withdraw(self, command: Withdraw) -> None:
        issued = any(fact.kind in _RESULT_ISSUED for fact in self._facts)
        if issued or not self._progress.withdrawable:
            raise ApplicationError(
                "The result has been issued or the dossier has ended; it can no longer be withdrawn.",
                type="cannot-withdraw-now",
            )

    @workflow.update
    def change_deadline(self, command: ChangeDeadline) -> Answered:
        """Move a step's deadline, counted from now; the step that waits sees it at once, a later one keeps it."""
        until = workflow.now() + timedelta(seconds=command.seconds)
        self._progress.move_deadline(command.step, until)
        vi, en = STEP_NAMES[command.step]
        local = until.astimezone(VIETNAM)
        self._progress.note(
            f"Gia hạn bước {vi} đến {local:%H:%M} ngày {local:%d/%m/%Y}",
            f"Deadline of {en} moved to {local:%Y-%m-%d %H:%M} (Vietnam time)",
        )
        return Answered(accepted=True, text_vi="Đã đổi thời hạn.", text_en="The deadline is changed.")

    @workflow.query
    def view(self) -> DossierView:
        """Where the dossier is, what it waits for, and what happens next."""
        progress, legs = self._progress, self._papers.legs
        next_vi, next_en = NEXT_STEPS[progress.phase]
        return DossierView(
            code=self._input.code,
            procedure=self._input.request.procedure,
            phase=progress.phase,
            portal_status=portal_status(progress.phase, progress.outcome),
            outcome=progress.outcome,
            papers=papers_at(channel=self._input.request.channel, legs=legs, outcome=progress.outcome),
            waits_for=progress.waits_for,
            waits_until=progress.waits_until,
            next_vi=next_vi,
            next_en=next_en,
            money=self._money.state,
            quote_id=self._money.quote.id if self._money.quote else None,
            legs=legs,
            claim_compensation_dong=self._papers.compensation_dong,
            overdue=tuple(progress.overdue),
            anomalies=tuple(progress.anomalies),
            history=tuple(progress.history),
        )

    # --- the journey ---------------------------------------------------------------------------

    @workflow.run
    async def run(self, dossier: DossierInput) -> DossierView:
        """See the dossier through. Refusal, withdrawal, expiry and loss are outcomes, not failures.

        Cancelled by an operator, the dossier goes back as if withdrawn and closes as cancelled. After the result has
        been issued nothing is undone. A cancellation that comes on the way back does not stop it.
        """
        cancellation: BaseException | None = None
        try:
            outcome = await self._journey()
        except Ended as ended:
            outcome = ended.outcome
        except BaseException as error:  # cancelled inside an activity, the journey ends with that activity's error
            if not is_cancelled_exception(error):
                raise
            if not self._progress.withdrawable:
                self._progress.mark("cancelled after the result was issued: nothing was undone")
                raise
            cancellation, outcome = error, "withdrawn"
        finishing = asyncio.ensure_future(self._finish(outcome))
        try:
            await asyncio.shield(finishing)
        except asyncio.CancelledError:
            await finishing
        await workflow.wait_condition(workflow.all_handlers_finished)
        if cancellation is not None:
            raise cancellation
        return self.view()

    async def _finish(self, outcome: Outcome) -> None:
        self._progress.withdrawable = False
        if outcome in UNDONE:
            await self._go_back(outcome)
        await self._money.refresh()
        self._progress.outcome = outcome
        self._progress.enter("finished")

    async def _go_back(self, outcome: Outcome) -> None:
        """Undo in reverse: papers first, because what postage is used decides what money goes back."""
        self._progress.enter("undoing")
        for step in reversed(self._undo):
            if step == "papers":
                await self._papers.recover()
            else:
                await self._money.settle(outcome, self._papers.used_legs)

    async def _journey(self) -> Outcome:
        postal = self._input.request.postal
        self._undo.append("money")
        await self._money.assess()
        if self._collects_at("before_acceptance"):
            await self._money.collect()
        if postal.send:
            await self._pick_up()
        await self._accept()
        if self._collects_at("after_acceptance"):
            await self._money.collect()
        await self._process()
        self._progress.end_if_withdrawn()
        self._progress.withdrawable = False  # the result is issued: from here on only forward
        if self._collects_at("on_return"):
            await self._money.collect()
        handed_over = any(fact.kind == "handed_over" for fact in self._facts)
        if postal.return_result and not handed_over:
            return await self._return_result()
        return await self._hand_over()

    def _collects_at(self, moment: str) -> bool:
        """Whether money is collected at this moment by something other than the courier."""
        return self._input.pay_when == moment and self._input.pay_by not in ("cash_on_delivery", "none")

    async def _pick_up(self) -> None:
        """Outbound leg: the courier counts, seals and signs; with it, the cash if the citizen pays at the door."""
        self._progress.end_if_withdrawn()
        self._progress.enter("picking_up")
        is_due = self._money.is_due_at_the_door("before_acceptance")
        cash = await self._money.cash_at_the_door("before_acceptance")
        self._undo.append("papers")
        leg = await self._papers.send("outbound", "out", cash=cash)
        if leg.status in GONE:
            raise Ended("papers_lost")
        if leg.status in ("cancelled", "returned"):
            raise Ended("withdrawn")
        if is_due:
            await self._money.expect_cash()

    async def _accept(self) -> None:
        """The agency looks at the dossier: accepted, refused, or something is missing."""
        while True:
            self._progress.enter("accepting")
            fact = await self._next_fact("acceptance", vi="cơ quan tiếp nhận hồ sơ", en="the agency's acceptance")
            if fact.kind == "supplement_requested":
                await self._supplement("acceptance")
            elif fact.kind == "accepted":
                return
            elif fact.kind in _RESULT_ISSUED:
                self._facts.insert(0, fact)  # an earlier fact was lost; a later one implies it
                return

    async def _process(self) -> None:
        """The agency works until the result is ready; its deadline is watched, not enforced on the citizen."""
        while True:
            self._progress.enter("processing")
            fact = await self._next_fact("processing", vi="cơ quan giải quyết hồ sơ", en="the agency's decision")
            if fact.kind == "supplement_requested":
                await self._supplement("processing")
            elif fact.kind == "extended" and fact.due_on is None:
                allowed = timedelta(seconds=self._input.deadlines.processing_seconds)
                self._progress.move_deadline("processing", workflow.now() + allowed)
            elif fact.kind in _RESULT_ISSUED:
                if fact.kind == "handed_over":
                    self._facts.insert(0, fact)
                self._progress.end("processing")
                return

    async def _supplement(self, interrupted: str) -> None:
        """The citizen completes the papers; the interrupted step's clock then starts anew."""
        self._progress.enter("supplementing")
        while True:
            fact = await self._next_fact("supplement", vi="công dân bổ sung giấy tờ", en="the missing papers")
            if fact.kind in ("supplement_received", "accepted", *_RESULT_ISSUED):
                if fact.kind != "supplement_received":
                    self._facts.insert(0, fact)
                self._progress.end("supplement")
                self._progress.end(interrupted)
                return

    async def _return_result(self) -> Outcome:
        """Return leg: delivered with proof, or lost with a claim, or back at the agency and handed over there."""
        self._progress.enter("returning")
        is_due = self._money.is_due_at_the_door("on_return")
        cash = await self._money.cash_at_the_door("on_return")
        leg = await self._papers.send("return", "back", cash=cash)
        if leg.status in GONE:
            return "result_lost"
        if leg.status in ("returned", "cancelled"):
            return await self._hand_over()
        if is_due:
            await self._money.expect_cash()
        return "result_delivered"

    async def _hand_over(self) -> Outcome:
        """The citizen gets the result at the counter or in the electronic account."""
        self._progress.enter("handing_over")
        while True:
            fact = await self._next_fact("handing_over", vi="trao kết quả", en="the handing over of the result")
            if fact.kind == "handed_over":
                return "result_handed_over"

    async def _next_fact(self, step: str, *, vi: str, en: str) -> AgencyFact:
        """The agency's next fact. Its own lateness is shown and never punishes the citizen."""
        progress = self._progress
        limit = "processing" if step == "handing_over" else step
        progress.begin(step, getattr(self._input.deadlines, f"{limit}_seconds"))
        while True:
            while not self._facts:
                until = None if step in progress.overdue else progress.deadlines[step]
                if not await progress.wait(lambda: bool(self._facts), until=until, vi=vi, en=en):
                    progress.overdue.append(step)
                    progress.note(f"Quá hạn: {vi}", f"Overdue: {en}")
            progress.end_if_withdrawn()  # an accepted withdrawal outranks facts that came with it
            fact = self._facts.pop(0)
            if fact.event_id not in self._told:  # a fact that was put back is told once
                self._told.add(fact.event_id)
                progress.note(*AGENCY_FACTS[fact.kind])
            if fact.due_on is not None:
                progress.move_deadline("processing", end_of_day(fact.due_on))
            if fact.kind != "refused":
                return fact
            if progress.withdrawable:
                raise Ended("refused")
            progress.mark("the agency reported a refusal after the result was issued")
