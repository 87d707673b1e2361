"""Statement files of several forms and days: each line counts once, a file is used whole or held whole."""

from datetime import date, timedelta
from typing import Any

import pytest

from tests.payment.conftest import ACCOUNT, World
from tests.payment.test_reconciliation import TODAY, a_whole_day, open_breaks, reconcile, send, statement

BEGIN = date(2026, 11, 2)


def table(first: date, days: int, *, opening: int = 0, lines: dict[date, list[int]] | None = None) -> bytes:
    """A bank's CSV of several days, a line of each amount, with references of date and number."""
    moves = [(on, n, amount) for on, amounts in (lines or {}).items() for n, amount in enumerate(amounts)]
    last = first + timedelta(days=days - 1)
    rows = [
        f"Số tài khoản;{ACCOUNT}",
        f"Từ ngày;{first:%d/%m/%Y}",
        f"Đến ngày;{last:%d/%m/%Y}",
        f"Số dư đầu kỳ;{opening}",
        f"Số dư cuối kỳ;{opening + sum(amount for _, _, amount in moves)}",
        "Ngày giao dịch;Số tham chiếu;Ghi nợ;Ghi có;Nội dung",
        *(
            f"{on:%d/%m/%Y};{on:%d%m}-{n};{-amount if amount < 0 else ''};{amount if amount > 0 else ''};x"
            for on, n, amount in moves
        ),
    ]
    return "\n".join(rows).encode()


async def kept(world: World) -> list[tuple[date, int, int, int, str]]:
    """What is stored of accepted statements, day by day."""
    rows = await world.database.fetch(
        "select business_date, opening_dong, closing_dong, lines, status from statement"
        " where status = 'accepted' order by business_date, imported_at"
    )
    return [tuple(row) for row in rows]


async def stored_lines(world: World) -> tuple[int, int]:
    row = await world.database.fetchrow("select count(*), coalesce(sum(amount_dong), 0) from statement_line")
    assert row is not None
    return int(row[0]), int(row[1])


@pytest.mark.parametrize("form", ["mt940", "csv", "camt053.xml"])
async def test_a_day_ties_out_from_any_form_and_the_others_bring_nothing_new(world: World, form: str) -> None:
    await a_whole_day(world)
    first = await send(world, await statement(world, form))
    found = await reconcile(world)

    again = [(await send(world, await statement(world, other))).json() for other in ("camt053.xml", "csv", "mt940")]

    assert first.status_code == 201, first.text
    assert (found["status"], found["unexplained_dong"], found["matched_lines"]) == ("balanced", 0, 5)
    assert [answer["duplicate"] for answer in again] == [True] * 3
    assert [answer["quarantined"] for answer in again] == [False] * 3
    assert (await stored_lines(world))[0] == 5
    assert await reconcile(world) == found


async def test_a_file_of_three_days_is_three_statements_and_answers_with_the_last(world: World) -> None:
    lines = {BEGIN: [1_000, 2_000], BEGIN + timedelta(days=2): [-500]}

    answer = (await send(world, table(BEGIN, 3, opening=10_000, lines=lines))).json()

    assert (answer["business_date"], answer["lines"], answer["closing_dong"]) == ("2026-11-04", 1, 12_500)
    assert await kept(world) == [
        (BEGIN, 10_000, 13_000, 2, "accepted"),
        (BEGIN + timedelta(days=1), 13_000, 13_000, 0, "accepted"),
        (BEGIN + timedelta(days=2), 13_000, 12_500, 1, "accepted"),
    ]


async def test_a_file_that_overlaps_the_last_by_three_days_brings_only_what_is_new(world: World) -> None:
    days = [BEGIN + timedelta(days=n) for n in range(5)]
    first = {days[0]: [100, 100], days[1]: [200], days[2]: [300]}
    await send(world, table(BEGIN, 3, opening=0, lines=first))

    later = await send(world, table(BEGIN, 5, opening=0, lines={**first, days[3]: [400], days[4]: [-50]}))

    assert (later.json()["duplicate"], later.json()["quarantined"]) == (False, False)
    assert await stored_lines(world) == (6, 1_050)
    assert (await kept(world))[-1] == (days[4], 1_100, 1_050, 1, "accepted")
    assert await open_breaks(world) == []


async def test_days_that_have_not_come_are_not_taken_from_a_file(world: World) -> None:
    tomorrow = TODAY + timedelta(days=1)

    answer = (await send(world, table(TODAY, 5, opening=0, lines={TODAY: [700]}))).json()

    assert (answer["business_date"], answer["closing_dong"]) == (TODAY.isoformat(), 700)
    assert await world.database.fetchval("select count(*) from statement where business_date >= $1", tomorrow) == 0


async def test_one_bad_day_holds_the_whole_file(world: World) -> None:
    await send(world, table(BEGIN, 1, opening=0, lines={BEGIN: [1_000]}))

    gap = (await send(world, table(BEGIN + timedelta(days=1), 2, opening=5, lines={}))).json()

    assert gap["quarantined"] is True
    assert await stored_lines(world) == (1, 1_000)
    assert [each["kind"] for each in await open_breaks(world)] == ["statement_gap"]
    assert len(await kept(world)) == 1


async def test_two_files_of_a_day_that_tell_its_lines_differently_do_not_count_them_twice(world: World) -> None:
    good = table(BEGIN, 1, opening=0, lines={BEGIN: [1_000]})
    await send(world, good)

    other = (await send(world, good.replace(b"0211-0;;1000", b"OTHER;;1000"))).json()

    assert (other["quarantined"], other["duplicate"]) == (True, False)
    assert await stored_lines(world) == (1, 1_000)
    (found,) = await open_breaks(world)
    assert (found["kind"], found["amount_dong"]) == ("statement_conflict", 1_000)


def _notice(reference: str, amount: int, content: str) -> bytes:
    return (
        f":20:R\n:25:{ACCOUNT}\n:28C:9/1\n:34F:VND0,\n:13D:{TODAY:%y%m%d}1200+0700\n"
        f":61:{TODAY:%y%m%d}{TODAY:%m%d}C{amount},NTRFNONREF//{reference}\n:86:{content}\n-"
    ).encode()


async def test_a_notice_tells_of_money_and_the_statement_books_it_once(world: World) -> None:
    payment = await world.bill(150_000)
    attempt = await world.attempt(payment, "vietqr")
    entry = await world.transfer(attempt["qr_payload"], told=False)
    notice = _notice(entry["bank_reference"], 150_000, entry["content"])

    told = (await send(world, notice)).json()
    paid = await world.read(payment)
    again = (await send(world, notice + b"\n")).json()
    await send(world, await statement(world))
    found = await reconcile(world)

    assert (told["lines"], told["duplicate"], again["duplicate"]) == (1, False, True)
    assert paid["status"] == "paid"
    assert (found["status"], found["unexplained_dong"]) == ("balanced", 0)
    assert (await world.read(payment))["excess_dong"] == 0
    assert await world.balances() == {"bank": 150_000, "fee_revenue:G01.02": -150_000}


async def refused(world: World, content: bytes) -> dict[str, Any]:
    answer = await send(world, content)
    assert answer.status_code == 422, answer.text
    assert await world.database.fetchval("select count(*) from statement") == 0
    return answer.json()  # type: ignore[no-any-return]


async def test_another_account_is_named(world: World) -> None:
    problem = await refused(world, table(BEGIN, 1).replace(ACCOUNT.encode(), b"999988887777"))

    assert "999988887777" in problem["detail"]
    assert ACCOUNT in problem["detail"]


async def test_a_file_of_other_accounts_too_gives_our_own(world: World) -> None:
    text = ":20:X\n:25:{account}\n:28C:1\n:60F:C261102VND{begin},\n:62F:C261103VND{begin},\n-\n"
    both = text.format(account="999988887777", begin=5) + text.format(account=ACCOUNT, begin=700)

    answer = (await send(world, both.encode())).json()

    assert (answer["account"], answer["closing_dong"]) == (ACCOUNT, 700)


async def test_a_file_too_large_is_refused_before_it_is_read(world: World) -> None:
    headers = {**world.issuer.headers("payments:reconcile", key="large"), "content-length": str(200 * 2**20)}

    answer = await world.client.post("/v1/statements", content=b"x", headers=headers)

    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert await world.database.fetchval("select count(*) from statement") == 0
