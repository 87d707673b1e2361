"""The courier's page in a real browser, mostly without a network: nothing is lost, nothing is doubled."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import qrcode
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Route, async_playwright

from sandbox.screenshots import CHROMIUM_ARGUMENTS, chromium
from tests.conftest import Issuer
from tests.postal.conftest import Post, journey
from tests.system.courier import CSRF, Field, Phone, phone, photo, serving

pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("courier"),
    pytest.mark.skipif(chromium() is None, reason="Chromium is not installed"),
]


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


async def test_a_delivery_takes_four_taps(field: Field, browser: Browser) -> None:
    shipment = await field.post.book("return")
    await field.post.send(*journey(shipment)[:6])
    async with phone(field, browser) as hand:
        await hand.page.evaluate("self.taps = 0; addEventListener('click', (e) => { taps += e.isTrusted; }, true);")

        await hand.page.click(f"a[href='#/stop/{shipment['s10']}']")
        await hand.chooses("receiver", "addressee")
        await hand.chooses("proof", "code")
        await hand.page.keyboard.type(field.code(shipment))
        await hand.submits("deliver")

        assert await hand.page.evaluate("taps") == 4
        await hand.has_sent_everything()
    assert (await field.post.get(shipment))["status"] == "delivered"


async def test_a_reload_in_mid_signature_loses_no_stroke_and_no_field(field: Field, browser: Browser) -> None:
    cash = {"amount_dong": 130_000, "payment_id": "p", "attempt_reference": "a"}
    shipment = await field.post.book("outbound", cash=cash)
    async with phone(field, browser) as hand:
        await hand.context.set_offline(True)
        await hand.opens(shipment)
        await hand.page.fill("#c-seal", "NP-77")
        await hand.page.check("input[name=piece][value='2']")
        await hand.signs("citizen_signature")
        drawn = await hand.page.evaluate(_INK)
        assert drawn > 100

        await hand.page.reload()

        await hand.page.wait_for_selector("[data-form=collect]:not([hidden])")
        assert await hand.page.evaluate(_INK) == drawn
        assert await hand.page.input_value("#c-seal") == "NP-77"
        assert await hand.page.is_checked("input[name=piece][value='2']")
        assert not await hand.page.is_checked("input[name=piece][value='1']")
        await hand.page.check("[data-pad=courier_signature] [data-paper]")
        await hand.submits("collect")
        await hand.page.wait_for_selector("[data-cash]:has-text('Tiền mặt chưa nộp: 130.000 ₫ (1 khoản)')")
        await hand.context.set_offline(False)
        await hand.has_sent_everything()
    found = await field.post.get(shipment)
    assert (found["status"], found["seal_number"], found["cash_collected_dong"]) == ("collected", "NP-77", 130_000)
    assert [piece["collected"] for piece in found["pieces"]] == [False, True]


_INK = """() => [...document.querySelector("[data-pad=citizen_signature] canvas").getContext("2d")
  .getImageData(0, 0, 640, 220).data].filter((value, index) => index % 4 === 0 && value < 128).length"""


async def test_a_full_phone_refuses_pictures_and_still_keeps_facts(
    field: Field, browser: Browser, tmp_path: Path
) -> None:
    shipment = await field.post.book("return")
    await field.post.send(*journey(shipment)[:6])
    async with phone(field, browser) as hand:
        await hand.context.set_offline(True)
        await hand.page.evaluate(_FULL_PHONE)
        await hand.opens(shipment)
        await hand.chooses("receiver", "addressee")
        await hand.chooses("proof", "photo")
        await hand.page.set_input_files("[data-for=photo] input[type=file]", photo(tmp_path))
        await hand.page.wait_for_selector("[data-for=photo] [data-t=said]:has-text('Bộ nhớ máy đầy')")
        await hand.page.click("[data-form=deliver] button[type=submit]")
        await hand.page.wait_for_selector("[data-form=deliver] [data-problem]:has-text('Hãy chụp ảnh')")
        assert (await hand.summary())["queued"] == 0

        await hand.delivers_by_code(shipment)

        assert await hand.page.evaluate("LT.meta('ballast')") is None  # it made room for the fact
        assert ((await hand.summary())["queued"], (await hand.summary())["files"]) == (1, 0)
        await hand.context.set_offline(False)
        await hand.has_sent_everything()
    assert (await field.post.get(shipment))["status"] == "delivered"


_FULL_PHONE = """() => {
  // No room for blobs at all, and none for facts until the ballast has been thrown overboard.
  const { put, add, delete: remove } = IDBObjectStore.prototype;
  const refuse = () => { throw new DOMException("full", "QuotaExceededError"); };
  let ballast = true;
  Object.assign(IDBObjectStore.prototype, {
    delete(key) { if (key === "ballast") ballast = false; return remove.call(this, key); },
    put(...all) { return this.name === "blobs" ? refuse() : put.apply(this, all); },
    add(...all) { return this.name === "events" && ballast ? refuse() : add.apply(this, all); },
  });
}"""


async def test_signing_out_with_unsent_facts_is_refused_until_they_are_rescued(
    field: Field, browser: Browser, tmp_path: Path
) -> None:
    shipment = await field.post.book("return")
    await field.post.send(*journey(shipment)[:6])
    async with phone(field, browser) as hand, phone(field, browser) as other:
        await hand.context.set_offline(True)
        await _deliver_by_photo(hand, shipment, photo(tmp_path))
        await hand.goes_to("#/outbox")
        await hand.page.click("details:has([data-do=leave]) summary")
        await hand.page.click("[data-do=leave]")
        await hand.page.wait_for_selector("[data-t=leave]:has-text('Còn 2 mục chưa gửi')")
        assert ((await hand.summary())["queued"], (await hand.summary())["courier"]) == (1, "buu-ta-1")

        await hand.page.click("details:has([data-do=export]) summary")
        async with hand.page.expect_download() as saving:
            await hand.page.click("[data-do=export]")
        rescued = tmp_path / "rescue.json"
        await (await saving.value).save_as(rescued)
        await other.goes_to("#/outbox")
        await other.page.set_input_files("[data-import]", rescued)
        await other.page.wait_for_selector("#toast:has-text('Đã nhận 1 ghi nhận')")
        await other.has_sent_everything()
        [fact] = await from_the_phone(field.post)
        assert fact["device_id"] == (await hand.summary())["device_id"] != (await other.summary())["device_id"]
        assert (await field.post.get(shipment))["status"] == "delivered"

        await hand.context.set_offline(False)  # the first phone wakes up and sends the same again
        await hand.has_sent_everything()
        assert len(await from_the_phone(field.post)) == 1
        broken = json.loads(rescued.read_text())
        broken["files"][0]["base64"] = "AAAA"
        rescued.write_text(json.dumps(broken))
        await other.page.set_input_files("[data-import]", rescued)
        await other.page.wait_for_selector("#toast:has-text('không phải tệp cứu hộ')")


async def test_a_photo_that_dies_at_eighty_per_cent_goes_on_where_it_stopped(
    field: Field, browser: Browser, tmp_path: Path
) -> None:
    shipment = await field.post.book("return")
    await field.post.send(*journey(shipment)[:6])
    offsets: list[int] = []
    async with phone(field, browser) as hand:
        size = await hand.page.evaluate("LT.PART = 16 * 1024")

        async def cut(route: Route) -> None:
            offsets.append(int(route.request.headers["upload-offset"]))
            if len(offsets) == 5:
                await route.abort("connectionreset")
            else:
                await route.continue_()

        await hand.context.route("**/v1/evidence/*", cut)
        await _deliver_by_photo(hand, shipment, photo(tmp_path))
        await hand.page.wait_for_selector("#chip:has-text('1 chờ gửi')")
        while len(offsets) < 5 or (await hand.summary())["problem"] != "offline":
            await hand.page.wait_for_timeout(20)
        [waiting] = await field.post.rows("select sum(length(content)) as bytes from evidence_chunk")
        await hand.sends()

    assert waiting["bytes"] == 4 * size
    assert offsets[:6] == [0, size, 2 * size, 3 * size, 4 * size, 4 * size]
    assert len(set(offsets)) == len(offsets) - 1
    found = await field.post.get(shipment)
    assert (found["status"], found["files_missing"]) == ("delivered", 0)


async def test_trouble_is_kept_and_told_and_holds_nothing_up(field: Field, browser: Browser) -> None:
    post = field.post
    first, second, third, fourth = [await post.book("return") for _ in range(4)]
    await post.send(*[fact for shipment in (first, second, third, fourth) for fact in journey(shipment)[:6]])
    async with phone(field, browser) as hand:
        await hand.context.set_offline(True)
        for shipment in (first, second, third, fourth):
            await hand.fails(shipment, "R01")
        await hand.page.evaluate(_SPOIL, [first["s10"], second["s10"]])
        ids = await hand.page.evaluate(_IDS)
        taken = {**journey(third)[5], "event_id": ids[2], "kind": "arrived_delivery_office"}
        await post.send(taken)  # the same id with another body: somebody was there before
        await hand.context.set_offline(False)
        await hand.has_sent_everything()

        troubles = await hand.troubles()
        await hand.goes_to("#/outbox")
        shown = await hand.page.inner_text("[data-trouble]")
        await hand.page.click("[data-trouble] li:first-child [data-act=settle]")
        await hand.page.wait_for_selector("[data-trouble]:not(:has(li:nth-child(3)))")

        assert [trouble.split(":")[0] for trouble in troubles] == [
            "attempt_failed conflict",
            "attempt_failed unknown_item",
            "attempt_failed rejected",
        ]
        assert "Máy chủ đã có một ghi nhận khác dưới cùng mã" in shown
        assert "Không có bưu gửi mang số hiệu này" in shown
        assert "(reason)" in shown
        assert (await hand.summary())["settled"] == 1
    assert [(await post.get(shipment))["status"] for shipment in (first, second, fourth)] == [
        "out_for_delivery",
        "out_for_delivery",
        "attempt_failed",
    ]


_IDS = "LT.read('events', (store) => store.getAll()).then((rows) => rows.map((row) => row.id))"
_SPOIL = """([unknown, broken]) => LT.transact(['events'], 'readwrite', async (store) => {
  for (const row of await LT.got(store('events').getAll())) {
    if (row.event.s10 === unknown) store('events').put({ ...row, event: { ...row.event, s10: 'RR999999995XX' } });
    if (row.event.s10 === broken) store('events').put({ ...row, event: { ...row.event, reason: 'R99' } });
  }
})"""


async def test_an_ended_sign_in_keeps_the_facts_until_somebody_signs_in_again(field: Field, browser: Browser) -> None:
    shipment = await field.post.book("return")
    await field.post.send(*journey(shipment)[:6])
    async with phone(field, browser) as hand:
        await hand.context.clear_cookies()
        await hand.delivers_by_code(shipment)
        await hand.page.wait_for_selector("#chip:has-text('Đăng nhập lại')")
        await hand.goes_to("#/outbox")
        await hand.page.wait_for_selector("[data-sign-in]:not([hidden])")
        assert (await hand.summary())["queued"] == 1

        await hand.context.add_cookies([field.cookie("buu-ta-2")])  # type: ignore[list-item]
        await hand.page.click("[data-do=flush]")
        await hand.page.wait_for_selector("#toast:has-text('Trên máy còn ghi nhận của Bưu tá buu-ta-1')")
        assert await from_the_phone(field.post) == []

        await hand.context.add_cookies([field.cookie("buu-ta-1")])  # type: ignore[list-item]
        await hand.sends()
    [fact] = await from_the_phone(field.post)
    assert fact["actor"] == "buu-ta-1"


async def test_three_thousand_facts_after_a_day_with_a_clock_twenty_six_hours_ahead(
    field: Field, browser: Browser
) -> None:
    post = field.post
    shipment = await post.book("return")
    await post.send(*journey(shipment)[:6])
    batches: list[int] = []
    async with phone(field, browser, script=_FAST_CLOCK) as hand:

        async def count(route: Route) -> None:
            batches.append(len(json.loads(route.request.post_data or "{}")["events"]))
            await route.continue_()

        await hand.context.route("**/courier/sync/events", count)
        await hand.context.set_offline(True)
        await hand.delivers_by_code(shipment)
        await hand.page.evaluate(_MANY_FACTS, 2_999)
        assert (await hand.summary())["queued"] == 3_000

        await hand.context.set_offline(False)
        await hand.has_sent_everything(60)

        assert (await hand.summary())["unknown_item"] == 2_999
        skew = (await hand.summary())["skew_ms"]
    assert [size for size in batches if size] == [500] * 6
    assert abs(skew - 26 * 3_600_000) < 5_000
    found = await post.get(shipment)
    assert (found["status"], found["custodian"]) == ("delivered", "citizen")
    [device] = await post.rows("select * from device")
    assert (device["unsent_events"], device["unsent_files"], device["last_seq"]) == (0, 0, 3_000)
    assert abs(device["clock_skew_ms"] - 26 * 3_600_000) < 5_000


# A page's clock can be moved, its worker's cannot: here the page alone sends, as where there is no background sync.
_FAST_CLOCK = """
  delete self.ServiceWorkerRegistration?.prototype.sync;
  const now = Date.now;
  Date = class extends Date {
    constructor(...all) { super(...(all.length ? all : [now() + 26 * 3600e3])); }
    static now() { return now() + 26 * 3600e3; }
  };"""
_MANY_FACTS = """(count) => LT.record(Array.from({ length: count }, () => (
  { s10: "RR999999995XX", kind: "out_for_delivery" })))"""


async def test_wrong_codes_are_counted_false_labels_stop_and_foreign_numbers_are_told(
    field: Field, browser: Browser
) -> None:
    shipment = await field.post.book("return")
    await field.post.send(*journey(shipment)[:6])
    async with phone(field, browser) as hand:
        await hand.context.set_offline(True)
        await hand.opens(shipment)
        await hand.chooses("receiver", "addressee")
        await hand.chooses("proof", "code")
        for left in (4, 3, 2, 1):
            await hand.page.fill("#c-code", "00000000")
            await hand.page.click("[data-form=deliver] button[type=submit]")
            await hand.page.wait_for_selector(f"[data-problem]:has-text('còn {left} lần')")
        await hand.page.click("[data-form=deliver] button[type=submit]")
        await hand.page.wait_for_selector("[data-problem]:has-text('quá số lần')")
        await hand.page.fill("#c-code", field.code(shipment))
        await hand.page.click("[data-form=deliver] button[type=submit]")
        await hand.page.wait_for_selector("[data-code-said]:has-text('quá số lần')")
        assert (await hand.summary())["queued"] == 0

        await hand.goes_to("#/scan")
        await hand.page.fill("#c-typed", field.label(shipment)[:-4] + "AAAA")
        await hand.page.press("#c-typed", "Enter")
        await hand.page.wait_for_selector("[data-said]:has-text('tem có thể là giả')")
        told = {shipment["s10"][:-3] + "0XX": "Số hiệu không đúng", "RR999999995XX": "không thuộc tuyến"}
        for typed, said in told.items():
            await hand.page.fill("#c-typed", typed)
            await hand.page.press("#c-typed", "Enter")
            await hand.page.wait_for_selector(f"[data-said]:has-text('{said}')")
        await hand.page.fill("#c-typed", field.label(shipment))
        await hand.page.press("#c-typed", "Enter")
        await hand.page.wait_for_selector("[data-t=alarm]:has-text('giả'), [data-t=label]:has-text('Tem đúng')")


async def test_a_phone_that_reads_no_codes_has_the_photo_of_a_label_read(
    field: Field, browser: Browser, tmp_path: Path
) -> None:
    [first, _] = await at_the_office(field.post, 2)
    picture = tmp_path / "label.png"
    qrcode.make(field.label(first)).get_image().save(picture)
    async with phone(field, browser, script="delete self.BarcodeDetector;") as hand:
        await hand.goes_to("#/scan/take_out")
        await hand.page.click("[data-do=camera]")
        await hand.page.wait_for_selector("[data-said]:has-text('không tự đọc được mã')")
        await hand.page.set_input_files("[data-label-photo]", picture)
        await hand.page.wait_for_selector("[data-t=count]:has-text('1 / 2')")
        await hand.page.set_input_files("[data-label-photo]", photo(tmp_path))
        await hand.page.wait_for_selector("[data-said]:has-text('Không đọc được tem')")
        await hand.context.set_offline(True)
        await hand.page.set_input_files("[data-label-photo]", picture)
        await hand.page.wait_for_selector("[data-said]:has-text('Không có mạng để đọc ảnh')")


async def test_a_camera_that_reads_codes_fills_the_list(field: Field, browser: Browser) -> None:
    waiting = await at_the_office(field.post, 3)
    labels = json.dumps([field.label(shipment) for shipment in waiting])
    async with phone(field, browser, script=_CAMERA) as hand:
        await hand.goes_to("#/scan/take_out")
        await hand.page.click("[data-do=camera]")
        await hand.page.evaluate(f"self.inView = {labels}")
        await hand.page.wait_for_selector("[data-t=count]:has-text('3 / 3')")
        await hand.page.click("[data-do=commit]")
        await hand.is_at_the_round()
        await hand.opens(waiting[0])
        await hand.chooses("receiver", "addressee")
        await hand.chooses("proof", "code")
        await hand.page.evaluate("code => { self.inView = [code]; }", field.code(waiting[0]))
        await hand.page.click("[data-scan-code]")
        await hand.page.wait_for_selector("video:not([hidden])", state="detached")
        await hand.submits("deliver")
        await hand.has_sent_everything()
    statuses = [(await field.post.get(shipment))["status"] for shipment in waiting]
    assert statuses == ["delivered", "out_for_delivery", "out_for_delivery"]


_CAMERA = """
  self.inView = [];
  self.BarcodeDetector = class {
    static async getSupportedFormats() { return ["qr_code", "code_128"]; }
    async detect() { return self.inView.map((rawValue) => ({ rawValue })); }
  };
  navigator.mediaDevices.getUserMedia = async () => {
    const canvas = document.createElement("canvas");
    canvas.getContext("2d");
    return canvas.captureStream(5);
  };"""


async def test_the_page_is_small_and_says_nothing_of_anybody(field: Field, browser: Browser) -> None:
    sizes: dict[str, int] = {}
    async with phone(field, browser) as hand:
        page = await hand.context.new_page()
        page.on("response", lambda answer: asyncio.ensure_future(_weigh(answer, sizes)))
        client = await hand.context.new_cdp_session(page)
        await client.send("Network.setCacheDisabled", {"cacheDisabled": True})
        await client.send("Network.setBypassServiceWorker", {"bypass": True})
        await page.goto(f"{field.base}/courier/app", wait_until="networkidle")
        scripts = {name: size for name, size in sizes.items() if name.endswith(".js")}
        shell = await (await hand.context.request.get(f"{field.base}/courier/app")).text()

    worker = len((await field.post.client.get("/courier/sw.js")).content)
    assert sum(scripts.values()) + worker < 60_000, scripts
    assert len([name for name in scripts if "/postal/" in name]) == 4
    assert sum(sizes.values()) < 200_000, sizes
    assert "buu-ta-1" not in shell
    assert CSRF not in shell


async def _weigh(answer: Any, sizes: dict[str, int]) -> None:
    sizes[answer.url] = len(await answer.body())


async def test_every_view_is_accessible_and_fits_a_narrow_phone(field: Field, browser: Browser) -> None:
    waiting = await at_the_office(field.post, 2)
    pickup = await field.post.book("outbound")
    async with phone(field, browser) as hand:
        assert await _faults_of(hand) == []
        await hand.opens(waiting[0])
        await hand.chooses("proof", "signature")
        await hand.page.click("[data-fail] summary")
        assert await _faults_of(hand) == []
        await hand.opens(pickup)
        assert await _faults_of(hand) == []
        for view in ("#/scan", "#/scan/take_out", "#/outbox"):
            await hand.goes_to(view)
            await hand.page.wait_for_selector("[data-t=title], [data-about] dt", state="attached")
            for folded in await hand.page.query_selector_all("details.c-more:not([open]) summary"):
                await folded.click()
            assert await _faults_of(hand) == [], view
        await hand.page.click("#sun")
        assert await _faults_of(hand) == []
        await hand.page.emulate_media(color_scheme="dark")
        await hand.page.click("#sun")
        assert await _faults_of(hand) == []


async def _faults_of(hand: Phone) -> list[Any]:
    """What axe finds, what is wider than the screen, and targets too small for a thumb."""
    found = (await Axe().run(hand.page)).response["violations"]
    wide = await hand.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    small: list[Any] = await hand.page.evaluate(_SMALL_TARGETS)
    return [violation["id"] for violation in found] + [f"{wide} px too wide"] * (wide > 0) + small


_SMALL_TARGETS = """() => [...document.querySelectorAll('a, button, summary, select, label:has(input)')]
  .filter((node) => node.checkVisibility() && !node.matches('.skip'))
  .map((node) => [node.textContent.trim().slice(0, 30), Math.round(node.getBoundingClientRect().height)])
  .filter(([, height]) => height < 44)"""
