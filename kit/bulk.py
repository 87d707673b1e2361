"""Many rows in one statement: PostgreSQL takes whole columns as arrays, so a thousand rows cost one round trip.

`insert … values` with a thousand rows has thousands of parameters and a new plan each time; a statement here has one
parameter a column and one plan for any number of rows.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, String, Table, any_, literal, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped
from sqlmodel.ext.asyncio.session import AsyncSession


def among(column: ColumnElement[Any] | Mapped[Any], values: Iterable[str]) -> ColumnElement[bool]:
    """`column = any(array)`: one parameter and one plan for any number of texts, where `in` has one a value."""
    return column == any_(literal(list(values), ARRAY(String)))


Rows = Sequence[Mapping[str, Any]]


async def insert_many(session: AsyncSession, table: Table, rows: Rows, *, update_on: Sequence[str] = ()) -> None:
    """Insert rows that all have the same columns. With `update_on` (a unique key), rows that exist are overwritten."""
    if rows:
        names = tuple(rows[0])
        statement = text(_insert_statement(table, names, tuple(update_on)))
        await (await session.connection()).execute(statement, _arrays(table, names, rows))


async def update_many(session: AsyncSession, table: Table, rows: Rows, *, key: str) -> None:
    """Update rows by `key`; every row gives the key and the same other columns."""
    if rows:
        names = tuple(rows[0])
        statement = text(_update_statement(table, names, key))
        await (await session.connection()).execute(statement, _arrays(table, names, rows))


def _arrays(table: Table, names: tuple[str, ...], rows: Rows) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for index, name in enumerate(names):
        values = [row[name] for row in rows]
        if isinstance(table.c[name].type, JSONB):
            values = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
        columns[f"c{index}"] = values
    return columns


@cache
def _insert_statement(table: Table, names: tuple[str, ...], update_on: tuple[str, ...]) -> str:
    quoted = ", ".join(f'"{name}"' for name in names)
    suffix = ""
    if update_on:
        keys = ", ".join(f'"{name}"' for name in update_on)
        changed = ", ".join(f'"{name}" = excluded."{name}"' for name in names if name not in update_on)
        suffix = f" on conflict ({keys}) do update set {changed}"
    source = _source(table, names)
    return f'insert into "{table.name}" ({quoted}) select {_selected(table, names)} from {source}{suffix}'  # noqa: S608 — our own names


@cache
def _update_statement(table: Table, names: tuple[str, ...], key: str) -> str:
    selected = _selected(table, names).split(", ")
    changed = ", ".join(f'"{name}" = {value}' for name, value in zip(names, selected, strict=True) if name != key)
    place = names.index(key)
    source = _source(table, names)
    return f'update "{table.name}" set {changed} from {source} where "{table.name}"."{key}" = r.c{place}'  # noqa: S608


def _selected(table: Table, names: tuple[str, ...]) -> str:
    return ", ".join(
        f"r.c{index}::jsonb" if isinstance(table.c[name].type, JSONB) else f"r.c{index}"
        for index, name in enumerate(names)
    ).replace("::jsonb", "\\:\\:jsonb")


def _source(table: Table, names: tuple[str, ...]) -> str:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    kinds = ["text" if isinstance(c.type, JSONB) else c.type.compile(dialect) for c in (table.c[n] for n in names)]
    arrays = ", ".join(f"cast(:c{index} as {kind}[])" for index, kind in enumerate(kinds))
    return f"unnest({arrays}) as r({', '.join(f'c{index}' for index in range(len(names)))})"
