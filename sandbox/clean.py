"""Removes the stack's state: `make clean`. Needs nothing installed; refuses while a stack runs in the folder."""

import fcntl
import os
import shutil
import sys
from pathlib import Path


def clean(run: Path) -> int:
    """Remove `run`. Returns the exit code."""
    if not run.exists():
        return 0
    if not (run / "lock").exists() and any(run.iterdir()):
        sys.stderr.write(f"{run} does not look like a stack's folder; nothing was removed\n")
        return 1
    if (run / "lock").exists():
        with (run / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                sys.stderr.write(f"A stack is running in {run}; stop it with Ctrl-C first\n")
                return 1
    shutil.rmtree(run)
    return 0


if __name__ == "__main__":
    raise SystemExit(clean(Path(os.environ.get("RUN_DIR") or ".run").absolute()))
