"""The public page that verifies a receipt, in the reader's own browser, and its copy that works from a saved file."""

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from kit.db import SessionDep, UnitOfWorkRoute
from services.postal import roots
from services.postal.pages.shared import show

router = APIRouter(route_class=UnitOfWorkRoute, include_in_schema=False, default_response_class=HTMLResponse)

_STATIC = Path(__file__).parents[1] / "static"
_SEALS_SHOWN = 31


@router.get("/verify")
async def verify(request: Request, session: SessionDep) -> Response:
    """Verify a receipt; the latest published seals stand below."""
    return show(request, "verify.html.j2", seals=await roots.roots(session, before=None, limit=_SEALS_SHOWN))


@router.get("/verify/offline.html")
async def offline(request: Request) -> Response:
    """The same page in one file, to be saved. The strict policy of our pages would not run what stands inside it, so
    it is only ever a download."""
    script, style = ((_STATIC / name).read_text(encoding="utf-8") for name in ("verify.js", "verify.css"))
    answer = show(request, "verify_offline.html.j2", script=script, style=style)
    answer.headers["Content-Disposition"] = 'attachment; filename="kiem-tra-bien-nhan.html"'
    return answer
