"""What tests of the sandbox need around them: a clock they move, a subscriber that listens, a server on loopback."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send


class Moment:
    """A clock that stands still until a test moves it. It starts on 3 March 2026, 09:00 in Viet Nam."""

    def __init__(self) -> None:
        self.now = 1_772_503_200.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Received:
    """One webhook as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Subscriber:
    """A web server that keeps what it is sent, and answers what the test wants."""

    answers: list[int] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    url: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        async with self.arrived:
            status = self.answers.pop(0) if self.answers else 200
            self.received.append(Received(scope["path"], headers, body))
            self.arrived.notify_all()
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def wait_for(self, wanted: Callable[[Received], bool], count: int = 1) -> list[Received]:
        """The first `count` arrivals that are wanted; fails after ten seconds without them."""

        def found() -> list[Received]:
            return [one for one in self.received if wanted(one)]

        async with asyncio.timeout(10), self.arrived:
            await self.arrived.wait_for(lambda: len(found()) >= count)
        return found()

    async def events(self, event_type: str, count: int = 1) -> list[Any]:
        return [one.json() for one in await self.wait_for(lambda one: one.json()["type"] == event_type, count)]


@contextlib.asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an app with the real server on a free loopback port; gives its address."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="error", access_log=False, ws="none", lifespan="auto")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    async with asyncio.timeout(10):
        while not server.started:
            assert not task.done(), "the server did not start"
            await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()
