"""What the routes of this service have in common: their parameters and what they are handed."""

from typing import Annotated, cast

from fastapi import Depends, Path, Query, Request

from kit.pagination import DEFAULT_LIMIT, MAX_LIMIT
from services.payment.contract import DOSSIER_CODE_PATTERN
from services.payment.till import Terms, Till

_IDENTITY = r"^[A-Za-z0-9_\-]{1,64}$"

PaymentId = Annotated[str, Path(alias="payment_id", pattern=_IDENTITY, description="Id of a payment, `pay_…`")]
AttemptId = Annotated[str, Path(alias="attempt_id", pattern=_IDENTITY, description="Id of an attempt, `att_…`")]
RefundId = Annotated[str, Path(alias="refund_id", pattern=_IDENTITY, description="Id of a refund, `rfd_…`")]
BreakId = Annotated[str, Path(alias="break_id", pattern=_IDENTITY, description="Id of a break, `brk_…`")]
DossierCodePath = Annotated[str, Path(alias="dossier_code", pattern=DOSSIER_CODE_PATTERN)]
DossierCodeQuery = Annotated[str | None, Query(pattern=DOSSIER_CODE_PATTERN)]
Cursor = Annotated[
    str | None, Query(pattern=r"^[A-Za-z0-9_\-]{1,200}$", description="`next_cursor` of the page before")
]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
LIMIT = DEFAULT_LIMIT


def _till(request: Request) -> Till:
    return cast("Till", request.app.state.till)


def _terms(request: Request) -> Terms:
    return cast("Till", request.app.state.till).terms


TillDep = Annotated[Till, Depends(_till)]
TermsDep = Annotated[Terms, Depends(_terms)]
