"""A dossier's papers: the two legs by post, followed to their end, called off, brought back, or claimed for."""

from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import WorkflowAlreadyStartedError

from services.postal.contract import CreateClaim, CreateShipment, Direction, Shipment
from services.postal.contract import Money as CashToCollect
from workflows.activities import CancelShipmentCall, ClaimCall, PostalActivities, ShipmentCall, ShipmentRead
from workflows.calls import Refused, act
from workflows.claim import ClaimWorkflow
from workflows.contract import ClaimInput, DossierInput, Leg, claim_workflow_id
from workflows.money import Money
from workflows.progress import Progress
from workflows.rules import LEG_ENDS, NOT_YET_COLLECTED, frozen_postage, postage_of
from workflows.texts import LEG_END_WORDS, LEG_NAME

GONE = frozenset({"lost", "damaged"})


class Papers:
    """The postal service holds the truth; this remembers the legs as last read."""

    def __init__(self, dossier: DossierInput, progress: Progress, money: Money) -> None:
        self._input = dossier
        self._progress = progress
        self._money = money
        self._shipments: dict[Direction, Shipment] = {}
        self._claimed: set[str] = set()
        self.news: set[Direction] = set()
        self.compensation_dong = 0

    @property
    def legs(self) -> tuple[Leg, ...]:
        """As last read."""
        return tuple(
            Leg(
                direction=shipment.direction,
                shipment_id=shipment.id,
                s10=shipment.s10,
                status=shipment.status,
                custodian=shipment.custodian,
                tracking_url=shipment.tracking_url,
            )
            for shipment in self._shipments.values()
        )

    @property
    def used_legs(self) -> list[str]:
        """Legs whose postage is spent, by the quote's names."""
        return [LEG_NAME[d] for d, leg in self._shipments.items() if leg.status not in NOT_YET_COLLECTED]

    async def send(self, direction: Direction, step: str, *, cash: CashToCollect | None = None) -> Shipment:
        """Book a leg and follow it to its end; what the post has lost is claimed for."""
        leg = await self._follow(await self._book(direction, step, cash=cash))
        await self._claim_if_gone(leg)
        return leg

    async def recover(self) -> None:
        """Bring the papers back: call the pickup off while that is possible, else by the return leg if one was paid."""
        leg = self._shipments.get("outbound")
        if leg is None:
            return
        leg = await self._read(leg)
        if leg.status in NOT_YET_COLLECTED - {"cancelled"}:
            leg = await self._call_off(leg)
        if leg.status not in LEG_ENDS:
            leg = await self._follow(leg)
        await self._claim_if_gone(leg)
        if leg.status == "delivered" and self._input.request.postal.return_result:
            await self.send("return", "papers-back")

    async def _book(self, direction: Direction, step: str, *, cash: CashToCollect | None) -> Shipment:
        quote, contact_id = self._money.quote, self._input.contact_id
        assert quote is not None
        assert contact_id is not None
        postal = self._input.request.postal
        outbound = direction == "outbound"
        sent = self._shipments.get("outbound")
        key = f"dossier/{self._input.code}:{step}"
        body = CreateShipment(
            shipment_key=key,
            dossier_code=self._input.code,
            direction=direction,
            contact_id=contact_id,
            agency=self._input.request.agency,
            agency_commune=self._input.request.commune,
            weight_grams=postal.send_weight_grams if outbound else postal.return_weight_grams,
            postage_dong=postage_of(quote, LEG_NAME[direction]),
            checklist=self._input.checklist if outbound or step == "papers-back" else ("Kết quả",),
            cash=cash,
            previous_shipment_id=sent.id if sent is not None and not outbound else None,
            quote=frozen_postage(quote, LEG_NAME[direction]),
        )
        call = ShipmentCall(key=key, body=body)
        leg = await self._progress.insist(PostalActivities, PostalActivities.book_shipment, call)
        self._shipments[direction] = leg
        self._progress.note(f"Bưu gửi {leg.s10} đã được tạo", f"Postal item {leg.s10} is booked")
        return leg

    async def _follow(self, leg: Shipment) -> Shipment:
        """Re-read a leg on every news of it until it ends; a silent leg is marked overdue and still followed."""
        direction = leg.direction
        limits = self._input.deadlines
        outbound = direction == "outbound"
        seconds = limits.pickup_seconds + limits.transit_seconds if outbound else limits.return_seconds
        until: datetime | None = workflow.now() + timedelta(seconds=seconds)
        while leg.status not in LEG_ENDS:
            heard = await self._progress.wait(
                lambda: direction in self.news, until=until, vi=f"bưu gửi {leg.s10}", en=f"postal item {leg.s10}"
            )
            if not heard:
                self._progress.overdue.append(f"{direction} leg")
                until = None
            leg = await self._read(leg)
        vi, en = LEG_END_WORDS[leg.status]
        self._progress.note(f"Bưu gửi {leg.s10}: {vi}", f"Postal item {leg.s10}: {en}")
        return leg

    async def _read(self, leg: Shipment) -> Shipment:
        """Read a leg again. News that comes during the reading is kept for the next."""
        self.news.discard(leg.direction)
        call = ShipmentRead(shipment_id=leg.id)
        leg = await self._progress.insist(PostalActivities, PostalActivities.read_shipment, call)
        self._shipments[leg.direction] = leg
        await self._money.record_cash(leg)
        return leg

    async def _call_off(self, leg: Shipment) -> Shipment:
        key = f"dossier/{self._input.code}:call-off:{leg.direction}"
        call = CancelShipmentCall(key=key, shipment_id=leg.id)
        try:
            leg = await act(PostalActivities, PostalActivities.cancel_shipment, call)
        except Refused:  # collected in this very moment: the papers come back by the return leg instead
            return await self._read(leg)
        self._shipments[leg.direction] = leg
        return leg

    async def _claim_if_gone(self, leg: Shipment) -> None:
        """File the claim before the citizen asks; its own workflow watches the legal deadlines."""
        if leg.status not in GONE or leg.id in self._claimed:
            return
        self._claimed.add(leg.id)
        body = CreateClaim.model_validate({"claim_key": leg.id, "shipment_id": leg.id, "reason": leg.status})
        call = ClaimCall(key=f"claim/{leg.id}:submit", body=body)
        claim = await self._progress.insist(PostalActivities, PostalActivities.submit_claim, call)
        self.compensation_dong += claim.compensation_dong
        self._progress.note("Đã lập khiếu nại bồi thường", "A claim for compensation is filed")
        watched = {"shipment_id": leg.id, "dossier_code": self._input.code, "reason": leg.status}
        try:
            await workflow.start_child_workflow(
                ClaimWorkflow.run,
                ClaimInput.model_validate(watched),
                id=claim_workflow_id(leg.id),
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            )
        except WorkflowAlreadyStartedError:  # this run repeats one that was reset; the claim is watched
            workflow.logger.info("the claim is already watched")
