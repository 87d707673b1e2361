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
    keyed: bool = False
    """Each request carries an Idempotency-Key of its own."""
    connections: int = 16


@dataclass(frozen=True, slots=True)
class Load:
    """What one round showed."""

    rate: float
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
def process(arguments: list[str], url: str, environment: Mapping[str, str] | None = None) -> Iterator[None]:
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
            yield
        finally:
            running.terminate()
            running.wait(20)


def uvicorn(stack: ExitStack, app: str, *, factory: bool = True, environment: Mapping[str, str] | None = None) -> str:
    """A uvicorn of one worker; its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "uvicorn", *(["--factory"] if factory else []), app, "--port", str(port)]
    stack.enter_context(process([*command, "--log-level", "warning", "--no-access-log"], url, environment))
    return url


def ours(stack: ExitStack, issued_by: str) -> str:
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


def openfisca(stack: ExitStack) -> str:
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
    stack.enter_context(process([*command, "--log-level", "error"], url))
    return url


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
    if shutil.which("wrk"):
        return _wrk(target, seconds, script)
    return asyncio.run(_own_load(target, seconds))


def _wrk(target: Target, seconds: int, script: Path) -> Load:
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
    return Load(count / duration * 1e6, p50 / 1000, p99 / 1000)


async def _own_load(target: Target, seconds: int) -> Load:
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
    return Load(len(times) / seconds, times[len(times) // 2] * 1000, times[len(times) * 99 // 100] * 1000)


def targets(stack: ExitStack) -> list[Target]:
    """Start everything."""
    issued_by, token = stack.enter_context(issuer())
    bearer = {"authorization": f"Bearer {token}"}
    body = json.dumps(BODY).encode()
    real_body = json.dumps({**BODY, "case": "first_issue"}).encode()
    real = ours(stack, issued_by)
    plain, zen = uvicorn(stack, "benchmarks.http_peers:plain_app"), uvicorn(stack, "benchmarks.http_peers:zen_app")
    floor = uvicorn(stack, "benchmarks.http_peers:constant", factory=False)
    fisca = openfisca(stack)
    return [
        Target("constant, bare ASGI", f"{floor}/", body),
        Target("constant, plain FastAPI", f"{plain}/constant", None),
        Target("ours, preview by the short way", f"{real}/v1/quotes/preview", real_body, bearer),
        Target(
            "ours, preview by the route",
            f"{real}/v1/quotes/preview",
            real_body,
            {**bearer, "x-request-id": "benchmark1"},
        ),
        Target("ours, stored quote", f"{real}/v1/quotes", real_body, bearer, keyed=True),
        Target("ours, /healthz (a constant behind everything)", f"{real}/healthz", None),
        Target("FastAPI + pydantic + plain engine", f"{plain}/quote", body),
        Target("ZEN behind FastAPI", f"{zen}/quote", asked_of_zen()),
        Target("OpenFisca web API", f"{fisca}/calculate", asked_of_openfisca(), connections=4),
    ]


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
            measure(target, 1, script)
        print(f"every server answers {AMOUNT:,} đồng")
        rates: dict[str, list[float]] = {target.name: [] for target in asked}
        slow: dict[str, list[tuple[float, float]]] = {target.name: [] for target in asked}
        for _ in range(ROUNDS):
            for target in asked:
                load = measure(target, seconds, script)
                rates[target.name].append(load.rate)
                slow[target.name].append((load.p50, load.p99))
    show("requests", rates)
    print("  median p50 / p99 in ms:")
    for name, pairs in slow.items():
        p50, p99 = (statistics.median(values) for values in zip(*pairs, strict=True))
        print(f"    {name:<56} {p50:7.2f} / {p99:7.2f}")
    short = "ours, preview by the short way"
    reached = [
        judge("short way / FastAPI + pydantic", ratios(rates, short, "FastAPI + pydantic + plain engine"), 5),
        judge("short way / OpenFisca web API", ratios(rates, short, "OpenFisca web API"), 20),
    ]
    print("  for comparison, without a target:")
    judge("short way / constant of bare ASGI", ratios(rates, short, "constant, bare ASGI"), 0)
    judge("short way / constant of plain FastAPI", ratios(rates, short, "constant, plain FastAPI"), 0)
    judge(
        "route / constant behind everything",
        ratios(rates, "ours, preview by the route", "ours, /healthz (a constant behind everything)"),
        0,
    )
    judge(
        "stored quote / FastAPI + pydantic", ratios(rates, "ours, stored quote", "FastAPI + pydantic + plain engine"), 0
    )
    return 0 if all(reached) else 1


if __name__ == "__main__":
    raise SystemExit(main())
