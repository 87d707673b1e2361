"""The citizen's page: where are my papers, who holds them, what comes next. No sign-in, no personal data."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from kit.db import SessionDep, UnitOfWorkRoute
from kit.errors import NotFound, Problem
from kit.web import see_other
from services.postal import queries, s10
from services.postal.pages.shared import show

router = APIRouter(route_class=UnitOfWorkRoute, include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/track")
async def track_form(request: Request, s10: Annotated[str, Query(max_length=40)] = "") -> Response:
    """A form for the number; a number given leads to its page."""
    if s10.strip():
        return see_other(f"/track/{_path_of(s10)}")
    return show(request, "track_form.html.j2", typed="", refused=None)


@router.get("/track/{number}")
async def track(request: Request, number: str, session: SessionDep) -> Response:
    """Where an item is. A wrong or unknown number shows the form again and says which it is."""
    try:
        found = await queries.tracking(session, number[:40])
    except Problem as problem:
        unknown = isinstance(problem, NotFound)
        typed = number[:20].replace("\x00", "")
        return show(request, "track_form.html.j2", 404 if unknown else 422, typed=typed, refused=problem)
    return show(request, "track.html.j2", item=found)


def _path_of(text: str) -> str:
    kept = "".join(character for character in s10.compact(text) if character.isascii() and character.isalnum())
    return kept[:20] or "-"
