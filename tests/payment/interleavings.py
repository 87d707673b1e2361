"""Random interleavings of all that can happen to money, against the real operations, database and sandbox gateway.

A sequence is drawn from a seed alone, so a failure names the seed that shows it again. While it runs webhooks arrive
late, twice, out of order or never, and answers of the gateway are lost before or after they had their effect. At its
end the world comes to rest and every invariant of the books is proved.

`python -m tests.payment.interleavings --sequences 5000` runs as many as you like.
"""

import argparse
import asyncio
import itertools
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from kit.db import now, transaction
from kit.errors import Problem
from sandbox.postgres import start_cluster
from services.payment.bank import BankUnreachable
from services.payment.contract import (
    AnswerDispute,
    CancelPayment,
    CaptureAttempt,
    CreateAttempt,
    CreatePayment,
    DecideRefund,
    MoveVoucher,
    RecordCash,
    ReplaceReceipt,
    RequestRefund,
)
from services.payment.gateway import GatewayError
from services.payment.operations import (
    attempts,
    captures,
    disputes,
    inbox,
    payments,
    receipts,
    refund_routes,
    refunds,
    vouchers,
)
from services.payment.operations.settlements import import_settlements
from services.payment.operations.sweeper import sweep_once
from services.payment.till import local_date
from tests.conftest import Issuer, free_port
from tests.payment.conftest import World, bill_of
from tests.payment.crashing import lives_on
from tests.payment.gateway_books import GatewayBooks
from tests.payment.proofs import prove_the_books

CARDS = ("pm_card_visa", "pm_card_visa", "pm_card_chargeDeclined", "pm_card_createDispute", None, None)
_numbers = itertools.count(1)


@dataclass
class Sequence:
    """One run of random steps over one or two bills."""

    world: World
    chance: random.Random
    bills: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)

    async def run(self, steps: int) -> None:
        """Take steps; a refusal of a business rule is a fine answer, any other exception is a defect."""
        await self.open_bill()
        names = [name for name, weight in STEPS.items() for _ in range(weight)]
        for _ in range(steps):
            name = self.chance.choice(names)
            step: Callable[[], Awaitable[None]] = getattr(self, name)
            try:
                await step()
                self.done[name] += 1
            except Problem:
                self.done["refused"] += 1
            except (GatewayError, BankUnreachable):
                self.done["unanswered"] += 1
            self.world.line.before = self.world.line.after = None

    # what citizens and officers do

    async def open_bill(self) -> None:
        if len(self.bills) >= 2:
            return
        amounts = [self.chance.choice((0, 1, 20_000, 85_000, 1_500_000)) for _ in range(self.chance.randint(1, 2))]
        bill = CreatePayment.model_validate(bill_of(*amounts))
        async with transaction(self.world.till.sessions) as session:
            row, _ = await payments.open_payment(session, bill, self.world.till.terms, actor="workflows")
        self.bills.append(row.id)

    async def pay_by_card(self) -> None:
        card = self.chance.choice(CARDS)
        wish = CreateAttempt(method="card", payment_method=card, replace=self.chance.random() < 0.5)
        await attempts.start_attempt(self.world.till, self._bill(), wish, actor="citizen")

    async def authorise(self) -> None:
        """Money is reserved, at once or on the hosted page."""
        wish = CreateAttempt(
            method="card",
            payment_method=self.chance.choice(CARDS),
            replace=self.chance.random() < 0.5,
            capture="later",
        )
        actor = self.chance.choice(("citizen", "agency"))
        await attempts.start_attempt(self.world.till, self._bill(), wish, actor=actor)

    async def capture(self) -> None:
        """All of it, a part, too much; also of what is not reserved or no longer is."""
        rows = await self._rows("select id, payment_id, amount_dong from attempt where capture = 'later'")
        if rows:
            attempt_id, payment_id, amount = self.chance.choice(rows)
            wish = CaptureAttempt(amount_dong=self.chance.choice((None, None, amount, max(1, amount // 2), amount + 1)))
            await captures.capture_attempt(self.world.till, payment_id, attempt_id, wish, actor="agency")

    async def void(self) -> None:
        """A bill with a reservation is cancelled."""
        rows = await self._rows("select payment_id from attempt where status = 'authorised'")
        if rows:
            wish = CancelPayment(reason="withdrawn")
            await attempts.cancel_payment(self.world.till, self.chance.choice(rows)[0], wish, actor="agency")

    async def lapse(self) -> None:
        """The gateway gives a reservation up by itself."""
        rows = await self._rows("select gateway_intent_id from attempt where authorised_dong > 0")
        if rows:
            await self.world.gateway.post(f"/_sandbox/payment_intents/{self.chance.choice(rows)[0]}/lapse")

    async def show_a_code(self) -> None:
        wish = CreateAttempt(method="vietqr", replace=self.chance.random() < 0.5)
        await attempts.start_attempt(self.world.till, self._bill(), wish, actor="citizen")

    async def pay_on_the_hosted_page(self) -> None:
        """Somebody finishes a link, also one we have given up; whether the gateway still takes it is its business."""
        rows = await self._rows("select gateway_intent_id from attempt where gateway_intent_id is not null")
        if rows:
            address = f"/v1/payment_intents/{self.chance.choice(rows)[0]}/confirm"
            await self.world.gateway.post(address, data={"payment_method": "pm_card_visa"})

    async def transfer(self) -> None:
        rows = await self._rows("select qr_payload, amount_dong from attempt where qr_payload is not null")
        if rows:
            payload, asked = self.chance.choice(rows)
            amount = max(1, asked + self.chance.choice((0, 0, 0, -1_000, 5_000)))
            entry = await self.world.transfer(payload, amount, told=False)
            for _ in range(self.chance.choice((1, 1, 2))):
                await self.world.notify(entry)

    async def cash(self) -> None:
        wish = RecordCash(
            event_id=f"cash-{next(_numbers)}",
            amount_dong=self.chance.choice((1, 20_000, 105_000)),
            collected_at=now(),
            collector="BT01",
            place="courier",
        )
        async with transaction(self.world.till.sessions) as session:
            await payments.record_cash(session, self._bill(), wish, self.world.till.terms, actor="courier")

    async def cancel(self) -> None:
        await attempts.cancel_payment(self.world.till, self._bill(), CancelPayment(reason="refused"), actor="agency")

    async def grow_old(self) -> None:
        """The bill and its attempt are past their time."""
        await self.world.pass_time({"id": self._bill()}, bill=True)

    async def ask_for_a_refund(self) -> None:
        payment = await self._payment()
        source = self.chance.choice(("bill", "bill", "excess"))
        most = payment["excess_dong"] if source == "excess" else payment["paid_dong"]
        amount = self.chance.choice((most, max(1, most // 2), most + 1, 1))
        wish = RequestRefund(
            request_key=f"rq-{next(_numbers)}", reason="other", source=source, amount_dong=max(1, amount)
        )
        async with transaction(self.world.till.sessions) as session:
            await refunds.request_refund(session, payment["id"], wish, actor="ke-toan")

    async def decide_a_refund(self) -> None:
        rows = await self._rows("select id, proposal_hash from refund where status = 'requested'")
        if rows:
            refund_id, proposal = self.chance.choice(rows)
            verdict = self.chance.choice(("approve", "approve", "approve", "reject"))
            wish = DecideRefund(decision=verdict, proposal_hash=proposal)
            async with transaction(self.world.till.sessions) as session:
                await refunds.decide_refund(session, refund_id, wish, self.world.till.terms, actor="truong")
            if self.chance.random() < 0.7:
                await refund_routes.execute_refund(self.world.till, refund_id)

    async def move_a_voucher(self) -> None:
        rows = await self._rows("select v.number from voucher v join refund r on r.id = v.refund_id", "r.payment_id")
        if rows:
            to = self.chance.choice(("sent", "accepted", "refused", "paid", "paid"))
            wish = MoveVoucher(event_id=f"kb-{next(_numbers)}", to=to, reference=f"KB{next(_numbers)}", reason="sai số")
            async with transaction(self.world.till.sessions) as session:
                await vouchers.move_voucher(session, self.chance.choice(rows)[0], wish, actor="ke-toan")

    async def prepare_a_voucher_again(self) -> None:
        rows = await self._rows("select id from refund where route = 'treasury_voucher'")
        if rows:
            async with transaction(self.world.till.sessions) as session:
                await vouchers.prepare_again(session, self.chance.choice(rows)[0], actor="ke-toan")

    async def replace_a_receipt(self) -> None:
        rows = await self._rows("select number from receipt")
        if rows:
            wish = ReplaceReceipt(reason="ghi sai họ tên", payer_name="Nguyễn Văn Bình")
            async with transaction(self.world.till.sessions) as session:
                await receipts.replace_receipt(
                    session, self.chance.choice(rows)[0], wish, self.world.till.terms, actor="truong"
                )

    # what banks and the gateway do

    async def dispute(self) -> None:
        rows = await self._rows(
            "select e.subject from entry e join journal j on j.id = e.journal_id"
            " where e.account = 'gateway_clearing' and j.kind = 'money_received'",
            "j.payment_id",
        )
        if rows:
            address = f"/_sandbox/charges/{self.chance.choice(rows)[0]}/dispute"
            await self.world.gateway.post(address, json={"inquiry": self.chance.random() < 0.2})

    async def end_a_dispute(self) -> None:
        rows = await self._rows("select id from dispute")
        if rows:
            address = f"/_sandbox/disputes/{self.chance.choice(rows)[0]}/resolve"
            await self.world.gateway.post(address, json={"succeeds": self.chance.random() < 0.5})

    async def answer_a_dispute(self) -> None:
        rows = await self._rows("select id from dispute where closed_at is null")
        if rows:
            text = self.chance.choice(("Đã trả kết quả, có chữ ký của người nộp.", "Giải trình khác của cơ quan."))
            dispute_id = self.chance.choice(rows)[0]
            await disputes.answer_dispute(self.world.till, dispute_id, AnswerDispute(text=text), actor="ke-toan")

    async def pay_out(self) -> None:
        await self.world.gateway.post("/_sandbox/payouts/run", json={"hold": True})
        if self.chance.random() < 0.6:
            await self.settle_books()

    async def settle_books(self) -> None:
        """Fetch what the gateway has settled."""
        await import_settlements(self.world.till, local_date(now()) + timedelta(days=10))

    # how news travels

    async def hear(self) -> None:
        """Some of the latest news arrives: in any order, some of it twice, some never."""
        page = (await self.world.gateway.get("/v1/events", params={"limit": 10})).json()["data"]
        chosen = [event for event in page for _ in range(self.chance.choice((0, 1, 1, 2)))]
        self.chance.shuffle(chosen)
        for event in chosen:
            await self.world.send_event(event)
        await inbox.work_once(self.world.till)

    async def sweep(self) -> None:
        await self.world.make_due()
        await self.world.database.execute("update dispute set next_check_at = now() where closed_at is null")
        await sweep_once(self.world.till)

    async def lose_an_answer(self) -> None:
        """The next step's calls to the gateway break, before or after they had their effect."""
        left = [self.chance.randint(1, 2)]

        def breaks(request: httpx.Request) -> None:
            if request.url.host == "gateway.test" and left[0] > 0:
                left[0] -= 1
                raise httpx.ReadTimeout("lost", request=request)

        def before(request: httpx.Request) -> httpx.Response | None:
            breaks(request)
            return None

        def after(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
            breaks(request)
            return answer

        if self.chance.random() < 0.5:
            self.world.line.before = before
        else:
            self.world.line.after = after
        step = self.chance.choice(
            ("pay_by_card", "authorise", "capture", "capture", "void", "cancel", "decide_a_refund", "sweep", "hear")
        )
        await getattr(self, step)()

    async def end(self) -> None:
        """All bills grow old and their attempts end, so that the next sequence begins alone."""
        for bill in self.bills:
            await self.world.pass_time({"id": bill}, bill=True)
        await come_to_rest(self.world)

    def _bill(self) -> str:
        return self.chance.choice(self.bills)

    async def _payment(self) -> Any:
        return await self.world.database.fetchrow("select * from payment where id = $1", self._bill())

    async def _rows(self, query: str, column: str = "payment_id") -> list[Any]:
        """Rows of this sequence's bills, in an order the seed alone decides."""
        joint = "and" if " where " in query else "where"
        rows = await self.world.database.fetch(f"{query} {joint} {column} = any($1) order by 1", self.bills)
        return [tuple(row) for row in rows]


STEPS = {
    "open_bill": 1,
    "pay_by_card": 5,
    "authorise": 4,
    "capture": 4,
    "void": 1,
    "lapse": 1,
    "show_a_code": 3,
    "pay_on_the_hosted_page": 4,
    "transfer": 3,
    "cash": 1,
    "cancel": 1,
    "grow_old": 2,
    "ask_for_a_refund": 4,
    "decide_a_refund": 4,
    "move_a_voucher": 2,
    "prepare_a_voucher_again": 1,
    "replace_a_receipt": 1,
    "dispute": 2,
    "end_a_dispute": 2,
    "answer_a_dispute": 1,
    "pay_out": 2,
    "hear": 4,
    "sweep": 3,
    "lose_an_answer": 4,
}
"""Every step and how often it is drawn."""


async def come_to_rest(world: World) -> None:
    """All that happens by itself happens: questions are asked again, disputes and settlements fetched."""
    for _ in range(3):
        await world.make_due()
        await world.database.execute("update dispute set next_check_at = now() where closed_at is null")
        await sweep_once(world.till)
        await inbox.work_once(world.till)
    await _ask_about_given_up(world)
    for tries in range(5, -1, -1):  # a busy machine may be slower than the gateway is given time for
        try:
            await import_settlements(world.till, local_date(now()) + timedelta(days=10))
        except GatewayError:
            if not tries:
                raise
        else:
            return


async def _ask_about_given_up(world: World) -> None:
    """A link given up may have been paid since, and the news of it lost: a person's `refresh` finds that money."""
    rows = await world.database.fetch(
        "select distinct payment_id from attempt a where method = 'card' and gateway_intent_id is not null"
        " and not exists (select from intake i where i.source = 'gateway' and i.source_reference = a.gateway_intent_id)"
        " and a.created_at > now() - interval '1 minute'"
    )
    for row in rows:
        await attempts.refresh_payment(world.till, row["payment_id"])


async def prove(world: World, sequence: Sequence, gateway_file: Path) -> None:
    """Raise AssertionError unless every invariant holds."""
    gateway = GatewayBooks(gateway_file)
    for payment_id in sequence.bills:
        payment = await world.database.fetchrow("select * from payment where id = $1", payment_id)
        assert payment is not None
        took = await world.database.fetchval(
            "select coalesce(sum(amount_dong), 0) from intake where payment_id = $1 and source = 'gateway'", payment_id
        )
        assert took == sum(row["amount_captured"] for row in gateway.charges(payment_id)), "gateway and arrivals differ"
        asked = await world.database.fetchval(
            "select coalesce(sum(amount_dong), 0) from refund where payment_id = $1 and source = 'bill'"
            " and status not in ('rejected', 'failed')",
            payment_id,
        )
        assert asked <= payment["paid_dong"], "more refunds than was paid"
        live = await world.database.fetchval(
            "select count(*) from attempt where payment_id = $1"
            " and status in ('created', 'pending', 'requires_action', 'authorised', 'unknown')",
            payment_id,
        )
        assert live <= 1, "two live attempts"
        held = sum(1 for row in gateway.intents(payment_id) if row["status"] == "requires_capture")
        known = await world.database.fetchval(
            "select count(*) from attempt where payment_id = $1 and status = 'authorised'", payment_id
        )
        assert held == known, "the gateway holds money that no live attempt knows of, or the other way round"
        unsure = await world.database.fetchval(
            "select count(*) from attempt where payment_id = $1 and status = 'unknown'", payment_id
        )
        assert unsure == 0, "an attempt is still unknown although the gateway answers"
    cleared = await world.database.fetchval(
        "select coalesce(sum(amount_dong), 0) from entry where account = 'gateway_clearing'"
    )
    assert cleared == gateway.balance(), f"clearing {cleared} is not the gateway's own {gateway.balance()}"
    moving = await world.database.fetchval(
        "select coalesce(sum(amount_dong), 0) from entry where account = 'payout_in_transit'"
    )
    assert moving == gateway.paid_out(), "payouts in transit differ"


async def run_sequences(
    world: World, gateway_file: Path, seeds: range, *, steps: int = 14, books_every: int = 25
) -> Counter[str]:
    """Run one sequence a seed; raises AssertionError that names the seed. How often each step was taken."""
    taken: Counter[str] = Counter()
    for seed in seeds:
        sequence = Sequence(world, random.Random(seed))
        try:
            await sequence.run(steps)
            await come_to_rest(world)
            await prove(world, sequence, gateway_file)
            await sequence.end()
            await prove(world, sequence, gateway_file)
            if seed % books_every == 0 or seed == seeds[-1]:
                await prove_the_books(world.database)
        except BaseException as error:
            error.add_note(f"seed {seed}, bills {sequence.bills}, steps {dict(sequence.done)}")
            raise
        taken += sequence.done
    return taken


@asynccontextmanager
async def own_world(folder: Path) -> AsyncIterator[World]:
    """A database server, migrations and a world of one's own."""
    cluster = await asyncio.to_thread(
        start_cluster,
        folder / "data",
        port=free_port(),
        password="test",
        settings={"fsync": "off", "synchronous_commit": "off"},
        log=folder / "postgres.log",
    )
    try:
        url = cluster.url("postgres")
        command = [sys.executable, "-m", "alembic", "-n", "payment", "upgrade", "head"]
        await asyncio.to_thread(
            subprocess.run, command, env={"PAYMENT_DATABASE_URL": url}, check=True, capture_output=True
        )
        async with lives_on(url, Issuer(), folder) as lives:
            yield lives.world
    finally:
        await asyncio.to_thread(cluster.stop)


async def _main(sequences: int, seed: int, steps: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="lien-thong-interleavings-"))
    begun = time.monotonic()
    async with own_world(folder) as world:
        taken = await run_sequences(world, folder / "gateway.sqlite", range(seed, seed + sequences), steps=steps)
        await prove_the_books(world.database)
    seconds = time.monotonic() - begun
    print(f"{sequences} sequences, {taken.total()} steps in {seconds:.0f} s at {datetime.now(UTC):%Y-%m-%d %H:%M}Z")
    for name, count in taken.most_common():
        print(f"  {count:6} {name}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sequences", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=14)
    chosen = parser.parse_args()
    asyncio.run(_main(chosen.sequences, chosen.seed, chosen.steps))
