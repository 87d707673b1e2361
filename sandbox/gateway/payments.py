"""Payment intents and their charges: create, confirm, authenticate, capture, cancel."""

import json
from urllib.parse import urlencode

from sandbox.gateway.account import Account, Document, merged, new_id, new_secret
from sandbox.gateway.balance import CURRENCY, fee_on, record
from sandbox.gateway.cards import AUTHENTICATION_FAILURE, CARDS, Card, Decline
from sandbox.gateway.desk import Desk
from sandbox.gateway.disputes import open_dispute
from sandbox.gateway.errors import ApiError, invalid_parameter, no_such, unexpected_state

PAYABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
CANCELABLE = (
    "requires_payment_method",
    "requires_capture",
    "requires_reauthorization",
    "requires_confirmation",
    "requires_action",
    "processing",
)


def create_intent(desk: Desk, parameters: Document) -> Document:
    """A new intent, confirmed at once when the request says so."""
    account = desk.account
    _check_amount(account, parameters["amount"])
    method = _chosen_method(desk, parameters)
    automatic = parameters.get("automatic_payment_methods")
    identifier = new_id("pi")
    intent: Document = {
        "id": identifier,
        "object": "payment_intent",
        "amount": parameters["amount"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": automatic,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": parameters.get("capture_method", "automatic"),
        "client_secret": new_secret(f"{identifier}_secret"),
        "confirmation_method": "automatic",
        "created": account.now(),
        "currency": CURRENCY,
        "customer": parameters.get("customer"),
        "description": parameters.get("description"),
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": merged({}, parameters.get("metadata", {})),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": method["id"] if method else None,
        "payment_method_options": {},
        "payment_method_types": parameters.get("payment_method_types", ["card"]),
        "processing": None,
        "receipt_email": parameters.get("receipt_email"),
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": parameters.get("statement_descriptor_suffix"),
        "status": "requires_confirmation" if method else "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }
    if parameters.get("confirm"):
        _check_return_url(intent, parameters)
        if method is None:
            raise _no_payment_method()
    account.insert(intent, customer=intent["customer"])
    desk.announce("payment_intent.created", intent)
    if parameters.get("confirm"):
        return _confirm(desk, intent, parameters.get("return_url"))
    return intent


def update_intent(desk: Desk, identifier: str, parameters: Document) -> Document:
    """Change what may still be changed; the amount only while nothing has been paid."""
    intent = desk.account.load("pi", identifier, "intent")
    if "amount" in parameters:
        if intent["status"] not in PAYABLE:
            raise unexpected_state(
                "This PaymentIntent's amount could not be updated because it has a status of"
                f" {intent['status']}. You may only update the amount of a PaymentIntent with one"
                f" of the following statuses: {', '.join(PAYABLE)}."
            )
        _check_amount(desk.account, parameters["amount"])
        intent["amount"] = parameters["amount"]
    for name in ("description", "receipt_email", "customer", "statement_descriptor_suffix"):
        if name in parameters:
            intent[name] = parameters[name]
    if "metadata" in parameters:
        intent["metadata"] = merged(intent["metadata"], parameters["metadata"])
    method = _chosen_method(desk, parameters)
    if method:
        if intent["status"] not in PAYABLE:
            raise unexpected_state(
                "You cannot update the payment method of this PaymentIntent because it has a"
                f" status of {intent['status']}."
            )
        intent["payment_method"] = method["id"]
        intent["status"] = "requires_confirmation"
        intent["next_action"] = None
    desk.account.save(intent, customer=intent["customer"])
    return intent


def confirm_intent(desk: Desk, identifier: str, parameters: Document) -> Document:
    """Try to pay with the intent's payment method, or with the one in the request."""
    intent = desk.account.load("pi", identifier, "intent")
    if intent["status"] in ("succeeded", "requires_capture"):
        raise unexpected_state(
            "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed."
        )
    if intent["status"] not in PAYABLE:
        raise unexpected_state(
            "You cannot confirm this PaymentIntent because it has a status of"
            f" {intent['status']}. Only a PaymentIntent with one of the following statuses may be"
            " confirmed: requires_confirmation, requires_action."
        )
    _check_return_url(intent, parameters)
    method = _chosen_method(desk, parameters)
    if method:
        intent["payment_method"] = method["id"]
    if intent["payment_method"] is None:
        raise _no_payment_method()
    if "receipt_email" in parameters:
        intent["receipt_email"] = parameters["receipt_email"]
    return _confirm(desk, intent, parameters.get("return_url"))


def authenticate_intent(desk: Desk, identifier: str, *, succeeds: bool) -> Document:
    """What the cardholder does at the issuer's 3-D Secure page."""
    intent = desk.account.load("pi", identifier, "intent")
    if intent["status"] != "requires_action":
        raise unexpected_state(
            f"This PaymentIntent has a status of {intent['status']}; nothing is to be authenticated."
        )
    intent["next_action"] = None
    if not succeeds:
        return _declined(desk, intent, AUTHENTICATION_FAILURE)
    card = _card_of(desk.account, intent)
    if card.decline:
        return _declined(desk, intent, card.decline)
    return _authorised(desk, intent, card)


def capture_intent(desk: Desk, identifier: str, parameters: Document) -> Document:
    """Take all or part of an authorised amount; the rest is released to the cardholder."""
    intent = desk.account.load("pi", identifier, "intent")
    if intent["status"] != "requires_capture":
        raise unexpected_state(
            "This PaymentIntent could not be captured because it has a status of"
            f" {intent['status']}. Only a PaymentIntent with one of the following statuses may be"
            " captured: requires_capture."
        )
    amount = int(parameters.get("amount_to_capture") or intent["amount_capturable"])
    if amount > intent["amount_capturable"]:
        raise ApiError(
            400,
            "invalid_request_error",
            f"The amount to capture ({amount}) is greater than the amount capturable ({intent['amount_capturable']}).",
            code="amount_too_large",
            param="amount_to_capture",
        )
    charge = desk.account.load("ch", intent["latest_charge"], "charge")
    _take(desk, intent, charge, _card_of(desk.account, intent), amount)
    desk.announce("charge.captured", charge)
    desk.announce("payment_intent.succeeded", intent)
    _dispute_if_fated(desk, charge, _card_of(desk.account, intent))
    return intent


def cancel_intent(desk: Desk, identifier: str, parameters: Document) -> Document:
    """Give up an intent that has not succeeded; an authorised amount is released."""
    intent = desk.account.load("pi", identifier, "intent")
    if intent["status"] not in CANCELABLE:
        raise unexpected_state(
            f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}."
            " Only a PaymentIntent with one of the following statuses may be canceled:"
            f" {', '.join(CANCELABLE)}."
        )
    return _given_up(desk, intent, parameters.get("cancellation_reason"))


def lapse_authorisation(desk: Desk, identifier: str) -> Document:
    """What a card network does after about seven days: the intent is cancelled by the gateway itself."""
    intent = desk.account.load("pi", identifier, "intent")
    if intent["status"] != "requires_capture":
        raise unexpected_state(f"This PaymentIntent has a status of {intent['status']}; no authorisation can lapse.")
    return _given_up(desk, intent, "automatic")


def _given_up(desk: Desk, intent: Document, reason: str | None) -> Document:
    if intent["status"] == "requires_capture":
        charge = desk.account.load("ch", intent["latest_charge"], "charge")
        charge["amount_refunded"] = charge["amount"]
        charge["refunded"] = True
        desk.account.save(charge)
        _release(desk, charge, charge["amount"])
        desk.announce("charge.refunded", charge)
    intent["status"] = "canceled"
    intent["canceled_at"] = desk.account.now()
    intent["cancellation_reason"] = reason
    intent["amount_capturable"] = 0
    intent["next_action"] = None
    desk.account.save(intent)
    desk.announce("payment_intent.canceled", intent)
    return intent


def create_method(desk: Desk, parameters: Document) -> Document:
    """A payment method from a card token such as `tok_visa`."""
    return _method_from_card(desk, parameters, "")


def _check_amount(account: Account, amount: int) -> None:
    settings = account.settings
    if amount < settings.minimum_amount_dong:
        raise invalid_parameter(
            f"Amount must be at least ₫{settings.minimum_amount_dong:,} vnd",
            "amount",
            "amount_too_small",
        )
    if amount > settings.maximum_amount_dong:
        raise invalid_parameter(
            f"Amount must be no more than ₫{settings.maximum_amount_dong:,} vnd",
            "amount",
            "amount_too_large",
        )


def _check_return_url(intent: Document, parameters: Document) -> None:
    automatic = intent["automatic_payment_methods"] or {}
    may_redirect = automatic.get("enabled") and automatic.get("allow_redirects") != "never"
    if may_redirect and not parameters.get("return_url"):
        raise invalid_parameter(
            "This PaymentIntent is configured to accept payment methods enabled in your Dashboard."
            " Because some of these payment methods might redirect your customer off of your page,"
            " you must provide a `return_url`. If you don't want to accept redirect-based payment"
            " methods, set `automatic_payment_methods[enabled]` to `true` and"
            " `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents"
            " and Payment Intents.",
            "return_url",
        )


def _no_payment_method() -> ApiError:
    return unexpected_state(
        "You cannot confirm this PaymentIntent because it's missing a payment method. You can"
        " either update the PaymentIntent with a payment method and then confirm it again, or"
        " confirm it again directly with a payment method or ConfirmationToken."
    )


def _chosen_method(desk: Desk, parameters: Document) -> Document | None:
    """The payment method a request names: a test token, a stored method, or card data."""
    if data := parameters.get("payment_method_data"):
        return _method_from_card(desk, data, "payment_method_data")
    identifier = parameters.get("payment_method")
    if identifier is None:
        return None
    if identifier in CARDS:
        # The real gateway makes a new object each time a test token is used.
        return _new_method(desk, identifier, CARDS[identifier])
    return desk.account.load("pm", identifier, "payment_method")


def _method_from_card(desk: Desk, data: Document, param: str) -> Document:
    token = data.get("card", {}).get("token")
    if token is None:
        raise invalid_parameter(
            "Sending credit card numbers directly is unsafe. Use a test token such as tok_visa.",
            f"{param}[card][token]" if param else "card[token]",
            "parameter_missing",
        )
    if token not in CARDS or not token.startswith("tok_"):
        raise no_such("token", token, f"{param}[card][token]" if param else "card[token]")
    return _new_method(desk, token, CARDS[token])


def _new_method(desk: Desk, token: str, card: Card) -> Document:
    address = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
    method: Document = {
        "id": new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {"address": address, "email": None, "name": None, "phone": None},
        "card": card.details(),
        "created": desk.account.now(),
        "customer": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }
    desk.account.insert(method, token=token)
    return method


def _card_of(account: Account, intent: Document) -> Card:
    row = account.state.row("SELECT token FROM payment_methods WHERE id = ?", [intent["payment_method"]])
    assert row is not None
    return CARDS[row["token"]]


def _confirm(desk: Desk, intent: Document, return_url: str | None) -> Document:
    card = _card_of(desk.account, intent)
    intent["last_payment_error"] = None
    if card.authentication:
        return _needs_action(desk, intent, return_url)
    if card.decline:
        _declined(desk, intent, card.decline)
        error = dict(intent["last_payment_error"])
        error_type, message = error.pop("type"), error.pop("message")
        raise ApiError(402, error_type, message, **error, payment_intent=intent)
    return _authorised(desk, intent, card)


def _needs_action(desk: Desk, intent: Document, return_url: str | None) -> Document:
    intent["status"] = "requires_action"
    if return_url:
        base = (desk.account.settings.public_url or desk.call.base_url).rstrip("/")
        page = f"{base}/pay/{intent['id']}?{urlencode({'return_url': return_url})}"
        intent["next_action"] = {
            "type": "redirect_to_url",
            "redirect_to_url": {"return_url": return_url, "url": page},
        }
    else:
        intent["next_action"] = {"type": "use_stripe_sdk", "use_stripe_sdk": {}}
    desk.account.save(intent)
    desk.announce("payment_intent.requires_action", intent)
    return intent


def _declined(desk: Desk, intent: Document, decline: Decline) -> Document:
    account = desk.account
    method = account.load("pm", intent["payment_method"], "payment_method")
    error: Document = {
        "type": "card_error" if decline.decline_code else "invalid_request_error",
        "code": decline.code,
        "message": decline.message,
        "doc_url": f"https://stripe.com/docs/error-codes/{decline.code.replace('_', '-')}",
        "payment_method": method,
    }
    if decline.decline_code:
        charge = _new_charge(desk, intent, _card_of(account, intent))
        charge |= {"status": "failed", "paid": False, "failure_code": decline.code}
        charge["failure_message"] = decline.message
        charge["outcome"] = {
            "network_status": "declined_by_network",
            "reason": decline.decline_code,
            "risk_level": "normal",
            "risk_score": 20,
            "seller_message": "The bank did not return any further details with this decline.",
            "type": "issuer_declined",
        }
        account.insert(charge, payment_intent=intent["id"], customer=intent["customer"])
        intent["latest_charge"] = charge["id"]
        error |= {"charge": charge["id"], "decline_code": decline.decline_code}
        desk.announce("charge.failed", charge)
    intent["status"] = "requires_payment_method"
    intent["payment_method"] = None
    intent["last_payment_error"] = error
    account.save(intent)
    desk.announce("payment_intent.payment_failed", intent)
    return intent


def _authorised(desk: Desk, intent: Document, card: Card) -> Document:
    charge = _new_charge(desk, intent, card)
    desk.account.insert(charge, payment_intent=intent["id"], customer=intent["customer"])
    intent["latest_charge"] = charge["id"]
    intent["last_payment_error"] = None
    intent["next_action"] = None
    if intent["capture_method"] == "manual":
        intent["status"] = "requires_capture"
        intent["amount_capturable"] = intent["amount"]
        desk.account.save(intent)
        desk.announce("charge.succeeded", charge)
        desk.announce("payment_intent.amount_capturable_updated", intent)
        return intent
    _take(desk, intent, charge, card, intent["amount"])
    desk.announce("charge.succeeded", charge)
    desk.announce("payment_intent.succeeded", intent)
    _dispute_if_fated(desk, charge, card)
    return intent


def _dispute_if_fated(desk: Desk, charge: Document, card: Card) -> None:
    if card.dispute:
        open_dispute(desk, charge, reason=card.dispute, inquiry=card.inquiry)


def _take(desk: Desk, intent: Document, charge: Document, card: Card, amount: int) -> None:
    """Move `amount` to the merchant and bring intent and charge in line with it."""
    delay = 0 if card.instant else desk.account.settings.settlement_seconds
    transaction = record(
        desk.account,
        "charge",
        charge["id"],
        amount,
        fee_dong=fee_on(desk.account, amount),
        description=charge["description"],
        delay_seconds=delay,
    )
    released = charge["amount"] - amount
    charge["captured"] = True
    charge["amount_captured"] = amount
    charge["amount_refunded"] = released
    charge["balance_transaction"] = transaction["id"]
    desk.account.save(charge)
    if released:
        _release(desk, charge, released)
    intent["status"] = "succeeded"
    intent["amount_capturable"] = 0
    intent["amount_received"] = amount
    desk.account.save(intent)


def _release(desk: Desk, charge: Document, amount: int) -> None:
    """Authorised money given back before it moved shows as a refund without a transaction."""
    refund = refund_document(desk.account, charge, amount)
    desk.account.insert(refund, charge=charge["id"], payment_intent=charge["payment_intent"])


def refund_document(account: Account, charge: Document, amount: int) -> Document:
    """A refund that has succeeded and not yet moved money."""
    return {
        "id": new_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": account.now(),
        "currency": CURRENCY,
        "destination_details": {"card": {"type": "refund"}, "type": "card"},
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def _new_charge(desk: Desk, intent: Document, card: Card) -> Document:
    """A charge as it stands after the issuer's approval, before any money moved."""
    row = desk.account.state.row("SELECT document FROM payment_methods WHERE id = ?", [intent["payment_method"]])
    assert row is not None
    shown = ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding")
    details = card.details()
    suffix = intent["statement_descriptor_suffix"]
    descriptor = desk.account.settings.descriptor
    return {
        "id": new_id("ch"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": json.loads(row["document"])["billing_details"],
        "calculated_statement_descriptor": f"{descriptor}* {suffix}" if suffix else descriptor,
        "captured": False,
        "created": desk.account.now(),
        "currency": CURRENCY,
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": {
            "network_status": "approved_by_network",
            "reason": None,
            "risk_level": "normal",
            "risk_score": 20,
            "seller_message": "Payment complete.",
            "type": "authorized",
        },
        "paid": True,
        "payment_intent": intent["id"],
        "payment_method": intent["payment_method"],
        "payment_method_details": {
            "card": {name: details[name] for name in shown}
            | {"last4": card.last4, "network": card.brand, "three_d_secure": None, "wallet": None},
            "type": "card",
        },
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": suffix,
        "status": "succeeded",
        "transfer_data": None,
        "transfer_group": None,
    }
