"""Positions in lists that are ordered by id."""

import re

from kit.errors import BadInput, FieldError
from kit.pagination import decode_cursor


def id_after(cursor: str) -> str:
    """The id a cursor stands after. Raises BadInput for a cursor of no list of ours."""
    (position,) = decode_cursor(cursor, str)
    if not isinstance(position, str) or not re.fullmatch(r"[a-z]{3}_[0-9a-f]{32}", position):
        raise BadInput(
            "Con trỏ trang không hợp lệ.",
            "The page cursor is not valid.",
            fields=[FieldError("cursor", "hãy dùng next_cursor của trang trước", "use next_cursor of the page before")],
        )
    return position
