"""Writes of quotes: a filing is priced under the newest published law, and the answer is kept for good."""

import hashlib
import json
from datetime import timedelta
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from kit.ids import new_id
from services.fees.compiled import snapshot_of
from services.fees.contract import Quote, QuoteRequest
from services.fees.law import PublishedLaw
from services.fees.models import QuoteRow
from services.fees.queries import quote_of
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
