"""JSON routes of the dispatcher's desk: deadlines, cases, stopped clocks, rounds, citizens' links, shift money."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from kit.auth import Principal, require
from kit.db import SessionDep, UnitOfWorkRoute, now
from kit.pagination import DEFAULT_LIMIT, MAX_LIMIT
from services.postal import assignment, cases, deposits, desk_contract, desk_queries, receivers
from services.postal.storable import check_storable

router = APIRouter(route_class=UnitOfWorkRoute)

HARMLESS = {"x-idempotency": "none"}
"""The call may be made again: it compares with the truth and does each thing once."""
NATURAL_KEY = {"x-idempotency": "optional"}

Identifier = Annotated[str, Path(pattern=r"^[A-Za-z0-9_]{1,64}$")]
CourierCode = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")]
Cursor = Annotated[str | None, Query(max_length=200, pattern=r"^[A-Za-z0-9_-]+$")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
Office = Annotated[Principal, Depends(require("postal:write", "postal:dispatch"))]
Dispatcher = Annotated[Principal, Depends(require("postal:dispatch"))]
READER = [Depends(require("postal:read", "postal:dispatch"))]
WRITER = [Depends(require("postal:write"))]


def plan_of(request: Request) -> cases.Plan:
    """The calendar and allowances of this installation."""
    return cast("cases.Plan", request.app.state.plan)


def desk_terms_of(request: Request) -> cases.DeskTerms:
    """The desk's terms of this installation."""
    return cast("cases.DeskTerms", request.app.state.desk_terms)


PlanDep = Annotated[cases.Plan, Depends(plan_of)]
DeskTermsDep = Annotated[cases.DeskTerms, Depends(desk_terms_of)]


# --- deadlines and cases -------------------------------------------------------------------------


@router.post(
    "/v1/shipments/{shipment_id}/deadlines",
    tags=["deadlines"],
    summary="Check a shipment's deadlines now",
    openapi_extra=HARMLESS,
    dependencies=[Depends(require("postal:write", "postal:dispatch"))],
)
async def check_deadlines(shipment_id: Identifier, session: SessionDep, plan: PlanDep) -> desk_contract.DeadlineCheck:
    """Opens a case for each new breach and closes those that are past; says when to look again."""
    at = now()
    found = await cases.check_deadlines(session, shipment_id, plan=plan, at=at)
    await receivers.settle(session, shipment_id, at=at)
    return found


@router.get("/v1/cases", tags=["deadlines"], summary="Cases, oldest first", dependencies=READER)
async def list_cases(
    session: SessionDep,
    kind: desk_contract.CaseKind | None = None,
    status: desk_contract.CaseStatus | None = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> desk_contract.CasePage:
    """Those that are not closed, unless a status is asked for."""
    chosen = desk_queries.CaseFilter(kind=kind, status=status)
    page = await desk_queries.cases(session, chosen, cursor=cursor, limit=limit)
    items = tuple(cases.case_record(row) for row, _ in page.items)
    return desk_contract.CasePage(items=items, next_cursor=page.next_cursor)


@router.post("/v1/cases/{case_id}/take", tags=["deadlines"], summary="See to a case", openapi_extra=NATURAL_KEY)
async def take_case(case_id: Identifier, session: SessionDep, caller: Dispatcher) -> desk_contract.Case:
    """409 when another is seeing to it, or it is closed."""
    return cases.case_record(await cases.take_case(session, case_id, by=caller.actor))


@router.post("/v1/cases/{case_id}/close", tags=["deadlines"], summary="Close a case", openapi_extra=NATURAL_KEY)
async def close_case(
    case_id: Identifier, body: desk_contract.CloseCase, session: SessionDep, caller: Dispatcher
) -> desk_contract.Case:
    """With what was done about it; the same again is harmless."""
    check_storable(body)
    return cases.case_record(await cases.close_case(session, case_id, resolution=body.resolution, by=caller.actor))


@router.post(
    "/v1/shipments/{shipment_id}/stops", status_code=201, tags=["deadlines"], summary="Let the clocks stand still"
)
async def stop_clock(
    shipment_id: Identifier, body: desk_contract.StopClock, session: SessionDep, caller: Dispatcher
) -> desk_contract.Stopped:
    """Needs a reason; without a release it runs out and counts for nothing."""
    check_storable(body)
    row = await cases.stop_clock(session, shipment_id, body, by=caller.actor)
    return desk_contract.Stopped.model_validate(row, from_attributes=True)


@router.post("/v1/stops/{stop_id}/release", tags=["deadlines"], summary="Let the clocks run on", openapi_extra=HARMLESS)
async def release_clock(stop_id: Identifier, session: SessionDep, caller: Dispatcher) -> desk_contract.Stopped:
    """Again is harmless."""
    row = await cases.release_clock(session, stop_id, by=caller.actor)
    return desk_contract.Stopped.model_validate(row, from_attributes=True)


# --- rounds --------------------------------------------------------------------------------------


@router.put("/v1/couriers/{code}", tags=["rounds"], summary="Add or change a courier", openapi_extra=NATURAL_KEY)
async def put_courier(
    code: CourierCode, body: desk_contract.PutCourier, session: SessionDep, caller: Dispatcher
) -> desk_contract.Courier:
    """`code` is the courier's name at the identity provider."""
    check_storable(body)
    row = await assignment.put_courier(session, code, body, by=caller.actor)
    return desk_contract.Courier.model_validate(row, from_attributes=True)


@router.post("/v1/assignments", tags=["rounds"], summary="Give stops to a courier", openapi_extra=NATURAL_KEY)
async def assign(
    body: desk_contract.AssignStops, session: SessionDep, caller: Dispatcher
) -> desk_contract.AssignmentResults:
    """Each stop has its own answer; one that another desk gave away meanwhile is left as it is."""
    check_storable(body)
    results = await assignment.assign(session, body, by=caller.actor)
    return desk_contract.AssignmentResults(results=tuple(results))


# --- citizens ------------------------------------------------------------------------------------


@router.post("/v1/shipments/{shipment_id}/links", status_code=201, tags=["citizens"], summary="A citizen's own link")
async def issue_link(
    shipment_id: Identifier, session: SessionDep, terms: DeskTermsDep, caller: Office
) -> desk_contract.CitizenLink:
    """For the portal to pass on; the address is shown this once."""
    return await receivers.issue_link(
        session, shipment_id, by=caller.actor, days=terms.link_days, public_url=terms.public_url
    )


@router.get(
    "/v1/wishes/{wish_id}/code", tags=["citizens"], summary="The code that confirms a wish", dependencies=WRITER
)
async def wish_code(
    wish_id: Identifier, session: SessionDep, terms: DeskTermsDep, response: Response
) -> desk_contract.ConfirmationCode:
    """For whoever sends it to the citizen's telephone or account; valid for a quarter of an hour."""
    response.headers["Cache-Control"] = "no-store"
    return await receivers.code_of(session, wish_id, secret=terms.label_secret)


# --- shift money ---------------------------------------------------------------------------------


@router.post("/v1/shifts", tags=["deposits"], summary="Count a courier's shift", openapi_extra=NATURAL_KEY)
async def hand_over_shift(
    body: desk_contract.HandOverShift, session: SessionDep, caller: Dispatcher
) -> desk_contract.ShiftCount:
    """Somebody else than the courier counts; a difference needs its cause and becomes a case."""
    check_storable(body)
    return await deposits.hand_over_shift(session, body, by=caller.actor)


@router.post(
    "/v1/deposits/{deposit_id}/remitted",
    tags=["deposits"],
    summary="The books have taken over a deposit",
    openapi_extra=HARMLESS,
    dependencies=WRITER,
)
async def note_remitted(deposit_id: Identifier, session: SessionDep) -> desk_contract.RemittedDeposit:
    """Again is harmless."""
    row = await deposits.note_remitted(session, deposit_id)
    return desk_contract.RemittedDeposit.model_validate(row, from_attributes=True)


@router.get("/v1/floats", tags=["deposits"], summary="Cash in couriers' bags", dependencies=READER)
async def list_floats(session: SessionDep, terms: DeskTermsDep) -> list[desk_contract.CourierFloat]:
    """The largest first, with what is over the limit or too old."""
    return await desk_queries.floats(
        session, at=now(), limit_dong=terms.float_limit_dong, longest_hours=terms.float_hours
    )
