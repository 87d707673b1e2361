"""The wire: nested forms, keys, retries bounded in time, and refusals told apart from silence."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import httpx
import pytest

from services.payment.gateway import (
    CardRefused,
    GatewayClient,
    GatewayError,
    GatewayFailed,
    GatewayRefused,
    GatewayUnreachable,
    KeyConflict,
    NotAuthorised,
    RateLimited,
    RequestRefused,
    check,
    nested,
)
from services.payment.gateway.documents import intent_of
from services.payment.gateway.wire import retry_after
from tests.payment.gateway_wire import WIRE, call_of, faults_in

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


async def test_every_call_sends_only_what_the_public_description_knows() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        item = {**INTENT, "id": f"x_{len(seen)}", "type": "t", "data": {"object": {}}}
        return httpx.Response(200, json={**item, "data": [item], "has_more": "starting_after" not in str(request.url)})

    client = client_for(answer)
    await check(client)
    await client.confirm_intent("pi_1", key="k", return_url="https://a.vn/pay?x=1&y=ă")
    await client.submit_evidence("du_1", {"uncategorized_text": "Đã nộp", "service_date": "2026-01-02"}, key="k")
    await client.intents(created_from=1)
    await client.disputes(created_from=1)
    await client.payouts(arrival_from=1)
    await client.events(created_from=1)

    assert {call_of(request) for request in seen} == set(WIRE)
    assert [fault for request in seen for fault in faults_in(request)] == []


async def test_a_parameter_that_is_not_in_the_description_would_be_noticed() -> None:
    request = httpx.Request("POST", "http://g/v1/refunds", data={"amount": "1.5", "payment_intent": "pi", "fee": "1"})

    assert faults_in(request) == ["amount=1.5", "fee=1"]


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (402, {"type": "card_error", "code": "expired_card"}, CardRefused),
        (400, {"type": "invalid_request_error", "code": "parameter_unknown", "param": "fee"}, RequestRefused),
        (404, {"type": "invalid_request_error", "code": "resource_missing"}, RequestRefused),
        (400, {"type": "idempotency_error", "message": "other parameters"}, KeyConflict),
        (409, {"type": "idempotency_error", "code": "idempotency_key_in_use"}, GatewayFailed),
        (429, {"type": "invalid_request_error", "code": "rate_limit"}, RateLimited),
        (500, {"type": "api_error"}, GatewayFailed),
        (401, {"type": "invalid_request_error"}, NotAuthorised),
        (403, {"type": "invalid_request_error"}, NotAuthorised),
    ],
)
async def test_each_error_of_the_wire_has_its_own_meaning(
    status: int, error: dict[str, str], kind: type[GatewayError]
) -> None:
    client = client_for(
        lambda _: httpx.Response(status, json={"error": error}, headers={"request-id": "req_9"}), total=0.05
    )

    with pytest.raises(GatewayError) as raised:
        await client.retrieve_intent("pi_1")

    assert type(raised.value) is kind
    assert raised.value.request_id == "req_9"
    assert isinstance(raised.value, GatewayUnreachable) is (kind not in (CardRefused, RequestRefused))
    if isinstance(raised.value, GatewayRefused):
        assert raised.value.kind == error["type"]
        assert raised.value.param == error.get("param", "")


@pytest.mark.parametrize(("wish", "status", "tries"), [("false", 500, 1), ("true", 400, 2)])
async def test_the_gateways_wish_to_be_asked_again_outranks_the_status(wish: str, status: int, tries: int) -> None:
    calls = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        if calls > 1:
            return httpx.Response(200, json=INTENT)
        return httpx.Response(status, json={"error": {"type": "api_error"}}, headers={"stripe-should-retry": wish})

    if tries == 1:
        with pytest.raises(GatewayFailed):
            await client_for(answer, total=2).retrieve_intent("pi_1")
    else:
        await client_for(answer, total=2).retrieve_intent("pi_1")
    assert calls == tries


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("Wed, 21 Oct 2026 07:28:09 GMT", 9.0),
        ("Wed, 21 Oct 2026 07:27:00 GMT", 0.0),
        ("", 0.0),
        ("-1", 0.0),
        ("soon", 0.0),
    ],
)
def test_how_long_to_wait_is_read_as_seconds_or_as_a_date(header: str, seconds: float) -> None:
    at = datetime(2026, 10, 21, 7, 28, tzinfo=UTC)

    assert retry_after(httpx.Response(429, headers={"retry-after": header}), at) == seconds


async def test_an_answer_that_trickles_for_ever_ends_with_the_total_time() -> None:
    async def trickle(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    http = httpx.AsyncClient(transport=httpx.MockTransport(trickle))
    client = GatewayClient(url="http://g", key="sk_1", http=http, timeout_seconds=30, total_seconds=0.1)

    with pytest.raises(GatewayUnreachable, match="total time"):
        await client.retrieve_intent("pi_1")


async def test_an_id_from_outside_stays_one_segment_of_the_path() -> None:
    paths: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path)
        return httpx.Response(200, json=INTENT)

    await client_for(answer).retrieve_intent("../refunds?x=1#y")

    assert paths == [b"/v1/payment_intents/..%2Frefunds%3Fx%3D1%23y"]


async def test_a_list_that_repeats_its_last_object_does_not_run_for_ever() -> None:
    page = {"data": [{"id": "po_1", "amount": 1, "arrival_date": 0, "status": "paid"}], "has_more": True}

    payouts = await client_for(lambda _: httpx.Response(200, json=page)).payouts()

    assert len(payouts) == 2


async def test_request_ids_of_tasks_do_not_mix() -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        return httpx.Response(200, json=INTENT, headers={"request-id": request.url.path.rsplit("/", 1)[-1]})

    client = GatewayClient(url="http://g", key="k", http=httpx.AsyncClient(transport=httpx.MockTransport(answer)))

    async def named(name: str) -> str:
        await client.retrieve_intent(name)
        await asyncio.sleep(0)
        return client.last_request_id

    assert list(await asyncio.gather(named("a"), named("b"), named("c"))) == ["a", "b", "c"]


@pytest.mark.parametrize("charge", [{"latest_charge": "ch_1"}, {"latest_charge": {"id": "ch_1"}}])
def test_a_charge_is_found_named_or_expanded(charge: dict[str, object]) -> None:
    assert intent_of({**INTENT, **charge}).charge_id == "ch_1"


def test_a_charge_is_found_in_the_list_of_older_versions() -> None:
    assert intent_of({**INTENT, "charges": {"data": [{"id": "ch_1"}, {"id": "ch_0"}]}}).charge_id == "ch_1"
    assert intent_of({**INTENT, "charges": {"data": []}}).charge_id is None
