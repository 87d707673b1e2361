"""What the outside world does later: refunds that settle, payouts that reach the bank."""

import asyncio
import sqlite3
from dataclasses import dataclass

import httpx

from sandbox.gateway.account import BY_ITSELF, Account
from sandbox.gateway.desk import Desk
from sandbox.gateway.disputes import resolve
from sandbox.gateway.events import Announcer
from sandbox.gateway.payouts import mark_paid, run_payout, schedule_daily, tell_bank
from sandbox.gateway.refunds import settle_refund

LONGEST_PAUSE_SECONDS = 0.25


@dataclass
class Timers:
    """Runs due timers one after another; they are rows, so they survive a restart."""

    account: Account
    announcer: Announcer

    async def run(self) -> None:
        """Run until cancelled."""
        async with httpx.AsyncClient(timeout=10.0, trust_env=False) as client:
            while True:
                await self.run_due(client)
                await asyncio.sleep(LONGEST_PAUSE_SECONDS)

    async def run_due(self, client: httpx.AsyncClient) -> None:
        """Run every timer that is due now."""
        rows = self.account.state.rows(
            "SELECT * FROM timers WHERE due_at <= ? ORDER BY due_at, seq LIMIT 100",
            [self.account.clock()],
        )
        for row in rows:
            await self._run_one(client, row)

    async def arrive(self, client: httpx.AsyncClient, payout: str) -> None:
        """Hand a payout to the bank and mark it paid; raises `httpx.HTTPError` if it was refused."""
        bank_reference = await tell_bank(client, self.account, payout)
        with self.account.state.transaction():
            mark_paid(self._desk(), payout, bank_reference)

    async def _run_one(self, client: httpx.AsyncClient, row: sqlite3.Row) -> None:
        action, target = row["action"], row["target"]
        if action == "payout.arrive":
            try:
                await self.arrive(client, target)
            except httpx.HTTPError:
                self._postpone(row)
                return
        with self.account.state.transaction():
            if action == "dispute.lapse":
                resolve(self._desk(), target, won=False)
            elif action == "payout.daily":
                run_payout(self._desk(), as_of=int(row["due_at"]), hold=False)
            elif action.startswith("refund."):
                settle_refund(self._desk(), target, succeeds=action == "refund.succeed")
            self.account.state.execute("DELETE FROM timers WHERE seq = ?", [row["seq"]])
            if action == "payout.daily":
                schedule_daily(self.account, after=row["due_at"])

    def _postpone(self, row: sqlite3.Row) -> None:
        wait = min(0.5 * 2 ** min(row["attempts"], 10), 30.0)
        with self.account.state.transaction():
            self.account.state.execute(
                "UPDATE timers SET attempts = attempts + 1, due_at = ? WHERE seq = ?",
                [self.account.clock() + wait, row["seq"]],
            )

    def _desk(self) -> Desk:
        return Desk(self.account, self.announcer, BY_ITSELF)
