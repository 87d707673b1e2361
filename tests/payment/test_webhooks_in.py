"""Who is believed: signatures of gateway and bank, once by id, and a start-up that refuses empty secrets."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta

import httpx
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

    assert await _post(world, {**stripe_headers(body), "stripe-signature": f"{stamp},v1={'0' * 64},{signature}"}) == 200


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


async def test_the_same_event_at_the_same_moment_is_one(world: World) -> None:
    body = json.dumps(EVENT).encode()
    headers = stripe_headers(body)

    answers = await asyncio.gather(
        *(world.client.post("/webhooks/gateway", content=body, headers=headers) for _ in range(8))
    )

    assert sorted(answer.json()["new"] for answer in answers) == [False] * 7 + [True]
    assert await world.database.fetchval("select count(*) from inbound") == 1


async def test_a_replay_of_an_event_already_worked_on_changes_nothing(world: World) -> None:
    payment = await world.paid_by_card(100_000)
    await world.deliver_gateway_news()
    before = (await world.balances(), await world.events(), (await world.read(payment))["facts"])
    page = (await world.gateway.get("/v1/events", params={"limit": 100})).json()

    for event in page["data"]:
        assert (await world.send_event(event)).json() == {"received": True, "new": False}
    worked = await work_once(world.till)

    assert worked == 0
    assert (await world.balances(), await world.events(), (await world.read(payment))["facts"]) == before


async def test_events_in_any_order_lead_to_the_same_end(world: World) -> None:
    payment = await world.bill(100_000)
    await world.attempt(payment, payment_method="pm_card_visa")
    page = (await world.gateway.get("/v1/events", params={"limit": 100})).json()
    assert page["data"][0]["type"] == "payment_intent.succeeded"

    for event in page["data"]:  # newest first
        await world.send_event(event)
    await work_once(world.till)

    assert (await world.read(payment))["status"] == "paid"
    assert (await world.balances())["gateway_clearing"] == 100_000


async def test_an_event_cannot_say_more_than_the_gateway_does_when_asked(world: World) -> None:
    """A body may claim that money came; only the object fetched again is believed."""
    payment = await world.bill(100_000)
    await world.attempt(payment)
    (intent,) = (await world.gateway.get("/v1/payment_intents")).json()["data"]
    claim = {**intent, "status": "succeeded", "amount_received": 100_000, "latest_charge": "ch_claimed"}

    await world.send_event({**EVENT, "data": {"object": claim}})
    await work_once(world.till)

    assert (await world.read(payment))["status"] == "pending"
    assert await world.database.fetchval("select count(*) from intake") == 0


@pytest.mark.parametrize(
    ("subject", "result"),
    [
        ({"object": "payment_intent", "id": "pi_nobody"}, "intent not readable: resource_missing"),
        ({"object": "charge", "id": "ch_1", "payment_intent": "pi_nobody"}, "intent not readable: resource_missing"),
        ({"object": "charge", "id": "ch_1", "payment_intent": None}, "a charge without an intent"),
        ({"object": "refund", "id": "re_nobody"}, "refund not readable: resource_missing"),
        ({"object": "dispute", "id": "du_nobody"}, "dispute not readable: resource_missing"),
        ({"object": "customer", "id": "cus_1"}, "nothing to do for customer.created"),
    ],
    ids=["intent", "charge", "charge without intent", "refund", "dispute", "something else"],
)
async def test_an_event_about_an_object_nobody_knows_is_finished_and_says_so(
    world: World, subject: dict[str, str | None], result: str
) -> None:
    await world.send_event({"id": "evt_9", "type": "customer.created", "data": {"object": subject}})
    await work_once(world.till)

    row = await world.database.fetchrow("select processed_at, attempts, last_result from inbound")
    assert (row["attempts"], row["last_result"]) == (1, result)
    assert row["processed_at"] is not None


async def test_an_event_about_somebody_elses_intent_moves_nothing(world: World) -> None:
    form = {"amount": "70000", "currency": "vnd", "payment_method": "pm_card_visa", "confirm": "true"}
    assert (await world.gateway.post("/v1/payment_intents", data=form)).status_code == 200

    await world.deliver_gateway_news()

    results = await world.database.fetch("select last_result from inbound where kind = 'payment_intent.succeeded'")
    assert [row["last_result"] for row in results] == ["no attempt of ours"]
    assert await world.balances() == {}


async def test_a_gateway_that_is_away_leaves_the_event_for_later(world: World) -> None:
    payment = await world.bill(100_000)
    await world.attempt(payment, payment_method="pm_card_visa")
    world.line.before = lambda request: httpx.Response(503) if request.url.host == "gateway.test" else None
    await world.send_event({**EVENT, "data": {"object": {"id": "pi_1", "object": "payment_intent"}}})
    await work_once(world.till)
    waiting = await world.database.fetchrow("select processed_at, attempts, last_result from inbound")
    world.line.before = None
    await world.make_due()
    await work_once(world.till)

    assert (waiting["processed_at"], waiting["attempts"]) == (None, 1)
    assert waiting["last_result"].startswith("GatewayFailed")
    assert await world.database.fetchval("select processed_at is not null from inbound")


def signed(body: bytes, content_type: str | None = "application/json") -> dict[str, str]:
    headers = stripe_headers(body)
    del headers["content-type"]
    return headers | ({"content-type": content_type} if content_type else {})


async def test_bodies_that_are_not_what_a_gateway_sends_are_refused_though_signed(world: World) -> None:
    good = json.dumps(EVENT).encode()
    huge = json.dumps({**EVENT, "padding": "x" * 1_100_000}).encode()
    cases: dict[str, tuple[bytes, dict[str, str], int]] = {
        "text": (good, signed(good, "text/plain"), 415),
        "a form": (good, signed(good, "application/x-www-form-urlencoded"), 415),
        "no type": (good, signed(good, None), 415),
        "huge": (huge, signed(huge), 413),
        **{
            name: (body, signed(body), 401)
            for name, body in {
                "empty": b"",
                "not JSON": b"{",
                "no object": b"[1]",
                "no id": b'{"type": "a", "data": {"object": {}}}',
                "an empty id": b'{"id": "", "type": "a", "data": {"object": {}}}',
                "an endless id": json.dumps({**EVENT, "id": "e" * 201}).encode(),
                "an endless type": json.dumps({**EVENT, "type": "t" * 201}).encode(),
                "no data": b'{"id": "evt_1", "type": "a", "data": null}',
                "a nul": json.dumps({**EVENT, "note": "a\x00b"}).encode(),
                "half a character": b'{"id": "evt_1", "type": "a", "data": {"object": {"id": "\\ud800"}}}',
                "no number": b'{"id": "evt_1", "type": "a", "data": {"object": {"id": NaN}}}',
                "no text": b'{"id": "evt_1\xff", "type": "a", "data": {"object": {}}}',
                "very deep": b'{"id": "evt_1", "type": "a", "data": {"object": {}}, "x": ' + b"[" * 200_000,
            }.items()
        },
    }

    answers = {
        name: (await world.client.post("/webhooks/gateway", content=body, headers=headers)).status_code
        for name, (body, headers, _) in cases.items()
    }

    assert answers == {name: status for name, (_, _, status) in cases.items()}
    assert await world.database.fetchval("select count(*) from inbound") == 0


async def test_a_type_with_a_charset_is_still_json_and_an_escaped_backslash_is_no_nul(world: World) -> None:
    body = json.dumps({**EVENT, "note": "C:\\u0000 Nguyễn"}).encode()

    assert await _post(world, signed(body, "application/json; charset=utf-8"), body) == 200
    stored = json.loads(await world.database.fetchval("select body from inbound"))
    assert stored["note"] == "C:\\u0000 Nguyễn"


async def test_a_bank_notice_of_another_type_or_size_is_refused(world: World) -> None:
    body = json.dumps({"type": "transfer.credited", "data": {"bank_reference": "FT1", "pad": "x" * 1_100_000}})
    headers = signed_headers(BANK_SECRET, event_id="msg_1", body=body, at=datetime.now(UTC))

    large = await world.client.post("/webhooks/bank", content=body.encode(), headers=headers)
    small = json.dumps({"type": "transfer.credited", "data": {"bank_reference": "FT1"}})
    headers = signed_headers(BANK_SECRET, event_id="msg_1", body=small, at=datetime.now(UTC))
    typed = await world.client.post(
        "/webhooks/bank", content=small.encode(), headers={**headers, "content-type": "application/xml"}
    )

    assert (large.status_code, typed.status_code) == (413, 415)
    assert await world.database.fetchval("select count(*) from inbound") == 0
