"""Statements of account: what each agency earned over a period, on the page and as a file; bills as a file."""

from typing import Annotated, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import HTMLResponse

from kit.db import SessionDep, SessionsDep, UnitOfWorkRoute, now
from services.payment import exports, tables
from services.payment.contract import Method, PaymentStatus
from services.payment.exports import FileKind
from services.payment.pages.parts import PagesDep, Reader, TermsDep, Typed, day_typed, known, searched
from services.payment.queries import accounts
from services.payment.queries.desk import BillFilter
from services.payment.till import local_date

router = APIRouter(route_class=UnitOfWorkRoute, include_in_schema=False, default_response_class=HTMLResponse)

_SHOWN = 200
First = Annotated[str, Query(alias="from", max_length=20)]
Last = Annotated[str, Query(alias="to", max_length=20)]
Agency = Annotated[str, Path(pattern=r"^[A-Za-z0-9.\-]{1,40}$")]


@router.get("/accounts")
async def list_accounts(
    request: Request, session: SessionDep, pages: PagesDep, _: Reader, first: First = "", last: Last = ""
) -> Response:
    """Every agency with what it earned over a period."""
    begin, end = day_typed(first), day_typed(last)
    rows = await accounts.agency_accounts(session, begin, end)
    return pages.render(request, "accounts.html.j2", rows=rows, first=begin, last=end, period=_period(begin, end))


def _period(begin: object, end: object) -> str:
    return urlencode({name: str(day) for name, day in (("from", begin), ("to", end)) if day})


@router.get("/accounts/{agency}")
async def show_account(
    request: Request,
    agency: Agency,
    session: SessionDep,
    sessions: SessionsDep,
    pages: PagesDep,
    terms: TermsDep,
    _: Reader,
    first: First = "",
    last: Last = "",
) -> Response:
    """An agency's statement of account, to print and sign; long ones are complete only as files."""
    begin, end = day_typed(first), day_typed(last)
    summary = await tables.agency_summary(session, agency, begin, end)
    rows: list[accounts.Movement] = []
    async for each in accounts.movements(sessions, agency, begin, end, opening_dong=summary.opening_dong):
        if len(rows) == _SHOWN:
            break
        rows.append(each)
    return pages.render(
        request,
        "statement.html.j2",
        agency=agency,
        summary=summary,
        rows=rows,
        cut=len(rows) == _SHOWN,
        first=begin,
        last=end,
        period=_period(begin, end),
        terms=terms,
        today=local_date(now()),
    )


@router.get("/accounts/{agency}/statement.{kind}")
async def account_file(
    agency: Agency,
    kind: FileKind,
    session: SessionDep,
    sessions: SessionsDep,
    _: Reader,
    first: First = "",
    last: Last = "",
) -> Response:
    """Every movement as a file."""
    begin, end = day_typed(first), day_typed(last)
    summary = await tables.agency_summary(session, agency, begin, end)
    name = f"statement-{agency}-{end or local_date(now())}"
    return exports.download(
        kind, name, tables.MOVEMENT_HEAD, lambda: tables.movement_table(sessions, summary, begin, end)
    )


@router.get("/payments/export.{kind}")
async def bills_file(
    kind: FileKind,
    sessions: SessionsDep,
    _: Reader,
    status: Typed = "",
    method: Typed = "",
    q: Typed = "",
    first: First = "",
    last: Last = "",
    excess: Typed = "",
) -> Response:
    """Every bill the filter of the list finds."""
    wanted = BillFilter(
        status=known(status, get_args(PaymentStatus)),
        method=known(method, get_args(Method)),
        text=searched(q),
        first=day_typed(first),
        last=day_typed(last),
        with_excess=bool(excess),
    )
    name = f"payments-{local_date(now())}"
    return exports.download(kind, name, tables.BILL_HEAD, lambda: tables.bill_table(sessions, wanted))
