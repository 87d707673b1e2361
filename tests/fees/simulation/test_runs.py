"""A run over HTTP: started, watched, cancelled, taken away as CSV and Excel, and found again after a restart."""

import asyncio
import csv
import io
from datetime import timedelta
from typing import Any, cast

import httpx
import openpyxl
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from kit.db import now, transaction
from kit.spreadsheets import harmless
from services.fees.contract import Text
from services.fees.simulation.exports import result_csv
from services.fees.simulation.runs import NEXT, SILENT_AFTER, Runs
from services.fees.simulation.terms import Simulation, SimulationResult
from tests.conftest import Issuer
from tests.fees.simulation.test_impact import HEADER, SUPPORT, WAIVER, row

SMALL: dict[str, Any] = {
    "generated": {"year": 2026, "count": 2_000, "seed": 3, "province": "48"},
    "draft_a": {"title": "0 đồng", "yaml": WAIVER, "uptake_percent": 20},
}


def officer(issuer: Issuer, key: str | None = None) -> dict[str, str]:
    return issuer.headers("fees:draft", key=key, subject="can-bo-phi")


async def finished(client: httpx.AsyncClient, issuer: Issuer, identity: str) -> Simulation:
    async with asyncio.timeout(60):
        while True:
            answer = await client.get(f"/v1/simulations/{identity}", headers=officer(issuer))
            run = Simulation.model_validate(answer.json())
            if run.status != "running":
                return run
            await asyncio.sleep(0.1)


async def test_a_run_ends_with_a_result_that_can_be_taken_away(
    client: httpx.AsyncClient, issuer: Issuer, app: FastAPI
) -> None:
    both = SMALL | {"draft_b": {"title": "=1+1", "yaml": SUPPORT}}
    started = await client.post("/v1/simulations", json=both, headers=officer(issuer, "one"))
    again = await client.post("/v1/simulations", json=both, headers=officer(issuer, "one"))

    assert started.status_code == 202
    assert again.json()["id"] == started.json()["id"]
    run = await finished(client, issuer, started.json()["id"])
    assert run.status == "done"
    assert run.author == "can-bo-phi"
    assert run.progress_percent == 100
    result = run.result
    assert result is not None
    assert (result.dossiers_read, result.version) == (2_000, run.catalogue_version)
    assert result.impacts["a"].total.revenue_lost > 0
    assert result.impacts["b"].total.support > 0
    assert result.checked_by_engine == 900
    assert result.peak_memory_bytes > 10 * 1024**2

    sheet = await client.get(f"/v1/simulations/{run.id}/result.csv?lang=vi", headers=officer(issuer))
    rows = list(csv.reader(io.StringIO(sheet.content.decode("utf-8-sig"))))
    assert rows[0][0] == "Dự thảo"
    months = [int(line[9]) for line in rows if line[0] == "A: 0 đồng" and line[1] == "Tháng"]
    assert sum(months) == result.impacts["a"].total.revenue_lost

    book = await client.get(f"/v1/simulations/{run.id}/result.xlsx", headers=officer(issuer))
    opened = openpyxl.load_workbook(io.BytesIO(book.content))
    cells = [cell for page in opened for line in page for cell in line if cell.value is not None]
    assert len(opened.sheetnames) == 7
    assert {cell.data_type for cell in cells} <= {"s", "n"}
    assert any(cell.value == result.impacts["a"].total.revenue_lost for cell in cells)

    listed = await client.get("/v1/simulations", headers=officer(issuer))
    assert [(item["id"], item["result"]) for item in listed.json()["items"]] == [(run.id, None)]
    async with app.state.sessions() as session:
        connection = await session.connection()
        with pytest.raises(DBAPIError, match="ended is never changed"):
            await connection.execute(text("update simulation_run set author = 'somebody'"))


async def test_a_file_is_uploaded_once_and_its_bad_lines_end_the_run(client: httpx.AsyncClient, issuer: Issuer) -> None:
    good = "\n".join([HEADER, row("2026-03-02"), row("2026-04-02")]).encode()
    bad = good + b"\n" + row("someday").encode()
    names = []
    for content in (good, good, bad):
        kept = await client.post("/v1/simulations/files", content=content, headers=officer(issuer))
        assert kept.status_code == 201
        names.append(kept.json()["sha256"])
    assert names[0] == names[1] != names[2]

    ended = []
    for number, name in enumerate(names[1:]):
        body = {"file": name, "draft_a": SMALL["draft_a"]}
        started = await client.post("/v1/simulations", json=body, headers=officer(issuer, f"file-{number}"))
        ended.append(await finished(client, issuer, started.json()["id"]))

    assert ended[0].status == "done"
    assert ended[0].result is not None
    assert ended[0].result.impacts["a"].total.revenue_lost == 400_000
    assert ended[1].status == "failed"
    assert ended[1].failure is not None
    assert "dòng 4: ngày nộp 'someday' không đúng" in ended[1].failure.vi
    empty = await client.post("/v1/simulations/files", content=b"", headers=officer(issuer))
    assert empty.status_code == 422


REFUSED: list[tuple[dict[str, Any], int]] = [
    ({"file": "a" * 64}, 422),
    ({"generated": None}, 422),
    ({"generated": None, "file": "a" * 64}, 404),
    ({"draft_a": {"title": "x", "yaml": "adjustments:\n  - id: &a x\n    kind: *a\n"}}, 422),
    ({"draft_a": {"title": "x", "yaml": WAIVER.replace("dt-2025-dn", "no-such-law")}}, 422),
    ({"draft_a": {"title": "x", "yaml": WAIVER.replace("2026-03-01", "20260301")}}, 422),
    ({"draft_a": {"title": "x", "yaml": SUPPORT.replace("50", "150")}}, 422),
    ({"draft_a": {"title": "x", "yaml": WAIVER, "uptake_percent": 101}}, 422),
]


async def test_what_cannot_be_run_is_refused_and_nothing_is_kept(client: httpx.AsyncClient, issuer: Issuer) -> None:
    for change, status in REFUSED:
        answer = await client.post("/v1/simulations", json=SMALL | change, headers=officer(issuer, "no"))
        assert answer.status_code == status, answer.text

    listed = await client.get("/v1/simulations", headers=officer(issuer))
    assert listed.json()["items"] == []


async def test_a_faulty_draft_is_told_by_line_in_both_languages(client: httpx.AsyncClient, issuer: Issuer) -> None:
    body = SMALL | {"draft_a": {"title": "x", "yaml": SUPPORT.replace("support_percent: 50", "support_percent: 150")}}
    said = {}
    for lang in ("vi", "en"):
        headers = officer(issuer, "no") | {"accept-language": lang}
        answer = await client.post("/v1/simulations", json=body, headers=headers)
        said[lang] = answer.json()["errors"][0]

    assert said["vi"]["field"] == said["en"]["field"] == "draft_a.yaml:7"
    assert "từ 0 đến 100" in said["vi"]["message"]
    assert "from 0 to 100" in said["en"]["message"]


async def test_only_fee_officers_simulate(client: httpx.AsyncClient, issuer: Issuer) -> None:
    for scopes in (("fees:quote",), ("fees:read",)):
        answer = await client.post("/v1/simulations", json=SMALL, headers=issuer.headers(*scopes, key="k"))
        assert answer.status_code == 403
    assert (await client.get("/v1/simulations/sim_none", headers=officer(issuer))).status_code == 404
    assert (await client.get("/simulations", follow_redirects=False)).status_code == 303


async def test_a_running_simulation_is_cancelled_and_has_no_result(
    client: httpx.AsyncClient, issuer: Issuer, app: FastAPI
) -> None:
    large = SMALL | {"generated": {"year": 2026, "count": 10_000_000}}
    started = await client.post("/v1/simulations", json=large, headers=officer(issuer, "large"))
    identity = started.json()["id"]

    cancelled = await client.post(f"/v1/simulations/{identity}/cancel", headers=officer(issuer))
    twice = await client.post(f"/v1/simulations/{identity}/cancel", headers=officer(issuer))

    assert (cancelled.json()["status"], twice.json()["status"]) == ("cancelled", "cancelled")
    nothing = await client.get(f"/v1/simulations/{identity}/result.csv", headers=officer(issuer))
    assert nothing.status_code == 409
    runs = cast("Runs", app.state.simulations)
    async with asyncio.timeout(20):
        await asyncio.gather(*runs._tasks.values())
    assert not runs._workers


async def test_a_third_run_waits_for_its_turn(client: httpx.AsyncClient, issuer: Issuer) -> None:
    large = SMALL | {"generated": {"year": 2026, "count": 10_000_000}}
    answers = [
        await client.post("/v1/simulations", json=large, headers=officer(issuer, f"large-{n}")) for n in range(3)
    ]

    assert [answer.status_code for answer in answers] == [202, 202, 429]
    for answer in answers[:2]:
        await client.post(f"/v1/simulations/{answer.json()['id']}/cancel", headers=officer(issuer))


async def test_a_run_whose_process_died_is_interrupted_and_not_brought_back(
    client: httpx.AsyncClient, issuer: Issuer, app: FastAPI
) -> None:
    started = await client.post("/v1/simulations", json=SMALL, headers=officer(issuer, "one"))
    done = await finished(client, issuer, started.json()["id"])
    async with transaction(app.state.sessions) as session:
        await (await session.connection()).execute(
            text(
                "insert into simulation_run select 'sim_dead', 'running', 10, stage, author, created_at, created_at, "
                "null, input_sha256, catalogue_version, request, null, null from simulation_run"
            )
        )
    runs = cast("Runs", app.state.simulations)

    await runs.interrupt_silent(now())
    still = await client.get("/v1/simulations/sim_dead", headers=officer(issuer))
    await runs.interrupt_silent(now() + SILENT_AFTER + timedelta(seconds=60))
    dead = await client.get("/v1/simulations/sim_dead", headers=officer(issuer))
    refused = await client.post("/v1/simulations/sim_dead/cancel", headers=officer(issuer))

    assert still.json()["status"] == "running"
    assert dead.json()["status"] == "interrupted"
    assert dead.json()["finished_at"] is not None
    assert refused.status_code == 409
    assert (await finished(client, issuer, done.id)).status == "done"


async def test_a_stopping_service_interrupts_its_runs(client: httpx.AsyncClient, issuer: Issuer, app: FastAPI) -> None:
    large = SMALL | {"generated": {"year": 2026, "count": 10_000_000}}
    started = await client.post("/v1/simulations", json=large, headers=officer(issuer, "large"))

    await cast("Runs", app.state.simulations).close()

    assert (await finished(client, issuer, started.json()["id"])).status == "interrupted"


def test_a_run_that_has_ended_goes_nowhere() -> None:
    assert {status for status, targets in NEXT.items() if targets} == {"running"}


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_no_cell_is_a_formula(value: str) -> None:
    assert harmless(value) == f"'{value}"
    assert harmless("0 đồng") == "0 đồng"


async def test_a_result_in_english_is_english(client: httpx.AsyncClient, issuer: Issuer) -> None:
    started = await client.post("/v1/simulations", json=SMALL, headers=officer(issuer, "one"))
    run = await finished(client, issuer, started.json()["id"])

    result = cast("SimulationResult", run.result)
    assert "Revenue lost" in result_csv(result, "en").decode("utf-8-sig")
    assert all(isinstance(text, Text) and text.en for text in result.assumptions)
