"""`make up` as a person meets it: it starts, refuses clearly, stops completely, and continues where it stopped."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
import pytest

from sandbox.demo import free_port_base
from sandbox.plan import SERVICES
from sandbox.stack import Stack
from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stack")]


def up(run: Path, port_base: int) -> "subprocess.Popen[str]":
    """`make up` without make: the same program."""
    command = [sys.executable, "-m", "sandbox.stack", "--run-dir", str(run), "--port-base", str(port_base)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_stack(run: Path, process: "subprocess.Popen[str]") -> dict[str, Any]:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        if (run / "stack.json").exists():
            found: dict[str, Any] = json.loads((run / "stack.json").read_text())
            return found
        time.sleep(0.2)
    raise AssertionError("the stack did not become ready")


def family_of(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_role_connects_to_its_own_database_and_to_no_other(stack: Stack, service: str) -> None:
    plan = stack.plan
    own = await asyncpg.connect(plan.database_url(service))
    assert await own.fetchval("select current_user") == service
    await own.close()

    for other in set(SERVICES) - {service}:
        address = plan.database_url(service).rsplit("/", 1)[0] + f"/{other}"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(address)


async def test_a_wrong_password_is_refused(stack: Stack) -> None:
    address = f"postgresql://payment:wrong@127.0.0.1:{stack.plan.port('postgres')}/payment"

    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(address)


def test_every_process_is_healthy_and_tells_its_metrics(stack: Stack) -> None:
    for name in (*SERVICES, "workflows"):
        base = stack.plan.url(name)
        assert httpx.get(f"{base}/healthz").json() == {"status": "ok"}
        assert httpx.get(f"{base}/readyz").json() == {"status": "ready"}
        assert "http_requests_total" in httpx.get(f"{base}/metrics").text
        assert httpx.get(f"{base}/docs").status_code == 200
    assert "temporal" in httpx.get(f"{stack.plan.url('worker-metrics')}/metrics").text


def test_the_description_of_the_stack_is_private_and_complete(stack: Stack) -> None:
    file = stack.plan.run / "stack.json"
    described = json.loads(file.read_text())

    assert file.stat().st_mode & 0o077 == 0
    assert {"fees", "payment", "postal", "workflows", "gateway", "temporal", "identity", "databases"} < described.keys()
    assert described["clients"]["portal"]["scopes"]
    assert described["people"]["ke-toan"]["roles"] == ["finance_officer"]


def test_a_second_start_in_the_same_folder_is_refused_in_one_sentence(stack: Stack) -> None:
    second = up(stack.plan.run, free_port_base())

    _, errors = second.communicate(timeout=60)

    assert second.returncode == 1
    assert "already running" in errors
    assert len(errors.strip().splitlines()) == 1


def test_a_taken_port_is_named_and_nothing_is_left_running(tmp_path: Path) -> None:
    base = free_port_base()
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", base + 3))
        squatter.listen()
        process = up(tmp_path / "run", base)
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 1
    assert f"Port {base + 3}" in errors
    assert "PORT_BASE" in errors
    assert len(errors.strip().splitlines()) == 1
    assert not (tmp_path / "run" / "stack.json").exists()
    for number in range(11):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", base + number))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")

    process = up(blocked / "run", free_port_base())
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "RUN_DIR" in errors
    assert len(errors.strip().splitlines()) == 1


def test_ctrl_c_stops_everything_and_the_next_start_continues(tmp_path: Path) -> None:
    run, base = tmp_path / "run", free_port_base()
    first = up(run, base)
    described = wait_for_stack(run, first)
    quote_id = _quote(described)
    family = family_of(first.pid)
    assert len(family) >= 10

    first.send_signal(signal.SIGINT)
    output, _ = first.communicate(timeout=60)

    assert first.returncode == 0
    assert "Stopped." in output
    assert [child for child in family if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
    assert not (run / "stack.json").exists()

    second = up(run, base)
    again = wait_for_stack(run, second)
    found = httpx.get(f"{again['fees']['url']}/v1/quotes/{quote_id}", headers=_portal(again))
    second.send_signal(signal.SIGTERM)
    second.communicate(timeout=60)
    assert found.status_code == 200


def test_children_do_not_outlive_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    run, base = tmp_path / "run", free_port_base()
    process = up(run, base)
    wait_for_stack(run, process)
    family = family_of(process.pid)

    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    _, alive = psutil.wait_procs(family, timeout=20)

    assert alive == []


def _portal(described: dict[str, Any]) -> dict[str, str]:
    client = described["clients"]["portal"]
    form = {
        "grant_type": "client_credentials",
        "client_id": client["client_id"],
        "client_secret": client["client_secret"],
    }
    token = httpx.post(described["identity"]["token_url"], data=form).json()["access_token"]
    return {"authorization": f"Bearer {token}"}


def _quote(described: dict[str, Any]) -> str:
    body = {
        "procedure": "passport",
        "case": "first_issue",
        "filed_on": "2025-12-31",
        "channel": "online",
        "province": "01",
        "commune": "00070",
        "agency": "G01.02",
    }
    headers = {**_portal(described), "idempotency-key": "system-test"}
    response = httpx.post(f"{described['fees']['url']}/v1/quotes", json=body, headers=headers)
    assert response.status_code == 201, response.text
    assert response.json()["citizen_dong"] == 180_000
    return str(response.json()["id"])
