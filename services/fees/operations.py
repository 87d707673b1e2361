"""Writes: a quote is worked out and kept; a catalogue that is new is published as a version."""

import hashlib
import json
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import Sessions, now, transaction
from kit.ids import new_id
from services.fees.compiled import snapshot_of
from services.fees.contract import CataloguePublished, Quote, QuoteRequest
from services.fees.models import CatalogueVersion, QuoteRow, outbox
from services.fees.queries import quote_of
from services.fees.rules import CITIZEN, Tariff

_PUBLISHING = 5_205_150_927_001
"""Advisory lock: processes that start together publish one after the other."""


async def create_quote(
    session: AsyncSession, request: QuoteRequest, *, tariff: Tariff, actor: str, valid_days: int
) -> Quote:
    """Price a filing and keep the answer for good. Raises NotQuotable; then nothing is kept."""
    assessment = snapshot_of(tariff).assess(request)
    moment = now()
    total, citizen = assessment.total_dong, assessment.due_from(CITIZEN)
    row = QuoteRow(
        id=new_id("quo"),
        created_at=moment,
        expires_at=moment + timedelta(days=valid_days),
        inputs_hash=inputs_hash(request, assessment.procedure.slug, assessment.case),
        catalogue_version=tariff.version,
        procedure=assessment.procedure.slug,
        title=assessment.procedure.title.model_dump(),
        request=request.model_dump(mode="json"),
        lines=[line.model_dump(mode="json") for line in assessment.lines],
        total_dong=total,
        citizen_dong=citizen,
        budget_dong=total - citizen,
        requested_by=actor,
    )
    session.add(row)
    await session.flush()
    return quote_of(row)


def inputs_hash(request: QuoteRequest, procedure: str, case: str | None) -> str:
    """SHA-256 of the facts that decide a quote; spellings of the same procedure and orders of groups are one."""
    facts = request.model_dump(mode="json") | {"procedure": procedure, "case": case}
    facts["applicant_groups"] = sorted(set(request.applicant_groups))
    canonical = json.dumps(facts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


async def publish(sessions: Sessions, tariff: Tariff, *, author: str) -> bool:
    """Keep a catalogue as a version unless its hash is known. True when it is new; then it is announced."""
    async with transaction(sessions) as session:
        connection = await session.connection()
        await connection.execute(text("select pg_advisory_xact_lock(:n)"), {"n": _PUBLISHING})
        moment = now()
        written = await connection.execute(
            insert(CatalogueVersion)
            .values(
                version=tariff.version,
                sha256=tariff.sha256,
                content=json.loads(tariff.content),
                published_at=moment,
                author=author,
            )
            .on_conflict_do_nothing(index_elements=["version"])
            .returning(CatalogueVersion.__table__.c.version)  # type: ignore[attr-defined]
        )
        if written.scalar_one_or_none() is None:
            return False
        identity = new_id("evt")
        news = CataloguePublished(
            event_id=identity, version=tariff.version, sha256=tariff.sha256, published_at=moment, author=author
        )
        await outbox.announce(
            session,
            "catalogue.published",
            subject=tariff.version,
            data=news.model_dump(mode="json"),
            event_id=identity,
        )
        return True
