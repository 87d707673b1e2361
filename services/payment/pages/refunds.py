"""Refunds: what waits for a second person, what is on its way, what has ended."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse

from kit.auth import Principal
from kit.db import SessionDep, UnitOfWorkRoute, transaction
from kit.ids import new_id
from kit.web import FormDep, flash, see_other, signed_in
from services.payment.contract import DecideRefund, SettleRefund
from services.payment.operations import refund_routes, vouchers
from services.payment.operations import refunds as operations
from services.payment.pages.parts import (
    FORM_POST,
    PAGE_ROWS,
    Cursor,
    PagesDep,
    RefundId,
    TillDep,
    Typed,
    known,
    refusals_told,
    written,
)
from services.payment.queries import desk

router = APIRouter(route_class=UnitOfWorkRoute, include_in_schema=False, default_response_class=HTMLResponse)

Reader = Annotated[Principal, Depends(signed_in("payments:read", "payments:refund", "payments:approve"))]
Approver = Annotated[Principal, Depends(signed_in("payments:approve"))]
Settler = Annotated[Principal, Depends(signed_in("payments:refund", "payments:approve"))]


@router.get("/refunds")
async def list_refunds(
    request: Request, session: SessionDep, pages: PagesDep, _: Reader, tab: Typed = "", cursor: Cursor = ""
) -> Response:
    """Refunds by how far they are."""
    shown = known(tab, tuple(desk.REFUND_TABS)) or "requested"
    page = await desk.refunds_under(session, shown, cursor=cursor, limit=PAGE_ROWS)
    return pages.render(
        request,
        "refunds.html.j2",
        tab=shown,
        counts=await desk.refund_counts(session),
        rows=list(page.items),
        event_ids={row.refund.id: new_id("pay") for row in page.items if row.voucher_waiting},
        first_href=f"/refunds?tab={shown}" if cursor else None,
        next_href=f"/refunds?tab={shown}&cursor={page.next_cursor}" if page.next_cursor else None,
    )


@router.post("/refunds/{refund_id}/decision", openapi_extra=FORM_POST)
async def decide(
    request: Request, refund_id: RefundId, till: TillDep, session: SessionDep, person: Approver, form: FormDep
) -> Response:
    """Approve or reject what another person asked for; an approved refund is sent at once."""
    async with refusals_told(request, session):
        decision = DecideRefund.model_validate(
            {
                "decision": written(form, "decision"),
                "proposal_hash": written(form, "proposal_hash"),
                "note": written(form, "note"),
            }
        )
        async with transaction(till.sessions) as own:
            await operations.decide_refund(own, refund_id, decision, till.terms, actor=person.actor)
        await refund_routes.execute_refund(till, refund_id)
        if decision.decision == "approve":
            flash(
                request,
                "success",
                "Đã duyệt. Tiền được trả lại theo đúng đường đã nộp; theo dõi ở mục Đang chi trả.",
                "Approved. The money goes back the way it came; follow it under Being paid out.",
            )
        else:
            flash(request, "success", "Đã ghi nhận không duyệt hoàn trả.", "The refund is rejected.")
    return see_other("/refunds")


@router.post("/refunds/{refund_id}/settle", openapi_extra=FORM_POST)
async def settle(
    request: Request, refund_id: RefundId, session: SessionDep, person: Settler, form: FormDep
) -> Response:
    """The treasury or the counter has paid a voucher out."""
    async with refusals_told(request, session):
        settled = SettleRefund.model_validate(
            {"event_id": written(form, "event_id"), "reference": written(form, "reference")}
        )
        await vouchers.settle_vouchers(session, refund_id, settled, actor=person.actor)
        flash(
            request,
            "success",
            "Đã ghi nhận chứng từ chi; khoản hoàn trả hoàn tất khi mọi phần đã chi.",
            "The voucher is recorded; the refund is done once every part has been paid out.",
        )
    return see_other("/refunds?tab=processing")
