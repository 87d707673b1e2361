"""Takes the pictures of the documentation: `make screenshots`. Plays some dossiers, then looks at every page."""

import asyncio
import contextlib
import io
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from sandbox.business_day import end_of_day, today
from sandbox.demo import free_port_base, play_all
from sandbox.dossiers import load_dossiers
from sandbox.people import World, officers_at_work
from sandbox.plan import ROOT, Plan
from sandbox.stack import Stack
from sandbox.terminal import complain, console

FOLDER = ROOT / "docs" / "screenshots"
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_DOSSIERS = 30
_TALLEST = 1_800
"""Pixels of a page that a picture shows; lists go on in the same way."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One page: what it is called, where it is, who looks at it."""

    name: str
    service: str
    path: str
    person: str | None = None
    sizes: tuple[str, ...] = tuple(SIZES)
    whole: bool = True
    """The whole length of the page, or what the screen shows."""


def chromium() -> str | None:
    """Where Chromium is on this machine, if it is."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


async def shots_of(world: World) -> list[Shot]:
    """Every page the README lists, on things that exist in the running stack."""
    payments = (await world.read("payment", "/v1/payments?limit=50"))["items"]
    paid = next(p for p in payments if p["status"] == "paid" and p["due_dong"] > 0)
    shipments = (await world.read("postal", "/v1/shipments?limit=50"))["items"]
    shipment = next(s for s in shipments if s["status"] == "delivered")
    on_its_way = next((s for s in shipments if s["status"] not in ("delivered", "cancelled")), None)
    day = today()
    draft = await _submitted_draft(world)
    simulation = await _simulation(world)
    return [
        Shot("fees-catalogue", "fees", "/catalogue"),
        Shot("fees-procedure", "fees", "/catalogue/passport?on=2025-12-31"),
        Shot("fees-try", "fees", _TRY),
        Shot("fees-instruments", "fees", "/instruments"),
        Shot("fees-drafts", "fees", "/drafts", "can-bo-phi"),
        Shot("fees-draft-new", "fees", "/drafts/new", "can-bo-phi"),
        Shot("fees-draft", "fees", f"/drafts/{draft}", "lanh-dao-phi"),
        Shot("fees-versions", "fees", "/versions", "lanh-dao-phi"),
        Shot("fees-simulation-new", "fees", "/simulations", "can-bo-phi"),
        Shot("fees-simulation", "fees", f"/simulations/{simulation}", "can-bo-phi"),
        Shot("payment-desk", "payment", "/desk", "ke-toan-truong"),
        Shot("payment-payments", "payment", "/payments", "ke-toan"),
        Shot("payment-payment", "payment", f"/payments/{paid['id']}", "ke-toan"),
        Shot("payment-refunds", "payment", "/refunds", "ke-toan-truong"),
        Shot("payment-reconciliation", "payment", f"/reconciliations/{day}", "ke-toan"),
        Shot("payment-breaks", "payment", "/breaks?status=resolved", "ke-toan"),
        Shot("payment-ledger", "payment", "/ledger", "ke-toan"),
        Shot("payment-disputes", "payment", "/disputes", "ke-toan"),
        Shot("payment-vouchers", "payment", "/vouchers", "ke-toan"),
        Shot("payment-receipts", "payment", "/receipts", "ke-toan"),
        Shot("payment-accounts", "payment", "/accounts", "ke-toan"),
        Shot("payment-pay", "payment", paid["pay_page_url"]),
        Shot("payment-receipt-check", "payment", "/receipts/check"),
        Shot("postal-courier", "postal", "/courier", "buu-ta-1"),
        *_courier_shots(shipments),
        Shot("postal-board", "postal", "/board", "dieu-phoi"),
        Shot("postal-shipments", "postal", "/shipments", "dieu-phoi"),
        Shot("postal-shipment", "postal", f"/shipments/{shipment['id']}", "dieu-phoi"),
        Shot("postal-claims", "postal", "/claims", "dieu-phoi"),
        Shot("postal-cases", "postal", "/cases", "dieu-phoi"),
        Shot("postal-assignments", "postal", "/assignments", "dieu-phoi"),
        Shot("postal-cash", "postal", "/cash", "dieu-phoi"),
        Shot("postal-devices", "postal", "/devices", "dieu-phoi"),
        Shot("postal-deadlines", "postal", f"/shipments/{shipment['id']}/deadlines", "dieu-phoi"),
        Shot("postal-my-papers", "postal", await citizens_page(world, on_its_way or shipment)),
        Shot("postal-tracking", "postal", f"/track/{shipment['s10']}"),
    ]


async def citizens_page(world: World, shipment: dict[str, Any]) -> str:
    """A fresh link to the citizen's own page of a shipment, as a dispatcher gives it."""
    url = world.url("postal", f"/v1/shipments/{shipment['id']}/links")
    made = await world.door("dieu-phoi").call("POST", url, key=f"picture/{shipment['id']}")
    return str(made["url"])


def _courier_shots(shipments: list[dict[str, Any]]) -> list[Shot]:
    """The offline page as a phone shows it: the round, a stop of it, scanning and the outbox."""
    views = {"round": "#/", "scan": "#/scan", "outbox": "#/outbox"}
    at_door = ("out_for_delivery", "attempt_failed", "ready_for_collection", "booked", "pickup_failed")
    waiting = next((shipment for shipment in shipments if shipment["status"] in at_door), None)
    if waiting is not None:
        views["stop"] = f"#/stop/{waiting['s10']}"
    return [
        Shot(f"courier-{name}", "postal", f"/courier/app{view}", "buu-ta-1", ("phone",), whole=False)
        for name, view in views.items()
    ]


_TRY = (
    "/try?procedure=passport&case=first_issue&filed_on=2025-12-31&channel=online&province=01&commune=00070"
    "&agency=G01.02&return_result=on&go=1"
)


_SUPPORT = """\
instruments:
  - id: sandbox-resolution
    number: "00/2026/NQ-HĐND"
    name: {vi: "Nghị quyết giả định 00/2026/NQ-HĐND", en: "The imagined Resolution 00/2026/NQ-HĐND"}
    issued_on: null
    source: "D"
    verified: false
adjustments:
  - id: sandbox-passport-support
    kind: support
    targets: {procedures: [passport]}
    channels: [online]
    support_percent: 50
    payer: "budget:68"
    valid_from: 2027-01-01
    valid_to: 2027-12-31
    scope: {level: province, code: "68"}
    instrument: sandbox-resolution
    article: "Điều 2"
    source: "D"
    verified: false
"""


async def _submitted_draft(world: World) -> str:
    """A draft that waits for its second person. Returns its id."""
    officer, url = world.door("can-bo-phi"), world.url("fees", "/v1/drafts")
    documents = {"adjustments/sandbox-passport-support.yaml": _SUPPORT}
    body = {
        "title": "Hỗ trợ 50% lệ phí hộ chiếu năm 2027",
        "reason": "Văn bản giả định để chụp ảnh",
        "documents": documents,
    }
    draft = await officer.call("POST", url, body=body, key="screenshot-draft")
    submitted = {"revision": draft["revision"]}
    await officer.call("POST", f"{url}/{draft['id']}/submit", body=submitted, key="screenshot-submit")
    return str(draft["id"])


_ZERO = """\
instruments:
  - {id: sandbox-zero, number: "Dự thảo", name: {vi: "Dự thảo nghị quyết", en: "the draft resolution"}, issued_on: null,
     source: "D", verified: false}
adjustments:
  - {id: sandbox-zero, kind: waiver, targets: {set_by: council}, channels: [online], valid_from: 2027-01-01,
     valid_to: null, scope: {level: province, code: "48"}, instrument: sandbox-zero, article: "Điều 1", source: "D",
     verified: false}
"""
_HALF = (
    _ZERO.replace("sandbox-zero", "sandbox-half")
    .replace("kind: waiver", "kind: support")
    .replace("set_by: council}", 'set_by: ministry}, support_percent: 50, payer: "budget:48"')
)


async def _simulation(world: World) -> str:
    """A 0 đồng resolution and a support of one province side by side, on a million dossiers."""
    officer, url = world.door("can-bo-phi"), world.url("fees", "/v1/simulations")
    body = {
        "generated": {"year": 2027, "count": 1_000_000, "seed": 1, "province": "48"},
        "draft_a": {"title": "0 đồng khi nộp trực tuyến", "yaml": _ZERO, "uptake_percent": 30},
        "draft_b": {"title": "Hỗ trợ một nửa", "yaml": _HALF, "uptake_percent": 30, "budget_dong": 5_000_000_000},
    }
    run = await officer.call("POST", url, body=body, key="screenshot-simulation")
    while run["status"] == "running":
        await asyncio.sleep(1)
        run = await officer.call("GET", f"{url}/{run['id']}")
    return str(run["id"])


async def sign_in(context: BrowserContext, plan: Plan, service: str, person: str) -> None:
    """Sign a person in through the identity provider's page, as a person would."""
    page = await context.new_page()
    await page.goto(f"{plan.url(service)}/login")
    await page.fill("input[name=username]", person)
    await page.fill("input[name=password]", plan.secrets["people"])
    await page.click("button[type=submit]")
    await page.wait_for_url(f"{plan.url(service)}/**")
    await page.close()


async def _shoot(browser: Browser, plan: Plan, shot: Shot, size: str) -> list[str]:
    """Take one picture. Returns what is wrong: an error status, or a page wider than the screen."""
    width, height = SIZES[size]
    context = await browser.new_context(viewport={"width": width, "height": height}, locale="vi-VN")
    try:
        if shot.person:
            await sign_in(context, plan, shot.service, shot.person)
        page = await context.new_page()
        address = shot.path if shot.path.startswith("http") else plan.url(shot.service) + shot.path
        address, _, view = address.partition("#")
        answer = await page.goto(address)
        if view:  # a page that draws itself: wait for the round, then go to the view
            await page.wait_for_selector("html[data-ready]")
            await page.evaluate("view => { location.hash = view; }", f"#{view}")
            await page.wait_for_timeout(500)
        tall: int = await page.evaluate("document.documentElement.scrollHeight")
        clip = {"x": 0, "y": 0, "width": width, "height": min(tall, _TALLEST)}
        if shot.whole:
            picture = await page.screenshot(full_page=True, clip=clip)  # type: ignore[arg-type]
        else:
            picture = await page.screenshot()
        _save(picture, FOLDER / f"{shot.name}-{size}.png")
        status = answer.status if answer else 0
        return await _complaints(page, shot, size, status)
    finally:
        await context.close()


def _save(picture: bytes, file: Path) -> None:
    """Screens hold few colours: a palette keeps the repository small and the text sharp."""
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(file, optimize=True)


async def _complaints(page: Page, shot: Shot, size: str, status: int) -> list[str]:
    wrong = [f"{shot.name} answered {status}"] if status != 200 else []
    overflow: Any = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if overflow > 1:
        wrong.append(f"{shot.name} is {overflow} px too wide on a {size}")
    return wrong


async def take_all(stack: Stack, executable: str) -> int:
    """Play, look, save. Returns the exit code."""
    first = today()
    dossiers = load_dossiers()
    interesting = [d for d in dossiers if d.says("citizen") not in ("pays", "nothing_due")]
    posted = [d for d in dossiers if (d.sends or d.returns) and d not in interesting]
    chosen = (interesting + posted)[:_DOSSIERS]
    results, world = await play_all(stack.plan.description(), chosen, stack)
    async with officers_at_work(world):
        await end_of_day(world, first)
    wrong = [difference for result in results for difference in result.differences]
    FOLDER.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        for shot in await shots_of(world):
            for size in shot.sizes:
                wrong += await _shoot(browser, stack.plan, shot, size)
                console.print(f"  docs/screenshots/{shot.name}-{size}.png")
        await browser.close()
    await world.http.aclose()
    for sentence in wrong:
        complain(sentence)
    return 1 if wrong else 0


def main() -> None:
    """Entry point of `python -m sandbox.screenshots`."""
    executable = chromium()
    if executable is None:
        complain("Chromium is needed for the pictures; on Debian: apt-get install chromium")
        raise SystemExit(1)
    folder = Path(tempfile.mkdtemp(prefix="lien-thong-pictures-"))
    try:
        with Stack(folder, free_port_base()) as stack:
            code = asyncio.run(take_all(stack, executable))
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
