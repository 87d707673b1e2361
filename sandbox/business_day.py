"""The end of the sandbox's business day: cash remitted, payouts run, statements in, the day tied out."""

import asyncio
import hashlib
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sandbox.people import World, WorldError, until

VIETNAM = ZoneInfo("Asia/Ho_Chi_Minh")
_ENDED = frozenset({"succeeded", "rejected"})


def today() -> date:
    """The business date now."""
    return datetime.now(VIETNAM).date()


def dates_between(first: date, last: date) -> list[date]:
    """Every date from first to last: a run may cross midnight."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


async def end_of_day(world: World, first: date) -> list[dict[str, Any]]:
    """Everything that happens when the doors close. Returns the tie-out of every business date of the run."""
    await _refunds_have_ended(world)
    await _deposit_cash(world)
    await _run_payouts(world)
    days = dates_between(first, today())
    for day in days:
        await _upload_statement(world, day)
    return [await _reconcile(world, day) for day in days]


async def _refunds_have_ended(world: World) -> None:
    finance = world.door("ke-toan")

    async def look() -> bool | None:
        page = await finance.call("GET", world.url("payment", "/v1/refunds?limit=200"))
        return True if all(refund["status"] in _ENDED for refund in page["items"]) else None

    await until(look, "the end of every refund")


async def _deposit_cash(world: World) -> None:
    """Each courier hands in the shift's cash; the post remits it to the bank under the deposit's reference."""
    dispatcher = world.door("dieu-phoi")
    for courier, collected in sorted((+world.cash).items()):
        event_id = f"shift/{courier}/{today()}/{collected}"
        body = {"event_id": event_id, "courier": courier, "counted_dong": collected}
        deposit = await dispatcher.call("POST", world.url("postal", "/v1/deposits"), body=body, key=event_id)
        remittance = {"amount_dong": deposit["counted_dong"], "reference": deposit["reference"]}
        (await world.http.post(world.url("bank", "/remittances"), json=remittance)).raise_for_status()
    world.cash.clear()


async def _run_payouts(world: World) -> None:
    """The gateway pays out what it holds; the money reaches the bank a moment later."""
    gateway = world.stack["gateway"]
    response = await world.http.post(f"{gateway['url']}/_sandbox/payouts/run", json={})
    if response.status_code >= 400 and "nothing" not in response.text.lower():
        raise WorldError(f"the payout run answered {response.status_code}: {response.text[:200]}")

    async def look() -> bool | None:
        answer = await world.http.get(
            f"{gateway['url']}/v1/payouts?limit=100", headers={"authorization": f"Bearer {gateway['key']}"}
        )
        return True if all(p["status"] == "paid" for p in answer.json()["data"]) else None

    await until(look, "the payouts' arrival")


async def _upload_statement(world: World, day: date) -> None:
    """The bank's statement, as a finance officer would upload it."""
    response = await world.http.get(world.url("bank", f"/statements/{day}.camt053.xml"))
    response.raise_for_status()
    await world.door("ke-toan").upload(
        world.url("payment", "/v1/statements"),
        response.content,
        key=f"statement:{day}:{hashlib.sha256(response.content).hexdigest()[:16]}",
    )


async def _reconcile(world: World, day: date) -> dict[str, Any]:
    """Start the date's workflow and wait until it balances; what does not is returned as it stands."""
    url = world.url("workflows", "/v1/reconciliations")
    await world.door("ke-toan").call("POST", url, body={"business_date": day.isoformat()})
    last: dict[str, Any] = {}
    for _ in range(120):
        answer = await world.door("ke-toan").call(
            "GET", world.url("payment", f"/v1/reconciliations/{day}"), expect=(404,)
        )
        if "rows" in answer:
            last = answer
            if answer["status"] in ("balanced", "closed"):
                return last
        await asyncio.sleep(0.5)
    return last


async def gateway_totals(world: World) -> dict[str, Any]:
    """The gateway's own books."""
    response = await world.http.get(f"{world.stack['gateway']['url']}/_sandbox/totals")
    totals: dict[str, Any] = response.json()
    return totals
