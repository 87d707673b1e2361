"""The ledger for people: every account over a period, and the entries of one account."""

from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import HTMLResponse

from kit.db import SessionDep, UnitOfWorkRoute
from kit.errors import NotFound
from services.payment.pages.parts import PAGE_ROWS, Cursor, PagesDep, Reader, day_typed, searched
from services.payment.queries import desk

router = APIRouter(route_class=UnitOfWorkRoute, include_in_schema=False, default_response_class=HTMLResponse)

First = Annotated[str, Query(alias="from", max_length=20)]
Last = Annotated[str, Query(alias="to", max_length=20)]


@router.get("/ledger")
async def trial_balance(
    request: Request, session: SessionDep, pages: PagesDep, _: Reader, first: First = "", last: Last = ""
) -> Response:
    """Opening, movements and closing of every account; debits equal credits or the books are wrong."""
    begin, end = day_typed(first), day_typed(last)
    rows = await desk.trial_balance(session, begin, end)
    return pages.render(
        request,
        "ledger.html.j2",
        rows=rows,
        first=begin,
        last=end,
        period=urlencode({name: str(day) for name, day in (("from", begin), ("to", end)) if day}),
        opening_dong=sum(row.opening_dong for row in rows),
        debit_dong=sum(row.debit_dong for row in rows),
        credit_dong=sum(row.credit_dong for row in rows),
        closing_dong=sum(row.closing_dong for row in rows),
        address=lambda account: quote(account, safe=""),
    )


@router.get("/ledger/{account:path}")
async def account_entries(
    request: Request,
    account: Annotated[str, Path(max_length=200)],
    session: SessionDep,
    pages: PagesDep,
    _: Reader,
    first: First = "",
    last: Last = "",
    cursor: Cursor = "",
) -> Response:
    """The entries of one account, newest first."""
    begin, end = day_typed(first), day_typed(last)
    if searched(account) != account or not await desk.account_exists(session, account):
        raise NotFound("Sổ cái không có tài khoản này.", "The ledger has no such account.")
    page = await desk.entries_of(session, account, begin, end, cursor=cursor, limit=PAGE_ROWS)
    here = f"/ledger/{quote(account, safe='')}"
    period = urlencode({name: str(day) for name, day in (("from", begin), ("to", end)) if day})
    sums = {row.account: row for row in await desk.trial_balance(session, begin, end)}
    return pages.render(
        request,
        "account.html.j2",
        account=account,
        here=here,
        rows=list(page.items),
        sums=sums.get(account),
        first=begin,
        last=end,
        period=period,
        first_href=f"{here}?{period}" if cursor else None,
        next_href=f"{here}?{period}&cursor={page.next_cursor}" if page.next_cursor else None,
    )
