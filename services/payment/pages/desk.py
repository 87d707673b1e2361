"""The first page of a finance officer: does today tie out, what waits for whom, which days are still open."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from kit.db import SessionDep, UnitOfWorkRoute, now
from kit.web import see_other
from services.payment.pages.parts import PagesDep, Reader, TermsDep
from services.payment.queries import desk, reconciliation
from services.payment.till import local_date

router = APIRouter(route_class=UnitOfWorkRoute, include_in_schema=False, default_response_class=HTMLResponse)

_SHOWN = 5


@router.get("/")
async def home() -> Response:
    """The first page is the desk."""
    return see_other("/desk")


@router.get("/desk")
async def show_desk(request: Request, session: SessionDep, pages: PagesDep, terms: TermsDep, _: Reader) -> Response:
    """Today at a glance."""
    today = local_date(now())
    waiting = await desk.refunds_under(session, "requested", cursor="", limit=_SHOWN)
    return pages.render(
        request,
        "desk.html.j2",
        today=today,
        found=await reconciliation.reconciliation_of(session, terms.bank_account, today),
        breaks=await desk.open_breaks_by_kind(session),
        refunds=list(waiting.items),
        counts=await desk.refund_counts(session),
        suspense_dong=await desk.suspense_held(session),
        excess_count=await desk.bills_with_excess(session),
        last_closed=await desk.last_closed_day(session),
        to_close=await desk.days_to_close(session, today),
    )
