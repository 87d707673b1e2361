"""The hosted payment page: where a cardholder pays, is declined, or turns back."""

from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sandbox.gateway.account import Account, Call, Document
from sandbox.gateway.desk import Desk
from sandbox.gateway.errors import ApiError
from sandbox.gateway.events import Announcer
from sandbox.gateway.payments import PAYABLE, authenticate_intent, confirm_intent

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_KEPT: tuple[str, ...] = ("return_url", "result")
_TEMPLATES = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)


def router(account: Account, announcer: Announcer) -> APIRouter:
    """`GET /pay/{intent}?return_url=…` and the form it posts."""
    pages = APIRouter()

    @pages.get("/pay/{intent}", include_in_schema=False)
    async def show(intent: str, request: Request) -> Response:
        return _page(account, intent, dict(request.query_params))

    @pages.post("/pay/{intent}", include_in_schema=False)
    async def act(intent: str, request: Request) -> Response:
        body = (await request.body()).decode("utf-8", errors="replace")
        form = dict(parse_qsl(body, keep_blank_values=True))
        desk = Desk(account, announcer, Call(base_url=str(request.base_url)))
        try:
            with account.state.transaction():
                document = account.load("pi", intent, "intent")
                result = _act(desk, document, form.get("action", ""), form.get("return_url"))
        except ApiError as problem:
            return _page(account, intent, form, status=problem.status)
        target = _return_url(account.load("pi", intent, "intent"), form.get("return_url"))
        if target is None:
            # Post, redirect, get: reloading the result must not pay again.
            query = urlencode({"lang": form.get("lang", "vi"), "result": result})
            return RedirectResponse(f"/pay/{intent}?{query}", 303, headers=HEADERS)
        return RedirectResponse(_with_result(target, document, result), status_code=303, headers=HEADERS)

    return pages


def _act(desk: Desk, intent: Document, action: str, return_url: str | None) -> str:
    """Do what the button says; the `redirect_status` to return with."""
    identifier = intent["id"]
    if action == "cancel":
        # The cardholder turns back. The intent stays open: only the merchant can cancel it.
        return "canceled"
    if action not in ("pay", "decline"):
        raise ApiError(400, "invalid_request_error", "Unknown button.", param="action")
    if intent["status"] in ("succeeded", "requires_capture"):
        return "succeeded"
    pays = action == "pay"
    if intent["status"] == "requires_action":
        intent = authenticate_intent(desk, identifier, succeeds=pays)
        return "failed" if intent["last_payment_error"] else "succeeded"
    card = "pm_card_visa" if pays else "pm_card_chargeDeclined"
    back = return_url or f"{desk.call.base_url}pay/{identifier}"
    try:
        confirm_intent(desk, identifier, {"payment_method": card, "return_url": back})
    except ApiError as refusal:
        if refusal.status != 402:
            raise
        return "failed"
    return "succeeded"


def _page(account: Account, identifier: str, values: dict[str, str], *, status: int = 200) -> HTMLResponse:
    lang = "en" if values.get("lang") == "en" else "vi"
    other = {name: values[name] for name in _KEPT if name in values}
    other["lang"] = "vi" if lang == "en" else "en"
    intent: Document | None = None
    try:
        intent = account.load("pi", identifier, "intent")
    except ApiError as missing:
        status = missing.status
    target = _return_url(intent, values.get("return_url")) if intent else None
    html = _TEMPLATES.get_template("pay.html").render(
        lang=lang,
        intent=intent,
        merchant=account.settings.descriptor,
        amount=f"{intent['amount']:,}".replace(",", "." if lang == "vi" else ",") if intent else "",
        payable=bool(intent and intent["status"] in PAYABLE),
        declined=bool(intent and intent["last_payment_error"]) or values.get("result") == "failed",
        return_url=values.get("return_url", ""),
        back=target,
        other_language_url=f"?{urlencode(other)}",
    )
    return HTMLResponse(html, status_code=status, headers=HEADERS)


def _return_url(intent: Document, asked: str | None) -> str | None:
    """Where to send the browser: the address asked for, if a browser may go there."""
    redirect = (intent["next_action"] or {}).get("redirect_to_url", {})
    target = asked or redirect.get("return_url")
    if not target or urlsplit(target).scheme not in ("http", "https"):
        return None
    return str(target)


def _with_result(target: str, intent: Document, result: str) -> str:
    parts = urlsplit(target)
    query = [
        *parse_qsl(parts.query, keep_blank_values=True),
        ("payment_intent", intent["id"]),
        ("payment_intent_client_secret", intent["client_secret"]),
        ("redirect_status", result),
    ]
    return urlunsplit(parts._replace(query=urlencode(query)))
