"""Fact, evidence, close: a leg ends only when the fact and every file it names have arrived, in any order."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy.dialects.postgresql import insert

from kit.db import transaction
from services.postal import codes, recording
from services.postal.models import EvidenceFile
from tests.postal.conftest import PROOF, Post, event, journey, sealed

PHOTO = hashlib.sha256(b"photo").hexdigest()
SIGNATURE = hashlib.sha256(b"signature").hexdigest()
PHOTO_FILE = {"kind": "handover_photo", "sha256": PHOTO}
SIGNATURE_FILE = {"kind": "receiver_signature", "sha256": SIGNATURE}


async def arrive(post: Post, sha256: str) -> None:
    """What the upload does once a file is safely stored."""
    at = datetime.now(UTC)
    async with transaction(post.app.state.sessions) as session:
        row = {"media_type": "image/jpeg", "size_bytes": 5, "uploaded_by": "buu-ta-1", "stored_at": at}
        await session.exec(insert(EvidenceFile).values(sha256=sha256, **row).on_conflict_do_nothing())
        await recording.evidence_stored(session, sha256=sha256, at=at)


async def on_the_doorstep(post: Post, direction: str = "return") -> dict[str, Any]:
    shipment = await post.book(direction)
    await post.send(*journey(shipment)[:6])
    return shipment


async def test_a_handover_waits_for_every_file_it_names(post: Post) -> None:
    shipment = await on_the_doorstep(post)
    evidence = {"receiver": "addressee", "proof": "photo", "files": [PHOTO_FILE, SIGNATURE_FILE]}

    [result] = await post.send(event(shipment, "handed_over", 7, evidence=evidence))
    waiting = await post.get(shipment)
    await arrive(post, PHOTO)
    half = await post.get(shipment)
    await arrive(post, SIGNATURE)
    await arrive(post, SIGNATURE)
    closed = await post.get(shipment)

    assert (result["applied"], result["status"]) == (True, "delivered_pending_evidence")
    assert [(s["status"], s["custodian"], s["files_missing"]) for s in (waiting, half, closed)] == [
        ("delivered_pending_evidence", "courier", 2),
        ("delivered_pending_evidence", "courier", 1),
        ("delivered", "citizen", 0),
    ]
    assert [e["kind"] for e in closed["events"]].count("evidence_stored") == 2
    assert (await post.news())[-1] == "shipment.delivered"
    assert len(await post.rows("select 1 from outbox where kind = 'shipment.delivered'")) == 1


async def test_a_file_that_came_first_counts_as_soon_as_a_fact_names_it(post: Post) -> None:
    shipment = await on_the_doorstep(post)
    await arrive(post, PHOTO)
    evidence = {"receiver": "addressee", "proof": "photo", "files": [PHOTO_FILE]}

    await post.send(event(shipment, "handed_over", 7, evidence=evidence))

    assert (await post.get(shipment))["status"] == "delivered"


async def test_every_order_of_fact_and_files_ends_the_same(post: Post) -> None:
    for order in permutations("fps"):
        shipment = await on_the_doorstep(post)
        photo, signature = (hashlib.sha256(f"{shipment['id']}/{part}".encode()).hexdigest() for part in "ps")
        files = [{**PHOTO_FILE, "sha256": photo}, {**SIGNATURE_FILE, "sha256": signature}]
        evidence = {"receiver": "addressee", "proof": "photo", "files": files}
        for step in order:
            if step == "f":
                await post.send(event(shipment, "handed_over", 7, evidence=evidence))
            else:
                await arrive(post, photo if step == "p" else signature)
        found = await post.get(shipment)
        assert (found["status"], found["custodian"], found["files_missing"]) == ("delivered", "citizen", 0), order


async def test_a_fact_and_its_file_in_the_same_instant_find_each_other(post: Post) -> None:
    for number in range(6):
        shipment = await on_the_doorstep(post)
        sha256 = hashlib.sha256(str(number).encode()).hexdigest()
        evidence = {"receiver": "addressee", "proof": "photo", "files": [{**PHOTO_FILE, "sha256": sha256}]}

        await asyncio.gather(
            post.send(event(shipment, "handed_over", 7, evidence=evidence)), arrive(post, sha256), arrive(post, sha256)
        )

        assert (await post.get(shipment))["status"] == "delivered"


async def test_a_pickup_is_complete_when_its_photo_of_the_seal_is_there(post: Post) -> None:
    shipment = await post.book()
    files = [{"kind": "seal_photo", "sha256": PHOTO}]

    await post.send(event(shipment, "collected", 1, evidence={**sealed(), "files": files}))
    waiting = await post.get(shipment)
    await arrive(post, PHOTO)
    complete = await post.get(shipment)

    assert [(s["status"], s["custodian"], s["files_missing"]) for s in (waiting, complete)] == [
        ("collected_pending_evidence", "courier", 1),
        ("collected", "courier", 0),
    ]
    assert await post.news() == ["shipment.booked", "shipment.collected"]


async def test_papers_move_on_though_a_photo_of_the_pickup_is_late_and_the_gap_stays_visible(post: Post) -> None:
    shipment = await post.book()
    facts = journey(shipment)
    facts[1] = event(
        shipment, "collected", 2, evidence={**sealed(), "files": [{"kind": "seal_photo", "sha256": PHOTO}]}
    )

    await post.send(*facts)
    moved = await post.get(shipment)
    await arrive(post, PHOTO)

    assert (moved["status"], moved["files_missing"]) == ("delivered", 1)
    assert ((await post.get(shipment))["status"], (await post.get(shipment))["files_missing"]) == ("delivered", 0)


@pytest.mark.parametrize(
    ("code", "status", "anomaly"),
    [
        ("right", "delivered", None),
        ("WRONG123", "delivered_pending_evidence", "code_wrong"),
        (None, "delivered_pending_evidence", "code_missing"),
    ],
)
async def test_a_code_proves_a_handover_only_when_the_service_knows_it_too(
    post: Post, code: str | None, status: str, anomaly: str | None
) -> None:
    shipment = await on_the_doorstep(post)
    given = codes.receiver_code("l" * 32, shipment["s10"]) if code == "right" else code
    evidence = {"receiver": "addressee", "proof": "code", **({"code": given} if given else {})}

    [result] = await post.send(event(shipment, "handed_over", 7, evidence=evidence))

    assert (result["status"], result["anomaly"]) == (status, anomaly)
    [stored] = await post.rows("select evidence::text, code_right from event where kind = 'handed_over'")
    assert 'code":' not in stored["evidence"].replace(" ", "")  # the log does not know the code itself
    assert stored["code_right"] is {"right": True, None: None}.get(code, False)


async def test_nobody_outside_writes_what_only_the_service_may(post: Post) -> None:
    shipment = await post.book()
    for kind in ("evidence_stored", "corrected", "unmapped"):
        body = {"events": [event(shipment, kind)]}
        assert (await post.client.post("/v1/events", json=body, headers=post.office)).status_code == 422
    assert await post.rows("select 1 from event") == []


async def test_a_phone_26_hours_ahead_is_put_right_by_the_skew_it_reports(post: Post) -> None:
    shipment = await post.book("return")
    ahead = timedelta(hours=30)
    facts = journey(shipment)
    wrong = [{**f, "occurred_at": (datetime.fromisoformat(f["occurred_at"]) + ahead).isoformat()} for f in facts]
    clocks = [{"device_id": "phone-1", "skew_ms": int(ahead.total_seconds() * 1000)}]

    answer = await post.client.post("/v1/events", json={"events": wrong, "clocks": clocks}, headers=post.office)

    assert [(r["applied"], r["anomaly"]) for r in answer.json()["results"]] == [(True, "clock_corrected")] * 7
    found = await post.get(shipment)
    assert found["status"] == "delivered"
    tracked = (await post.client.get(f"/v1/tracking/{shipment['s10']}")).json()
    happened = [datetime.fromisoformat(e["occurred_at"]) for e in tracked["events"]]
    assert happened == [datetime.fromisoformat(f["occurred_at"]) for f in facts]
    again = await post.client.post("/v1/events", json={"events": wrong}, headers=post.office)
    assert {r["result"] for r in again.json()["results"]} == {"duplicate"}
    assert PROOF["return"]["proof"] == "signature"
