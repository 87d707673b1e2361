"""A year of dossiers as columns: each row is a combination of facts and a day, so that a million rows stay small."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from services.fees.circumstances import Circumstances, NotQuotable, circumstances_of
from services.fees.contract import QuoteRequest, Text
from services.fees.rules import Tariff
from services.fees.simulation.terms import MAX_DOSSIERS

COLUMNS = (
    "filed_on",
    "procedure",
    "case",
    "channel",
    "commune",
    "applicant_groups",
    "applicant_commune",
    "return_by_post",
)
"""Columns that every file may have. Beside them: any count or figure by the name the catalogue gives it (`copies`)."""

REQUIRED = ("filed_on", "procedure", "channel", "commune")
MAX_LINE = 4_096
MAX_COMBINATIONS = 400_000
"""Different sets of facts in one run: more means that a free value, such as a price, was put where a band would do."""

_SHOWN_ERRORS = 50
_TYPICAL_WEIGHT = 100
_PROGRESS_ROWS = 100_000
AGENCY = "simulation"

Days = npt.NDArray[np.int32]


class UnreadableDossiers(Exception):
    """The file cannot be simulated. `faults` name lines, each with what to do."""

    def __init__(self, faults: Sequence[tuple[int, Text]], total: int) -> None:
        super().__init__(f"{total} lines of the file cannot be read")
        self.faults = tuple(faults)
        self.total = total


@dataclass(frozen=True, slots=True)
class Combination:
    """Facts of one kind of filing, checked against the catalogue, and the first line that had them."""

    request: QuoteRequest
    facts: Circumstances


@dataclass(frozen=True, slots=True)
class Dossiers:
    """Rows as columns: `combination[i]` says which facts row `i` has, `day[i]` its day as an ordinal."""

    combinations: tuple[Combination, ...]
    combination: npt.NDArray[np.int32]
    day: Days
    assumptions: tuple[Text, ...]

    @property
    def count(self) -> int:
        """How many dossiers there are."""
        return len(self.combination)


def read_dossiers(file: Path, tariff: Tariff, *, progress: Callable[[int], None]) -> Dossiers:
    """Read CSV (with a header) or NDJSON. Raises UnreadableDossiers naming up to fifty lines.

    Every line must be readable: a year with holes would give sums that look right. What the catalogue cannot price
    is another matter, told in the result.
    """
    reader = _Reader(tariff)
    rows = _ndjson_rows(file, reader) if _looks_like_json(file) else _csv_rows(file, reader)
    for number, day, facts in rows:
        reader.add(number, day, facts)
        if number % _PROGRESS_ROWS == 0:
            progress(number)
    return reader.dossiers()


def _looks_like_json(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(4_096).lstrip(b"\xef\xbb\xbf \r\n\t")[:1] == b"{"


Facts = tuple[str, ...]
"""Text of every column but the day, in the order of the reader's columns."""


class _Reader:
    def __init__(self, tariff: Tariff) -> None:
        self._tariff = tariff
        self.quantities = tuple(sorted(tariff.vocabulary.quantities))
        self.figures = tuple(sorted(tariff.vocabulary.facts - tariff.vocabulary.quantities))
        self.columns = (*COLUMNS, *self.quantities, *self.figures)
        self._known: dict[Facts, int] = {}
        self._days: dict[str, int] = {}
        self._refused: dict[Facts, Text] = {}
        self._combinations: list[Combination] = []
        self._rows = np.empty(1 << 16, dtype=np.int32)
        self._row_days = np.empty(1 << 16, dtype=np.int32)
        self._count = 0
        self.faults: list[tuple[int, Text]] = []
        self.total_faults = 0

    def add(self, number: int, day: str, facts: Facts) -> None:
        """One row: known facts and a known day cost two look-ups."""
        found = self._known.get(facts, -1)
        ordinal = self._days.get(day, 0)
        if found < 0 or not ordinal:
            try:
                ordinal = ordinal or self._day(day)
                found = self._combination(facts, ordinal) if found < 0 else found
            except _BadLine as error:
                self.refuse(number, error.text)
                return
        if self._count == len(self._rows):
            self._grow()
        self._rows[self._count] = found
        self._row_days[self._count] = ordinal
        self._count += 1

    def refuse(self, number: int, text: Text) -> None:
        """Note a line that cannot be read."""
        self.total_faults += 1
        if len(self.faults) < _SHOWN_ERRORS:
            self.faults.append((number, text))

    def dossiers(self) -> Dossiers:
        """The columns. Raises UnreadableDossiers."""
        if self.total_faults:
            raise UnreadableDossiers(self.faults, self.total_faults)
        if not self._count:
            nothing = Text(
                vi="tệp không có hồ sơ nào; cần một dòng tiêu đề và các dòng hồ sơ",
                en="the file holds no dossier; write a header and one line a dossier",
            )
            raise UnreadableDossiers([(1, nothing)], 1)
        return Dossiers(
            combinations=tuple(self._combinations),
            combination=self._rows[: self._count].copy(),
            day=self._row_days[: self._count].copy(),
            assumptions=(
                Text(vi="Hồ sơ lấy từ tệp đã tải lên.", en="The dossiers are those of the uploaded file."),
                Text(
                    vi=f"Trả kết quả qua bưu chính tính {_TYPICAL_WEIGHT} gam.",
                    en=f"A result returned by post is taken to weigh {_TYPICAL_WEIGHT} g.",
                ),
            ),
        )

    def _day(self, day: str) -> int:
        try:
            found = date.fromisoformat(day.strip())
        except ValueError as error:
            raise _BadLine(
                f"ngày nộp {day[:40]!r} không đúng; hãy viết dạng YYYY-MM-DD",
                f"the day {day[:40]!r} is not a date; write YYYY-MM-DD",
            ) from error
        if not date(2015, 1, 1) <= found <= date(2100, 12, 31):
            raise _BadLine("ngày nộp phải từ 2015 đến 2100", "the day must be from 2015 to 2100")
        if self._days and not -1_100 < found.toordinal() - next(iter(self._days.values())) < 1_100:
            raise _BadLine(
                "các hồ sơ cách nhau quá ba năm; hãy mô phỏng từng năm",
                "the dossiers lie more than three years apart; simulate a year at a time",
            )
        self._days[day] = found.toordinal()
        return self._days[day]

    def _combination(self, facts: Facts, day: int) -> int:
        if facts in self._refused:
            text = self._refused[facts]
            raise _BadLine(text.vi, text.en)
        try:
            made = combination_of(self._tariff, self._document(facts, date.fromordinal(day)))
        except _BadLine as error:
            if len(self._refused) < MAX_COMBINATIONS:
                self._refused[facts] = error.text
            raise
        if len(self._combinations) >= MAX_COMBINATIONS:
            raise _BadLine(
                f"tệp có quá {MAX_COMBINATIONS} bộ dữ kiện khác nhau; hãy làm tròn giá trị xe, số trang hoặc chia tệp",
                f"the file holds over {MAX_COMBINATIONS} different sets of facts; round values and pages, or split it",
            )
        self._known[facts] = len(self._combinations)
        self._combinations.append(made)
        return self._known[facts]

    def _document(self, facts: Facts, day: date) -> dict[str, Any]:
        values = dict(zip(self.columns[1:], facts, strict=True))
        commune = self._tariff.places.get(values["commune"])
        if commune is None:
            code = values["commune"][:20]
            raise _BadLine(f"không có xã, phường mã {code!r}", f"there is no commune {code!r}; use a five-digit code")
        by_post = values["return_by_post"].lower()
        if by_post not in ("", "0", "1", "true", "false"):
            raise _BadLine("return_by_post phải là 0 hoặc 1", "return_by_post must be 0 or 1")
        return {
            "procedure": values["procedure"],
            "case": values["case"] or None,
            "filed_on": day,
            "channel": values["channel"],
            "province": commune.province,
            "commune": commune.code,
            "agency": AGENCY,
            "applicant_groups": values["applicant_groups"].replace(";", " ").split(),
            "applicant_commune": values["applicant_commune"] or None,
            "quantities": {name: _whole(name, values[name]) for name in self.quantities if values[name]},
            "facts": {name: _whole(name, values[name]) for name in self.figures if values[name]},
            "postal": {"return_result": by_post in ("1", "true")},
        }

    def _grow(self) -> None:
        if self._count >= MAX_DOSSIERS:
            raise UnreadableDossiers(
                [
                    (
                        self._count,
                        Text(
                            vi=f"tệp có quá {MAX_DOSSIERS} hồ sơ; hãy chia nhỏ",
                            en=f"the file holds over {MAX_DOSSIERS} dossiers; split it",
                        ),
                    )
                ],
                1,
            )
        self._rows = np.resize(self._rows, len(self._rows) * 2)
        self._row_days = np.resize(self._row_days, len(self._row_days) * 2)


class _BadLine(Exception):
    def __init__(self, vi: str, en: str) -> None:
        super().__init__(en)
        self.text = Text(vi=vi, en=en)


def _whole(name: str, typed: str) -> int:
    if not typed.isascii() or not typed.isdigit() or len(typed) > 15:
        raise _BadLine(f"{name} phải là số nguyên", f"{name} must be a whole number")
    return int(typed)


def combination_of(tariff: Tariff, document: dict[str, Any]) -> Combination:
    """Check facts against the contract and the catalogue; refusals become one sentence of the line."""
    try:
        request = QuoteRequest.model_validate(document)
        return Combination(request, circumstances_of(tariff.vocabulary, request))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise _BadLine(f"{name}: giá trị không hợp lệ", f"{name}: {first['msg']}") from error
    except NotQuotable as refusal:
        wrong = refusal.fields[0]
        raise _BadLine(f"{wrong.field}: {wrong.vi}", f"{wrong.field}: {wrong.en}") from refusal


# --- the two forms of a file -----------------------------------------------------------------------

Row = tuple[int, str, Facts]


def _csv_rows(file: Path, reader: _Reader) -> Iterator[Row]:
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        rows = csv.reader(_lines(stream, reader))
        header = next(rows, None)
        order = _order_of(header or [], reader.columns)
        width = len(header or [])
        for row in rows:
            if len(row) != width:
                if row:
                    reader.refuse(
                        rows.line_num,
                        Text(
                            vi=f"dòng có {len(row)} cột, tiêu đề có {width}; hãy sửa cho khớp",
                            en=f"the line has {len(row)} columns, the header {width}; make them agree",
                        ),
                    )
                continue
            row.append("")
            yield rows.line_num, row[order[0]], tuple([row[at] for at in order[1:]])


def _order_of(header: Sequence[str], columns: Sequence[str]) -> list[int]:
    names = [name.strip().lower() for name in header]
    missing = [name for name in REQUIRED if name not in names]
    unknown = [name for name in names if name not in columns]
    if missing or unknown or len(set(names)) != len(names):
        listed = ", ".join(columns)
        raise UnreadableDossiers(
            [
                (
                    1,
                    Text(
                        vi=f"dòng tiêu đề phải gồm {', '.join(REQUIRED)}, mỗi tên một lần; các tên được dùng: {listed}",
                        en=f"the header must hold {', '.join(REQUIRED)}, each name once; names in use: {listed}",
                    ),
                )
            ],
            1,
        )
    return [names.index(name) if name in names else len(names) for name in columns]


def _lines(stream: Any, reader: _Reader) -> Iterator[str]:  # noqa: ANN401 — a text stream
    number = 0
    while line := stream.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE or "\x00" in line or "\ufffd" in line:
            reader.refuse(
                number,
                Text(
                    vi=f"dòng dài quá {MAX_LINE} ký tự hoặc không phải UTF-8; hãy sửa rồi tải lại",
                    en=f"the line is over {MAX_LINE} characters or not UTF-8; correct it and upload again",
                ),
            )
            while line and not line.endswith("\n"):
                line = stream.readline(MAX_LINE)
            yield "\n"
            continue
        yield line


def _ndjson_rows(file: Path, reader: _Reader) -> Iterator[Row]:
    known = set(reader.columns)
    with file.open(encoding="utf-8-sig", errors="replace") as stream:
        for number, line in enumerate(_lines(stream, reader), start=1):
            if line == "\n":
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            if not isinstance(row, dict) or not known.issuperset(row) or not all(_plain(v) for v in row.values()):
                reader.refuse(
                    number,
                    Text(
                        vi="dòng phải là một đối tượng JSON chỉ có các tên: " + ", ".join(reader.columns),
                        en="the line must be one JSON object with only the names: " + ", ".join(reader.columns),
                    ),
                )
                continue
            values = [_text(row.get(name)) for name in reader.columns]
            yield number, values[0], tuple(values[1:])


def _plain(value: object) -> bool:
    return (
        value is None
        or isinstance(value, str | bool | int)
        or (isinstance(value, list) and value == [*map(str, value)])
    )


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return " ".join(value)
    return str(value)
