"""The books cannot lie: pure journals always balance, and the database refuses the rest."""

from datetime import UTC, date, datetime

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.payment import ledger
from services.payment.ledger import Entry, Journal, LineShare, Occasion, SettledItem, Unbalanced
from services.payment.operations.posting import post
from tests.payment.conftest import World

AT = datetime(2026, 11, 21, 5, tzinfo=UTC)
OCCASION = Occasion(key="k", occurred_at=AT, value_date=date(2026, 11, 21), payment_id="pay_1", refund_id="rfd_1")
amounts = st.integers(0, 10**12)
positive = st.integers(1, 10**12)
accounts = st.sampled_from(["fee_revenue:G01", "fee_revenue:G02", ledger.POSTAGE_PAYABLE])


def total(journal: Journal | None) -> dict[str, int]:
    """Sums by account; asserts that the journal balances and has no zero entries."""
    if journal is None:
        return {}
    assert sum(entry.amount_dong for entry in journal.entries) == 0
    assert all(entry.amount_dong for entry in journal.entries)
    sums: dict[str, int] = {}
    for entry in journal.entries:
        sums[entry.account] = sums.get(entry.account, 0) + entry.amount_dong
    return {account: amount for account, amount in sums.items() if amount}


@given(st.lists(st.builds(LineShare, accounts, amounts, amounts), max_size=6))
def test_opening_and_reversing_everything_leaves_nothing(lines: list[LineShare]) -> None:
    opened, reversed_ = total(ledger.bill_opened(OCCASION, lines)), total(ledger.unpaid_reversed(OCCASION, lines))

    assert opened == {account: -amount for account, amount in reversed_.items()}
    assert opened.get(ledger.CITIZEN_RECEIVABLE, 0) == sum(line.citizen_dong for line in lines)
    assert opened.get(ledger.BUDGET_RECEIVABLE, 0) == sum(line.budget_dong for line in lines)


@given(amounts, amounts)
def test_money_is_where_it_came_in_for_the_bill_and_for_suspense(applied: int, excess: int) -> None:
    sums = total(
        ledger.money_received(
            OCCASION,
            account=ledger.BANK_CLEARING,
            subject="FT1",
            applied_dong=applied,
            excess_dong=excess,
            intake_id="int_1",
        )
    )

    assert sums.get(ledger.BANK_CLEARING, 0) == applied + excess
    assert sums.get(ledger.CITIZEN_RECEIVABLE, 0) == -applied
    assert sums.get(ledger.SUSPENSE, 0) == -excess


@given(st.lists(st.tuples(accounts, positive, st.just("")), min_size=1, max_size=5))
def test_a_failed_refund_undoes_its_approval(parts: list[tuple[str, int, str]]) -> None:
    approved, failed = total(ledger.refund_approved(OCCASION, parts)), total(ledger.refund_failed(OCCASION, parts))

    assert approved == {account: -amount for account, amount in failed.items()}


@given(
    st.lists(
        st.builds(
            SettledItem,
            transaction_id=st.uuids().map(str),
            source=st.uuids().map(str),
            gross_dong=st.integers(-(10**9), 10**9),
            fee_dong=st.integers(0, 10**6),
            known=st.booleans(),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_a_settlement_moves_net_fee_and_gross(items: list[SettledItem]) -> None:
    sums = total(ledger.payout_settled(OCCASION, payout_id="po_1", items=items))

    net = sum(item.gross_dong - item.fee_dong for item in items)
    assert sums.get(ledger.PAYOUT_IN_TRANSIT, 0) == net
    assert sums.get(ledger.GATEWAY_FEE, 0) == sum(item.fee_dong for item in items)
    assert sums.get(ledger.GATEWAY_CLEARING, 0) == -sum(item.gross_dong for item in items if item.known)
    assert sums.get(ledger.SUSPENSE, 0) == -sum(item.gross_dong for item in items if not item.known)


@pytest.mark.parametrize(
    "entries",
    [
        (),
        (Entry("bank", 1),),
        (Entry("bank", 2), Entry("suspense", -1)),
        (Entry("bank", 0), Entry("suspense", 0)),
        (Entry("bank", 1), Entry("no_such_account", -1)),
        (Entry("bank", 1), Entry("fee_revenue:", -1)),
        (Entry("bank", True), Entry("suspense", -1)),
    ],
)
def test_a_journal_that_lies_cannot_be_made(entries: tuple[Entry, ...]) -> None:
    with pytest.raises(Unbalanced):
        Journal(key="k", kind="test", entries=entries, occurred_at=AT, value_date=AT.date())


JOURNAL = "insert into journal values ('jrn_x', 'x', 'test', null, null, now(), now()::date, now(), $1::date, $2)"


async def test_the_database_refuses_a_journal_that_does_not_balance(world: World) -> None:
    await world.bill(10_000)
    for amounts_ in ([5, -4], [5], []):
        with pytest.raises(asyncpg.CheckViolationError):
            await _forged(world, amounts_)
    assert await world.database.fetchval("select count(*) from journal") == 1


async def _forged(world: World, entries: list[int]) -> None:
    async with world.database.acquire() as connection, connection.transaction():
        await connection.execute(JOURNAL, date(2026, 11, 21), 2)
        for position, amount in enumerate(entries):
            await connection.execute(
                "insert into entry values ('jrn_x', $1, 'citizen_receivable', $2, '')", position, amount
            )


async def test_entries_cannot_be_added_to_an_old_journal_even_balanced_ones(world: World) -> None:
    await world.bill(10_000)
    with pytest.raises(asyncpg.CheckViolationError):
        await world.database.execute(
            "insert into entry select id, 90, 'citizen_receivable', 5, '' from journal union all"
            " select id, 91, 'citizen_receivable', -5, '' from journal"
        )


@pytest.mark.parametrize("table", ["journal", "entry", "fact", "account"])
async def test_history_cannot_be_changed_removed_or_emptied(world: World, table: str) -> None:
    await world.bill(10_000)
    column = {"journal": "kind", "entry": "subject", "fact": "detail", "account": "kind"}[table]

    for statement in (
        f"update {table} set {column} = {column}",
        f"delete from {table}",
        f"truncate {table} cascade",
    ):
        with pytest.raises(asyncpg.RestrictViolationError):
            await world.database.execute(statement)
    assert await world.balances() == {"citizen_receivable": 10_000, "fee_revenue:G01.02": -10_000}


async def test_the_same_event_is_posted_once(world: World) -> None:
    payment = await world.bill(10_000)
    async with world.app.state.sessions() as session:
        occasion = Occasion(key=payment["id"], occurred_at=AT, value_date=AT.date(), payment_id=payment["id"])
        lines = [LineShare("fee_revenue:G01.02", 10_000)]
        first = await post(session, ledger.bill_opened(occasion, lines))
        await session.commit()

    assert await world.database.fetchval("select id from journal") == first
    assert await world.balances() == {"citizen_receivable": 10_000, "fee_revenue:G01.02": -10_000}


async def test_three_times_are_kept_apart(world: World) -> None:
    payment = await world.bill(10_000)
    cash = {
        "event_id": "c1",
        "amount_dong": 10_000,
        "collected_at": "2026-01-31T18:30:00+00:00",
        "collector": "buu-ta-1",
        "place": "courier",
    }
    await world.ok("POST", f"/v1/payments/{payment['id']}/cash", cash)

    row = await world.database.fetchrow("select * from journal where kind = 'money_received'")
    assert row["occurred_at"] == datetime(2026, 1, 31, 18, 30, tzinfo=UTC)
    assert row["value_date"] == date(2026, 2, 1)  # half past one in the morning in Việt Nam
    assert row["business_date"] > row["value_date"]
    assert row["posted_at"].date() >= row["value_date"]
