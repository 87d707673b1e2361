"""The merchant's balance: every movement of money as a transaction with gross, fee and net."""

from sandbox.gateway.account import Account, Document, new_id

CURRENCY = "vnd"
_REPORTING_CATEGORY = {
    "charge": "charge",
    "refund": "refund",
    "refund_failure": "refund_failure",
    "payout": "payout",
    "payout_failure": "payout_reversal",
}


def fee_on(account: Account, amount_dong: int) -> int:
    """The gateway's fee: per cent rounded half up to the đồng, plus the fixed part."""
    settings = account.settings
    return (amount_dong * settings.fee_basis_points + 5_000) // 10_000 + settings.fee_fixed_dong


def record(
    account: Account,
    transaction_type: str,
    source: str,
    amount_dong: int,
    *,
    fee_dong: int = 0,
    description: str | None = None,
    delay_seconds: int = 0,
    payout: str | None = None,
    category: str | None = None,
) -> Document:
    """Move `amount_dong` (negative: away from the merchant), available after `delay_seconds`."""
    now = account.now()
    details = {
        "amount": fee_dong,
        "application": None,
        "currency": CURRENCY,
        "description": "Payment processing fees",
        "type": "stripe_fee",
    }
    document: Document = {
        "id": new_id("txn"),
        "object": "balance_transaction",
        "amount": amount_dong,
        "available_on": now + delay_seconds,
        "balance_type": "payments",
        "created": now,
        "currency": CURRENCY,
        "description": description,
        "exchange_rate": None,
        "fee": fee_dong,
        "fee_details": [details] if fee_dong else [],
        "net": amount_dong - fee_dong,
        "reporting_category": category or _REPORTING_CATEGORY[transaction_type],
        "source": source,
        "status": "pending" if delay_seconds > 0 else "available",
        "type": transaction_type,
    }
    account.insert(
        document,
        type=transaction_type,
        source=source,
        currency=CURRENCY,
        payout=payout,
        available_on=document["available_on"],
        amount=amount_dong,
        fee=fee_dong,
        net=document["net"],
    )
    return document


def unpaid(account: Account, as_of: int) -> tuple[int, int]:
    """Number and net sum of the transactions available at `as_of` that are in no payout yet."""
    row = account.state.row(
        "SELECT count(*) AS n, coalesce(sum(net), 0) AS net FROM balance_transactions"
        " WHERE payout IS NULL AND available_on <= ?",
        [as_of],
    )
    assert row is not None
    return int(row["n"]), int(row["net"])


def balance(account: Account) -> Document:
    """What could be paid out now, and what will be later."""
    _, available = unpaid(account, account.now())
    pending = account.state.number(
        "SELECT sum(net) FROM balance_transactions WHERE payout IS NULL AND available_on > ?",
        [account.now()],
    )
    return {
        "object": "balance",
        "available": [_money(available)],
        "connect_reserved": [{"amount": 0, "currency": CURRENCY}],
        "livemode": False,
        "pending": [_money(pending)],
    }


def _money(amount: int) -> Document:
    return {"amount": amount, "currency": CURRENCY, "source_types": {"card": amount}}
