"""What the courier's page asks for in the background: the round to take along, and the way home for its facts."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from kit.auth import Principal
from kit.db import SessionDep, UnitOfWorkRoute, now
from kit.errors import BadInput
from kit.web import Pages, require_or_signed_in
from services.postal import contract, devices, offline, recording, rules, wording
from services.postal.pages.shared import PAGE_FORM, TermsDep, show
from services.postal.storable import check_storable

router = APIRouter(route_class=UnitOfWorkRoute, include_in_schema=False)

Courier = Annotated[Principal, Depends(require_or_signed_in("postal:courier", "postal:dispatch"))]
MOST_EVENTS = 500
_STATIC = Path(__file__).parents[1] / "static"
SHELL_FILES = (
    "/static/kit/house.css",
    "/static/kit/house.js",
    "/static/kit/favicon.svg",
    "/static/postal/courier.css",
    "/static/postal/courier-store.js",
    "/static/postal/courier-sync.js",
    "/static/postal/courier-scan.js",
    "/static/postal/courier.js",
    "/static/postal/courier.webmanifest",
    "/static/postal/courier-192.png",
)
"""All that the page needs besides its two shells; the service worker keeps them."""


class DeviceReport(BaseModel):
    """What a phone says of itself with each batch."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    device_id: contract.Key
    last_seq: Annotated[int, Field(ge=0, le=2**62)]
    unsent_events: Annotated[int, Field(ge=0, le=10**6)]
    unsent_files: Annotated[int, Field(ge=0, le=10**6)]
    clock_skew_ms: Annotated[int, Field(ge=-(40 * 86_400_000), le=40 * 86_400_000)]


class Batch(BaseModel):
    """Facts as the phone wrote them. Each is judged alone: one that is not right must not hold up the others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: DeviceReport
    events: Annotated[list[dict[str, JsonValue]], Field(max_length=MOST_EVENTS)]
    clocks: Annotated[tuple[contract.DeviceClock, ...], Field(max_length=100)] = ()


@router.get("/courier/app", response_class=HTMLResponse)
async def app_shell(request: Request) -> Response:
    """The courier's page without anybody's data: the phone keeps it and fills it in itself."""
    return show(request, "courier.html.j2")


@router.get("/courier/sw.js")
async def service_worker(request: Request) -> Response:
    """The worker that keeps the page on the phone; it changes whenever anything it keeps does."""
    pages = cast("Pages", request.app.state.pages)
    listed = ",".join(f'"{file}"' for file in SHELL_FILES)
    head = f'self.LT_VERSION="{_version(pages.site.templates)}";self.LT_FILES=[{listed}];\n'
    headers = {"Service-Worker-Allowed": "/courier", "Cache-Control": "no-cache"}
    script = (_STATIC / "courier-sw.js").read_text()
    return Response(head + script, media_type="text/javascript", headers=headers)


@cache
def _version(templates: Path) -> str:
    digest = hashlib.sha256()
    kit_static = Path(__file__).parents[3] / "kit" / "static"
    for file in sorted([*_STATIC.iterdir(), *kit_static.iterdir(), templates / "courier.html.j2"]):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


@router.get("/courier/manifest.webmanifest")
async def manifest() -> Response:
    """How phones install the page."""
    return FileResponse(_STATIC / "courier.webmanifest", media_type="application/manifest+json")


@router.get("/courier/sync/round")
async def take_along(request: Request, session: SessionDep, terms: TermsDep, person: Courier) -> dict[str, Any]:
    """The round of today for this courier, who is signed in, and the token for sending."""
    packed = await offline.round_of(session, person.actor, secret=terms.label_secret)
    return {**_who(request, person), **packed}


@router.get("/courier/sync/session")
async def session_of(request: Request, person: Courier) -> dict[str, Any]:
    """Who is signed in here, and the token for sending; 401 tells the phone to ask for a sign-in."""
    return _who(request, person)


def _who(request: Request, person: Principal) -> dict[str, Any]:
    return {
        "courier": person.actor,
        "name": person.name,
        "csrf": request.session.get("csrf", ""),
        "as_of": now().isoformat(),
    }


@router.post("/courier/sync/events", openapi_extra=PAGE_FORM)
async def bring_home(
    request: Request, batch: Batch, session: SessionDep, terms: TermsDep, person: Courier
) -> dict[str, Any]:
    """Keep what can be kept and say of every fact, in words too, what became of it. Sending again is harmless."""
    at = now()
    understood: dict[int, contract.PostEvent] = {}
    answers: list[dict[str, Any]] = [{}] * len(batch.events)
    for index, raw in enumerate(batch.events):
        try:
            event = contract.PostEvent.model_validate(raw)
            check_storable(event)
        except (ValidationError, BadInput) as error:
            answers[index] = _rejected(raw, error)
        else:
            understood[index] = event
    source: rules.Source = "dispatcher" if person.may("postal:dispatch") else "courier"
    sender = recording.Sender(person.actor, source)
    results = await recording.record_events(
        session,
        list(understood.values()),
        sender=sender,
        at=at,
        terms=terms,
        clocks={clock.device_id: clock.skew_ms for clock in batch.clocks},
    )
    for index, result in zip(understood, results, strict=True):
        answers[index] = _answer(result)
        request.app.state.events_received.labels(result.result).inc()
    report = devices.Report(**batch.device.model_dump())
    await devices.note_report(session, report, courier=person.actor, at=at)
    return {"results": answers, "as_of": at.isoformat()}


def _answer(result: contract.EventResult) -> dict[str, Any]:
    vi, en = _told(result)
    return {**result.model_dump(mode="json"), "attention": wording.needs_attention(result.anomaly), "words": [vi, en]}


def _told(result: contract.EventResult) -> wording.Words:
    if result.result == "conflict":
        return (
            "Máy chủ đã có một ghi nhận khác dưới cùng mã. Bản trên máy này được giữ lại; hãy báo điều phối.",
            "The service already holds another fact under this id. Yours is kept on this phone; tell the dispatcher.",
        )
    if result.result == "unknown_item":
        return (
            "Không có bưu gửi mang số hiệu này. Hãy kiểm tra lại tem hoặc báo điều phối.",
            "No item has this number. Check the label again, or tell the dispatcher.",
        )
    said = wording.anomaly_words(result.anomaly)
    if said is None:
        return "Đã ghi nhận.", "Recorded."
    if result.applied:
        return f"Đã ghi nhận, lưu ý: {said[0]}.", f"Recorded, note: {said[1]}."
    return f"Đã lưu nhưng chưa được tính: {said[0]}.", f"Kept, but it does not count: {said[1]}."


def _rejected(raw: dict[str, JsonValue], error: ValidationError | BadInput) -> dict[str, Any]:
    if isinstance(error, BadInput):
        fields = [field.field for field in error.fields]
    else:
        fields = [".".join(str(part) for part in item["loc"]) or "*" for item in error.errors()]
    named = ", ".join(sorted(set(fields))[:5])
    return {
        "event_id": raw.get("event_id"),
        "result": "rejected",
        "applied": False,
        "anomaly": None,
        "status": None,
        "attention": True,
        "words": [
            f"Máy chủ không nhận vì dữ liệu chưa đúng ({named}). Bản trên máy này được giữ lại; hãy báo điều phối.",
            f"The service refused it: not right ({named}). It is kept on this phone; tell the dispatcher.",
        ],
    }
