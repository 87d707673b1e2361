"""The whole stack, as `make up` starts it, in a folder with a space in its name."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from sandbox.demo import free_port_base, run
from sandbox.stack import Stack
from sandbox.terminal import console


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack shared by the tests that only use it."""
    with Stack(tmp_path_factory.mktemp("a stack") / "run dir", free_port_base()) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Played:
    """What came of the main job: its exit code, what it printed, and the workers that were killed meanwhile."""

    code: int
    printed: str
    killed: tuple[int, ...]


@pytest.fixture(scope="session")
def played(stack: Stack) -> Played:
    """Every dossier of the file, played in the shared stack while its worker is killed twice."""
    killed: list[int] = []
    done = threading.Event()

    def kill_the_worker() -> None:
        for _ in range(2):
            if done.wait(12):
                return
            victim = stack.pid("worker")
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)

    assassin = threading.Thread(target=kill_the_worker)
    assassin.start()
    try:
        with console.capture() as capture:
            code = asyncio.run(run(stack.plan.description(), watch=stack, only=None))
    finally:
        done.set()
        assassin.join()
    return Played(code, capture.get(), tuple(killed))
