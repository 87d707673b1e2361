"""Carriers: every code of every map, orders that are never doubled, messages that are never lost or guessed."""

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import httpx
import pytest

from kit.http import Unreachable
from kit.ids import uuid7
from sandbox.carrier import Depot, client_of
from services.postal import carrier_orders
from services.postal.carriers import VnpostCarrier, status_map
from services.postal.carriers.maps import carriers_with_maps
from services.postal.contract import FieldKind
from tests.postal.conftest import Post, event

SECRET = "w" * 32
FACTS: dict[str, dict[str, str | None]] = {
    "emsevt": {
        "EMA": "arrived_origin_office", "EMB": None, "EXA": None, "EXB": "held", "EXC": None, "EXD": "held",
        "EXX": None, "EMC": "departed", "EMJ": None, "EMK": None, "EMD": None, "EDA": "held", "EDB": None,
        "EME": "held", "EDC": None, "EMF": "departed", "EDD": "departed", "EDE": "departed",
        "EMG": "arrived_delivery_office", "EDF": "held", "EDG": "out_for_delivery", "EDH": "ready_for_collection",
        "EMH": "attempt_failed", "EMI": "handed_over", "EDX": "investigation_opened",
    },
    "vnpost": {
        "P0": None, "P1": "pickup_accepted", "P2": "pickup_rejected", "P4": "collected", "P5": "pickup_failed",
        "P6": "pickup_failed", "P7": "partially_collected", "11000": "out_for_delivery", "C14": "handed_over",
        "C18": "attempt_failed",
    },
    "ghn": {
        "ready_to_pick": None, "picking": "pickup_started", "picked": "collected", "storing": "arrived_origin_office",
        "transporting": "departed", "sorting": None, "delivering": "out_for_delivery",
        "money_collect_delivering": None, "delivered": "handed_over", "delivery_fail": "attempt_failed",
        "waiting_to_return": "return_started", "return": "return_started", "return_transporting": "departed",
        "return_sorting": None, "returning": "out_for_delivery", "returned": "returned",
        "exception": "investigation_opened", "lost": "declared_lost", "damage": "declared_damaged",
        "cancel": "cancelled",
    },
    "ghtk": {
        "-1": "cancelled", "1": None, "2": None, "3": "arrived_origin_office", "123": "collected",
        "4": "out_for_delivery", "5": "handed_over", "6": None, "7": "pickup_failed", "8": None,
        "9": "attempt_failed", "10": None, "11": None, "12": "pickup_started", "13": None, "20": "return_started",
        "21": "returned",
    },
    "viettelpost": {
        "100": None, "101": None, "102": None, "103": None, "104": "pickup_started", "500": "out_for_delivery",
        "501": "handed_over", "504": "returned", "506": "attempt_failed", "507": "attempt_failed",
    },
}  # fmt: skip
"""What each code must mean, written a second time by hand: a change of a map has to be made twice, on purpose."""

UNKNOWN = {
    "emsevt": ("EMX", "emi", ""),
    "vnpost": ("P3", "C44", "C99"),
    "ghn": ("delivred", "Delivered"),
    "ghtk": ("0", "45", "05"),
    "viettelpost": ("502", "505", "515"),
}


@pytest.mark.parametrize("carrier", sorted(FACTS))
def test_a_map_holds_exactly_the_codes_that_are_known_and_no_others(carrier: str) -> None:
    known = status_map(carrier)

    assert {code: meaning.kind for code, meaning in known.codes.items()} == FACTS[carrier]
    assert carriers_with_maps() == tuple(sorted(FACTS))
    for code in UNKNOWN[carrier]:
        assert known.codes.get(code) is None
    for meaning in known.codes.values():
        assert meaning.kind is None or meaning.kind in get_args(FieldKind)
        assert meaning.ignored == (meaning.kind is None)


@pytest.fixture
async def depot(post: Post) -> AsyncIterator[Depot]:
    """A carrier that the service works with."""
    depot = Depot(token="t" * 20, secret=SECRET)
    async with client_of(depot) as http:
        partner = VnpostCarrier(http, url="http://carrier.test", token=depot.token, webhook_secret=SECRET)
        post.app.state.carriers[partner.name] = partner
        yield depot


async def order(post: Post, shipment: dict[str, Any]) -> httpx.Response:
    url = f"/v1/shipments/{shipment['id']}/carriers/vnpost"
    return await post.client.post(url, headers={**post.office, "idempotency-key": str(uuid7())})


async def webhook(post: Post, depot: Depot, changed: dict[str, str] | None = None) -> httpx.Response:
    headers, body = depot.message()
    headers |= changed or {}
    return await post.client.post("/v1/carriers/vnpost/events", content=body, headers=headers)


async def test_a_leg_is_ordered_once_and_its_reference_kept(post: Post, depot: Depot) -> None:
    shipment = await post.book()

    first, again = await order(post, shipment), await order(post, shipment)

    assert (first.status_code, again.status_code) == (200, 200)
    assert list(depot.orders) == [shipment["id"]]
    [row] = await post.rows("select carrier, carrier_reference from shipment")
    assert (row["carrier"], row["carrier_reference"]) == ("vnpost", "VNP000001")
    assert set(depot.orders[shipment["id"]]) == {
        "client_order_key",
        "item_code",
        "sender_commune",
        "receiver_commune",
        "weight",
        "collect_amount",
        "note",
        "order_code",
        "cancelled",
    }  # fmt: skip — no name, no phone, no kind of dossier


async def test_a_carrier_that_is_down_or_says_no_leaves_nothing_half_done(post: Post, depot: Depot) -> None:
    heavy, light = await post.book(weight_grams=25_000), await post.book()
    refused = await order(post, heavy)
    depot.down = True
    away = await order(post, light)
    depot.down = False
    then = await order(post, light)

    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/carrier-refused")
    assert (away.status_code, away.headers["retry-after"]) == (503, "10")
    assert then.status_code == 200
    rows = await post.rows("select carrier_reference from shipment order by id")
    assert [row["carrier_reference"] for row in rows] == [None, "VNP000001"]


async def test_messages_become_facts_once_whether_brought_or_fetched(post: Post, depot: Depot) -> None:
    shipment = await post.book("return")
    await order(post, shipment)
    await post.send(event(shipment, "collected", 1))
    for code in ("P0", "P4", "11000", "C14"):
        depot.scan("VNP000001", code, office="BC Ba Đình")

    brought = await webhook(post, depot)
    carrier = post.app.state.carriers["vnpost"]
    fetched, cursor = await carrier_orders.poll_once(post.app.state.sessions, carrier, "", terms=post.app.state.terms)

    assert brought.json() == {"recorded": 3, "unmapped": 0, "unknown_item": 0, "ignored": 1, "repeated": 0}
    assert (fetched.repeated, fetched.recorded, cursor) == (4, 0, "4")
    found = await post.get(shipment)
    assert found["status"] == "delivered_pending_evidence"  # a carrier's word is a fact, not a proof
    assert [(e["kind"], e["applied"], e["anomaly"]) for e in found["events"]] == [
        ("collected", True, None),
        ("collected", False, "repeated"),
        ("out_for_delivery", True, "missing_scan"),
        ("handed_over", True, None),
    ]
    assert len(await post.rows("select 1 from carrier_message")) == 4


async def test_an_unknown_code_is_kept_told_and_never_guessed(post: Post, depot: Depot) -> None:
    shipment = await post.book()
    await order(post, shipment)
    depot.scan("VNP000001", "C44")
    depot.scan("VNP999999", "C14")

    answer = await webhook(post, depot)

    assert answer.json() == {"recorded": 0, "unmapped": 1, "unknown_item": 1, "ignored": 0, "repeated": 0}
    found = await post.get(shipment)
    assert found["status"] == "booked"
    assert [(e["kind"], e["applied"], e["anomaly"], e["note"]) for e in found["events"]] == [
        ("unmapped", False, "unmapped", "Vietnam Post: C44")
    ]
    assert await post.news() == ["shipment.booked", "shipment.anomaly"]
    stored = await post.rows("select outcome, body->>'status_code' as code from carrier_message order by message_key")
    assert [(row["outcome"], row["code"]) for row in stored] == [("unmapped", "C44"), ("unknown_item", "C14")]


async def test_a_failed_delivery_takes_the_carriers_reason_and_without_one_is_flagged(post: Post, depot: Depot) -> None:
    shipment = await post.book("return")
    await order(post, shipment)
    await post.send(event(shipment, "collected", 1), event(shipment, "out_for_delivery", 2))
    depot.scan("VNP000001", "C18", reason_code="01")
    depot.scan("VNP000001", "C18", reason_code="77")

    await webhook(post, depot)

    failed = [e for e in (await post.get(shipment))["events"] if e["kind"] == "attempt_failed"]
    assert [(e["reason"], e["measure"], e["anomaly"]) for e in failed] == [
        ("R01", "M1", None),
        (None, None, "reason_missing"),
    ]


async def test_a_message_that_is_not_the_carriers_changes_nothing(post: Post, depot: Depot) -> None:
    shipment = await post.book()
    await order(post, shipment)
    depot.scan("VNP000001", "P1")
    old = str(int((datetime.now(UTC) - timedelta(minutes=6)).timestamp()))
    _, body = depot.message()

    forged = [
        await webhook(post, depot, {"x-vnpost-signature": "0" * 64}),
        await webhook(post, depot, {"x-vnpost-timestamp": old}),
        await webhook(post, depot, {"x-vnpost-timestamp": "soon"}),
        await post.client.post("/v1/carriers/vnpost/events", content=body),
        await post.client.post("/v1/carriers/vnpost/events", content=body + b" ", headers=depot.message()[0]),
    ]
    stranger = await post.client.post("/v1/carriers/ghn/events", content=body)

    assert [answer.status_code for answer in forged] == [403] * 5
    assert stranger.status_code == 404
    assert await post.rows("select 1 from carrier_message") == []


async def test_a_signed_message_without_sense_is_refused_in_words(post: Post, depot: Depot) -> None:
    for nonsense in ("[]", "{}", '{"events": [{"order_code": "x"}]}', "not json"):
        depot.events = [json.loads("{}")]
        headers, _ = depot.message()
        from services.postal.carriers.vnpost import sign  # noqa: PLC0415

        headers["x-vnpost-signature"] = sign(SECRET.encode(), headers["x-vnpost-timestamp"], nonsense.encode())
        answer = await post.client.post("/v1/carriers/vnpost/events", content=nonsense.encode(), headers=headers)

        assert answer.status_code == 422, nonsense
        assert re.search("events", answer.json()["detail"])


async def test_the_adapter_cancels_and_fetches_labels_and_tells_trouble_from_refusal(post: Post, depot: Depot) -> None:
    shipment = await post.book()
    await order(post, shipment)
    carrier = post.app.state.carriers["vnpost"]

    await carrier.cancel_order("VNP000001")
    await carrier.cancel_order("VNP000001")
    label = await carrier.label("VNP000001")
    depot.down = True
    with pytest.raises(Unreachable, match="status 503"):
        await carrier.label("VNP000001")

    assert depot.orders[shipment["id"]]["cancelled"] is True
    assert label.startswith(b"%PDF")
