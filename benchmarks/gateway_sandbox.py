"""How many payment intents the sandbox gateway confirms a second, as one process on one core, state on disk.

    python -m benchmarks.gateway_sandbox [--seconds 10] [--clients 16] [--rounds 3]

The client lives in this process and speaks HTTP/1.1 over kept connections. Rounds alternate between one call (create
with `confirm`) and two (create, then confirm, as our client does), each with an idempotency key, with and without a
subscriber who receives every event. A busy machine shows in the rate, not in what a second of the gateway's processor
time confirms; both are printed. At the end the gateway's own books must hold exactly what was answered.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlencode

KEY = "sk_test_benchmark"
AMOUNT_DONG = 150_000
_FORM = {"amount": str(AMOUNT_DONG), "currency": "vnd", "payment_method": "pm_card_visa"}


class Line:
    """One kept HTTP/1.1 connection; small enough not to be what is measured."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, form: dict[str, str], key: str) -> dict[str, object]:
        """The JSON of a successful answer. Raises AssertionError for any other."""
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        body = urlencode(form)
        self._writer.write(
            f"POST {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {KEY}\r\nIdempotency-Key: {key}\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        content = await self._reader.readexactly(length)
        assert head.startswith("http/1.1 200"), content[:300]
        return dict(json.loads(content))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


async def load(port: int, *, seconds: float, clients: int, calls: int, mark: str) -> tuple[int, list[float]]:
    """Intents confirmed in `seconds`, and how long each took from first byte to last answer."""
    ends = time.perf_counter() + seconds
    times: list[float] = []

    async def client(number: int) -> None:
        line, count = Line(port), 0
        while time.perf_counter() < ends:
            count += 1
            key, started = f"{mark}-{number}-{count}", time.perf_counter()
            if calls == 1:
                intent = await line.post("/v1/payment_intents", {**_FORM, "confirm": "true"}, key)
            else:
                made = await line.post("/v1/payment_intents", _FORM, key)
                intent = await line.post(f"/v1/payment_intents/{made['id']}/confirm", {}, f"{key}-c")
            assert intent["status"] == "succeeded", intent
            times.append(time.perf_counter() - started)
        line.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return len(times), times


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def gateway(folder: Path, webhook_port: int | None) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The sandbox gateway as a process of its own; its port."""
    port = free_port()
    command = [sys.executable, "-m", "sandbox.gateway", "--port", str(port), "--state", str(folder / "gateway.sqlite")]
    command += ["--key", KEY, "--webhook-secret", "whsec_benchmark"]
    if webhook_port:
        command += ["--webhook-url", f"http://127.0.0.1:{webhook_port}/"]
    process = subprocess.Popen(command)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.1):
                break
            time.sleep(0.05)
        yield port, process
    finally:
        process.terminate()
        process.wait(10)


class Sink(asyncio.Protocol):
    """Takes every webhook on one connection and answers each with 200."""

    def __init__(self) -> None:
        self._seen = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._seen += data
        while (end := self._seen.find(b"\r\n\r\n")) >= 0:
            head = self._seen[:end].decode("latin-1").lower()
            whole = end + 4 + int(head.split("content-length:")[1].split("\r\n")[0])
            if len(self._seen) < whole:
                return
            del self._seen[:whole]
            assert isinstance(self._transport, asyncio.WriteTransport)
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


@contextlib.asynccontextmanager
async def subscriber() -> AsyncIterator[int]:
    """A server that takes every webhook; its port."""
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    yield int(server.sockets[0].getsockname()[1])
    server.close()


async def delivered(port: int) -> None:
    """Wait until every webhook has been taken: what it costs to deliver them belongs to what they announce."""
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        if json.loads(answer.split(b"\r\n\r\n", 1)[1])["waiting_deliveries"] == 0:
            return
        await asyncio.sleep(0.1)


async def books(port: int) -> tuple[int, int]:
    """How many charges the gateway's own books hold, and for how many đồng."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /_sandbox/totals HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    totals = json.loads(answer.split(b"\r\n\r\n", 1)[1])
    return totals["charge_count"], totals["charges_dong"]


def processor_seconds(process: subprocess.Popen[bytes]) -> float:
    """Processor time the process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mebibytes(process: subprocess.Popen[bytes]) -> int:
    """The most memory the process has held, in MiB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


async def run(seconds: float, clients: int, rounds: int) -> None:
    """Measure and print."""
    names = {(1, False): "1 call", (2, False): "2 calls", (1, True): "1 call, webhooks", (2, True): "2 calls, webhooks"}
    rates: dict[tuple[int, bool], list[float]] = {case: [] for case in names}
    times: dict[tuple[int, bool], list[float]] = {case: [] for case in names}
    costs: dict[tuple[int, bool], list[float]] = {case: [] for case in names}
    peak = 0
    async with subscriber() as webhook_port:
        for number in range(rounds):
            for calls, told in names:
                with (
                    tempfile.TemporaryDirectory() as folder,
                    gateway(Path(folder), webhook_port if told else None) as (port, process),
                ):
                    warm, _ = await load(port, seconds=0.5, clients=clients, calls=calls, mark="warm")
                    started, used = time.perf_counter(), processor_seconds(process)
                    count, took = await load(port, seconds=seconds, clients=clients, calls=calls, mark=f"r{number}")
                    rates[calls, told].append(count / (time.perf_counter() - started))
                    await delivered(port)
                    times[calls, told] += took
                    costs[calls, told].append(count / (processor_seconds(process) - used))
                    peak = max(peak, peak_mebibytes(process))
                    expected = (warm + count, (warm + count) * AMOUNT_DONG)
                    if (held := await books(port)) != expected:
                        raise SystemExit(f"the gateway's books hold {held}, it confirmed {expected}")
    own = resource.getrusage(resource.RUSAGE_SELF)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {clients} clients, {rounds} rounds of {seconds:g} s")
    print(f"client used {own.ru_utime + own.ru_stime:.0f} s of processor; gateway's peak memory {peak} MiB")
    for case, name in names.items():
        took = sorted(times[case])
        print(
            f"{name:<20} {statistics.median(rates[case]):7.0f} confirmed/s"
            f"  ({min(rates[case]):.0f} to {max(rates[case]):.0f})"
            f"  {statistics.median(costs[case]):5.0f} per processor second"
            f"  p50 {took[len(took) // 2] * 1000:.1f} ms  p99 {took[len(took) * 99 // 100] * 1000:.1f} ms"
        )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    asyncio.run(run(arguments.seconds, arguments.clients, arguments.rounds))


if __name__ == "__main__":
    main()
