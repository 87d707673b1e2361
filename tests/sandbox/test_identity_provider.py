"""The identity provider keeps the promises of its discovery document, step by step."""

import base64
import hashlib
import json
import re
import stat
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import jwt
import pytest

from sandbox.identity import Configuration, create_app
from tests.sandbox.outside import Moment

ISSUER = "http://127.0.0.1:17003"
CALLBACK = "http://127.0.0.1:17007/auth/callback"
VERIFIER = "0123456789-abcdefghijklmnopqrstuvwxyz-0123456789"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


def configuration(tmp_path: Path, **changes: Any) -> Configuration:
    return Configuration.model_validate(
        {
            "issuer": ISSUER,
            "clients": {
                "portal": {
                    "client_id": "portal",
                    "client_secret": "portal-secret",
                    "scopes": ["fees:quote", "payments:read"],
                    "org": "H01",
                    "redirect_uris": [],
                },
                "pages-payment": {
                    "client_id": "pages-payment",
                    "client_secret": None,
                    "scopes": ["payments:read", "payments:refund", "payments:approve"],
                    "org": "*",
                    "redirect_uris": [CALLBACK],
                },
                "pages-open": {"client_id": "pages-open", "redirect_uris": [CALLBACK]},
            },
            "people": {
                "ke-toan": {
                    "username": "ke-toan",
                    "password": "mật khẩu",
                    "name": "Trần Thị Kế Toán",
                    "roles": ["finance-officer"],
                    "scopes": ["payments:read", "payments:refund", "payments:reconcile"],
                    "org": "H01",
                }
            },
            "key_file": str(tmp_path / "issuer" / "key.pem"),
            **changes,
        }
    )


@pytest.fixture
async def browser(tmp_path: Path, moment: Moment) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(configuration(tmp_path), clock=moment)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=ISSUER) as client:
        yield client


def authorization(**changes: str) -> dict[str, str]:
    return {
        "response_type": "code",
        "client_id": "pages-payment",
        "redirect_uri": CALLBACK,
        "scope": "openid profile payments:read payments:refund payments:approve",
        "state": "st-1",
        "nonce": "n-1",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changes,
    }


def hidden_fields(page: str) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page)
    return {name: unescape(value) for name, value in found}


async def signed_in(browser: httpx.AsyncClient, **changes: str) -> dict[str, str]:
    """Log in through the page; the parameters the application is called back with."""
    page = await browser.get("/authorize", params=authorization(**changes))
    form = {**hidden_fields(page.text), "username": "ke-toan", "password": "mật khẩu"}
    answer = await browser.post("/authorize", data=form)
    assert answer.status_code == 303
    target = answer.headers["location"]
    assert target.startswith(f"{CALLBACK}?")
    return dict(parse_qsl(urlsplit(target).query))


async def redeemed(browser: httpx.AsyncClient, code: str, **changes: str) -> httpx.Response:
    return await browser.post(
        "/token",
        data={
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "client_id": "pages-payment",
            "code_verifier": VERIFIER,
            **changes,
        },
    )


async def verified(browser: httpx.AsyncClient, token: str, audience: str) -> dict[str, Any]:
    keys = (await browser.get("/jwks.json")).json()["keys"]
    header = jwt.get_unverified_header(token)
    key = jwt.PyJWK(next(key for key in keys if key["kid"] == header["kid"]))
    options: Any = {"verify_exp": False, "verify_iat": False}
    return jwt.decode(token, key, algorithms=["RS256"], audience=audience, issuer=ISSUER, options=options)


async def test_code_with_pkce_gives_a_person_the_scopes_both_they_and_the_client_have(
    browser: httpx.AsyncClient, moment: Moment
) -> None:
    back = await signed_in(browser)
    answer = await redeemed(browser, back["code"])

    assert back["state"] == "st-1"
    assert back["iss"] == ISSUER
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert {key: body[key] for key in ("token_type", "expires_in", "scope")} == {
        "token_type": "Bearer",
        "expires_in": 600,
        "scope": "openid profile payments:read payments:refund",
    }
    claims = await verified(browser, body["access_token"], "lien-thong")
    jti = claims.pop("jti")
    assert re.fullmatch(r"[0-9a-f-]{36}", jti)
    assert claims == {
        "iss": ISSUER,
        "aud": "lien-thong",
        "sub": "ke-toan",
        "azp": "pages-payment",
        "scope": "openid profile payments:read payments:refund",
        "org": "H01",
        "name": "Trần Thị Kế Toán",
        "roles": ["finance-officer"],
        "iat": int(moment.now),
        "exp": int(moment.now) + 600,
    }
    identity = await verified(browser, body["id_token"], "pages-payment")
    assert (identity["sub"], identity["nonce"], identity["auth_time"]) == ("ke-toan", "n-1", int(moment.now))
    half = hashlib.sha256(body["access_token"].encode()).digest()[:16]
    assert identity["at_hash"] == base64.urlsafe_b64encode(half).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("client_id", "asked", "granted"),
    [
        ("pages-payment", "openid profile", "openid profile payments:read payments:refund"),
        ("pages-payment", "payments:read", "payments:read"),
        ("pages-open", "openid profile", "openid profile payments:read payments:refund payments:reconcile"),
        ("pages-open", "", "payments:read payments:refund payments:reconcile"),
        ("pages-open", "openid payments:read payments:approve", "openid payments:read"),
    ],
)
async def test_pages_that_ask_only_who_it_is_get_what_the_person_may_do(
    browser: httpx.AsyncClient, client_id: str, asked: str, granted: str
) -> None:
    back = await signed_in(browser, client_id=client_id, scope=asked)

    answer = await redeemed(browser, back["code"], client_id=client_id)

    assert answer.json()["scope"] == granted


async def test_a_code_works_once(browser: httpx.AsyncClient) -> None:
    code = (await signed_in(browser))["code"]

    first, second = await redeemed(browser, code), await redeemed(browser, code)

    assert first.status_code == 200
    assert (second.status_code, second.json()["error"]) == (400, "invalid_grant")


async def test_a_code_expires_after_a_minute(browser: httpx.AsyncClient, moment: Moment) -> None:
    code = (await signed_in(browser))["code"]
    moment.now += 60

    answer = await redeemed(browser, code)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    "wrong",
    [{"code_verifier": "x" * 48}, {"code_verifier": ""}, {"redirect_uri": f"{CALLBACK}/"}],
)
async def test_a_stolen_code_is_worthless(browser: httpx.AsyncClient, wrong: dict[str, str]) -> None:
    code = (await signed_in(browser))["code"]

    answer = await redeemed(browser, code, **wrong)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert (await redeemed(browser, code)).status_code == 400


async def test_wrong_password_shows_the_form_again_in_vietnamese(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/authorize", params=authorization())
    form = {**hidden_fields(page.text), "username": "ke-toan", "password": "sai"}

    answer = await browser.post("/authorize", data=form)

    assert answer.status_code == 401
    assert '<html lang="vi">' in answer.text
    assert "Tên đăng nhập hoặc mật khẩu không đúng." in answer.text
    assert hidden_fields(answer.text) == authorization()
    assert "location" not in answer.headers
    assert "set-cookie" not in answer.headers


async def test_login_page_switches_to_english_and_keeps_the_request(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/authorize", params=authorization())
    found = re.search(r'<a href="([^"]+)" lang="en"', page.text)
    assert found

    english = await browser.get(unescape(found[1]))

    assert '<html lang="en">' in english.text
    assert ">Sign in</h1>" in english.text
    assert hidden_fields(english.text) == {**authorization(), "ui_locales": "en"}
    assert "<script" not in english.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": "nobody"},
        {"redirect_uri": f"{CALLBACK}?next=1"},
        {"redirect_uri": "http://evil.test/"},
        {"redirect_uri": ""},
    ],
)
async def test_an_unregistered_address_is_never_redirected_to(
    browser: httpx.AsyncClient, wrong: dict[str, str]
) -> None:
    answer = await browser.get("/authorize", params=authorization(**wrong))

    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert "Không thể đăng nhập" in answer.text


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"scope": "openid postal:read"}, "invalid_scope"),
        ({"prompt": "none"}, "login_required"),
    ],
)
async def test_a_refusal_goes_back_to_the_application(
    browser: httpx.AsyncClient, wrong: dict[str, str], error: str
) -> None:
    answer = await browser.get("/authorize", params=authorization(**wrong))

    back = parse_qs(urlsplit(answer.headers["location"]).query)
    assert answer.status_code == 303
    assert (back["error"], back["state"], back["iss"]) == ([error], ["st-1"], [ISSUER])
    assert "code" not in back


async def test_a_signed_in_browser_is_not_asked_again_until_it_signs_out(browser: httpx.AsyncClient) -> None:
    await signed_in(browser)

    again = await browser.get("/authorize", params=authorization())
    forced = await browser.get("/authorize", params=authorization(prompt="login"))
    out = await browser.get("/logout", params={"post_logout_redirect_uri": "http://127.0.0.1:17007/", "state": "s"})
    after = await browser.get("/authorize", params=authorization())

    assert again.status_code == 303
    assert "code=" in again.headers["location"]
    assert forced.status_code == 200
    assert (out.status_code, out.headers["location"]) == (303, "http://127.0.0.1:17007/?state=s")
    assert after.status_code == 200


async def test_logout_redirects_to_known_origins_only(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/logout", params={"post_logout_redirect_uri": "http://evil.test/"})

    assert answer.status_code == 200
    assert "Đã đăng xuất" in answer.text


async def test_client_credentials_with_basic_and_with_post(browser: httpx.AsyncClient) -> None:
    form = {"grant_type": "client_credentials"}
    basic = await browser.post("/token", data=form, auth=("portal", "portal-secret"))
    credentials = {"client_id": "portal", "client_secret": "portal-secret", "scope": "payments:read"}
    post = await browser.post("/token", data=form | credentials)

    claims = await verified(browser, basic.json()["access_token"], "lien-thong")
    assert (claims["sub"], claims["azp"], claims["org"]) == ("portal", "portal", "H01")
    assert (claims["scope"], claims["roles"]) == ("fees:quote payments:read", [])
    assert post.json()["scope"] == "payments:read"
    assert "id_token" not in basic.json()


@pytest.mark.parametrize(
    ("form", "auth", "status", "error"),
    [
        ({"grant_type": "client_credentials"}, ("portal", "wrong"), 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, ("nobody", ""), 401, "invalid_client"),
        ({"grant_type": "client_credentials", "client_id": "portal"}, None, 401, "invalid_client"),
        ({"grant_type": "client_credentials", "client_id": "pages-payment"}, None, 400, "unauthorized_client"),
        ({"grant_type": "client_credentials", "scope": "ops"}, ("portal", "portal-secret"), 400, "invalid_scope"),
        ({"grant_type": "refresh_token"}, ("portal", "portal-secret"), 400, "unsupported_grant_type"),
        ({"x": "y"}, ("portal", "portal-secret"), 400, "invalid_request"),
    ],
)
async def test_token_refusals_are_those_of_rfc_6749(
    browser: httpx.AsyncClient,
    form: dict[str, str],
    auth: tuple[str, str] | None,
    status: int,
    error: str,
) -> None:
    answer = await browser.post("/token", data=form, auth=auth or httpx.USE_CLIENT_DEFAULT)

    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert ("www-authenticate" in answer.headers) == (status == 401)


async def test_password_grant_exists_only_where_it_is_allowed(tmp_path: Path, browser: httpx.AsyncClient) -> None:
    form = {"grant_type": "password", "client_id": "pages-payment", "username": "ke-toan", "password": "mật khẩu"}
    refused = await browser.post("/token", data=form)
    app = create_app(configuration(tmp_path, allow_password_grant=True))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=ISSUER) as client:
        granted = await client.post("/token", data=form)
        wrong = await client.post("/token", data={**form, "password": "sai"})
        discovery = (await client.get("/.well-known/openid-configuration")).json()

    assert (refused.status_code, refused.json()["error"]) == (400, "unsupported_grant_type")
    assert granted.json()["scope"] == "payments:read payments:refund payments:reconcile"
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_grant")
    assert "password" in discovery["grant_types_supported"]


async def test_userinfo_tells_who_the_token_is(browser: httpx.AsyncClient, moment: Moment) -> None:
    token = (await redeemed(browser, (await signed_in(browser))["code"])).json()["access_token"]
    headers = {"authorization": f"Bearer {token}"}

    known = await browser.get("/userinfo", headers=headers)
    forged = await browser.get("/userinfo", headers={"authorization": f"Bearer {token[:-4]}AAAA"})
    moment.now += 600
    expired = await browser.get("/userinfo", headers=headers)

    assert known.json() == {
        "sub": "ke-toan",
        "preferred_username": "ke-toan",
        "name": "Trần Thị Kế Toán",
        "roles": ["finance-officer"],
        "org": "H01",
    }
    assert [forged.status_code, expired.status_code] == [401, 401]


async def test_the_discovery_document_is_true(browser: httpx.AsyncClient) -> None:
    document = (await browser.get("/.well-known/openid-configuration")).json()

    assert document["issuer"] == ISSUER
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["grant_types_supported"] == ["authorization_code", "client_credentials"]
    for name in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "end_session_endpoint"):
        assert document[name].startswith(ISSUER)
        answer = await browser.get(document[name])
        assert answer.status_code != 404, name


async def test_the_key_survives_a_restart_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    kids = []
    for _ in range(2):
        app = create_app(configuration(tmp_path))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=ISSUER) as client:
            kids.append((await client.get("/jwks.json")).json()["keys"][0]["kid"])

    key_file = tmp_path / "issuer" / "key.pem"
    assert kids[0] == kids[1]
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert "PRIVATE" not in json.dumps(kids)


async def test_pages_set_a_strict_content_policy(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/authorize", params=authorization(state='"><script>'))

    assert "script-src" not in page.headers["content-security-policy"]
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert '"><script>' not in page.text
