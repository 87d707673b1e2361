"""Connections to the database: kept while they are good, replaced when the server has ended them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from kit import db
from kit.db import create_engine, create_sessions, transaction


@pytest.fixture
async def address(database: Callable[[str], Any]) -> str:
    return str(await database("fees"))


@pytest.fixture
async def engine(address: str) -> AsyncIterator[AsyncEngine]:
    made = create_engine(address, pool_size=2)
    yield made
    await made.dispose()


async def _backends(engine: AsyncEngine, *, at_once: int) -> set[int]:
    """The servers' process ids behind as many transactions at the same time."""
    sessions, together = create_sessions(engine), asyncio.Barrier(at_once)

    async def one() -> int:
        async with transaction(sessions) as session:
            found = await (await session.connection()).scalar(text("select pg_backend_pid()"))
            await together.wait()
            return int(found or 0)

    return set(await asyncio.gather(*(one() for _ in range(at_once))))


async def _end(address: str, backends: set[int]) -> None:
    connection = await asyncpg.connect(address)
    for backend in backends:
        assert await connection.fetchval("select pg_terminate_backend($1, 5000)", backend)
    await connection.close()


async def test_connections_of_a_busy_moment_are_kept_for_the_next(engine: AsyncEngine) -> None:
    first = await _backends(engine, at_once=4)

    assert len(first) == 4
    assert await _backends(engine, at_once=4) == first


async def test_connections_the_server_has_ended_are_replaced(engine: AsyncEngine, address: str) -> None:
    first = await _backends(engine, at_once=4)

    await _end(address, first)

    assert not first & await _backends(engine, at_once=4)


async def test_a_connection_that_has_rested_is_asked_and_kept(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await _backends(engine, at_once=2)
    monkeypatch.setattr(db, "_ASK_AFTER_SECONDS", -1.0)

    assert await _backends(engine, at_once=2) == first


async def test_a_rested_connection_that_no_longer_answers_is_replaced(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await _backends(engine, at_once=1)
    monkeypatch.setattr(db, "_ASK_AFTER_SECONDS", -1.0)
    start, asked = asyncpg.transaction.Transaction.start, list[object]()

    async def silent_at_first(self: asyncpg.transaction.Transaction) -> None:
        asked.append(self)
        if len(asked) == 1:
            raise asyncpg.InterfaceError("no answer")
        await start(self)

    monkeypatch.setattr(asyncpg.transaction.Transaction, "start", silent_at_first)

    assert not first & await _backends(engine, at_once=1)
