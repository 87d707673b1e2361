"""A dossier from fee to delivered result: the journey of design §4, its deadlines, and its way back."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from services.fees.contract import Quote
    from services.payment.contract import (
        Attempt,
        CancelPayment,
        CreateAttempt,
        CreatePayment,
        Payment,
        RecordCash,
    )
    from services.postal.contract import CreateClaim, CreateShipment, Direction, Shipment
    from services.postal.contract import Money as CashToCollect
    from workflows.activities import (
        AttemptCall,
        CancelPaymentCall,
        CancelShipmentCall,
        CashCall,
        ClaimCall,
        FeesActivities,
        OpenPaymentCall,
        PaymentActivities,
        PaymentCall,
        PostalActivities,
        QuoteCall,
        ReminderCall,
        ShipmentCall,
        ShipmentRead,
    )
    from workflows.calls import act
    from workflows.claim import ClaimWorkflow
    from workflows.contract import (
        AgencyFact,
        Answered,
        ChangeDeadline,
        ClaimInput,
        DossierInput,
        DossierView,
        Leg,
        Moment,
        MoneyState,
        Outcome,
        Phase,
        RefundInput,
        ServiceNews,
        Withdraw,
        claim_workflow_id,
        refund_workflow_id,
    )
    from workflows.refund import RefundWorkflow
    from workflows.rules import (
        LEG_ENDS,
        NOT_YET_COLLECTED,
        UNDONE,
        bill_lines,
        papers_at,
        portal_status,
        postage_of,
        refundable,
    )
    from workflows.texts import AGENCY_FACTS, CANCEL_REASON, LEG_NAME, NEXT_STEPS, PHASES, REFUND_REASON

_MAX_HISTORY = 200
_UNKNOWN_GRACE = timedelta(minutes=5)


class Ended(Exception):
    """The journey ends before its last step."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


@workflow.defn(name="Dossier")
class DossierWorkflow:
    """One run a dossier. Facts arrive as signals with event ids, commands as updates; services hold the truth."""

    @workflow.init
    def __init__(self, dossier: DossierInput) -> None:
        self._input = dossier
        self._seen: set[str] = set()
        self._facts: list[AgencyFact] = []
        self._payment_news = False
        self._leg_news: set[Direction] = set()
        self._collectors: dict[str, str] = {}
        self._withdrawn = False
        self._withdrawable = True
        self._deadlines: dict[str, datetime] = {}
        self._undo: list[str] = []
        self._phase: Phase = "quoting"
        self._outcome: Outcome | None = None
        self._waits_for: Moment | None = None
        self._waits_until: datetime | None = None
        self._quote: Quote | None = None
        self._payment: Payment | None = None
        self._attempts = 0
        self._legs: dict[Direction, Shipment] = {}
        self._cash_recorded: set[str] = set()
        self._compensation = 0
        self._overdue: list[str] = []
        self._anomalies: list[str] = []
        self._history: list[Moment] = []

    # --- messages ------------------------------------------------------------------------------

    @workflow.signal
    def service_news(self, news: ServiceNews) -> None:
        """A payment, shipment or claim changed: mark it for re-reading. Repeats are harmless."""
        if news.event_id in self._seen:
            return
        self._seen.add(news.event_id)
        if news.direction is not None:
            self._leg_news.add(news.direction)
            if news.collector:
                self._collectors[news.subject_id] = news.collector
        else:
            self._payment_news = True

    @workflow.signal
    def agency_fact(self, fact: AgencyFact) -> None:
        """The agency accepted, refused, asked for more, finished. Repeats are harmless."""
        if fact.event_id not in self._seen:
            self._seen.add(fact.event_id)
            self._facts.append(fact)

    @workflow.update
    def withdraw(self, command: Withdraw) -> Answered:
        """Take the dossier back; money and papers follow."""
        self._withdrawn = True
        self._note("Công dân yêu cầu rút hồ sơ", "The citizen asked to withdraw the dossier")
        return Answered(
            accepted=True,
            text_vi="Đã ghi nhận yêu cầu rút hồ sơ; tiền và giấy tờ sẽ được hoàn trả.",
            text_en="The withdrawal is recorded; money and papers will be returned.",
        )

    @withdraw.validator
    def _may_withdraw(self, command: Withdraw) -> None:
        if not self._withdrawable:
            raise ApplicationError(
                "The result has been issued or the dossier has ended; it can no longer be withdrawn.",
                type="cannot-withdraw-now",
            )

    @workflow.update
    def change_deadline(self, command: ChangeDeadline) -> Answered:
        """Move a step's deadline, counted from now; the step that waits sees it at once."""
        until = workflow.now() + timedelta(seconds=command.seconds)
        self._deadlines[command.step] = until
        self._note(f"Gia hạn bước {command.step} đến {until:%d/%m/%Y %H:%M}", f"Deadline of {command.step} moved")
        return Answered(accepted=True, text_vi="Đã đổi thời hạn.", text_en="The deadline is changed.")

    @workflow.query
    def view(self) -> DossierView:
        """Where the dossier is, what it waits for, and what happens next."""
        next_vi, next_en = NEXT_STEPS[self._phase]
        legs = tuple(_leg_of(shipment) for shipment in self._legs.values())
        return DossierView(
            code=self._input.code,
            procedure=self._input.request.procedure,
            phase=self._phase,
            portal_status=portal_status(self._phase, self._outcome),
            outcome=self._outcome,
            papers=papers_at(channel=self._input.request.channel, legs=legs, outcome=self._outcome),
            waits_for=self._waits_for,
            waits_until=self._waits_until,
            next_vi=next_vi,
            next_en=next_en,
            money=_money_of(self._payment),
            quote_id=self._quote.id if self._quote else None,
            legs=legs,
            claim_compensation_dong=self._compensation,
            overdue=tuple(self._overdue),
            anomalies=tuple(self._anomalies),
            history=tuple(self._history),
        )

    # --- the journey ---------------------------------------------------------------------------

    @workflow.run
    async def run(self, dossier: DossierInput) -> DossierView:
        """See the dossier through. Refusal, withdrawal, expiry and loss are outcomes, not failures."""
        try:
            outcome = await self._journey()
        except Ended as ended:
            outcome = ended.outcome
        except asyncio.CancelledError:
            await self._go_back("withdrawn")
            raise
        self._withdrawable = False
        if outcome in UNDONE:
            await self._go_back(outcome)
        await self._refresh_money()
        self._outcome = outcome
        self._enter("finished")
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.view()

    async def _journey(self) -> Outcome:
        postal = self._input.request.postal
        await self._assess()
        if self._collects_at("before_acceptance"):
            await self._collect()
        if postal.send:
            await self._pick_up()
        await self._accept()
        if self._collects_at("after_acceptance"):
            await self._collect()
        await self._process()
        if self._collects_at("on_return"):
            await self._collect()
        self._withdrawable = False
        if postal.return_result:
            return await self._return_result()
        return await self._hand_over()

    def _collects_at(self, moment: str) -> bool:
        """Whether money is collected at this moment by something other than the courier."""
        return self._input.pay_when == moment and self._input.pay_by not in ("cash_on_delivery", "none")

    async def _assess(self) -> None:
        """Quote and open the bill, even one of 0 đồng: its receipt and its explicit 0 are wanted."""
        self._enter("quoting")
        code, limits = self._input.code, self._input.deadlines
        key = quote_key(code, self._input.fingerprint)
        self._quote = await act(
            FeesActivities, FeesActivities.quote_fees, QuoteCall(key=key, request=self._input.request)
        )
        life = sum(limits.model_dump().values())
        self._undo.append("money")
        self._payment = await act(
            PaymentActivities,
            PaymentActivities.open_payment,
            OpenPaymentCall(
                key=f"dossier/{code}:open",
                body=CreatePayment(
                    bill_reference=f"dossier/{code}",
                    dossier_code=code,
                    procedure=self._quote.procedure,
                    quote_id=self._quote.id,
                    lines=bill_lines(self._quote),
                    expires_at=workflow.now() + timedelta(seconds=life),
                ),
            ),
        )
        self._note("Đã xác định số tiền phải nộp", "What is owed has been assessed")

    async def _collect(self) -> None:
        """Wait until the citizen's part is paid; a reminder half-way; at the deadline ask once more, then end."""
        if self._is_paid():
            return
        self._enter("collecting")
        seconds = self._input.deadlines.payment_seconds
        self._deadlines["payment"] = workflow.now() + timedelta(seconds=seconds)
        reminder: datetime | None = workflow.now() + timedelta(seconds=seconds / 2)
        await self._start_attempt(self._input.pay_by)
        while not self._is_paid():
            self._payment_news = False
            deadline = self._deadlines["payment"]
            until = min(deadline, reminder) if reminder else deadline
            heard = await self._wait(
                lambda: self._payment_news, until=until, vi="công dân nộp tiền", en="the citizen's payment"
            )
            if heard:
                await self._refresh_money()
            elif reminder is not None and until == reminder:
                reminder = None
                await self._remind(deadline)
            else:
                await self._at_payment_deadline()
            if self._payment is not None and self._payment.status in ("expired", "cancelled"):
                raise Ended("expired_unpaid")

    async def _at_payment_deadline(self) -> None:
        """The truth before the act: money under way or of unknown fate is waited for, nothing else is."""
        await self._refresh_money(ask_gateway=True)
        assert self._payment is not None
        if self._is_paid():
            return
        if self._payment.status == "unknown":
            self._deadlines["payment"] = workflow.now() + _UNKNOWN_GRACE
            return
        raise Ended("expired_unpaid")

    async def _pick_up(self) -> None:
        """Outbound leg: the courier counts, seals and signs; with it, the cash if the citizen pays at the door."""
        self._enter("picking_up")
        cash = await self._cash_at_the_door("before_acceptance")
        self._undo.append("papers")
        leg = await self._follow(await self._book("outbound", "out", cash=cash))
        if leg.status in ("lost", "damaged"):
            await self._claim(leg)
            raise Ended("papers_lost")
        if leg.status in ("cancelled", "returned"):
            raise Ended("withdrawn")
        if cash is not None:
            await self._await_cash()

    async def _accept(self) -> None:
        """The agency looks at the dossier: accepted, refused, or something is missing."""
        self._enter("accepting")
        while True:
            fact = await self._next_fact("acceptance", vi="cơ quan tiếp nhận hồ sơ", en="the agency's acceptance")
            if fact.kind == "supplement_requested":
                await self._supplement()
            elif fact.kind == "accepted":
                return
            elif fact.kind in ("result_ready", "handed_over"):
                self._facts.insert(0, fact)  # an earlier fact was lost; a later one implies it
                return

    async def _process(self) -> None:
        """The agency works until the result is ready; its deadline is watched, not enforced on the citizen."""
        self._enter("processing")
        while True:
            fact = await self._next_fact("processing", vi="cơ quan giải quyết hồ sơ", en="the agency's decision")
            if fact.kind == "supplement_requested":
                await self._supplement()
                self._enter("processing")
            elif fact.kind == "extended":
                self._note("Cơ quan gia hạn giải quyết", "The agency extended the due date")
            elif fact.kind in ("result_ready", "handed_over"):
                if fact.kind == "handed_over":
                    self._facts.insert(0, fact)
                self._note("Đã có kết quả", "The result is ready")
                return

    async def _supplement(self) -> None:
        self._enter("supplementing")
        while True:
            fact = await self._next_fact("supplement", vi="công dân bổ sung giấy tờ", en="the missing papers")
            if fact.kind in ("supplement_received", "accepted", "result_ready"):
                if fact.kind != "supplement_received":
                    self._facts.insert(0, fact)
                return

    async def _return_result(self) -> Outcome:
        """Return leg: delivered with proof, or lost with a claim, or back at the agency and handed over there."""
        self._enter("returning")
        cash = await self._cash_at_the_door("on_return")
        leg = await self._follow(await self._book("return", "back", cash=cash))
        if leg.status in ("lost", "damaged"):
            await self._claim(leg)
            return "result_lost"
        if leg.status in ("returned", "cancelled"):
            return await self._hand_over()
        if cash is not None:
            await self._await_cash()
        return "result_delivered"

    async def _hand_over(self) -> Outcome:
        """The citizen gets the result at the counter or in the electronic account."""
        self._enter("handing_over")
        while True:
            fact = await self._next_fact("processing", vi="trao kết quả", en="the handing over of the result")
            if fact.kind == "handed_over":
                return "result_handed_over"

    # --- the way back --------------------------------------------------------------------------

    async def _go_back(self, outcome: Outcome) -> None:
        """Undo in reverse: papers first, because what postage is used decides what money goes back."""
        self._withdrawable = False
        self._withdrawn = False
        self._enter("undoing")
        for step in reversed(self._undo):
            if step == "papers":
                await self._recover_papers()
            else:
                await self._settle_money(outcome)

    async def _recover_papers(self) -> None:
        leg = self._legs.get("outbound")
        if leg is None:
            return
        leg = await self._read_leg(leg)
        if leg.status in NOT_YET_COLLECTED - {"cancelled"}:
            leg = await self._call_off(leg)
        if leg.status not in LEG_ENDS:
            leg = await self._follow(leg)
        if leg.status == "delivered" and self._input.request.postal.return_result:
            back = await self._follow(await self._book("return", "papers-back"))
            if back.status in ("lost", "damaged"):
                await self._claim(back)

    async def _call_off(self, leg: Shipment) -> Shipment:
        key = f"dossier/{self._input.code}:call-off:{leg.direction}"
        try:
            called_off = await act(
                PostalActivities, PostalActivities.cancel_shipment, CancelShipmentCall(key=key, shipment_id=leg.id)
            )
        except ActivityError:  # collected in this very moment: the papers come back by the return leg instead
            return await self._read_leg(leg)
        self._legs[leg.direction] = called_off
        return called_off

    async def _settle_money(self, outcome: Outcome) -> None:
        """End the bill and propose giving back what the citizen paid for nothing."""
        if self._payment is None or self._quote is None:
            return
        code = self._input.code
        reason = CANCEL_REASON[outcome]
        self._payment = await act(
            PaymentActivities,
            PaymentActivities.cancel_payment,
            CancelPaymentCall(
                key=f"dossier/{code}:cancel",
                payment_id=self._payment.id,
                body=CancelPayment.model_validate({"reason": reason}),
            ),
        )
        used = [LEG_NAME[d] for d, leg in self._legs.items() if leg.status not in NOT_YET_COLLECTED]
        items, amount = refundable(self._quote, used)
        amount = min(amount, self._payment.refundable_dong)
        if amount == 0:
            return
        self._note("Đề nghị hoàn trả tiền cho công dân", "A refund to the citizen is proposed")
        request_key = f"dossier/{code}:refund"
        result = await workflow.execute_child_workflow(
            RefundWorkflow.run,
            RefundInput(
                request_key=request_key,
                payment_id=self._payment.id,
                dossier_code=code,
                reason=REFUND_REASON[outcome],
                source="bill",
                amount_dong=amount,
                items=items,
            ),
            id=refund_workflow_id(request_key),
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        )
        if result.status != "succeeded":
            self._anomalies.append(f"refund {result.status}")

    # --- money ---------------------------------------------------------------------------------

    def _is_paid(self) -> bool:
        return self._payment is not None and self._payment.status in ("paid", "refund_pending", "refunded")

    async def _start_attempt(self, method: str) -> Attempt | None:
        """Start a try at collecting; a bill that is settled meanwhile needs none."""
        assert self._payment is not None
        self._attempts += 1
        body = CreateAttempt.model_validate(
            {"method": method, "expires_in_seconds": self._input.deadlines.attempt_seconds}
        )
        call = AttemptCall(
            key=f"dossier/{self._input.code}:attempt:{self._attempts}", payment_id=self._payment.id, body=body
        )
        try:
            return await act(PaymentActivities, PaymentActivities.start_attempt, call)
        except ActivityError:  # the service refused: paid meanwhile, or the citizen's own try is alive
            await self._refresh_money()
            return None

    async def _cash_at_the_door(self, moment: str) -> CashToCollect | None:
        """What the courier must collect on this leg, or None."""
        if self._input.pay_by != "cash_on_delivery" or self._input.pay_when != moment or self._is_paid():
            return None
        attempt = await self._start_attempt("cash_on_delivery")
        if attempt is None or self._payment is None:
            return None
        return CashToCollect(
            amount_dong=attempt.amount_dong, payment_id=self._payment.id, attempt_reference=attempt.reference
        )

    async def _record_cash(self, leg: Shipment) -> None:
        if self._payment is None or leg.cash_collected_dong == 0 or leg.id in self._cash_recorded:
            return
        self._cash_recorded.add(leg.id)
        event_id = f"cash/{leg.id}"
        body = RecordCash(
            event_id=event_id,
            amount_dong=leg.cash_collected_dong,
            collected_at=workflow.now(),
            collector=self._collectors.get(leg.id, "post"),
            place="courier",
        )
        self._payment = await act(
            PaymentActivities,
            PaymentActivities.record_cash,
            CashCall(key=event_id, payment_id=self._payment.id, body=body),
        )

    async def _await_cash(self) -> None:
        """The leg has ended; its cash must be in the books, or a person must look."""
        await self._refresh_money()
        if not self._is_paid():
            self._anomalies.append("the courier's leg ended without the cash that was due")

    async def _refresh_money(self, *, ask_gateway: bool = False) -> None:
        if self._payment is None:
            return
        method = PaymentActivities.refresh_payment if ask_gateway else PaymentActivities.read_payment
        self._payment = await act(PaymentActivities, method, PaymentCall(payment_id=self._payment.id))

    async def _remind(self, due_at: datetime) -> None:
        assert self._payment is not None
        key = f"dossier/{self._input.code}:remind"
        call = ReminderCall(key=key, payment_id=self._payment.id, due_at=due_at)
        try:
            await act(PaymentActivities, PaymentActivities.remind_payer, call)
        except ActivityError:
            workflow.logger.warning("a reminder was refused")  # a notice never fails a dossier

    # --- papers --------------------------------------------------------------------------------

    async def _book(self, direction: Direction, step: str, *, cash: CashToCollect | None = None) -> Shipment:
        assert self._quote is not None
        assert self._input.contact_id is not None
        postal = self._input.request.postal
        outbound = direction == "outbound"
        key = f"dossier/{self._input.code}:{step}"
        body = CreateShipment(
            shipment_key=key,
            dossier_code=self._input.code,
            direction=direction,
            contact_id=self._input.contact_id,
            agency=self._input.request.agency,
            agency_commune=self._input.request.commune,
            weight_grams=postal.send_weight_grams if outbound else postal.return_weight_grams,
            postage_dong=postage_of(self._quote, LEG_NAME[direction]),
            checklist=self._input.checklist if outbound or step == "papers-back" else ("Kết quả",),
            cash=cash,
            previous_shipment_id=self._legs["outbound"].id if not outbound and "outbound" in self._legs else None,
        )
        leg = await act(PostalActivities, PostalActivities.book_shipment, ShipmentCall(key=key, body=body))
        self._legs[direction] = leg
        self._note(f"Bưu gửi {leg.s10} đã được tạo", f"Postal item {leg.s10} is booked")
        return leg

    async def _follow(self, leg: Shipment) -> Shipment:
        """Re-read a leg on every news of it until it ends; a silent leg is marked overdue and still followed."""
        direction = leg.direction
        step = f"{direction} leg"
        limits = self._input.deadlines
        outbound = leg.direction == "outbound"
        seconds = limits.pickup_seconds + limits.transit_seconds if outbound else limits.return_seconds
        until: datetime | None = workflow.now() + timedelta(seconds=seconds)
        while leg.status not in LEG_ENDS:
            self._leg_news.discard(leg.direction)
            heard = await self._wait(
                lambda: direction in self._leg_news,
                until=until,
                vi=f"bưu gửi {leg.s10}",
                en=f"postal item {leg.s10}",
            )
            if not heard:
                self._overdue.append(step)
                until = None
            leg = await self._read_leg(leg)
        self._note(f"Bưu gửi {leg.s10}: {leg.status}", f"Postal item {leg.s10}: {leg.status}")
        return leg

    async def _read_leg(self, leg: Shipment) -> Shipment:
        leg = await act(PostalActivities, PostalActivities.read_shipment, ShipmentRead(shipment_id=leg.id))
        self._legs[leg.direction] = leg
        await self._record_cash(leg)
        return leg

    async def _claim(self, leg: Shipment) -> None:
        """File the claim before the citizen asks; its own workflow watches the legal deadlines."""
        reason = "damaged" if leg.status == "damaged" else "lost"
        body = CreateClaim.model_validate({"claim_key": leg.id, "shipment_id": leg.id, "reason": reason})
        call = ClaimCall(key=f"claim/{leg.id}:submit", body=body)
        claim = await act(PostalActivities, PostalActivities.submit_claim, call)
        self._compensation = claim.compensation_dong
        self._note("Đã lập khiếu nại bồi thường", "A claim for compensation is filed")
        await workflow.start_child_workflow(
            ClaimWorkflow.run,
            ClaimInput.model_validate({"shipment_id": leg.id, "dossier_code": self._input.code, "reason": reason}),
            id=claim_workflow_id(leg.id),
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        )

    # --- waiting -------------------------------------------------------------------------------

    async def _wait(self, condition: Callable[[], bool], *, until: datetime | None, vi: str, en: str) -> bool:
        """Wait for news; False at the deadline. A withdrawal ends the journey here, while it still may."""
        self._waits_for = Moment(at=workflow.now(), vi=f"Đang chờ {vi}", en=f"Waiting for {en}")
        self._waits_until = until
        left = None if until is None else max(until - workflow.now(), timedelta(0))
        moved = dict(self._deadlines)
        try:
            await workflow.wait_condition(
                lambda: condition() or self._ends_now() or self._deadlines != moved, timeout=left
            )
        except TimeoutError:
            return False
        finally:
            self._waits_for = self._waits_until = None
        if self._ends_now():
            raise Ended("withdrawn")
        return True

    def _ends_now(self) -> bool:
        return self._withdrawn and self._withdrawable

    async def _next_fact(self, step: str, *, vi: str, en: str) -> AgencyFact:
        """The agency's next fact. Its own lateness is shown and never punishes the citizen."""
        seconds = getattr(self._input.deadlines, f"{step}_seconds")
        self._deadlines[step] = workflow.now() + timedelta(seconds=seconds)
        while not self._facts:
            late = step in self._overdue
            until = None if late else self._deadlines[step]
            if not await self._wait(lambda: bool(self._facts), until=until, vi=vi, en=en):
                self._overdue.append(step)
                self._note(f"Quá hạn: {vi}", f"Overdue: {en}")
        fact = self._facts.pop(0)
        vi_fact, en_fact = AGENCY_FACTS[fact.kind]
        self._note(vi_fact, en_fact)
        if fact.kind == "refused":
            raise Ended("refused")
        return fact

    def _enter(self, phase: Phase) -> None:
        if phase != self._phase:
            self._phase = phase
            vi, en = PHASES[phase]
            self._note(vi, en)

    def _note(self, vi: str, en: str) -> None:
        self._history = [*self._history[-_MAX_HISTORY + 1 :], Moment(at=workflow.now(), vi=vi, en=en)]


def quote_key(code: str, fingerprint: str) -> str:
    """Idempotency key of a dossier's quote: the intake's check and the workflow get the same quote."""
    return f"dossier/{code}:quote:{fingerprint[:16]}"


def _leg_of(shipment: Shipment) -> Leg:
    return Leg(
        direction=shipment.direction,
        shipment_id=shipment.id,
        s10=shipment.s10,
        status=shipment.status,
        custodian=shipment.custodian,
        tracking_url=shipment.tracking_url,
    )


def _money_of(payment: Payment | None) -> MoneyState:
    if payment is None:
        return MoneyState()
    return MoneyState(
        payment_id=payment.id,
        status=payment.status,
        due_dong=payment.due_dong,
        paid_dong=payment.paid_dong,
        budget_dong=payment.budget_dong,
        refunded_dong=payment.refunded_dong,
        pay_page_url=payment.pay_page_url,
        receipt_number=payment.receipt_number,
    )
