"""The list of bills and one bill with everything that ever happened to it."""

from typing import Annotated, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse

from kit.auth import Principal
from kit.db import SessionDep, UnitOfWorkRoute
from kit.ids import new_id
from kit.web import FormDep, flash, see_other, signed_in
from services.payment import papers
from services.payment.contract import Method, PaymentStatus, RequestRefund
from services.payment.models import Receipt
from services.payment.operations.posting import payment_unknown
from services.payment.operations.refunds import request_refund
from services.payment.pages.parts import (
    FORM_POST,
    PAGE_ROWS,
    Cursor,
    PagesDep,
    PaymentId,
    Reader,
    TermsDep,
    Typed,
    day_typed,
    dong_written,
    known,
    refusals_told,
    searched,
    written,
)
from services.payment.problems import PaymentUnknown
from services.payment.queries import desk, payments
from services.payment.queries import papers as papers_queries
from services.payment.till import Terms

router = APIRouter(route_class=UnitOfWorkRoute, include_in_schema=False, default_response_class=HTMLResponse)

Requester = Annotated[Principal, Depends(signed_in("payments:refund"))]


@router.get("/payments")
async def list_bills(
    request: Request,
    session: SessionDep,
    pages: PagesDep,
    terms: TermsDep,
    _: Reader,
    status: Typed = "",
    method: Typed = "",
    q: Typed = "",
    first: Annotated[str, Query(alias="from", max_length=20)] = "",
    last: Annotated[str, Query(alias="to", max_length=20)] = "",
    excess: Typed = "",
    cursor: Cursor = "",
) -> Response:
    """Bills, newest first, with the sums of everything the filter finds."""
    wanted = desk.BillFilter(
        status=known(status, get_args(PaymentStatus)),
        method=known(method, get_args(Method)),
        text=searched(q),
        first=day_typed(first),
        last=day_typed(last),
        with_excess=bool(excess),
    )
    page = await desk.bills(session, terms, wanted, cursor=cursor, limit=PAGE_ROWS)
    kept = {"status": wanted.status, "method": wanted.method, "q": wanted.text, "excess": excess and "1"}
    kept |= {"from": str(wanted.first or ""), "to": str(wanted.last or "")}
    query = urlencode({name: value for name, value in kept.items() if value})
    return pages.render(
        request,
        "bills.html.j2",
        wanted=wanted,
        rows=list(page.items),
        query=query,
        totals=await desk.bill_totals(session, wanted),
        first_href=f"/payments?{query}" if cursor else None,
        next_href=f"/payments?{query}&cursor={page.next_cursor}" if page.next_cursor else None,
        odd_dates=(first, last) != (str(wanted.first or ""), str(wanted.last or "")),
    )


@router.get("/payments/{payment_id}")
async def show_bill(
    request: Request, payment_id: PaymentId, session: SessionDep, pages: PagesDep, terms: TermsDep, _: Reader
) -> Response:
    """One bill: lines, payers, attempts, facts, journals, receipt, refunds."""
    payment = await payments.payment_detail(session, payment_id, terms)
    if payment is None:
        raise payment_unknown()
    standing = await desk.standing_of_bill(session, payment_id)
    return pages.render(
        request,
        "bill.html.j2",
        payment=payment,
        standing=standing,
        lines=await desk.bill_lines(session, payment_id),
        payer=await desk.payer_of(session, payment.dossier_code),
        journals=await desk.journals_of(session, payment_id),
        receipt=await payments.receipt_of(session, payment_id),
        refunds=await desk.refunds_of_bill(session, payment_id),
        receipts=await papers_queries.receipts_of_payment(session, payment_id),
        disputes=(await papers_queries.dispute_page(session, payment_id=payment_id)).items,
        request_key=new_id("ask"),
    )


@router.get("/payments/{payment_id}/receipt.pdf")
async def staff_receipt(payment_id: PaymentId, session: SessionDep, terms: TermsDep, _: Reader) -> Response:
    """The receipt of a bill on paper."""
    return printed(await payments.receipt_of(session, payment_id), terms)


def printed(receipt: Receipt | None, terms: Terms) -> Response:
    """A receipt as PDF. Raises PaymentUnknown while there is none."""
    if receipt is None:
        raise PaymentUnknown(
            "Khoản thu chưa nộp đủ nên chưa có biên lai.", "The bill is not fully paid, so it has no receipt yet."
        )
    return papers.file_of(papers.receipt_pdf(receipt, terms), f"{receipt.number}.pdf")


@router.post("/payments/{payment_id}/refunds", openapi_extra=FORM_POST)
async def ask_refund(
    request: Request, payment_id: PaymentId, session: SessionDep, person: Requester, form: FormDep
) -> Response:
    """Ask for money back; the key in the form makes a second tap the same request."""
    async with refusals_told(request, session):
        wish = RequestRefund.model_validate(
            {
                "request_key": written(form, "request_key"),
                "reason": written(form, "reason"),
                "source": written(form, "source"),
                "amount_dong": dong_written(form, "amount_dong"),
            }
        )
        await request_refund(session, payment_id, wish, actor=person.actor)
        flash(
            request,
            "success",
            "Đã ghi nhận đề nghị hoàn trả. Một người khác cần duyệt thì tiền mới được trả.",
            "The refund request is recorded. Another person has to approve it before money moves.",
        )
    return see_other(f"/payments/{payment_id}")
