"""Server-rendered pages: two languages, sign-in by authorization code with PKCE, forms that cannot be forged."""

import base64
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, cast
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

import httpx
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.security.http import HTTPAuthorizationCredentials
from fastapi.staticfiles import StaticFiles
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from starlette.middleware.sessions import SessionMiddleware

from kit.auth import Authority, Principal, bearer, principal_from_claims, require
from kit.errors import Forbidden, Unavailable
from kit.money import Language, format_dong
from kit.telemetry import request_id_var

LOCAL_ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
_KIT = Path(__file__).parent
_SESSION_SECONDS = 8 * 3600
"""A signed-in person works one shift; then the identity provider is asked again."""


@dataclass(frozen=True, slots=True)
class NavItem:
    """One entry of a service's navigation; shown only to people who hold one of the scopes in `scope`."""

    href: str
    vi: str
    en: str
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """What the pages of one service are called and what its navigation holds."""

    name: str
    title_vi: str
    title_en: str
    templates: Path
    nav: tuple[NavItem, ...]


class SignInNeeded(Exception):
    """A page was asked for without a session; the person is sent to sign in and comes back."""


def language_of(request: Request) -> Language:
    """`?lang=` wins, then the cookie of an earlier choice, then Accept-Language; Vietnamese otherwise."""
    chosen = request.query_params.get("lang") or request.cookies.get("lang")
    if chosen in ("vi", "en"):
        return cast("Language", chosen)
    for part in request.headers.get("accept-language", "").split(","):
        tag = part.split(";")[0].strip().lower()
        if tag[:2] in ("vi", "en"):
            return cast("Language", tag[:2])
    return "vi"


def format_when(moment: datetime) -> str:
    """A moment as `21/11/2026 22:16`, in Vietnam."""
    return moment.astimezone(LOCAL_ZONE).strftime("%d/%m/%Y %H:%M")


def format_day(day: date) -> str:
    """A day as `21/11/2026`."""
    return day.strftime("%d/%m/%Y")


class Pages:
    """Renders a site's templates for a request."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._environment = Environment(
            loader=ChoiceLoader([FileSystemLoader(site.templates), FileSystemLoader(_KIT / "templates")]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def render(self, request: Request, template: str, /, status: int = 200, **context: object) -> HTMLResponse:
        """A template with everything a page of the house expects; also remembers a language chosen by `?lang=`."""
        lang = language_of(request)
        person = person_of(request)
        flash = request.session.pop("flash", []) if "session" in request.scope else []
        html = self._environment.get_template(template).render(
            lang=lang,
            t=lambda vi, en: vi if lang == "vi" else en,
            dong=lambda amount: format_dong(amount, lang),
            when=format_when,
            day=format_day,
            service=self.site,
            nav=self._nav(request, person),
            person=person,
            csrf=_csrf_of(request) if "session" in request.scope else "",
            request_id=request_id_var.get(),
            flash=flash,
            status=status,
            path_with_lang=lambda wanted: str(request.url.include_query_params(lang=wanted)),
            **context,
        )
        response = HTMLResponse(html, status_code=status)
        if request.query_params.get("lang") in ("vi", "en"):
            response.set_cookie("lang", lang, max_age=365 * 86_400, samesite="lax")
        return response

    def _nav(self, request: Request, person: Principal | None) -> list[dict[str, Any]]:
        path = request.url.path
        held = [n for n in self.site.nav if n.scope is None or _may_any(person, n.scope)]
        best = max((n.href for n in held if path.startswith(n.href)), key=len, default=None)
        return [{"href": n.href, "vi": n.vi, "en": n.en, "active": n.href == best, "badge": None} for n in held]


def _may_any(person: Principal | None, scopes: str) -> bool:
    return person is not None and any(person.may(scope) for scope in scopes.split())


def person_of(request: Request) -> Principal | None:
    """Who is signed in, if anybody and if their shift has not ended."""
    if "session" not in request.scope:
        return None
    claims = request.session.get("person")
    if not claims or claims["until"] < time.time():
        return None
    return principal_from_claims(claims)


def signed_in(*scopes: str) -> Callable[..., Awaitable[Principal]]:
    """A dependency for pages: the signed-in person holding any of `scopes`; others sign in, or read why not."""

    async def principal(request: Request) -> Principal:
        person = person_of(request)
        if person is None:
            raise SignInNeeded
        if scopes and not any(person.may(scope) for scope in scopes):
            raise Forbidden(
                "Tài khoản của bạn không có quyền xem trang này; hãy liên hệ quản trị để được cấp quyền.",
                "Your account may not see this page; ask your administrator for the right.",
            )
        return person

    return principal


def require_or_signed_in(*scopes: str) -> Callable[..., Awaitable[Principal]]:
    """A dependency for calls that scripts of our own pages make as well as clients with a token.

    Without a token the page's session answers; its writes carry the page's token in `X-CSRF-Token`. 401, 403 otherwise.
    """
    with_token = require(*scopes)

    async def principal(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)] = None
    ) -> Principal:
        person = None if "authorization" in request.headers else person_of(request)
        if person is None:
            return await with_token(request, credentials)
        sent, expected = request.headers.get("x-csrf-token", ""), request.session.get("csrf", "")
        reads = request.method in ("GET", "HEAD")
        if not reads and not (expected and secrets.compare_digest(sent.encode(), expected.encode())):
            raise Forbidden(
                "Phiên làm việc của trang đã đổi; hãy mở lại trang rồi thử lần nữa.",
                "The session of this page has changed; open the page again and retry.",
            )
        if not any(person.may(scope) for scope in scopes):
            raise Forbidden(
                "Tài khoản của bạn không có quyền làm việc này; hãy liên hệ quản trị để được cấp quyền.",
                "Your account may not do this; ask your administrator for the right.",
            )
        return person

    return principal


async def genuine_form(request: Request) -> Mapping[str, Any]:
    """The form of a page's POST, refused unless it carries the token that only our own page knew."""
    form = await request.form()
    sent = form.get("csrf", "")
    expected = request.session.get("csrf", "")
    if not expected or not isinstance(sent, str) or not secrets.compare_digest(sent, expected):
        raise Forbidden(
            "Biểu mẫu đã hết hạn; hãy mở lại trang rồi gửi lần nữa.",
            "This form has expired; open the page again and send it once more.",
        )
    return form


FormDep = Annotated[Mapping[str, Any], Depends(genuine_form)]


def flash(request: Request, kind: str, vi: str, en: str) -> None:
    """Say something on the next page. `kind`: success, notice, warning or error."""
    request.session["flash"] = [*request.session.get("flash", []), {"kind": kind, "vi": vi, "en": en}]


def see_other(url: str) -> RedirectResponse:
    """Redirect after a POST, so that reloading the next page sends nothing again."""
    return RedirectResponse(url, status_code=303)


def add_pages(
    app: FastAPI, *, client_id: str, public_url: str, session_secret: str, secure: bool, http: httpx.AsyncClient
) -> None:
    """Give an app sessions, static files, sign-in and sign-out."""
    if len(session_secret) < 32:
        raise ValueError("session_secret needs at least 32 characters")
    app.add_middleware(
        SessionMiddleware,
        secret_key=session_secret,
        session_cookie=f"lien_thong_{client_id}",
        max_age=_SESSION_SECONDS,
        same_site="lax",
        https_only=secure,
    )
    app.mount("/static/kit", StaticFiles(directory=_KIT / "static"), name="kit-static")
    app.include_router(_sign_in_router(client_id=client_id, public_url=public_url, http=http))


def _sign_in_router(*, client_id: str, public_url: str, http: httpx.AsyncClient) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    redirect_uri = f"{public_url}/auth/callback"

    @router.get("/login")
    async def login(request: Request, next: str = "/") -> Response:  # noqa: A002 — the usual name of this parameter
        authority = cast("Authority", request.app.state.authority)
        document = await authority.discovery()
        verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
        nonce = secrets.token_urlsafe(24)
        request.session["sign_in"] = {"verifier": verifier, "state": state, "nonce": nonce, "next": _local(next)}
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        query = urlencode(
            {
                "response_type": "code",
                "client_id": client_id,
                "redirect_uri": redirect_uri,
                "scope": "openid profile",
                "state": state,
                "nonce": nonce,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
                "ui_locales": language_of(request),
            }
        )
        return see_other(f"{document['authorization_endpoint']}?{query}")

    @router.get("/auth/callback")
    async def callback(request: Request, code: str = "", state: str = "") -> Response:
        authority = cast("Authority", request.app.state.authority)
        pending = request.session.pop("sign_in", None)
        if not pending or not code or not secrets.compare_digest(pending["state"], state):
            return see_other("/login")
        document = await authority.discovery()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": client_id,
            "code_verifier": pending["verifier"],
        }
        try:
            answer = await http.post(str(document["token_endpoint"]), data=form)
        except httpx.HTTPError as error:
            raise Unavailable(
                "Hệ thống định danh chưa trả lời; hãy thử đăng nhập lại.",
                "The identity provider does not answer; try to sign in again.",
            ) from error
        if not answer.is_success:
            return see_other("/login")
        tokens = answer.json()
        identity = await authority.claims_of(tokens["id_token"], audience=client_id)
        if identity.get("nonce") != pending["nonce"]:
            return see_other("/login")
        person = await authority.principal_of(tokens["access_token"])
        request.session.clear()
        request.session["csrf"] = secrets.token_urlsafe(32)
        request.session["person"] = {
            "sub": person.subject,
            "azp": person.client_id,
            "name": person.name,
            "org": person.organisation,
            "scope": " ".join(sorted(person.scopes)),
            "roles": list(person.roles),
            "until": int(time.time()) + _SESSION_SECONDS,
        }
        return see_other(pending["next"])

    @router.post("/logout")
    async def logout(request: Request, _: FormDep) -> Response:
        """Leave here and at the identity provider, or the next person at this desk would be signed in as the last."""
        request.session.clear()
        authority = cast("Authority", request.app.state.authority)
        leave = (await authority.discovery()).get("end_session_endpoint")
        if not leave:
            return see_other("/")
        return see_other(f"{leave}?{urlencode({'client_id': client_id, 'post_logout_redirect_uri': public_url})}")

    return router


def _csrf_of(request: Request) -> str:
    token = request.session.get("csrf")
    if not token:
        token = request.session["csrf"] = secrets.token_urlsafe(32)
    return str(token)


def _local(url: str) -> str:
    """Only paths of our own: `next=` must not send people elsewhere."""
    parts = urlsplit(url)
    safe = not parts.scheme and not parts.netloc and url.startswith("/") and not url.startswith(("//", "/\\"))
    return url if safe else "/"
