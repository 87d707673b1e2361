"""Posts small messages to web servers over kept connections, cheaply: the gateway sends thousands of them a second.

Plain HTTP/1.1 is spoken here; addresses with TLS go through httpx.
"""

import asyncio
import contextlib
from collections import defaultdict
from dataclasses import dataclass
from typing import Self
from urllib.parse import SplitResult, urlsplit

import httpx

_LONGEST_HEAD = 64 * 1024


class SendingError(Exception):
    """No answer: the message may have arrived."""


@dataclass
class _Line:
    """One connection to one server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used: bool = False


class Sender:
    """A pool of connections. Use as an async context manager; closing it drops them."""

    def __init__(self, *, timeout_seconds: float = 10.0) -> None:
        self._timeout = timeout_seconds
        self._idle: dict[tuple[str, int], list[_Line]] = defaultdict(list)
        # Environment proxies must not see loopback traffic, hence trust_env.
        self._secure: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for lines in self._idle.values():
            for line in lines:
                line.writer.close()
        if self._secure is not None:
            await self._secure.aclose()

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        """The status of the answer. Raises SendingError when there is none."""
        try:
            parts = urlsplit(url)
            port = parts.port or 80
        except ValueError as error:
            raise SendingError(f"not an address: {error}") from error
        if parts.scheme != "http" or not parts.hostname:
            return await self._post_secure(url, body, headers)
        try:
            async with asyncio.timeout(self._timeout):
                return await self._post(parts, (parts.hostname, port), body, headers)
        except TimeoutError as error:
            raise SendingError("no answer in time") from error
        except (OSError, EOFError, ValueError, IndexError, asyncio.LimitOverrunError) as error:
            raise SendingError(f"{type(error).__name__}: {error}") from error

    async def _post(self, parts: SplitResult, address: tuple[str, int], body: bytes, headers: dict[str, str]) -> int:
        head = [f"POST {parts.path or '/'}{'?' + parts.query if parts.query else ''} HTTP/1.1", f"Host: {parts.netloc}"]
        head += [f"{name}: {value}" for name, value in headers.items()]
        message = "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode("latin-1") + body
        idle = self._idle[address]
        line = idle.pop() if idle else await self._connect(address)
        try:
            return await self._exchange(line, address, message)
        except (OSError, EOFError):
            line.writer.close()
            if not line.used:
                raise
        # The server had closed a kept connection; what it never read can be sent again.
        return await self._exchange(await self._connect(address), address, message)

    async def _connect(self, address: tuple[str, int]) -> _Line:
        return _Line(*await asyncio.open_connection(*address, limit=_LONGEST_HEAD))

    async def _exchange(self, line: _Line, address: tuple[str, int], message: bytes) -> int:
        kept = False
        try:
            line.writer.write(message)
            head = (await line.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status, *fields = head.split("\r\n")
            values = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
            if "content-length" in values and values.get("connection", "").lower() != "close":
                await line.reader.readexactly(int(values["content-length"]))
                kept = True
            return int(status.split(" ")[1])
        finally:
            if kept:
                line.used = True
                self._idle[address].append(line)
            else:
                line.writer.close()

    async def _post_secure(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        if self._secure is None:
            self._secure = httpx.AsyncClient(timeout=self._timeout, trust_env=False)
        with contextlib.suppress(httpx.InvalidURL):
            try:
                return (await self._secure.post(url, content=body, headers=headers)).status_code
            except httpx.HTTPError as failure:
                raise SendingError(f"{type(failure).__name__}: {failure}") from failure
        raise SendingError("not an address")
