"""Writes of quotes: a filing is priced under the newest published law, and the answer is kept for good."""

import hashlib
import json
from datetime import timedelta
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from kit.ids import new_id
from services.fees.comparison import quote_difference
from services.fees.compiled import snapshot_of
from services.fees.contract import Explanation, Quote, QuoteDifference, QuoteRequest, Requote
from services.fees.law import Law, PublishedLaw
from services.fees.models import QuoteRow
from services.fees.queries import quote_by_id, quote_of, summary_in_words
from services.fees.register import publication_by_number
from services.fees.rules import CITIZEN


async def create_quote(
    session: AsyncSession,
    request: QuoteRequest,
    *,
    law: PublishedLaw,
    actor: str,
    valid_days: int,
    requote_of: str | None = None,
) -> Quote:
    """Price a filing and keep the answer for good. Raises NotQuotable; then nothing is kept."""
    assessment = snapshot_of(law.tariff).assess(request)
    moment = now()
    total, citizen = assessment.total_dong, assessment.due_from(CITIZEN)
    facts = inputs_hash(request, assessment.procedure.slug, assessment.case)
    lines = [line.model_dump(mode="json") for line in assessment.lines]
    row = QuoteRow(
        id=new_id("quo"),
        created_at=moment,
        expires_at=moment + timedelta(days=valid_days),
        inputs_hash=facts,
        catalogue_version=law.version,
        publication=law.number,
        answer_hash=answer_hash(facts, law.version, lines),
        requote_of=requote_of,
        procedure=assessment.procedure.slug,
        title=assessment.procedure.title.model_dump(),
        request=request.model_dump(mode="json"),
        lines=lines,
        total_dong=total,
        citizen_dong=citizen,
        budget_dong=total - citizen,
        requested_by=actor,
    )
    session.add(row)
    await session.flush()
    return quote_of(row)


async def requote(session: AsyncSession, identity: str, *, law: PublishedLaw, actor: str, valid_days: int) -> Requote:
    """A new quote for the facts of an old one under the newest law. Raises NotFound, NotQuotable."""
    old = await quote_by_id(session, identity)
    new = await create_quote(session, old.request, law=law, actor=actor, valid_days=valid_days, requote_of=old.id)
    return Requote(quote=new, difference=quote_difference(old, new))


async def recomputed(session: AsyncSession, law: Law, identity: str) -> QuoteDifference:
    """An old quote against what its own version of the law gives for its facts now. Keeps nothing. Raises NotFound."""
    old = await quote_by_id(session, identity)
    tariff = await law.under(session, old.catalogue_version)
    assessment = snapshot_of(tariff).assess(old.request)
    total, citizen = assessment.total_dong, assessment.due_from(CITIZEN)
    again = old.model_copy(
        update={
            "lines": assessment.lines,
            "total_dong": total,
            "citizen_dong": citizen,
            "budget_dong": total - citizen,
        }
    )
    return quote_difference(old, again)


async def explained(
    session: AsyncSession, law: Law, request: QuoteRequest, *, publication: int | None = None
) -> Explanation:
    """What a filing would cost and why, under the newest publication or an earlier one. Keeps nothing."""
    published = await law.current(session)
    if publication is not None and publication != published.number:
        row = await publication_by_number(session, publication)
        published = PublishedLaw(row.number, row.version, await law.under(session, row.version))
    assessment = snapshot_of(published.tariff).assess(request)
    total, citizen = assessment.total_dong, assessment.due_from(CITIZEN)
    title = assessment.procedure.title
    return Explanation(
        catalogue_version=published.version,
        publication=published.number,
        procedure=assessment.procedure.slug,
        title=title,
        summary=summary_in_words(title, request.filed_on, total=total, citizen=citizen),
        lines=assessment.lines,
        total_dong=total,
        citizen_dong=citizen,
        budget_dong=total - citizen,
    )


def inputs_hash(request: QuoteRequest, procedure: str, case: str | None) -> str:
    """SHA-256 of the facts that decide a quote; spellings of the same procedure and orders of groups are one."""
    facts = request.model_dump(mode="json") | {"procedure": procedure, "case": case}
    facts["applicant_groups"] = sorted(set(request.applicant_groups))
    return _hash_of(facts)


def answer_hash(inputs: str, version: str, lines: list[dict[str, Any]]) -> str:
    """SHA-256 of what was asked, the law it was answered under, and the answer."""
    return _hash_of({"inputs_hash": inputs, "catalogue_version": version, "lines": lines})


def _hash_of(value: object) -> str:
    canonical = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
