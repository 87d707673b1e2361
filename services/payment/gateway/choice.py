"""Several gateways as one: new intents go to the one a deployment has chosen, every id to the gateway it came from.

A deployment that changes its choice keeps asking the old gateway about what was begun there.
"""

from collections.abc import Mapping
from datetime import datetime

from services.payment.gateway.protocol import (
    BalanceTransaction,
    Dispute,
    Gateway,
    GatewayPayout,
    GatewayRefund,
    Intent,
)
from services.payment.gateway.redirect import INTENT_PREFIX, REFUND_PREFIX


class ChosenGateway:
    """The Stripe wire and a redirect gateway side by side. `chosen` is one of the two."""

    def __init__(self, *, chosen: Gateway, wire: Gateway, redirect: Gateway) -> None:
        self._chosen = chosen
        self._wire = wire
        self._redirect = redirect

    def _of(self, identity: str) -> Gateway:
        return self._redirect if identity.startswith((INTENT_PREFIX, REFUND_PREFIX)) else self._wire

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
        """At the chosen gateway; a named card always at the wire that knows cards."""
        return await self._for_new(payment_method).create_intent(
            amount_dong,
            metadata=metadata,
            key=key,
            payment_method=payment_method,
            expires_at=expires_at,
            capture_later=capture_later,
        )

    def can_reserve(self, *, payment_method: str | None) -> bool:
        """Whether the gateway that would take the new intent can."""
        return self._for_new(payment_method).can_reserve(payment_method=payment_method)

    def _for_new(self, payment_method: str | None) -> Gateway:
        return self._wire if payment_method else self._chosen

    async def retrieve_intent(self, intent_id: str) -> Intent:
        """At the gateway of the intent."""
        return await self._of(intent_id).retrieve_intent(intent_id)

    async def confirm_intent(self, intent_id: str, *, key: str, return_url: str | None = None) -> Intent:
        """At the gateway of the intent."""
        return await self._of(intent_id).confirm_intent(intent_id, key=key, return_url=return_url)

    async def capture_intent(self, intent_id: str, *, key: str, amount_dong: int | None = None) -> Intent:
        """At the gateway of the intent."""
        return await self._of(intent_id).capture_intent(intent_id, key=key, amount_dong=amount_dong)

    async def cancel_intent(self, intent_id: str, *, key: str) -> Intent:
        """At the gateway of the intent."""
        return await self._of(intent_id).cancel_intent(intent_id, key=key)

    async def create_refund(
        self, intent_id: str, amount_dong: int, *, metadata: Mapping[str, str], key: str
    ) -> GatewayRefund:
        """At the gateway that took the money."""
        return await self._of(intent_id).create_refund(intent_id, amount_dong, metadata=metadata, key=key)

    async def retrieve_refund(self, refund_id: str) -> GatewayRefund:
        """At the gateway of the refund."""
        return await self._of(refund_id).retrieve_refund(refund_id)

    async def retrieve_dispute(self, dispute_id: str) -> Dispute:
        """At the wire: redirect gateways have none."""
        return await self._wire.retrieve_dispute(dispute_id)

    async def disputes(self, *, created_from: int | None = None) -> list[Dispute]:
        """Of both."""
        return [
            *await self._wire.disputes(created_from=created_from),
            *await self._redirect.disputes(created_from=created_from),
        ]

    async def submit_evidence(
        self, dispute_id: str, evidence: Mapping[str, str], *, key: str, submit: bool = True
    ) -> Dispute:
        """At the wire."""
        return await self._wire.submit_evidence(dispute_id, evidence, key=key, submit=submit)

    async def close_dispute(self, dispute_id: str, *, key: str) -> Dispute:
        """At the wire."""
        return await self._wire.close_dispute(dispute_id, key=key)

    async def payouts(self, *, arrival_from: int | None = None) -> list[GatewayPayout]:
        """Of both."""
        return [
            *await self._wire.payouts(arrival_from=arrival_from),
            *await self._redirect.payouts(arrival_from=arrival_from),
        ]

    async def balance_transactions(self, payout_id: str) -> list[BalanceTransaction]:
        """At the gateway of the payout."""
        return await self._of(payout_id).balance_transactions(payout_id)
