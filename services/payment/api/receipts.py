"""JSON routes of receipts: find, print, replace, and how each agency's receipts look."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from kit.auth import Principal, require
from kit.db import SessionDep, UnitOfWorkRoute
from services.payment import papers
from services.payment.api.parameters import LIMIT, Cursor, Limit, PaymentId, TermsDep
from services.payment.contract import PutReceiptForm, Receipt, ReceiptPage, ReplaceReceipt
from services.payment.models import Receipt as ReceiptRow
from services.payment.operations import receipts as operations
from services.payment.operations.posting import payment_unknown
from services.payment.problems import PaymentUnknown
from services.payment.queries import papers as queries
from services.payment.queries import payments
from services.payment.till import Terms

router = APIRouter(route_class=UnitOfWorkRoute, tags=["receipts"])

Reader = Annotated[Principal, Depends(require("payments:read", "payments:write"))]
Approver = Annotated[Principal, Depends(require("payments:approve"))]
Number = Annotated[str, Path(pattern=r"^[A-Z0-9\-]{4,20}$", description="Number of a receipt, `LT26-0000001`")]
Agency = Annotated[str, Path(pattern=r"^[A-Za-z0-9.\-]{1,40}$", description="Code of an agency")]
Searched = Annotated[str, Query(max_length=120, pattern=r"^[^\x00]*$")]
State = Annotated[str | None, Query(pattern="^(valid|cancelled)$")]

PDF: dict[int | str, dict[str, object]] = {200: {"content": {"application/pdf": {}}, "description": "A PDF document"}}
XML: dict[int | str, dict[str, object]] = {200: {"content": {"application/xml": {}}, "description": "An XML document"}}


async def _of_payment(session: SessionDep, payment_id: str, terms: Terms) -> ReceiptRow:
    if await payments.payment_by_id(session, payment_id, terms) is None:
        raise payment_unknown()
    receipt = await payments.receipt_of(session, payment_id)
    if receipt is None:
        raise PaymentUnknown(
            "Khoản thu chưa nộp đủ nên chưa có biên lai.", "The bill is not fully paid, so it has no receipt yet."
        )
    return receipt


@router.get(
    "/v1/payments/{payment_id}/receipt.pdf",
    response_class=Response,
    responses=PDF,
    summary="The receipt of a bill on paper",
)
async def receipt_pdf(payment_id: PaymentId, session: SessionDep, terms: TermsDep, _: Reader) -> Response:
    """The last receipt of a paid bill; 404 before it is issued."""
    receipt = await _of_payment(session, payment_id, terms)
    return papers.file_of(papers.receipt_pdf(receipt, terms), f"{receipt.number}.pdf")


@router.get(
    "/v1/payments/{payment_id}/receipt.xml",
    response_class=Response,
    responses=XML,
    summary="The receipt of a bill for machines",
)
async def receipt_xml(payment_id: PaymentId, session: SessionDep, terms: TermsDep, _: Reader) -> Response:
    """What the paper says, element by element, in a format of our own."""
    receipt = await _of_payment(session, payment_id, terms)
    return papers.file_of(papers.receipt_xml(receipt, terms), f"{receipt.number}.xml")


@router.get("/v1/receipts", summary="Receipts, the highest number first")
async def list_receipts(
    session: SessionDep,
    _: Reader,
    q: Searched = "",
    state: State = None,
    cursor: Cursor = None,
    limit: Limit = LIMIT,
) -> ReceiptPage:
    """`q` is a number, a dossier code, or the beginning of the payer's name."""
    return await queries.receipt_page(session, text=q.strip(), state=state, cursor=cursor, limit=limit)


@router.get("/v1/receipts/{number}", summary="One receipt")
async def show_receipt(number: Number, session: SessionDep, _: Reader) -> Receipt:
    """A cancelled receipt keeps its number and says why."""
    receipt = await queries.receipt_numbered(session, number)
    if receipt is None:
        raise operations.receipt_unknown()
    return queries.receipt_record(receipt)


@router.post("/v1/receipts/{number}/replacement", status_code=201, summary="Cancel a receipt and issue another")
async def replace_receipt(
    number: Number, body: ReplaceReceipt, session: SessionDep, terms: TermsDep, caller: Approver
) -> Receipt:
    """For what was written wrong about the payer; amounts never change this way. Both numbers stay used."""
    row = await operations.replace_receipt(session, number, body, terms, actor=caller.actor)
    await session.flush()
    return queries.receipt_record(row)


@router.put("/v1/receipt_forms/{agency}", status_code=204, summary="How an agency's receipts look from a date on")
async def put_receipt_form(agency: Agency, body: PutReceiptForm, session: SessionDep, caller: Approver) -> None:
    """A form is never changed: a later date gets another. Receipts already issued keep what they say."""
    await operations.put_receipt_form(session, agency, body, actor=caller.actor)
