"""The card gateway: every call of the Stripe wire that this service makes, with amounts in đồng (no decimals)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx

from services.payment.gateway.documents import (
    charge_of,
    dispute_of,
    endpoint_of,
    event_of,
    intent_of,
    payout_of,
    refund_of,
    transaction_of,
)
from services.payment.gateway.protocol import (
    BalanceTransaction,
    Charge,
    Dispute,
    Document,
    GatewayEndpoint,
    GatewayEvent,
    GatewayPayout,
    GatewayRefund,
    Intent,
)
from services.payment.gateway.wire import PAGE, Wire, path_of

API_VERSION = "2022-11-15"


class GatewayClient:
    """One account at one gateway of the Stripe wire. Holds no state of its own; safe to share between tasks."""

    def __init__(
        self,
        *,
        url: str,
        key: str,
        http: httpx.AsyncClient,
        version: str = API_VERSION,
        timeout_seconds: float = 8.0,
        total_seconds: float = 20.0,
    ) -> None:
        self._wire = Wire(
            url=url,
            key=key,
            http=http,
            version=version,
            timeout_seconds=timeout_seconds,
            total_seconds=total_seconds,
        )

    @property
    def last_request_id(self) -> str:
        """The gateway's name for the last call of the running task."""
        return self._wire.last_request_id

    # Payment intents and charges

    async def create_intent(
        self,
        amount_dong: int,
        *,
        metadata: Mapping[str, str],
        key: str,
        payment_method: str | None = None,
        expires_at: datetime | None = None,  # noqa: ARG002 — an intent of this wire is cancelled, it does not expire
        capture_later: bool = False,
    ) -> Intent:
        """A new intent that has not been confirmed: it takes no money, so repeating the call never does harm.

        With `capture_later` confirming only reserves the money, until it is captured or the intent is cancelled.
        """
        form: Document = {
            "amount": amount_dong,
            "currency": "vnd",
            "payment_method_types": ["card"],
            "metadata": dict(metadata),
        }
        if payment_method:
            form["payment_method"] = payment_method
        if capture_later:
            form["capture_method"] = "manual"
        return intent_of(await self._post(path_of("payment_intents"), form, key))

    def can_reserve(self, *, payment_method: str | None) -> bool:  # noqa: ARG002 — every card of this wire can
        """Always."""
        return True

    async def retrieve_intent(self, intent_id: str) -> Intent:
        """The intent as it stands."""
        return intent_of(await self._get("payment_intents", intent_id))

    async def intents(self, *, created_from: int | None = None, limit: int = PAGE) -> list[Intent]:
        """The latest intents, newest first."""
        return [intent_of(each) for each in await self._first("payment_intents", _since(created_from), limit)]

    async def confirm_intent(self, intent_id: str, *, key: str, return_url: str | None = None) -> Intent:
        """Take the money. Raises CardRefused with the card's answer."""
        form = {"return_url": return_url} if return_url else {}
        return intent_of(await self._post(path_of("payment_intents", intent_id, "confirm"), form, key))

    async def capture_intent(self, intent_id: str, *, key: str, amount_dong: int | None = None) -> Intent:
        """Take money that a card has only reserved: all of it, or `amount_dong` and release the rest."""
        form = {"amount_to_capture": amount_dong} if amount_dong is not None else {}
        return intent_of(await self._post(path_of("payment_intents", intent_id, "capture"), form, key))

    async def cancel_intent(self, intent_id: str, *, key: str) -> Intent:
        """Give an intent up. Raises GatewayRefused when it has already taken the money."""
        form = {"cancellation_reason": "abandoned"}
        return intent_of(await self._post(path_of("payment_intents", intent_id, "cancel"), form, key))

    async def retrieve_charge(self, charge_id: str) -> Charge:
        """The charge as it stands."""
        return charge_of(await self._get("charges", charge_id))

    async def charges(self, intent_id: str) -> list[Charge]:
        """The charges of an intent, the refused ones included, newest first."""
        return [charge_of(each) async for each in self._wire.pages("/v1/charges", {"payment_intent": intent_id})]

    # Refunds and disputes

    async def create_refund(
        self, intent_id: str, amount_dong: int, *, metadata: Mapping[str, str], key: str
    ) -> GatewayRefund:
        """Give money of an intent back to its card."""
        form: Document = {"payment_intent": intent_id, "amount": amount_dong, "metadata": dict(metadata)}
        return refund_of(await self._post(path_of("refunds"), form, key))

    async def retrieve_refund(self, refund_id: str) -> GatewayRefund:
        """The refund as it stands."""
        return refund_of(await self._get("refunds", refund_id))

    async def refunds(self, intent_id: str) -> list[GatewayRefund]:
        """The refunds of an intent, newest first."""
        return [refund_of(each) async for each in self._wire.pages("/v1/refunds", {"payment_intent": intent_id})]

    async def retrieve_dispute(self, dispute_id: str) -> Dispute:
        """The dispute as it stands."""
        return dispute_of(await self._get("disputes", dispute_id))

    async def disputes(self, *, created_from: int | None = None) -> list[Dispute]:
        """Disputes, newest first, opened at `created_from` (seconds) or later."""
        return [dispute_of(each) async for each in self._wire.pages("/v1/disputes", _since(created_from))]

    async def submit_evidence(
        self, dispute_id: str, evidence: Mapping[str, str], *, key: str, submit: bool = True
    ) -> Dispute:
        """Give our side to the cardholder's bank; without `submit` it is only kept as a draft.

        `evidence` has the wire's names, such as `uncategorized_text`, `product_description`, `service_date`.
        """
        form: Document = {"evidence": dict(evidence), "submit": submit}
        return dispute_of(await self._post(path_of("disputes", dispute_id), form, key))

    async def close_dispute(self, dispute_id: str, *, key: str) -> Dispute:
        """Accept a dispute as lost."""
        return dispute_of(await self._post(path_of("disputes", dispute_id, "close"), {}, key))

    # Settlement

    async def retrieve_payout(self, payout_id: str) -> GatewayPayout:
        """The payout as it stands."""
        return payout_of(await self._get("payouts", payout_id))

    async def payouts(self, *, arrival_from: int | None = None) -> list[GatewayPayout]:
        """Payouts, newest first, arriving at `arrival_from` (seconds) or later."""
        query: Document = {"arrival_date": {"gte": arrival_from}} if arrival_from is not None else {}
        return [payout_of(each) async for each in self._wire.pages("/v1/payouts", query)]

    async def balance_transactions(self, payout_id: str) -> list[BalanceTransaction]:
        """Everything one payout settles, the payout's own movement included."""
        query: Document = {"payout": payout_id, "expand": ["data.source"]}
        return [transaction_of(each) async for each in self._wire.pages("/v1/balance_transactions", query)]

    # News

    async def events(self, *, created_from: int | None = None, limit: int = PAGE) -> list[GatewayEvent]:
        """The latest events, newest first: what webhooks would have said."""
        return [event_of(each) for each in await self._first("events", _since(created_from), limit)]

    async def create_webhook_endpoint(self, url: str, kinds: tuple[str, ...], *, key: str) -> GatewayEndpoint:
        """Have events of these kinds sent to `url`; only this answer shows the secret that will sign them."""
        form: Document = {"url": url, "enabled_events": list(kinds)}
        return endpoint_of(await self._post(path_of("webhook_endpoints"), form, key))

    async def webhook_endpoints(self) -> list[GatewayEndpoint]:
        """Where events are sent."""
        return [endpoint_of(each) async for each in self._wire.pages("/v1/webhook_endpoints", {})]

    async def delete_webhook_endpoint(self, endpoint_id: str) -> GatewayEndpoint:
        """Send no more events there."""
        return endpoint_of(await self._wire.call("DELETE", path_of("webhook_endpoints", endpoint_id)))

    async def _get(self, noun: str, identity: str) -> Document:
        return await self._wire.call("GET", path_of(noun, identity))

    async def _post(self, path: str, form: Document, key: str) -> Document:
        return await self._wire.call("POST", path, form=form, key=key)

    async def _first(self, noun: str, query: Document, limit: int) -> list[Document]:
        found: list[Any] = []
        async for document in self._wire.pages(path_of(noun), query):
            found.append(document)
            if len(found) >= limit:
                break
        return found


def _since(created_from: int | None) -> Document:
    return {"created": {"gte": created_from}} if created_from is not None else {}
