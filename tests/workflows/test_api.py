"""The workflow API in front of a real Temporal server and real activities; only the services are doubles."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta

import httpx
import pytest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from kit.webhooks import new_webhook_secret
from services.postal.deadlines import Journey
from tests.conftest import Issuer, free_port, running
from tests.workflows.conftest import BINARIES
from tests.workflows.journey import CITIZEN, PERSONAL, personal_data_in
from tests.workflows.portal import (
    NOW,
    body,
    fact,
    payment_event,
    replace_services,
    runs,
    said,
    settings,
    until,
    view,
    waiting,
)
from tests.workflows.wire import Wire
from tests.workflows.world import World
from workflows import coordinator
from workflows.api import create_app
from workflows.contract import dossier_workflow_id, refund_workflow_id, remittance_workflow_id, watch_workflow_id
from workflows.watch import WatchWorkflow
from workflows.worker import create_workers


@pytest.fixture(scope="session")
async def api_wire() -> Wire:
    """The services behind the API and its workers."""
    return Wire(World())


@pytest.fixture
def wire(api_wire: Wire) -> Wire:
    """The same, having heard nothing yet."""
    api_wire.sent.clear()
    api_wire.away = False
    return api_wire


@pytest.fixture(scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """A development server; its address is the client's."""
    pragmas = ["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=off"]
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(BINARIES / "temporal"),
        namespace="dvctt",
        dev_server_database_filename=str(tmp_path_factory.mktemp("temporal") / "temporal.db"),
        dev_server_extra_args=["--namespace", "idle", *pragmas],
        data_converter=pydantic_data_converter,
    ) as env:
        yield env.client


@pytest.fixture(scope="session")
async def temporal(server: Client, api_wire: Wire) -> AsyncIterator[Client]:
    """A client of the server, with the workers of production at work."""
    services = api_wire.services()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(services.http.aclose)
        for worker in create_workers(server, services, max_concurrent_activities=20):
            await stack.enter_async_context(worker)
        yield server


async def _app(target: str, wire: Wire, issuer: Issuer) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings(target))
    async with running(app, issuer) as client:
        await replace_services(app, wire)
        yield client


@pytest.fixture
async def api(temporal: Client, wire: Wire, issuer: Issuer) -> AsyncIterator[httpx.AsyncClient]:
    """The API."""
    async for client in _app(temporal.service_client.config.target_host, wire, issuer):
        yield client


@pytest.fixture
async def lonely_api(wire: Wire, issuer: Issuer) -> AsyncIterator[httpx.AsyncClient]:
    """The API while Temporal is away."""
    async for client in _app(f"127.0.0.1:{free_port()}", wire, issuer):
        yield client


@pytest.fixture
def portal(issuer: Issuer) -> dict[str, str]:
    """Headers of a portal."""
    return issuer.headers("dossiers:write", "dossiers:read", client="portal")


@pytest.fixture
def agency(issuer: Issuer) -> dict[str, str]:
    """Headers of the agency's dossier system."""
    return issuer.headers("dossiers:decide", "dossiers:read", client="agency", org="G01.01")


# --- starting ------------------------------------------------------------------------------------


async def test_a_dossier_is_started_once_and_found_again(
    api: httpx.AsyncClient, wire: Wire, portal: dict[str, str], temporal: Client, code: str
) -> None:
    document = body(code, send=True, return_result=True)

    first = await api.post("/v1/dossiers", json=document, headers=portal)
    await waiting(api, code, "collecting", portal)
    second = await api.post("/v1/dossiers", json=document, headers=portal)

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["code"] == code
    assert second.json() == await view(api, code, portal)
    assert second.json()["money"]["due_dong"] == 160_000
    assert wire.world.payers[code] == {"name": CITIZEN.name, "address": CITIZEN.address}
    assert wire.world.contacts[code]["phone"] == CITIZEN.phone
    assert wire.paths("PUT") == [f"PUT payment/v1/payers/{code}", f"PUT postal/v1/contacts/{code}"]
    quotes = [r.headers["idempotency-key"] for r in wire.sent if r.url.path == "/v1/quotes"]
    assert len(quotes) == 2  # the intake's and the workflow's:
    assert len(set(quotes)) == 1  # one key, so one quote
    history = json.loads((await temporal.get_workflow_handle(dossier_workflow_id(code)).fetch_history()).to_json())
    assert list(personal_data_in(history, PERSONAL)) == []


async def test_the_order_of_names_in_the_body_means_nothing(
    api: httpx.AsyncClient, portal: dict[str, str], code: str
) -> None:
    document = body(code)
    document["request"]["quantities"] = {"copies": 2, "pages": 3}
    again = json.loads(json.dumps(document))
    again["request"]["quantities"] = {"pages": 3, "copies": 2}

    first = await api.post("/v1/dossiers", json=document, headers=portal)
    second = await api.post("/v1/dossiers", json=again, headers=portal)

    assert (first.status_code, second.status_code) == (201, 200)


async def test_the_same_code_with_another_body_is_refused_by_field(
    api: httpx.AsyncClient, portal: dict[str, str], code: str
) -> None:
    document = body(code)
    await api.post("/v1/dossiers", json=document, headers=portal)
    other = json.loads(json.dumps(document))
    other["request"]["case"] = "reissue"
    other["pay_by"] = "vietqr"
    renamed = json.loads(json.dumps(document))
    renamed["citizen"]["name"] = "Trần Văn Bình"

    refused = await api.post("/v1/dossiers", json=other, headers=portal)
    refused_name = await api.post("/v1/dossiers", json=renamed, headers=portal)

    assert (refused.status_code, refused_name.status_code) == (409, 409)
    assert refused.json()["type"] == "/problems/dossier-exists-with-another-body"
    assert [error["field"] for error in refused.json()["errors"]] == ["pay_by", "request.case"]
    assert [error["field"] for error in refused_name.json()["errors"]] == ["citizen"]
    assert (await view(api, code, portal))["procedure"] == "passport"


async def test_two_starts_at_once_make_one_dossier(
    api: httpx.AsyncClient, wire: Wire, portal: dict[str, str], code: str
) -> None:
    document = body(code)

    answers = await asyncio.gather(*(api.post("/v1/dossiers", json=document, headers=portal) for _ in range(4)))
    await waiting(api, code, "collecting", portal)

    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert wire.world.of(code).done["open_payment"] == 1
    assert wire.world.of(code).done["start_attempt"] == 1


async def test_an_unknown_procedure_is_refused_in_the_fees_services_words(
    api: httpx.AsyncClient, wire: Wire, portal: dict[str, str], temporal: Client, code: str
) -> None:
    refused = await api.post("/v1/dossiers", json=body(code, procedure="unknown-procedure"), headers=portal)

    assert refused.status_code == 422
    assert refused.json()["type"] == "/problems/procedure-unknown"
    assert refused.json()["errors"] == [{"field": "request.procedure", "message": "không có thủ tục này"}]
    assert wire.paths() == ["POST fees/v1/quotes"]
    assert not await runs(temporal, dossier_workflow_id(code))


async def test_money_that_is_due_needs_a_way_to_be_paid(
    api: httpx.AsyncClient, wire: Wire, portal: dict[str, str], temporal: Client, code: str
) -> None:
    refused = await api.post("/v1/dossiers", json=body(code, pay_by="none"), headers=portal)

    assert refused.status_code == 422
    assert [error["field"] for error in refused.json()["errors"]] == ["pay_by"]
    assert "100000" in refused.json()["detail"]
    assert wire.paths() == ["POST fees/v1/quotes"]
    assert not await runs(temporal, dossier_workflow_id(code))


async def test_cash_on_delivery_without_a_courier_is_refused(
    api: httpx.AsyncClient, wire: Wire, portal: dict[str, str], code: str
) -> None:
    document = body(code) | {"pay_by": "cash_on_delivery"}

    refused = await api.post("/v1/dossiers", json=document, headers=portal)

    assert refused.status_code == 422
    assert wire.paths() == []


async def test_a_service_that_is_away_stops_the_start_and_nothing_is_stored(
    api: httpx.AsyncClient, wire: Wire, portal: dict[str, str], temporal: Client, code: str
) -> None:
    wire.away = True

    refused = await api.post("/v1/dossiers", json=body(code), headers=portal)

    wire.away = False
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert not await runs(temporal, dossier_workflow_id(code))
    assert code not in wire.world.payers


# --- who may -------------------------------------------------------------------------------------


async def test_no_token_and_the_wrong_scope_are_refused(
    api: httpx.AsyncClient, wire: Wire, issuer: Issuer, temporal: Client, code: str
) -> None:
    document = body(code)
    reader = issuer.headers("dossiers:read")

    answers = [
        await api.post("/v1/dossiers", json=document),
        await api.post("/v1/dossiers", json=document, headers=reader),
        await api.get(f"/v1/dossiers/{code}"),
        await api.post(f"/v1/dossiers/{code}/facts", json=fact("accepted")),
        await api.post(f"/v1/dossiers/{code}/facts", json=fact("accepted"), headers=issuer.headers("dossiers:write")),
        await api.post(f"/v1/dossiers/{code}/withdrawal", json={}, headers=reader),
    ]

    assert [answer.status_code for answer in answers] == [401, 403, 401, 401, 403, 403]
    assert answers[0].headers["content-type"] == "application/problem+json"
    assert wire.paths() == []
    assert not await runs(temporal, dossier_workflow_id(code))


async def test_another_agency_does_not_find_the_dossier(
    api: httpx.AsyncClient, issuer: Issuer, portal: dict[str, str], code: str
) -> None:
    await api.post("/v1/dossiers", json=body(code), headers=portal)
    stranger = issuer.headers("dossiers:decide", "dossiers:read", "dossiers:write", org="H26.16")

    answers = [
        await api.get(f"/v1/dossiers/{code}", headers=stranger),
        await api.post(f"/v1/dossiers/{code}/facts", json=fact("refused"), headers=stranger),
        await api.post(f"/v1/dossiers/{code}/withdrawal", json={}, headers=stranger),
        await api.post(f"/v1/dossiers/{code}/deadlines", json={"step": "payment", "seconds": 1}, headers=stranger),
    ]

    assert [answer.status_code for answer in answers] == [404] * 4
    assert (await view(api, code, portal))["phase"] == "collecting"


# --- facts and commands ---------------------------------------------------------------------------


async def test_a_dossier_is_led_to_its_result_and_late_facts_are_named(
    api: httpx.AsyncClient, wire: Wire, portal: dict[str, str], agency: dict[str, str], code: str
) -> None:
    await api.post("/v1/dossiers", json=body(code), headers=portal)
    await waiting(api, code, "collecting", portal)
    wire.world.of(code).receive(100_000)
    paid = await said(api, "payment", "payment.received", payment_event(code, f"evt-{code}-1"))
    for kind in ("accepted", "result_ready", "handed_over"):
        answer = await api.post(f"/v1/dossiers/{code}/facts", json=fact(kind), headers=agency)
        assert (answer.status_code, answer.json()) == (202, {"result": "signalled"})

    end = await until(lambda: view(api, code, portal), lambda seen: seen["outcome"] is not None)
    late = await until_late(api, code, agency)
    late_news = await said(api, "payment", "payment.received", payment_event(code, f"evt-{code}-2"))

    assert paid.json() == {"result": "signalled"}
    assert (end["outcome"], end["portal_status"], end["money"]["paid_dong"]) == ("result_handed_over", 10, 100_000)
    assert (late.status_code, late.json()) == (202, {"result": "late"})
    assert late_news.json() == {"result": "late"}


async def until_late(api: httpx.AsyncClient, code: str, agency: dict[str, str]) -> httpx.Response:
    """The same fact again until the closing of the workflow, an instant after its last view, is done."""

    async def again() -> httpx.Response:
        return await api.post(f"/v1/dossiers/{code}/facts", json=fact("handed_over"), headers=agency)

    answer: httpx.Response = await until(again, lambda response: response.json()["result"] == "late")
    return answer


async def test_a_fact_about_nothing_and_a_fact_without_time_zone_are_refused(
    api: httpx.AsyncClient, agency: dict[str, str], portal: dict[str, str], code: str
) -> None:
    unknown = await api.post(f"/v1/dossiers/{code}/facts", json=fact("accepted"), headers=agency)
    naive = fact("accepted") | {"occurred_at": "2026-01-05T08:00:00"}
    bad = await api.post(f"/v1/dossiers/{code}/facts", json=naive, headers=agency)
    no_view = await api.get(f"/v1/dossiers/{code}", headers=portal)
    no_withdrawal = await api.post(f"/v1/dossiers/{code}/withdrawal", json={}, headers=portal)

    assert [answer.status_code for answer in (unknown, bad, no_view, no_withdrawal)] == [404, 422, 404, 404]


async def test_a_withdrawal_said_twice_is_answered_the_same_also_after_the_end(
    api: httpx.AsyncClient, portal: dict[str, str], code: str
) -> None:
    await api.post("/v1/dossiers", json=body(code), headers=portal)
    await waiting(api, code, "collecting", portal)

    first = await api.post(f"/v1/dossiers/{code}/withdrawal", json={}, headers=portal)
    end = await until(lambda: view(api, code, portal), lambda seen: seen["outcome"] is not None)
    second = await api.post(f"/v1/dossiers/{code}/withdrawal", json={}, headers=portal)
    other = await until(
        lambda: api.post(f"/v1/dossiers/{code}/withdrawal", json={"reason": "khác"}, headers=portal),
        lambda response: response.json()["type"] == "/problems/wrong-moment",
    )

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert (end["outcome"], end["portal_status"], end["money"]["status"]) == ("withdrawn", 7, "cancelled")
    assert other.status_code == 409


async def test_a_withdrawal_after_the_result_is_refused(
    api: httpx.AsyncClient, portal: dict[str, str], agency: dict[str, str], code: str
) -> None:
    await api.post("/v1/dossiers", json=body(code, pay_when="on_return"), headers=portal)
    for kind in ("accepted", "result_ready"):
        await api.post(f"/v1/dossiers/{code}/facts", json=fact(kind), headers=agency)
    await waiting(api, code, "collecting", portal)

    refused = await api.post(f"/v1/dossiers/{code}/withdrawal", json={}, headers=portal)

    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/cannot-withdraw-now")
    assert (await view(api, code, portal))["phase"] == "collecting"


async def test_a_deadline_is_moved_anew_by_each_call_and_once_by_a_repeated_key(
    api: httpx.AsyncClient, portal: dict[str, str], code: str
) -> None:
    await api.post("/v1/dossiers", json=body(code), headers=portal)
    await waiting(api, code, "collecting", portal)
    path, move = f"/v1/dossiers/{code}/deadlines", {"step": "payment", "seconds": 3600}

    async def moved(headers: dict[str, str]) -> tuple[int, str]:
        answer = await api.post(path, json=move, headers=headers)
        seen = await waiting(api, code, "collecting", portal)
        return answer.status_code, seen["waits_until"]

    keyed = portal | {"idempotency-key": "k-1"}
    first, repeated = await moved(keyed), await moved(keyed)
    anew, again = await moved(portal), await moved(portal)

    assert {first[0], repeated[0], anew[0], again[0]} == {200}
    assert first[1] == repeated[1]
    assert first[1] < anew[1] < again[1]


async def test_paying_again_replaces_the_try_that_is_alive(
    api: httpx.AsyncClient, wire: Wire, portal: dict[str, str], code: str
) -> None:
    await api.post("/v1/dossiers", json=body(code, pay_by="vietqr"), headers=portal)
    await waiting(api, code, "collecting", portal)
    path = f"/v1/dossiers/{code}/attempts"

    no_key = await api.post(path, json={"method": "card"}, headers=portal)
    keyed = portal | {"idempotency-key": "again-1"}
    first = await api.post(path, json={"method": "card"}, headers=keyed)
    second = await api.post(path, json={"method": "card"}, headers=keyed)

    assert (no_key.status_code, first.status_code, second.status_code) == (422, 201, 201)
    assert first.json() == second.json()
    attempts = wire.world.of(code).attempts
    assert [(attempt.method, attempt.status) for attempt in attempts] == [("vietqr", "expired"), ("card", "pending")]


# --- webhooks --------------------------------------------------------------------------------------


async def test_a_webhook_is_believed_only_when_it_is_signed_and_fresh(
    api: httpx.AsyncClient, portal: dict[str, str], code: str
) -> None:
    await api.post("/v1/dossiers", json=body(code), headers=portal)
    event = payment_event(code, f"evt-{code}")

    good = await said(api, "payment", "payment.received", event)
    bad = [
        await said(api, "payment", "payment.received", event, secret=new_webhook_secret()),
        await said(api, "payment", "payment.received", event, at=datetime.now(UTC) - timedelta(minutes=6)),
        await said(api, "payment", "payment.received", event, sent='{"type":"payment.received","data":{}}'),
        await api.post("/webhooks/payment", json={"type": "payment.received", "data": event}),
        await said(api, "fees", "tariff.changed", {}, secret=new_webhook_secret()),
    ]

    assert (good.status_code, good.json()) == (200, {"result": "signalled"})
    assert [answer.status_code for answer in bad] == [401] * 5
    assert (await said(api, "fees", "tariff.changed", {})).json() == {"result": "ignored"}


async def test_excess_money_starts_one_refund_however_often_it_is_announced(
    api: httpx.AsyncClient, wire: Wire, portal: dict[str, str], temporal: Client, code: str
) -> None:
    await api.post("/v1/dossiers", json=body(code), headers=portal)
    await waiting(api, code, "collecting", portal)
    desk = wire.world.of(code)
    desk.receive(130_000)
    event = payment_event(code, f"evt-{code}", amount_dong=30_000)
    workflow_id = refund_workflow_id(f"excess/evt-{code}")

    answers = [await said(api, "payment", "payment.excess_received", event) for _ in range(3)]
    await desk.called("request_refund")
    desk.decide("rejected")
    await said(
        api, "payment", "refund.rejected", payment_event(code, f"evt-{code}-r", request_key=f"excess/evt-{code}")
    )
    handle = temporal.get_workflow_handle(workflow_id)
    await until(handle.describe, lambda described: described.status is WorkflowExecutionStatus.COMPLETED)
    late = await said(api, "payment", "payment.excess_received", event)

    assert [answer.status_code for answer in [*answers, late]] == [200] * 4
    assert [(refund.amount_dong, refund.source, refund.reason) for refund in desk.refunds.values()] == [
        (30_000, "excess", "overpaid")
    ]
    assert desk.arrivals("request_refund") == 1
    executions = [found async for found in temporal.list_workflows(f'WorkflowId = "{workflow_id}"')]
    assert len(executions) == 1


async def test_a_shipments_news_reaches_its_dossier(
    api: httpx.AsyncClient, wire: Wire, portal: dict[str, str], code: str
) -> None:
    await api.post("/v1/dossiers", json=body(code, send=True), headers=portal)
    await waiting(api, code, "collecting", portal)
    desk = wire.world.of(code)
    desk.receive(130_000)
    await said(api, "payment", "payment.received", payment_event(code, f"evt-{code}-1"))
    await waiting(api, code, "picking_up", portal)
    desk.move("outbound", "collected")
    event = {
        "event_id": f"evt-{code}-2",
        "dossier_code": code,
        "shipment_id": desk.latest("outbound").id,
        "direction": "outbound",
        "status": "collected",
        "occurred_at": NOW,
    }

    answer = await said(api, "postal", "shipment.collected", event)
    seen = await until(lambda: view(api, code, portal), lambda found: found["legs"][0]["status"] == "collected")

    assert answer.json() == {"result": "signalled"}
    assert seen["papers"] == "post"


async def test_a_booking_begins_the_watch_of_its_deadlines_and_news_wakes_it(
    api: httpx.AsyncClient, wire: Wire, temporal: Client, code: str
) -> None:
    desk = wire.world.of(code)
    now = datetime.now(UTC)
    desk.journey = Journey("booked", now, now, now)
    event = {
        "event_id": f"evt-{code}-1",
        "dossier_code": code,
        "shipment_id": f"shp_{code}_1",
        "direction": "return",
        "status": "booked",
        "occurred_at": NOW,
    }
    watch = temporal.get_workflow_handle_for(WatchWorkflow.run, watch_workflow_id(f"shp_{code}_1"))

    for _ in range(2):
        await said(api, "postal", "shipment.booked", event)
    await until(lambda: watch.query(WatchWorkflow.view), lambda found: found is not None)
    desk.journey = Journey("delivered", now, now, now)
    await said(api, "postal", "shipment.delivered", {**event, "event_id": f"evt-{code}-2", "status": "delivered"})
    result = await asyncio.wait_for(watch.result(), 20)
    wish = await said(api, "postal", "wish.accepted", {**event, "event_id": f"evt-{code}-3"})

    assert (result.end, result.breaches) == ("ended", ())
    assert 2 <= len(desk.looks) <= 3
    assert wish.json() == {"result": "ignored"}


async def test_a_deposit_is_remitted_once(api: httpx.AsyncClient, wire: Wire, temporal: Client, code: str) -> None:
    deposit = {
        "event_id": f"evt-{code}",
        "deposit_id": f"dep-{code}",
        "reference": f"ref-{code}",
        "amount_dong": 160_000,
        "collector": "buu-ta-1",
        "deposited_at": NOW,
        "dossier_codes": [code],
    }

    answers = [await said(api, "postal", "deposit.made", deposit) for _ in range(2)]
    await temporal.get_workflow_handle(remittance_workflow_id(f"dep-{code}")).result()

    assert [answer.json() for answer in answers] == [{"result": "started"}] * 2
    assert wire.world.remittances[f"evt-{code}"].amount_dong == 160_000
    assert wire.paths("POST") == ["POST payment/v1/remittances", f"POST postal/v1/deposits/dep-{code}/remitted"]


async def test_news_of_statements_wakes_only_a_day_that_waits(api: httpx.AsyncClient) -> None:
    statement = {
        "event_id": "evt-s-0001",
        "business_date": date(2026, 1, 5).isoformat(),
        "account": "1020",
        "occurred_at": NOW,
    }

    assert (await said(api, "payment", "statement.imported", statement)).json() == {"result": "late"}
    assert (await said(api, "payment", "statement.imported", {"event_id": "x"})).json() == {"result": "ignored"}


# --- when Temporal or its workers are away ----------------------------------------------------------


async def test_without_temporal_nothing_is_started_or_stored_and_everything_says_so(
    lonely_api: httpx.AsyncClient, wire: Wire, portal: dict[str, str], agency: dict[str, str], code: str
) -> None:
    answers = [
        await lonely_api.post("/v1/dossiers", json=body(code), headers=portal),
        await lonely_api.get(f"/v1/dossiers/{code}", headers=portal),
        await lonely_api.post(f"/v1/dossiers/{code}/facts", json=fact("accepted"), headers=agency),
        await lonely_api.post(f"/v1/dossiers/{code}/withdrawal", json={}, headers=portal),
        await said(lonely_api, "payment", "payment.received", payment_event(code, "evt-1")),
        await lonely_api.get("/readyz"),
    ]

    assert [(answer.status_code, answer.headers.get("retry-after")) for answer in answers] == [(503, "2")] * 6
    assert answers[0].json()["type"] == "/problems/unavailable"
    assert wire.paths() == []
    assert (await lonely_api.get("/healthz")).status_code == 200


async def test_without_a_worker_facts_are_kept_and_repeats_find_what_was_asked_for_done(
    server: Client,
    wire: Wire,
    issuer: Issuer,
    portal: dict[str, str],
    agency: dict[str, str],
    code: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coordinator, "RPC_TIMEOUT", timedelta(milliseconds=400))
    target = server.service_client.config.target_host
    document, withdrawal = body(code), f"/v1/dossiers/{code}/withdrawal"
    app = create_app(settings(target, namespace="idle"))
    async with running(app, issuer) as api, AsyncExitStack() as stack:
        await replace_services(app, wire)

        started = await api.post("/v1/dossiers", json=document, headers=portal)
        told = await api.post(f"/v1/dossiers/{code}/facts", json=fact("accepted"), headers=agency)
        commanded = await api.post(withdrawal, json={}, headers=portal)
        monkeypatch.undo()
        client = await Client.connect(target, namespace="idle", data_converter=pydantic_data_converter)
        for worker in create_workers(client, app.state.services, max_concurrent_activities=5):
            await stack.enter_async_context(worker)
        again = await api.post("/v1/dossiers", json=document, headers=portal)
        repeated = await until(
            lambda: api.post(withdrawal, json={}, headers=portal), lambda answer: answer.status_code != 503
        )
        end = await until(lambda: view(api, code, portal), lambda seen: seen["outcome"] is not None)

    assert [(answer.status_code, answer.headers["retry-after"]) for answer in (started, commanded)] == [(503, "2")] * 2
    assert (told.status_code, told.json()) == (202, {"result": "signalled"})
    assert (again.status_code, repeated.status_code) == (200, 200)
    assert end["outcome"] == "withdrawn"
