"""A redirect gateway: the person is led to its page by a signed link, and their bank's answer is asked for afterwards.

Such a gateway knows an order by our reference and the time we made it, gives it no id, and has no way to call a link
back: a link ends by its own expiry. So the id of an intent here holds all that a question about it needs, and an
intent that may still be paid is never called cancelled.
"""

import hashlib
import logging
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn, Protocol

import httpx

from kit.ids import new_id
from services.payment.gateway.protocol import (
    BalanceTransaction,
    Dispute,
    GatewayFailed,
    GatewayPayout,
    GatewayRefund,
    GatewayUnreachable,
    Intent,
    NotAuthorised,
    RequestRefused,
)
from services.payment.gateway.redirect_wire import (
    QUERY_ANSWER_FIELDS,
    QUERY_FIELDS,
    REFUND_ANSWER_FIELDS,
    REFUND_FIELDS,
    VERSION,
    is_sealed,
    moment_of,
    sealed,
    signed_query,
    stamp,
)

log = logging.getLogger(__name__)

INTENT_PREFIX, REFUND_PREFIX = "vnp_", "vnr_"
_DEFAULT_LIFE = timedelta(minutes=15)
_GRACE = timedelta(minutes=5)
"""Somebody at their bank's page when the link ends may still finish; after this long nobody does."""
_INTENT = re.compile(r"vnp_([A-Za-z0-9]{1,40})_(\d{14})_(\d{14})_(\d{1,13})")
_REFUND = re.compile(r"vnr_([A-Za-z0-9]{1,40}_\d{14}_\d{14}_\d{1,13})_(\d{1,13})_(\d{1,20})")

_PAID = frozenset({"00", "05", "06", "09"})
"""Transaction states that money has reached; the later ones speak of its refunds."""
_REFUNDS = {"00": "succeeded", "05": "pending", "06": "succeeded", "09": "failed"}
_OURS = {
    "02": "the terminal or the request is refused",
    "03": "the request is malformed",
    "97": "our secure hash is refused",
}


class Clock(Protocol):
    """Gives the time, aware."""

    def __call__(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Order:
    """What an intent id of a redirect gateway holds. Times are stamps of the wire."""

    reference: str
    created: str
    expires: str
    amount_dong: int

    @property
    def intent_id(self) -> str:
        """The id that is stored with the attempt."""
        return f"{INTENT_PREFIX}{self.reference}_{self.created}_{self.expires}_{self.amount_dong}"


def order_of(intent_id: str) -> Order:
    """The order behind an intent id. Raises RequestRefused for an id that is none of this gateway's."""
    found = _INTENT.fullmatch(intent_id)
    if found is None:
        raise RequestRefused(404, "resource_missing", "no such order")
    return Order(found[1], found[2], found[3], int(found[4]))


class RedirectGateway:
    """One terminal at one redirect gateway. Holds no state of its own; safe to share between tasks."""

    def __init__(
        self,
        *,
        pay_url: str,
        api_url: str,
        terminal: str,
        secret: str,
        return_url: str,
        http: httpx.AsyncClient,
        clock: Clock,
        server_address: str = "127.0.0.1",
        timeout_seconds: float = 8.0,
    ) -> None:
        if not secret:
            raise ValueError("an empty secret would believe everybody")
        self._pay_url = pay_url
        self._api_url = api_url
        self._terminal = terminal
        self._secret = secret
        self._return_url = return_url
        self._http = http
        self._clock = clock
        self._server_address = server_address
        self._timeout = httpx.Timeout(timeout_seconds, connect=min(3.0, timeout_seconds))

    async def create_intent(
        self,
        amount_dong: int,
        *,
        metadata: Mapping[str, str],
        key: str,  # noqa: ARG002 — the link is made here: nothing is sent that could be repeated
        payment_method: str | None = None,  # noqa: ARG002 — the person chooses at the gateway
        expires_at: datetime | None = None,
        capture_later: bool = False,
    ) -> Intent:
        """A signed link to the gateway's page for the order `metadata["reference"]`; no call is made.

        Refused with `capture_later`: whoever pays at this gateway has paid.
        """
        if capture_later:
            _unknown_call("capture_later")
        moment = self._clock()
        order = Order(
            reference=metadata["reference"],
            created=stamp(moment),
            expires=stamp(expires_at or moment + _DEFAULT_LIFE),
            amount_dong=amount_dong,
        )
        order_of(order.intent_id)  # a reference or amount that could not be read back is refused now
        return _intent(order, "requires_action", action_url=self._link(order), metadata=metadata)

    def can_reserve(self, *, payment_method: str | None) -> bool:  # noqa: ARG002
        """Never: money is taken at once."""
        return False

    async def retrieve_intent(self, intent_id: str) -> Intent:
        """The order as the gateway knows it. One that nobody has opened yet is open."""
        intent, _ = await self._ask(order_of(intent_id))
        return intent

    async def confirm_intent(self, intent_id: str, *, key: str, return_url: str | None = None) -> Intent:  # noqa: ARG002
        """Refused: only the person can confirm, at the gateway."""
        _unknown_call("confirm")

    async def capture_intent(self, intent_id: str, *, key: str, amount_dong: int | None = None) -> Intent:  # noqa: ARG002
        """Refused: money is taken at once."""
        _unknown_call("capture")

    async def cancel_intent(self, intent_id: str, *, key: str) -> Intent:  # noqa: ARG002
        """The order as it stands, cancelled once its link has ended without money.

        Raises RequestRefused when the money has been taken.
        """
        order = order_of(intent_id)
        intent, opened = await self._ask(order)
        if intent.status == "succeeded":
            raise RequestRefused(400, "payment_intent_unexpected_state", "the order has been paid")
        if intent.status != "requires_action":
            return intent
        ends = moment_of(order.expires) + (_GRACE if opened else timedelta())
        return _intent(order, "canceled", error="expired") if self._clock() > ends else intent

    async def create_refund(
        self, intent_id: str, amount_dong: int, *, metadata: Mapping[str, str], key: str
    ) -> GatewayRefund:
        """Ask for all or part of an order's money to go back.

        The same key gives the same request id, which the gateway refuses to take twice: the second answer says how
        the first request stands.
        """
        order = order_of(intent_id)
        moment = stamp(self._clock())
        answer = await self._call(
            {
                "vnp_RequestId": hashlib.sha256(key.encode()).hexdigest()[:32],
                "vnp_Version": VERSION,
                "vnp_Command": "refund",
                "vnp_TmnCode": self._terminal,
                "vnp_TransactionType": "02" if amount_dong == order.amount_dong else "03",
                "vnp_TxnRef": order.reference,
                "vnp_Amount": str(amount_dong * 100),
                "vnp_TransactionNo": "0",
                "vnp_TransactionDate": order.created,
                "vnp_CreateBy": "lien-thong",
                "vnp_CreateDate": moment,
                "vnp_IpAddr": self._server_address,
                "vnp_OrderInfo": plain(f"Hoan tra ho so {metadata.get('dossier_code', '')}"),
            },
            REFUND_FIELDS,
            REFUND_ANSWER_FIELDS,
        )
        code = answer.get("vnp_ResponseCode", "")
        if code not in ("00", "94"):
            raise RequestRefused(400, code or "unknown", answer.get("vnp_Message", ""))
        number = answer.get("vnp_TransactionNo") or "0"
        status = _REFUNDS.get(answer.get("vnp_TransactionStatus", ""), "pending")
        identity = f"{REFUND_PREFIX}{order.intent_id.removeprefix(INTENT_PREFIX)}_{amount_dong}_{number}"
        return GatewayRefund(identity, status, amount_dong, order.intent_id, dict(metadata), "")

    async def retrieve_refund(self, refund_id: str) -> GatewayRefund:
        """The refund as it stands."""
        found = _REFUND.fullmatch(refund_id)
        if found is None:
            raise RequestRefused(404, "resource_missing", "no such refund")
        order, amount_dong, number = order_of(INTENT_PREFIX + found[1]), int(found[2]), found[3]
        answer = await self._query(order, transaction_no=number)
        code, status = answer.get("vnp_ResponseCode", ""), answer.get("vnp_TransactionStatus", "")
        if code != "00":
            raise RequestRefused(404 if code == "91" else 400, code or "unknown", answer.get("vnp_Message", ""))
        if answer.get("vnp_TransactionType") not in ("02", "03"):
            status = ""  # it speaks of the payment: of the refund nothing is known yet
        state = _REFUNDS.get(status, "pending")
        return GatewayRefund(
            refund_id, state, amount_dong, order.intent_id, {}, "refused_by_bank" if state == "failed" else ""
        )

    async def retrieve_dispute(self, dispute_id: str) -> Dispute:  # noqa: ARG002
        """Refused: banks of this gateway settle disputes on paper."""
        _unknown_call("dispute")

    async def disputes(self, *, created_from: int | None = None) -> list[Dispute]:  # noqa: ARG002
        """None."""
        return []

    async def submit_evidence(
        self,
        dispute_id: str,  # noqa: ARG002
        evidence: Mapping[str, str],  # noqa: ARG002
        *,
        key: str,  # noqa: ARG002
        submit: bool = True,  # noqa: ARG002
    ) -> Dispute:
        """Refused."""
        _unknown_call("dispute")

    async def close_dispute(self, dispute_id: str, *, key: str) -> Dispute:  # noqa: ARG002
        """Refused."""
        _unknown_call("dispute")

    async def payouts(self, *, arrival_from: int | None = None) -> list[GatewayPayout]:  # noqa: ARG002
        """None: this wire has no call for settlements; their money is seen on the bank statement."""
        return []

    async def balance_transactions(self, payout_id: str) -> list[BalanceTransaction]:  # noqa: ARG002
        """None."""
        return []

    def _link(self, order: Order) -> str:
        """The signed link of an order: the same for ever, so that it can be made again from the id."""
        query = signed_query(
            self._secret,
            {
                "vnp_Version": VERSION,
                "vnp_Command": "pay",
                "vnp_TmnCode": self._terminal,
                "vnp_Amount": str(order.amount_dong * 100),
                "vnp_CreateDate": order.created,
                "vnp_ExpireDate": order.expires,
                "vnp_CurrCode": "VND",
                "vnp_IpAddr": self._server_address,
                "vnp_Locale": "vn",
                "vnp_OrderInfo": f"Nop phi le phi ma {order.reference}",
                "vnp_OrderType": "other",
                "vnp_ReturnUrl": self._return_url,
                "vnp_TxnRef": order.reference,
            },
        )
        return f"{self._pay_url}?{query}"

    async def _ask(self, order: Order) -> tuple[Intent, bool]:
        """The order as it stands, and whether anybody has opened its link."""
        answer = await self._query(order)
        code = answer.get("vnp_ResponseCode", "")
        if code == "91":
            return _intent(order, "requires_action", action_url=self._link(order)), False
        if code != "00":
            raise GatewayFailed(f"query of {order.reference}: {code} {answer.get('vnp_Message', '')}")
        status, amount = answer.get("vnp_TransactionStatus", ""), answer.get("vnp_Amount", "")
        if status == "01":
            return _intent(order, "requires_action", action_url=self._link(order)), True
        if status == "02":
            return _intent(order, "failed", error=status), True
        hundredths = int(amount) if re.fullmatch(r"\d{1,17}", amount) else 0
        if status not in _PAID or answer.get("vnp_TransactionType", "01") != "01" or hundredths % 100:
            # Debited and not confirmed (04), suspected fraud (07), or something we have never heard of.
            log.error("an order stands in a state we do not know", extra={"order": order.reference, "state": status})
            return _intent(order, f"unknown_{status}", error=status), True
        number = answer.get("vnp_TransactionNo", "")
        return _intent(order, "succeeded", received_dong=hundredths // 100, charge_id=f"vnpc_{number}"), True

    async def _query(self, order: Order, *, transaction_no: str = "") -> dict[str, str]:
        document = {
            "vnp_RequestId": new_id("q").replace("_", "")[:32],
            "vnp_Version": VERSION,
            "vnp_Command": "querydr",
            "vnp_TmnCode": self._terminal,
            "vnp_TxnRef": order.reference,
            "vnp_TransactionDate": order.created,
            "vnp_CreateDate": stamp(self._clock()),
            "vnp_IpAddr": self._server_address,
            "vnp_OrderInfo": plain(f"Truy van {order.reference}"),
        }
        if transaction_no:
            document["vnp_TransactionNo"] = transaction_no
        answer = await self._call(document, QUERY_FIELDS, QUERY_ANSWER_FIELDS)
        if answer.get("vnp_ResponseCode") == "00" and answer.get("vnp_TxnRef") != order.reference:
            raise GatewayFailed(f"asked about {order.reference}, told about another order")
        return answer

    async def _call(
        self, document: Mapping[str, str], fields: Sequence[str], answer_fields: Sequence[str]
    ) -> dict[str, str]:
        """Send a sealed message and read a sealed answer. Raises GatewayUnreachable for anything else."""
        what = f"{document['vnp_Command']} {document['vnp_TxnRef']}"
        try:
            response = await self._http.post(
                self._api_url, json=sealed(self._secret, document, fields), timeout=self._timeout
            )
        except httpx.HTTPError as error:
            raise GatewayUnreachable(f"{what}: {type(error).__name__}") from error
        if not response.is_success:
            raise GatewayFailed(f"{what}: {response.status_code}")
        answer = _texts(response, what)
        log.info("redirect gateway call", extra={"call": what, "code": answer.get("vnp_ResponseCode", "")})
        code = answer.get("vnp_ResponseCode", "")
        if code in _OURS:
            # Refusals of what we are, not of the order; they may come without a hash we could check.
            raise NotAuthorised(f"{what}: {code}, {_OURS[code]}")
        if not is_sealed(self._secret, answer, answer_fields):
            raise GatewayFailed(f"{what}: the answer is not signed by the gateway")
        if answer.get("vnp_TmnCode") != self._terminal:
            raise GatewayFailed(f"{what}: the answer is for another terminal")
        if code in ("98", "99", ""):
            raise GatewayFailed(f"{what}: {code} {answer.get('vnp_Message', '')}")
        return answer


def plain(text: str) -> str:
    """Text as this wire takes it: Latin letters without marks, digits, and single spaces; at most 255."""
    decomposed = unicodedata.normalize("NFD", text.replace("đ", "d").replace("Đ", "D"))
    kept = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in decomposed)
    return " ".join(kept.split())[:255]


def _intent(
    order: Order,
    status: str,
    *,
    received_dong: int = 0,
    charge_id: str | None = None,
    action_url: str | None = None,
    error: str = "",
    metadata: Mapping[str, str] | None = None,
) -> Intent:
    return Intent(
        id=order.intent_id,
        status=status,
        amount_dong=order.amount_dong,
        received_dong=received_dong,
        currency="vnd",
        charge_id=charge_id,
        created=int(moment_of(order.created).timestamp()),
        metadata=metadata or {"reference": order.reference},
        action_url=action_url,
        error=error,
    )


def _texts(response: httpx.Response, what: str) -> dict[str, str]:
    try:
        document = response.json()
    except ValueError as error:
        raise GatewayFailed(f"{what}: an answer without JSON") from error
    if not isinstance(document, dict):
        raise GatewayFailed(f"{what}: an answer without an object")
    return {str(name): "" if value is None else str(value) for name, value in document.items()}


def _unknown_call(name: str) -> NoReturn:
    raise RequestRefused(400, "not_supported", f"a redirect gateway knows no {name}")
