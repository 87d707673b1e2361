"""Pages of disputes, treasury vouchers, receipts and statements of account: what they show and what their forms do."""

import re

import pytest

from services.payment.contract import CreateAttempt
from services.payment.operations import attempts
from services.payment.problems import CashExpected
from tests.payment.conftest import World
from tests.payment.test_disputes import ANSWER, disputed
from tests.payment.test_pages import CHIEF, OFFICER, Visitor, pay_path
from tests.payment.test_vouchers import settled


@pytest.mark.parametrize(
    ("path", "vi", "en"),
    [
        ("/disputes", "Không có tra soát nào", "No disputes"),
        ("/disputes?tab=closed", "Đã kết luận", "Decided"),
        ("/vouchers", "Chưa có chứng từ nào", "No vouchers"),
        ("/vouchers?status=refused", "Kho bạc từ chối", "Refused"),
        ("/receipts", "Không có biên lai nào", "No receipts"),
        ("/accounts", "Chưa cơ quan nào phát sinh", "No agency has earned anything"),
    ],
)
async def test_empty_pages_say_when_they_fill(world: World, path: str, vi: str, en: str) -> None:
    officer, stranger = Visitor(world, OFFICER), Visitor(world, ("buu-ta-1", "postal:read"))
    joint = "&" if "?" in path else "?"

    assert vi in await officer.open(path)
    assert en in await officer.open(f"{path}{joint}lang=en")
    assert "/sign-in" not in await stranger.open(path, 403)


async def test_finance_answers_a_dispute_on_its_page(world: World) -> None:
    payment, dispute = await disputed(world)
    officer = Visitor(world, OFFICER)

    page = await officer.open("/disputes")
    after = await officer.send(f"/disputes/{dispute['id']}/answer", ANSWER)
    twice = await officer.send(f"/disputes/{dispute['id']}/answer", {"text": "Một giải trình khác hẳn trước đó."})
    bill = await officer.open(f"/payments/{payment['id']}")

    assert payment["dossier_code"] in page
    assert "Chủ thẻ nói không giao dịch" in page
    assert "Đã lưu giải trình" in after
    assert ANSWER["text"] in after
    assert "đã có giải trình" in twice
    assert "Đang bị tra soát" in bill


async def test_a_voucher_is_followed_on_its_page(world: World) -> None:
    await world.refund(await settled(world), 40_000)
    number = await world.database.fetchval("select number from voucher")
    officer = Visitor(world, OFFICER)

    page = await officer.open("/vouchers")
    paper = await officer.client.get(f"/vouchers/{number}/voucher.pdf")
    sent = await officer.send(f"/vouchers/{number}/moves", {"event_id": "a", "to": "sent"})
    refused = await officer.send(f"/vouchers/{number}/moves", {"event_id": "b", "to": "refused", "reason": "Sai tên"})
    refund_id = await world.database.fetchval("select id from refund")
    again = await officer.send(f"/refunds/{refund_id}/vouchers", {})

    assert number in page
    assert paper.content.startswith(b"%PDF-")
    assert f"Đã ghi nhận cho chứng từ {number}" in sent
    assert "Sai tên" in refused
    assert "Đã lập chứng từ mới" in again


async def test_a_receipt_is_replaced_on_its_page_by_the_chief_only(world: World) -> None:
    payment = await world.paid_by_card(50_000)
    number = payment["receipt_number"]
    form = {"reason": "Ghi sai họ tên", "payer_name": "Nguyễn Văn Bình", "payer_address": ""}
    officer, chief = Visitor(world, OFFICER), Visitor(world, CHIEF)

    assert "Hủy và thay thế" not in await officer.open("/receipts")
    assert (await officer.client.post(f"/receipts/{number}/replacement", data=form)).status_code == 403
    page = await chief.send(f"/receipts/{number}/replacement", form)

    assert "phát hành biên lai LT26-0000002 thay thế" in page
    assert "Nguyễn Văn Bình" in page
    assert "Ghi sai họ tên" in page
    for kind in ("pdf", "xml"):
        answer = await chief.client.get(f"/receipts/{number}/receipt.{kind}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, f"application/{kind}")
    check = await Visitor(world).open(await _check_path(world, number))
    assert "Biên lai đã hủy" in check
    assert "Ghi sai họ tên" in check


async def _check_path(world: World, number: str) -> str:
    code = await world.database.fetchval("select check_code from receipt where number = $1", number)
    return f"/receipts/check?number={number}&code={code}"


async def test_an_agency_has_a_statement_to_print_and_to_keep(world: World) -> None:
    payment = await world.paid_by_card(100_000)
    officer = Visitor(world, OFFICER)

    listed, page = await officer.open("/accounts"), await officer.open("/accounts/G01.02")
    kept = await officer.client.get("/accounts/G01.02/statement.csv")
    bills = await officer.client.get("/payments/export.csv?status=paid")
    none = await officer.open("/accounts/H99", 404)

    assert "G01.02" in listed
    assert payment["dossier_code"] in page
    assert "100.000" in page
    assert payment["dossier_code"] in kept.content.decode("utf-8-sig")
    assert payment["dossier_code"] in bills.content.decode("utf-8-sig")
    assert "chưa có khoản thu nào" in none


async def test_the_citizen_reads_why_money_is_held(world: World) -> None:
    payment = await world.bill(100_000)
    attempt = await world.attempt(payment, "vietqr")
    await world.transfer(attempt["qr_payload"])
    await world.transfer(attempt["qr_payload"])

    page = await Visitor(world).open(pay_path(payment))
    desk = await Visitor(world, OFFICER).open(f"/payments/{payment['id']}")

    assert "Khoản này đã được nộp hai lần" in page
    assert re.search(r"Nộp hai lần, lần sau tạm giữ", desk)


async def test_a_citizen_cannot_turn_away_a_courier_who_will_ask_for_the_money(world: World) -> None:
    payment = await world.bill(100_000)
    await world.attempt(payment, "cash_on_delivery")
    wish = CreateAttempt(method="vietqr", replace=True)

    page = await Visitor(world).open(pay_path(payment))
    with pytest.raises(CashExpected):
        await attempts.start_attempt(world.till, payment["id"], wish, actor=attempts.CITIZEN)

    assert "Chuyển khoản bằng mã VietQR" not in page
    found = (await world.read(payment))["attempts"]
    assert [(each["method"], each["status"]) for each in found] == [("cash_on_delivery", "pending")]
    await world.attempt(payment, "vietqr", replace=True)  # the portal may, it also tells the courier
