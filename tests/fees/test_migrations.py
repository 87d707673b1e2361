"""A database of the first release is brought to today's tables with its versions and quotes, and back."""

import asyncio
import json
import os
import subprocess
import sys

import asyncpg
import httpx

from kit.ids import new_id
from sandbox.postgres import Cluster
from services.fees.app import create_app
from services.fees.contract import Quote, QuoteDifference, Requote, VersionPage
from services.fees.operations import inputs_hash
from services.fees.rules import CITIZEN, Tariff, assess
from tests.conftest import ROOT, Issuer, running
from tests.fees.conftest import request_of, settings_for


async def _alembic(url: str, *arguments: str) -> None:
    command = [sys.executable, "-m", "alembic", "-n", "fees", *arguments]
    environment = {**os.environ, "FEES_DATABASE_URL": url}
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


async def _earlier_quote(connection: asyncpg.Connection, tariff: Tariff) -> str:
    """A version and a quote as the first release wrote them."""
    request = request_of()
    assessment = assess(tariff, request)
    identity = new_id("quo")
    await connection.execute(
        "insert into catalogue_version values ($1, $2, $3, now(), 'release')",
        tariff.version,
        tariff.sha256,
        tariff.content,
    )
    await connection.execute(
        "insert into quote values "
        "($1, now(), now() + interval '30 days', $2, $3, $4, $5, $6, $7, $8, $9, $10, 'portal')",
        identity,
        inputs_hash(request, assessment.procedure.slug, assessment.case),
        tariff.version,
        assessment.procedure.slug,
        assessment.procedure.title.model_dump_json(),
        request.model_dump_json(),
        json.dumps([line.model_dump(mode="json") for line in assessment.lines]),
        assessment.total_dong,
        assessment.due_from(CITIZEN),
        assessment.total_dong - assessment.due_from(CITIZEN),
    )
    return identity


async def _read(client: httpx.AsyncClient, path: str, issuer: Issuer) -> httpx.Response:
    return await client.get(path, headers=issuer.headers("fees:read"))


async def test_versions_and_quotes_of_the_first_release_live_on(
    cluster: Cluster, issuer: Issuer, tariff: Tariff
) -> None:
    admin = await asyncpg.connect(cluster.url("postgres"))
    await admin.execute("create database fees_of_before")
    url = cluster.url("fees_of_before")
    try:
        await _alembic(url, "upgrade", "0001")
        connection = await asyncpg.connect(url)
        old = await _earlier_quote(connection, tariff)
        await connection.close()
        await _alembic(url, "upgrade", "head")
        async with running(create_app(settings_for(url)), issuer) as client:
            quote = Quote.model_validate((await _read(client, f"/v1/quotes/{old}", issuer)).json())
            same = await _read(client, f"/v1/quotes/{old}/recomputation", issuer)
            versions = VersionPage.model_validate((await _read(client, "/v1/versions", issuer)).json())
            again = await client.post(
                f"/v1/quotes/{old}/requote", headers=issuer.headers("fees:quote", key=new_id("key"))
            )
    finally:
        await admin.execute("drop database fees_of_before with (force)")
        await admin.close()

    assert (quote.publication, quote.citizen_dong) == (None, 180_000)
    assert QuoteDifference.model_validate(same.json()).same
    assert [(v.number, v.version, v.release is None) for v in versions.items] == [
        (2, tariff.version, False),
        (1, tariff.version, True),
    ]
    requote = Requote.model_validate(again.json())
    assert (requote.difference.same, requote.quote.publication) == (True, 2)


async def test_the_new_tables_can_be_taken_back(cluster: Cluster) -> None:
    admin = await asyncpg.connect(cluster.url("postgres"))
    await admin.execute("create database fees_back")
    url = cluster.url("fees_back")
    try:
        await _alembic(url, "upgrade", "head")
        await _alembic(url, "downgrade", "0001")
        connection = await asyncpg.connect(url)
        rows = await connection.fetch("select tablename from pg_tables where schemaname = 'public' order by 1")
        await connection.close()
    finally:
        await admin.execute("drop database fees_back with (force)")
        await admin.close()

    assert [row["tablename"] for row in rows] == [
        "alembic_version",
        "catalogue_version",
        "idempotency_key",
        "outbox_event",
        "quote",
        "webhook_delivery",
        "webhook_endpoint",
    ]
