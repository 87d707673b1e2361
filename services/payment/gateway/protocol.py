"""What a payment gateway is to us: values in đồng, refusals told apart from silence, and the calls of every kind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

Document = dict[str, Any]
"""An object of a gateway's wire. Rooms take from it only what `Intent`, `GatewayRefund` and the like name."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A payment at the gateway as far as we need it, in đồng.

    `status` is in the words of the Stripe wire, whichever gateway it is: `requires_payment_method`,
    `requires_confirmation`, `requires_action`, `processing`, `requires_capture`, `canceled`, `succeeded`; and `failed`
    for an order that was refused and cannot be tried again.
    """

    id: str
    status: str
    amount_dong: int
    received_dong: int
    currency: str
    charge_id: str | None
    created: int
    metadata: Mapping[str, str]
    action_url: str | None
    error: str
    capturable_dong: int = 0
    """Authorised and not yet taken."""
    lapsed: bool = False
    """Cancelled by the gateway itself, because the authorisation had stood too long."""


@dataclass(frozen=True, slots=True)
class Charge:
    """One movement of money of an intent, in đồng."""

    id: str
    status: str
    intent_id: str | None
    amount_dong: int
    captured_dong: int
    refunded_dong: int
    disputed: bool


@dataclass(frozen=True, slots=True)
class GatewayRefund:
    """A refund as the gateway sees it, in đồng. `status`: pending, requires_action, succeeded, failed or canceled."""

    id: str
    status: str
    amount_dong: int
    intent_id: str | None
    metadata: Mapping[str, str]
    error: str


@dataclass(frozen=True, slots=True)
class GatewayPayout:
    """A settlement to our bank account. `arrival` is seconds of the UTC midnight that names the date."""

    id: str
    status: str
    amount_dong: int
    arrival: int
    created: int


@dataclass(frozen=True, slots=True)
class BalanceTransaction:
    """One movement of our balance at the gateway. `intent_id` is known for charges.

    `category` (charge, refund, dispute, dispute_reversal, payout, fee, …) says what it is; `kind` is the wire's own
    older word for it, under which disputes are mere adjustments.
    """

    id: str
    kind: str
    gross_dong: int
    fee_dong: int
    net_dong: int
    source: str
    intent_id: str | None
    category: str = ""


@dataclass(frozen=True, slots=True)
class Dispute:
    """A cardholder's bank takes money back. `status`: needs_response, under_review, won, lost, or warning_…

    A warning (an inquiry) moves no money. `evidence_due` is in seconds; None once nothing can be submitted.
    `movements` are the withdrawals (negative) and, when won, the reinstatements of our balance.
    """

    id: str
    status: str
    amount_dong: int
    charge_id: str
    intent_id: str | None
    reason: str
    created: int
    evidence_due: int | None
    evidence_count: int
    movements: tuple[BalanceTransaction, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GatewayEndpoint:
    """A webhook subscription at the gateway. `secret` is shown once, by the call that makes it."""

    id: str
    url: str
    status: str
    events: tuple[str, ...]
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class GatewayEvent:
    """A webhook: which object something happened to. The object itself is fetched again."""

    id: str
    kind: str
    object_id: str
    body: Document


class GatewayError(Exception):
    """Anything but a usable answer. `request_id` names the call in the gateway's own log, when it answered at all."""

    def __init__(self, message: str, *, request_id: str = "") -> None:
        super().__init__(f"{message} [{request_id}]" if request_id else message)
        self.request_id = request_id


class GatewayRefused(GatewayError):
    """The gateway understood and said no: the same call gives the same answer, and nothing was done."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        kind: str = "",
        param: str = "",
        request_id: str = "",
        intent: Intent | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}", request_id=request_id)
        self.status = status
        self.code = code
        self.message = message
        self.kind = kind
        """The wire's error type, such as `card_error`."""
        self.param = param
        """The parameter at fault, when one is."""
        self.intent = intent
        """The payment intent as the refusal left it, when the gateway included it."""


class CardRefused(GatewayRefused):
    """The cardholder's bank said no; `code` is its reason where it gave one."""


class RequestRefused(GatewayRefused):
    """The request does not fit: a parameter, a state, or an object that does not exist."""


class GatewayUnreachable(GatewayError):
    """No usable answer in time. The call may have had its effect; repeat it with the same key or ask."""


class RateLimited(GatewayUnreachable):
    """Too many calls, also after waiting as long as the gateway asked and we may."""


class GatewayFailed(GatewayUnreachable):
    """The gateway failed inside; whether it had its effect is not known."""


class NotAuthorised(GatewayUnreachable):
    """Our own credentials are refused: an operator's matter, which must not end a citizen's payment."""


class KeyConflict(GatewayUnreachable):
    """Our key was used before for another request: a defect of ours. What the first request did has to be asked."""


class Gateway(Protocol):
    """What attempts, refunds, disputes and settlements ask of a gateway, whichever kind it is.

    Every call raises GatewayRefused for a no and GatewayUnreachable where the effect is not known. A call with a
    `key` may be repeated with the same key and has its effect once.
    """

    async def create_intent(
        self,
        amount_dong: int,
        *,
        metadata: Mapping[str, str],
        key: str,
        payment_method: str | None = None,
        expires_at: datetime | None = None,
        capture_later: bool = False,
    ) -> Intent:
        """A new intent that has taken no money. `expires_at` is for gateways whose links end by themselves.

        With `capture_later` the payer's consent only reserves the money, at gateways of which `can_reserve` is true.
        """
        ...

    def can_reserve(self, *, payment_method: str | None) -> bool:
        """Whether a new intent for this card (None: the payer names it later) can be captured later."""
        ...

    async def retrieve_intent(self, intent_id: str) -> Intent:
        """The intent as it stands."""
        ...

    async def confirm_intent(self, intent_id: str, *, key: str, return_url: str | None = None) -> Intent:
        """Take the money. Raises CardRefused with the bank's answer."""
        ...

    async def capture_intent(self, intent_id: str, *, key: str, amount_dong: int | None = None) -> Intent:
        """Take what was reserved: all of it, or `amount_dong` and release the rest."""
        ...

    async def cancel_intent(self, intent_id: str, *, key: str) -> Intent:
        """Give an intent up. Raises GatewayRefused when it has taken the money.

        A gateway that cannot call a link back answers with the intent still open until the link has ended.
        """
        ...

    async def create_refund(
        self, intent_id: str, amount_dong: int, *, metadata: Mapping[str, str], key: str
    ) -> GatewayRefund:
        """Give money of an intent back the way it came."""
        ...

    async def retrieve_refund(self, refund_id: str) -> GatewayRefund:
        """The refund as it stands."""
        ...

    async def retrieve_dispute(self, dispute_id: str) -> Dispute:
        """The dispute as it stands."""
        ...

    async def disputes(self, *, created_from: int | None = None) -> list[Dispute]:
        """Disputes, newest first, opened at `created_from` (seconds) or later."""
        ...

    async def submit_evidence(
        self, dispute_id: str, evidence: Mapping[str, str], *, key: str, submit: bool = True
    ) -> Dispute:
        """Give our side to the cardholder's bank; without `submit` it is only kept as a draft."""
        ...

    async def close_dispute(self, dispute_id: str, *, key: str) -> Dispute:
        """Accept a dispute as lost."""
        ...

    async def payouts(self, *, arrival_from: int | None = None) -> list[GatewayPayout]:
        """Payouts, newest first, arriving at `arrival_from` (seconds) or later."""
        ...

    async def balance_transactions(self, payout_id: str) -> list[BalanceTransaction]:
        """Everything one payout settles, the payout's own movement included."""
        ...
