"""Disputes to answer, refund vouchers at the treasury, and receipts to print or replace."""

from typing import Annotated, get_args

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import HTMLResponse

from kit.auth import Principal
from kit.db import SessionDep, UnitOfWorkRoute
from kit.ids import new_id
from kit.web import FormDep, flash, see_other, signed_in
from services.payment import papers
from services.payment.contract import AnswerDispute, MoveVoucher, ReplaceReceipt, VoucherStatus
from services.payment.operations import disputes, receipts, vouchers
from services.payment.pages.parts import (
    FORM_POST,
    PAGE_ROWS,
    Cursor,
    PagesDep,
    Reader,
    RefundId,
    TermsDep,
    TillDep,
    Typed,
    day_typed,
    known,
    refusals_told,
    searched,
    written,
)
from services.payment.problems import VoucherUnknown
from services.payment.queries import papers as queries

router = APIRouter(route_class=UnitOfWorkRoute, include_in_schema=False, default_response_class=HTMLResponse)

Answerer = Annotated[Principal, Depends(signed_in("payments:refund", "payments:approve"))]
Approver = Annotated[Principal, Depends(signed_in("payments:approve"))]
DisputeId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_\-]{1,64}$")]
VoucherNumber = Annotated[str, Path(pattern=r"^HT[0-9]{4}-[0-9]{6}$")]
ReceiptNumber = Annotated[str, Path(pattern=r"^[A-Z0-9\-]{4,20}$")]


@router.get("/disputes")
async def list_disputes(
    request: Request, session: SessionDep, pages: PagesDep, _: Reader, tab: Typed = "", cursor: Cursor = ""
) -> Response:
    """What waits for an answer or a decision, and what is decided."""
    shown = known(tab, ("closed",)) or "open"
    page = await queries.dispute_page(session, is_open=shown == "open", cursor=cursor or None, limit=PAGE_ROWS)
    return pages.render(
        request,
        "disputes.html.j2",
        tab=shown,
        rows=list(page.items),
        first_href=f"/disputes?tab={shown}" if cursor else None,
        next_href=f"/disputes?tab={shown}&cursor={page.next_cursor}" if page.next_cursor else None,
    )


@router.post("/disputes/{dispute_id}/answer", openapi_extra=FORM_POST)
async def answer(
    request: Request, dispute_id: DisputeId, till: TillDep, session: SessionDep, person: Answerer, form: FormDep
) -> Response:
    """Send our side to the cardholder's bank."""
    async with refusals_told(request, session):
        body = AnswerDispute.model_validate({"text": written(form, "text")})
        await disputes.answer_dispute(till, dispute_id, body, actor=person.actor)
        flash(
            request,
            "success",
            "Đã lưu giải trình và gửi cho ngân hàng của chủ thẻ.",
            "The answer is kept and goes to the cardholder's bank.",
        )
    return see_other("/disputes")


@router.get("/vouchers")
async def list_vouchers(
    request: Request, session: SessionDep, pages: PagesDep, _: Reader, status: Typed = "", cursor: Cursor = ""
) -> Response:
    """Refund vouchers and how far each is."""
    chosen = known(status, get_args(VoucherStatus))
    page = await queries.voucher_page(session, status=chosen, cursor=cursor or None, limit=PAGE_ROWS)  # type: ignore[arg-type]
    here = "/vouchers" + (f"?status={chosen}" if chosen else "?")
    return pages.render(
        request,
        "vouchers.html.j2",
        chosen=chosen,
        counts=await queries.voucher_counts(session),
        rows=list(page.items),
        event_ids={row.number: new_id("kbn") for row in page.items},
        first_href=here.rstrip("?") if cursor else None,
        next_href=f"{here}&cursor={page.next_cursor}" if page.next_cursor else None,
    )


@router.get("/vouchers/{number}/voucher.pdf")
async def print_voucher(number: VoucherNumber, session: SessionDep, terms: TermsDep, _: Reader) -> Response:
    """A voucher to sign and send."""
    row = await queries.voucher_numbered(session, number)
    if row is None:
        raise VoucherUnknown("Không có chứng từ với số này.", "No voucher has this number.")
    return papers.file_of(papers.voucher_pdf(row, terms), f"{number}.pdf")


@router.post("/vouchers/{number}/moves", openapi_extra=FORM_POST)
async def move(
    request: Request, number: VoucherNumber, session: SessionDep, person: Answerer, form: FormDep
) -> Response:
    """Record what the treasury said or paid."""
    async with refusals_told(request, session):
        body = MoveVoucher.model_validate(
            {
                "event_id": written(form, "event_id"),
                "to": written(form, "to"),
                "reference": written(form, "reference"),
                "reason": written(form, "reason"),
                "on": day_typed(written(form, "on")),
            }
        )
        await vouchers.move_voucher(session, number, body, actor=person.actor)
        flash(request, "success", f"Đã ghi nhận cho chứng từ {number}.", f"Recorded for voucher {number}.")
    return see_other("/vouchers")


@router.post("/refunds/{refund_id}/vouchers", openapi_extra=FORM_POST)
async def prepare_again(
    request: Request, refund_id: RefundId, session: SessionDep, person: Answerer, _: FormDep
) -> Response:
    """Another voucher in the place of one the treasury refused."""
    async with refusals_told(request, session):
        made = await vouchers.prepare_again(session, refund_id, actor=person.actor)
        numbers = ", ".join(row.number for row in made)
        flash(request, "success", f"Đã lập chứng từ mới: {numbers}.", f"Prepared: {numbers}.")
    return see_other("/vouchers")


@router.get("/receipts")
async def list_receipts(
    request: Request,
    session: SessionDep,
    pages: PagesDep,
    _: Reader,
    q: Typed = "",
    state: Typed = "",
    cursor: Cursor = "",
) -> Response:
    """Receipts, the highest number first, and the forms of the agencies."""
    chosen, text = known(state, ("valid", "cancelled")), searched(q)
    page = await queries.receipt_page(session, text=text, state=chosen, cursor=cursor or None, limit=PAGE_ROWS)
    return pages.render(
        request,
        "receipts.html.j2",
        q=text,
        state=chosen,
        rows=list(page.items),
        forms=await queries.receipt_forms(session),
        first_href="/receipts" if cursor else None,
        next_href=f"/receipts?state={chosen or ''}&cursor={page.next_cursor}" if page.next_cursor else None,
    )


@router.get("/receipts/{number}/{kind}")
async def receipt_file(
    number: ReceiptNumber,
    kind: Annotated[str, Path(pattern="^receipt[.](pdf|xml)$")],
    session: SessionDep,
    terms: TermsDep,
    _: Reader,
) -> Response:
    """One receipt as PDF or XML, a cancelled one as well."""
    row = await queries.receipt_numbered(session, number)
    if row is None:
        raise receipts.receipt_unknown()
    if kind.endswith("xml"):
        return papers.file_of(papers.receipt_xml(row, terms), f"{number}.xml")
    return papers.file_of(papers.receipt_pdf(row, terms), f"{number}.pdf")


@router.post("/receipts/{number}/replacement", openapi_extra=FORM_POST)
async def replace(
    request: Request, number: ReceiptNumber, session: SessionDep, terms: TermsDep, person: Approver, form: FormDep
) -> Response:
    """Cancel a receipt and issue another with the payer's particulars corrected."""
    async with refusals_told(request, session):
        body = ReplaceReceipt.model_validate(
            {
                "reason": written(form, "reason"),
                "payer_name": written(form, "payer_name") or None,
                "payer_address": written(form, "payer_address") or None,
            }
        )
        made = await receipts.replace_receipt(session, number, body, terms, actor=person.actor)
        flash(
            request,
            "success",
            f"Đã hủy biên lai {number} và phát hành biên lai {made.number} thay thế.",
            f"Receipt {number} is cancelled; {made.number} stands in its place.",
        )
    return see_other("/receipts")
