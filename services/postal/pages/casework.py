"""The dispatcher's cases: what is late or disputed, who sees to it, what was done; clocks that stand still; links."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import ValidationError

from kit.auth import Principal
from kit.db import SessionDep, UnitOfWorkRoute, now
from kit.errors import Problem
from kit.pagination import DEFAULT_LIMIT
from kit.web import FormDep, flash, see_other, signed_in
from services.postal import cases, deadlines, desk_queries, desk_wording, queries, receivers, reissue, wording
from services.postal.desk_contract import StopClock
from services.postal.desk_models import Case, RecoveryTask
from services.postal.models import Shipment
from services.postal.pages.shared import PAGE_FORM, DeskTermsDep, Identifier, PlanDep, field_of, qr_picture, show

router = APIRouter(route_class=UnitOfWorkRoute, include_in_schema=False, default_response_class=HTMLResponse)

Dispatcher = Annotated[Principal, Depends(signed_in("postal:dispatch"))]
AT_THE_DESK = [Depends(signed_in("postal:dispatch"))]
Cursor = Annotated[str, Query(max_length=200, pattern=r"^[A-Za-z0-9_-]*$")]

GROUPS: dict[str, tuple[wording.Words, frozenset[str]]] = {
    "late": (("Chậm", "Late"), frozenset({"pickup", "first_attempt", "delivery", "next_attempt", "hold"})),
    "silent": (("Im lặng", "Silent"), frozenset({"movement", "presumed_lost"})),
    "custody": (("Bàn giao, chứng từ", "Handover, proof"), frozenset({"custody", "evidence", "stop_unreleased"})),
    "dispute": (("Tranh chấp", "Disputes"), frozenset({"dispute"})),
    "money": (("Tiền và khiếu nại", "Money, claims"), frozenset({"claim_answer", "claim_payment", "shift_difference"})),
}
"""Kinds of cases as people look for them."""


@router.get("/cases", dependencies=AT_THE_DESK)
async def case_list(
    request: Request,
    session: SessionDep,
    group: Annotated[str, Query(max_length=20)] = "",
    mine: Annotated[str, Query(max_length=5)] = "",
    person: Annotated[Principal, Depends(signed_in())] = None,  # type: ignore[assignment]
    cursor: Cursor = "",
) -> Response:
    """Cases that are not closed, the oldest first; by group, or only one's own."""
    chosen = desk_queries.CaseFilter(
        kinds=GROUPS[group][1] if group in GROUPS else None, taken_by=person.actor if mine else None
    )
    page = await desk_queries.cases(session, chosen, cursor=cursor or None, limit=DEFAULT_LIMIT)
    counts = await desk_queries.case_counts(session)
    at = now()
    rates = await desk_queries.dispute_rates(session, since=at - timedelta(days=30)) if group == "dispute" else []
    return show(
        request,
        "cases.html.j2",
        rows=[(row, shipment, _age(row, at)) for row, shipment in page.items],
        next_cursor=page.next_cursor,
        group=group if group in GROUPS else "",
        mine=bool(mine),
        groups=[(name, said, sum(counts.get(kind, 0) for kind in kinds)) for name, (said, kinds) in GROUPS.items()],
        total=sum(counts.values()),
        rates=rates,
        case_words=desk_wording.CASE,
        case_status_words=desk_wording.CASE_STATUS,
    )


def _age(row: Case, at: datetime) -> int:
    """Whole hours since the breach."""
    return max(int((at - row.due_at).total_seconds() // 3_600), 0)


@router.get("/cases/{case_id}", dependencies=AT_THE_DESK)
async def case_page(request: Request, case_id: Identifier, session: SessionDep, plan: PlanDep) -> Response:
    """One case: what is late, by which clock, what to do next, and who does it."""
    row = await desk_queries.case(session, case_id)
    shipment = await queries.shipment(session, row.shipment_id) if row.shipment_id else None
    clocks: tuple[deadlines.RunningClock, ...] = ()
    if shipment is not None:
        journey = await desk_queries.journey_of(session, shipment)
        clocks = deadlines.clocks(journey, plan.calendar, plan.allowances, now=now())
    return show(
        request,
        "case.html.j2",
        row=row,
        shipment=shipment,
        clocks=clocks,
        at=now(),
        case_words=desk_wording.CASE,
        case_status_words=desk_wording.CASE_STATUS,
        case_next=desk_wording.CASE_NEXT,
        stop_words=desk_wording.STOP,
    )


@router.post("/cases/{case_id}/take", openapi_extra=PAGE_FORM)
async def take(request: Request, case_id: Identifier, session: SessionDep, person: Dispatcher, _: FormDep) -> Response:
    """I see to it."""
    try:
        await cases.take_case(session, case_id, by=person.actor)
        flash(request, "success", "Bạn đã nhận xử lý vụ việc này.", "You are seeing to this case.")
    except Problem as problem:
        flash(request, "error", problem.vi, problem.en)
    return see_other(f"/cases/{case_id}")


@router.post("/cases/{case_id}/close", openapi_extra=PAGE_FORM)
async def close(
    request: Request, case_id: Identifier, session: SessionDep, person: Dispatcher, form: FormDep
) -> Response:
    """Closed, with what was done."""
    resolution = field_of(form, "resolution").replace("\x00", "")[:500]
    if len(resolution) < 3:
        flash(request, "error", "Hãy ghi đã xử lý thế nào.", "Say what was done.")
        return see_other(f"/cases/{case_id}")
    try:
        await cases.close_case(session, case_id, resolution=resolution, by=person.actor)
        flash(request, "success", "Đã đóng vụ việc.", "The case is closed.")
    except Problem as problem:
        flash(request, "error", problem.vi, problem.en)
    return see_other(f"/cases/{case_id}")


# --- clocks of a shipment ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Paper:
    """A paper of the recovery plan with its steps and the day on which each was done."""

    plan: reissue.PaperPlan
    steps: list[tuple[int, wording.Words, datetime | None]]


async def recovery_plan(session: SessionDep, row: Shipment) -> list[Paper]:
    """The plan for the papers that were in a lost or damaged envelope; nothing while it is not lost."""
    presumed = await desk_queries.has_presumed_loss(session, row.id)
    if row.status not in ("lost", "damaged") and not presumed:
        return []
    pieces = (await queries.pieces_of(session, [row.id]))[row.id]
    inside = [(piece.position, piece.name) for piece in pieces if piece.collected] or [
        (piece.position, piece.name) for piece in pieces
    ]
    done = await desk_queries.recovered(session, row.id)
    found = []
    for plan in reissue.plan_for(inside):
        steps = []
        for number, said in enumerate(plan.reissue.steps, start=1):
            task = done.get((plan.position, number))
            steps.append((number, said, task.done_at if task is not None else None))
        found.append(Paper(plan, steps))
    return found


@router.get("/shipments/{shipment_id}/deadlines", dependencies=AT_THE_DESK)
async def shipment_deadlines(request: Request, shipment_id: Identifier, session: SessionDep, plan: PlanDep) -> Response:
    """The clocks of one shipment, its stops, its cases, the citizen's wishes, and what to do about lost papers."""
    row = await queries.shipment(session, shipment_id)
    journey = await desk_queries.journey_of(session, row)
    at = now()
    return show(
        request,
        "deadlines.html.j2",
        row=row,
        clocks=deadlines.clocks(journey, plan.calendar, plan.allowances, now=at),
        at=at,
        stops=await desk_queries.stops_of(session, row.id),
        cases=await desk_queries.open_cases_of(session, row.id),
        wishes=await receivers.wishes_of(session, row.id),
        papers=await recovery_plan(session, row),
        pays=reissue.PAYS,
        covered=plan.calendar.covers((at + timedelta(days=60)).date()),
        case_words=desk_wording.CASE,
        case_status_words=desk_wording.CASE_STATUS,
        stop_words=desk_wording.STOP,
        wish_words=desk_wording.WISH,
        wish_status_words=desk_wording.WISH_STATUS,
        stoppable=row.status not in _ENDS,
    )


_ENDS = frozenset({"delivered", "returned", "lost", "damaged", "cancelled"})


@router.post("/shipments/{shipment_id}/stop", openapi_extra=PAGE_FORM)
async def stop(
    request: Request, shipment_id: Identifier, session: SessionDep, person: Dispatcher, form: FormDep
) -> Response:
    """Let the clocks stand still, with a reason."""
    try:
        body = StopClock.model_validate(
            {"reason": field_of(form, "reason"), "note": field_of(form, "note").replace("\x00", "")[:500]}
        )
        await cases.stop_clock(session, shipment_id, body, by=person.actor)
        flash(request, "success", "Đã dừng thời hạn; nhớ cho chạy lại.", "The clocks stand still; remember to release.")
    except ValidationError:
        flash(request, "error", "Hãy chọn lý do và ghi căn cứ.", "Choose a reason and give the grounds.")
    except Problem as problem:
        flash(request, "error", problem.vi, problem.en)
    return see_other(f"/shipments/{shipment_id}/deadlines")


@router.post("/stops/{stop_id}/release", openapi_extra=PAGE_FORM)
async def release(
    request: Request, stop_id: Identifier, session: SessionDep, person: Dispatcher, _: FormDep
) -> Response:
    """Let the clocks run on."""
    row = await cases.release_clock(session, stop_id, by=person.actor)
    flash(request, "success", "Thời hạn đã chạy lại.", "The clocks run on.")
    return see_other(f"/shipments/{row.shipment_id}/deadlines")


@router.post("/shipments/{shipment_id}/recovery", openapi_extra=PAGE_FORM)
async def recovery(
    request: Request, shipment_id: Identifier, session: SessionDep, person: Dispatcher, form: FormDep
) -> Response:
    """Tick a step of the recovery plan."""
    row = await queries.shipment(session, shipment_id)
    done = await desk_queries.recovered(session, row.id)
    wanted = {
        (paper.plan.position, number) for paper in await recovery_plan(session, row) for number, _, _ in paper.steps
    }
    for position, number in sorted(wanted - done.keys()):
        if field_of(form, f"step-{position}-{number}"):
            session.add(
                RecoveryTask(shipment_id=row.id, position=position, step=number, done_by=person.actor, done_at=now())
            )
    await session.flush()
    flash(request, "success", "Đã ghi nhận các bước đã làm.", "The steps done are noted.")
    return see_other(f"/shipments/{row.id}/deadlines")


# --- the citizen's link --------------------------------------------------------------------------


@router.post("/shipments/{shipment_id}/link", openapi_extra=PAGE_FORM)
async def link(
    request: Request,
    shipment_id: Identifier,
    session: SessionDep,
    person: Dispatcher,
    terms: DeskTermsDep,
    form: FormDep,
) -> Response:
    """A new link for the citizen, shown once, to print or read out; or all links withdrawn."""
    row = await queries.shipment(session, shipment_id)
    if field_of(form, "withdraw"):
        await receivers.revoke_links(session, row.id)
        flash(request, "success", "Đã thu hồi mọi liên kết.", "All links are withdrawn.")
        return see_other(f"/shipments/{row.id}/deadlines")
    made = await receivers.issue_link(
        session, row.id, by=person.actor, days=terms.link_days, public_url=terms.public_url
    )
    picture = qr_picture(made.url)
    answer = show(request, "link.html.j2", row=row, made=made, picture=picture)
    answer.headers["Cache-Control"] = "no-store"
    return answer
