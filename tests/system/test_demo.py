"""The main job, with the worker killed in the middle of it."""

import asyncio
import os
import signal
import threading
from pathlib import Path

import pytest

from sandbox.demo import free_port_base, run
from sandbox.stack import Stack

pytestmark = pytest.mark.slow


def test_every_dossier_ends_as_expected_though_the_worker_is_killed_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed: list[int] = []
    with Stack(tmp_path / "run", free_port_base()) as stack:
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
            code = asyncio.run(run(stack.plan.description(), watch=stack, only=None))
        finally:
            done.set()
            assassin.join()

    printed = capsys.readouterr().out
    assert len(set(killed)) == 2
    assert code == 0, printed[-6000:]
    assert "unexplained 0 ₫" in printed
