"""Who runs where in the embedded stack: ports, secrets, clients and people, and what every process is told."""

import json
import os
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.webhooks import new_webhook_secret

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
SERVICES = ("fees", "payment", "postal")
NAMESPACE = "dvctt"
BANK = {"bin": "970415", "account": "113366668888", "holder": "TRUNG TAM PHUC VU HANH CHINH CONG"}
PORTS = (
    "postgres",
    "temporal",
    "temporal-ui",
    "identity",
    "gateway",
    "bank",
    "fees",
    "payment",
    "postal",
    "workflows",
    "worker-metrics",
)

_READ = "fees:read payments:read postal:read dossiers:read"
CLIENT_SCOPES = {
    "portal": f"fees:quote dossiers:write webhooks:manage {_READ}",
    "workflows": "fees:quote payments:read payments:write payments:refund payments:reconcile postal:read postal:write",
    "agency": "dossiers:read dossiers:decide payments:read payments:write postal:read",
    "carrier": "postal:courier postal:write postal:read",
}
PEOPLE = {
    "ke-toan": ("Nguyễn Thị Kế Toán", "finance_officer", "payments:read payments:refund payments:reconcile"),
    "ke-toan-truong": (
        "Trần Văn Trưởng",
        "chief_accountant",
        "payments:read payments:write payments:approve payments:close payments:reconcile",
    ),
    "can-bo-phi": ("Lê Thị Phí", "fee_officer", "fees:read fees:quote fees:draft"),
    "lanh-dao-phi": ("Phạm Văn Duyệt", "fee_approver", "fees:read fees:quote fees:approve"),
    "buu-ta-1": ("Hoàng Văn Bưu", "courier", "postal:courier postal:read"),
    "buu-ta-2": ("Vũ Thị Tá", "courier", "postal:courier postal:read"),
    "dieu-phoi": ("Đặng Văn Điều", "dispatcher", "postal:dispatch postal:read postal:write"),
    "van-hanh": ("Bùi Thị Vận Hành", "operator", f"ops payments:reconcile {_READ}"),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """One stack: where its state lies, which ports it takes, which secrets it keeps."""

    run: Path
    port_base: int
    secrets: dict[str, str]

    def port(self, name: str) -> int:
        """Port of a process."""
        return self.port_base + PORTS.index(name)

    def url(self, name: str) -> str:
        """Address of an HTTP process on this machine."""
        return f"http://127.0.0.1:{self.port(name)}"

    def log(self, name: str) -> Path:
        """Where a process writes."""
        return self.run / "logs" / f"{name}.log"

    def database_url(self, service: str) -> str:
        """A service's own database, as its own role."""
        password = self.secrets[f"{service}_database"]
        return f"postgresql://{service}:{password}@127.0.0.1:{self.port('postgres')}/{service}"

    def identity_configuration(self) -> dict[str, Any]:
        """The identity provider's configuration file."""
        clients: dict[str, Any] = {
            name: {
                "client_id": name,
                "client_secret": self.secrets[f"{name}_client"],
                "scopes": scopes.split(),
                "org": "*",
                "redirect_uris": [],
            }
            for name, scopes in CLIENT_SCOPES.items()
        }
        for service in SERVICES:
            clients[f"pages-{service}"] = {
                "client_id": f"pages-{service}",
                "client_secret": None,
                "scopes": [],
                "org": "*",
                "redirect_uris": [f"{self.url(service)}/auth/callback"],
            }
        people = {
            username: {
                "username": username,
                "password": self.secrets["people"],
                "name": name,
                "roles": [role],
                "scopes": scopes.split(),
                "org": "*",
            }
            for username, (name, role, scopes) in PEOPLE.items()
        }
        return {
            "issuer": self.url("identity"),
            "clients": clients,
            "people": people,
            "key_file": str(self.run / "identity-key.pem"),
            "allow_password_grant": True,
        }

    def environment(self, name: str) -> dict[str, str]:
        """Everything a process is told. Nothing of it is inherited but the path and the locale."""
        inherited = {key: os.environ[key] for key in ("PATH", "LANG", "TZ", "HOME", "TMPDIR") if key in os.environ}
        common = {**inherited, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
        if name in SERVICES:
            return {**common, **self._service(name)}
        if name in ("workflows", "worker"):
            return {**common, **self._workflows()}
        return common

    def _service(self, name: str) -> dict[str, str]:
        values = {
            "PUBLIC_URL": self.url(name),
            "ISSUER": self.url("identity"),
            "DATABASE_URL": self.database_url(name),
            "SESSION_SECRET": self.secrets[f"{name}_session"],
            "PAGES_CLIENT_ID": f"pages-{name}",
            "SECURE_COOKIES": "false",
            "WEBHOOK_URL": f"{self.url('workflows')}/webhooks/{name}",
            "WEBHOOK_SECRET": self.secrets[f"{name}_webhook"],
            "WEBHOOK_ALLOW_PRIVATE": "true",  # portals of a sandbox live on this machine
        }
        if name == "payment":
            values |= {
                "GATEWAY_URL": self.url("gateway"),
                "GATEWAY_KEY": self.secrets["gateway_key"],
                "GATEWAY_WEBHOOK_SECRET": self.secrets["gateway_webhook"],
                "BANK_URL": self.url("bank"),
                "BANK_KEY": self.secrets["bank_key"],
                "BANK_NOTICE_SECRET": self.secrets["bank_notice"],
                "BANK_BIN": BANK["bin"],
                "BANK_ACCOUNT": BANK["account"],
                "BANK_HOLDER": BANK["holder"],
                "COLLECTING_AGENCY_NAME": "Trung tâm Phục vụ hành chính công",
                "RECEIPT_SECRET": self.secrets["receipt"],
            }
        if name == "postal":
            values |= {
                "LABEL_SECRET": self.secrets["label"],
                "S10_COUNTRY": "XX",
                "EVIDENCE_STORE": str(self.run / "evidence"),
            }
        return {f"{name.upper()}_{key}": value for key, value in values.items()}

    def _workflows(self) -> dict[str, str]:
        values = {
            "PUBLIC_URL": self.url("workflows"),
            "ISSUER": self.url("identity"),
            "TEMPORAL_TARGET": f"127.0.0.1:{self.port('temporal')}",
            "TEMPORAL_NAMESPACE": NAMESPACE,
            "FEES_URL": self.url("fees"),
            "PAYMENT_URL": self.url("payment"),
            "POSTAL_URL": self.url("postal"),
            "TOKEN_URL": f"{self.url('identity')}/token",
            "CLIENT_ID": "workflows",
            "CLIENT_SECRET": self.secrets["workflows_client"],
            "METRICS_ADDRESS": f"127.0.0.1:{self.port('worker-metrics')}",
            "COLLECTING_ACCOUNT": BANK["account"],
            **{f"{service.upper()}_WEBHOOK_SECRET": self.secrets[f"{service}_webhook"] for service in SERVICES},
        }
        return {f"WORKFLOWS_{key}": value for key, value in values.items()}

    def arguments(self, name: str) -> list[str]:
        """How a process is started."""
        module = [str(BIN / "python"), "-m"]
        uvicorn = [*module, "uvicorn", "--factory", "--host", "127.0.0.1", "--no-access-log", "--port"]
        if name in SERVICES:
            return [*uvicorn, str(self.port(name)), f"services.{name}.app:create_app"]
        if name == "workflows":
            return [*uvicorn, str(self.port(name)), "workflows.api:create_app"]
        if name == "worker":
            return [*module, "workflows.worker"]
        if name == "temporal":
            return self._temporal()
        port = ["--port", str(self.port(name))]
        if name == "identity":
            return [*module, "sandbox.identity", *port, "--config", str(self.run / "identity.json")]
        state = ["--state", str(self.run / f"{name}.sqlite")]
        if name == "bank":
            return [
                *[*module, "sandbox.bank", *port, *state, "--bin", BANK["bin"], "--account", BANK["account"]],
                *["--holder", BANK["holder"], "--holder-key", self.secrets["bank_key"]],
                *[
                    "--notify-url",
                    f"{self.url('payment')}/webhooks/bank",
                    "--notify-secret",
                    self.secrets["bank_notice"],
                ],
            ]
        return [
            *[*module, "sandbox.gateway", *port, *state, "--key", self.secrets["gateway_key"]],
            *["--webhook-secret", self.secrets["gateway_webhook"], "--bank-url", self.url("bank")],
            *["--webhook-url", f"{self.url('payment')}/webhooks/gateway", "--public-url", self.url("gateway")],
        ]

    def _temporal(self) -> list[str]:
        return [
            *[str(BIN / "temporal"), "server", "start-dev", "--ip", "127.0.0.1", "--port", str(self.port("temporal"))],
            *["--ui-port", str(self.port("temporal-ui")), "--ui-ip", "127.0.0.1", "--namespace", NAMESPACE],
            *["--db-filename", str(self.run / "temporal.sqlite"), "--log-level", "error"],
            *["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal"],
        ]

    def description(self) -> dict[str, Any]:
        """What `stack.json` tells programs that want to use the running stack."""
        return {
            **{name: {"url": self.url(name)} for name in (*SERVICES, "workflows", "bank")},
            "gateway": {
                "url": self.url("gateway"),
                "key": self.secrets["gateway_key"],
                "webhook_secret": self.secrets["gateway_webhook"],
            },
            "temporal": {
                "target": f"127.0.0.1:{self.port('temporal')}",
                "ui": self.url("temporal-ui"),
                "namespace": NAMESPACE,
            },
            "identity": {"issuer": self.url("identity"), "token_url": f"{self.url('identity')}/token"},
            "databases": {service: self.database_url(service) for service in SERVICES},
            "clients": {
                name: {"client_id": name, "client_secret": self.secrets[f"{name}_client"], "scopes": scopes.split()}
                for name, scopes in CLIENT_SCOPES.items()
            },
            "people": {
                username: {"username": username, "password": self.secrets["people"], "roles": [role]}
                for username, (_, role, _scopes) in PEOPLE.items()
            },
        }


def load_plan(run: Path, port_base: int) -> Plan:
    """The plan of a run folder; its secrets are made once and kept, so a second start continues the first."""
    file = run / "secrets.json"
    known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    wanted = fresh_secrets()
    if wanted.keys() - known.keys():
        known = {**wanted, **known}
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as sink:
            json.dump(known, sink, indent=1)
    return Plan(run=run, port_base=port_base, secrets=known)


def fresh_secrets() -> dict[str, str]:
    """New random secrets for a whole stack."""
    plain = ["postgres", "people", "bank_key", "receipt", "label"]
    for service in SERVICES:
        plain += [f"{service}_database", f"{service}_session"]
    plain += [f"{client}_client" for client in CLIENT_SCOPES]
    made = {name: secrets.token_hex(24) for name in plain}
    made["people"] = secrets.token_urlsafe(9)
    made["gateway_key"] = f"sk_test_{secrets.token_hex(16)}"
    for name in ("gateway_webhook", "bank_notice", *(f"{service}_webhook" for service in SERVICES)):
        made[name] = new_webhook_secret()
    return made
