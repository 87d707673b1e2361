"""F2: a catalogue of 7,400 rules beside one of eleven, and how long a new version takes to come into use.

`python -m benchmarks.fees_scale`. 2,000 procedures with two rates each and 3,402 waivers, a hundred for each province
less two. Both snapshots are asked 20,000 different filings, warm. The swap is what a process does when a version is
published: compile the tariff, make the snapshot, answer the first quote.
"""

import random
import time
from datetime import date, timedelta

from benchmarks.fee_rules import COMMUNES, filings, tariff
from benchmarks.measuring import describe, judge, peak_mib, rates, ratios, show
from services.fees.compiled import Snapshot
from services.fees.contract import QuoteRequest
from services.fees.rules import Tariff, assess
from services.fees.tariffs import Adjustment, Catalogue, Procedure, Scope, Targets

PROCEDURES, WAIVERS = 2_000, 3_402
ASKED = 20_000


def large(small: Catalogue) -> Catalogue:
    """The small law many times over."""
    model = next(p for p in small.procedures if p.slug == "passport")
    item, provinces = model.items[0], sorted({row[2] for row in small.communes})
    rate = item.rates[0]
    old = rate.model_copy(update={"valid_to": date(2024, 12, 31), "amount_dong": 150_000})
    new = rate.model_copy(update={"valid_from": date(2025, 1, 1)})
    procedures: list[Procedure] = []
    for number in range(PROCEDURES):
        slug = f"procedure-{number:04}"
        own = item.model_copy(update={"id": slug, "rates": (old, new)})
        procedures.append(model.model_copy(update={"slug": slug, "items": (own,), "codes": ()}))
    waiver = next(a for a in small.adjustments if a.id == "zero-01")
    waivers: list[Adjustment] = []
    for number in range(WAIVERS):
        target = f"procedure-{number * 7 % PROCEDURES:04}"
        change = {
            "id": f"waiver-{number:04}",
            "targets": Targets(items=(target,)),
            "scope": Scope(level="province", code=provinces[number % len(provinces)]),
            "valid_from": date(2025, 1, 1) + timedelta(days=number % 300),
        }
        waivers.append(waiver.model_copy(update=change))
    return small.model_copy(update={"procedures": tuple(procedures), "adjustments": tuple(waivers)})


def requests_for(catalogue: Catalogue, count: int) -> list[QuoteRequest]:
    """Different filings over all procedures, places, channels and days."""
    draw = random.Random(9)
    return [
        QuoteRequest(
            procedure=draw.choice(catalogue.procedures).slug,
            filed_on=date(2024, 6, 1) + timedelta(days=draw.randrange(700)),
            channel=draw.choice(("online", "counter")),
            province=province,
            commune=COMMUNES[province],
            agency="H00",
        )
        for province in draw.choices(sorted(COMMUNES), k=count)
    ]


def main() -> int:
    """Check, measure, judge."""
    describe("pydantic")
    small = tariff()
    catalogue = large(small.catalogue)
    few = [filing.request() for filing in filings(ASKED, seed=3)]
    many = requests_for(catalogue, ASKED)
    swaps = []
    for _ in range(5):
        started = time.process_time()
        compiled = Tariff(catalogue)
        Snapshot(compiled).answer(many[0])
        swaps.append(1 / (time.process_time() - started))
    snapshots = {"eleven rules": (Snapshot(small), few), "7,400 rules": (Snapshot(compiled), many)}
    for snapshot, asked in snapshots.values():
        for request in asked[:300]:
            if snapshot.assess(request).lines != assess(snapshot.tariff, request).lines:
                raise SystemExit(f"the snapshot and the engine disagree on {request}")
    started = time.process_time()
    for request in many:
        snapshots["7,400 rules"][0].answer(request)
    first = time.process_time() - started
    print(f"first answers to {ASKED:,} different filings: {first / ASKED * 1e6:.0f} µs each")

    def asking(name: str) -> object:
        snapshot, asked = snapshots[name]
        answer = snapshot.answer
        for request in asked:
            answer(request)
        return None

    found = rates({name: ((lambda name=name: asking(name)), ASKED) for name in snapshots}, rounds=9)  # type: ignore[misc]
    show("warm answers", found)
    reached = [
        judge("7,400 rules / eleven rules", ratios(found, "7,400 rules", "eleven rules"), 0.7),
        judge("swaps a second of a 7,400-rule version", swaps, 1),
    ]
    print(f"  peak memory {peak_mib():.0f} MiB")
    return 0 if all(reached) else 1


if __name__ == "__main__":
    raise SystemExit(main())
