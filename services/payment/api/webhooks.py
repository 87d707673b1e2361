"""What the gateway and the bank tell us: verified, stored once, answered, and worked on afterwards."""

import asyncio
import json
import time
from typing import Annotated, cast

from fastapi import APIRouter, Header, Request

from kit.db import SessionDep, UnitOfWorkRoute
from kit.errors import Unauthenticated
from kit.webhooks import verified_body
from services.payment.gateway import verified_event
from services.payment.operations import inbox

router = APIRouter(route_class=UnitOfWorkRoute, tags=["webhooks in"])

_RAW = {"x-idempotency": "none", "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}}}


@router.post("/webhooks/gateway", openapi_extra=_RAW, summary="An event of the card gateway")
async def gateway_event(
    request: Request,
    session: SessionDep,
    stripe_signature: Annotated[str, Header(max_length=2_000)] = "",
) -> dict[str, bool]:
    """Signed with `Stripe-Signature` within five minutes. The object is fetched again before anything moves."""
    body = await request.body()
    secret = cast("str", request.app.state.gateway_webhook_secret)
    event = verified_event(secret, header=stripe_signature, body=body, now=time.time())
    _refuse_nul(body)
    new = await inbox.store(session, source="gateway", event_id=event.id, kind=event.kind, body=event.body)
    _wake(request)
    return {"received": True, "new": new}


@router.post("/webhooks/bank", openapi_extra=_RAW, summary="A credit notice of the bank")
async def bank_notice(request: Request, session: SessionDep) -> dict[str, bool]:
    """Signed as Standard Webhooks ask. The statement is the truth; a notice only makes it known sooner."""
    body = await request.body()
    secret = cast("str", request.app.state.bank_notice_secret)
    document = verified_body(secret, headers=dict(request.headers), body=body)
    _refuse_nul(body)
    if not isinstance(document, dict) or not isinstance(document.get("data"), dict):
        raise Unauthenticated("Thông báo không đúng dạng.", "The notice does not have the expected form.")
    # The bank reference, not the message id: the same credit told twice under two message ids is one credit.
    reference = str(document["data"].get("bank_reference") or request.headers["webhook-id"])[:200]
    new = await inbox.store(
        session, source="bank", event_id=reference, kind=str(document.get("type", ""))[:100], body=document
    )
    _wake(request)
    return {"received": True, "new": new}


def _refuse_nul(body: bytes) -> None:
    """A NUL cannot be stored; a sender whose signature is right and who writes one is not one of ours."""
    if "\\u0000" in json.dumps(json.loads(body)):
        raise Unauthenticated("Thông báo chứa ký tự không hợp lệ.", "The notice contains a character that is not text.")


def _wake(request: Request) -> None:
    cast("asyncio.Event", request.app.state.inbox_wake).set()
