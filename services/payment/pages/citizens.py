"""What a citizen reaches by a link: the bill to pay, the code to scan, and the check of a receipt. Nobody signs in."""

import secrets
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse

from kit.db import SessionDep, UnitOfWorkRoute
from kit.web import FormDep, flash, see_other
from services.payment import receipts
from services.payment.contract import Attempt, CreateAttempt, Payment
from services.payment.operations import attempts as operations
from services.payment.pages.bills import printed
from services.payment.pages.parts import (
    FORM_POST,
    PagesDep,
    PaymentId,
    TermsDep,
    TillDep,
    refusals_told,
    searched,
    written,
)
from services.payment.problems import PaymentUnknown
from services.payment.queries import desk, payments
from services.payment.rules import LIVE, Standing, online_methods
from services.payment.till import Terms

router = APIRouter(route_class=UnitOfWorkRoute, include_in_schema=False, default_response_class=HTMLResponse)

_ONLINE = ("vietqr", "card")
_BANKS = {
    "970436": "Vietcombank",
    "970415": "VietinBank",
    "970418": "BIDV",
    "970405": "Agribank",
    "970407": "Techcombank",
    "970422": "MB",
    "970416": "ACB",
    "970432": "VPBank",
    "970423": "TPBank",
    "970403": "Sacombank",
    "970441": "VIB",
    "970437": "HDBank",
    "970443": "SHB",
    "970448": "OCB",
    "970449": "LPBank",
}
"""Collecting banks by their number in the NAPAS list; people choose a bank by its name when they type a transfer."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What the pay page is about now. `name`: paid, ended, refunding, unknown, authorised, vietqr, card, cash
    or choose."""

    name: str
    live: Attempt | None

    @property
    def refreshes(self) -> bool:
        """Whether the next news may come without the citizen doing anything here."""
        return self.name in ("vietqr", "card", "unknown")

    @property
    def methods(self) -> tuple[str, ...]:
        """The ways to pay that are offered."""
        if self.name in _ENDED.values():
            return ()
        standing = Standing(due_dong=1, live=self.live.status if self.live else None)
        return online_methods(standing, self.live.method if self.live else None)


_ENDED = {
    "expired": "ended",
    "cancelled": "ended",
    "paid": "paid",
    "refund_pending": "refunding",
    "refunded": "refunding",
}


def stage_of(payment: Payment) -> Stage:
    """What to show for a bill in its state."""
    live = next((attempt for attempt in payment.attempts if attempt.status in LIVE), None)
    if payment.status in _ENDED:
        return Stage(_ENDED[payment.status], None)
    if live is None:
        return Stage("choose", None)
    if live.status in ("unknown", "authorised"):
        return Stage(live.status, live)
    return Stage(live.method if live.method in _ONLINE else "cash", live)


async def _let_in(
    payment_id: PaymentId, session: SessionDep, terms: TermsDep, token: Annotated[str, Query(max_length=200)] = ""
) -> Payment:
    """The bill of a link. A wrong token is answered like a wrong bill, so that nobody learns which bills exist."""
    expected = terms.code_for("pay", payment_id)
    genuine = secrets.compare_digest(token.encode(), expected.encode())
    payment = await payments.payment_by_id(session, payment_id, terms) if genuine else None
    if payment is None:
        raise PaymentUnknown(
            "Đường dẫn nộp tiền không đúng hoặc không còn đầy đủ. Hãy mở lại đường dẫn trong thông báo đã nhận.",
            "The payment link is wrong or incomplete. Open the link in the message you received once more.",
        )
    return payment


Bill = Annotated[Payment, Depends(_let_in)]


def _address(payment: Payment, terms: Terms, part: str = "") -> str:
    return f"/pay/{payment.id}{part}?{urlencode({'token': terms.code_for('pay', payment.id)})}"


@router.get("/pay/{payment_id}")
async def pay_page(
    request: Request,
    payment: Bill,
    session: SessionDep,
    pages: PagesDep,
    terms: TermsDep,
    redirect_status: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """What is owed and why, how to pay it, and how it stands. The gateway adds `redirect_status` when it leads back."""
    stage = stage_of(payment)
    return pages.render(
        request,
        "pay.html.j2",
        payment=payment,
        stage=stage,
        declined=redirect_status == "failed",
        remaining_dong=payment.due_dong - payment.paid_dong,
        receipt=await payments.receipt_of(session, payment.id),
        terms=terms,
        held_why=await payments.why_held(session, payment.id),
        bank=_BANKS.get(terms.bank_bin, terms.bank_bin),
        address=lambda part: _address(payment, terms, part),
    )


@router.get("/pay/{payment_id}/qr.png")
async def pay_code(payment: Bill, session: SessionDep) -> Response:
    """The VietQR code that is waiting for money."""
    payload = await payments.current_qr(session, payment.id)
    if payload is None:
        raise PaymentUnknown("Không có mã QR nào đang chờ.", "No QR code is waiting.")
    headers = {"Cache-Control": "private, no-store"}
    return Response(receipts.qr_png(payload), media_type="image/png", headers=headers)


@router.get("/pay/{payment_id}/receipt.pdf")
async def pay_receipt(payment: Bill, session: SessionDep, terms: TermsDep) -> Response:
    """The citizen's receipt."""
    return printed(await payments.receipt_of(session, payment.id), terms)


@router.post("/pay/{payment_id}/attempts", openapi_extra=FORM_POST)
async def choose(
    request: Request, payment: Bill, till: TillDep, session: SessionDep, terms: TermsDep, form: FormDep
) -> Response:
    """Start paying the way that was chosen; the way that is already waiting is not started twice."""
    stage, method = stage_of(payment), written(form, "method")
    await session.rollback()  # the attempt commits on its own between its calls to the gateway
    if method not in stage.methods:
        flash(
            request,
            "warning",
            "Cách nộp này không còn dùng được cho khoản thu; hãy xem tình trạng dưới đây.",
            "This way of paying is no longer open for the bill; see how it stands below.",
        )
        return see_other(_address(payment, terms))
    started = stage.live
    async with refusals_told(request, session):
        if started is None or started.method != method:
            wish = CreateAttempt.model_validate({"method": method, "replace": started is not None})
            await operations.start_attempt(till, payment.id, wish, actor=operations.CITIZEN)
    return see_other(_address(payment, terms, "/card" if method == "card" else ""))


@router.get("/pay/{payment_id}/card")
async def to_the_card_page(request: Request, payment: Bill, pages: PagesDep, terms: TermsDep) -> Response:
    """Leads on to the gateway's page. A page in between, because browsers follow no form to another site."""
    stage = stage_of(payment)
    if stage.name != "card" or stage.live is None or not stage.live.pay_url:
        return see_other(_address(payment, terms))
    return pages.render(request, "card.html.j2", payment=payment, attempt=stage.live, back=_address(payment, terms))


@router.post("/pay/{payment_id}/check", openapi_extra=FORM_POST)
async def check_again(
    request: Request, payment: Bill, till: TillDep, session: SessionDep, terms: TermsDep, _: FormDep
) -> Response:
    """Ask the gateway whether the money has come."""
    await session.rollback()
    async with refusals_told(request, session):
        await operations.refresh_payment(till, payment.id)
    return see_other(_address(payment, terms))


@router.get("/receipts/check")
async def check_receipt(
    request: Request,
    session: SessionDep,
    pages: PagesDep,
    number: Annotated[str, Query(max_length=60)] = "",
    code: Annotated[str, Query(max_length=60)] = "",
) -> Response:
    """Whether a receipt is ours, for how much, and whether it still stands."""
    number, code = searched(number).upper(), searched(code)
    asked, half = bool(number and code), bool(number) != bool(code)
    receipt = await desk.receipt_checked(session, number, code) if asked else None
    return pages.render(
        request,
        "check.html.j2",
        number=number,
        code=code,
        asked=asked,
        receipt=receipt,
        half=half,
    )
