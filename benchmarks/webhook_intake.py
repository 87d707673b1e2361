"""How many webhooks of the card gateway the payment service takes a second: verified, stored once, committed.

    python -m benchmarks.webhook_intake [--seconds 8] [--clients 16] [--rounds 5]

One service process (uvicorn) on one PostgreSQL 18 with fsync on, both started here. Each round first lets raw asyncpg
put the same rows into the same table, one commit each, over the same number of connections, then sends the service
signed events of two kilobytes over kept HTTP/1.1 connections; every tenth is a repeat. The service works on what it
has taken all the while, as it does in life. The ratio is taken within a round. At the end the table must hold each
event exactly once.
"""

import argparse
import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from benchmarks.gateway_sandbox import free_port, peak_mebibytes, processor_seconds
from sandbox.postgres import create_service_databases, start_cluster

SECRET = "whsec_benchmark"
_INSERT = """
insert into inbound
  (id, source, event_id, kind, body, received_at, attempts, next_attempt_at, last_result, processed_at)
values ($1, 'bank', $2, 'customer.updated', $3, $4, 0, $4, '', $4) on conflict (source, event_id) do nothing
"""


def event(identity: str) -> bytes:
    """An event of about two kilobytes about an object that needs nothing done."""
    subject = {"id": "cus_1", "object": "customer", "description": "x" * 1_700, "metadata": {"a": "b"}}
    document = {"id": identity, "object": "event", "type": "customer.updated", "data": {"object": subject}}
    return json.dumps(document).encode()


def request_of(body: bytes) -> bytes:
    """The signed HTTP request of a webhook."""
    stamp = int(time.time())
    signature = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    head = (
        "POST /webhooks/gateway HTTP/1.1\r\nHost: payment\r\nContent-Type: application/json\r\n"
        f"Stripe-Signature: t={stamp},v1={signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def over_http(port: int, *, seconds: float, clients: int, mark: str) -> tuple[int, int, list[float]]:
    """Webhooks answered, how many of them were new, and how long each took."""
    ends, times, fresh = time.perf_counter() + seconds, list[float](), 0

    async def client(number: int) -> None:
        nonlocal fresh
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        count = 0
        while time.perf_counter() < ends:
            count += 1
            # Every tenth is a repeat of the one before.
            message = request_of(event(f"evt_{mark}_{number}_{count - (count % 10 == 0)}"))
            started = time.perf_counter()
            writer.write(message)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            content = await reader.readexactly(int(head.split("content-length:")[1].split("\r\n")[0]))
            times.append(time.perf_counter() - started)
            if not head.startswith("http/1.1 200"):
                raise SystemExit(f"a webhook was refused: {content[:300]!r}")
            fresh += json.loads(content)["new"]
        writer.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return len(times), fresh, times


async def raw(url: str, *, seconds: float, clients: int, mark: str) -> int:
    """Rows put into the same table by asyncpg, one commit each."""
    ends, done = time.perf_counter() + seconds, 0

    async def client(number: int) -> None:
        nonlocal done
        connection = await asyncpg.connect(url)
        statement = await connection.prepare(_INSERT)
        count = 0
        while time.perf_counter() < ends:
            count += 1
            identity = f"evt_{mark}_{number}_{count - (count % 10 == 0)}"
            await statement.fetch(f"inb_{mark}_{number}_{count}", identity, event(identity).decode(), datetime.now(UTC))
            done += 1
        await connection.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return done


@contextlib.contextmanager
def service(folder: Path, url: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The payment service as one process; its port."""
    port, nobody = free_port(), "http://127.0.0.1:9"
    environment = {
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "ISSUER": nobody,
        "DATABASE_URL": url,
        "SESSION_SECRET": "s" * 32,
        "PAGES_CLIENT_ID": "pages",
        "GATEWAY_URL": nobody,
        "GATEWAY_KEY": "sk_test_x",
        "GATEWAY_WEBHOOK_SECRET": SECRET,
        "BANK_URL": nobody,
        "BANK_KEY": "x",
        "BANK_NOTICE_SECRET": "whsec_eA==",
        "BANK_BIN": "970415",
        "BANK_ACCOUNT": "113366668888",
        "BANK_HOLDER": "KHO BAC",
        "COLLECTING_AGENCY_NAME": "Trung tâm",
        "RECEIPT_SECRET": "r" * 32,
        "LOG_LEVEL": "ERROR",
    }
    values = {**os.environ, **{f"PAYMENT_{name}": value for name, value in environment.items()}}
    subprocess.run([sys.executable, "-m", "alembic", "-n", "payment", "upgrade", "head"], env=values, check=True)
    command = [sys.executable, "-m", "uvicorn", "--factory", "services.payment.app:create_app", "--port", str(port)]
    with (folder / "service.log").open("wb") as log:
        process = subprocess.Popen([*command, "--no-access-log"], env=values, stdout=log, stderr=log)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1).close()
                break
            time.sleep(0.1)
        yield port, process
    finally:
        process.terminate()
        process.wait(15)


async def run(folder: Path, url: str, admin: str, *, seconds: float, clients: int, rounds: int) -> None:
    """Measure and print."""
    rates, yard, ratios, costs, times, taken = [], [], [], [], list[float](), 0
    with service(folder, url) as (port, process):
        await over_http(port, seconds=1, clients=clients, mark="warm")
        for number in range(rounds):
            base = await raw(admin, seconds=seconds / 2, clients=clients, mark=f"y{number}") / (seconds / 2)
            started, used = time.perf_counter(), processor_seconds(process)
            count, fresh, took = await over_http(port, seconds=seconds, clients=clients, mark=f"r{number}")
            rate = count / (time.perf_counter() - started)
            costs.append(count / (processor_seconds(process) - used))
            rates.append(rate)
            yard.append(base)
            ratios.append(rate / base)
            times += took
            taken += fresh
        peak = peak_mebibytes(process)
    connection = await asyncpg.connect(admin)
    held = await connection.fetchval("select count(*) from inbound where event_id like 'evt\\_r%'")
    await connection.close()
    if held != taken:
        raise SystemExit(f"{taken} events were answered as new, the table holds {held}")
    times.sort()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {clients} clients, {rounds} rounds of {seconds:g} s")
    print(f"webhooks taken     {statistics.median(rates):6.0f}/s  ({min(rates):.0f} to {max(rates):.0f})")
    print(f"per processor second of the service {statistics.median(costs):6.0f}")
    print(f"raw asyncpg rows   {statistics.median(yard):6.0f}/s")
    print(f"ratio, same round  {statistics.median(ratios):6.2f}  ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"p50 {times[len(times) // 2] * 1000:.1f} ms  p99 {times[len(times) * 99 // 100] * 1000:.1f} ms")
    print(f"peak memory of the service {peak} MiB; {held} events, each once")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cluster = start_cluster(folder / "postgres", port=free_port(), password="p", log=folder / "postgres.log")
        try:
            passwords = dict.fromkeys(("fees", "payment", "postal"), "p")
            asyncio.run(create_service_databases(cluster, passwords))
            url = cluster.url("payment", user="payment", password="p")
            admin = cluster.url("payment")
            asyncio.run(
                run(
                    folder,
                    url,
                    admin,
                    seconds=arguments.seconds,
                    clients=arguments.clients,
                    rounds=arguments.rounds,
                )
            )
        finally:
            cluster.stop()


if __name__ == "__main__":
    main()
