"""The redirect gateway as an application: a signed link in, a page, signed news out, and questions answered."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, Field

from sandbox.gateway.faults import ConnectionDropped, ConnectionDropper, Fault, hang
from sandbox.redirect_gateway.book import OUTCOMES, Book, Settings, open_book
from sandbox.redirect_gateway.notices import Notices
from sandbox.redirect_gateway.transactions import answered
from sandbox.redirect_gateway.wire import checked_query, digest
from sandbox.wire import Clock, Value

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PROBLEMS = {
    "70": {"vi": "Sai chữ ký (70).", "en": "The signature is wrong (70)."},
    "72": {"vi": "Không tìm thấy đơn vị chấp nhận thanh toán (72).", "en": "There is no such merchant (72)."},
    "03": {"vi": "Dữ liệu gửi sang không đúng định dạng (03).", "en": "The order is malformed (03)."},
    "15": {"vi": "Giao dịch đã quá hạn hoặc đã kết thúc (15).", "en": "The order has expired or has ended (15)."},
}
_TEMPLATES = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)
_NEEDED = ("Version", "Amount", "CreateDate", "CurrCode", "IpAddr", "OrderInfo", "ReturnUrl", "TxnRef")


class Deed(BaseModel):
    """What a person does without a browser, how the news of it travels, and what amount really moved."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["pay", "decline", "cancel", "suspect", "debited"] = "pay"
    ipn: Literal["sent", "lost", "duplicate"] = "sent"
    delay_seconds: float = Field(default=0.0, ge=0)
    amount_dong: int | None = Field(default=None, gt=0)


class FaultScript(BaseModel):
    """A fault for the next `times` calls of a command."""

    model_config = ConfigDict(extra="forbid")

    command: Literal["querydr", "refund", "*"] = "*"
    effect: Literal["timeout_before", "timeout_after", "500", "reset", "reset_after"]
    seconds: float = Field(default=60.0, ge=0)
    times: int = Field(default=1, ge=1)


class Outcome(BaseModel):
    """How a refund that is on its way ends."""

    model_config = ConfigDict(extra="forbid")

    succeeds: bool = True


def create_app(settings: Settings, state_file: Path, *, clock: Clock = time.time) -> FastAPI:
    """A redirect gateway whose whole state is `state_file`; notices are sent while it is served."""
    book = open_book(state_file, settings, clock)
    notices = Notices(book)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(notices.run())
        yield
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        book.state.close()

    app = FastAPI(title="Sandbox redirect gateway", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.book, app.state.notices = book, notices

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    _add_pages(app, book)
    _add_api(app, book)
    _add_control(app, book)
    app.add_middleware(ConnectionDropper)
    return app


def _add_pages(app: FastAPI, book: Book) -> None:
    @app.get("/paymentv2/vpcpay.html", include_in_schema=False)
    async def show(request: Request) -> Response:
        parameters = checked_query(book.settings.secret, request.url.query)
        if parameters is None:
            return _page("70")
        if parameters.get("vnp_TmnCode") != book.settings.terminal:
            return _page("72")
        amount = parameters.get("vnp_Amount", "")
        if not all(parameters.get(f"vnp_{name}") for name in _NEEDED) or not amount.isdigit() or int(amount) <= 0:
            return _page("03")
        order = book.open_order(parameters)
        if book.is_over(order) or order["hundredths"] != int(amount):
            return _page("15")
        lang = "en" if parameters.get("vnp_Locale") == "en" else "vi"
        shown = f"{order['hundredths'] // 100:,}".replace(",", "." if lang == "vi" else ",")
        html = _TEMPLATES.get_template("pay.html").render(
            lang=lang,
            problem=None,
            order=order,
            amount=shown,
            merchant=book.settings.merchant,
            ticket=_ticket(book, order["seq"]),
        )
        return HTMLResponse(html, headers=HEADERS)

    @app.post("/paymentv2/orders/{seq}", include_in_schema=False)
    async def act(seq: int, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("utf-8", errors="replace")))
        order = book.state.row("SELECT * FROM orders WHERE seq = ?", [seq])
        if order is None or form.get("ticket") != _ticket(book, seq) or form.get("action") not in OUTCOMES:
            return _page("03")
        if order["status"] == "01":
            if book.is_over(order):
                return _page("15")
            with book.state.transaction():
                order = book.finish(order, form["action"])
                book.notify(order)
        joint = "&" if "?" in order["return_url"] else "?"
        return RedirectResponse(f"{order['return_url']}{joint}{book.told(order)}", 303, headers=HEADERS)


def _add_api(app: FastAPI, book: Book) -> None:
    @app.post("/merchant_webapi/api/transaction")
    async def transaction(request: Request) -> Response:
        try:
            sent = await request.json()
        except ValueError:
            sent = None
        if not isinstance(sent, dict):
            return JSONResponse({"vnp_ResponseCode": "03", "vnp_Message": "Invalid data format"})
        document = {str(name): "" if value is None else str(value) for name, value in sent.items()}
        fault = _fault_for(book, document.get("vnp_Command", ""))
        if fault.effect == "500":
            return Response("Internal Server Error", 500)
        if fault.effect == "timeout_before":
            await hang(fault, request)
        if fault.effect == "reset":
            raise ConnectionDropped
        answer = answered(book, document)
        if fault.effect == "timeout_after":
            await hang(fault, request)
        if fault.effect == "reset_after":
            raise ConnectionDropped
        return JSONResponse(answer)


def _add_control(app: FastAPI, book: Book) -> None:
    @app.post("/_sandbox/orders/{reference}")
    async def do(reference: str, deed: Deed) -> dict[str, str]:
        order = book.order(reference)
        if order is None:
            raise HTTPException(404, "Nobody has opened the link of this order")
        hundredths = deed.amount_dong * 100 if deed.amount_dong else None
        with book.state.transaction():
            order = book.finish(order, deed.action, hundredths=hundredths)
            copies = {"sent": 1, "lost": 0, "duplicate": 3}[deed.ipn]
            book.notify(order, copies=copies, delay_seconds=deed.delay_seconds)
        return {"status": order["status"], "query": book.told(order), "return_url": order["return_url"]}

    @app.post("/_sandbox/refunds/{number}/settle", status_code=204)
    async def settle(number: int, outcome: Outcome) -> None:
        book.state.execute(
            "UPDATE refunds SET status = ? WHERE number = ? AND status = '05'",
            ["06" if outcome.succeeds else "09", number],
        )

    @app.post("/_sandbox/faults", status_code=204)
    async def add_fault(script: FaultScript) -> None:
        book.state.execute(
            "INSERT INTO faults (command, effect, seconds, remaining) VALUES (?, ?, ?, ?)",
            [script.command, script.effect, script.seconds, script.times],
        )

    @app.get("/_sandbox/notices")
    async def list_notices() -> list[dict[str, Value]]:
        return [dict(row) for row in book.state.rows("SELECT * FROM notices ORDER BY seq DESC LIMIT 100")]

    @app.get("/_sandbox/totals")
    async def totals() -> dict[str, int]:
        return dict(book.totals())


def _fault_for(book: Book, command: str) -> Fault:
    row = book.state.row(
        "SELECT * FROM faults WHERE remaining > 0 AND command IN (?, '*') ORDER BY seq LIMIT 1", [command]
    )
    if row is None:
        return Fault("none", 0.0)
    book.state.execute("UPDATE faults SET remaining = remaining - 1 WHERE seq = ?", [row["seq"]])
    return Fault(row["effect"], row["seconds"])


def _ticket(book: Book, seq: int) -> str:
    """Proves that the form was made by the page that somebody with the signed link saw."""
    return digest(book.settings.secret, f"page {seq}")[:32]


def _page(code: str) -> HTMLResponse:
    html = _TEMPLATES.get_template("pay.html").render(lang="vi", problem=_PROBLEMS[code])
    return HTMLResponse(html, 400, headers=HEADERS)
