"""Faults the sandbox gateway shows on request, seen by a real client over a real connection."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.gateway.account import Settings
from sandbox.gateway.app import create_app
from tests.sandbox.outside import serving

KEY = "sk_test_sandbox"
PAID = {
    "amount": "20000",
    "currency": "vnd",
    "payment_method": "pm_card_visa",
    "confirm": "true",
    "metadata[dossier_code]": "H01-26",
}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings(key=KEY, webhook_secret="whsec_x"), tmp_path / "gateway.sqlite")
    async with serving(app) as url, httpx.AsyncClient(base_url=url, auth=(KEY, ""), timeout=5) as client:
        yield client


async def script(gateway: httpx.AsyncClient, effect: str, times: Any = 1, **match: str) -> None:
    wanted = {"match": match, "effect": effect, "times": times}
    assert (await gateway.post("/_sandbox/faults", json=wanted)).status_code == 201


async def pay(gateway: httpx.AsyncClient, key: str = "k", **options: Any) -> httpx.Response:
    headers = {"idempotency-key": key, **options.pop("headers", {})}
    return await gateway.post("/v1/payment_intents", data=PAID, headers=headers, **options)


async def charges(gateway: httpx.AsyncClient) -> int:
    return int((await gateway.get("/_sandbox/totals")).json()["charge_count"])


async def test_timeout_before_takes_no_money_and_the_retry_does(gateway: httpx.AsyncClient) -> None:
    await script(gateway, "timeout_before", path="/v1/payment_intents")

    with pytest.raises(httpx.ReadTimeout):
        await pay(gateway, timeout=0.2)
    between = await charges(gateway)
    retried = await pay(gateway)

    assert between == 0
    assert retried.status_code == 200
    assert "idempotent-replayed" not in retried.headers
    assert await charges(gateway) == 1


async def test_timeout_after_took_the_money_and_the_retry_finds_it(gateway: httpx.AsyncClient) -> None:
    await script(gateway, "timeout_after", **{"metadata.dossier_code": "H01-26"})

    with pytest.raises(httpx.ReadTimeout):
        await pay(gateway, timeout=0.2)
    between = await charges(gateway)
    retried = await pay(gateway)

    assert between == 1
    assert retried.json()["status"] == "succeeded"
    assert retried.headers["idempotent-replayed"] == "true"
    assert await charges(gateway) == 1


@pytest.mark.parametrize(("effect", "taken"), [("reset", 0), ("reset_after", 1)])
async def test_a_reset_breaks_the_connection(gateway: httpx.AsyncClient, effect: str, taken: int) -> None:
    await script(gateway, effect, path="/v1/*", method="POST")

    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await pay(gateway)
    between = await charges(gateway)

    assert between == taken
    assert (await pay(gateway)).status_code == 200
    assert await charges(gateway) == 1


@pytest.mark.parametrize(("effect", "status", "code"), [("500", 500, None), ("429", 429, "rate_limit")])
async def test_refusals_say_that_a_retry_may_help(
    gateway: httpx.AsyncClient, effect: str, status: int, code: str | None
) -> None:
    await script(gateway, effect, times=2, path="/v1/payment_intents")

    refused = [await pay(gateway), await pay(gateway)]
    third = await pay(gateway)

    assert [one.status_code for one in refused] == [status, status]
    assert [one.headers["stripe-should-retry"] for one in refused] == ["true", "true"]
    assert refused[0].json()["error"].get("code") == code
    assert third.status_code == 200
    assert await charges(gateway) == 1
    assert (await gateway.get("/_sandbox/faults")).json() == []


async def test_a_fault_waits_for_the_request_it_is_meant_for(gateway: httpx.AsyncClient) -> None:
    await script(gateway, "500", **{"metadata.dossier_code": "other"})
    await script(gateway, "429", path="/v1/payment_intents/*/capture", **{"metadata.dossier_code": "H01-26"})
    intent = (await gateway.post("/v1/payment_intents", data={**PAID, "capture_method": "manual"})).json()

    refused = await gateway.post(f"/v1/payment_intents/{intent['id']}/capture")
    captured = await gateway.post(f"/v1/payment_intents/{intent['id']}/capture")

    assert (refused.status_code, captured.status_code) == (429, 200)
    assert [one["effect"] for one in (await gateway.get("/_sandbox/faults")).json()] == ["500"]
    await gateway.delete("/_sandbox/faults")
    assert (await gateway.get("/_sandbox/faults")).json() == []


async def test_a_request_can_ask_for_its_own_fault(gateway: httpx.AsyncClient) -> None:
    refused = await pay(gateway, headers={"sandbox-fault": "500"})
    unknown = await pay(gateway, headers={"sandbox-fault": "flood"})
    plain = await pay(gateway)

    assert [refused.status_code, unknown.status_code, plain.status_code] == [500, 400, 200]
