"""JSON of the policy simulation: upload a year of dossiers, start a run, watch it, take its result away."""

import asyncio
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from kit.auth import Principal, require
from kit.db import SessionDep, UnitOfWorkRoute
from kit.errors import WrongMoment
from kit.pagination import DEFAULT_LIMIT, MAX_LIMIT, decode_cursor, encode_cursor, page_of
from kit.web import language_of
from services.fees.law import law_of
from services.fees.register import documents_in_force
from services.fees.simulation.exports import result_csv, result_xlsx
from services.fees.simulation.runs import Runs, run_by_id, runs_before, simulation_of
from services.fees.simulation.terms import (
    Simulation,
    SimulationPage,
    SimulationRequest,
    SimulationResult,
    UploadedFile,
)

SCOPES = ("fees:draft", "fees:approve")
CSV = "text/csv; charset=utf-8"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
FILES = "/v1/simulations/files"

router = APIRouter(prefix="/v1", route_class=UnitOfWorkRoute, tags=["simulations"])
Officer = Annotated[Principal, Depends(require(*SCOPES))]
RunId = Annotated[str, Path(max_length=64, description="`sim_…`, as a simulation was answered with")]


def runs_of(request: Request) -> Runs:
    """The runs of this process."""
    return cast("Runs", request.app.state.simulations)


_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            "application/x-ndjson": {"schema": {"type": "string"}},
        },
    },
    "x-idempotency": "none",
}


@router.post("/simulations/files", status_code=201, summary="Keep a file of dossiers", openapi_extra=_BODY)
async def upload_file(request: Request, _: Officer) -> UploadedFile:
    """CSV with a header, or NDJSON, written down as it arrives. Its hash is its name: twice is once."""
    return await runs_of(request).uploads.keep(request.stream())


@router.post("/simulations", status_code=202, summary="Start a simulation")
async def start_simulation(
    body: SimulationRequest, request: Request, session: SessionDep, caller: Officer
) -> Simulation:
    """One draft or two over a year of dossiers. The drafts are checked first: 422 names every faulty line."""
    return await begin(request, session, body, author=caller.actor)


async def begin(request: Request, session: SessionDep, body: SimulationRequest, *, author: str) -> Simulation:
    """Start a run under the law in force now."""
    law = await law_of(request).current(session)
    documents = await documents_in_force(session, law.number)
    return await runs_of(request).start(body, author=author, version=law.version, documents=documents)


@router.get("/simulations", summary="Simulations, newest first")
async def list_simulations(
    session: SessionDep,
    _: Officer,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
) -> SimulationPage:
    """Runs without their results."""
    before = str(decode_cursor(cursor, str)[0]) if cursor is not None else None
    found = await runs_before(session, before, limit + 1)
    page = page_of(list(found), limit=limit, cursor_of=lambda run: encode_cursor(run.id))
    items = tuple(simulation_of(run, with_result=False) for run in page.items)
    return SimulationPage(items=items, next_cursor=page.next_cursor)


@router.get("/simulations/{simulation_id}", summary="A simulation, its progress and its result")
async def read_simulation(simulation_id: RunId, session: SessionDep, _: Officer) -> Simulation:
    """`status` says where it is; `result` is there when it is done."""
    return simulation_of(await run_by_id(session, simulation_id))


@router.post(
    "/simulations/{simulation_id}/cancel", summary="Stop a simulation", openapi_extra={"x-idempotency": "none"}
)
async def cancel_simulation(simulation_id: RunId, request: Request, _: Officer) -> Simulation:
    """Stop a run that is still working. To cancel twice is to cancel once."""
    return await runs_of(request).cancel(simulation_id)


@router.get(
    "/simulations/{simulation_id}/result.csv",
    summary="The result as CSV",
    response_class=Response,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def read_csv(simulation_id: RunId, request: Request, session: SessionDep, _: Officer) -> Response:
    """Every slice, a line each, in the caller's language."""
    return await csv_of(request, session, simulation_id)


@router.get(
    "/simulations/{simulation_id}/result.xlsx",
    summary="The result as an Excel workbook",
    response_class=Response,
    responses={200: {"content": {XLSX: {"schema": {"type": "string", "format": "binary"}}}}},
)
async def read_xlsx(simulation_id: RunId, request: Request, session: SessionDep, _: Officer) -> Response:
    """A sheet for each slice, in the caller's language; no cell is a formula."""
    return await xlsx_of(request, session, simulation_id)


async def csv_of(request: Request, session: SessionDep, identity: str) -> Response:
    """The CSV of a finished run. Raises NotFound, WrongMoment."""
    content = result_csv(await _result(session, identity), language_of(request))
    return Response(content, media_type=CSV, headers=_attached(f"{identity}.csv"))


async def xlsx_of(request: Request, session: SessionDep, identity: str) -> Response:
    """The workbook of a finished run. Raises NotFound, WrongMoment."""
    result = await _result(session, identity)
    content = await asyncio.to_thread(result_xlsx, result, language_of(request))
    return Response(content, media_type=XLSX, headers=_attached(f"{identity}.xlsx"))


async def _result(session: SessionDep, identity: str) -> SimulationResult:
    result = simulation_of(await run_by_id(session, identity)).result
    if result is None:
        raise WrongMoment(
            "Mô phỏng này chưa có kết quả; hãy chờ đến khi xong.",
            "This simulation has no result; wait until it is done.",
        )
    return result


def _attached(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}
