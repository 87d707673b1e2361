"""Runs the reconciliation of a business date: settlements pulled, statement lines recognised and booked, breaks opened.

Every step is idempotent, so a run may be repeated at any time and finishes what a dead one left.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import now, transaction
from kit.ids import new_id
from kit.web import LOCAL_ZONE
from services.payment import ledger, vietqr
from services.payment.bank import CreditNotice
from services.payment.contract import BooksEvent, BreakKind, Reconciliation
from services.payment.gateway import GatewayUnreachable
from services.payment.ledger import Occasion
from services.payment.models import (
    BankCredit,
    Break,
    DayClose,
    DayRun,
    LineMatch,
    Payout,
    RefundLeg,
    Remittance,
    StatementLine,
    outbox,
)
from services.payment.operations.credits import book_credit, recognise_held
from services.payment.operations.differences import open_break, settle_break
from services.payment.operations.posting import open_day, post_all
from services.payment.operations.rereading import reread_held
from services.payment.operations.settlements import import_settlements
from services.payment.operations.statements import RECONCILING, credit_notice
from services.payment.problems import GatewayAway
from services.payment.queries import reconciliation as queries
from services.payment.reconciliation.matching import RULES, Expectation, Line, Recognised, Trouble, recognise
from services.payment.till import Till

_BATCH = 1_000
_POST = "post"
"""The group of all remittances: the post may bring several in one sum."""
_CLEARING = {
    "card": ledger.PAYOUT_IN_TRANSIT,
    "vietqr": ledger.BANK_CLEARING,
    "post_remittance": ledger.POST_REMITTANCE,
    "transfer_out": ledger.BANK_CLEARING,
}


async def run_reconciliation(till: Till, on: date) -> Reconciliation:
    """Reconcile a business date and say how it stands. A closed day is only shown.

    Raises GatewayAway while the gateway does not tell its settlements: without them nothing is called missing.
    """
    account = till.terms.bank_account
    async with till.sessions() as session:
        close = await session.get(DayClose, on)
        if close is not None and close.status == "closed":
            return await queries.reconciliation_of(session, account, on)
    try:
        await import_settlements(till, on)
    except GatewayUnreachable as error:
        raise GatewayAway(
            "Cổng thanh toán chưa trả lời nên chưa lấy được số quyết toán; hãy chạy lại sau ít phút.",
            "The gateway does not answer, so its settlements are not here; run again in a few minutes.",
            headers={"Retry-After": "10"},
        ) from error
    async with transaction(till.sessions) as session:
        await recognise_held(session)
        await reread_held(session, till.terms)
    for notice in await _untold_credits(till, on):
        async with transaction(till.sessions) as session:
            await book_credit(session, notice, till.terms, origin="statement")
    async with transaction(till.sessions) as session:
        await (await session.connection()).execute(text("select pg_advisory_xact_lock(:n)"), {"n": RECONCILING})
        await _match_lines(session, account, on)
        await _ask_for_the_overdue(session, on, till.terms.bank_overdue_days)
        await _remember_run(session, on)
        await session.flush()
        found = await queries.reconciliation_of(session, account, on)
        if found.status == "balanced":
            await _announce_balanced(session, found)
    return found


async def _untold_credits(till: Till, on: date) -> list[CreditNotice]:
    """Credits on statements that carry a reference of ours and that no notice has told us of."""
    async with till.sessions() as session:
        query = (
            select(StatementLine)
            .join(LineMatch, col(LineMatch.line_id) == col(StatementLine.id), isouter=True)
            .join(BankCredit, col(BankCredit.bank_reference) == col(StatementLine.bank_reference), isouter=True)
            .where(
                col(StatementLine.account) == till.terms.bank_account,
                col(StatementLine.booked_on) <= on,
                col(StatementLine.amount_dong) > 0,
                col(StatementLine.bank_reference) != "",
                col(LineMatch.line_id).is_(None),
                col(BankCredit.id).is_(None),
            )
        )
        lines = (await session.exec(query)).all()
    return [credit_notice(line.account, line) for line in lines if vietqr.references_in(line.content)]


# --- lines -----------------------------------------------------------------------------------------


async def _match_lines(session: AsyncSession, account: str, on: date) -> None:
    """Recognise and book every line up to the day that has not been."""
    query = (
        select(StatementLine)
        .join(LineMatch, col(LineMatch.line_id) == col(StatementLine.id), isouter=True)
        .where(
            col(StatementLine.account) == account,
            col(StatementLine.booked_on) <= on,
            col(LineMatch.line_id).is_(None),
        )
        .order_by(col(StatementLine.booked_on), col(StatementLine.number), col(StatementLine.id))
    )
    lines = (await session.exec(query)).all()
    if not lines:
        return
    expected = await _expected(session, lines)
    taken = await _taken(session, expected)
    post = await _accounts_of_the_post(session)
    found = recognise(
        [_told(line, post) for line in lines],
        [each for each in expected if each.item not in taken],
        [each for each in expected if each.item in taken],
    )
    answers = [(line, found[line.id]) for line in lines]
    await _book_lines(session, answers)
    await _compare(session, answers)


def _told(line: StatementLine, post: AbstractSet[str]) -> Line:
    party = line.payer_account or ""
    return Line(
        id=line.id,
        mark=f"{line.fingerprint}:{line.occurrence:06d}",
        amount_dong=line.amount_dong,
        booked_on=line.booked_on,
        bank_reference=line.bank_reference,
        content=line.content,
        party=party,
        name=line.payer_name or "",
        group=_POST if party in post else "",
    )


async def _accounts_of_the_post(session: AsyncSession) -> set[str]:
    """Accounts that remittances have come from: only from those may one sum be several remittances."""
    query = (
        select(StatementLine.payer_account)
        .join(LineMatch, col(LineMatch.line_id) == col(StatementLine.id))
        .where(col(LineMatch.flow) == "post_remittance", col(StatementLine.payer_account).is_not(None))
        .distinct()
    )
    return {account for account in (await session.exec(query)).all() if account}


async def _expected(session: AsyncSession, lines: Sequence[StatementLine]) -> list[Expectation]:
    """What the books expect that these lines may answer. Payouts and the like are few; transfers go by reference."""
    payouts = (await session.exec(select(Payout).where(col(Payout.status).not_in(["failed", "canceled"])))).all()
    found = [
        Expectation("card", payout.id, payout.announced_dong, payout.arrival_date, references=(payout.id,))
        for payout in payouts
    ]
    references = [line.bank_reference for line in lines if line.bank_reference]
    for begin in range(0, len(references), _BATCH):
        credits_ = select(BankCredit).where(
            col(BankCredit.bank_reference).in_(references[begin : begin + _BATCH]),
            col(BankCredit.status) != "recognised",
        )
        found += [
            Expectation("vietqr", each.bank_reference, each.amount_dong, each.booked_on, ids=(each.bank_reference,))
            for each in (await session.exec(credits_)).all()
        ]
    for remittance in (await session.exec(select(Remittance))).all():
        name, on = remittance.reference, remittance.deposited_on
        found.append(Expectation("post_remittance", name, remittance.amount_dong, on, references=(name,), group=_POST))
    return found + await _orders(session)


async def _orders(session: AsyncSession) -> list[Expectation]:
    """Transfers out, by bank reference or voucher number; several vouchers paid as one are one."""
    orders: dict[str, Expectation] = {}
    legs = select(RefundLeg).where(
        col(RefundLeg.status) == "succeeded",
        col(RefundLeg.bank_order_reference).is_not(None),
        col(RefundLeg.paid_on).is_not(None),
    )
    for leg in (await session.exec(legs)).all():
        assert leg.bank_order_reference is not None
        assert leg.paid_on is not None
        item = queries.order_item(leg.bank_order_reference)
        before = orders[item].amount_dong if item in orders else 0
        orders[item] = Expectation(
            "transfer_out", item, before - leg.amount_dong, leg.paid_on, ids=(item,), references=(item,)
        )
    return list(orders.values())


async def _taken(session: AsyncSession, expected: Sequence[Expectation]) -> set[str]:
    """The expected items that a line has answered before."""
    wanted = [each.item for each in expected]
    taken: set[str] = set()
    for begin in range(0, len(wanted), _BATCH):
        query = select(LineMatch.item).where(col(LineMatch.item).in_(wanted[begin : begin + _BATCH]))
        taken.update((await session.exec(query)).all())
    return taken


async def _book_lines(session: AsyncSession, found: Sequence[tuple[StatementLine, Recognised]]) -> None:
    days = {line.booked_on for line, _ in found}
    open_days = {day: await open_day(session, day) for day in days}
    journals: dict[str, ledger.Journal] = {}
    for line, answer in found:
        occasion = Occasion(
            key=line.id,
            occurred_at=datetime.combine(line.booked_on, time(12), LOCAL_ZONE),
            value_date=line.value_on,
            business_date=open_days[line.booked_on],
        )
        journal = ledger.statement_line(
            occasion, account=answer.account, parts=[(part.subject, part.amount_dong) for part in answer.parts]
        )
        assert journal is not None
        journals[line.id] = journal
    ids = await post_all(session, list(journals.values()))
    moment = now()
    matches = [
        {
            "line_id": line.id,
            "part": number,
            "flow": answer.flow,
            "item": part.item,
            "amount_dong": part.amount_dong,
            "evidence": answer.evidence,
            "rules_version": RULES.version,
            "journal_id": ids[journals[line.id].key],
            "matched_at": moment,
        }
        for line, answer in found
        for number, part in enumerate(answer.parts)
    ]
    connection = await session.connection()
    for begin in range(0, len(matches), _BATCH):
        await connection.execute(insert(LineMatch).values(matches[begin : begin + _BATCH]))


async def _compare(session: AsyncSession, found: Sequence[tuple[StatementLine, Recognised]]) -> None:
    """Open a break for every line that is unknown or shows another amount; end those that asked for one of them."""
    query = select(Break.subject).where(col(Break.kind) == "missing_in_bank", col(Break.status) == "open")
    asked_for = set((await session.exec(query)).all())
    for line, answer in found:
        for part in answer.parts:
            if part.subject in asked_for:
                resolution = f"arrived {line.booked_on}"
                await settle_break(session, ("missing_in_bank",), subject=part.subject, resolution=resolution)
            if part.expected_dong is None:
                await _ask_about(session, line, answer)
                continue
            over = part.amount_dong - part.expected_dong
            if over:
                await open_break(
                    session,
                    "amount_over" if over > 0 else "amount_under",
                    subject=f"{part.subject}@bank",
                    business_date=line.booked_on,
                    amount_dong=over,
                    account=answer.account,
                    flow=answer.flow,
                    text_vi=f"Sao kê ghi {part.amount_dong} đồng cho {part.item}, sổ chờ {part.expected_dong} đồng.",
                    text_en=f"The statement shows {part.amount_dong} đồng for {part.item}, not {part.expected_dong}.",
                )


_ASKED: dict[Trouble, tuple[BreakKind, str, str]] = {
    "repeated": (
        "duplicate_credit",
        "trùng với một khoản đã đối chiếu",
        "repeats an item that is already matched",
    ),
    "ambiguous": (
        "ambiguous",
        "có thể thuộc nhiều khoản trong sổ, cần người quyết định",
        "may answer several items in the books; a person decides",
    ),
    "unknown": ("missing_in_ledger", "không khớp với khoản nào trong sổ", "answers nothing in the books"),
}


async def _ask_about(session: AsyncSession, line: StatementLine, found: Recognised) -> None:
    kind, reason_vi, reason_en = _ASKED[found.trouble or "unknown"]
    what_vi = "Ghi có" if line.amount_dong > 0 else "Ghi nợ"
    what_en = "Credit" if line.amount_dong > 0 else "Debit"
    await open_break(
        session,
        kind,
        subject=line.id,
        business_date=line.booked_on,
        amount_dong=line.amount_dong,
        account=ledger.SUSPENSE,
        flow="unidentified",
        text_vi=f"{what_vi} {line.bank_reference or line.number} trên sao kê {reason_vi}: “{line.content[:120]}”.",
        text_en=f"{what_en} {line.bank_reference or line.number} of the statement {reason_en}: “{line.content[:120]}”.",
    )


# --- what does not come ----------------------------------------------------------------------------


async def _ask_for_the_overdue(session: AsyncSession, on: date, days: int) -> None:
    """Money announced longer ago than the bank takes, and on no statement: a break from today on."""
    limit = on - timedelta(days=days)
    day = await open_day(session, on)
    asked = set((await session.exec(select(Break.subject).where(col(Break.kind) == "missing_in_bank"))).all())
    for flow, key, amount, when in await _awaited(session, limit):
        if key not in asked:
            await open_break(
                session,
                "missing_in_bank",
                subject=key,
                business_date=day,
                amount_dong=-amount,
                account=_CLEARING[flow],
                flow=flow,
                text_vi=f"Khoản {key} báo ngày {when:%d/%m/%Y} chưa thấy trên sao kê ngân hàng.",
                text_en=f"{key}, announced on {when:%d/%m/%Y}, has not appeared on a bank statement.",
            )
    for subject, amount, when in await queries.open_items(session, ledger.GATEWAY_CLEARING):
        if when <= limit and amount > 0:
            await open_break(
                session,
                "missing_in_gateway",
                subject=subject,
                business_date=day,
                amount_dong=amount,
                account=ledger.GATEWAY_CLEARING,
                flow=None,
                text_vi=f"Giao dịch thẻ {subject} ngày {when:%d/%m/%Y} chưa có trong đợt chi trả nào.",
                text_en=f"Card movement {subject} of {when:%d/%m/%Y} is in no payout yet.",
            )
    await _settle_the_settled(session)


async def _settle_the_settled(session: AsyncSession) -> None:
    """Charges that a payout has brought meanwhile are no longer asked for."""
    waiting = {subject for subject, _, _ in await queries.open_items(session, ledger.GATEWAY_CLEARING)}
    query = select(Break.subject).where(col(Break.kind) == "missing_in_gateway", col(Break.status) == "open")
    for subject in (await session.exec(query)).all():
        if subject not in waiting:
            await settle_break(session, ("missing_in_gateway",), subject=subject, resolution="settled by a payout")


async def _awaited(session: AsyncSession, limit: date) -> list[tuple[str, str, int, date]]:
    """What sources announced on or before a date and no line has answered: (flow, item, đồng, date)."""
    answered = select(LineMatch.item)
    payouts = select(Payout).where(
        col(Payout.arrival_date) <= limit,
        col(Payout.status).not_in(["failed", "canceled"]),
        col(Payout.id).not_in(answered),
    )
    found = [("card", p.id, p.announced_dong, p.arrival_date) for p in (await session.exec(payouts)).all()]
    told = select(BankCredit).where(
        col(BankCredit.booked_on) <= limit,
        col(BankCredit.status) != "recognised",
        col(BankCredit.bank_reference).not_in(answered),
    )
    found += [("vietqr", c.bank_reference, c.amount_dong, c.booked_on) for c in (await session.exec(told)).all()]
    remittances = select(Remittance).where(
        col(Remittance.deposited_on) <= limit, col(Remittance.reference).not_in(answered)
    )
    found += [
        ("post_remittance", r.reference, r.amount_dong, r.deposited_on) for r in (await session.exec(remittances)).all()
    ]
    legs = select(RefundLeg).where(
        col(RefundLeg.status) == "succeeded",
        col(RefundLeg.bank_order_reference).is_not(None),
        col(RefundLeg.paid_on) <= limit,
    )
    matched = set((await session.exec(answered)).all())
    for leg in (await session.exec(legs)).all():
        assert leg.bank_order_reference is not None
        assert leg.paid_on is not None
        item = queries.order_item(leg.bank_order_reference)
        if item not in matched:
            found.append(("transfer_out", item, -leg.amount_dong, leg.paid_on))
    return found


async def _remember_run(session: AsyncSession, on: date) -> None:
    moment = now()
    statement = insert(DayRun).values(business_date=on, settlement_at=moment, ran_at=moment)
    await (await session.connection()).execute(
        statement.on_conflict_do_update(
            index_elements=["business_date"], set_={"settlement_at": moment, "ran_at": moment}
        )
    )


async def _announce_balanced(session: AsyncSession, found: Reconciliation) -> None:
    event = BooksEvent(
        event_id=new_id("evt"),
        account=found.account,
        business_date=found.business_date,
        status=found.status,
        amount_dong=found.closing_dong,
        occurred_at=now(),
    )
    await outbox.announce(
        session,
        "reconciliation.balanced",
        subject=found.account,
        data=event.model_dump(mode="json"),
        event_id=event.event_id,
    )
