"""Claims: a demand for compensation, its decision, its payment, each with the date the law gives."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from kit.errors import WrongMoment
from kit.ids import new_id
from kit.web import LOCAL_ZONE
from services.postal import deadlines, desk_queries, queries, recording, rules
from services.postal.cases import Plan
from services.postal.contract import CreateClaim, DecideClaim
from services.postal.models import Claim, Shipment
from services.postal.operations import already_different, differing


class NothingToClaim(WrongMoment):
    kind = "nothing-to-claim"


class AlreadyClaimed(WrongMoment):
    kind = "already-claimed"


class NotLate(WrongMoment):
    kind = "not-late"


class ClaimTooLate(WrongMoment):
    kind = "claim-too-late"


class AlreadyDecided(WrongMoment):
    kind = "already-decided"


class NotApproved(WrongMoment):
    kind = "not-approved"


async def submit_claim(session: AsyncSession, body: CreateClaim, *, created_by: str, plan: Plan) -> tuple[Claim, bool]:
    """Enter a claim; the second of the pair tells whether it is new.

    The same key again gives the first claim. An undecided claim for lateness gives way to one for loss or damage.
    Raises AlreadyDifferent, NoSuchShipment, NothingToClaim when the shipment is not in the state claimed, NotLate,
    ClaimTooLate after the law's limit, AlreadyClaimed when another claim on it is open, approved or paid.
    """
    found = await _by_key(session, body.claim_key)
    if found is None:
        shipment = await queries.shipment(session, body.shipment_id, lock=True)
        found = await _by_key(session, body.claim_key)
        if found is None:
            await _check_claimable(session, shipment, body.reason, plan=plan)
            return await _enter(session, shipment, body, created_by=created_by), True
    stored = {name: getattr(found, name) for name in CreateClaim.model_fields}
    fields = differing(stored, body.model_dump())
    if fields:
        raise already_different("Khóa khiếu nại này", "This claim key", fields)
    return found, False


async def _by_key(session: AsyncSession, claim_key: str) -> Claim | None:
    return (await session.exec(select(Claim).where(col(Claim.claim_key) == claim_key))).one_or_none()


async def _check_claimable(session: AsyncSession, shipment: Shipment, reason: str, *, plan: Plan) -> None:
    if shipment.status in rules.BEFORE_COLLECTION or shipment.status == "cancelled":
        raise NothingToClaim(
            "Bưu điện chưa nhận hồ sơ nên chưa có gì để khiếu nại.",
            "The post has not picked up the papers, so there is nothing to claim.",
        )
    presumed = reason == "lost" and await desk_queries.has_presumed_loss(session, shipment.id)
    if reason in ("lost", "damaged") and shipment.status != reason and not presumed:
        raise NothingToClaim(
            "Bưu gửi chưa được xác định thất lạc hoặc hư hỏng; hãy chờ kết quả tra soát.",
            "The shipment has not been declared lost or damaged; wait for the result of the search.",
        )
    terms = await claim_terms(session, shipment, plan=plan)
    if reason == "late":
        _check_late(shipment, terms)
    until = terms.until(reason)
    if terms.today > until:
        raise ClaimTooLate(
            f"Thời hiệu khiếu nại đã hết ngày {until:%d/%m/%Y} theo Luật Bưu chính, Điều 38.",
            f"The time to complain ended on {until:%d/%m/%Y} (Law on Post, article 38).",
        )
    await _give_way(session, shipment, reason)


@dataclass(frozen=True, slots=True)
class ClaimTerms:
    """The dates on which a claim depends. `published_end`: last day of the published transit time."""

    published_end: date | None
    delivered_on: date | None
    declared_on: date
    today: date

    @property
    def is_late(self) -> bool:
        """Whether the item took, or has taken, longer than published."""
        return self.published_end is not None and (self.delivered_on or self.today) > self.published_end

    def until(self, reason: str) -> date:
        """The last day on which it may be claimed."""
        return deadlines.claim_until(
            reason, published_end=self.published_end, delivered_on=self.delivered_on, declared_on=self.declared_on
        )


async def claim_terms(session: AsyncSession, shipment: Shipment, *, plan: Plan) -> ClaimTerms:
    """The dates on which a claim for this shipment would depend, as of now."""
    journey = await desk_queries.journey_of(session, shipment)
    last_seen = shipment.last_seen_at.astimezone(LOCAL_ZONE).date()
    return ClaimTerms(
        published_end=deadlines.published_end(journey, plan.calendar, plan.allowances),
        delivered_on=last_seen if shipment.status == "delivered" else None,
        declared_on=last_seen,
        today=now().astimezone(LOCAL_ZONE).date(),
    )


def _check_late(shipment: Shipment, terms: ClaimTerms) -> None:
    if terms.is_late:
        return
    if shipment.status == "delivered" or terms.published_end is None:
        raise NotLate(
            "Bưu gửi đã phát trong thời gian công bố nên không có chậm trễ để khiếu nại.",
            "The item was delivered within the published time, so there is no lateness to claim for.",
        )
    day = terms.published_end
    raise NotLate(
        f"Thời gian phát công bố đến hết ngày {day:%d/%m/%Y}; có thể khiếu nại từ ngày hôm sau.",
        f"The published transit time ends on {day:%d/%m/%Y}; a claim can be made from the day after.",
    )


async def _give_way(session: AsyncSession, shipment: Shipment, reason: str) -> None:
    """Compensation for loss includes the postage, so an undecided claim for its refund ends with it."""
    query = select(Claim).where(col(Claim.shipment_id) == shipment.id, col(Claim.status) != "rejected")
    found = (await session.exec(query.with_for_update())).first()
    if found is None:
        return
    if found.reason == "late" and reason != "late" and found.status in ("submitted", "in_review"):
        found.status, found.decided_by, found.decided_at = "rejected", "postal-service", now()
        found.decision_note = "Nhập vào khiếu nại thất lạc, hư hỏng của cùng bưu gửi."
        found.compensation_dong = 0
        session.add(found)
        await session.flush()
        return
    raise AlreadyClaimed(
        "Bưu gửi này đã có khiếu nại; hãy theo dõi khiếu nại đó.",
        "There is a claim on this shipment already; follow that one.",
    )


async def claim_body(session: AsyncSession, shipment_id: str, reason: str) -> CreateClaim:
    """A claim filled in before anybody asks. Its key is the one that the dossier's workflow uses, so that citizen, desk
    and workflow claim the same thing once; after a rejection a new claim gets a new key."""
    query = select(Claim.status).where(col(Claim.shipment_id) == shipment_id, col(Claim.reason) == reason)
    earlier = list((await session.exec(query)).all())
    key = shipment_id if reason in ("lost", "damaged") else f"{shipment_id}/{reason}"
    if earlier and all(status == "rejected" for status in earlier):
        key = f"{key}/{len(earlier) + 1}"
    return CreateClaim.model_validate({"claim_key": key, "shipment_id": shipment_id, "reason": reason})


async def _enter(session: AsyncSession, shipment: Shipment, body: CreateClaim, *, created_by: str) -> Claim:
    at = now()
    values = {
        "id": new_id("clm"),
        "claim_key": body.claim_key,
        "shipment_id": shipment.id,
        "dossier_code": shipment.dossier_code,
        "direction": shipment.direction,
        "reason": body.reason,
        "status": "submitted",
        "compensation_dong": rules.compensation(body.reason, shipment.postage_dong),
        "answer_by": rules.answer_by(at.astimezone(LOCAL_ZONE).date()),
        "created_by": created_by,
        "created_at": at,
        "decision_note": "",
    }
    await session.exec(insert(Claim).values(values))
    row = await queries.claim(session, str(values["id"]))
    await _tell(session, shipment, row, "claim.submitted")
    return row


async def decide_claim(session: AsyncSession, claim_id: str, body: DecideClaim, *, decided_by: str) -> Claim:
    """Approve or reject. The same decision again changes nothing. Raises NoSuchClaim, AlreadyDecided."""
    row = await queries.claim(session, claim_id, lock=True)
    wanted = "approved" if body.decision == "approve" else "rejected"
    if row.status == wanted:
        return row
    if row.status not in ("submitted", "in_review"):
        raise AlreadyDecided(
            "Khiếu nại này đã có quyết định; không thay đổi được nữa.",
            "This claim has been decided; the decision stands.",
        )
    at = now()
    row.status, row.decided_by, row.decided_at, row.decision_note = wanted, decided_by, at, body.note
    if wanted == "approved":
        row.pay_by = rules.pay_by(at.astimezone(LOCAL_ZONE).date())
    else:
        row.compensation_dong = 0
    session.add(row)
    await session.flush()
    await _tell(session, await queries.shipment(session, row.shipment_id), row, f"claim.{wanted}")
    return row


async def mark_claim_paid(session: AsyncSession, claim_id: str) -> Claim:
    """Note that the compensation was paid. Paid already: nothing happens. Raises NoSuchClaim, NotApproved."""
    row = await queries.claim(session, claim_id, lock=True)
    if row.status == "paid":
        return row
    if row.status != "approved":
        raise NotApproved(
            "Chỉ khiếu nại đã được chấp nhận mới chi trả; hãy quyết định khiếu nại trước.",
            "Only an approved claim is paid; decide the claim first.",
        )
    row.status, row.paid_at = "paid", now()
    session.add(row)
    await session.flush()
    await _tell(session, await queries.shipment(session, row.shipment_id), row, "claim.paid")
    return row


async def _tell(session: AsyncSession, shipment: Shipment, row: Claim, kind: str) -> None:
    await recording.tell(session, shipment, kind, status=row.status, occurred_at=now(), claim_id=row.id)
