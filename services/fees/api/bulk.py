"""JSON lines of bulk quoting: a stream in, a stream out."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from kit.auth import Principal, require
from kit.db import UnitOfWorkRoute
from services.fees.bulk import Detail, decoupled, quoted_lines
from services.fees.law import LawDep

PATH = "/v1/quotes/bulk"
NDJSON = "application/x-ndjson"
UNLIMITED = 2**62
"""The body is never held, so its length is not limited; the length of a line is."""

router = APIRouter(prefix="/v1", route_class=UnitOfWorkRoute, tags=["quotes"])

_LINES: dict[str, Any] = {"content": {NDJSON: {"schema": {"type": "string"}}}}


class _Duplex(StreamingResponse):
    """Answers while the body is still arriving: nothing but the answer itself reads from the caller."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        try:
            await self.stream_response(send)
        except (ClientDisconnect, OSError):
            return


@router.post(
    "/quotes/bulk",
    summary="Many filings, a line of JSON each",
    response_class=Response,
    responses={200: {"description": "A line for each line, then the summary", **_LINES}},
    openapi_extra={"x-idempotency": "none", "requestBody": {"required": True, **_LINES}},
)
async def bulk_quotes(
    request: Request,
    law: LawDep,
    _: Annotated[Principal, Depends(require("fees:quote"))],
    detail: Annotated[
        Detail, Query(description="`full` explains every line in both languages; `amounts` leaves the sentences out")
    ] = "amounts",
) -> Response:
    """A quote request on every line in, its answer or its own error on every line out, in order; a summary last.

    The quotes are not stored and cannot be paid from: they carry `inputs_hash`, and the summary the catalogue version
    and publication that priced all of them. A line may be 16 KiB; there may be any number of lines.
    """
    return _Duplex(decoupled(quoted_lines(request.stream(), law, detail)), media_type=NDJSON)
