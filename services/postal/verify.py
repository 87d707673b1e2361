"""Looks through the whole log for anything rewritten: `python -m services.postal.verify [--seal DAY=SEAL …]`.

Reads the address from `POSTAL_DATABASE_URL`. Checks every shipment's chain up to its head, that the lists show what
the log says, and every day's published seal; `--seal` compares with a seal kept elsewhere (a gazette, a receipt),
which nobody with rights over this database alone can change. Prints one line a finding; exit status 0 when there is
none, 1 otherwise.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import create_engine, create_sessions
from services.postal import custody, queries, recording, roots
from services.postal.models import CustodyRoot, Shipment

_PAGE = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was written."""

    what: str
    words: str


async def findings(session: AsyncSession, *, known_seals: Mapping[date, str]) -> AsyncIterator[Finding]:
    """Everything wrong, shipments first, then days."""
    after = ""
    while True:
        query = select(Shipment).where(col(Shipment.id) > after).order_by(col(Shipment.id)).limit(_PAGE)
        rows = (await session.exec(query)).all()
        if not rows:
            break
        after = rows[-1].id
        logs = await queries.log_of(session, [row.id for row in rows])
        pieces = await queries.pieces_of(session, [row.id for row in rows])
        for row in rows:
            for words in _faults(row, logs[row.id], piece_count=len(pieces[row.id])):
                yield Finding(row.s10, words)
        session.expunge_all()
    for day, words in await roots.broken_seals(session):
        yield Finding(day.isoformat(), words)
    for day, seal in sorted(known_seals.items()):
        kept = await session.get(CustodyRoot, day)
        if kept is None or kept.seal != seal:
            yield Finding(day.isoformat(), "the seal you know is not the one that is stored")


def _faults(row: Shipment, log: Sequence[queries.LogLine], *, piece_count: int) -> list[str]:
    checked = queries.check_chain(row, log)
    if not checked.intact:
        return [f"the log is not as it was written, from fact {checked.broken_at} on"]
    folded = custody.fold(
        recording.leg_of(row, piece_count=piece_count), [queries.fact_of(entry.event) for entry in log]
    )
    if (folded.status, folded.custodian) != (row.status, row.custodian):
        return [f"the list says {row.status} with {row.custodian}, the log {folded.status} with {folded.custodian}"]
    return []


async def look_through(url: str, known_seals: Mapping[date, str]) -> list[Finding]:
    """All findings of the database at `url`."""
    engine = create_engine(url, pool_size=1)
    try:
        async with create_sessions(engine)() as session:
            return [finding async for finding in findings(session, known_seals=known_seals)]
    finally:
        await engine.dispose()


def _known_seal(text: str) -> tuple[date, str]:
    day, _, seal = text.partition("=")
    return date.fromisoformat(day), seal.strip().lower()


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seal", action="append", type=_known_seal, default=[], metavar="DAY=SEAL")
    chosen = parser.parse_args()
    url = os.environ.get("POSTAL_DATABASE_URL")
    if not url:
        parser.error("set POSTAL_DATABASE_URL to the address of the postal database")
    found = asyncio.run(look_through(url, dict(chosen.seal)))
    for finding in found:
        sys.stdout.write(f"{finding.what}: {finding.words}\n")
    sys.stdout.write(f"{len(found)} finding(s)\n" if found else "intact\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
