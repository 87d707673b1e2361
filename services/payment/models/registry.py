"""What every table of the payment database stands on. Amounts are đồng as bigint."""

from typing import Any

from sqlalchemy import BigInteger, CheckConstraint
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from kit.db import service_metadata


class Model(SQLModel, registry=registry(metadata=service_metadata())):
    """A table of this service."""


def dong(default: int | None = None) -> Any:  # noqa: ANN401 — a column declaration
    """A column of whole đồng."""
    if default is None:
        return Field(sa_type=BigInteger)
    return Field(default=default, sa_type=BigInteger)


def one_of(column: str, *values: str) -> CheckConstraint:
    """The rule that a column holds one of these words."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} in ({listed})", name=f"{column}_known")
