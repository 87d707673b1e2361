"""A running postal service with a fresh database, and the people who use it."""

import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from kit.ids import uuid7
from kit.settings import checked_url
from services.postal.app import create_app
from services.postal.settings import PostalSettings
from tests.conftest import ISSUER, Issuer, running

HASH = "a" * 64
CHECKLIST = ["Đơn đề nghị", "Giấy khai sinh (bản chính)"]
PERSON = {"name": "Nguyễn Thị Ánh", "phone": "0912345678", "address": "12 ngõ Gạch, phố Hàng Buồm", "commune": "00070"}


def postal_settings(database_url: str) -> PostalSettings:
    """Settings of a test service: numbers of the test country, secrets of no worth."""
    return PostalSettings(
        public_url=checked_url("http://postal.test"),
        issuer=checked_url(ISSUER),
        database_url=database_url,
        session_secret=SecretStr("s" * 32),
        pages_client_id="pages-postal",
        secure_cookies=False,
        label_secret=SecretStr("l" * 32),
        s10_country="XX",
    )


@dataclass
class Post:
    """The service under test, its callers, and a look into its database."""

    app: FastAPI
    client: httpx.AsyncClient
    issuer: Issuer
    database_url: str
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def headers(self, *scopes: str, **more: Any) -> dict[str, str]:
        return self.issuer.headers(*scopes, **more)

    @property
    def office(self) -> dict[str, str]:
        """The workflows and the carrier: read and write."""
        return self.headers("postal:read", "postal:write", subject="carrier")

    def courier(self, name: str = "buu-ta-1") -> dict[str, str]:
        return self.headers("postal:courier", "postal:read", subject=name)

    @property
    def dispatcher(self) -> dict[str, str]:
        return self.headers("postal:dispatch", "postal:read", "postal:write", subject="dieu-phoi")

    async def rows(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        connection = await asyncpg.connect(self.database_url)
        try:
            return [dict(row) for row in await connection.fetch(query, *arguments)]
        finally:
            await connection.close()

    async def news(self, subject: str | None = None) -> list[str]:
        """Kinds of news in the outbox, oldest first."""
        rows = await self.rows("select kind, subject from outbox order by id")
        return [row["kind"] for row in rows if subject in (None, row["subject"])]

    async def put_contact(self, dossier_code: str, **changes: str) -> httpx.Response:
        body = {**PERSON, **changes}
        return await self.client.put(f"/v1/contacts/{dossier_code}", json=body, headers=self.office)

    async def book(self, direction: str = "outbound", **changes: Any) -> dict[str, Any]:
        """A booked shipment of a dossier of its own."""
        code = changes.pop("dossier_code", f"H26.01-260302-{next(self.numbers):04d}")
        contact = (await self.put_contact(code)).json()
        body = {
            "shipment_key": f"{code}/{direction}",
            "dossier_code": code,
            "direction": direction,
            "contact_id": contact["id"],
            "agency": "H26.01",
            "agency_commune": "00004",
            "weight_grams": 60,
            "postage_dong": 26_000,
            "checklist": CHECKLIST,
            **changes,
        }
        answer = await self.client.post("/v1/shipments", json=body, headers=self.office)
        assert answer.status_code == 201, answer.text
        shipment: dict[str, Any] = answer.json()
        return shipment

    async def send(self, *events: dict[str, Any], headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """Post a batch and give the answer of each item."""
        answer = await self.client.post("/v1/events", json={"events": events}, headers=headers or self.office)
        assert answer.status_code == 200, answer.text
        results: list[dict[str, Any]] = answer.json()["results"]
        return results

    async def get(self, shipment: dict[str, Any]) -> dict[str, Any]:
        answer = await self.client.get(f"/v1/shipments/{shipment['id']}", headers=self.office)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def event(shipment: dict[str, Any], kind: str, minute: int = 0, **changes: Any) -> dict[str, Any]:
    """One fact, `minute` minutes after now minus an hour."""
    moment = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=60 - minute)
    body: dict[str, Any] = {
        "event_id": str(uuid7()),
        "s10": shipment["s10"],
        "kind": kind,
        "occurred_at": moment.isoformat(),
        "device_id": "phone-1",
        "device_seq": minute + 1,
        **changes,
    }
    if kind in ("collected", "partially_collected") and "evidence" not in changes:
        body["evidence"] = sealed()
    return body


def sealed(*positions: int) -> dict[str, Any]:
    """Evidence of a pickup with these pieces, all by default."""
    return {
        "collected_positions": list(positions or range(1, len(CHECKLIST) + 1)),
        "page_count": 5,
        "seal_number": "NP-7",
        "citizen_signature_sha256": HASH,
        "courier_signature_sha256": "b" * 64,
    }


PROOF = {
    "outbound": {"receiver": "agency_officer", "proof": "signature"},
    "return": {"receiver": "addressee", "proof": "signature"},
}


def journey(shipment: dict[str, Any]) -> list[dict[str, Any]]:
    """Every fact of a leg that goes well."""
    return [
        event(shipment, "pickup_started", 1),
        event(shipment, "collected", 2),
        event(shipment, "arrived_origin_office", 3, place="BC Hoàn Kiếm"),
        event(shipment, "departed", 4, place="BC Hoàn Kiếm"),
        event(shipment, "arrived_delivery_office", 5, place="BC Ba Đình"),
        event(shipment, "out_for_delivery", 6),
        event(shipment, "handed_over", 7, evidence=PROOF[shipment["direction"]], place="nhà ông Bảy"),
    ]


@pytest.fixture
async def post(database: Callable[[str], Any], issuer: Issuer) -> AsyncIterator[Post]:
    """A postal service over a fresh database."""
    url = await database("postal")
    app = create_app(postal_settings(url))
    async with running(app, issuer) as client:
        yield Post(app, client, issuer, url)
