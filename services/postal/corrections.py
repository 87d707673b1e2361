"""Corrections: what was recorded by mistake is set aside by two people, and stays readable.

The only way in which an end of a leg changes otherwise than by a stronger end. The database refuses the fact in the
log unless a correction with two different people stands behind it.
"""

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from kit.errors import BadInput, FieldError, NotFound, WrongMoment
from kit.ids import new_id, uuid7
from services.postal import custody_contract, queries, recording
from services.postal.models import Correction


class NoSuchCorrection(NotFound):
    kind = "no-such-correction"


class NeedsAnotherPerson(WrongMoment):
    kind = "needs-another-person"


class CorrectionPending(WrongMoment):
    kind = "correction-pending"


class AlreadyDecided(WrongMoment):
    kind = "already-decided"


_OUR_OWN = frozenset({"corrected", "evidence_stored"})


async def propose_correction(
    session: AsyncSession, shipment_id: str, body: custody_contract.ProposeCorrection, *, proposed_by: str
) -> Correction:
    """Ask to have facts of a shipment set aside. Nothing changes before somebody else confirms it.

    Raises NoSuchShipment, BadInput (a fact is not of this shipment, or cannot be set aside), CorrectionPending.
    """
    row = await queries.shipment(session, shipment_id, lock=True)
    log = {entry.event.id: entry for entry in (await queries.events_of(session, [row.id]))[row.id]}
    wrong = [
        FieldError(
            f"event_ids.{index}", "không phải sự kiện sửa được của bưu gửi này", "no such fact to set aside here"
        )
        for index, identity in enumerate(body.event_ids)
        if identity not in log or log[identity].event.kind in _OUR_OWN
    ]
    if wrong:
        raise BadInput(
            "Có sự kiện không thuộc bưu gửi này hoặc do hệ thống tự ghi; hãy chọn lại trong nhật ký của bưu gửi.",
            "Some facts are not of this shipment or are the service's own; choose from the shipment's log.",
            fields=wrong,
        )
    pending = select(Correction.id).where(col(Correction.shipment_id) == row.id, col(Correction.status) == "proposed")
    if (await session.exec(pending)).first() is not None:
        raise CorrectionPending(
            "Bưu gửi này đang có một đề nghị đính chính chờ duyệt; hãy duyệt hoặc từ chối đề nghị đó trước.",
            "A correction of this shipment waits for a decision; confirm or refuse that one first.",
        )
    correction = Correction(
        id=new_id("cor"),
        shipment_id=row.id,
        voids=sorted(set(body.event_ids)),
        reason=body.reason,
        note=body.note,
        status="proposed",
        proposed_by=proposed_by,
        proposed_at=now(),
    )
    session.add(correction)
    await session.flush()
    return correction


async def decide_correction(
    session: AsyncSession, correction_id: str, body: custody_contract.DecideCorrection, *, decided_by: str
) -> Correction:
    """Confirm or refuse; never by the one who asked. A confirmation writes one fact, and the log is folded anew.

    Raises NoSuchCorrection, NeedsAnotherPerson, AlreadyDecided. The same decision again is harmless.
    """
    known = await session.get(Correction, correction_id)
    if known is None:
        raise NoSuchCorrection("Không có đề nghị đính chính này.", "There is no such correction.")
    row = await queries.shipment(session, known.shipment_id, lock=True)
    await session.refresh(known)
    status = "confirmed" if body.decision == "confirm" else "refused"
    if known.status != "proposed":
        if known.status == status and known.decided_by == decided_by:
            return known
        raise AlreadyDecided(
            "Đề nghị đính chính này đã được quyết định.", "This correction was decided before; it stands."
        )
    if known.proposed_by == decided_by:
        raise NeedsAnotherPerson(
            "Người đề nghị không được tự duyệt; hãy nhờ một điều phối viên khác.",
            "Whoever asked may not decide; have another dispatcher do it.",
        )
    known.status, known.decided_by, known.decided_at = status, decided_by, now()
    if status == "confirmed":
        known.event_id = str(uuid7())
    await session.flush()
    if status == "confirmed":
        await recording.record_correction(session, row, known, at=known.decided_at)
    return known


async def corrections(session: AsyncSession, *, status: str | None, shipment_id: str | None) -> list[Correction]:
    """Corrections, newest first, at most 200."""
    query = select(Correction).order_by(col(Correction.id).desc()).limit(200)
    if status is not None:
        query = query.where(col(Correction.status) == status)
    if shipment_id is not None:
        query = query.where(col(Correction.shipment_id) == shipment_id)
    return list((await session.exec(query)).all())


def correction_record(row: Correction) -> custody_contract.Correction:
    """A correction as other rooms may know it."""
    values = row.model_dump(exclude={"voids"})
    return custody_contract.Correction.model_validate({**values, "event_ids": tuple(row.voids)})
