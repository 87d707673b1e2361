"""The bank's app as a page: scan a code, look at what it says, transfer."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sandbox.bank.book import Book, Party
from sandbox.bank.vietqr import InvalidQrError, VietQr, decoded
from sandbox.wire import VIETNAM

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
DEFAULT_PAYER = Party("NGUYEN VAN A", "0123456789", "970436")
_TEMPLATES = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)


def router(book: Book) -> APIRouter:
    """`GET /pay?qr=…`, the form it posts, and the receipt that follows."""
    pages = APIRouter(include_in_schema=False)

    @pages.get("/pay")
    async def show(request: Request) -> Response:
        return _pay_page(book, dict(request.query_params))

    @pages.post("/pay")
    async def transfer(request: Request) -> Response:
        body = (await request.body()).decode("utf-8", errors="replace")
        form = dict(parse_qsl(body, keep_blank_values=True))
        code, problem = _payable(book, form.get("qr", ""))
        amount = code.amount_dong if code and code.amount_dong else _typed_amount(form)
        if code is None or problem or amount is None:
            return _pay_page(book, form, submitted=True)
        payer = Party(
            form.get("payer_name") or DEFAULT_PAYER.name,
            form.get("payer_account") or DEFAULT_PAYER.account,
            DEFAULT_PAYER.bin,
        )
        entry = book.credit_transfer(amount, code.content, payer)
        # Post, redirect, get: reloading the receipt must not transfer again.
        query = urlencode({"lang": _language(form)})
        target = f"/pay/receipts/{entry.bank_reference}?{query}"
        return RedirectResponse(target, 303, headers=HEADERS)

    @pages.get("/pay/receipts/{bank_reference}")
    async def receipt(bank_reference: str, request: Request) -> Response:
        entry = book.entry(bank_reference)
        if entry is None or entry.kind != "transfer":
            return _page("missing", _language(request.query_params), status=404, other_url="?")
        lang = _language(request.query_params)
        return _page(
            "receipt",
            lang,
            other_url=f"?lang={'vi' if lang == 'en' else 'en'}",
            entry=entry,
            amount=_shown(entry.amount_dong, lang),
            booked_at=f"{entry.booked_at.astimezone(VIETNAM):%d/%m/%Y %H:%M:%S}",
            receiver=book.settings,
        )

    return pages


def _pay_page(book: Book, values: dict[str, str], *, submitted: bool = False) -> HTMLResponse:
    lang = _language(values)
    text = values.get("qr", "")
    code, problem = _payable(book, text)
    other = urlencode({"qr": text, "lang": "vi" if lang == "en" else "en"})
    return _page(
        "pay",
        lang,
        status=422 if problem or submitted else 200,
        other_url=f"/pay?{other}",
        qr=text,
        code=code,
        problem=problem,
        amount_missing=submitted,
        amount=_shown(code.amount_dong, lang) if code and code.amount_dong else None,
        receiver=book.settings,
        payer_name=values.get("payer_name", DEFAULT_PAYER.name),
        payer_account=values.get("payer_account", DEFAULT_PAYER.account),
    )


def _payable(book: Book, text: str) -> tuple[VietQr | None, str | None]:
    """The code, and what keeps it from being paid here."""
    try:
        code = decoded(text)
    except InvalidQrError as problem:
        return None, str(problem)
    own = (book.settings.bin, book.settings.account.upper())
    if (code.bin, code.account.upper()) != own:
        return code, "beneficiary"
    return code, None


def _typed_amount(form: dict[str, str]) -> int | None:
    digits = form.get("amount_dong", "").replace(".", "").replace(",", "").strip()
    if digits.isascii() and digits.isdecimal() and 0 < int(digits) <= 999_999_999_999:
        return int(digits)
    return None


def _page(page: str, lang: str, *, other_url: str, status: int = 200, **context: object) -> HTMLResponse:
    html = _TEMPLATES.get_template("pay.html").render(page=page, lang=lang, other_url=other_url, **context)
    return HTMLResponse(html, status_code=status, headers=HEADERS)


def _language(values: Mapping[str, str]) -> str:
    return "en" if values.get("lang") == "en" else "vi"


def _shown(amount: int, lang: str) -> str:
    return f"{amount:,}".replace(",", "." if lang == "vi" else ",")
