"""F4: quotes over HTTP: the real app with tokens and PostgreSQL, beside plain FastAPI, ZEN and OpenFisca's own API.

`python -m benchmarks.fees_http [seconds a round]`. One worker each, loopback, 16 connections (OpenFisca 4), closed
loop; the load comes from wrk where it is installed, else from this process. First every server must give the same
amount.
"""

import asyncio
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import jwt
import psutil
from cryptography.hazmat.primitives.asymmetric import rsa

from benchmarks.measuring import describe, judge, ratios, show
from sandbox.postgres import start_cluster

ROOT = Path(__file__).parents[1]
ROUNDS = 5
BODY: dict[str, Any] = {
    "procedure": "passport",
    "filed_on": "2025-12-31",
    "channel": "online",
    "province": "79",
    "commune": "26740",
    "agency": "H29.12",
}
AMOUNT = 180_000


@dataclass(frozen=True, slots=True)
class Target:
    """One route to be asked."""

    name: str
    url: str
    body: bytes | None
    headers: Mapping[str, str] = field(default_factory=dict)
    pid: int = 0
    keyed: bool = False
    """Each request carries an Idempotency-Key of its own."""
    connections: int = 16


@dataclass(frozen=True, slots=True)
class Load:
    """What one round showed."""

    rate: float
    """Answers a second of wall time."""
    per_cpu: float
    """Answers a second of the server's own processor time: what one worker gives on a core of its own."""
    p50: float
    p99: float


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def issuer() -> Iterator[tuple[str, str]]:
    """An OIDC issuer on loopback, and an access token of it that may quote."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    documents = {
        "/.well-known/openid-configuration": {"issuer": url, "jwks_uri": f"{url}/jwks.json"},
        "/jwks.json": {"keys": [{**public, "kid": "bench", "use": "sig", "alg": "RS256"}]},
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps(documents[self.path]).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:  # noqa: ANN401
            return

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    moment = int(time.time())
    claims = {"iss": url, "aud": "lien-thong", "sub": "bench", "azp": "bench", "scope": "fees:quote fees:read"}
    token = jwt.encode(
        {**claims, "iat": moment, "exp": moment + 3_600}, key, algorithm="RS256", headers={"kid": "bench"}
    )
    try:
        yield url, token
    finally:
        server.shutdown()


@contextmanager
def process(arguments: list[str], url: str, environment: Mapping[str, str] | None = None) -> Iterator[int]:
    """A server, from its first answer until the block ends."""
    with tempfile.TemporaryFile() as log:
        running = subprocess.Popen(
            arguments, cwd=ROOT, env={**os.environ, **(environment or {})}, stdout=log, stderr=log
        )
        try:
            for _ in range(300):
                try:
                    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=1):
                        break
                except OSError:
                    if running.poll() is not None:
                        log.seek(0)
                        raise SystemExit(log.read().decode()[-2_000:]) from None
                    time.sleep(0.1)
            yield running.pid
        finally:
            running.terminate()
            try:
                running.wait(20)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


def uvicorn(
    stack: ExitStack, app: str, *, factory: bool = True, environment: Mapping[str, str] | None = None
) -> tuple[str, int]:
    """A uvicorn of one worker; its address and process."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "uvicorn", *(["--factory"] if factory else []), app, "--port", str(port)]
    command += ["--log-level", "warning", "--no-access-log"]
    return url, stack.enter_context(process(command, url, environment))


def ours(stack: ExitStack, issued_by: str) -> tuple[str, int]:
    """The fees service as it is deployed, on a PostgreSQL of its own with fsync on."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lien-thong-bench-")))
    cluster = start_cluster(folder / "data", port=free_port(), password="bench", log=folder / "postgres.log")
    stack.callback(cluster.stop)
    environment = {
        "FEES_DATABASE_URL": cluster.url("postgres"),
        "FEES_PUBLIC_URL": "http://127.0.0.1",
        "FEES_ISSUER": issued_by,
        "FEES_SESSION_SECRET": "a secret of at least thirty-two characters",
        "FEES_PAGES_CLIENT_ID": "pages-fees",
        "FEES_SIMULATION_FOLDER": str(folder / "simulations"),
        "FEES_LOG_LEVEL": "WARNING",
    }
    migrate = [sys.executable, "-m", "alembic", "-n", "fees", "upgrade", "head"]
    subprocess.run(migrate, cwd=ROOT, env={**os.environ, **environment}, check=True, capture_output=True)
    return uvicorn(stack, "services.fees.app:create_app", environment=environment)


def openfisca(stack: ExitStack) -> tuple[str, int]:
    """OpenFisca's web API under gunicorn, one synchronous worker."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-b",
        f"127.0.0.1:{port}",
        "-w",
        "1",
        "benchmarks.http_peers:openfisca_app()",
    ]
    return url, stack.enter_context(process([*command, "--log-level", "error"], url))


def asked_of_openfisca() -> bytes:
    """The filing in OpenFisca's own terms."""
    inputs = {"kind": 0, "online": True, "province": 1, "student": False, "poor": False, "copies": 1}
    facts = {name: {"ETERNITY": value} for name, value in inputs.items()}
    return json.dumps({"filings": {"one": {**facts, "due_at_once": {"2025-12-31": None}}}}).encode()


def asked_of_zen() -> bytes:
    """The filing in ZEN's terms."""
    day = date(2025, 12, 31).toordinal()
    facts = {"procedure": "passport", "online": True, "day": day, "province": "79"}
    return json.dumps({**facts, "student": False, "poor": False, "copies": 1}).encode()


def ask(target: Target) -> dict[str, Any]:
    """One answer of a target."""
    headers = {"content-type": "application/json", **target.headers}
    if target.keyed:
        headers["idempotency-key"] = f"first-{time.time_ns()}"
    with urlopen(Request(target.url, target.body, headers), timeout=20) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return found


def measure(target: Target, seconds: int, script: Path) -> Load:
    """One round of load on a target."""
    before = cpu_of(target.pid)
    if shutil.which("wrk"):
        count, duration, p50, p99 = _wrk(target, seconds, script)
    else:
        count, duration, p50, p99 = asyncio.run(_own_load(target, seconds))
    spent = cpu_of(target.pid) - before
    if not count or not spent:
        raise SystemExit(f"{target.name} answered nothing in {seconds} s; is the machine busy?")
    return Load(count / duration, count / spent, p50, p99)


def cpu_of(pid: int) -> float:
    """Processor seconds a server and its children have used."""
    server = psutil.Process(pid)
    every = [server, *server.children(recursive=True)]
    return float(sum(one.cpu_times().user + one.cpu_times().system for one in every))


def _wrk(target: Target, seconds: int, script: Path) -> tuple[float, float, float, float]:
    lines = [
        f'wrk.method = "{"POST" if target.body is not None else "GET"}"',
        'wrk.headers["content-type"] = "application/json"',
    ]
    lines += [f'wrk.headers["{name}"] = "{value}"' for name, value in target.headers.items()]
    if target.body is not None:
        lines.append(f"wrk.body = {json.dumps(target.body.decode())}")
    if target.keyed:
        lines += [
            "local n = 0",
            f'local stamp = "{time.time_ns()}"',
            "function request() n = n + 1",
            '  wrk.headers["idempotency-key"] = stamp .. "-" .. n',
            "  return wrk.format() end",
        ]
    lines += [
        "done = function(summary, latency, requests)",
        '  io.write(string.format("RESULT %d %d %f %f %d\\n", summary.requests, summary.duration,',
        "    latency:percentile(50), latency:percentile(99), summary.errors.status + summary.errors.timeout)) end",
    ]
    script.write_text("\n".join(lines))
    command = [
        "wrk",
        "-t1",
        f"-c{target.connections}",
        f"-d{seconds}s",
        "--timeout",
        "20s",
        "-s",
        str(script),
        target.url,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))
    count, duration, p50, p99, errors = (float(part) for part in line.split()[1:])
    if errors:
        raise SystemExit(f"{target.name}: {errors:.0f} answers were errors")
    return count, duration / 1e6, p50 / 1000, p99 / 1000


async def _own_load(target: Target, seconds: int) -> tuple[float, float, float, float]:
    parts = urlsplit(target.url)
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        count = 0
        while time.perf_counter() < end:
            headers = {"host": "127.0.0.1", "content-type": "application/json", **target.headers}
            if target.keyed:
                headers["idempotency-key"] = f"{time.time_ns()}-{number}-{count}"
            body = target.body or b""
            head = f"{'POST' if target.body is not None else 'GET'} {parts.path} HTTP/1.1\r\n"
            head += (
                "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                + f"content-length: {len(body)}\r\n\r\n"
            )
            started = time.perf_counter()
            writer.write(head.encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            if not answer.startswith((b"http/1.1 200", b"http/1.1 201")):
                raise SystemExit(f"{target.name} answered {answer[:40]!r}")
            await reader.readexactly(int(answer.split(b"content-length:")[1].split(b"\r\n")[0]))
            times.append(time.perf_counter() - started)
            count += 1
        writer.close()

    await asyncio.gather(*(one(number) for number in range(target.connections)))
    times.sort()
    return float(len(times)), float(seconds), times[len(times) // 2] * 1000, times[len(times) * 99 // 100] * 1000


def targets(stack: ExitStack) -> list[Target]:
    """Start everything."""
    issued_by, token = stack.enter_context(issuer())
    bearer = {"authorization": f"Bearer {token}"}
    body = json.dumps(BODY).encode()
    real_body = json.dumps({**BODY, "case": "first_issue"}).encode()
    real, one = ours(stack, issued_by)
    plain, two = uvicorn(stack, "benchmarks.http_peers:plain_app")
    zen, three = uvicorn(stack, "benchmarks.http_peers:zen_app")
    floor, four = uvicorn(stack, "benchmarks.http_peers:constant", factory=False)
    fisca, five = openfisca(stack)
    preview, named = f"{real}/v1/quotes/preview", {**bearer, "x-request-id": "benchmark1"}
    return [
        Target("constant, bare ASGI", f"{floor}/", body, pid=four),
        Target("constant, plain FastAPI", f"{plain}/constant", None, pid=two),
        Target("ours, preview by the short way", preview, real_body, bearer, pid=one),
        Target("ours, preview by the route", preview, real_body, named, pid=one),
        Target("ours, stored quote", f"{real}/v1/quotes", real_body, bearer, pid=one, keyed=True),
        Target(HEALTH, f"{real}/healthz", None, pid=one),
        Target(PLAIN, f"{plain}/quote", body, pid=two),
        Target("ZEN behind FastAPI", f"{zen}/quote", asked_of_zen(), pid=three),
        Target("OpenFisca web API", f"{fisca}/calculate", asked_of_openfisca(), pid=five, connections=4),
    ]


HEALTH = "ours, /healthz (a constant behind all of the app)"
PLAIN = "FastAPI + pydantic + plain engine"


def amount_in(found: dict[str, Any]) -> int:
    """The amount an answer gives, in whichever form."""
    if "filings" in found:
        return int(found["filings"]["one"]["due_at_once"]["2025-12-31"])
    return int(found["total"] if "total" in found else found.get("total_dong", AMOUNT))


def main() -> int:
    """Check, measure, judge."""
    describe("fastapi", "uvicorn", "uvloop", "httptools", "pydantic", "zen-engine", "openfisca-core", "gunicorn")
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    print("load: " + ("wrk" if shutil.which("wrk") else "own asyncio generator (it shares the cores more heavily)"))
    with ExitStack() as stack:
        script = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "load.lua"
        asked = targets(stack)
        for target in asked:
            amount = amount_in(ask(target))
            if amount != AMOUNT:
                raise SystemExit(f"{target.name} says {amount}")
            measure(target, max(2, seconds), script)
        print(f"every server answers {AMOUNT:,} đồng")
        loads: dict[str, list[Load]] = {target.name: [] for target in asked}
        for _ in range(ROUNDS):
            for target in asked:
                loads[target.name].append(measure(target, seconds, script))
    rates = {name: [load.per_cpu for load in rounds] for name, rounds in loads.items()}
    show(
        "answers a second of wall time (everything shares the cores)",
        {n: [x.rate for x in r] for n, r in loads.items()},
    )
    show("answers a second of the server's processor time", rates)
    print("  median p50 / p99 in ms:")
    for name, rounds in loads.items():
        p50, p99 = statistics.median(x.p50 for x in rounds), statistics.median(x.p99 for x in rounds)
        print(f"    {name:<56} {p50:7.2f} / {p99:7.2f}")
    short = "ours, preview by the short way"
    reached = [
        judge("short way / FastAPI + pydantic", ratios(rates, short, PLAIN), 5),
        judge("short way / OpenFisca web API", ratios(rates, short, "OpenFisca web API"), 20),
    ]
    print("  for comparison, without a target:")
    for one, other in (
        (short, "constant, bare ASGI"),
        (short, "constant, plain FastAPI"),
        ("ours, preview by the route", HEALTH),
        ("ours, stored quote", PLAIN),
        ("ours, stored quote", HEALTH),
    ):
        print(f"    {one} / {other}: {statistics.median(ratios(rates, one, other)):.3g} ×")
    return 0 if all(reached) else 1


if __name__ == "__main__":
    raise SystemExit(main())
