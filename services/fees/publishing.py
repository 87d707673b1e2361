"""Publishing: a set of documents becomes the law in use. One at a time, numbered without gaps, never rewritten."""

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import Sessions, now, transaction
from kit.ids import new_id
from services.fees.contract import CataloguePublished
from services.fees.holdings import Held, merged, overtaken, set_hash, text_hash
from services.fees.models import CatalogueVersion, Document, Publication, PublicationDocument, outbox
from services.fees.reading import CatalogueError, checked_catalogue
from services.fees.register import documents_held, head_of, texts_of
from services.fees.rules import Tariff

log = logging.getLogger(__name__)

RELEASE = "release"
"""The author of what a release of the software ships."""
_PUBLISHING = 5_205_150_927_001
"""Advisory lock: whoever publishes waits for whoever is publishing."""


@dataclass(frozen=True, slots=True)
class Act:
    """Who publishes, on whose approval, and why. A release has no approver and no draft."""

    author: str
    reason: str
    approver: str | None = None
    draft: str | None = None
    release: str | None = None


async def take_turn(session: AsyncSession) -> None:
    """Wait until nobody else is publishing, and keep others waiting until this transaction ends."""
    await (await session.connection()).execute(text("select pg_advisory_xact_lock(:n)"), {"n": _PUBLISHING})


async def publish(
    session: AsyncSession, tariff: Tariff, held: Mapping[str, Held], texts: Mapping[str, str], act: Act
) -> Publication:
    """Write one publication and announce it, in the caller's transaction. Call `take_turn` first.

    `held` says what is in force under each path; `texts` gives every text that may be new, by hash.
    """
    connection = await session.connection()
    moment = now()
    await connection.execute(
        insert(CatalogueVersion)
        .values(
            version=tariff.version,
            sha256=tariff.sha256,
            content=json.loads(tariff.content),
            published_at=moment,
            author=act.author,
        )
        .on_conflict_do_nothing(index_elements=["version"])
    )
    if texts:
        rows = [{"sha256": sha256, "text": body} for sha256, body in texts.items()]
        await connection.execute(insert(Document).on_conflict_do_nothing(index_elements=["sha256"]), rows)
    head = await head_of(session)
    publication = Publication(
        number=head.number + 1 if head is not None else 1,
        version=tariff.version,
        published_at=moment,
        author=act.author,
        approver=act.approver,
        reason=act.reason,
        draft=act.draft,
        release=act.release,
    )
    session.add(publication)
    await session.flush()
    await connection.execute(
        insert(PublicationDocument),
        [
            {"number": publication.number, "path": path, "sha256": one.in_force, "release_sha256": one.shipped}
            for path, one in held.items()
        ],
    )
    await _announce(session, publication, tariff.sha256)
    return publication


async def _announce(session: AsyncSession, publication: Publication, sha256: str) -> None:
    identity = new_id("evt")
    news = CataloguePublished(
        event_id=identity,
        version=publication.version,
        sha256=sha256,
        published_at=publication.published_at,
        author=publication.author,
        number=publication.number,
        approver=publication.approver,
        reason=publication.reason,
        draft=publication.draft,
    )
    await outbox.announce(
        session,
        "catalogue.published",
        subject=publication.version,
        data=news.model_dump(mode="json"),
        event_id=identity,
    )


async def publish_release(sessions: Sessions, tariff: Tariff, documents: Mapping[str, str]) -> Publication | None:
    """Bring a release's documents into force at start-up; None when there is nothing to do.

    A release is taken once: a process that starts late with an older release does not bring its law back. What
    officers published stays (`documents.merged`). Should the two together contradict each other, the law in force
    stays as it is, and the log says why.
    """
    shipped = {path: text_hash(body) for path, body in documents.items()}
    release = set_hash(shipped)
    async with transaction(sessions) as session:
        await take_turn(session)
        if await _was_taken(session, release):
            return None
        head = await head_of(session)
        before = await documents_held(session, head.number) if head is not None else {}
        after = merged(before, shipped)
        if after == before:
            return None
        kept = overtaken(before, shipped)
        if any(held.by_officer for held in after.values()):
            together = await _together(session, after, documents)
            if together is None:
                return None
            tariff = together
        reason = "Danh mục của bản phát hành phần mềm. The catalogue of the software release."
        if kept:
            log.warning("officers' documents stay where the release changed them", extra={"paths": kept})
            paths = ", ".join(kept)
            reason += f" Văn bản của cán bộ được giữ. Officers' documents were kept: {paths}."
        act = Act(author=RELEASE, reason=reason[:2000], release=release)
        texts = {shipped[path]: body for path, body in documents.items()}
        return await publish(session, tariff, after, texts, act)


async def _was_taken(session: AsyncSession, release: str) -> bool:
    found = select(col(Publication.number)).where(col(Publication.release) == release).limit(1)
    return await (await session.connection()).scalar(found) is not None


async def _together(session: AsyncSession, after: Mapping[str, Held], documents: Mapping[str, str]) -> Tariff | None:
    officers = await texts_of(session, [h.in_force for h in after.values() if h.by_officer and h.in_force])
    texts = {
        path: officers[held.in_force] if held.by_officer else documents[path]
        for path, held in after.items()
        if held.in_force
    }
    try:
        return await asyncio.to_thread(lambda: Tariff(checked_catalogue(texts)))
    except CatalogueError as error:
        log.error(  # noqa: TRY400 — the complaints say it all
            "the release's catalogue contradicts officers' documents; the law in force stays",
            extra={"complaints": str(error).splitlines()},
        )
        return None
