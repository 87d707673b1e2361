"""`make clean` removes a stack's state, and nothing else."""

import fcntl
from pathlib import Path

import pytest

from sandbox.clean import clean


def folder_of_a_stack(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    (run / "logs").mkdir(parents=True)
    (run / "lock").touch()
    (run / "secrets.json").write_text("{}")
    return run


def test_the_state_of_a_stopped_stack_is_removed_and_removing_it_again_is_harmless(tmp_path: Path) -> None:
    run = folder_of_a_stack(tmp_path)

    assert clean(run) == 0
    assert not run.exists()
    assert clean(run) == 0


def test_a_running_stack_keeps_its_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = folder_of_a_stack(tmp_path)
    with (run / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        assert clean(run) == 1

    assert "is running" in capsys.readouterr().err
    assert (run / "secrets.json").exists()


def test_a_folder_that_is_no_stack_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "letters").write_text("dear")

    assert clean(tmp_path) == 1

    assert "nothing was removed" in capsys.readouterr().err
    assert (tmp_path / "letters").exists()
