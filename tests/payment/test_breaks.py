"""Work on breaks: people take them, date them, talk about them and refuse proposals; nothing of it is overwritten."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from tests.payment.conftest import World
from tests.payment.test_pages import CHIEF, OFFICER, Visitor
from tests.payment.test_reconciliation import TODAY, open_breaks


async def held(world: World, *amounts: int) -> list[dict[str, Any]]:
    """Breaks of transfers that name no bill, in order of amount."""
    for amount in amounts:
        await world.plain_transfer(f"KHONG RO NOI DUNG {amount}", amount)
    return sorted(await open_breaks(world), key=lambda each: each["amount_dong"])


async def work(world: World, *changes: dict[str, Any], subject: str = "ke-toan") -> list[tuple[str, int | None]]:
    answer = await world.ok("POST", "/v1/breaks/work", {"changes": list(changes)}, subject=subject)
    return [(each["outcome"], each["version"]) for each in answer["results"]]


async def history(world: World, found: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str, str]]]:
    answer = await world.ok("GET", f"/v1/breaks/{found['id']}")
    return answer["found"], [(note["kind"], note["text"], note["actor"]) for note in answer["notes"]]


async def test_a_break_is_taken_dated_and_talked_about(world: World) -> None:
    (found,) = await held(world, 10_000)
    due = (TODAY + timedelta(days=2)).isoformat()

    done = await work(
        world, {"id": found["id"], "version": 1, "assignee": "ke-toan", "due_on": due, "comment": "đã gọi ngân hàng"}
    )
    now, notes = await history(world, found)

    assert done == [("done", 4)]
    assert (now["assignee"], now["due_on"], now["version"]) == ("ke-toan", due, 4)
    assert notes == [
        ("assigned", "ke-toan", "ke-toan"),
        ("due", due, "ke-toan"),
        ("comment", "đã gọi ngân hàng", "ke-toan"),
    ]


async def test_many_are_changed_at_once_and_a_stale_one_stops_no_other(world: World) -> None:
    first, second, third = await held(world, 10_000, 20_000, 30_000)
    await work(world, {"id": second["id"], "version": 1, "comment": "x"})

    done = await work(
        world,
        *({"id": each["id"], "version": 1, "assignee": "ke-toan-2"} for each in (first, second, third)),
        {"id": "brk_" + "0" * 32, "version": 1, "comment": "?"},
        {"id": first["id"], "version": 2, "assignee": "ke-toan-2"},
    )

    assert done == [("done", 2), ("stale", 2), ("done", 2), ("unknown", None), ("nothing_to_do", 2)]
    assert (await history(world, second))[0]["assignee"] is None


async def test_of_two_at_once_one_is_told_that_the_other_was_first(world: World) -> None:
    (found,) = await held(world, 10_000)

    both = await asyncio.gather(
        *(work(world, {"id": found["id"], "version": 1, "assignee": name}, subject=name) for name in ("an", "binh"))
    )

    assert sorted(outcome for ((outcome, _),) in both) == ["done", "stale"]
    assert len((await history(world, found))[1]) == 1


async def test_a_proposal_is_refused_by_another_person_with_a_reason(world: World) -> None:
    (found,) = await held(world, 10_000)
    wish = {"action": "write_off", "note": "không tìm được người chuyển"}
    proposed = await world.ok("POST", f"/v1/breaks/{found['id']}/resolve", wish, subject="ke-toan")
    version = (await history(world, found))[0]["version"]
    no = {"id": found["id"], "version": version, "reject": True, "comment": "hãy hỏi lại ngân hàng"}

    own = await work(world, no, subject="ke-toan")
    silent = await work(world, {**no, "comment": None}, subject="ke-toan-truong")
    refused = await work(world, no, subject="ke-toan-truong")
    confirmed = await world.call(
        "POST",
        f"/v1/breaks/{found['id']}/resolve",
        {**wish, "proposal_hash": proposed["proposal_hash"]},
        subject="ke-toan-truong",
    )

    now, notes = await history(world, found)
    assert [own[0][0], silent[0][0], refused[0][0]] == ["not_allowed", "not_allowed", "done"]
    assert [kind for kind, _, _ in notes][:2] == ["proposed", "rejected"]
    assert now["status"] == "open"
    assert confirmed.json()["status"] == "open"
    assert (await world.balances())["suspense"] == -10_000


async def test_what_is_resolved_takes_no_more_changes_and_its_history_cannot_be_rewritten(world: World) -> None:
    (found,) = await held(world, 10_000)
    wish = {"action": "write_off", "note": "thu nhập khác"}
    proposed = await world.ok("POST", f"/v1/breaks/{found['id']}/resolve", wish, subject="ke-toan")
    confirm = {**wish, "proposal_hash": proposed["proposal_hash"]}
    await world.ok("POST", f"/v1/breaks/{found['id']}/resolve", confirm, subject="ke-toan-truong")

    late = await work(world, {"id": found["id"], "version": 3, "comment": "muộn"})

    assert late == [("resolved", 3)]
    assert [kind for kind, _, _ in (await history(world, found))[1]] == ["proposed", "resolved"]
    for change in ("update break_note set text = 'x'", "delete from break_note"):
        with pytest.raises(asyncpg.PostgresError, match="never changed"):
            await world.database.execute(change)


async def test_the_queue_is_searched_by_anything_on_the_bank_line(world: World) -> None:
    await held(world, 10_000, 20_000)
    visitor = Visitor(world, OFFICER)

    both = await visitor.open("/breaks")
    one = await visitor.open("/breaks?q=DUNG+20000")
    none = await visitor.open("/breaks?q=%25_%5C")
    old = await visitor.open("/breaks?age=over_7&lang=en")

    assert both.count('name="pick"') == 2
    assert one.count('name="pick"') == 1
    assert "20.000" in one
    assert "Không có chênh lệch nào" in none
    assert "No breaks" in old


async def test_two_people_work_a_break_through_the_pages(world: World) -> None:
    first, second = await held(world, 10_000, 20_000)
    officer, chief = Visitor(world, OFFICER), Visitor(world, CHIEF)

    empty = await officer.send("/breaks/work", {"comment": "x"})
    taken = await officer.send("/breaks/work", {"pick": f"{first['id']}:1", "take": "1", "comment": "đang hỏi"})
    stale = await officer.send("/breaks/work", {"pick": f"{first['id']}:1", "comment": "nữa"})
    await officer.send(f"/breaks/{first['id']}/resolution", {"action": "write_off", "note": "thu nhập khác"})
    version = (await history(world, first))[0]["version"]
    page = await chief.open(f"/breaks/{first['id']}")
    refused = await chief.send(
        f"/breaks/{first['id']}/work", {"version": str(version), "reject": "1", "comment": "chưa đủ căn cứ"}
    )

    assert "Chưa chọn chênh lệch nào" in empty
    assert "Đã ghi nhận cho 1 chênh lệch" in taken
    assert "đã được người khác thay đổi" in stale
    assert "Bác bỏ đề nghị đang chờ" in page
    assert "KHONG RO NOI DUNG 10000" in page
    assert "chưa đủ căn cứ" in refused
    assert [kind for kind, _, _ in (await history(world, first))[1]] == ["assigned", "comment", "proposed", "rejected"]
    assert (await history(world, second))[1] == []


async def test_who_may_only_read_changes_nothing(world: World) -> None:
    (found,) = await held(world, 10_000)
    change = {"changes": [{"id": found["id"], "version": 1, "comment": "x"}]}

    answer = await world.call("POST", "/v1/breaks/work", change, "payments:read")

    assert answer.status_code == 403
    assert (await history(world, found))[1] == []
