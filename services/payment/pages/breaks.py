"""The queue of breaks: who works on what, until when, and what was said; many at once, and one with its evidence."""

from datetime import date
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse

from kit.auth import Principal
from kit.db import SessionDep, UnitOfWorkRoute, now
from kit.errors import NotFound
from kit.web import FormDep, flash, see_other, signed_in
from services.payment.contract import BreakWorked, WorkOnBreaks
from services.payment.operations.casework import work_on_breaks
from services.payment.pages.parts import (
    FORM_POST,
    BreakId,
    Cursor,
    PagesDep,
    Reader,
    Typed,
    day_typed,
    known,
    picked,
    refusals_told,
    searched,
    written,
)
from services.payment.queries import breaks as queries
from services.payment.queries import desk
from services.payment.till import local_date

router = APIRouter(route_class=UnitOfWorkRoute, include_in_schema=False, default_response_class=HTMLResponse)

Worker = Annotated[Principal, Depends(signed_in("payments:reconcile"))]
_ROWS = 50
_OUTCOMES = {
    "stale": ("đã được người khác thay đổi", "changed by somebody else"),
    "resolved": ("đã xử lý xong", "already resolved"),
    "not_allowed": ("không thể bác bỏ (chưa có đề nghị, là đề nghị của chính bạn, hoặc thiếu lý do)",
                    "could not be refused (no proposal, your own, or no reason given)"),
    "unknown": ("không còn", "not there"),
}  # fmt: skip


@router.get("/breaks")
async def list_breaks(
    request: Request,
    session: SessionDep,
    pages: PagesDep,
    _: Reader,
    status: Typed = "open",
    kind: Typed = "",
    assignee: Typed = "",
    age: Typed = "",
    on: Typed = "",
    overdue: Typed = "",
    q: Typed = "",
    cursor: Cursor = "",
) -> Response:
    """Breaks to work through, oldest first, with filters and the same change for many."""
    today = local_date(now())
    wanted = queries.Wanted(
        status=known(status, ("open", "resolved")),
        kind=searched(kind) or None,
        assignee=searched(assignee) or None,
        business_date=day_typed(on),
        age=known(age, tuple(name for name, _, _ in queries.AGES)),
        overdue=bool(overdue),
        text=searched(q),
    )
    page = await queries.break_queue(session, wanted, today=today, cursor=cursor or None, limit=_ROWS)
    chosen = {"status": status, "kind": kind, "assignee": assignee, "age": age, "on": on, "overdue": overdue, "q": q}
    here = urlencode({name: value for name, value in chosen.items() if value})
    return pages.render(
        request,
        "breaks.html.j2",
        rows=list(page.items),
        wanted=wanted,
        ages=await queries.ages_of_open(session, today),
        people=await queries.assignees(session),
        suspense_dong=await desk.suspense_held(session),
        today=today,
        here=here,
        first_href=f"/breaks?{here}" if cursor else None,
        next_href=f"/breaks?{here}&cursor={page.next_cursor}" if page.next_cursor else None,
    )


@router.post("/breaks/work", openapi_extra=FORM_POST)
async def work(request: Request, session: SessionDep, person: Worker, form: FormDep) -> Response:
    """The same change for every break that was ticked; each was shown with its version."""
    back = f"/breaks?{written(form, 'here')[:500]}"
    ticked = picked(form, "pick")[:500]
    if not ticked:
        flash(request, "error", "Chưa chọn chênh lệch nào.", "No break was chosen.")
        return see_other(back)
    async with refusals_told(request, session):
        change = _change(form, person)
        changes = [{**change, **_named(each)} for each in ticked]
        wish = WorkOnBreaks.model_validate({"changes": changes})
        _tell(request, await work_on_breaks(session, wish.changes, actor=person.actor))
    return see_other(back)


@router.get("/breaks/{break_id}")
async def show_break(request: Request, break_id: BreakId, session: SessionDep, pages: PagesDep, _: Reader) -> Response:
    """One break: what it is, the line it is about, and everything done with it."""
    row = await queries.break_row(session, break_id)
    history = await queries.history_of(session, break_id)
    if row is None or history is None:
        raise NotFound("Không có chênh lệch với mã này.", "No break has this id.")
    return pages.render(
        request,
        "break.html.j2",
        row=row,
        notes=history.notes,
        line=await queries.line_of(session, row.subject),
        today=local_date(now()),
    )


@router.post("/breaks/{break_id}/work", openapi_extra=FORM_POST)
async def work_on_one(
    request: Request, break_id: BreakId, session: SessionDep, person: Worker, form: FormDep
) -> Response:
    """A change to one break."""
    async with refusals_told(request, session):
        change = {**_change(form, person), "id": break_id, "version": written(form, "version")}
        wish = WorkOnBreaks.model_validate({"changes": [change]})
        _tell(request, await work_on_breaks(session, wish.changes, actor=person.actor))
    return see_other(f"/breaks/{break_id}")


def _change(form: FormDep, person: Principal) -> dict[str, object]:
    assignee = written(form, "assignee") or None
    if written(form, "take"):
        assignee = person.actor
    due: date | None = day_typed(written(form, "due_on"))
    return {
        "assignee": "" if assignee == "-" else assignee,
        "due_on": due,
        "comment": written(form, "comment") or None,
        "reject": bool(written(form, "reject")),
    }


def _named(ticked: str) -> dict[str, str]:
    """A tick says which break, and the version that was on the screen."""
    identity, _, version = ticked.partition(":")
    return {"id": identity, "version": version}


def _tell(request: Request, results: list[BreakWorked]) -> None:
    done = sum(result.outcome == "done" for result in results)
    if done:
        flash(request, "success", f"Đã ghi nhận cho {done} chênh lệch.", f"Recorded for {done} breaks.")
    for outcome, (vi, en) in _OUTCOMES.items():
        count = sum(result.outcome == outcome for result in results)
        if count:
            flash(request, "error", f"{count} chênh lệch {vi}; hãy xem lại.", f"{count} breaks: {en}; look again.")
    if not done and all(result.outcome == "nothing_to_do" for result in results):
        flash(request, "notice", "Không có gì thay đổi.", "Nothing was to be changed.")
