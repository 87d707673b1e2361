"""The health checks of compose.yaml, run against a server that is well and one that is not."""

import http.server
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.deploy import composition

PORTS = {"identity": "9000", "worker": "9464"}
WELL = {"worker": b'temporal_num_pollers{task_queue="workflows"} 5\n'}


@contextmanager
def serving(status: int, body: bytes) -> Iterator[int]:
    """An HTTP server that answers everything alike; yields its port."""

    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the signature of http.server
            del format, args

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


def check_of(name: str) -> Callable[[int], int]:
    """The health check of a service, to be run against a port of ours; gives its exit status."""
    written = [composition.interpolated(part, {}) for part in composition.services()[name]["healthcheck"]["test"][1:]]
    original = PORTS.get(name, "8000")

    def run(port: int) -> int:
        command = [part.replace(original, str(port)) for part in written]
        assert command != written
        command[0] = sys.executable if command[0] == "python" else command[0]
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode

    return run


CHECKED = ["fees", "identity", "payment", "postal", "worker", "workflows-api"]


@pytest.mark.parametrize("name", CHECKED)
def test_a_well_process_is_called_healthy(name: str) -> None:
    with serving(200, WELL.get(name, b'{"status":"UP"}')) as port:
        assert check_of(name)(port) == 0


@pytest.mark.parametrize("name", CHECKED)
def test_a_process_that_is_not_ready_is_not(name: str) -> None:
    with serving(503, WELL.get(name, b'{"status":"DOWN"}')) as port:
        assert check_of(name)(port) != 0


@pytest.mark.parametrize("name", CHECKED)
def test_a_process_that_does_not_listen_is_not(name: str) -> None:
    with serving(200, b"") as port:
        pass

    assert check_of(name)(port) != 0


def test_a_worker_without_pollers_is_not() -> None:
    with serving(200, b"temporal_request_total 3\n") as port:
        assert check_of("worker")(port) != 0
