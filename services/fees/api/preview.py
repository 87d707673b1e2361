"""A quote that binds nobody and is not stored, as fast as a process can answer: for portals that show fees at once.

The route is an ordinary one. In front of it stands a short way for the ordinary case: a believed token, a valid body,
a filing that can be priced. Whatever is anything else goes on to the route, which answers with the problem documents of
the house; so the two can differ in speed only.
"""

import hashlib
import time
from collections.abc import Hashable
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kit.auth import Authority, Principal, require
from kit.errors import Problem
from services.fees.circumstances import NotQuotable
from services.fees.compiled import Answer, Memory, plain_facts, snapshot_of
from services.fees.contract import QuotePreview, QuoteRequest
from services.fees.law import Law, PublishedLaw, law_of
from services.fees.operations import inputs_hash

PATH = "/v1/quotes/preview"
SCOPE = "fees:quote"
router = APIRouter(prefix="/v1", tags=["quotes"])

_MAX_BODY = 64 * 1024
_TOKENS = 2_000
_hashes: Memory[Hashable, str] = Memory(20_000)
"""Hashes of filings met lately: the hash costs more than everything else about an answer."""

_BELIEVED_SECONDS = 60
"""A token that was verified is believed again for a minute, or until it expires, without checking its signature."""


@router.post(
    "/quotes/preview",
    summary="What a filing would cost, at once and without keeping it",
    responses={200: {"model": QuotePreview}},
    response_class=Response,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/QuoteRequest"}}},
        }
    },
)
async def preview_quote(request: Request, _: Annotated[Principal, Depends(require(SCOPE))]) -> Response:
    """The lines of a quote with their explanation, by the law as this process knew it a second ago at most.

    Nothing is stored and nothing can be paid from it; ask for a quote when the citizen goes on.
    """
    try:
        asked = QuoteRequest.model_validate_json(await request.body())
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
    law = law_of(request).latest
    return Response(written(law, asked, snapshot_of(law.tariff).answer(asked)), media_type="application/json")


def written(law: PublishedLaw, asked: QuoteRequest, answer: Answer) -> bytes:
    """The preview as JSON, its lines from what the snapshot keeps."""
    found = answer.assessment
    plain = plain_facts(asked)
    key = (plain, found.procedure.slug, found.case)
    facts = _hashes.get(key) if plain is not None else None
    if facts is None:
        facts = inputs_hash(asked, found.procedure.slug, found.case)
        if plain is not None:
            _hashes.put(key, facts)
    return (
        (
            f'{{"catalogue_version":"{law.version}","publication":{law.number},"procedure":"{found.procedure.slug}",'
            f'"inputs_hash":"{facts}","total_dong":{answer.total_dong},'
            f'"citizen_dong":{answer.citizen_dong},"budget_dong":{answer.total_dong - answer.citizen_dong},"lines":'
        ).encode()
        + answer.lines_json
        + b"}"
    )


def add_short_way(app: FastAPI) -> None:
    """Put the short way before everything else of an app, tracing included, which costs more than the answer."""
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: ShortWay(build(), service=app)  # type: ignore[method-assign]


class ShortWay:
    """Answers the ordinary case of the preview before the rest of the app is entered; everything else passes on."""

    def __init__(self, app: ASGIApp, *, service: FastAPI) -> None:
        self._app = app
        self._service = service
        self._believed: dict[bytes, float] = {}
        self._count: Any = None
        self._time: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        body, passed_on = await _body_of(receive)
        content = await self._answered(scope, body) if body is not None else None
        if content is None:
            await self._app(scope, passed_on, send)
            return
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"x-request-id", hashlib.blake2b(content, digest_size=8, key=str(started).encode()).hexdigest().encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})
        self._measured(time.perf_counter() - started)

    async def _answered(self, scope: Scope, body: bytes) -> bytes | None:
        if not await self._believes(scope):
            return None
        law = cast("Law", self._service.state.law).latest
        try:
            asked = QuoteRequest.model_validate_json(body)
            return written(law, asked, snapshot_of(law.tariff).answer(asked))
        except (ValidationError, NotQuotable):
            return None

    async def _believes(self, scope: Scope) -> bool:
        """Whether the bearer token is good and may quote. What is not believed is left to the route to refuse."""
        header: bytes | None = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                header = value
            elif name == b"x-request-id":
                return False  # a caller who gave an id gets it back from the route
        if header is None or header[:7].lower() != b"bearer ":
            return False
        moment = time.time()
        if self._believed.get(header, 0.0) > moment:
            return True
        authority = cast("Authority", self._service.state.authority)
        try:
            claims = await authority.claims_of(
                header[7:].decode("latin-1"), audience=self._service.state.settings.audience
            )
        except Problem:
            return False
        if SCOPE not in str(claims.get("scope", "")).split():
            return False
        if len(self._believed) >= _TOKENS:
            self._believed.clear()
        self._believed[header] = min(moment + _BELIEVED_SECONDS, float(claims["exp"]))
        return True

    def _measured(self, seconds: float) -> None:
        if self._count is None:
            metrics = self._service.state.metrics
            self._count = metrics.requests.labels("fees", "POST", PATH, "200")
            self._time = metrics.seconds.labels("fees", "POST", PATH)
        self._count.inc()
        self._time.observe(seconds)


async def _body_of(receive: Receive) -> tuple[bytes | None, Receive]:
    """The whole body when it is short, and a `receive` that gives the same messages again."""
    messages: list[Message] = []
    size = 0
    while True:
        message = await receive()
        messages.append(message)
        if message["type"] != "http.request":
            break
        size += len(message.get("body", b""))
        if size > _MAX_BODY or not message.get("more_body", False):
            break
    last = messages[-1]
    whole = last["type"] == "http.request" and size <= _MAX_BODY and not last.get("more_body", False)

    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    if not whole:
        return None, again
    return (messages[0]["body"] if len(messages) == 1 else b"".join(m.get("body", b"") for m in messages)), again
