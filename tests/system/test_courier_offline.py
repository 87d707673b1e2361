"""The courier's page in a real browser, mostly without a network: nothing is lost, nothing is doubled."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, async_playwright

from sandbox.screenshots import CHROMIUM_ARGUMENTS, chromium
from tests.conftest import Issuer
from tests.postal.conftest import Post, journey
from tests.system.courier import Field, Phone, phone, photo, serving

pytestmark = [pytest.mark.browser, pytest.mark.skipif(chromium() is None, reason="Chromium is not installed")]


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for the module; every phone is a context of its own."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_ARGUMENTS)
        yield running
        await running.close()


@pytest.fixture
async def field(database: Callable[[str], Any], issuer: Issuer, tmp_path: Path) -> AsyncIterator[Field]:
    """A postal service on a port of its own, with an empty evidence folder."""
    async with serving(await database("postal"), issuer, tmp_path / "evidence") as running:
        yield running


async def at_the_office(post: Post, count: int) -> list[dict[str, Any]]:
    """Results that wait at the delivery office to be taken out."""
    shipments = [await post.book("return") for _ in range(count)]
    await post.send(*[fact for shipment in shipments for fact in journey(shipment)[:5]])
    return shipments


async def from_the_phone(post: Post) -> list[dict[str, Any]]:
    """What came from couriers' phones, in the order of the log."""
    return await post.rows(
        "select e.*, s.s10, v.applied, v.anomaly from event e join shipment s on s.id = e.shipment_id "
        "join verdict v on v.event_id = e.id where e.device_id like 'phone-%-%' order by device_id, device_seq"
    )


async def test_a_round_of_twenty_stops_without_a_network_arrives_once_in_order_with_its_evidence(
    field: Field, browser: Browser, tmp_path: Path
) -> None:
    post = field.post
    pickups = [await post.book("outbound") for _ in range(6)]
    results = await at_the_office(post, 14)
    async with phone(field, browser) as hand:
        await hand.context.set_offline(True)

        await hand.scans_all("take_out", results)
        for shipment in results[:6]:
            await hand.delivers_by_code(shipment)
        for shipment in results[6:8]:
            await _deliver_by_signature(hand, shipment)
        await _deliver_by_photo(hand, results[8], photo(tmp_path, place=True))
        for shipment in results[9:14]:
            await hand.fails(shipment, "R01")
        for number, shipment in enumerate(pickups[:5]):
            await hand.collects(shipment, seal=f"NP-{number}")
        await hand.fails(pickups[5], "R20")
        await hand.page.reload()
        await hand.is_at_the_round()
        await hand.scans_all("hand_in", pickups[:5])
        assert (await hand.summary())["queued"] == 14 + 9 + 5 + 6 + 5
        assert await from_the_phone(post) == []

        await hand.context.set_offline(False)
        await hand.has_sent_everything()

        assert await hand.troubles() == []
        assert (await hand.summary())["stored"] == 39
        assert (await hand.summary())["trouble"] == 0
    facts = await from_the_phone(post)
    assert [fact["device_seq"] for fact in facts] == list(range(1, 40))
    assert [fact["occurred_at"] for fact in facts] == sorted(fact["occurred_at"] for fact in facts)
    assert {(fact["applied"], fact["anomaly"]) for fact in facts} == {(True, None)}
    assert {fact["actor"] for fact in facts} == {"buu-ta-1"}
    assert [(await post.get(s))["status"] for s in results] == ["delivered"] * 9 + ["attempt_failed"] * 5
    assert [(await post.get(s))["status"] for s in pickups] == ["at_origin_office"] * 5 + ["pickup_failed"]
    named = await post.rows(
        "select f.sha256, f.kind, e.media_type from event_file f left join evidence_file e using (sha256)"
    )
    assert (
        sorted(row["kind"] for row in named)
        == ["citizen_signature"] * 5 + ["handover_photo"] + ["receiver_signature"] * 2
    )
    assert all(row["media_type"] for row in named)
    kept = {file.name for file in (tmp_path / "evidence").rglob("*") if file.is_file()}
    assert kept == {row["sha256"] for row in named}


async def _deliver_by_signature(hand: Phone, shipment: dict[str, Any]) -> None:
    await hand.opens(shipment)
    await hand.chooses("receiver", "authorised_person")
    await hand.chooses("proof", "signature")
    await hand.signs("receiver_signature")
    await hand.submits("deliver")


async def _deliver_by_photo(hand: Phone, shipment: dict[str, Any], picture: Path) -> None:
    await hand.opens(shipment)
    await hand.chooses("receiver", "addressee")
    await hand.chooses("proof", "photo")
    await hand.page.set_input_files("[data-for=photo] input[type=file]", picture)
    await hand.page.wait_for_selector("[data-for=photo] [data-t=said]:has-text('Đã giữ ảnh')")
    await hand.submits("deliver")
