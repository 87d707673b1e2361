"""The pages, as people use them: forms, redirects, flashes; no JavaScript anywhere."""

import base64
import json
import re
import time
from typing import Any

import httpx
import itsdangerous
import pytest

from services.postal import codes
from tests.postal.conftest import CHECKLIST, PERSON, Post, event, journey

COURIER = ("buu-ta-1", "postal:courier postal:read")
DISPATCHER = ("dieu-phoi", "postal:dispatch postal:read postal:write")
CSRF = "c" * 43
COOKIE = "lien_thong_pages-postal"


def sign_in(post: Post, who: tuple[str, str]) -> httpx.AsyncClient:
    """A browser with the session that signing in leaves behind."""
    name, scopes = who
    person = {"sub": name, "azp": "pages-postal", "name": name, "org": "*", "scope": scopes, "roles": []}
    session = {"csrf": CSRF, "person": {**person, "until": int(time.time()) + 3_600}}
    cookie = itsdangerous.TimestampSigner("s" * 32).sign(base64.b64encode(json.dumps(session).encode())).decode()
    transport = httpx.ASGITransport(app=post.app)
    return httpx.AsyncClient(
        transport=transport, base_url="http://postal.test", cookies={COOKIE: cookie}, headers={"accept": "text/html"}
    )


def form_of(html: str, action: str) -> dict[str, str]:
    """The hidden fields of the form that posts to `action`."""
    block = re.search(rf'<form[^>]*action="{re.escape(action)}".*?</form>', html, re.DOTALL)
    assert block is not None, f"no form for {action}"
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', block.group(0)))


async def _out_for_delivery(post: Post, **changes: Any) -> dict[str, Any]:
    shipment = await post.book("return", **changes)
    await post.send(*journey(shipment)[:6])
    return shipment


@pytest.mark.parametrize(
    "path", ["/", "/courier", "/board", "/shipments", "/shipments/shp_1", "/claims", "/courier/shipments/shp_1"]
)
async def test_pages_of_the_post_need_a_sign_in(post: Post, path: str) -> None:
    answer = await post.client.get(path, headers={"accept": "text/html"})

    assert answer.status_code == 303
    assert answer.headers["location"] == f"/login?next={path}"


async def test_home_leads_each_person_to_the_first_page(post: Post) -> None:
    for who, first in ((COURIER, "/courier"), (DISPATCHER, "/board")):
        async with sign_in(post, who) as browser:
            assert (await browser.get("/")).headers["location"] == first
            assert (await browser.get("/rounds")).headers["location"] == "/courier"
            assert (await browser.get(first)).status_code == 200


async def test_a_courier_may_not_open_the_desk(post: Post) -> None:
    async with sign_in(post, COURIER) as browser:
        for path in ("/board", "/shipments", "/claims"):
            assert (await browser.get(path)).status_code == 403


async def test_a_form_without_its_token_changes_nothing(post: Post) -> None:
    shipment = await _out_for_delivery(post)
    action = f"/courier/shipments/{shipment['id']}/deliver"
    async with sign_in(post, COURIER) as browser:
        form = form_of((await browser.get(f"/courier/shipments/{shipment['id']}")).text, action)
        forged = {**form, "csrf": "x" * 43, "receiver": "addressee", "proof": "code"}

        answer = await browser.post(action, data=forged)

    assert answer.status_code == 403
    assert (await post.get(shipment))["status"] == "out_for_delivery"


async def test_a_delivery_in_four_taps_and_a_double_tap_is_harmless(post: Post) -> None:
    shipment = await _out_for_delivery(post, cash={"amount_dong": 130_000, "payment_id": "p", "attempt_reference": "a"})
    action = f"/courier/shipments/{shipment['id']}/deliver"
    async with sign_in(post, COURIER) as browser:
        round_page = (await browser.get("/courier")).text
        assert f'href="/courier/shipments/{shipment["id"]}"' in round_page  # first tap
        stop = (await browser.get(f"/courier/shipments/{shipment['id']}")).text
        assert 'value="130.000"' in stop
        code = codes.receiver_code("l" * 32, shipment["s10"])
        proof = {"receiver": "addressee", "proof": "code", "code": f"{code[:4]} {code[4:].lower()}"}
        filled = {**form_of(stop, action), **proof, "cash": "130.000"}

        first, second = await browser.post(action, data=filled), await browser.post(action, data=filled)
        after = (await browser.get("/courier")).text

    assert (first.status_code, first.headers["location"]) == (303, "/courier")
    assert second.headers["location"] == "/courier"
    assert "Thao tác này đã được ghi nhận trước đó." in after
    found = await post.get(shipment)
    assert (found["status"], found["custodian"], found["cash_collected_dong"]) == ("delivered", "citizen", 130_000)
    assert [e["kind"] for e in found["events"]].count("handed_over") == 1
    assert found["events"][-1]["actor"] == "buu-ta-1"


async def test_a_pickup_by_form_ticks_seals_and_signs(post: Post) -> None:
    shipment = await post.book("outbound")
    action = f"/courier/shipments/{shipment['id']}/collect"
    async with sign_in(post, COURIER) as browser:
        stop = (await browser.get(f"/courier/shipments/{shipment['id']}")).text
        assert PERSON["name"] in stop
        assert f'href="tel:{PERSON["phone"]}"' in stop
        for name in CHECKLIST:
            assert name in stop
        filled = {**form_of(stop, action), "piece-1": "1", "piece-2": "1", "seal_number": "NP-9", "page_count": "3"}

        unsigned = await browser.post(action, data=filled)
        again = (await browser.get(unsigned.headers["location"])).text
        assert "thiếu chứng từ bắt buộc" in again
        assert (await post.get(shipment))["status"] == "booked"

        filled |= {**form_of(again, action), "sender_signed": "1", "courier_signed": "1"}
        done = await browser.post(action, data=filled)

    assert done.headers["location"] == "/courier"
    found = await post.get(shipment)
    assert (found["status"], found["custodian"], found["seal_number"]) == ("collected", "courier", "NP-9")
    assert found["receipt_code"] is not None
    async with sign_in(post, DISPATCHER) as browser:
        desk = (await browser.get(f"/shipments/{shipment['id']}")).text
    assert "trên phiếu giấy, bưu tá xác nhận" in desk


async def test_fewer_ticks_make_a_partial_pickup(post: Post) -> None:
    shipment = await post.book("outbound")
    action = f"/courier/shipments/{shipment['id']}/collect"
    async with sign_in(post, COURIER) as browser:
        stop = (await browser.get(f"/courier/shipments/{shipment['id']}")).text
        signed = {"piece-2": "1", "seal_number": "NP-9", "sender_signed": "1", "courier_signed": "1"}
        await browser.post(action, data={**form_of(stop, action), **signed})

    found = await post.get(shipment)
    assert found["events"][-1]["kind"] == "partially_collected"
    assert [piece["collected"] for piece in found["pieces"]] == [False, True]


async def test_a_failed_visit_offers_only_pairs_that_belong_together(post: Post) -> None:
    shipment = await _out_for_delivery(post)
    action = f"/courier/shipments/{shipment['id']}/fail"
    async with sign_in(post, COURIER) as browser:
        stop = (await browser.get(f"/courier/shipments/{shipment['id']}")).text
        offered = re.findall(r'<option value="(R\d\d:M\d)"', stop)
        assert "R01:M1" in offered
        assert "R01:M5" not in offered
        assert not [pair for pair in offered if pair.startswith("R2")]
        form = form_of(stop, action)

        nothing = await browser.post(action, data={**form, "outcome": ""})
        assert nothing.headers["location"] == f"/courier/shipments/{shipment['id']}"
        stop = (await browser.get(nothing.headers["location"])).text
        await browser.post(action, data={**form_of(stop, action), "outcome": "R01:M1"})

    found = await post.get(shipment)
    assert (found["status"], found["attempts"]) == ("attempt_failed", 1)
    assert [(e["reason"], e["measure"]) for e in found["events"] if e["applied"]][-1] == ("R01", "M1")


async def test_steps_of_one_press_move_the_item_on(post: Post) -> None:
    shipment = await post.book("return")
    await post.send(*journey(shipment)[:5])
    action = f"/courier/shipments/{shipment['id']}/move"
    async with sign_in(post, COURIER) as browser:
        stop = (await browser.get(f"/courier/shipments/{shipment['id']}")).text
        await browser.post(action, data={**form_of(stop, action), "kind": "out_for_delivery"})
        assert (await post.get(shipment))["status"] == "out_for_delivery"
        stop = (await browser.get(f"/courier/shipments/{shipment['id']}")).text
        refused = await browser.post(action, data={**form_of(stop, action), "kind": "declared_lost"})

    assert refused.headers["location"] == f"/courier/shipments/{shipment['id']}"
    assert (await post.get(shipment))["status"] == "out_for_delivery"


async def test_a_form_that_makes_no_sense_is_told_so_and_changes_nothing(post: Post) -> None:
    shipment = await _out_for_delivery(post)
    action = f"/courier/shipments/{shipment['id']}/deliver"
    async with sign_in(post, COURIER) as browser:
        stop = (await browser.get(f"/courier/shipments/{shipment['id']}")).text
        form = form_of(stop, action)
        for wrong in (
            {"event_id": "x"},
            {"device_seq": "many"},
            {"receiver": "neighbour"},
            {"cash": "999999999999999999"},
        ):
            answer = await browser.post(action, data={**form, "receiver": "addressee", "proof": "code", **wrong})
            assert answer.headers["location"] == f"/courier/shipments/{shipment['id']}"
        page = (await browser.get(f"/courier/shipments/{shipment['id']}")).text

    assert "Biểu mẫu chưa đủ hoặc chưa đúng" in page
    assert (await post.get(shipment))["events"][-1]["kind"] == "out_for_delivery"


async def test_find_leads_from_label_or_number_to_the_stop_and_warns_of_a_false_label(post: Post) -> None:
    shipment = await _out_for_delivery(post)
    stop = f"/courier/shipments/{shipment['id']}"
    async with sign_in(post, COURIER) as browser:
        typed = await browser.get("/courier/find", params={"code": shipment["s10"].lower()})
        wrong = await browser.get("/courier/find", params={"code": "RB123456786GB"})
        false = await browser.get("/courier/find", params={"code": f"http://x/track/{shipment['s10']}?k=AAAA"})
        page = (await browser.get(stop)).text

    assert typed.headers["location"] == false.headers["location"] == stop
    assert wrong.headers["location"] == "/courier"
    assert "tem có thể là giả" in page


async def test_the_board_puts_problems_first_and_finds_the_silent(post: Post) -> None:
    lost, silent, fine = [await post.book("return") for _ in range(3)]
    await post.send(event(lost, "collected", 1), event(lost, "declared_lost", 2))
    await post.send(*journey(silent)[:4], *journey(fine)[:4])
    await post.rows("update shipment set last_seen_at = now() - interval '49 hours' where id = $1", silent["id"])
    async with sign_in(post, DISPATCHER) as browser:
        page = (await browser.get("/board")).text

    assert page.index(lost["s10"]) < page.index(silent["s10"])
    assert fine["s10"] not in page
    assert "Xác định thất lạc" in page


async def test_the_dispatcher_decides_and_claims_and_the_chain_is_shown(post: Post) -> None:
    shipment = await _out_for_delivery(post)
    url = f"/shipments/{shipment['id']}"
    async with sign_in(post, DISPATCHER) as browser:
        for kind in ("investigation_opened", "declared_lost"):
            page = (await browser.get(url)).text
            assert "Nhật ký nguyên vẹn" in page
            await browser.post(f"{url}/move", data={**form_of(page, f"{url}/move"), "kind": kind, "note": "đã tìm"})
        page = (await browser.get(url)).text
        assert "Chưa xác định được người giữ" in page
        opened = await browser.post(f"{url}/claim", data=form_of(page, f"{url}/claim"))
        claim = opened.headers["location"]
        page = (await browser.get(claim)).text
        assert "104.000" in page
        decided = {**form_of(page, f"{claim}/decide"), "decision": "approve", "note": "không tìm thấy"}
        await browser.post(f"{claim}/decide", data=decided)
        page = (await browser.get(claim)).text
        await browser.post(f"{claim}/decide", data=form_of(page, f"{claim}/decide"))
        assert "Đã chi trả" in (await browser.get(claim)).text
        assert shipment["dossier_code"] in (await browser.get("/claims?status=paid")).text

    assert [kind for kind in await post.news() if kind.startswith("claim.")] == [
        "claim.submitted",
        "claim.approved",
        "claim.paid",
    ]


async def test_a_broken_chain_is_shouted(post: Post) -> None:
    shipment = await _out_for_delivery(post)
    await post.rows("update shipment set chain_head = repeat('0', 64)")
    async with sign_in(post, DISPATCHER) as browser:
        page = (await browser.get(f"/shipments/{shipment['id']}")).text

    assert "Chuỗi băm không khớp" in page


async def test_the_list_filters_and_a_typed_number_leads_to_its_shipment(post: Post) -> None:
    booked, moving = await post.book(), await _out_for_delivery(post)
    async with sign_in(post, DISPATCHER) as browser:
        page = (await browser.get("/shipments", params={"status": "booked"})).text
        direct = await browser.get("/shipments", params={"q": moving["s10"]})
        label = await browser.get(f"/shipments/{moving['id']}/label.pdf")

    assert booked["s10"] in page
    assert moving["s10"] not in page
    assert direct.headers["location"] == f"/shipments/{moving['id']}"
    assert label.content.startswith(b"%PDF-")


async def test_the_public_page_answers_in_both_languages_without_a_sign_in(post: Post) -> None:
    shipment = await _out_for_delivery(post)
    number = shipment["s10"]

    form = await post.client.get("/track")
    asked = await post.client.get("/track", params={"s10": f" {number[:2].lower()} {number[2:]}"})
    vi = (await post.client.get(f"/track/{number}", params={"lang": "vi"})).text
    en = (await post.client.get(f"/track/{number}", params={"lang": "en"})).text

    assert "Hồ sơ của tôi đang ở đâu?" in form.text
    assert asked.headers["location"] == f"/track/{number}"
    assert "Bưu tá đang đi phát" in vi
    assert "Out for delivery" in en
    assert "Who holds the papers" in en


@pytest.mark.parametrize(
    ("number", "status"), [("RB123456785GB", 404), ("RB123456786GB", 422), ("%00", 422), ("x" * 60, 422)]
)
async def test_the_public_page_says_when_a_number_is_wrong_or_unknown(post: Post, number: str, status: int) -> None:
    answer = await post.client.get(f"/track/{number}", headers={"accept": "text/html"})

    assert answer.status_code == status
    assert 'name="s10"' in answer.text
