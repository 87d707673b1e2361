"""The wire of the sandbox gateway: keys, parameters, idempotency, pages of a list, expansion, versions."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from sandbox.gateway.account import Settings
from sandbox.gateway.app import create_app
from tests.sandbox.outside import Moment

KEY = "sk_test_sandbox"
PAID = {"amount": "20000", "currency": "vnd", "payment_method": "pm_card_visa", "confirm": "true"}


@pytest.fixture
async def gateway(tmp_path: Path, moment: Moment) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings(key=KEY, webhook_secret="whsec_x"), tmp_path / "gateway.sqlite", clock=moment)
    transport = httpx.ASGITransport(app=app)
    headers = {"authorization": f"Bearer {KEY}"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway.test", headers=headers) as client,
    ):
        yield client


async def count(gateway: httpx.AsyncClient) -> int:
    return len((await gateway.get("/v1/payment_intents", params={"limit": 100})).json()["data"])


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer sk_test_other_key_1234", "Basic !!!", "Digest x"])
async def test_a_missing_or_wrong_key_is_401_and_changes_nothing(gateway: httpx.AsyncClient, given: str) -> None:
    answer = await gateway.post("/v1/payment_intents", data=PAID, headers={"authorization": given})

    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "other_key" not in answer.text
    assert await count(gateway) == 0


async def test_the_key_may_be_the_user_name_of_basic_credentials(gateway: httpx.AsyncClient) -> None:
    answer = await gateway.get("/v1/balance", auth=(KEY, ""))

    assert answer.status_code == 200
    assert answer.json()["available"] == [{"amount": 0, "currency": "vnd", "source_types": {"card": 0}}]


@pytest.mark.parametrize(
    ("parameters", "param", "code"),
    [
        ({"currency": "vnd"}, "amount", "parameter_missing"),
        ({"amount": "1"}, "currency", "parameter_missing"),
        ({"amount": "1.5", "currency": "vnd"}, "amount", "parameter_invalid_integer"),
        ({"amount": "0", "currency": "vnd"}, "amount", "amount_too_small"),
        ({"amount": "1", "currency": "usd"}, "currency", None),
        ({**PAID, "colour": "red"}, "colour", "parameter_unknown"),
        ({**PAID, "automatic_payment_methods[x]": "1"}, "automatic_payment_methods[x]", "parameter_unknown"),
        ({**PAID, "confirm": "yes"}, "confirm", None),
        ({**PAID, "capture_method": "later"}, "capture_method", None),
        ({**PAID, "metadata": "text"}, "metadata", None),
        ({**PAID, "metadata[k]": "x" * 501}, "metadata[k]", None),
        ({**PAID, "receipt_email": "nobody"}, "receipt_email", "email_invalid"),
        ({**PAID, "statement_descriptor_suffix": "x" * 23}, "statement_descriptor_suffix", None),
        ({**PAID, "payment_method_types[]": "alipay"}, "payment_method_types", None),
        ({**PAID, "payment_method": "pm_nobody"}, "payment_method", "resource_missing"),
        ({**PAID, "expand[]": "colour"}, "expand", None),
    ],
)
async def test_a_wrong_parameter_is_refused_by_name(
    gateway: httpx.AsyncClient, parameters: dict[str, str], param: str, code: str | None
) -> None:
    answer = await gateway.post("/v1/payment_intents", data=parameters, headers={"idempotency-key": "k"})
    error = answer.json()["error"]

    assert answer.status_code == (404 if code == "resource_missing" else 400)
    assert (error["type"], error["param"], error.get("code")) == ("invalid_request_error", param, code)
    assert await count(gateway) == 0
    # A malformed request does not use up its key.
    assert (await gateway.post("/v1/payment_intents", data=PAID, headers={"idempotency-key": "k"})).status_code == 200


async def test_json_bodies_and_unknown_addresses_are_refused(gateway: httpx.AsyncClient) -> None:
    as_json = await gateway.post("/v1/payment_intents", json=PAID)
    unknown = await gateway.get("/v1/unicorns")
    missing = await gateway.get("/v1/payment_intents/pi_nobody")

    assert as_json.status_code == 400
    assert (unknown.status_code, unknown.json()["error"]["message"]) == (
        404,
        "Unrecognized request URL (GET: /v1/unicorns).",
    )
    assert missing.status_code == 404
    assert missing.json()["error"] == {
        "type": "invalid_request_error",
        "message": "No such payment_intent: 'pi_nobody'",
        "code": "resource_missing",
        "param": "intent",
    }


async def test_the_same_key_replays_the_first_answer(gateway: httpx.AsyncClient) -> None:
    first = await gateway.post("/v1/payment_intents", data=PAID, headers={"idempotency-key": "k-1"})
    again = await gateway.post("/v1/payment_intents", data=PAID, headers={"idempotency-key": "k-1"})

    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["original-request"] == first.headers["request-id"]
    assert "idempotent-replayed" not in first.headers
    assert first.headers["idempotency-key"] == "k-1"
    assert first.headers["request-id"] != again.headers["request-id"]
    assert await count(gateway) == 1


async def test_the_same_key_with_other_parameters_is_an_idempotency_error(gateway: httpx.AsyncClient) -> None:
    key = {"idempotency-key": "k-1"}
    intent = (await gateway.post("/v1/payment_intents", data=PAID, headers=key)).json()

    other_body = await gateway.post("/v1/payment_intents", data={**PAID, "amount": "1"}, headers=key)
    other_path = await gateway.post("/v1/refunds", data={"payment_intent": intent["id"]}, headers=key)

    assert [other_body.status_code, other_path.status_code] == [400, 400]
    assert other_body.json()["error"]["type"] == other_path.json()["error"]["type"] == "idempotency_error"
    assert "with the same parameters" in other_body.json()["error"]["message"]
    assert "('/v1/refunds' vs '/v1/payment_intents')" in other_path.json()["error"]["message"]
    assert await count(gateway) == 1
    assert (await gateway.get("/v1/refunds")).json()["data"] == []


async def test_a_decline_is_replayed_like_any_other_outcome(gateway: httpx.AsyncClient) -> None:
    declined = {**PAID, "payment_method": "pm_card_chargeDeclined"}
    first = await gateway.post("/v1/payment_intents", data=declined, headers={"idempotency-key": "k"})
    again = await gateway.post("/v1/payment_intents", data=declined, headers={"idempotency-key": "k"})

    assert (first.status_code, again.status_code) == (402, 402)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert len((await gateway.get("/v1/charges")).json()["data"]) == 1


async def test_a_key_is_forgotten_after_a_day(gateway: httpx.AsyncClient, moment: Moment) -> None:
    await gateway.post("/v1/payment_intents", data=PAID, headers={"idempotency-key": "k"})
    moment.now += 24 * 3600

    await gateway.post("/v1/payment_intents", data=PAID, headers={"idempotency-key": "k"})

    assert await count(gateway) == 2


async def test_a_second_request_while_the_first_is_in_flight_is_409(gateway: httpx.AsyncClient) -> None:
    slow = {"idempotency-key": "k", "sandbox-fault": "slow;seconds=0.3"}
    first = asyncio.create_task(gateway.post("/v1/payment_intents", data=PAID, headers=slow))
    for _ in range(20):
        # Turns of the loop, in which the first request gets as far as its wait.
        await asyncio.sleep(0)
    answer = await gateway.post("/v1/refunds", headers={"idempotency-key": "k"})

    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "idempotency_key_in_use"
    assert answer.headers["stripe-should-retry"] == "true"
    assert (await first).status_code == 200
    assert await count(gateway) == 1


async def test_lists_are_newest_first_and_page_both_ways(gateway: httpx.AsyncClient) -> None:
    ids = [(await gateway.post("/v1/payment_intents", data=PAID)).json()["id"] for _ in range(5)]
    ids.reverse()

    async def page(**parameters: str | int) -> tuple[list[str], bool]:
        body = (await gateway.get("/v1/payment_intents", params=parameters)).json()
        assert (body["object"], body["url"]) == ("list", "/v1/payment_intents")
        return [one["id"] for one in body["data"]], body["has_more"]

    assert await page() == (ids, False)
    assert await page(limit=2) == (ids[:2], True)
    assert await page(limit=2, starting_after=ids[1]) == (ids[2:4], True)
    assert await page(limit=2, starting_after=ids[3]) == (ids[4:], False)
    assert await page(limit=2, ending_before=ids[4]) == (ids[2:4], True)
    assert await page(limit=2, ending_before=ids[2]) == (ids[:2], False)


@pytest.mark.parametrize(
    ("parameters", "param"),
    [({"limit": 0}, "limit"), ({"limit": 101}, "limit"), ({"starting_after": "pi_nobody"}, "starting_after")],
)
async def test_a_wrong_page_is_refused(gateway: httpx.AsyncClient, parameters: dict[str, str], param: str) -> None:
    answer = await gateway.get("/v1/payment_intents", params=parameters)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_lists_filter_by_time_and_by_column(gateway: httpx.AsyncClient, moment: Moment) -> None:
    first = (await gateway.post("/v1/payment_intents", data={**PAID, "customer": "cus_1"})).json()
    moment.now += 10
    second = (await gateway.post("/v1/payment_intents", data=PAID)).json()

    async def ids(path: str, **parameters: str | int) -> list[str]:
        return [one["id"] for one in (await gateway.get(f"/v1/{path}", params=parameters)).json()["data"]]

    assert await ids("payment_intents", **{"created[gte]": second["created"]}) == [second["id"]]
    assert await ids("payment_intents", **{"created[lt]": second["created"]}) == [first["id"]]
    assert await ids("payment_intents", created=first["created"]) == [first["id"]]
    assert await ids("payment_intents", customer="cus_1") == [first["id"]]
    assert await ids("charges", payment_intent=second["id"]) == [second["latest_charge"]]
    assert len(await ids("balance_transactions", source=first["latest_charge"])) == 1
    assert await ids("balance_transactions", type="refund") == []


async def test_expansion_replaces_ids_by_objects(gateway: httpx.AsyncClient) -> None:
    wanted = {**PAID, "expand[]": "latest_charge.balance_transaction"}
    intent = (await gateway.post("/v1/payment_intents", data=wanted)).json()
    listed = (await gateway.get("/v1/charges", params={"expand[]": "data.balance_transaction"})).json()
    event = (await gateway.get("/v1/events", params={"type": "payment_intent.succeeded"})).json()["data"][0]

    assert intent["latest_charge"]["balance_transaction"]["net"] == 18_130
    assert listed["data"][0]["balance_transaction"]["fee"] == 1_870
    assert event["data"]["object"]["latest_charge"] == intent["latest_charge"]["id"]


async def test_the_api_version_is_echoed(gateway: httpx.AsyncClient) -> None:
    given = await gateway.get("/v1/balance", headers={"stripe-version": "2024-06-20"})
    default = await gateway.get("/v1/balance")
    wrong = await gateway.get("/v1/balance", headers={"stripe-version": "newest"})

    assert given.headers["stripe-version"] == "2024-06-20"
    assert default.headers["stripe-version"] == "2022-11-15"
    assert given.headers["request-id"].startswith("req_")
    assert wrong.status_code == 400


async def test_events_can_be_listed_for_thirty_days(gateway: httpx.AsyncClient, moment: Moment) -> None:
    key = {"idempotency-key": "k-9"}
    answer = await gateway.post("/v1/payment_intents", data=PAID, headers=key)
    wanted = {"types[]": ["charge.succeeded", "payment_intent.created"]}
    listed = (await gateway.get("/v1/events", params=wanted)).json()["data"]
    one = (await gateway.get(f"/v1/events/{listed[0]['id']}")).json()

    assert [event["type"] for event in listed] == ["charge.succeeded", "payment_intent.created"]
    assert one["request"] == {"id": answer.headers["request-id"], "idempotency_key": "k-9"}
    assert (one["pending_webhooks"], one["livemode"]) == (0, False)
    moment.now += 30 * 24 * 3600
    assert (await gateway.get("/v1/events")).json()["data"] == []


async def test_webhook_endpoints_show_their_secret_once(gateway: httpx.AsyncClient) -> None:
    wanted = {"url": "http://hooks.test/", "enabled_events[]": "charge.succeeded"}
    made = (await gateway.post("/v1/webhook_endpoints", data=wanted)).json()
    listed = (await gateway.get("/v1/webhook_endpoints")).json()["data"]
    deleted = await gateway.delete(f"/v1/webhook_endpoints/{made['id']}")

    assert made.pop("secret").startswith("whsec_")
    assert listed == [made]
    assert deleted.json() == {"id": made["id"], "object": "webhook_endpoint", "deleted": True}
    assert (await gateway.get("/v1/webhook_endpoints")).json()["data"] == []
