"""Tells the merchant's server how orders ended, again and again until it says that it knows."""

import asyncio
import json
import sqlite3
from dataclasses import dataclass

import httpx

from sandbox.redirect_gateway.book import Book

_PAUSE_SECONDS = 0.2
KNOWN = ("00", "02")
"""Answers after which the merchant is not told again."""


@dataclass
class Notices:
    """Sends what is due; rows, so that a restart loses none."""

    book: Book

    async def run(self) -> None:
        """Send until cancelled."""
        async with httpx.AsyncClient(timeout=10.0, trust_env=False) as client:
            while True:
                await self.send_due(client)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def send_due(self, client: httpx.AsyncClient) -> None:
        """Send every notice that is due now."""
        if self.book.settings.ipn_url is None:
            return
        rows = self.book.state.rows(
            "SELECT * FROM notices WHERE state = 'waiting' AND due_at <= ? ORDER BY due_at, seq LIMIT 50",
            [self.book.clock()],
        )
        for row in rows:
            await self._send(client, row)

    async def _send(self, client: httpx.AsyncClient, row: sqlite3.Row) -> None:
        try:
            answer = await client.get(f"{self.book.settings.ipn_url}?{row['query']}")
            text, code = answer.text[:300], str(json.loads(answer.content).get("RspCode", ""))
        except (httpx.HTTPError, ValueError, AttributeError) as failure:
            text, code = f"{type(failure).__name__}: {failure}"[:300], ""
        attempts = int(row["attempts"]) + 1
        state = "waiting"
        if code in KNOWN:
            state = "delivered"
        elif attempts >= self.book.settings.attempts:
            state = "abandoned"
        self.book.state.execute(
            "UPDATE notices SET state = ?, attempts = ?, answer = ?, due_at = ? WHERE seq = ?",
            [state, attempts, text, self.book.clock() + self.book.settings.retry_seconds, row["seq"]],
        )
