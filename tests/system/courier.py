"""A postal service on a real port and a courier's phone: Chromium, small screen, a network that can be taken away."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import itsdangerous
import uvicorn
from PIL import Image
from playwright.async_api import Browser, BrowserContext, Page

from kit.settings import checked_url
from services.postal import codes, labels
from services.postal.app import create_app
from tests.conftest import Issuer, free_port
from tests.postal.conftest import Post, postal_settings

LABEL_SECRET = "l" * 32
CSRF = "c" * 43
COOKIE = "lien_thong_pages-postal"
PHONE = {"width": 360, "height": 740}
_TROUBLES = """async () => {
  const open = (state) => LT.read("events", (store) => store.index("state").getAll(state));
  const rows = (await Promise.all(LT.TROUBLE.map(open))).flat();
  return rows.map((row) => `${row.event.kind} ${row.state}: ${row.words[0]}`);
}"""
_IN_CHARGE = """async () => {
  await navigator.serviceWorker.ready;
  while (!navigator.serviceWorker.controller) await new Promise((done) => setTimeout(done, 20));
}"""
_ALL_SENT = """async () => {
  while ((await LT.summary()).unsent) await new Promise((done) => setTimeout(done, 50));
}"""


@asynccontextmanager
async def serving(database_url: str, issuer: Issuer, evidence: Path) -> AsyncIterator["Field"]:
    """The service over HTTP, so that a browser can reach it, and lose it."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    settings = postal_settings(database_url).model_copy(
        update={"public_url": checked_url(base), "evidence_store": str(evidence)}
    )
    app = create_app(settings)
    app.state.authority = issuer.authority()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", access_log=False))
    running = asyncio.ensure_future(server.serve())
    try:
        while not server.started:
            assert not running.done(), running
            await asyncio.sleep(0.02)
        async with httpx.AsyncClient(base_url=base) as client:
            yield Field(Post(app, client, issuer, database_url), base)
    finally:
        server.should_exit = True
        await running


@dataclass
class Field:
    """The service under test and where it is."""

    post: Post
    base: str
    evidence_calls: list[str] = field(default_factory=list)

    def cookie(self, name: str, *, seconds: int = 3_600) -> dict[str, Any]:
        """The cookie that signing in leaves behind; expired when `seconds` is negative."""
        person = {"sub": name, "azp": "pages-postal", "name": f"Bưu tá {name}", "org": "*", "roles": []}
        scope = "postal:courier postal:read"
        session = {"csrf": CSRF, "person": {**person, "scope": scope, "until": int(time.time()) + seconds}}
        value = itsdangerous.TimestampSigner("s" * 32).sign(base64.b64encode(json.dumps(session).encode())).decode()
        return {"name": COOKIE, "value": value, "url": self.base}

    def label(self, shipment: dict[str, Any]) -> str:
        """What the QR on an envelope says."""
        return labels.qr_content(self.base, LABEL_SECRET, shipment["s10"])

    def code(self, shipment: dict[str, Any]) -> str:
        """What the citizen reads out."""
        return codes.receiver_code(LABEL_SECRET, shipment["s10"])


class Phone:
    """One courier's browser with its own storage."""

    def __init__(self, field: Field, context: BrowserContext, page: Page) -> None:
        self.field = field
        self.context = context
        self.page = page
        self.signatures = 0

    async def goes_to(self, where: str) -> None:
        """Follow a link of the page to a view, such as `#/outbox`."""
        await self.page.evaluate("hash => { location.hash = hash; }", where)

    async def opens(self, shipment: dict[str, Any]) -> None:
        """Open a stop."""
        await self.goes_to(f"#/stop/{shipment['s10']}")
        await self.page.wait_for_selector(f".c-number:has-text('{spaced(shipment['s10'])}')")
        await self.page.wait_for_selector("[data-form]:not([hidden]), [data-moves] button, .c-alarm:not([hidden])")

    async def is_at_the_round(self) -> None:
        """Wait until the list of stops is drawn."""
        await self.page.wait_for_selector(".c-tasks")

    async def signs(self, pad: str) -> None:
        """Draw something into a signature field."""
        canvas = self.page.locator(f"[data-pad={pad}] canvas")
        await canvas.scroll_into_view_if_needed()
        box = await canvas.bounding_box()
        assert box is not None
        self.signatures += 1  # nobody signs twice in the same way
        await self.page.mouse.move(box["x"] + 30, box["y"] + 20 + 3 * self.signatures)
        await self.page.mouse.down()
        for step in range(1, 6):
            await self.page.mouse.move(box["x"] + 30 + 25 * step, box["y"] + 40 + (step % 2) * 30)
        await self.page.mouse.up()

    async def chooses(self, name: str, value: str) -> None:
        """Tap one of the large choices."""
        await self.page.check(f"input[name={name}][value={value}]")

    async def delivers_by_code(self, shipment: dict[str, Any]) -> None:
        """Hand over to the addressee, who reads the code out."""
        await self.opens(shipment)
        await self.chooses("receiver", "addressee")
        await self.chooses("proof", "code")
        await self.page.fill("input[name=code]", self.field.code(shipment))
        await self.submits("deliver")

    async def submits(self, form: str) -> None:
        """Press the form's button and wait until the fact is on the phone."""
        await self.page.click(f"[data-form={form}] button[type=submit]")
        await self.is_at_the_round()

    async def collects(self, shipment: dict[str, Any], *, seal: str) -> None:
        """Tick, seal, sign twice."""
        await self.opens(shipment)
        for box in await self.page.query_selector_all("[data-form=collect] input[name=piece]"):
            await box.check()
        await self.page.fill("#c-pages", "5")
        await self.page.fill("#c-seal", seal)
        await self.signs("citizen_signature")
        await self.page.check("[data-pad=courier_signature] [data-paper]")
        await self.submits("collect")

    async def fails(self, shipment: dict[str, Any], reason: str) -> None:
        """Record that a visit did not work out."""
        await self.opens(shipment)
        await self.page.click("[data-fail] summary")
        await self.page.select_option("#c-reason", reason)
        await self.submits("fail")

    async def scans_all(self, task: str, shipments: list[dict[str, Any]]) -> None:
        """Read every label into a bulk list, as a scanner that types does, and record them."""
        await self.goes_to(f"#/scan/{task}")
        for number, shipment in enumerate(shipments, start=1):
            await self.page.fill("#c-typed", self.field.label(shipment))
            await self.page.press("#c-typed", "Enter")
            await self.page.wait_for_selector(f"[data-t=count]:has-text('{number} / ')")
        await self.page.click("[data-do=commit]")
        await self.is_at_the_round()

    async def summary(self) -> dict[str, Any]:
        """What the phone counts."""
        found: dict[str, Any] = await self.page.evaluate("LT.summary()")
        return found

    async def troubles(self) -> list[str]:
        """What the tray says."""
        found: list[str] = await self.page.evaluate(_TROUBLES)
        return found

    async def has_sent_everything(self, seconds: int = 30) -> None:
        """Wait until nothing is left to send."""
        async with asyncio.timeout(seconds):
            await self.page.evaluate(_ALL_SENT)

    async def sends(self) -> None:
        """Press send and wait."""
        await self.page.evaluate("LT.sync.flush()")
        await self.has_sent_everything()


@asynccontextmanager
async def phone(field: Field, browser: Browser, courier: str = "buu-ta-1", script: str = "") -> AsyncIterator[Phone]:
    """A phone whose courier has signed in and loaded the round; the page's worker is in charge."""
    context = await browser.new_context(viewport=PHONE, locale="vi-VN", has_touch=True, is_mobile=True)  # type: ignore[arg-type]
    try:
        await context.add_cookies([field.cookie(courier)])  # type: ignore[list-item]
        if script:
            await context.add_init_script(script)
        page = await context.new_page()
        page.set_default_timeout(10_000)
        await page.goto(f"{field.base}/courier/app")
        await page.wait_for_selector("html[data-ready='1']")
        await page.evaluate(_IN_CHARGE)
        yield Phone(field, context, page)
    finally:
        await context.close()


def spaced(number: str) -> str:
    """A number as people read it."""
    return f"{number[:2]} {number[2:6]} {number[6:10]} {number[10]} {number[11:]}"


def photo(folder: Path, *, width: int = 2_400, height: int = 1_800, place: bool = False) -> Path:
    """A picture as a phone's camera makes it, larger than it needs to be; `place` writes where it was taken."""
    picture = Image.effect_noise((width // 8, height // 8), 60).resize((width, height)).convert("RGB")
    file = folder / f"photo-{width}-{place}.jpg"
    exif = picture.getexif()
    if place:
        exif.get_ifd(0x8825)[1] = "N"
        exif.get_ifd(0x8825)[2] = (21.0, 1.0, 40.0)
    picture.save(file, "JPEG", quality=92, exif=exif)
    return file
