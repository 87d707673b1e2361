"""A running service whose uploads lie in the test's own folder."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from services.fees.app import create_app
from tests.conftest import Issuer, running
from tests.fees.conftest import settings_for


@pytest.fixture
async def app(database: Callable[[str], Awaitable[str]], tmp_path: Path) -> FastAPI:
    url = await database("fees")
    return create_app(settings_for(url).model_copy(update={"simulation_folder": tmp_path / "uploads"}))


@pytest.fixture
async def client(app: FastAPI, issuer: Issuer) -> AsyncIterator[httpx.AsyncClient]:
    async with running(app, issuer) as found:
        yield found
