"""Refuses a catalogue that contradicts itself: overlaps, gaps, unknown references, rates above the tariff."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import pairwise

from services.fees.tariffs import (
    Adjustment,
    Catalogue,
    FeeItem,
    Fixed,
    Legal,
    PerCopy,
    PerPage,
    Procedure,
    Scope,
    Zoned,
)


class Inconsistency(Exception):
    """The catalogue contradicts itself; `complaints` name file and line."""

    def __init__(self, complaints: Sequence[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = tuple(complaints)


def check(catalogue: Catalogue) -> None:
    """Raises Inconsistency with everything found; returns silently when the catalogue can be used."""
    complaints = [
        *_repeated_names(catalogue),
        *_unknown_references(catalogue),
        *_broken_items(catalogue),
        *_contradicting_adjustments(catalogue),
        *_contradicting_places(catalogue),
        *_rates_above_tariff(catalogue),
    ]
    if complaints:
        raise Inconsistency(complaints)


def _repeated_names(catalogue: Catalogue) -> Iterable[str]:
    lists = {
        "procedure": [(p.slug, p.where) for p in catalogue.procedures],
        "procedure code": [(c.code, c.where) for p in catalogue.procedures for c in p.codes],
        "fee item": [(i.id, i.where) for _, i in catalogue.fee_items()],
        "adjustment": [(a.id, a.where) for a in catalogue.adjustments],
        "agreement": [(a.id, a.where) for a in catalogue.agreements],
        "group": [(g.slug, g.where) for g in catalogue.groups],
        "instrument": [(i.id, i.where) for i in catalogue.instruments],
        "source": [(s.id, s.where) for s in catalogue.sources],
        "commune": [(c[0], "places/communes.csv") for c in catalogue.communes],
    }
    for noun, named in lists.items():
        counts = Counter(name for name, _ in named)
        for name, where in named:
            if counts[name] > 1:
                yield f"{where}: the {noun} {name!r} exists more than once"


def _unknown_references(catalogue: Catalogue) -> Iterable[str]:
    instruments = {i.id for i in catalogue.instruments}
    sources = {s.id for s in catalogue.sources}
    for entry in _legal_entries(catalogue):
        if entry.instrument not in instruments:
            yield f"{entry.where}: unknown instrument {entry.instrument!r}; add it to instruments.yaml"
        yield from _not_among(entry.sources, sources, "source", entry.where)
        yield from _unknown_place(catalogue, entry.scope, entry.where)
    groups = {g.slug for g in catalogue.groups}
    procedures = {p.slug for p in catalogue.procedures}
    items = {i.id for _, i in catalogue.fee_items()}
    categories = {i.category for _, i in catalogue.fee_items()}
    for group in catalogue.groups:
        yield from _not_among(group.implies, groups, "group", group.where)
    for adjustment in catalogue.adjustments:
        targets = adjustment.targets
        yield from _not_among(adjustment.groups, groups, "group", adjustment.where)
        yield from _not_among(targets.items, items, "fee item", adjustment.where)
        yield from _not_among(targets.procedures, procedures, "procedure", adjustment.where)
        yield from _not_among(targets.categories, categories, "category", adjustment.where)
    for procedure in catalogue.procedures:
        yield from _procedure_references(procedure)


def _procedure_references(procedure: Procedure) -> Iterable[str]:
    for code in procedure.codes:
        if code.case is not None:
            yield from _not_among([code.case], set(procedure.cases), "case", code.where)
    quantities = {quantity.name for quantity in procedure.quantities}
    for item in procedure.items:
        yield from _not_among(item.cases, set(procedure.cases), "case", item.where)
        for rate in item.rates:
            needed = (
                ["copies", "pages"] if isinstance(rate, PerPage) else ["copies"] if isinstance(rate, PerCopy) else []
            )
            yield from _not_among(needed, quantities, "quantity (declare it in the procedure)", rate.where)


def _unknown_place(catalogue: Catalogue, scope: Scope, where: str) -> Iterable[str]:
    column = {"commune": 0, "province": 2, "old_province": 6}.get(scope.level)
    if column is not None and not any(row[column] == scope.code for row in catalogue.communes):
        # A province that the merger ended is still the province of its own time.
        if scope.level == "province" and any(row[6] == scope.code for row in catalogue.communes):
            return
        yield f"{where}: unknown {scope.level} {scope.code!r}"


def _not_among(names: Iterable[str], known: set[str], noun: str, where: str) -> Iterable[str]:
    for name in names:
        if name not in known:
            yield f"{where}: unknown {noun} {name!r}; known: {', '.join(sorted(known)) or 'none'}"


def _legal_entries(catalogue: Catalogue) -> Iterable[Legal]:
    for _, item in catalogue.fee_items():
        yield from item.rates
    yield from catalogue.adjustments
    yield from catalogue.zones
    for agreement in catalogue.agreements:
        yield from agreement.applies


def _broken_items(catalogue: Catalogue) -> Iterable[str]:
    for _, item in catalogue.fee_items():
        by_place: defaultdict[str, list[Legal]] = defaultdict(list)
        for rate in item.rates:
            by_place[str(rate.scope)].append(rate)
        for rates in by_place.values():
            yield from _overlaps_and_gaps(item, sorted(rates, key=lambda rate: rate.valid_from))


def _overlaps_and_gaps(item: FeeItem, rates: Sequence[Legal]) -> Iterable[str]:
    for earlier, later in pairwise(rates):
        if earlier.overlaps(later):
            yield f"{later.where}: overlaps the rate at {earlier.where}; end that one the day before {later.valid_from}"
        elif not item.gaps_allowed and earlier.valid_to is not None:
            expected = earlier.valid_to + timedelta(days=1)
            if later.valid_from != expected:
                yield f"{later.where}: no rate from {expected} until here; close the gap or set gaps_allowed: true"


def _contradicting_adjustments(catalogue: Catalogue) -> Iterable[str]:
    alike: defaultdict[tuple[object, ...], list[Adjustment]] = defaultdict(list)
    for adjustment in catalogue.adjustments:
        if adjustment.unconfirmed is None:
            targets = adjustment.targets.model_dump_json()
            key = (adjustment.kind, str(adjustment.scope), targets, adjustment.channels, frozenset(adjustment.groups))
            alike[key].append(adjustment)
    for entries in alike.values():
        ordered = sorted(entries, key=lambda entry: entry.valid_from)
        for earlier, later in pairwise(ordered):
            if earlier.overlaps(later):
                yield (
                    f"{later.where}: {later.id} holds on the same days as {earlier.id} ({earlier.where}) "
                    "for the same people, place and fees; end one of them"
                )


def _contradicting_places(catalogue: Catalogue) -> Iterable[str]:
    for index, entry in enumerate(catalogue.zones):
        for other in catalogue.zones[:index]:
            same_place = str(entry.scope) == str(other.scope) and entry.old_district_kind == other.old_district_kind
            if same_place and entry.overlaps(other):
                yield f"{entry.where}: {entry.scope} is already in a zone on these days, at {other.where}"
    if catalogue.zones and not any(z.scope.level == "country" and not z.old_district_kind for z in catalogue.zones):
        yield f"{catalogue.zones[0].where}: a zone for the rest of the country is missing"
    uses = [use for agreement in catalogue.agreements for use in agreement.applies]
    for index, use in enumerate(uses):
        for other_use in uses[:index]:
            if str(use.scope) == str(other_use.scope) and use.overlaps(other_use):
                yield f"{use.where}: another postal agreement is used for {use.scope} on these days: {other_use.where}"


def _rates_above_tariff(catalogue: Catalogue) -> Iterable[str]:
    for adjustment in catalogue.adjustments:
        if adjustment.amount_dong is None:
            continue
        if not adjustment.targets.items:
            yield f"{adjustment.where}: an absolute amount must name the fee items it replaces (targets.items)"
        for _, item in catalogue.fee_items():
            if item.id in adjustment.targets.items:
                yield from _amount_fits(adjustment, item)


def _amount_fits(adjustment: Adjustment, item: FeeItem) -> Iterable[str]:
    for rate in item.rates:
        if not rate.overlaps(adjustment):
            continue
        if isinstance(rate, Zoned | PerPage | PerCopy):
            yield f"{adjustment.where}: an absolute amount cannot replace {item.id}, which is counted or zoned"
        elif isinstance(rate, Fixed) and (adjustment.amount_dong or 0) > rate.amount_dong:
            yield (
                f"{adjustment.where}: {adjustment.id} ({adjustment.amount_dong:,} đồng) is above the tariff of "
                f"{item.id} ({rate.amount_dong:,} đồng at {rate.where})"
            )
