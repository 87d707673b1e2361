"""What all pages of the post have in common: who is asking, how a state is coloured, how a form becomes a fact."""

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, cast

import qrcode
from fastapi import Depends, Path, Request
from fastapi.responses import HTMLResponse
from pydantic import ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.auth import Principal
from kit.db import now
from kit.ids import uuid7
from kit.web import LOCAL_ZONE, Pages, flash
from services.postal import cases, recording, rules, wording
from services.postal.contract import EventResult, PostEvent
from services.postal.models import Shipment
from services.postal.storable import check_storable

PAGE_FORM: dict[str, Any] = {"x-idempotency": "none"}
"""Forms carry the id of the fact they will make, so that pressing twice is harmless."""

TONE: Mapping[str, str] = {
    "delivered": "good",
    "returned": "good",
    "lost": "bad",
    "damaged": "bad",
    "pickup_failed": "warn",
    "attempt_failed": "warn",
    "held": "warn",
    "investigating": "warn",
    "delivered_pending_evidence": "warn",
    "returning": "warn",
    "booked": "neutral",
    "draft": "neutral",
    "cancelled": "neutral",
}
"""Colour of a state; states on the way are `info`."""


Identifier = Annotated[str, Path(pattern=r"^[A-Za-z0-9_]{1,64}$")]


def terms_of(request: Request) -> rules.Terms:
    """The terms of this installation."""
    return cast("rules.Terms", request.app.state.terms)


TermsDep = Annotated[rules.Terms, Depends(terms_of)]


def plan_of(request: Request) -> cases.Plan:
    """By which calendar and allowances this installation counts."""
    return cast("cases.Plan", request.app.state.plan)


def desk_terms_of(request: Request) -> cases.DeskTerms:
    """What the operator decided about links and cash."""
    return cast("cases.DeskTerms", request.app.state.desk_terms)


PlanDep = Annotated[cases.Plan, Depends(plan_of)]
DeskTermsDep = Annotated[cases.DeskTerms, Depends(desk_terms_of)]


def show(request: Request, template: str, /, status_code: int = 200, **context: object) -> HTMLResponse:
    """A page of the post, with the words for states and custodians at hand."""
    pages = cast("Pages", request.app.state.pages)
    return pages.render(
        request,
        template,
        status_code,
        status_words=wording.STATUS,
        custodian_words=wording.CUSTODIAN,
        direction_words=wording.DIRECTION,
        tone_of=lambda state: TONE.get(state, "info"),
        last_day=lambda moment: (moment.astimezone(LOCAL_ZONE) - timedelta(seconds=1)).date(),
        **context,
    )


def qr_picture(text: str) -> str:
    """A QR code as an image address, with the quiet zone that scanners need."""
    code: qrcode.QRCode[Any] = qrcode.QRCode(error_correction=qrcode.ERROR_CORRECT_M, border=4)
    code.add_data(text)
    code.make(fit=True)
    matrix = code.get_matrix()
    path = "".join(f"M{x} {y}h1v1h-1z" for y, row in enumerate(matrix) for x, dark in enumerate(row) if dark)
    size = len(matrix)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" shape-rendering="crispEdges">'
        f'<path fill="#fff" d="M0 0h{size}v{size}H0z"/><path d="{path}"/></svg>'
    )
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


@dataclass(frozen=True, slots=True)
class Ticket:
    """Identity of the fact that a form will make, fixed when the form is drawn."""

    event_id: str
    device_seq: int


def new_ticket() -> Ticket:
    """A fresh identity; the sequence is the millisecond, which only grows."""
    return Ticket(str(uuid7()), time.time_ns() // 1_000_000)


def field_of(form: Mapping[str, Any], name: str) -> str:
    """The text of a form field, without spaces around; empty when it is missing or a file."""
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def dong_of(text: str) -> int:
    """An amount as people type it, such as 206.000; what is not a digit is dropped."""
    digits = "".join(character for character in text if character in "0123456789")
    return int(digits[:13] or "0")


async def record(
    request: Request,
    session: AsyncSession,
    row: Shipment,
    form: Mapping[str, Any],
    *,
    person: Principal,
    kind: str,
    content: Mapping[str, object],
) -> EventResult | None:
    """Make the fact that a form describes, in the name of the person who pressed the button.

    Tells the person what became of it on the next page; None when the form was not understood.
    """
    at = now()
    try:
        event = PostEvent.model_validate(
            {
                "event_id": field_of(form, "event_id"),
                "device_seq": int(field_of(form, "device_seq") or "0"),
                "s10": row.s10,
                "kind": kind,
                "occurred_at": at,
                "device_id": f"web-{person.subject}"[:120],
                **content,
            }
        )
    except (ValidationError, ValueError):
        flash(
            request,
            "error",
            "Biểu mẫu chưa đủ hoặc chưa đúng; hãy điền lại các mục bắt buộc.",
            "The form is incomplete or not right; fill in the required entries again.",
        )
        return None
    check_storable(event)
    source: rules.Source = "dispatcher" if person.may("postal:dispatch") else "courier"
    sender = recording.Sender(person.actor, source)
    [result] = await recording.record_events(session, [event], sender=sender, at=at, terms=terms_of(request))
    _say(request, result)
    return result


def _say(request: Request, result: EventResult) -> None:
    if result.result != "stored":
        flash(request, "notice", "Thao tác này đã được ghi nhận trước đó.", "This was recorded before.")
        return
    said = wording.anomaly_words(result.anomaly)
    if not result.applied and said is not None:
        flash(
            request,
            "error",
            f"Đã lưu nhưng chưa được tính: {said[0]}.",
            f"Kept, but it does not count: {said[1]}.",
        )
    elif said is not None and wording.needs_attention(result.anomaly):
        flash(request, "warning", f"Đã ghi nhận, cần xem lại: {said[0]}.", f"Recorded, to be looked at: {said[1]}.")
    else:
        flash(request, "success", "Đã ghi nhận.", "Recorded.")
