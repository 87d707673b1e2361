"""The redirect gateway of the sandbox by itself: links, pages, notices until they are believed, questions, refunds."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from sandbox.redirect_gateway.app import create_app
from sandbox.redirect_gateway.book import Book, Settings
from sandbox.redirect_gateway.notices import Notices
from sandbox.redirect_gateway.wire import QUERY, QUERY_ANSWER, REFUND, checked_query, digest, over, with_hash
from tests.sandbox.outside import Moment, serving

SECRET, TERMINAL = "s3cret", "LIENTH01"
LINK = {
    "vnp_Version": "2.1.0",
    "vnp_Command": "pay",
    "vnp_TmnCode": TERMINAL,
    "vnp_Amount": "15000000",
    "vnp_CreateDate": "20260303090000",
    "vnp_ExpireDate": "20260303091500",
    "vnp_CurrCode": "VND",
    "vnp_IpAddr": "127.0.0.1",
    "vnp_Locale": "vn",
    "vnp_OrderInfo": "Nop phi ho so H01",
    "vnp_OrderType": "other",
    "vnp_ReturnUrl": "http://portal.test/back?a=1",
    "vnp_TxnRef": "LTABC",
}
ASK = {
    "vnp_RequestId": "q1",
    "vnp_Version": "2.1.0",
    "vnp_Command": "querydr",
    "vnp_TmnCode": TERMINAL,
    "vnp_TxnRef": "LTABC",
    "vnp_TransactionDate": "20260303090000",
    "vnp_CreateDate": "20260303090100",
    "vnp_IpAddr": "127.0.0.1",
    "vnp_OrderInfo": "hoi",
}
BACK = {
    **ASK,
    "vnp_RequestId": "r1",
    "vnp_Command": "refund",
    "vnp_TransactionType": "03",
    "vnp_Amount": "5000000",
    "vnp_TransactionNo": "0",
    "vnp_CreateBy": "ke-toan",
}


@dataclass
class Outside:
    """The gateway, its books, and a merchant's server that answers what the test wants."""

    http: httpx.AsyncClient
    book: Book
    notices: Notices
    moment: Moment
    told: list[dict[str, str]]
    answers: list[httpx.Response]

    def page(self, **changes: str) -> str:
        return f"/paymentv2/vpcpay.html?{with_hash(SECRET, {**LINK, **changes})}"

    async def open(self, **changes: str) -> httpx.Response:
        return await self.http.get(self.page(**changes))

    async def do(self, action: str = "pay", **fields: object) -> httpx.Response:
        return await self.http.post("/_sandbox/orders/LTABC", json={"action": action, **fields})

    async def ask(self, document: dict[str, str], names: list[str], *, secret: str = SECRET) -> dict[str, str]:
        sealed = {**document, "vnp_SecureHash": over(secret, document, names)}
        return dict((await self.http.post("/merchant_webapi/api/transaction", json=sealed)).json())

    async def send(self) -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(self._merchant)) as client:
            await self.notices.send_due(client)

    def _merchant(self, request: httpx.Request) -> httpx.Response:
        believed = checked_query(SECRET, request.url.query.decode())
        assert believed is not None
        self.told.append(believed)
        return self.answers.pop(0) if self.answers else httpx.Response(200, json={"RspCode": "00"})


@pytest.fixture
async def outside(tmp_path: Path, moment: Moment) -> AsyncIterator[Outside]:
    settings = Settings(terminal=TERMINAL, secret=SECRET, ipn_url="http://merchant.test/ipn", refund_seconds=60)
    app = create_app(settings, tmp_path / "redirect.sqlite", clock=moment)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as client:
        yield Outside(client, app.state.book, app.state.notices, moment, [], [])


def test_the_hash_is_hmac_sha_512() -> None:
    # RFC 4231, test case 2.
    assert digest("Jefe", "what do ya want for nothing?").startswith(
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7"
    )


@pytest.mark.parametrize(
    ("changes", "secret", "words"),
    [
        ({}, "another", "Sai chữ ký"),
        ({"vnp_TmnCode": "OTHER"}, SECRET, "Không tìm thấy"),
        ({"vnp_Amount": "many"}, SECRET, "không đúng định dạng"),
        ({"vnp_ReturnUrl": ""}, SECRET, "không đúng định dạng"),
        ({"vnp_ExpireDate": "20260303085959"}, SECRET, "quá hạn"),
    ],
)
async def test_a_link_that_is_not_right_shows_why_and_makes_no_order(
    outside: Outside, changes: dict[str, str], secret: str, words: str
) -> None:
    answer = await outside.http.get(f"/paymentv2/vpcpay.html?{with_hash(secret, {**LINK, **changes})}")

    assert answer.status_code == 400
    assert words in answer.text
    assert outside.book.totals()["paid_count"] == 0


async def test_a_person_pays_once_however_often_the_button_is_pressed(outside: Outside) -> None:
    shown = await outside.open()
    ticket = shown.text.split('name="ticket" value="')[1].split('"')[0]
    form = {"ticket": ticket, "action": "pay"}

    first = await outside.http.post("/paymentv2/orders/1", data=form)
    second = await outside.http.post("/paymentv2/orders/1", data={**form, "action": "decline"})
    forged = await outside.http.post("/paymentv2/orders/1", data={"ticket": "x", "action": "pay"})
    again = await outside.open()

    back = urlsplit(first.headers["location"])
    assert checked_query(SECRET, "&".join(part for part in back.query.split("&") if part.startswith("vnp_")))
    assert dict(parse_qsl(back.query))["a"] == "1"
    assert dict(parse_qsl(back.query))["vnp_ResponseCode"] == "00"
    assert second.headers["location"] == first.headers["location"]
    assert (forged.status_code, again.status_code) == (400, 400)
    assert outside.book.totals()["paid_dong"] == 150_000


async def test_the_merchant_is_told_until_it_knows(outside: Outside) -> None:
    await outside.open()
    await outside.do()
    outside.answers = [
        httpx.Response(500),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"RspCode": "97"}),
        httpx.Response(200, json={"RspCode": "02"}),
    ]

    for _ in range(6):
        await outside.send()
        outside.moment.now += 6

    (row,) = (await outside.http.get("/_sandbox/notices")).json()
    assert (row["state"], row["attempts"], len(outside.told)) == ("delivered", 4, 4)
    assert {one["vnp_Amount"] for one in outside.told} == {"15000000"}


async def test_a_merchant_that_never_knows_is_given_up(outside: Outside) -> None:
    await outside.open()
    await outside.do()
    outside.answers = [httpx.Response(503) for _ in range(20)]

    for _ in range(12):
        await outside.send()
        outside.moment.now += 6

    (row,) = (await outside.http.get("/_sandbox/notices")).json()
    assert (row["state"], row["attempts"]) == ("abandoned", 10)


async def test_notices_are_lost_doubled_and_late_on_request(outside: Outside) -> None:
    await outside.open()
    await outside.do(ipn="duplicate", delay_seconds=30)
    await outside.send()
    early = len(outside.told)
    outside.moment.now += 31
    await outside.send()

    assert (early, len(outside.told)) == (0, 3)
    assert (await outside.http.post("/_sandbox/orders/LTNOBODY", json={})).status_code == 404


@pytest.mark.parametrize(
    ("action", "status"), [("pay", "00"), ("decline", "02"), ("cancel", "02"), ("suspect", "07"), ("debited", "04")]
)
async def test_questions_are_answered_under_seal(outside: Outside, action: str, status: str) -> None:
    await outside.open()
    open_ = await outside.ask(ASK, QUERY)
    await outside.do(action, ipn="lost")
    answer = await outside.ask(ASK, QUERY)

    assert open_["vnp_TransactionStatus"] == "01"
    assert (answer["vnp_ResponseCode"], answer["vnp_TransactionStatus"]) == ("00", status)
    assert answer["vnp_SecureHash"] == over(SECRET, answer, QUERY_ANSWER)


async def test_questions_that_are_not_right_are_told_so(outside: Outside) -> None:
    await outside.open()

    assert (await outside.ask(ASK, QUERY, secret="x"))["vnp_ResponseCode"] == "97"
    assert (await outside.ask({**ASK, "vnp_TmnCode": "OTHER"}, QUERY))["vnp_ResponseCode"] == "02"
    assert (await outside.ask({**ASK, "vnp_RequestId": ""}, QUERY))["vnp_ResponseCode"] == "03"
    assert (await outside.ask({**ASK, "vnp_TxnRef": "LTZ"}, QUERY))["vnp_ResponseCode"] == "91"
    assert (await outside.ask({**ASK, "vnp_TransactionDate": "20260304090000"}, QUERY))["vnp_ResponseCode"] == "91"
    bad = await outside.http.post("/merchant_webapi/api/transaction", content=b"[")
    assert bad.json()["vnp_ResponseCode"] == "03"


async def test_refunds_are_capped_and_made_once(outside: Outside) -> None:
    await outside.open()
    early = await outside.ask(BACK, REFUND)
    await outside.do(ipn="lost")
    first = await outside.ask(BACK, REFUND)
    again = await outside.ask(BACK, REFUND)
    over_ = await outside.ask({**BACK, "vnp_RequestId": "r2", "vnp_Amount": "10000100"}, REFUND)
    whole = await outside.ask(
        {**BACK, "vnp_RequestId": "r3", "vnp_Amount": "15000000", "vnp_TransactionType": "02"}, REFUND
    )
    rest = await outside.ask({**BACK, "vnp_RequestId": "r4", "vnp_Amount": "10000000"}, REFUND)
    outside.moment.now += 61
    known = await outside.ask({**ASK, "vnp_TransactionNo": first["vnp_TransactionNo"]}, QUERY)

    codes = [one["vnp_ResponseCode"] for one in (early, first, again, over_, whole, rest)]
    assert codes == ["95", "00", "94", "95", "95", "00"]
    assert first["vnp_TransactionNo"] == again["vnp_TransactionNo"] != rest["vnp_TransactionNo"]
    assert (first["vnp_TransactionStatus"], known["vnp_TransactionStatus"]) == ("05", "06")
    assert outside.book.totals()["refunded_dong"] == 150_000


async def test_a_refund_the_bank_refuses_can_be_asked_for_again(outside: Outside) -> None:
    await outside.open()
    await outside.do(ipn="lost")
    first = await outside.ask(BACK, REFUND)
    await outside.http.post(f"/_sandbox/refunds/{first['vnp_TransactionNo']}/settle", json={"succeeds": False})

    known = await outside.ask({**ASK, "vnp_TransactionNo": first["vnp_TransactionNo"]}, QUERY)
    assert (known["vnp_TransactionStatus"], outside.book.totals()["refunded_dong"]) == ("09", 0)


async def test_faults_come_before_or_after_the_effect(tmp_path: Path) -> None:
    app = create_app(Settings(terminal=TERMINAL, secret=SECRET), tmp_path / "redirect.sqlite")
    parameters = {**LINK, "vnp_ExpireDate": "20990303091500"}
    async with serving(app) as url, httpx.AsyncClient(base_url=url, timeout=1) as client:
        await client.get(f"/paymentv2/vpcpay.html?{with_hash(SECRET, parameters)}")
        await client.post("/_sandbox/orders/LTABC", json={})
        made = []
        for number, effect in enumerate(("500", "reset", "timeout_before", "reset_after", "timeout_after")):
            script = {"command": "refund", "effect": effect, "seconds": 0.05}
            assert (await client.post("/_sandbox/faults", json=script)).status_code == 204
            document = {**BACK, "vnp_RequestId": f"f{number}", "vnp_Amount": "100"}
            sealed = {**document, "vnp_SecureHash": over(SECRET, document, REFUND)}
            try:
                answer = await client.post("/merchant_webapi/api/transaction", json=sealed)
                assert answer.status_code == 500
            except httpx.TransportError:
                await asyncio.sleep(0)
            made.append((await client.get("/_sandbox/totals")).json()["refund_count"])

    assert made == [0, 0, 0, 1, 2]
