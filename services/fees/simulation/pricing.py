"""The column back-end: every amount of every dossier by three array look-ups, over cells the ordinary engine priced.

A cell is one set of facts as far as the law can tell filings apart, in one span between two days on which entries
begin or end. There are a few thousand of them in a year of a million dossiers. Each is priced once by `rules.assess`
on a real filing of its own; afterwards only integers move. `checked` prices a random sample one by one and raises
Disagreement when a single amount differs.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from services.fees.circumstances import NotQuotable
from services.fees.compiled import Snapshot
from services.fees.contract import Text
from services.fees.places import postal_zone
from services.fees.rules import CITIZEN, Assessment, Tariff, assess
from services.fees.simulation.dossiers import Combination, Dossiers
from services.fees.tariffs import Zoned

Rows = npt.NDArray[np.int32]
Amounts = npt.NDArray[np.int64]
STATE_KINDS = ("fee", "charge")
UNPRICED = -1


class Disagreement(Exception):
    """The columns and the engine gave different amounts for one dossier. The run must not report."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What each cell comes to under one version, in đồng. Cells that cannot be priced hold `UNPRICED` fees."""

    fees: Amounts
    """State fees due, whoever pays."""
    citizen: Amounts
    """What the citizen pays of everything, postage included."""
    budgets: Mapping[str, Amounts]
    """What each budget pays."""
    reasons: Mapping[int, Text]


class Cells:
    """Numbers cells, and finds the cell of any dossier by arrays alone."""

    def __init__(self, dossiers: Dossiers, tariffs: Sequence[Tariff]) -> None:
        self.dossiers = dossiers
        self._snapshots = [Snapshot(tariff) for tariff in tariffs]
        self.first = int(dossiers.day.min())
        self.days = int(dossiers.day.max()) - self.first + 1
        self._kinds: dict[Hashable, int] = {}
        self._spans: list[npt.NDArray[np.int32]] = []
        self._widths: list[int] = []
        self._places: dict[Hashable, str] = {}
        self._ends: dict[str, list[int] | None] = {}
        self.combinations = [*dossiers.combinations]
        self._groups: dict[Hashable, int] = {}
        self._offsets: list[int] = []
        self._kind_of: list[int] = []
        self.rows = 0
        for combination in dossiers.combinations:
            self._place(combination)
        self.twin = np.full(len(self.combinations), -1, dtype=np.int32)

    def add_online_twins(self, wanted: Callable[[Combination], bool]) -> None:
        """Give filings on paper the same filing online, so that the price of moving is known."""
        for index, combination in enumerate(self.dossiers.combinations):
            request = combination.request
            if request.channel == "counter" and wanted(combination):
                moved = request.model_copy(update={"channel": "online"})
                facts = combination.facts
                twin = Combination(
                    moved,
                    type(facts)(
                        moved,
                        facts.procedure,
                        facts.case,
                        facts.agency_commune,
                        facts.applicant_commune,
                        facts.groups,
                        facts.quantities,
                        facts.facts,
                    ),
                )
                self.twin[index] = len(self.combinations)
                self.combinations.append(twin)
                self._place(twin)

    def freeze(self) -> None:
        """Make the look-up arrays; after this no combination is added."""
        self._offset = np.array(self._offsets, dtype=np.int32)
        self._kind = np.array(self._kind_of, dtype=np.int32)
        self._span = np.concatenate(self._spans)

    def of(self, combination: Rows, day: Rows) -> Rows:
        """The cell of each row: where the combination's cells begin, plus the span its day falls into."""
        at = self._kind[combination]
        at *= np.int32(self.days)
        at += day
        at -= np.int32(self.first)
        cells = self._span[at]
        cells += self._offset[combination]
        return cells

    def _place(self, combination: Combination) -> None:
        kind = self._kind_number(combination)
        key = (kind, *self._what_matters(combination))
        offset = self._groups.get(key)
        if offset is None:
            offset = self._groups[key] = self.rows
            self.rows += self._widths[kind]
        self._offsets.append(offset)
        self._kind_of.append(kind)

    def _kind_number(self, combination: Combination) -> int:
        facts = combination.facts
        posted = combination.request.postal.return_result
        key = (facts.procedure.slug, facts.case, posted)
        number = self._kinds.get(key)
        if number is None:
            number = self._kinds[key] = len(self._kinds)
            cuts = sorted({cut for snapshot in self._snapshots for cut in snapshot.cuts(facts)})
            ordinals = [cut.toordinal() for cut in cuts]
            before = bisect_right(ordinals, self.first)
            inside = np.array([n - self.first for n in ordinals[before:] if n < self.first + self.days], dtype=np.int64)
            span = np.zeros(self.days, dtype=np.int32)
            span[inside] = 1
            self._spans.append(np.cumsum(span, dtype=np.int32))
            self._widths.append(len(inside) + 1)
        return number

    def _what_matters(self, combination: Combination) -> tuple[Hashable, ...]:
        facts, request = combination.facts, combination.request
        outlines = [snapshot.outline(facts.procedure, facts.case) for snapshot in self._snapshots]
        postal: Hashable = None
        if request.postal.return_result:
            zone = postal_zone(facts.applicant_commune, facts.agency_commune)
            postal = (facts.agency_commune.code, zone, request.postal.return_weight_grams)
        zoned = any(outline.zoned for outline in outlines)
        exact = not all(outline.shareable for outline in outlines)
        return (
            request.channel,
            request.applicant_kind,
            tuple(outline.place(facts.agency_commune) for outline in outlines),
            frozenset(group for outline in outlines for group in facts.groups & outline.groups)
            if postal is None
            else facts.groups,
            tuple(sorted(facts.quantities.items())),
            tuple(self._band_of(name, facts.facts.get(name, -1)) for name in outlines[0].facts),
            self._zone_of(facts.applicant_commune.code) if zoned else None,
            (facts.agency_commune.code, facts.applicant_commune.code) if exact else None,
            postal,
        )

    def _band_of(self, name: str, value: int) -> int:
        """Which band a value lies in, counting the band ends of every version; the value itself where it is priced."""
        if name not in self._ends:
            self._ends[name] = _band_ends(self._snapshots, name)
        ends = self._ends[name]
        return value if ends is None else bisect_left(ends, value)

    def _zone_of(self, commune: str) -> str:
        """One commune standing for all that lie in the same vehicle zones at all times."""
        tariff = self._snapshots[0].tariff
        place = tariff.places.get(commune)
        if place is None:
            raise AssertionError("communes were checked when the dossiers were read")
        own = [commune] if any(z.scope.code == commune for z in tariff.catalogue.zones) else []
        codes = {entry.scope.code for entry in tariff.catalogue.zones}
        key = (
            *own,
            place.province if place.province in codes else "",
            place.old_province if place.old_province in codes else "",
            place.old_district_name.partition(" ")[0],
        )
        return self._places.setdefault(key, commune)


def _band_ends(snapshots: Sequence[Snapshot], name: str) -> list[int] | None:
    """Where the bands of a fact end; None when some rate uses it in another way than by bands."""
    rates = [
        rate
        for snapshot in snapshots
        for _, item in snapshot.tariff.catalogue.fee_items()
        for rate in item.rates
        if rate.fact == name
    ]
    if not all(isinstance(rate, Zoned) for rate in rates):
        return None
    zones = [zone for rate in rates if isinstance(rate, Zoned) for zone in rate.zones]
    return sorted({band.up_to_dong for zone in zones for band in zone.bands if band.up_to_dong is not None})


def used_cells(cells: Cells, chunks: Sequence[slice]) -> npt.NDArray[np.int64]:
    """For every cell one row of the dossiers that lies in it, or -1 when none does; twins as `-2 - row`."""
    dossiers = cells.dossiers
    example = np.full(cells.rows, -1, dtype=np.int64)
    for chunk in chunks:
        combination, day = dossiers.combination[chunk], dossiers.day[chunk]
        numbers = np.arange(chunk.start, chunk.stop, dtype=np.int64)
        twins = cells.twin[combination]
        paired = twins >= 0
        if paired.any():
            example[cells.of(twins[paired], day[paired])] = -2 - numbers[paired]
    for chunk in chunks:
        combination, day = dossiers.combination[chunk], dossiers.day[chunk]
        example[cells.of(combination, day)] = np.arange(chunk.start, chunk.stop, dtype=np.int64)
    return example


def price_cells(
    cells: Cells,
    example: npt.NDArray[np.int64],
    tariff: Tariff,
    *,
    base: tuple[Tariff, Prices] | None = None,
    progress: Callable[[float], None],
) -> Prices:
    """Price every used cell once. Cells whose rules are those of `base` keep its amounts."""
    dossiers = cells.dossiers
    fees = np.full(cells.rows, UNPRICED, dtype=np.int64)
    citizen = np.zeros(cells.rows, dtype=np.int64)
    budgets: dict[str, Amounts] = {}
    reasons: dict[int, Text] = {}
    unchanged = _unchanged(base[0], tariff) if base else frozenset()
    snapshot = Snapshot(tariff)
    numbers = np.flatnonzero(example != -1)
    for done, cell in enumerate(numbers.tolist()):
        row = int(example[cell])
        twin = row < -1
        row = -2 - row if twin else row
        index = int(dossiers.combination[row])
        combination = cells.combinations[int(cells.twin[index]) if twin else index]
        same = combination.facts.procedure.slug in unchanged and not combination.request.postal.return_result
        if base is not None and same:
            prices = base[1]
            fees[cell], citizen[cell] = prices.fees[cell], prices.citizen[cell]
            for payer, amounts in prices.budgets.items():
                budgets.setdefault(payer, np.zeros(cells.rows, dtype=np.int64))[cell] = amounts[cell]
            if cell in prices.reasons:
                reasons[cell] = prices.reasons[cell]
            continue
        request = combination.request.model_copy(update={"filed_on": date.fromordinal(int(dossiers.day[row]))})
        try:
            answer = snapshot.assess(request)
        except NotQuotable as refusal:
            reasons[cell] = reason_of(refusal)
            continue
        fees[cell], citizen[cell] = state_fees(answer), answer.due_from(CITIZEN)
        for payer, amount in supports(answer).items():
            budgets.setdefault(payer, np.zeros(cells.rows, dtype=np.int64))[cell] = amount
        if done % 200 == 0:
            progress(done / len(numbers))
    return Prices(fees, citizen, budgets, reasons)


def _unchanged(base: Tariff, draft: Tariff) -> frozenset[str]:
    """Procedures whose rates and rules are the same in both; zones are compared as a whole."""
    if base.catalogue.zones != draft.catalogue.zones:
        return frozenset()
    return frozenset(
        slug
        for slug, plans in base.plans.items()
        if slug in draft.plans
        and [(p.item, p.rates, [r.rule for r in p.rules]) for p in plans]
        == [(p.item, p.rates, [r.rule for r in p.rules]) for p in draft.plans[slug]]
    )


def state_fees(assessment: Assessment) -> int:
    """Fees and charges of the state, without postage."""
    return sum(line.due_dong for line in assessment.lines if line.kind in STATE_KINDS)


def supports(assessment: Assessment) -> dict[str, int]:
    """What each budget pays."""
    found: dict[str, int] = {}
    for line in assessment.lines:
        for share in line.shares:
            if share.payer != CITIZEN:
                found[share.payer] = found.get(share.payer, 0) + share.amount_dong
    return found


def reason_of(refusal: NotQuotable) -> Text:
    """The engine's reason, as one sentence."""
    wrong = refusal.fields[0]
    return Text(vi=wrong.vi, en=wrong.en)


def checked(
    cells: Cells, prices: Prices, tariff: Tariff, rows: npt.NDArray[np.int64], *, online: npt.NDArray[np.bool_]
) -> int:
    """Price these rows one by one with the engine, those of `online` as filed online. Raises Disagreement."""
    dossiers = cells.dossiers
    indices = dossiers.combination[rows].copy()
    indices[online] = cells.twin[indices[online]]
    found = cells.of(indices, dossiers.day[rows])
    for number, index, cell in zip(rows.tolist(), indices.tolist(), found.tolist(), strict=True):
        day = date.fromordinal(int(dossiers.day[number]))
        request = cells.combinations[index].request.model_copy(update={"filed_on": day})
        try:
            answer = assess(tariff, request)
        except NotQuotable:
            expected: tuple[int, int, dict[str, int]] = (UNPRICED, 0, {})
        else:
            expected = (state_fees(answer), answer.due_from(CITIZEN), supports(answer))
        paid = {payer: int(amounts[cell]) for payer, amounts in prices.budgets.items() if amounts[cell]}
        column = (int(prices.fees[cell]), int(prices.citizen[cell]), paid)
        expected = (expected[0], expected[1], {payer: amount for payer, amount in expected[2].items() if amount})
        if column != expected:
            raise Disagreement(f"dossier {number} ({request.procedure} on {day}): columns {column}, engine {expected}")
    return len(rows)
