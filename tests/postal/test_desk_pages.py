"""The dispatcher's pages: cases, stopped clocks, rounds in bulk, a shift counted by two, devices that owe."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kit.db import transaction
from services.postal import balance, cases
from tests.postal.conftest import PERSON, Post, event, journey
from tests.postal.test_money_and_claims import _delivered_with_cash
from tests.postal.test_pages import COURIER, DISPATCHER, form_of, sign_in


async def late(post: Post, shipment: dict[str, Any], **later: float) -> None:
    async with transaction(post.app.state.sessions) as session:
        at = datetime.now(UTC) + timedelta(**later)
        await cases.check_deadlines(session, shipment["id"], plan=post.app.state.plan, at=at)


async def add_couriers(post: Post, *codes: str, communes: tuple[str, ...] = ()) -> None:
    for code in codes:
        body = {"name": f"Bưu tá {code}", "communes": communes}
        answer = await post.client.put(f"/v1/couriers/{code}", json=body, headers=post.dispatcher)
        assert answer.status_code == 200, answer.text


async def give(post: Post, courier: str | None, *shipments: dict[str, Any], seen: int = 0) -> list[dict[str, Any]]:
    body = {"courier": courier, "stops": [{"shipment_id": s["id"], "seen_version": seen} for s in shipments]}
    answer = await post.client.post("/v1/assignments", json=body, headers=post.dispatcher)
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


@pytest.mark.parametrize("path", ["/cases", "/assignments", "/cash", "/devices", "/cash/buu-ta-1"])
async def test_the_desk_is_for_dispatchers(post: Post, path: str) -> None:
    assert (await post.client.get(path, headers={"accept": "text/html"})).status_code == 303
    async with sign_in(post, COURIER) as browser:
        assert (await browser.get(path)).status_code == 403
    async with sign_in(post, DISPATCHER) as browser:
        assert (await browser.get(path)).status_code == 200


# --- cases ---------------------------------------------------------------------------------------


async def test_a_case_is_found_taken_and_closed_on_the_pages(post: Post) -> None:
    shipment = await post.book("outbound")
    await late(post, shipment, days=20)
    async with sign_in(post, DISPATCHER) as browser:
        board = (await browser.get("/board")).text
        assert 'href="/cases"' in board
        listed = (await browser.get("/cases?group=late")).text
        assert shipment["s10"] in listed
        assert shipment["s10"] not in (await browser.get("/cases?group=silent")).text
        [path] = set(re.findall(r'href="(/cases/cas_[0-9a-f]+)"', listed))
        page = (await browser.get(path)).text
        assert "Gọi người gửi" in page

        await browser.post(f"{path}/take", data=form_of(page, f"{path}/take"))
        mine = (await browser.get("/cases?mine=1")).text
        closing = form_of((await browser.get(path)).text, f"{path}/close")
        nothing = await browser.post(f"{path}/close", data={**closing, "resolution": " "})
        done = await browser.post(f"{path}/close", data={**closing, "resolution": "Đã hẹn lại."})
        after = (await browser.get(path)).text

    assert shipment["s10"] in mine
    assert nothing.headers["location"] == done.headers["location"] == path
    assert "Đã hẹn lại." in after
    rows = await post.rows("select status, closed_by, resolution from problem_case")
    assert rows == [{"status": "closed", "closed_by": "dieu-phoi", "resolution": "Đã hẹn lại."}]


async def test_clocks_are_stopped_and_released_on_the_shipments_page(post: Post) -> None:
    shipment = await post.book("outbound")
    path = f"/shipments/{shipment['id']}"
    async with sign_in(post, DISPATCHER) as browser:
        form = form_of((await browser.get(f"{path}/deadlines")).text, f"{path}/stop")
        await browser.post(f"{path}/stop", data={**form, "reason": "sleepy", "note": "Ngập lụt"})
        assert await post.rows("select 1 from clock_stop") == []
        await browser.post(f"{path}/stop", data={**form, "reason": "weather", "note": "Ngập lụt"})
        page = (await browser.get(f"{path}/deadlines")).text
        assert "Đang dừng" in page
        [release] = set(re.findall(r'action="(/stops/[^"]+/release)"', page))
        await browser.post(release, data=form_of(page, release))

    [row] = await post.rows("select reason, released_by from clock_stop")
    assert row == {"reason": "weather", "released_by": "dieu-phoi"}


async def test_lost_papers_have_a_plan_whose_steps_are_ticked(post: Post) -> None:
    shipment = await post.book("return")
    await post.send(event(shipment, "collected", 1), event(shipment, "declared_lost", 2))
    path = f"/shipments/{shipment['id']}"
    async with sign_in(post, DISPATCHER) as browser:
        page = (await browser.get(f"{path}/deadlines")).text
        assert "Luật Hộ tịch" in page
        form = form_of(page, f"{path}/recovery")
        await browser.post(f"{path}/recovery", data={**form, "step-2-1": "1", "step-2-19": "1"})
        after = (await browser.get(f"{path}/deadlines")).text

    assert await post.rows("select position, step, done_by from recovery_task") == [
        {"position": 2, "step": 1, "done_by": "dieu-phoi"}
    ]
    assert 'name="step-2-1"' not in after


async def test_a_claim_past_the_laws_date_is_marked(post: Post) -> None:
    shipment = await post.book("return")
    await post.send(event(shipment, "collected", 1), event(shipment, "declared_lost", 2))
    body = {"claim_key": shipment["id"], "shipment_id": shipment["id"], "reason": "lost"}
    await post.client.post("/v1/claims", json=body, headers=post.office)
    async with sign_in(post, DISPATCHER) as browser:
        before = (await browser.get("/claims")).text
        await post.rows("update claim set answer_by = answer_by - 90")
        after = (await browser.get("/claims")).text

    assert "quá hạn" not in before
    assert "quá hạn" in after


# --- rounds --------------------------------------------------------------------------------------


async def test_stops_are_given_to_a_courier_and_back(post: Post) -> None:
    await add_couriers(post, "buu-ta-1", "buu-ta-2")
    one, two = await post.book("outbound"), await post.book("outbound")

    first = await give(post, "buu-ta-1", one, two)
    again = await give(post, "buu-ta-1", one)
    moved = await give(post, "buu-ta-2", one, seen=1)
    back = await give(post, None, two, seen=1)

    assert [(r["result"], r["courier"], r["version"]) for r in first] == [("assigned", "buu-ta-1", 1)] * 2
    assert [r["result"] for r in again] == ["unchanged"]
    assert [(r["result"], r["courier"], r["version"]) for r in moved] == [("assigned", "buu-ta-2", 2)]
    assert [(r["result"], r["courier"]) for r in back] == [("assigned", None)]
    changes = await post.rows("select from_courier, to_courier from assignment_change order by changed_at, version")
    assert len(changes) == 4
    assert {"from_courier": "buu-ta-1", "to_courier": "buu-ta-2"} in changes


async def test_two_dispatchers_at_once_cannot_both_give_the_same_stop(post: Post) -> None:
    await add_couriers(post, "buu-ta-1", "buu-ta-2")
    shipment = await post.book("outbound")

    answers = await asyncio.gather(*(give(post, courier, shipment) for courier in ("buu-ta-1", "buu-ta-2")))

    results = [answer[0]["result"] for answer in answers]
    assert sorted(results) == ["assigned", "taken"]
    [winner] = [answer[0]["courier"] for answer in answers if answer[0]["result"] == "assigned"]
    assert await post.rows("select courier, version from stop_assignment") == [{"courier": winner, "version": 1}]
    assert len(await post.rows("select 1 from assignment_change")) == 1


async def test_only_stops_are_given_and_only_to_couriers_on_duty(post: Post) -> None:
    await add_couriers(post, "buu-ta-1")
    done = await post.book("return")
    await post.send(*journey(done))
    off = {"name": "Bưu tá nghỉ", "active": False}
    await post.client.put("/v1/couriers/buu-ta-9", json=off, headers=post.dispatcher)
    body = {"courier": "buu-ta-9", "stops": [{"shipment_id": done["id"]}]}

    gone = await give(post, "buu-ta-1", done, {"id": "shp_x"})
    resting = await post.client.post("/v1/assignments", json=body, headers=post.dispatcher)
    unknown = await post.client.post("/v1/assignments", json={**body, "courier": "ai-do"}, headers=post.dispatcher)

    assert [r["result"] for r in gone] == ["not_a_stop", "not_a_stop"]
    assert (resting.status_code, resting.json()["type"]) == (409, "/problems/courier-not-active")
    assert unknown.status_code == 404
    assert await post.rows("select 1 from stop_assignment") == []


async def test_stops_are_given_in_bulk_shared_out_and_printed(post: Post) -> None:
    await add_couriers(post, "buu-ta-1", "buu-ta-2")
    shipments = [await post.book("outbound") for _ in range(5)]
    async with sign_in(post, DISPATCHER) as browser:
        page = (await browser.get("/assignments?courier=-&street=ng%C3%B5%20G%E1%BA%A1ch")).text
        form = form_of(page[page.index('class="form assign"') - 10 :], "/assignments")
        seen = {f"seen-{s['id']}": "0" for s in shipments}
        ticked = {f"stop-{s['id']}": "1" for s in shipments[:2]}
        nobody = await browser.post("/assignments", data={**form, **seen, "courier": "buu-ta-1"})
        assert await post.rows("select 1 from stop_assignment") == []
        await browser.post("/assignments", data={**form, **seen, **ticked, "courier": "buu-ta-1"})
        share = form_of((await browser.get("/assignments")).text, "/assignments/share")
        await browser.post("/assignments/share", data=share)
        printed = (await browser.get("/assignments/buu-ta-1/list")).text
        late_desk = await browser.post("/assignments", data={**form, **seen, "all": "1", "courier": "buu-ta-2"})
        told = (await browser.get(late_desk.headers["location"])).text

    assert nobody.headers["location"].startswith("/assignments?courier=-")
    counts = await post.rows("select courier, count(*) from stop_assignment group by courier order by courier")
    assert [tuple(row.values()) for row in counts] == [("buu-ta-1", 2), ("buu-ta-2", 3)]
    assert all(s["s10"] in printed for s in shipments[:2])
    assert PERSON["name"] in printed
    assert "đã được người khác giao" in told


async def test_the_roster_is_kept_on_the_page_and_bad_entries_are_refused(post: Post) -> None:
    async with sign_in(post, DISPATCHER) as browser:
        form = form_of((await browser.get("/assignments")).text, "/couriers")
        entry = {**form, "code": "buu-ta-7", "name": "Trần Văn Bảy", "communes": "00070, 00004", "active": "1"}
        for wrong in ({"communes": "Hà Nội"}, {"code": "bưu tá"}, {"name": ""}):
            await browser.post("/couriers", data={**entry, **wrong})
        assert await post.rows("select 1 from courier") == []
        await browser.post("/couriers", data=entry)
        page = (await browser.get("/assignments")).text

    assert "Trần Văn Bảy" in page
    assert "00004, 00070" in page


def test_stops_are_shared_by_street_among_those_who_know_the_commune() -> None:
    places = [balance.Place(f"s{n}", "00070", "phố a" if n < 4 else "phố b") for n in range(6)]
    places += [balance.Place("far", "99999", "đường c")]
    carriers = [
        balance.Carrier("an", frozenset({"00070"})),
        balance.Carrier("binh", frozenset({"00070"}), load=1),
        balance.Carrier("chi", frozenset({"11111"})),
    ]

    given = balance.propose(places, carriers)

    assert given == balance.propose(reversed(places), carriers)
    assert len(given) == 7
    assert {given[f"s{n}"] for n in range(6)} == {"an", "binh"}
    assert given["far"] == "chi"
    loads = balance.loads_of(given, carriers)
    assert abs(loads["an"] - loads["binh"]) <= 1
    assert balance.propose(places, []) == {}


# --- cash and devices ----------------------------------------------------------------------------


async def test_a_shift_is_counted_by_notes_on_the_page(post: Post) -> None:
    await _delivered_with_cash(post, "buu-ta-1")
    path = "/cash/buu-ta-1"
    async with sign_in(post, DISPATCHER) as browser:
        form = form_of((await browser.get(path)).text, path)
        short = {**form, "n-100000": "1", "n-50000": "1", "n-10000": "1", "n-5000": "1"}
        nameless = await browser.post(path, data=short)
        assert await post.rows("select 1 from deposit") == []
        counted = await browser.post(path, data={**short, "n-2000": "1"})
        again = await browser.post(path, data={**short, "n-2000": "1"})
        page = (await browser.get("/cash")).text

    assert nameless.headers["location"] == path
    assert counted.headers["location"] == again.headers["location"] == "/cash"
    assert await post.rows("select counted_by, difference_dong from shift_count") == [
        {"counted_by": "dieu-phoi", "difference_dong": 0}
    ]
    assert "Không ai đang giữ tiền" in page


async def test_money_is_followed_by_its_owner_from_due_to_remitted(post: Post) -> None:
    lines = [
        {"item": "phi", "kind": "fee", "owner": "G01", "amount_dong": 100_000},
        {"item": "cuoc", "kind": "postage", "owner": "post", "amount_dong": 67_000},
    ]
    money = {"amount_dong": 167_000, "payment_id": "pay_1", "attempt_reference": "LT1", "lines": lines}
    waiting = await post.book("return", cash=money)
    short = await post.book("return", cash=money)
    road = journey(short)
    road[-1]["cash_collected_dong"] = 120_000
    await post.send(*road, headers=post.courier("buu-ta-1"))

    async with sign_in(post, DISPATCHER) as browser:
        page = (await browser.get("/cash")).text
    again = await post.client.post(
        "/v1/shipments",
        json={**_order(waiting), "contact_id": (await post.put_contact(waiting["dossier_code"])).json()["id"]}
        | {"cash": money},
        headers=post.office,
    )
    wrong = await post.client.post(
        "/v1/shipments",
        json={**_order(waiting), "shipment_key": "x", "contact_id": "c", "cash": {**money, "amount_dong": 1}},
        headers=post.office,
    )

    cells = re.sub(r"<[^>]+>", " ", page)
    assert re.search(r"Phí · G01\s+200\.000.*?100\.000", cells, re.DOTALL)
    assert re.search(r"Cước bưu chính · post\s+134\.000.*?20\.000", cells, re.DOTALL)
    assert again.status_code == 200
    assert wrong.status_code == 422


def _order(shipment: dict[str, Any]) -> dict[str, Any]:
    code = shipment["dossier_code"]
    return {
        "shipment_key": f"{code}/return",
        "dossier_code": code,
        "direction": "return",
        "agency": "H26.01",
        "agency_commune": "00004",
        "weight_grams": 60,
        "postage_dong": 26_000,
        "checklist": [piece["name"] for piece in shipment["pieces"]],
    }
