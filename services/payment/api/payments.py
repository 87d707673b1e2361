"""JSON routes of bills, attempts, cash, receipts, payers and totals."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from kit.auth import Principal, require
from kit.db import SessionDep, UnitOfWorkRoute
from services.payment import receipts
from services.payment.api.parameters import (
    LIMIT,
    AttemptId,
    Cursor,
    DossierCodePath,
    DossierCodeQuery,
    Limit,
    PaymentId,
    TermsDep,
    TillDep,
)
from services.payment.contract import (
    Attempt,
    BusinessDate,
    CancelPayment,
    CaptureAttempt,
    CreateAttempt,
    CreatePayment,
    Method,
    Payment,
    PaymentDetail,
    PaymentPage,
    PaymentStatus,
    PaymentTotals,
    PutPayer,
    RecordCash,
    RecordRemittance,
    Remittance,
)
from services.payment.operations import attempts as attempt_operations
from services.payment.operations import captures
from services.payment.operations import payments as operations
from services.payment.operations.posting import payment_unknown
from services.payment.problems import PaymentUnknown
from services.payment.queries import payments as queries
from services.payment.till import Terms

router = APIRouter(route_class=UnitOfWorkRoute)

Reader = Annotated[Principal, Depends(require("payments:read", "payments:write"))]
Writer = Annotated[Principal, Depends(require("payments:write"))]

PNG: dict[int | str, dict[str, object]] = {200: {"content": {"image/png": {}}, "description": "A PNG image"}}
SVG: dict[int | str, dict[str, object]] = {200: {"content": {"image/svg+xml": {}}, "description": "An SVG image"}}


async def _shown(session: SessionDep, payment_id: str, terms: Terms) -> Payment:
    await session.flush()
    payment = await queries.payment_by_id(session, payment_id, terms)
    if payment is None:
        raise payment_unknown()
    return payment


@router.post(
    "/v1/payments",
    status_code=201,
    responses={200: {"model": Payment, "description": "The bill was opened before"}},
    tags=["payments"],
    summary="Open the bill of a dossier",
)
async def open_payment(
    body: CreatePayment, response: Response, session: SessionDep, terms: TermsDep, caller: Writer
) -> Payment:
    """A bill reference is unique for ever: the second request gives the first bill with 200; another body is refused
    with 409 and the names of the fields that differ. A bill of which the citizen owes nothing is paid at once."""
    row, created = await operations.open_payment(session, body, terms, actor=caller.actor)
    response.status_code = 201 if created else 200
    return await _shown(session, row.id, terms)


@router.get("/v1/payments", tags=["payments"], summary="Bills, newest first")
async def list_payments(
    session: SessionDep,
    terms: TermsDep,
    _: Reader,
    status: Annotated[PaymentStatus | None, Query()] = None,
    dossier_code: DossierCodeQuery = None,
    method: Annotated[Method | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = LIMIT,
) -> PaymentPage:
    """`method` keeps the bills that were tried that way; `none` those of which the citizen owes nothing."""
    return await queries.payment_page(
        session, terms, status=status, dossier_code=dossier_code, method=method, cursor=cursor, limit=limit
    )


@router.get("/v1/payments/{payment_id}", tags=["payments"], summary="One bill with its history")
async def show_payment(payment_id: PaymentId, session: SessionDep, terms: TermsDep, _: Reader) -> PaymentDetail:
    """The bill, its attempts, and every fact that made it what it is."""
    payment = await queries.payment_detail(session, payment_id, terms)
    if payment is None:
        raise payment_unknown()
    return payment


@router.post(
    "/v1/payments/{payment_id}/attempts", status_code=201, tags=["payments"], summary="Start one try at collecting"
)
async def start_attempt(payment_id: PaymentId, body: CreateAttempt, till: TillDep, caller: Writer) -> Attempt:
    """Without the gateway's answer the attempt is `unknown`: it is asked about again and blocks a second one."""
    row = await attempt_operations.start_attempt(till, payment_id, body, actor=caller.actor)
    return queries.attempt_record(row)


@router.post(
    "/v1/payments/{payment_id}/attempts/{attempt_id}/capture",
    tags=["payments"],
    summary="Take money that a card has reserved",
)
async def capture_attempt(
    payment_id: PaymentId, attempt_id: AttemptId, body: CaptureAttempt, till: TillDep, caller: Writer
) -> Attempt:
    """Once an attempt: less than is reserved releases the rest. The same amount again gives the same answer, another
    one 409, more than is reserved or due 422. Without the gateway's answer the attempt is `unknown` and asked about;
    `authorised` with a `capture_dong` means that the capture is recorded and will be carried out."""
    row = await captures.capture_attempt(till, payment_id, attempt_id, body, actor=caller.actor)
    return queries.attempt_record(row)


@router.post("/v1/payments/{payment_id}/refresh", tags=["payments"], summary="Ask the gateway again")
async def refresh_payment(
    payment_id: PaymentId, till: TillDep, session: SessionDep, terms: TermsDep, _: Writer
) -> Payment:
    """Books money whose webhook was lost, and resolves unknown attempts as far as the gateway answers."""
    await attempt_operations.refresh_payment(till, payment_id)
    return await _shown(session, payment_id, terms)


@router.post("/v1/payments/{payment_id}/cash", tags=["payments"], summary="Record cash taken by a courier or a counter")
async def record_cash(
    payment_id: PaymentId, body: RecordCash, session: SessionDep, terms: TermsDep, caller: Writer
) -> Payment:
    """Cash in hand is a fact: it is booked whatever the state of the bill; what is not owed is held in suspense."""
    await operations.record_cash(session, payment_id, body, terms, actor=caller.actor)
    return await _shown(session, payment_id, terms)


@router.post("/v1/payments/{payment_id}/cancel", tags=["payments"], summary="End the bill")
async def cancel_payment(
    payment_id: PaymentId, body: CancelPayment, till: TillDep, session: SessionDep, terms: TermsDep, caller: Writer
) -> Payment:
    """What is unpaid is reversed; what was paid stays to be refunded. The gateway is asked first, and money it has
    taken is booked: a bill found paid stays `paid`. Money that a card has reserved is released; once all of it has been
    captured there is nothing to end, and 409 says so."""
    await attempt_operations.cancel_payment(till, payment_id, body, actor=caller.actor)
    return await _shown(session, payment_id, terms)


@router.post("/v1/payments/{payment_id}/reminders", tags=["payments"], summary="Announce that a bill still waits")
async def remind_payer(payment_id: PaymentId, session: SessionDep, terms: TermsDep, caller: Writer) -> Payment:
    """Announces `payment.reminded` to the portals when something is still to be paid."""
    await operations.remind(session, payment_id, actor=caller.actor)
    return await _shown(session, payment_id, terms)


@router.get("/v1/payments/{payment_id}/qr.png", tags=["payments"], response_class=Response, responses=PNG)
async def qr_png(payment_id: PaymentId, session: SessionDep, terms: TermsDep, _: Reader) -> Response:
    """The VietQR code of the live attempt; 404 when there is none."""
    payload = await _qr_payload(session, payment_id, terms)
    return Response(receipts.qr_png(payload), media_type="image/png", headers={"Cache-Control": "no-store"})


@router.get("/v1/payments/{payment_id}/qr.svg", tags=["payments"], response_class=Response, responses=SVG)
async def qr_svg(payment_id: PaymentId, session: SessionDep, terms: TermsDep, _: Reader) -> Response:
    """The VietQR code of the live attempt as SVG; 404 when there is none."""
    payload = await _qr_payload(session, payment_id, terms)
    return Response(receipts.qr_svg(payload), media_type="image/svg+xml", headers={"Cache-Control": "no-store"})


async def _qr_payload(session: SessionDep, payment_id: str, terms: Terms) -> str:
    await _shown(session, payment_id, terms)
    payload = await queries.current_qr(session, payment_id)
    if payload is None:
        raise PaymentUnknown(
            "Khoản thu không có mã VietQR nào đang chờ; hãy tạo một lần thanh toán VietQR.",
            "No VietQR attempt is waiting; start one first.",
        )
    return payload


@router.put(
    "/v1/payers/{dossier_code}",
    tags=["payments"],
    summary="Who is named on the receipt",
    openapi_extra={"x-idempotency": "optional"},
)
async def put_payer(dossier_code: DossierCodePath, body: PutPayer, session: SessionDep, _: Writer) -> PutPayer:
    """Kept here so that no name has to travel with the dossier. A receipt already issued does not change."""
    await operations.put_payer(session, dossier_code, body)
    return body


@router.post("/v1/remittances", status_code=201, tags=["payments"], summary="Record a deposit of the post")
async def record_remittance(body: RecordRemittance, session: SessionDep, _: Writer) -> Remittance:
    """Moves a shift's cash from the collector to the post in the books; the bank statement will clear it."""
    row = await operations.record_remittance(session, body)
    return Remittance(
        id=row.id,
        event_id=row.event_id,
        reference=row.reference,
        amount_dong=row.amount_dong,
        collector=row.collector,
        deposited_at=row.deposited_at,
        recorded_at=row.recorded_at,
    )


@router.get("/v1/totals", tags=["books"], summary="What all bills of a period come to")
async def show_totals(
    session: SessionDep,
    _: Reader,
    first: Annotated[BusinessDate | None, Query(alias="from")] = None,
    last: Annotated[BusinessDate | None, Query(alias="to")] = None,
) -> PaymentTotals:
    """By payer and by beneficiary as billed, for bills opened from `from` to `to`; suspense and balance are of now."""
    return await queries.totals(session, first, last)
