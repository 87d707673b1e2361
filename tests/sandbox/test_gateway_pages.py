"""The hosted payment page: plain forms, two languages, and a way back to the merchant."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from sandbox.gateway.account import Settings
from sandbox.gateway.app import create_app

KEY = "sk_test_sandbox"
BACK = "http://portal.test/return?step=2"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings(key=KEY, webhook_secret="whsec_x"), tmp_path / "gateway.sqlite")
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway.test", auth=(KEY, "")) as client,
    ):
        yield client


async def intent(gateway: httpx.AsyncClient, **parameters: str) -> dict[str, Any]:
    wanted = {"amount": "1250000", "currency": "vnd", "description": "Lệ phí <1>", **parameters}
    return dict((await gateway.post("/v1/payment_intents", data=wanted)).json())


async def status(gateway: httpx.AsyncClient, identifier: str) -> str:
    return str((await gateway.get(f"/v1/payment_intents/{identifier}")).json()["status"])


async def press(gateway: httpx.AsyncClient, identifier: str, action: str, back: str = BACK) -> httpx.Response:
    return await gateway.post(f"/pay/{identifier}", data={"action": action, "return_url": back, "lang": "vi"})


async def test_the_page_says_what_is_paid_in_both_languages(gateway: httpx.AsyncClient) -> None:
    made = await intent(gateway)
    vietnamese = await gateway.get(f"/pay/{made['id']}", params={"return_url": BACK})
    english = await gateway.get(f"/pay/{made['id']}", params={"return_url": BACK, "lang": "en"})

    assert '<html lang="vi">' in vietnamese.text
    assert "1.250.000 đ" in vietnamese.text
    assert "Lệ phí &lt;1&gt;" in vietnamese.text
    assert re.findall(r'name="action" value="(\w+)"', vietnamese.text) == ["pay", "decline", "cancel"]
    assert "<script" not in vietnamese.text
    assert '<html lang="en">' in english.text
    assert "1,250,000 đ" in english.text
    assert vietnamese.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    ("action", "redirect_status", "afterwards"),
    [
        ("pay", "succeeded", "succeeded"),
        ("decline", "failed", "requires_payment_method"),
        ("cancel", "canceled", "requires_payment_method"),
    ],
)
async def test_each_button_leads_back_with_its_result(
    gateway: httpx.AsyncClient, action: str, redirect_status: str, afterwards: str
) -> None:
    made = await intent(gateway)

    answer = await press(gateway, made["id"], action)

    target = urlsplit(answer.headers["location"])
    assert answer.status_code == 303
    assert f"{target.scheme}://{target.netloc}{target.path}" == "http://portal.test/return"
    assert parse_qsl(target.query) == [
        ("step", "2"),
        ("payment_intent", made["id"]),
        ("payment_intent_client_secret", made["client_secret"]),
        ("redirect_status", redirect_status),
    ]
    assert await status(gateway, made["id"]) == afterwards


async def test_paying_twice_takes_the_money_once(gateway: httpx.AsyncClient) -> None:
    made = await intent(gateway)

    answers = [await press(gateway, made["id"], "pay"), await press(gateway, made["id"], "pay")]

    assert [one.headers["location"].endswith("redirect_status=succeeded") for one in answers] == [True, True]
    assert (await gateway.get("/_sandbox/totals")).json()["charges_dong"] == 1_250_000


@pytest.mark.parametrize(("action", "afterwards"), [("pay", "succeeded"), ("decline", "requires_payment_method")])
async def test_the_page_authenticates_three_d_secure(gateway: httpx.AsyncClient, action: str, afterwards: str) -> None:
    card = {"payment_method": "pm_card_threeDSecure2Required", "confirm": "true", "return_url": BACK}
    made = await intent(gateway, **card)
    page = await gateway.get(made["next_action"]["redirect_to_url"]["url"])

    answer = await press(gateway, made["id"], action)

    assert "Ngân hàng yêu cầu xác thực giao dịch này." in page.text
    assert answer.status_code == 303
    assert await status(gateway, made["id"]) == afterwards


async def test_a_canceled_payment_cannot_be_made(gateway: httpx.AsyncClient) -> None:
    made = await intent(gateway)
    await gateway.post(f"/v1/payment_intents/{made['id']}/cancel")

    page = await gateway.get(f"/pay/{made['id']}")
    answer = await press(gateway, made["id"], "pay")

    assert "đã bị hủy" in page.text
    assert 'name="action"' not in page.text
    assert answer.status_code == 400
    assert (await gateway.get("/_sandbox/totals")).json()["charges_dong"] == 0


async def test_only_web_addresses_are_returned_to(gateway: httpx.AsyncClient) -> None:
    made = await intent(gateway)

    answer = await press(gateway, made["id"], "pay", "javascript:alert(1)")
    shown = await gateway.get(answer.headers["location"])

    assert answer.headers["location"] == f"/pay/{made['id']}?lang=vi&result=succeeded"
    assert "Giao dịch đã được thanh toán." in shown.text


async def test_an_unknown_payment_is_a_page_too(gateway: httpx.AsyncClient) -> None:
    answer = await gateway.get("/pay/pi_nobody")

    assert answer.status_code == 404
    assert "Không tìm thấy giao dịch thanh toán này." in answer.text
