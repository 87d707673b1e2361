"""The preview: the same answer by the short way and by the route, and the house's refusals for everything else."""

import json
from typing import Any

import httpx
import pytest

from services.fees.api.preview import PATH
from services.fees.contract import QuotePreview
from tests.conftest import Issuer
from tests.fees.conftest import PASSPORT


async def test_the_short_way_and_the_route_give_the_same_bytes(client: httpx.AsyncClient, issuer: Issuer) -> None:
    headers = issuer.headers("fees:quote")
    short = await client.post(PATH, json=PASSPORT, headers=headers)
    route = await client.post(PATH, json=PASSPORT, headers=headers | {"x-request-id": "asked-by-a-caller"})

    assert short.status_code == route.status_code == 200
    assert short.content == route.content
    assert "content-security-policy" in route.headers
    assert "content-security-policy" not in short.headers
    assert short.headers["x-content-type-options"] == "nosniff"
    found = QuotePreview.model_validate_json(short.content)
    assert (found.total_dong, found.citizen_dong, found.budget_dong) == (180_000, 180_000, 0)


async def test_a_preview_is_a_quote_that_is_not_kept(client: httpx.AsyncClient, issuer: Issuer) -> None:
    preview = (await client.post(PATH, json=PASSPORT, headers=issuer.headers("fees:quote"))).json()
    quote = (await client.post("/v1/quotes", json=PASSPORT, headers=issuer.headers("fees:quote", key="k"))).json()

    for name in ("inputs_hash", "catalogue_version", "procedure", "total_dong", "lines"):
        assert preview[name] == quote[name]
    assert "id" not in preview


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 422),
        (b"", 422),
        (b"[]", 422),
        (json.dumps(PASSPORT | {"procedure": "no-such"}).encode(), 422),
        (json.dumps(PASSPORT | {"surprise": 1}).encode(), 422),
        (json.dumps(PASSPORT | {"agency": "x" * 70_000}).encode(), 422),
        (b"x" * 3_000_000, 413),
    ],
)
async def test_what_cannot_be_previewed_is_refused_as_everywhere(
    client: httpx.AsyncClient, issuer: Issuer, body: bytes, status: int
) -> None:
    answer = await client.post(PATH, content=body, headers=issuer.headers("fees:quote"))

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["instance"] == PATH


async def test_nobody_takes_the_short_way_without_a_good_token(client: httpx.AsyncClient, issuer: Issuer) -> None:
    good = issuer.headers("fees:quote")
    await client.post(PATH, json=PASSPORT, headers=good)
    tokens: list[tuple[dict[str, Any], int]] = [
        ({}, 401),
        ({"authorization": "Basic abc"}, 401),
        ({"authorization": good["authorization"][:-4] + "AAAA"}, 401),
        (issuer.headers("fees:quote", exp=1_000_000_000), 401),
        (issuer.headers("fees:read"), 403),
    ]
    for headers, status in tokens:
        for _ in range(2):
            assert (await client.post(PATH, json=PASSPORT, headers=headers)).status_code == status


async def test_the_short_way_is_counted(client: httpx.AsyncClient, issuer: Issuer) -> None:
    for _ in range(3):
        await client.post(PATH, json=PASSPORT, headers=issuer.headers("fees:quote"))

    metrics = (await client.get("/metrics")).text
    assert f'http_requests_total{{method="POST",process="fees",route="{PATH}",status="200"}} 3.0' in metrics
