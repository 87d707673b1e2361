"""Cursor pagination: a page ends with an opaque mark, and the next starts after it, whatever came meanwhile."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from kit.errors import BadInput, FieldError

DEFAULT_LIMIT = 50
MAX_LIMIT = 200


Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A slice of a list and the cursor after it, None on the last page."""

    items: tuple[Item, ...]
    next_cursor: str | None


def encode_cursor(*position: str | int) -> str:
    """An opaque, URL-safe cursor for a position in a total order."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type[str] | type[int]) -> tuple[str | int, ...]:
    """Read a cursor back. Raises BadInput when it is not one of ours or of another list."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        position = json.loads(base64.urlsafe_b64decode(padded))
        if not isinstance(position, list) or len(position) != len(kinds):
            raise ValueError
        if any(type(part) is not kind for part, kind in zip(position, kinds, strict=True)):
            raise ValueError
        if any(isinstance(part, str) and "\x00" in part for part in position):
            raise ValueError  # PostgreSQL cannot compare what it cannot store
    except (ValueError, binascii.Error, RecursionError) as error:
        raise BadInput(
            "Con trỏ trang không hợp lệ.",
            "The page cursor is not valid.",
            fields=[
                FieldError(
                    "cursor",
                    "hãy dùng next_cursor của trang trước, hoặc bỏ trống để về trang đầu",
                    "use next_cursor of the page before, or leave it out for the first page",
                )
            ],
        ) from error
    return tuple(position)


def page_of(rows: Sequence[Item], *, limit: int, cursor_of: Callable[[Item], str]) -> Page[Item]:
    """Cut `limit` items from `limit + 1` fetched rows; the cursor points at the last item kept."""
    kept = tuple(rows[:limit])
    more = len(rows) > limit
    return Page(kept, cursor_of(kept[-1]) if more else None)
