"""The days on which the answer to fixed facts may change: where the law begins, ends, or a place changes hands.

The day of filing decides nothing else: no rule reads its month, its weekday or its distance from another day, and
groups such as children or elderly people are sent as facts, not worked out from a date of birth. So between two
neighbouring cuts the same facts cost the same, line by line and sentence by sentence.
"""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from services.fees.places import MERGER
from services.fees.tariffs import Adjustment, Catalogue, FeeItem, Legal, Procedure, about


def cut_dates(catalogue: Catalogue, procedure: Procedure, case: str | None = None) -> tuple[date, ...]:
    """Sorted days at which anything begins, or no longer holds, that may touch a filing of this procedure.

    Rates and adjustments of its fee items (of one case, when given), vehicle zones where a rate depends on them,
    the postal agreements and reductions, and the merger of provinces and districts on 1 July 2025.
    """
    items = [item for item in procedure.items if case is None or not item.cases or case in item.cases]
    found = {MERGER}
    for entry in _entries(catalogue, procedure, items):
        found.add(entry.valid_from)
        if entry.valid_to is not None and entry.valid_to < date.max:
            found.add(entry.valid_to + timedelta(days=1))
    return tuple(sorted(found))


def _entries(catalogue: Catalogue, procedure: Procedure, items: Iterable[FeeItem]) -> Iterator[Legal]:
    for item in items:
        yield from item.rates
        yield from (rule for rule in catalogue.adjustments if about(rule, procedure, item))
        if any(rate.shape == "zoned" for rate in item.rates):
            yield from catalogue.zones
    for agreement in catalogue.agreements:
        yield from agreement.applies
    yield from (rule for rule in catalogue.adjustments if _of_postage(rule))


def _of_postage(rule: Adjustment) -> bool:
    return "postage" in rule.targets.kinds
