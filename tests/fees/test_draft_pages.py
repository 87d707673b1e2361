"""Two people at the pages of drafts: by form without scripts, and in a real browser from an empty form to a quote."""

import asyncio
import base64
import json
import re
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import itsdangerous
import pytest
import uvicorn
from axe_playwright_python.async_playwright import Axe
from fastapi import FastAPI
from playwright.async_api import Browser, Page, async_playwright

from kit.ids import new_id
from services.fees.app import create_app
from services.fees.contract import Quote
from tests.conftest import Issuer, free_port, running
from tests.fees.conftest import PASSPORT, settings_for
from tests.fees.test_drafts import PATH, SUPPORT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
COOKIE = "lien_thong_pages-fees"
CSRF = "c" * 43
OFFICER = ("can-bo-phi", "fees:read fees:quote fees:draft")
APPROVER = ("lanh-dao-phi", "fees:read fees:quote fees:approve")
GUIDED: dict[str, Any] = {
    "csrf": CSRF,
    "title": "Hỗ trợ hộ chiếu",
    "reason": "Kỳ họp thứ 10",
    "kind": "support",
    "percent": "100",
    "province": "68",
    "about": "procedures",
    "procedures": ["passport"],
    "channels": ["online"],
    "valid_from": "2027-01-01",
    "valid_to": "2027-12-31",
    "number": "12/2026/NQ-HĐND",
    "name_vi": "Nghị quyết 12/2026/NQ-HĐND tỉnh Lâm Đồng",
    "name_en": "Resolution 12/2026/NQ-HĐND of Lâm Đồng",
    "article": "Điều 2",
    "checked": "1",
}


def session_of(who: tuple[str, str]) -> str:
    """The cookie that signing in leaves behind."""
    name, scopes = who
    person = {"sub": name, "azp": "pages-fees", "name": name, "org": "*", "scope": scopes, "roles": []}
    session = {"csrf": CSRF, "person": {**person, "until": int(time.time()) + 3_600}}
    signer = itsdangerous.TimestampSigner("a secret of at least thirty-two characters")
    return signer.sign(base64.b64encode(json.dumps(session).encode())).decode()


def desk_of(app: FastAPI, who: tuple[str, str]) -> httpx.AsyncClient:
    """A browser without scripts, signed in."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app),
        base_url="http://service.test",
        cookies={COOKIE: session_of(who)},
        headers={"accept": "text/html"},
    )


@pytest.fixture
def app(client: httpx.AsyncClient) -> FastAPI:
    return client._transport.app  # type: ignore[attr-defined, no-any-return]


async def _begun(desk: httpx.AsyncClient, **changes: Any) -> str:
    answer = await desk.post("/drafts/guided", data=GUIDED | changes)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def _revision(page: str) -> str:
    found = re.search(r'name="revision" value="(\d+)"', page)
    assert found is not None
    return found.group(1)


async def _step(desk: httpx.AsyncClient, path: str, way: str, action: str, **fields: str) -> str:
    """Press a button of the draft's page and read the page after it."""
    revision = _revision((await desk.get(path)).text)
    form = {"csrf": CSRF, "revision": revision, "action": action} | fields
    answer = await desk.post(f"{path}/{way}", data=form)
    assert answer.status_code == 303, answer.text
    return (await desk.get(path)).text


@pytest.mark.parametrize("path", ["/drafts", "/drafts/new", "/drafts/dft_1"])
async def test_drafts_need_a_sign_in_and_a_right(app: FastAPI, client: httpx.AsyncClient, path: str) -> None:
    nobody = await client.get(path, headers={"accept": "text/html"})
    async with desk_of(app, ("ke-toan", "payments:read")) as stranger:
        refused = await stranger.get(path)

    assert (nobody.status_code, refused.status_code) == (303, 403)


async def test_only_those_who_write_or_decide_find_drafts_in_the_navigation(app: FastAPI) -> None:
    found = []
    for who in (OFFICER, APPROVER, ("portal", "fees:read")):
        async with desk_of(app, who) as desk:
            found.append('<a href="/drafts"' in (await desk.get("/catalogue?q=passport")).text)

    assert found == [True, True, False]


async def test_an_empty_list_says_what_drafts_are_for_and_where_to_begin(app: FastAPI) -> None:
    async with desk_of(app, OFFICER) as officer, desk_of(app, APPROVER) as approver:
        mine, theirs = (await officer.get("/drafts")).text, (await approver.get("/drafts?lang=en")).text

    assert "Chưa có dự thảo nào" in mine
    assert 'href="/drafts/new"' in mine
    assert "No draft yet" in theirs
    assert 'href="/drafts/new"' not in theirs


async def test_without_scripts_a_draft_is_written_returned_corrected_approved_and_published(app: FastAPI) -> None:
    async with desk_of(app, OFFICER) as officer, desk_of(app, APPROVER) as approver:
        path = await _begun(officer)
        first = (await officer.get(path)).text
        assert "Tính thử trước và sau" in first
        assert "Ngân sách tỉnh Lâm Đồng hỗ trợ 200.000 ₫" in first
        assert "chờ duyệt" in await _step(officer, path, "write", "submitted")
        assert "Hãy ghi lý do" in await _step(approver, path, "decide", "returned", reason=" ")
        assert "Thiếu điều khoản" in await _step(approver, path, "decide", "returned", reason="Thiếu điều khoản")
        await _step(officer, path, "write", "submitted")
        assert "đã duyệt, chờ công bố" in await _step(approver, path, "decide", "approved")
        published = await _step(approver, path, "decide", "published")
        versions, version = (await approver.get("/versions")).text, (await officer.get("/versions/2")).text

    assert "Đã công bố, lần công bố số 2" in published
    assert "Hỗ trợ hộ chiếu: Kỳ họp thứ 10" in versions
    assert "lanh-dao-phi" in version
    assert "Nghị quyết 12/2026/NQ-HĐND tỉnh Lâm Đồng" in version


async def test_the_public_sees_publications_without_the_names_of_officers(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    async with desk_of(app, OFFICER) as officer, desk_of(app, APPROVER) as approver:
        path = await _begun(officer)
        await _step(officer, path, "write", "submitted")
        await _step(approver, path, "decide", "approved")
        await _step(approver, path, "decide", "published")
    pages = [
        (await client.get(path, headers={"accept": "text/html"})).text for path in ("/versions", "/versions/2?since=1")
    ]

    assert all("can-bo-phi" not in page and "lanh-dao-phi" not in page for page in pages)
    assert "một người khác" not in pages[0]
    assert "người thứ hai" in pages[0]


async def test_a_form_with_mistakes_keeps_what_was_typed_and_names_the_fields(app: FastAPI) -> None:
    async with desk_of(app, OFFICER) as officer:
        answer = await officer.post("/drafts/guided", data=GUIDED | {"percent": "101", "valid_to": "2026-01-01"})
        listed = (await officer.get("/drafts")).text

    assert answer.status_code == 422
    assert "hãy nhập số nguyên từ 1 đến 100" in answer.text
    assert 'value="Hỗ trợ hộ chiếu"' in answer.text
    assert 'href="#f-valid_to"' in answer.text
    assert "Chưa có dự thảo nào" in listed


async def test_faults_lead_to_their_lines(app: FastAPI) -> None:
    async with desk_of(app, OFFICER) as officer:
        path = await _begun(officer)
        page = (await officer.get(path)).text
        (document,) = re.findall(r'name="path" value="([^"]+)"', page)
        broken = SUPPORT.replace("support_percent: 100", "support_percent: 101")
        form = {"csrf": CSRF, "revision": "1", "title": "T", "reason": "R", "path": document, "text": broken}
        saved = await officer.post(f"{path}/save", data=form)
        after = (await officer.get(path)).text
        refused = await _step(officer, path, "write", "submitted")

    assert saved.status_code == 303
    assert f'href="#line-0-12" data-document="0" data-line="12">{document}:12</a>' in after
    assert '<li id="line-0-12" class="wrong">' in after
    assert "tỷ lệ phần trăm phải từ 0 đến 100" in after
    assert "Dự thảo còn lỗi" in refused


async def test_a_stale_window_loses_nothing_and_overwrites_nothing(app: FastAPI) -> None:
    async with desk_of(app, OFFICER) as officer:
        path = await _begun(officer)
        form = {"csrf": CSRF, "revision": "1", "reason": "R", "path": PATH, "text": SUPPORT}
        first = await officer.post(f"{path}/save", data=form | {"title": "Cửa sổ một"})
        second = await officer.post(f"{path}/save", data=form | {"title": "Cửa sổ hai"})
        auto = await officer.post(f"{path}/autosave", data=form | {"title": "Cửa sổ ba"})
        kept = (await officer.get(path)).text

    assert (first.status_code, second.status_code, auto.status_code) == (303, 412, 412)
    assert 'value="Cửa sổ hai"' in second.text
    assert 'name="revision" value="2"' in second.text
    assert "<h1>Cửa sổ một</h1>" in kept


async def test_a_document_in_force_is_opened_changed_and_taken_out(app: FastAPI) -> None:
    async with desk_of(app, OFFICER) as officer:
        fields = {"csrf": CSRF, "title": "Sửa nhóm", "reason": "R", "path": "groups.yaml", "new_path": ""}
        begun = await officer.post("/drafts/documents", data=fields)
        path = begun.headers["location"]
        page = (await officer.get(path)).text
        form = {"csrf": CSRF, "revision": "1", "title": "T", "reason": "R", "path": "groups.yaml", "text": "x"}
        await officer.post(f"{path}/save", data=form | {"fate-0": "drop", "add_path": "adjustments/postal.yaml"})
        added = (await officer.get(path)).text
        bad = await officer.post("/drafts/documents", data=fields | {"new_path": "../x.yaml"})

    assert "slug: poor_household" in page
    assert 'name="path" value="adjustments/postal.yaml"' in added
    assert 'name="path" value="groups.yaml"' not in added
    assert bad.status_code == 422


async def test_nobody_decides_without_the_right_or_without_the_token(app: FastAPI) -> None:
    async with desk_of(app, OFFICER) as officer, desk_of(app, APPROVER) as approver:
        path = await _begun(officer)
        await _step(officer, path, "write", "submitted")
        form = {"csrf": CSRF, "revision": "2", "action": "approved"}
        own = await officer.post(f"{path}/decide", data=form)
        forged = await approver.post(f"{path}/decide", data=form | {"csrf": "x" * 43})
        unknown = await approver.post("/drafts/dft_nothing/decide", data=form)
        page = (await officer.get(path)).text

    assert (own.status_code, forged.status_code, unknown.status_code) == (403, 403, 404)
    assert "chờ duyệt" in page


# --- a real browser --------------------------------------------------------------------------------


@asynccontextmanager
async def _served(app: FastAPI, issuer: Issuer, port: int) -> AsyncIterator[None]:
    app.state.authority = issuer.authority()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, access_log=False))
    serving = asyncio.ensure_future(server.serve())
    try:
        async with asyncio.timeout(30):
            while not server.started:  # noqa: ASYNC110 — uvicorn has no event for it
                await asyncio.sleep(0.05)
        yield
    finally:
        server.should_exit = True
        await serving


async def _signed_in(browser: Browser, base: str, who: tuple[str, str], complaints: list[str]) -> Page:
    context = await browser.new_context(locale="vi-VN", base_url=base)
    await context.add_cookies([{"name": COOKIE, "value": session_of(who), "url": base}])
    page = await context.new_page()
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page


async def _barriers(page: Page) -> list[str]:
    """What axe finds on the page as it is now."""
    found = await Axe().run(page)
    return [f"{one['id']}: {one['nodes'][0]['html'][:120]}" for one in found.response["violations"]]


async def _write_support(officer: Page) -> None:
    await officer.goto("/drafts")
    await officer.click("text=Soạn dự thảo đầu tiên")
    for field in ("title", "reason", "percent", "valid_from", "valid_to", "number", "name_vi", "name_en", "article"):
        await officer.fill(f"#f-{field}", GUIDED[field])
    await officer.check("input[name=kind][value=support]")
    await officer.select_option("#f-province", "68")
    await officer.check("input[name=about][value=procedures]")
    await officer.click("#f-procedures summary")
    await officer.check("#f-procedure-passport")
    await officer.check("#f-checked")


async def _quoted(app: FastAPI, issuer: Issuer) -> Quote:
    filed = PASSPORT | {"province": "68", "commune": "22918", "filed_on": "2027-03-01"}
    headers = issuer.headers("fees:quote", key=new_id("key"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://service.test") as portal:
        answer = await portal.post("/v1/quotes", json=filed, headers=headers)
    assert answer.status_code == 201, answer.text
    return Quote.model_validate(answer.json())


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
async def test_in_the_browser_a_new_provincial_rule_goes_from_draft_to_the_next_quote(
    fees_url: str, issuer: Issuer
) -> None:
    app, port, complaints = create_app(settings_for(fees_url)), free_port(), list[str]()
    base = f"http://127.0.0.1:{port}"
    async with _served(app, issuer, port), async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        officer = await _signed_in(browser, base, OFFICER, complaints)
        approver = await _signed_in(browser, base, APPROVER, complaints)
        before = await _quoted(app, issuer)

        await _write_support(officer)
        barriers = await _barriers(officer)
        await officer.click("text=Lập dự thảo")
        await officer.wait_for_selector("#draft-form")
        text = await officer.input_value("textarea[name=text]")
        async with officer.expect_response(re.compile("/autosave$")) as saved:
            await officer.fill("textarea[name=text]", text.replace("support_percent: 100", "support_percent: 101"))
        assert (await saved.value).status == 200
        await officer.reload()
        await officer.click(".faults a")
        marked = await officer.evaluate("getSelection().toString()")
        barriers += await _barriers(officer)
        await officer.fill("textarea[name=text]", text)
        await officer.click("text=Lưu và kiểm tra")
        await officer.wait_for_selector("button[value=submitted]")
        await officer.fill("#f-title", "Hỗ trợ hộ chiếu Lâm Đồng")
        await officer.click("button[value=submitted]")  # at once: what was typed must be kept first
        await officer.wait_for_selector("text=Đang chờ người thứ hai")

        await approver.goto("/drafts?status=submitted")
        await approver.click("text=Hỗ trợ hộ chiếu Lâm Đồng")
        barriers += await _barriers(approver)
        await approver.click("button[value=approved]")
        await approver.click("summary:has-text('Công bố')")
        await approver.click("text=Công bố ngay")
        await approver.wait_for_selector("text=Đã công bố, lần công bố số 2")
        await approver.click("text=Xem lần công bố")
        barriers += await _barriers(approver)
        after = await _quoted(app, issuer)
        await browser.close()

    assert (before.publication, before.citizen_dong) == (1, 200_000)
    assert (after.publication, after.citizen_dong, after.budget_dong) == (2, 0, 200_000)
    assert any(
        step.outcome == "applied" and "Điều 2 Nghị quyết 12/2026/NQ-HĐND tỉnh Lâm Đồng" in step.text.vi
        for step in after.lines[0].steps
    )
    assert marked.strip() == "support_percent: 101"
    assert (complaints, barriers) == ([], [])


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
async def test_in_the_browser_the_slider_and_the_calculation_are_live_and_reachable_by_keyboard(
    fees_url: str, issuer: Issuer
) -> None:
    app, port, complaints = create_app(settings_for(fees_url)), free_port(), list[str]()
    base = f"http://127.0.0.1:{port}"
    async with _served(app, issuer, port), async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        citizen = await _signed_in(browser, base, ("nobody", ""), complaints)
        await citizen.goto("/catalogue/passport?on=2026-06-01")
        await citizen.focus("#f-step")
        barriers = await _barriers(citizen)
        await citizen.keyboard.press("Home")
        day = await citizen.input_value("input[name=on]")
        await citizen.wait_for_selector(f"#tariff h2:has-text('{'/'.join(reversed(day.split('-')))}')")
        await citizen.goto("/catalogue")
        barriers += await _barriers(citizen)

        await citizen.goto("/try?procedure=passport&province=79")
        await citizen.select_option("#f-case", "first_issue")
        await citizen.fill("#f-filed_on", "2025-12-31")
        await citizen.select_option("#f-commune", "26740")
        await citizen.wait_for_selector("#result .amount-due:has-text('180.000')")
        await citizen.select_option("#f-channel", "counter")
        await citizen.wait_for_selector("#result .amount-due:has-text('200.000')")
        barriers += await _barriers(citizen)
        await browser.close()

    assert day < "2026"
    assert (complaints, barriers) == ([], [])


async def test_without_scripts_the_slider_wins_only_when_it_was_moved(client: httpx.AsyncClient) -> None:
    async def shown(**query: str) -> str:
        page = (await client.get("/catalogue/passport", params=query, headers={"accept": "text/html"})).text
        found = re.search(r"<h2>Mức thu ngày ([\d/]+)</h2>", page)
        assert found is not None
        return found.group(1)

    assert await shown(on="2026-02-03", step="4", was="4") == "03/02/2026"
    assert await shown(on="2026-02-03", step="0", was="4") != "03/02/2026"
    assert await shown(on="2026-02-03", step="999999", was="4") == "03/02/2026"
    assert await shown(on="2026-02-03", step="x", was="4") == "03/02/2026"


async def test_every_page_of_publications_answers_in_both_languages(fees_url: str, issuer: Issuer) -> None:
    app = create_app(settings_for(fees_url))
    async with running(app, issuer) as client:
        pages = {
            path: await client.get(path, headers={"accept": "text/html"})
            for path in ("/versions?lang=en", "/versions/1?lang=vi", "/versions/1/documents/groups.yaml", "/versions/9")
        }

    assert [answer.status_code for answer in pages.values()] == [200, 200, 200, 404]
    assert "Publications" in pages["/versions?lang=en"].text
    assert pages["/versions/1/documents/groups.yaml"].headers["content-type"] == "text/plain; charset=utf-8"
