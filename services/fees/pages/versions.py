"""Pages of what was published: the list of publications, one of them, and what changed between two."""

from typing import Annotated, cast

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from kit.db import SessionDep, UnitOfWorkRoute
from kit.pagination import page_of
from kit.web import Pages
from services.fees import history, register
from services.fees.law import LawDep, law_of

router = APIRouter(
    prefix="/versions", route_class=UnitOfWorkRoute, include_in_schema=False, default_response_class=HTMLResponse
)
_PAGE = 50
Number = Annotated[int, Path(ge=1, lt=2**31)]


def _pages(request: Request) -> Pages:
    return cast("Pages", request.app.state.pages)


@router.get("")
async def versions(
    request: Request, session: SessionDep, law: LawDep, before: Annotated[int | None, Query(ge=1, lt=2**31)] = None
) -> Response:
    """Every publication, the newest first. Public, as the law is."""
    rows = await register.publications_before(session, before, _PAGE + 1)
    page = page_of(rows, limit=_PAGE, cursor_of=lambda row: str(row.number))
    return _pages(request).render(
        request, "versions.html.j2", versions=list(page.items), older=page.next_cursor, in_force=law.number
    )


@router.get("/{number}")
async def version(
    request: Request,
    number: Number,
    session: SessionDep,
    law: LawDep,
    since: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
) -> Response:
    """One publication: who, why, and what it changed."""
    row = await register.publication_by_number(session, number)
    detail = await register.version_detail(session, row)
    difference = await history.version_difference(session, law_of(request), number, since=since)
    others = await register.publications_before(session, None, _PAGE)
    return _pages(request).render(
        request,
        "version.html.j2",
        version=detail,
        difference=difference,
        others=[(str(one.number), f"{one.number}: {one.reason[:60]}") for one in others if one.number != number],
        in_force=law.number,
    )


@router.get("/{number}/documents/{path:path}")
async def document(number: Number, path: Annotated[str, Path(max_length=200)], session: SessionDep) -> Response:
    """One document as it was published, as text."""
    return PlainTextResponse(await register.document_text(session, number, path))
