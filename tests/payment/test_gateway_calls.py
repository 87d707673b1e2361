"""The client's calls against the sandbox gateway, and against stripe-mock where STRIPE_MOCK_URL names one.

stripe-mock answers fixtures: it stores nothing and echoes no ids. So what both must agree on is asserted here, the
shapes and the status codes; what only a gateway with a memory can show is in the tests of the sandbox.
"""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.gateway.account import Settings
from sandbox.gateway.app import create_app
from services.payment.gateway import GatewayClient, check
from services.payment.gateway.check import passed

KEY = "sk_test_123"
CARD = "pm_card_visa"


@dataclass
class Peer:
    """A gateway under test."""

    http: httpx.AsyncClient
    client: GatewayClient
    remembers: bool


@pytest.fixture(params=["sandbox", "stripe-mock"])
async def peer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Peer]:
    url, transport = os.environ.get("STRIPE_MOCK_URL", ""), None
    if request.param == "sandbox":
        url = "http://gateway.test"
        transport = httpx.ASGITransport(create_app(Settings(key=KEY, webhook_secret="whsec_x"), tmp_path / "g.sqlite"))
    elif not url:
        pytest.skip("STRIPE_MOCK_URL names no stripe-mock")
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url=url, headers=headers) as http:
        yield Peer(http, GatewayClient(url=url, key=KEY, http=http, total_seconds=2), request.param == "sandbox")


async def test_every_call_of_the_client_is_answered_well(peer: Peer) -> None:
    lines = await check(peer.client)

    assert [line for line in lines if not passed(line[1])] == []
    assert len(lines) == 27
    assert all(result.startswith("ok") for _, result in lines)


async def test_a_live_key_moves_no_money_and_says_so(peer: Peer) -> None:
    lines = await check(peer.client, live=True)

    assert [name for name, line in lines if line.startswith("skipped")] == [
        "confirm payment intent",
        "capture payment intent",
        "create refund",
    ]
    assert all(passed(line) for _, line in lines)


INTENT_FORM = {"amount": "50000", "currency": "vnd", "payment_method_types[0]": "card", "payment_method": CARD}
SHAPES: dict[str, tuple[str, dict[str, type | tuple[type, ...]]]] = {
    "payment_intents": (
        "payment_intent",
        {
            "id": str,
            "amount": int,
            "amount_received": int,
            "amount_capturable": int,
            "currency": str,
            "status": str,
            "created": int,
            "livemode": bool,
            "metadata": dict,
            "payment_method_types": list,
            "client_secret": str,
        },
    ),
    "charges": (
        "charge",
        {
            "id": str,
            "amount": int,
            "amount_captured": int,
            "amount_refunded": int,
            "captured": bool,
            "disputed": bool,
            "paid": bool,
            "refunded": bool,
            "status": str,
            "created": int,
        },
    ),
    "refunds": ("refund", {"id": str, "amount": int, "currency": str, "status": str, "created": int}),
    "disputes": (
        "dispute",
        {
            "id": str,
            "amount": int,
            "balance_transactions": list,
            "charge": str,
            "evidence": dict,
            "evidence_details": dict,
            "is_charge_refundable": bool,
            "reason": str,
            "status": str,
        },
    ),
    "payouts": (
        "payout",
        {"id": str, "amount": int, "arrival_date": int, "automatic": bool, "status": str, "type": str},
    ),
    "balance_transactions": (
        "balance_transaction",
        {
            "id": str,
            "amount": int,
            "available_on": int,
            "fee": int,
            "fee_details": list,
            "net": int,
            "reporting_category": str,
            "status": str,
            "type": str,
        },
    ),
    "events": ("event", {"id": str, "type": str, "created": int, "data": dict, "pending_webhooks": int}),
    "webhook_endpoints": (
        "webhook_endpoint",
        {"id": str, "url": str, "enabled_events": list, "status": str, "livemode": bool},
    ),
}


def assert_shape(document: dict[str, Any], noun: str) -> None:
    name, members = SHAPES[noun]
    assert document["object"] == name
    wrong = {key: document.get(key) for key, kind in members.items() if not isinstance(document.get(key), kind)}
    assert wrong == {}


async def _with_one_of_each(peer: Peer) -> None:
    """Have something in every list."""
    for card in (CARD, "pm_card_createDispute"):
        form = {**INTENT_FORM, "payment_method": card, "confirm": "true"}
        intent = (await peer.http.post("/v1/payment_intents", data=form)).json()
        if card == CARD:
            refund = await peer.http.post("/v1/refunds", data={"payment_intent": intent["id"], "amount": "1000"})
            assert refund.status_code == 200
    form = {"url": "https://example.com/hook", "enabled_events[0]": "*"}
    assert (await peer.http.post("/v1/webhook_endpoints", data=form)).status_code == 200
    if peer.remembers:
        more = {**INTENT_FORM, "amount": "900000", "confirm": "true"}
        assert (await peer.http.post("/v1/payment_intents", data=more)).status_code == 200
        assert (await peer.http.post("/_sandbox/payouts/run", json={"hold": True})).json()["payout"]


async def test_lists_and_their_objects_have_the_public_shapes(peer: Peer) -> None:
    await _with_one_of_each(peer)

    for noun in SHAPES:
        answer = await peer.http.get(f"/v1/{noun}", params={"limit": "3"})
        page = answer.json()
        assert (answer.status_code, page["object"], page["url"]) == (200, "list", f"/v1/{noun}")
        assert isinstance(page["has_more"], bool)
        assert page["data"]
        for document in page["data"]:
            assert_shape(document, noun)
        one = await peer.http.get(f"/v1/{noun}/{page['data'][0]['id']}")
        assert one.status_code == 200
        assert_shape(one.json(), noun)


async def test_every_answer_names_its_request_and_repeats_the_key(peer: Peer) -> None:
    answer = await peer.http.post("/v1/payment_intents", data=INTENT_FORM, headers={"idempotency-key": "k-77"})

    assert answer.status_code == 200
    assert answer.headers["request-id"].startswith("req_")
    assert answer.headers["idempotency-key"] == "k-77"
    assert answer.headers["content-type"].startswith("application/json")


async def test_a_source_is_expanded_when_asked_for(peer: Peer) -> None:
    await _with_one_of_each(peer)

    page = (await peer.http.get("/v1/balance_transactions", params={"expand[0]": "data.source", "limit": "3"})).json()

    assert all(each["source"] is None or isinstance(each["source"], dict) for each in page["data"])


REFUSALS = {
    "no key": ("GET", "/v1/payment_intents", {}, {"authorization": ""}, 401),
    "a key of another kind": ("GET", "/v1/payment_intents", {}, {"authorization": "Bearer pk_1"}, 401),
    "an unknown path": ("GET", "/v1/payment_intentions", {}, {}, 404),
    "an unknown parameter": ("POST", "/v1/refunds", {"payment_intent": "pi_1", "amount_dong": "1"}, {}, 400),
    "a word for a number": ("POST", "/v1/payment_intents", {**INTENT_FORM, "amount": "much"}, {}, 400),
    "a missing parameter": ("POST", "/v1/payment_intents", {"currency": "vnd"}, {}, 400),
    "an unknown reason": ("POST", "/v1/payment_intents/pi_1/cancel", {"cancellation_reason": "tired"}, {}, 400),
    "a body that is no form": ("POST", "/v1/refunds", {}, {"content-type": "application/json"}, 400),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_refusals_have_the_public_shape_and_status(peer: Peer, name: str) -> None:
    method, path, form, headers, status = REFUSALS[name]
    if not headers.get("authorization", "set"):
        del peer.http.headers["authorization"]
        headers = {}
    content = b"{}" if "content-type" in headers else None

    answer = await peer.http.request(method, path, data=form or None, content=content, headers=headers)

    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (status, "invalid_request_error")
    assert isinstance(error["message"], str)
    assert error["message"]
    assert set(answer.json()) == {"error"}
