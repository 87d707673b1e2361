"""What the gateway and the bank tell us: verified, stored once, answered, and worked on afterwards."""

import asyncio
import time
from collections.abc import Iterator
from typing import Annotated, cast

from fastapi import APIRouter, FastAPI, Header, Request
from pydantic import JsonValue

from kit.db import SessionDep, UnitOfWorkRoute
from kit.errors import TooLarge, Unauthenticated
from kit.webhooks import verified_body
from services.payment.gateway import verified_event
from services.payment.operations import inbox
from services.payment.problems import NotJson

router = APIRouter(route_class=UnitOfWorkRoute, tags=["webhooks in"])

LONGEST_BODY = 1024 * 1024
"""Bytes of the largest webhook; events of the gateway have some kilobytes."""
_RAW = {"x-idempotency": "none", "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}}}


@router.post("/webhooks/gateway", openapi_extra=_RAW, summary="An event of the card gateway")
async def gateway_event(
    request: Request,
    session: SessionDep,
    stripe_signature: Annotated[str, Header(max_length=2_000)] = "",
) -> dict[str, bool]:
    """Signed with `Stripe-Signature` within five minutes. The object is fetched again before anything moves."""
    body = await _raw_body(request)
    secret = cast("str", request.app.state.gateway_webhook_secret)
    event = verified_event(secret, header=stripe_signature, body=body, now=time.time())
    _refuse_unstorable(request, body, event.body)
    new = await inbox.store(session, source="gateway", event_id=event.id, kind=event.kind, body=event.body)
    wake_inbox(request.app)
    return {"received": True, "new": new}


@router.post("/webhooks/bank", openapi_extra=_RAW, summary="A credit notice of the bank")
async def bank_notice(request: Request, session: SessionDep) -> dict[str, bool]:
    """Signed as Standard Webhooks ask. The statement is the truth; a notice only makes it known sooner."""
    body = await _raw_body(request)
    secret = cast("str", request.app.state.bank_notice_secret)
    document = verified_body(secret, headers=dict(request.headers), body=body)
    _refuse_unstorable(request, body, document)
    if not isinstance(document, dict) or not isinstance(document.get("data"), dict):
        raise Unauthenticated("Thông báo không đúng dạng.", "The notice does not have the expected form.")
    # The bank reference, not the message id: the same credit told twice under two message ids is one credit.
    reference = str(document["data"].get("bank_reference") or request.headers["webhook-id"])[:200]
    new = await inbox.store(
        session, source="bank", event_id=reference, kind=str(document.get("type", ""))[:100], body=document
    )
    wake_inbox(request.app)
    return {"received": True, "new": new}


def wake_inbox(app: FastAPI) -> None:
    """Have what was just stored worked on as soon as it is committed."""
    cast("asyncio.Event", app.state.inbox_wake).set()


async def _raw_body(request: Request) -> bytes:
    """The bytes as sent. Raises TooLarge (413) for more than a webhook has."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_BODY:
            raise TooLarge(
                f"Thông báo lớn hơn {LONGEST_BODY} byte nên không được nhận.",
                f"The webhook is larger than {LONGEST_BODY} bytes and is not taken.",
            )
    return bytes(body)


def _refuse_unstorable(request: Request, body: bytes, document: JsonValue) -> None:
    """Raises NotJson (415) for another content type, and Unauthenticated for characters that cannot be stored:
    who signs rightly and writes a NUL or half a surrogate pair is not one of ours."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise NotJson(
            "Thông báo phải có Content-Type là application/json.", "A webhook has the content type application/json."
        )
    if b"\\u" in body and any(_is_unstorable(text) for text in _texts(document)):
        raise Unauthenticated("Thông báo chứa ký tự không hợp lệ.", "The notice contains a character that is not text.")


def _is_unstorable(text: str) -> bool:
    return "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text)


def _texts(document: JsonValue) -> Iterator[str]:
    """Every string of a document, names included."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
