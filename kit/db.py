"""Sessions that commit before the response leaves, and the base that each service's tables stand on."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, cast

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy import DateTime, MetaData, TypeDecorator, event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.idempotency import IdempotencyKey, begin_once, finish_once

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

_ASK_AFTER_SECONDS = 10.0

Sessions = async_sessionmaker[AsyncSession]


def service_metadata() -> MetaData:
    """Fresh metadata for one service, so that no service ever sees another's tables."""
    return MetaData(naming_convention=NAMING_CONVENTION)


class Instant(TypeDecorator[datetime]):
    """`timestamptz` that refuses naive times on the way in and gives aware UTC on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is not None and value.tzinfo is None:
            raise ValueError("a stored time needs a time zone")
        return value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value.astimezone(UTC) if value is not None else None


Json = JSONB(none_as_null=True)


def now() -> datetime:
    """The present moment, aware, in UTC. Only operations read the clock; rules receive it."""
    return datetime.now(UTC)


def create_engine(url: str, *, pool_size: int = 10) -> AsyncEngine:
    """An asyncpg engine. Statements over 30 s and transactions idle over 60 s are ended by the server.

    It opens up to twice `pool_size` connections, as they are needed, and keeps them: a connection beyond a pool is
    closed after each use, and to connect and prepare anew costs more than the work it is opened for.
    """
    driver_url = url.replace("postgresql://", "postgresql+asyncpg://", 1)
    engine = create_async_engine(
        driver_url,
        pool_size=2 * pool_size,
        max_overflow=0,
        connect_args={
            "server_settings": {
                "application_name": "lien-thong",
                "statement_timeout": "30000",
                "idle_in_transaction_session_timeout": "60000",
                "timezone": "UTC",
            }
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_dead_connection)
    return engine


def _refuse_dead_connection(connection: Any, record: Any, _: object) -> None:  # noqa: ANN401 — SQLAlchemy's hook
    """Make the pool take another connection when the server has ended this one.

    The driver is told at once when the other side hangs up, so a look at it is enough while a connection is in use;
    one that has rested is asked, because a firewall may have forgotten it in silence.
    """
    moment = time.monotonic()
    rested = moment - record.info.get("taken_at", moment) > _ASK_AFTER_SECONDS
    if connection.driver_connection.is_closed():
        raise DisconnectionError("the server has closed this connection")
    if rested:
        try:
            connection.ping()
        except connection.dbapi.Error as error:
            raise DisconnectionError("the server no longer answers on this connection") from error
    record.info["taken_at"] = moment


def create_sessions(engine: AsyncEngine) -> Sessions:
    """A factory whose objects stay readable after commit."""
    return async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)


@asynccontextmanager
async def transaction(sessions: Sessions) -> AsyncIterator[AsyncSession]:
    """One short transaction for operations that must commit between network calls (intent, call, result)."""
    async with sessions() as session:
        yield session
        await session.commit()


class UnitOfWorkRoute(APIRoute):
    """A route whose session commits after the endpoint has answered and before the first byte leaves.

    FastAPI runs the code after `yield` of an ordinary dependency when the response is already sent; a
    commit there can fail after the client has read 201. Here the commit, and with it the stored answer
    of an `Idempotency-Key`, comes first. An exception rolls everything back. A caller without a token is
    left to the endpoint, which answers 401; a token is verified before any stored answer is looked at.
    """

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handle = super().get_route_handler()
        extra = self.openapi_extra or {}
        policy = extra.get("x-idempotency", "required")
        writes = not {"GET", "HEAD"} & (self.methods or set())

        async def run(request: Request) -> Response:
            sessions = cast("Sessions", request.app.state.sessions)
            async with sessions() as session:
                request.state.session = session
                key: IdempotencyKey | None = None
                caller = await request.app.state.authority.identify(request)
                if writes and policy != "none" and caller is not None:
                    key, replay = await begin_once(request, session, caller=caller, required=policy == "required")
                    if replay is not None:
                        return replay
                response = await handle(request)
                if key is not None:
                    await finish_once(session, key, response)
                await session.commit()
            wake = getattr(request.app.state, "outbox_wake", None)
            if writes and wake is not None:
                wake.set()
            return response

        return run


def _session(request: Request) -> AsyncSession:
    return cast("AsyncSession", request.state.session)


def _sessions(request: Request) -> Sessions:
    return cast("Sessions", request.app.state.sessions)


SessionDep = Annotated[AsyncSession, Depends(_session)]
"""The request's session; the route commits it. Needs `APIRouter(route_class=UnitOfWorkRoute)`."""

SessionsDep = Annotated[Sessions, Depends(_sessions)]
"""The factory, for operations that commit between network calls."""

JsonObject = dict[str, Any]
