"""Load over HTTP/1.1: closed (a request a client at a time) and open (a rate that does not wait for answers).

Closed load comes from wrk where it is installed, else from this process; open load always from this process, timed from
the moment each request was due, so that waiting in line is counted. In path, headers and body `@@` stands for a mark
that differs with every request.
"""

import asyncio
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass

MARK = "@@"


@dataclass(frozen=True, slots=True)
class Order:
    """A request to be sent many times. The answer must have one of `statuses`."""

    port: int
    path: str
    body: str
    headers: Mapping[str, str]
    statuses: tuple[int, ...] = (200, 201)

    def bytes_of(self, mark: str) -> bytes:
        """The request with its mark."""
        body = self.body.replace(MARK, mark).encode()
        lines = [f"POST {self.path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").replace(MARK, mark).encode() + body


@dataclass(frozen=True, slots=True)
class Load:
    """What a load showed; times in milliseconds."""

    count: int
    seconds: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.count / self.seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, with its header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Line:
    """One kept connection. Raises OSError or asyncio.IncompleteReadError when the other side goes away."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: bytes) -> Answer:
        """The answer to a request."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers["content-length"]))
        return Answer(int(head[0].split(" ")[1]), headers, body)

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def tool() -> str:
    """Where closed load comes from."""
    return "wrk" if shutil.which("wrk") else "this process"


async def closed(order: Order, *, clients: int, seconds: float, mark: str) -> Load:
    """Every client sends its next request when it has the answer to the last. Raises SystemExit at a wrong answer."""
    if shutil.which("wrk"):
        return await asyncio.to_thread(_wrk, order, clients=clients, seconds=seconds, mark=mark)
    started, times = time.perf_counter(), list[float]()
    ends = started + seconds

    async def client(number: int) -> None:
        line, count = Line(order.port), 0
        while time.perf_counter() < ends:
            count += 1
            sent = time.perf_counter()
            _expect(order, await line.send(order.bytes_of(f"{mark}-{number}-{count}")))
            times.append(time.perf_counter() - sent)
        line.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return _load(times, time.perf_counter() - started)


async def open_rate(order: Order, *, rate: float, seconds: float, mark: str, lines: int = 256) -> Load:
    """`rate` requests a second come whatever happens; the time of each counts from when it was due."""
    free: asyncio.LifoQueue[Line] = asyncio.LifoQueue()
    for _ in range(lines):
        free.put_nowait(Line(order.port))
    started, times = time.perf_counter(), list[float]()

    async def one(number: int, due: float) -> None:
        line = await free.get()
        _expect(order, await line.send(order.bytes_of(f"{mark}-{number}")))
        times.append(time.perf_counter() - due)
        free.put_nowait(line)

    async with asyncio.TaskGroup() as tasks:
        for number in range(int(rate * seconds)):
            due = started + number / rate
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            tasks.create_task(one(number, due))
    taken = time.perf_counter() - started
    while not free.empty():
        free.get_nowait().close()
    return _load(times, taken)


def _expect(order: Order, answer: Answer) -> None:
    if answer.status not in order.statuses:
        raise SystemExit(f"{order.path} answered {answer.status}: {answer.body[:300]!r}")


def _load(times: list[float], seconds: float) -> Load:
    times.sort()
    return Load(len(times), seconds, times[len(times) // 2] * 1000, times[len(times) * 99 // 100] * 1000)


def _wrk(order: Order, *, clients: int, seconds: float, mark: str) -> Load:
    lines = [f"local count, template = 0, {json.dumps(order.body)}", "local headers = {}", 'wrk.method = "POST"']
    lines += ["function request()", "  count = count + 1", f'  local mark = "{mark}-" .. count']
    lines += [
        f'  headers[{json.dumps(name)}] = (string.gsub({json.dumps(value)}, "{MARK}", mark))'
        for name, value in order.headers.items()
    ]
    lines += [f'  local body = (string.gsub(template, "{MARK}", mark))']
    lines += [f'  return wrk.format("POST", {json.dumps(order.path)}, headers, body)', "end"]
    lines += [
        "done = function(summary, latency, requests)",
        "  local errors = summary.errors",
        '  io.write(string.format("RESULT %d %d %f %f %d\\n", summary.requests, summary.duration,',
        "    latency:percentile(50), latency:percentile(99),",
        "    errors.status + errors.timeout + errors.read + errors.write + errors.connect))",
        "end",
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".lua", encoding="utf-8") as script:
        script.write("\n".join(lines))
        script.flush()
        command = ["wrk", "-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", "--timeout", "20s", "-s", script.name]
        address = f"http://127.0.0.1:{order.port}{order.path}"
        found = subprocess.run([*command, address], capture_output=True, text=True, check=True).stdout
    line = next(line for line in found.splitlines() if line.startswith("RESULT"))
    count, taken, p50, p99, errors = (float(part) for part in line.split()[1:])
    if errors:
        raise SystemExit(f"{order.path}: {errors:.0f} requests of wrk were refused or lost")
    return Load(int(count), taken / 1e6, p50 / 1000, p99 / 1000)


async def until_it_answers(port: int, path: str = "/healthz", *, seconds: float = 60) -> None:
    """Wait for a server to answer 200. Raises TimeoutError."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    async with asyncio.timeout(seconds):
        while True:
            line = Line(port)
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, KeyError):
                if (await line.send(request)).status == 200:
                    line.close()
                    return
            line.close()
            await asyncio.sleep(0.1)
