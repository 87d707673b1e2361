"""Pages of the policy simulation for fee officers: what was run, a form, and one run from its first second on."""

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from kit.auth import Principal
from kit.db import SessionDep, UnitOfWorkRoute, now
from kit.errors import FieldError, Problem
from kit.money import Language
from kit.web import LOCAL_ZONE, FormDep, Pages, flash, language_of, see_other, signed_in
from services.fees.contract import Text
from services.fees.law import law_of
from services.fees.simulation.api import begin, csv_of, runs_of, xlsx_of
from services.fees.simulation.runs import run_by_id, runs_before, simulation_of
from services.fees.simulation.terms import MAX_DOSSIERS, SimulationRequest, SimulationResult

PATH = "/simulations"
router = APIRouter(
    prefix=PATH, route_class=UnitOfWorkRoute, include_in_schema=False, default_response_class=HTMLResponse
)
Officer = Annotated[Principal, Depends(signed_in("fees:draft", "fees:approve"))]
RunId = Annotated[str, Path(max_length=64)]
_FORM: dict[str, Any] = {"x-idempotency": "none"}
_SHOWN = 30
_SHOWN_PROCEDURES = 12
_PIECE = 256 * 1024

EXAMPLE = """\
instruments:
  - id: du-thao-nghi-quyet
    number: "Dự thảo"
    name: {vi: "Dự thảo nghị quyết của HĐND thành phố", en: "the draft resolution of the city council"}
    issued_on: null
    source: "D"
    verified: false
adjustments:
  - id: du-thao-0-dong
    kind: waiver
    targets: {set_by: council}
    channels: [online]
    valid_from: YEAR-01-01
    valid_to: null
    scope: {level: province, code: "48"}
    instrument: du-thao-nghi-quyet
    article: "Điều 1"
    source: "D"
    verified: false
"""


def _pages(request: Request) -> Pages:
    return cast("Pages", request.app.state.pages)


@router.get("")
async def list_and_form(
    request: Request, session: SessionDep, _: Officer, again: Annotated[str, Query(max_length=64)] = ""
) -> Response:
    """Runs, newest first, and the form of a new one; `again` fills it with an earlier run's terms."""
    values = _blank()
    if again:
        values |= _values_of(simulation_of(await run_by_id(session, again), with_result=False).request)
    return await _render_form(request, session, values)


@router.post("", openapi_extra=_FORM)
async def start(request: Request, session: SessionDep, form: FormDep, person: Officer) -> Response:
    """Start a run from the form; what is wrong stands beside it, with what was typed."""
    values = _blank() | {name: value for name, value in form.items() if isinstance(value, str)}
    try:
        file = form.get("file")
        if isinstance(file, UploadFile) and file.filename:
            values["kept_file"] = (await runs_of(request).uploads.keep(_pieces(file))).sha256
        body = SimulationRequest.model_validate(_document(values))
        run = await begin(request, session, body, author=person.actor)
    except ValidationError as error:
        errors = {_field_name(item["loc"]): _said(str(item["type"])) for item in error.errors()}
        return await _render_form(request, session, values, status=422, errors=errors)
    except Problem as problem:
        return await _render_form(
            request,
            session,
            values,
            status=problem.status,
            said=Text(vi=problem.vi, en=problem.en),
            faults=problem.fields,
        )
    flash(request, "success", "Đã bắt đầu mô phỏng.", "The simulation has begun.")
    return see_other(f"{PATH}/{run.id}")


@router.get("/{run_id}")
async def show(request: Request, run_id: RunId, session: SessionDep, _: Officer) -> Response:
    """One run: its progress, its failure, or its result with plots and tables."""
    run = simulation_of(await run_by_id(session, run_id))
    plots = _plots(run.result, language_of(request)) if run.result is not None else None
    return _pages(request).render(request, "simulation.html.j2", run=run, plots=plots)


@router.post("/{run_id}/cancel", openapi_extra=_FORM)
async def cancel(request: Request, run_id: RunId, _: FormDep, __: Officer) -> Response:
    """Stop a run."""
    try:
        await runs_of(request).cancel(run_id)
        flash(request, "success", "Đã hủy mô phỏng.", "The simulation was cancelled.")
    except Problem as problem:
        flash(request, "warning", problem.vi, problem.en)
    return see_other(f"{PATH}/{run_id}")


@router.get("/{run_id}/result.csv")
async def download_csv(request: Request, run_id: RunId, session: SessionDep, _: Officer) -> Response:
    """The result as CSV."""
    return await csv_of(request, session, run_id)


@router.get("/{run_id}/result.xlsx")
async def download_xlsx(request: Request, run_id: RunId, session: SessionDep, _: Officer) -> Response:
    """The result as a workbook."""
    return await xlsx_of(request, session, run_id)


def _plots(result: SimulationResult, lang: Language) -> dict[str, Any]:
    """Series for the plots, which show losses; a gain is nought there and stands in the tables."""
    impacts = list(result.impacts.values())

    def series(measure: str) -> list[tuple[str, list[int]]]:
        return [(i.title, [max(0, getattr(row, measure)) for row in i.by_month]) for i in impacts]

    lost: dict[str, list[int]] = {}
    for number, impact in enumerate(impacts):
        for row in impact.by_procedure:
            if row.affected:
                name = row.label.vi if lang == "vi" else row.label.en
                lost.setdefault(name, [0] * len(impacts))[number] = max(0, row.revenue_lost + row.support)
    years = {row.key[:4] for row in impacts[0].by_month}
    short = (lambda key: key[5:]) if len(years) == 1 else (lambda key: f"{key[5:]}/{key[2:4]}")
    return {
        "months": [short(row.key) for row in impacts[0].by_month],
        "lost": series("revenue_lost"),
        "support": series("support") if any(i.total.support for i in impacts) else [],
        "names": [impact.title for impact in impacts],
        "procedures": sorted(lost.items(), key=lambda pair: (-max(pair[1]), pair[0]))[:_SHOWN_PROCEDURES],
    }


async def _pieces(file: UploadFile) -> AsyncIterator[bytes]:
    try:
        while piece := await file.read(_PIECE):
            yield piece
    finally:
        await file.close()


async def _render_form(
    request: Request,
    session: SessionDep,
    values: Mapping[str, str],
    *,
    status: int = 200,
    errors: Mapping[str, Text] | None = None,
    said: Text | None = None,
    faults: tuple[FieldError, ...] = (),
) -> Response:
    runs = [simulation_of(run, with_result=False) for run in await runs_before(session, None, _SHOWN)]
    lang = language_of(request)
    places = law_of(request).latest.tariff.places.provinces
    return _pages(request).render(
        request,
        "simulations.html.j2",
        status,
        runs=runs,
        badges=_BADGES,
        values=values,
        errors={name: text.vi if lang == "vi" else text.en for name, text in (errors or {}).items()},
        said=said,
        faults=faults,
        provinces=sorted(places.items(), key=lambda pair: pair[1].split(" ", 1)[1]),
    )


_BADGES = {
    "running": ("info", "Đang chạy", "Running"),
    "done": ("good", "Đã xong", "Done"),
    "failed": ("bad", "Không có kết quả", "No result"),
    "cancelled": ("neutral", "Đã hủy", "Cancelled"),
    "interrupted": ("warn", "Bị gián đoạn", "Interrupted"),
}


def _blank() -> dict[str, str]:
    year = now().astimezone(LOCAL_ZONE).year + 1
    return {
        "source": "generated",
        "year": str(year),
        "count": "1000000",
        "seed": "1",
        "province": "",
        "kept_file": "",
        "title_a": "",
        "yaml_a": EXAMPLE.replace("YEAR", str(year)),
        "uptake_a": "30",
        "budget_a": "",
        "title_b": "",
        "yaml_b": "",
        "uptake_b": "30",
        "budget_b": "",
    }


def _values_of(request: SimulationRequest) -> dict[str, str]:
    values = {"source": "file", "kept_file": request.file or ""}
    if request.generated is not None:
        found = request.generated
        values |= {"source": "generated", "year": str(found.year), "count": str(found.count), "seed": str(found.seed)}
        values["province"] = found.province or ""
    for name, terms in request.drafts().items():
        budget = "" if terms.budget_dong is None else str(terms.budget_dong)
        values |= {f"title_{name}": terms.title, f"yaml_{name}": terms.yaml}
        values |= {f"uptake_{name}": str(terms.uptake_percent), f"budget_{name}": budget}
    return values


def _document(values: Mapping[str, str]) -> dict[str, Any]:
    document: dict[str, Any] = {"draft_a": _draft(values, "a")}
    if values["yaml_b"].strip():
        document["draft_b"] = _draft(values, "b")
    if values["source"] == "file":
        document["file"] = values["kept_file"]
    else:
        document["generated"] = {
            "year": _number(values["year"]),
            "count": _number(values["count"]),
            "seed": _number(values["seed"]),
            "province": values["province"] or None,
        }
    return document


def _draft(values: Mapping[str, str], name: str) -> dict[str, Any]:
    budget = values[f"budget_{name}"].strip()
    return {
        "title": values[f"title_{name}"].strip(),
        "yaml": values[f"yaml_{name}"].replace("\r\n", "\n"),
        "uptake_percent": _number(values[f"uptake_{name}"]),
        "budget_dong": _number(budget) if budget else None,
    }


def _number(typed: str) -> int | str:
    """A whole number as people type it; anything else is left for the contract to refuse."""
    plain = typed.replace(".", "").replace(",", "").replace(" ", "")
    return int(plain) if plain.isascii() and plain.isdigit() and len(plain) < 18 else typed


_NAMES = {"yaml": "yaml", "title": "title", "uptake_percent": "uptake", "budget_dong": "budget"}


def _field_name(where: tuple[int | str, ...]) -> str:
    parts = [str(part) for part in where]
    if parts and parts[0] in ("draft_a", "draft_b"):
        return f"{_NAMES.get(parts[-1], 'yaml')}_{parts[0][-1]}"
    return parts[-1] if parts else "source"


_SENTENCES = {
    "string_too_short": Text(vi="hãy điền mục này", en="fill this in"),
    "string_too_long": Text(vi="dài quá; hãy rút gọn", en="too long; shorten it"),
    "int_type": Text(vi="phải là số nguyên", en="must be a whole number"),
    "less_than_equal": Text(vi=f"quá lớn (tối đa 100% hoặc {MAX_DOSSIERS} hồ sơ)", en="too large"),
    "greater_than_equal": Text(vi="quá nhỏ", en="too small"),
}


def _said(kind: str) -> Text:
    return _SENTENCES.get(kind, Text(vi="giá trị chưa đúng hoặc chưa chọn tệp", en="not valid, or no file was chosen"))
