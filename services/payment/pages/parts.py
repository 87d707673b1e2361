"""What the pages of this service have in common: what they are handed, who may open them, what forms are read as."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import date
from typing import Annotated, Any, cast

from fastapi import Depends, Path, Query, Request
from pydantic import ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.datastructures import FormData

from kit.auth import Principal
from kit.errors import Problem
from kit.web import Pages, flash, signed_in
from services.payment.till import Terms, Till

PAGE_ROWS = 25
FORM_POST = {"x-idempotency": "none"}
"""Forms carry their own proof of being ours and keys of their own where a repeat would do harm."""

_IDENTITY = r"^[A-Za-z0-9_\-]{1,64}$"
PaymentId = Annotated[str, Path(alias="payment_id", pattern=_IDENTITY)]
RefundId = Annotated[str, Path(alias="refund_id", pattern=_IDENTITY)]
BreakId = Annotated[str, Path(alias="break_id", pattern=_IDENTITY)]
Cursor = Annotated[str, Query(pattern=r"^[A-Za-z0-9_\-]{0,200}$")]
Typed = Annotated[str, Query(max_length=120)]
"""What somebody wrote into a filter; unknown values are dropped, not refused."""

Reader = Annotated[
    Principal,
    Depends(signed_in("payments:read", "payments:approve", "payments:close")),
]


def _till(request: Request) -> Till:
    return cast("Till", request.app.state.till)


def _terms(request: Request) -> Terms:
    return cast("Till", request.app.state.till).terms


def _pages(request: Request) -> Pages:
    return cast("Pages", request.app.state.pages)


TillDep = Annotated[Till, Depends(_till)]
TermsDep = Annotated[Terms, Depends(_terms)]
PagesDep = Annotated[Pages, Depends(_pages)]


def written(form: Mapping[str, Any], name: str) -> str:
    """A text field of a form, without the blanks around it; an uploaded file or a missing field is empty."""
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def picked(form: Mapping[str, Any], name: str) -> list[str]:
    """Every value of a field that a form may hold several times, such as ticked rows."""
    return [value for value in cast("FormData", form).getlist(name) if isinstance(value, str)]


def dong_written(form: Mapping[str, Any], name: str) -> int:
    """An amount as people type it, `180.000` or `180,000 ₫`; 0 when there is no digit in it."""
    digits = re.sub(r"[^0-9]", "", written(form, name))[:18]
    return int(digits) if digits else 0


def day_typed(typed: str) -> date | None:
    """A date of our time from a filter, None for anything else."""
    try:
        day = date.fromisoformat(typed)
    except ValueError:
        return None
    return day if 2000 <= day.year <= 2199 else None


def known(typed: str, choices: tuple[str, ...]) -> str | None:
    """What was chosen in a filter, None when it is not one of the choices."""
    return typed if typed in choices else None


def searched(typed: str) -> str:
    """A search text as the database can take it."""
    return typed.replace("\x00", "").strip()


_FIELDS = {
    "amount_dong": ("số tiền", "amount"),
    "reason": ("lý do", "reason"),
    "source": ("nguồn tiền", "source"),
    "reference": ("số chứng từ", "voucher number"),
    "note": ("ghi chú", "note"),
    "decision": ("quyết định", "decision"),
    "action": ("cách xử lý", "action"),
    "payment_id": ("mã khoản thu", "payment id"),
    "business_date": ("ngày", "date"),
    "method": ("cách nộp", "method"),
}


@asynccontextmanager
async def refusals_told(request: Request, session: AsyncSession) -> AsyncIterator[None]:
    """A refusal inside the block undoes what the block began and is read out on the next page."""
    try:
        yield
    except Problem as problem:
        await session.rollback()
        flash(request, "error", f"{problem.title_vi}. {problem.vi}", f"{problem.title_en}. {problem.en}")
    except ValidationError as error:
        await session.rollback()
        names = [
            _FIELDS.get(str(item["loc"][0]) if item["loc"] else "", ("biểu mẫu", "form")) for item in error.errors()
        ]
        vi, en = (", ".join(dict.fromkeys(name[side] for name in names)) for side in (0, 1))
        flash(
            request,
            "error",
            f"Chưa ghi nhận: hãy xem lại {vi} rồi gửi lại.",
            f"Nothing was recorded: check the {en} and send again.",
        )
