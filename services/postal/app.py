"""The postal service as a process."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import cast

import httpx
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from prometheus_client import Counter
from sqlalchemy.exc import DBAPIError

from kit.app import Process, background, create_service
from kit.calendar import vietnam_calendar
from kit.db import now, transaction
from kit.settings import text_of
from kit.web import NavItem, Site
from services.postal import (
    api,
    carrier_api,
    carrier_orders,
    cases,
    deadlines,
    desk_api,
    evidence,
    field_api,
    ledger_api,
    operations,
    pages,
    roots,
    rules,
)
from services.postal.carriers import VnpostCarrier
from services.postal.models import outbox
from services.postal.settings import PostalSettings
from services.postal.storage import Bucket, EvidenceStore

log = logging.getLogger(__name__)

_A_DAY = 86_400

SITE = Site(
    name="postal",
    title_vi="Bưu chính",
    title_en="Post",
    templates=Path(__file__).parent / "templates",
    nav=(
        NavItem("/courier", "Tuyến hôm nay", "Today's round", "postal:courier"),
        NavItem("/board", "Vấn đề", "Problems", "postal:dispatch"),
        NavItem("/assignments", "Phân tuyến", "Assign", "postal:dispatch"),
        NavItem("/shipments", "Bưu gửi", "Shipments", "postal:dispatch"),
        NavItem("/claims", "Khiếu nại", "Claims", "postal:dispatch"),
        NavItem("/cash", "Tiền mặt", "Cash", "postal:dispatch"),
        NavItem("/devices", "Thiết bị", "Devices", "postal:dispatch"),
    ),
)


async def _lend_range(app: FastAPI) -> None:
    settings = app.state.settings
    first, last = settings.s10_range
    async with transaction(app.state.sessions) as session:
        await operations.lend_range(
            session, indicator=settings.s10_indicator, country=settings.s10_country, first=first, last=last
        )


@asynccontextmanager
async def _evidence_retention(app: FastAPI) -> AsyncIterator[None]:
    """Once a day, beside the service, evidence past its time is taken away."""

    async def keep_tidy() -> None:
        while True:
            await asyncio.sleep(_A_DAY)
            try:
                while await evidence.purge(
                    app.state.sessions, app.state.evidence, limits=app.state.evidence_limits, at=now()
                ):
                    pass
            except (OSError, DBAPIError) as error:
                log.warning("evidence past its time was not looked through", exc_info=error)

    async with background(keep_tidy()):
        yield


@asynccontextmanager
async def _daily_seals(app: FastAPI) -> AsyncIterator[None]:
    """Beside the service, every day that is over gets its published seal."""
    async with background(roots.keep_publishing(app.state.sessions)):
        yield


@asynccontextmanager
async def _carrier(app: FastAPI) -> AsyncIterator[None]:
    """The partner account that the settings name, if any; its messages are fetched as well as received."""
    settings = cast("PostalSettings", app.state.settings)
    if settings.vnpost_url is None:
        yield
        return
    assert settings.vnpost_token is not None
    assert settings.vnpost_webhook_secret is not None
    async with httpx.AsyncClient() as http:
        partner = VnpostCarrier(
            http,
            url=text_of(settings.vnpost_url),
            token=settings.vnpost_token.get_secret_value(),
            webhook_secret=settings.vnpost_webhook_secret.get_secret_value(),
        )
        app.state.carriers[partner.name] = partner
        async with background(carrier_orders.keep_polling(app.state.sessions, partner, terms=app.state.terms)):
            yield


def _evidence_store(settings: PostalSettings) -> EvidenceStore:
    secret = settings.evidence_secret_access_key
    bucket = Bucket(
        endpoint=text_of(settings.evidence_endpoint) if settings.evidence_endpoint else None,
        region=settings.evidence_region,
        access_key_id=settings.evidence_access_key_id,
        secret_access_key=secret.get_secret_value() if secret else None,
    )
    return EvidenceStore(settings.evidence_store, bucket)


def create_app(settings: PostalSettings | None = None) -> FastAPI:
    """Built by `uvicorn --factory services.postal.app:create_app`; settings come from the environment."""
    settings = settings or PostalSettings()
    app = create_service(
        Process(
            name="postal",
            title="Postal service",
            description="Carries the papers of dossiers both ways and always knows who holds them.",
            routers=(
                api.router,
                field_api.router,
                desk_api.router,
                ledger_api.router,
                carrier_api.router,
                pages.router,
            ),
            startup=(_lend_range,),
            resources=(_evidence_retention, _daily_seals, _carrier),
        ),
        settings,
        outbox=outbox,
        site=SITE,
    )
    app.mount("/static/postal", StaticFiles(directory=Path(__file__).parent / "static"), name="postal-static")
    app.state.terms = rules.Terms(
        public_url=text_of(settings.public_url),
        label_secret=settings.label_secret.get_secret_value(),
        hold_days=settings.hold_days,
        silence_hours=settings.silence_hours,
    )
    app.state.plan = cases.Plan(
        calendar=vietnam_calendar(saturdays_worked=settings.saturdays_worked),
        allowances=deadlines.Allowances(**{f.name: getattr(settings, f.name) for f in fields(deadlines.Allowances)}),
        terms=app.state.terms,
    )
    app.state.desk_terms = cases.DeskTerms(
        public_url=text_of(settings.public_url),
        label_secret=settings.label_secret.get_secret_value(),
        link_days=settings.link_days,
        float_limit_dong=settings.float_limit_dong,
        float_hours=settings.float_hours,
    )
    app.state.carriers = {}
    app.state.evidence = _evidence_store(settings)
    app.state.evidence_limits = evidence.Limits(
        max_bytes=settings.evidence_max_bytes, keep_days=settings.evidence_keep_days
    )
    app.state.events_received = Counter(
        "postal_events_received_total",
        "Facts received, by what became of them",
        ["result"],
        registry=app.state.metrics.registry,
    )
    return app
