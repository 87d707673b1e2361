"""The script that PostgreSQL's image runs once, against a real server: each role owns its databases and no other."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from sandbox.postgres import BIN, Cluster
from tests.deploy.composition import ROOT

SCRIPT = ROOT / "deploy" / "postgres" / "create-service-role.sh"
PASSWORD = "a'quote and $dollar"


def create(cluster: Cluster, *, role: str, databases: str) -> subprocess.CompletedProcess[str]:
    """Run the script as the image's entrypoint would."""
    address = urlsplit(cluster.url("postgres"))
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "PGHOST": address.hostname or "",
        "PGPORT": str(address.port),
        "PGUSER": "postgres",
        "PGPASSWORD": cluster.password,
        "SERVICE_ROLE": role,
        "SERVICE_DATABASES": databases,
        "SERVICE_PASSWORD": PASSWORD,
    }
    return subprocess.run(["bash", str(SCRIPT)], env=environment, capture_output=True, text=True, check=False)


async def connect(cluster: Cluster, *, role: str, database: str) -> asyncpg.Connection:
    return await asyncpg.connect(
        host="127.0.0.1", port=cluster.port, user=role, password=PASSWORD, database=database, timeout=10
    )


@pytest.fixture(scope="module")
def two_services(cluster: Cluster) -> Cluster:
    for role, databases in (("deploy_one", "deploy_one"), ("deploy_two", "deploy_two deploy_two_more")):
        done = create(cluster, role=role, databases=databases)
        assert done.returncode == 0, done.stderr
    return cluster


async def test_a_role_works_in_its_own_databases(two_services: Cluster) -> None:
    for role, database in (
        ("deploy_one", "deploy_one"),
        ("deploy_two", "deploy_two"),
        ("deploy_two", "deploy_two_more"),
    ):
        connection = await connect(two_services, role=role, database=database)
        await connection.execute("create table note (id int primary key)")
        assert await connection.fetchval("select count(*) from note") == 0
        await connection.close()


async def test_a_role_cannot_enter_another_services_database(two_services: Cluster) -> None:
    for role, database in (("deploy_one", "deploy_two"), ("deploy_two", "deploy_one")):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connect(two_services, role=role, database=database)


async def test_a_role_has_no_power_over_the_server(two_services: Cluster) -> None:
    connection = await connect(two_services, role="deploy_one", database="deploy_one")
    powers = await connection.fetchrow(
        "select rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls"
        " from pg_roles where rolname = current_user"
    )
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("create database stolen")
    await connection.close()

    assert powers is not None
    assert tuple(powers) == (False, False, False, False, False)


def test_a_failure_stops_the_first_start(two_services: Cluster) -> None:
    again = create(two_services, role="deploy_one", databases="deploy_one")

    assert again.returncode != 0
    assert "already exists" in again.stderr
    assert PASSWORD not in again.stdout


@pytest.mark.parametrize("service", ["fees", "payment", "postal"])
async def test_migrations_need_no_more_than_the_services_own_role(
    cluster: Cluster, service: str, tmp_path: Path
) -> None:
    role = f"deploy_{service}"
    done = await asyncio.to_thread(create, cluster, role=role, databases=role)
    assert done.returncode == 0, done.stderr
    address = cluster.url(role, user=role, password="a%27quote%20and%20%24dollar")

    upgraded = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "alembic", "-n", service, "upgrade", "head"],
        cwd=ROOT,
        env={**os.environ, f"{service.upper()}_DATABASE_URL": address},
        capture_output=True,
        text=True,
        check=False,
    )

    assert upgraded.returncode == 0, upgraded.stderr
    connection = await connect(cluster, role=role, database=role)
    assert await connection.fetchval("select count(*) from alembic_version") == 1
    await connection.close()
