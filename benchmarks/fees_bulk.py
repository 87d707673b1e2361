"""F3: impact simulation in bulk, mixed days, beside OpenFisca. `python -m benchmarks.fees_bulk`.

Ours: the columns of a simulation (which combination of facts, which day) to the fees, the citizen's part and the sum by
month, over cells that were priced once; the arrays are ready, as they are for OpenFisca. OpenFisca: one simulation a
day for mixed days, one for all when everybody shares a day. The sums must be equal before anything is timed.
"""

from datetime import date

import numpy as np

from benchmarks.fee_rules import Filing, filings, tariff
from benchmarks.measuring import describe, judge, peak_mib, rates, ratios, show
from benchmarks.openfisca_rules import System, columns, dues
from services.fees.simulation.dossiers import Combination, Dossiers, combination_of
from services.fees.simulation.pricing import Cells, Prices, price_cells, used_cells

COUNT = 100_000
MANY = 10_000_000


def year_of(asked: list[Filing]) -> Dossiers:
    """The filings as columns: which combination, which day."""
    law = tariff()
    known: dict[tuple[object, ...], int] = {}
    combinations: list[Combination] = []
    rows = np.empty(len(asked), dtype=np.int32)
    for number, filing in enumerate(asked):
        key = (filing.procedure, filing.online, filing.province, filing.student, filing.poor, filing.copies)
        if key not in known:
            groups = [name for name, holds in (("student", filing.student), ("poor_household", filing.poor)) if holds]
            known[key] = len(combinations)
            combinations.append(combination_of(law, filing.document(groups)))
        rows[number] = known[key]
    days = np.array([filing.day.toordinal() for filing in asked], dtype=np.int32)
    return Dossiers(tuple(combinations), rows, days, ())


def priced(dossiers: Dossiers) -> tuple[Cells, Prices]:
    """Cells and their amounts, by the ordinary engine."""
    law = tariff()
    cells = Cells(dossiers, [law])
    cells.freeze()
    example = used_cells(cells, [slice(0, dossiers.count)])
    return cells, price_cells(cells, example, law, progress=lambda _: None)


def main() -> int:
    """Check, measure, judge."""
    describe("openfisca-core", "numpy")
    asked = filings(COUNT)
    dossiers = year_of(asked)
    cells, prices = priced(dossiers)
    system = System()
    inputs = columns(asked)
    order = np.argsort(dossiers.day, kind="stable")
    days, starts = np.unique(dossiers.day[order], return_index=True)
    sorted_inputs = {name: values[order] for name, values in inputs.items()}
    parts = [
        ({name: values[one:two] for name, values in sorted_inputs.items()}, date.fromordinal(int(day)))
        for day, one, two in zip(days, starts, [*starts[1:], COUNT], strict=True)
    ]
    same = date(2025, 8, 15)
    shared = Dossiers(dossiers.combinations, dossiers.combination, np.full(COUNT, same.toordinal(), dtype=np.int32), ())
    shared_cells, shared_prices = priced(shared)

    ours = prices.fees[cells.of(dossiers.combination, dossiers.day)]
    theirs = np.empty(COUNT, dtype=np.int64)
    theirs[order] = np.concatenate([dues(system, part, day, "due_at_once") for part, day in parts])
    ours_same = shared_prices.fees[shared_cells.of(shared.combination, shared.day)]
    if not np.array_equal(ours, theirs) or not np.array_equal(ours_same, dues(system, inputs, same, "due_at_once")):
        raise SystemExit("the engines disagree")
    print(f"all {COUNT:,} dues are equal, on {len(days):,} days and on one; {len(prices.fees):,} cells")

    repeat = np.tile(np.arange(COUNT), MANY // COUNT)
    np.random.default_rng(3).shuffle(repeat)
    many_rows, many_days = dossiers.combination[repeat], dossiers.day[repeat]
    del repeat

    def columns_mixed() -> None:
        prices.fees[cells.of(dossiers.combination, dossiers.day)].sum()

    def columns_same() -> None:
        shared_prices.fees[shared_cells.of(shared.combination, shared.day)].sum()

    def ten_million() -> None:
        total = 0
        for start in range(0, MANY, 250_000):
            part = slice(start, start + 250_000)
            total += int(prices.fees[cells.of(many_rows[part], many_days[part])].sum())
        assert total == int(ours.sum()) * (MANY // COUNT)

    def openfisca_mixed() -> None:
        for part, day in parts:
            dues(system, part, day, "due_at_once")

    def openfisca_same() -> None:
        dues(system, inputs, same, "due_at_once").sum()

    found = rates(
        {
            "columns, mixed days": (columns_mixed, COUNT),
            "columns, one day": (columns_same, COUNT),
            "columns, 10 million, mixed days": (ten_million, MANY),
            "OpenFisca, mixed days": (openfisca_mixed, COUNT),
            "OpenFisca, one day for all": (openfisca_same, COUNT),
        },
        rounds=5,
    )
    show("bulk", found)
    reached = [
        judge("columns / OpenFisca, mixed days", ratios(found, "columns, mixed days", "OpenFisca, mixed days"), 100),
        judge(
            "columns mixed / OpenFisca one day", ratios(found, "columns, mixed days", "OpenFisca, one day for all"), 1.5
        ),
        judge("10 million in a second on one core", [n / MANY for n in found["columns, 10 million, mixed days"]], 1),
    ]
    print(f"  peak memory {peak_mib():.0f} MiB")
    return 0 if all(reached) else 1


if __name__ == "__main__":
    raise SystemExit(main())
