"""Reconciliation for people: the days, the three-way tie-out of one, its breaks, and its closing by two people."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import HTMLResponse
from starlette.datastructures import UploadFile

from kit.auth import Principal
from kit.db import SessionDep, UnitOfWorkRoute, now
from kit.errors import NotFound
from kit.web import FormDep, flash, format_day, see_other, signed_in
from services.payment.contract import BusinessDate, CloseDay, ResolveBreak
from services.payment.operations.breaks import resolve_break
from services.payment.operations.closing import close_day
from services.payment.operations.reconciliation import run_reconciliation
from services.payment.operations.statements import import_statement
from services.payment.pages.parts import (
    FORM_POST,
    BreakId,
    PagesDep,
    Reader,
    TermsDep,
    TillDep,
    Typed,
    day_typed,
    refusals_told,
    searched,
    written,
)
from services.payment.queries import desk, payments, reconciliation
from services.payment.till import local_date

router = APIRouter(route_class=UnitOfWorkRoute, include_in_schema=False, default_response_class=HTMLResponse)

Reconciler = Annotated[Principal, Depends(signed_in("payments:reconcile"))]
Closer = Annotated[Principal, Depends(signed_in("payments:close"))]
Day = Annotated[BusinessDate, Path(alias="on")]
_DAYS = 31


@router.get("/reconciliations")
async def list_days(
    request: Request, session: SessionDep, pages: PagesDep, _: Reader, before: Typed = "", on: Typed = ""
) -> Response:
    """Business dates, newest first; `on` goes straight to one."""
    if day_typed(on) is not None:
        return see_other(f"/reconciliations/{day_typed(on)}")
    page = await desk.days_on_record(session, before=day_typed(before), limit=_DAYS)
    return pages.render(
        request,
        "days.html.j2",
        rows=list(page.items),
        today=local_date(now()),
        first_href="/reconciliations" if day_typed(before) else None,
        next_href=f"/reconciliations?before={page.next_cursor}" if page.next_cursor else None,
    )


@router.get("/reconciliations/{on}")
async def show_day(
    request: Request, on: Day, session: SessionDep, pages: PagesDep, terms: TermsDep, _: Reader
) -> Response:
    """The tie-out of a day, its breaks, its statements, and its closing."""
    return pages.render(
        request,
        "day.html.j2",
        found=await reconciliation.reconciliation_of(session, terms.bank_account, on),
        breaks=await desk.breaks_of_day(session, on),
        statements=await desk.statements_of(session, on),
        lines=await reconciliation.lines_of_day(session, terms.bank_account, on),
        close=await desk.close_of(session, on),
        terms=terms,
    )


@router.post("/reconciliations/statements", openapi_extra=FORM_POST)
async def upload(request: Request, session: SessionDep, terms: TermsDep, person: Reconciler, form: FormDep) -> Response:
    """Import a statement file; the file itself says which day it is of."""
    back = "/reconciliations"
    content = await _received(form.get("file"))
    if not content:
        flash(
            request,
            "error",
            "Chưa chọn tệp sao kê, hoặc tệp trống.",
            "No statement file was chosen, or the file is empty.",
        )
        return see_other(back)
    async with refusals_told(request, session):
        done = await import_statement(session, content, terms, actor=person.actor)
        back = f"/reconciliations/{done.business_date}"
        day = format_day(done.business_date)
        if done.quarantined:
            flash(
                request,
                "error",
                f"Sao kê ngày {day} được giữ lại, chưa sử dụng; chênh lệch bên dưới nói rõ lý do.",
                f"The statement of {day} is held and not used; the break below says why.",
            )
        elif done.duplicate:
            flash(
                request,
                "notice",
                f"Sao kê ngày {day} đã được nhập trước đó; không có dòng nào mới.",
                f"The statement of {day} was imported before; it brings no new line.",
            )
        else:
            flash(
                request,
                "success",
                f"Đã nhận sao kê ngày {day}: {done.lines} dòng. Hãy chạy đối soát.",
                f"Statement of {day} received: {done.lines} lines. Now run the reconciliation.",
            )
    return see_other(back)


async def _received(sent: object) -> bytes:
    """The content of an uploaded file, which is then let go; empty when none was sent."""
    if not isinstance(sent, UploadFile):
        return b""
    try:
        return await sent.read()
    finally:
        await sent.close()


@router.post("/reconciliations/{on}/run", openapi_extra=FORM_POST)
async def run_day(
    request: Request, on: Day, till: TillDep, session: SessionDep, _: Reconciler, __: FormDep
) -> Response:
    """Pull settlements, recognise statement lines, open breaks."""
    async with refusals_told(request, session):
        found = await run_reconciliation(till, on)
        flash(
            request,
            "success",
            f"Đã chạy đối soát: nhận diện {found.matched_lines} dòng sao kê, còn {found.open_breaks} chênh lệch.",
            f"Reconciled: {found.matched_lines} statement lines recognised, {found.open_breaks} breaks to resolve.",
        )
    return see_other(f"/reconciliations/{on}")


@router.post("/reconciliations/{on}/close", openapi_extra=FORM_POST)
async def close(
    request: Request, on: Day, session: SessionDep, terms: TermsDep, person: Closer, form: FormDep
) -> Response:
    """Propose to close the day, or confirm what another person proposed."""
    async with refusals_told(request, session):
        wish = CloseDay.model_validate({"proposal_hash": written(form, "proposal_hash") or None})
        found = await close_day(session, terms.bank_account, on, wish, actor=person.actor)
        if found.status == "closed":
            flash(request, "success", "Ngày đã khóa sổ và niêm phong.", "The day is closed and sealed.")
        elif found.proposed_by == person.actor:
            flash(
                request,
                "notice",
                "Đã đề nghị khóa sổ. Một người khác cần xác nhận đúng các số liệu này.",
                "Closing is proposed. Another person has to confirm these very figures.",
            )
        else:
            flash(
                request,
                "notice",
                "Ngày này đang chờ xác nhận khóa sổ theo đề nghị đã có.",
                "This day waits to be confirmed as proposed before.",
            )
    return see_other(f"/reconciliations/{on}")


@router.post("/breaks/{break_id}/resolution", openapi_extra=FORM_POST)
async def resolve(
    request: Request, break_id: BreakId, session: SessionDep, terms: TermsDep, person: Reconciler, form: FormDep
) -> Response:
    """Explain a break, or propose or confirm what is to be booked for it."""
    found = await reconciliation.break_by_id(session, break_id)
    if found is None:
        raise NotFound("Không có chênh lệch với mã này.", "No break has this id.")
    async with refusals_told(request, session):
        bill = searched(written(form, "payment_id"))
        action = written(form, "action")
        wish = ResolveBreak.model_validate(
            {
                "action": action,
                "payment_id": await _one_bill(session, bill) if bill and action == "assign" else None,
                "note": written(form, "note"),
                "proposal_hash": written(form, "proposal_hash") or None,
            }
        )
        row = await resolve_break(session, break_id, wish, terms, actor=person.actor)
        if row.status == "resolved":
            flash(request, "success", "Chênh lệch đã được xử lý.", "The break is resolved.")
        else:
            flash(
                request,
                "notice",
                "Đã ghi nhận đề nghị xử lý. Một người khác cần xác nhận thì mới ghi sổ.",
                "The proposal is recorded. Another person has to confirm it before anything is booked.",
            )
    back = request.headers.get("referer", "")
    return see_other(
        f"/breaks/{break_id}"
        if back.endswith(f"/breaks/{break_id}")
        else f"/reconciliations/{found.business_date}#breaks"
    )


async def _one_bill(session: SessionDep, text: str) -> str:
    """The bill somebody named by its id, dossier code or reference. Raises NotFound unless there is exactly one."""
    named = await payments.payments_matching(session, text, limit=2)
    if len(named) != 1:
        raise NotFound(
            "Mã đã nhập không chỉ đúng một khoản thu; hãy nhập mã khoản thu (pay_…).",
            "What you entered does not name exactly one bill; enter the id of the bill (pay_…).",
        )
    return named[0].id
