"""What must hold of the payment database at any moment, checked after every test."""

import asyncpg

from services.payment import rules


async def prove_the_books(database: asyncpg.Pool) -> None:
    """Raise AssertionError unless the books balance and every projection equals what it is made from."""
    assert await database.fetchval("select coalesce(sum(amount_dong), 0) from entry") == 0
    unbalanced = await database.fetch("select journal_id from entry group by 1 having sum(amount_dong) <> 0")
    assert unbalanced == []
    await _payments_are_their_facts(database)
    await _payments_are_their_ledger(database)
    await _suspense_is_explained(database)
    await _disputes_are_held(database)
    await _numbers_have_no_gaps(database)


async def _payments_are_their_facts(database: asyncpg.Pool) -> None:
    for payment in await database.fetch("select * from payment"):
        facts = await database.fetch(
            "select number, kind, amount_dong from fact where payment_id = $1 order by number", payment["id"]
        )
        assert [fact["number"] for fact in facts] == list(range(1, payment["version"] + 1))
        standing = rules.folded(payment["due_dong"], [(fact["kind"], fact["amount_dong"]) for fact in facts])
        shown = {name: payment[name] for name in rules.Standing.__dataclass_fields__}
        assert {name: getattr(standing, name) for name in shown} == shown
        assert rules.status_of(standing) == payment["status"]
        live = await database.fetchval(
            "select status from attempt where payment_id = $1"
            " and status in ('created', 'pending', 'requires_action', 'authorised', 'unknown')",
            payment["id"],
        )
        assert live == payment["live"]


async def _payments_are_their_ledger(database: asyncpg.Pool) -> None:
    rows = await database.fetch(
        """
        select p.id, p.due_dong, p.paid_dong, p.ended, p.excess_dong, p.lost_dong,
               coalesce((select sum(e.amount_dong) from entry e join journal j on j.id = e.journal_id
                         where e.account = 'citizen_receivable' and j.payment_id = p.id), 0) as receivable,
               coalesce((select -sum(e.amount_dong) from entry e join journal j on j.id = e.journal_id
                         where e.account = 'suspense' and e.subject in
                           (select id from intake where payment_id = p.id)), 0) as suspense,
               (select coalesce(sum(citizen_dong - reversed_dong), 0) from payment_line l
                where l.payment_id = p.id) as standing_lines
        from payment p
        """
    )
    for row in rows:
        unpaid = 0 if row["ended"] else row["due_dong"] - row["paid_dong"]
        assert row["receivable"] == unpaid + row["lost_dong"], dict(row)
        assert row["suspense"] == row["excess_dong"], dict(row)
        assert row["standing_lines"] == (row["paid_dong"] if row["ended"] else row["due_dong"]), dict(row)


async def _suspense_is_explained(database: asyncpg.Pool) -> None:
    """Every đồng in suspense is a payment's excess or an open break's: nothing sits there unasked."""
    held = await database.fetchval("select -coalesce(sum(amount_dong), 0) from entry where account = 'suspense'")
    excess = await database.fetchval("select coalesce(sum(excess_dong), 0) from payment")
    asked = await database.fetchval(
        "select coalesce(sum(amount_dong), 0) from break where account = 'suspense' and status = 'open'"
    )
    assert held == excess + asked


async def _disputes_are_held(database: asyncpg.Pool) -> None:
    held = await database.fetchval("select coalesce(sum(amount_dong), 0) from entry where account = 'dispute_hold'")
    open_ = "select coalesce(sum(amount_dong), 0) from dispute where holds_money and closed_at is null"
    assert held == await database.fetchval(open_)


async def _numbers_have_no_gaps(database: asyncpg.Pool) -> None:
    for table, counter, key in (("receipt", "receipt_series", "series"), ("voucher", "voucher_year", "year")):
        counted = await database.fetch(f"select {key} as name, last_serial from {counter}")
        for row in counted:
            query = f"select serial from {table} where {key} = $1 order by serial"
            serials = [found["serial"] for found in await database.fetch(query, row["name"])]
            assert serials == list(range(1, row["last_serial"] + 1))
