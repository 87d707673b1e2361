"""JSON routes of refunds."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from kit.auth import Principal, require
from kit.db import SessionDep, UnitOfWorkRoute, transaction
from services.payment.api.parameters import LIMIT, Cursor, Limit, PaymentId, RefundId, TillDep
from services.payment.contract import DecideRefund, Refund, RefundPage, RefundStatus, RequestRefund, SettleRefund
from services.payment.operations import refund_routes, refund_state, vouchers
from services.payment.operations import refunds as operations
from services.payment.queries import refunds as queries

router = APIRouter(route_class=UnitOfWorkRoute, tags=["refunds"])

Reader = Annotated[Principal, Depends(require("payments:read", "payments:refund", "payments:approve"))]
Requester = Annotated[Principal, Depends(require("payments:refund"))]
Approver = Annotated[Principal, Depends(require("payments:approve"))]
Settler = Annotated[Principal, Depends(require("payments:refund", "payments:approve"))]


async def _shown(session: SessionDep, refund_id: str) -> Refund:
    await session.flush()
    refund = await queries.refund_by_id(session, refund_id)
    if refund is None:
        raise refund_state.refund_unknown()
    return refund


@router.post(
    "/v1/payments/{payment_id}/refunds",
    status_code=201,
    responses={200: {"model": Refund, "description": "The refund was asked for before"}},
    summary="Ask for money back",
)
async def request_refund(
    payment_id: PaymentId, body: RequestRefund, response: Response, session: SessionDep, caller: Requester
) -> Refund:
    """Another person decides. `request_key` is unique for ever; the sum of all refunds never exceeds what came in."""
    row, created = await operations.request_refund(session, payment_id, body, actor=caller.actor)
    response.status_code = 201 if created else 200
    return await _shown(session, row.id)


@router.get("/v1/refunds", summary="Refunds, newest first")
async def list_refunds(
    session: SessionDep,
    _: Reader,
    status: Annotated[RefundStatus | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = LIMIT,
) -> RefundPage:
    """Those that wait for a decision have the status `requested`."""
    return await queries.refund_page(session, status=status, cursor=cursor, limit=limit)


@router.get("/v1/refunds/{refund_id}", summary="One refund")
async def show_refund(refund_id: RefundId, session: SessionDep, _: Reader) -> Refund:
    """The refund as it stands."""
    return await _shown(session, refund_id)


@router.post("/v1/refunds/{refund_id}/decision", summary="Approve or reject")
async def decide_refund(
    refund_id: RefundId, body: DecideRefund, till: TillDep, session: SessionDep, caller: Approver
) -> Refund:
    """Never by the person who asked. An approved refund goes back at once the way the money came."""
    async with transaction(till.sessions) as own:
        await operations.decide_refund(own, refund_id, body, till.terms, actor=caller.actor)
    await refund_routes.execute_refund(till, refund_id)
    return await _shown(session, refund_id)


@router.post("/v1/refunds/{refund_id}/settle", summary="A voucher has been paid out")
async def settle_refund(refund_id: RefundId, body: SettleRefund, session: SessionDep, caller: Settler) -> Refund:
    """Told by the treasury or the counter, for money that could not go back the way it came."""
    await vouchers.settle_vouchers(session, refund_id, body, actor=caller.actor)
    return await _shown(session, refund_id)
