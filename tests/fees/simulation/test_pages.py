"""The simulation's pages by form, without scripts: faults by line, what was typed is kept, a result one can read."""

import asyncio
from typing import cast

import httpx
from fastapi import FastAPI

from services.fees.simulation.pages import EXAMPLE
from services.fees.simulation.runs import Runs
from tests.fees.simulation.test_impact import HEADER, SUPPORT, WAIVER, row
from tests.fees.test_draft_pages import APPROVER, CSRF, OFFICER, desk_of

FORM = {
    "csrf": CSRF,
    "source": "generated",
    "year": "2026",
    "count": "1.000",
    "seed": "4",
    "province": "48",
    "title_a": "Miễn <b>hộ chiếu</b>",
    "yaml_a": WAIVER,
    "uptake_a": "25",
    "budget_a": "",
}


async def settled(app: FastAPI) -> None:
    """Wait for the workers of this process."""
    async with asyncio.timeout(60):
        await asyncio.gather(*cast("Runs", app.state.simulations)._tasks.values())


async def test_an_officer_runs_a_simulation_and_reads_it(client: httpx.AsyncClient, app: FastAPI) -> None:
    async with desk_of(app, OFFICER) as desk:
        empty = await desk.get("/simulations")
        two = FORM | {"title_b": "Hỗ trợ", "yaml_b": SUPPORT, "uptake_b": "0", "budget_b": "1.000.000"}
        started = await desk.post("/simulations", data=two)
        assert started.status_code == 303, started.text
        path = started.headers["location"]
        at_once = await desk.get(path)
        await settled(app)
        page, english = await desk.get(path), await desk.get(path, params={"lang": "en"})
        again = await desk.get("/simulations", params={"again": path.rsplit("/", 1)[-1]})
        sheet = await desk.get(f"{path}/result.xlsx")

    assert "Chưa có lần chạy nào" in empty.text
    assert EXAMPLE.splitlines()[0] in empty.text
    assert "Đang chạy" in at_once.text or "Giảm thu cả năm" in at_once.text
    assert "Giảm thu cả năm" in page.text
    assert "Miễn &lt;b&gt;hộ chiếu&lt;/b&gt;" in page.text
    assert 'class="series-2"' in page.text
    assert "hết kinh phí ngày" in page.text
    assert "Xem bảng số liệu" in page.text
    assert "Revenue lost in the year" in english.text
    assert "Giảm thu cả năm" not in english.text
    assert 'value="1000"' in again.text
    assert "draft-support" in again.text
    assert sheet.headers["content-disposition"].endswith('.xlsx"')


async def test_a_faulty_draft_keeps_what_was_typed_and_names_the_line(client: httpx.AsyncClient, app: FastAPI) -> None:
    wrong = SUPPORT.replace("support_percent: 50", "support_percent: 500")
    async with desk_of(app, OFFICER) as desk:
        answer = await desk.post("/simulations", data=FORM | {"yaml_a": wrong})
        numbers = await desk.post("/simulations", data=FORM | {"count": "many", "title_a": " ", "uptake_a": "101"})
        listed = await desk.get("/simulations")

    assert answer.status_code == 422
    assert "Dự thảo A, dòng 7: support_percent: tỷ lệ phần trăm phải từ 0 đến 100" in answer.text
    assert "support_percent: 500" in answer.text
    assert numbers.status_code == 422
    for field in ("f-count", "f-title_a", "f-uptake_a"):
        assert f'href="#{field}"' in numbers.text
    assert "Chưa có lần chạy nào" in listed.text


async def test_a_file_is_sent_with_the_form_and_kept_when_the_draft_is_wrong(
    client: httpx.AsyncClient, app: FastAPI
) -> None:
    file = {"file": ("nam.csv", "\n".join([HEADER, row("2026-03-02")]).encode(), "text/csv")}
    async with desk_of(app, APPROVER) as desk:
        wrong = await desk.post("/simulations", data=FORM | {"source": "file", "yaml_a": "adjustments: 7"}, files=file)
        kept = wrong.text.split('name="kept_file" value="')[1][:64]
        started = await desk.post("/simulations", data=FORM | {"source": "file", "kept_file": kept})
        await settled(app)
        page = await desk.get(started.headers["location"])

    assert wrong.status_code == 422
    assert "200.000" in page.text


async def test_a_forged_form_and_a_stranger_are_refused(client: httpx.AsyncClient, app: FastAPI) -> None:
    async with desk_of(app, OFFICER) as desk:
        forged = await desk.post("/simulations", data=FORM | {"csrf": "x" * 43})
    async with desk_of(app, ("ke-toan", "fees:read")) as stranger:
        refused = await stranger.get("/simulations")
        nav = await stranger.get("/catalogue")

    assert (forged.status_code, refused.status_code) == (403, 403)
    assert 'href="/simulations"' not in nav.text
