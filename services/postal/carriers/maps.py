"""A carrier's status codes as data: which fact each stands for, which are known to say nothing, and nothing else.

A code that is not in the map is never guessed: it becomes an `unmapped` fact and an alert.
"""

from functools import cache
from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, model_validator

from services.postal.contract import FieldKind, MeasureCode, ReasonCode

_FOLDER = Path(__file__).parent / "maps"


class Meaning(BaseModel):
    """What a code stands for: a kind of fact, or (`ignored`) nothing that the log should hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    says: str
    kind: FieldKind | None = None
    reason: ReasonCode | None = None
    measure: MeasureCode | None = None
    ignored: bool = False

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.ignored == (self.kind is not None):
            raise ValueError("a code is either ignored or stands for a kind")
        return self


class Cause(BaseModel):
    """Our reason and measure for a carrier's own reason code."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: ReasonCode
    measure: MeasureCode


class StatusMap(BaseModel):
    """All codes of a carrier that are understood."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    codes: dict[str, Meaning]
    reasons: dict[str, Cause] = {}


@cache
def status_map(carrier: str) -> StatusMap:
    """The map of a carrier by its short name. Raises FileNotFoundError, ValidationError."""
    return StatusMap.model_validate(yaml.safe_load((_FOLDER / f"{carrier}.yaml").read_text(encoding="utf-8")))


def carriers_with_maps() -> tuple[str, ...]:
    """Short names of all maps."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.yaml")))
