"""JSON of quotes: what a filing owes, why, whether it still would, and what changed since."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request

from kit.auth import Principal, require
from kit.db import SessionDep, UnitOfWorkRoute
from services.fees import operations, queries
from services.fees.contract import Explanation, Quote, QuoteDifference, QuoteExplanation, QuoteRequest, Requote
from services.fees.law import LawDep, law_of

router = APIRouter(prefix="/v1", route_class=UnitOfWorkRoute, tags=["quotes"])

Reader = Annotated[Principal, Depends(require("fees:read", "fees:quote"))]
Quoter = Annotated[Principal, Depends(require("fees:quote"))]
QuoteId = Annotated[str, Path(max_length=64, description="`quo_…`, as a quote was answered with")]


@router.post("/quotes", status_code=201, summary="What is owed, by whom, and why")
async def create_quote(body: QuoteRequest, request: Request, session: SessionDep, law: LawDep, caller: Quoter) -> Quote:
    """Price one filing under the law of its day. The answer never changes; a new fact needs a new quote.

    The newest publication is used, which knows all windows of the past: a filing of yesterday is priced by
    yesterday's law as it is known today.
    """
    valid_days = int(request.app.state.settings.quote_valid_days)
    return await operations.create_quote(session, body, law=law, actor=caller.actor, valid_days=valid_days)


@router.get("/quotes/{quote_id}", summary="A quote as it was given")
async def read_quote(quote_id: QuoteId, session: SessionDep, _: Reader) -> Quote:
    """The quote with its catalogue version, whatever the law is today."""
    return await queries.quote_by_id(session, quote_id)


@router.get("/quotes/{quote_id}/explanation", summary="A quote in plain sentences")
async def explain_quote(quote_id: QuoteId, session: SessionDep, _: Reader) -> QuoteExplanation:
    """Every rule that was applied, or considered and not applied, in Vietnamese and English."""
    return queries.explanation_of(await queries.quote_by_id(session, quote_id))


@router.post("/quotes/{quote_id}/requote", status_code=201, summary="The same facts under the newest law")
async def requote(quote_id: QuoteId, request: Request, session: SessionDep, law: LawDep, caller: Quoter) -> Requote:
    """A new quote for the facts of an old one, which stays as it is, and what is different line by line."""
    valid_days = int(request.app.state.settings.quote_valid_days)
    return await operations.requote(session, quote_id, law=law, actor=caller.actor, valid_days=valid_days)


@router.get("/quotes/{quote_id}/recomputation", summary="Whether the law it was made under still gives a quote")
async def recompute_quote(quote_id: QuoteId, request: Request, session: SessionDep, _: Reader) -> QuoteDifference:
    """Work an old quote out once more under its own catalogue version. Keeps nothing; for auditors."""
    return await operations.recomputed(session, law_of(request), quote_id)


@router.post(
    "/explanations",
    summary="What a filing would cost and why, without keeping it",
    openapi_extra={"x-idempotency": "none"},
)
async def explain(
    body: QuoteRequest,
    request: Request,
    session: SessionDep,
    _: Reader,
    publication: Annotated[
        int | None,
        Query(ge=1, lt=2**31, description="Price by the law as this publication knew it; the newest when left out"),
    ] = None,
) -> Explanation:
    """Every line with every rule applied or not applied, in both languages. Binds nobody and stores nothing."""
    return await operations.explained(session, law_of(request), body, publication=publication)
