"""The citizen's own page: an unguessable link, wishes with rules and codes, "were you visited?", claim, receipt."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from kit.calendar import vietnam_calendar
from kit.db import transaction
from services.postal import cases, receivers, reissue
from tests.postal.conftest import PERSON, Post, event, journey
from tests.postal.test_pages import COURIER, form_of, sign_in

CALENDAR = vietnam_calendar()


async def link(post: Post, shipment: dict[str, Any]) -> str:
    """The path of a fresh link."""
    headers = post.office | {"idempotency-key": shipment["id"]}
    answer = await post.client.post(f"/v1/shipments/{shipment['id']}/links", headers=headers)
    assert answer.status_code == 201, answer.text
    path: str = answer.json()["url"].removeprefix("http://postal.test")
    return path


def visitor(post: Post) -> httpx.AsyncClient:
    """A browser that never signed in."""
    transport = httpx.ASGITransport(app=post.app)
    return httpx.AsyncClient(transport=transport, base_url="http://postal.test", headers={"accept": "text/html"})


async def waiting_at_the_office(post: Post) -> dict[str, Any]:
    shipment = await post.book("return")
    await post.send(*journey(shipment)[:5])
    return shipment


async def wish(browser: httpx.AsyncClient, path: str, kind: str, **fields: str) -> str:
    """Send a wish and give the page that follows."""
    page = (await browser.get(path)).text
    token = re.search(r'name="csrf" value="([^"]+)"', page)
    assert token is not None
    data = {"csrf": token.group(1), "kind": kind, **fields}
    answer = await browser.post(f"{path}/wishes", data=data)
    assert answer.status_code == 303
    return (await browser.get(answer.headers["location"])).text


async def code_of(post: Post, wish_id: str) -> str:
    answer = await post.client.get(f"/v1/wishes/{wish_id}/code", headers=post.office)
    assert answer.status_code == 200, answer.text
    code: str = answer.json()["code"]
    return code


async def the_wish(post: Post) -> dict[str, Any]:
    rows = await post.rows("select * from citizen_wish order by id desc limit 1")
    return rows[0]


# --- the link ------------------------------------------------------------------------------------


async def test_the_page_says_where_the_papers_are_and_nothing_personal(post: Post) -> None:
    shipment = await waiting_at_the_office(post)
    path = await link(post, shipment)
    async with visitor(post) as browser:
        answer = await browser.get(path)
        english = (await browser.get(f"{path}?lang=en")).text

    assert answer.status_code == 200
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "same-origin")
    assert "Đã đến bưu cục phát" in answer.text
    assert "At the delivery office" in english
    for secret in (PERSON["name"], PERSON["phone"], PERSON["address"], shipment["dossier_code"]):
        assert secret not in answer.text
    [stored] = await post.rows("select token_sha256 from citizen_link")
    assert path.removeprefix("/my/") not in stored["token_sha256"]


@pytest.mark.parametrize("wrong", ["unknown", "expired", "withdrawn"])
async def test_a_link_that_is_not_valid_says_so_in_one_way(post: Post, wrong: str) -> None:
    shipment = await waiting_at_the_office(post)
    path = await link(post, shipment)
    if wrong == "unknown":
        path = "/my/" + "A" * 32
    elif wrong == "expired":
        await post.rows("update citizen_link set created_at = now() - interval '2 days', expires_at = now()")
    else:
        async with transaction(post.app.state.sessions) as session:
            await receivers.revoke_links(session, shipment["id"])
    async with visitor(post) as browser:
        answer = await browser.get(path)

    assert answer.status_code == 404
    assert "Liên kết không đúng hoặc đã hết hạn" in answer.text
    assert shipment["s10"] not in answer.text


async def test_a_link_is_for_the_office_to_give(post: Post) -> None:
    shipment = await post.book("return")
    headers = post.courier() | {"idempotency-key": "x"}

    assert (await post.client.post(f"/v1/shipments/{shipment['id']}/links", headers=headers)).status_code == 403
    assert await post.rows("select 1 from citizen_link") == []


# --- wishes --------------------------------------------------------------------------------------


async def test_a_redelivery_is_asked_for_on_a_working_day(post: Post) -> None:
    path = await link(post, await waiting_at_the_office(post))
    today = datetime.now(CALENDAR.zone).date()
    good = CALENDAR.add_working_days(today, 1)
    async with visitor(post) as browser:
        for day in (today, today + timedelta(days=30), None):
            page = await wish(browser, path, "redelivery", on_day=day.isoformat() if day else "mai")
            assert "chọn ngày làm việc" in page
        assert await post.rows("select 1 from citizen_wish") == []
        page = await wish(browser, path, "redelivery", on_day=good.isoformat())

    assert "Đã ghi nhận yêu cầu của bạn." in page
    found = await the_wish(post)
    assert (found["status"], found["on_day"], found["code_expires_at"]) == ("accepted", good, None)
    assert (await post.news())[-1] == "wish.accepted"


async def test_another_receiver_needs_the_code_and_five_wrong_ones_end_it(post: Post) -> None:
    path = await link(post, await waiting_at_the_office(post))
    person = {"person_name": "Lê Văn Hai", "person_id_tail": "4321"}
    async with visitor(post) as browser:
        page = await wish(browser, path, "authorise", **person)
        assert "Nhập mã xác nhận" in page
        first = await the_wish(post)
        right = await code_of(post, first["id"])
        form = form_of(page, f"{path}/confirm")
        wrong = "000000" if right != "000000" else "111111"
        for _ in range(5):
            await browser.post(f"{path}/confirm", data={**form, "code": wrong})
        await browser.post(f"{path}/confirm", data={**form, "code": right})
        assert ((await the_wish(post))["status"], (await the_wish(post))["wrong_codes"]) == ("failed", 5)

        page = await wish(browser, path, "authorise", **person)
        second = await the_wish(post)
        form = form_of(page, f"{path}/confirm")
        await browser.post(f"{path}/confirm", data={**form, "code": await code_of(post, second["id"])})

    assert (await the_wish(post))["status"] == "accepted"
    news = await post.rows("select data from outbox where kind = 'wish.confirmation_needed' order by id")
    assert right not in json.dumps([row["data"] for row in news])
    assert [json.loads(row["data"])["wish_id"] for row in news] == [first["id"], second["id"]]


async def test_the_number_of_wishes_bounds_what_can_be_guessed(post: Post) -> None:
    path = await link(post, await waiting_at_the_office(post))
    async with visitor(post) as browser:
        for _ in range(5):
            await wish(browser, path, "authorise", person_name="Lê Văn Hai", person_id_tail="4321")
        page = await wish(browser, path, "redirect", address="5 phố Huế", commune="00070")

    assert "quá nhiều yêu cầu" in page
    assert len(await post.rows("select 1 from citizen_wish")) == 5


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("authorise", {"person_name": "", "person_id_tail": "4321"}),
        ("authorise", {"person_name": "Lê Văn Hai", "person_id_tail": "43a1"}),
        ("redirect", {"address": "x", "commune": "00070"}),
        ("redirect", {"address": "5 phố Huế", "commune": "Huế"}),
        ("theft", {}),
    ],
)
async def test_incomplete_wishes_change_nothing(post: Post, kind: str, fields: dict[str, str]) -> None:
    path = await link(post, await waiting_at_the_office(post))
    async with visitor(post) as browser:
        await wish(browser, path, kind, **fields)

    assert await post.rows("select 1 from citizen_wish") == []


async def test_once_the_courier_has_set_out_only_the_receiver_can_be_changed(post: Post) -> None:
    shipment = await waiting_at_the_office(post)
    path = await link(post, shipment)
    await post.send(event(shipment, "out_for_delivery", 8))
    async with visitor(post) as browser:
        page = await wish(browser, path, "redirect", address="5 phố Huế", commune="00070")
        assert "Bưu tá đang trên đường phát" in page
        assert await post.rows("select 1 from citizen_wish") == []
        await wish(browser, path, "authorise", person_name="Lê Văn Hai", person_id_tail="4321")

    assert (await the_wish(post))["status"] == "waiting_for_code"


async def test_a_redirect_confirmed_while_the_courier_sets_out_is_before_or_after_never_both(post: Post) -> None:
    shipment = await waiting_at_the_office(post)
    path = await link(post, shipment)
    async with visitor(post) as browser:
        page = await wish(browser, path, "redirect", address="5 phố Huế", commune="00070")
        code = await code_of(post, (await the_wish(post))["id"])
        form = form_of(page, f"{path}/confirm")
        await asyncio.gather(
            browser.post(f"{path}/confirm", data={**form, "code": code}),
            post.send(event(shipment, "out_for_delivery", 8)),
        )

    found = await the_wish(post)
    locked = await post.rows("select received_at from event where kind = 'out_for_delivery'")
    assert found["status"] in ("accepted", "overtaken")
    assert len(locked) == 1


async def test_what_the_citizen_asked_for_stands_on_the_couriers_round(post: Post) -> None:
    shipment = await waiting_at_the_office(post)
    path = await link(post, shipment)
    async with visitor(post) as browser:
        for kind, fields in (
            ("redirect", {"address": "5 phố Huế", "commune": "00256"}),
            ("authorise", {"person_name": "Lê Văn Hai", "person_id_tail": "4321"}),
        ):
            page = await wish(browser, path, kind, **fields)
            form = form_of(page, f"{path}/confirm")
            await browser.post(f"{path}/confirm", data={**form, "code": await code_of(post, form["wish_id"])})

    stops = (await post.client.get("/v1/pickups", headers=post.courier())).json()["items"]
    [stop] = [stop for stop in stops if stop["shipment_id"] == shipment["id"]]
    assert (stop["address"], stop["commune"], stop["name"]) == ("5 phố Huế", "00256", PERSON["name"])
    assert stop["note_vi"] == "Địa chỉ mới do người nhận đổi; Giao cho Lê Văn Hai, căn cước có 4 số cuối 4321"
    async with sign_in(post, COURIER) as browser:
        page = (await browser.get(f"/courier/shipments/{shipment['id']}")).text
        round_page = (await browser.get("/courier?task=take_out")).text
    assert "5 phố Huế" in page
    assert PERSON["address"] not in page
    assert stop["note_vi"] in page
    assert stop["note_vi"] in round_page


async def test_an_agency_does_not_move(post: Post) -> None:
    shipment = await post.book("outbound")
    path = await link(post, shipment)
    async with visitor(post) as browser:
        page = await wish(browser, path, "redirect", address="5 phố Huế", commune="00070")

    assert "không áp dụng được" in page
    assert await post.rows("select 1 from citizen_wish") == []


async def test_at_the_end_no_wish_is_left_alive(post: Post) -> None:
    shipment = await waiting_at_the_office(post)
    path = await link(post, shipment)
    async with visitor(post) as browser:
        await wish(browser, path, "hold")
        await wish(browser, path, "authorise", person_name="Lê Văn Hai", person_id_tail="4321")
    await post.send(*journey(shipment)[5:])
    await post.client.post(f"/v1/shipments/{shipment['id']}/deadlines", headers=post.office)

    rows = await post.rows("select kind, status from citizen_wish order by id")
    assert [tuple(row.values()) for row in rows] == [("hold", "done"), ("authorise", "overtaken")]


async def test_the_code_of_a_wish_is_only_for_the_portal(post: Post) -> None:
    path = await link(post, await waiting_at_the_office(post))
    async with visitor(post) as browser:
        await wish(browser, path, "authorise", person_name="Lê Văn Hai", person_id_tail="4321")
    url = f"/v1/wishes/{(await the_wish(post))['id']}/code"

    assert (await post.client.get(url)).status_code == 401
    assert (await post.client.get(url, headers=post.courier())).status_code == 403
    assert (await post.client.get("/v1/wishes/wsh_1/code", headers=post.office)).status_code == 404


# --- visits, claim, receipt ----------------------------------------------------------------------


async def test_nobody_came_opens_one_dispute_with_the_couriers_name(post: Post) -> None:
    shipment = await waiting_at_the_office(post)
    path = await link(post, shipment)
    failed = event(shipment, "attempt_failed", 9, reason="R01", measure="M1")
    await post.send(event(shipment, "out_for_delivery", 8), headers=post.courier("buu-ta-5"))
    await post.send(failed, headers=post.courier("buu-ta-5"))
    action = f"{path}/visits/{failed['event_id']}"
    async with visitor(post) as browser:
        form = form_of((await browser.get(path)).text, action)
        await browser.post(action, data={**form, "visited": "maybe"})
        assert await post.rows("select 1 from visit_answer") == []
        for answer in ("no", "yes"):
            await browser.post(action, data={**form, "visited": answer, "note": "Tôi ở nhà cả ngày."})
        page = (await browser.get(path)).text

    assert await post.rows("select courier, visited from visit_answer") == [{"courier": "buu-ta-5", "visited": False}]
    assert await post.rows("select kind, courier from problem_case") == [{"kind": "dispute", "courier": "buu-ta-5"}]
    assert "đang xác minh" in page


async def test_the_claim_lies_ready_when_the_item_is_presumed_lost(post: Post) -> None:
    shipment = await waiting_at_the_office(post)
    path = await link(post, shipment)
    async with visitor(post) as browser:
        assert f'action="{path}/claim"' not in (await browser.get(path)).text
        async with transaction(post.app.state.sessions) as session:
            at = datetime.now(UTC) + timedelta(days=40)
            await cases.check_deadlines(session, shipment["id"], plan=post.app.state.plan, at=at)
        page = (await browser.get(path)).text
        assert "104.000" in page
        assert "Cấp lại giấy tờ" in page
        form = form_of(page, f"{path}/claim")
        for _ in range(2):
            await browser.post(f"{path}/claim", data=form)

    rows = await post.rows("select claim_key, reason, created_by, compensation_dong from claim")
    assert rows == [
        {"claim_key": shipment["id"], "reason": "lost", "created_by": "citizen-link", "compensation_dong": 104_000}
    ]


async def test_the_receipt_is_downloaded_and_the_delivery_code_is_the_receivers(post: Post) -> None:
    shipment = await waiting_at_the_office(post)
    path = await link(post, shipment)
    async with visitor(post) as browser:
        page = (await browser.get(path)).text
        answer = await browser.get(f"{path}/receipt.json")
    done = await post.book("return")
    await post.send(*journey(done))
    async with visitor(post) as browser:
        after = (await browser.get(await link(post, done))).text

    assert "Hiện mã" in page
    assert "Hiện mã" not in after
    assert answer.headers["content-disposition"].endswith('-bien-nhan.json"')
    assert shipment["s10"] in answer.text


# --- the recovery plan ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paper", "kind"),
    [
        ("Giấy khai sinh (bản chính)", "birth_certificate"),
        ("Bản sao chứng thực giấy khai sinh", "certified_copy"),
        ("Hộ chiếu cũ", "passport"),
        ("Thẻ Căn cước công dân", "identity_card"),
        ("Đơn đề nghị", "form"),
        ("Tờ khai", "form"),
        ("Ảnh 4x6", "photo"),
        ("Bằng tốt nghiệp đại học", "degree"),
        ("Giấy chứng nhận quyền sử dụng đất", "land_certificate"),
        ("Kết quả", "result"),
        ("Con dấu", "other"),
    ],
)
def test_each_paper_finds_its_plan(paper: str, kind: str) -> None:
    assert reissue.kind_of(paper).kind == kind


def test_every_plan_names_issuer_steps_and_ground_in_both_languages() -> None:
    for entry in (*reissue.PAPERS, reissue.UNKNOWN):
        assert entry.source
        assert entry.steps
        assert all(vi and en for vi, en in (entry.name, entry.issuer, *entry.steps))
        assert (entry.cost_dong is None) == (entry.cost_source == "")


def test_a_confirmation_code_has_six_digits_and_differs_between_wishes() -> None:
    codes = {receivers.confirmation_code("s" * 32, f"wsh_{n}") for n in range(50)}

    assert len(codes) == 50
    assert all(re.fullmatch(r"\d{6}", code) for code in codes)
