"""JSON routes of reconciliation: statements, runs, breaks and the closing of days."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.datastructures import UploadFile

from kit.auth import Principal, require
from kit.db import SessionDep, UnitOfWorkRoute
from kit.errors import BadInput, FieldError, NotFound
from services.payment.api.parameters import LIMIT, BreakId, Cursor, Limit, TermsDep, TillDep
from services.payment.contract import (
    Break,
    BreakHistory,
    BreakPage,
    BreaksWorked,
    BusinessDate,
    CloseDay,
    Reconciliation,
    ResolveBreak,
    RunReconciliation,
    StatementImport,
    WorkOnBreaks,
)
from services.payment.operations import breaks as break_operations
from services.payment.operations import casework, closing, reconciliation, statements
from services.payment.queries import breaks as break_queries
from services.payment.queries import reconciliation as queries

router = APIRouter(route_class=UnitOfWorkRoute, tags=["books"])

Reader = Annotated[Principal, Depends(require("payments:read", "payments:reconcile", "payments:close"))]
Reconciler = Annotated[Principal, Depends(require("payments:reconcile"))]
Closer = Annotated[Principal, Depends(require("payments:close", "payments:reconcile"))]
DayPath = Annotated[BusinessDate, Path(alias="date", description="A business date, YYYY-MM-DD")]
DayQuery = Annotated[BusinessDate | None, Query()]
BreakStatus = Annotated[str | None, Query(pattern="^(open|resolved)$")]

_STATEMENT_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "application/xml": {"schema": {"type": "string", "format": "binary"}},
            "text/csv": {"schema": {"type": "string", "format": "binary"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.post("/v1/statements", status_code=201, openapi_extra=_STATEMENT_BODY, summary="Import a bank statement")
async def import_statement(
    request: Request, session: SessionDep, terms: TermsDep, caller: Reconciler
) -> StatementImport:
    """camt.052/053/054, MT940/942, or the bank's CSV or XLSX, as a form's `file` or as the body itself.

    The same file or line twice counts once. A file of several days is answered with its last day.
    """
    content = await _uploaded(request)
    return await statements.import_statement(session, content, terms, actor=caller.actor)


async def _uploaded(request: Request) -> bytes:
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form(max_files=1, max_fields=10) as form:
            file = form.get("file")
            content = await file.read() if isinstance(file, UploadFile) else b""
    else:
        content = await request.body()
    if not content:
        raise BadInput(
            "Chưa có tệp sao kê; hãy gửi tệp trong trường file hoặc làm nội dung yêu cầu.",
            "There is no statement; send the file as field `file` or as the body.",
            fields=[FieldError("file", "bắt buộc", "is needed")],
        )
    return content


@router.post("/v1/reconciliations", summary="Reconcile a business date")
async def run_reconciliation(body: RunReconciliation, till: TillDep, _: Reconciler) -> Reconciliation:
    """Pulls the gateway's settlements, recognises and books the statement's lines, opens breaks. Safe to repeat."""
    return await reconciliation.run_reconciliation(till, body.business_date)


@router.get("/v1/reconciliations/{date}", summary="How a business date stands")
async def show_reconciliation(on: DayPath, session: SessionDep, terms: TermsDep, _: Reader) -> Reconciliation:
    """The three-way tie-out: gateway and other sources, bank, ledger. A closed day shows what was sealed."""
    return await queries.reconciliation_of(session, terms.bank_account, on)


@router.get("/v1/breaks", summary="Differences to explain, newest first")
async def list_breaks(
    session: SessionDep,
    _: Reader,
    status: BreakStatus = None,
    business_date: DayQuery = None,
    cursor: Cursor = None,
    limit: Limit = LIMIT,
) -> BreakPage:
    """Every đồng in suspense belongs to a payment's excess or to an open break."""
    return await queries.break_page(session, status=status, business_date=business_date, cursor=cursor, limit=limit)


@router.post("/v1/breaks/work", summary="Assign, date, comment or refuse: many breaks at once")
async def work_on_breaks(body: WorkOnBreaks, session: SessionDep, caller: Closer) -> BreaksWorked:
    """Each change names the version it was made on and stands by itself; the answer says what came of each."""
    results = await casework.work_on_breaks(session, body.changes, actor=caller.actor)
    return BreaksWorked(results=tuple(results))


@router.get("/v1/breaks/{break_id}", summary="A break and everything done with it")
async def show_break(break_id: BreakId, session: SessionDep, _: Reader) -> BreakHistory:
    """What it is, who has it, and each step with its person and time."""
    found = await break_queries.history_of(session, break_id)
    if found is None:
        raise NotFound("Không có chênh lệch với mã này.", "No break has this id.")
    return found


@router.post("/v1/breaks/{break_id}/resolve", summary="End a break")
async def resolve_break(
    break_id: BreakId, body: ResolveBreak, session: SessionDep, terms: TermsDep, caller: Closer
) -> Break:
    """What moves money needs two people: the answer of the first call carries the `proposal_hash` to confirm."""
    row = await break_operations.resolve_break(session, break_id, body, terms, actor=caller.actor)
    await session.flush()
    return queries.break_record(row)


@router.post("/v1/days/{date}/close", summary="Close a business day")
async def close_day(
    on: DayPath, body: CloseDay, session: SessionDep, terms: TermsDep, caller: Closer
) -> Reconciliation:
    """The first call proposes; a second person confirms with `proposal_hash`. A closed day accepts no postings."""
    return await closing.close_day(session, terms.bank_account, on, body, actor=caller.actor)
