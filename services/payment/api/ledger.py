"""JSON and file routes of the books: trial balance at a moment, statements of account, and bills as a file."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from kit.auth import Principal, require
from kit.db import SessionDep, SessionsDep, UnitOfWorkRoute, now
from services.payment import exports, ledger, tables
from services.payment.contract import (
    AccountBalance,
    AgencyMovement,
    AgencyStatement,
    BusinessDate,
    Method,
    Moment,
    PaymentStatus,
    TrialBalance,
)
from services.payment.exports import FileKind
from services.payment.queries import accounts
from services.payment.queries.desk import BillFilter
from services.payment.till import local_date

router = APIRouter(route_class=UnitOfWorkRoute, tags=["books"])

Reader = Annotated[Principal, Depends(require("payments:read", "payments:reconcile", "payments:close"))]
Agency = Annotated[str, Path(pattern=r"^[A-Za-z0-9.\-]{1,40}$", description="Code of an agency")]
Kind = Annotated[FileKind, Path(alias="kind", description="`csv` or `xlsx`")]
First = Annotated[BusinessDate | None, Query(alias="from")]
Last = Annotated[BusinessDate | None, Query(alias="to")]
Searched = Annotated[str, Query(max_length=120, pattern=r"^[^\x00]*$")]

FILES: dict[int | str, dict[str, object]] = {
    200: {
        "content": {
            "text/csv": {},
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": {},
        },
        "description": "The table as a file",
    }
}


@router.get("/v1/ledger", summary="Every account's balance at a moment")
async def trial_balance(session: SessionDep, _: Reader, at: Annotated[Moment | None, Query()] = None) -> TrialBalance:
    """As the books knew it then: by when each journal was posted. Debits minus credits; the sum is 0."""
    moment = at or now()
    found = await accounts.balances_at(session, moment)
    rows = tuple(
        AccountBalance(account=account, kind=ledger.kind_of(account), balance_dong=dong)
        for account, dong in found.items()
    )
    return TrialBalance(at=moment, accounts=rows, sum_dong=sum(found.values()))


@router.get("/v1/agencies/{agency}/statement", summary="An agency's statement of account")
async def agency_statement(
    agency: Agency, session: SessionDep, sessions: SessionsDep, _: Reader, first: First = None, last: Last = None
) -> AgencyStatement:
    """Opening balance, movements, closing balance, by business date. At most 1.000 movements; files have all."""
    summary = await tables.agency_summary(session, agency, first, last)
    found: list[AgencyMovement] = []
    async for each in accounts.movements(sessions, agency, first, last, opening_dong=summary.opening_dong):
        if len(found) == 1_000:
            break
        found.append(
            AgencyMovement(
                business_date=each.business_date,
                occurred_at=each.occurred_at,
                kind=each.kind,
                dossier_code=each.dossier_code,
                credit_dong=each.credit_dong,
                debit_dong=each.debit_dong,
                balance_dong=each.balance_dong,
            )
        )
    return AgencyStatement(
        agency=agency,
        opening_dong=summary.opening_dong,
        credit_dong=summary.credit_dong,
        debit_dong=summary.debit_dong,
        closing_dong=summary.closing_dong,
        movements=tuple(found),
    )


@router.get(
    "/v1/agencies/{agency}/statement.{kind}",
    response_class=Response,
    responses=FILES,
    summary="An agency's statement of account as a file",
)
async def agency_statement_file(
    agency: Agency,
    kind: Kind,
    session: SessionDep,
    sessions: SessionsDep,
    _: Reader,
    first: First = None,
    last: Last = None,
) -> Response:
    """Every movement, with its running balance."""
    summary = await tables.agency_summary(session, agency, first, last)
    name = f"statement-{agency}-{last or local_date(now())}"
    return exports.download(
        kind, name, tables.MOVEMENT_HEAD, lambda: tables.movement_table(sessions, summary, first, last)
    )


@router.get(
    "/v1/payments.{kind}",
    response_class=Response,
    responses=FILES,
    tags=["payments"],
    summary="Bills as a file",
)
async def bills_file(
    kind: Kind,
    sessions: SessionsDep,
    _: Reader,
    status: Annotated[PaymentStatus | None, Query()] = None,
    method: Annotated[Method | None, Query()] = None,
    q: Searched = "",
    first: First = None,
    last: Last = None,
) -> Response:
    """Every bill of the filter, oldest first, row by row."""
    wanted = BillFilter(status=status, method=method, text=q.strip(), first=first, last=last)
    name = f"payments-{local_date(now())}"
    return exports.download(kind, name, tables.BILL_HEAD, lambda: tables.bill_table(sessions, wanted))
