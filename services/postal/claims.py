"""Claims: a demand for compensation, its decision, its payment, each with the date the law gives."""

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from kit.errors import WrongMoment
from kit.ids import new_id
from kit.web import LOCAL_ZONE
from services.postal import queries, recording, rules
from services.postal.contract import CreateClaim, DecideClaim
from services.postal.models import Claim, Shipment
from services.postal.operations import already_different, differing


class NothingToClaim(WrongMoment):
    kind = "nothing-to-claim"


class AlreadyClaimed(WrongMoment):
    kind = "already-claimed"


class AlreadyDecided(WrongMoment):
    kind = "already-decided"


class NotApproved(WrongMoment):
    kind = "not-approved"


async def submit_claim(session: AsyncSession, body: CreateClaim, *, created_by: str) -> tuple[Claim, bool]:
    """Enter a claim; the second of the pair tells whether it is new.

    The same key again gives the first claim. Raises AlreadyDifferent, NoSuchShipment, NothingToClaim when the
    shipment is not in the state claimed, AlreadyClaimed when another claim on it is open, approved or paid.
    """
    found = await _by_key(session, body.claim_key)
    if found is None:
        shipment = await queries.shipment(session, body.shipment_id, lock=True)
        found = await _by_key(session, body.claim_key)
        if found is None:
            await _check_claimable(session, shipment, body.reason)
            return await _enter(session, shipment, body, created_by=created_by), True
    stored = {name: getattr(found, name) for name in CreateClaim.model_fields}
    fields = differing(stored, body.model_dump())
    if fields:
        raise already_different("Khóa khiếu nại này", "This claim key", fields)
    return found, False


async def _by_key(session: AsyncSession, claim_key: str) -> Claim | None:
    return (await session.exec(select(Claim).where(col(Claim.claim_key) == claim_key))).one_or_none()


async def _check_claimable(session: AsyncSession, shipment: Shipment, reason: str) -> None:
    if reason in ("lost", "damaged") and shipment.status != reason:
        raise NothingToClaim(
            "Bưu gửi chưa được xác định thất lạc hoặc hư hỏng; hãy chờ kết quả tra soát.",
            "The shipment has not been declared lost or damaged; wait for the result of the search.",
        )
    if shipment.status in rules.BEFORE_COLLECTION or shipment.status == "cancelled":
        raise NothingToClaim(
            "Bưu điện chưa nhận hồ sơ nên chưa có gì để khiếu nại.",
            "The post has not picked up the papers, so there is nothing to claim.",
        )
    query = select(Claim.id).where(col(Claim.shipment_id) == shipment.id, col(Claim.status) != "rejected")
    if (await session.exec(query)).first() is not None:
        raise AlreadyClaimed(
            "Bưu gửi này đã có khiếu nại; hãy theo dõi khiếu nại đó.",
            "There is a claim on this shipment already; follow that one.",
        )


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
