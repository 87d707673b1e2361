"""Bulk quoting: every line gets its own answer, in order, in memory that does not grow."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from io import BytesIO
from typing import Any

import pytest

from services.fees import bulk
from services.fees.app import create_app
from services.fees.bulk import MAX_LINE_BYTES, Lines, Spool, decoupled, quoted_lines
from services.fees.law import PublishedLaw
from services.fees.rules import Tariff
from tests.conftest import Issuer, running
from tests.fees.conftest import PASSPORT, settings_for

LINE = json.dumps(PASSPORT).encode()


async def _stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def _answers(law: PublishedLaw, *chunks: bytes) -> list[dict[str, Any]]:
    found = b"".join([piece async for piece in quoted_lines(_stream(*chunks), law, "amounts")])
    return [json.loads(line) for line in found.splitlines()]


@pytest.fixture
def law(tariff: Tariff) -> PublishedLaw:
    return PublishedLaw(7, tariff.version, tariff)


async def test_lines_are_answered_in_order_whatever_the_pieces_they_arrive_in(law: PublishedLaw) -> None:
    whole = b"\n".join([LINE, LINE.replace(b"2025-12-31", b"2026-01-01"), LINE])
    pieces = [whole[at : at + 37] for at in range(0, len(whole), 37)]

    *answers, summary = await _answers(law, *pieces)

    assert [(a["line"], a["status"], a["total_dong"]) for a in answers] == [
        (1, "quoted", 180_000),
        (2, "quoted", 200_000),
        (3, "quoted", 180_000),
    ]
    assert answers[0]["inputs_hash"] == answers[2]["inputs_hash"] != answers[1]["inputs_hash"]
    assert summary["summary"]["lines"] == summary["summary"]["quoted"] == 3
    assert summary["summary"]["catalogue_version"] == law.version
    assert summary["summary"]["publication"] == 7


async def test_line_57812_is_malformed_and_all_the_others_are_quoted(law: PublishedLaw) -> None:
    lines = [LINE] * 60_000
    lines[57_811] = b'{"procedure": "passport", "filed_on": 20251231'
    body = b"\n".join(lines) + b"\n"

    quoted = failed = 0
    bad: list[dict[str, Any]] = []
    last = b""
    chunks = _stream(*(body[at : at + 65_536] for at in range(0, len(body), 65_536)))
    async for piece in quoted_lines(chunks, law, "amounts"):
        quoted += piece.count(b'"status":"quoted"')
        failed += piece.count(b'"status":"failed"')
        bad += [json.loads(line) for line in piece.splitlines() if b'"status":"failed"' in line]
        last = piece

    assert (quoted, failed) == (59_999, 1)
    assert bad[0]["line"] == 57_812
    assert bad[0]["error"]["vi"].startswith("dòng không phải một đối tượng JSON")
    summary = json.loads(last.splitlines()[-1])["summary"]
    assert (summary["lines"], summary["quoted"], summary["failed"]) == (60_000, 59_999, 1)


async def test_each_bad_line_says_what_to_do(law: PublishedLaw) -> None:
    answers = await _answers(
        law,
        b"\n".join(
            [
                b"\xff\xfe{}",
                b"[]",
                LINE.replace(b'"passport"', b'"no-such-thing"'),
                LINE.replace(b'"2025-12-31"', b"20251231.5"),
                b'{"procedure": "passport", "unknown": 1}',
                b" " * 10,
                b"x" * (MAX_LINE_BYTES + 1),
                LINE,
            ]
        ),
    )

    assert [(a.get("line"), a.get("status")) for a in answers[:-1]] == [
        (1, "failed"),
        (2, "failed"),
        (3, "failed"),
        (4, "failed"),
        (5, "failed"),
        (7, "failed"),
        (8, "quoted"),
    ]
    assert all(a["error"]["vi"] and a["error"]["en"] for a in answers[:-2])
    assert answers[2]["error"]["fields"][0]["field"] == "procedure"
    assert {"field": "unknown", "vi": "không có trường này; hãy bỏ đi hoặc sửa tên"}.items() <= next(
        f for f in answers[4]["error"]["fields"] if f["field"] == "unknown"
    ).items()
    assert answers[-1]["summary"]["failed"] == 6


async def test_one_endless_line_costs_one_error_and_no_memory() -> None:
    lines = Lines()
    found = []
    for _ in range(1_000):
        found += list(lines.feed(b"x" * 10_000))
        assert len(lines._rest) <= MAX_LINE_BYTES + 10_000
    found += list(lines.feed(b"\n" + LINE + b"\n"))

    assert found == [(1, None), (2, LINE)]


async def test_full_detail_explains_every_line(law: PublishedLaw) -> None:
    pieces = [piece async for piece in quoted_lines(_stream(LINE), law, "full")]
    answer = json.loads(b"".join(pieces).splitlines()[0])

    assert any("Thông tư 63/2023/TT-BTC" in step["text"]["vi"] for step in answer["lines"][0]["steps"])


async def test_answers_leave_while_the_body_is_still_arriving(law: PublishedLaw) -> None:
    gate = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield LINE + b"\n"
        await gate.wait()
        yield LINE + b"\n"

    out = decoupled(quoted_lines(body(), law, "amounts"))
    async with asyncio.timeout(5):
        first = await anext(out)
    assert json.loads(first)["line"] == 1

    gate.set()
    rest = b"".join([piece async for piece in out])
    assert json.loads(rest.splitlines()[-1])["summary"]["quoted"] == 2


async def test_a_backlog_at_its_limit_stops_the_reading_of_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MAX_BACKLOG_BYTES", 1_000)
    asked = 0

    async def source() -> AsyncIterator[bytes]:
        nonlocal asked
        for _ in range(50):
            asked += 1
            yield b"y" * 400

    spool = Spool(BytesIO())
    filling = asyncio.create_task(spool.fill(source()))
    for _ in range(20):
        await asyncio.sleep(0)
    assert asked < 6

    taken = 0
    while piece := await spool.take():
        taken += len(piece)
    await filling
    assert taken == 50 * 400
    assert spool.most < 1_000 + 400


async def test_a_failing_body_ends_the_answer_after_what_was_answered() -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"one"
        raise ConnectionResetError

    out = decoupled(source())
    assert await anext(out) == b"one"
    with pytest.raises(ConnectionResetError):
        await anext(out)


async def test_bulk_over_http_needs_the_scope_and_stores_nothing(
    database: Callable[[str], Awaitable[str]], issuer: Issuer
) -> None:
    url = await database("fees")
    async with running(create_app(settings_for(url)), issuer) as client:
        refused = await client.post("/v1/quotes/bulk", content=LINE, headers=issuer.headers("fees:read"))
        answered = await client.post("/v1/quotes/bulk", content=LINE + b"\n", headers=issuer.headers("fees:quote"))
        large = b"\n".join([LINE + b" " * 4_000] * 600)
        many = await client.post("/v1/quotes/bulk", content=large, headers=issuer.headers("fees:quote"))

    assert refused.status_code == 403
    assert answered.status_code == 200
    assert answered.headers["content-type"] == "application/x-ndjson"
    first, last = (json.loads(line) for line in answered.text.splitlines())
    assert first["citizen_dong"] == 180_000
    assert last["summary"]["stored"] is False
    assert len(large) > 2 * 1024 * 1024
    assert json.loads(many.text.splitlines()[-1])["summary"]["quoted"] == 600
