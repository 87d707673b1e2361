"""Who is believed: signatures of gateway and bank, once by id, and a start-up that refuses empty secrets."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from kit.webhooks import signed_headers
from services.payment.app import create_app
from services.payment.operations.inbox import work_once
from tests.payment.conftest import BANK_SECRET, World, settings_for, stripe_headers

EVENT = {
    "id": "evt_1",
    "type": "payment_intent.succeeded",
    "data": {"object": {"id": "pi_1", "object": "payment_intent"}},
}


async def _post(world: World, headers: dict[str, str], body: bytes | None = None) -> int:
    content = body if body is not None else json.dumps(EVENT).encode()
    answer = await world.client.post("/webhooks/gateway", content=content, headers=headers)
    return answer.status_code


async def test_a_signed_event_is_stored_once(world: World) -> None:
    body = json.dumps(EVENT).encode()

    statuses = [await _post(world, stripe_headers(body)) for _ in range(3)]

    assert statuses == [200, 200, 200]
    assert await world.database.fetchval("select count(*) from inbound") == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"stripe-signature": ""},
        {"stripe-signature": "t=1,v1="},
        {"stripe-signature": f"t={int(time.time())},v1={'0' * 64}"},
        {"stripe-signature": "v1=abc"},
        {"stripe-signature": "é"},
        stripe_headers(json.dumps(EVENT).encode(), secret="another"),
        stripe_headers(json.dumps(EVENT).encode(), at=time.time() - 3_000),
        stripe_headers(json.dumps(EVENT).encode(), at=time.time() + 3_000),
        stripe_headers(b"{}"),
    ],
    ids=["none", "empty", "no signature", "zeros", "no time", "not ascii", "other key", "old", "future", "other body"],
)
async def test_an_event_that_cannot_be_believed_is_refused_and_not_stored(
    world: World, headers: dict[str, str]
) -> None:
    encoded = {name: value.encode("utf-8") for name, value in headers.items()}

    assert await _post(world, encoded) == 401  # type: ignore[arg-type]
    assert await world.database.fetchval("select count(*) from inbound") == 0


async def test_a_second_signature_in_the_header_counts_during_rotation(world: World) -> None:
    body = json.dumps(EVENT).encode()
    good = stripe_headers(body)["stripe-signature"]
    stamp, signature = good.split(",")

    assert await _post(world, {"stripe-signature": f"{stamp},v1={'0' * 64},{signature}"}) == 200


async def test_a_notice_of_the_bank_needs_its_signature(world: World) -> None:
    body = json.dumps({"type": "transfer.credited", "data": {"bank_reference": "FT1"}})
    moment = datetime.now(UTC)
    good = signed_headers(BANK_SECRET, event_id="msg_1", body=body, at=moment)
    old = signed_headers(BANK_SECRET, event_id="msg_1", body=body, at=moment - timedelta(minutes=10))
    for headers in ({}, {**good, "webhook-signature": "v1,AAAA"}, {**good, "webhook-id": "msg_2"}, old):
        answer = await world.client.post("/webhooks/bank", content=body, headers=headers)
        assert answer.status_code == 401

    assert await world.database.fetchval("select count(*) from inbound") == 0
    answer = await world.client.post("/webhooks/bank", content=body, headers=good)
    assert answer.json() == {"received": True, "new": True}


async def test_a_notice_that_is_not_understood_is_kept_and_tried_again(world: World) -> None:
    body = json.dumps({"type": "transfer.credited", "data": {"bank_reference": "FT1", "amount_dong": "many"}})
    headers = signed_headers(BANK_SECRET, event_id="msg_1", body=body, at=datetime.now(UTC))
    await world.client.post("/webhooks/bank", content=body, headers=headers)

    await world.make_due()
    await work_once(world.till)

    row = await world.database.fetchrow("select processed_at, attempts, last_result from inbound")
    assert (row["processed_at"], row["attempts"]) == (None, 1)
    assert row["last_result"].startswith("ValidationError")


@pytest.mark.parametrize("name", ["gateway_webhook_secret", "bank_notice_secret"])
@pytest.mark.parametrize("value", ["", "whsec_"])
def test_an_empty_secret_is_refused_at_start_up(name: str, value: str) -> None:
    settings = settings_for("postgresql://nobody@127.0.0.1:1/none", **{name: value})

    with pytest.raises(ValueError, match="must not be empty"):
        create_app(settings)
