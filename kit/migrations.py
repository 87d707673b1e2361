"""Runs a service's Alembic migrations: one at a time, each in its own transaction, never waiting long for a lock.

Each `services/<name>/migrations/env.py` is a call of `run_migrations`. The address comes from
`<NAME>_DATABASE_URL`, so `alembic -n payment upgrade head` works anywhere.
"""

import asyncio
import os

from alembic import context
from sqlalchemy import Connection, MetaData, text

from kit.db import create_engine

_ADVISORY_LOCK = 7_201_605_150_927_001
"""Any constant of our own: two migration jobs of one database take turns."""


def run_migrations(metadata: MetaData, *, environment_variable: str) -> None:
    """Entry point of `env.py`. Raises KeyError when the address is not set."""
    asyncio.run(_run(metadata, os.environ[environment_variable]))


async def _run(metadata: MetaData, url: str) -> None:
    engine = create_engine(url, pool_size=1)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_migrate, metadata)
            await connection.commit()
    finally:
        await engine.dispose()


def _migrate(connection: Connection, metadata: MetaData) -> None:
    connection.execute(text("set lock_timeout = '4s'"))
    connection.execute(text("set statement_timeout = '60s'"))
    connection.execute(text("select pg_advisory_lock(:n)"), {"n": _ADVISORY_LOCK})
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_type=True,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    try:
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.execute(text("select pg_advisory_unlock(:n)"), {"n": _ADVISORY_LOCK})
        connection.commit()
