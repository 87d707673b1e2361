"""Reads the catalogue's files: YAML without anchors, guesses or surprises, each value with its file and line."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import ValidationError

from services.fees.consistency import Inconsistency, check
from services.fees.places import COLUMNS
from services.fees.tariffs import (
    Adjustment,
    Agreement,
    Catalogue,
    Group,
    Instrument,
    Node,
    Procedure,
    Source,
    ZoneEntry,
)

SHIPPED = Path(__file__).parent / "catalogue"
MAX_FILE_BYTES = 256 * 1024
MAX_DEPTH = 20
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where PyYAML was built with it: the same events, ten times faster."""

_INTEGER = re.compile(r"^(0|[1-9]\d*(_\d{3})*)$")
_DAY = re.compile(r"^\d{4}-\d{2}-\d{2}$")

Value = str | int | bool | date | None | list["Value"] | dict[str, "Value"]
Path_ = tuple[str | int, ...]
Part = TypeVar("Part", bound=Node)


class CatalogueError(Exception):
    """The catalogue cannot be used. Each line of the message names file, line, what is wrong and what to write."""

    def __init__(self, complaints: Sequence[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = tuple(complaints)


@dataclass(frozen=True, slots=True)
class Document:
    """A read file: its value, and the line of every path in it."""

    name: str
    value: Value
    lines: Mapping[Path_, int]

    def where(self, path: Path_) -> str:
        """`file:line` of the deepest part of `path` that the file has."""
        known: Path_ = ()
        for part in path:
            if (*known, part) in self.lines:
                known = (*known, part)
        return f"{self.name}:{self.lines[known]}"


def load_catalogue(folder: Path = SHIPPED) -> Catalogue:
    """Read and check a catalogue folder. Raises CatalogueError with file and line of everything wrong."""
    reader = _Reader(folder)
    procedures = [reader.one(Procedure, path) for path in reader.files("procedures")]
    adjustments = [a for path in reader.files("adjustments") for a in reader.many(Adjustment, path, "adjustments")]
    agreements = [reader.one(Agreement, path) for path in reader.files("postage")]
    zones = [z for path in reader.files("zones") for z in reader.many(ZoneEntry, path, "zones")]
    groups = reader.many(Group, folder / "groups.yaml", "groups")
    instruments = reader.many(Instrument, folder / "instruments.yaml", "instruments")
    sources = reader.many(Source, folder / "sources.yaml", "sources")
    communes = reader.communes(folder / "places" / "communes.csv")
    reader.raise_complaints()
    catalogue = Catalogue.assembled(
        procedures=[p for p in procedures if p is not None],
        adjustments=adjustments,
        agreements=[a for a in agreements if a is not None],
        zones=zones,
        groups=groups,
        instruments=instruments,
        sources=sources,
        communes=communes,
    )
    try:
        check(catalogue)
    except Inconsistency as error:
        raise CatalogueError(error.complaints) from error
    return catalogue


def read_yaml(text: str, name: str) -> Document:
    """Parse one document of plain mappings, lists and scalars. Raises CatalogueError with the line.

    Anchors and aliases are refused (a short file could otherwise unfold without end), as are repeated keys,
    tags, fractions, several documents and numbers that YAML 1.1 would read as octal or as minutes.
    """
    if len(text.encode()) > MAX_FILE_BYTES:
        raise CatalogueError([f"{name}:1: the file is over {MAX_FILE_BYTES // 1024} KiB; split it"])
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if getattr(event, "anchor", None):
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise CatalogueError([f"{name}:{line}: anchors and aliases are not allowed; write the value out"])
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or "not YAML"
        raise CatalogueError([f"{name}:{line}: {problem}"]) from error
    if root is None:
        raise CatalogueError([f"{name}:1: the file is empty"])
    lines: dict[Path_, int] = {}
    return Document(name, _value_of(root, (), name, lines), lines)


def _value_of(node: yaml.Node, path: Path_, name: str, lines: dict[Path_, int]) -> Value:
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if len(path) > MAX_DEPTH:
        raise CatalogueError([f"{name}:{line}: nested more than {MAX_DEPTH} deep"])
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Value] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            at = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                raise CatalogueError([f"{name}:{at}: keys are plain words"])
            if key in mapping:
                raise CatalogueError([f"{name}:{at}: the key {key!r} is written twice"])
            lines[(*path, key)] = at
            mapping[key] = _value_of(value_node, (*path, key), name, lines)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_value_of(child, (*path, index), name, lines) for index, child in enumerate(node.value)]
    return _scalar_of(node, name, line)


def _scalar_of(node: yaml.Node, name: str, line: int) -> Value:
    text, tag = str(node.value), str(node.tag).removeprefix("tag:yaml.org,2002:")
    if tag == "str":
        return text
    if tag == "null":
        return None
    if tag == "bool" and text in ("true", "false"):
        return text == "true"
    if tag == "int" and _INTEGER.match(text):
        return int(text.replace("_", ""))
    if tag == "timestamp" and _DAY.match(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise CatalogueError([f"{name}:{line}: {text} is not a day of the calendar"]) from None
    remedies = {
        "int": "write a plain whole number, or quote it when it is a code",
        "float": "amounts are whole đồng, without fraction",
        "bool": "write true or false, or quote the word",
        "timestamp": "write a day as YYYY-MM-DD, without a time",
    }
    raise CatalogueError([f"{name}:{line}: {text!r} is not allowed here; {remedies.get(tag, f'no !{tag} values')}"])


class _Reader:
    """Reads files one by one and keeps every complaint, so that one run names them all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._complaints: list[str] = []

    def files(self, part: str) -> list[Path]:
        return sorted((self._folder / part).glob("*.yaml"))

    def one(self, kind: type[Part], path: Path) -> Part | None:
        document = self._document(path)
        if document is None:
            return None
        part = self._validated(kind, document, document.value, ())
        if isinstance(part, Procedure) and part.slug != path.stem:
            self._complaints.append(f"{document.where(('slug',))}: the slug must be the name of the file, {path.stem}")
        return part

    def many(self, kind: type[Part], path: Path, key: str) -> list[Part]:
        document = self._document(path)
        if document is None:
            return []
        value = document.value
        if not isinstance(value, dict) or set(value) != {key} or not isinstance(entries := value[key], list):
            self._complaints.append(f"{document.name}:1: the file must hold one list, `{key}:`")
            return []
        parts = (self._validated(kind, document, entry, (key, index)) for index, entry in enumerate(entries))
        return [part for part in parts if part is not None]

    def communes(self, path: Path) -> list[tuple[str, ...]]:
        name = self._name(path)
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows = csv.DictReader(line for line in file if not line.startswith("#"))
                missing = set(COLUMNS) - set(rows.fieldnames or ())
                if missing:
                    self._complaints.append(f"{name}: columns are missing: {', '.join(sorted(missing))}")
                    return []
                return [tuple(row[column] for column in COLUMNS) for row in rows]
        except OSError as error:
            self._complaints.append(f"{name}: cannot be read ({error.strerror})")
            return []

    def raise_complaints(self) -> None:
        if self._complaints:
            raise CatalogueError(self._complaints)

    def _document(self, path: Path) -> Document | None:
        name = self._name(path)
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise CatalogueError([f"{name}:1: the file is over {MAX_FILE_BYTES // 1024} KiB; split it"])
            return read_yaml(path.read_text(encoding="utf-8"), name)
        except CatalogueError as error:
            self._complaints += error.complaints
        except (OSError, UnicodeDecodeError) as error:
            self._complaints.append(f"{name}:1: cannot be read as UTF-8 text ({type(error).__name__})")
        return None

    def _validated(self, kind: type[Part], document: Document, value: Value, base: Path_) -> Part | None:
        try:
            part = kind.model_validate(value)
        except ValidationError as error:
            for item in error.errors():
                field = ".".join(str(step) for step in item["loc"])
                message = str(item["msg"]).removeprefix("Value error, ")
                where = document.where((*base, *item["loc"]))
                self._complaints.append(f"{where}: {field}: {message}" if field else f"{where}: {message}")
            return None
        for node, path in _nodes(part, base):
            node.mark(document.where(path))
        return part

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder.parent).as_posix()


def _nodes(value: object, path: Path_) -> Iterator[tuple[Node, Path_]]:
    if isinstance(value, Node):
        yield value, path
        for name, field in type(value).model_fields.items():
            yield from _nodes(getattr(value, name), (*path, field.alias or name))
    elif isinstance(value, tuple | list):
        for index, element in enumerate(value):
            yield from _nodes(element, (*path, index))
    elif isinstance(value, dict):
        for key, element in value.items():
            yield from _nodes(element, (*path, key))
