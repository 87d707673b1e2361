"""Reads the catalogue's documents into one checked catalogue, and a draft laid over the published documents."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from services.fees.consistency import Doubts, check
from services.fees.documents import Document, Steps, Value, parsed, read_yaml
from services.fees.faults import CatalogueError, CatalogueFault, ordered, sentence_of
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

__all__ = [
    "SHIPPED",
    "CatalogueError",
    "CatalogueFault",
    "check_documents",
    "checked_catalogue",
    "load_catalogue",
    "read_folder",
    "read_yaml",
]

SHIPPED = Path(__file__).parent / "catalogue"
COMMUNES = "places/communes.csv"
MAX_COMMUNES_BYTES = 2 * 1024 * 1024
ENOUGH = 1_000
"""Faults of one document after which its further entries are left unread: nobody corrects that line by line."""

_WHOLE: Mapping[str, type[Node]] = {"procedures": Procedure, "postage": Agreement}
"""Folders whose files are one entry each."""

_LISTS: Mapping[str, type[Node]] = {
    "sources": Source,
    "instruments": Instrument,
    "groups": Group,
    "zones": ZoneEntry,
    "adjustments": Adjustment,
}
"""Lists that any other file may hold, so that one resolution can be one file with its instrument and its rules."""


def read_folder(folder: Path = SHIPPED) -> dict[str, str]:
    """The texts of a catalogue folder by name (`procedures/passport.yaml`). Raises CatalogueError when unreadable."""
    texts: dict[str, str] = {}
    faults: list[CatalogueFault] = []
    for path in sorted([*folder.rglob("*.yaml"), folder / COMMUNES]):
        name = path.relative_to(folder).as_posix()
        try:
            texts[name] = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = type(error).__name__
            faults.append(
                CatalogueFault(
                    name, 1, f"không đọc được tệp UTF-8 ({why})", f"cannot be read as UTF-8 text ({why}); save it again"
                )
            )
    if faults:
        raise CatalogueError(faults)
    return texts


def load_catalogue(folder: Path = SHIPPED) -> Catalogue:
    """Read and check a catalogue folder. Raises CatalogueError with file and line of everything wrong."""
    return checked_catalogue(read_folder(folder))


def checked_catalogue(documents: Mapping[str, str]) -> Catalogue:
    """The catalogue of a whole set of documents. Raises CatalogueError with file and line of everything wrong."""
    found = check_documents({}, base=documents)
    if isinstance(found, Catalogue):
        return found
    raise CatalogueError(found)


def check_documents(
    documents: Mapping[str, str], *, base: Mapping[str, str] | None = None
) -> Catalogue | list[CatalogueFault]:
    """The catalogue that `documents` laid over `base` would make, or everything that is wrong with it.

    Names are paths inside the catalogue (`adjustments/hai-phong-2027.yaml`); a name that `base` has replaces that
    text whole. Without `base` the shipped documents are used. Every fault is found in one run: what can be read of
    a faulty document is still checked against the rest. Never raises for what was written.
    """
    texts = {**(read_folder() if base is None else base), **documents}
    gathered = _Gathered()
    for name in sorted(texts):
        gathered.add(_read(name, texts[name]))
    catalogue = gathered.catalogue()
    doubts = Doubts(
        presumed=frozenset(gathered.presumed),
        incomplete=frozenset(gathered.incomplete),
        drafts=frozenset(documents),
        cited=tuple(gathered.cited),
    )
    faults = ordered([*gathered.faults, *check(catalogue, doubts)])
    return faults or catalogue


class _Reading(NamedTuple):
    """What one text holds."""

    nodes: tuple[Node, ...]
    communes: tuple[tuple[str, ...], ...]
    faults: tuple[CatalogueFault, ...]
    presumed: frozenset[str]
    name: str
    cited: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class _Gathered:
    """All texts together, before they are checked against each other."""

    nodes: list[Node] = field(default_factory=list)
    communes: list[tuple[str, ...]] = field(default_factory=list)
    faults: list[CatalogueFault] = field(default_factory=list)
    presumed: set[str] = field(default_factory=set)
    incomplete: set[str] = field(default_factory=set)
    cited: list[tuple[str, str]] = field(default_factory=list)

    def add(self, reading: _Reading) -> None:
        self.nodes += reading.nodes
        self.communes += reading.communes
        self.faults += reading.faults
        self.presumed |= reading.presumed
        self.cited += reading.cited
        if reading.faults:
            self.incomplete.add(reading.name)

    def catalogue(self) -> Catalogue:
        return Catalogue.assembled(
            procedures=[node for node in self.nodes if isinstance(node, Procedure)],
            adjustments=[node for node in self.nodes if isinstance(node, Adjustment)],
            agreements=[node for node in self.nodes if isinstance(node, Agreement)],
            zones=[node for node in self.nodes if isinstance(node, ZoneEntry)],
            groups=[node for node in self.nodes if isinstance(node, Group)],
            instruments=[node for node in self.nodes if isinstance(node, Instrument)],
            sources=[node for node in self.nodes if isinstance(node, Source)],
            communes=self.communes,
        )


@lru_cache(maxsize=256)
def _read(name: str, text: str) -> _Reading:
    """One text. Kept, because a draft is checked against hundreds of texts that did not change."""
    if name == COMMUNES:
        return _read_communes(text)
    document = parsed(text, name)
    nodes: list[Node] = []
    folder, _, file = name.rpartition("/")
    if document.readable and folder in _WHOLE:
        nodes += _validated(_WHOLE[folder], document, document.value, ())
        _name_fits(document, file.removesuffix(".yaml"))
    elif document.readable:
        nodes += _listed(document)
    if not document.faults:
        return _Reading(tuple(nodes), (), (), frozenset(), name)
    presumed, cited = frozenset(_names_in(document.value)), tuple(_cited(document, document.value, ()))
    return _Reading(tuple(nodes), (), tuple(document.faults), presumed, name, cited)


def _listed(document: Document) -> Iterator[Node]:
    allowed = ", ".join(f"{name}:" for name in _LISTS)
    value = document.value
    if not isinstance(value, dict):
        document.refuse(1, f"tệp phải gồm các danh sách: {allowed}", f"the file must hold lists: {allowed}")
        return
    for key, entries in value.items():
        line = document.lines[(key,)]
        if key not in _LISTS:
            document.refuse(
                line,
                f"không có danh sách {key!r}; hãy dùng: {allowed}",
                f"there is no list {key!r}; the file must hold one of: {allowed}",
            )
        elif not isinstance(entries, list):
            document.refuse(line, f"{key}: hãy viết một danh sách", f"{key}: write a list")
        else:
            for index, entry in enumerate(entries):
                if len(document.faults) > ENOUGH:
                    return
                yield from _validated(_LISTS[key], document, entry, (key, index))


def _name_fits(document: Document, stem: str) -> None:
    value = document.value if isinstance(document.value, dict) else {}
    for key in ("slug", "id"):
        if isinstance(given := value.get(key), str) and given != stem:
            line = document.lines[(key,)]
            document.refuse(
                line,
                f"{key} phải trùng tên tệp: {stem}",
                f"the {key} must be the name of the file, {stem}",
            )


def _validated(kind: type[Node], document: Document, value: Value, base: Steps) -> Iterator[Node]:
    """The entry, marked with its lines. A faulty one is noted, and what remains without the faulty parts is kept.

    The remainder is never used for pricing (a document with faults makes no catalogue); it lets the check against
    the rest of the catalogue find the other mistakes in the same run.
    """
    try:
        node = kind.model_validate(value)
    except ValidationError as error:
        broken: list[Steps] = []
        errors = error.errors()
        for item in errors:
            if item["type"] == "too_short" and any(
                len(other["loc"]) > len(item["loc"]) and other["loc"][: len(item["loc"])] == item["loc"]
                for other in errors
            ):
                continue  # the list is short only because its entries are faulty
            steps = (*base, *item["loc"])
            broken.append(document.known(steps))
            if not document.is_spoilt(steps):
                vi, en = sentence_of(item)
                file, _, line = document.where(steps).rpartition(":")
                document.faults.append(CatalogueFault(file, int(line), vi, en))
        yield from _remainder(kind, value, base, broken, document)
        return
    for part, steps in _nodes(node, base):
        part.mark(document.where(steps))
    yield node


def _remainder(kind: type[Node], value: Value, base: Steps, broken: list[Steps], document: Document) -> Iterator[Node]:
    dropped = {cut for steps in broken if (cut := _innermost_entry(steps, len(base))) is not None}
    if len(dropped) == 0 or any(_innermost_entry(steps, len(base)) is None for steps in broken):
        return
    try:
        node = kind.model_validate(_without(value, base, dropped))
    except ValidationError:
        return
    for part, steps in _nodes(node, base):
        part.mark(document.where(steps))
    yield node


def _innermost_entry(steps: Steps, above: int) -> Steps | None:
    """The list entry, deepest first, that `steps` run through below the entry itself."""
    for length in range(len(steps), above, -1):
        if isinstance(steps[length - 1], int):
            return steps[:length]
    return None


def _without(value: Value, at: Steps, dropped: set[Steps]) -> Value:
    if isinstance(value, dict):
        return {key: _without(entry, (*at, key), dropped) for key, entry in value.items()}
    if isinstance(value, list):
        kept = [(index, entry) for index, entry in enumerate(value) if (*at, index) not in dropped]
        return [_without(entry, (*at, index), dropped) for index, entry in kept]
    return value


def _names_in(value: Value) -> Iterator[str]:
    """Names a faulty document declares, so that those who refer to them are not blamed as well."""
    if isinstance(value, dict):
        for key, entry in value.items():
            if key in ("id", "slug", "category", "name") and isinstance(entry, str):
                yield entry
            elif key == "cases" and isinstance(entry, dict):
                yield from entry
            yield from _names_in(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _names_in(entry)


def _cited(document: Document, value: Value, at: Steps) -> Iterator[tuple[str, str]]:
    """Instruments a faulty document cites, with their lines: its entries may not be left to check otherwise."""
    if isinstance(value, dict):
        for key, entry in value.items():
            if key == "instrument" and isinstance(entry, str):
                yield entry, document.where((*at, key))
            yield from _cited(document, entry, (*at, key))
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _cited(document, entry, (*at, index))


def _read_communes(text: str) -> _Reading:
    faults: list[CatalogueFault] = []
    rows: list[tuple[str, ...]] = []
    if len(text) > MAX_COMMUNES_BYTES:
        faults.append(CatalogueFault(COMMUNES, 1, "tệp quá lớn; hãy chia nhỏ", "the file is too large; split it"))
        return _Reading((), (), tuple(faults), frozenset(), COMMUNES)
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if not line.startswith("#")]
    table = csv.reader(line for _, line in lines)
    header = next(table, [])
    if missing := ", ".join(sorted(set(COLUMNS) - set(header))):
        faults.append(CatalogueFault(COMMUNES, 1, f"thiếu cột: {missing}", f"columns are missing: {missing}; add them"))
    else:
        for (number, _), cells in zip(lines[1:], table, strict=False):
            named = dict(zip(header, cells, strict=False))
            row = tuple(named.get(column, "") for column in COLUMNS)
            if _is_commune(row):
                rows.append(row)
            else:
                vi = "dòng không đủ: mã xã 5 chữ số, mã tỉnh 2 chữ số, tên và vùng không để trống"
                en = "the row is not whole: a commune of 5 digits, provinces of 2 digits, names and region"
                faults.append(CatalogueFault(COMMUNES, number, vi, en))
    return _Reading((), tuple(rows), tuple(faults), frozenset(), COMMUNES)


def _is_commune(row: tuple[str, ...]) -> bool:
    by_name = dict(zip(COLUMNS, row, strict=True))
    codes = {"commune_code": 5, "province_code": 2, "old_province_code": 2}
    return all(row) and all(by_name[name].isdigit() and len(by_name[name]) == size for name, size in codes.items())


def _nodes(value: object, steps: Steps) -> Iterator[tuple[Node, Steps]]:
    if isinstance(value, Node):
        yield value, steps
        for name, info in type(value).model_fields.items():
            yield from _nodes(getattr(value, name), (*steps, info.alias or name))
    elif isinstance(value, tuple | list):
        for index, element in enumerate(value):
            yield from _nodes(element, (*steps, index))
    elif isinstance(value, dict):
        for key, element in value.items():
            yield from _nodes(element, (*steps, key))
