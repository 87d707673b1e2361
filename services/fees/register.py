"""Reads of the register: what was published and when, which documents it held, and the drafts of what is to come."""

from collections.abc import Iterable, Sequence

from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.errors import NotFound
from services.fees.contract import (
    DraftDetail,
    DraftEventRecord,
    DraftSummary,
    HeldDocument,
    VersionDetail,
    VersionSummary,
)
from services.fees.holdings import Held
from services.fees.models import Document, Draft, DraftEvent, Publication, PublicationDocument


async def head_of(session: AsyncSession) -> Publication | None:
    """The newest publication; None before the first."""
    newest = select(Publication).order_by(col(Publication.number).desc()).limit(1)
    return (await session.exec(newest)).one_or_none()


async def publication_by_number(session: AsyncSession, number: int) -> Publication:
    """One publication. Raises NotFound."""
    found = await session.get(Publication, number) if 1 <= number < 2**31 else None
    if found is None:
        raise NotFound(
            "Không có lần công bố mang số này; hãy xem danh sách tại GET /v1/versions.",
            "There is no publication with this number; see the list at GET /v1/versions.",
        )
    return found


async def publications_before(session: AsyncSession, before: int | None, limit: int) -> Sequence[Publication]:
    """Publications, the newest first, below a number."""
    wanted = select(Publication).order_by(col(Publication.number).desc()).limit(limit)
    if before is not None:
        # A cursor is made by callers too: a number beyond the column's range means beyond every publication.
        wanted = wanted.where(col(Publication.number) < max(0, min(before, 2**31 - 1)))
    return (await session.exec(wanted)).all()


async def publication_of_draft(session: AsyncSession, draft: str) -> Publication | None:
    """The publication a draft became; None while it has not."""
    return (await session.exec(select(Publication).where(col(Publication.draft) == draft))).one_or_none()


async def documents_held(session: AsyncSession, number: int) -> dict[str, Held]:
    """What a publication holds, by path. Empty for those made before there was a register."""
    rows = await session.exec(
        select(PublicationDocument)
        .where(col(PublicationDocument.number) == number)
        .order_by(col(PublicationDocument.path))
    )
    return {row.path: Held(row.sha256, row.release_sha256) for row in rows}


async def texts_of(session: AsyncSession, hashes: Iterable[str]) -> dict[str, str]:
    """Texts of documents by hash."""
    rows = await session.exec(select(Document).where(col(Document.sha256).in_(set(hashes))))
    return {row.sha256: row.text for row in rows}


async def documents_in_force(session: AsyncSession, number: int) -> dict[str, str]:
    """Every document a publication brought into force, by path."""
    held = await documents_held(session, number)
    texts = await texts_of(session, (one.in_force for one in held.values() if one.in_force))
    return {path: texts[one.in_force] for path, one in held.items() if one.in_force}


async def draft_by_id(session: AsyncSession, identity: str, *, locked: bool = False) -> Draft:
    """One draft, locked until the transaction ends when it is to be changed. Raises NotFound."""
    # NUL cannot be asked of PostgreSQL, and no id of ours holds one.
    known = identity.isascii() and identity.isprintable()
    found = await session.get(Draft, identity, with_for_update=locked or None) if known else None
    if found is None:
        raise NotFound(
            "Không có dự thảo với mã này; hãy xem danh sách dự thảo.",
            "There is no draft with this id; see the list of drafts.",
        )
    return found


async def drafts_by_status(
    session: AsyncSession, statuses: Sequence[str], *, after: str | None = None, limit: int
) -> Sequence[Draft]:
    """Drafts, the newest first (ids carry their time); all of them when no status is asked."""
    wanted = select(Draft).order_by(col(Draft.id).desc()).limit(limit)
    if statuses:
        wanted = wanted.where(col(Draft.status).in_(statuses))
    if after is not None:
        wanted = wanted.where(col(Draft.id) < after)
    return (await session.exec(wanted)).all()


async def drafts_counted(session: AsyncSession) -> dict[str, int]:
    """How many drafts there are in each status."""
    rows = await session.exec(select(Draft.status, func.count()).group_by(col(Draft.status)))
    return dict(rows.all())


async def events_of(session: AsyncSession, draft: str) -> Sequence[DraftEvent]:
    """What happened to a draft, in order."""
    events = select(DraftEvent).where(col(DraftEvent.draft) == draft).order_by(col(DraftEvent.revision))
    return (await session.exec(events)).all()


async def document_text(session: AsyncSession, number: int, path: str) -> str:
    """One document as a publication brought it into force. Raises NotFound."""
    await publication_by_number(session, number)
    known = path.isascii() and path.isprintable()
    held = await session.get(PublicationDocument, (number, path)) if known else None
    document = await session.get(Document, held.sha256) if held is not None and held.sha256 else None
    if document is None:
        raise NotFound(
            "Lần công bố này không có văn bản ở đường dẫn đó; hãy xem danh sách văn bản của lần công bố.",
            "This publication holds no document under that path; see the list of its documents.",
        )
    return document.text


# --- as the contract shows them --------------------------------------------------------------------


def draft_summary(draft: Draft) -> DraftSummary:
    """A draft in a list."""
    return DraftSummary.model_validate({**draft.model_dump(exclude={"documents"}), "paths": tuple(draft.documents)})


async def draft_detail(session: AsyncSession, draft: Draft) -> DraftDetail:
    """A draft with its documents, history and publication."""
    published = await publication_of_draft(session, draft.id)
    events = tuple(DraftEventRecord.model_validate(e.model_dump()) for e in await events_of(session, draft.id))
    return DraftDetail(
        **draft_summary(draft).model_dump(),
        documents=draft.documents,
        events=events,
        publication=published.number if published is not None else None,
    )


def version_summary(publication: Publication) -> VersionSummary:
    """A publication in a list."""
    return VersionSummary.model_validate(publication.model_dump())


async def version_detail(session: AsyncSession, publication: Publication) -> VersionDetail:
    """A publication with its documents by path and hash."""
    held = await documents_held(session, publication.number)
    documents = tuple(
        HeldDocument(path=path, sha256=one.in_force, by_officer=one.by_officer) for path, one in held.items()
    )
    return VersionDetail(**publication.model_dump(), documents=documents)
