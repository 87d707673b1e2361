"""Automatic payouts: what is available goes to the merchant's bank account, transaction by transaction."""

from datetime import UTC, datetime, time, timedelta

import httpx

from sandbox.gateway.account import Account, Document, new_id
from sandbox.gateway.balance import CURRENCY, record, unpaid
from sandbox.gateway.desk import Desk
from sandbox.gateway.errors import ApiError
from sandbox.wire import VIETNAM


def run_payout(desk: Desk, *, as_of: int | None, hold: bool) -> Document:
    """Close everything available at `as_of` (Unix time; now, unless given) into one payout.

    A balance that is not positive carries over whole: no payout is made and every transaction stays
    open for the next one. With `hold` the payout stays in transit until told to arrive.
    """
    account = desk.account
    moment = account.now() if as_of is None else as_of
    count, total = unpaid(account, moment)
    if total <= 0:
        return {"payout": None, "transactions": count, "carried_over_dong": total}
    payout = _payout(account, total)
    account.insert(payout, status=payout["status"], arrival_date=payout["arrival_date"])
    account.state.execute(
        "UPDATE balance_transactions SET payout = ? WHERE payout IS NULL AND available_on <= ?",
        [payout["id"], moment],
    )
    transaction = record(
        account,
        "payout",
        payout["id"],
        -total,
        description=payout["description"],
        payout=payout["id"],
    )
    payout["balance_transaction"] = transaction["id"]
    account.save(payout)
    desk.announce("payout.created", payout)
    if not hold:
        schedule_arrival(account, payout["id"], account.settings.payout_arrival_seconds)
    return {"payout": payout, "transactions": count, "carried_over_dong": 0}


def schedule_arrival(account: Account, identifier: str, delay_seconds: float) -> None:
    """Let the payout reach the bank after `delay_seconds`."""
    account.state.execute(
        "INSERT INTO timers (due_at, action, target) VALUES (?, 'payout.arrive', ?)",
        [account.clock() + delay_seconds, identifier],
    )


def schedule_daily(account: Account, *, after: float) -> None:
    """Let the next daily payout run at its time after `after` (Unix time); one is scheduled at most."""
    account.state.execute("DELETE FROM timers WHERE action = 'payout.daily'")
    if account.settings.payout_daily_at is None:
        return
    at = time.fromisoformat(account.settings.payout_daily_at)
    moment = datetime.fromtimestamp(after, VIETNAM)
    due = datetime.combine(moment.date(), at, VIETNAM)
    if due <= moment:
        due += timedelta(days=1)
    account.state.execute(
        "INSERT INTO timers (due_at, action, target) VALUES (?, 'payout.daily', '')", [due.timestamp()]
    )


def keep_daily(account: Account) -> None:
    """See at a start that daily payouts are scheduled, or that none is; one missed while stopped is not forgotten."""
    scheduled = account.state.number("SELECT count(*) FROM timers WHERE action = 'payout.daily'")
    if account.settings.payout_daily_at is None or not scheduled:
        schedule_daily(account, after=account.clock())


async def tell_bank(client: httpx.AsyncClient, account: Account, identifier: str) -> str | None:
    """Send the money to the bank, if one is configured; its reference for the credit.

    Raises `httpx.HTTPError` when the bank did not take it; the bank knows a repeated payout by its
    id, so trying again is safe.
    """
    if account.settings.bank_url is None:
        return None
    payout = account.load("po", identifier, "payout")
    answer = await client.post(
        f"{account.settings.bank_url.rstrip('/')}/payouts",
        json={
            "amount_dong": payout["amount"],
            "reference": payout["id"],
            "descriptor": account.settings.descriptor,
        },
    )
    answer.raise_for_status()
    return str(answer.json()["bank_reference"])


def mark_paid(desk: Desk, identifier: str, bank_reference: str | None) -> Document:
    """The payout arrived; a second arrival changes nothing."""
    payout = desk.account.load("po", identifier, "payout")
    if payout["status"] != "in_transit":
        return payout
    payout["status"] = "paid"
    payout["reconciliation_status"] = "completed"
    payout["trace_id"] = {
        "status": "supported" if bank_reference else "unsupported",
        "value": bank_reference,
    }
    desk.account.save(payout, status="paid")
    desk.announce("payout.paid", payout)
    desk.announce("payout.reconciliation_completed", payout)
    return payout


def fail_payout(desk: Desk, identifier: str) -> Document:
    """The bank refuses a payout in transit: the money returns to the available balance."""
    payout = desk.account.load("po", identifier, "payout")
    if payout["status"] != "in_transit":
        raise ApiError(
            400,
            "invalid_request_error",
            f"This payout has a status of {payout['status']}; only one in transit can fail.",
        )
    back = record(desk.account, "payout_failure", payout["id"], payout["amount"], description="PAYOUT FAILURE")
    payout |= {
        "status": "failed",
        "failure_balance_transaction": back["id"],
        "failure_code": "account_closed",
        "failure_message": "The bank account has been closed",
    }
    desk.account.save(payout, status="failed")
    desk.account.state.execute("DELETE FROM timers WHERE action = 'payout.arrive' AND target = ?", [identifier])
    desk.announce("payout.failed", payout)
    return payout


def _payout(account: Account, amount: int) -> Document:
    now = account.now()
    business_date = datetime.fromtimestamp(now, VIETNAM).date()
    arrival = datetime(business_date.year, business_date.month, business_date.day, tzinfo=UTC)
    return {
        "id": new_id("po"),
        "object": "payout",
        "amount": amount,
        "application_fee": None,
        "application_fee_amount": None,
        "arrival_date": int(arrival.timestamp()),
        "automatic": True,
        "balance_transaction": None,
        "created": now,
        "currency": CURRENCY,
        "description": "STRIPE PAYOUT",
        "destination": "ba_sandbox_collecting_account",
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "livemode": False,
        "metadata": {},
        "method": "standard",
        "original_payout": None,
        "reconciliation_status": "in_progress",
        "reversed_by": None,
        "source_type": "card",
        "statement_descriptor": account.settings.descriptor,
        "status": "in_transit",
        "trace_id": {"status": "pending", "value": None},
        "type": "bank_account",
    }
