"""The two addresses a redirect gateway calls: its server tells us how an order ended, and the person comes back."""

from typing import Annotated, cast

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import RedirectResponse

from kit.db import SessionDep, UnitOfWorkRoute
from kit.errors import NotFound, Unauthenticated
from services.payment.api.parameters import TermsDep
from services.payment.api.webhooks import wake_inbox
from services.payment.gateway.redirect_wire import Callback, NotGenuine, verified_callback
from services.payment.operations import redirects

router = APIRouter(route_class=UnitOfWorkRoute, tags=["webhooks in"])

_QUERY_BYTES = 4_000


class NoticeAnswer(BaseModel):
    """The answer the gateway's wire asks for: 00 taken, 01 no such order, 02 known already, 04 other amount, 97 not
    genuine. After anything but 00 and 02 it tells us again."""

    model_config = ConfigDict(populate_by_name=True)

    code: Annotated[str, Field(alias="RspCode")]
    message: Annotated[str, Field(alias="Message")]


def _answer(answer: redirects.Answer) -> NoticeAnswer:
    return NoticeAnswer(code=answer.code, message=answer.message)


def _believed(request: Request) -> Callback:
    """What the query string says. Raises NotGenuine unless it is signed by the gateway, or there is none."""
    secret = cast("str", request.app.state.redirect_secret)
    if not secret or len(request.url.query) > _QUERY_BYTES:
        raise NotGenuine("no redirect gateway is configured, or the query string is too long")
    return verified_callback(secret, request.url.query)


@router.get("/webhooks/redirect", summary="A notice of the redirect gateway")
async def notice(request: Request, session: SessionDep) -> NoticeAnswer:
    """Signed over its sorted parameters with HMAC-SHA512. The order is asked about before anything moves."""
    try:
        callback = _believed(request)
    except NotGenuine:
        return _answer(redirects.NOT_GENUINE)
    answer = await redirects.take_notice(session, callback, terminal=request.app.state.redirect_terminal)
    wake_inbox(request.app)
    return _answer(answer)


@router.get(
    "/webhooks/redirect/return",
    summary="A person comes back from the redirect gateway",
    status_code=303,
    response_class=RedirectResponse,
)
async def come_back(request: Request, session: SessionDep, terms: TermsDep) -> Response:
    """Leads on to the pay page. What the address says moves nothing: the order is asked about."""
    try:
        callback = _believed(request)
    except NotGenuine as error:
        raise Unauthenticated(
            "Đường dẫn quay lại không mang chữ ký của cổng thanh toán; hãy mở lại đường dẫn nộp tiền đã nhận.",
            "The way back does not carry the gateway's signature; open the payment link you received once more.",
        ) from error
    attempt = await redirects.attempt_of(session, callback, terminal=request.app.state.redirect_terminal)
    if attempt is None:
        raise NotFound(
            "Cổng thanh toán nói về một đơn hàng không phải của hệ thống này; hãy mở lại đường dẫn nộp tiền đã nhận.",
            "The gateway speaks of an order that is not ours; open the payment link you received once more.",
        )
    await redirects.keep(session, attempt, callback, kind="redirect.return")
    wake_inbox(request.app)
    result = "succeeded" if callback.paid else "failed"
    return RedirectResponse(f"{terms.pay_page_url(attempt.payment_id)}&redirect_status={result}", status_code=303)
