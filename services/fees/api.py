"""JSON of the fees service: quotes, their explanation, and the catalogue of procedures."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request

from kit.auth import Principal, require
from kit.db import SessionDep, UnitOfWorkRoute
from kit.pagination import DEFAULT_LIMIT, MAX_LIMIT, decode_cursor, encode_cursor, page_of
from services.fees import operations, queries
from services.fees.contract import ProcedureDetail, ProcedurePage, Quote, QuoteExplanation, QuoteRequest
from services.fees.law import LawDep

router = APIRouter(prefix="/v1", route_class=UnitOfWorkRoute, tags=["fees"])

Reader = Annotated[Principal, Depends(require("fees:read", "fees:quote"))]
QuoteId = Annotated[str, Path(max_length=64, description="`quo_…`, as a quote was answered with")]


@router.post("/quotes", status_code=201, summary="What is owed, by whom, and why")
async def create_quote(
    body: QuoteRequest,
    request: Request,
    session: SessionDep,
    law: LawDep,
    caller: Annotated[Principal, Depends(require("fees:quote"))],
) -> Quote:
    """Price one filing under the law of its day. The answer never changes; a new fact needs a new quote."""
    valid_days = int(request.app.state.settings.quote_valid_days)
    return await operations.create_quote(session, body, law=law, actor=caller.actor, valid_days=valid_days)


@router.get("/quotes/{quote_id}", summary="A quote as it was given")
async def read_quote(quote_id: QuoteId, session: SessionDep, _: Reader) -> Quote:
    """The quote with its catalogue version, whatever the law is today."""
    return await queries.quote_by_id(session, quote_id)


@router.get("/quotes/{quote_id}/explain", summary="A quote in plain sentences")
async def explain_quote(quote_id: QuoteId, session: SessionDep, _: Reader) -> QuoteExplanation:
    """Every rule that was applied, or considered and not applied, in Vietnamese and English."""
    return queries.explanation_of(await queries.quote_by_id(session, quote_id))


@router.get("/procedures", summary="The procedures of the catalogue")
async def list_procedures(
    law: LawDep,
    _: Reader,
    q: Annotated[str, Query(max_length=200, description="Words of the title, field or code; marks optional")] = "",
    cursor: Annotated[str | None, Query(max_length=500)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
) -> ProcedurePage:
    """Procedures in the order of their slugs."""
    found = queries.procedures_matching(law.tariff, q)
    if cursor is not None:
        (after,) = decode_cursor(cursor, str)
        found = [procedure for procedure in found if procedure.slug > str(after)]
    page = page_of(found[: limit + 1], limit=limit, cursor_of=lambda procedure: encode_cursor(procedure.slug))
    return ProcedurePage(items=tuple(queries.summary_of(p) for p in page.items), next_cursor=page.next_cursor)


@router.get("/procedures/{procedure}", summary="A procedure and its tariff")
async def read_procedure(
    procedure: Annotated[str, Path(max_length=64, description="A slug or a national procedure code")],
    law: LawDep,
    _: Reader,
    on: Annotated[date | None, Query(description="Only what is in force on this day; all of it when left out")] = None,
) -> ProcedureDetail:
    """Rates and adjustments with their days, law, source and whether they were checked."""
    return queries.procedure_detail(law.tariff, procedure, on)
