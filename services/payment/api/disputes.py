"""JSON routes of disputes and of refund vouchers: what banks and the treasury do with money after it was paid."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from kit.auth import Principal, require
from kit.db import SessionDep, UnitOfWorkRoute
from services.payment import papers
from services.payment.api.parameters import LIMIT, Cursor, Limit, RefundId, TermsDep, TillDep
from services.payment.contract import (
    AnswerDispute,
    Dispute,
    DisputePage,
    DisputeStatus,
    MoveVoucher,
    Voucher,
    VoucherPage,
    VoucherStatus,
)
from services.payment.operations import disputes, vouchers
from services.payment.problems import VoucherUnknown
from services.payment.queries import papers as queries

router = APIRouter(route_class=UnitOfWorkRoute)

Reader = Annotated[Principal, Depends(require("payments:read", "payments:refund", "payments:approve"))]
Answerer = Annotated[Principal, Depends(require("payments:refund", "payments:approve"))]
DisputeId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_\-]{1,64}$", description="Id of a dispute at the gateway")]
Number = Annotated[str, Path(pattern=r"^HT[0-9]{4}-[0-9]{6}$", description="Number of a refund voucher")]

PDF: dict[int | str, dict[str, object]] = {200: {"content": {"application/pdf": {}}, "description": "A PDF document"}}


@router.get("/v1/disputes", tags=["disputes"], summary="Disputes of cardholders' banks")
async def list_disputes(
    session: SessionDep,
    _: Reader,
    status: Annotated[DisputeStatus | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = LIMIT,
) -> DisputePage:
    """Those with `needs_response` wait for our answer until `evidence_due_at`."""
    return await queries.dispute_page(session, status=status, cursor=cursor, limit=limit)


@router.get("/v1/disputes/{dispute_id}", tags=["disputes"], summary="One dispute")
async def show_dispute(dispute_id: DisputeId, session: SessionDep, _: Reader) -> Dispute:
    """The dispute as it stands, with our answer."""
    found = await queries.dispute_by_id(session, dispute_id)
    if found is None:
        raise disputes.dispute_unknown()
    return found


@router.post("/v1/disputes/{dispute_id}/answer", tags=["disputes"], summary="Give our side of a dispute")
async def answer_dispute(
    dispute_id: DisputeId, body: AnswerDispute, till: TillDep, session: SessionDep, caller: Answerer
) -> Dispute:
    """Sent to the cardholder's bank once and kept; without the gateway's answer it is sent again until taken."""
    await disputes.answer_dispute(till, dispute_id, body, actor=caller.actor)
    return await show_dispute(dispute_id, session, caller)


@router.get("/v1/vouchers", tags=["refunds"], summary="Refund vouchers for the State Treasury")
async def list_vouchers(
    session: SessionDep,
    _: Reader,
    status: Annotated[VoucherStatus | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = LIMIT,
) -> VoucherPage:
    """The highest number first."""
    return await queries.voucher_page(session, status=status, cursor=cursor, limit=limit)


async def _shown(session: SessionDep, number: str) -> Voucher:
    row = await queries.voucher_numbered(session, number)
    if row is None:
        raise VoucherUnknown(
            "Không có chứng từ hoàn trả với số này; hãy kiểm tra lại số.",
            "No refund voucher has this number; check the number and try again.",
        )
    return (await queries.voucher_records(session, [row]))[0]


@router.get("/v1/vouchers/{number}", tags=["refunds"], summary="One refund voucher")
async def show_voucher(number: Number, session: SessionDep, _: Reader) -> Voucher:
    """The voucher and what the treasury said of it."""
    return await _shown(session, number)


@router.get(
    "/v1/vouchers/{number}/voucher.pdf",
    tags=["refunds"],
    response_class=Response,
    responses=PDF,
    summary="A refund voucher on paper",
)
async def voucher_pdf(number: Number, session: SessionDep, terms: TermsDep, _: Reader) -> Response:
    """As prepared: to be signed and sent to the treasury."""
    await _shown(session, number)
    row = await queries.voucher_numbered(session, number)
    assert row is not None
    return papers.file_of(papers.voucher_pdf(row, terms), f"{number}.pdf")


@router.post("/v1/vouchers/{number}/moves", tags=["refunds"], summary="Record what happened to a voucher")
async def move_voucher(number: Number, body: MoveVoucher, session: SessionDep, caller: Answerer) -> Voucher:
    """Sent, accepted, refused or paid out. Paying it out books the money and ends that part of the refund."""
    await vouchers.move_voucher(session, number, body, actor=caller.actor)
    await session.flush()
    return await _shown(session, number)


@router.post("/v1/refunds/{refund_id}/vouchers", status_code=201, tags=["refunds"], summary="Prepare vouchers again")
async def prepare_again(refund_id: RefundId, session: SessionDep, caller: Answerer) -> VoucherPage:
    """For the parts of a refund whose voucher the treasury refused."""
    rows = await vouchers.prepare_again(session, refund_id, actor=caller.actor)
    await session.flush()
    return VoucherPage(items=tuple(await queries.voucher_records(session, rows)))
