"""Tables as files: CSV and Excel, row by row however many there are, and never a formula that somebody else wrote."""

import asyncio
import csv
import io
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import date, datetime
from typing import Literal

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font
from starlette.responses import Response, StreamingResponse

from kit.spreadsheets import harmless
from kit.web import LOCAL_ZONE

Cell = str | int | date | datetime | None
Row = Sequence[Cell]
FileKind = Literal["csv", "xlsx"]

_TYPES = {"csv": "text/csv; charset=utf-8", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}
_CHUNK = 64 * 1024


def download(kind: FileKind, name: str, head: Sequence[str], rows: Callable[[], AsyncIterator[Row]]) -> Response:
    """A table as a file to keep. `rows` is called once, when the answer is on its way."""
    body = _csv(head, rows()) if kind == "csv" else _xlsx(head, rows())
    headers = {"Content-Disposition": f'attachment; filename="{name}.{kind}"', "Cache-Control": "private, no-store"}
    return StreamingResponse(body, media_type=_TYPES[kind], headers=headers)


async def _csv(head: Sequence[str], rows: AsyncIterator[Row]) -> AsyncIterator[bytes]:
    """UTF-8 with a byte order mark, without which Excel takes Vietnamese for another code page."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(head)
    yield b"\xef\xbb\xbf"
    async for row in rows:
        writer.writerow([_written(cell) for cell in row])
        if out.tell() >= _CHUNK:
            yield _taken(out)
    yield _taken(out)


def _taken(out: io.StringIO) -> bytes:
    text = out.getvalue()
    out.seek(0)
    out.truncate()
    return text.encode()


def _written(cell: Cell) -> str | int:
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return cell.astimezone(LOCAL_ZONE).strftime("%Y-%m-%d %H:%M:%S")
    return cell.isoformat() if isinstance(cell, date) else harmless(cell) if isinstance(cell, str) else cell


async def _xlsx(head: Sequence[str], rows: AsyncIterator[Row]) -> AsyncIterator[bytes]:
    """Numbers and dates as such. The sheet grows in a file, not in memory."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet("1")
    sheet.freeze_panes = "A2"
    for number, name in enumerate(head):
        sheet.column_dimensions[chr(ord("A") + number)].width = max(12, len(name) + 2)
    bold = [WriteOnlyCell(sheet, value=name) for name in head]
    for cell in bold:
        cell.font = Font(bold=True)
    sheet.append(bold)
    batch: list[list[object]] = []
    async for row in rows:
        batch.append([_celled(cell) for cell in row])
        if len(batch) >= 1_000:
            await asyncio.to_thread(_append, sheet, batch)
            batch = []
    _append(sheet, batch)
    with tempfile.TemporaryFile() as file:
        await asyncio.to_thread(book.save, file)
        file.seek(0)
        while chunk := file.read(_CHUNK):
            yield chunk


def _append(sheet: "object", batch: list[list[object]]) -> None:
    for row in batch:
        sheet.append(row)  # type: ignore[attr-defined]


def _celled(cell: Cell) -> object:
    if isinstance(cell, datetime):
        return cell.astimezone(LOCAL_ZONE).replace(tzinfo=None)
    return harmless(cell) if isinstance(cell, str) else cell
