"""Bulk quoting: filings come as lines of JSON and leave as lines of JSON, in order, in memory that does not grow.

Every line is answered by itself: a malformed one gets an error with its number and the next is quoted. Nothing is
stored; each answer carries the hash of its inputs, and the last line the version, the publication and the counts.
"""

import asyncio
import hashlib
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import Any, BinaryIO, Literal

from pydantic import ValidationError

from kit.errors import FieldError
from services.fees.circumstances import NotQuotable
from services.fees.compiled import snapshot_of
from services.fees.contract import QuoteRequest
from services.fees.law import PublishedLaw
from services.fees.operations import inputs_hash

MAX_LINE_BYTES = 16 * 1024
SLICE_LINES = 100
"""Lines priced before other requests of this process get their turn."""

MAX_BACKLOG_BYTES = 1024**3
"""Answers that wait on disk for a caller who sends everything before reading anything; then the caller must read."""

_PIECE = 256 * 1024
Detail = Literal["amounts", "full"]


class Lines:
    """Cuts a stream of bytes into lines. A line over the limit is dropped as it passes, and told by its number."""

    def __init__(self) -> None:
        self._rest = b""
        self._dropping = False
        self.number = 0
        self.digest = hashlib.sha256()

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes | None]]:
        """Complete lines with their numbers, None for one that was too long."""
        self.digest.update(chunk)
        parts = chunk.split(b"\n")
        parts[0] = self._rest + parts[0]
        self._rest = parts.pop()
        for part in parts:
            self.number += 1
            if self._dropping or len(part) > MAX_LINE_BYTES:
                self._dropping = False
                yield self.number, None
            else:
                yield self.number, part
        if len(self._rest) > MAX_LINE_BYTES:
            self._rest, self._dropping = b"", True

    def end(self) -> Iterator[tuple[int, bytes | None]]:
        """What stood after the last newline."""
        if self._rest or self._dropping:
            self.number += 1
            yield self.number, None if self._dropping else self._rest
            self._rest, self._dropping = b"", False


class Quoting:
    """Answers lines under one publication, and counts."""

    def __init__(self, law: PublishedLaw, detail: Detail) -> None:
        self._law = law
        self._snapshot = snapshot_of(law.tariff)
        self._detail = detail
        self.quoted = 0
        self.failed = 0

    def answer(self, number: int, line: bytes | None) -> bytes:
        """The answer to one line; nothing for an empty one."""
        if line is None:
            limit = MAX_LINE_BYTES // 1024
            return self._failed(number, f"dòng dài quá {limit} KiB", f"the line is over {limit} KiB")
        if not line.strip():
            return b""
        try:
            request = QuoteRequest.model_validate_json(line)
            answer = self._snapshot.answer(request)
        except ValidationError as error:
            return self._invalid(number, error)
        except NotQuotable as refusal:
            return self._failed(number, refusal.vi, refusal.en, refusal.fields)
        self.quoted += 1
        found = answer.assessment
        facts = inputs_hash(request, found.procedure.slug, found.case)
        head = (
            f'{{"line":{number},"status":"quoted","procedure":"{found.procedure.slug}","inputs_hash":"{facts}",'
            f'"total_dong":{answer.total_dong},"citizen_dong":{answer.citizen_dong},'
            f'"budget_dong":{answer.total_dong - answer.citizen_dong},"lines":'
        )
        return head.encode() + (answer.lines_json if self._detail == "full" else answer.amounts_json) + b"}\n"

    def summary(self, lines: Lines) -> bytes:
        """The last line: how many there were, and what they were priced by."""
        return _json(
            {
                "summary": {
                    "lines": self.quoted + self.failed,
                    "quoted": self.quoted,
                    "failed": self.failed,
                    "catalogue_version": self._law.version,
                    "publication": self._law.number,
                    "input_sha256": lines.digest.hexdigest(),
                    "stored": False,
                }
            }
        )

    def _invalid(self, number: int, error: ValidationError) -> bytes:
        first = error.errors(include_url=False, include_input=False)[:10]
        if first[0]["type"] == "json_invalid":
            return self._failed(
                number,
                "dòng không phải một đối tượng JSON bằng UTF-8; hãy sửa rồi gửi lại dòng này",
                "the line is not one JSON object in UTF-8; correct it and send this line again",
            )
        fields = [
            FieldError(".".join(str(part) for part in item["loc"]) or "body", _vi(str(item["type"])), str(item["msg"]))
            for item in first
        ]
        return self._failed(
            number,
            "dòng có trường chưa đúng; hãy sửa các trường nêu trong fields rồi gửi lại dòng này",
            "some fields of the line are not right; correct those under fields and send this line again",
            fields,
        )

    def _failed(self, number: int, vi: str, en: str, fields: Any = ()) -> bytes:  # noqa: ANN401 — FieldErrors
        self.failed += 1
        told = [{"field": wrong.field, "vi": wrong.vi, "en": wrong.en} for wrong in fields]
        return _json({"line": number, "status": "failed", "error": {"vi": vi, "en": en, "fields": told}})


async def quoted_lines(chunks: AsyncIterator[bytes], law: PublishedLaw, detail: Detail) -> AsyncIterator[bytes]:
    """Answers to a stream of lines, in order, then the summary. Other work gets its turn between slices."""
    lines, quoting = Lines(), Quoting(law, detail)
    async for chunk in chunks:
        out: list[bytes] = []
        for number, line in lines.feed(chunk):
            out.append(quoting.answer(number, line))
            if len(out) >= SLICE_LINES:
                yield b"".join(out)
                out = []
                await asyncio.sleep(0)
        if out:
            yield b"".join(out)
    yield b"".join([*(quoting.answer(number, line) for number, line in lines.end()), quoting.summary(lines)])


class Spool:
    """Bytes on their way through a file. Empty again whenever the reader has caught up."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._moved = asyncio.Condition()
        self._written = 0
        self._read = 0
        self._ended = False
        self._failure: Exception | None = None
        self.most = 0
        """The largest backlog there was, in bytes."""

    async def fill(self, source: AsyncIterator[bytes]) -> None:
        """Write what comes; wait while the backlog is at its limit."""
        try:
            async for piece in source:
                async with self._moved:
                    await self._moved.wait_for(self._has_room)
                    self._file.seek(self._written)
                    self._file.write(piece)
                    self._written += len(piece)
                    self.most = max(self.most, self._written - self._read)
                    self._moved.notify_all()
        except Exception as error:  # noqa: BLE001 — raised at the other end
            self._failure = error
        finally:
            async with self._moved:
                self._ended = True
                self._moved.notify_all()

    async def take(self) -> bytes:
        """The next piece; nothing at the end. Raises what the source raised, after everything before it."""
        async with self._moved:
            await self._moved.wait_for(self._has_news)
            if self._written == self._read:
                if self._failure is not None:
                    raise self._failure
                return b""
            self._file.seek(self._read)
            piece = self._file.read(min(_PIECE, self._written - self._read))
            self._read += len(piece)
            if self._read == self._written:
                self._file.truncate(0)
                self._written = self._read = 0
            self._moved.notify_all()
            return piece

    def _has_room(self) -> bool:
        return self._written - self._read < MAX_BACKLOG_BYTES

    def _has_news(self) -> bool:
        return self._ended or self._written > self._read


async def decoupled(source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes through a file on disk, so that a caller may send everything before it reads anything.

    A caller who reads as it sends never lets the file grow. One who does not, fills the file, not the memory; at
    `MAX_BACKLOG_BYTES` nothing more is read until the caller reads.
    """
    with tempfile.TemporaryFile(prefix="lien-thong-bulk-") as file:
        spool = Spool(file)
        filling = asyncio.create_task(spool.fill(source))
        try:
            while piece := await spool.take():
                yield piece
        finally:
            filling.cancel()


_REMEDIES = {
    "missing": "thiếu trường này; hãy bổ sung",
    "extra_forbidden": "không có trường này; hãy bỏ đi hoặc sửa tên",
    "int_type": "phải là số nguyên",
    "date_from_datetime_parsing": "phải là ngày có thật, dạng YYYY-MM-DD",
    "date_parsing": "phải là ngày có thật, dạng YYYY-MM-DD",
    "literal_error": "không thuộc các giá trị cho phép",
}


def _vi(kind: str) -> str:
    return _REMEDIES.get(kind, "giá trị không đúng dạng hoặc vượt giới hạn")


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
