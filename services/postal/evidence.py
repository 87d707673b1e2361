"""Takes evidence files in, part by part, and gives them out to those who may see them.

A courier's connection dies in the middle of a photo: what arrived stays, and the phone goes on from the offset the
service names. The parts wait in the database; the whole file, checked against its name, goes to the store. Only then
is it evidence (`recording.evidence_stored`), so a fact never closes on a file that nobody could open again.
"""

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.auth import Principal
from kit.db import Sessions, now, transaction
from kit.errors import BadInput, FieldError, NotFound, Problem, TooLarge, Unavailable, WrongMoment
from services.postal import pictures, recording, rules
from services.postal.contract import BeginUpload, UploadState
from services.postal.models import Event, EventFile, EvidenceChunk, EvidenceFile, EvidenceUpload, Shipment
from services.postal.storage import EvidenceStore, FileGone, StorageError

log = logging.getLogger(__name__)

MAX_CHUNK_BYTES = 512 * 1024
OPEN_UPLOADS = 200
"""Files one person may have begun and not finished: far more than a phone sends at once."""

ABANDONED_AFTER = timedelta(days=30)
"""An upload nobody continued for so long is dropped; the phone still has the file and begins again."""


class NoSuchEvidence(NotFound):
    kind = "no-such-evidence"


class NoSuchUpload(NotFound):
    kind = "no-such-upload"


class WrongOffset(WrongMoment):
    """The part does not begin where the last one ended; `offset` in the problem says where to go on."""

    kind = "wrong-offset"


class TooManyUploads(WrongMoment):
    kind = "too-many-uploads"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the operator allows. Size in bytes."""

    max_bytes: int
    keep_days: int


# --- in --------------------------------------------------------------------------------------------


async def begin_upload(
    sessions: Sessions, store: EvidenceStore, body: BeginUpload, *, uploader: str, limits: Limits
) -> UploadState:
    """Announce a file, or ask how far it has come; the same again is harmless.

    Raises TooLarge, BadInput (other size or type than announced before), TooManyUploads.
    """
    if body.size_bytes > limits.max_bytes:
        size = f"{limits.max_bytes // 1024} KiB"
        raise TooLarge(
            f"Tệp chứng từ vượt quá {size}; hãy thu nhỏ ảnh rồi gửi lại.",
            f"The evidence file is over {size}; shrink the picture and send it again.",
        )
    async with transaction(sessions) as session:
        stored = await session.get(EvidenceFile, body.sha256)
        if stored is not None:
            return UploadState(sha256=body.sha256, offset=stored.size_bytes, complete=True)
        await _announce(session, body, uploader=uploader)
        offset = await _offset(session, body.sha256, uploader)
    if offset < body.size_bytes:
        return UploadState(sha256=body.sha256, offset=offset, complete=False)
    return await _finish(sessions, store, body.sha256, uploader)


async def _announce(session: AsyncSession, body: BeginUpload, *, uploader: str) -> None:
    mine = col(EvidenceUpload.uploader) == uploader
    begun = (await session.exec(select(func.count()).select_from(EvidenceUpload).where(mine))).one()
    values = {**body.model_dump(), "uploader": uploader, "started_at": now()}
    known = await session.get(EvidenceUpload, (body.sha256, uploader))
    if known is None and begun >= OPEN_UPLOADS:
        raise TooManyUploads(
            "Còn quá nhiều tệp gửi dở; hãy gửi tiếp các tệp cũ trước.",
            "Too many files are half sent; continue those first.",
        )
    await session.exec(insert(EvidenceUpload).values(values).on_conflict_do_nothing())
    known = await session.get(EvidenceUpload, (body.sha256, uploader))
    if known is not None and (known.size_bytes, known.media_type) != (body.size_bytes, body.media_type):
        raise BadInput(
            "Tệp này đã được khai với kích thước hoặc loại khác; hãy khai đúng như lần đầu.",
            "This file was announced with another size or type; announce it as the first time.",
            fields=[FieldError("size_bytes", "khác lần khai đầu", "differs from the first announcement")],
        )


async def _offset(session: AsyncSession, sha256: str, uploader: str) -> int:
    length = func.coalesce(func.sum(func.length(EvidenceChunk.content)), 0)
    query = select(length).where(col(EvidenceChunk.sha256) == sha256, col(EvidenceChunk.uploader) == uploader)
    return int((await session.exec(query)).one())


async def append_chunk(
    sessions: Sessions, store: EvidenceStore, sha256: str, content: bytes, *, start: int, uploader: str
) -> UploadState:
    """Keep the next part of a file; the last one completes it.

    Raises NoSuchUpload, WrongOffset (with the offset to go on from), TooLarge, BadInput (not the announced file: what
    came is dropped), Unavailable (the store does not answer: ask again, nothing is lost).
    """
    if not content:
        raise BadInput("Phần tệp gửi lên trống; hãy gửi lại.", "This part of the file is empty; send it again.")
    if len(content) > MAX_CHUNK_BYTES:
        raise TooLarge(
            f"Mỗi phần không quá {MAX_CHUNK_BYTES // 1024} KiB; hãy chia nhỏ hơn.",
            f"A part has at most {MAX_CHUNK_BYTES // 1024} KiB; split the file further.",
        )
    async with transaction(sessions) as session:
        stored = await session.get(EvidenceFile, sha256)
        if stored is not None:
            return UploadState(sha256=sha256, offset=stored.size_bytes, complete=True)
        upload = await session.get(EvidenceUpload, (sha256, uploader), with_for_update=True)
        if upload is None:
            raise NoSuchUpload("Tệp này chưa được khai; hãy khai trước.", "This file was not announced; do that first.")
        offset = await _offset(session, sha256, uploader)
        if start != offset or offset + len(content) > upload.size_bytes:
            raise WrongOffset(
                f"Hãy gửi tiếp từ byte thứ {offset}.", f"Go on from byte {offset}.", extra={"offset": offset}
            )
        session.add(EvidenceChunk(sha256=sha256, uploader=uploader, start_byte=start, content=content))
        complete = offset + len(content) == upload.size_bytes
    if not complete:
        return UploadState(sha256=sha256, offset=start + len(content), complete=False)
    return await _finish(sessions, store, sha256, uploader)


async def _finish(sessions: Sessions, store: EvidenceStore, sha256: str, uploader: str) -> UploadState:
    """Check the whole file, store it, then make it evidence. A death between the steps is repaired by asking again."""
    async with sessions() as session:
        upload = await session.get(EvidenceUpload, (sha256, uploader))
        mine = (col(EvidenceChunk.sha256) == sha256, col(EvidenceChunk.uploader) == uploader)
        query = select(EvidenceChunk.content).where(*mine).order_by(col(EvidenceChunk.start_byte))
        content = b"".join((await session.exec(query)).all())
        stored = await session.get(EvidenceFile, sha256)
    if upload is None or stored is not None:  # another request finished it meanwhile
        return UploadState(sha256=sha256, offset=len(content) or (stored.size_bytes if stored else 0), complete=True)
    words = await asyncio.to_thread(_refusal, content, sha256, upload.media_type)
    if words is not None:
        async with transaction(sessions) as session:
            await session.exec(delete(EvidenceUpload).where(col(EvidenceUpload.sha256) == sha256, _of(uploader)))
        raise BadInput(
            f"Tệp chứng từ không được nhận: {words[0]}.",
            f"The evidence file is refused: {words[1]}.",
            fields=[FieldError("content", *words)],
        )
    try:
        await store.put(content)
    except StorageError as error:
        log.warning("the evidence store refused a file", exc_info=error)
        raise _store_is_away() from error
    async with transaction(sessions) as session:
        row = EvidenceFile(
            sha256=sha256,
            media_type=upload.media_type,
            size_bytes=len(content),
            uploaded_by=uploader,
            stored_at=now(),
        )
        await session.exec(insert(EvidenceFile).values(row.model_dump()).on_conflict_do_nothing())
        await session.exec(delete(EvidenceUpload).where(col(EvidenceUpload.sha256) == sha256))
        await recording.evidence_stored(session, sha256=sha256, at=row.stored_at)
    return UploadState(sha256=sha256, offset=len(content), complete=True)


def _of(uploader: str) -> Any:  # noqa: ANN401 — an SQL condition
    return col(EvidenceUpload.uploader) == uploader


def _refusal(content: bytes, sha256: str, media_type: str) -> tuple[str, str] | None:
    if hashlib.sha256(content).hexdigest() != sha256:
        return "nội dung không khớp mã băm đã khai", "its content does not match the announced hash"
    return pictures.refusal(content, media_type)


def _store_is_away() -> Problem:
    return Unavailable(
        "Kho chứng từ tạm thời chưa trả lời; hãy thử lại sau ít phút, tệp đã gửi không bị mất.",
        "The evidence store does not answer for the moment; try again in a few minutes, nothing sent is lost.",
        headers={"Retry-After": "30"},
    )


# --- out -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Proof:
    """One file of a shipment's evidence, and whether it has arrived."""

    sha256: str
    kind: str
    event_id: str
    media_type: str | None
    size_bytes: int | None
    stored_at: datetime | None
    purged_at: datetime | None


async def proofs_of(session: AsyncSession, shipment_id: str) -> list[Proof]:
    """Every file that a shipment's facts name, in the order of the log; files still to come have no media type."""
    query = (
        select(EventFile, EvidenceFile)
        .join(EvidenceFile, col(EvidenceFile.sha256) == col(EventFile.sha256), isouter=True)
        .join(Event, col(Event.id) == col(EventFile.event_id))
        .where(col(EventFile.shipment_id) == shipment_id)
        .order_by(col(Event.chain_position), col(EventFile.kind), col(EventFile.sha256))
    )
    return [
        Proof(
            sha256=named.sha256,
            kind=named.kind,
            event_id=named.event_id,
            media_type=stored.media_type if stored else None,
            size_bytes=stored.size_bytes if stored else None,
            stored_at=stored.stored_at if stored else None,
            purged_at=stored.purged_at if stored else None,
        )
        for named, stored in (await session.exec(query)).all()
    ]


@dataclass(frozen=True, slots=True)
class Given:
    """A file as it was stored."""

    content: bytes
    media_type: str


async def give_to(sessions: Sessions, store: EvidenceStore, sha256: str, *, caller: Principal) -> Given:
    """A file for somebody who works here: dispatchers see all, couriers what they sent or what their items carry.

    Raises NoSuchEvidence (also when the caller may not see it: a hash must not be a way to ask), Unavailable.
    """
    async with sessions() as session:
        file = await session.get(EvidenceFile, sha256)
        if file is None:
            raise _nothing()
        if not caller.may("postal:dispatch") and not await _is_of(session, file, caller.actor):
            raise _nothing()
    return await _fetch(store, file)


async def give_of_shipment(sessions: Sessions, store: EvidenceStore, sha256: str, *, shipment_id: str) -> Given:
    """A file for the citizen of one shipment: only what that shipment's own facts name. Raises as `give_to`."""
    async with sessions() as session:
        named = select(EventFile).where(col(EventFile.sha256) == sha256, col(EventFile.shipment_id) == shipment_id)
        file = await session.get(EvidenceFile, sha256)
        if file is None or (await session.exec(named.limit(1))).first() is None:
            raise _nothing()
    return await _fetch(store, file)


async def _is_of(session: AsyncSession, file: EvidenceFile, courier: str) -> bool:
    if file.uploaded_by == courier:
        return True
    query = (
        select(EventFile.event_id)
        .join(Event, col(Event.shipment_id) == col(EventFile.shipment_id))
        .where(col(EventFile.sha256) == file.sha256, col(Event.actor) == courier)
    )
    return (await session.exec(query.limit(1))).first() is not None


async def _fetch(store: EvidenceStore, file: EvidenceFile) -> Given:
    if file.purged_at is not None:
        raise _nothing()
    try:
        return Given(await store.get(file.sha256), file.media_type)
    except FileGone as error:
        log.exception("an evidence file is missing from its store", extra={"sha256": file.sha256})
        raise _nothing() from error
    except StorageError as error:
        log.warning("the evidence store did not give a file", exc_info=error)
        raise _store_is_away() from error


def _nothing() -> Problem:
    return NoSuchEvidence(
        "Không có tệp chứng từ này, hoặc bạn không được xem.", "There is no such evidence file, or it is not for you."
    )


# --- the end ---------------------------------------------------------------------------------------


async def purge(sessions: Sessions, store: EvidenceStore, *, limits: Limits, at: datetime, most: int = 500) -> int:
    """Take away files whose time is over and uploads nobody continued. Gives the number of files taken away.

    The row stays with the day of the purge: that there was evidence, and until when, remains known. What a shipment
    still on its way names is kept. The store is emptied first: after a death in between, the next run finishes.
    """
    due = at - timedelta(days=limits.keep_days)
    under_way = (
        select(EventFile.sha256)
        .join(Shipment, col(Shipment.id) == col(EventFile.shipment_id))
        .where(
            col(EventFile.sha256) == col(EvidenceFile.sha256), col(Shipment.status).not_in(sorted(rules.END_STRENGTH))
        )
    )
    old = (
        select(EvidenceFile.sha256)
        .where(col(EvidenceFile.stored_at) < due, col(EvidenceFile.purged_at).is_(None), ~under_way.exists())
        .order_by(col(EvidenceFile.stored_at))
        .limit(most)
    )
    async with transaction(sessions) as session:
        names = (await session.exec(old)).all()
        await session.exec(delete(EvidenceUpload).where(col(EvidenceUpload.started_at) < at - ABANDONED_AFTER))
    gone = []
    for name in names:
        try:
            await store.delete(name)
            gone.append(name)
        except StorageError as error:
            log.warning("an evidence file past its time was not deleted", exc_info=error, extra={"sha256": name})
    async with transaction(sessions) as session:
        open_rows = (col(EvidenceFile.sha256).in_(gone), col(EvidenceFile.purged_at).is_(None))
        await session.exec(update(EvidenceFile).where(*open_rows).values(purged_at=at))
    return len(gone)
