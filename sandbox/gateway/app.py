"""The gateway as an application: a Stripe-compatible payment gateway for one merchant, in đồng."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.responses import Response

from sandbox.gateway import control, pages
from sandbox.gateway.account import Account, Settings, open_state
from sandbox.gateway.api import Api, Dispatcher, forget_old_keys
from sandbox.gateway.errors import ApiError
from sandbox.gateway.events import Announcer, forget_old, signed, subscribe_command_line
from sandbox.gateway.faults import ConnectionDropper
from sandbox.gateway.payouts import keep_daily
from sandbox.gateway.timers import Timers
from sandbox.wire import Backoff, Clock, Deliveries


def create_app(
    settings: Settings,
    state_file: Path,
    *,
    clock: Clock = time.time,
    backoff: Backoff | None = None,
) -> FastAPI:
    """A gateway whose whole state is `state_file`; deliveries and timers run while it is served."""
    account = Account(open_state(state_file), settings, clock)
    deliveries = Deliveries(account.state, signed, clock=clock, backoff=backoff)
    announcer = Announcer(account, deliveries)
    timers = Timers(account, announcer)
    subscribe_command_line(account)
    forget_old(account)
    forget_old_keys(account)
    keep_daily(account)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = [asyncio.create_task(deliveries.run()), asyncio.create_task(timers.run())]
        yield
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        account.state.close()

    app = FastAPI(title="Sandbox payment gateway", lifespan=lifespan, docs_url=None, redoc_url=None)

    @app.get("/healthz")
    async def healthz() -> dict[str, str | int]:
        return {"status": "ok", "waiting_deliveries": deliveries.waiting()}

    app.state.timers = timers
    app.include_router(control.router(timers))
    app.include_router(pages.router(account, announcer))
    app.add_middleware(Dispatcher, api=Api(account, announcer))
    app.add_middleware(ConnectionDropper)

    @app.exception_handler(ApiError)
    async def refuse(_: Request, refusal: ApiError) -> Response:
        return Response(json.dumps(refusal.body()), refusal.status, media_type="application/json")

    return app
