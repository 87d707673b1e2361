"""What is wrong with a catalogue document: file, line, and a sentence in both languages that says what to do."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails, PydanticCustomError

MAX_FAULTS = 200
"""More are counted, not listed: nobody reads the two hundred and first before correcting the first."""


@dataclass(frozen=True, slots=True, order=True)
class CatalogueFault:
    """One thing to correct. `line` counts from 1; 0 when the entry was not read from a text."""

    file: str
    line: int
    vi: str
    en: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.en}"


class CatalogueError(Exception):
    """The catalogue cannot be used. Each line of the message is one fault; `faults` holds them."""

    def __init__(self, faults: Sequence[CatalogueFault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


def wrong(vi: str, en: str) -> PydanticCustomError:
    """An error for a validator to raise, told in both languages."""
    return PydanticCustomError("catalogue", "{en}", {"vi": vi, "en": en})


def at(where: str, vi: str, en: str) -> CatalogueFault:
    """A fault of an entry that was read at `where` (`file:line`)."""
    file, _, line = where.rpartition(":")
    return CatalogueFault(file, int(line), vi, en) if line.isdigit() else CatalogueFault(where, 0, vi, en)


def ordered(faults: Iterable[CatalogueFault]) -> list[CatalogueFault]:
    """Every fault once, by file and line; beyond MAX_FAULTS only how many more there are."""
    found = sorted(set(faults))
    more = len(found) - MAX_FAULTS
    if more <= 0:
        return found
    last = found[MAX_FAULTS - 1]
    rest = CatalogueFault(last.file, last.line, f"… và {more} lỗi nữa sau đây", f"… and {more} more after this one")
    return [*found[:MAX_FAULTS], rest]


def sentence_of(error: ErrorDetails) -> tuple[str, str]:
    """What a validation error means and what to write instead, in Vietnamese and English."""
    last = next((step for step in reversed(error["loc"]) if isinstance(step, str)), "")
    ctx: Mapping[str, Any] = error.get("ctx") or {}
    kind = error["type"]
    if kind == "catalogue":
        vi, en = str(ctx["vi"]), str(ctx["en"])
    elif kind == "missing":
        vi, en = f"thiếu trường {last}; hãy thêm trường này", f"the field {last} is missing; add it"
    elif kind == "extra_forbidden":
        vi = f"không có trường {last} ở đây; hãy sửa tên hoặc bỏ trường này"
        en = f"there is no field {last} here; correct its name or leave it out"
    elif kind in ("less_than_equal", "greater_than_equal") and last == "basis_points":
        vi, en = "phải từ 0 đến 10000 phần vạn (100%)", "must be from 0 to 10000 hundredths of a per cent (100%)"
    elif kind in ("less_than_equal", "greater_than_equal") and last.endswith("_percent"):
        vi, en = "tỷ lệ phần trăm phải từ 0 đến 100", "a percentage is a whole number from 0 to 100"
    else:
        vi, en = _plain_sentence(kind, ctx, str(error["msg"]))
    return (f"{last}: {vi}", f"{last}: {en}") if last else (vi, en)


def _plain_sentence(kind: str, ctx: Mapping[str, Any], message: str) -> tuple[str, str]:
    known = {
        "literal_error": ("hãy dùng một trong: {expected}", "use one of: {expected}"),
        "union_tag_invalid": (
            "không có dạng mức thu {tag!r}; hãy dùng một trong: {expected_tags}",
            "there is no shape {tag!r}; use one of: {expected_tags}",
        ),
        "union_tag_not_found": ("thiếu trường shape (dạng mức thu)", "the field shape is missing; add it"),
        "less_than_equal": ("không được lớn hơn {le}", "must be at most {le}"),
        "greater_than_equal": ("không được nhỏ hơn {ge}", "must be at least {ge}"),
        "int_type": ("hãy viết một số nguyên, không có dấu nháy", "write a whole number without quotes"),
        "date_type": (
            "hãy viết một ngày dạng YYYY-MM-DD, không viết như số và không có dấu nháy",
            "write a day as YYYY-MM-DD, not as a number and without quotes",
        ),
        "string_type": ("hãy viết chữ; mã số thì đặt trong dấu nháy", "write text; put a code in quotes"),
        "bool_type": ("hãy viết true hoặc false", "write true or false"),
        "string_pattern_mismatch": ("không đúng dạng {pattern}", "does not have the form {pattern}"),
        "string_too_short": ("không được để trống", "must not be empty"),
        "string_too_long": ("dài quá {max_length} ký tự; hãy viết gọn lại", "is over {max_length} characters; shorten"),
        "too_short": ("cần ít nhất {min_length} mục", "needs at least {min_length} entries"),
        "too_long": ("nhiều quá {max_length} mục", "has more than {max_length} entries"),
        "model_type": (
            "hãy viết các trường của mục này (tên: giá trị)",
            "write the fields of this entry (name: value)",
        ),
        "dict_type": ("hãy viết các cặp tên: giá trị", "write pairs of name: value"),
        "tuple_type": ("hãy viết một danh sách", "write a list"),
        "list_type": ("hãy viết một danh sách", "write a list"),
    }
    if kind not in known:
        return "giá trị không hợp lệ; hãy viết lại", message
    vi, en = known[kind]
    return vi.format(**ctx), en.format(**ctx)
