"""JSON of the catalogue: procedures by words or code, and the tariff in force on a day."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from kit.auth import Principal, require
from kit.db import UnitOfWorkRoute, now
from kit.pagination import DEFAULT_LIMIT, MAX_LIMIT, decode_cursor, encode_cursor, page_of
from kit.web import LOCAL_ZONE
from services.fees import queries
from services.fees.contract import ProcedureDetail, ProcedurePage, ProcedureTariff, TariffPage
from services.fees.law import LawDep
from services.fees.tariffs import Procedure

router = APIRouter(prefix="/v1", route_class=UnitOfWorkRoute, tags=["procedures"])

Reader = Annotated[Principal, Depends(require("fees:read", "fees:quote"))]
Words = Annotated[str, Query(max_length=200, description="Words of the title, field or code; marks optional")]
Cursor = Annotated[str | None, Query(max_length=500)]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
Reference = Annotated[str, Path(max_length=64, description="A slug or a national procedure code")]
Day = Annotated[date | None, Query(description="A day, today (in Vietnam) when left out")]


def _today() -> date:
    return now().astimezone(LOCAL_ZONE).date()


def _after(found: list[Procedure], cursor: str | None) -> list[Procedure]:
    if cursor is None:
        return found
    (after,) = decode_cursor(cursor, str)
    return [procedure for procedure in found if procedure.slug > str(after)]


@router.get("/procedures", summary="The procedures of the catalogue")
async def list_procedures(
    law: LawDep, _: Reader, q: Words = "", cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> ProcedurePage:
    """Procedures in the order of their slugs."""
    found = _after(queries.procedures_matching(law.tariff, q), cursor)
    page = page_of(found[: limit + 1], limit=limit, cursor_of=lambda procedure: encode_cursor(procedure.slug))
    return ProcedurePage(items=tuple(queries.summary_of(p) for p in page.items), next_cursor=page.next_cursor)


@router.get("/procedures/{procedure}", summary="A procedure and its tariff")
async def read_procedure(
    procedure: Reference,
    law: LawDep,
    _: Reader,
    on: Annotated[date | None, Query(description="Only what is in force on this day; all of it when left out")] = None,
) -> ProcedureDetail:
    """Rates and adjustments with their days, law, source and whether they were checked."""
    return queries.procedure_detail(law.tariff, procedure, on)


@router.get("/procedures/{procedure}/tariff", summary="What one procedure costs on a day")
async def read_procedure_tariff(procedure: Reference, law: LawDep, _: Reader, on: Day = None) -> ProcedureTariff:
    """Rates and adjustments in force on a day."""
    return queries.procedure_tariff(law.tariff, queries.procedure_of(law.tariff, procedure), on or _today())


@router.get("/tariffs", summary="The whole tariff in force on a day")
async def list_tariffs(
    law: LawDep, _: Reader, on: Day = None, q: Words = "", cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> TariffPage:
    """Every procedure with its rates and adjustments in force on a day, by the newest publication."""
    day = on or _today()
    found = _after(queries.procedures_matching(law.tariff, q), cursor)
    page = page_of(found[: limit + 1], limit=limit, cursor_of=lambda procedure: encode_cursor(procedure.slug))
    items = tuple(queries.procedure_tariff(law.tariff, procedure, day) for procedure in page.items)
    return TariffPage(on=day, publication=law.number, items=items, next_cursor=page.next_cursor)
