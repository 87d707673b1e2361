"""The commit comes before the response; a key makes a write happen once; news leaves only with the commit."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from kit.webhooks import verified_body
from sandbox.postgres import Cluster
from tests.conftest import Issuer, _execute, _numbers, running
from tests.kit.notebook import create_notebook, create_tables

NOTE = {"title": "một", "amount_dong": 5}


@pytest.fixture
async def notebook_url(cluster: Cluster) -> AsyncIterator[str]:
    name = f"notebook_{next(_numbers)}"
    await _execute(cluster, f'create database "{name}"')
    await create_tables(cluster.url(name))
    yield cluster.url(name)
    await _execute(cluster, f'drop database "{name}" with (force)')


@pytest.fixture
async def client(notebook_url: str, issuer: Issuer) -> AsyncIterator[httpx.AsyncClient]:
    async with running(create_notebook(notebook_url), issuer) as client:
        yield client


async def titles(client: httpx.AsyncClient) -> list[str]:
    return list((await client.get("/v1/notes")).json())


async def test_a_commit_that_fails_is_answered_as_a_failure(client: httpx.AsyncClient, issuer: Issuer) -> None:
    response = await client.post("/v1/late", headers=issuer.headers("notes:write", key="k"))

    assert response.status_code == 409
    assert response.headers["content-type"] == "application/problem+json"
    assert await titles(client) == []


async def test_the_same_key_writes_once_and_answers_the_same(client: httpx.AsyncClient, issuer: Issuer) -> None:
    headers = issuer.headers("notes:write", key="k-1")

    first = await client.post("/v1/notes", json=NOTE, headers=headers)
    again = await client.post("/v1/notes", content=json.dumps(NOTE, indent=3), headers=headers)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert await titles(client) == ["một"]


async def test_the_same_key_with_another_body_is_refused(client: httpx.AsyncClient, issuer: Issuer) -> None:
    headers = issuer.headers("notes:write", key="k-1")
    await client.post("/v1/notes", json=NOTE, headers=headers)

    other = await client.post("/v1/notes", json={**NOTE, "title": "hai"}, headers=headers)

    assert other.status_code == 422
    assert other.json()["type"] == "/problems/idempotency-key-reused"
    assert await titles(client) == ["một"]


async def test_keys_of_different_callers_never_meet(client: httpx.AsyncClient, issuer: Issuer) -> None:
    await client.post("/v1/notes", json=NOTE, headers=issuer.headers("notes:write", key="k", subject="an"))

    other = await client.post(
        "/v1/notes", json={**NOTE, "title": "hai"}, headers=issuer.headers("notes:write", key="k", subject="bình")
    )

    assert other.status_code == 201
    assert await titles(client) == ["hai", "một"]


async def test_two_requests_with_one_key_at_once_write_once(client: httpx.AsyncClient, issuer: Issuer) -> None:
    headers = issuer.headers("notes:write", key="race")

    answers = await asyncio.gather(*(client.post("/v1/notes", json=NOTE, headers=headers) for _ in range(8)))

    statuses = {answer.status_code for answer in answers}
    assert statuses <= {201, 409}
    assert 201 in statuses
    assert await titles(client) == ["một"]


async def test_a_write_without_a_key_is_refused_and_says_how_to_mend_it(
    client: httpx.AsyncClient, issuer: Issuer
) -> None:
    response = await client.post("/v1/notes", json=NOTE, headers=issuer.headers("notes:write"))

    assert response.status_code == 400
    assert "Idempotency-Key" in response.json()["detail"]
    assert await titles(client) == []


async def test_a_refusal_leaves_neither_row_nor_news_nor_stored_answer(
    client: httpx.AsyncClient, issuer: Issuer
) -> None:
    headers = issuer.headers("notes:write", key="k")

    refused = await client.post("/v1/notes", json={**NOTE, "title": "refuse me"}, headers=headers)
    again = await client.post("/v1/notes", json={**NOTE, "title": "refuse me"}, headers=headers)

    assert (refused.status_code, again.status_code) == (409, 409)
    assert "idempotent-replayed" not in again.headers
    assert await titles(client) == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer x.y.z"}, 401),
        ({"authorization": "Basic abc"}, 401),
    ],
)
async def test_an_unbelievable_caller_is_refused(
    client: httpx.AsyncClient, headers: dict[str, str], status: int
) -> None:
    response = await client.post("/v1/notes", json=NOTE, headers={**headers, "idempotency-key": "k"})

    assert response.status_code == status
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert await titles(client) == []


async def test_foreign_expired_and_unscoped_tokens_are_refused(client: httpx.AsyncClient, issuer: Issuer) -> None:
    stranger = Issuer()
    foreign = stranger.headers("notes:write", key="k")
    expired = issuer.headers("notes:write", key="k", exp=1)
    other_audience = issuer.headers("notes:write", key="k", aud="elsewhere")
    unscoped = issuer.headers("notes:read", key="k")

    statuses = [
        (await client.post("/v1/notes", json=NOTE, headers=headers)).status_code
        for headers in (foreign, expired, other_audience, unscoped)
    ]

    assert statuses == [401, 401, 401, 403]
    assert await titles(client) == []


async def test_bad_fields_are_named_in_the_language_asked_for(client: httpx.AsyncClient, issuer: Issuer) -> None:
    body = {"title": "x", "amount_dong": 1.5, "colour": "red"}
    headers = {**issuer.headers("notes:write", key="k"), "accept-language": "en"}

    english = (await client.post("/v1/notes", json=body, headers=headers)).json()
    vietnamese = (await client.post("/v1/notes", json=body, headers={**headers, "accept-language": "vi"})).json()

    assert english["status"] == 422
    assert {error["field"] for error in english["errors"]} == {"amount_dong", "colour"}
    assert any("no such field" in error["message"] for error in english["errors"])
    assert any("không có trường này" in error["message"] for error in vietnamese["errors"])


@pytest.mark.parametrize("amount", [0, -1, 10**13, "5", True, None])
async def test_amounts_that_are_no_positive_dong_are_refused(
    client: httpx.AsyncClient, issuer: Issuer, amount: object
) -> None:
    response = await client.post(
        "/v1/notes", json={"title": "x", "amount_dong": amount}, headers=issuer.headers("notes:write", key="k")
    )

    assert response.status_code == 422
    assert await titles(client) == []


async def test_malformed_json_and_oversized_bodies_are_refused(client: httpx.AsyncClient, issuer: Issuer) -> None:
    headers = {**issuer.headers("notes:write", key="k"), "content-type": "application/json"}

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 1_000

    malformed = await client.post("/v1/notes", content=b'{"title": ', headers=headers)
    announced = await client.post("/v1/notes", content=b"x" * 20_000, headers=headers)
    streamed = await client.post("/v1/notes", content=endless(), headers=headers)

    assert [malformed.status_code, announced.status_code, streamed.status_code] == [422, 413, 413]


async def test_news_is_delivered_signed_and_again_after_a_failure(notebook_url: str, issuer: Issuer) -> None:
    received: list[tuple[dict[str, str], bytes]] = []
    twice = asyncio.Event()
    receiver = FastAPI()

    @receiver.post("/hook")
    async def hook(request: Request) -> Response:
        received.append((dict(request.headers), await request.body()))
        if len(received) == 2:
            twice.set()
        return Response(status_code=503 if len(received) == 1 else 204)

    app = create_notebook(notebook_url, webhook_url="http://receiver.test/hook")
    app.state.http._mounts.clear()
    app.state.http._transport = httpx.ASGITransport(app=receiver)
    async with running(app, issuer) as client:
        await client.post("/v1/notes", json=NOTE, headers=issuer.headers("notes:write", key="k"))
        async with asyncio.timeout(10):
            await twice.wait()

    secret = "whsec_" + "c2VjcmV0" * 4
    bodies = [verified_body(secret, headers=headers, body=body) for headers, body in received]
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]
    assert bodies[0]["type"] == "note.written"
    assert bodies[0]["data"]["title"] == "một"
    assert received[0][0]["webhook-id"] == received[1][0]["webhook-id"] == bodies[0]["data"]["event_id"]


async def test_every_answer_carries_the_request_id_and_metrics_count_by_route(
    client: httpx.AsyncClient, issuer: Issuer
) -> None:
    response = await client.get("/v1/notes", headers={"x-request-id": "abcdef-123456"})
    unknown = await client.get("/v1/nothing-here")
    metrics = (await client.get("/metrics")).text

    assert response.headers["x-request-id"] == "abcdef-123456"
    assert unknown.status_code == 404
    assert unknown.headers["content-type"] == "application/problem+json"
    assert 'route="/v1/notes",status="200"' in metrics
    assert 'route="unmatched",status="404"' in metrics


async def test_openapi_names_the_key_and_the_problem_document(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()

    write = document["paths"]["/v1/notes"]["post"]
    assert document["openapi"].startswith("3.1")
    assert [p["name"] for p in write["parameters"]] == ["Idempotency-Key"]
    assert "application/problem+json" in write["responses"]["default"]["content"]
    assert "HTTPValidationError" not in document["components"]["schemas"]
