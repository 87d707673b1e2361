"""Tracking over a log of a million facts: `python -m benchmarks.postal_tracking`.

Takes in one leg through the service, copies it inside PostgreSQL until the log holds the asked number of facts (six a
leg, every row with its indexes and foreign keys), then asks `GET /v1/tracking/{number}` for random items through the
whole application in this process (routing, session, rendering), one after the other, and reports p50, p99 and the
longest. The answers are compared with what the leg's facts must give. The fsync setting does not matter: only reads
are timed.
"""

import argparse
import asyncio
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import httpx
from pydantic import SecretStr

from benchmarks.postal_intake import KINDS, ROOT, SENDER, TERMS, book, facts_of, free_port
from kit.db import create_engine, create_sessions, transaction
from kit.settings import checked_url
from sandbox.postgres import Cluster, start_cluster
from services.postal import operations, recording, s10
from services.postal.app import create_app
from services.postal.settings import PostalSettings

COPY_SHIPMENTS = """
insert into shipment
select (jsonb_populate_record(s, jsonb_build_object(
    'id', 'shp_' || n, 'shipment_key', 'k' || n, 's10', b.s10, 'receipt_code', 'BN' || n))).*
from shipment s, unnest($1::text[]) with ordinality b(s10, n)
where s.id = $2
"""
COPY_EVENTS = """
insert into event
select (jsonb_populate_record(e, jsonb_build_object(
    'id', md5(e.id || n)::uuid, 'shipment_id', 'shp_' || n))).*
from event e, generate_series($1::int, $2::int) n
where e.shipment_id = $3
"""
COPY_VERDICTS = """
insert into verdict (event_id, shipment_id, applied, anomaly)
select id, shipment_id, true, null from event where shipment_id <> $1
"""


async def fill(cluster: Cluster, events: int) -> list[str]:
    """The log, and the item numbers in it."""
    engine = create_engine(cluster.url("postal"), pool_size=2)
    sessions = create_sessions(engine)
    async with transaction(sessions) as session:
        await operations.lend_range(session, indicator="RR", country="XX", first=10_000_000, last=99_999_999)
    [template] = await book(sessions, 1, 0)
    async with transaction(sessions) as session:
        facts = facts_of([template], random.Random(1))
        await recording.record_events(session, facts, sender=SENDER, at=datetime.now(UTC), terms=TERMS)
    await engine.dispose()
    count = events // len(KINDS)
    numbers = [str(s10.ItemNumber("EE", serial, "XX")) for serial in range(1, count + 1)]
    connection = await asyncpg.connect(cluster.url("postal"), command_timeout=1200)
    try:
        row = await connection.fetchrow("select id from shipment")
        assert row is not None
        await connection.execute(COPY_SHIPMENTS, numbers, row["id"])
        for start in range(1, count + 1, 20_000):
            await connection.execute(COPY_EVENTS, start, min(start + 19_999, count), row["id"])
        await connection.execute(COPY_VERDICTS, row["id"])
        await connection.execute("vacuum analyze")
        stored = await connection.fetchval("select count(*) from event")
        assert stored == (count + 1) * len(KINDS), stored
        sys.stdout.write(f"{stored:,} facts of {count + 1:,} legs\n")
    finally:
        await connection.close()
    return numbers


async def ask(cluster: Cluster, numbers: list[str], requests: int) -> list[float]:
    """Seconds of each request, sorted."""
    settings = PostalSettings(
        public_url=checked_url("http://postal.test"),
        issuer=checked_url("http://issuer.test"),
        database_url=cluster.url("postal"),
        session_secret=SecretStr("s" * 32),
        pages_client_id="pages-postal",
        secure_cookies=False,
        label_secret=SecretStr("l" * 32),
        s10_country="XX",
    )
    app = create_app(settings)
    engine = create_engine(cluster.url("postal"), pool_size=4)
    app.state.sessions = create_sessions(engine)
    app.state.authority = _Nobody()
    chance = random.Random(20260302)
    took = []
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://postal.test") as client:
        for number in range(requests + 50):
            url = f"/v1/tracking/{chance.choice(numbers)}"
            began = time.perf_counter()
            answer = await client.get(url)
            if number >= 50:  # the first ones prepare statements and fill caches
                took.append(time.perf_counter() - began)
            document = answer.json()
            assert (answer.status_code, document["status"], len(document["events"])) == (200, "delivered", len(KINDS))
    await engine.dispose()
    return sorted(took)


class _Nobody:
    """Tracking needs no sign-in."""

    async def identify(self, request: object) -> None:  # noqa: ARG002
        return None


async def run(events: int, requests: int) -> None:
    """Fill, ask, report."""
    folder = Path(tempfile.mkdtemp(prefix="lien-thong-benchmark-"))
    settings = {"fsync": "off", "synchronous_commit": "off", "max_wal_size": "4GB"}
    cluster = start_cluster(folder / "data", port=free_port(), password="bench", log=folder / "log", settings=settings)
    try:
        admin = await asyncpg.connect(cluster.url("postgres"))
        await admin.execute("create database postal")
        await admin.close()
        environment = {**os.environ, "POSTAL_DATABASE_URL": cluster.url("postal")}
        command = [sys.executable, "-m", "alembic", "-n", "postal", "upgrade", "head"]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
        numbers = await fill(cluster, events)
        took = await ask(cluster, numbers, requests)
        p99 = took[int(len(took) * 0.99)]
        sys.stdout.write(
            f"tracking, {len(took):,} requests one after the other: p50 {statistics.median(took) * 1000:.1f} ms, "
            f"p99 {p99 * 1000:.1f} ms, longest {took[-1] * 1000:.1f} ms\n"
        )
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=3_000)
    chosen = parser.parse_args()
    asyncio.run(run(chosen.events, chosen.requests))


if __name__ == "__main__":
    main()
