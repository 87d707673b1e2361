"""Receipts: numbers without gaps, amounts in words, and a check that anybody can make."""

import asyncio
import re
import zlib

from services.payment import receipts
from services.payment.models import ReceiptSeries
from tests.payment.conftest import World, line_of


async def test_receipts_are_numbered_without_gaps_whoever_pays_at_once(world: World) -> None:
    bills = [await world.bill(10_000 + n) for n in range(6)]
    attempts = [await world.attempt(bill, "vietqr") for bill in bills]
    entries = [await world.transfer(attempt["qr_payload"], told=False) for attempt in attempts]

    await asyncio.gather(*(world.notify(entry) for entry in entries))
    await world.make_due()
    await world.notify(entries[0])

    numbers = [row["number"] for row in await world.database.fetch("select number from receipt order by serial")]
    assert numbers == [f"LT26-{serial:07d}" for serial in range(1, 7)]


async def test_a_number_rolled_back_is_used_by_the_next(world: World) -> None:
    first = await world.bill(0)
    async with world.till.sessions() as session:
        series = await session.get(ReceiptSeries, "LT26", with_for_update=True)
        assert series is not None
        series.last_serial += 1
        await session.flush()
        await session.rollback()
    second = await world.bill(0)

    assert [p["receipt_number"] for p in (first, second)] == ["LT26-0000001", "LT26-0000002"]


async def test_the_pdf_is_a_page_with_the_bill_on_it(world: World) -> None:
    payment = await world.bill(lines=[line_of(180_000, 1, budget=20_000), line_of(30_000, 2, kind="postage")])
    before = await world.call("GET", f"/v1/payments/{payment['id']}/receipt.pdf")
    await world.attempt(payment, payment_method="pm_card_visa")

    answer = await world.call("GET", f"/v1/payments/{payment['id']}/receipt.pdf")

    assert before.status_code == 404
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b", answer.content)) == 1
    assert answer.headers["content-disposition"] == 'inline; filename="LT26-0000001.pdf"'


async def test_a_receipt_keeps_its_content_when_the_payer_changes(world: World) -> None:
    payment = await world.paid_by_card(50_000)
    path = f"/v1/payers/{payment['dossier_code']}"
    await world.ok("PUT", path, {"name": "Tên Mới"})

    assert '"payer_name": ""' in await world.database.fetchval("select content::text from receipt")


def test_a_qr_svg_draws_every_dark_module_once() -> None:
    svg = receipts.qr_svg("LT0000000000")

    assert svg.startswith("<svg")
    assert svg.count("h1v1h-1z") > 100
    assert "style" not in svg


def test_a_qr_png_is_a_picture_with_its_quiet_zone() -> None:
    png = receipts.qr_png("LT0000000000", scale=4)

    assert png.startswith(b"\x89PNG")
    assert zlib.crc32(png) != 0
