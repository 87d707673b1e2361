"""Opens the tables that banks let their customers download: CSV in any encoding, XLSX, and HTML named .xls. Pure."""

import csv
import io
import unicodedata
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from html.parser import HTMLParser
from typing import Literal

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from services.payment.reconciliation.statements.lines import StatementUnreadable

Table = list[list[str]]

_LARGEST_UNPACKED = 512 * 1024 * 1024
_ROWS = 1_000_000
_DELIMITERS = ",;\t|"
_TCVN3 = dict(
    zip(
        "µ¸¶·¹¨»¾¼½Æ©ÇÊÈÉËÌÐÎÏÑªÒÕÓÔÖ×ÝØÜÞßãáâä«åèæçé¬êíëìîïóñòô\xadõøö÷ùúýûüþ®¡¢£¤¥¦§",
        "àáảãạăằắẳẵặâầấẩẫậèéẻẽẹêềếểễệìíỉĩịòóỏõọôồốổỗộơờớởỡợùúủũụưừứửữựỳýỷỹỵđĂÂÊÔƠƯĐ",
        strict=True,
    )
)
"""TCVN 5712:1993 (ABC fonts), the letters that differ from Latin-1; still found in files of old core systems."""
_SIGNS_OF_VIETNAMESE = ("số", "ngày", "tài khoản", "nội dung", "giao dịch")


def tables_of(content: bytes) -> tuple[Literal["csv", "xlsx"], list[Table]]:
    """Every table a file may be read as, the likeliest first. Raises StatementUnreadable."""
    if content.startswith(b"PK\x03\x04"):
        return "xlsx", _workbook(content)
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise StatementUnreadable(
            "Tệp Excel dạng cũ (.xls) không đọc được; hãy mở và lưu lại thành .xlsx hoặc CSV.",
            "An old Excel file (.xls) cannot be read; open it and save it as .xlsx or CSV.",
        )
    text = decoded(content)
    if text.lstrip()[:1] == "<":
        return "csv", _html(text)
    return "csv", [_separated(text, delimiter) for delimiter in _delimiters(text)]


def decoded(content: bytes) -> str:
    """The text of a file, in composed letters: UTF-8, UTF-16, Windows-1258, or the old TCVN3.

    Raises StatementUnreadable for what is no text.
    """
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if content.startswith(mark):
            return _composed(content.decode(encoding, errors="replace"))
    if b"\x00" in content:
        raise StatementUnreadable("Tệp chứa ký tự NUL, không phải sao kê.", "The file holds NUL characters.")
    try:
        return _composed(content.decode("utf-8"))
    except UnicodeDecodeError:
        pass
    latin = content.decode("latin-1")
    readings = [
        _composed(content.decode("cp1258", errors="replace")),
        "".join(_TCVN3.get(letter, letter) for letter in latin),
        latin,
    ]
    return max(readings, key=lambda text: sum(text.lower().count(sign) for sign in _SIGNS_OF_VIETNAMESE))


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _delimiters(text: str) -> list[str]:
    head = text[:20_000]
    return sorted((mark for mark in _DELIMITERS if mark in head), key=head.count, reverse=True) or [","]


def _separated(text: str, delimiter: str) -> Table:
    try:
        return _bounded(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise StatementUnreadable("Tệp không phải CSV hợp lệ.", "The file is not valid CSV.") from error


def _workbook(content: bytes) -> list[Table]:
    """The sheets of an XLSX workbook, each a table. What a formula shows is taken, never the formula."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _LARGEST_UNPACKED:
                raise StatementUnreadable("Tệp Excel quá lớn khi giải nén.", "The Excel file is too large unpacked.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # banks write workbooks without styles or with odd dates
            book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
            return [_bounded([_shown(cell) for cell in row] for row in sheet.values) for sheet in book.worksheets]
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, OSError) as error:
        if isinstance(error, StatementUnreadable):
            raise
        raise StatementUnreadable(
            "Tệp Excel hỏng hoặc bị cắt cụt khi tải về.", "The Excel file is damaged or was cut short."
        ) from error


def _shown(cell: object) -> str:
    if cell is None or isinstance(cell, bool):
        return ""
    if isinstance(cell, datetime):
        return f"{cell:%d/%m/%Y %H:%M:%S}"
    if isinstance(cell, date):
        return f"{cell:%d/%m/%Y}"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell)
    return _composed(str(cell))


def _bounded(rows: Iterable[Sequence[str]]) -> Table:
    table: Table = []
    for row in rows:
        if len(table) >= _ROWS:
            raise StatementUnreadable(
                f"Tệp có hơn {_ROWS} dòng; hãy tải khoảng thời gian ngắn hơn.",
                f"The file has more than {_ROWS} rows; download a shorter period.",
            )
        table.append([cell.strip() for cell in row])
    return table


class _Rows(HTMLParser):
    """Collects the cells of every table row; nested tables are read as rows of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.table: Table = []
        self._row: list[str] | None = None
        self._in_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self._row = []
            self.table.append(self._row)
        elif tag in ("td", "th") and self._row is not None:
            self._row.append("")
            self._in_cell = True
            span = dict(attrs).get("colspan") or "1"
            self._row.extend([""] * (min(int(span), 50) - 1 if span.isdigit() else 0))
            self._at = len(self._row) - (min(int(span), 50) if span.isdigit() else 1)
        elif tag == "br" and self._in_cell:
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell and self._row is not None:
            self._row[self._at] += data


def _html(text: str) -> list[Table]:
    reader = _Rows()
    reader.feed(text)
    if not reader.table:
        raise StatementUnreadable("Tệp không chứa bảng sao kê.", "The file holds no table.")
    return [_bounded(reader.table)]
