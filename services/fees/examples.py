"""Filings that show what a change of the law does: chosen from the changed entries, priced before and after."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from services.fees import sentences
from services.fees.circumstances import NotQuotable, facts_of
from services.fees.contract import Channel, Example, ExamplePrice, QuoteRequest, Text
from services.fees.places import Commune
from services.fees.rules import CITIZEN, Assessment, Tariff, assess
from services.fees.tariffs import Adjustment, FeeItem, Legal, Procedure, Scope

MOST_EXAMPLES = 8
_MOST_PROCEDURES = 3
_FIRST_DAY = date(2015, 1, 1)
_LAST_DAY = date(2100, 12, 31)
_QUANTITIES = {"pages": 3}
"""Counts other than one that make an example worth reading."""
_FACT_DONG = 20_000_000


@dataclass(frozen=True, slots=True)
class _Changed:
    """An entry of the law that is other than before, and the fee items it speaks of."""

    entry: Legal
    name: str
    items: tuple[tuple[Procedure, FeeItem], ...]


def examples_of(before: Tariff, after: Tariff) -> tuple[Example, ...]:
    """Filings on the first day of every changed entry, on the day before it, and through another channel."""
    found: dict[str, Example] = {}
    for changed in _changed(before, after):
        for title, document in _filings(changed, after):
            request = _request(document)
            if request is None or request.model_dump_json() in found or len(found) == MOST_EXAMPLES:
                continue
            found[request.model_dump_json()] = _priced(title, request, changed, before=before, after=after)
    return tuple(found.values())


def _changed(before: Tariff, after: Tariff) -> Iterator[_Changed]:
    for new, old in ((after, before), (before, after)):
        known = {rule.id: rule.model_dump_json() for rule in old.catalogue.adjustments}
        for rule in new.catalogue.adjustments:
            if (known.get(rule.id) != rule.model_dump_json()) if new is after else (rule.id not in known):
                yield _Changed(rule, rule.id, _items_of(new, rule))
    rates = {rate.model_dump_json() for _, item in before.catalogue.fee_items() for rate in item.rates}
    for procedure, item in after.catalogue.fee_items():
        for rate in item.rates:
            if rate.model_dump_json() not in rates:
                yield _Changed(rate, item.id, ((procedure, item),))


def _items_of(tariff: Tariff, rule: Adjustment) -> tuple[tuple[Procedure, FeeItem], ...]:
    """The first item of each procedure a rule speaks of; postage is shown on any procedure."""
    found = []
    for procedure in tariff.catalogue.procedures:
        for plan in tariff.plans[procedure.slug]:
            if rule.targets.kinds == ("postage",) or any(one.rule.id == rule.id for one in plan.rules):
                found.append((procedure, plan.item))
                break
    return tuple(found[:_MOST_PROCEDURES])


def _filings(changed: _Changed, tariff: Tariff) -> Iterator[tuple[Text, dict[str, Any]]]:
    entry = changed.entry
    day = min(max(entry.valid_from, _FIRST_DAY), _LAST_DAY)
    place = _place_of(tariff, entry.scope, day)
    if place is None:
        return
    channels: tuple[Channel, ...] = entry.channels if isinstance(entry, Adjustment) else ()
    channel: Channel = channels[0] if channels else "online"
    for index, (procedure, item) in enumerate(changed.items):
        document = _document(entry, procedure, item, place=place, day=day, channel=channel)
        yield _titled(procedure, day, channel, place), document
        if index > 0:
            continue
        eve = day - timedelta(days=1)
        if eve >= _FIRST_DAY:
            yield _titled(procedure, eve, channel, place), {**document, "filed_on": eve}
        other = next((name for name in ("counter", "online") if channels and name not in channels), None)
        if other is not None:
            yield _titled(procedure, day, other, place), {**document, "channel": other}


def _document(
    entry: Legal, procedure: Procedure, item: FeeItem, *, place: Commune, day: date, channel: Channel
) -> dict[str, Any]:
    groups = list(entry.groups[:1]) if isinstance(entry, Adjustment) else []
    case = next((slug for slug in procedure.cases if not item.cases or slug in item.cases), None)
    postage = isinstance(entry, Adjustment) and "postage" in entry.targets.kinds
    agency = entry.scope.code if entry.scope.level == "agency" else "example"
    return {
        "procedure": procedure.slug,
        "case": case,
        "filed_on": day,
        "channel": channel,
        "province": place.province_on(day),
        "commune": place.code,
        "agency": agency,
        "applicant_groups": groups,
        "quantities": {one.name: _QUANTITIES.get(one.name, one.default or 1) for one in procedure.quantities},
        "facts": dict.fromkeys(facts_of(procedure, case), _FACT_DONG),
        "postal": {"send": postage, "return_result": postage},
    }


def _place_of(tariff: Tariff, scope: Scope, day: date) -> Commune | None:
    if scope.level in ("country", "agency"):
        return next(iter(tariff.places.communes_of("01")), None)
    communes = (commune for code in tariff.places.provinces for commune in tariff.places.communes_of(code))
    return next((commune for commune in communes if commune.within(scope, day)), None)


def _titled(procedure: Procedure, day: date, channel: str, place: Commune) -> Text:
    how, shown, where = sentences.channels([channel]), sentences.day(day), place.province_name_on(day)
    return Text(
        vi=f"{procedure.title.vi}, {how.vi} ngày {shown} tại {where}",
        en=f"{procedure.title.en}, {how.en} on {shown} in {where}",
    )


def _request(document: Mapping[str, Any]) -> QuoteRequest | None:
    try:
        return QuoteRequest.model_validate(document)
    except ValueError:
        return None


def _priced(title: Text, request: QuoteRequest, changed: _Changed, *, before: Tariff, after: Tariff) -> Example:
    new = _assessed(after, request)
    steps = [step for line in new.lines for step in line.steps] if isinstance(new, Assessment) else []
    return Example(
        title=title,
        request=request,
        before=_price(_assessed(before, request)),
        after=_price(new),
        sentences=tuple(_once(step.text for step in steps if step.rule == changed.name)),
    )


def _once(texts: Iterable[Text]) -> Iterator[Text]:
    seen: set[str] = set()
    for text in texts:
        if text.vi not in seen:
            seen.add(text.vi)
            yield text


def _assessed(tariff: Tariff, request: QuoteRequest) -> Assessment | Text:
    try:
        return assess(tariff, request)
    except NotQuotable as refusal:
        return Text(vi="; ".join(f.vi for f in refusal.fields), en="; ".join(f.en for f in refusal.fields))


def _price(answer: Assessment | Text) -> ExamplePrice:
    if isinstance(answer, Text):
        return ExamplePrice(refusal=answer)
    citizen = answer.due_from(CITIZEN)
    return ExamplePrice(total_dong=answer.total_dong, citizen_dong=citizen, budget_dong=answer.total_dong - citizen)
