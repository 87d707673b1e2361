"""Bulk quoting of 100,000 lines in one stream: lines a second, and the memory it adds.

`python -m benchmarks.fees_lines`. The caller reads as it sends; the body is streamed as the service streams it. Memory
is what the process holds after the first tenth and at the end.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import psutil

from benchmarks.fee_rules import filings, tariff
from benchmarks.measuring import describe
from services.fees.bulk import decoupled, quoted_lines
from services.fees.law import PublishedLaw

LINES = 100_000
PIECE = 65_536


def resident_mib() -> float:
    """Memory this process holds now, in MiB."""
    return float(psutil.Process().memory_info().rss) / 1024**2


async def stream(lines: list[bytes], seen: list[float]) -> AsyncIterator[bytes]:
    """All lines in pieces of 64 KiB; notes the memory after a tenth and at the end."""
    piece, size = [], 0
    for number in range(LINES):
        line = lines[number % len(lines)]
        piece.append(line)
        size += len(line)
        if size >= PIECE:
            yield b"".join(piece)
            piece, size = [], 0
        if number in (LINES // 10, LINES - 1):
            seen.append(resident_mib())
    yield b"".join(piece)


async def run() -> None:
    """Stream, count, and fail when a line is missing or memory grows."""
    law = tariff()
    asked = [json.dumps(filing.document(())).encode() + b"\n" for filing in filings(5_000)]
    seen: list[float] = []
    quoted, size, started = 0, 0, time.process_time()
    async for piece in decoupled(quoted_lines(stream(asked, seen), PublishedLaw(1, law.version, law), "amounts")):
        quoted += piece.count(b'"status":"quoted"')
        size += len(piece)
    spent = time.process_time() - started
    if quoted != LINES:
        raise SystemExit(f"{quoted} of {LINES} lines were quoted")
    grown = seen[1] - seen[0]
    print(f"{LINES / spent:,.0f} lines a second of processor, {size / 1024**2:.0f} MiB of answers")
    print(f"memory after 10,000 lines {seen[0]:.0f} MiB, after 100,000 {seen[1]:.0f} MiB: {grown:+.1f} MiB")
    if grown > 16:
        raise SystemExit("the memory grows with the lines")


if __name__ == "__main__":
    describe("pydantic")
    asyncio.run(run())
