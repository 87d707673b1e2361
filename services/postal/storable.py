"""What a request may carry and a database cannot hold: found before it is stored, told field by field."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from kit.errors import BadInput, FieldError

_LARGEST = 2**63 - 1
_YEARS = range(2000, 2101)


def check_storable(body: BaseModel) -> None:
    """Raise BadInput for NUL characters, foreign digits in codes, integers beyond 64 bits, years outside 2000–2100."""
    wrong = [found for path, value in _leaves(body.model_dump(), "") if (found := _fault(path, value)) is not None]
    if wrong:
        raise BadInput(
            "Dữ liệu gửi lên có trường chưa đúng; hãy sửa các trường nêu dưới đây rồi gửi lại.",
            "Some fields are not right; correct the fields named below and send again.",
            fields=wrong[:20],
        )


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 — JSON is what it is
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _leaves(part, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _leaves(part, f"{path}.{index}")
    else:
        yield path, value


def _fault(path: str, value: object) -> FieldError | None:
    if isinstance(value, str):
        if "\x00" in value:
            return FieldError(path, "chứa ký tự NUL; hãy bỏ đi", "holds a NUL character; remove it")
        if value.lstrip("+").isdigit() and not value.isascii():
            return FieldError(path, "chỉ dùng chữ số 0–9", "use the digits 0–9")
    elif isinstance(value, bool):
        return None
    elif isinstance(value, int) and abs(value) > _LARGEST:
        return FieldError(path, "số quá lớn", "the number is too large")
    elif isinstance(value, datetime) and value.year not in _YEARS:
        return FieldError(path, "năm phải từ 2000 đến 2100", "the year must be 2000 to 2100")
    return None
