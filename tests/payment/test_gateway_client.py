"""The wire: nested forms, keys, retries bounded in time, and refusals told apart from silence."""

import asyncio
from collections.abc import Callable
from urllib.parse import parse_qsl

import httpx
import pytest

from services.payment.gateway import GatewayClient, GatewayRefused, GatewayUnreachable, nested

INTENT = {"id": "pi_1", "status": "succeeded", "amount": 5, "amount_received": 5, "currency": "vnd"}


def client_for(answer: Callable[[httpx.Request], httpx.Response], *, total: float = 0.4) -> GatewayClient:
    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return GatewayClient(url="http://g", key="sk_1", http=http, timeout_seconds=0.2, total_seconds=total)


def test_documents_become_form_pairs_with_brackets() -> None:
    document = {"amount": 5, "metadata": {"a b": "c&d"}, "expand": ["x", "y"], "confirm": True, "n": {"m": {"k": 1}}}

    assert nested(document) == [
        ("amount", "5"),
        ("metadata[a b]", "c&d"),
        ("expand[0]", "x"),
        ("expand[1]", "y"),
        ("confirm", "true"),
        ("n[m][k]", "1"),
    ]


async def test_a_call_carries_key_version_and_idempotency_key() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=INTENT, headers={"request-id": "req_7"})

    client = client_for(answer)
    intent = await client.create_intent(5, metadata={"dossier_code": "A"}, key="att_1:create", payment_method="pm_x")

    (request,) = seen
    assert request.headers["authorization"] == "Bearer sk_1"
    assert request.headers["stripe-version"] == "2022-11-15"
    assert request.headers["idempotency-key"] == "att_1:create"
    assert dict(parse_qsl(request.content.decode())) == {
        "amount": "5",
        "currency": "vnd",
        "payment_method_types[0]": "card",
        "metadata[dossier_code]": "A",
        "payment_method": "pm_x",
    }
    assert (intent.id, intent.received_dong, client.last_request_id) == ("pi_1", 5, "req_7")


@pytest.mark.parametrize("status", [409, 429, 500, 503])
async def test_what_may_pass_is_tried_again_with_the_same_key(status: int) -> None:
    keys: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["idempotency-key"])
        return httpx.Response(status if len(keys) < 2 else 200, json=INTENT)

    await client_for(answer, total=2).capture_intent("pi_1", key="k1")

    assert keys == ["k1", "k1"]


async def test_silence_ends_within_the_total_time() -> None:
    calls = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        raise httpx.ConnectError("away", request=request)

    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(GatewayUnreachable):
        await client_for(answer).retrieve_intent("pi_1")

    assert loop.time() - started < 1
    assert calls >= 1


async def test_retry_after_longer_than_the_total_time_is_not_waited_for() -> None:
    calls = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        return httpx.Response(429, json={}, headers={"retry-after": "60"})

    with pytest.raises(GatewayUnreachable):
        await client_for(answer).retrieve_intent("pi_1")
    assert calls == 1


async def test_a_refusal_says_why_and_is_not_repeated() -> None:
    calls = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        error = {"type": "card_error", "code": "card_declined", "decline_code": "lost_card", "message": "No."}
        return httpx.Response(402, json={"error": {**error, "payment_intent": {**INTENT, "status": "canceled"}}})

    with pytest.raises(GatewayRefused) as refused:
        await client_for(answer).confirm_intent("pi_1", key="k")

    assert (refused.value.code, refused.value.status, calls) == ("lost_card", 402, 1)
    assert refused.value.intent is not None
    assert refused.value.intent.status == "canceled"


@pytest.mark.parametrize("content", [b"<html>", b"[1]", b""])
async def test_an_answer_that_is_no_object_has_an_unknown_effect(content: bytes) -> None:
    with pytest.raises(GatewayUnreachable):
        await client_for(lambda _: httpx.Response(200, content=content)).retrieve_intent("pi_1")


@pytest.mark.parametrize("status", [401, 403])
async def test_a_wrong_key_of_ours_is_not_the_citizens_failure(status: int) -> None:
    with pytest.raises(GatewayUnreachable, match=str(status)):
        await client_for(lambda _: httpx.Response(status, json={"error": {}})).retrieve_intent("pi_1")


async def test_lists_are_read_to_their_end() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        after = request.url.params.get("starting_after")
        ids = {None: ["po_1", "po_2"], "po_2": ["po_3"]}[after]
        data = [{"id": each, "amount": 1, "arrival_date": 0, "status": "paid"} for each in ids]
        return httpx.Response(200, json={"data": data, "has_more": after is None})

    payouts = await client_for(answer).payouts()

    assert [payout.id for payout in payouts] == ["po_1", "po_2", "po_3"]
