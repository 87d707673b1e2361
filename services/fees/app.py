"""The fees process: `uvicorn --factory services.fees.app:create_app`."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from kit.app import Process, background, create_service
from kit.web import NavItem, Site
from services.fees.api import bulk, drafts, preview, procedures, quotes, versions
from services.fees.law import Law, PublishedLaw
from services.fees.models import outbox
from services.fees.pages import catalogue as catalogue_pages
from services.fees.pages import drafts as draft_pages
from services.fees.pages import versions as version_pages
from services.fees.publishing import publish_release
from services.fees.reading import checked_catalogue, read_folder
from services.fees.rules import Tariff
from services.fees.settings import FeesSettings
from services.fees.simulation import api as simulations
from services.fees.simulation import pages as simulation_pages
from services.fees.simulation.runs import Runs, runs_held
from services.fees.simulation.uploads import Uploads

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
        NavItem("/versions", "Lần công bố", "Publications"),
        NavItem("/drafts", "Dự thảo", "Drafts", scope="fees:draft fees:approve"),
        NavItem("/simulations", "Mô phỏng", "Simulation", scope="fees:draft fees:approve"),
    ),
)


def create_app(settings: FeesSettings | None = None) -> FastAPI:
    """The service, its catalogue read and compiled. Raises CatalogueError naming file and line when it is wrong."""
    chosen = settings or FeesSettings()
    documents = read_folder(chosen.catalogue_folder)
    tariff = Tariff(checked_catalogue(documents))
    process = Process(
        name="fees",
        title="Liên Thông: fees",
        description="What is owed for an administrative procedure, by whom, and the law that says so.",
        routers=(
            bulk.router,
            preview.router,
            quotes.router,
            procedures.router,
            versions.router,
            drafts.router,
            simulations.router,
            simulation_pages.router,
            catalogue_pages.router,
            draft_pages.router,
            version_pages.router,
        ),
        startup=(_publish_shipped,),
        resources=(_law_watched, _simulations_held),
        body_limits={
            bulk.PATH: bulk.UNLIMITED,
            simulations.FILES: chosen.simulation_file_bytes,
            simulation_pages.PATH: chosen.simulation_file_bytes,
        },
    )
    app = create_service(process, chosen, outbox=outbox, site=SITE)
    preview.add_short_way(app)
    app.state.shipped = tariff
    app.state.shipped_documents = documents
    app.state.tariff = tariff

    def changed(law: PublishedLaw) -> None:
        app.state.tariff = law.tariff
        log.info("law in use", extra={"publication": law.number, "version": law.version})

    app.state.law = Law(app.state.sessions, changed=changed)
    uploads = Uploads(chosen.simulation_folder, chosen.simulation_file_bytes)
    app.state.simulations = Runs(app.state.sessions, uploads)
    app.mount("/static/fees", StaticFiles(directory=Path(__file__).parent / "static"), name="fees-static")
    return app


async def _publish_shipped(app: FastAPI) -> None:
    """Bring what this release ships into force, once, and read the law that is in force after it."""
    published = await publish_release(app.state.sessions, app.state.shipped, app.state.shipped_documents)
    if published is not None:
        log.info("catalogue published", extra={"publication": published.number, "version": published.version})
    law: Law = app.state.law
    shipped: Tariff = app.state.shipped
    law.keep(shipped.version, shipped)
    async with app.state.sessions() as session:
        await law.current(session)


@asynccontextmanager
async def _law_watched(app: FastAPI) -> AsyncIterator[None]:
    async with background(app.state.law.watch()):
        yield


@asynccontextmanager
async def _simulations_held(app: FastAPI) -> AsyncIterator[None]:
    async with runs_held(app.state.simulations):
        yield
