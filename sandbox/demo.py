"""The main job: `make demo`. Starts the stack, plays every dossier of the file, closes the day, checks everything."""

import argparse
import asyncio
import json
import os
import shutil
import socket
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import httpx
from rich import box
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from kit.http import KEEPALIVE_SECONDS
from kit.money import format_dong
from sandbox.business_day import end_of_day, gateway_totals, today
from sandbox.dossiers import Dossier, load_dossiers
from sandbox.people import World, WorldError, deadlines_of, officers_at_work, play
from sandbox.plan import PORTS, Plan
from sandbox.postgres import ClusterError
from sandbox.processes import StackError
from sandbox.stack import Stack, print_addresses, terminated_like_interrupted
from sandbox.terminal import complain, console

_AT_ONCE = 16
_DEFAULT_PORT_BASE = 17_000


@dataclass(slots=True)
class Result:
    """What came of one dossier, beside what was expected."""

    dossier: Dossier
    view: dict[str, Any] = field(default_factory=dict)
    amounts: dict[str, int] = field(default_factory=dict)
    why: str = ""
    differences: list[str] = field(default_factory=list)


async def play_all(stack: dict[str, Any], dossiers: list[Dossier], watch: Stack | None) -> tuple[list[Result], World]:
    """Play all dossiers, a few at a time, under a progress bar."""
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=32, keepalive_expiry=KEEPALIVE_SECONDS)
    http = httpx.AsyncClient(timeout=30, limits=limits, trust_env=False)
    world = World(stack, http)
    results = [Result(dossier) for dossier in dossiers]
    slots = asyncio.Semaphore(_AT_ONCE)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("Dossiers", total=len(dossiers))

        async def one(result: Result) -> None:
            # Those that wait for a deadline take no slot: nobody is busy while they wait.
            async with slots if not deadlines_of(result.dossier) else _nothing():
                try:
                    result.view = await play(world, result.dossier)
                except (WorldError, httpx.HTTPError) as error:
                    result.differences.append(f"{type(error).__name__}: {error}")
            progress.advance(bar)

        async with officers_at_work(world):
            guard = asyncio.create_task(_keep_alive(watch))
            await asyncio.gather(*(one(result) for result in results))
            progress.update(bar, description="Closing the day")
            guard.cancel()
    return results, world


class _nothing:  # noqa: N801 — used like a function
    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


async def _keep_alive(stack: Stack | None) -> None:
    while stack is not None:
        stack.revive()
        await asyncio.sleep(0.5)


async def check_all(world: World, results: list[Result]) -> None:
    """Compare every amount and end with what a person worked out by hand."""
    finance = world.door("ke-toan")
    refunds: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = await finance.call("GET", world.url("payment", f"/v1/refunds?limit=200{cursor}"))
        refunds += page["items"]
        if not page["next_cursor"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    for result in results:
        await _check(world, result, [r for r in refunds if r["dossier_code"] == result.dossier.code])


async def _check(world: World, result: Result, refunds: list[dict[str, Any]]) -> None:
    payment = await world.payment(result.dossier)
    if payment is None:
        result.differences.append("no bill was opened")
        return
    found: Counter[str] = Counter()
    for line in payment["lines"]:
        for share in line["shares"]:
            payer = share["payer"].split(":")[0]
            found[f"{line['kind']}_{payer}"] += share["amount_dong"]
    for refund in refunds:
        if refund["status"] == "succeeded":
            found["refunded" if refund["source"] == "bill" else "suspense"] += refund["amount_dong"]
    found["compensation"] = result.view.get("claim_compensation_dong", 0)
    result.amounts = {name: found.get(name, 0) for name in result.dossier.expected.amounts}
    for name, amount in result.dossier.expected.amounts.items():
        if result.amounts[name] != amount:
            result.differences.append(f"{name} {result.amounts[name]} instead of {amount}")
    unexpected = set(found) - set(result.dossier.expected.amounts)
    result.differences += [f"unexpected {name} {found[name]}" for name in sorted(unexpected) if found[name]]
    if result.view:
        for name in ("outcome", "papers"):
            wanted = result.dossier.expected.end if name == "outcome" else result.dossier.expected.papers
            if result.view[name] != wanted:
                result.differences.append(f"{name} {result.view[name]} instead of {wanted}")
        result.differences += [f"anomaly: {anomaly}" for anomaly in result.view["anomalies"]]
        quote = await world.read("fees", f"/v1/quotes/{result.view['quote_id']}")
        result.why = _why(quote)


def _why(quote: dict[str, Any]) -> str:
    """The law that decided the state's part: the last rule that changed it, or the tariff itself."""
    lines = [line for line in quote["lines"] if line["kind"] in ("fee", "charge")]
    steps = [step for line in lines for step in line["steps"] if step["outcome"] == "applied"]
    deciding = [step for step in steps if step["before_dong"] != step["after_dong"]] or steps
    return str(deciding[-1]["instrument"]) if deciding else "—"


def print_dossiers(results: list[Result]) -> None:
    """One line a dossier."""
    table = Table(title="Hồ sơ / Dossiers", title_justify="left", pad_edge=False, box=box.SIMPLE_HEAD)
    for name, justify in (
        ("Dossier", "left"), ("Procedure", "left"), ("Citizen", "right"), ("Budget", "right"), ("Why", "left"),
        ("Paid by", "left"), ("Back", "right"), ("Papers", "left"), ("End", "left"), ("Expected", "left"), ("", "left"),
    ):  # fmt: skip
        table.add_column(name, justify=justify, no_wrap=True, max_width=34)  # type: ignore[arg-type]
    for result in results:
        row, amounts = result.dossier.row, result.amounts
        citizen = sum(value for name, value in amounts.items() if name.endswith("_citizen"))
        budget = sum(value for name, value in amounts.items() if name.endswith("_budget"))
        back = amounts.get("refunded", 0) + amounts.get("suspense", 0) + amounts.get("compensation", 0)
        good = not result.differences
        table.add_row(
            row["code"],
            f"{row['procedure']} {row['case']}".strip(),
            format_dong(citizen),
            format_dong(budget) if budget else "",
            result.why,
            row["pay_by"],
            format_dong(back) if back else "",
            str(result.view.get("papers", "?")),
            str(result.view.get("outcome", "?")),
            result.dossier.expected.end,
            "[green]✓[/green]" if good else "[red]✗[/red]",
        )
    console.print(table)
    for result in results:
        for difference in result.differences:
            console.print(f"  [red]✗[/red] {result.dossier.code}: {difference}")


def print_totals(totals: dict[str, Any]) -> None:
    """What everybody paid, and for whom."""
    for title, part in (("By payer", totals["by_payer"]), ("By beneficiary", totals["by_beneficiary"])):
        table = Table(title=title, title_justify="left", show_header=False, pad_edge=False)
        for name, amount in sorted(part.items()):
            table.add_row(name, format_dong(amount))
        console.print(table)
    console.print(
        f"Collected {format_dong(totals['collected_dong'])} · refunded {format_dong(totals['refunded_dong'])} · "
        f"in suspense {format_dong(totals['suspense_dong'])} · "
        f"trial balance {format_dong(totals['trial_balance_dong'])}"
    )


def print_tie_out(day: dict[str, Any]) -> None:
    """The three-way tie-out of one business date."""
    table = Table(title=f"Đối soát / Tie-out {day['business_date']}", title_justify="left", pad_edge=False)
    for name in ("Flow", "Gateway / source", "Bank", "Ledger", "Timing", "Difference"):
        table.add_column(name, justify="left" if name == "Flow" else "right")
    sums = [0, 0, 0, 0, 0]
    for row in day["rows"]:
        values = [row[f"{part}_dong"] for part in ("source", "bank", "ledger", "timing", "difference")]
        sums = [a + b for a, b in zip(sums, values, strict=True)]
        table.add_row(row["flow"], *(format_dong(value) for value in values))
    table.add_section()
    table.add_row("total", *(format_dong(value) for value in sums))
    console.print(table)
    console.print(
        f"Statement {format_dong(day['opening_dong'])} → {format_dong(day['closing_dong'])} · ledger bank "
        f"{format_dong(day['ledger_bank_dong'])} · open breaks {day['open_breaks']} · "
        f"[bold]unexplained {format_dong(day['unexplained_dong'])}[/bold]"
    )


def verdict(results: list[Result], days: list[dict[str, Any]], totals: dict[str, Any]) -> list[str]:
    """Everything that is not as it must be; empty means success."""
    wrong = [f"{r.dossier.code} did not end as expected" for r in results if r.differences]
    if not days:
        wrong.append("no business date was reconciled")
    for day in days:
        if not day or day["status"] not in ("balanced", "closed"):
            wrong.append(f"{day.get('business_date', 'a date')} is not balanced")
        elif day["unexplained_dong"] != 0 or any(row["difference_dong"] for row in day["rows"]):
            wrong.append(f"{day['business_date']} has an unexplained difference")
    if totals["trial_balance_dong"] != 0:
        wrong.append("the ledger does not balance")
    if totals["suspense_dong"] != 0:
        wrong.append("money is left in suspense")
    return wrong


async def run(stack: dict[str, Any], *, watch: Stack | None, only: str | None) -> int:
    """Play, close, check and print. Returns the exit code."""
    first: date = today()
    dossiers = [d for d in load_dossiers() if only is None or only in d.code or only == d.says("procedure")]
    started = time.monotonic()
    results, world = await play_all(stack, dossiers, watch)
    days: list[dict[str, Any]] = []
    try:
        async with officers_at_work(world):
            days = await end_of_day(world, first)
    except (WorldError, httpx.HTTPError) as error:
        console.print(f"[red]✗[/red] The day could not be closed: {error}")
    await check_all(world, results)
    totals = await world.door("ke-toan").call("GET", world.url("payment", "/v1/totals"))
    gateway = await gateway_totals(world)
    print_dossiers(results)
    print_totals(totals)
    for day in days:
        if day:
            print_tie_out(day)
    console.print(f"Gateway's own books: {json.dumps(gateway)}")
    wrong = verdict(results, days, totals)
    good = sum(not result.differences for result in results)
    console.print(
        f"\n[bold]{good} of {len(results)} dossiers ended as expected; {time.monotonic() - started:.0f} s[/bold]"
    )
    for sentence in wrong:
        console.print(f"[red]✗[/red] {sentence}")
    await world.http.aclose()
    return 1 if wrong else 0


def free_port_base() -> int:
    """The first block of ports that nobody uses: a demo may run beside `make up`."""
    for base in range(_DEFAULT_PORT_BASE + 1000, 60_000, 100):
        if all(_is_free(base + n) for n in range(len(PORTS))):
            return base
    raise StackError("No free block of ports was found; stop some programs and try again")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def main() -> None:
    """Entry point of `python -m sandbox.demo`."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the stack up for browsing")
    parser.add_argument("--against", type=Path, metavar="STACK_JSON", help="play in a stack that is already up")
    parser.add_argument("--only", help="play only dossiers with this in their code, or of this procedure")
    arguments = parser.parse_args()
    if arguments.against:
        raise SystemExit(asyncio.run(run(json.loads(arguments.against.read_text()), watch=None, only=arguments.only)))
    keep = arguments.keep or bool(os.environ.get("KEEP"))
    folder = Path(tempfile.mkdtemp(prefix="lien-thong-demo-"))
    code = 1
    try:
        with terminated_like_interrupted():
            base = int(os.environ.get("PORT_BASE") or free_port_base())
            console.print("[bold]Liên Thông[/bold] — the embedded stack starts")
            with Stack(folder, base) as stack:
                code = asyncio.run(run(stack.plan.description(), watch=stack, only=arguments.only))
                if keep:
                    _stay(stack, stack.plan)
    except KeyboardInterrupt:
        console.print("\nStopped.")
    except (StackError, ClusterError) as error:
        complain(str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    raise SystemExit(code)


def _stay(stack: Stack, plan: Plan) -> None:
    print_addresses(plan)
    console.print("The stack stays up for browsing; Ctrl-C stops it and removes its data.")
    stack.watch()


if __name__ == "__main__":
    main()
