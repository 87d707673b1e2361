"""Records the histories that `test_replay.py` replays.

    python -m tests.workflows.record

Runs the journeys of the happy paths, deadlines, way back and side workflows on the time-skipping server and writes one
history a branch, of the dossier and of the refund and claim it started, to `tests/workflows/histories/*.json`. Run it
when a branch is added. Never run it to make a failing replay pass: a history that no longer replays stands for dossiers
that are under way; change the definition behind `workflow.patched` instead.
"""

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
HISTORIES = HERE / "histories"
FRESH = HERE / "histories.new"
"""Where the fixture `journeys` writes when pytest runs with this module as a plugin."""

SOURCES = (
    "test_happy_paths.py",
    "test_deadlines.py",
    "test_way_back.py",
    "test_trouble.py",
    "test_side_workflows.py",
    "test_watch.py",
)


def main() -> int:
    """Record into a new folder, and put it in place of the old when every journey went well."""
    shutil.rmtree(FRESH, ignore_errors=True)
    FRESH.mkdir()
    options = ["-q", "-p", "no:cacheprovider", "-p", "tests.workflows.record"]
    command = [sys.executable, "-m", "pytest", *options, *(str(HERE / name) for name in SOURCES)]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code == 0:
        shutil.rmtree(HISTORIES, ignore_errors=True)
        FRESH.rename(HISTORIES)
    return code


if __name__ == "__main__":
    sys.exit(main())
