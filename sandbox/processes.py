"""Child processes that never outlive their supervisor, and the checks before any of them is started."""

import ctypes
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

_PR_SET_PDEATHSIG = 1


class StackError(Exception):
    """The stack cannot run; the message is one sentence for the person at the terminal."""


def die_with_parent(number: int = signal.SIGTERM) -> Callable[[], None] | None:
    """What a child runs before it becomes its program: on Linux, be told when the supervisor dies, however it dies."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, number) and None


@dataclass(slots=True)
class Child:
    """One process of the stack: how to start it, how to know that it is ready, where it writes."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    ready_url: str | None
    log: Path
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    restarts: list[float] = field(default_factory=list)

    def start(self) -> None:
        """Start it in its own session, so that Ctrl-C reaches the supervisor only."""
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(
                self.arguments,
                env=dict(self.environment),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 — the supervisor starts children from one thread
            )

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def wait_until_ready(self, http: httpx.Client, *, timeout_seconds: float = 60) -> None:
        """Poll its readiness. Raises StackError with the last line it wrote when it dies or stays silent."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            if not self.is_alive():
                raise StackError(f"{self.name} did not start: {self.last_words()}")
            if self.ready_url is None or _answers(http, self.ready_url):
                return
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} is not ready after {timeout_seconds:.0f} s: {self.last_words()}")
            time.sleep(0.1)

    def last_words(self) -> str:
        """The last line of its log, for the sentence that says what went wrong."""
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return f"{lines[-1][:300] if lines else 'it wrote nothing'} (log: {self.log})"

    def stop(self, *, timeout_seconds: float = 15) -> None:
        """Ask it to finish; insist after a while."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)


def _answers(http: httpx.Client, url: str) -> bool:
    try:
        return http.get(url).status_code == 200
    except httpx.HTTPError:
        return False


def ensure_ports_are_free(ports: Mapping[str, int]) -> None:
    """Refuse before anything is started. Raises StackError naming the port and what it was wanted for."""
    for name, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise StackError(
                    f"Port {port}, wanted for {name}, is taken by another program; "
                    f"stop it, or move every port with PORT_BASE, for example: make up PORT_BASE=27000"
                ) from error
