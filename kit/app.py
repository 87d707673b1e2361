"""Puts a process together: middleware, health, metrics, problem documents, and the OpenAPI that tells the truth."""

import asyncio
import gc
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, cast
from urllib.parse import quote

import httpx
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from starlette.exceptions import HTTPException

from kit.auth import Authority
from kit.db import UnitOfWorkRoute, create_engine, create_sessions
from kit.errors import BadInput, FieldError, NotFound, Problem, TooLarge, Unavailable, WrongMoment
from kit.http import KEEPALIVE_SECONDS, TIMEOUT, language_var
from kit.settings import ProcessSettings, ServiceSettings, text_of
from kit.telemetry import Metrics, Receive, Scope, Send, configure_logging, request_id_var, trace_calls, tracer_provider
from kit.web import Pages, SignInNeeded, Site, add_pages, language_of, see_other
from kit.webhook_api import webhook_router
from kit.webhooks import Outbox, Relay

log = logging.getLogger(__name__)

Startup = Callable[[FastAPI], Awaitable[None]]
Probe = Callable[[FastAPI], Awaitable[None]]

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self' {forms}"
)


@dataclass(frozen=True, slots=True)
class Process:
    """What makes one process different from another."""

    name: str
    title: str
    description: str
    routers: Sequence[APIRouter]
    version: str = "0.1.0"
    startup: Sequence[Startup] = field(default_factory=tuple)
    probes: Sequence[Probe] = field(default_factory=tuple)
    form_targets: Sequence[str] = field(default_factory=tuple)
    """Other sites a form of ours may lead to, such as the gateway's pay page; browsers follow no form elsewhere."""
    body_limits: Mapping[str, int] = field(default_factory=dict)
    """Larger bodies that single paths take, in bytes; everything else takes the setting of the process."""
    resources: Sequence[Callable[[FastAPI], Any]] = field(default_factory=tuple)
    """Asynchronous context managers held open while the process lives, each given the app."""


def create_process(process: Process, settings: ProcessSettings) -> FastAPI:
    """An app with health, metrics, problem documents, request ids and authentication, but no database."""
    configure_logging(process.name, settings.log_level)
    app = FastAPI(
        title=process.title,
        description=process.description,
        version=process.version,
        lifespan=_lifespan(process),
        separate_input_output_schemas=True,
    )
    app.state.settings = settings
    app.state.metrics = Metrics(process.name)
    app.state.probes = list(process.probes)
    app.state.http = httpx.AsyncClient(
        http2=True, timeout=TIMEOUT, limits=httpx.Limits(keepalive_expiry=KEEPALIVE_SECONDS)
    )
    app.state.authority = Authority(issuer=text_of(settings.issuer), audience=settings.audience, http=app.state.http)
    app.state.pages = None
    for router in process.routers:
        app.include_router(router)
    app.include_router(_operations_router())
    _add_problem_handlers(app)
    _describe(app, process.routers)
    app.add_middleware(_SecurityHeaders, forms=" ".join([text_of(settings.issuer), *process.form_targets]))
    app.add_middleware(_BodyLimit, limit=settings.max_body_bytes, by_path=process.body_limits)
    app.add_middleware(_RequestId)
    app.add_middleware(_measured, metrics=app.state.metrics)
    endpoint = text_of(settings.otlp_endpoint) if settings.otlp_endpoint else None
    app.state.tracer_provider = tracer_provider(process.name, endpoint)
    FastAPIInstrumentor.instrument_app(
        app,
        tracer_provider=app.state.tracer_provider,
        excluded_urls="healthz,readyz,metrics",
        exclude_spans=["receive", "send"],  # a span for each message of a body tells nobody anything
    )
    trace_calls(app.state.http, app.state.tracer_provider)
    return app


def create_service(process: Process, settings: ServiceSettings, *, outbox: Outbox, site: Site) -> FastAPI:
    """A process with its own database, pages and outbox relay."""
    app = create_process(replace(process, routers=[*process.routers, webhook_router(outbox)]), settings)
    engine = create_engine(str(settings.database_url), pool_size=settings.database_pool_size)
    app.state.engine = engine
    app.state.sessions = create_sessions(engine)
    app.state.outbox = outbox
    app.state.pages = Pages(site)
    app.state.probes.append(_database_answers)
    relay = Relay(outbox, app.state.sessions, app.state.http, allow_private=settings.webhook_allow_private)
    app.state.relay = relay
    app.state.outbox_wake = relay.wake
    add_pages(
        app,
        client_id=settings.pages_client_id,
        public_url=text_of(settings.public_url),
        session_secret=settings.session_secret.get_secret_value(),
        secure=settings.secure_cookies,
        http=app.state.http,
    )
    return app


def _lifespan(process: Process) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(app.state.http.aclose)
            if hasattr(app.state, "engine"):
                stack.push_async_callback(app.state.engine.dispose)
            for resource in process.resources:
                await stack.enter_async_context(resource(app))
            for start in process.startup:
                await start(app)
            if hasattr(app.state, "relay"):
                await _hold_standing_endpoint(app)
                await stack.enter_async_context(background(app.state.relay.run()))
            stack.enter_context(_rarely_collecting())
            log.info("ready")
            yield

    return lifespan


@contextmanager
def _rarely_collecting() -> Iterator[None]:
    """Keep the collector of cycles from walking through all the code's own objects again and again.

    What exists at startup lives as long as the process, and a request makes thousands of objects that die without it:
    measured at opening bills, collecting took a sixth of the processor.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


@asynccontextmanager
async def background(work: Any) -> AsyncIterator[None]:  # noqa: ANN401 — any coroutine
    """Run a coroutine beside the app; its unexpected end is logged, its cancellation awaited."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(_report_end)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _report_end(task: "asyncio.Future[Any]") -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("a background task ended", exc_info=task.exception())


async def _hold_standing_endpoint(app: FastAPI) -> None:
    settings = cast("ServiceSettings", app.state.settings)
    if settings.webhook_url is not None and settings.webhook_secret is not None:
        await app.state.outbox.ensure_standing(
            app.state.sessions, url=str(settings.webhook_url), secret=settings.webhook_secret.get_secret_value()
        )


async def _database_answers(app: FastAPI) -> None:
    async with app.state.sessions() as session:
        await session.exec(text("select 1"))


def _operations_router() -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.get("/healthz", summary="The process lives")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz", summary="The process can do its work now")
    async def readyz(request: Request) -> dict[str, str]:
        for probe in request.app.state.probes:
            try:
                await probe(request.app)
            except (OSError, DBAPIError, httpx.HTTPError, RuntimeError) as error:
                raise Unavailable(
                    "Dịch vụ đang khởi động hoặc mất kết nối tới hệ thống phía sau.",
                    "The service is starting, or has lost a system behind it.",
                    headers={"Retry-After": "2"},
                ) from error
        return {"status": "ready"}

    @router.get("/metrics", include_in_schema=False)
    async def metrics(request: Request) -> Response:
        return Response(generate_latest(request.app.state.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router


# --- problem documents ---------------------------------------------------------------------------


def problem_response(request: Request, problem: Problem) -> Response:
    """A problem as the caller reads best: a page for browsers on pages, `application/problem+json` otherwise."""
    lang = language_of(request)
    detail = problem.vi if lang == "vi" else problem.en
    title = problem.title_vi if lang == "vi" else problem.title_en
    pages = cast("Pages | None", request.app.state.pages)
    wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/v1/")
    if pages is not None and wants_page:
        html = pages.render(
            request, "problem.html.j2", problem.status, title=title, detail=detail, fields=problem.fields
        )
        html.headers.update(problem.headers)
        return html
    document: dict[str, Any] = {
        "type": f"/problems/{problem.kind}",
        "title": title,
        "status": problem.status,
        "detail": detail,
        "instance": request.url.path,
        "request_id": request_id_var.get(),
        **problem.extra,
    }
    if problem.fields:
        document["errors"] = [{"field": f.field, "message": f.vi if lang == "vi" else f.en} for f in problem.fields]
    return JSONResponse(
        document,
        status_code=problem.status,
        headers={**problem.headers, "Content-Language": lang},
        media_type="application/problem+json",
    )


def _add_problem_handlers(app: FastAPI) -> None:
    async def on_problem(request: Request, error: Exception) -> Response:
        return problem_response(request, cast("Problem", error))

    async def on_sign_in(request: Request, _: Exception) -> Response:
        if request.method != "GET":
            return see_other("/login")
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return see_other(f"/login?next={quote(wanted, safe='/')}")

    async def on_invalid(request: Request, error: Exception) -> Response:
        return problem_response(request, _bad_input_of(cast("RequestValidationError", error)))

    async def on_http(request: Request, error: Exception) -> Response:
        return problem_response(request, _problem_of_http(cast("HTTPException", error)))

    async def on_conflict(request: Request, error: Exception) -> Response:
        cause = getattr(getattr(error, "orig", None), "__cause__", None)  # its DETAIL may hold a person's data
        log.warning("constraint refused a write", extra={"constraint": getattr(cause, "constraint_name", None)})
        return problem_response(
            request,
            WrongMoment(
                "Dữ liệu vừa được thay đổi bởi thao tác khác; hãy đọc lại rồi thử lại.",
                "Another operation has just changed this; read it again and retry.",
            ),
        )

    async def on_database(request: Request, error: Exception) -> Response:
        log.error("database error", exc_info=error)
        return problem_response(
            request,
            Unavailable(
                "Cơ sở dữ liệu tạm thời chưa trả lời; hãy thử lại sau ít giây.",
                "The database does not answer for the moment; try again in a few seconds.",
                headers={"Retry-After": "2"},
            ),
        )

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(SignInNeeded, on_sign_in)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(IntegrityError, on_conflict)
    app.add_exception_handler(OperationalError, on_database)


_REMEDIES: dict[str, tuple[str, str]] = {
    "missing": ("thiếu trường này; hãy bổ sung", "this field is missing; add it"),
    "extra_forbidden": (
        "không có trường này; hãy bỏ đi hoặc sửa tên",
        "no such field; remove it or correct its name",
    ),
    "int_type": (
        "phải là số nguyên, không có dấu nháy hay phần lẻ",
        "must be a whole number, without quotes or fraction",
    ),
    "int_from_float": ("phải là số nguyên đồng, không có phần lẻ", "must be a whole number of đồng"),
    "date_from_datetime_parsing": ("phải là ngày có thật, dạng YYYY-MM-DD", "must be a real date, as YYYY-MM-DD"),
    "date_parsing": ("phải là ngày có thật, dạng YYYY-MM-DD", "must be a real date, as YYYY-MM-DD"),
    "json_invalid": ("nội dung không phải JSON hợp lệ", "the body is not valid JSON"),
    "string_pattern_mismatch": ("không đúng dạng quy định", "does not have the required form"),
    "greater_than_equal": ("nhỏ hơn mức cho phép", "is below what is allowed"),
    "greater_than": ("phải lớn hơn", "must be greater than the limit"),
    "less_than_equal": ("lớn hơn mức cho phép", "is above what is allowed"),
    "literal_error": ("không thuộc các giá trị cho phép", "is not one of the allowed values"),
    "enum": ("không thuộc các giá trị cho phép", "is not one of the allowed values"),
}


def _bad_input_of(error: RequestValidationError) -> BadInput:
    fields = []
    for item in error.errors()[:20]:
        where = ".".join(str(part) for part in item["loc"] if part not in ("body", "query", "path"))
        vi, en = _REMEDIES.get(str(item["type"]), ("giá trị không hợp lệ", "the value is not valid"))
        message = str(item["msg"])
        fields.append(FieldError(where or "body", f"{vi} ({message})", f"{en} ({message})"))
    return BadInput(
        "Dữ liệu gửi lên có trường chưa đúng; hãy sửa các trường nêu dưới đây rồi gửi lại.",
        "Some fields are not right; correct the fields named below and send again.",
        fields=fields,
    )


def _problem_of_http(error: HTTPException) -> Problem:
    if error.status_code == 404:
        return NotFound("Không có địa chỉ này.", "There is nothing at this address.")
    problem = Problem(str(error.detail), str(error.detail), headers=error.headers or {})
    problem.__dict__["status"] = error.status_code
    problem.__dict__["kind"] = f"http-{error.status_code}"
    return problem


# --- middleware ----------------------------------------------------------------------------------


class _RequestId:
    """Takes the caller's `X-Request-Id` when it is a plain token, makes one otherwise; answers and logs carry it."""

    def __init__(self, app: Any) -> None:  # noqa: ANN401
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        identity = sent if 8 <= len(sent) <= 64 and sent.replace("-", "").isalnum() else secrets.token_hex(8)
        token = request_id_var.set(identity)
        language = language_var.set(language_of(Request(cast("Any", scope))))

        async def labelled(message: Any) -> None:  # noqa: ANN401
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"x-request-id", identity.encode())]
            await send(message)

        try:
            await self._app(scope, receive, labelled)
        finally:
            language_var.reset(language)
            request_id_var.reset(token)


class _BodyLimit:
    """Refuses a body over the limit with 413, whether its length was announced or not."""

    def __init__(self, app: Any, *, limit: int, by_path: Mapping[str, int]) -> None:  # noqa: ANN401
        self._app = app
        self._limit = limit
        self._by_path = by_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._by_path.get(scope["path"], self._limit)
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > limit:
            await problem_response(Request(cast("Any", scope)), self._refusal(limit))(scope, receive, send)
            return
        seen = 0

        async def counted() -> Any:  # noqa: ANN401
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise self._refusal(limit)
            return message

        await self._app(scope, counted, send)

    def _refusal(self, limit: int) -> TooLarge:
        size = f"{limit // 1024} KiB"
        return TooLarge(
            f"Nội dung vượt quá {size}; hãy chia nhỏ rồi gửi lại.",
            f"The body is over {size}; split it and send again.",
        )


class _SecurityHeaders:
    """Headers that keep pages from being framed, sniffed or scripted by others."""

    def __init__(self, app: Any, *, forms: str) -> None:  # noqa: ANN401
        self._app = app
        self._headers = [
            (b"content-security-policy", CONTENT_SECURITY_POLICY.format(forms=forms).encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"same-origin"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in ("/docs", "/redoc"):
            await self._app(scope, receive, send)
            return

        async def guarded(message: Any) -> None:  # noqa: ANN401
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self._headers]
            await send(message)

        await self._app(scope, receive, guarded)


def _measured(app: Any, *, metrics: Metrics) -> Any:  # noqa: ANN401
    return metrics.middleware(app)


# --- OpenAPI -------------------------------------------------------------------------------------

_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}


def _describe(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Replace FastAPI's error shapes by problem documents and show the Idempotency-Key of every write."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            _tell_the_truth(schema, routers)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _tell_the_truth(schema: dict[str, Any], routers: Sequence[APIRouter]) -> None:
    schemas = schema.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = _PROBLEM_SCHEMA
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    keyed = {
        (route.path, method.lower()): (route.openapi_extra or {}).get("x-idempotency", "required")
        for router in routers
        for route in router.routes
        if isinstance(route, UnitOfWorkRoute)
        for method in (route.methods or set()) - {"GET", "HEAD"}
    }
    for path, item in schema.get("paths", {}).items():
        for method, operation in item.items():
            operation.get("responses", {}).pop("422", None)
            operation.setdefault("responses", {})["default"] = {
                "description": "A problem document (RFC 9457)",
                "content": content,
            }
            policy = keyed.get((path, method), "none")
            operation.pop("x-idempotency", None)
            if policy != "none":
                operation.setdefault("parameters", []).append(
                    {
                        "name": "Idempotency-Key",
                        "in": "header",
                        "required": policy == "required",
                        "description": "Unique to the operation; the same key and body are done once.",
                        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
                    }
                )
