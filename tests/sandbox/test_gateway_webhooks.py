"""Webhooks of the sandbox gateway: signed, retried, durable, and lost or repeated when a test wants it."""

import hashlib
import hmac
from pathlib import Path
from typing import Any

import httpx

from sandbox.gateway.account import Settings
from sandbox.gateway.app import create_app
from sandbox.wire import Backoff
from tests.sandbox.outside import Received, Subscriber, serving

KEY = "sk_test_sandbox"
SECRET = "whsec_sandbox"
QUICK = Backoff(first_seconds=0.01, longest_seconds=0.05)


def settings(subscriber: Subscriber, **changes: Any) -> Settings:
    return Settings(
        **{"key": KEY, "webhook_secret": SECRET, "webhook_url": f"{subscriber.url}/webhooks/gateway", **changes}
    )


async def pay(url: str, **metadata: str) -> dict[str, Any]:
    wanted = {"amount": "20000", "currency": "vnd", "payment_method": "pm_card_visa", "confirm": "true"}
    wanted |= {f"metadata[{name}]": value for name, value in metadata.items()}
    async with httpx.AsyncClient(base_url=url, auth=(KEY, "")) as client:
        answer = await client.post("/v1/payment_intents", data=wanted)
    assert answer.status_code == 200
    return dict(answer.json())


async def deliveries(url: str, event: str) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(base_url=url) as client:
        return list((await client.get("/_sandbox/deliveries", params={"event": event})).json())


def is_success(received: Received) -> bool:
    return bool(received.json()["type"] == "payment_intent.succeeded")


async def test_every_event_arrives_signed(tmp_path: Path, subscriber: Subscriber) -> None:
    async with serving(create_app(settings(subscriber), tmp_path / "g.sqlite")) as url:
        intent = await pay(url)
        await subscriber.wait_for(lambda _: True, 3)

    by_type = {one.json()["type"]: one for one in subscriber.received}
    assert set(by_type) == {"payment_intent.created", "charge.succeeded", "payment_intent.succeeded"}
    success = by_type["payment_intent.succeeded"]
    assert success.path == "/webhooks/gateway"
    assert success.json()["data"]["object"] == intent
    assert (success.json()["object"], success.json()["api_version"]) == ("event", "2022-11-15")
    timestamp, signature = success.headers["stripe-signature"].split(",")
    signed = f"{timestamp.removeprefix('t=')}.".encode() + success.body
    assert signature == "v1=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()


async def test_a_refused_delivery_is_repeated_until_it_is_taken(tmp_path: Path, subscriber: Subscriber) -> None:
    subscriber.answers = [500, 302, 404]
    only = settings(subscriber, webhook_events=("payment_intent.succeeded",))
    async with serving(create_app(only, tmp_path / "g.sqlite", backoff=QUICK)) as url:
        await pay(url)
        received = await subscriber.wait_for(is_success, 4)
        event = received[0].json()["id"]
        # The answer to the fourth attempt is on its way to the log.
        while (log := await deliveries(url, event))[0]["state"] == "waiting":
            continue

    assert {one.body for one in received} == {received[0].body}
    assert len(subscriber.received) == 4
    assert [(one["state"], one["attempts"], one["last_status"]) for one in log] == [("delivered", 4, 200)]


async def test_a_lost_webhook_never_arrives_but_the_event_exists(tmp_path: Path, subscriber: Subscriber) -> None:
    async with serving(create_app(settings(subscriber), tmp_path / "g.sqlite")) as url:
        lost = await pay(url, sandbox_webhook="lost")
        kept = await pay(url)
        await subscriber.wait_for(lambda one: one.json()["data"]["object"]["id"] == kept["id"], 2)
        async with httpx.AsyncClient(base_url=url, auth=(KEY, "")) as client:
            page = await client.get("/v1/events", params={"type": "payment_intent.succeeded"})
            states = [one["state"] for one in (await client.get("/_sandbox/deliveries")).json()]

    events = [event["data"]["object"]["id"] for event in page.json()["data"]]
    assert events == [kept["id"], lost["id"]]
    assert lost["id"] not in {one.json()["data"]["object"].get("payment_intent") for one in subscriber.received}
    assert lost["id"] not in {one.json()["data"]["object"]["id"] for one in subscriber.received}
    assert states.count("suppressed") == 3


async def test_a_duplicated_webhook_arrives_three_times_with_one_id(tmp_path: Path, subscriber: Subscriber) -> None:
    async with serving(create_app(settings(subscriber), tmp_path / "g.sqlite")) as url:
        await pay(url, sandbox_webhook="duplicate")
        received = await subscriber.wait_for(is_success, 3)

    assert len(received) == 3
    assert len({one.json()["id"] for one in received}) == 1


async def test_chaos_can_be_scripted_for_payments_that_know_nothing_of_it(
    tmp_path: Path, subscriber: Subscriber
) -> None:
    async with serving(create_app(settings(subscriber), tmp_path / "g.sqlite")) as url:
        async with httpx.AsyncClient(base_url=url) as client:
            for dossier, effect in (("H1", "lost"), ("H2", "duplicate")):
                wanted = {"metadata": {"dossier_code": dossier}, "effect": effect}
                assert (await client.post("/_sandbox/webhooks", json=wanted)).status_code == 204
        await pay(url, dossier_code="H1")
        await pay(url, dossier_code="H2")
        await pay(url, dossier_code="H3")
        await subscriber.wait_for(lambda _: True, 12)

    arrived = [one.json()["data"]["object"]["metadata"]["dossier_code"] for one in subscriber.received]
    assert (arrived.count("H1"), arrived.count("H2"), arrived.count("H3")) == (0, 9, 3)


async def test_a_delayed_webhook_arrives_after_the_others(tmp_path: Path, subscriber: Subscriber) -> None:
    async with serving(create_app(settings(subscriber), tmp_path / "g.sqlite")) as url:
        late = await pay(url, sandbox_webhook="delay", sandbox_webhook_seconds="0.4")
        await pay(url)
        received = await subscriber.wait_for(is_success, 2)

    assert [one.json()["data"]["object"]["id"] for one in received][1] == late["id"]


async def test_undelivered_events_survive_a_restart(tmp_path: Path, subscriber: Subscriber) -> None:
    state = tmp_path / "g.sqlite"
    nowhere = settings(subscriber, webhook_url="http://127.0.0.1:9/")
    async with serving(create_app(nowhere, state)) as url:
        intent = await pay(url)
    assert subscriber.received == []

    async with serving(create_app(settings(subscriber), state, backoff=QUICK)) as url:
        received = await subscriber.wait_for(is_success)
        async with httpx.AsyncClient(base_url=url, auth=(KEY, "")) as client:
            stored = (await client.get(f"/v1/payment_intents/{intent['id']}")).json()
            totals = (await client.get("/_sandbox/totals")).json()

    assert received[0].json()["data"]["object"] == intent == stored
    assert totals["charges_dong"] == 20_000


async def test_endpoints_get_what_they_asked_for_with_their_own_secret(tmp_path: Path, subscriber: Subscriber) -> None:
    async with serving(create_app(settings(subscriber, webhook_url=None), tmp_path / "g.sqlite")) as url:
        async with httpx.AsyncClient(base_url=url, auth=(KEY, "")) as client:
            wanted = {"url": f"{subscriber.url}/second", "enabled_events[]": "charge.succeeded"}
            secret = (await client.post("/v1/webhook_endpoints", data=wanted)).json()["secret"]
        await pay(url)
        received = await subscriber.wait_for(lambda one: one.path == "/second")

    assert [one.json()["type"] for one in subscriber.received] == ["charge.succeeded"]
    timestamp, signature = received[0].headers["stripe-signature"].split(",")
    signed = f"{timestamp.removeprefix('t=')}.".encode() + received[0].body
    assert signature == "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


async def test_a_pending_refund_settles_by_itself(tmp_path: Path, subscriber: Subscriber) -> None:
    async with serving(create_app(settings(subscriber), tmp_path / "g.sqlite")) as url:
        intent = await pay(url)
        async with httpx.AsyncClient(base_url=url, auth=(KEY, "")) as client:
            later = {"metadata[sandbox_refund]": "pending", "metadata[sandbox_refund_seconds]": "0"}
            refund = (await client.post("/v1/refunds", data={"payment_intent": intent["id"], **later})).json()
        event = (await subscriber.events("refund.updated"))[0]

    assert refund["status"] == "pending"
    assert event["data"]["object"]["id"] == refund["id"]
    assert event["data"]["object"]["status"] == "succeeded"
    assert event["data"]["previous_attributes"] == {"status": "pending"}
