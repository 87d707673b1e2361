"""What a portal, an agency and the services send to the workflow API under test, and how its answers are awaited."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
from fastapi import FastAPI
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from kit.settings import checked_url
from kit.webhooks import new_webhook_secret, signed_headers
from tests.conftest import ISSUER
from tests.workflows.journey import start_body
from tests.workflows.wire import Wire
from tests.workflows.world import PATIENCE_SECONDS
from workflows.settings import ApiSettings

SECRET = new_webhook_secret()
NOW = "2026-01-05T08:00:00+00:00"


def settings(target: str, *, namespace: str = "dvctt") -> ApiSettings:
    return ApiSettings.model_validate(
        {
            "temporal_target": target,
            "temporal_namespace": namespace,
            **{f"{name}_url": checked_url(f"http://{name}.test") for name in ("fees", "payment", "postal", "token")},
            "client_id": "workflows",
            "client_secret": "s",
            "public_url": checked_url("http://workflows.test"),
            "issuer": checked_url(ISSUER),
            **{f"{name}_webhook_secret": SECRET for name in ("payment", "postal", "fees")},
            "collecting_account": "1020",
        }
    )


async def replace_services(app: FastAPI, wire: Wire) -> None:
    """Let the API call the services over this wire."""
    await app.state.services.http.aclose()
    app.state.services = wire.services()


def body(code: str, **choices: Any) -> dict[str, Any]:
    document: dict[str, Any] = start_body(code, **choices).model_dump(mode="json")
    return document


async def until(read: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool]) -> Any:
    """Read again until it holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            value = await read()
            if holds(value):
                return value
            await asyncio.sleep(0.01)


async def view(api: httpx.AsyncClient, code: str, headers: dict[str, str]) -> dict[str, Any]:
    response = await api.get(f"/v1/dossiers/{code}", headers=headers)
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    return document


async def waiting(api: httpx.AsyncClient, code: str, phase: str, headers: dict[str, str]) -> dict[str, Any]:
    document: dict[str, Any] = await until(
        lambda: view(api, code, headers), lambda seen: seen["phase"] == phase and seen["waits_for"] is not None
    )
    return document


def fact(kind: str, event_id: str = "") -> dict[str, str]:
    return {"event_id": event_id or f"event-{kind}", "kind": kind, "occurred_at": NOW}


async def said(api: httpx.AsyncClient, room: str, kind: str, data: dict[str, Any], **overrides: Any) -> httpx.Response:
    """Deliver a webhook as a service signs it."""
    text = json.dumps({"type": kind, "timestamp": NOW, "data": data})
    headers = signed_headers(
        overrides.get("secret", SECRET),
        event_id=data.get("event_id", "evt-1"),
        body=text,
        at=overrides.get("at", datetime.now(UTC)),
    )
    return await api.post(f"/webhooks/{room}", content=overrides.get("sent", text).encode(), headers=headers)


def payment_event(code: str, event_id: str, *, amount_dong: int = 0, **more: str) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "dossier_code": code,
        "payment_id": f"pay_{code}",
        "status": "paid",
        "amount_dong": amount_dong,
        "occurred_at": NOW,
        **more,
    }


async def runs(temporal: Client, workflow_id: str) -> bool:
    """Whether a workflow of this id was ever started."""
    try:
        await temporal.get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True
