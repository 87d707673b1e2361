"""Test cards: the payment-method and card tokens the gateway documents, and how each behaves."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Decline:
    """Why the issuer refuses: the error code, the issuer's reason and the words shown."""

    code: str
    decline_code: str | None
    message: str


@dataclass(frozen=True)
class Card:
    """One test card."""

    brand: str
    last4: str
    funding: str = "credit"
    country: str = "US"
    authentication: bool = False
    decline: Decline | None = None
    refund: str = "succeeded"
    """What becomes of its refunds: succeeded, pending, or failed after having succeeded."""
    dispute: str | None = None
    """Reason for which its charges are disputed as soon as they are captured."""
    inquiry: bool = False
    """Whether the dispute is only an inquiry, which takes no money."""
    instant: bool = False
    """Its money is available at once, whatever the settlement delay."""

    def details(self) -> dict[str, Any]:
        """The `card` member of payment methods."""
        return {
            "brand": self.brand,
            "checks": {
                "address_line1_check": None,
                "address_postal_code_check": None,
                "cvc_check": "pass",
            },
            "country": self.country,
            "display_brand": self.brand,
            "exp_month": 12,
            "exp_year": 2034,
            "fingerprint": f"sandbox{self.brand}{self.last4}",
            "funding": self.funding,
            "generated_from": None,
            "last4": self.last4,
            "networks": {"available": [self.brand], "preferred": None},
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        }


GENERIC_DECLINE = Decline("card_declined", "generic_decline", "Your card was declined.")
INSUFFICIENT_FUNDS = Decline("card_declined", "insufficient_funds", "Your card has insufficient funds.")
AUTHENTICATION_FAILURE = Decline(
    "payment_intent_authentication_failure",
    None,
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a"
    " new PaymentMethod to attempt to fulfill this PaymentIntent again.",
)

_PLAIN = {
    "visa": Card("visa", "4242"),
    "visa_debit": Card("visa", "5556", "debit"),
    "mastercard": Card("mastercard", "4444"),
    "mastercard_debit": Card("mastercard", "8210", "debit"),
    "mastercard_prepaid": Card("mastercard", "5100", "prepaid"),
    "amex": Card("amex", "8431"),
    "jcb": Card("jcb", "0505", country="JP"),
    "unionpay": Card("unionpay", "0005", country="CN"),
    "bypassPending": Card("visa", "0077", instant=True),
    "pendingRefund": Card("visa", "7726", refund="pending"),
    "createDispute": Card("visa", "0259", dispute="fraudulent"),
    "createDisputeProductNotReceived": Card("visa", "2685", dispute="product_not_received"),
    "createDisputeInquiry": Card("visa", "1976", dispute="fraudulent", inquiry=True),
    "refundFail": Card("visa", "5126", refund="failed"),
    "chargeCustomerFail": Card("visa", "0341", decline=GENERIC_DECLINE),
    "threeDSecureRequired": Card("visa", "3063", authentication=True),
    "threeDSecure2Required": Card("visa", "3220", authentication=True),
    "authenticationRequired": Card("visa", "3184", authentication=True),
    "threeDSecureRequiredChargeDeclined": Card("visa", "1629", authentication=True, decline=GENERIC_DECLINE),
    "authenticationRequiredChargeDeclinedInsufficientFunds": Card(
        "visa", "3178", authentication=True, decline=INSUFFICIENT_FUNDS
    ),
}

_DECLINED = {
    "": ("0002", GENERIC_DECLINE),
    "InsufficientFunds": ("9995", INSUFFICIENT_FUNDS),
    "LostCard": ("9987", Decline("card_declined", "lost_card", "Your card was declined.")),
    "StolenCard": ("9979", Decline("card_declined", "stolen_card", "Your card was declined.")),
    "ExpiredCard": ("0069", Decline("expired_card", "expired_card", "Your card has expired.")),
    "IncorrectCvc": (
        "0127",
        Decline("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect."),
    ),
    "ProcessingError": (
        "0119",
        Decline(
            "processing_error",
            "processing_error",
            "An error occurred while processing your card. Try again in a little bit.",
        ),
    ),
    "FraudDeclined": (
        "0000",
        Decline("card_declined", "fraudulent", "Your card was declined."),
    ),
    "VelocityLimitExceeded": (
        "6975",
        Decline(
            "card_declined",
            "card_velocity_exceeded",
            "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
        ),
    ),
}


def _tokens() -> dict[str, Card]:
    tokens: dict[str, Card] = {}
    for name, card in _PLAIN.items():
        tokens[f"pm_card_{name}"] = tokens[f"tok_{name}"] = card
    for suffix, (last4, decline) in _DECLINED.items():
        card = Card("visa", last4, decline=decline)
        for prefix in ("pm_card_visa_", "pm_card_", "tok_visa_", "tok_"):
            tokens[f"{prefix}chargeDeclined{suffix}"] = card
    return tokens


CARDS = _tokens()
"""Every test token: `pm_card_…` payment methods and `tok_…` card tokens."""
