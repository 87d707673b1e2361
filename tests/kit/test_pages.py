"""Signing in to pages through a real issuer, forms that cannot be forged, refusals that people can read."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from kit.auth import Authority
from sandbox.identity import Client, Configuration, Person, create_app
from sandbox.postgres import Cluster
from tests.conftest import AUDIENCE, ISSUER, _execute, _numbers
from tests.kit.notebook import create_notebook, create_tables

HTML = {"accept": "text/html"}


@dataclass
class Desk:
    """A browser at the notebook's pages, and the issuer it signs in at."""

    site: httpx.AsyncClient
    issuer: httpx.AsyncClient

    async def sign_in(self, username: str, *, next_path: str = "/desk") -> httpx.Response:
        """Go through the whole sign-in as a person; the answer of the callback."""
        away = await self.site.get("/login", params={"next": next_path})
        page = await self.issuer.get(away.headers["location"])
        hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page.text)
        form = {name: unescape(value) for name, value in hidden} | {"username": username, "password": "mật khẩu"}
        back = await self.issuer.post("/authorize", data=form)
        return await self.site.get(back.headers["location"])


@pytest.fixture
async def desk(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Desk]:
    name = f"pages_{next(_numbers)}"
    await _execute(cluster, f'create database "{name}"')
    await create_tables(cluster.url(name))
    people = {
        "ke-toan": Person(username="ke-toan", password="mật khẩu", name="Nguyễn Thị Kế Toán", scopes=["payments:read"]),
        "khach": Person(username="khach", password="mật khẩu", name="Khách", scopes=["fees:read"]),
    }
    page_client = Client(client_id="pages-payment", redirect_uris=["http://service.test/auth/callback"])
    configuration = Configuration(
        issuer=ISSUER, clients={"pages-payment": page_client}, people=people, key_file=tmp_path / "key.pem"
    )
    issuer_app = httpx.ASGITransport(app=create_app(configuration))
    app = create_notebook(cluster.url(name))
    app.state.http._transport = issuer_app
    app.state.http._mounts.clear()
    app.state.authority = Authority(issuer=ISSUER, audience=AUDIENCE, http=app.state.http)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://service.test", headers=HTML) as site,
        httpx.AsyncClient(transport=issuer_app, base_url=ISSUER) as issuer,
    ):
        yield Desk(site, issuer)
    await _execute(cluster, f'drop database "{name}" with (force)')


async def test_a_page_sends_strangers_to_sign_in_and_back(desk: Desk) -> None:
    away = await desk.site.get("/desk")
    filtered = await desk.site.get("/desk", params={"status": "open", "q": "một"})
    back = await desk.sign_in("ke-toan")
    page = await desk.site.get(back.headers["location"])

    assert (away.status_code, away.headers["location"]) == (303, "/login?next=/desk")
    assert filtered.headers["location"] == "/login?next=/desk%3Fstatus%3Dopen%26q%3Dm%25E1%25BB%2599t"
    assert back.headers["location"] == "/desk"
    assert page.status_code == 200
    assert "Xin chào Nguyễn Thị Kế Toán" in page.text


async def test_a_person_without_the_right_reads_why(desk: Desk) -> None:
    await desk.sign_in("khach")

    page = await desk.site.get("/desk", headers={"accept-language": "en"})

    assert page.status_code == 403
    assert "Your account may not see this page" in page.text
    assert page.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("elsewhere", ["https://evil.test/", "//evil.test/", "/\\evil.test", "javascript:alert(1)"])
async def test_signing_in_never_leads_to_another_site(desk: Desk, elsewhere: str) -> None:
    back = await desk.sign_in("ke-toan", next_path=elsewhere)

    assert back.headers["location"] == "/"


async def test_a_callback_with_a_foreign_state_signs_nobody_in(desk: Desk) -> None:
    await desk.site.get("/login")

    answer = await desk.site.get("/auth/callback", params={"code": "x", "state": "not-ours"})

    assert answer.headers["location"] == "/login"
    assert (await desk.site.get("/desk")).status_code == 303


async def test_a_form_without_its_token_is_refused_and_with_it_is_done(desk: Desk) -> None:
    await desk.sign_in("ke-toan")
    page = await desk.site.get("/desk")
    token = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert token is not None

    forged = await desk.site.post("/desk", data={"word": "chữ"})
    genuine = await desk.site.post("/desk", data={"word": "chữ", "csrf": token[1]})
    after = await desk.site.get("/desk")
    later = await desk.site.get("/desk")

    assert forged.status_code == 403
    assert (genuine.status_code, genuine.headers["location"]) == (303, "/desk")
    assert "Đã ghi chữ" in after.text
    assert "Đã ghi chữ" not in later.text


async def test_signing_out_leaves_the_issuer_too(desk: Desk) -> None:
    await desk.sign_in("ke-toan")
    page = await desk.site.get("/desk")
    token = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert token is not None

    out = await desk.site.post("/logout", data={"csrf": token[1]})

    target = urlsplit(out.headers["location"])
    assert f"{target.scheme}://{target.netloc}" == ISSUER
    assert parse_qs(target.query)["client_id"] == ["pages-payment"]
    assert (await desk.site.get("/desk")).status_code == 303


async def test_a_language_once_chosen_is_kept(desk: Desk) -> None:
    await desk.sign_in("ke-toan")

    english = await desk.site.get("/desk?lang=en")
    still = await desk.site.get("/desk", headers={"accept-language": "vi"})

    assert 'lang="en"' in english.text
    assert "Hello Nguyễn Thị Kế Toán" in still.text


async def test_pages_forbid_foreign_scripts_and_frames(desk: Desk) -> None:
    page = await desk.site.get("/nothing-here")

    policy = page.headers["content-security-policy"]
    assert page.status_code == 404
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
