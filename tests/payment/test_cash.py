"""Cash of couriers and counters, and the post's deposits."""

from typing import Any

from tests.payment.conftest import World


def cash_of(amount: int, event: str = "cod-1", **changes: Any) -> dict[str, Any]:
    """Cash a courier took."""
    return {
        "event_id": event,
        "amount_dong": amount,
        "collected_at": "2026-11-21T03:00:00+00:00",
        "collector": "buu-ta-1",
        "place": "courier",
        **changes,
    }


async def test_cash_on_delivery_pays_the_bill_and_is_deposited(world: World) -> None:
    payment = await world.bill(75_000)
    attempt = await world.attempt(payment, "cash_on_delivery")

    paid = await world.ok("POST", f"/v1/payments/{payment['id']}/cash", cash_of(75_000))
    again = await world.ok("POST", f"/v1/payments/{payment['id']}/cash", cash_of(75_000))
    held = await world.balances()
    deposit = {
        "event_id": "dep-1",
        "reference": "BK20261121A",
        "amount_dong": 75_000,
        "collector": "buu-ta-1",
        "deposited_at": "2026-11-21T10:00:00+00:00",
        "dossier_codes": [payment["dossier_code"]],
    }
    first = await world.ok("POST", "/v1/remittances", deposit)
    second = await world.ok("POST", "/v1/remittances", deposit)
    other = await world.call("POST", "/v1/remittances", {**deposit, "amount_dong": 70_000})

    assert attempt["status"] == "pending"
    assert (paid["status"], paid["attempts"][0]["status"], again["version"]) == ("paid", "succeeded", paid["version"])
    assert held == {"courier_cash": 75_000, "fee_revenue:G01.02": -75_000}
    assert first == second
    assert other.status_code == 409
    assert await world.balances() == {"post_remittance": 75_000, "fee_revenue:G01.02": -75_000}


async def test_the_same_event_with_another_amount_is_refused(world: World) -> None:
    payment = await world.bill(75_000)
    await world.ok("POST", f"/v1/payments/{payment['id']}/cash", cash_of(70_000))

    answer = await world.call("POST", f"/v1/payments/{payment['id']}/cash", cash_of(75_000))

    assert answer.status_code == 409
    assert answer.json()["type"] == "/problems/event-differs"
    assert (await world.balances())["courier_cash"] == 70_000


async def test_cash_short_and_over(world: World) -> None:
    payment = await world.bill(75_000)
    short = await world.ok("POST", f"/v1/payments/{payment['id']}/cash", cash_of(70_000, "a"))
    over = await world.ok("POST", f"/v1/payments/{payment['id']}/cash", cash_of(10_000, "b", place="counter"))

    assert (short["status"], short["paid_dong"]) == ("partially_paid", 70_000)
    assert (over["status"], over["paid_dong"], over["excess_dong"]) == ("paid", 75_000, 5_000)


async def test_cash_for_an_ended_bill_is_held_not_lost(world: World) -> None:
    payment = await world.bill(75_000)
    await world.ok("POST", f"/v1/payments/{payment['id']}/cancel", {"reason": "withdrawn"})

    found = await world.ok("POST", f"/v1/payments/{payment['id']}/cash", cash_of(75_000))

    assert (found["status"], found["excess_dong"]) == ("cancelled", 75_000)
    assert await world.balances() == {"courier_cash": 75_000, "suspense": -75_000}


async def test_cash_while_a_code_waits_pays_and_gives_the_code_up(world: World) -> None:
    payment = await world.bill(75_000)
    await world.attempt(payment, "vietqr")

    paid = await world.ok("POST", f"/v1/payments/{payment['id']}/cash", cash_of(75_000, place="counter"))
    await world.sweep()
    found = await world.read(payment)

    assert paid["status"] == "paid"
    assert found["attempts"][0]["status"] == "cancelled"


async def test_times_need_an_offset_and_a_year_of_ours(world: World) -> None:
    payment = await world.bill(75_000)
    for moment in ("2026-11-21T03:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        path = f"/v1/payments/{payment['id']}/cash"
        answer = await world.call("POST", path, cash_of(75_000, collected_at=moment))
        assert answer.status_code == 422, moment
    assert (await world.read(payment))["status"] == "open"
