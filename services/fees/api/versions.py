"""JSON of what was published: every state of the law there ever was, and what changed between two."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import PlainTextResponse

from kit.auth import Principal, require
from kit.db import SessionDep, UnitOfWorkRoute
from kit.pagination import DEFAULT_LIMIT, MAX_LIMIT, decode_cursor, encode_cursor, page_of
from services.fees import history, register
from services.fees.contract import VersionDetail, VersionDifference, VersionPage
from services.fees.law import law_of

router = APIRouter(prefix="/v1/versions", route_class=UnitOfWorkRoute, tags=["versions"])

Reader = Annotated[Principal, Depends(require("fees:read", "fees:quote"))]
Number = Annotated[int, Path(ge=1, lt=2**31, description="Number of a publication, from 1")]


@router.get("", summary="Publications, the newest first")
async def list_versions(
    session: SessionDep,
    _: Reader,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
) -> VersionPage:
    """Who published which state of the law, on whose approval, and why."""
    before = int(decode_cursor(cursor, int)[0]) if cursor is not None else None
    rows = await register.publications_before(session, before, limit + 1)
    page = page_of(rows, limit=limit, cursor_of=lambda row: encode_cursor(row.number))
    return VersionPage(items=tuple(register.version_summary(r) for r in page.items), next_cursor=page.next_cursor)


@router.get("/{number}", summary="One publication with its documents")
async def read_version(number: Number, session: SessionDep, _: Reader) -> VersionDetail:
    """Documents by path and hash."""
    return await register.version_detail(session, await register.publication_by_number(session, number))


@router.get("/{number}/changes", summary="What changed between two publications")
async def read_version_changes(
    number: Number,
    request: Request,
    session: SessionDep,
    _: Reader,
    since: Annotated[int | None, Query(ge=1, lt=2**31, description="The one before it when left out")] = None,
) -> VersionDifference:
    """Entries of the law in words, and lines of documents."""
    return await history.version_difference(session, law_of(request), number, since=since)


@router.get(
    "/{number}/documents/{path:path}", summary="One document as it was published", response_class=PlainTextResponse
)
async def read_document(
    number: Number, path: Annotated[str, Path(max_length=200)], session: SessionDep, _: Reader
) -> PlainTextResponse:
    """The text of a document, as it was in force under a publication."""
    text = await register.document_text(session, number, path)
    return PlainTextResponse(text, media_type="text/plain; charset=utf-8")
