"""Rounds: stops by commune and street, given to couriers in bulk or shared out evenly, printed; the roster."""

from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import ValidationError

from kit.auth import Principal
from kit.db import SessionDep, UnitOfWorkRoute, now
from kit.errors import Problem
from kit.web import LOCAL_ZONE, FormDep, flash, see_other, signed_in
from services.postal import assignment, contract, desk_queries
from services.postal.desk_contract import Assigned, AssignStop, AssignStops, PutCourier
from services.postal.pages.rounds import TASK_WORDS
from services.postal.pages.shared import PAGE_FORM, DeskTermsDep, field_of, show

router = APIRouter(route_class=UnitOfWorkRoute, include_in_schema=False, default_response_class=HTMLResponse)

Dispatcher = Annotated[Principal, Depends(signed_in("postal:dispatch"))]
AT_THE_DESK = [Depends(signed_in("postal:dispatch"))]
CourierCode = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")]
Text = Annotated[str, Query(max_length=80)]
NOBODY = "-"
"""In the filter: stops that no courier has."""


def _task_of(text: str) -> contract.Task | None:
    return next((name for name in TASK_WORDS if name == text), None)


@router.get("/assignments", dependencies=AT_THE_DESK)
async def assignments(
    request: Request,
    session: SessionDep,
    terms: DeskTermsDep,
    task: Annotated[str, Query(max_length=20)] = "",
    commune: Annotated[str, Query(max_length=10)] = "",
    courier: Text = "",
    street: Text = "",
) -> Response:
    """Open stops, neighbours together, with who has them; and how many each courier has."""
    chosen = desk_queries.StopFilter(
        task=_task_of(task),
        commune=commune if commune.isdigit() else None,
        courier="" if courier == NOBODY else courier.replace("\x00", "") or None,
        street=street.replace("\x00", "").strip(),
    )
    stops = await desk_queries.open_stops(session, chosen)
    everything = (
        stops
        if chosen == desk_queries.StopFilter()
        else await desk_queries.open_stops(session, desk_queries.StopFilter())
    )
    loads = Counter(entry.courier for entry in everything)
    floats = {
        held.courier: held
        for held in await desk_queries.floats(
            session, at=now(), limit_dong=terms.float_limit_dong, longest_hours=terms.float_hours
        )
    }
    return show(
        request,
        "assignments.html.j2",
        stops=stops,
        total=len(everything),
        free=loads[None],
        couriers=await desk_queries.couriers(session),
        loads=loads,
        floats=floats,
        communes=sorted({entry.stop.commune for entry in everything}),
        tasks=list(TASK_WORDS.items()),
        task_words=TASK_WORDS,
        chosen=chosen,
        nobody=NOBODY,
        query=request.url.query,
    )


@router.post("/assignments", openapi_extra=PAGE_FORM)
async def assign(request: Request, session: SessionDep, person: Dispatcher, form: FormDep) -> Response:
    """Give the ticked stops, or all shown, to a courier or back to nobody."""
    back = f"/assignments?{_query_of(form)}"
    everything = bool(field_of(form, "all"))
    names = [name.removeprefix("seen-") for name in form if name.startswith("seen-")]
    picked = [name for name in names if everything or field_of(form, f"stop-{name}")]
    courier = field_of(form, "courier")
    if not picked or not courier:
        flash(request, "error", "Hãy đánh dấu điểm và chọn bưu tá.", "Tick stops and choose a courier.")
        return see_other(back)
    results: list[Assigned] = []
    try:
        for start in range(0, len(picked), 200):
            stops = tuple(
                AssignStop(shipment_id=name, seen_version=int(field_of(form, f"seen-{name}") or "0"))
                for name in picked[start : start + 200]
            )
            body = AssignStops(courier=None if courier == NOBODY else courier, stops=stops)
            results += await assignment.assign(session, body, by=person.actor)
    except (ValidationError, ValueError):
        flash(request, "error", "Biểu mẫu không đúng; hãy mở lại trang.", "The form is not right; open the page again.")
    except Problem as problem:
        flash(request, "error", problem.vi, problem.en)
    else:
        _say(request, results)
    return see_other(back)


@router.post("/assignments/share", openapi_extra=PAGE_FORM)
async def share(request: Request, session: SessionDep, person: Dispatcher, form: FormDep) -> Response:
    """Give every free stop to somebody, evenly, street by street, to who knows the commune."""
    task = field_of(form, "task")
    chosen = desk_queries.StopFilter(task=_task_of(task))
    stops = await desk_queries.open_stops(session, chosen)
    results = await assignment.share_out(session, stops, by=person.actor)
    if results:
        _say(request, results)
    else:
        flash(
            request,
            "notice",
            "Không có điểm nào chưa giao, hoặc chưa có bưu tá đang làm việc.",
            "No stop is free, or no courier is on duty.",
        )
    return see_other(f"/assignments?{_query_of(form)}")


def _query_of(form: FormDep) -> str:
    """The filter that the page had; only what a filter can be made of."""
    query = field_of(form, "query")[:400]
    return "".join(character for character in query if character.isalnum() or character in "=&%-_.+")


def _say(request: Request, results: list[Assigned]) -> None:
    counts = Counter(result.result for result in results)
    given, taken, gone = counts["assigned"] + counts["unchanged"], counts["taken"], counts["not_a_stop"]
    if given:
        flash(request, "success", f"Đã giao {given} điểm.", f"{given} stops are given.")
    if taken:
        names = ", ".join(sorted({result.courier or "–" for result in results if result.result == "taken"}))
        flash(
            request,
            "warning",
            f"{taken} điểm đã được người khác giao cho {names} trong lúc bạn xem; chưa thay đổi.",
            f"{taken} stops were given to {names} by somebody else meanwhile; they are left as they are.",
        )
    if gone:
        flash(request, "notice", f"{gone} điểm không còn trên tuyến.", f"{gone} stops are no longer on a round.")


@router.get("/assignments/{code}/list", dependencies=AT_THE_DESK)
async def round_list(request: Request, code: CourierCode, session: SessionDep) -> Response:
    """The list of one courier's stops to print: order, address, what to do, cash, a box to tick."""
    courier = await desk_queries.courier(session, code)
    stops = await desk_queries.open_stops(session, desk_queries.StopFilter(courier=code))
    return show(
        request,
        "round_list.html.j2",
        courier=courier,
        stops=stops,
        cash=sum(entry.stop.cash_due_dong for entry in stops),
        task_words=TASK_WORDS,
        on=now().astimezone(LOCAL_ZONE).date(),
    )


@router.post("/couriers", openapi_extra=PAGE_FORM)
async def put_courier(request: Request, session: SessionDep, person: Dispatcher, form: FormDep) -> Response:
    """Add a courier, or change the entry of one."""
    communes = tuple(field_of(form, "communes").replace(",", " ").split())
    code = field_of(form, "code")
    try:
        body = PutCourier.model_validate(
            {
                "name": field_of(form, "name").replace("\x00", ""),
                "communes": communes,
                "active": bool(field_of(form, "active")),
            }
        )
        AssignStops.model_validate({"courier": code, "stops": [{"shipment_id": "x"}]})
        if not all(character.isascii() and (character.isalnum() or character in "_.-") for character in code):
            raise ValueError(code)
    except ValueError:
        flash(
            request,
            "error",
            "Chưa lưu được: cần tên tài khoản (chữ không dấu, số), họ tên và mã xã 5 chữ số.",
            "Not saved: the account name (plain letters, digits), the full name and 5-digit commune codes are needed.",
        )
        return see_other("/assignments#roster")
    await assignment.put_courier(session, code, body, by=person.actor)
    flash(request, "success", "Đã lưu bưu tá.", "The courier is saved.")
    return see_other("/assignments#roster")
