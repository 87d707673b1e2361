"""The three services as a workflow sees them, in memory: honest to their contracts, and told how to misbehave.

Every operation is idempotent by key, stores nothing for a refusal, and writes each arriving call down. The same
double answers as Temporal activities (`activities`) and as HTTP (`wire.py`).
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, TypeVar, cast

from kit.calendar import vietnam_calendar
from services.fees.contract import Quote, QuoteLine, QuoteRequest, Share, Text
from services.payment.contract import (
    Attempt,
    CancelPayment,
    CreateAttempt,
    CreatePayment,
    Payment,
    PaymentStatus,
    Reconciliation,
    RecordCash,
    RecordRemittance,
    Refund,
    RefundStatus,
    RequestRefund,
)
from services.postal import deadlines
from services.postal.contract import (
    Claim,
    ClaimStatus,
    CreateClaim,
    CreateShipment,
    Custodian,
    Piece,
    Shipment,
    ShipmentStatus,
)
from services.postal.desk_contract import Clock, DeadlineCheck

Answer = TypeVar("Answer")
Quoted = Literal["full", "nothing_due", "supported"]

LONG_AGO = datetime(2026, 1, 5, tzinfo=UTC)
CHARGE_DONG, POSTAGE_DONG = 100_000, 30_000
PATIENCE_SECONDS = 20.0
_BEFORE_COLLECTION = ("draft", "booked", "pickup_in_progress", "pickup_failed")


class No(Exception):
    """A service's refusal: its status and problem type."""

    def __init__(self, kind: str, status: int = 409) -> None:
        super().__init__(kind)
        self.kind = kind
        self.status = status


class Away(Exception):
    """A passing trouble of a service."""


@dataclass
class Desk:
    """All that the services know of one dossier, and how they are told to behave for it."""

    code: str
    quoted: Quoted = "full"
    body: CreatePayment | None = None
    paid: int = 0
    excess: int = 0
    ended: Literal["expired", "cancelled"] | None = None
    unknown: bool = False
    attempts: list[Attempt] = field(default_factory=list)
    refunds: dict[str, Refund] = field(default_factory=dict)
    cash: set[str] = field(default_factory=set)
    shipments: dict[str, Shipment] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)
    reconciled: list[str] = field(default_factory=list)
    journey: deadlines.Journey = field(
        default_factory=lambda: deadlines.Journey("delivered", LONG_AGO, LONG_AGO, LONG_AGO)
    )
    """The leg whose deadlines are watched."""
    looks: list[datetime] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    refusals: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    failures: Counter[str] = field(default_factory=Counter)
    lost_answers: Counter[str] = field(default_factory=Counter)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    before_reading: list[Callable[[], None]] = field(default_factory=list)
    """Done once, when the gateway is asked again: money that nobody has announced."""
    after_reading: list[Callable[[], None]] = field(default_factory=list)
    """Done once, just after a payment was read: what that answer does not know yet."""
    after_tracking: list[Callable[[], object]] = field(default_factory=list)
    """The same for shipments."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    # --- how it is told to behave, and asked what happened --------------------------------------

    def refuse(self, name: str, kind: str, *, times: int = 1) -> None:
        """Refuse the next calls of this name."""
        self.refusals[name].extend([kind] * times)

    def hold(self, name: str) -> asyncio.Event:
        """Answer slowly: calls of this name wait, before their effect, until the event is set."""
        self.gates[name] = asyncio.Event()
        return self.gates[name]

    async def called(self, name: str, times: int = 1) -> None:
        """Wait until calls of this name have been answered so often."""
        await self._until(lambda: self.done[name] >= times, f"{times} x {name}")

    async def reached(self, name: str, times: int = 1) -> None:
        """Wait until calls of this name have arrived so often, answered or not."""
        await self._until(lambda: self.arrivals(name) >= times, f"{times} arrivals of {name}")

    def arrivals(self, name: str) -> int:
        """How many calls of this name have arrived."""
        return sum(call.split(" ")[0] == name for call in self.calls)

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not holds():
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            raise AssertionError(f"{what} never came; calls: {self.calls}") from None

    async def perform(self, name: str, key: str, effect: Callable[[], Answer]) -> Answer:
        """Do what a service does with a call, and misbehave as told."""
        self.calls.append(f"{name} {key}".replace(self.code, "CODE"))
        self.changed.set()
        if name in self.gates:
            await self.gates[name].wait()
        if self.failures[name] > 0:
            self.failures[name] -= 1
            raise Away
        if self.refusals[name]:
            kind = self.refusals[name].pop(0)
            self._finish(name)
            raise No(kind)
        try:
            answer = cast("Answer", self.answers[key]) if key in self.answers else effect()
        except No:
            self._finish(name)
            raise
        if ":" in key or "/" in key:
            self.answers[key] = answer
        if self.lost_answers[name] > 0:
            self.lost_answers[name] -= 1
            raise Away
        self._finish(name)
        return answer

    def _finish(self, name: str) -> None:
        self.done[name] += 1
        self.changed.set()

    # --- payment ---------------------------------------------------------------------------------

    @property
    def due(self) -> int:
        lines = self.body.lines if self.body else ()
        return sum(s.amount_dong for line in lines for s in line.shares if s.payer == "citizen")

    @property
    def refunded(self) -> int:
        return sum(r.amount_dong for r in self.refunds.values() if r.status == "succeeded" and r.source == "bill")

    @property
    def refundable(self) -> int:
        asked = sum(
            r.amount_dong
            for r in self.refunds.values()
            if r.status not in ("rejected", "failed") and r.source == "bill"
        )
        return self.paid - asked

    def receive(self, amount_dong: int) -> None:
        """Money arrives: it pays the bill as far as that is open, the rest is excess."""
        applied = 0 if self.ended else min(amount_dong, self.due - self.paid)
        self.paid += applied
        self.excess += amount_dong - applied
        self.unknown = False
        self.attempts = [a.model_copy(update={"status": "succeeded"}) for a in self.attempts]

    def expire_attempt(self) -> None:
        """The live try at collecting runs out."""
        self.attempts[-1] = self.attempts[-1].model_copy(update={"status": "expired"})

    def status(self) -> PaymentStatus:
        held = any(r.status in ("requested", "approved", "processing") for r in self.refunds.values())
        if held:
            return "refund_pending"
        if self.paid and self.refunded == self.paid:
            return "refunded"
        if self.ended and self.paid < self.due:
            return self.ended
        if self.paid >= self.due:
            return "paid"
        if self.unknown:
            return "unknown"
        if any(a.status == "pending" for a in self.attempts):
            return "pending"
        return "partially_paid" if self.paid else "open"

    def payment(self) -> Payment:
        if self.body is None:
            raise No("not-found", 404)
        budget = sum(s.amount_dong for line in self.body.lines for s in line.shares if s.payer != "citizen")
        return Payment(
            id=f"pay_{self.code}",
            bill_reference=self.body.bill_reference,
            dossier_code=self.code,
            procedure=self.body.procedure,
            status=self.status(),
            due_dong=self.due,
            paid_dong=self.paid,
            budget_dong=budget,
            excess_dong=self.excess,
            refunded_dong=self.refunded,
            refundable_dong=self.refundable,
            lines=self.body.lines,
            attempts=tuple(self.attempts),
            receipt_number=f"R-{self.code}" if self.paid >= self.due else None,
            pay_page_url=f"https://pay.test/{self.code}",
            expires_at=self.body.expires_at,
            created_at=LONG_AGO,
            version=1,
        )

    def open(self, body: CreatePayment) -> Payment:
        self.body = self.body or body
        return self.payment()

    def start(self, body: CreateAttempt) -> Attempt:
        if self.ended or self.paid >= self.due:
            raise No("bill-settled")
        if self.unknown:
            raise No("attempt-unknown")
        if any(a.status == "pending" for a in self.attempts):
            if not body.replace:
                raise No("attempt-alive")
            self.expire_attempt()
        attempt = Attempt(
            id=f"att_{self.code}_{len(self.attempts) + 1}",
            method=body.method,
            status="pending",
            amount_dong=self.due - self.paid,
            reference=f"LT{len(self.attempts) + 1}",
            expires_at=LONG_AGO + timedelta(seconds=body.expires_in_seconds or 0),
            created_at=LONG_AGO,
        )
        self.attempts.append(attempt)
        return attempt

    def cancel(self, _: CancelPayment) -> Payment:
        if self.unknown:
            raise No("attempt-unknown")
        if self.paid < self.due:
            self.ended = self.ended or "cancelled"
        return self.payment()

    def take_cash(self, body: RecordCash) -> Payment:
        if body.event_id not in self.cash:
            self.cash.add(body.event_id)
            self.receive(body.amount_dong)
        return self.payment()

    def read(self) -> Payment:
        answer = self.payment()
        while self.after_reading:
            self.after_reading.pop(0)()
        return answer

    def refresh(self) -> Payment:
        while self.before_reading:
            self.before_reading.pop(0)()
        return self.payment()

    def ask_refund(self, body: RequestRefund) -> Refund:
        limit = self.refundable if body.source == "bill" else self.excess
        if body.request_key not in self.refunds:
            if body.amount_dong > limit:
                raise No("above-refundable")
            known = {line.item for line in self.body.lines} if self.body else set()
            if not set(body.items) <= known:
                raise No("unknown-item", 422)
            self.refunds[body.request_key] = Refund(
                id=f"rfd_{self.code}_{len(self.refunds) + 1}",
                payment_id=f"pay_{self.code}",
                dossier_code=self.code,
                status="requested",
                reason=body.reason,
                source=body.source,
                amount_dong=body.amount_dong,
                route="undecided",
                proposal_hash="h",
                requested_by="workflows",
                decided_by=None,
                gateway_refund_id=None,
                bank_order_reference=None,
                created_at=LONG_AGO,
                finished_at=None,
            )
        return self.refunds[body.request_key]

    def refund(self, refund_id: str) -> Refund:
        return next(refund for refund in self.refunds.values() if refund.id == refund_id)

    def decide(self, status: RefundStatus, *, by: str = "ke-toan-truong") -> Refund:
        """The second person decides the only open refund, and the gateway pays when approved."""
        key, refund = next((k, r) for k, r in self.refunds.items() if r.status == "requested")
        assert by != refund.requested_by, "a refund is decided by a second person"
        self.refunds[key] = refund.model_copy(update={"status": status, "decided_by": by})
        return self.refunds[key]

    def reconcile(self, business_date: date) -> Reconciliation:
        status = self.reconciled.pop(0)
        return Reconciliation.model_validate(
            {
                "account": "1",
                "business_date": business_date,
                "status": status,
                "statement_imported": status != "waiting",
                "settlement_imported": True,
                "opening_dong": 0,
                "closing_dong": 0,
                "ledger_bank_dong": 0,
                "rows": (),
                "open_breaks": 0,
                "open_breaks_dong": 0,
                "unexplained_dong": 0,
                "matched_lines": 0,
            }
        )

    # --- post ------------------------------------------------------------------------------------

    def book(self, body: CreateShipment) -> Shipment:
        number = len(self.shipments) + 1
        shipment = Shipment(
            id=f"shp_{self.code}_{number}",
            s10=f"RA{number:08d}5VN",
            dossier_code=self.code,
            direction=body.direction,
            status="booked",
            custodian="citizen" if body.direction == "outbound" else "agency",
            agency=body.agency,
            weight_grams=body.weight_grams,
            postage_dong=body.postage_dong,
            pieces=tuple(Piece(position=n, name=name, collected=False) for n, name in enumerate(body.checklist, 1)),
            seal_number=None,
            cash_due_dong=body.cash.amount_dong if body.cash else 0,
            cash_collected_dong=0,
            attempts=0,
            held_until=None,
            receipt_code=None,
            tracking_url=f"https://post.test/{number}",
            created_at=LONG_AGO,
            version=1,
        )
        self.shipments[shipment.id] = shipment
        return shipment

    def shipment(self, shipment_id: str) -> Shipment:
        answer = self.shipments[shipment_id]
        while self.after_tracking:
            self.after_tracking.pop(0)()
        return answer

    def latest(self, direction: str) -> Shipment:
        """The last leg booked in this direction."""
        return [s for s in self.shipments.values() if s.direction == direction][-1]

    def move(self, direction: str, status: ShipmentStatus, *, cash_dong: int | None = None) -> Shipment:
        """The post's own system says where the leg is now."""
        before = self.latest(direction)
        holders: dict[str, Custodian] = {
            "collected": "courier",
            "in_transit": "transport",
            "delivered": "agency" if direction == "outbound" else "citizen",
            "returned": "citizen" if direction == "outbound" else "agency",
            "lost": "nobody_known",
        }
        cash = before.cash_collected_dong if cash_dong is None else cash_dong
        after = before.model_copy(
            update={
                "status": status,
                "custodian": holders.get(status, before.custodian),
                "cash_collected_dong": cash,
                "version": before.version + 1,
            }
        )
        self.shipments[after.id] = after
        return after

    def call_off(self, shipment_id: str) -> Shipment:
        shipment = self.shipments[shipment_id]
        if shipment.status == "cancelled":
            return shipment
        if shipment.status not in _BEFORE_COLLECTION:
            raise No("already-collected")
        self.shipments[shipment_id] = shipment.model_copy(update={"status": "cancelled"})
        return self.shipments[shipment_id]

    def claim(self, body: CreateClaim) -> Claim:
        if body.claim_key not in self.claims:
            shipment = self.shipments[body.shipment_id]
            self.claims[body.claim_key] = Claim(
                id=f"clm_{body.claim_key}",
                shipment_id=shipment.id,
                dossier_code=self.code,
                status="submitted",
                reason=body.reason,
                compensation_dong=4 * shipment.postage_dong,
                answer_by=date(2026, 3, 5),
                pay_by=None,
                created_at=LONG_AGO,
                decided_at=None,
            )
        return self.claims[body.claim_key]

    def answer_claim(self, status: ClaimStatus) -> Claim:
        """The carrier decides or pays the only claim."""
        ((key, claim),) = self.claims.items()
        self.claims[key] = claim.model_copy(update={"status": status})
        return self.claims[key]

    def deadlines(self, shipment_id: str, *, at: datetime) -> DeadlineCheck:
        """What the post finds when it looks at this moment: its real clocks over the journey told beforehand."""
        journey = self.journey
        running = deadlines.clocks(journey, vietnam_calendar(), deadlines.Allowances(), now=at)
        self.looks.append(at)
        return DeadlineCheck(
            shipment_id=shipment_id,
            dossier_code=self.code,
            clocks=tuple(Clock(kind=c.kind, since=c.since, due_at=c.due_at, standing=c.standing) for c in running),
            open_cases=tuple(clock.kind for clock in running if clock.due_at <= at),
            next_check_at=min((clock.due_at for clock in running if clock.due_at > at), default=None),
            ended=deadlines.has_ended(journey),
        )

    def claim_of(self, claim_id: str) -> Claim:
        return next(claim for claim in self.claims.values() if claim.id == claim_id)


class World:
    """Every dossier's desk. Contacts hold what no history may hold."""

    def __init__(self) -> None:
        self.desks: dict[str, Desk] = {}
        self.remittances: dict[str, RecordRemittance] = {}
        self.contacts: dict[str, dict[str, str]] = {}
        self.payers: dict[str, dict[str, str]] = {}

    def of(self, code: str) -> Desk:
        """The desk of a dossier, or of whatever else names itself by a code."""
        return self.desks.setdefault(code, Desk(code))

    def by_id(self, identity: str) -> Desk:
        """The desk that an id such as `pay_CODE` or `shp_CODE_1` belongs to."""
        return self.of(identity.removeprefix("clm_").split("_")[1])

    def by_key(self, key: str) -> Desk:
        """The desk named in a key such as `dossier/CODE:quote`."""
        return self.of(key.split("/")[1].split(":", maxsplit=1)[0])

    def quote(self, request: QuoteRequest, *, code: str) -> Quote:
        """Price a request by this world's only tariff."""
        if request.procedure == "unknown-procedure":
            raise No("procedure-unknown", 422)
        return quote(request, self.of(code).quoted, identity=f"quo_{code}")

    def remit(self, body: RecordRemittance) -> None:
        """Record a deposit once."""
        self.remittances.setdefault(body.event_id, body)


def quote(request: QuoteRequest, quoted: Quoted, *, identity: str = "quo_x") -> Quote:
    """A charge of 100 000 đồng and 30 000 đồng a postal leg, waived or carried by the budget as told."""
    lines = [_line("charge", "charge", None, CHARGE_DONG, quoted)]
    if request.postal.send:
        lines.append(_line("postage-send", "postage", "send", POSTAGE_DONG, quoted))
    if request.postal.return_result:
        lines.append(_line("postage-return", "postage", "return", POSTAGE_DONG, quoted))
    citizen = sum(line.due_from("citizen") for line in lines)
    budget = sum(line.due_from("budget") for line in lines)
    return Quote(
        id=identity,
        created_at=LONG_AGO,
        expires_at=LONG_AGO,
        inputs_hash="h",
        catalogue_version="1",
        procedure=request.procedure,
        title=Text(vi="Thủ tục", en="Procedure"),
        request=request,
        lines=tuple(lines),
        total_dong=citizen + budget,
        citizen_dong=citizen,
        budget_dong=budget,
    )


def _line(
    item: str,
    kind: Literal["charge", "postage"],
    leg: Literal["send", "return"] | None,
    gross: int,
    quoted: Quoted,
) -> QuoteLine:
    shares: Sequence[Share] = (Share(payer="citizen", amount_dong=gross),)
    if quoted == "nothing_due":
        shares = ()
    elif quoted == "supported" and kind == "charge":
        shares = (Share(payer="citizen", amount_dong=gross // 5), Share(payer="budget:01", amount_dong=gross * 4 // 5))
    return QuoteLine(
        item=item,
        kind=kind,
        leg=leg,
        label=Text(vi=item, en=item),
        beneficiary="G01" if kind == "charge" else "post",
        gross_dong=gross,
        due_dong=sum(share.amount_dong for share in shares),
        shares=tuple(shares),
        steps=(),
        verified=True,
    )
