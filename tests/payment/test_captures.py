"""Money reserved on a card now and captured later: states, refusals, races, lost answers, and what the books know."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import httpx
import pytest

from services.payment import rules
from services.payment.operations.inbox import work_once
from tests.payment.conftest import World
from tests.payment.test_pages import OFFICER, Visitor
from tests.payment.test_redirect_gateway import Redirecting, redirecting

__all__ = ["redirecting"]


async def reserved(world: World, *amounts: int, card: str = "pm_card_visa") -> tuple[dict[str, Any], dict[str, Any]]:
    """A bill whose whole amount is reserved on a card."""
    payment = await world.bill(*amounts)
    attempt = await world.attempt(payment, payment_method=card, capture="later")
    assert attempt["status"] == "authorised"
    return payment, attempt


async def capture(world: World, attempt: dict[str, Any], payment: Any, amount: int | None = None) -> httpx.Response:
    body = {} if amount is None else {"amount_dong": amount}
    return await world.call("POST", f"/v1/payments/{payment['id']}/attempts/{attempt['id']}/capture", body)


async def cancel(world: World, payment: dict[str, Any]) -> httpx.Response:
    return await world.call("POST", f"/v1/payments/{payment['id']}/cancel", {"reason": "withdrawn"})


async def intent_of(world: World, attempt: dict[str, Any]) -> Any:
    return (await world.gateway.get(f"/v1/payment_intents/{attempt['gateway_intent_id']}")).json()


async def snapshot(world: World) -> tuple[int, int]:
    facts = await world.database.fetchval("select count(*) from fact")
    return facts, await world.database.fetchval("select count(*) from entry")


def drops_answers(path: str) -> Callable[[httpx.Request, httpx.Response], httpx.Response]:
    """The gateway does the work, but its answer never arrives."""

    def after(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        if request.method == "POST" and request.url.path.endswith(path):
            raise httpx.ReadTimeout("no answer", request=request)
        return answer

    return after


def never_sent(path: str) -> Callable[[httpx.Request], httpx.Response | None]:
    """The call breaks before it has reached the gateway."""

    def before(request: httpx.Request) -> httpx.Response | None:
        if request.method == "POST" and request.url.path.endswith(path):
            raise httpx.ConnectError("away", request=request)
        return None

    return before


# --- states ----------------------------------------------------------------------------------------


async def test_an_authorisation_is_a_fact_and_moves_no_money(world: World) -> None:
    payment, attempt = await reserved(world, 150_000)
    found = await world.read(payment)

    assert (found["status"], found["paid_dong"], found["excess_dong"]) == ("pending", 0, 0)
    assert (attempt["capture"], attempt["authorised_dong"], attempt["received_dong"]) == ("later", 150_000, 0)
    assert attempt["capture_dong"] is None
    assert [(fact["kind"], fact["amount_dong"]) for fact in found["facts"]] == [
        ("opened", 150_000),
        ("attempt_started", 150_000),
        ("attempt_authorised", 150_000),
    ]
    assert await world.balances() == {"citizen_receivable": 150_000, "fee_revenue:G01.02": -150_000}
    assert (await world.events())[-1] == "payment.attempt_authorised"
    assert (await intent_of(world, attempt))["status"] == "requires_capture"


async def test_a_capture_takes_the_money_and_pays_the_bill(world: World) -> None:
    payment, attempt = await reserved(world, 150_000)

    answer = await capture(world, attempt, payment)
    found = await world.read(payment)

    assert (answer.status_code, answer.json()["status"], answer.json()["capture_dong"]) == (200, "succeeded", 150_000)
    assert (found["status"], found["paid_dong"], found["refundable_dong"]) == ("paid", 150_000, 150_000)
    assert [fact["kind"] for fact in found["facts"]][-4:] == [
        "capture_requested",
        "attempt_succeeded",
        "money_applied",
        "receipt_issued",
    ]
    assert await world.balances() == {"gateway_clearing": 150_000, "fee_revenue:G01.02": -150_000}


async def test_less_than_reserved_is_a_part_payment_and_the_rest_is_released(world: World) -> None:
    payment, attempt = await reserved(world, 150_000)

    answer = await capture(world, attempt, payment, 100_000)
    found = await world.read(payment)
    rest = await world.attempt(payment, payment_method="pm_card_visa")

    assert (answer.json()["status"], answer.json()["received_dong"]) == ("succeeded", 100_000)
    assert (found["status"], found["paid_dong"], found["excess_dong"]) == ("partially_paid", 100_000, 0)
    assert found["arrivals"][0]["policy"] == "underpaid"
    intent = await intent_of(world, attempt)
    assert (intent["status"], intent["amount_received"], intent["amount_capturable"]) == ("succeeded", 100_000, 0)
    assert rest["amount_dong"] == 50_000
    assert (await world.read(payment))["status"] == "paid"


async def test_a_reservation_on_the_hosted_page_is_heard_of_by_webhook_and_twice_is_once(world: World) -> None:
    payment = await world.bill(20_000)
    attempt = await world.attempt(payment, capture="later")
    assert attempt["status"] == "pending"

    await world.gateway.post(f"/pay/{attempt['gateway_intent_id']}", data={"action": "pay"})
    await world.deliver_gateway_news()
    first = await world.read(payment)
    events = (await world.gateway.get("/v1/events", params={"limit": 100})).json()["data"]
    for event in events:
        await world.send_event({**event, "id": f"{event['id']}x"})
    await world.deliver_gateway_news()

    assert (first["status"], first["attempts"][0]["status"]) == ("pending", "authorised")
    assert first["attempts"][0]["authorised_dong"] == 20_000
    assert (await world.read(payment))["version"] == first["version"]
    assert (await capture(world, attempt, payment)).json()["status"] == "succeeded"


async def test_news_from_before_the_reservation_changes_nothing(world: World) -> None:
    payment, attempt = await reserved(world, 20_000)
    version = (await world.read(payment))["version"]
    event = (await world.gateway.get("/v1/events", params={"limit": 1})).json()["data"][0]

    stale = await intent_of(world, attempt) | {"status": "requires_action", "amount_capturable": 0}

    world.line.before = lambda request: httpx.Response(200, json=stale, request=request)
    await world.send_event(event)
    worked_on = await work_once(world.till)
    world.line.before = None

    found = await world.read(payment)
    assert (found["attempts"][0]["status"], found["version"]) == ("authorised", version)
    assert worked_on == 1


async def test_a_reservation_blocks_a_second_attempt_and_may_be_replaced_by_the_agency(world: World) -> None:
    payment, attempt = await reserved(world, 20_000)
    path = f"/v1/payments/{payment['id']}/attempts"

    blocked = await world.call("POST", path, {"method": "vietqr"})
    replaced = await world.attempt(payment, "vietqr", replace=True)

    assert (blocked.status_code, blocked.json()["type"]) == (409, "/problems/attempt-live")
    assert blocked.json()["attempt_status"] == "authorised"
    assert "replace=true" in blocked.json()["detail"]
    assert replaced["status"] == "pending"
    assert (await intent_of(world, attempt))["status"] == "canceled"
    assert [row["status"] for row in (await world.read(payment))["attempts"]] == ["cancelled", "pending"]


async def test_cancelling_the_bill_releases_the_reservation(world: World) -> None:
    payment, attempt = await reserved(world, 20_000)

    answer = await cancel(world, payment)

    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert answer.json()["attempts"][0]["status"] == "cancelled"
    assert (await intent_of(world, attempt))["status"] == "canceled"
    assert await world.balances() == {}


async def test_cash_that_pays_the_bill_releases_the_reservation(world: World) -> None:
    payment, attempt = await reserved(world, 20_000)
    cash = {
        "event_id": "cash-1",
        "amount_dong": 20_000,
        "collected_at": "2026-11-21T02:00:00Z",
        "collector": "BT01",
        "place": "courier",
    }
    await world.ok("POST", f"/v1/payments/{payment['id']}/cash", cash)

    refused = await capture(world, attempt, payment)
    await world.sweep()

    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/nothing-to-collect")
    assert (await intent_of(world, attempt))["status"] == "canceled"
    found = await world.read(payment)
    assert (found["status"], found["paid_dong"], found["excess_dong"]) == ("paid", 20_000, 0)


# --- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["vietqr", "cash_on_delivery", "cash_at_counter"])
async def test_only_cards_can_be_captured_later(world: World, method: str) -> None:
    payment = await world.bill(20_000)
    before = await snapshot(world)

    path = f"/v1/payments/{payment['id']}/attempts"
    answer = await world.call("POST", path, {"method": method, "capture": "later"})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "capture")
    assert await snapshot(world) == before


async def test_a_redirect_gateway_reserves_nothing(redirecting: Redirecting) -> None:
    world = redirecting.world
    payment = await world.bill(20_000)
    path = f"/v1/payments/{payment['id']}/attempts"

    refused = await world.call("POST", path, {"method": "card", "capture": "later"})
    at_the_wire = await world.attempt(payment, payment_method="pm_card_visa", capture="later")

    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "capture")
    assert at_the_wire["status"] == "authorised"


@pytest.mark.parametrize("amount", [0, -1, 20_001, 10**13])
async def test_a_capture_of_nothing_or_of_more_than_is_reserved_is_refused(world: World, amount: int) -> None:
    payment, attempt = await reserved(world, 20_000)
    before = await snapshot(world)

    answer = await capture(world, attempt, payment, amount)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "amount_dong")
    assert await snapshot(world) == before
    assert world.line.count("POST", "/capture") == 0


async def test_one_capture_an_authorisation(world: World) -> None:
    payment, attempt = await reserved(world, 20_000)
    first = await capture(world, attempt, payment, 15_000)
    before = await snapshot(world)

    again = await capture(world, attempt, payment, 15_000)
    other = await capture(world, attempt, payment, 5_000)

    assert again.json() == first.json()
    assert (other.status_code, other.json()["type"]) == (409, "/problems/capture-differs")
    assert other.json()["capture_dong"] == 15_000
    assert await snapshot(world) == before
    assert world.line.count("POST", "/capture") == 1


async def test_the_same_key_is_the_same_capture(world: World) -> None:
    payment, attempt = await reserved(world, 20_000)
    path = f"/v1/payments/{payment['id']}/attempts/{attempt['id']}/capture"

    first = await world.call("POST", path, {"amount_dong": 5_000}, key="capture-1")
    again = await world.call("POST", path, {"amount_dong": 5_000}, key="capture-1")
    other = await world.call("POST", path, {"amount_dong": 6_000}, key="capture-1")

    assert (first.status_code, again.json()) == (200, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert other.status_code == 422
    assert (await world.read(payment))["paid_dong"] == 5_000


async def test_capture_after_cancel_is_refused(world: World) -> None:
    payment, attempt = await reserved(world, 20_000)
    await cancel(world, payment)
    before = await snapshot(world)

    answer = await capture(world, attempt, payment)

    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/authorisation-ended")
    assert answer.json()["attempt_status"] == "cancelled"
    assert await snapshot(world) == before


async def test_cancel_after_capture_is_refused_and_a_part_payment_can_still_be_ended(world: World) -> None:
    whole, first = await reserved(world, 20_000)
    part, second = await reserved(world, 20_000)
    await capture(world, first, whole)
    await capture(world, second, part, 5_000)

    refused, ended = await cancel(world, whole), await cancel(world, part)

    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/money-captured")
    assert (await world.read(whole))["status"] == "paid"
    assert (ended.status_code, ended.json()["status"], ended.json()["refundable_dong"]) == (200, "cancelled", 5_000)


async def test_what_was_never_reserved_cannot_be_captured(world: World) -> None:
    at_once = await world.paid_by_card(20_000)
    waiting = await world.bill(20_000)
    hosted = await world.attempt(waiting, capture="later")
    declined = await world.bill(20_000)
    refused = await world.attempt(declined, payment_method="pm_card_chargeDeclined", capture="later")

    answers = [
        await capture(world, at_once["attempts"][0], at_once),
        await capture(world, hosted, waiting),
        await capture(world, refused, declined),
        await capture(world, hosted, at_once),
    ]

    assert [(answer.status_code, answer.json()["type"].removeprefix("/problems/")) for answer in answers] == [
        (409, "nothing-authorised"),
        (409, "nothing-authorised"),
        (409, "authorisation-ended"),
        (404, "attempt-not-found"),
    ]
    assert world.line.count("POST", "/capture") == 0


async def test_a_capture_the_gateway_refuses_takes_nothing_and_may_be_tried_with_another_amount(world: World) -> None:
    payment, attempt = await reserved(world, 20_000)

    def refuses(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.endswith("/capture"):
            return None
        error = {"type": "invalid_request_error", "code": "charge_exceeds_transaction_limit", "message": "no"}
        return httpx.Response(400, json={"error": error}, request=request)

    world.line.before = refuses
    refused = await capture(world, attempt, payment)
    world.line.before = None
    between = await world.read(payment)
    taken = await capture(world, attempt, payment, 12_000)

    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/capture-refused")
    assert (between["attempts"][0]["status"], between["attempts"][0]["capture_dong"]) == ("authorised", None)
    assert between["facts"][-1]["kind"] == "capture_refused"
    assert (taken.json()["status"], taken.json()["received_dong"]) == ("succeeded", 12_000)


# --- races, lost answers, time ---------------------------------------------------------------------


async def test_capture_against_cancel_has_one_winner_and_both_are_told(world: World) -> None:
    outcomes = set()
    for turn in range(4):
        payment, attempt = await reserved(world, 20_000)
        calls = [capture(world, attempt, payment), cancel(world, payment)]
        answers = await asyncio.gather(*(calls if turn % 2 else reversed(calls)))
        captured, cancelled = answers if turn % 2 else reversed(answers)
        found, intent = await world.read(payment), await intent_of(world, attempt)

        if captured.status_code == 200:
            assert (cancelled.status_code, cancelled.json()["type"]) == (409, "/problems/money-captured")
            assert (found["status"], found["paid_dong"], intent["status"]) == ("paid", 20_000, "succeeded")
        else:
            assert (captured.status_code, captured.json()["type"]) == (409, "/problems/authorisation-ended")
            assert (cancelled.status_code, found["status"], found["paid_dong"]) == (200, "cancelled", 0)
            assert intent["status"] == "canceled"
        outcomes.add(captured.status_code)
    assert outcomes <= {200, 409}


async def test_two_captures_at_once_take_one_amount(world: World) -> None:
    payment, attempt = await reserved(world, 20_000)

    same = await asyncio.gather(capture(world, attempt, payment, 9_000), capture(world, attempt, payment, 9_000))
    other_payment, other = await reserved(world, 20_000)
    mixed = await asyncio.gather(
        capture(world, other, other_payment, 9_000), capture(world, other, other_payment, 8_000)
    )

    assert [answer.json()["received_dong"] for answer in same] == [9_000, 9_000]
    assert sorted(answer.status_code for answer in mixed) == [200, 409]
    winner = next(answer for answer in mixed if answer.status_code == 200).json()
    assert (await world.read(other_payment))["paid_dong"] == winner["received_dong"] == winner["capture_dong"]
    assert (await world.read(payment))["paid_dong"] == 9_000


@pytest.mark.parametrize("lost", ["after", "before"])
async def test_no_answer_to_a_capture_is_unknown_until_asked_and_takes_the_money_once(world: World, lost: str) -> None:
    payment, attempt = await reserved(world, 20_000)
    setattr(world.line, lost, drops_answers("/capture") if lost == "after" else never_sent("/capture"))

    answer = await capture(world, attempt, payment, 15_000)
    unknown = await world.read(payment)
    world.line.after = world.line.before = None
    other = await capture(world, attempt, payment, 10_000)
    await world.make_due()
    await world.sweep()
    found = await world.read(payment)

    assert (answer.status_code, answer.json()["status"], unknown["status"]) == (200, "unknown", "unknown")
    assert (other.status_code, other.json()["type"]) == (409, "/problems/capture-differs")
    assert (found["status"], found["paid_dong"]) == ("partially_paid", 15_000)
    charges = (await world.gateway.get("/v1/charges")).json()["data"]
    assert [charge["amount_captured"] for charge in charges] == [15_000]


async def test_a_capture_asked_for_in_time_is_carried_out_although_the_time_has_passed(world: World) -> None:
    payment, attempt = await reserved(world, 20_000)
    world.line.before = lambda request: httpx.Response(503, request=request)
    recorded = await capture(world, attempt, payment)
    world.line.before = None

    await world.pass_time(payment, bill=True)
    await world.sweep()

    assert (recorded.status_code, recorded.json()["capture_dong"]) == (200, 20_000)
    assert (await world.read(payment))["status"] == "paid"


async def test_a_reservation_outlives_the_attempts_half_hour_and_ends_with_its_own_time(world: World) -> None:
    payment, attempt = await reserved(world, 20_000)
    life = await world.database.fetchval("select extract(epoch from expires_at - now()) from attempt")
    assert 5.9 * 86_400 < life <= 6 * 86_400

    await world.pass_time(payment)
    await world.sweep()
    found = await world.read(payment)

    assert (found["status"], found["attempts"][0]["status"]) == ("open", "expired")
    assert (await intent_of(world, attempt))["status"] == "canceled"
    refused = await capture(world, attempt, payment)
    assert (refused.status_code, refused.json()["attempt_status"]) == (409, "expired")


async def test_an_attempt_past_its_time_that_was_reserved_unheard_is_kept(world: World) -> None:
    payment = await world.bill(20_000)
    attempt = await world.attempt(payment, capture="later")
    await world.gateway.post(f"/pay/{attempt['gateway_intent_id']}", data={"action": "pay"})

    await world.pass_time(payment)
    await world.sweep()

    assert (await world.read(payment))["attempts"][0]["status"] == "authorised"
    assert (await intent_of(world, attempt))["status"] == "requires_capture"


@pytest.mark.parametrize("told", [True, False])
async def test_an_authorisation_that_lapses_at_the_gateway_expires_here(world: World, told: bool) -> None:
    payment, attempt = await reserved(world, 20_000)
    answer = await world.gateway.post(f"/_sandbox/payment_intents/{attempt['gateway_intent_id']}/lapse")
    assert answer.status_code == 200

    if told:
        await world.deliver_gateway_news()
    refused = await capture(world, attempt, payment)
    found = await world.read(payment)

    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/authorisation-ended")
    assert (found["status"], found["attempts"][0]["status"]) == ("open", "expired")
    assert (await world.events())[-1] == "payment.attempt_expired"
    assert (await world.attempt(payment, payment_method="pm_card_visa"))["status"] == "succeeded"


async def test_money_reserved_for_an_attempt_that_has_ended_is_released(world: World) -> None:
    payment = await world.bill(20_000)
    failed = await world.attempt(payment, payment_method="pm_card_chargeDeclined", capture="later")
    address = f"/v1/payment_intents/{failed['gateway_intent_id']}/confirm"
    assert (await world.gateway.post(address, data={"payment_method": "pm_card_visa"})).is_success
    assert (await intent_of(world, failed))["status"] == "requires_capture"

    await world.deliver_gateway_news()

    assert (await intent_of(world, failed))["status"] == "canceled"
    found = await world.read(payment)
    assert (found["status"], found["attempts"][0]["status"], found["paid_dong"]) == ("open", "failed", 0)


# --- the database, the rules, the pages ------------------------------------------------------------


async def test_the_database_knows_what_an_authorisation_may_be(world: World) -> None:
    payment, attempt = await reserved(world, 20_000)

    for change in ("capture_dong = 20001", "capture_dong = 0", "capture = 'now'", "method = 'vietqr'"):
        with pytest.raises(asyncpg.CheckViolationError):
            await world.database.execute(f"update attempt set {change} where id = $1", attempt["id"])
    with pytest.raises(asyncpg.UniqueViolationError):
        await world.database.execute(
            "insert into attempt (id, payment_id, method, status, amount_dong, received_dong, reference, last_error,"
            " check_count, next_check_at, expires_at, created_at) values ('att_2', $1, 'vietqr', 'pending', 1, 0, 'R',"
            " '', 0, now(), now(), now())",
            payment["id"],
        )


def test_the_table_leads_to_and_from_authorised() -> None:
    into = {old for old, new in rules.ATTEMPT_EDGES if new == "authorised"}
    out = {new for old, new in rules.ATTEMPT_EDGES if old == "authorised"}

    assert into == {"created", "pending", "requires_action", "unknown"}
    assert out == {"unknown", "failed", "expired", "cancelled", "succeeded", "succeeded_mismatch"}
    assert "authorised" in rules.LIVE
    for earlier in rules.BEFORE_AUTHORISED:
        with pytest.raises(rules.ForbiddenMove):
            rules.attempt_fact("authorised", earlier)


@pytest.mark.parametrize(
    ("paid", "ended", "most"), [(0, None, 100), (30, None, 70), (100, None, 0), (0, "cancelled", 0)]
)
def test_no_more_is_captured_than_the_bill_needs(paid: int, ended: Any, most: int) -> None:
    assert rules.capturable_dong(rules.Standing(due_dong=100, paid_dong=paid, ended=ended), 100) == most


async def test_pages_say_that_money_is_held_and_not_taken(world: World) -> None:
    payment, _ = await reserved(world, 20_000)
    citizen = await world.client.get(payment["pay_page_url"])
    english = await world.client.get(payment["pay_page_url"], headers={"accept-language": "en"})
    staff = await Visitor(world, OFFICER).open(f"/payments/{payment['id']}")
    chosen = await world.client.get(payment["pay_page_url"].replace("?", "/card?"))

    assert "Đã giữ tiền, chưa thu" in citizen.text
    assert "Chọn cách nộp" not in citizen.text
    assert "Đổi cách nộp" not in citizen.text
    assert 'http-equiv="refresh"' not in citizen.text
    assert "Authorised, not captured" in english.text
    assert "Đã giữ tiền, chưa thu" in staff
    assert chosen.status_code == 303
