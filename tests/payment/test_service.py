"""The service as a whole: its OpenAPI document, its migrations, and input that no database could store."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from services.payment.app import create_app
from tests.conftest import ROOT
from tests.payment.conftest import World, bill_of, settings_for


def test_the_openapi_document_is_valid_and_shows_the_key_of_every_write() -> None:
    document = create_app(settings_for("postgresql://nobody@127.0.0.1:1/none")).openapi()

    validate(document)
    writes = {
        (path, method): [p["name"] for p in operation.get("parameters", []) if p["in"] == "header"]
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "get" and path.startswith("/v1/") and "/webhook_" not in path
    }
    assert len(writes) == 22
    assert all("Idempotency-Key" in names for names in writes.values())
    assert not [path for path in document["paths"] if path.startswith(("/payments", "/desk"))]


async def test_models_and_migrations_agree(database: Callable[[str], Any]) -> None:
    url = await database("payment")
    environment = {**os.environ, "PAYMENT_DATABASE_URL": url}

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "alembic", "-n", "payment", "check"),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate()

    assert b"No new upgrade operations detected" in output, output.decode()


@pytest.mark.parametrize("field", ["bill_reference", "procedure", "quote_id"])
async def test_a_nul_is_refused_not_stored(world: World, field: str) -> None:
    answer = await world.call("POST", "/v1/payments", {**bill_of(1_000), field: "a\x00b"})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


@pytest.mark.parametrize("amount", [-1, 1.5, "1000", True, 10**12 + 1, 10**30])
async def test_amounts_are_whole_dong_within_reason(world: World, amount: object) -> None:
    body = bill_of(1_000)
    body["lines"][0]["shares"][0]["amount_dong"] = amount

    answer = await world.call("POST", "/v1/payments", body)

    assert answer.status_code == 422
    assert await world.events() == []


async def test_every_write_needs_a_key_and_repeats_its_answer(world: World) -> None:
    headers = world.issuer.headers("payments:write")
    missing = await world.client.post("/v1/payments", json=bill_of(1_000), headers=headers)
    body = bill_of(2_000)
    first = await world.call("POST", "/v1/payments", body, key="same")
    second = await world.call("POST", "/v1/payments", body, key="same")

    assert missing.status_code == 400
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.headers["idempotent-replayed"] == "true"
    assert second.json() == first.json()


@pytest.mark.parametrize(
    "path",
    [
        "/v1/payments?cursor=!!",
        "/v1/payments?cursor=WyJhXHUwMDAwIl0",
        "/v1/payments?limit=0",
        "/v1/payments?limit=99999999999999999999",
        "/v1/payments?status=paidish",
        "/v1/payments/a%00b",
        "/v1/refunds?cursor=WzFd",
        "/v1/breaks?business_date=0001-01-01",
        "/v1/reconciliations/9999-12-31",
        "/v1/reconciliations/yesterday",
        "/v1/totals?from=0001-01-01",
        "/v1/totals?to=9999-12-31",
    ],
)
async def test_odd_parameters_are_refused_politely(world: World, path: str) -> None:
    answer = await world.call("GET", path)

    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_refusals_speak_the_callers_language(world: World) -> None:
    headers = world.issuer.headers("payments:read")
    vi = await world.client.get("/v1/payments/pay_x", headers={**headers, "accept-language": "vi"})
    en = await world.client.get("/v1/payments/pay_x", headers={**headers, "accept-language": "en"})

    assert vi.json()["detail"].startswith("Không có khoản thu")
    assert en.json()["detail"].startswith("No payment has this id")


async def test_news_is_a_payment_event(world: World) -> None:
    payment = await world.paid_by_card(20_000)

    row = await world.database.fetchrow("select * from outbox_event where kind = 'payment.paid'")
    data = json.loads(row["data"])

    assert row["subject"] == payment["dossier_code"]
    assert data["event_id"] == row["id"]
    assert {name: data[name] for name in ("dossier_code", "payment_id", "refund_id", "status", "amount_dong")} == {
        "dossier_code": payment["dossier_code"],
        "payment_id": payment["id"],
        "refund_id": None,
        "status": "paid",
        "amount_dong": 20_000,
    }


async def test_the_service_is_ready_when_its_database_is(world: World) -> None:
    answer: httpx.Response = await world.client.get("/readyz")

    assert answer.json() == {"status": "ready"}
