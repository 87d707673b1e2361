"""A carrier of the sandbox, in the shape that our Vietnam Post adapter speaks: orders, labels, signed messages."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.middleware.base import RequestResponseEndpoint

from services.postal.carriers.vnpost import sign


class Depot:
    """What the carrier knows. `down` makes it answer nothing sensible, as carriers do."""

    def __init__(self, *, token: str, secret: str) -> None:
        self.token = token
        self.secret = secret.encode()
        self.orders: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.down = False

    def scan(self, order_code: str, status_code: str, *, reason_code: str | None = None, office: str = "") -> None:
        """Something happens to an envelope."""
        self.events.append(
            {
                "ems-transaction": f"T{len(self.events) + 1:06d}",
                "order_code": order_code,
                "status_code": status_code,
                "datetime": datetime.now(UTC).isoformat(),
                "office": office,
                "reason_code": reason_code,
            }
        )

    def message(self, *, since: int = 0) -> tuple[dict[str, str], bytes]:
        """Headers and body of a message as the carrier would send it now."""
        body = json.dumps({"events": self.events[since:]}, ensure_ascii=False).encode()
        stamp = str(int(datetime.now(UTC).timestamp()))
        headers = {"x-vnpost-timestamp": stamp, "x-vnpost-signature": sign(self.secret, stamp, body)}
        return {**headers, "content-type": "application/json"}, body


def create_carrier(depot: Depot) -> FastAPI:
    """The carrier's interface over a depot."""
    app = FastAPI(openapi_url=None)

    @app.middleware("http")
    async def gate(request: Request, call_next: RequestResponseEndpoint) -> Response:
        if depot.down:
            return Response(status_code=503)
        right = request.headers.get("authorization") == f"Bearer {depot.token}"
        return await call_next(request) if right else Response(status_code=401)

    @app.post("/orders")
    async def create(request: Request) -> Response:
        asked = await request.json()
        if asked["weight"] > 20_000:
            return JSONResponse({"error": "too heavy"}, 422)
        known = depot.orders.setdefault(
            asked["client_order_key"], {**asked, "order_code": f"VNP{len(depot.orders) + 1:06d}", "cancelled": False}
        )
        return JSONResponse({"order_code": known["order_code"]}, 201)

    @app.post("/orders/{order_code}/cancel")
    async def cancel(order_code: str) -> Response:
        if any(e["order_code"] == order_code and e["status_code"] in ("P4", "C14") for e in depot.events):
            return JSONResponse({"error": "already taken"}, 409)
        for order in depot.orders.values():
            if order["order_code"] == order_code:
                order["cancelled"] = True
        return JSONResponse({})

    @app.get("/orders/{order_code}/label")
    async def label(order_code: str) -> Response:
        return Response(f"%PDF-1.4 {order_code}".encode(), media_type="application/pdf")

    @app.get("/events")
    async def events(request: Request) -> Response:
        after = int(request.query_params.get("after", "0"))
        return JSONResponse({"events": depot.events[after:], "cursor": str(len(depot.events))})

    return app


def client_of(depot: Depot) -> httpx.AsyncClient:
    """A client that reaches the carrier inside this process."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=create_carrier(depot)), base_url="http://carrier.test")


__all__ = ["Depot", "client_of", "create_carrier"]
