"""What sends the webhooks: kept connections, servers that close them, and answers that never come."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from sandbox.sending import Sender, SendingError

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], bool]


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[tuple[str, list[bytes], list[int]]]:
    """A server whose `serve` answers each request and says whether to keep the connection."""
    bodies: list[bytes] = []
    connections: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(len(connections))
        kept = True
        while kept:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            bodies.append(await reader.readexactly(length))
            kept = serve(reader, writer, bodies[-1])
        writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/hook?x=1", bodies, connections
    listening.close()


def answering(text: str, *, keep: bool = True) -> Serve:
    def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: bytes) -> bool:
        writer.write(text.encode())
        return keep

    return serve


async def test_one_connection_carries_many_messages() -> None:
    serve = answering("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok")
    async with server(serve) as (url, bodies, connections), Sender() as sender:
        statuses = [await sender.post(url, body, {"X-A": "b"}) for body in (b"one", b"", "hồ sơ".encode())]

    assert statuses == [202, 202, 202]
    assert bodies == [b"one", b"", "hồ sơ".encode()]
    assert len(connections) == 1


@pytest.mark.parametrize(
    "answer",
    [
        "HTTP/1.1 500 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_an_answer_that_ends_the_connection_is_read_all_the_same(answer: str) -> None:
    async with server(answering(answer, keep=False)) as (url, bodies, connections), Sender() as sender:
        statuses = [await sender.post(url, b"x", {}) for _ in range(2)]

    assert (statuses, len(bodies), len(connections)) == ([500, 500], 2, 2)


async def test_a_kept_connection_that_the_server_closed_is_made_anew() -> None:
    serve = answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", keep=False)
    async with server(serve) as (url, bodies, connections), Sender() as sender:
        statuses = [await sender.post(url, b"x", {}) for _ in range(3)]

    assert (statuses, len(bodies), len(connections)) == ([200, 200, 200], 3, 3)


async def test_silence_and_nonsense_are_no_answers() -> None:
    silent = answering("")
    async with server(silent) as (url, _, __), Sender(timeout_seconds=0.05) as sender:
        with pytest.raises(SendingError, match="in time"):
            await sender.post(url, b"x", {})
    async with server(answering("HELLO\r\n\r\n", keep=False)) as (url, _, __), Sender() as sender:
        with pytest.raises(SendingError):
            await sender.post(url, b"x", {})


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://127.0.0.1:99999/", "https://127.0.0.1:9/", "ftp://x/"])
async def test_an_address_nobody_answers_is_an_error_of_sending(url: str) -> None:
    async with Sender(timeout_seconds=1) as sender:
        with pytest.raises(SendingError):
            await sender.post(url, b"x", {})
