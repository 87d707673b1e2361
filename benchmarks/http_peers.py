"""Servers to be measured beside ours: a constant, FastAPI with pydantic around the plain engine, FastAPI around ZEN.

Run by `benchmarks.fees_http` under uvicorn; nothing here is part of the product.
"""

from typing import Any

from fastapi import FastAPI

from benchmarks.fee_rules import tariff, zen_engine
from services.fees.contract import QuoteLine, QuoteRequest, Record
from services.fees.rules import CITIZEN, assess

CONSTANT = b'{"total_dong":180000}'


class Priced(Record):
    """What the plain FastAPI service answers."""

    total_dong: int
    citizen_dong: int
    lines: tuple[QuoteLine, ...]


async def constant(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 — ASGI
    """The floor: an ASGI app that answers the same bytes to everybody."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(CONSTANT)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": CONSTANT})


def plain_app() -> FastAPI:
    """FastAPI as its tutorial teaches it: a pydantic body, the engine, a pydantic answer. No tokens, no metrics."""
    app, law = FastAPI(), tariff()

    @app.post("/quote")
    async def quote(body: QuoteRequest) -> Priced:
        found = assess(law, body)
        return Priced(total_dong=found.total_dong, citizen_dong=found.due_from(CITIZEN), lines=found.lines)

    @app.get("/constant")
    async def same() -> dict[str, int]:
        return {"total_dong": 180_000}

    return app


def zen_app() -> FastAPI:
    """ZEN behind FastAPI, asked in its best way; the body is taken as it is."""
    app, engine = FastAPI(), zen_engine()

    @app.post("/quote")
    async def quote(body: dict[str, Any]) -> Any:  # noqa: ANN401
        return engine.evaluate("law", body)["result"]

    return app


def openfisca_app() -> Any:  # noqa: ANN401 — a WSGI app
    """OpenFisca's own web API over the same law."""
    from openfisca_web_api.app import create_app

    from benchmarks.openfisca_rules import System

    return create_app(System())
