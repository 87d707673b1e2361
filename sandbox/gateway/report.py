"""The gateway's own books, kept apart from anyone else's: totals, and the settlement report as CSV."""

import csv
import io
import json
from datetime import UTC, datetime, tzinfo

from sandbox.gateway.account import Account, Document
from sandbox.gateway.balance import CURRENCY

COLUMNS = (
    "automatic_payout_id",
    "automatic_payout_effective_at_utc",
    "automatic_payout_effective_at",
    "balance_transaction_id",
    "created_utc",
    "created",
    "available_on_utc",
    "available_on",
    "currency",
    "gross",
    "fee",
    "net",
    "reporting_category",
    "source_id",
    "description",
    "customer_facing_amount",
    "customer_facing_currency",
    "customer_id",
    "charge_id",
    "payment_intent_id",
    "charge_created_utc",
    "charge_created",
    "payment_method_type",
    "card_brand",
    "card_funding",
    "card_country",
    "statement_descriptor",
    "trace_id",
    "trace_id_status",
)
"""Columns of the `payout_reconciliation.itemized.5` report this gateway can fill."""


def totals(account: Account) -> Document:
    """Everything that ever moved, in đồng.

    charges - refunds + refund_failures - disputes - fees - payouts + payout_failures = unpaid balance, always.
    Disputes are what was withdrawn less what was reinstated.
    """
    rows = account.state.rows(
        "SELECT type, count(*) AS n, sum(amount) AS amount, sum(fee) AS fee FROM balance_transactions GROUP BY type"
    )
    by_type = {row["type"]: row for row in rows}

    def amount(transaction_type: str) -> int:
        return int(by_type[transaction_type]["amount"]) if transaction_type in by_type else 0

    def count(transaction_type: str) -> int:
        return int(by_type[transaction_type]["n"]) if transaction_type in by_type else 0

    in_transit = "SELECT sum(json_extract(document, '$.amount')) FROM payouts WHERE status = ?"
    return {
        "currency": CURRENCY,
        "charge_count": count("charge"),
        "charges_dong": amount("charge"),
        "refund_count": count("refund"),
        "refunds_dong": -amount("refund"),
        "refund_failures_dong": amount("refund_failure"),
        "dispute_count": account.state.number("SELECT count(*) FROM disputes"),
        "disputes_dong": -amount("adjustment"),
        "pending_refunds_dong": account.state.number(
            "SELECT sum(json_extract(document, '$.amount')) FROM refunds"
            " WHERE json_extract(document, '$.status') IN ('pending', 'requires_action')"
        ),
        "fees_dong": sum(int(row["fee"]) for row in rows),
        "payout_count": count("payout"),
        "payouts_dong": -amount("payout"),
        "payout_failures_dong": amount("payout_failure"),
        "payouts_in_transit_dong": account.state.number(in_transit, ["in_transit"]),
        "payouts_paid_dong": account.state.number(in_transit, ["paid"]),
        "unpaid_balance_dong": account.state.number("SELECT sum(net) FROM balance_transactions WHERE payout IS NULL"),
        "authorised_dong": account.state.number(
            "SELECT sum(json_extract(document, '$.amount_capturable')) FROM payment_intents"
            " WHERE json_extract(document, '$.status') = 'requires_capture'"
        ),
    }


def settlement_report(account: Account, payout: Document, *, timezone: tzinfo, metadata: tuple[str, ...]) -> str:
    """The transactions a payout settles, one a line, oldest first; the payout itself is not a line.

    Columns without `_utc` are in `timezone`. `metadata` names keys of the payment's metadata to add
    as `payment_metadata[key]`. The `net` column sums to the payout.
    """
    output = io.StringIO(newline="")
    writer = csv.writer(output, lineterminator="\r\n")
    writer.writerow([*COLUMNS, *(f"payment_metadata[{key}]" for key in metadata)])
    rows = account.state.rows(
        "SELECT t.document AS txn, r.document AS refund, c.document AS charge"
        " FROM balance_transactions t LEFT JOIN refunds r ON r.id = t.source"
        " LEFT JOIN charges c ON c.id = coalesce(r.charge, t.source)"
        " WHERE t.payout = ? AND t.type <> 'payout' ORDER BY t.seq",
        [payout["id"]],
    )
    for row in rows:
        transaction = json.loads(row["txn"])
        charge = json.loads(row["charge"]) if row["charge"] else None
        line = {
            **_transaction_columns(payout, transaction, timezone),
            **(_charge_columns(charge, timezone) if charge else {}),
        }
        extra = [charge["metadata"].get(key, "") if charge else "" for key in metadata]
        writer.writerow([*(line.get(name, "") for name in COLUMNS), *extra])
    return output.getvalue()


def _transaction_columns(payout: Document, transaction: Document, timezone: tzinfo) -> dict[str, str | int]:
    effective = datetime.fromtimestamp(payout["arrival_date"], UTC).strftime("%Y-%m-%d 00:00:00")
    return {
        "automatic_payout_id": payout["id"],
        # A calendar date: the same in every time zone.
        "automatic_payout_effective_at_utc": effective,
        "automatic_payout_effective_at": effective,
        "balance_transaction_id": transaction["id"],
        "created_utc": _time(transaction["created"], UTC),
        "created": _time(transaction["created"], timezone),
        "available_on_utc": _time(transaction["available_on"], UTC),
        "available_on": _time(transaction["available_on"], timezone),
        "currency": transaction["currency"],
        "gross": transaction["amount"],
        "fee": transaction["fee"],
        "net": transaction["net"],
        "reporting_category": transaction["reporting_category"],
        "source_id": transaction["source"],
        "description": transaction["description"] or "",
        "trace_id": payout["trace_id"]["value"] or "",
        "trace_id_status": payout["trace_id"]["status"],
        "customer_facing_amount": transaction["amount"],
        "customer_facing_currency": transaction["currency"],
    }


def _charge_columns(charge: Document, timezone: tzinfo) -> dict[str, str | int]:
    card = charge["payment_method_details"]["card"]
    return {
        "customer_id": charge["customer"] or "",
        "charge_id": charge["id"],
        "payment_intent_id": charge["payment_intent"],
        "charge_created_utc": _time(charge["created"], UTC),
        "charge_created": _time(charge["created"], timezone),
        "payment_method_type": "card",
        "card_brand": card["brand"],
        "card_funding": card["funding"],
        "card_country": card["country"],
        "statement_descriptor": charge["calculated_statement_descriptor"],
    }


def _time(moment: int, timezone: tzinfo) -> str:
    return datetime.fromtimestamp(moment, timezone).strftime("%Y-%m-%d %H:%M:%S")
