"""The surface: who may call what, a valid OpenAPI document, migrations that match the models, honest settings."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from openapi_spec_validator import validate
from pydantic import ValidationError

from services.postal.settings import PostalSettings
from tests.conftest import ROOT
from tests.postal.conftest import Post, event, postal_settings

ROUTES: list[tuple[str, str, set[str]]] = [
    ("PUT", "/v1/contacts/H26.01-1", {"postal:write"}),
    ("POST", "/v1/shipments", {"postal:write"}),
    ("GET", "/v1/shipments", {"postal:read"}),
    ("GET", "/v1/shipments/shp_1", {"postal:read"}),
    ("POST", "/v1/shipments/shp_1/cancel", {"postal:write", "postal:dispatch"}),
    ("GET", "/v1/shipments/shp_1/label.pdf", {"postal:read", "postal:courier", "postal:dispatch"}),
    ("GET", "/v1/shipments/shp_1/receipt", {"postal:read"}),
    ("POST", "/v1/events", {"postal:courier", "postal:write"}),
    ("GET", "/v1/pickups", {"postal:courier", "postal:dispatch"}),
    ("POST", "/v1/deposits", {"postal:courier", "postal:write", "postal:dispatch"}),
    ("POST", "/v1/claims", {"postal:write", "postal:dispatch"}),
    ("GET", "/v1/claims", {"postal:read"}),
    ("GET", "/v1/claims/clm_1", {"postal:read"}),
    ("POST", "/v1/claims/clm_1/decision", {"postal:dispatch"}),
    ("POST", "/v1/claims/clm_1/paid", {"postal:write", "postal:dispatch"}),
    ("GET", "/v1/shipments/shp_1/receipt/bundle", {"postal:read"}),
    ("POST", "/v1/shipments/shp_1/corrections", {"postal:dispatch"}),
    ("GET", "/v1/shipments/shp_1/emsevt", {"postal:read"}),
    ("GET", "/v1/shipments/shp_1/epcis", {"postal:read"}),
    ("POST", "/v1/shipments/shp_1/carriers/sandbox", {"postal:write", "postal:dispatch"}),
    ("GET", "/v1/shipments/shp_1/label.png", {"postal:read", "postal:courier", "postal:dispatch"}),
    ("POST", "/v1/shipments/shp_1/deadlines", {"postal:write", "postal:dispatch"}),
    ("POST", "/v1/shipments/shp_1/stops", {"postal:dispatch"}),
    ("POST", "/v1/stops/stp_1/release", {"postal:dispatch"}),
    ("GET", "/v1/cases", {"postal:read", "postal:dispatch"}),
    ("POST", "/v1/cases/cas_1/take", {"postal:dispatch"}),
    ("POST", "/v1/cases/cas_1/close", {"postal:dispatch"}),
    ("PUT", "/v1/couriers/buu-ta-1", {"postal:dispatch"}),
    ("POST", "/v1/assignments", {"postal:dispatch"}),
    ("POST", "/v1/shipments/shp_1/links", {"postal:write", "postal:dispatch"}),
    ("GET", "/v1/wishes/wsh_1/code", {"postal:write"}),
    ("POST", "/v1/shifts", {"postal:dispatch"}),
    ("POST", "/v1/deposits/dep_1/remitted", {"postal:write"}),
    ("GET", "/v1/floats", {"postal:read", "postal:dispatch"}),
]
SCOPES = ("postal:read", "postal:write", "postal:courier", "postal:dispatch")


async def test_every_route_asks_for_its_scope_and_for_nothing_else(post: Post) -> None:
    for method, path, allowed in ROUTES:
        without = await post.client.request(method, path, json={})
        assert without.status_code == 401, path
        for scope in SCOPES:
            answer = await post.client.request(method, path, json={}, headers=post.headers(scope, key="k"))
            assert (answer.status_code == 403) == (scope not in allowed), (path, scope, answer.status_code)


async def test_every_route_of_the_api_is_in_the_scope_table(post: Post) -> None:
    nouns = tuple({"/".join(path.split("/")[:3]) for _, path, _ in ROUTES})
    documented = {
        (method.upper(), path)
        for path, item in post.app.openapi()["paths"].items()
        for method in item
        if path.startswith(nouns)
    }

    assert len(documented) == len(ROUTES)


async def test_unknown_ids_are_404(post: Post) -> None:
    for path in ("/v1/shipments/shp_1", "/v1/shipments/shp_1/receipt", "/v1/shipments/x/label.pdf", "/v1/claims/clm_1"):
        assert (await post.client.get(path, headers=post.office)).status_code == 404
    for path in ("/v1/shipments/shp_1/cancel", "/v1/claims/clm_1/paid"):
        headers = post.office | {"idempotency-key": path}
        assert (await post.client.post(path, headers=headers)).status_code == 404


async def test_the_openapi_document_is_valid_and_names_the_keyed_writes(post: Post) -> None:
    document = (await post.client.get("/openapi.json")).json()

    validate(document)
    assert document["openapi"].startswith("3.1")

    def key_of(path: str) -> Any:
        parameters = document["paths"][path]["post"].get("parameters", [])
        return next((p["required"] for p in parameters if p["name"] == "Idempotency-Key"), None)

    assert key_of("/v1/events") is None
    assert key_of("/v1/shipments") is False
    assert key_of("/v1/shipments/{shipment_id}/cancel") is True
    assert key_of("/v1/claims/{claim_id}/paid") is True


@pytest.mark.parametrize(
    "changes",
    [
        {"weight_grams": 0},
        {"weight_grams": 30_001},
        {"weight_grams": "60"},
        {"postage_dong": -1},
        {"postage_dong": 1.5},
        {"checklist": []},
        {"checklist": ["a\x00"]},
        {"agency": "\x00"},
        {"agency_commune": "٠٠٠٠٤"},
        {"direction": "sideways"},
        {"cash": {"amount_dong": 0, "payment_id": "p", "attempt_reference": "a"}},
        {"pickup_by": "0001-01-01T00:00:00+14:00"},
        {"status": "delivered"},
    ],
)
async def test_a_booking_that_cannot_be_right_is_refused_with_422(post: Post, changes: dict[str, Any]) -> None:
    contact = (await post.put_contact("H26.01-260302-0001")).json()
    body = {
        "shipment_key": "k",
        "dossier_code": "H26.01-260302-0001",
        "direction": "return",
        "contact_id": contact["id"],
        "agency": "H26.01",
        "agency_commune": "00004",
        "weight_grams": 60,
        "postage_dong": 26_000,
        "checklist": ["a"],
        **changes,
    }

    answer = await post.client.post("/v1/shipments", json=body, headers=post.office)

    assert answer.status_code == 422
    assert next(iter(changes)) in answer.json()["errors"][0]["field"]
    assert await post.rows("select 1 from shipment") == []


@pytest.mark.parametrize("cursor", ["x", "bnVsbA", "WyJcdWQ4MDAiXQ", "WyJcdTAwMDAiXQ", "WzFd"])
async def test_a_cursor_of_somebody_elses_making_does_no_harm(post: Post, cursor: str) -> None:
    for path in ("/v1/shipments", "/v1/claims"):
        answer = await post.client.get(path, params={"cursor": cursor}, headers=post.office)
        assert answer.status_code in (200, 422)


async def test_the_round_lists_stops_by_task_and_commune_with_the_place_that_counts(post: Post) -> None:
    to_pick_up = await post.book("outbound", cash={"amount_dong": 5_000, "payment_id": "p", "attempt_reference": "a"})
    at_agency = await post.book("return")
    to_deliver = await post.book("return", cash={"amount_dong": 9_000, "payment_id": "q", "attempt_reference": "b"})
    await post.send(event(to_deliver, "collected", 1), event(to_deliver, "out_for_delivery", 2))
    done = await post.book("outbound")
    await post.client.post(f"/v1/shipments/{done['id']}/cancel", headers=post.office | {"idempotency-key": "c"})

    async def stops(**query: str | int) -> list[dict[str, Any]]:
        answer = await post.client.get("/v1/pickups", params=query, headers=post.courier())
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    everything = await stops()
    assert [s["shipment_id"] for s in everything] == [to_pick_up["id"], at_agency["id"], to_deliver["id"]]
    assert [(s["task"], s["commune"], s["cash_due_dong"]) for s in everything] == [
        ("pick_up", "00070", 5_000),
        ("pick_up", "00004", 0),
        ("deliver", "00070", 9_000),
    ]
    assert everything[0]["phone"] == "0912345678"
    assert everything[1]["phone"] is None
    assert [s["shipment_id"] for s in await stops(task="deliver")] == [to_deliver["id"]]
    assert [s["shipment_id"] for s in await stops(commune="00004")] == [at_agency["id"]]
    assert len(await stops(limit=1)) == 1


async def test_models_and_migrations_agree(database: Callable[[str], Any]) -> None:
    environment = {**os.environ, "POSTAL_DATABASE_URL": await database("postal")}

    done = subprocess.run(  # noqa: ASYNC221 — a test may wait
        [sys.executable, "-m", "alembic", "-n", "postal", "check"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_numbers_of_a_real_country_need_a_range_from_the_operator() -> None:
    values = postal_settings("postgresql://nobody@127.0.0.1/none").model_dump()

    assert PostalSettings.model_validate(values).s10_range == (10_000_000, 19_999_999)
    for wrong in (
        {"s10_country": "VN"},
        {"s10_first_serial": 5},
        {"s10_first_serial": 5, "s10_last_serial": 4},
        {"label_secret": "short"},
    ):
        with pytest.raises(ValidationError):
            PostalSettings.model_validate({**values, **wrong})
    lent = PostalSettings.model_validate({**values, "s10_country": "VN", "s10_first_serial": 5, "s10_last_serial": 9})
    assert lent.s10_range == (5, 9)
