"""Card attempts against the sandbox gateway, with every way an answer can be lost."""

import asyncio

import httpx
import pytest

from tests.payment.conftest import World


async def test_a_card_pays_the_bill(world: World) -> None:
    payment = await world.bill(150_000, 50_000)

    attempt = await world.attempt(payment, payment_method="pm_card_visa")
    found = await world.read(payment)

    assert (attempt["status"], attempt["amount_dong"], attempt["received_dong"]) == ("succeeded", 200_000, 200_000)
    assert (found["status"], found["paid_dong"], found["refundable_dong"]) == ("paid", 200_000, 200_000)
    assert [fact["kind"] for fact in found["facts"]] == [
        "opened",
        "attempt_started",
        "attempt_succeeded",
        "money_applied",
        "receipt_issued",
    ]
    assert await world.balances() == {"gateway_clearing": 200_000, "fee_revenue:G01.02": -200_000}
    assert await world.events() == ["payment.opened", "payment.attempt_started", "payment.paid"]


async def test_the_intent_carries_ids_and_nothing_personal(world: World) -> None:
    payment = await world.bill(20_000)
    attempt = await world.attempt(payment)

    intent = (await world.gateway.get(f"/v1/payment_intents/{attempt['gateway_intent_id']}")).json()

    assert intent["metadata"] == {
        "dossier_code": payment["dossier_code"],
        "payment_id": payment["id"],
        "attempt_id": attempt["id"],
        "reference": attempt["reference"],
    }
    assert (intent["amount"], intent["currency"]) == (20_000, "vnd")


async def test_without_a_token_the_citizen_is_sent_to_the_hosted_page_and_news_settles_the_bill(world: World) -> None:
    payment = await world.bill(20_000)
    attempt = await world.attempt(payment)
    assert attempt["status"] == "pending"
    assert attempt["pay_url"].startswith(f"http://gateway.test/pay/{attempt['gateway_intent_id']}?return_url=")

    await world.gateway.post(f"/pay/{attempt['gateway_intent_id']}", data={"action": "pay"})
    assert (await world.read(payment))["status"] == "pending"
    await world.deliver_gateway_news()

    assert (await world.read(payment))["status"] == "paid"
    assert await world.balances() == {"gateway_clearing": 20_000, "fee_revenue:G01.02": -20_000}


async def test_a_declined_hosted_card_leaves_the_page_open_for_another(world: World) -> None:
    payment = await world.bill(20_000)
    attempt = await world.attempt(payment)

    await world.gateway.post(f"/pay/{attempt['gateway_intent_id']}", data={"action": "decline"})
    await world.deliver_gateway_news()
    assert (await world.read(payment))["status"] == "pending"
    await world.gateway.post(f"/pay/{attempt['gateway_intent_id']}", data={"action": "pay"})
    await world.deliver_gateway_news()

    assert (await world.read(payment))["status"] == "paid"


async def test_a_declined_token_fails_and_another_attempt_may_follow(world: World) -> None:
    payment = await world.bill(20_000)

    declined = await world.attempt(payment, payment_method="pm_card_chargeDeclinedInsufficientFunds")
    between = await world.read(payment)
    paid = await world.attempt(payment, payment_method="pm_card_visa")

    assert (declined["status"], paid["status"]) == ("failed", "succeeded")
    assert between["status"] == "open"
    assert between["facts"][-1]["detail"] == "insufficient_funds"
    assert await world.events() == [
        "payment.opened",
        "payment.attempt_started",
        "payment.attempt_failed",
        "payment.attempt_started",
        "payment.paid",
    ]


async def test_a_card_that_asks_for_authentication_waits_and_then_pays(world: World) -> None:
    payment = await world.bill(20_000)

    attempt = await world.attempt(payment, payment_method="pm_card_threeDSecureRequired")
    assert attempt["status"] == "requires_action"
    assert attempt["pay_url"].startswith("http://gateway.test/pay/pi_")
    await world.gateway.post(f"/pay/{attempt['gateway_intent_id']}", data={"action": "pay"})
    await world.deliver_gateway_news()

    assert (await world.read(payment))["status"] == "paid"


async def test_the_same_news_three_times_counts_once(world: World) -> None:
    payment = await world.paid_by_card(20_000)
    events = (await world.gateway.get("/v1/events", params={"limit": 100})).json()["data"]

    for event in [*events, *events, *reversed(events)]:
        assert (await world.send_event(event)).status_code == 200
    world.delivered.update(event["id"] for event in events)
    await world.deliver_gateway_news()

    found = await world.read(payment)
    assert (found["paid_dong"], found["excess_dong"], found["version"]) == (20_000, 0, payment["version"])
    assert await world.database.fetchval("select count(*) from inbound") == len(events)
    assert await world.balances() == {"gateway_clearing": 20_000, "fee_revenue:G01.02": -20_000}


async def test_lost_news_is_found_by_asking(world: World) -> None:
    payment = await world.bill(20_000)
    attempt = await world.attempt(payment)
    await world.gateway.post(f"/pay/{attempt['gateway_intent_id']}", data={"action": "pay"})

    refreshed = await world.ok("POST", f"/v1/payments/{payment['id']}/refresh")

    assert refreshed["status"] == "paid"


async def test_lost_news_is_found_by_the_sweeper(world: World) -> None:
    payment = await world.bill(20_000)
    attempt = await world.attempt(payment)
    await world.gateway.post(f"/pay/{attempt['gateway_intent_id']}", data={"action": "pay"})

    await world.make_due()
    await world.sweep()

    assert (await world.read(payment))["status"] == "paid"


async def _fault(world: World, effect: str, path: str, *, seconds: float = 0.05) -> None:
    script = {"match": {"path": path}, "effect": effect, "seconds": seconds, "times": 30}
    assert (await world.gateway.post("/_sandbox/faults", json=script)).status_code == 201


async def _mended(world: World) -> None:
    await world.gateway.delete("/_sandbox/faults")


def _drops_answers(path: str):  # type: ignore[no-untyped-def]
    """The gateway does the work, but its answer never arrives."""

    def after(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        if request.method == "POST" and request.url.path.endswith(path):
            raise httpx.ReadTimeout("no answer", request=request)
        return answer

    return after


async def test_no_answer_to_the_confirmation_leaves_it_unknown_until_asked_and_takes_the_money_once(
    world: World,
) -> None:
    payment = await world.bill(20_000)
    world.line.after = _drops_answers("/confirm")

    attempt = await world.attempt(payment, payment_method="pm_card_visa")
    unknown = await world.read(payment)
    blocked = await world.call("POST", f"/v1/payments/{payment['id']}/attempts", {"method": "vietqr"})
    replaced = await world.call("POST", f"/v1/payments/{payment['id']}/attempts", {"method": "vietqr", "replace": True})
    world.line.after = None
    await world.make_due()
    await world.sweep()
    found = await world.read(payment)

    assert (attempt["status"], unknown["status"]) == ("unknown", "unknown")
    assert (blocked.status_code, replaced.status_code) == (409, 409)
    assert blocked.json()["attempt_status"] == "unknown"
    assert (found["status"], found["paid_dong"], found["excess_dong"]) == ("paid", 20_000, 0)
    charges = (await world.gateway.get("/v1/charges")).json()["data"]
    assert [charge["amount"] for charge in charges] == [20_000]


async def test_no_answer_to_the_creation_makes_one_intent_and_one_charge(world: World) -> None:
    payment = await world.bill(20_000)
    world.line.after = _drops_answers("/payment_intents")

    attempt = await world.attempt(payment, payment_method="pm_card_visa")
    world.line.after = None
    await world.make_due()
    await world.sweep()

    assert attempt["status"] == "unknown"
    assert (await world.read(payment))["status"] == "paid"
    intents = (await world.gateway.get("/v1/payment_intents")).json()["data"]
    assert [intent["status"] for intent in intents] == ["succeeded"]


async def test_a_gateway_in_trouble_leaves_the_attempt_unknown_and_recovers(world: World) -> None:
    payment = await world.bill(20_000)
    await _fault(world, "500", "/v1/payment_intents")

    attempt = await world.attempt(payment, payment_method="pm_card_visa")
    assert attempt["status"] == "unknown"
    await _mended(world)
    refreshed = await world.ok("POST", f"/v1/payments/{payment['id']}/refresh")

    assert refreshed["status"] == "paid"


async def test_passing_trouble_is_retried_within_the_call(world: World) -> None:
    payment = await world.bill(20_000)
    script = {"match": {"path": "/v1/payment_intents"}, "effect": "429", "times": 1}
    await world.gateway.post("/_sandbox/faults", json=script)

    attempt = await world.attempt(payment, payment_method="pm_card_visa")

    assert attempt["status"] == "succeeded"
    assert world.line.count("POST", "/v1/payment_intents") == 2


async def test_an_unknown_attempt_keeps_its_bill_from_expiring(world: World) -> None:
    payment = await world.bill(20_000)
    world.line.after = _drops_answers("/confirm")
    await world.attempt(payment, payment_method="pm_card_visa")
    world.line.before = lambda request: (_ for _ in ()).throw(httpx.ConnectError("away", request=request))

    await world.pass_time(payment, bill=True)
    await world.sweep()
    still = await world.read(payment)
    world.line.before, world.line.after = None, None
    await world.make_due()
    await world.sweep()

    assert still["status"] == "unknown"
    assert (await world.read(payment))["status"] == "paid"


async def test_an_attempt_past_its_time_is_asked_about_before_it_expires(world: World) -> None:
    payment = await world.bill(20_000)
    attempt = await world.attempt(payment)
    await world.gateway.post(f"/pay/{attempt['gateway_intent_id']}", data={"action": "pay"})

    await world.pass_time(payment)
    await world.sweep()

    assert (await world.read(payment))["status"] == "paid"


async def test_an_unpaid_attempt_expires_and_its_intent_is_cancelled(world: World) -> None:
    payment = await world.bill(20_000)
    attempt = await world.attempt(payment)

    await world.pass_time(payment)
    await world.sweep()
    found = await world.read(payment)

    assert (found["status"], found["attempts"][0]["status"]) == ("open", "expired")
    intent = (await world.gateway.get(f"/v1/payment_intents/{attempt['gateway_intent_id']}")).json()
    assert intent["status"] == "canceled"
    second = await world.attempt(payment, payment_method="pm_card_visa")
    assert second["status"] == "succeeded"
    assert "payment.attempt_expired" in await world.events()


async def test_a_bill_past_its_time_expires_after_its_attempt(world: World) -> None:
    payment = await world.bill(20_000)
    await world.attempt(payment)

    await world.pass_time(payment, bill=True)
    await world.sweep()
    found = await world.read(payment)

    assert found["status"] == "expired"
    assert await world.balances() == {}
    assert (await world.events())[-2:] == ["payment.attempt_expired", "payment.expired"]
    refused = await world.call("POST", f"/v1/payments/{payment['id']}/attempts", {"method": "card"})
    assert refused.status_code == 409
    assert refused.json()["type"] == "/problems/nothing-to-collect"


async def test_cancelling_a_bill_the_gateway_has_been_paid_for_records_the_money(world: World) -> None:
    payment = await world.bill(20_000)
    attempt = await world.attempt(payment)
    await world.gateway.post(f"/pay/{attempt['gateway_intent_id']}", data={"action": "pay"})

    cancelled = await world.ok("POST", f"/v1/payments/{payment['id']}/cancel", {"reason": "withdrawn"})

    assert (cancelled["status"], cancelled["paid_dong"], cancelled["refundable_dong"]) == ("paid", 20_000, 20_000)
    assert "payment.cancelled" not in await world.events()


async def test_cancelling_cancels_the_live_intent(world: World) -> None:
    payment = await world.bill(20_000)
    attempt = await world.attempt(payment)

    cancelled = await world.ok("POST", f"/v1/payments/{payment['id']}/cancel", {"reason": "withdrawn"})

    assert (cancelled["status"], cancelled["attempts"][0]["status"]) == ("cancelled", "cancelled")
    intent = (await world.gateway.get(f"/v1/payment_intents/{attempt['gateway_intent_id']}")).json()
    assert intent["status"] == "canceled"
    assert await world.balances() == {}


async def test_cancelling_while_the_gateway_is_away_changes_nothing(world: World) -> None:
    payment = await world.bill(20_000)
    await world.attempt(payment)
    world.line.before = lambda request: httpx.Response(503, request=request)

    answer = await world.call("POST", f"/v1/payments/{payment['id']}/cancel", {"reason": "withdrawn"})
    world.line.before = None

    assert answer.status_code == 503
    assert answer.json()["type"] == "/problems/gateway-unavailable"
    assert (await world.read(payment))["status"] == "pending"


async def test_two_attempts_at_once_make_one(world: World) -> None:
    payment = await world.bill(20_000)
    path = f"/v1/payments/{payment['id']}/attempts"

    answers = await asyncio.gather(*(world.call("POST", path, {"method": "card"}) for _ in range(3)))

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    assert world.line.count("POST", "/v1/payment_intents") == 1
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert refused.json()["type"] == "/problems/attempt-live"


async def test_replacing_gives_the_live_attempt_up_first(world: World) -> None:
    payment = await world.bill(20_000)
    first = await world.attempt(payment)

    second = await world.attempt(payment, "vietqr", replace=True)
    found = await world.read(payment)

    assert second["status"] == "pending"
    assert [attempt["status"] for attempt in found["attempts"]] == ["cancelled", "pending"]
    intent = (await world.gateway.get(f"/v1/payment_intents/{first['gateway_intent_id']}")).json()
    assert intent["status"] == "canceled"


async def test_another_amount_at_the_gateway_is_booked_as_it_is_and_never_failed(world: World) -> None:
    payment = await world.bill(20_000)
    attempt = await world.attempt(payment)
    intent_id = attempt["gateway_intent_id"]
    await world.gateway.post(f"/v1/payment_intents/{intent_id}", data={"amount": "25000"})
    await world.gateway.post(f"/pay/{intent_id}", data={"action": "pay"})

    await world.deliver_gateway_news()
    found = await world.read(payment)

    assert (found["status"], found["paid_dong"], found["excess_dong"]) == ("paid", 20_000, 5_000)
    assert found["attempts"][0]["status"] == "succeeded_mismatch"
    assert found["attempts"][0]["received_dong"] == 25_000
    assert await world.balances() == {"gateway_clearing": 25_000, "fee_revenue:G01.02": -20_000, "suspense": -5_000}


async def test_less_than_asked_for_at_the_gateway_is_a_part_payment(world: World) -> None:
    payment = await world.bill(20_000)
    attempt = await world.attempt(payment)
    intent_id = attempt["gateway_intent_id"]
    await world.gateway.post(f"/v1/payment_intents/{intent_id}", data={"amount": "15000"})
    await world.gateway.post(f"/pay/{intent_id}", data={"action": "pay"})
    await world.deliver_gateway_news()

    part = await world.read(payment)
    rest = await world.attempt(payment, payment_method="pm_card_visa")

    assert (part["status"], part["paid_dong"]) == ("partially_paid", 15_000)
    assert rest["amount_dong"] == 5_000
    assert (await world.read(payment))["status"] == "paid"


async def test_an_attempt_whose_process_died_before_its_first_call_is_picked_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = await world.bill(20_000)
    with monkeypatch.context() as patch:
        patch.setattr("services.payment.operations.attempts._create_intent", _dies)
        with pytest.raises(asyncio.CancelledError):
            await world.attempt(payment, payment_method="pm_card_visa")
    stuck = await world.read(payment)

    await world.make_due()
    await world.sweep()

    assert (stuck["status"], stuck["attempts"][0]["status"]) == ("pending", "created")
    assert (await world.read(payment))["status"] == "paid"
    assert len((await world.gateway.get("/v1/charges")).json()["data"]) == 1


async def _dies(*_: object) -> None:
    raise asyncio.CancelledError


async def test_a_late_card_on_an_expired_bill_goes_to_suspense(world: World) -> None:
    payment = await world.bill(20_000)
    attempt = await world.attempt(payment)
    intent_id = attempt["gateway_intent_id"]
    await world.database.execute("update attempt set status = 'expired', ended_at = now() where id = $1", attempt["id"])
    await world.database.execute("update payment set live = null, expires_at = now() where id = $1", payment["id"])
    await world.database.execute(
        "insert into fact select payment_id, number + 1, id || 'x', 'attempt_expired', attempt_id, null, 20000,"
        " occurred_at, recorded_at, 'test', '' from fact where payment_id = $1 order by number desc limit 1",
        payment["id"],
    )
    await world.database.execute(
        "update payment set version = version + 1, status = 'open' where id = $1", payment["id"]
    )
    await world.sweep()
    assert (await world.read(payment))["status"] == "expired"

    await world.gateway.post(f"/pay/{intent_id}", data={"action": "pay"})
    await world.deliver_gateway_news()
    found = await world.read(payment)

    assert (found["status"], found["paid_dong"], found["excess_dong"]) == ("expired", 0, 20_000)
    assert found["attempts"][0]["status"] == "succeeded"
    assert (await world.events())[-1] == "payment.excess_received"
    assert await world.balances() == {"gateway_clearing": 20_000, "suspense": -20_000}


async def test_more_callers_than_connections_wait_instead_of_starving_each_other(world: World) -> None:
    bills = [await world.bill(10_000) for _ in range(30)]

    attempts = await asyncio.gather(*(world.attempt(bill, payment_method="pm_card_visa") for bill in bills))

    assert {attempt["status"] for attempt in attempts} == {"succeeded"}
