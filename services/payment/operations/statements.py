"""Imports bank statements: each file once, each line once, and nothing from a file that does not add up."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, time

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now
from kit.errors import BadInput, FieldError
from kit.ids import new_id
from kit.web import LOCAL_ZONE
from services.payment import ledger
from services.payment.bank import CreditNotice
from services.payment.contract import BooksEvent, BreakKind, StatementImport
from services.payment.ledger import Occasion
from services.payment.models import Break, Statement, StatementLine, outbox
from services.payment.operations.credits import book_credit
from services.payment.operations.differences import open_break, settle_break
from services.payment.operations.posting import open_day, post
from services.payment.reconciliation.statements.lines import (
    ParsedLine,
    ParsedStatement,
    StatementUnreadable,
    fingerprints,
    numbered,
)
from services.payment.reconciliation.statements.reading import read_statements
from services.payment.till import Terms

RECONCILING = 7_201_605_002
"""Advisory lock: imports and reconciliation runs take turns."""
_Trouble = tuple[BreakKind, int, str, str]
"""Why a file is held: kind of break, đồng that do not fit, and the sentence in Vietnamese and English."""
_HELD: tuple[BreakKind, ...] = ("statement_unbalanced", "statement_gap", "statement_conflict")
_BATCH = 1_000


async def import_statement(session: AsyncSession, content: bytes, terms: Terms, *, actor: str) -> StatementImport:
    """Import one file of statements of the collecting account; the answer is about its last day.

    A file of several days is several statements, and all of them or none are used. A file seen before, or one that
    brings no new line, is a duplicate and changes nothing. A file whose balances do not add up, do not follow the day
    before, or contradict another file of the day is kept in quarantine with a break. Notices (camt.052, camt.054,
    MT942) announce their credits as the bank's advice does. Raises BadInput when it is no statement of this account.
    """
    await (await session.connection()).execute(text("select pg_advisory_xact_lock(:n)"), {"n": RECONCILING})
    digest = hashlib.sha256(content).hexdigest()
    query = select(Statement).where(col(Statement.sha256) == digest).order_by(col(Statement.business_date).desc())
    known = (await session.exec(query)).first()
    if known is not None:
        return _answer(known, duplicate=True)
    statements = await _own(content, terms)
    if statements[0].is_notice:
        return await _announced(session, statements, digest, terms, actor=actor)
    new, trouble = await _imported(session, statements, digest, actor=actor)
    if trouble is not None and len(statements) > 1:
        # A late line may only look like another day: the file as one statement of its last day is tried before held.
        new, still = await _imported(session, [_as_one(statements)], digest, actor=actor)
        trouble = trouble if still is not None else None
    if trouble is not None:
        return await _quarantined(session, _as_one(statements), digest, trouble, actor=actor)
    last = (await session.exec(query)).one() if len(statements) == 1 else (await session.exec(query)).first()
    assert last is not None
    return _answer(last, duplicate=new == 0 and any(each.lines for each in statements))


async def _own(content: bytes, terms: Terms) -> list[ParsedStatement]:
    """The statements of the collecting account, oldest first. A file may bring other accounts along."""
    try:
        found = await asyncio.to_thread(read_statements, content)
    except StatementUnreadable as error:
        raise _unreadable(error.vi, error.en) from error
    own = [each for each in found if _bare(each.account) == _bare(terms.bank_account)]
    if not own:
        others = ", ".join(sorted({each.account for each in found}))
        raise _unreadable(
            f"Sao kê là của tài khoản {others}, không phải tài khoản thu {terms.bank_account}.",
            f"The statement belongs to account {others}, not to the collecting account {terms.bank_account}.",
        )
    own = [replace(each, account=terms.bank_account) for each in own]
    today = now().astimezone(LOCAL_ZONE).date()
    while len(own) > 1 and own[-1].business_date > today and not own[-1].lines and not own[-1].imbalance_dong:
        own.pop()  # "to the end of the month", downloaded before it
    return own


def _bare(account: str) -> str:
    return "".join(character for character in account.upper() if character.isalnum())


def _as_one(days: Sequence[ParsedStatement]) -> ParsedStatement:
    """The days of a file as one statement of its last day."""
    return replace(
        days[-1],
        opening_dong=days[0].opening_dong,
        lines=numbered(line for day in days for line in day.lines),
    )


async def _imported(
    session: AsyncSession, statements: Sequence[ParsedStatement], digest: str, *, actor: str
) -> tuple[int, _Trouble | None]:
    """Store every statement of a file, or none: (new lines, why none)."""
    new = 0
    async with session.begin_nested() as attempt:
        for parsed in statements:
            trouble = await _trouble(session, parsed)
            if trouble is None:
                row = _row(parsed, digest, actor=actor, status="accepted")
                session.add(row)
                await session.flush()
                await _begin_the_books(session, parsed)
                stored = await _store_lines(session, row, parsed)
                trouble = await _contradiction(session, parsed) if stored else None
                new += stored
            if trouble is not None:
                await attempt.rollback()
                return 0, trouble
            await _settle_quarantine(session, parsed)
            await _announce(session, row)
    return new, None


async def _contradiction(session: AsyncSession, parsed: ParsedStatement) -> _Trouble | None:
    """Lines of two files of one day that together make another sum than the day moved.

    Two forms of one statement may tell a line differently; then the line would count twice.
    """
    if any(line.booked_on != parsed.business_date for line in parsed.lines):
        return None
    query = select(func.coalesce(func.sum(col(StatementLine.amount_dong)), 0)).where(
        col(StatementLine.account) == parsed.account, col(StatementLine.booked_on) == parsed.business_date
    )
    over = int((await session.exec(query)).one()) - (parsed.closing_dong - parsed.opening_dong)
    if not over:
        return None
    return (
        "statement_conflict",
        over,
        f"Tệp này và sao kê đã nhập của cùng ngày không khớp nhau, lệch {over} đồng; tệp sau được giữ lại.",
        f"This file and the statement imported for the same day contradict each other by {over} đồng; it is held.",
    )


async def _quarantined(
    session: AsyncSession, parsed: ParsedStatement, digest: str, trouble: _Trouble, *, actor: str
) -> StatementImport:
    kind, amount, vi, en = trouble
    row = _row(parsed, digest, actor=actor, status="quarantined")
    session.add(row)
    await session.flush()
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


async def _announced(
    session: AsyncSession, notices: Sequence[ParsedStatement], digest: str, terms: Terms, *, actor: str
) -> StatementImport:
    """What a notice says of money that came in; money that went out is for the statement to tell."""
    new = 0
    for parsed in notices:
        row = _row(parsed, digest, actor=actor, status="noted")
        session.add(row)
        for line in parsed.lines:
            if line.amount_dong > 0 and line.bank_reference:
                told = await book_credit(session, credit_notice(parsed.account, line), terms, origin="advice")
                new += told != "known"
    await session.flush()
    return _answer(row, duplicate=new == 0 and any(each.lines for each in notices))


def credit_notice(account: str, line: ParsedLine | StatementLine) -> CreditNotice:
    """A credit as the bank's advice would tell it; a booking day has no hour, so noon stands for it."""
    return CreditNotice(
        bank_reference=line.bank_reference,
        account=account,
        amount_dong=line.amount_dong,
        content=line.content[:500],
        payer_name=line.payer_name or "",
        payer_account=line.payer_account or "",
        payer_bin=line.payer_bin or "",
        booked_at=datetime.combine(line.booked_on, time(12), LOCAL_ZONE),
        value_date=line.booked_on,
    )


def _unreadable(vi: str, en: str) -> BadInput:
    return BadInput(
        f"{vi} Hãy tải lại đúng tệp của ngân hàng: camt.053, MT940, CSV hoặc Excel (.xlsx).",
        f"{en} Send the bank's own file: camt.053, MT940, CSV or Excel (.xlsx).",
        fields=[FieldError("file", vi, en)],
    )


def _row(parsed: ParsedStatement, digest: str, *, actor: str, status: str) -> Statement:
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
        status=status,
        imported_at=now(),
        imported_by=actor,
    )


async def _trouble(session: AsyncSession, parsed: ParsedStatement) -> _Trouble | None:
    """Why a statement cannot be trusted."""
    if parsed.mismatch_dong:
        return (
            "statement_unbalanced",
            parsed.mismatch_dong,
            "Một bút toán gộp không bằng tổng các giao dịch con của nó; tệp được giữ lại, chưa sử dụng.",
            "A batch entry is not the sum of its parts; the file is held, not used.",
        )
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
        col(Break.kind).in_(_HELD),
        col(Break.status) == "open",
        col(Break.business_date) == parsed.business_date,
    )
    for subject in (await session.exec(query)).all():
        await settle_break(session, _HELD, subject=subject, resolution="a good file has come")


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
