"""The world behind HTTP: the three services as the workflow API and the real activities call them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
from pydantic import BaseModel

from kit.http import JsonClient
from services.fees.contract import QuoteRequest
from services.payment.contract import CancelPayment, CreateAttempt, CreatePayment, RecordRemittance, RequestRefund
from services.postal.contract import Contact, CreateShipment
from tests.workflows.world import No, World
from workflows.activities import Nothing
from workflows.client import Services


class Wire:
    """Routes requests to the world's desks and keeps what was sent."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sent: list[httpx.Request] = []
        self.away = False

    def services(self) -> Services:
        """Clients of the three services over this wire."""
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        return Services(
            http=http,
            fees=JsonClient("http://fees.test", http=http),
            payment=JsonClient("http://payment.test", http=http),
            postal=JsonClient("http://postal.test", http=http),
        )

    def paths(self, method: str | None = None) -> list[str]:
        """What was asked for, in order."""
        return [f"{r.method} {r.url.host.split('.')[0]}{r.url.path}" for r in self.sent if method in (None, r.method)]

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        if self.away:
            raise httpx.ConnectError("away")
        key = request.headers.get("idempotency-key", "")
        body = json.loads(request.content or b"{}")
        try:
            answer = await self._route(request.method, request.url.path, key, body)
        except No as refusal:
            document: dict[str, Any] = {
                "type": f"/problems/{refusal.kind}",
                "title": "Từ chối",
                "status": refusal.status,
                "detail": f"Không được: {refusal.kind}",
            }
            if refusal.kind == "procedure-unknown":
                document["errors"] = [{"field": "procedure", "message": "không có thủ tục này"}]
            return httpx.Response(refusal.status, json=document)
        return httpx.Response(200, content=answer.model_dump_json().encode())

    async def _route(self, method: str, path: str, key: str, body: dict[str, Any]) -> BaseModel:
        parts = path.split("/")[2:]
        noun = parts[0]
        if noun == "quotes":
            request = QuoteRequest.model_validate(body)
            desk = self.world.by_key(key)
            return await desk.perform("quote_fees", key, lambda: self.world.quote(request, code=desk.code))
        if noun == "payers":
            self.world.payers[parts[1]] = body
            return Nothing()
        if noun == "contacts":
            self.world.contacts[parts[1]] = body
            return Contact(id=f"con_{parts[1]}", dossier_code=parts[1], commune=body["commune"])
        if noun == "remittances":
            self.world.remit(RecordRemittance.model_validate(body))
            return Nothing()
        if noun == "deposits":
            return Nothing()
        if noun == "shipments" and parts[2:] == ["deadlines"]:
            return self.world.by_id(parts[1]).deadlines(parts[1], at=datetime.now(UTC))
        if noun == "shipments" and method == "POST":
            order = CreateShipment.model_validate(body)
            desk = self.world.of(order.dossier_code)
            return await desk.perform("book_shipment", key, lambda: desk.book(order))
        if noun == "payments" and len(parts) == 1:
            bill = CreatePayment.model_validate(body)
            desk = self.world.of(bill.dossier_code)
            return await desk.perform("open_payment", key, lambda: desk.open(bill))
        desk = self.world.by_id(parts[1])
        name, effect = self._effect(method, noun, parts, body)
        return await desk.perform(name, key or parts[1], effect)

    def _effect(
        self, method: str, noun: str, parts: list[str], body: dict[str, Any]
    ) -> tuple[str, Callable[[], BaseModel]]:
        desk = self.world.by_id(parts[1])
        act = "/".join([method, noun, *parts[2:]])
        effects: dict[str, tuple[str, Callable[[], BaseModel]]] = {
            "GET/payments": ("read_payment", desk.payment),
            "POST/payments/refresh": ("refresh_payment", desk.refresh),
            "POST/payments/attempts": ("start_attempt", lambda: desk.start(CreateAttempt.model_validate(body))),
            "POST/payments/cancel": ("cancel_payment", lambda: desk.cancel(CancelPayment.model_validate(body))),
            "POST/payments/refunds": ("request_refund", lambda: desk.ask_refund(RequestRefund.model_validate(body))),
            "GET/refunds": ("read_refund", lambda: desk.refund(parts[1])),
            "GET/shipments": ("read_shipment", lambda: desk.shipment(parts[1])),
            "POST/shipments/cancel": ("cancel_shipment", lambda: desk.call_off(parts[1])),
        }
        return effects[act]
