"""Opens breaks: differences that somebody has to explain. One a kind and subject, whoever sees it first."""

from datetime import date

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from kit.ids import new_id
from services.payment.contract import BreakKind
from services.payment.models import Break


async def open_break(
    session: AsyncSession,
    kind: BreakKind,
    *,
    subject: str,
    business_date: date,
    amount_dong: int,
    account: str,
    flow: str | None,
    text_vi: str,
    text_en: str,
) -> bool:
    """Write a break down; whether it is new. `amount_dong` is signed: positive when the bank has more than is known.

    `flow` names the tie-out row whose difference it explains; None when only another account is concerned.
    """
    made = await (await session.connection()).execute(
        insert(Break)
        .values(
            id=new_id("brk"),
            kind=kind,
            business_date=business_date,
            amount_dong=amount_dong,
            account=account,
            flow=flow,
            subject=subject,
            text_vi=text_vi,
            text_en=text_en,
            status="open",
            opened_at=now(),
        )
        .on_conflict_do_nothing(index_elements=["kind", "subject"])
    )
    return made.rowcount == 1


async def settle_break(session: AsyncSession, kinds: tuple[BreakKind, ...], *, subject: str, resolution: str) -> None:
    """Later news has explained a break by itself."""
    await (await session.connection()).execute(
        update(Break)
        .where(col(Break.kind).in_(kinds), col(Break.subject) == subject, col(Break.status) == "open")
        .values(
            status="resolved",
            resolved_at=now(),
            resolved_by="system",
            resolution=resolution,
            proposal=None,
            proposal_hash=None,
            proposed_by=None,
        )
    )
