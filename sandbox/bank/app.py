"""The bank as an application: one collecting account, its credits, orders, statements and pay page."""

import asyncio
import contextlib
import hmac
import time
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Literal

from fastapi import FastAPI, Header, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from sandbox.bank import pages
from sandbox.bank.book import (
    Book,
    ConflictError,
    Entry,
    InsufficientFundsError,
    Order,
    Party,
    Settings,
    open_state,
    timestamp,
)
from sandbox.bank.notices import signed, signing_key
from sandbox.bank.statements import bank_csv, camt053, mt940
from sandbox.bank.vietqr import InvalidQrError, decoded
from sandbox.wire import Backoff, Clock, Deliveries, Value

Dong = Annotated[int, Field(gt=0, le=999_999_999_999)]
Name = Annotated[str, Field(min_length=1, max_length=140)]
AccountNumber = Annotated[str, Field(pattern=r"^[0-9A-Za-z]{1,19}$")]
BankNumber = Annotated[str, Field(pattern=r"^[0-9]{6}$")]

GATEWAY = Party("CONG THANH TOAN THU NGHIEM", "900000000001", "970436")
POST_OFFICE = Party("BUU DIEN THU NGHIEM", "900000000002", "970449")


class BankError(Exception):
    """A refusal with a code a program can act on."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TransferByQr(_Body):
    """A payer's app scanned `qr`; `amount_dong` overrides what the code says."""

    qr: str
    amount_dong: Dong | None = None
    payer_name: Name = "Nguyễn Văn A"
    payer_account: AccountNumber = "0123456789"
    payer_bin: BankNumber = "970436"
    sandbox_notice: Literal["lost"] | None = None


class PlainTransfer(_Body):
    """A payer typed the account number and whatever content they liked."""

    content: str = Field(max_length=500)
    amount_dong: Dong
    payer_name: Name = "Nguyễn Văn A"
    payer_account: AccountNumber = "0123456789"
    payer_bin: BankNumber = "970436"
    sandbox_notice: Literal["lost"] | None = None


class Remittance(_Body):
    """The post office sends the cash its couriers collected."""

    amount_dong: Dong
    reference: str = Field(min_length=1, max_length=35)
    sandbox_notice: Literal["lost"] | None = None


class Payout(_Body):
    """The payment gateway sends a payout; the reference is the payout's id."""

    amount_dong: Dong
    reference: str = Field(min_length=1, max_length=35)
    descriptor: str = Field(default="", max_length=140)
    sandbox_notice: Literal["lost"] | None = None


class TransferOrder(_Body):
    """The account holder sends money out."""

    amount_dong: Dong
    beneficiary_bin: BankNumber
    beneficiary_account: AccountNumber
    beneficiary_name: Name
    content: str = Field(max_length=210)


class EntryView(BaseModel):
    """A booked credit or debit."""

    bank_reference: str
    kind: str
    direction: Literal["credit", "debit"]
    account: str
    amount_dong: int
    content: str
    counterparty_name: str
    counterparty_account: str
    counterparty_bin: str
    end_to_end_reference: str | None
    booked_at: str
    value_date: date


class OrderView(BaseModel):
    """An outgoing transfer."""

    id: str
    status: Literal["executed"]
    bank_reference: str
    amount_dong: int
    beneficiary_bin: str
    beneficiary_account: str
    beneficiary_name: str
    content: str
    executed_at: str
    value_date: date


def create_app(
    settings: Settings,
    state_file: Path,
    *,
    clock: Clock = time.time,
    backoff: Backoff | None = None,
) -> FastAPI:
    """A bank whose whole state is `state_file`; notices are delivered while it is served."""
    if settings.notify_url:
        signing_key(settings.notify_secret)
    state = open_state(state_file)
    deliveries = Deliveries(state, signed, clock=clock, backoff=backoff)
    book = Book(state, settings, deliveries, clock)
    book.open()

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(deliveries.run())
        yield
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        state.close()

    app = FastAPI(title="Sandbox bank", lifespan=lifespan, docs_url=None, redoc_url=None)
    _add_credits(app, book)
    _add_incoming_sums(app, book)
    _add_orders(app, book)
    _add_statements(app, book)
    app.include_router(pages.router(book))

    @app.get("/healthz")
    async def healthz() -> dict[str, str | int]:
        return {"status": "ok", "waiting_deliveries": deliveries.waiting()}

    @app.get("/_sandbox/totals")
    async def totals() -> dict[str, int]:
        return book.totals()

    @app.get("/_sandbox/deliveries")
    async def list_deliveries(limit: int = 100) -> list[dict[str, Value]]:
        return deliveries.log(limit=min(limit, 1000))

    @app.exception_handler(BankError)
    async def refuse(_: Request, refusal: BankError) -> JSONResponse:
        return JSONResponse({"code": refusal.code, "message": str(refusal)}, refusal.status)

    return app


def _add_credits(app: FastAPI, book: Book) -> None:
    settings = book.settings

    @app.post("/transfers", status_code=201)
    async def transfer(body: TransferByQr) -> EntryView:
        try:
            code = decoded(body.qr)
        except InvalidQrError as problem:
            raise BankError(422, "qr_invalid", f"Cannot pay this code: {problem}.") from problem
        if (code.bin, code.account.upper()) != (settings.bin, settings.account.upper()):
            raise BankError(422, "beneficiary_unknown", "The code names another account.")
        amount = body.amount_dong or code.amount_dong
        if amount is None:
            raise BankError(422, "amount_missing", "The code has no amount; send amount_dong.")
        payer = Party(body.payer_name, body.payer_account, body.payer_bin)
        notify = body.sandbox_notice != "lost"
        return _view(book.credit_transfer(amount, code.content, payer, notify=notify), settings)

    @app.post("/transfers/plain", status_code=201)
    async def plain_transfer(body: PlainTransfer) -> EntryView:
        payer = Party(body.payer_name, body.payer_account, body.payer_bin)
        notify = body.sandbox_notice != "lost"
        entry = book.credit_transfer(body.amount_dong, body.content, payer, notify=notify)
        return _view(entry, settings)

    @app.get("/transfers/{bank_reference}")
    async def show(bank_reference: str) -> EntryView:
        entry = book.entry(bank_reference)
        if entry is None:
            raise BankError(404, "not_found", "No transaction has this reference.")
        return _view(entry, settings)


def _add_incoming_sums(app: FastAPI, book: Book) -> None:
    settings = book.settings

    @app.post("/remittances", status_code=201)
    async def remit(body: Remittance, response: Response) -> EntryView:
        return credit("remittance", body, f"NOP TIEN THU HO {body.reference}", response)

    @app.post("/payouts", status_code=201)
    async def pay_out(body: Payout, response: Response) -> EntryView:
        content = f"STRIPE PAYOUT {body.descriptor} {body.reference}"
        return credit("payout", body, content, response)

    def credit(
        kind: Literal["remittance", "payout"],
        body: Remittance | Payout,
        content: str,
        response: Response,
    ) -> EntryView:
        payer = GATEWAY if kind == "payout" else POST_OFFICE
        notify = body.sandbox_notice != "lost"
        try:
            entry, new = book.credit_once(kind, body.amount_dong, body.reference, content, payer, notify=notify)
        except ConflictError as problem:
            raise BankError(409, "reference_used", f"{problem}.") from problem
        if not new:
            response.status_code = 200
        return _view(entry, settings)


def _add_orders(app: FastAPI, book: Book) -> None:
    def authorise(authorization: str | None) -> None:
        expected = f"Bearer {book.settings.holder_key}"
        given = authorization or ""
        if book.settings.holder_key is None or not hmac.compare_digest(expected.encode(), given.encode()):
            raise BankError(401, "unauthorised", "Send the account holder's key.")

    @app.post("/orders", status_code=201)
    async def order(
        body: TransferOrder,
        response: Response,
        authorization: Annotated[str | None, Header()] = None,
        idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
    ) -> OrderView:
        authorise(authorization)
        if not idempotency_key:
            raise BankError(400, "idempotency_key_missing", "Send an Idempotency-Key header.")
        beneficiary = Party(body.beneficiary_name, body.beneficiary_account, body.beneficiary_bin)
        try:
            made, new = book.execute_order(idempotency_key, body.amount_dong, body.content, beneficiary)
        except ConflictError as problem:
            raise BankError(422, "idempotency_key_reused", f"{problem}.") from problem
        except InsufficientFundsError:
            raise BankError(409, "insufficient_funds", "The balance is smaller than the order.") from None
        if not new:
            response.headers["Idempotent-Replayed"] = "true"
        return _order_view(made)

    @app.get("/orders/{order_id}")
    async def show(order_id: str, authorization: Annotated[str | None, Header()] = None) -> OrderView:
        authorise(authorization)
        made = book.order(order_id)
        if made is None:
            raise BankError(404, "not_found", "No such order.")
        return _order_view(made)


def _add_statements(app: FastAPI, book: Book) -> None:
    @app.get("/balance")
    async def balance() -> dict[str, str | int]:
        return {
            "account": book.settings.account,
            "bin": book.settings.bin,
            "currency": "VND",
            "balance_dong": book.balance_dong(),
            "business_date": book.today().isoformat(),
        }

    def checked(on: date) -> date:
        if on > book.today():
            raise BankError(404, "no_statement", "This business date has not begun.")
        return on

    def attachment(content: bytes | str, media_type: str, name: str) -> Response:
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type=media_type, headers=headers)

    @app.get("/statements/{on}.camt053.xml")
    async def as_camt(on: date) -> Response:
        made_at = datetime.fromtimestamp(book.clock(), UTC)
        content = camt053(book.day(checked(on)), book.settings, made_at=made_at)
        return attachment(content, "application/xml", f"{on}.camt053.xml")

    @app.get("/statements/{on}.mt940")
    async def as_mt940(on: date) -> Response:
        content = mt940(book.day(checked(on)), book.settings)
        return attachment(content, "text/plain; charset=us-ascii", f"{on}.mt940")

    @app.get("/statements/{on}.csv")
    async def as_csv(on: date) -> Response:
        content = bank_csv(book.day(checked(on)), book.settings)
        return attachment(content, "text/csv; charset=utf-8", f"{on}.csv")


def _view(entry: Entry, settings: Settings) -> EntryView:
    return EntryView(
        bank_reference=entry.bank_reference,
        kind=entry.kind,
        direction="credit" if entry.amount_dong > 0 else "debit",
        account=settings.account,
        amount_dong=abs(entry.amount_dong),
        content=entry.content,
        counterparty_name=entry.counterparty.name,
        counterparty_account=entry.counterparty.account,
        counterparty_bin=entry.counterparty.bin,
        end_to_end_reference=entry.end_to_end_reference,
        booked_at=timestamp(entry.booked_at),
        value_date=entry.business_date,
    )


def _order_view(order: Order) -> OrderView:
    entry = order.entry
    return OrderView(
        id=order.id,
        status="executed",
        bank_reference=entry.bank_reference,
        amount_dong=-entry.amount_dong,
        beneficiary_bin=entry.counterparty.bin,
        beneficiary_account=entry.counterparty.account,
        beneficiary_name=entry.counterparty.name,
        content=entry.content,
        executed_at=timestamp(entry.booked_at),
        value_date=entry.business_date,
    )
