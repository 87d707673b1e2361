"""Cash at the desk: whose money is where, what couriers carry, a shift counted by two. And couriers' devices."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import ValidationError

from kit.auth import Principal
from kit.db import SessionDep, UnitOfWorkRoute, now
from kit.errors import Problem
from kit.web import FormDep, flash, see_other, signed_in
from services.postal import deposits, desk_queries, desk_wording, devices
from services.postal.desk_contract import HandOverShift
from services.postal.pages.shared import PAGE_FORM, DeskTermsDep, Identifier, dong_of, field_of, new_ticket, show

router = APIRouter(route_class=UnitOfWorkRoute, include_in_schema=False, default_response_class=HTMLResponse)

Dispatcher = Annotated[Principal, Depends(signed_in("postal:dispatch"))]
AT_THE_DESK = [Depends(signed_in("postal:dispatch"))]
CourierCode = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.\-:]{1,120}$")]
MONEY_DAYS = timedelta(days=31)
SILENT_DEVICE = timedelta(hours=12)
NOTES = (500_000, 200_000, 100_000, 50_000, 20_000, 10_000, 5_000, 2_000, 1_000)
"""Banknotes in use, in đồng, as a counter sorts them."""


@router.get("/cash", dependencies=AT_THE_DESK)
async def cash(request: Request, session: SessionDep, terms: DeskTermsDep) -> Response:
    """Whose money is where; who carries how much for how long; what waits to be counted."""
    at = now()
    return show(
        request,
        "cash.html.j2",
        floats=await desk_queries.floats(
            session, at=at, limit_dong=terms.float_limit_dong, longest_hours=terms.float_hours
        ),
        owners=await desk_queries.money_by_owner(session, since=at - MONEY_DAYS),
        uncounted=await desk_queries.deposits(session, uncounted=True),
        recent=await desk_queries.deposits(session, uncounted=False, limit=20),
        limit_dong=terms.float_limit_dong,
        hours=terms.float_hours,
        kind_words=desk_wording.OWNER_KIND,
        cause_words=desk_wording.CAUSE,
    )


@router.get("/cash/{courier}", dependencies=AT_THE_DESK)
async def shift(request: Request, courier: CourierCode, session: SessionDep, person: Dispatcher) -> Response:
    """The end of a courier's shift: each collection, the sum due, and the form for who counts."""
    held = await desk_queries.cash_in_bag(session, courier)
    return show(
        request,
        "shift.html.j2",
        courier=courier,
        held=held,
        due=sum(row.amount_dong for row in held),
        himself=person.actor == courier,
        notes=NOTES,
        causes=[(name, said) for name, said in desk_wording.CAUSE.items() if name != "none"],
        ticket=new_ticket(),
        owing=[
            device
            for device in await devices.devices_in_debt(session, silent_since=now() - SILENT_DEVICE)
            if device.courier == courier and (device.unsent_events or device.unsent_files)
        ],
    )


@router.post("/cash/{courier}", openapi_extra=PAGE_FORM)
async def hand_over(
    request: Request, courier: CourierCode, session: SessionDep, person: Dispatcher, form: FormDep
) -> Response:
    """Counted: by notes when any number of notes is given, else as one sum."""
    by_notes = sum(note * int(field_of(form, f"n-{note}") or "0") for note in NOTES if _is_count(form, note))
    counted = by_notes or dong_of(field_of(form, "counted"))
    try:
        body = HandOverShift.model_validate(
            {
                "event_id": f"shift-{field_of(form, 'event_id')}"[:120],
                "courier": courier,
                "counted_dong": counted,
                "cause": field_of(form, "cause") or "none",
                "note": field_of(form, "note").replace("\x00", "")[:500],
            }
        )
        made = await deposits.hand_over_shift(session, body, by=person.actor)
    except ValidationError:
        flash(request, "error", "Hãy nhập số tiền đếm được.", "Enter what was counted.")
        return see_other(f"/cash/{courier}")
    except Problem as problem:
        flash(request, "error", problem.vi, problem.en)
        return see_other(f"/cash/{courier}")
    flash(request, "success", f"Đã nhận tiền ca, phiếu {made.reference}.", f"Shift taken in, slip {made.reference}.")
    return see_other("/cash")


def _is_count(form: FormDep, note: int) -> bool:
    text = field_of(form, f"n-{note}")
    return text.isascii() and text.isdigit() and len(text) <= 5


@router.post("/deposits/{deposit_id}/count", openapi_extra=PAGE_FORM)
async def count(
    request: Request, deposit_id: Identifier, session: SessionDep, person: Dispatcher, form: FormDep
) -> Response:
    """A second person counts what a courier handed in alone."""
    try:
        await deposits.count_deposit(
            session,
            deposit_id,
            counted_dong=dong_of(field_of(form, "counted")),
            cause=field_of(form, "cause") if field_of(form, "cause") in desk_wording.CAUSE else "none",
            by=person.actor,
        )
        flash(request, "success", "Đã ghi kết quả đếm.", "The count is noted.")
    except Problem as problem:
        flash(request, "error", problem.vi, problem.en)
    return see_other("/cash")


@router.get("/devices", dependencies=AT_THE_DESK)
async def device_debt(request: Request, session: SessionDep) -> Response:
    """Phones that hold something unsent, whose clock is wrong, or that have been silent for half a day."""
    at = now()
    rows = await devices.devices_in_debt(session, silent_since=at - SILENT_DEVICE)
    wrong = devices.CLOCK_IS_WRONG // timedelta(milliseconds=1)
    return show(request, "devices.html.j2", rows=rows, at=at, wrong_ms=wrong, silent_since=at - SILENT_DEVICE)
