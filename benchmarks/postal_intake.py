"""Event intake of the postal service, raw inserts and pgbench in the same rounds: `python -m benchmarks.postal_intake`.

Every round, on one PostgreSQL with fsync on (its own cluster, 127.0.0.1, taken down at the end):

* `tx_multi`: pgbench, 8 clients, a transaction of three single-row inserts with a foreign key; the yardstick.
* `raw`: the same event rows (same columns, unique key, foreign key, indexes) through one `insert … select from
  unnest(…) on conflict do nothing` a batch, nothing else: what PostgreSQL can take in.
* `intake`: `recording.record_events`, the function behind `POST /v1/events`: locks, duplicate check, body hashes, hash
  chain, fold, verdicts, lists, news in the outbox, one commit a batch.
* `again`: the same batches once more, which must change nothing (idempotent).

The script fails unless every event is stored exactly once, every chain is intact and every leg ended as it must.
Prints events per second, the ratio to pgbench of the same round, median (min–max), what the fold costs alone, and the
peak memory of this process.
"""

import argparse
import asyncio
import os
import random
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from kit.db import create_engine, create_sessions, transaction
from kit.ids import uuid7
from sandbox.postgres import BIN, Cluster, start_cluster
from services.postal import custody, operations, queries, recording, rules
from services.postal.contract import CreateShipment, Evidence, PostEvent, PutContact

ROOT = Path(__file__).parents[1]
TERMS = rules.Terms(public_url="http://postal.test", label_secret="l" * 32, hold_days=10, silence_hours=48)
SENDER = recording.Sender("carrier", "carrier")
SEALED = Evidence(
    collected_positions=(1,),
    page_count=4,
    seal_number="NP-1",
    citizen_signature_sha256="a" * 64,
    courier_signature_sha256="b" * 64,
)
PROVEN = Evidence(receiver="agency_officer", proof="signature")
KINDS = ("collected", "arrived_origin_office", "departed", "arrived_delivery_office", "out_for_delivery", "handed_over")
TX_MULTI = """
\\set a random(1, 1000)
begin;
insert into bench_parent (note) values ('p');
insert into bench_child (account, amount) values (:a, 1);
insert into bench_child (account, amount) values (:a, -1);
commit;
"""


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def prepare(cluster: Cluster) -> None:
    """The yardstick's tables, and a table like `event` for the raw inserts."""
    connection = await asyncpg.connect(cluster.url("postal"))
    try:
        await connection.execute("create table bench_account (id int primary key)")
        await connection.execute("insert into bench_account select generate_series(1, 1000)")
        await connection.execute("create table bench_parent (id bigserial primary key, note text not null)")
        await connection.execute(
            "create table bench_child (id bigserial primary key, account int not null references bench_account, "
            "amount bigint not null)"
        )
        await connection.execute("create table bench_event (like event including all)")
        await connection.execute("alter table bench_event add foreign key (shipment_id) references shipment (id)")
    finally:
        await connection.close()


def tx_multi(cluster: Cluster, script: Path, seconds: int) -> float:
    """Transactions per second of the yardstick."""
    command = [
        str(BIN / "pgbench"), "-n", "-M", "prepared", "-c", "8", "-j", "2", "-T", str(seconds), "-f", str(script),
        "-h", "127.0.0.1", "-p", str(cluster.port), "-U", "postgres", "postal",
    ]  # fmt: skip
    environment = {**os.environ, "PGPASSWORD": cluster.password}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    [line] = [line for line in done.stdout.splitlines() if line.startswith("tps = ")]
    return float(line.split()[2])


async def book(sessions: object, number: int, round_number: int) -> list[str]:
    """Legs to report about; their item numbers."""
    booked = []
    for index in range(number):
        async with transaction(sessions) as session:  # type: ignore[arg-type]
            code = f"B{round_number:03d}-{index:06d}"
            person = PutContact(name="Nguyễn Văn An", phone="0912345678", address="1 Tràng Tiền", commune="00070")
            contact = await operations.put_contact(session, code, person)
            body = CreateShipment(
                shipment_key=code,
                dossier_code=code,
                direction="outbound",
                contact_id=contact.id,
                agency="H26",
                agency_commune="00004",
                weight_grams=60,
                postage_dong=26_000,
                checklist=("Hồ sơ",),
            )
            row, _ = await operations.book_shipment(session, body, hold_days=10)
            booked.append(row.s10)
    return booked


def facts_of(numbers: Sequence[str], chance: random.Random) -> list[PostEvent]:
    """A whole leg's facts for each item, in the order in which devices would bring them: mixed, a few out of order."""
    start = datetime.now(UTC) - timedelta(hours=6)
    facts = []
    for number in numbers:
        for step, kind in enumerate(KINDS):
            evidence = SEALED if kind == "collected" else PROVEN if kind == "handed_over" else None
            facts.append(
                PostEvent(
                    event_id=str(uuid7()),
                    s10=number,
                    kind=kind,
                    occurred_at=start + timedelta(minutes=step),
                    device_id=f"phone-{chance.randint(1, 40)}",
                    device_seq=step + 1,
                    place="Bưu cục trung tâm",
                    evidence=evidence,
                )
            )
    chance.shuffle(facts)
    return facts


async def raw(cluster: Cluster, rows: list[asyncpg.Record], batch: int) -> float:
    """Events per second when PostgreSQL does nothing but store them, one statement a batch."""
    names = list(rows[0].keys())
    kinds = {
        "chain_position": "int", "device_seq": "bigint", "cash_collected_dong": "bigint", "skew_ms": "bigint",
        "occurred_at": "timestamptz", "received_at": "timestamptz", "evidence": "jsonb", "party": "jsonb",
        "voids": "jsonb", "code_right": "boolean",
    }  # fmt: skip
    arrays = ", ".join(f"${i}::{kinds.get(name, 'text')}[]" for i, name in enumerate(names, start=1))
    statement = f"insert into bench_event ({', '.join(names)}) select * from unnest({arrays}) on conflict do nothing"
    connection = await asyncpg.connect(cluster.url("postal"))
    try:
        began = time.perf_counter()
        for start in range(0, len(rows), batch):
            part = rows[start : start + batch]
            await connection.execute(statement, *([row[name] for row in part] for name in names))
        took = time.perf_counter() - began
        stored = await connection.fetchval("select count(*) from bench_event")
        assert stored >= len(rows), (stored, len(rows))
        await connection.execute("truncate bench_event")
    finally:
        await connection.close()
    return len(rows) / took


async def intake(sessions: object, facts: Sequence[PostEvent], batch: int, *, expect: str) -> float:
    """Events per second through the service's own intake."""
    began = time.perf_counter()
    for start in range(0, len(facts), batch):
        async with transaction(sessions) as session:  # type: ignore[arg-type]
            part = facts[start : start + batch]
            results = await recording.record_events(session, part, sender=SENDER, at=datetime.now(UTC), terms=TERMS)
        assert {result.result for result in results} == {expect}
    return len(facts) / (time.perf_counter() - began)


async def check(sessions: object, numbers: Sequence[str]) -> float:
    """Every leg delivered, every chain intact; gives the cost of the fold alone in microseconds an event."""
    async with transaction(sessions) as session:  # type: ignore[arg-type]
        rows = [await queries.shipment_by_number(session, number) for number in numbers]
        logs = await queries.events_of(session, [row.id for row in rows])
    facts = {row.id: [queries.fact_of(entry.event) for entry in logs[row.id]] for row in rows}
    for row in rows:
        assert row.status == "delivered", row.status
        assert len(logs[row.id]) == len(KINDS)
        assert queries.check_chain(row, logs[row.id]).intact
    began = time.perf_counter()
    for row in rows:
        custody.fold(recording.leg_of(row, piece_count=1), facts[row.id])
    return (time.perf_counter() - began) / (len(rows) * len(KINDS)) * 1e6


async def run(rounds: int, legs: int, batch: int, seconds: int) -> None:
    """All rounds, and what came of them."""
    folder = Path(tempfile.mkdtemp(prefix="lien-thong-benchmark-"))
    cluster = start_cluster(folder / "data", port=free_port(), password="bench", log=folder / "log")
    try:
        admin = await asyncpg.connect(cluster.url("postgres"))
        await admin.execute("create database postal")
        await admin.close()
        environment = {**os.environ, "POSTAL_DATABASE_URL": cluster.url("postal")}
        command = [sys.executable, "-m", "alembic", "-n", "postal", "upgrade", "head"]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
        await prepare(cluster)
        script = folder / "tx_multi.sql"
        script.write_text(TX_MULTI)
        script.chmod(0o644)
        engine = create_engine(cluster.url("postal"), pool_size=4)
        sessions = create_sessions(engine)
        async with transaction(sessions) as session:
            await operations.lend_range(session, indicator="RR", country="XX", first=10_000_000, last=99_999_999)
        await measure(cluster, sessions, script, rounds=rounds, legs=legs, batch=batch, seconds=seconds)
        await engine.dispose()
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def measure(
    cluster: Cluster, sessions: object, script: Path, *, rounds: int, legs: int, batch: int, seconds: int
) -> None:
    """The rounds, interleaved, and their medians."""
    chance = random.Random(20260302)
    found: dict[str, list[float]] = {name: [] for name in ("tx_multi", "raw", "intake", "again", "fold_us")}
    for number in range(rounds):
        numbers = await book(sessions, legs, number)
        facts = facts_of(numbers, chance)
        yardstick = tx_multi(cluster, script, seconds)
        stored = await intake(sessions, facts, batch, expect="stored")
        again = await intake(sessions, facts, batch, expect="duplicate")
        connection = await asyncpg.connect(cluster.url("postal"))
        ids = [fact.event_id for fact in facts]
        rows = await connection.fetch("select * from event where id = any($1)", ids)
        assert len(rows) == len(facts)
        await connection.close()
        plain = await raw(cluster, rows, batch)
        fold = await check(sessions, numbers)
        for name, value in zip(found, (yardstick, plain, stored, again, fold), strict=True):
            found[name].append(value)
        sys.stdout.write(
            f"round {number + 1}: tx_multi {yardstick:,.0f}/s; raw {plain:,.0f}/s ({plain / yardstick:.1f} x); intake "
            f"{stored:,.0f}/s ({stored / yardstick:.2f} x); again {again:,.0f}/s; fold {fold:.0f} us an event\n"
        )
    for name in ("raw", "intake", "again"):
        ratios = [value / base for value, base in zip(found[name], found["tx_multi"], strict=True)]
        sys.stdout.write(
            f"{name}: {statistics.median(found[name]):,.0f} events/s, {statistics.median(ratios):.2f} x tx_multi "
            f"({min(ratios):.2f} to {max(ratios):.2f})\n"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(f"fold alone: {statistics.median(found['fold_us']):.0f} us an event; peak memory {peak:.0f} MiB\n")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--legs", type=int, default=500)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=4)
    chosen = parser.parse_args()
    asyncio.run(run(chosen.rounds, chosen.legs, chosen.batch, chosen.seconds))


if __name__ == "__main__":
    main()
