"""The identity provider of the sandbox: an OpenID Connect issuer for its portals, officers and couriers.

Run as `python -m sandbox.identity --port N --config FILE.json`. It speaks authorization code with
PKCE (S256 only) for people, client credentials for programs and, only where the configuration says
`"allow_password_grant": true`, the password grant for scripts that have no browser. Authorization
codes and browser sessions live in memory; the signing key lives in the configured file.
"""

import argparse
import base64
import hashlib
import hmac
import os
import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit, urlunsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict

from sandbox.wire import Clock, serve

AUDIENCE = "lien-thong"
ACCESS_TOKEN_SECONDS = 600
CODE_SECONDS = 60
SESSION_SECONDS = 8 * 3600
SESSION_COOKIE = "sandbox_identity"
OPENID_SCOPES = frozenset({"openid", "profile"})
REQUEST_PARAMETERS = (
    *("response_type", "client_id", "redirect_uri", "scope", "state", "nonce"),
    *("code_challenge", "code_challenge_method", "prompt", "ui_locales"),
)


class Client(BaseModel):
    """A registered application; without a secret it is public.

    `scopes` limits what it may ask for. Pages registered without any may ask for all that the person
    who signs in may do; a program acting for itself gets none.
    """

    model_config = ConfigDict(extra="forbid")

    client_id: str
    client_secret: str | None = None
    scopes: list[str] = []
    org: str = "*"
    redirect_uris: list[str] = []


class Person(BaseModel):
    """Someone who can sign in."""

    model_config = ConfigDict(extra="forbid")

    username: str
    password: str
    name: str
    roles: list[str] = []
    scopes: list[str] = []
    org: str = "*"


class Configuration(BaseModel):
    """The whole configuration file."""

    model_config = ConfigDict(extra="forbid")

    issuer: str
    clients: dict[str, Client]
    people: dict[str, Person]
    key_file: Path
    allow_password_grant: bool = False

    def client(self, client_id: str) -> Client | None:
        return next((c for c in self.clients.values() if c.client_id == client_id), None)

    def person(self, username: str) -> Person | None:
        return next((p for p in self.people.values() if p.username == username), None)


class OAuthError(Exception):
    """A refusal in the words of RFC 6749 section 5.2."""

    def __init__(self, error: str, description: str, *, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status


class PageError(Exception):
    """A request so wrong that redirecting back would not be safe (RFC 6749 section 4.1.2.1)."""


class RedirectError(OAuthError):
    """A refusal that is reported to the application's redirect URI."""


@dataclass(frozen=True)
class AuthorizationRequest:
    """What an application asked for, checked."""

    client: Client
    redirect_uri: str
    scopes: tuple[str, ...]
    state: str | None
    nonce: str | None
    code_challenge: str


@dataclass(frozen=True)
class Grant:
    """A code handed out and not yet redeemed."""

    request: AuthorizationRequest
    person: Person
    signed_in_at: int
    expires_at: float


@dataclass
class Session:
    """A browser that signed in."""

    username: str
    signed_in_at: int
    expires_at: float


_TEMPLATES = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)


@dataclass
class Issuer:
    """The signing key and everything that is remembered between two requests."""

    configuration: Configuration
    key: rsa.RSAPrivateKey
    clock: Clock
    grants: dict[str, Grant] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)

    @property
    def public_jwk(self) -> dict[str, str]:
        """The public key as a JWK whose `kid` is its RFC 7638 thumbprint."""
        numbers = self.key.public_key().public_numbers()
        e, n = _base64url_integer(numbers.e), _base64url_integer(numbers.n)
        canonical = f'{{"e":"{e}","kty":"RSA","n":"{n}"}}'
        thumbprint = _base64url(hashlib.sha256(canonical.encode()).digest())
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": thumbprint, "n": n, "e": e}

    def sign(self, claims: Mapping[str, object], *, token_type: str) -> str:
        headers = {"kid": self.public_jwk["kid"], "typ": token_type}
        return jwt.encode(dict(claims), self.key, algorithm="RS256", headers=headers)

    def access_token(self, client: Client, scopes: tuple[str, ...], *, person: Person | None = None) -> str:
        """A signed access token; its subject is the person, or the client acting for itself."""
        now = int(self.clock())
        return self.sign(
            {
                "iss": self.configuration.issuer,
                "aud": AUDIENCE,
                "sub": person.username if person else client.client_id,
                "azp": client.client_id,
                "scope": " ".join(scopes),
                "org": person.org if person else client.org,
                "name": person.name if person else client.client_id,
                "roles": person.roles if person else [],
                "iat": now,
                "exp": now + ACCESS_TOKEN_SECONDS,
                "jti": str(uuid.uuid4()),
            },
            token_type="at+jwt",
        )

    def id_token(self, grant: Grant, access_token: str) -> str:
        """Who signed in, for the application only: its audience is the client."""
        now = int(self.clock())
        claims: dict[str, object] = {
            "iss": self.configuration.issuer,
            "aud": grant.request.client.client_id,
            "azp": grant.request.client.client_id,
            "iat": now,
            "exp": now + ACCESS_TOKEN_SECONDS,
            "auth_time": grant.signed_in_at,
            "at_hash": _base64url(hashlib.sha256(access_token.encode()).digest()[:16]),
            **_profile(grant.person),
        }
        if grant.request.nonce is not None:
            claims["nonce"] = grant.request.nonce
        return self.sign(claims, token_type="JWT")

    def session(self, request: Request) -> Session | None:
        """The live session of the browser that sent the request."""
        session = self.sessions.get(request.cookies.get(SESSION_COOKIE, ""))
        return session if session and session.expires_at > self.clock() else None

    def page(self, page: str, lang: str, *, status: int = 200, **context: object) -> HTMLResponse:
        template = _TEMPLATES.get_template("identity.html")
        html = template.render(page=page, lang=lang, **context)
        return HTMLResponse(html, status_code=status, headers=PAGE_HEADERS)


# No form-action directive: browsers apply it to the redirect that follows the login form, and that
# redirect goes to the application.
PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def create_app(configuration: Configuration, *, clock: Clock = time.time) -> FastAPI:
    """The issuer as an application; reads or creates the signing key."""
    issuer = Issuer(configuration, signing_key(configuration.key_file), clock)
    app = FastAPI(title="Sandbox identity provider", docs_url=None, redoc_url=None)
    _add_metadata_routes(app, issuer)
    _add_login_routes(app, issuer)
    _add_token_routes(app, issuer)

    @app.exception_handler(OAuthError)
    async def refuse(request: Request, refusal: OAuthError) -> JSONResponse:
        headers = dict(NO_STORE)
        if refusal.status == 401:
            basic = request.headers.get("authorization", "").lower().startswith("basic")
            headers["WWW-Authenticate"] = 'Basic realm="token"' if basic else "Bearer"
        body = {"error": refusal.error, "error_description": refusal.description}
        return JSONResponse(body, status_code=refusal.status, headers=headers)

    return app


NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def signing_key(path: Path) -> rsa.RSAPrivateKey:
    """The RSA key in `path`; made on first use, readable by its owner only."""
    if not path.exists():
        made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = made.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"{path} holds no RSA key")
    return key


def _add_metadata_routes(app: FastAPI, issuer: Issuer) -> None:
    configuration = issuer.configuration
    base = configuration.issuer.rstrip("/")

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/jwks.json")
    async def jwks() -> dict[str, list[dict[str, str]]]:
        return {"keys": [issuer.public_jwk]}

    @app.get("/.well-known/openid-configuration")
    async def discovery() -> dict[str, object]:
        grants = ["authorization_code", "client_credentials"]
        if configuration.allow_password_grant:
            grants.append("password")
        offered = {scope for client in configuration.clients.values() for scope in client.scopes}
        return {
            "issuer": configuration.issuer,
            "authorization_endpoint": f"{base}/authorize",
            "token_endpoint": f"{base}/token",
            "userinfo_endpoint": f"{base}/userinfo",
            "jwks_uri": f"{base}/jwks.json",
            "end_session_endpoint": f"{base}/logout",
            "scopes_supported": sorted(offered | OPENID_SCOPES),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": grants,
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
            "code_challenge_methods_supported": ["S256"],
            "claims_supported": [
                *("iss", "aud", "azp", "sub", "iat", "exp", "auth_time", "nonce", "at_hash"),
                *("name", "preferred_username", "roles", "org"),
            ],
            "prompt_values_supported": ["none", "login"],
            "ui_locales_supported": ["vi", "en"],
            "claims_parameter_supported": False,
            "request_parameter_supported": False,
            "request_uri_parameter_supported": False,
            "authorization_response_iss_parameter_supported": True,
        }


def _add_login_routes(app: FastAPI, issuer: Issuer) -> None:
    async def authorize(request: Request) -> Response:
        submitted = dict(request.query_params) if request.method == "GET" else await _form(request)
        lang = "en" if submitted.get("ui_locales", "").lower().startswith("en") else "vi"
        try:
            return _authorize(issuer, request, submitted, lang)
        except PageError as problem:
            return issuer.page("problem", lang, status=400, detail=str(problem))

    app.add_api_route("/authorize", authorize, methods=["GET", "POST"], include_in_schema=False)

    async def logout(request: Request) -> Response:
        values = dict(request.query_params)
        if request.method == "POST":
            values |= await _form(request)
        issuer.sessions.pop(request.cookies.get(SESSION_COOKIE, ""), None)
        lang = "en" if values.get("ui_locales", "").lower().startswith("en") else "vi"
        target = _after_logout(issuer, values)
        answer: Response = (
            RedirectResponse(target, status_code=303, headers=NO_STORE) if target else issuer.page("signed_out", lang)
        )
        answer.delete_cookie(SESSION_COOKIE, httponly=True, samesite="lax")
        return answer

    app.add_api_route("/logout", logout, methods=["GET", "POST"], include_in_schema=False)


def _authorize(issuer: Issuer, request: Request, submitted: Mapping[str, str], lang: str) -> Response:
    client = issuer.configuration.client(submitted.get("client_id", ""))
    if client is None:
        raise PageError("unknown client_id")
    redirect_uri = submitted.get("redirect_uri", "")
    if redirect_uri not in client.redirect_uris:
        raise PageError("redirect_uri is not registered for this client")
    try:
        asked = _checked_request(client, redirect_uri, submitted)
        session = None if submitted.get("prompt") == "login" else issuer.session(request)
        if request.method == "GET":
            person = issuer.configuration.person(session.username) if session else None
            if session and person:
                return _hand_out_code(issuer, asked, person, session.signed_in_at)
            if submitted.get("prompt") == "none":
                raise RedirectError("login_required", "Nobody is signed in.")
            return _login_page(issuer, submitted, lang)
    except RedirectError as refusal:
        problem = {"error": refusal.error, "error_description": str(refusal)}
        return _back_to(issuer, redirect_uri, problem, submitted.get("state"))
    return _sign_in(issuer, asked, submitted, lang)


def _checked_request(client: Client, redirect_uri: str, submitted: Mapping[str, str]) -> AuthorizationRequest:
    if submitted.get("response_type") != "code":
        raise RedirectError("unsupported_response_type", "Only response_type=code is supported.")
    challenge = submitted.get("code_challenge", "")
    if submitted.get("code_challenge_method") != "S256" or len(challenge) != 43:
        raise RedirectError("invalid_request", "PKCE is required: code_challenge with code_challenge_method=S256.")
    asked = tuple(submitted.get("scope", "").split()) or tuple(client.scopes)
    unknown = set(asked) - set(client.scopes) - OPENID_SCOPES
    if client.scopes and unknown:
        raise RedirectError("invalid_scope", f"Not registered for: {' '.join(sorted(unknown))}")
    return AuthorizationRequest(client, redirect_uri, asked, submitted.get("state"), submitted.get("nonce"), challenge)


def _sign_in(issuer: Issuer, asked: AuthorizationRequest, submitted: Mapping[str, str], lang: str) -> Response:
    person = _person_with(issuer, submitted.get("username", ""), submitted.get("password", ""))
    if person is None:
        return _login_page(issuer, submitted, lang, wrong_password=True)
    now = issuer.clock()
    session_id = secrets.token_urlsafe(32)
    issuer.sessions[session_id] = Session(person.username, int(now), now + SESSION_SECONDS)
    answer = _hand_out_code(issuer, asked, person, int(now))
    answer.set_cookie(SESSION_COOKIE, session_id, httponly=True, samesite="lax")
    return answer


def _login_page(
    issuer: Issuer, submitted: Mapping[str, str], lang: str, *, wrong_password: bool = False
) -> HTMLResponse:
    hidden = {name: submitted[name] for name in REQUEST_PARAMETERS if name in submitted}
    other = {**hidden, "ui_locales": "vi" if lang == "en" else "en"}
    return issuer.page(
        "login",
        lang,
        status=401 if wrong_password else 200,
        wrong_password=wrong_password,
        username=submitted.get("username", ""),
        hidden=hidden,
        other_language_url=f"/authorize?{urlencode(other)}",
    )


def _hand_out_code(issuer: Issuer, asked: AuthorizationRequest, person: Person, signed_in_at: int) -> RedirectResponse:
    now = issuer.clock()
    # Codes nobody redeemed would otherwise stay for ever.
    for code in [code for code, grant in issuer.grants.items() if grant.expires_at <= now]:
        del issuer.grants[code]
    code = secrets.token_urlsafe(32)
    issuer.grants[code] = Grant(asked, person, signed_in_at, now + CODE_SECONDS)
    return _back_to(issuer, asked.redirect_uri, {"code": code}, asked.state)


def _back_to(issuer: Issuer, redirect_uri: str, values: Mapping[str, str], state: str | None) -> RedirectResponse:
    parts = urlsplit(redirect_uri)
    query = dict(parse_qsl(parts.query, keep_blank_values=True)) | dict(values)
    if state is not None:
        query["state"] = state
    query["iss"] = issuer.configuration.issuer
    target = urlunsplit(parts._replace(query=urlencode(query)))
    return RedirectResponse(target, status_code=303, headers=NO_STORE)


def _after_logout(issuer: Issuer, values: Mapping[str, str]) -> str | None:
    """Where to send the browser: only to the origin of some registered redirect URI."""
    wanted = values.get("post_logout_redirect_uri", "")
    origin = urlsplit(wanted)[:2]
    known = {urlsplit(uri)[:2] for client in issuer.configuration.clients.values() for uri in client.redirect_uris}
    if not wanted or origin not in known:
        return None
    state = values.get("state")
    joined = "&" if urlsplit(wanted).query else "?"
    return f"{wanted}{joined}{urlencode({'state': state})}" if state else wanted


def _add_token_routes(app: FastAPI, issuer: Issuer) -> None:
    @app.post("/token")
    async def token(request: Request) -> JSONResponse:
        if not request.headers.get("content-type", "").startswith(FORM):
            raise OAuthError("invalid_request", f"Send the parameters as {FORM}.")
        submitted = await _form(request)
        client = _authenticated_client(issuer, request, submitted)
        grant_type = submitted.get("grant_type")
        if grant_type == "authorization_code":
            body = _redeem_code(issuer, client, submitted)
        elif grant_type == "client_credentials":
            if client.client_secret is None:
                raise OAuthError("unauthorized_client", "A public client cannot act for itself.")
            scopes = _narrowed(submitted, client.scopes)
            body = _token_answer(issuer.access_token(client, scopes), scopes)
        elif grant_type == "password" and issuer.configuration.allow_password_grant:
            body = _password_grant(issuer, client, submitted)
        elif grant_type is None:
            raise OAuthError("invalid_request", "grant_type is missing.")
        else:
            raise OAuthError("unsupported_grant_type", f"{grant_type} is not supported here.")
        return JSONResponse(body, headers=NO_STORE)

    async def userinfo(request: Request) -> JSONResponse:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise OAuthError("invalid_token", "Send an access token.", status=401)
        person = _person_of(issuer, token)
        if person is None:
            raise OAuthError("invalid_token", "Not a valid token of a person.", status=401)
        return JSONResponse(_profile(person), headers=NO_STORE)

    app.add_api_route("/userinfo", userinfo, methods=["GET", "POST"])


FORM = "application/x-www-form-urlencoded"


def _authenticated_client(issuer: Issuer, request: Request, submitted: Mapping[str, str]) -> Client:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(credentials, validate=True).decode()
        except ValueError:
            raise OAuthError("invalid_client", "Malformed Basic header.", status=401) from None
        # RFC 6749 section 2.3.1: both parts are form-encoded before they are joined.
        client_id, _, secret = (unquote_plus(part) for part in decoded.partition(":"))
    else:
        client_id, secret = submitted.get("client_id", ""), submitted.get("client_secret", "")
    client = issuer.configuration.client(client_id)
    if client is None or not _same(client.client_secret or "", secret):
        raise OAuthError("invalid_client", "Unknown client or wrong secret.", status=401)
    return client


def _redeem_code(issuer: Issuer, client: Client, submitted: Mapping[str, str]) -> dict[str, object]:
    # Popped before it is checked: a code presented twice, or wrongly once, is spent.
    grant = issuer.grants.pop(submitted.get("code", ""), None)
    if grant is None or grant.expires_at <= issuer.clock():
        raise OAuthError("invalid_grant", "The code is unknown, used or expired.")
    if grant.request.client.client_id != client.client_id:
        raise OAuthError("invalid_grant", "The code was issued to another client.")
    if submitted.get("redirect_uri") != grant.request.redirect_uri:
        raise OAuthError("invalid_grant", "redirect_uri differs from the authorization request.")
    verifier = submitted.get("code_verifier", "")
    if not _same(_base64url(hashlib.sha256(verifier.encode()).digest()), grant.request.code_challenge):
        raise OAuthError("invalid_grant", "code_verifier does not match code_challenge.")
    allowed = [scope for scope in grant.person.scopes if scope in client.scopes or not client.scopes]
    asked = grant.request.scopes
    # Asking for nothing beyond identity means: whatever this person may do here.
    wanted = asked if set(asked) - OPENID_SCOPES else (*asked, *allowed)
    scopes = tuple(scope for scope in wanted if scope in OPENID_SCOPES.union(allowed))
    access_token = issuer.access_token(client, scopes, person=grant.person)
    answer = _token_answer(access_token, scopes)
    if "openid" in scopes:
        answer["id_token"] = issuer.id_token(grant, access_token)
    return answer


def _password_grant(issuer: Issuer, client: Client, submitted: Mapping[str, str]) -> dict[str, object]:
    person = _person_with(issuer, submitted.get("username", ""), submitted.get("password", ""))
    if person is None:
        raise OAuthError("invalid_grant", "Wrong username or password.")
    scopes = _narrowed(submitted, person.scopes)
    return _token_answer(issuer.access_token(client, scopes, person=person), scopes)


def _narrowed(submitted: Mapping[str, str], allowed: list[str]) -> tuple[str, ...]:
    asked = tuple(submitted.get("scope", "").split())
    if unknown := set(asked) - set(allowed) - OPENID_SCOPES:
        raise OAuthError("invalid_scope", f"Not allowed: {' '.join(sorted(unknown))}")
    return asked or tuple(allowed)


def _token_answer(access_token: str, scopes: tuple[str, ...]) -> dict[str, object]:
    return {
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": ACCESS_TOKEN_SECONDS,
        "scope": " ".join(scopes),
    }


def _person_with(issuer: Issuer, username: str, password: str) -> Person | None:
    person = issuer.configuration.person(username)
    expected = person.password if person else secrets.token_urlsafe(16)
    return person if _same(expected, password) else None


def _person_of(issuer: Issuer, token: str) -> Person | None:
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            issuer.key.public_key(),
            algorithms=["RS256"],
            audience=AUDIENCE,
            issuer=issuer.configuration.issuer,
            # Checked against this issuer's own clock below.
            options={"verify_exp": False, "verify_iat": False},
        )
    except jwt.InvalidTokenError:
        return None
    if claims["exp"] <= issuer.clock():
        return None
    return issuer.configuration.person(claims["sub"])


def _profile(person: Person) -> dict[str, object]:
    return {
        "sub": person.username,
        "preferred_username": person.username,
        "name": person.name,
        "roles": person.roles,
        "org": person.org,
    }


async def _form(request: Request) -> dict[str, str]:
    body = (await request.body()).decode("utf-8", errors="replace")
    return dict(parse_qsl(body, keep_blank_values=True))


def _same(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode(), given.encode())


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _base64url_integer(number: int) -> str:
    return _base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox.identity", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--config", type=Path, required=True, help="JSON configuration file")
    arguments = parser.parse_args()
    configuration = Configuration.model_validate_json(arguments.config.read_text("utf-8"))
    serve(create_app(configuration), port=arguments.port)


if __name__ == "__main__":
    main()
