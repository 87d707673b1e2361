"""A complete little service on the kit, so that the kit is tested as services use it, on a real database."""

from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, ConfigDict, SecretStr
from sqlalchemy import text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel, select

from kit.app import Process, create_service
from kit.auth import Principal, require
from kit.db import SessionDep, UnitOfWorkRoute, create_engine, service_metadata
from kit.errors import WrongMoment
from kit.idempotency import add_idempotency_table
from kit.money import PositiveDong
from kit.settings import ServiceSettings, checked_url
from kit.web import FormDep, NavItem, Pages, Site, flash, see_other, signed_in
from kit.webhooks import DeliveryColumns, Outbox, OutboxColumns, WebhookEndpointColumns
from tests.conftest import ISSUER, ROOT


class Model(SQLModel, registry=registry(metadata=service_metadata())):
    """Base of the notebook's tables."""


class Note(Model, table=True):
    """A note; the database itself refuses a non-positive amount."""

    id: int | None = Field(default=None, primary_key=True)
    title: str = Field(unique=True)
    amount_dong: int


class Event(OutboxColumns, Model, table=True):
    """Outbox."""


class Endpoint(WebhookEndpointColumns, Model, table=True):
    """Receivers."""


class Delivery(DeliveryColumns, Model, table=True):
    """Deliveries."""


add_idempotency_table(Model.metadata)
outbox = Outbox(events=Event, endpoints=Endpoint, deliveries=Delivery)


class WriteNote(BaseModel):
    model_config = ConfigDict(extra="forbid")
    title: str
    amount_dong: PositiveDong


class NoteAnswer(BaseModel):
    id: int
    title: str


router = APIRouter(route_class=UnitOfWorkRoute)


@router.post("/v1/notes", status_code=201)
async def write_note(
    body: WriteNote, session: SessionDep, caller: Annotated[Principal, Depends(require("notes:write"))]
) -> NoteAnswer:
    """Write a note and tell the world."""
    note = Note(title=body.title, amount_dong=body.amount_dong)
    session.add(note)
    await session.flush()
    await outbox.announce(session, "note.written", subject=body.title, data={"title": body.title, "by": caller.actor})
    if body.title == "refuse me":
        raise WrongMoment("Không được.", "Not now.")
    assert note.id is not None
    return NoteAnswer(id=note.id, title=note.title)


@router.post("/v1/late", status_code=201)
async def break_at_commit(session: SessionDep) -> dict[str, bool]:
    """A write that only the commit refuses: two equal titles under a deferred constraint."""
    await session.exec(text("set constraints all deferred"))  # type: ignore[call-overload]
    session.add_all([Note(title="same", amount_dong=1), Note(title="same", amount_dong=1)])
    await session.flush()
    return {"ok": True}


@router.get("/v1/notes")
async def notes(session: SessionDep) -> list[str]:
    """All titles."""
    return list((await session.exec(select(Note.title).order_by(Note.title))).all())


@router.get("/desk", include_in_schema=False)
async def desk(request: Request, person: Annotated[Principal, Depends(signed_in("payments:read"))]) -> HTMLResponse:
    """A page for people who hold a scope."""
    pages: Pages = request.app.state.pages
    return pages.render(request, "desk.html.j2", greeting=person.name)


@router.post("/desk", include_in_schema=False, openapi_extra={"x-idempotency": "none"})
async def change_desk(request: Request, form: FormDep) -> Response:
    """A form of the page."""
    flash(request, "success", f"Đã ghi {form['word']}", f"Wrote {form['word']}")
    return see_other("/desk")


def create_notebook(url: str, *, webhook_url: str | None = None) -> FastAPI:
    """The notebook's app on a database."""
    settings = ServiceSettings(
        public_url=checked_url("http://service.test"),
        issuer=checked_url(ISSUER),
        database_url=url,
        session_secret=SecretStr("s" * 40),
        pages_client_id="pages-payment",
        secure_cookies=False,
        webhook_url=checked_url(webhook_url) if webhook_url else None,
        webhook_secret=SecretStr("whsec_" + "c2VjcmV0" * 4) if webhook_url else None,
        webhook_allow_private=True,
        max_body_bytes=10_000,
    )
    return create_service(
        Process(name="notebook", title="Notebook", description="Test", routers=[router]),
        settings,
        outbox=outbox,
        site=Site(
            "notebook", "Sổ", "Notebook", ROOT / "tests/kit", (NavItem("/desk", "Bàn", "Desk", "payments:read"),)
        ),
    )


async def create_tables(url: str) -> None:
    """The notebook has no migrations of its own."""
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(Model.metadata.create_all)
        await connection.execute(text("alter table note drop constraint uq_note_title"))
        await connection.execute(
            text("alter table note add constraint uq_note_title unique (title) deferrable initially immediate")
        )
    await engine.dispose()
