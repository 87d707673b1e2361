"""Card payments at the sandbox gateway, with the statuses, amounts and words of the real wire."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.gateway.account import Settings
from sandbox.gateway.app import create_app
from tests.sandbox.outside import Moment

KEY = "sk_test_sandbox"


@pytest.fixture
async def gateway(tmp_path: Path, moment: Moment) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings(key=KEY, webhook_secret="whsec_x"), tmp_path / "gateway.sqlite", clock=moment)
    transport = httpx.ASGITransport(app=app)
    headers = {"authorization": f"Bearer {KEY}"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway.test", headers=headers) as client,
    ):
        yield client


async def created(gateway: httpx.AsyncClient, **parameters: Any) -> httpx.Response:
    return await gateway.post("/v1/payment_intents", data={"amount": 150_000, "currency": "vnd", **parameters})


async def paid(gateway: httpx.AsyncClient, amount: Any = 150_000, **parameters: Any) -> dict[str, Any]:
    card = {"payment_method": "pm_card_visa", "confirm": "true"}
    answer = await created(gateway, amount=amount, **card, **parameters)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def event_types(gateway: httpx.AsyncClient) -> list[str]:
    """Types of all events, oldest first."""
    events = (await gateway.get("/v1/events", params={"limit": 100})).json()["data"]
    return [event["type"] for event in reversed(events)]


async def test_a_confirmed_card_payment_moves_the_amount_less_the_fee(gateway: httpx.AsyncClient) -> None:
    intent = await paid(gateway, **{"metadata[dossier_code]": "H01-26", "description": "Lệ phí"})
    charge = (await gateway.get(f"/v1/charges/{intent['latest_charge']}")).json()
    transaction = (await gateway.get(f"/v1/balance_transactions/{charge['balance_transaction']}")).json()

    assert intent["status"] == "succeeded"
    assert (intent["amount"], intent["amount_received"], intent["amount_capturable"]) == (150_000, 150_000, 0)
    assert intent["metadata"] == charge["metadata"] == {"dossier_code": "H01-26"}
    assert intent["payment_method"].startswith("pm_")
    assert intent["payment_method"] != "pm_card_visa"
    assert (charge["status"], charge["captured"], charge["paid"]) == ("succeeded", True, True)
    assert charge["payment_method_details"]["card"]["last4"] == "4242"
    assert transaction["amount"] == 150_000
    assert transaction["fee"] == 3_300
    assert transaction["net"] == 146_700
    assert transaction["fee_details"][0]["type"] == "stripe_fee"
    assert (transaction["type"], transaction["reporting_category"]) == ("charge", "charge")
    assert (transaction["source"], transaction["status"]) == (charge["id"], "available")
    assert await event_types(gateway) == ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]


@pytest.mark.parametrize(("amount", "fee"), [(1, 1_650), (45, 1_650), (46, 1_651), (150_000, 3_300), (20_050, 1_871)])
async def test_the_fee_rounds_half_up_to_the_dong(gateway: httpx.AsyncClient, amount: int, fee: int) -> None:
    intent = await paid(gateway, amount)

    transactions = (await gateway.get("/v1/balance_transactions")).json()["data"]

    assert intent["amount_received"] == amount
    assert [(one["fee"], one["net"]) for one in transactions] == [(fee, amount - fee)]


async def test_create_then_confirm_in_two_steps(gateway: httpx.AsyncClient) -> None:
    intent = (await created(gateway)).json()
    without_card = await gateway.post(f"/v1/payment_intents/{intent['id']}/confirm")
    with_card = await gateway.post(
        f"/v1/payment_intents/{intent['id']}/confirm", data={"payment_method": "pm_card_visa"}
    )
    again = await gateway.post(f"/v1/payment_intents/{intent['id']}/confirm")

    assert intent["status"] == "requires_payment_method"
    assert without_card.status_code == 400
    assert without_card.json()["error"]["code"] == "payment_intent_unexpected_state"
    assert with_card.json()["status"] == "succeeded"
    assert again.status_code == 400
    assert again.json()["error"]["message"] == (
        "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed."
    )


@pytest.mark.parametrize(
    ("token", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
    ],
)
async def test_a_declined_card_answers_402_and_leaves_the_intent_payable(
    gateway: httpx.AsyncClient, token: str, code: str, decline_code: str
) -> None:
    answer = await created(gateway, payment_method=token, confirm="true")
    error = answer.json()["error"]
    intent = (await gateway.get(f"/v1/payment_intents/{error['payment_intent']['id']}")).json()
    charge = (await gateway.get(f"/v1/charges/{error['charge']}")).json()

    assert answer.status_code == 402
    assert (error["type"], error["code"], error["decline_code"]) == ("card_error", code, decline_code)
    assert intent == error["payment_intent"]
    assert (intent["status"], intent["payment_method"]) == ("requires_payment_method", None)
    assert intent["last_payment_error"]["decline_code"] == decline_code
    assert (charge["status"], charge["paid"], charge["failure_code"]) == ("failed", False, code)
    assert (await gateway.get("/v1/balance_transactions")).json()["data"] == []
    assert await event_types(gateway) == ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]

    second = await gateway.post(f"/v1/payment_intents/{intent['id']}/confirm", data={"payment_method": "pm_card_visa"})
    assert (second.json()["status"], second.json()["last_payment_error"]) == ("succeeded", None)


async def test_a_card_token_works_through_payment_method_data(gateway: httpx.AsyncClient) -> None:
    data = {"payment_method_data[type]": "card", "payment_method_data[card][token]": "tok_mastercard"}
    intent = (await created(gateway, confirm="true", **data)).json()
    method = (await gateway.get(f"/v1/payment_methods/{intent['payment_method']}")).json()
    reused = (await created(gateway, confirm="true", payment_method=method["id"])).json()

    assert (intent["status"], reused["status"]) == ("succeeded", "succeeded")
    assert (method["card"]["brand"], method["card"]["last4"]) == ("mastercard", "4444")
    assert reused["payment_method"] == method["id"]


async def test_three_d_secure_waits_for_the_cardholder(gateway: httpx.AsyncClient) -> None:
    back = "http://portal.test/return?a=1"
    intent = (
        await created(gateway, payment_method="pm_card_threeDSecure2Required", confirm="true", return_url=back)
    ).json()
    authenticated = await gateway.post(
        f"/_sandbox/payment_intents/{intent['id']}/authenticate", json={"succeeds": True}
    )

    assert intent["status"] == "requires_action"
    assert intent["next_action"]["type"] == "redirect_to_url"
    assert intent["next_action"]["redirect_to_url"] == {
        "return_url": back,
        "url": f"http://gateway.test/pay/{intent['id']}?return_url=http%3A%2F%2Fportal.test%2Freturn%3Fa%3D1",
    }
    assert intent["latest_charge"] is None
    assert (authenticated.json()["status"], authenticated.json()["next_action"]) == ("succeeded", None)
    assert await event_types(gateway) == [
        "payment_intent.created",
        "payment_intent.requires_action",
        "charge.succeeded",
        "payment_intent.succeeded",
    ]


async def test_failed_authentication_takes_no_money(gateway: httpx.AsyncClient) -> None:
    intent = (await created(gateway, payment_method="pm_card_threeDSecure2Required", confirm="true")).json()

    failed = await gateway.post(f"/_sandbox/payment_intents/{intent['id']}/authenticate", json={"succeeds": False})

    assert intent["next_action"]["type"] == "use_stripe_sdk"
    assert failed.json()["status"] == "requires_payment_method"
    assert failed.json()["last_payment_error"]["code"] == "payment_intent_authentication_failure"
    assert (await gateway.get("/_sandbox/totals")).json()["charges_dong"] == 0


async def test_manual_capture_of_a_part_releases_the_rest(gateway: httpx.AsyncClient) -> None:
    intent = await paid(gateway, capture_method="manual")
    too_much = await gateway.post(f"/v1/payment_intents/{intent['id']}/capture", data={"amount_to_capture": 150_001})
    assert (await gateway.get("/_sandbox/totals")).json()["authorised_dong"] == 150_000
    captured = (
        await gateway.post(f"/v1/payment_intents/{intent['id']}/capture", data={"amount_to_capture": 100_000})
    ).json()
    charge = (await gateway.get(f"/v1/charges/{captured['latest_charge']}")).json()
    transactions = (await gateway.get("/v1/balance_transactions")).json()["data"]

    assert (intent["status"], intent["amount_capturable"], intent["amount_received"]) == (
        "requires_capture",
        150_000,
        0,
    )
    assert (too_much.status_code, too_much.json()["error"]["code"]) == (400, "amount_too_large")
    assert (captured["status"], captured["amount_received"], captured["amount_capturable"]) == ("succeeded", 100_000, 0)
    assert (charge["amount"], charge["amount_captured"], charge["amount_refunded"]) == (150_000, 100_000, 50_000)
    assert charge["refunded"] is False
    assert [(one["type"], one["amount"]) for one in transactions] == [("charge", 100_000)]
    assert "charge.captured" in await event_types(gateway)


async def test_cancel_releases_an_authorised_amount_and_refuses_a_paid_one(gateway: httpx.AsyncClient) -> None:
    held = await paid(gateway, capture_method="manual")
    done = await paid(gateway)
    canceled = await gateway.post(f"/v1/payment_intents/{held['id']}/cancel", data={"cancellation_reason": "abandoned"})
    refused = await gateway.post(f"/v1/payment_intents/{done['id']}/cancel")
    late = await gateway.post(f"/v1/payment_intents/{held['id']}/confirm", data={"payment_method": "pm_card_visa"})

    body = canceled.json()
    assert (body["status"], body["cancellation_reason"], body["amount_capturable"]) == ("canceled", "abandoned", 0)
    assert body["canceled_at"] == 1_772_503_200
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "payment_intent_unexpected_state"
    assert "because it has a status of succeeded" in refused.json()["error"]["message"]
    assert late.status_code == 400
    charge = (await gateway.get(f"/v1/charges/{body['latest_charge']}")).json()
    assert (charge["captured"], charge["refunded"], charge["amount_refunded"]) == (False, True, 150_000)
    assert (await gateway.get("/_sandbox/totals")).json()["charges_dong"] == 150_000


async def test_an_authorisation_lapses_once_and_only_while_it_stands(gateway: httpx.AsyncClient) -> None:
    held, done = await paid(gateway, capture_method="manual"), await paid(gateway)

    lapsed = (await gateway.post(f"/_sandbox/payment_intents/{held['id']}/lapse")).json()
    again = await gateway.post(f"/_sandbox/payment_intents/{held['id']}/lapse")
    of_a_paid_one = await gateway.post(f"/_sandbox/payment_intents/{done['id']}/lapse")
    late = await gateway.post(f"/v1/payment_intents/{held['id']}/capture")

    assert (lapsed["status"], lapsed["cancellation_reason"], lapsed["amount_capturable"]) == (
        "canceled",
        "automatic",
        0,
    )
    assert [answer.status_code for answer in (again, of_a_paid_one, late)] == [400, 400, 400]
    charge = (await gateway.get(f"/v1/charges/{lapsed['latest_charge']}")).json()
    assert (charge["captured"], charge["amount_refunded"]) == (False, 150_000)


async def test_metadata_merges_and_the_amount_is_fixed_after_success(gateway: httpx.AsyncClient) -> None:
    intent = await paid(gateway, **{"metadata[a]": "1", "metadata[b]": "2"})
    address = f"/v1/payment_intents/{intent['id']}"

    merged = await gateway.post(address, data={"metadata[a]": "", "metadata[c]": "3"})
    refused = await gateway.post(address, data={"amount": 10})
    cleared = await gateway.post(address, data={"metadata": ""})

    assert merged.json()["metadata"] == {"b": "2", "c": "3"}
    assert refused.json()["error"]["code"] == "payment_intent_unexpected_state"
    assert (cleared.json()["metadata"], cleared.json()["amount"]) == ({}, 150_000)


async def test_automatic_payment_methods_need_a_return_url(gateway: httpx.AsyncClient) -> None:
    wanted = {"automatic_payment_methods[enabled]": "true", "payment_method": "pm_card_visa", "confirm": "true"}

    refused = await created(gateway, **wanted)
    never = await created(gateway, **wanted, **{"automatic_payment_methods[allow_redirects]": "never"})
    given = await created(gateway, **wanted, return_url="http://portal.test/")

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "return_url")
    assert [never.json()["status"], given.json()["status"]] == ["succeeded", "succeeded"]
    assert never.json()["automatic_payment_methods"] == {"enabled": True, "allow_redirects": "never"}
