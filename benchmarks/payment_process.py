"""What the payment benchmarks run against: a PostgreSQL of their own, an issuer of tokens, the service as deployed."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from benchmarks.load import until_it_answers
from sandbox.postgres import Cluster, create_service_databases, start_cluster

ROOT = Path(__file__).parents[1]
WEBHOOK_SECRET = "whsec_benchmark"


@contextlib.contextmanager
def issuer() -> Iterator[tuple[str, str]]:
    """An OIDC issuer on loopback, and an access token of it, signed with RS256, that may write payments."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    documents: dict[str, dict[str, Any]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps(documents[self.path]).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_port}"
    documents["/.well-known/openid-configuration"] = {"issuer": url, "jwks_uri": f"{url}/jwks.json"}
    documents["/jwks.json"] = {"keys": [{**public, "kid": "benchmark", "use": "sig", "alg": "RS256"}]}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    moment = int(time.time())
    claims = {"iss": url, "aud": "lien-thong", "sub": "workflows", "azp": "workflows", "scope": "payments:write"}
    times = {"iat": moment, "exp": moment + 7_200}
    token = jwt.encode({**claims, **times}, key, algorithm="RS256", headers={"kid": "benchmark"})
    try:
        yield url, token
    finally:
        server.shutdown()


@dataclass(slots=True)
class Database:
    """A migrated payment database on a cluster that may be killed and started again."""

    folder: Path
    cluster: Cluster

    @property
    def url(self) -> str:
        """As the service connects."""
        return self.cluster.url("payment", user="payment", password="p")

    def start_again(self) -> None:
        """Start the cluster on the same files and the same port."""
        port, log = self.cluster.port, self.folder / "postgres.log"
        self.cluster = start_cluster(self.folder / "postgres", port=port, password="p", log=log)


@contextlib.contextmanager
def database(folder: Path, port: int) -> Iterator[Database]:
    """PostgreSQL with fsync on and everything else as it comes, with the payment service's tables and triggers."""
    cluster = start_cluster(folder / "postgres", port=port, password="p", log=folder / "postgres.log")
    found = Database(folder, cluster)
    try:
        asyncio.run(create_service_databases(cluster, {"payment": "p"}))
        command = [sys.executable, "-m", "alembic", "-n", "payment", "upgrade", "head"]
        subprocess.run(command, cwd=ROOT, env=environment(found.url, port), check=True, capture_output=True)
        yield found
    finally:
        found.cluster.stop()


def environment(database_url: str, port: int, **changes: str) -> dict[str, str]:
    """Settings of the service; nothing outside answers, and nothing here asks it to."""
    nobody = "http://127.0.0.1:9"
    values = {
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "ISSUER": nobody,
        "DATABASE_URL": database_url,
        "SESSION_SECRET": "s" * 32,
        "PAGES_CLIENT_ID": "pages",
        "GATEWAY_URL": nobody,
        "GATEWAY_KEY": "sk_test_x",
        "GATEWAY_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "BANK_URL": nobody,
        "BANK_KEY": "x",
        "BANK_NOTICE_SECRET": "whsec_eA==",
        "BANK_BIN": "970415",
        "BANK_ACCOUNT": "113366668888",
        "BANK_HOLDER": "KHO BAC",
        "COLLECTING_AGENCY_NAME": "Trung tâm",
        "RECEIPT_SECRET": "r" * 32,
        **changes,
    }
    return {**os.environ, **{f"PAYMENT_{name}": value for name, value in values.items()}}


def start_service(folder: Path, port: int, values: dict[str, str]) -> subprocess.Popen[bytes]:
    """One uvicorn worker as it is deployed, once it answers."""
    command = [sys.executable, "-m", "uvicorn", "--factory", "services.payment.app:create_app", "--port", str(port)]
    with (folder / "service.log").open("ab") as log:
        process = subprocess.Popen([*command, "--no-access-log"], cwd=ROOT, env=values, stdout=log, stderr=log)
    try:
        asyncio.run(until_it_answers(port))
    except TimeoutError:
        process.kill()
        raise SystemExit((folder / "service.log").read_text()[-2_000:]) from None
    return process
