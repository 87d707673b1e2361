"""The collecting bank's API: orders that send money out, and the credit notices it signs."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated

import httpx
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

_TIMEOUT = httpx.Timeout(8.0, connect=3.0)
_Text = Annotated[str, StringConstraints(max_length=500)]


class BankRefused(Exception):
    """The bank understood and said no: the same order gets the same answer."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.code = code


class BankUnreachable(Exception):
    """No answer, or not possible for the moment. The order may stand; send it again with the same key."""


class CreditNotice(BaseModel):
    """A transfer that reached the collecting account, as the bank tells it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    bank_reference: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    account: _Text
    amount_dong: Annotated[int, Field(strict=True, gt=0, le=10**15)]
    content: _Text = ""
    payer_name: _Text = ""
    payer_account: _Text = ""
    payer_bin: _Text = ""
    booked_at: datetime
    value_date: date


@dataclass(frozen=True, slots=True)
class Beneficiary:
    """Who a transfer goes to."""

    bin: str
    account: str
    name: str


@dataclass(frozen=True, slots=True)
class ExecutedOrder:
    """A transfer the bank has booked; the reference is what its statement will show."""

    bank_reference: str
    value_date: date


class BankClient:
    """The account holder's side of one bank."""

    def __init__(self, *, url: str, key: str, http: httpx.AsyncClient) -> None:
        self._url = url.rstrip("/")
        self._key = key
        self._http = http

    async def order_transfer(
        self, amount_dong: int, beneficiary: Beneficiary, *, content: str, key: str
    ) -> ExecutedOrder:
        """Send money out once per `key`. Raises BankRefused, or BankUnreachable when it may be tried again."""
        body = {
            "amount_dong": amount_dong,
            "beneficiary_bin": beneficiary.bin,
            "beneficiary_account": beneficiary.account,
            "beneficiary_name": beneficiary.name,
            "content": content,
        }
        headers = {"authorization": f"Bearer {self._key}", "idempotency-key": key}
        try:
            answer = await self._http.post(f"{self._url}/orders", json=body, headers=headers, timeout=_TIMEOUT)
            document = answer.json()
        except httpx.HTTPError as error:
            raise BankUnreachable(type(error).__name__) from error
        except ValueError as error:
            raise BankUnreachable(f"{answer.status_code} without JSON") from error
        if not isinstance(document, dict):
            raise BankUnreachable(f"{answer.status_code} without an object")
        code = str(document.get("code", ""))
        # 409: the account does not hold enough yet; the day's payouts may still come.
        if answer.status_code in (401, 403, 408, 409, 429) or answer.status_code >= 500:
            raise BankUnreachable(f"{answer.status_code} {code}")
        if not answer.is_success:
            raise BankRefused(answer.status_code, code or "refused")
        return ExecutedOrder(str(document["bank_reference"]), date.fromisoformat(str(document["value_date"])))
