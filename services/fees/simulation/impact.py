"""What drafts do to a year: dossiers priced under today's law and under each draft, summed by slice, to the đồng."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import numpy.typing as npt

from services.fees.contract import Text
from services.fees.rules import Tariff, payer_name
from services.fees.simulation.dossiers import Dossiers
from services.fees.simulation.pricing import (
    UNPRICED,
    Cells,
    Prices,
    Rows,
    checked,
    price_cells,
    used_cells,
)
from services.fees.simulation.terms import (
    DraftName,
    DraftTerms,
    Figures,
    Impact,
    PayerSupport,
    Slice,
    Unpriced,
)

CHUNK = 250_000
SAMPLE = 300
"""Dossiers priced again one by one, of each version."""

_MEASURES = tuple(name for name in Figures.model_fields)
Totals = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that was found, before it is put into words."""

    impacts: Mapping[DraftName, Impact]
    unpriced: tuple[Unpriced, ...]
    priced: int
    checked: int
    cells: int


@dataclass(slots=True)
class _Sums:
    """Running totals of one draft. Each array has a row a slice and a column a measure; int64, so nothing is lost."""

    by_month: Totals
    by_province: Totals
    by_procedure: Totals
    support_by_day: Totals
    payers: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Slices:
    """Which month, province and procedure each row belongs to."""

    months: tuple[str, ...]
    month_of_day: Rows
    provinces: tuple[str, ...]
    province_of: Rows
    procedures: tuple[str, ...]
    procedure_of: Rows


def impact_of(
    dossiers: Dossiers,
    today: Tariff,
    drafts: Mapping[DraftName, tuple[DraftTerms, Tariff]],
    *,
    seed: int,
    progress: Callable[[str, float], None],
) -> Outcome:
    """Price the year under today's law and each draft. Raises Disagreement when the engine contradicts a column.

    `progress` receives the name of the stage and how much of it is done. A filing at the counter moves online when
    the draft lowers what the citizen pays online, below what it costs at the counter, and its own draw (the same for
    both drafts) falls within the uptake.
    """
    versions = [today, *(tariff for _, tariff in drafts.values())]
    cells = Cells(dossiers, versions)
    if any(terms.uptake_percent for terms, _ in drafts.values()):
        cells.add_online_twins(lambda _: True)
    cells.freeze()
    chunks = [slice(start, min(start + CHUNK, dossiers.count)) for start in range(0, dossiers.count, CHUNK)]
    example = used_cells(cells, chunks)
    before = price_cells(cells, example, today, progress=lambda part: progress("price", part / len(versions)))
    after: dict[DraftName, Prices] = {}
    for number, (name, (_, tariff)) in enumerate(drafts.items(), start=1):
        done = number / len(versions)
        after[name] = price_cells(
            cells,
            example,
            tariff,
            base=(today, before),
            progress=lambda part, done=done: progress("price", done + part / len(versions)),  # type: ignore[misc]
        )
    draws = np.random.default_rng(seed)
    slices = _slices_of(cells)
    sums = {name: _empty(slices, cells.days) for name in drafts}
    reasons = np.zeros(cells.rows, dtype=np.int64)
    verified = 0
    for number, chunk in enumerate(chunks):
        combination, day = dossiers.combination[chunk], dossiers.day[chunk]
        at = cells.of(combination, day)
        usable = before.fees[at] != UNPRICED
        for prices in after.values():
            usable &= prices.fees[at] != UNPRICED
        np.add.at(reasons, at[~usable], 1)
        luck = draws.integers(0, 100, size=len(at), dtype=np.int8)
        sample = np.sort(draws.choice(len(at), size=min(len(at), -(-SAMPLE // len(chunks))), replace=False))
        verified += checked(cells, before, today, sample + chunk.start, online=np.zeros(len(sample), dtype=np.bool_))
        for name, (terms, tariff) in drafts.items():
            moved, to = _moves(cells, before, after[name], combination, day, at)
            moved &= (luck < terms.uptake_percent) & usable
            verified += checked(cells, after[name], tariff, sample + chunk.start, online=moved[sample])
            _add(
                sums[name],
                slices,
                combination,
                day - np.int32(cells.first),
                (at, to),
                before,
                after[name],
                moved,
                usable,
            )
        progress("sum", (number + 1) / len(chunks))
    impacts = {name: _impact(today, terms, sums[name], slices, cells) for name, (terms, _) in drafts.items()}
    unpriced = _unpriced(reasons, [before, *after.values()])
    return Outcome(
        impacts=impacts,
        unpriced=unpriced,
        priced=dossiers.count - int(reasons.sum()),
        checked=verified,
        cells=int((example != -1).sum()),
    )


def _moves(
    cells: Cells, before: Prices, after: Prices, combination: Rows, day: Rows, at: Rows
) -> tuple[npt.NDArray[np.bool_], Rows]:
    """Which rows the draft gives a reason to file online, and the cell each would then be in."""
    twins = cells.twin[combination]
    paired = twins >= 0
    to = at.copy()
    if not paired.any():
        return paired, to
    to[paired] = cells.of(twins[paired], day[paired])
    online_now, online_then = before.citizen[to], after.citizen[to]
    priced = (before.fees[to] != UNPRICED) & (after.fees[to] != UNPRICED)
    return paired & priced & (online_then < online_now) & (online_then < after.citizen[at]), to


def _add(
    sums: _Sums,
    slices: _Slices,
    combination: Rows,
    day: Rows,
    moves: tuple[Rows, Rows],
    before: Prices,
    after: Prices,
    moved: npt.NDArray[np.bool_],
    usable: npt.NDArray[np.bool_],
) -> None:
    at, to = moves
    then = np.where(moved, to, at)
    stayed_fees = after.fees[at]
    fees_before, fees_after = before.fees[at], after.fees[then]
    citizens_before, citizens_after = before.citizen[at], after.citizen[then]
    support = np.zeros(len(at), dtype=np.int64)
    for payer in sorted({*before.budgets, *after.budgets}):
        nothing = np.zeros(1, dtype=np.int64)
        old = before.budgets[payer][at] if payer in before.budgets else nothing
        new = after.budgets[payer][then] if payer in after.budgets else nothing
        more = np.where(usable, new - old, 0)
        support += more
        sums.payers[payer] = sums.payers.get(payer, 0) + int(more.sum())
    columns = (
        np.ones(len(at), dtype=np.int64),
        ((citizens_before != citizens_after) | (fees_before != fees_after) | (support != 0) | moved).astype(np.int64),
        moved.astype(np.int64),
        fees_before,
        fees_after,
        fees_before - fees_after,
        stayed_fees - fees_after,
        citizens_before,
        citizens_after,
        citizens_before - citizens_after,
        support,
    )
    where = (
        (sums.by_month, slices.month_of_day[day]),
        (sums.by_province, slices.province_of[combination]),
        (sums.by_procedure, slices.procedure_of[combination]),
    )
    for measure, column in enumerate(columns):
        kept = np.where(usable, column, 0)
        for totals, slot in where:
            np.add.at(totals[:, measure], slot, kept)
    np.add.at(sums.support_by_day, day, support)


def _slices_of(cells: Cells) -> _Slices:
    days = [date.fromordinal(cells.first + n) for n in range(cells.days)]
    months = sorted({day.strftime("%Y-%m") for day in days})
    provinces = sorted({c.facts.agency_commune.province for c in cells.combinations})
    procedures = sorted({c.facts.procedure.slug for c in cells.combinations})
    return _Slices(
        months=tuple(months),
        month_of_day=np.array([months.index(day.strftime("%Y-%m")) for day in days], dtype=np.int32),
        provinces=tuple(provinces),
        province_of=np.array(
            [provinces.index(c.facts.agency_commune.province) for c in cells.combinations], dtype=np.int32
        ),
        procedures=tuple(procedures),
        procedure_of=np.array([procedures.index(c.facts.procedure.slug) for c in cells.combinations], dtype=np.int32),
    )


def _empty(slices: _Slices, days: int) -> _Sums:
    def totals(rows: Sequence[str]) -> Totals:
        return np.zeros((len(rows), len(_MEASURES)), dtype=np.int64)

    return _Sums(
        totals(slices.months), totals(slices.provinces), totals(slices.procedures), np.zeros(days, dtype=np.int64)
    )


def _impact(today: Tariff, terms: DraftTerms, sums: _Sums, slices: _Slices, cells: Cells) -> Impact:
    total = sums.by_month.sum(axis=0)
    if not (
        np.array_equal(total, sums.by_province.sum(axis=0)) and np.array_equal(total, sums.by_procedure.sum(axis=0))
    ):
        raise AssertionError("months, provinces and procedures must come to the same sums")
    places, procedures = today.places.provinces, today.vocabulary.procedures
    spent = np.cumsum(sums.support_by_day)
    used_up = None
    if terms.budget_dong is not None and (spent > terms.budget_dong).any():
        used_up = date.fromordinal(cells.first + int(np.argmax(spent > terms.budget_dong)))
    return Impact(
        title=terms.title,
        uptake_percent=terms.uptake_percent,
        total=Figures(**_named(total)),
        by_month=_sliced(slices.months, sums.by_month, lambda key: Text(vi=f"{key[5:]}/{key[:4]}", en=key)),
        by_province=_sliced(slices.provinces, sums.by_province, lambda key: Text(vi=places[key], en=places[key])),
        by_procedure=_sliced(slices.procedures, sums.by_procedure, lambda key: procedures[key].title),
        payers=tuple(
            PayerSupport(payer=payer, label=payer_name(today, payer), support=support)
            for payer, support in sorted(sums.payers.items())
            if support
        ),
        budget_dong=terms.budget_dong,
        budget_used_up_on=used_up,
    )


def _named(row: Totals) -> dict[str, int]:
    return dict(zip(_MEASURES, row.tolist(), strict=True))


def _sliced(keys: Sequence[str], totals: Totals, label: Callable[[str], Text]) -> tuple[Slice, ...]:
    return tuple(
        Slice(key=key, label=label(key), **_named(row)) for key, row in zip(keys, totals, strict=True) if row[0]
    )


def _unpriced(counts: Totals, prices: Sequence[Prices]) -> tuple[Unpriced, ...]:
    by_reason: dict[tuple[str, str], int] = {}
    for cell in np.flatnonzero(counts).tolist():
        reason = next(p.reasons[cell] for p in prices if cell in p.reasons)
        key = (reason.vi, reason.en)
        by_reason[key] = by_reason.get(key, 0) + int(counts[cell])
    largest = sorted(by_reason.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(Unpriced(dossiers=n, reason=Text(vi=vi, en=en)) for (vi, en), n in largest)
