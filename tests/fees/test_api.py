"""The service over HTTP, on a real database: who may ask, what is kept, and that it never changes."""

import asyncio
import os
import subprocess
import sys
from typing import Any

import asyncpg
import httpx
import pytest
from openapi_spec_validator import validate

from services.fees.app import create_app
from services.fees.contract import (
    ProcedureDetail,
    ProcedurePage,
    ProcedureTariff,
    Quote,
    QuoteExplanation,
    TariffPage,
)
from tests.conftest import ROOT, Issuer, running
from tests.fees.conftest import PASSPORT, settings_for


async def _quote(client: httpx.AsyncClient, issuer: Issuer, key: str = "k1", **changes: Any) -> Quote:
    answer = await client.post("/v1/quotes", json=PASSPORT | changes, headers=issuer.headers("fees:quote", key=key))
    assert answer.status_code == 201, answer.text
    return Quote.model_validate(answer.json())


async def _count(url: str, table: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval(f"select count(*) from {table}"))
    finally:
        await connection.close()


async def test_a_quote_is_given_kept_and_read_back_the_same(client: httpx.AsyncClient, issuer: Issuer) -> None:
    quote = await _quote(client, issuer)
    answer = await client.get(f"/v1/quotes/{quote.id}", headers=issuer.headers("fees:read"))

    assert (quote.total_dong, quote.citizen_dong, quote.budget_dong) == (180_000, 180_000, 0)
    assert quote.id.startswith("quo_")
    assert (quote.expires_at - quote.created_at).days == 30
    assert quote.title.vi == "Hộ chiếu phổ thông"
    assert quote.request.filed_on.isoformat() == "2025-12-31"
    assert Quote.model_validate(answer.json()) == quote


async def test_payers_of_a_supported_quote_are_told_apart(client: httpx.AsyncClient, issuer: Issuer) -> None:
    quote = await _quote(client, issuer, province="01", commune="00070", filed_on="2026-01-01")

    assert (quote.total_dong, quote.citizen_dong, quote.budget_dong) == (200_000, 0, 200_000)


async def test_the_same_facts_have_the_same_hash_and_lines_under_any_spelling(
    client: httpx.AsyncClient, issuer: Issuer
) -> None:
    groups = ["student", "poor_household"]
    one = await _quote(client, issuer, procedure="criminal-record", case=None, applicant_groups=groups)
    other = await _quote(
        client, issuer, key="k2", procedure="2.000488.000.00.00.H29", case=None, applicant_groups=groups[::-1]
    )
    third = await _quote(client, issuer, key="k3", procedure="criminal-record", case=None)

    assert one.id != other.id
    assert (one.inputs_hash, one.lines) == (other.inputs_hash, other.lines)
    assert third.inputs_hash != one.inputs_hash


async def test_a_repeated_key_answers_from_store(client: httpx.AsyncClient, issuer: Issuer, fees_url: str) -> None:
    headers = issuer.headers("fees:quote", key="same")
    first = await client.post("/v1/quotes", json=PASSPORT, headers=headers)
    second = await client.post("/v1/quotes", json=PASSPORT, headers=headers)
    other = await client.post("/v1/quotes", json=PASSPORT | {"channel": "counter"}, headers=headers)

    assert (first.status_code, second.status_code, other.status_code) == (201, 201, 422)
    assert first.content == second.content
    assert second.headers["idempotent-replayed"] == "true"
    assert await _count(fees_url, "quote") == 1


async def test_two_calls_at_once_with_one_key_make_one_quote(
    client: httpx.AsyncClient, issuer: Issuer, fees_url: str
) -> None:
    headers = issuer.headers("fees:quote", key="race")
    answers = await asyncio.gather(*(client.post("/v1/quotes", json=PASSPORT, headers=headers) for _ in range(4)))

    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert await _count(fees_url, "quote") == 1


async def test_a_write_without_key_is_refused(client: httpx.AsyncClient, issuer: Issuer, fees_url: str) -> None:
    answer = await client.post("/v1/quotes", json=PASSPORT, headers=issuer.headers("fees:quote"))

    assert answer.status_code == 400
    assert await _count(fees_url, "quote") == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/quotes"),
        ("GET", "/v1/quotes/quo_1"),
        ("GET", "/v1/quotes/quo_1/explanation"),
        ("GET", "/v1/procedures"),
        ("GET", "/v1/procedures/passport"),
        ("GET", "/v1/tariffs"),
        ("GET", "/v1/versions"),
        ("GET", "/v1/versions/1/changes"),
        ("GET", "/v1/drafts"),
        ("POST", "/v1/explanations"),
    ],
)
async def test_a_caller_without_token_or_scope_is_refused(
    client: httpx.AsyncClient, issuer: Issuer, fees_url: str, method: str, path: str
) -> None:
    body = PASSPORT if method == "POST" else None
    nobody = await client.request(method, path, json=body, headers={"idempotency-key": "k"})
    stranger = await client.request(method, path, json=body, headers=issuer.headers("payments:read", key="k"))

    assert (nobody.status_code, stranger.status_code) == (401, 403)
    assert await _count(fees_url, "quote") == 0


async def test_reading_rights_do_not_allow_quoting(client: httpx.AsyncClient, issuer: Issuer) -> None:
    answer = await client.post("/v1/quotes", json=PASSPORT, headers=issuer.headers("fees:read", key="k"))

    assert answer.status_code == 403


@pytest.mark.parametrize(("language", "says"), [("vi", "không có thủ tục"), ("en", "there is no procedure")])
async def test_a_refusal_names_the_field_in_the_language_asked(
    client: httpx.AsyncClient, issuer: Issuer, fees_url: str, language: str, says: str
) -> None:
    headers = issuer.headers("fees:quote", key="k") | {"accept-language": language}
    answer = await client.post("/v1/quotes", json=PASSPORT | {"procedure": "nothing"}, headers=headers)

    document = answer.json()
    assert (answer.status_code, document["type"]) == (422, "/problems/not-quotable")
    assert answer.headers["content-type"] == "application/problem+json"
    assert document["errors"][0]["field"] == "procedure"
    assert says in document["errors"][0]["message"]
    assert await _count(fees_url, "quote") == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"filed_on": "2025-13-01"},
        {"filed_on": 20251231},
        {"channel": "telepathy"},
        {"province": "1"},
        {"quantities": {"copies": 0}},
        {"quantities": {"copies": 1.5}},
        {"quantities": {"copies": 10**30}},
        {"facts": {"vehicle_value_dong": 10**30}},
        {"unknown": 1},
        {"agency": "\x00"},
        {"procedure": "pass\x00port"},
        {"postal": {"send": True, "send_weight_grams": 0}},
    ],
)
async def test_a_malformed_body_is_refused_with_422(
    client: httpx.AsyncClient, issuer: Issuer, changes: dict[str, Any]
) -> None:
    answer = await client.post("/v1/quotes", json=PASSPORT | changes, headers=issuer.headers("fees:quote", key="k"))

    assert answer.status_code == 422
    assert answer.json()["errors"]


@pytest.mark.parametrize("identity", ["quo_nothing", "%00", "x" * 60, "Hộ"])
async def test_an_unknown_quote_is_404(client: httpx.AsyncClient, issuer: Issuer, identity: str) -> None:
    answer = await client.get(f"/v1/quotes/{identity}", headers=issuer.headers("fees:read"))

    assert answer.status_code == 404


@pytest.mark.parametrize(
    "statement",
    [
        "update quote set citizen_dong = 0, total_dong = 0",
        "delete from quote",
        "truncate quote",
        "update catalogue_version set author = 'me'",
        "delete from catalogue_version",
    ],
)
async def test_the_database_refuses_to_change_a_quote_or_a_version(
    client: httpx.AsyncClient, issuer: Issuer, fees_url: str, statement: str
) -> None:
    quote = await _quote(client, issuer)
    connection = await asyncpg.connect(fees_url)
    try:
        with pytest.raises(asyncpg.PostgresError, match=r"never changed or deleted|foreign key"):
            await connection.execute(statement)
    finally:
        await connection.close()

    answer = await client.get(f"/v1/quotes/{quote.id}", headers=issuer.headers("fees:read"))
    assert Quote.model_validate(answer.json()) == quote


async def test_the_database_refuses_a_quote_whose_payers_do_not_sum(
    client: httpx.AsyncClient, issuer: Issuer, fees_url: str
) -> None:
    await _quote(client, issuer)
    connection = await asyncpg.connect(fees_url)
    try:
        with pytest.raises(asyncpg.CheckViolationError, match="payers_sum_to_total"):
            await connection.execute(
                "insert into quote select 'quo_x', created_at, expires_at, inputs_hash, catalogue_version, procedure, "
                "title, request, lines, total_dong + 1, citizen_dong, budget_dong, requested_by from quote"
            )
    finally:
        await connection.close()


async def test_an_explanation_says_why_in_both_languages(client: httpx.AsyncClient, issuer: Issuer) -> None:
    quote = await _quote(client, issuer)
    answer = await client.get(f"/v1/quotes/{quote.id}/explanation", headers=issuer.headers("fees:read"))

    explanation = QuoteExplanation.model_validate(answer.json())
    assert explanation.summary.vi == (
        "Hộ chiếu phổ thông, nộp ngày 31/12/2025: tổng 180.000 ₫; người nộp trả 180.000 ₫, ngân sách trả 0 ₫."
    )
    assert explanation.lines[0].sentences[1].en.startswith("Reduced by 10% under Article 5 of Circular 63/2023/TT-BTC")


async def test_the_shipped_catalogue_is_published_once_however_many_processes_start(
    fees_url: str, issuer: Issuer
) -> None:
    apps = [create_app(settings_for(fees_url)) for _ in range(3)]
    async with running(apps[0], issuer), running(apps[1], issuer), running(apps[2], issuer):
        pass

    connection = await asyncpg.connect(fees_url)
    try:
        rows = await connection.fetch("select version, sha256, author from catalogue_version")
        kinds = await connection.fetch("select kind, subject from outbox_event")
    finally:
        await connection.close()
    tariff = apps[0].state.tariff
    assert [tuple(row) for row in rows] == [(tariff.version, tariff.sha256, "release")]
    assert [tuple(row) for row in kinds] == [("catalogue.published", tariff.version)]


async def test_a_quote_keeps_the_version_it_was_made_under(client: httpx.AsyncClient, issuer: Issuer) -> None:
    quote = await _quote(client, issuer)
    app = client._transport.app  # type: ignore[attr-defined]

    assert quote.catalogue_version == app.state.tariff.version


@pytest.mark.parametrize("words", ["ho chieu", "Hộ chiếu", "HO CHIEU pho", "passport"])
async def test_procedures_are_found_with_or_without_marks(
    client: httpx.AsyncClient, issuer: Issuer, words: str
) -> None:
    answer = await client.get("/v1/procedures", params={"q": words}, headers=issuer.headers("fees:read"))

    assert [item.slug for item in ProcedurePage.model_validate(answer.json()).items] == ["passport"]


async def test_pages_of_procedures_hold_each_once(client: httpx.AsyncClient, issuer: Issuer) -> None:
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params: dict[str, str | int] = {"limit": 5} | ({"cursor": cursor} if cursor else {})
        answer = await client.get("/v1/procedures", params=params, headers=issuer.headers("fees:quote"))
        page = ProcedurePage.model_validate(answer.json())
        seen += [item.slug for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break

    app = client._transport.app  # type: ignore[attr-defined]
    assert seen == [procedure.slug for procedure in app.state.tariff.catalogue.procedures]


async def test_the_tariff_of_a_day_holds_what_is_in_force(client: httpx.AsyncClient, issuer: Issuer) -> None:
    headers = issuer.headers("fees:read")
    last = await client.get("/v1/procedures/criminal-record", params={"on": "2025-12-31"}, headers=headers)
    first = await client.get("/v1/procedures/2.000488", params={"on": "2026-01-01"}, headers=headers)
    whole = await client.get("/v1/procedures/criminal-record", headers=headers)

    in_window = {entry.item for entry in ProcedureDetail.model_validate(last.json()).adjustments}
    after = {entry.item for entry in ProcedureDetail.model_validate(first.json()).adjustments}
    assert in_window - after == {"criminal-record-online-2025", "criminal-record-online-groups-2025"}
    assert after - in_window == {"ha-noi-support-2026"}
    assert len(ProcedureDetail.model_validate(whole.json()).tariff) == 4


async def test_the_whole_tariff_of_a_day_is_paged_and_names_its_publication(
    client: httpx.AsyncClient, issuer: Issuer
) -> None:
    headers = issuer.headers("fees:read")
    found = TariffPage.model_validate(
        (await client.get("/v1/tariffs", params={"on": "2025-12-31", "q": "ho chieu"}, headers=headers)).json()
    )
    first = TariffPage.model_validate((await client.get("/v1/tariffs", params={"limit": 2}, headers=headers)).json())
    after: dict[str, str | int] = {"limit": 2, "cursor": first.next_cursor or ""}
    second = TariffPage.model_validate((await client.get("/v1/tariffs", params=after, headers=headers)).json())
    one = await client.get("/v1/procedures/passport/tariff", params={"on": "2026-01-01"}, headers=headers)

    (passport,) = found.items
    assert (found.publication, str(found.on), passport.slug) == (1, "2025-12-31", "passport")
    assert [entry.description.vi for entry in passport.rates] == ["200.000 ₫", "400.000 ₫"]
    assert len({item.slug for item in (*first.items, *second.items)}) == 4
    tariff = ProcedureTariff.model_validate(one.json())
    windows = {entry.item for entry in passport.adjustments} - {entry.item for entry in tariff.adjustments}
    assert len(windows) == 1
    assert all(entry.valid_from <= tariff.on for entry in (*tariff.rates, *tariff.adjustments))
    assert (await client.get("/v1/procedures/nothing/tariff", headers=headers)).status_code == 404


async def test_an_unknown_procedure_is_404_and_a_bad_cursor_422(client: httpx.AsyncClient, issuer: Issuer) -> None:
    headers = issuer.headers("fees:read")

    assert (await client.get("/v1/procedures/nothing", headers=headers)).status_code == 404
    assert (await client.get("/v1/procedures/%00", headers=headers)).status_code == 404
    assert (await client.get("/v1/procedures", params={"cursor": "x"}, headers=headers)).status_code == 422


async def test_the_openapi_document_is_valid(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()

    validate(document)
    assert document["openapi"].startswith("3.1")
    headers = [p["name"] for p in document["paths"]["/v1/quotes"]["post"]["parameters"]]
    assert headers == ["Idempotency-Key"]


async def test_models_and_migrations_agree(fees_url: str) -> None:
    environment = {**os.environ, "FEES_DATABASE_URL": fees_url}
    command = [sys.executable, "-m", "alembic", "-n", "fees", "check"]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
