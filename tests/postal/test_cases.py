"""Breaches become cases, once each; stops need a reason and a release; people take and close what is open."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from kit.db import transaction
from services.postal import cases
from services.postal.desk_contract import DeadlineCheck
from tests.postal.conftest import Post, event, journey


async def check(post: Post, shipment: dict[str, Any], **later: float) -> DeadlineCheck:
    """Check the deadlines so much later."""
    async with transaction(post.app.state.sessions) as session:
        at = datetime.now(UTC) + timedelta(**later)
        return await cases.check_deadlines(session, shipment["id"], plan=post.app.state.plan, at=at)


async def open_cases(post: Post) -> list[dict[str, Any]]:
    answer = await post.client.get("/v1/cases", headers=post.office)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def told(post: Post, kind: str) -> list[dict[str, Any]]:
    rows = await post.rows("select data from outbox where kind = $1 order by id", kind)
    return [json.loads(row["data"]) for row in rows]


async def test_a_pickup_that_nobody_makes_opens_one_case_and_the_pickup_closes_it(post: Post) -> None:
    shipment = await post.book("outbound")

    before = await check(post, shipment, hours=1)
    late = await check(post, shipment, days=20)
    again = await check(post, shipment, days=20)

    assert (before.open_cases, [clock.kind for clock in before.clocks]) == ((), ["pickup"])
    assert before.next_check_at == before.clocks[0].due_at
    assert late.open_cases == again.open_cases == ("pickup",)
    [case] = await open_cases(post)
    assert (case["kind"], case["status"], case["dossier_code"]) == ("pickup", "open", shipment["dossier_code"])
    expired = await post.rows("select actor, source, occurred_at from event where kind = 'pickup_expired'")
    assert expired == [{"actor": "postal-service", "source": "system", "occurred_at": late.clocks[0].due_at}]
    assert (await post.get(shipment))["pickup_status"] == "expired"
    [news] = await told(post, "case.opened")
    assert (news["case_id"], news["status"], news["direction"]) == (case["id"], "pickup", "outbound")

    await post.send(*journey(shipment)[:2])
    after = await check(post, shipment, minutes=1)

    assert after.open_cases == ()
    assert await open_cases(post) == []
    assert [news["case_id"] for news in await told(post, "case.closed")] == [case["id"]]


@pytest.mark.parametrize(
    ("steps", "later", "expected"),
    [
        (2, {"days": 5}, {"movement"}),
        (3, {"days": 20}, {"movement", "first_attempt", "delivery", "presumed_lost"}),
        (6, {"days": 20}, {"movement", "first_attempt", "delivery", "presumed_lost"}),
    ],
)
async def test_an_item_that_does_not_move_on_opens_a_case_for_each_deadline(
    post: Post, steps: int, later: dict[str, float], expected: set[str]
) -> None:
    shipment = await post.book("return")
    await post.send(*journey(shipment)[:steps])

    found = await check(post, shipment, **later)

    assert set(found.open_cases) == expected
    assert not found.ended


async def test_a_failed_attempt_that_nobody_follows_up_opens_a_case(post: Post) -> None:
    shipment = await post.book("return")
    await post.send(*journey(shipment)[:6], event(shipment, "attempt_failed", 8, reason="R01", measure="M1"))

    assert "next_attempt" in (await check(post, shipment, days=8)).open_cases


async def test_a_waiting_item_reminds_its_receiver_and_then_opens_a_case(post: Post) -> None:
    shipment = await post.book("return")
    await post.send(*journey(shipment)[:5], event(shipment, "ready_for_collection", 8))

    for days in (1.5, 1.5, 5.5, 9.5):
        await check(post, shipment, days=days)
    assert await open_cases(post) == []
    await check(post, shipment, days=12)

    assert len(await told(post, "shipment.hold_reminder")) <= 3
    assert [case["kind"] for case in await open_cases(post)] == ["hold"]


async def test_missing_proof_opens_a_case_within_a_working_day(post: Post) -> None:
    shipment = await post.book("return")
    await post.send(*journey(shipment)[:6], event(shipment, "handed_over", 8, evidence={"receiver": "addressee"}))

    assert (await check(post, shipment, minutes=5)).open_cases == ()
    assert (await check(post, shipment, days=6)).open_cases == ("evidence",)


async def test_a_delivered_item_has_no_clock_left(post: Post) -> None:
    shipment = await post.book("return")
    await post.send(*journey(shipment))

    found = await check(post, shipment, days=30)

    assert (found.clocks, found.open_cases, found.next_check_at, found.ended) == ((), (), None, True)


async def test_a_handover_that_nobody_accepts_is_a_custody_gap(post: Post) -> None:
    shipment = await post.book("return")
    party = {"custodian": "post_office", "name": "BC Ba Đình"}
    await post.send(*journey(shipment)[:3], event(shipment, "custody_released", 8, party=party))

    found = await check(post, shipment, days=6)

    assert "custody" in found.open_cases


# --- stops ---------------------------------------------------------------------------------------


async def stop(post: Post, shipment: dict[str, Any], key: str = "s1", **changes: str) -> Any:
    body = {"reason": "weather", "note": "Ngập lụt toàn xã", **changes}
    headers = post.dispatcher | {"idempotency-key": key}
    return await post.client.post(f"/v1/shipments/{shipment['id']}/stops", json=body, headers=headers)


async def test_a_stop_needs_a_reason_and_holds_until_it_runs_out(post: Post) -> None:
    shipment = await post.book("outbound")

    nameless = await stop(post, shipment, "s0", note="")
    made = await stop(post, shipment)
    second = await stop(post, shipment, "s2")
    held = await check(post, shipment, days=10)
    expired = await check(post, shipment, days=20)

    assert (nameless.status_code, made.status_code) == (422, 201)
    assert (second.status_code, second.json()["type"]) == (409, "/problems/clock-stands-still")
    assert (held.open_cases, held.clocks[0].standing) == ((), "weather")
    assert set(expired.open_cases) == {"pickup", "stop_unreleased"}


async def test_a_released_stop_counts_and_its_case_closes(post: Post) -> None:
    shipment = await post.book("outbound")
    made = (await stop(post, shipment)).json()
    await check(post, shipment, days=20)

    url = f"/v1/stops/{made['id']}/release"
    first = await post.client.post(url, headers=post.dispatcher)
    again = await post.client.post(url, headers=post.dispatcher)
    unknown = await post.client.post("/v1/stops/stp_1/release", headers=post.dispatcher)

    assert first.json() == again.json()
    assert first.json()["released_at"] is not None
    assert unknown.status_code == 404
    assert (await check(post, shipment, minutes=1)).open_cases == ()
    news = await post.news(shipment["dossier_code"])
    assert news.count("shipment.clock_released") == 1


async def test_only_one_stop_is_open_even_when_two_desks_ask_at_once(post: Post) -> None:
    shipment = await post.book("outbound")

    answers = await asyncio.gather(*(stop(post, shipment, f"s{n}") for n in range(3)))

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    assert len(await post.rows("select 1 from clock_stop")) == 1


async def test_a_finished_journey_has_no_clock_to_stop(post: Post) -> None:
    shipment = await post.book("return")
    await post.send(*journey(shipment))

    assert (await stop(post, shipment)).status_code == 409
    assert await post.rows("select 1 from clock_stop") == []


async def test_a_held_fact_stops_the_clock_only_with_its_reason_and_release(post: Post) -> None:
    stopped, not_released = await post.book("return"), await post.book("return")
    for shipment in (stopped, not_released):
        await post.send(*journey(shipment)[:5], event(shipment, "held", 8, reason="R13"))

    during = await check(post, stopped, days=1)
    await post.send(event(stopped, "released", 9), event(not_released, "out_for_delivery", 9))

    assert {clock.standing for clock in during.clocks if clock.kind == "first_attempt"} == {"weather"}
    assert all(clock.standing is None for clock in (await check(post, not_released, minutes=1)).clocks)
    assert all(clock.standing is None for clock in (await check(post, stopped, minutes=1)).clocks)


# --- people --------------------------------------------------------------------------------------


async def test_a_case_is_taken_by_one_person_and_closed_with_what_was_done(post: Post) -> None:
    shipment = await post.book("outbound")
    await check(post, shipment, days=20)
    [case] = await open_cases(post)
    url = f"/v1/cases/{case['id']}"
    other = post.headers("postal:dispatch", subject="dieu-phoi-2")
    done = {"resolution": "Đã hẹn lại với người dân, bưu tá khác đến nhận."}

    taken = await post.client.post(f"{url}/take", headers=post.dispatcher)
    refused = await post.client.post(f"{url}/take", headers=other)
    closed = await post.client.post(f"{url}/close", json=done, headers=post.dispatcher)
    again = await post.client.post(f"{url}/close", json=done, headers=post.dispatcher)
    late = await post.client.post(f"{url}/take", headers=other)

    assert (taken.json()["status"], taken.json()["taken_by"]) == ("taken", "dieu-phoi")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/case-taken-by-another")
    assert closed.json() == again.json()
    assert (closed.json()["status"], closed.json()["resolution"]) == ("closed", done["resolution"])
    assert (late.status_code, late.json()["type"]) == (409, "/problems/case-already-closed")
    assert len(await told(post, "case.closed")) == 1


async def test_two_checks_at_once_open_one_case(post: Post) -> None:
    shipment = await post.book("outbound")

    await asyncio.gather(*(check(post, shipment, days=20) for _ in range(4)))

    assert len(await post.rows("select 1 from problem_case")) == 1
    assert len(await told(post, "case.opened")) == 1


async def test_the_database_refuses_a_closed_case_without_a_closer(post: Post) -> None:
    shipment = await post.book("outbound")
    await check(post, shipment, days=20)

    with pytest.raises(asyncpg.CheckViolationError):
        await post.rows("update problem_case set status = 'closed'")


async def test_the_check_is_open_to_the_workflows_and_closed_to_couriers(post: Post) -> None:
    shipment = await post.book("outbound")
    url = f"/v1/shipments/{shipment['id']}/deadlines"

    allowed = await post.client.post(url, headers=post.office)
    refused = await post.client.post(url, headers=post.courier())
    unknown = await post.client.post("/v1/shipments/shp_1/deadlines", headers=post.office)

    assert (allowed.status_code, allowed.json()["ended"]) == (200, False)
    assert (refused.status_code, unknown.status_code) == (403, 404)
