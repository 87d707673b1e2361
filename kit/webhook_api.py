"""Who receives a service's news: endpoints are registered, listed and removed; deliveries are seen and sent again."""

from datetime import datetime
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, StringConstraints
from sqlalchemy import select, update

from kit.auth import Principal, require
from kit.db import SessionDep, UnitOfWorkRoute, now
from kit.errors import BadInput, FieldError, NotFound
from kit.pagination import MAX_LIMIT, decode_cursor, encode_cursor, page_of
from kit.settings import ServiceSettings
from kit.webhooks import Outbox

Kind = Annotated[str, StringConstraints(pattern=r"^[a-z_]+\.[a-z_]+$", max_length=60)]
Identity = Annotated[str, Path(pattern=r"^[a-z0-9_]{1,64}$")]
Manager = Annotated[Principal, Depends(require("webhooks:manage", "ops"))]


class RegisterEndpoint(BaseModel):
    """Where news should go. Without `kinds` everything is sent. HTTPS, and a public address, outside a sandbox."""

    model_config = ConfigDict(extra="forbid")

    url: HttpUrl
    kinds: Annotated[list[Kind], Field(max_length=50)] = []


class Endpoint(BaseModel):
    """A receiver, without its secret."""

    id: str
    url: str
    kinds: list[str]
    owner: str
    created_at: datetime
    disabled_at: datetime | None


class NewEndpoint(Endpoint):
    """A receiver just registered: the only time its secret is shown."""

    secret: str


class DeliveryView(BaseModel):
    """One fact on its way to one endpoint, and what became of it."""

    event_id: str
    endpoint_id: str
    kind: str
    attempts: int
    next_attempt_at: datetime
    delivered_at: datetime | None
    given_up_at: datetime | None
    last_result: str


class DeliveryPage(BaseModel):
    items: list[DeliveryView]
    next_cursor: str | None


def webhook_router(outbox: Outbox) -> APIRouter:
    """The routes for one service's outbox."""
    router = APIRouter(route_class=UnitOfWorkRoute, tags=["webhooks"])
    _add_endpoints(router, outbox)
    _add_deliveries(router, outbox)
    return router


def _add_endpoints(router: APIRouter, outbox: Outbox) -> None:
    table = outbox.endpoints

    @router.post("/v1/webhook_endpoints", status_code=201, summary="Subscribe to this service's events")
    async def register(body: RegisterEndpoint, request: Request, session: SessionDep, caller: Manager) -> NewEndpoint:
        """Bodies are signed as Standard Webhooks; keep the secret, it is not shown again."""
        settings = cast("ServiceSettings", request.app.state.settings)
        if body.url.scheme != "https" and not settings.webhook_allow_private:
            message = ("cần địa chỉ https", "an https address is needed")
            raise BadInput(
                "Địa chỉ nhận không an toàn.", "The address is not safe.", fields=[FieldError("url", *message)]
            )
        row = await outbox.register(session, url=str(body.url), owner=caller.caller, kinds=list(body.kinds))
        return NewEndpoint(**row.model_dump())

    @router.get("/v1/webhook_endpoints", summary="Your endpoints")
    async def endpoints(session: SessionDep, caller: Manager) -> list[Endpoint]:
        """Those that you registered; operators see all."""
        query = select(table).order_by(table.c.id)
        if not caller.may("ops"):
            query = query.where(table.c.owner == caller.caller)
        rows = (await (await session.connection()).execute(query)).mappings()
        return [Endpoint(**row) for row in rows]

    @router.delete(
        "/v1/webhook_endpoints/{endpoint_id}",
        status_code=204,
        summary="Stop sending",
        openapi_extra={"x-idempotency": "none"},
    )
    async def remove(endpoint_id: Identity, session: SessionDep, caller: Manager) -> None:
        """Nothing more is sent to it; what was sent stays in the log."""
        query = update(table).where(table.c.id == endpoint_id, table.c.disabled_at.is_(None))
        if not caller.may("ops"):
            query = query.where(table.c.owner == caller.caller)
        connection = await session.connection()
        found = (await connection.execute(query.values(disabled_at=now()).returning(table.c.id))).all()
        if not found:
            raise NotFound("Không có địa chỉ nhận này.", "There is no such endpoint.")


def _add_deliveries(router: APIRouter, outbox: Outbox) -> None:
    d, event, endpoint = outbox.deliveries, outbox.events, outbox.endpoints

    @router.get("/v1/webhook_deliveries", summary="What was sent, and how it was answered")
    async def deliveries(
        session: SessionDep,
        caller: Manager,
        failed: bool = False,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
    ) -> DeliveryPage:
        """Newest first; `failed=true` shows only those that were given up."""
        columns: list[Any] = [*d.c, event.c.kind]
        query = (
            select(*columns).join(event, event.c.id == d.c.event_id).join(endpoint, endpoint.c.id == d.c.endpoint_id)
        )
        if not caller.may("ops"):
            query = query.where(endpoint.c.owner == caller.caller)
        if failed:
            query = query.where(d.c.given_up_at.is_not(None))
        if cursor is not None:
            after_event, after_endpoint = decode_cursor(cursor, str, str)
            query = query.where(
                (d.c.event_id < after_event) | ((d.c.event_id == after_event) & (d.c.endpoint_id < after_endpoint))
            )
        query = query.order_by(d.c.event_id.desc(), d.c.endpoint_id.desc()).limit(limit + 1)
        rows = [DeliveryView(**row) for row in (await (await session.connection()).execute(query)).mappings()]
        page = page_of(rows, limit=limit, cursor_of=lambda row: encode_cursor(row.event_id, row.endpoint_id))
        return DeliveryPage(items=list(page.items), next_cursor=page.next_cursor)

    @router.post(
        "/v1/webhook_deliveries/{event_id}/{endpoint_id}/replay",
        status_code=202,
        summary="Send again",
        openapi_extra={"x-idempotency": "none"},
    )
    async def replay(event_id: Identity, endpoint_id: Identity, session: SessionDep, caller: Manager) -> dict[str, str]:
        """Sends the same event, with the same id, once more; receivers de-duplicate by it."""
        owned = select(endpoint.c.id).where(endpoint.c.id == endpoint_id)
        if not caller.may("ops"):
            owned = owned.where(endpoint.c.owner == caller.caller)
        query = (
            update(d)
            .where(d.c.event_id == event_id, d.c.endpoint_id.in_(owned))
            .values(delivered_at=None, given_up_at=None, attempts=0, next_attempt_at=now())
            .returning(d.c.event_id)
        )
        if not (await (await session.connection()).execute(query)).all():
            raise NotFound("Không có lần gửi này.", "There is no such delivery.")
        return {"status": "queued"}
