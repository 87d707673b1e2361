"""The embedded stack: `make up`. Starts everything, waits until it is ready, watches it, stops it in order."""

import argparse
import asyncio
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Self, TextIO

import httpx

from sandbox.plan import BIN, PORTS, ROOT, SERVICES, Plan, load_plan
from sandbox.postgres import Cluster, ClusterError, create_service_databases, start_cluster
from sandbox.processes import Child, StackError, ensure_ports_are_free
from sandbox.terminal import complain, console, step

_OUTSIDE = ("temporal", "identity", "gateway", "bank")
_HOUSE = ("fees", "payment", "postal", "workflows", "worker")
_MAX_RESTARTS_A_MINUTE = 5


class Stack:
    """A running stack. Use as a context manager: whatever happens inside, nothing is left running."""

    def __init__(self, run: Path, port_base: int) -> None:
        self._run = run
        self._port_base = port_base
        self._lock: TextIO | None = None
        self._cluster: Cluster | None = None
        self._children: dict[str, Child] = {}
        self.plan: Plan

    def __enter__(self) -> Self:
        self._take_the_folder()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _take_the_folder(self) -> None:
        try:
            (self._run / "logs").mkdir(parents=True, exist_ok=True)
            self._run.chmod(0o711)
            self._lock = (self._run / "lock").open("a+")
        except OSError as error:
            raise StackError(
                f"Cannot write to {self._run} ({error.strerror}); choose another folder with RUN_DIR=…"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StackError(
                f"A stack is already running in {self._run}; stop it with Ctrl-C, or use another RUN_DIR and PORT_BASE"
            ) from error

    def _start(self) -> None:
        self.plan = plan = load_plan(self._run, self._port_base)
        ensure_ports_are_free({name: plan.port(name) for name in PORTS})
        (self._run / "identity.json").write_text(json.dumps(plan.identity_configuration(), ensure_ascii=False))
        (self._run / "identity.json").chmod(0o600)
        for name in (*_OUTSIDE, *_HOUSE):
            self._children[name] = self._child(name)
        for name in _OUTSIDE:
            self._children[name].start()
        with step("PostgreSQL 18"):
            self._cluster = start_cluster(
                self._run / "postgres",
                port=plan.port("postgres"),
                password=plan.secrets["postgres"],
                log=plan.log("postgres"),
            )
            passwords = {service: plan.secrets[f"{service}_database"] for service in SERVICES}
            asyncio.run(create_service_databases(self._cluster, passwords))
        with step("Databases migrated"), ThreadPoolExecutor() as pool:
            list(pool.map(self._migrate, SERVICES))
        for name in _HOUSE:
            self._children[name].start()
        with httpx.Client(timeout=5, trust_env=False) as http:
            for name in (*_OUTSIDE, *_HOUSE):
                with step(_TITLES[name]):
                    self._children[name].wait_until_ready(http)
        description = json.dumps(plan.description(), indent=1, ensure_ascii=False)
        target = self._run / "stack.json"
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as sink:
            sink.write(description)

    def _child(self, name: str) -> Child:
        plan = self.plan
        ready = {
            "temporal": plan.url("temporal-ui"),
            "worker": f"{plan.url('worker-metrics')}/metrics",
            "identity": f"{plan.url('identity')}/healthz",
            "gateway": f"{plan.url('gateway')}/healthz",
            "bank": f"{plan.url('bank')}/healthz",
        }
        return Child(
            name=name,
            arguments=plan.arguments(name),
            environment=plan.environment(name),
            ready_url=ready.get(name, f"{plan.url(name)}/readyz" if name != "worker" else None),
            log=plan.log(name),
            folder=ROOT,
        )

    def _migrate(self, service: str) -> None:
        command = [str(BIN / "python"), "-m", "alembic", "-n", service, "upgrade", "head"]
        environment = self.plan.environment(service)
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        self.plan.log(f"migrate-{service}").write_text(done.stdout + done.stderr)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise StackError(f"The {service} database could not be migrated: {last}")

    def watch(self) -> None:
        """Restart what dies, for ever. Raises StackError when something dies again and again."""
        while True:
            self.revive()
            time.sleep(0.5)

    def revive(self) -> None:
        """Start again every process that has died since the last look."""
        if self._cluster is not None and self._cluster.process.poll() is not None:
            raise StackError(f"PostgreSQL stopped; see {self.plan.log('postgres')}")
        for child in self._children.values():
            if child.is_alive():
                continue
            code = child.process.returncode if child.process else None
            recent = [at for at in child.restarts if at > time.monotonic() - 60]
            if len(recent) >= _MAX_RESTARTS_A_MINUTE:
                raise StackError(f"{child.name} stops again and again: {child.last_words()}")
            console.print(f"  [yellow]↻[/yellow] {child.name} stopped ({code}); started again")
            child.restarts = [*recent, time.monotonic()]
            child.start()

    def pid(self, name: str) -> int:
        """Process id of a part, for those who want to kill it."""
        process = self._children[name].process
        if process is None:
            raise StackError(f"{name} is not running")
        return process.pid

    def stop(self) -> None:
        """Stop everything, last started first, the database last of all."""
        for name in reversed((*_OUTSIDE, *_HOUSE)):
            if name in self._children:
                self._children[name].stop()
        if self._cluster is not None:
            self._cluster.stop()
        (self._run / "stack.json").unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None


_TITLES = {
    "temporal": "Temporal",
    "identity": "Identity provider",
    "gateway": "Card gateway",
    "bank": "Bank",
    "fees": "Fees",
    "payment": "Payment",
    "postal": "Postal",
    "workflows": "Dossiers API",
    "worker": "Workflow worker",
}


def print_addresses(plan: Plan) -> None:
    """Where to look, and as whom to sign in."""
    console.print("\n[bold]Pages[/bold]")
    for title, address in (
        ("Fee catalogue, try a calculation", f"{plan.url('fees')}/catalogue"),
        ("Finance desk", f"{plan.url('payment')}/desk"),
        ("Courier rounds", f"{plan.url('postal')}/courier"),
        ("Dispatcher's board", f"{plan.url('postal')}/board"),
        ("Public tracking", f"{plan.url('postal')}/track"),
        ("Dossiers API", f"{plan.url('workflows')}/docs"),
        ("Temporal", plan.url("temporal-ui")),
    ):
        console.print(f"  {title:<34} {address}")
    console.print(
        f"\nSign in as [bold]ke-toan[/bold], [bold]ke-toan-truong[/bold], [bold]buu-ta-1[/bold] or "
        f"[bold]dieu-phoi[/bold] with the password [bold]{plan.secrets['people']}[/bold]"
    )
    console.print(f"Addresses, clients and people for programs: {plan.run / 'stack.json'}\n")


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM ends the stack as Ctrl-C does."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def up(run: Path, port_base: int) -> int:
    """Run the stack until Ctrl-C. Returns the exit code."""
    try:
        with terminated_like_interrupted():
            console.print(f"[bold]Liên Thông[/bold] starts in {run}")
            with Stack(run, port_base) as stack:
                print_addresses(stack.plan)
                console.print("Ctrl-C stops everything; `make up` again continues where it stopped.")
                stack.watch()
    except KeyboardInterrupt:
        console.print("\nStopped.")
        return 0
    except (StackError, ClusterError) as error:
        complain(str(error))
        return 1
    return 0


def main() -> None:
    """Entry point of `python -m sandbox.stack`."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.stack", description=__doc__)
    parser.add_argument("--run-dir", type=Path, default=Path(os.environ.get("RUN_DIR") or ROOT / ".run"))
    parser.add_argument("--port-base", type=int, default=int(os.environ.get("PORT_BASE") or 17_000))
    arguments = parser.parse_args()
    raise SystemExit(up(arguments.run_dir.absolute(), arguments.port_base))


if __name__ == "__main__":
    main()
