"""Results as files for a finance officer: CSV that Excel opens in Vietnamese, and a workbook with a sheet a slice."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import date

from openpyxl import Workbook
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from kit.money import Language
from kit.spreadsheets import harmless
from services.fees.contract import Text
from services.fees.simulation.terms import DraftName, Figures, Impact, SimulationResult, Slice

MEASURES: dict[str, Text] = {
    "dossiers": Text(vi="Hồ sơ", en="Dossiers"),
    "affected": Text(vi="Hồ sơ bị tác động", en="Dossiers affected"),
    "moved_online": Text(vi="Chuyển sang trực tuyến", en="Moved online"),
    "fees_before": Text(vi="Phí, lệ phí hiện nay (đồng)", en="Fees today (đồng)"),
    "fees_after": Text(vi="Phí, lệ phí theo dự thảo (đồng)", en="Fees under the draft (đồng)"),
    "revenue_lost": Text(vi="Giảm thu (đồng)", en="Revenue lost (đồng)"),
    "lost_to_uptake": Text(vi="Trong đó do chuyển trực tuyến (đồng)", en="Of it by moving online (đồng)"),
    "citizens_before": Text(vi="Người nộp trả hiện nay (đồng)", en="Citizens pay today (đồng)"),
    "citizens_after": Text(vi="Người nộp trả theo dự thảo (đồng)", en="Citizens pay under the draft (đồng)"),
    "citizens_save": Text(vi="Người nộp bớt trả (đồng)", en="Citizens save (đồng)"),
    "support": Text(vi="Ngân sách hỗ trợ thêm (đồng)", en="Support needed (đồng)"),
}
_SLICES: dict[str, Text] = {
    "by_month": Text(vi="Tháng", en="Month"),
    "by_province": Text(vi="Tỉnh, thành phố", en="Province"),
    "by_procedure": Text(vi="Thủ tục", en="Procedure"),
}


def result_csv(result: SimulationResult, lang: Language) -> bytes:
    """Every slice of every draft, one line each, in UTF-8 with the mark by which Excel knows it."""
    out = io.StringIO()
    writer = csv.writer(out)
    kind, key, name = Text(vi="Theo", en="By"), Text(vi="Mã", en="Key"), Text(vi="Tên", en="Name")
    draft = Text(vi="Dự thảo", en="Draft")
    writer.writerow([_in(t, lang) for t in (draft, kind, key, name, *MEASURES.values())])
    for letter, impact in result.impacts.items():
        title = harmless(f"{letter.upper()}: {impact.title}")
        writer.writerow([title, _in(Text(vi="Tổng", en="Total"), lang), "", "", *_values(impact.total)])
        for attribute, label in _SLICES.items():
            for row in _rows(impact, attribute):
                named = harmless(_in(row.label, lang))
                writer.writerow([title, _in(label, lang), harmless(row.key), named, *_values(row)])
    return out.getvalue().encode("utf-8-sig")


def result_xlsx(result: SimulationResult, lang: Language) -> bytes:
    """A workbook: what was assumed and found, then a sheet for each draft and slice."""
    book = Workbook()
    summary = book.active
    assert isinstance(summary, Worksheet), "a new workbook has a sheet"
    _summary(summary, result, lang)
    for letter, impact in result.impacts.items():
        for attribute, label in _SLICES.items():
            sheet = book.create_sheet(f"{letter.upper()} {_in(label, lang)}"[:31])
            _header(sheet, ["", _in(label, lang), *(_in(text, lang) for text in MEASURES.values())])
            for row in _rows(impact, attribute):
                _append(sheet, [row.key, _in(row.label, lang), *_values(row)])
            total: list[str | int] = ["", _in(Text(vi="Tổng", en="Total"), lang)]
            total += _values(impact.total)
            _append(sheet, total, bold=True)
            sheet.freeze_panes = "C2"
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _summary(sheet: Worksheet, result: SimulationResult, lang: Language) -> None:
    sheet.title = _in(Text(vi="Tổng hợp", en="Summary"), lang)
    drafts: Sequence[DraftName] = list(result.impacts)
    _header(sheet, ["", *(f"{name.upper()}: {result.impacts[name].title}" for name in drafts)])
    for number, text in enumerate(MEASURES.values()):
        values: list[str | int] = [_in(text, lang)]
        values += [_values(result.impacts[name].total)[number] for name in drafts]
        _append(sheet, values)
    used_up = Text(vi="Ngày hết kinh phí hỗ trợ", en="Support used up on")
    _append(sheet, [_in(used_up, lang), *(_day(result.impacts[name].budget_used_up_on) for name in drafts)])
    _append(sheet, [])
    for text in result.assumptions:
        _append(sheet, [_in(text, lang)])
    _append(sheet, [_in(Text(vi="Phiên bản danh mục", en="Catalogue version"), lang), result.version])
    for reason in result.unpriced:
        _append(sheet, [_in(reason.reason, lang), reason.dossiers])


def _day(value: date | None) -> str:
    return value.isoformat() if value else "—"


def _rows(impact: Impact, attribute: str) -> tuple[Slice, ...]:
    rows: tuple[Slice, ...] = getattr(impact, attribute)
    return rows


def _values(figures: Figures) -> list[int]:
    return [getattr(figures, measure) for measure in MEASURES]


def _header(sheet: Worksheet, values: Sequence[str]) -> None:
    _append(sheet, values, bold=True)
    for number in range(1, len(values) + 1):
        sheet.column_dimensions[get_column_letter(number)].width = 34 if number <= 2 else 20


def _append(sheet: Worksheet, values: Iterable[str | int], *, bold: bool = False) -> None:
    sheet.append([harmless(value) if isinstance(value, str) else value for value in values])
    for cell in sheet[sheet.max_row]:
        if isinstance(cell.value, int):
            cell.number_format = "#,##0"
        if bold:
            cell.font = Font(bold=True)


def _in(text: Text, lang: Language) -> str:
    return text.vi if lang == "vi" else text.en
