"""The postal service as a process."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from prometheus_client import Counter

from kit.app import Process, create_service
from kit.db import transaction
from kit.settings import text_of
from kit.web import NavItem, Site
from services.postal import api, operations, pages, rules
from services.postal.models import outbox
from services.postal.settings import PostalSettings

SITE = Site(
    name="postal",
    title_vi="Bưu chính",
    title_en="Post",
    templates=Path(__file__).parent / "templates",
    nav=(
        NavItem("/courier", "Tuyến hôm nay", "Today's round", "postal:courier"),
        NavItem("/board", "Vấn đề", "Problems", "postal:dispatch"),
        NavItem("/shipments", "Bưu gửi", "Shipments", "postal:dispatch"),
        NavItem("/claims", "Khiếu nại", "Claims", "postal:dispatch"),
    ),
)


async def _lend_range(app: FastAPI) -> None:
    settings = app.state.settings
    first, last = settings.s10_range
    async with transaction(app.state.sessions) as session:
        await operations.lend_range(
            session, indicator=settings.s10_indicator, country=settings.s10_country, first=first, last=last
        )


def create_app(settings: PostalSettings | None = None) -> FastAPI:
    """Built by `uvicorn --factory services.postal.app:create_app`; settings come from the environment."""
    settings = settings or PostalSettings()
    app = create_service(
        Process(
            name="postal",
            title="Postal service",
            description="Carries the papers of dossiers both ways and always knows who holds them.",
            routers=(api.router, pages.router),
            startup=(_lend_range,),
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
    app.state.events_received = Counter(
        "postal_events_received_total",
        "Facts received, by what became of them",
        ["result"],
        registry=app.state.metrics.registry,
    )
    return app
