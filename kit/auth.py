"""Who is calling and what they may do: bearer tokens of an OIDC issuer, and the cookie of signed-in people."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, cast

import httpx
import jwt
from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials

from kit.errors import Forbidden, Unauthenticated, Unavailable

_REFRESH_AFTER_SECONDS = 600
_RETRY_AFTER_SECONDS = 10
_LEEWAY_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller. `organisation` is an agency code, or `*` for those who serve all."""

    subject: str
    client_id: str
    name: str
    organisation: str
    scopes: frozenset[str]
    roles: tuple[str, ...] = ()

    @property
    def actor(self) -> str:
        """How the caller is written into histories: a person's user name or a client's id."""
        return self.subject

    @property
    def caller(self) -> str:
        """Client and subject: the drawer in which idempotency keys are kept."""
        return f"{self.client_id}/{self.subject}"

    def may(self, scope: str) -> bool:
        """Whether the caller holds `scope`."""
        return scope in self.scopes


class Authority:
    """Verifies tokens against the issuer's published keys, which it fetches once and again when a new key appears."""

    def __init__(self, *, issuer: str, audience: str, http: httpx.AsyncClient) -> None:
        self._issuer = issuer
        self._audience = audience
        self._http = http
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = 0.0
        self._lock = asyncio.Lock()
        self._discovery: dict[str, Any] = {}

    async def discovery(self) -> dict[str, Any]:
        """The issuer's discovery document. Raises Unavailable when the issuer does not answer."""
        if not self._discovery:
            self._discovery = await self._get(f"{self._issuer}/.well-known/openid-configuration")
        return self._discovery

    async def identify(self, request: Request) -> str | None:
        """Verify the request's bearer token, remember who it is, and name the caller; None without a token."""
        if getattr(request.state, "principal", None) is None:
            header = request.headers.get("authorization", "")
            scheme, _, token = header.partition(" ")
            if not header:
                return None
            if scheme.lower() != "bearer" or not token:
                raise _not_believed()
            request.state.principal = await self.principal_of(token)
        return cast("Principal", request.state.principal).caller

    async def principal_of(self, token: str) -> Principal:
        """The caller a token speaks for. Raises Unauthenticated when it is not to be believed."""
        claims = await self.claims_of(token, audience=self._audience)
        return principal_from_claims(claims)

    async def claims_of(self, token: str, *, audience: str) -> dict[str, Any]:
        """Verified claims of an access or id token meant for `audience`."""
        try:
            header = jwt.get_unverified_header(token)
            key = await self._key(str(header.get("kid", "")))
            return jwt.decode(
                token,
                key,
                algorithms=["RS256", "ES256", "EdDSA"],
                audience=audience,
                issuer=self._issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise _not_believed() from error

    async def _key(self, key_id: str) -> jwt.PyJWK:
        age = time.monotonic() - self._fetched_at
        unknown = key_id not in self._keys
        if not self._keys or age > _REFRESH_AFTER_SECONDS or (unknown and age > _RETRY_AFTER_SECONDS):
            async with self._lock:
                if time.monotonic() - self._fetched_at >= age or not self._keys:
                    await self._refresh()
        if key_id not in self._keys:
            raise _not_believed()
        return self._keys[key_id]

    async def _refresh(self) -> None:
        document = await self.discovery()
        keys = await self._get(str(document["jwks_uri"]))
        self._keys = {key.key_id or "": key for key in jwt.PyJWKSet.from_dict(keys).keys}
        self._fetched_at = time.monotonic()

    async def _get(self, url: str) -> dict[str, Any]:
        try:
            response = await self._http.get(url)
            response.raise_for_status()
            return cast("dict[str, Any]", response.json())
        except (httpx.HTTPError, ValueError) as error:
            raise Unavailable(
                "Hệ thống định danh chưa trả lời; hãy thử lại sau ít phút.",
                "The identity provider does not answer; try again in a few minutes.",
                headers={"Retry-After": "5"},
            ) from error


def principal_from_claims(claims: dict[str, Any]) -> Principal:
    """Read a principal from verified claims."""
    return Principal(
        subject=str(claims["sub"]),
        client_id=str(claims.get("azp", claims["sub"])),
        name=str(claims.get("name", claims["sub"])),
        organisation=str(claims.get("org", "")),
        scopes=frozenset(str(claims.get("scope", "")).split()),
        roles=tuple(str(role) for role in claims.get("roles", ())),
    )


def _not_believed() -> Unauthenticated:
    return Unauthenticated(
        "Mã truy cập thiếu, sai hoặc đã hết hạn; hãy lấy mã mới từ hệ thống định danh.",
        "The access token is missing, wrong or expired; get a new one from the identity provider.",
        headers={"WWW-Authenticate": "Bearer"},
    )


bearer = HTTPBearer(auto_error=False, description="Access token of the OIDC issuer (JWT)")


def require(*scopes: str) -> Callable[..., Awaitable[Principal]]:
    """A dependency that yields the caller when the token holds any of `scopes`; 401 or 403 otherwise."""

    async def principal(
        request: Request,
        _: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)] = None,
    ) -> Principal:
        authority = cast("Authority", request.app.state.authority)
        if await authority.identify(request) is None:
            raise _not_believed()
        found = cast("Principal", request.state.principal)
        if not any(found.may(scope) for scope in scopes):
            needed = " / ".join(scopes)
            raise Forbidden(
                f"Mã truy cập không có quyền {needed}; hãy xin cấp quyền này cho ứng dụng hoặc tài khoản.",
                f"The access token lacks the scope {needed}; ask for it for this client or person.",
                headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{needed}"'},
            )
        return found

    return principal
