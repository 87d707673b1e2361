"""Every page for the right person in both languages, and what the forms do, refuse and say."""

import base64
import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from html import unescape
from typing import Any, get_args
from urllib.parse import quote

import httpx
import itsdangerous
import pytest
from starlette.routing import NoMatchFound

from kit.db import now
from services.payment import contract, ledger, rules
from services.payment.pages import router
from services.payment.till import local_date
from tests.payment.conftest import World, line_of

OFFICER = ("ke-toan", "payments:read payments:refund payments:reconcile")
CHIEF = ("ke-toan-truong", "payments:read payments:approve payments:close payments:reconcile")
CSRF = "c" * 43
_HTML = {"accept": "text/html"}


@pytest.fixture(autouse=True)
def pages(world: World) -> None:
    """The pages are there, also while the app does not include them yet."""
    try:
        world.app.url_path_for("show_desk")
    except NoMatchFound:
        world.app.include_router(router)


class Visitor:
    """A browser: keeps cookies, sends forms with the token of its pages."""

    def __init__(self, world: World, person: tuple[str, str] | None = None) -> None:
        transport = world.client._transport
        self.client = httpx.AsyncClient(transport=transport, base_url="http://service.test", headers=_HTML)
        if person is not None:
            name, scopes = person
            signed = {"sub": name, "azp": "pages-payment", "name": name, "org": "*", "scope": scopes, "roles": []}
            session = {"csrf": CSRF, "person": {**signed, "until": int(time.time()) + 600}}
            signer = itsdangerous.TimestampSigner("s" * 32)
            cookie = signer.sign(base64.b64encode(json.dumps(session).encode())).decode()
            self.client.cookies.set("lien_thong_pages-payment", cookie, domain="service.test")

    async def open(self, path: str, status: int = 200) -> str:
        """The text of a page."""
        answer = await self.client.get(path)
        assert answer.status_code == status, f"{path}: {answer.status_code} {answer.headers.get('location', '')}"
        return unescape(answer.text)

    async def send(self, path: str, form: Mapping[str, str], *, csrf: str = CSRF, **options: Any) -> str:
        """Send a form and read the page it leads to."""
        answer = await self.client.post(path, data={"csrf": csrf, **form}, **options)
        assert answer.status_code == 303, answer.text
        shown = await self.client.get(answer.headers["location"], follow_redirects=True)
        assert shown.status_code == 200, shown.text
        return unescape(shown.text)


def token_of(page: str) -> str:
    """The form token of a page."""
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def pay_path(payment: Mapping[str, Any], part: str = "") -> str:
    """The citizen's address of a bill."""
    return str(payment["pay_page_url"]).replace("http://service.test", "").replace("?", f"{part}?")


async def a_day_with_money(world: World) -> dict[str, Any]:
    """A bill paid by transfer with excess, one paid by card with refunds, money nobody knows, and a statement."""
    paid = await world.paid_by_card(200_000)
    await world.refund(paid, 50_000, approve=False)
    attempt = await world.attempt(await world.bill(90_000, 0), "vietqr")
    await world.transfer(attempt["qr_payload"], 100_000)
    await world.plain_transfer("khong ro noi dung", 70_000)
    return paid


# --- who sees what ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "vi", "en"),
    [
        ("/desk", "Bàn làm việc", "Days waiting to be closed"),
        ("/payments", "Khoản thu", "Payments"),
        ("/refunds", "Chờ duyệt", "To approve"),
        ("/refunds?tab=processing", "Đang chi trả", "Being paid out"),
        ("/refunds?tab=finished", "Đã kết thúc", "Finished"),
        ("/reconciliations", "Đối soát theo ngày", "Reconciliation by day"),
        ("/reconciliations/2026-01-02", "Đối soát ba bên", "Three-way tie-out"),
        ("/ledger", "Bảng cân đối phát sinh", "Trial balance"),
        ("/ledger/suspense", "Tạm giữ chờ xử lý", "Suspense"),
    ],
)
async def test_pages_render_empty_and_full_in_both_languages(world: World, path: str, vi: str, en: str) -> None:
    officer, stranger, outsider = Visitor(world, OFFICER), Visitor(world), Visitor(world, ("buu-ta-1", "postal:read"))

    assert vi in await officer.open(path)
    await a_day_with_money(world)
    assert vi in await officer.open(path)
    separator = "&" if "?" in path else "?"
    english = await officer.open(f"{path}{separator}lang=en")

    assert en in english
    assert 'lang="en"' in english
    answer = await stranger.client.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next={quote(path, safe='/')}")
    assert "quyền xem trang này" in await outsider.open(path, 403)


async def test_the_first_page_is_the_desk(world: World) -> None:
    answer = await Visitor(world).client.get("/")

    assert (answer.status_code, answer.headers["location"]) == (303, "/desk")


async def test_the_desk_counts_what_waits(world: World) -> None:
    paid = await a_day_with_money(world)

    page = await Visitor(world, CHIEF).open("/desk")

    assert paid["dossier_code"] in page
    assert "80.000 ₫" in page  # 10.000 of excess and 70.000 that name no bill
    assert "Nội dung không rõ" in page
    assert "Chờ sao kê" in page


async def test_every_code_of_the_contract_has_words(world: World) -> None:
    environment = world.app.state.pages._environment
    for lang in (0, 1):
        context = {"t": lambda *pair, side=lang: pair[side], "lang": ("vi", "en")[lang], "dong": str, "csrf": ""}
        words = environment.get_template("words.html.j2").make_module(context)
        for table, codes in {
            "payment_status": get_args(contract.PaymentStatus),
            "attempt_status": get_args(contract.AttemptStatus),
            "refund_status": get_args(contract.RefundStatus),
            "refund_reason": get_args(contract.RefundReason),
            "method": get_args(contract.Method),
            "line_kind": get_args(contract.LineKind),
            "day_status": get_args(contract.ReconciliationStatus),
            "break_kind": get_args(contract.BreakKind),
            "flow": get_args(contract.TieOutRow.model_fields["flow"].annotation),
            "refund_route": get_args(contract.Refund.model_fields["route"].annotation),
            "account_kind": get_args(ledger.AccountKind),
            "fact": tuple(rules.EFFECTS),
            "dispute_status": get_args(contract.DisputeStatus),
            "voucher_status": get_args(contract.VoucherStatus),
            "policy": get_args(contract.MoneyPolicy),
        }.items():
            assert set(codes) <= set(getattr(words, table)), table
        for account in ledger.KINDS:
            assert str(words.account(account)) != account


# --- bills -----------------------------------------------------------------------------------------


async def test_bills_are_filtered_summed_and_paged(world: World) -> None:
    officer = Visitor(world, OFFICER)
    paid = await world.paid_by_card(30_000)
    for _ in range(26):
        await world.bill(1_000)

    first = await officer.open("/payments")
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following is not None
    second = await officer.open(following[1])
    only = await officer.open(f"/payments?status=paid&method=card&q={paid['dossier_code']}&from=2026-01-01")

    assert "Cộng 27 khoản" in first
    assert "56.000 ₫" in first
    assert paid["dossier_code"] not in first
    assert paid["dossier_code"] in second
    assert "Cộng 1 khoản" in only
    assert "Không có khoản thu nào" in await officer.open("/payments?q=khong-co")


@pytest.mark.parametrize(
    "query", ["q=%00", "status=nothing", "from=hom-nay", "to=9999-12-31", "cursor=WyJcdTAwMDAiXQ", "cursor=x"]
)
async def test_odd_filters_are_answered_with_a_page(world: World, query: str) -> None:
    answer = await Visitor(world, OFFICER).client.get(f"/payments?{query}")

    assert answer.status_code in (200, 422)
    assert "text/html" in answer.headers["content-type"]


async def test_a_bill_shows_lines_payers_history_journals_and_receipt(world: World) -> None:
    lines = [line_of(150_000, 1, budget=20_000), line_of(0, 2), line_of(28_600, 3, kind="postage")]
    payment = await world.bill(lines=lines)
    await world.attempt(payment, payment_method="pm_card_visa")
    officer = Visitor(world, OFFICER)

    page = await officer.open(f"/payments/{payment['id']}")
    english = await officer.open(f"/payments/{payment['id']}?lang=en")
    pdf = await officer.client.get(f"/payments/{payment['id']}/receipt.pdf")

    for text in (
        "170.000 ₫",
        "Ngân sách 79: ",
        "Ghi nhận tiền nộp: 178.600 ₫",
        "Phải thu người nộp",
        "Phải trả bưu điện",
    ):
        assert text in re.sub(r"<span[^>]*>|</span>", "", page)
    assert "Money applied" in english
    assert "Receivable from citizens" in english
    assert pdf.content.startswith(b"%PDF")
    assert "Not found" in await officer.open("/payments/pay_00000000000000000000000000000000", 404)


# --- refunds ---------------------------------------------------------------------------------------


async def test_two_people_give_money_back_through_forms(world: World) -> None:
    payment = await world.paid_by_card(180_000)
    officer, chief = Visitor(world, OFFICER), Visitor(world, CHIEF)
    path = f"/payments/{payment['id']}"
    key = re.search(r'name="request_key" value="([^"]+)"', await officer.open(path))
    assert key is not None
    form = {"request_key": key[1], "source": "bill", "amount_dong": "80.000", "reason": "refused"}

    assert "Đã ghi nhận đề nghị hoàn trả" in await officer.send(f"{path}/refunds", form)
    await officer.send(f"{path}/refunds", form)  # a second tap
    (refund,) = (await world.ok("GET", "/v1/refunds"))["items"]
    decision = {"decision": "approve", "proposal_hash": refund["proposal_hash"]}
    page = await chief.send(f"/refunds/{refund['id']}/decision", decision)

    assert (refund["amount_dong"], refund["requested_by"]) == (80_000, "ke-toan")
    assert "Đã duyệt" in page
    assert (await world.read(payment))["refunded_dong"] == 80_000
    assert payment["dossier_code"] in await chief.open("/refunds?tab=finished")


async def test_the_same_person_is_refused_in_words(world: World) -> None:
    payment = await world.paid_by_card(180_000)
    refund = await world.refund(payment, 180_000, approve=False)
    decision = {"decision": "approve", "proposal_hash": refund["proposal_hash"]}
    both = Visitor(world, ("ke-toan", "payments:read payments:refund payments:approve"))

    page = await both.send(f"/refunds/{refund['id']}/decision", decision)

    assert "Cần người thứ hai. Người đề nghị hoàn không được tự duyệt" in page
    assert (await world.ok("GET", f"/v1/refunds/{refund['id']}"))["status"] == "requested"


async def test_a_refund_is_rejected_with_a_reason(world: World) -> None:
    payment = await world.paid_by_card(180_000)
    refund = await world.refund(payment, 180_000, approve=False)
    chief = Visitor(world, CHIEF)
    answer = {"decision": "reject", "proposal_hash": refund["proposal_hash"], "note": "Chưa có quyết định từ chối"}

    assert "không duyệt" in await chief.send(f"/refunds/{refund['id']}/decision", answer)
    assert "Chưa có quyết định từ chối" in await chief.open("/refunds?tab=finished")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"amount_dong": "999.000"}, "Chỉ còn được hoàn 180000 đồng"),
        ({"amount_dong": "không"}, "hãy xem lại số tiền"),
        ({"reason": "", "source": ""}, "hãy xem lại lý do, nguồn tiền"),
        ({"request_key": "a\x00"}, "Chưa ghi nhận"),
    ],
)
async def test_a_wrong_refund_form_is_explained(world: World, changed: dict[str, str], said: str) -> None:
    payment = await world.paid_by_card(180_000)
    form = {"request_key": "k1", "source": "bill", "amount_dong": "1.000", "reason": "refused", **changed}

    page = await Visitor(world, OFFICER).send(f"/payments/{payment['id']}/refunds", form)

    assert said in page
    assert (await world.ok("GET", "/v1/refunds"))["items"] == []


async def test_a_voucher_is_settled_with_its_number(world: World) -> None:
    payment = await world.bill(60_000)
    cash = {"event_id": "c1", "amount_dong": 60_000, "collected_at": datetime.now(UTC).isoformat()}
    await world.ok("POST", f"/v1/payments/{payment['id']}/cash", {**cash, "collector": "buu-ta-1", "place": "courier"})
    refund = await world.refund(payment, 60_000)
    officer = Visitor(world, OFFICER)
    event = re.search(r'name="event_id" value="([^"]+)"', await officer.open("/refunds?tab=processing"))
    assert event is not None

    await officer.send(f"/refunds/{refund['id']}/settle", {"event_id": event[1], "reference": "UNC-2026-17"})

    assert "UNC-2026-17" in await officer.open("/refunds?tab=finished")


async def test_forms_without_their_token_or_right_change_nothing(world: World) -> None:
    payment = await world.paid_by_card(180_000)
    refund = await world.refund(payment, 10_000, approve=False)
    path, form = f"/payments/{payment['id']}/refunds", {"source": "bill", "amount_dong": "1", "reason": "other"}
    decision = {"decision": "approve", "proposal_hash": refund["proposal_hash"]}
    officer, chief = Visitor(world, OFFICER), Visitor(world, CHIEF)

    answers = [
        await officer.client.post(path, data={**form, "request_key": "k", "csrf": "forged"}),
        await chief.client.post(path, data={**form, "request_key": "k", "csrf": CSRF}),
        await officer.client.post(f"/refunds/{refund['id']}/decision", data={**decision, "csrf": CSRF}),
        await chief.client.post(f"/refunds/{refund['id']}/decision", data=decision),
        await chief.client.post(f"/reconciliations/{local_date(now())}/run", data={}),
    ]

    assert [answer.status_code for answer in answers] == [403] * 5
    assert "Biểu mẫu đã hết hạn" in answers[0].text
    (left,) = (await world.ok("GET", "/v1/refunds"))["items"]
    assert left["status"] == "requested"


# --- reconciliation --------------------------------------------------------------------------------


async def test_a_day_is_imported_run_resolved_and_closed_by_two(world: World) -> None:
    await world.paid_by_vietqr(120_000)
    await world.plain_transfer("khong ro noi dung", 70_000)
    bill = await world.bill(70_000)
    today = local_date(now())
    here = f"/reconciliations/{today}"
    officer, chief = Visitor(world, OFFICER), Visitor(world, CHIEF)
    statement = (await world.bank.get(f"/statements/{today}.camt053.xml")).content

    assert "2 dòng" in await officer.send("/reconciliations/statements", {}, files={"file": ("s.xml", statement)})
    assert "còn 1 chênh lệch" in await officer.send(f"{here}/run", {})
    page = await officer.open(here)
    found = re.search(r'action="/breaks/([^/]+)/resolution"', page)
    assert found is not None
    resolution = {"action": "assign", "payment_id": bill["dossier_code"], "note": "Người nộp đã gọi điện xác nhận"}
    page = await officer.send(f"/breaks/{found[1]}/resolution", resolution)
    assert "Một người khác cần xác nhận" in page
    page = await chief.open(here)
    proposal = re.search(r'name="proposal_hash" value="([^"]+)"', page)
    assert proposal is not None
    confirmed = {**resolution, "payment_id": bill["id"], "proposal_hash": proposal[1]}
    assert "Chênh lệch đã được xử lý" in await chief.send(f"/breaks/{found[1]}/resolution", confirmed)
    assert (await world.read(bill))["status"] == "paid"

    assert "Đã đề nghị khóa sổ" in await chief.send(f"{here}/close", {})
    proposal = re.search(r'name="proposal_hash" value="([^"]+)"', await chief.open(here))
    assert proposal is not None
    await chief.send(f"{here}/close", {"proposal_hash": proposal[1]})
    assert "Dấu niêm phong" not in await chief.open(here)  # one person alone closes nothing
    second = Visitor(world, ("pho-phong", CHIEF[1]))
    page = await second.send(f"{here}/close", {"proposal_hash": proposal[1]})
    assert "Ngày đã khóa sổ và niêm phong" in page
    assert "Dấu niêm phong" in page
    assert "Kế toán trưởng" in page
    assert "Closed" in await officer.open("/reconciliations?lang=en")


async def test_a_file_that_is_no_statement_is_explained(world: World) -> None:
    officer = Visitor(world, OFFICER)

    assert "Tệp" in await officer.send("/reconciliations/statements", {}, files={"file": ("s.xml", b"<oops")})
    assert "Chưa chọn tệp" in await officer.send("/reconciliations/statements", {})


async def test_closing_too_early_says_what_is_missing(world: World) -> None:
    page = await Visitor(world, CHIEF).send(f"/reconciliations/{local_date(now())}/close", {})

    assert "hãy nhập sao kê trước khi khóa sổ" in page


# --- the ledger ------------------------------------------------------------------------------------


async def test_the_ledger_balances_and_leads_to_entries(world: World) -> None:
    await world.paid_by_card(200_000)
    officer = Visitor(world, OFFICER)

    page = await officer.open("/ledger")
    link = re.search(r'href="(/ledger/fee_revenue[^"]+)"', page)
    assert link is not None
    before = await officer.open("/ledger?to=2020-01-01")

    assert "Phí, lệ phí của G01.02" in await officer.open(link[1])
    assert "Sổ cái chưa có bút toán" in before
    assert "Không có bút toán nào" in await officer.open("/ledger/suspense?to=2020-01-01")
    await officer.open("/ledger/no_such_account", 404)
    await officer.open("/ledger/%00", 404)


# --- citizens --------------------------------------------------------------------------------------


async def test_a_wrong_token_learns_nothing(world: World) -> None:
    payment = await world.bill(180_000)
    citizen = Visitor(world)

    for path in (pay_path(payment)[:-1], pay_path(payment) + "é", f"/pay/{payment['id']}", "/pay/pay_x?token=1"):
        page = await citizen.open(path, 404)
        assert "Đường dẫn nộp tiền không đúng" in page
        assert payment["dossier_code"] not in page
    for part in ("/qr.png", "/receipt.pdf", "/card"):
        await citizen.open(f"/pay/{payment['id']}{part}?token=0", 404)


async def test_a_citizen_reads_why_and_pays_by_code(world: World) -> None:
    payment = await world.bill(lines=[line_of(180_000, 1, budget=20_000), line_of(0, 2)])
    citizen = Visitor(world)

    page = await citizen.open(pay_path(payment))
    assert "180.000 ₫" in page
    assert "Ngân sách 79" in page
    assert 'http-equiv="refresh"' not in page
    page = await citizen.send(pay_path(payment, "/attempts"), {"method": "vietqr"}, csrf=token_of(page))
    (attempt,) = (await world.read(payment))["attempts"]
    code = await citizen.client.get(pay_path(payment, "/qr.png"))

    assert attempt["reference"] in page
    assert "113366668888" in page
    assert 'http-equiv="refresh"' in page
    assert code.content.startswith(b"\x89PNG")
    await world.transfer(attempt["qr_payload"])
    page = await citizen.open(pay_path(payment))
    assert "Đã nộp đủ" in page
    assert 'http-equiv="refresh"' not in page
    assert (await citizen.client.get(pay_path(payment, "/receipt.pdf"))).content.startswith(b"%PDF")
    assert "Paid in full" in await citizen.open(pay_path(payment) + "&lang=en")


async def test_a_citizen_is_led_to_the_card_page_and_back(world: World) -> None:
    payment = await world.bill(180_000)
    citizen = Visitor(world)
    csrf = token_of(await citizen.open(pay_path(payment)))

    page = await citizen.send(pay_path(payment, "/attempts"), {"method": "card"}, csrf=csrf)
    (attempt,) = (await world.read(payment))["attempts"]
    await citizen.send(pay_path(payment, "/attempts"), {"method": "card"}, csrf=csrf)  # tapped twice
    assert f"url={attempt['pay_url']}" in page
    assert "Thẻ bị từ chối" in await citizen.open(pay_path(payment) + "&redirect_status=failed")
    await world.gateway.post(f"/pay/{attempt['gateway_intent_id']}", data={"action": "pay"})
    page = await citizen.send(pay_path(payment, "/check"), {}, csrf=csrf)

    assert "Đã nộp đủ" in page
    assert len((await world.read(payment))["attempts"]) == 1


async def test_a_citizen_changes_their_mind(world: World) -> None:
    payment = await world.bill(180_000)
    citizen = Visitor(world)
    csrf = token_of(await citizen.open(pay_path(payment)))

    await citizen.send(pay_path(payment, "/attempts"), {"method": "card"}, csrf=csrf)
    page = await citizen.send(pay_path(payment, "/attempts"), {"method": "vietqr"}, csrf=csrf)

    assert "Quét mã để chuyển khoản" in page
    assert [a["status"] for a in (await world.read(payment))["attempts"]] == ["cancelled", "pending"]


async def test_the_pay_page_in_its_other_states(world: World) -> None:
    citizen = Visitor(world)
    free = await world.bill(0)
    partial, excess, cash, expired = [await world.bill(100_000) for _ in range(4)]
    await world.transfer((await world.attempt(partial, "vietqr"))["qr_payload"], 40_000)
    await world.transfer((await world.attempt(excess, "vietqr"))["qr_payload"], 140_000)
    await world.attempt(cash, "cash_on_delivery")
    await world.pass_time(expired, bill=True)
    await world.sweep()
    refunded = await world.paid_by_card(100_000)
    await world.refund(refunded, 100_000)

    assert "không phải nộp tiền" in await citizen.open(pay_path(free))
    page = await citizen.open(pay_path(partial))
    assert "60.000 ₫" in page
    assert "Đã nộp một phần" in page
    assert "Đang giữ của quý vị 40.000 ₫" in await citizen.open(pay_path(excess))
    page = await citizen.open(pay_path(cash))
    assert "bưu tá" in page
    assert "/attempts" not in page
    assert "Đã quá hạn nộp" in await citizen.open(pay_path(expired))
    page = await citizen.open(pay_path(refunded))
    assert "Đã hoàn trả xong" in page
    assert "Biên lai đã hủy" in page
    csrf = token_of(await citizen.open(pay_path(partial)))
    for ended in (expired, cash, free):
        said = await citizen.send(pay_path(ended, "/attempts"), {"method": "vietqr"}, csrf=csrf)
        assert "không còn dùng được" in said


async def test_an_unknown_outcome_asks_to_wait_not_to_pay_again(world: World) -> None:
    payment = await world.bill(100_000)
    world.line.after = _answer_lost
    citizen = Visitor(world)
    csrf = token_of(await citizen.open(pay_path(payment)))

    page = await citizen.send(pay_path(payment, "/attempts"), {"method": "card"}, csrf=csrf)
    world.line.after = None

    assert "Đang chờ xác nhận" in page
    assert "/attempts" not in page
    assert "Đang nộp bằng thẻ" in await citizen.send(pay_path(payment, "/check"), {}, csrf=csrf)


def _answer_lost(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
    raise httpx.ReadTimeout("lost", request=request)


async def test_a_pay_form_without_its_token_starts_nothing(world: World) -> None:
    payment = await world.bill(100_000)

    answer = await Visitor(world).client.post(pay_path(payment, "/attempts"), data={"method": "vietqr"})

    assert answer.status_code == 403
    assert (await world.read(payment))["attempts"] == []


async def test_anybody_may_check_a_receipt(world: World) -> None:
    payment = await world.paid_by_card(180_000)
    row = await world.database.fetchrow("select number, check_code from receipt")
    assert row is not None
    number, code = row["number"], row["check_code"]
    anybody = Visitor(world)

    good = await anybody.open(f"/receipts/check?number={number.lower()}&code={code.lower()}")
    assert "Biên lai hợp lệ" in good
    assert payment["dossier_code"] in good
    assert "180.000 ₫" in good
    for wrong in (f"number={number}&code=0000000000", "number=LT26-9999999&code=A", "number=%00&code=%00"):
        page = await anybody.open(f"/receipts/check?{wrong}")
        assert payment["dossier_code"] not in page
        assert "hợp lệ" not in page
    assert "Cần cả số biên lai" in await anybody.open(f"/receipts/check?number={number}")
    await world.refund(payment, 180_000)
    page = await anybody.open(f"/receipts/check?number={number}&code={code}&lang=en")
    assert "Cancelled receipt" in page
