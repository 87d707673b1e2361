"""What every test may ask for: a real PostgreSQL database from the migrations, and tokens of a test issuer."""

import asyncio
import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI

from kit.auth import Authority
from sandbox.postgres import Cluster, start_cluster

ROOT = Path(__file__).parents[1]
ISSUER = "http://issuer.test"
AUDIENCE = "lien-thong"
_numbers = itertools.count(1)


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One PostgreSQL server for the whole run; it keeps nothing, so it need not wait for the disk.

    It lies outside pytest's own folders: as root the server runs under another account, and another run of pytest
    would close the way to them.
    """
    folder = Path(tempfile.mkdtemp(prefix="lien-thong-tests-"))
    running = start_cluster(
        folder / "data",
        port=free_port(),
        password="test",
        settings={"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"},
        log=folder / "postgres.log",
    )
    yield running
    running.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def template_database(cluster: Cluster) -> Callable[[str], str]:
    """Migrate a service's database once; tests get copies of it."""
    made: set[str] = set()

    def template(service: str) -> str:
        name = f"{service}_template"
        if name not in made:
            asyncio.run(_execute(cluster, f'create database "{name}"'))
            environment = {**os.environ, f"{service.upper()}_DATABASE_URL": cluster.url(name)}
            command = [sys.executable, "-m", "alembic", "-n", service, "upgrade", "head"]
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            made.add(name)
        return name

    return template


async def _execute(cluster: Cluster, statement: str) -> None:
    admin = await asyncpg.connect(cluster.url("postgres"))
    try:
        await admin.execute(statement)
    finally:
        await admin.close()


@pytest.fixture
async def database(cluster: Cluster, template_database: Callable[[str], str]) -> AsyncIterator[Callable[[str], Any]]:
    """`await database("payment")` gives the address of a fresh copy of that service's migrated database."""
    made: list[str] = []

    async def fresh(service: str) -> str:
        template = await asyncio.to_thread(template_database, service)
        name = f"{service}_{next(_numbers)}"
        await _execute(cluster, f'create database "{name}" template "{template}" strategy file_copy')
        made.append(name)
        return cluster.url(name)

    yield fresh
    for name in made:
        await _execute(cluster, f'drop database "{name}" with (force)')


class Issuer:
    """Stands in for the identity provider: publishes keys, signs tokens."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        self._documents = {
            "/.well-known/openid-configuration": {
                "issuer": ISSUER,
                "jwks_uri": f"{ISSUER}/jwks.json",
                "authorization_endpoint": f"{ISSUER}/authorize",
                "token_endpoint": f"{ISSUER}/token",
            },
            "/jwks.json": {"keys": [{**public, "kid": "test", "use": "sig", "alg": "RS256"}]},
        }

    def authority(self) -> Authority:
        """An Authority that reads this issuer's documents."""

        def answer(request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, json=self._documents[request.url.path])

        client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        return Authority(issuer=ISSUER, audience=AUDIENCE, http=client)

    def token(self, *scopes: str, subject: str = "tester", client: str = "tests", **claims: Any) -> str:
        """A signed access token."""
        moment = int(time.time())
        payload = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "azp": client,
            "name": subject,
            "org": "*",
            "roles": [],
            "scope": " ".join(scopes),
            "iat": moment,
            "exp": moment + 600,
            **claims,
        }
        return jwt.encode(payload, self.key, algorithm="RS256", headers={"kid": "test"})

    def headers(self, *scopes: str, key: str | None = None, subject: str = "tester", **claims: Any) -> dict[str, str]:
        """Headers of a call with these scopes, and an Idempotency-Key when given."""
        headers = {"authorization": f"Bearer {self.token(*scopes, subject=subject, **claims)}"}
        return {**headers, "idempotency-key": key} if key else headers


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    """The test run's identity provider."""
    return Issuer()


@asynccontextmanager
async def running(app: FastAPI, issuer: Issuer) -> AsyncIterator[httpx.AsyncClient]:
    """Run an app's lifespan and call it in process; problems it does not expect are raised in the test."""
    app.state.authority = issuer.authority()
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://service.test") as client,
    ):
        yield client
