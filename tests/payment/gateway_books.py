"""What the sandbox gateway itself has on file, read from its own database."""

import json
import sqlite3
from pathlib import Path
from typing import Any


class GatewayBooks:
    """What the gateway itself has on file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def _documents(self, query: str, *values: str) -> list[dict[str, Any]]:
        connection = sqlite3.connect(f"file:{self._file}?mode=ro", uri=True)
        try:
            return [json.loads(row[0]) for row in connection.execute(query, values)]
        finally:
            connection.close()

    def charges(self, payment_id: str) -> list[dict[str, Any]]:
        """Every charge of one of our payments."""
        wanted = "json_extract(document, '$.metadata.payment_id') = ?"
        return self._documents(f"select document from charges where {wanted}", payment_id)

    def intents(self, payment_id: str) -> list[dict[str, Any]]:
        """Every intent of one of our payments."""
        wanted = "json_extract(document, '$.metadata.payment_id') = ?"
        return self._documents(f"select document from payment_intents where {wanted}", payment_id)

    def refunds(self, charges: list[str]) -> list[dict[str, Any]]:
        """The refunds of these charges that gave money back."""
        found = [each for charge in charges for each in self._of_charge(charge)]
        return [each for each in found if each["status"] == "succeeded"]

    def _of_charge(self, charge: str) -> list[dict[str, Any]]:
        return self._documents("select document from refunds where json_extract(document, '$.charge') = ?", charge)

    def balance(self) -> int:
        """What the gateway owes us before its fees: everything it took and gave back, not yet paid out."""
        rows = self._documents("select document from balance_transactions where payout is null")
        return sum(row["amount"] for row in rows)

    def paid_out(self) -> int:
        """The net of every payout that is on its way or has arrived."""
        rows = self._documents("select document from payouts")
        return sum(row["amount"] for row in rows if row["status"] not in ("failed", "canceled"))
