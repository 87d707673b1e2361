"""The command lines: each organisation starts, answers on loopback only, stops on SIGTERM and remembers."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def process(module: str, *arguments: str) -> Iterator[httpx.Client]:
    """The organisation as its own process, from its first answer to its orderly end."""
    port = free_port()
    command = [sys.executable, "-m", module, "--port", str(port), *arguments]
    running = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        deadline = time.monotonic() + 30
        while True:
            assert running.poll() is None, running.stderr.read() if running.stderr else ""
            with contextlib.suppress(httpx.ConnectError):
                assert client.get("/healthz").json()["status"] == "ok"
                break
            assert time.monotonic() < deadline, f"{module} did not start"
        try:
            yield client
        finally:
            running.send_signal(signal.SIGTERM)
            _, errors = running.communicate(timeout=15)
    # The server stops first and then lets the signal end it.
    assert running.returncode in (0, -signal.SIGTERM), errors
    assert "Traceback" not in errors


def test_the_gateway_starts_from_its_command_line_and_remembers(tmp_path: Path) -> None:
    arguments = ["--state", str(tmp_path / "g.sqlite"), "--key", "sk_test_1", "--webhook-secret", "whsec_1"]
    arguments += ["--fee-percent", "2.5", "--fee-fixed", "0"]
    wanted = {"amount": "100000", "currency": "vnd", "payment_method": "pm_card_visa", "confirm": "true"}
    with process("sandbox.gateway", *arguments) as client:
        made = client.post("/v1/payment_intents", data=wanted, auth=("sk_test_1", "")).json()
    with process("sandbox.gateway", *arguments) as client:
        kept = client.get(f"/v1/payment_intents/{made['id']}", auth=("sk_test_1", "")).json()
        totals = client.get("/_sandbox/totals").json()

    assert kept == made
    assert (totals["charges_dong"], totals["fees_dong"]) == (100_000, 2_500)


def test_the_bank_starts_from_its_command_line_and_remembers(tmp_path: Path) -> None:
    arguments = ["--state", str(tmp_path / "b.sqlite"), "--bin", "970415", "--account", "113366668888"]
    arguments += ["--holder", "SỞ TƯ PHÁP", "--opening-balance", "7"]
    with process("sandbox.bank", *arguments) as client:
        client.post("/transfers/plain", json={"content": "x", "amount_dong": 5})
    with process("sandbox.bank", *arguments) as client:
        balance = client.get("/balance").json()

    assert balance["balance_dong"] == 12


def test_the_identity_provider_starts_from_its_command_line(tmp_path: Path) -> None:
    config = tmp_path / "identity.json"
    config.write_text(
        json.dumps(
            {
                "issuer": "http://127.0.0.1:1",
                "clients": {"portal": {"client_id": "portal", "client_secret": "s", "scopes": ["fees:quote"]}},
                "people": {},
                "key_file": str(tmp_path / "key.pem"),
            }
        )
    )
    with process("sandbox.identity", "--config", str(config)) as client:
        answer = client.post("/token", data={"grant_type": "client_credentials"}, auth=("portal", "s"))

    assert answer.json()["scope"] == "fees:quote"
