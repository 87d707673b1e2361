"""Contacts and bookings: once for ever, rules in the database, cancelling in time."""

import asyncio

import asyncpg
import pytest

from services.postal import chain, s10
from services.postal.app import create_app
from tests.conftest import Issuer, running
from tests.postal.conftest import CHECKLIST, PERSON, Post, event, journey, postal_settings


async def test_a_contact_is_put_once_and_the_same_again_is_the_same(post: Post) -> None:
    first, again = await post.put_contact("H26.01-260302-0001"), await post.put_contact("H26.01-260302-0001")

    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    assert set(first.json()) == {"id", "dossier_code", "commune"}


async def test_another_contact_for_the_dossier_is_refused_by_field_name_not_by_value(post: Post) -> None:
    await post.put_contact("H26.01-260302-0001")

    refused = await post.put_contact("H26.01-260302-0001", phone="0987654321", address="chỗ khác")

    assert refused.status_code == 409
    assert refused.json()["type"] == "/problems/already-different"
    assert refused.json()["differs"] == ["address", "phone"]
    for value in (*PERSON.values(), "0987654321", "chỗ khác"):
        assert value not in refused.text
    assert [row["phone"] for row in await post.rows("select phone from contact")] == [PERSON["phone"]]


async def test_a_booking_gets_a_valid_number_and_a_checklist_and_is_announced(post: Post) -> None:
    shipment = await post.book()

    assert s10.is_valid(shipment["s10"])
    assert shipment["s10"].startswith("RR1")
    assert shipment["s10"].endswith("XX")
    assert shipment["status"] == "booked"
    assert shipment["custodian"] == "citizen"
    assert shipment["version"] == 1
    assert shipment["tracking_url"] == f"http://postal.test/track/{shipment['s10']}"
    assert shipment["pieces"] == [
        {"position": n, "name": name, "collected": False} for n, name in enumerate(CHECKLIST, start=1)
    ]
    assert await post.news(shipment["dossier_code"]) == ["shipment.booked"]


async def test_the_same_booking_again_gives_the_first_and_another_under_its_key_is_refused(post: Post) -> None:
    first = await post.book()
    contact = (await post.put_contact(first["dossier_code"])).json()
    body = {
        "shipment_key": f"{first['dossier_code']}/outbound",
        "dossier_code": first["dossier_code"],
        "direction": "outbound",
        "contact_id": contact["id"],
        "agency": "H26.01",
        "agency_commune": "00004",
        "weight_grams": 60,
        "postage_dong": 26_000,
        "checklist": CHECKLIST,
    }

    again = await post.client.post("/v1/shipments", json=body, headers=post.office)
    other = await post.client.post(
        "/v1/shipments", json={**body, "weight_grams": 61, "checklist": ["x"]}, headers=post.office
    )

    assert again.status_code == 200
    assert again.json() == first
    assert other.status_code == 409
    assert other.json()["differs"] == ["checklist", "weight_grams"]
    assert [row["n"] for row in await post.rows("select count(*) as n from shipment")] == [1]
    assert await post.news() == ["shipment.booked"]


async def test_two_bookings_at_once_under_one_key_make_one_shipment(post: Post) -> None:
    contact = (await post.put_contact("H26.01-260302-0001")).json()
    body = {
        "shipment_key": "k",
        "dossier_code": "H26.01-260302-0001",
        "direction": "return",
        "contact_id": contact["id"],
        "agency": "H26.01",
        "agency_commune": "00004",
        "weight_grams": 60,
        "postage_dong": 26_000,
        "checklist": CHECKLIST,
    }

    answers = await asyncio.gather(
        *(post.client.post("/v1/shipments", json=body, headers=post.office) for _ in range(6))
    )

    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await post.news() == ["shipment.booked"]


async def test_numbers_are_never_given_out_twice(post: Post) -> None:
    shipments = [await post.book() for _ in range(3)]

    serials = [int(shipment["s10"][2:10]) for shipment in shipments]
    assert serials == [10_000_000, 10_000_001, 10_000_002]


async def test_a_contact_or_earlier_leg_of_another_dossier_is_refused(post: Post) -> None:
    other = await post.book()
    contact = (await post.put_contact("H26.01-260302-0099")).json()
    stranger = (await post.put_contact("H26.01-260302-0098")).json()
    body = {
        "shipment_key": "k",
        "dossier_code": "H26.01-260302-0099",
        "direction": "return",
        "agency": "H26.01",
        "agency_commune": "00004",
        "weight_grams": 60,
        "postage_dong": 26_000,
        "checklist": CHECKLIST,
    }

    for wrong in (
        {"contact_id": "ctc_unknown"},
        {"contact_id": stranger["id"]},
        {"contact_id": contact["id"], "previous_shipment_id": other["id"]},
    ):
        answer = await post.client.post("/v1/shipments", json={**body, **wrong}, headers=post.office)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == list(wrong)[-1]
    assert len(await post.rows("select 1 from shipment")) == 1


async def test_cancelling_before_pickup_ends_the_leg_once(post: Post) -> None:
    shipment = await post.book()
    url = f"/v1/shipments/{shipment['id']}/cancel"

    first = await post.client.post(url, headers=post.office | {"idempotency-key": "a"})
    again = await post.client.post(url, headers=post.office | {"idempotency-key": "b"})

    assert (first.status_code, first.json()["status"], first.json()["custodian"]) == (200, "cancelled", "citizen")
    assert again.json() == first.json()
    assert await post.news() == ["shipment.booked", "shipment.cancelled"]
    assert len((await post.get(shipment))["events"]) == 1


async def test_cancelling_after_pickup_is_refused_and_advises_the_return_leg(post: Post) -> None:
    shipment = await post.book()
    await post.send(event(shipment, "collected"))

    refused = await post.client.post(
        f"/v1/shipments/{shipment['id']}/cancel", headers=post.office | {"idempotency-key": "a"}
    )

    assert refused.status_code == 409
    assert refused.json()["type"] == "/problems/cannot-cancel"
    assert "chiều về" in refused.json()["detail"]
    assert (await post.get(shipment))["status"] == "collected"


async def test_lists_filter_and_page(post: Post) -> None:
    booked = [await post.book() for _ in range(3)]
    returned = await post.book("return", dossier_code=booked[0]["dossier_code"])
    await post.send(event(booked[1], "collected"))

    async def ids(**query: str | int) -> list[str]:
        found: list[str] = []
        cursor: str | None = None
        while True:
            parameters = {**query, **({"cursor": cursor} if cursor else {})}
            page = (await post.client.get("/v1/shipments", params=parameters, headers=post.office)).json()
            found += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    everything = [returned["id"], *(shipment["id"] for shipment in reversed(booked))]
    assert await ids(limit=1) == everything
    assert await ids() == everything
    assert await ids(status="collected") == [booked[1]["id"]]
    assert await ids(direction="return") == [returned["id"]]
    assert await ids(dossier_code=booked[0]["dossier_code"]) == [returned["id"], booked[0]["id"]]


async def test_the_receipt_comes_with_the_pickup_and_names_what_was_counted(post: Post) -> None:
    shipment = await post.book()
    url = f"/v1/shipments/{shipment['id']}/receipt"

    before = await post.client.get(url, headers=post.office)
    await post.send(*journey(shipment)[:2], headers=post.courier())
    after = await post.client.get(url, headers=post.office)

    assert (before.status_code, before.json()["type"]) == (409, "/problems/not-collected-yet")
    receipt = after.json()
    assert receipt["receipt_code"] == (await post.get(shipment))["receipt_code"]
    assert receipt["receipt_code"].startswith("BN")
    assert receipt["seal_number"] == "NP-7"
    assert receipt["page_count"] == 5
    assert receipt["collected_by"] == "buu-ta-1"
    assert [piece["collected"] for piece in receipt["pieces"]] == [True, True]
    assert receipt["event_hash"] == (await post.rows("select hash from event where kind = 'collected'"))[0]["hash"]


async def test_the_database_itself_holds_the_rules(post: Post) -> None:
    shipment = await post.book()
    connection = await asyncpg.connect(post.database_url)
    try:
        for broken in (
            "update shipment set status = 'lost'",
            "update shipment set custodian = 'nobody_known'",
            "update shipment set status = 'somewhere'",
            "update shipment set weight_grams = 0",
            "update shipment set cash_collected_dong = 1",
            "update shipment set cash_due_dong = 5",
            "insert into piece (shipment_id, position, name, collected) values ('nobody', 1, 'x', false)",
            "update contact set commune = 'abcde'",
        ):
            with pytest.raises(asyncpg.IntegrityConstraintViolationError):
                await connection.execute(broken)
    finally:
        await connection.close()
    assert (await post.get(shipment))["status"] == "booked"


async def test_a_range_that_overlaps_a_lent_one_stops_the_start(post: Post, issuer: Issuer) -> None:
    settings = postal_settings(post.database_url).model_copy(
        update={"s10_first_serial": 19_999_999, "s10_last_serial": 20_000_000}
    )

    with pytest.raises(ValueError, match="overlaps"):
        async with running(create_app(settings), issuer):
            pass


async def test_ranges_are_used_up_in_the_order_they_were_lent_and_then_say_so(post: Post, issuer: Issuer) -> None:
    await post.rows("update s10_range set last_serial = first_serial + 1")
    settings = postal_settings(post.database_url).model_copy(
        update={"s10_first_serial": 50_000_000, "s10_last_serial": 50_000_000}
    )

    async with running(create_app(settings), issuer) as client:
        second = Post(post.app, client, issuer, post.database_url, post.numbers)
        serials = [int((await second.book())["s10"][2:10]) for _ in range(3)]
        contact = (await second.put_contact("H26.01-260302-0099")).json()
        body = {
            "shipment_key": "k",
            "dossier_code": "H26.01-260302-0099",
            "direction": "return",
            "contact_id": contact["id"],
            "agency": "H26.01",
            "agency_commune": "00004",
            "weight_grams": 60,
            "postage_dong": 0,
            "checklist": CHECKLIST,
        }
        refused = await client.post("/v1/shipments", json=body, headers=second.office)

    assert serials == [10_000_000, 10_000_001, 50_000_000]
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/item-numbers-exhausted")


# --- what the postage rests on, and numbers that run out ------------------------------------------

QUOTE = {
    "quote_id": "quo_1",
    "inputs_hash": "a" * 64,
    "catalogue_version": "2026.1",
    "agreement": "da-nang-2021",
    "lines": [
        {"item": "postage-send", "gross_dong": 26_000, "due_dong": 13_000, "basis": ["da-nang-2021: applied, TT 22"]}
    ],
}


async def test_the_quote_of_a_leg_is_kept_frozen_with_its_hash(post: Post) -> None:
    shipment = await post.book(quote=QUOTE)

    found = await post.get(shipment)

    assert found["quote"] == {"quote": QUOTE, "sha256": chain.digest(QUOTE)}
    assert (await post.get(await post.book()))["quote"] is None


async def test_a_quote_that_is_not_of_this_postage_is_refused(post: Post) -> None:
    contact = (await post.put_contact("H26.01-260302-9999")).json()
    body = {
        "shipment_key": "k",
        "dossier_code": "H26.01-260302-9999",
        "direction": "outbound",
        "contact_id": contact["id"],
        "agency": "H26.01",
        "agency_commune": "00004",
        "weight_grams": 60,
        "postage_dong": 26_001,
        "checklist": ["Đơn"],
        "quote": QUOTE,
    }

    answer = await post.client.post("/v1/shipments", json=body, headers=post.office)

    assert answer.status_code == 422
    assert await post.rows("select 1 from shipment") == []


async def test_it_is_told_once_that_the_last_range_of_numbers_is_nearly_used_up(post: Post) -> None:
    await post.rows("update s10_range set last_serial = first_serial + 19")
    for _ in range(17):
        await post.book()
    enough = [news for news in await post.news() if news == "numbers.low"]

    for _ in range(3):
        await post.book()
    contact = (await post.put_contact("H26.01-260302-0999")).json()
    body = {
        "shipment_key": "z",
        "dossier_code": "H26.01-260302-0999",
        "direction": "outbound",
        "contact_id": contact["id"],
    }
    body["direction"] = "outbound"
    rest = {"agency": "H", "agency_commune": "00004", "weight_grams": 60, "postage_dong": 0, "checklist": ["Đơn"]}
    used_up = await post.client.post("/v1/shipments", json={**body, **rest}, headers=post.office)

    assert enough == []
    [told] = await post.rows("select data from outbox where kind = 'numbers.low'")
    assert '"numbers_left": 2' in told["data"]
    assert (used_up.status_code, used_up.json()["type"]) == (503, "/problems/item-numbers-exhausted")
