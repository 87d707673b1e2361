"""The queue behind every webhook of the sandbox."""

import asyncio
from pathlib import Path

import pytest

from sandbox.wire import DELIVERIES_SCHEMA, Backoff, Deliveries, Message, State

NEWS = Message("msg_1", "news", "endpoint", "http://127.0.0.1:9/", "secret", "{}")


def unsigned(_: Message, __: int) -> dict[str, str]:
    return {}


def test_the_wait_doubles_up_to_the_longest() -> None:
    backoff = Backoff(first_seconds=0.5, longest_seconds=60.0)

    assert [backoff.wait(attempt) for attempt in (1, 2, 3, 8, 9, 1_000)] == [0.5, 1.0, 2.0, 60.0, 60.0, 60.0]


@pytest.mark.parametrize("turns", range(6))
async def test_stopping_works_even_when_news_arrives_at_that_moment(tmp_path: Path, turns: int) -> None:
    state = State(tmp_path / "state.sqlite", DELIVERIES_SCHEMA)
    deliveries = Deliveries(state, unsigned)
    running = asyncio.create_task(deliveries.run())
    await asyncio.sleep(0.05)

    deliveries.add(NEWS)
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running], timeout=2)

    assert running.cancelled()
    assert deliveries.waiting() == 1
    state.close()


async def test_a_message_nobody_takes_is_abandoned_after_the_last_attempt(tmp_path: Path) -> None:
    state = State(tmp_path / "state.sqlite", DELIVERIES_SCHEMA)
    deliveries = Deliveries(state, unsigned, backoff=Backoff(first_seconds=0.0, attempts=3))
    deliveries.add(NEWS)
    running = asyncio.create_task(deliveries.run())
    async with asyncio.timeout(10):
        while deliveries.waiting():  # noqa: ASYNC110 - the queue tells nobody that it gave up
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait([running])

    (entry,) = deliveries.log(message="msg_1")
    assert (entry["state"], entry["attempts"], entry["last_status"]) == ("abandoned", 3, None)
    assert str(entry["last_error"]).startswith("ConnectionRefusedError")
    state.close()


def test_a_failed_transaction_leaves_nothing_behind(tmp_path: Path) -> None:
    state = State(tmp_path / "state.sqlite", DELIVERIES_SCHEMA)
    deliveries = Deliveries(state, unsigned)

    def fail() -> None:
        with state.transaction():
            deliveries.add(NEWS)
            raise LookupError

    with pytest.raises(LookupError):
        fail()

    assert deliveries.waiting() == 0
    state.close()
