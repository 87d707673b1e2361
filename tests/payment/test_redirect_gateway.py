"""The second kind of gateway through the real service: a signed link, the person's way, notices, questions, refunds."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from kit.db import now
from sandbox.redirect_gateway.app import create_app
from sandbox.redirect_gateway.book import Book, Settings
from services.payment.app import create_app as create_service
from services.payment.gateway.redirect_wire import signed_query
from services.payment.operations.inbox import work_once
from tests.conftest import Issuer
from tests.payment.conftest import World, settings_for, world_on
from tests.payment.proofs import prove_the_books

TERMINAL, SECRET = "LIENTH01", "redirect-secret"
SETTINGS = {
    "card_gateway": "redirect",
    "redirect_pay_url": "http://redirect.test/paymentv2/vpcpay.html",
    "redirect_api_url": "http://redirect.test/merchant_webapi/api/transaction",
    "redirect_terminal": TERMINAL,
    "redirect_secret": SECRET,
}
NOTICE = "http://service.test/webhooks/redirect"


@dataclass
class Redirecting:
    """A payment service whose cards go to the redirect gateway, and that gateway."""

    world: World
    page: httpx.AsyncClient
    app: Any
    book: Book

    async def begun(self, *amounts: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """A bill and its attempt, whose link nobody has followed."""
        payment = await self.world.bill(*amounts)
        return payment, await self.world.attempt(payment)

    async def opened(self, *amounts: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """A bill and its attempt, whose link somebody has followed."""
        payment, attempt = await self.begun(*amounts)
        shown = await self.page.get(attempt["pay_url"])
        assert shown.status_code == 200, shown.text
        return payment, attempt

    async def do(self, attempt: dict[str, Any], action: str = "pay", **fields: Any) -> dict[str, str]:
        """What the person does at the gateway."""
        path = f"/_sandbox/orders/{reference_of(attempt)}"
        answer = await self.page.post(path, json={"action": action, **fields})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def deliver(self) -> list[dict[str, Any]]:
        """Send the notices that wait, and let the service work on them; all notices with their answers."""
        await self.app.state.notices.send_due(self.world.client)
        await work_once(self.world.till)
        return list((await self.page.get("/_sandbox/notices")).json())

    async def tell(self, query: str) -> str:
        """A notice as anybody could send it; the code it is answered with."""
        answer = await self.world.client.get(f"/webhooks/redirect?{query}")
        assert answer.status_code == 200
        return str(answer.json()["RspCode"])

    async def stored(self) -> int:
        return int(await self.world.database.fetchval("select count(*) from inbound"))


def reference_of(attempt: dict[str, Any]) -> str:
    return dict(parse_qsl(urlsplit(str(attempt["pay_url"])).query))["vnp_TxnRef"]


def forged(query: str, *, secret: str = SECRET, **changes: str) -> str:
    """A notice with other contents, signed with some secret."""
    parameters = {name: value for name, value in parse_qsl(query) if name != "vnp_SecureHash"}
    return signed_query(secret, {**parameters, **changes})


@pytest.fixture
async def redirecting(database: Callable[[str], Any], issuer: Issuer, tmp_path: Path) -> AsyncIterator[Redirecting]:
    app = create_app(
        Settings(terminal=TERMINAL, secret=SECRET, ipn_url=NOTICE, refund_seconds=0, retry_seconds=0),
        tmp_path / "redirect.sqlite",
    )
    transport = httpx.ASGITransport(app)
    async with (
        world_on(await database("payment"), issuer, tmp_path, **SETTINGS) as world,
        httpx.AsyncClient(transport=transport, base_url="http://redirect.test") as page,
    ):
        world.line.routes["redirect.test"] = transport
        yield Redirecting(world, page, app, app.state.book)
        await prove_the_books(world.database)


async def test_the_link_carries_the_amount_a_hundredfold_and_our_signature(redirecting: Redirecting) -> None:
    _, attempt = await redirecting.begun(150_000)

    sent = dict(parse_qsl(urlsplit(attempt["pay_url"]).query))
    assert attempt["status"] == "requires_action"
    assert (sent["vnp_Amount"], sent["vnp_TmnCode"], sent["vnp_CurrCode"]) == ("15000000", TERMINAL, "VND")
    assert sent["vnp_ReturnUrl"] == "http://service.test/webhooks/redirect/return"
    assert sent["vnp_TxnRef"].startswith("LT")
    assert len(sent["vnp_SecureHash"]) == 128
    assert redirecting.world.line.count("POST", "/api/transaction") == 0


async def test_a_payment_is_booked_by_its_notice_once_however_often_it_comes(redirecting: Redirecting) -> None:
    payment, attempt = await redirecting.opened(150_000)
    await redirecting.do(attempt, ipn="duplicate")

    notices = await redirecting.deliver()
    found = await redirecting.world.read(payment)
    again = await redirecting.tell(notices[0]["query"])

    assert [notice["state"] for notice in notices] == ["delivered"] * 3
    assert (found["status"], found["paid_dong"]) == ("paid", 150_000)
    assert await redirecting.stored() == 1
    assert again == "02"
    assert await redirecting.world.database.fetchval("select count(*) from intake") == 1
    assert (await redirecting.world.balances())["gateway_clearing"] == 150_000


async def test_a_person_clicks_through_and_comes_back_to_the_pay_page(redirecting: Redirecting) -> None:
    payment, attempt = await redirecting.begun(80_000)
    shown = await redirecting.page.get(attempt["pay_url"])
    ticket = shown.text.split('name="ticket" value="')[1].split('"')[0]
    action = shown.text.split('action="')[1].split('"')[0]
    assert "80.000 đ" in shown.text

    sent_back = await redirecting.page.post(action, data={"ticket": ticket, "action": "pay"})
    back = await redirecting.world.client.get(sent_back.headers["location"])
    landed = await redirecting.world.client.get(back.headers["location"])
    await work_once(redirecting.world.till)

    assert (sent_back.status_code, back.status_code, landed.status_code) == (303, 303, 200)
    assert back.headers["location"].startswith(f"http://service.test/pay/{payment['id']}?token=")
    assert (await redirecting.world.read(payment))["status"] == "paid"


async def test_a_return_without_a_notice_has_the_order_asked_about(redirecting: Redirecting) -> None:
    payment, attempt = await redirecting.opened(80_000)
    done = await redirecting.do(attempt, ipn="lost")

    back = await redirecting.world.client.get(f"/webhooks/redirect/return?{done['query']}")
    before = (await redirecting.world.read(payment))["status"]
    await work_once(redirecting.world.till)

    assert (back.status_code, before) == (303, "pending")
    assert (await redirecting.world.read(payment))["status"] == "paid"


async def test_neither_notice_nor_return_the_sweeper_asks(redirecting: Redirecting) -> None:
    payment, attempt = await redirecting.opened(80_000)
    await redirecting.do(attempt, ipn="lost")

    await redirecting.world.make_due()
    await redirecting.world.sweep()

    assert (await redirecting.world.read(payment))["status"] == "paid"


@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_refusal_ends_the_attempt_and_another_may_begin(redirecting: Redirecting, action: str) -> None:
    payment, attempt = await redirecting.opened(80_000)
    await redirecting.do(attempt, action)
    await redirecting.deliver()
    ended = await redirecting.world.read(payment)
    second = await redirecting.world.attempt(payment)

    assert (ended["status"], ended["attempts"][0]["status"]) == ("open", "failed")
    assert second["status"] == "requires_action"
    assert reference_of(second) != reference_of(attempt)


@pytest.mark.parametrize("action", ["suspect", "debited"])
async def test_money_in_doubt_is_unknown_and_blocks_a_second_attempt(redirecting: Redirecting, action: str) -> None:
    payment, attempt = await redirecting.opened(80_000)
    await redirecting.do(attempt, action)
    await redirecting.deliver()

    blocked = await redirecting.world.call(
        "POST", f"/v1/payments/{payment['id']}/attempts", {"method": "card", "replace": True}
    )
    assert (await redirecting.world.read(payment))["status"] == "unknown"
    assert blocked.status_code == 409
    assert await redirecting.world.balances() == {"citizen_receivable": 80_000, "fee_revenue:G01.02": -80_000}


async def test_what_the_gateway_took_is_booked_although_it_is_not_what_we_asked(redirecting: Redirecting) -> None:
    payment, attempt = await redirecting.opened(80_000)
    await redirecting.do(attempt, amount_dong=50_000)
    notices = await redirecting.deliver()

    found = await redirecting.world.read(payment)
    assert notices[0]["answer"] == '{"RspCode":"04","Message":"Invalid amount"}'
    assert (found["status"], found["paid_dong"]) == ("partially_paid", 50_000)
    assert found["attempts"][0]["status"] == "succeeded_mismatch"


FORGERIES: dict[str, Callable[[str], str]] = {
    "another amount": lambda query: query.replace("vnp_Amount=8000000", "vnp_Amount=100"),
    "another answer": lambda query: query.replace("ResponseCode=51", "ResponseCode=00"),
    "no hash": lambda query: query.split("&vnp_SecureHash=")[0],
    "an empty hash": lambda query: query.split("vnp_SecureHash=")[0] + "vnp_SecureHash=",
    "a parameter twice": lambda query: query + "&vnp_Amount=8000000",
    "a parameter more": lambda query: query + "&vnp_Extra=1",
    "another secret": lambda query: forged(query, secret="another"),
    "nothing": lambda _: "",
    "no text": lambda _: "vnp_TxnRef=%ff%fe",
    "a nul": lambda query: forged(query, vnp_OrderInfo="a\x00b"),
    "too long": lambda query: forged(query, vnp_OrderInfo="x" * 5_000),
}


async def test_a_notice_that_is_not_genuine_is_refused_before_anything_else(redirecting: Redirecting) -> None:
    payment, attempt = await redirecting.opened(80_000)
    done = await redirecting.do(attempt, "decline", ipn="lost")

    answers = {}
    for name, change in FORGERIES.items():
        query = change(done["query"])
        back = await redirecting.world.client.get(f"/webhooks/redirect/return?{query}")
        answers[name] = (await redirecting.tell(query), back.status_code)

    assert answers == dict.fromkeys(FORGERIES, ("97", 401))
    assert await redirecting.stored() == 0
    assert redirecting.world.line.count("POST", "/api/transaction") == 0
    assert (await redirecting.world.read(payment))["status"] == "pending"


async def test_a_genuine_notice_of_another_order_is_not_ours(redirecting: Redirecting) -> None:
    _, attempt = await redirecting.opened(80_000)
    done = await redirecting.do(attempt, ipn="lost")

    for name, value in (
        ("vnp_TmnCode", "OTHER001"),
        ("vnp_TxnRef", "LT00000000"),
        ("vnp_TxnRef", ""),
        ("vnp_TxnRef", "x" * 101),
    ):
        query = forged(done["query"], **{name: value})
        back = await redirecting.world.client.get(f"/webhooks/redirect/return?{query}")
        assert (await redirecting.tell(query), back.status_code) == ("01", 404)

    assert await redirecting.stored() == 0


async def test_a_genuine_notice_cannot_say_what_the_gateway_does_not_confirm(redirecting: Redirecting) -> None:
    """Signed by whoever has our secret: still nothing moves until the gateway itself says so."""
    payment, attempt = await redirecting.opened(80_000)
    claim = {
        "vnp_TmnCode": TERMINAL,
        "vnp_TxnRef": reference_of(attempt),
        "vnp_Amount": "8000000",
        "vnp_ResponseCode": "00",
        "vnp_TransactionStatus": "00",
    }

    assert await redirecting.tell(signed_query(SECRET, claim)) == "00"
    await work_once(redirecting.world.till)

    assert (await redirecting.world.read(payment))["status"] == "pending"


async def test_a_link_that_was_never_written_down_is_made_again(redirecting: Redirecting) -> None:
    """The process died between noting the order and noting its link."""
    payment, attempt = await redirecting.begun(80_000)
    await redirecting.world.database.execute("update attempt set pay_url = null")

    await redirecting.world.make_due()
    await redirecting.world.sweep()

    (found,) = (await redirecting.world.read(payment))["attempts"]
    assert (found["status"], found["pay_url"]) == ("requires_action", attempt["pay_url"])


async def test_an_answer_that_the_gateway_did_not_sign_is_no_answer(redirecting: Redirecting) -> None:
    payment, attempt = await redirecting.opened(80_000)
    await redirecting.do(attempt, ipn="lost")

    def bend(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        if request.url.path.endswith("/transaction"):
            text = answer.read().decode().replace('"8000000"', '"800000000"')
            return httpx.Response(200, content=text.encode(), headers={"content-type": "application/json"})
        return answer

    redirecting.world.line.after = bend
    await redirecting.world.make_due()
    await redirecting.world.sweep()
    bent = (await redirecting.world.read(payment))["status"]
    redirecting.world.line.after = None
    await redirecting.world.make_due()
    await redirecting.world.sweep()

    assert (bent, (await redirecting.world.read(payment))["status"]) == ("pending", "paid")


async def test_an_open_link_is_never_called_cancelled_before_it_ends(redirecting: Redirecting) -> None:
    payment, _ = await redirecting.opened(80_000)

    replaced = await redirecting.world.call(
        "POST", f"/v1/payments/{payment['id']}/attempts", {"method": "vietqr", "replace": True}
    )

    assert replaced.status_code == 409
    assert (await redirecting.world.read(payment))["attempts"][0]["status"] == "requires_action"


async def test_expiry_asks_first_and_books_what_was_paid(redirecting: Redirecting) -> None:
    payment, attempt = await redirecting.opened(80_000)
    await redirecting.do(attempt, ipn="lost")

    await redirecting.world.pass_time(payment)
    await redirecting.world.sweep()

    assert (await redirecting.world.read(payment))["status"] == "paid"


async def test_a_link_nobody_followed_ends_with_its_time(redirecting: Redirecting) -> None:
    payment = await redirecting.world.bill(80_000)
    await redirecting.world.attempt(payment, expires_in_seconds=1)
    gateway = redirecting.world.till.gateway._redirect  # type: ignore[attr-defined]
    gateway._clock = lambda: now() + timedelta(seconds=5)
    await redirecting.world.pass_time(payment)
    await redirecting.world.sweep()

    assert (await redirecting.world.read(payment))["attempts"][0]["status"] == "expired"


@pytest.mark.parametrize("amount", [80_000, 30_000])
async def test_a_refund_goes_back_through_the_gateway(redirecting: Redirecting, amount: int) -> None:
    payment = await _paid(redirecting, 80_000)
    refund = await redirecting.world.refund(payment, amount)
    await redirecting.world.make_due()
    await redirecting.world.sweep()
    await redirecting.world.make_due()
    await redirecting.world.sweep()

    found = await redirecting.world.ok("GET", f"/v1/refunds/{refund['id']}")
    assert found["status"] == "succeeded"
    assert redirecting.book.totals()["refunded_dong"] == amount
    assert (await redirecting.world.balances()).get("gateway_clearing", 0) == 80_000 - amount


async def test_a_refund_whose_answer_was_lost_is_made_once(redirecting: Redirecting) -> None:
    payment = await _paid(redirecting, 80_000)

    def lose(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        if b'"refund"' in request.content:
            raise httpx.ReadTimeout("lost", request=request)
        return answer

    redirecting.world.line.after = lose
    refund = await redirecting.world.refund(payment, 30_000)
    await redirecting.world.make_due()
    await redirecting.world.sweep()
    redirecting.world.line.after = None
    for _ in range(2):
        await redirecting.world.make_due()
        await redirecting.world.sweep()

    found = await redirecting.world.ok("GET", f"/v1/refunds/{refund['id']}")
    assert found["status"] == "succeeded"
    assert redirecting.book.totals()["refund_count"] == 1
    assert redirecting.book.totals()["refunded_dong"] == 30_000


async def test_a_refund_the_bank_refuses_returns_to_the_bill(redirecting: Redirecting) -> None:
    payment = await _paid(redirecting, 80_000)
    redirecting.book.state.execute(
        "CREATE TRIGGER no AFTER INSERT ON refunds BEGIN UPDATE refunds SET outcome = '09'; END"
    )
    refund = await redirecting.world.refund(payment, 30_000)
    for _ in range(2):
        await redirecting.world.make_due()
        await redirecting.world.sweep()

    assert (await redirecting.world.ok("GET", f"/v1/refunds/{refund['id']}"))["status"] == "failed"
    assert (await redirecting.world.read(payment))["refundable_dong"] == 80_000


async def test_a_deployment_that_changes_its_gateway_still_finishes_what_was_begun(redirecting: Redirecting) -> None:
    payment, attempt = await redirecting.opened(80_000)
    await redirecting.do(attempt, ipn="lost")
    gateway = redirecting.world.till.gateway
    gateway._chosen = gateway._wire  # type: ignore[attr-defined]

    card = await redirecting.world.paid_by_card(20_000)
    await redirecting.world.make_due()
    await redirecting.world.sweep()

    assert card["status"] == "paid"
    assert (await redirecting.world.read(payment))["status"] == "paid"


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_pay_url": None},
        {"redirect_api_url": None},
        {"redirect_terminal": None},
        {"redirect_secret": None},
        {"redirect_secret": ""},
    ],
)
def test_a_redirect_gateway_that_is_half_configured_is_refused_at_start_up(changes: dict[str, Any]) -> None:
    settings = settings_for("postgresql://nobody@127.0.0.1:1/none", **{**SETTINGS, **changes})

    with pytest.raises(ValueError, match=r"redirect|secret"):
        create_service(settings)


async def _paid(redirecting: Redirecting, amount: int) -> dict[str, Any]:
    payment, attempt = await redirecting.opened(amount)
    await redirecting.do(attempt)
    await redirecting.deliver()
    found = await redirecting.world.read(payment)
    assert found["status"] == "paid"
    return found
