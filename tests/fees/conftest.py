"""What the tests of fees share: the compiled catalogue, a request to start from, and the running service."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import HttpUrl, PostgresDsn, SecretStr

from services.fees.app import create_app
from services.fees.contract import QuoteRequest
from services.fees.reading import SHIPPED, load_catalogue
from services.fees.rules import Tariff
from services.fees.settings import FeesSettings
from tests.conftest import Issuer, running

Database = Callable[[str], Awaitable[str]]
PASSPORT: dict[str, Any] = {
    "procedure": "passport",
    "case": "first_issue",
    "filed_on": "2025-12-31",
    "channel": "online",
    "province": "79",
    "commune": "26740",
    "agency": "H29.12",
}


def request_of(**changes: Any) -> QuoteRequest:
    """A passport filed online in Hồ Chí Minh City on 31/12/2025, with changes."""
    return QuoteRequest.model_validate(PASSPORT | changes)


@pytest.fixture(scope="session")
def tariff() -> Tariff:
    """The shipped catalogue, compiled once."""
    return Tariff(load_catalogue())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped catalogue that a test may spoil."""
    copy = tmp_path / "catalogue"
    for source in SHIPPED.rglob("*"):
        target = copy / source.relative_to(SHIPPED)
        if source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    return copy


def settings_for(url: str) -> FeesSettings:
    """Settings of a service on a test database."""
    return FeesSettings(
        public_url=HttpUrl("http://service.test"),
        issuer=HttpUrl("http://issuer.test"),
        database_url=PostgresDsn(url),
        session_secret=SecretStr("a secret of at least thirty-two characters"),
        pages_client_id="pages-fees",
        secure_cookies=False,
    )


@pytest.fixture
async def fees_url(database: Database) -> str:
    """Address of a fresh fees database."""
    return await database("fees")


@pytest.fixture
async def client(fees_url: str, issuer: Issuer) -> AsyncIterator[httpx.AsyncClient]:
    """The running service on a fresh database."""
    async with running(create_app(settings_for(fees_url)), issuer) as found:
        yield found
