"""One trace runs through two processes, and the log lines name it."""

import json
import logging

import httpx
import pytest
from fastapi import FastAPI, Request
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kit.telemetry import JsonFormatter, trace_calls, tracer_provider


async def test_a_call_to_a_neighbour_goes_on_in_the_same_trace() -> None:
    spans = InMemorySpanExporter()
    provider = tracer_provider("test", None)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    neighbour = FastAPI()
    heard: list[str] = []

    @neighbour.get("/there")
    async def there(request: Request) -> dict[str, bool]:
        heard.append(request.headers["traceparent"])
        return {"ok": True}

    FastAPIInstrumentor.instrument_app(neighbour, tracer_provider=provider)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=neighbour), base_url="http://n.test") as client:
        trace_calls(client, provider)
        await client.get("/there")

    found = spans.get_finished_spans()
    traces = {format(span.context.trace_id, "032x") for span in found if span.context}
    assert len(traces) == 1
    assert heard[0].split("-")[1] in traces
    assert "CLIENT" in {span.kind.name for span in found}
    assert "GET /there" in {span.name for span in found}  # the neighbour's own


def test_a_log_line_is_json_and_names_the_trace(caplog: pytest.LogCaptureFixture) -> None:
    provider = tracer_provider("test", None)
    logger = logging.getLogger("tests.telemetry")
    with caplog.at_level(logging.INFO), provider.get_tracer("t").start_as_current_span("work") as span:
        logger.info("đã thu", extra={"amount_dong": 5})
        line = json.loads(JsonFormatter("payment").format(caplog.records[-1]))

    assert line["message"] == "đã thu"
    assert line["amount_dong"] == 5
    assert line["process"] == "payment"
    assert line["trace_id"] == format(span.get_span_context().trace_id, "032x")
