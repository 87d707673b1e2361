"""Imports bank statements: each file once, each line once, and nothing from a file that does not add up."""

import hashlib
from datetime import datetime, time

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from kit.errors import BadInput, FieldError
from kit.ids import new_id
from kit.web import LOCAL_ZONE
from services.payment import ledger
from services.payment.contract import BooksEvent, BreakKind, StatementImport
from services.payment.ledger import Occasion
from services.payment.models import Break, Statement, StatementLine, outbox
from services.payment.operations.differences import open_break, settle_break
from services.payment.operations.posting import open_day, post
from services.payment.reconciliation.statements import (
    ParsedStatement,
    StatementUnreadable,
    fingerprints,
    parse_statement,
)
from services.payment.till import Terms

RECONCILING = 7_201_605_002
"""Advisory lock: imports and reconciliation runs take turns."""
_BATCH = 1_000


async def import_statement(session: AsyncSession, content: bytes, terms: Terms, *, actor: str) -> StatementImport:
    """Import one camt.053 or CSV file of the collecting account.

    A file seen before, or one that brings no new line, is a duplicate and changes nothing. A file whose balances do
    not add up or do not follow the day before is kept in quarantine with a break. Raises BadInput when it is no
    statement of this account.
    """
    await (await session.connection()).execute(text("select pg_advisory_xact_lock(:n)"), {"n": RECONCILING})
    digest = hashlib.sha256(content).hexdigest()
    known = (await session.exec(select(Statement).where(col(Statement.sha256) == digest))).first()
    if known is not None:
        return _answer(known, duplicate=True)
    try:
        parsed = parse_statement(content)
    except StatementUnreadable as error:
        raise _unreadable(error.vi, error.en) from error
    if parsed.account != terms.bank_account:
        raise _unreadable(
            f"Sao kê là của tài khoản {parsed.account}, không phải tài khoản thu {terms.bank_account}.",
            f"The statement belongs to account {parsed.account}, not to the collecting account {terms.bank_account}.",
        )
    trouble = await _trouble(session, parsed)
    row = _row(parsed, digest, actor=actor, quarantined=trouble is not None)
    session.add(row)
    await session.flush()
    if trouble is not None:
        kind, amount, vi, en = trouble
        await open_break(
            session,
            kind,
            subject=f"{parsed.business_date.isoformat()}:{digest[:12]}",
            business_date=parsed.business_date,
            amount_dong=amount,
            account=ledger.BANK,
            flow=None,
            text_vi=vi,
            text_en=en,
        )
        return _answer(row, duplicate=False)
    await _begin_the_books(session, parsed)
    new = await _store_lines(session, row, parsed)
    await _settle_quarantine(session, parsed)
    await _announce(session, row)
    return _answer(row, duplicate=new == 0 and bool(parsed.lines))


def _unreadable(vi: str, en: str) -> BadInput:
    return BadInput(
        f"{vi} Hãy tải lại đúng tệp camt.053 hoặc CSV của ngân hàng.",
        f"{en} Send the bank's camt.053 or CSV file.",
        fields=[FieldError("file", vi, en)],
    )


def _row(parsed: ParsedStatement, digest: str, *, actor: str, quarantined: bool) -> Statement:
    return Statement(
        id=new_id("stm"),
        account=parsed.account,
        identity=parsed.identity[:100],
        format=parsed.format,
        sha256=digest,
        business_date=parsed.business_date,
        opening_dong=parsed.opening_dong,
        closing_dong=parsed.closing_dong,
        lines=len(parsed.lines),
        status="quarantined" if quarantined else "accepted",
        imported_at=now(),
        imported_by=actor,
    )


async def _trouble(session: AsyncSession, parsed: ParsedStatement) -> tuple[BreakKind, int, str, str] | None:
    """Why a file cannot be trusted: (kind of break, đồng that do not fit, sentence, sentence)."""
    if parsed.imbalance_dong:
        return (
            "statement_unbalanced",
            parsed.imbalance_dong,
            "Số dư đầu kỳ cộng các giao dịch không bằng số dư cuối kỳ; tệp được giữ lại, chưa sử dụng.",
            "The opening balance and the lines do not make the closing balance; the file is held, not used.",
        )
    previous = await _last_before(session, parsed)
    if previous is not None:
        gap = parsed.opening_dong - previous
        if gap:
            return (
                "statement_gap",
                gap,
                f"Số dư đầu kỳ lệch {gap} đồng so với số dư cuối kỳ của sao kê trước; có thể thiếu sao kê.",
                f"The opening balance is {gap} đồng off the closing balance before it; a statement may be missing.",
            )
        return None
    first = (await session.exec(_accepted(parsed).order_by(col(Statement.business_date)))).first()
    if first is not None and first.business_date > parsed.business_date:
        return (
            "statement_gap",
            parsed.closing_dong - first.opening_dong,
            "Sao kê thuộc ngày trước khi sổ này bắt đầu; tệp được giữ lại, chưa sử dụng.",
            "The statement is of a day before these books began; the file is held, not used.",
        )
    if first is not None and first.business_date == parsed.business_date and first.opening_dong != parsed.opening_dong:
        return (
            "statement_gap",
            parsed.opening_dong - first.opening_dong,
            "Hai bản sao kê của cùng ngày có số dư đầu kỳ khác nhau; tệp sau được giữ lại, chưa sử dụng.",
            "Two issues of the same day open with different balances; the later file is held, not used.",
        )
    return None


def _accepted(parsed: ParsedStatement):  # type: ignore[no-untyped-def]  # noqa: ANN202 — a SQLModel select
    return select(Statement).where(col(Statement.account) == parsed.account, col(Statement.status) == "accepted")


async def _last_before(session: AsyncSession, parsed: ParsedStatement) -> int | None:
    """Closing balance of the last accepted day before; of its fullest issue, when it was issued several times."""
    query = (
        _accepted(parsed)
        .where(col(Statement.business_date) < parsed.business_date)
        .order_by(col(Statement.business_date).desc(), col(Statement.lines).desc(), col(Statement.imported_at).desc())
        .limit(1)
    )
    previous = (await session.exec(query)).first()
    return previous.closing_dong if previous is not None else None


async def _begin_the_books(session: AsyncSession, parsed: ParsedStatement) -> None:
    """The first statement brings what stood on the account before."""
    day = await open_day(session, parsed.business_date)
    at = datetime.combine(parsed.business_date, time(), LOCAL_ZONE)
    earlier = (await session.exec(_accepted(parsed).where(col(Statement.lines) >= 0).limit(2))).all()
    if len(earlier) == 1:
        occasion = Occasion(key=parsed.account, occurred_at=at, value_date=parsed.business_date, business_date=day)
        await post(session, ledger.bank_opening(occasion, amount_dong=parsed.opening_dong))


async def _store_lines(session: AsyncSession, row: Statement, parsed: ParsedStatement) -> int:
    """Keep the lines not seen in another file; how many are new."""
    values = [
        {
            "id": new_id("sln"),
            "statement_id": row.id,
            "account": parsed.account,
            "number": line.number,
            "booked_on": line.booked_on,
            "value_on": line.value_on,
            "amount_dong": line.amount_dong,
            "bank_reference": line.bank_reference,
            "content": line.content,
            "payer_bin": line.payer_bin or None,
            "payer_account": line.payer_account or None,
            "payer_name": line.payer_name or None,
            "fingerprint": mark,
            "occurrence": occurrence,
        }
        for line, (mark, occurrence) in zip(parsed.lines, fingerprints(parsed.account, parsed.lines), strict=True)
    ]
    connection = await session.connection()
    new = 0
    for begin in range(0, len(values), _BATCH):
        made = await connection.execute(
            insert(StatementLine)
            .values(values[begin : begin + _BATCH])
            .on_conflict_do_nothing(index_elements=["account", "fingerprint", "occurrence"])
        )
        new += made.rowcount
    return new


async def _settle_quarantine(session: AsyncSession, parsed: ParsedStatement) -> None:
    query = select(Break.subject).where(
        col(Break.kind).in_(["statement_unbalanced", "statement_gap"]),
        col(Break.status) == "open",
        col(Break.business_date) == parsed.business_date,
    )
    for subject in (await session.exec(query)).all():
        await settle_break(
            session, ("statement_unbalanced", "statement_gap"), subject=subject, resolution="a good file has come"
        )


async def _announce(session: AsyncSession, row: Statement) -> None:
    event = BooksEvent(
        event_id=new_id("evt"),
        account=row.account,
        business_date=row.business_date,
        status=row.status,
        amount_dong=row.closing_dong,
        occurred_at=row.imported_at,
    )
    await outbox.announce(
        session,
        "statement.imported",
        subject=row.account,
        data=event.model_dump(mode="json"),
        event_id=event.event_id,
    )


def _answer(row: Statement, *, duplicate: bool) -> StatementImport:
    return StatementImport(
        id=row.id,
        account=row.account,
        business_date=row.business_date,
        lines=row.lines,
        duplicate=duplicate,
        quarantined=row.status == "quarantined",
        opening_dong=row.opening_dong,
        closing_dong=row.closing_dong,
    )
