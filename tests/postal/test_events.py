"""Facts from the field: once each, in any order, chained, and never lost."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from kit.ids import uuid7
from services.postal import queries
from tests.postal.conftest import HASH, PROOF, Post, event, journey, sealed


async def test_a_journey_in_one_batch_ends_delivered_and_tells_each_milestone_once(post: Post) -> None:
    shipment = await post.book("outbound")

    results = await post.send(*journey(shipment))

    assert [(r["result"], r["applied"], r["anomaly"]) for r in results] == [("stored", True, None)] * 7
    found = await post.get(shipment)
    assert (found["status"], found["custodian"], found["seal_number"]) == ("delivered", "agency", "NP-7")
    assert found["version"] == 2
    assert [piece["collected"] for piece in found["pieces"]] == [True, True]
    assert [e["kind"] for e in found["events"]] == [e["kind"] for e in journey(shipment)]
    assert await post.news() == ["shipment.booked", "shipment.collected", "shipment.arrived"]


async def test_a_return_leg_is_announced_as_delivered(post: Post) -> None:
    shipment = await post.book("return")

    await post.send(*journey(shipment))

    assert (await post.get(shipment))["custodian"] == "citizen"
    assert await post.news() == ["shipment.booked", "shipment.collected", "shipment.delivered"]


async def test_sending_again_changes_nothing_and_answers_the_same(post: Post) -> None:
    shipment = await post.book()
    facts = journey(shipment)
    first = await post.send(*facts)
    before = await post.get(shipment)

    again = await post.send(*facts, *facts)

    assert again == [{**r, "result": "duplicate"} for r in first] * 2
    assert await post.get(shipment) == before
    assert await post.news() == ["shipment.booked", "shipment.collected", "shipment.arrived"]


async def test_the_same_id_with_other_content_is_a_conflict_and_the_first_stays(post: Post) -> None:
    shipment = await post.book()
    fact = event(shipment, "pickup_started")
    await post.send(fact)

    [other] = await post.send({**fact, "place": "elsewhere"})
    [same_elsewhere_spelled] = await post.send({**fact, "s10": shipment["s10"].lower()})

    assert (other["result"], other["applied"], other["status"]) == ("conflict", False, None)
    assert same_elsewhere_spelled["result"] == "duplicate"
    assert [row["place"] for row in await post.rows("select place from event")] == [""]


async def test_an_unknown_item_is_stored_nowhere_but_counted(post: Post) -> None:
    shipment = await post.book()
    stray = event({"s10": "RB123456785GB"}, "departed")

    results = await post.send(stray, event(shipment, "pickup_started"))

    assert [r["result"] for r in results] == ["unknown_item", "stored"]
    assert len(await post.rows("select 1 from event")) == 1
    metrics = (await post.client.get("/metrics")).text
    assert 'postal_events_received_total{result="unknown_item"} 1.0' in metrics


async def test_any_order_of_arrival_in_any_batches_gives_the_same_shipment(post: Post) -> None:
    chance = random.Random(7)
    for _ in range(4):
        shipment = await post.book("return")
        facts = journey(shipment)
        chance.shuffle(facts)
        while facts:
            size = chance.randint(1, 3)
            await post.send(*facts[:size])
            facts = facts[size:]

        found = await post.get(shipment)
        assert (found["status"], found["custodian"]) == ("delivered", "citizen")
        assert all(e["applied"] and e["anomaly"] is None for e in found["events"])
        news = await post.news(shipment["dossier_code"])
        assert sorted(news) == ["shipment.booked", "shipment.collected", "shipment.delivered"]


async def test_a_late_fact_announces_nothing_again(post: Post) -> None:
    shipment = await post.book("return")
    facts = journey(shipment)
    failed = event(shipment, "attempt_failed", 6, device_seq=90, reason="R01", measure="M1")
    await post.send(*facts)
    told = await post.news()

    [result] = await post.send(failed)

    assert (result["result"], result["status"]) == ("stored", "delivered")
    assert await post.news() == told


async def test_failures_holds_and_returns_are_told_each_time(post: Post) -> None:
    shipment = await post.book("return")
    start = journey(shipment)[:6]
    later = [
        event(shipment, "attempt_failed", 7, reason="R01", measure="M1"),
        event(shipment, "out_for_delivery", 8),
        event(shipment, "attempt_failed", 9, reason="R02", measure="M2"),
        event(shipment, "ready_for_collection", 10),
        event(shipment, "return_started", 11),
        event(shipment, "returned", 12, evidence={"receiver": "agency_officer", "proof": "signature"}),
    ]

    await post.send(*start)
    for fact in later:
        await post.send(fact)

    found = await post.get(shipment)
    assert (found["status"], found["custodian"], found["attempts"]) == ("returned", "agency", 1)
    assert (await post.news())[2:] == [
        "shipment.attempt_failed",
        "shipment.attempt_failed",
        "shipment.held",
        "shipment.returned",
    ]


async def test_pickup_failures_partial_pickup_and_loss_are_told(post: Post) -> None:
    shipment = await post.book()
    await post.send(event(shipment, "pickup_failed", 1, reason="R23", measure="M1"))
    await post.send(event(shipment, "partially_collected", 2, evidence=sealed(2)))
    await post.send(event(shipment, "investigation_opened", 3), event(shipment, "declared_lost", 4))

    found = await post.get(shipment)
    assert (found["status"], found["custodian"]) == ("lost", "nobody_known")
    assert [piece["collected"] for piece in found["pieces"]] == [False, True]
    assert await post.news() == [
        "shipment.booked",
        "shipment.pickup_failed",
        "shipment.partially_collected",
        "shipment.lost",
    ]


async def test_an_illegal_fact_is_kept_with_its_anomaly_and_told_as_one(post: Post) -> None:
    shipment = await post.book()

    [refused] = await post.send(event(shipment, "collected", evidence=None))

    assert (refused["result"], refused["applied"], refused["anomaly"]) == ("stored", False, "evidence_missing")
    found = await post.get(shipment)
    assert (found["status"], found["custodian"], found["receipt_code"]) == ("booked", "citizen", None)
    assert [(e["applied"], e["anomaly"]) for e in found["events"]] == [(False, "evidence_missing")]
    assert await post.news() == ["shipment.booked", "shipment.anomaly"]


async def test_a_late_fact_that_explains_an_illegal_one_clears_it(post: Post) -> None:
    shipment = await post.book("return")
    await post.send(*journey(shipment)[:6])
    proof = event(shipment, "evidence_added", 9, evidence={"proof": "signature"})
    [early] = await post.send(proof)
    assert (early["applied"], early["anomaly"]) == (False, "fact_missing")

    await post.send(event(shipment, "handed_over", 8, evidence={"receiver": "authorised_person"}))

    found = await post.get(shipment)
    assert found["status"] == "delivered"
    assert [(e["applied"], e["anomaly"]) for e in found["events"]][-2:] == [(True, None), (True, None)]
    assert (await post.news())[-1] == "shipment.delivered"
    assert (await post.send(proof))[0] == {
        **early,
        "result": "duplicate",
        "applied": True,
        "anomaly": None,
        "status": "delivered",
    }


async def test_a_clock_more_than_26_hours_ahead_is_flagged_and_kept_aside(post: Post) -> None:
    shipment = await post.book()
    ahead = (datetime.now(UTC) + timedelta(hours=27)).isoformat()

    [result] = await post.send(event(shipment, "collected", occurred_at=ahead))

    assert (result["applied"], result["anomaly"]) == (False, "clock_ahead")
    assert (await post.get(shipment))["status"] == "booked"
    assert await post.news() == ["shipment.booked", "shipment.anomaly"]


async def test_two_devices_at_once_do_not_fork_the_chain(post: Post) -> None:
    shipment = await post.book()
    facts = journey(shipment)

    await asyncio.gather(*(post.send(fact) for fact in facts for _ in range(2)))

    rows = await post.rows("select chain_position, prev_hash, hash from event order by chain_position")
    assert [row["chain_position"] for row in rows] == list(range(1, 8))
    assert [row["prev_hash"] for row in rows] == ["0" * 64, *(row["hash"] for row in rows[:-1])]
    assert (await post.get(shipment))["status"] == "delivered"
    assert sorted(await post.news()) == ["shipment.arrived", "shipment.booked", "shipment.collected"]


async def _chain(post: Post, shipment: dict[str, Any]) -> Any:
    async with post.app.state.sessions() as session:
        row = await queries.shipment(session, shipment["id"])
        log = (await queries.events_of(session, [row.id]))[row.id]
        return queries.check_chain(row, log)


async def _tamper(post: Post, statement: str) -> None:
    connection = await asyncpg.connect(post.database_url)
    try:
        await connection.execute("set session_replication_role = replica")  # what only a superuser can do
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("statement", "broken_at"),
    [
        ("update event set actor = 'somebody-else' where chain_position = 3", 3),
        ("update event set occurred_at = occurred_at + interval '1 second' where chain_position = 1", 1),
        ("update event set evidence = jsonb_set(evidence, '{seal_number}', '\"NP-8\"') where kind = 'collected'", 2),
        ("delete from event where chain_position = 4", 4),
        ("delete from event where chain_position = 7", 7),
        ("update event set note = 'x', hash = repeat('c', 64) where chain_position = 7", 7),
    ],
)
async def test_a_rewritten_or_missing_line_of_the_log_is_found(post: Post, statement: str, broken_at: int) -> None:
    shipment = await post.book()
    await post.send(*journey(shipment))
    intact = await _chain(post, shipment)

    await _tamper(post, statement)

    broken = await _chain(post, shipment)
    assert (intact.intact, intact.length) == (True, 7)
    assert (broken.intact, broken.broken_at) == (False, broken_at)


async def test_the_log_accepts_additions_only(post: Post) -> None:
    shipment = await post.book()
    await post.send(event(shipment, "pickup_started"))

    for statement in ("update event set note = 'x'", "delete from event", "truncate event cascade"):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="only grows"):
            await post.rows(statement)
    assert len(await post.rows("select 1 from event where note = ''")) == 1


async def test_three_thousand_facts_fit_one_batch_and_one_more_does_not(post: Post) -> None:
    shipment = await post.book()
    evidence = {**sealed(), **PROOF["outbound"]}
    facts = [event(shipment, "departed", evidence=evidence, note="n" * 60, device_seq=n + 1) for n in range(3_000)]

    results = await post.send(*facts)
    over = await post.client.post(
        "/v1/events", json={"events": [*facts, event(shipment, "departed")]}, headers=post.office
    )

    assert {r["result"] for r in results} == {"stored"}
    assert over.status_code == 422
    assert len(await post.rows("select 1 from event")) == 3_000


async def test_values_a_database_cannot_hold_are_refused_by_field(post: Post) -> None:
    shipment = await post.book()
    impossible: tuple[tuple[str, Any], ...] = (
        ("note", "a\x00b"),
        ("place", "\x00"),
        ("device_seq", 2**63),
        ("occurred_at", "9999-12-31T23:59:59-12:00"),
        ("occurred_at", "0001-01-01T00:00:00+12:00"),
    )
    for field, value in impossible:
        body = {"events": [event(shipment, "pickup_started", **{field: value})]}
        answer = await post.client.post("/v1/events", json=body, headers=post.office)

        assert answer.status_code == 422, field
        assert answer.json()["errors"][0]["field"] == f"events.0.{field}"
    assert await post.rows("select 1 from event") == []


async def test_an_event_without_offset_is_refused(post: Post) -> None:
    shipment = await post.book()
    body = {"events": [event(shipment, "pickup_started", occurred_at="2026-03-02T08:00:00")]}

    assert (await post.client.post("/v1/events", json=body, headers=post.office)).status_code == 422


async def test_a_courier_cannot_close_a_case_but_a_dispatcher_can(post: Post) -> None:
    shipment = await post.book()
    await post.send(event(shipment, "collected", 1), headers=post.courier())

    [by_courier] = await post.send(event(shipment, "declared_lost", 2), headers=post.courier())
    [by_dispatcher] = await post.send(event(shipment, "declared_lost", 3), headers=post.dispatcher)

    assert (by_courier["applied"], by_courier["anomaly"]) == (False, "not_authorised")
    assert (by_dispatcher["applied"], by_dispatcher["status"]) == (True, "lost")


async def test_evidence_hashes_must_be_hashes(post: Post) -> None:
    shipment = await post.book()
    wrong = {**sealed(), "citizen_signature_sha256": HASH[:-1]}
    body = {"events": [event(shipment, "collected", evidence=wrong)]}

    assert (await post.client.post("/v1/events", json=body, headers=post.office)).status_code == 422


async def test_event_ids_are_one_space_across_shipments(post: Post) -> None:
    one, two = await post.book(), await post.book()
    identity = str(uuid7())

    results = await post.send(
        event(one, "pickup_started", event_id=identity), event(two, "pickup_started", event_id=identity)
    )

    assert [r["result"] for r in results] == ["stored", "conflict"]
