"""The way home for a phone's facts: each judged alone, each answered in words, and no secret taken along."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from services.postal import codes, labels
from tests.postal.conftest import PERSON, Post, event, journey
from tests.postal.test_pages import COURIER, CSRF, DISPATCHER, sign_in

SECRET = "l" * 32
SECOND = ("buu-ta-2", "postal:courier postal:read")


def fact(shipment: dict[str, Any], kind: str, minute: int, **changes: Any) -> dict[str, Any]:
    return event(shipment, kind, minute, device_id="phone-a", **changes)


async def send(browser: httpx.AsyncClient, *facts: dict[str, Any], csrf: str = CSRF, **device: Any) -> httpx.Response:
    said = {"device_id": "phone-a", "last_seq": 99, "unsent_events": 0, "unsent_files": 0, "clock_skew_ms": 0, **device}
    clocks = [{"device_id": said["device_id"], "skew_ms": said["clock_skew_ms"]}]
    body = {"device": said, "events": facts, "clocks": clocks}
    headers = {"x-csrf-token": csrf, "accept": "application/json"}
    return await browser.post("/courier/sync/events", json=body, headers=headers)


async def out_for_delivery(post: Post, courier: str = "buu-ta-1", **changes: Any) -> dict[str, Any]:
    shipment = await post.book("return", **changes)
    await post.send(*journey(shipment)[:5])
    await post.send(event(shipment, "out_for_delivery", 6), headers=post.courier(courier))
    return shipment


async def test_without_a_sign_in_the_phone_is_told_so_and_not_sent_elsewhere(post: Post) -> None:
    for method, path in (
        ("GET", "/courier/sync/round"),
        ("GET", "/courier/sync/session"),
        ("POST", "/courier/sync/events"),
    ):
        answer = await post.client.request(method, path, headers={"accept": "application/json"})

        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")


async def test_a_batch_without_the_pages_token_changes_nothing(post: Post) -> None:
    shipment = await out_for_delivery(post)
    async with sign_in(post, COURIER) as browser:
        answer = await send(browser, fact(shipment, "attempt_failed", 7, reason="R01", measure="M1"), csrf="x" * 43)

    assert answer.status_code == 403
    assert (await post.get(shipment))["status"] == "out_for_delivery"
    assert await post.rows("select * from device") == []


async def test_the_round_carries_seals_and_neither_codes_nor_label_secrets(post: Post) -> None:
    shipment = await out_for_delivery(post)
    async with sign_in(post, COURIER) as browser:
        answer = await browser.get("/courier/sync/round")
    packed = answer.json()
    [stop] = packed["stops"]
    code = codes.receiver_code(SECRET, shipment["s10"])

    assert (packed["courier"], packed["csrf"]) == ("buu-ta-1", CSRF)
    assert (stop["s10"], stop["task"], stop["name"]) == (shipment["s10"], "deliver", PERSON["name"])
    assert code not in answer.text
    assert labels.label_token(SECRET, shipment["s10"]) not in answer.text
    assert codes.seal_of(code, salt=stop["code_seal"]["salt"]).digest == stop["code_seal"]["digest"]
    assert packed["leads"]["attempt_failed"] == ["attempt_failed", "take_out"]
    assert shipment["dossier_code"] not in answer.text


async def test_a_stop_given_to_another_courier_is_not_on_the_round(post: Post) -> None:
    mine, theirs = await out_for_delivery(post), await out_for_delivery(post)
    await post.rows(
        "insert into courier (code, name, communes, active, added_by, added_at) "
        "values ('buu-ta-2', 'Hai', '[]', true, 'dieu-phoi', now())"
    )
    await post.rows(
        "insert into stop_assignment (shipment_id, courier, assigned_by, assigned_at, version) "
        "values ($1, 'buu-ta-2', 'dieu-phoi', now(), 1)",
        theirs["id"],
    )
    async with sign_in(post, COURIER) as first, sign_in(post, SECOND) as second:
        seen = [stop["s10"] for stop in (await first.get("/courier/sync/round")).json()["stops"]]
        others = [stop["s10"] for stop in (await second.get("/courier/sync/round")).json()["stops"]]

    assert seen == [mine["s10"]]
    assert sorted(others) == sorted([mine["s10"], theirs["s10"]])


async def test_each_fact_of_a_batch_is_judged_alone_and_answered_in_words(post: Post) -> None:
    good, other = await out_for_delivery(post), await out_for_delivery(post)
    right = fact(good, "attempt_failed", 7, reason="R01", measure="M1")
    stranger = {**fact(other, "attempt_failed", 8, reason="R01", measure="M1"), "s10": "RR999999995XX"}
    broken = fact(other, "attempt_failed", 9, reason="R99", measure="M1")
    nul = fact(other, "attempt_failed", 9, reason="R01", measure="M1", note="a\x00b")
    changed = {**right, "note": "khác"}
    async with sign_in(post, COURIER) as browser:
        answer = await send(browser, broken, stranger, right, right, changed, nul)
    results = answer.json()["results"]

    assert [r["result"] for r in results] == ["rejected", "unknown_item", "stored", "duplicate", "conflict", "rejected"]
    assert [r["event_id"] for r in results] == [f["event_id"] for f in (broken, stranger, right, right, changed, nul)]
    assert results[2]["words"] == ["Đã ghi nhận.", "Recorded."]
    assert "(reason)" in results[0]["words"][1]
    assert "(note)" in results[5]["words"][1]
    assert all(result["attention"] for result in results if result["result"] == "rejected")
    assert (await post.get(good))["status"] == "attempt_failed"
    assert (await post.get(other))["status"] == "out_for_delivery"


async def test_another_couriers_item_is_recorded_flagged_and_told(post: Post) -> None:
    shipment = await out_for_delivery(post, "buu-ta-2")
    async with sign_in(post, COURIER) as browser:
        answer = await send(browser, fact(shipment, "attempt_failed", 7, reason="R01", measure="M1"))
    [result] = answer.json()["results"]

    assert (result["result"], result["attention"]) == ("stored", True)
    assert result["anomaly"]
    assert "bưu tá khác" in result["words"][0]
    assert any(found["device_id"] == "phone-a" for found in (await post.get(shipment))["events"])


async def test_an_item_delivered_already_is_recorded_and_told(post: Post) -> None:
    shipment = await out_for_delivery(post)
    proof = {"receiver": "addressee", "proof": "code", "code": codes.receiver_code(SECRET, shipment["s10"])}
    async with sign_in(post, COURIER) as browser:
        [first] = (await send(browser, fact(shipment, "handed_over", 7, evidence=proof))).json()["results"]
        [late] = (await send(browser, fact(shipment, "attempt_failed", 9, reason="R01", measure="M1"))).json()[
            "results"
        ]

    assert (first["applied"], first["status"]) == (True, "delivered")
    assert (late["result"], late["applied"], late["attention"]) == ("stored", False, True)
    assert "hành trình đã kết thúc" in late["words"][0]


async def test_two_phones_with_one_login_keep_both_their_flows(post: Post) -> None:
    first, second = await out_for_delivery(post), await out_for_delivery(post)
    failed = {"reason": "R01", "measure": "M1"}
    one = {**fact(first, "attempt_failed", 7, **failed), "device_id": "phone-a", "device_seq": 1}
    two = {**fact(second, "attempt_failed", 7, **failed), "device_id": "phone-b", "device_seq": 1}
    async with sign_in(post, COURIER) as browser:
        await send(browser, one, device_id="phone-a", last_seq=1)
        await send(browser, two, device_id="phone-b", last_seq=1, unsent_events=4, unsent_files=2)

    devices = await post.rows("select device_id, courier, last_seq, unsent_events, unsent_files from device order by 1")
    assert [tuple(row.values()) for row in devices] == [
        ("phone-a", "buu-ta-1", 1, 0, 0),
        ("phone-b", "buu-ta-1", 1, 4, 2),
    ]
    assert (await post.get(first))["status"] == (await post.get(second))["status"] == "attempt_failed"


async def test_a_clock_twenty_six_hours_ahead_is_put_right_by_the_phones_own_account(post: Post) -> None:
    shipment = await out_for_delivery(post)
    ahead = datetime.now(UTC) + timedelta(hours=26)
    late = fact(shipment, "attempt_failed", 7, reason="R01", measure="M1", occurred_at=ahead.isoformat())
    async with sign_in(post, COURIER) as browser:
        [result] = (await send(browser, late, clock_skew_ms=26 * 3_600_000)).json()["results"]

    assert (result["applied"], result["status"]) == (True, "attempt_failed")


@pytest.mark.parametrize("count", [501])
async def test_a_batch_over_five_hundred_is_refused_whole(post: Post, count: int) -> None:
    async with sign_in(post, COURIER) as browser:
        assert (await send(browser, *[{"event_id": str(n)} for n in range(count)])).status_code == 422


async def test_the_shell_and_its_worker_are_served_for_the_whole_courier_scope(post: Post) -> None:
    shell = await post.client.get("/courier/app", headers={"accept": "text/html", "accept-language": "en"})
    worker = await post.client.get("/courier/sw.js")
    manifest = await post.client.get("/static/postal/courier.webmanifest")

    assert (shell.status_code, worker.status_code, manifest.status_code) == (200, 200, 200)
    assert '<html lang="en">' in shell.text
    assert not re.search(r"<script(?! src=)|style=|onclick=", shell.text)
    assert "default-src 'self'" in shell.headers["content-security-policy"]
    assert worker.headers["service-worker-allowed"] == "/courier"
    assert worker.headers["cache-control"] == "no-cache"
    assert (manifest.json()["start_url"], manifest.json()["scope"]) == ("/courier/app", "/courier")
    listed = re.findall(r'"(/static/[^"]+)"', worker.text.split("\n", 1)[0])
    for path in listed:
        assert (await post.client.get(path)).status_code == 200, path
    for used in re.findall(r'(?:src|href)="(/static/[^"]+)"', shell.text):
        assert used in listed, used


async def test_the_cookie_of_a_page_opens_the_evidence_routes_and_writing_needs_its_token(post: Post) -> None:
    async with sign_in(post, DISPATCHER) as desk, sign_in(post, COURIER) as browser:
        for person, status in ((desk, 404), (browser, 404)):
            assert (await person.get(f"/v1/evidence/{'a' * 64}")).status_code == status
        begun = {"sha256": "a" * 64, "media_type": "image/png", "size_bytes": 10}
        assert (await browser.post("/v1/evidence", json=begun)).status_code == 403
        headers = {"x-csrf-token": CSRF}
        answer = await browser.post("/v1/evidence", json=begun, headers=headers)
    assert answer.json() == {"sha256": "a" * 64, "offset": 0, "complete": False}


async def test_what_the_citizen_asked_for_is_read_at_the_door(post: Post) -> None:
    shipment = await out_for_delivery(post)
    await post.rows(
        "insert into citizen_wish (id, shipment_id, kind, status, person_name, person_id_tail, wrong_codes, "
        "created_at, decided_at) "
        "values ('wsh_1', $1, 'authorise', 'accepted', 'Trần Văn Bình', '4321', 0, now(), now())",
        shipment["id"],
    )
    async with sign_in(post, COURIER) as browser:
        [stop] = (await browser.get("/courier/sync/round")).json()["stops"]

    assert stop["notes"] == [
        [
            "Được giao cho Trần Văn Bình; đối chiếu 4 số cuối căn cước: 4321",
            "May be given to Trần Văn Bình; the identity card must end in 4321",
        ]
    ]
