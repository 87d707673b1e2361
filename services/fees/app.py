"""The fees process: `uvicorn --factory services.fees.app:create_app`."""

import logging
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from kit.app import Process, create_service
from kit.web import NavItem, Site
from services.fees import api, pages
from services.fees.models import outbox
from services.fees.operations import publish
from services.fees.reading import load_catalogue
from services.fees.rules import Tariff
from services.fees.settings import FeesSettings

log = logging.getLogger(__name__)

SITE = Site(
    name="fees",
    title_vi="Phí, lệ phí",
    title_en="Fees and charges",
    templates=Path(__file__).parent / "templates",
    nav=(
        NavItem("/catalogue", "Danh mục", "Catalogue"),
        NavItem("/try", "Tính thử", "Work it out"),
        NavItem("/instruments", "Văn bản", "Instruments"),
    ),
)


def create_app(settings: FeesSettings | None = None) -> FastAPI:
    """The service, its catalogue read and compiled. Raises CatalogueError naming file and line when it is wrong."""
    chosen = settings or FeesSettings()
    tariff = Tariff(load_catalogue(chosen.catalogue_folder))
    process = Process(
        name="fees",
        title="Liên Thông: fees",
        description="What is owed for an administrative procedure, by whom, and the law that says so.",
        routers=(api.router, pages.router),
        startup=(_publish_shipped,),
    )
    app = create_service(process, chosen, outbox=outbox, site=SITE)
    app.state.tariff = tariff
    app.mount("/static/fees", StaticFiles(directory=Path(__file__).parent / "static"), name="fees-static")
    return app


async def _publish_shipped(app: FastAPI) -> None:
    tariff: Tariff = app.state.tariff
    if await publish(app.state.sessions, tariff, author="release"):
        log.info("catalogue published", extra={"version": tariff.version})
