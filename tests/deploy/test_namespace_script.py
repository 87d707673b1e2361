"""The namespace script against a real Temporal server: made once, brought back to its retention every time."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.deploy.composition import ROOT

SCRIPT = ROOT / "deploy" / "temporal" / "create-namespace.sh"
TEMPORAL = Path(sys.executable).with_name("temporal")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Temporal server that forgets; the script itself waits until it is healthy."""
    port = free_port()
    log = tmp_path_factory.mktemp("temporal") / "server.log"
    command = [str(TEMPORAL), "server", "start-dev", "--headless", "--port", str(port), "--log-level", "error"]
    with log.open("wb") as sink, subprocess.Popen(command, stdout=sink, stderr=sink) as server:
        yield f"127.0.0.1:{port}"
        server.terminate()


def run_script(address: str, home: Path, *, retention: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": f"{TEMPORAL.parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "TEMPORAL_ADDRESS": address,
        "NAMESPACE": "dvctt",
        "RETENTION": retention,
    }
    return subprocess.run(
        ["sh", str(SCRIPT)], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def retention_hours(address: str) -> str:
    described = subprocess.run(
        [str(TEMPORAL), "operator", "namespace", "describe", "--address", address, "-n", "dvctt"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"RetentionTtl\s+(\S+)", described.stdout)
    assert found is not None, described.stdout
    return found[1]


def test_the_namespace_is_made_once_and_kept_to_its_retention(address: str, tmp_path: Path) -> None:
    first = run_script(address, tmp_path, retention="30d")
    assert first.returncode == 0, first.stderr
    assert retention_hours(address) == "720h0m0s"

    again = run_script(address, tmp_path, retention="45d")
    assert again.returncode == 0, again.stderr
    assert retention_hours(address) == "1080h0m0s"


def test_a_setting_left_out_stops_the_script(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", str(SCRIPT)], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )

    assert done.returncode != 0
    assert "TEMPORAL_ADDRESS" in done.stderr
