"""Ends change only by two people; bags are counted in and out; custody passes by two scans; pickups are their own."""

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest

from kit.ids import uuid7
from services.postal import verify
from tests.postal.conftest import PROOF, Post, event, journey, sealed


async def propose(post: Post, shipment: dict[str, Any], *event_ids: str, who: str = "dieu-phoi") -> httpx.Response:
    headers = post.headers("postal:dispatch", subject=who, key=str(uuid7()))
    body = {"event_ids": event_ids, "reason": "did_not_occur", "note": "Giao nhầm, người nhận báo chưa nhận"}
    return await post.client.post(f"/v1/shipments/{shipment['id']}/corrections", json=body, headers=headers)


async def decide(post: Post, correction: dict[str, Any], decision: str, *, who: str) -> httpx.Response:
    headers = post.headers("postal:dispatch", subject=who, key=str(uuid7()))
    url = f"/v1/corrections/{correction['id']}/decision"
    return await post.client.post(url, json={"decision": decision}, headers=headers)


async def test_a_delivery_that_did_not_happen_is_set_aside_by_two_people_and_may_be_delivered_again(post: Post) -> None:
    shipment = await post.book("return")
    facts = journey(shipment)
    await post.send(*facts)

    asked = await propose(post, shipment, facts[-1]["event_id"])
    alone = await decide(post, asked.json(), "confirm", who="dieu-phoi")
    still = await post.get(shipment)
    confirmed = await decide(post, asked.json(), "confirm", who="truong-ca")
    again = await decide(post, asked.json(), "confirm", who="truong-ca")
    reopened = await post.get(shipment)
    await post.send(event(shipment, "handed_over", 59, evidence=PROOF["return"]))

    assert (asked.status_code, asked.json()["status"]) == (201, "proposed")
    assert (alone.status_code, alone.json()["type"]) == (409, "/problems/needs-another-person")
    assert still["status"] == "delivered"
    assert (confirmed.status_code, confirmed.json()["decided_by"]) == (200, "truong-ca")
    assert again.json() == confirmed.json()
    assert (reopened["status"], reopened["custodian"]) == ("out_for_delivery", "courier")
    marked = {e["kind"]: (e["applied"], e["anomaly"]) for e in reopened["events"]}
    assert (marked["handed_over"], marked["corrected"]) == ((False, "corrected"), (True, None))
    assert (await post.get(shipment))["status"] == "delivered"
    assert (await post.news()).count("shipment.delivered") == 2
    assert "shipment.corrected" in await post.news()
    assert await verify.look_through(post.database_url, {}) == []


async def test_a_refused_correction_changes_nothing(post: Post) -> None:
    shipment = await post.book("return")
    facts = journey(shipment)
    await post.send(*facts)
    asked = (await propose(post, shipment, facts[-1]["event_id"])).json()
    before = await post.get(shipment)

    second = await propose(post, shipment, facts[0]["event_id"])
    refused = await decide(post, asked, "refuse", who="truong-ca")
    late = await decide(post, asked, "confirm", who="truong-ca")

    assert (second.status_code, second.json()["type"]) == (409, "/problems/correction-pending")
    assert (refused.json()["status"], refused.json()["event_id"]) == ("refused", None)
    assert late.status_code == 409
    assert await post.get(shipment) == before


async def test_only_facts_of_the_shipment_can_be_set_aside_and_only_by_dispatchers(post: Post) -> None:
    one, other = await post.book(), await post.book()
    fact = event(other, "pickup_started")
    await post.send(fact)

    foreign = await propose(post, one, fact["event_id"])
    unknown = await propose(post, one, str(uuid7()))
    body = {"event_ids": [fact["event_id"]], "reason": "did_not_occur", "note": "không có"}
    url = f"/v1/shipments/{other['id']}/corrections"
    courier = await post.client.post(url, json=body, headers={**post.courier(), "idempotency-key": "k"})

    assert (foreign.status_code, unknown.status_code, courier.status_code) == (422, 422, 403)
    assert await post.rows("select 1 from correction") == []


async def test_two_who_decide_at_once_write_one_correction(post: Post) -> None:
    shipment = await post.book("return")
    facts = journey(shipment)
    await post.send(*facts)
    asked = (await propose(post, shipment, facts[-1]["event_id"])).json()

    answers = await asyncio.gather(*(decide(post, asked, "confirm", who=who) for who in ("truong-ca", "giam-sat")))

    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert len(await post.rows("select 1 from event where kind = 'corrected'")) == 1


async def test_the_database_itself_refuses_a_correction_by_one_person(post: Post) -> None:
    shipment = await post.book("return")
    facts = journey(shipment)
    await post.send(*facts)
    asked = (await propose(post, shipment, facts[-1]["event_id"])).json()

    with pytest.raises(asyncpg.CheckViolationError, match="two_people"):
        await post.rows(
            "update correction set status = 'confirmed', decided_by = proposed_by, decided_at = now(), event_id = 'x'"
        )
    forged = (
        "insert into event select 'e1', shipment_id, 99, 'corrected', occurred_at, received_at, 'system', actor, "
        "device_id, device_seq, place, null, null, 0, null, '', body_sha256, repeat('a', 64), repeat('b', 64), null, "
        "null, null, '[\"x\"]'::jsonb from event limit 1"
    )
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="two people"):
        await post.rows(forged)
    assert asked["status"] == "proposed"


async def test_cash_of_a_corrected_collection_is_taken_back_until_it_is_deposited(post: Post) -> None:
    cash = {"amount_dong": 90_000, "payment_id": "p", "attempt_reference": "a"}
    shipment = await post.book(cash=cash)
    taken = event(shipment, "collected", 1, cash_collected_dong=90_000)
    await post.send(taken, headers=post.courier())
    asked = (await propose(post, shipment, taken["event_id"])).json()

    await decide(post, asked, "confirm", who="truong-ca")

    found = await post.get(shipment)
    assert (found["status"], found["cash_collected_dong"], found["custodian"]) == ("booked", 0, "citizen")
    assert await post.rows("select 1 from cash_collection") == []


# --- two scans -----------------------------------------------------------------------------------


async def test_custody_passes_when_the_other_side_accepts_and_not_before(post: Post) -> None:
    shipment = await post.book()
    courier = post.courier("buu-ta-1")
    office = {"custodian": "post_office", "name": "BC Hoàn Kiếm"}
    await post.send(event(shipment, "collected", 1), headers=courier)

    await post.send(event(shipment, "custody_released", 2, party=office), headers=courier)
    offered = await post.get(shipment)
    [by_himself] = await post.send(event(shipment, "custody_accepted", 3, party=office), headers=courier)
    [accepted] = await post.send(event(shipment, "custody_accepted", 4, party=office))
    taken = await post.get(shipment)

    assert (offered["custodian"], offered["release_to"]) == ("courier", "BC Hoàn Kiếm")
    assert offered["release_since"] is not None
    assert (by_himself["applied"], by_himself["anomaly"]) == (False, "same_person")
    assert (accepted["applied"], accepted["anomaly"]) == (True, None)
    assert (taken["custodian"], taken["release_since"], taken["release_to"]) == ("post_office", None, None)


async def test_a_courier_who_alone_says_the_office_has_it_keeps_it(post: Post) -> None:
    shipment = await post.book()
    courier = post.courier("buu-ta-1")
    await post.send(event(shipment, "collected", 1), headers=courier)

    await post.send(event(shipment, "arrived_origin_office", 2, place="BC Hoàn Kiếm"), headers=courier)
    alone = await post.get(shipment)
    open_ones, later = [
        (await post.client.get("/v1/custody/gaps", params={"hours": hours}, headers=post.office)).json()["items"]
        for hours in (0, 2)
    ]
    await post.send(event(shipment, "departed", 3))
    closed = (await post.client.get("/v1/custody/gaps", headers=post.office)).json()["items"]

    [gap] = open_ones
    assert (gap["s10"], gap["custodian"], gap["release_to"]) == (shipment["s10"], "courier", "BC Hoàn Kiếm")
    assert 57 * 60 <= gap["age_seconds"] <= 61 * 60
    assert (later, closed) == ([], [])

    assert (alone["status"], alone["custodian"], alone["release_to"]) == (
        "at_origin_office",
        "courier",
        "BC Hoàn Kiếm",
    )
    found = await post.get(shipment)
    assert (found["status"], found["custodian"], found["release_since"]) == ("in_transit", "transport", None)


async def test_a_report_about_another_couriers_envelope_is_kept_and_flagged(post: Post) -> None:
    shipment = await post.book("return")
    await post.send(*journey(shipment)[:5])
    await post.send(event(shipment, "out_for_delivery", 6), headers=post.courier("buu-ta-1"))

    failed = event(shipment, "attempt_failed", 7, reason="R01", measure="M1", device_id="phone-2")
    [result] = await post.send(failed, headers=post.courier("buu-ta-2"))

    assert (result["applied"], result["anomaly"]) == (True, "not_the_holder")
    assert (await post.news())[-1] == "shipment.anomaly"


# --- pickups -------------------------------------------------------------------------------------


async def test_the_pickup_is_a_machine_of_its_own(post: Post) -> None:
    shipment = await post.book()
    steps = [
        (event(shipment, "pickup_accepted", 1), "accepted", "booked"),
        (event(shipment, "pickup_rejected", 2, reason="R16"), "rejected", "booked"),
        (event(shipment, "pickup_accepted", 3), "accepted", "booked"),
        (event(shipment, "pickup_failed", 4, reason="R23", measure="M1"), "failed", "pickup_failed"),
        (event(shipment, "pickup_expired", 5), "expired", "pickup_failed"),
        (event(shipment, "pickup_started", 6), "accepted", "pickup_in_progress"),
        (event(shipment, "partially_collected", 7, evidence=sealed(1)), "partially_collected", "collected"),
    ]
    for fact, pickup, status in steps:
        [result] = await post.send(fact)
        found = await post.get(shipment)
        assert (result["applied"], found["pickup_status"], found["status"]) == (True, pickup, status), fact["kind"]

    [after] = await post.send(event(shipment, "pickup_expired", 8))
    assert (after["applied"], after["anomaly"]) == (False, "illegal_transition")
    assert (await post.news()).count("shipment.pickup_rejected") == 1
    assert (await post.news()).count("shipment.pickup_expired") == 1


async def test_a_pickup_is_not_turned_down_without_a_reason_nor_let_expire_by_a_courier(post: Post) -> None:
    shipment = await post.book()

    [silent] = await post.send(event(shipment, "pickup_rejected", 1))
    [lazy] = await post.send(event(shipment, "pickup_expired", 2), headers=post.courier())

    assert (silent["anomaly"], lazy["anomaly"]) == ("reason_missing", "not_authorised")
    assert (await post.get(shipment))["pickup_status"] == "requested"


# --- bags ----------------------------------------------------------------------------------------


def bag_of(*numbers: str, key: str = "tui-1") -> dict[str, Any]:
    where = {"origin": "BC Hoàn Kiếm", "destination": "BC Ba Đình"}
    return {"bag_key": key, "seal_number": "NP-TUI-1", **where, "items": list(numbers)}


async def collected(post: Post, count: int) -> list[dict[str, Any]]:
    shipments = [await post.book() for _ in range(count)]
    await post.send(*(event(shipment, "collected", 1) for shipment in shipments))
    return shipments


async def test_a_bag_is_counted_in_and_out_and_what_is_missing_or_too_much_is_named(post: Post) -> None:
    one, two, three, stray = await collected(post, 4)
    closed = await post.client.post("/v1/bags", json=bag_of(one["s10"], two["s10"], three["s10"]), headers=post.office)
    again = await post.client.post("/v1/bags", json=bag_of(one["s10"], two["s10"], three["s10"]), headers=post.office)
    url = f"/v1/bags/{closed.json()['id']}/open"
    found = {"seal_number": "NP-TUI-1", "items": [one["s10"], three["s10"].lower(), stray["s10"]]}
    receiver = post.headers("postal:dispatch", "postal:read", subject="bc-ba-dinh")

    by_himself = await post.client.post(url, json=found, headers={**post.office, "idempotency-key": "o-1"})
    opened = await post.client.post(url, json=found, headers={**receiver, "idempotency-key": "o-2"})
    repeated = await post.client.post(url, json=found, headers={**receiver, "idempotency-key": "o-3"})
    recount = {**found, "items": [one["s10"]]}
    other = await post.client.post(url, json=recount, headers={**receiver, "idempotency-key": "o-4"})

    assert (closed.status_code, closed.json()["count_in"], again.status_code) == (201, 3, 200)
    assert by_himself.status_code == 409
    assert (opened.json()["count_in"], opened.json()["count_out"], opened.json()["seal_intact"]) == (3, 3, True)
    assert (opened.json()["missing"], opened.json()["surplus"]) == ([two["s10"]], [stray["s10"]])
    assert repeated.json() == opened.json()
    assert other.status_code == 409
    states = [(await post.get(shipment))["status"] for shipment in (one, two, three, stray)]
    assert states == ["at_delivery_office", "investigating", "at_delivery_office", "at_delivery_office"]
    assert (await post.get(two))["custodian"] == "transport"
    assert await post.news(two["dossier_code"]) == [
        "shipment.booked",
        "shipment.collected",
        "shipment.missing_from_bag",
    ]


async def test_an_envelope_the_post_does_not_hold_cannot_go_into_a_bag_and_then_no_bag_is_closed(post: Post) -> None:
    [held] = await collected(post, 1)
    waiting = await post.book()
    body = bag_of(held["s10"], waiting["s10"], "RB123456785GB", held["s10"])

    answer = await post.client.post("/v1/bags", json=body, headers=post.office)

    assert answer.status_code == 422
    assert [e["field"] for e in answer.json()["errors"]] == ["items.1", "items.2", "items.3"]
    assert await post.rows("select 1 from bag") == []
    assert (await post.get(held))["status"] == "collected"


async def test_an_envelope_is_in_one_closed_bag_even_when_two_are_closed_at_once(post: Post) -> None:
    [held] = await collected(post, 1)
    bodies = [{**bag_of(held["s10"], key=key), "seal_number": f"NP-{key}"} for key in ("a", "b")]

    answers = await asyncio.gather(*(post.client.post("/v1/bags", json=b, headers=post.office) for b in bodies))

    assert sorted(answer.status_code for answer in answers) == [201, 422]
    assert len(await post.rows("select 1 from bag_item")) == 1
