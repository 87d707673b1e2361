"""VietQR attempts: transfers that fit, come late, twice, short or over, and credits that name nothing."""

from services.payment import vietqr
from services.payment.operations.inbox import work_once
from tests.payment.conftest import ACCOUNT, World


async def test_the_code_asks_for_the_rest_of_the_bill_with_our_reference(world: World) -> None:
    payment = await world.bill(150_000)

    attempt = await world.attempt(payment, "vietqr")
    code = vietqr.read(attempt["qr_payload"])

    assert (code.bin, code.account, code.amount_dong) == ("970415", ACCOUNT, 150_000)
    assert code.content == attempt["reference"]
    assert attempt["status"] == "pending"
    png = await world.call("GET", f"/v1/payments/{payment['id']}/qr.png")
    svg = await world.call("GET", f"/v1/payments/{payment['id']}/qr.svg")
    assert png.content.startswith(b"\x89PNG")
    assert svg.text.startswith("<svg")


async def test_a_transfer_pays_the_bill_whatever_the_bank_makes_of_its_content(world: World) -> None:
    for payer_bin in ("970436", "970422", "970407", "970418", "970415", "970405", "970423"):
        payment = await world.bill(150_000)
        attempt = await world.attempt(payment, "vietqr")
        answer = await world.bank.post("/transfers", json={"qr": attempt["qr_payload"], "payer_bin": payer_bin})
        await world.notify(answer.json())

        assert (await world.read(payment))["status"] == "paid", answer.json()["content"]


async def test_a_transfer_books_once_however_often_it_is_told(world: World) -> None:
    payment = await world.bill(150_000)
    attempt = await world.attempt(payment, "vietqr")

    entry = await world.transfer(attempt["qr_payload"])
    for _ in range(3):
        assert (await world.notify(entry)).status_code == 200
    found = await world.read(payment)

    assert (found["paid_dong"], found["excess_dong"], found["attempts"][0]["status"]) == (150_000, 0, "succeeded")
    assert await world.balances() == {"bank_clearing": 150_000, "fee_revenue:G01.02": -150_000}
    assert await world.events() == ["payment.opened", "payment.attempt_started", "payment.paid"]


async def test_a_short_transfer_is_a_part_and_the_rest_can_be_collected(world: World) -> None:
    payment = await world.bill(100_000)
    first = await world.attempt(payment, "vietqr")

    await world.transfer(first["qr_payload"], 90_000)
    part = await world.read(payment)
    second = await world.attempt(payment, "vietqr")
    await world.transfer(second["qr_payload"])
    found = await world.read(payment)

    assert (part["status"], part["paid_dong"], part["attempts"][0]["received_dong"]) == (
        "partially_paid",
        90_000,
        90_000,
    )
    assert part["attempts"][0]["status"] == "succeeded_mismatch"
    assert second["amount_dong"] == 10_000
    assert (found["status"], found["paid_dong"], found["excess_dong"]) == ("paid", 100_000, 0)
    assert await world.events() == [
        "payment.opened",
        "payment.attempt_started",
        "payment.partially_paid",
        "payment.attempt_started",
        "payment.paid",
    ]


async def test_too_much_pays_and_the_rest_is_held(world: World) -> None:
    payment = await world.bill(245_000)
    attempt = await world.attempt(payment, "vietqr")

    await world.transfer(attempt["qr_payload"], 255_000)
    found = await world.read(payment)

    assert (found["status"], found["paid_dong"], found["excess_dong"]) == ("paid", 245_000, 10_000)
    assert await world.balances() == {"bank_clearing": 255_000, "fee_revenue:G01.02": -245_000, "suspense": -10_000}
    assert (await world.events())[-2:] == ["payment.paid", "payment.excess_received"]


async def test_paying_the_same_code_twice_holds_the_second(world: World) -> None:
    payment = await world.bill(180_000)
    attempt = await world.attempt(payment, "vietqr")

    await world.transfer(attempt["qr_payload"])
    await world.transfer(attempt["qr_payload"])
    found = await world.read(payment)

    assert (found["status"], found["paid_dong"], found["excess_dong"]) == ("paid", 180_000, 180_000)


async def test_a_late_transfer_on_an_open_bill_pays_it(world: World) -> None:
    payment = await world.bill(180_000)
    attempt = await world.attempt(payment, "vietqr")
    await world.pass_time(payment)
    await world.sweep()
    expired = await world.read(payment)

    await world.transfer(attempt["qr_payload"])
    found = await world.read(payment)

    assert (expired["status"], expired["attempts"][0]["status"]) == ("open", "expired")
    assert (found["status"], found["excess_dong"], found["attempts"][0]["status"]) == ("paid", 0, "succeeded")


async def test_a_transfer_after_the_bill_has_ended_is_held(world: World) -> None:
    payment = await world.bill(170_000)
    attempt = await world.attempt(payment, "vietqr")
    await world.pass_time(payment, bill=True)
    await world.sweep()

    await world.transfer(attempt["qr_payload"])
    found = await world.read(payment)

    assert (found["status"], found["paid_dong"], found["excess_dong"]) == ("expired", 0, 170_000)
    assert found["refundable_dong"] == 0
    assert await world.balances() == {"bank_clearing": 170_000, "suspense": -170_000}


async def test_a_transfer_for_the_first_code_pays_while_a_second_attempt_waits(world: World) -> None:
    payment = await world.bill(180_000)
    first = await world.attempt(payment, "vietqr")
    second = await world.attempt(payment, "card", replace=True)

    await world.transfer(first["qr_payload"])
    between = await world.read(payment)
    await world.make_due()
    await world.sweep()
    found = await world.read(payment)

    assert between["status"] == "paid"
    assert [attempt["status"] for attempt in found["attempts"]] == ["succeeded", "cancelled"]
    intent = (await world.gateway.get(f"/v1/payment_intents/{second['gateway_intent_id']}")).json()
    assert intent["status"] == "canceled"


async def test_a_credit_without_a_reference_is_held_with_a_break(world: World) -> None:
    entry = await world.plain_transfer("nop le phi ho chieu", 180_000)

    breaks = (await world.ok("GET", "/v1/breaks?status=open"))["items"]

    assert await world.balances() == {"bank_clearing": 180_000, "suspense": -180_000}
    assert [(b["kind"], b["amount_dong"], b["account"]) for b in breaks] == [("wrong_reference", 180_000, "suspense")]
    assert entry["bank_reference"] in breaks[0]["text_vi"]


async def test_a_mistyped_reference_is_not_guessed(world: World) -> None:
    payment = await world.bill(180_000)
    attempt = await world.attempt(payment, "vietqr")
    wrong = attempt["reference"][:-1] + ("0" if attempt["reference"][-1] != "0" else "1")

    await world.plain_transfer(wrong, 180_000)

    assert (await world.read(payment))["status"] == "pending"
    assert (await world.balances())["suspense"] == -180_000


async def test_a_reference_read_aloud_with_o_for_zero_is_found(world: World) -> None:
    payment = await world.bill(180_000)
    attempt = await world.attempt(payment, "vietqr")
    spoken = attempt["reference"][:2] + attempt["reference"][2:].replace("0", "o").replace("1", "l").lower()

    await world.plain_transfer(f"nop tien {spoken[:5]} {spoken[5:]}", 180_000)

    assert (await world.read(payment))["status"] == "paid"


async def test_a_credit_that_carries_two_of_our_references_is_asked_about(world: World) -> None:
    first, second = await world.bill(10_000), await world.bill(20_000)
    codes = [(await world.attempt(payment, "vietqr"))["reference"] for payment in (first, second)]

    await world.plain_transfer(" ".join(codes), 30_000)

    breaks = (await world.ok("GET", "/v1/breaks?status=open"))["items"]
    assert [b["kind"] for b in breaks] == ["ambiguous"]


async def test_a_payout_is_recognised_and_not_taken_for_a_citizens_transfer(world: World) -> None:
    await world.paid_by_card(100_000)
    payout = (await world.gateway.post("/_sandbox/payouts/run", json={"hold": True})).json()["payout"]
    body = {"amount_dong": payout["amount"], "reference": payout["id"], "descriptor": "LIEN THONG"}
    entry = (await world.bank.post("/payouts", json=body)).json()

    await world.notify(entry)

    assert await world.balances() == {"gateway_clearing": 100_000, "fee_revenue:G01.02": -100_000}
    assert (await world.ok("GET", "/v1/breaks?status=open"))["items"] == []


async def test_a_notice_waits_in_the_inbox_until_it_can_be_worked_on(world: World) -> None:
    payment = await world.bill(150_000)
    attempt = await world.attempt(payment, "vietqr")
    entry = await world.transfer(attempt["qr_payload"], told=False)

    await world.notify(entry, work=False)
    before = await world.read(payment)
    worked = await work_once(world.till)

    assert (before["status"], worked) == ("pending", 1)
    assert (await world.read(payment))["status"] == "paid"
    assert await work_once(world.till) == 0
