"""What opening a bill costs: the real service over HTTP, beside pgbench and raw asyncpg writing the same rows.

    python -m benchmarks.payment_create [--seconds 8] [--rounds 5]
    python -m benchmarks.payment_create --crash [--rounds 3]

One PostgreSQL 18 with fsync on, one uvicorn worker as deployed: a signed token, an Idempotency-Key, problem documents
and telemetry as by default. One opened bill is, in one commit: the bill, its line and share, a fact, a journal with two
entries (whose balance a deferred trigger checks), an outbox row and the idempotency key with the answer. pgbench and
asyncpg write exactly these rows into the same tables, a statement a table, prepared, and nothing else: no reading, no
locks, no answer. Candidates take turns within a round and ratios are taken within a round. The open load comes at half
the rate that 16 clients reached in that round; its times count from when a request was due.

At the end the books are added up. `--crash` is the condition under which the figures count: it kills the service, then
PostgreSQL, in mid-load, sends every request ever sent once more under its own key, and demands that no acknowledged
bill is lost, none is made twice, and the books balance.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path

import asyncpg

from benchmarks.gateway_sandbox import free_port, peak_mebibytes, processor_seconds
from benchmarks.load import MARK, Answer, Line, Load, Order, closed, open_rate, tool, until_it_answers
from benchmarks.payment_process import Database, database, environment, issuer, start_service
from sandbox.postgres import BIN

AMOUNT_DONG = 200_000
CRASH_CLIENTS = 16
_KEPT = json.dumps({"answer": "x" * 880})
_ASKED = json.dumps({"request": "x" * 420})
STATEMENTS = (
    f"""insert into payment
  (id, bill_reference, dossier_code, procedure, quote_id, request, status, due_dong, budget_dong, paid_dong,
  refunded_dong, held_dong, excess_dong, excess_held_dong, budget_released, expires_at, created_at, version)
values ('pay_' || :n::bigint, 'ref-' || :n::bigint, 'G01.02-' || :n::bigint, 'passport', 'qte_1', '{_ASKED}', 'open',
  {AMOUNT_DONG}, 0, 0, 0, 0, 0, 0, false, now() + interval '7 days', now(), 1)""",
    f"""insert into payment_line
  (payment_id, position, item, kind, label_vi, label_en, beneficiary, citizen_dong, budget_dong, reversed_dong,
  given_back_dong)
values ('pay_' || :n::bigint, 1, 'fee-1', 'fee', 'Lệ phí cấp hộ chiếu', 'Passport charge', 'G01.02', {AMOUNT_DONG}, 0,
  0, 0)""",
    f"""insert into payment_share (payment_id, position, number, payer, amount_dong)
values ('pay_' || :n::bigint, 1, 1, 'citizen', {AMOUNT_DONG})""",
    """insert into journal
  (id, posting_key, kind, payment_id, occurred_at, value_date, posted_at, business_date, entry_count)
values ('jrn_' || :n::bigint, 'pay_' || :n::bigint, 'bill_opened', 'pay_' || :n::bigint, now(), current_date, now(),
  current_date, 2)""",
    f"""insert into entry (journal_id, position, account, amount_dong, subject)
values ('jrn_' || :n::bigint, 1, 'citizen_receivable', {AMOUNT_DONG}, 'pay_' || :n::bigint),
  ('jrn_' || :n::bigint, 2, 'fee_revenue' || chr(58) || 'G01.02', -{AMOUNT_DONG}, '')""",
    f"""insert into fact (payment_id, number, id, kind, amount_dong, occurred_at, recorded_at, actor, detail)
values ('pay_' || :n::bigint, 1, 'fct_' || :n::bigint, 'opened', {AMOUNT_DONG}, now(), now(), 'workflows', 'qte_1')""",
    f"""insert into outbox_event (id, kind, subject, data, created_at)
values ('evt_' || :n::bigint, 'payment.opened', 'G01.02-' || :n::bigint, '{_ASKED}', now())""",
    f"""insert into idempotency_key (caller, route, key, fingerprint, status, content_type, body, created_at)
values ('workflows/workflows', 'POST /v1/payments', 'key-' || :n::bigint, repeat('0', 64), '201', 'application/json',
  convert_to('{_KEPT}', 'utf8'), now())""",
)
"""The rows of one opened bill, a statement a table; `:n` makes them unique."""


def order_for(port: int, token: str) -> Order:
    """The request that opens a bill of one line."""
    line = {
        "item": "fee-1",
        "kind": "fee",
        "leg": None,
        "label_vi": "Lệ phí cấp hộ chiếu",
        "label_en": "Passport charge",
        "beneficiary": "G01.02",
        "shares": [{"payer": "citizen", "amount_dong": AMOUNT_DONG}],
    }
    bill = {
        "bill_reference": MARK,
        "dossier_code": f"G01.02-{MARK}",
        "procedure": "passport",
        "quote_id": f"qte_{MARK}",
        "lines": [line],
        "expires_at": (datetime.now(UTC) + timedelta(days=7)).isoformat(),
    }
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {token}",
        "Idempotency-Key": f"key-{MARK}",
    }
    return Order(port, "/v1/payments", json.dumps(bill), headers, statuses=(201,))


def pgbench(database_url: str, folder: Path, *, clients: int, seconds: int) -> float:
    """Bills a second written by pgbench."""
    script = folder / "bill.sql"
    lines = ["\\set n random(1, 9000000000000000000)", "begin;", *(f"{one};" for one in STATEMENTS), "commit;"]
    script.write_text("\n".join(lines), encoding="utf-8")
    here = BIN / "pgbench"
    program = str(here) if here.exists() else shutil.which("pgbench") or "pgbench"
    command = [program, "-n", "-M", "prepared", "-j", "2", "-c", str(clients), "-T", str(seconds), "-f", str(script)]
    done = subprocess.run([*command, database_url], capture_output=True, text=True, check=False)
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    if found is None or done.returncode:
        raise SystemExit(done.stderr[-1_000:])
    return float(found[1])


async def raw(database_url: str, *, clients: int, seconds: float, first: int) -> float:
    """Bills a second written by asyncpg in one process, the same statements prepared."""
    started = time.perf_counter()
    ends, done = started + seconds, 0

    async def client(number: int) -> None:
        nonlocal done
        connection = await asyncpg.connect(database_url)
        prepared = [await connection.prepare(one.replace(":n", "$1")) for one in STATEMENTS]
        count = first + number * 10_000_000
        while time.perf_counter() < ends:
            count += 1
            async with connection.transaction():
                for statement in prepared:
                    await statement.fetch(count)
            done += 1
        await connection.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return done / (time.perf_counter() - started)


async def books(database_url: str, *, at_least: int) -> int:
    """How many bills there are. Raises SystemExit unless every table tells the same and the books balance."""
    connection = await asyncpg.connect(database_url)
    try:
        found = {
            table: int(await connection.fetchval(f"select count(*) from {table}"))
            for table in ("payment", "journal", "fact", "outbox_event", "idempotency_key", "entry")
        }
        total = await connection.fetchval("select coalesce(sum(amount_dong), 0) from entry")
    finally:
        await connection.close()
    bills = found["payment"]
    entries = found.pop("entry")
    if set(found.values()) != {bills} or entries != 2 * bills or total != 0 or bills < at_least:
        raise SystemExit(f"the books are wrong: {found}, {entries} entries, sum {total}; acknowledged {at_least}")
    print(f"books: {bills} bills = journals = facts = outbox rows = keys, {entries} entries, sum 0 đồng")
    return bills


@dataclass
class Figures:
    """What the rounds gave."""

    pgbench: list[float] = field(default_factory=list)
    raw: list[float] = field(default_factory=list)
    sixteen: list[Load] = field(default_factory=list)
    sixty_four: list[Load] = field(default_factory=list)
    half: list[Load] = field(default_factory=list)
    per_processor_second: list[float] = field(default_factory=list)

    def show(self, cores: str) -> None:
        """Print medians, spreads and ratios."""
        print(cores)
        for name, rates in (
            ("pgbench, 8 clients", self.pgbench),
            ("raw asyncpg, 16 clients", self.raw),
            ("service, 16 clients", [one.rate for one in self.sixteen]),
            ("service, 64 clients", [one.rate for one in self.sixty_four]),
            ("service, open load at half", [one.rate for one in self.half]),
            ("service, per processor second", self.per_processor_second),
        ):
            print(f"{name:<30} {statistics.median(rates):7.0f}/s  ({min(rates):.0f} to {max(rates):.0f})")
        for name, loads in (("16 clients", self.sixteen), ("64 clients", self.sixty_four), ("half, open", self.half)):
            p50, p99 = statistics.median(one.p50 for one in loads), statistics.median(one.p99 for one in loads)
            print(f"{name:<30} p50 {p50:.1f} ms  p99 {p99:.1f} ms  (p99/p50 {p99 / p50:.1f})")
        _judge("16 clients / pgbench (P1, P1b)", self.sixteen, self.pgbench, {"P1": 1.0, "P1b": 0.6, "unbatched": 0.35})
        _judge("64 clients / pgbench", self.sixty_four, self.pgbench, {})
        _judge("16 clients / raw asyncpg", self.sixteen, self.raw, {})


def _judge(name: str, loads: list[Load], yard: list[float], targets: dict[str, float]) -> None:
    ratios = [one.rate / base for one, base in zip(loads, yard, strict=True)]
    middle = statistics.median(ratios)
    verdicts = [
        f"{target} ≥ {least}: {'reached' if middle >= least else 'missed'}" for target, least in targets.items()
    ]
    print(f"{name:<30} {middle:.3f} ({min(ratios):.3f} to {max(ratios):.3f})  {', '.join(verdicts)}")


def measure(
    folder: Path, store: Database, order: Order, start: Callable[[], subprocess.Popen[bytes]], args: object
) -> None:
    """All rounds, then the books."""
    seconds, rounds = int(args.seconds), int(args.rounds)  # type: ignore[attr-defined]
    process, figures, acknowledged = start(), Figures(), 0
    try:
        asyncio.run(closed(order, clients=16, seconds=2, mark="warm"))
        for number in range(rounds):
            figures.pgbench.append(pgbench(store.url, folder, clients=8, seconds=seconds))
            first = (number + 1) * 1_000_000_000
            figures.raw.append(asyncio.run(raw(store.url, clients=16, seconds=seconds, first=first)))
            used = processor_seconds(process)
            load = asyncio.run(closed(order, clients=16, seconds=seconds, mark=f"a{number}"))
            figures.per_processor_second.append(load.count / (processor_seconds(process) - used))
            figures.sixteen.append(load)
            figures.sixty_four.append(asyncio.run(closed(order, clients=64, seconds=seconds, mark=f"b{number}")))
            half = asyncio.run(open_rate(order, rate=load.rate / 2, seconds=seconds, mark=f"c{number}"))
            figures.half.append(half)
            acknowledged += sum(one.count for one in (load, figures.sixty_four[-1], half))
        figures.show(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {rounds} rounds of {seconds} s")
        print(f"peak memory of the service {peak_mebibytes(process)} MiB")
    finally:
        process.terminate()
        process.wait(30)
    asyncio.run(books(store.url, at_least=acknowledged))


async def flood(
    order: Order, *, seconds: float, mark: str, kill: Callable[[], None]
) -> tuple[list[str], dict[str, str]]:
    """Send until something is killed in the middle: every mark sent, and the bill of each that was acknowledged."""
    sent, held = list[str](), dict[str, str]()
    over = asyncio.Event()

    async def client(number: int) -> None:
        line, count = Line(order.port), 0
        while not over.is_set():
            count += 1
            identity = f"{mark}-{number}-{count}"
            sent.append(identity)
            try:
                answer = await line.send(order.bytes_of(identity))
            except (OSError, asyncio.IncompleteReadError):
                return
            if answer.status == 201:
                held[identity] = json.loads(answer.body)["id"]
            elif over.is_set() or answer.status >= 500:
                return
            else:
                raise SystemExit(f"answered {answer.status}: {answer.body[:300]!r}")

    async with asyncio.TaskGroup() as tasks:
        for number in range(CRASH_CLIENTS):
            tasks.create_task(client(number))
        await asyncio.sleep(seconds)
        await asyncio.to_thread(kill)
        over.set()
    return sent, held


async def replay(order: Order, sent: list[str], held: dict[str, str]) -> int:
    """Send everything again under its own key; how many had been lost on the way before they were done.

    Raises SystemExit when an acknowledged bill is not given back as it was.
    """
    lost, waiting = 0, list(reversed(sent))

    async def client() -> None:
        nonlocal lost
        line = Line(order.port)
        while waiting:
            identity = waiting.pop()
            answer = await _patiently(line, order.bytes_of(identity))
            known = answer.headers.get("idempotent-replayed") == "true"
            if identity in held and (not known or json.loads(answer.body)["id"] != held[identity]):
                raise SystemExit(f"{identity} was acknowledged as {held[identity]}, now: {answer.body[:200]!r}")
            lost += not known
        line.close()

    await asyncio.gather(*(client() for _ in range(CRASH_CLIENTS)))
    return lost


async def _patiently(line: Line, request: bytes) -> Answer:
    """The 201 to a request, however long the server takes to come back to itself."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                answer = await line.send(request)
                if answer.status == 201:
                    return answer
                if answer.status not in (409, 500, 503):
                    raise SystemExit(f"a repeat was answered {answer.status}: {answer.body[:300]!r}")
            line.close()
            await asyncio.sleep(0.2)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a server and, when it leads a session of its own, to all it has started."""
    if os.getsid(process.pid) == process.pid:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def crash(store: Database, order: Order, start: Callable[[], subprocess.Popen[bytes]], args: object) -> None:
    """Kill the service, then PostgreSQL, in mid-load, as often as there are rounds; then add up."""
    process, sent, held, lost = start(), list[str](), dict[str, str](), 0
    seconds = float(args.seconds) / 2  # type: ignore[attr-defined]
    try:
        for number in range(int(args.rounds)):  # type: ignore[attr-defined]
            for victim in ("service", "postgres"):
                kill = partial(_kill, process if victim == "service" else store.cluster.process)
                new, acknowledged = asyncio.run(flood(order, seconds=seconds, mark=f"{victim}{number}", kill=kill))
                if victim == "service":
                    process = start()
                else:
                    store.start_again()
                asyncio.run(until_it_answers(order.port, "/readyz"))
                missing = asyncio.run(replay(order, new, acknowledged))
                print(
                    f"{victim} killed: {len(new)} sent, {len(acknowledged)} acknowledged, {missing} done by the repeat"
                )
                sent, held, lost = sent + new, held | acknowledged, lost + missing
        again = asyncio.run(replay(order, sent, held))
    finally:
        process.kill()
        process.wait()
    if again:
        raise SystemExit(f"{again} bills that had been repeated were not known")
    bills = asyncio.run(books(store.url, at_least=len(held)))
    if bills != len(sent):
        raise SystemExit(f"{len(sent)} different bills were sent, {bills} are there")
    print(f"{len(held)} acknowledged, none lost; {lost} finished by a repeat; {len(sent)} keys repeated, none doubled")


async def check_durable(database_url: str) -> None:
    """Raises SystemExit unless commits are on disk when they return."""
    connection = await asyncpg.connect(database_url)
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        if await connection.fetchval(f"show {name}") != "on":
            raise SystemExit(f"{name} is off; nothing measured here would count")
    print(
        f"PostgreSQL {await connection.fetchval('show server_version')}, fsync, synchronous_commit, full_page_writes on"
    )
    await connection.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--crash", action="store_true")
    arguments = parser.parse_args()
    names = ("fastapi", "uvicorn", "sqlalchemy", "sqlmodel", "asyncpg", "pydantic")
    print(f"Python {platform.python_version()}, {', '.join(f'{name} {version(name)}' for name in names)}")
    print(f"closed load from {tool()}")
    with tempfile.TemporaryDirectory() as name, issuer() as (address, token):
        folder = Path(name)
        with database(folder, free_port()) as store:
            asyncio.run(check_durable(store.url))
            port = free_port()
            values = environment(store.url, port, ISSUER=address)
            order = order_for(port, token)

            def start() -> subprocess.Popen[bytes]:
                return start_service(folder, port, values)

            if arguments.crash:
                crash(store, order, start, arguments)
            else:
                measure(folder, store, order, start, arguments)


if __name__ == "__main__":
    main()
