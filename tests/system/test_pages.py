"""Every page of the house in a real browser: it answers, it fits, and axe finds nothing against WCAG 2.2 A and AA."""

from collections.abc import AsyncIterator
from typing import Any, Literal

import httpx
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from sandbox.people import World
from sandbox.screenshots import CHROMIUM_ARGUMENTS, SIZES, Shot, chromium, shots_of, sign_in
from sandbox.stack import Stack
from tests.system.conftest import Played

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("stack"),
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="there is no Chromium on this machine"),
]

_STANDARD = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}
_VIEWS: list[tuple[str, Literal["light", "dark"]]] = [("desktop", "light"), ("phone", "dark")]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_ARGUMENTS)
        yield started
        await started.close()


async def complaints(page: Page, address: str) -> list[str]:
    """What is wrong with a page: its status, its width, its violations."""
    answer = await page.goto(address)
    status = answer.status if answer else 0
    wrong = [] if status == 200 else [f"answered {status}"]
    overflow: int = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if overflow > 1:
        wrong.append(f"is {overflow} px too wide")
    found: Any = (await Axe().run(page, options=_STANDARD)).response
    for violation in found["violations"]:
        nodes = [node["html"][:160] for node in violation["nodes"][:3]]
        wrong.append(f"{violation['id']} ({violation['impact']}): {violation['help']}: {nodes}")
    return wrong


def address_of(stack: Stack, shot: Shot) -> str:
    return shot.path if shot.path.startswith("http") else stack.plan.url(shot.service) + shot.path


async def test_every_page_answers_fits_and_is_accessible(stack: Stack, played: Played, browser: Browser) -> None:
    assert played.code == 0
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        shots = await shots_of(World(stack.plan.description(), http))
    assert len(shots) >= 18
    wrong: list[str] = []

    for size, scheme in _VIEWS:
        width, height = SIZES[size]
        contexts: dict[tuple[str, str | None], BrowserContext] = {}
        for shot in shots:
            key = (shot.service, shot.person)
            if key not in contexts:
                contexts[key] = await browser.new_context(
                    viewport={"width": width, "height": height}, locale="vi-VN", color_scheme=scheme
                )
                if shot.person:
                    await sign_in(contexts[key], stack.plan, shot.service, shot.person)
            page = await contexts[key].new_page()
            wrong += [
                f"{shot.name}, {size}, {scheme}: {sentence}"
                for sentence in await complaints(page, address_of(stack, shot))
            ]
            await page.close()
        for context in contexts.values():
            await context.close()

    assert wrong == []
