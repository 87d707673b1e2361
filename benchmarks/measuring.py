"""How everything here is measured: candidates take turns within a round, ratios are taken round by round.

Only ratios travel between machines. Each script checks that the candidates give equal answers before it times them,
and fails when they do not.
"""

import gc
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version

ROUNDS = 7


def rates(
    candidates: Mapping[str, tuple[Callable[[], object], int]],
    *,
    rounds: int = ROUNDS,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, list[float]]:
    """Operations a second of each candidate, a figure a round; a candidate is a call and how many operations it does.

    Seconds are of this process's processor time, all threads, so that other work on the machine counts little.
    """
    for work, _ in candidates.values():
        work()
    found: dict[str, list[float]] = {name: [] for name in candidates}
    gc.disable()
    try:
        for _ in range(rounds):
            for name, (work, count) in candidates.items():
                gc.collect()
                started = clock()
                work()
                found[name].append(count / (clock() - started))
    finally:
        gc.enable()
    return found


def ratios(found: Mapping[str, list[float]], name: str, other: str) -> list[float]:
    """How many times as fast `name` is as `other`, round by round."""
    return [one / two for one, two in zip(found[name], found[other], strict=True)]


def show(title: str, found: Mapping[str, list[float]], unit: str = "/s") -> None:
    """Print the medians with their spread."""
    print(f"\n{title}")
    for name, values in found.items():
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"  {name:<58} {middle:>14,.0f} {unit}   ({low:,.0f} to {high:,.0f})")


def judge(what: str, values: list[float], least: float) -> bool:
    """Print a ratio against its target; whether the median reaches it."""
    low, middle, high = min(values), statistics.median(values), max(values)
    reached = middle >= least
    mark = "reached" if reached else "NOT reached"
    print(f"  {what}: {middle:.3g} × ({low:.3g} to {high:.3g}); target ≥ {least:g} ×: {mark}")
    return reached


def peak_mib() -> float:
    """Most memory this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def describe(*packages: str) -> None:
    """Print the machine and the versions that were measured."""
    print(
        f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    for package in packages:
        try:
            print(f"  {package} {version(package)}")
        except PackageNotFoundError:
            print(f"  {package}: not installed (make bench installs it)")
