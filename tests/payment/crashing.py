"""Kills the payment service at a chosen await and starts it again, the way a machine loses power: nothing cleans up.

The work is stepped by hand. At the n-th await the coroutine is never resumed: no `except`, no `finally`, no rollback of
ours runs. What had been sent is finished by the other side (PostgreSQL ends the statement it works on, the gateway
completes the request it has received), then the server drops the dead process's connections. The next life begins with
new connections and nothing in memory.
"""

import asyncio
import ctypes
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from services.payment.app import create_app
from tests.conftest import Issuer
from tests.payment.conftest import Switchboard, World, outside_of, settings_for

_dead: list[object] = []
"""What died stays referenced: a collected coroutine would run the clean-up that a dead process never runs."""
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_dead))  # not even the end of the interpreter collects it


class Died(BaseException):
    """The process ended at an await."""


class Steps:
    """Counts the awaits of some work, and ends it at one of them."""

    def __init__(self, die_at: int | None = None) -> None:
        self.die_at = die_at
        self.count = 0

    @types.coroutine
    def run(self, work: Awaitable[Any]) -> Generator[Any, Any, Any]:
        """Await `work` to its end, or raise Died at the chosen await and never resume it."""
        steps = work.__await__()
        error: BaseException | None = None
        while True:
            try:
                waited = steps.throw(error) if error is not None else next(steps)
            except StopIteration as end:
                return end.value
            self.count += 1
            if self.count == self.die_at:
                _dead.append((work, steps, waited))
                raise Died
            error = None
            try:
                yield waited
            except BaseException as raised:  # noqa: BLE001 — handed on to the work, as the event loop would
                error = raised


class Wire(httpx.AsyncBaseTransport):
    """The network: a request that has left is worked on at the other end, whether or not its sender still lives."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner = inner
        self.under_way: set[asyncio.Task[httpx.Response]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One exchange; for the sender it is a single await."""
        task = asyncio.create_task(self.inner.handle_async_request(request))
        self.under_way.add(task)
        task.add_done_callback(self.under_way.discard)
        return await asyncio.shield(task)

    async def calm(self) -> None:
        """Wait until nothing is under way."""
        while self.under_way:
            await asyncio.wait(self.under_way)


class Lives:
    """One service after another on the same database and the same outside world."""

    def __init__(self, world: World, wire: Wire) -> None:
        self.world = world
        self.wire = wire
        self.deaths = 0

    async def begin(self) -> None:
        """Start a life: fresh pools, each with one connection, as nothing of the former life is left.

        The engines themselves stay for their compiled statements, which no process's fate depends on.
        """
        state = self.world.app.state
        for engine in (state.engine, state.till_engine):
            _dead.append(engine.sync_engine.pool)
            await engine.dispose(close=False)
            async with engine.connect():
                pass

    async def end(self) -> None:
        """End a life in an orderly way."""
        await self.world.app.state.engine.dispose()
        await self.world.app.state.till_engine.dispose()

    async def dies_in(self, work: Callable[[], Awaitable[Any]], *, die_at: int) -> bool:
        """Do `work`, die at an await, begin the next life; False when the work ended before that await."""
        steps = Steps(die_at)
        done = await asyncio.create_task(_ended(steps, work()))
        if done:
            return False
        self.deaths += 1
        # The end of the loop would run the clean-up of the dead life's generators.
        asyncio.get_running_loop()._asyncgens.clear()  # type: ignore[attr-defined]
        await self.wire.calm()
        await _drop_connections(self.world.database)
        await self.begin()
        return True


async def _ended(steps: Steps, work: Awaitable[Any]) -> bool:
    try:
        await steps.run(work)
    except Died:
        return False
    return True


_OURS = "datname = current_database() and application_name = 'lien-thong'"
_BUSY = (
    f"select count(*) from pg_stat_activity where {_OURS} and state = 'active'"
    # What holds a lock ends with the process; half a message sent is never completed by it.
    " and wait_event_type is distinct from 'Lock' and wait_event_type is distinct from 'Client'"
)
_END = f"select count(pg_terminate_backend(pid)) from pg_stat_activity where {_OURS}"


async def _drop_connections(database: asyncpg.Pool) -> None:
    """Let the server finish what it was sent, then drop the dead process's connections and wait until they are gone."""
    async with database.acquire() as admin, asyncio.timeout(20):
        for query in (_BUSY, _BUSY, _BUSY, _END):  # several looks: a server just woken has not begun yet
            while await admin.fetchval(query):
                pass


@asynccontextmanager
async def lives_on(url: str, issuer: Issuer, folder: Path, **changes: Any) -> AsyncIterator[Lives]:
    """A service without its background tasks, which the test runs itself, and its outside world behind a wire."""
    async with outside_of(folder) as (routes, gateway, bank):
        line = Switchboard(routes)
        wire = Wire(line)
        async with (
            httpx.AsyncClient(transport=wire) as outside,
            asyncpg.create_pool(url, min_size=1, max_size=2) as pool,
        ):
            app = create_app(settings_for(url, **changes), outside=outside)
            app.state.authority = issuer.authority()
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://service.test") as client:
                world = World(client, gateway, bank, line, app, issuer, pool)
                lives = Lives(world, wire)
                await lives.begin()
                yield lives
                await lives.end()
