"""The payment service as a process: `uvicorn --factory services.payment.app:create_app`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
from fastapi import FastAPI

from kit.app import Process, background, create_service
from kit.db import create_engine, create_sessions, now
from kit.settings import text_of
from kit.web import NavItem, Site
from services.payment.api import books, disputes, ledger, payments, receipts, redirects, refunds, webhooks
from services.payment.bank import BankClient
from services.payment.gateway import ChosenGateway, Gateway, GatewayClient, RedirectGateway
from services.payment.models import outbox
from services.payment.operations.sweeper import run_inbox, run_sweeper
from services.payment.pages import router as pages_router
from services.payment.settings import PaymentSettings
from services.payment.till import Terms, Till

SITE = Site(
    name="payment",
    title_vi="Thu nộp và đối soát",
    title_en="Payments and reconciliation",
    templates=Path(__file__).parent / "templates",
    nav=(
        NavItem("/desk", "Bàn làm việc", "Desk", "payments:read"),
        NavItem("/payments", "Khoản thu", "Payments", "payments:read"),
        NavItem("/refunds", "Hoàn trả", "Refunds", "payments:read"),
        NavItem("/vouchers", "Chứng từ Kho bạc", "Treasury vouchers", "payments:read"),
        NavItem("/disputes", "Tra soát", "Disputes", "payments:read"),
        NavItem("/receipts", "Biên lai", "Receipts", "payments:read"),
        NavItem("/reconciliations", "Đối soát", "Reconciliation", "payments:read"),
        NavItem("/breaks", "Chênh lệch", "Breaks", "payments:read"),
        NavItem("/ledger", "Sổ cái", "Ledger", "payments:read"),
        NavItem("/accounts", "Sổ theo cơ quan", "Agencies", "payments:read"),
    ),
)

DESCRIPTION = """Takes the fees of a dossier once, gives them back right, and keeps double-entry books that the
database itself keeps balanced. Amounts are whole đồng. Every write needs an `Idempotency-Key`."""


def create_app(settings: PaymentSettings | None = None, *, outside: httpx.AsyncClient | None = None) -> FastAPI:
    """The service with its sweeper and inbox. `outside` replaces the connection to gateway and bank in tests.

    Raises ValueError when a webhook secret is empty: it would believe everybody.
    """
    settings = settings or PaymentSettings()
    for needed in (settings.gateway_webhook_secret, settings.bank_notice_secret):
        if not needed.get_secret_value().removeprefix("whsec_"):
            raise ValueError("the webhook secrets of gateway and bank must not be empty")
    if len(settings.receipt_secret.get_secret_value()) < 32:
        raise ValueError("receipt_secret needs at least 32 characters")
    process = Process(
        name="payment",
        title="Liên Thông: payments",
        description=DESCRIPTION,
        routers=(
            payments.router,
            refunds.router,
            disputes.router,
            ledger.router,
            receipts.router,
            books.router,
            webhooks.router,
            redirects.router,
            pages_router,
        ),
        resources=(_own_connections, _sweeping, _reading_the_inbox),
    )
    app = create_service(process, settings, outbox=outbox, site=SITE)
    app.state.till = _till(app, settings, outside or app.state.http)
    app.state.gateway_webhook_secret = settings.gateway_webhook_secret.get_secret_value()
    app.state.bank_notice_secret = settings.bank_notice_secret.get_secret_value()
    secret = settings.redirect_secret if settings.redirect_pay_url else None
    app.state.redirect_secret = secret.get_secret_value() if secret else ""
    app.state.redirect_terminal = settings.redirect_terminal
    app.state.inbox_wake = asyncio.Event()
    return app


def _till(app: FastAPI, settings: PaymentSettings, http: httpx.AsyncClient) -> Till:
    # Operations that reach outside commit in between, while their route holds a connection with the caller's key.
    # Were both from one pool, enough callers at once would each hold one and wait for ever for a second.
    app.state.till_engine = create_engine(str(settings.database_url), pool_size=settings.database_pool_size)
    return Till(
        sessions=create_sessions(app.state.till_engine),
        gateway=_gateway(settings, http),
        bank=BankClient(url=text_of(settings.bank_url), key=settings.bank_key.get_secret_value(), http=http),
        terms=Terms(
            public_url=text_of(settings.public_url),
            gateway_pay_page=text_of(settings.gateway_pay_page or settings.gateway_url),
            bank_bin=settings.bank_bin,
            bank_account=settings.bank_account,
            bank_holder=settings.bank_holder,
            agency_name=settings.collecting_agency_name,
            receipt_series=settings.receipt_series,
            secret=settings.receipt_secret.get_secret_value(),
            card_attempt_seconds=settings.card_attempt_seconds,
            vietqr_attempt_seconds=settings.vietqr_attempt_seconds,
            cash_attempt_seconds=settings.cash_attempt_seconds,
            bank_overdue_days=settings.bank_overdue_days,
            refund_after_settlement=settings.refund_after_settlement,
            authorisation_seconds=settings.card_authorisation_seconds,
        ),
    )


def _gateway(settings: PaymentSettings, http: httpx.AsyncClient) -> Gateway:
    """The gateways of a deployment as one. Raises ValueError when the redirect gateway is half configured."""
    wire = GatewayClient(
        url=text_of(settings.gateway_url),
        key=settings.gateway_key.get_secret_value(),
        http=http,
        version=settings.gateway_version,
        timeout_seconds=settings.gateway_timeout_seconds,
        total_seconds=settings.gateway_total_seconds,
    )
    if settings.redirect_pay_url is None:
        if settings.card_gateway == "redirect":
            raise ValueError("card_gateway is redirect, but redirect_pay_url is not set")
        return wire
    secret = settings.redirect_secret.get_secret_value() if settings.redirect_secret else ""
    if settings.redirect_api_url is None or settings.redirect_terminal is None or not secret:
        raise ValueError("a redirect gateway needs redirect_api_url, redirect_terminal and redirect_secret")
    redirect = RedirectGateway(
        pay_url=text_of(settings.redirect_pay_url),
        api_url=text_of(settings.redirect_api_url),
        terminal=settings.redirect_terminal,
        secret=secret,
        return_url=f"{text_of(settings.public_url)}/webhooks/redirect/return",
        http=http,
        clock=now,
        timeout_seconds=settings.gateway_timeout_seconds,
    )
    return ChosenGateway(chosen=redirect if settings.card_gateway == "redirect" else wire, wire=wire, redirect=redirect)


@asynccontextmanager
async def _own_connections(app: FastAPI) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await app.state.till_engine.dispose()


def _sweeping(app: FastAPI) -> AbstractAsyncContextManager[None]:
    return background(run_sweeper(app.state.till, pause_seconds=app.state.settings.sweep_seconds))


def _reading_the_inbox(app: FastAPI) -> AbstractAsyncContextManager[None]:
    return background(run_inbox(app.state.till, app.state.inbox_wake, pause_seconds=app.state.settings.sweep_seconds))
