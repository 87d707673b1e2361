"""A catalogue version made ready: exact facts lead to date cuts, and each span between two cuts to a finished answer.

What was asked lately, of the same day, is found by one look-up before that.

The law depends on the day of filing only through the days on which entries begin and end. So for fixed facts
the answer is the same on every day between two such days, and the ordinary engine is asked once for each span
that somebody needs. Filings that differ only in what cannot matter (a commune without rules of its own, a group no
rule speaks of) share one span. Nothing here knows how to price: `rules.assess` does, and refusals are always its own.
"""

import json
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from operator import attrgetter, itemgetter
from typing import Any, Final, Generic, TypeVar, cast

from services.fees.circumstances import Circumstances, circumstances_of
from services.fees.contract import QuoteLine, QuoteRequest
from services.fees.places import MERGER, Commune
from services.fees.rules import CITIZEN, Assessment, RulePlan, Tariff, assess
from services.fees.tariffs import Legal, Procedure, Zoned

CELLS: Final = 50_000
"""Exact facts a snapshot remembers at most, and spans shared between them; the least used are forgotten."""

_NOT_HASHABLE = ("quantities", "facts", "postal")
_HELD = tuple(name for name in QuoteRequest.model_fields if name not in (*_NOT_HASHABLE, "filed_on"))
_held = itemgetter(*_HELD)
_exact = itemgetter("filed_on", *_HELD)
_measured = itemgetter("quantities", "facts", "postal")
_NO_POST = QuoteRequest.model_fields["postal"].default
_REDUCED = frozenset({*_NOT_HASHABLE, "filed_on", "procedure", "case", "province", "commune", "agency"})
_REDUCED |= {"applicant_commune", "applicant_groups"}
_kept = attrgetter(*(name for name in QuoteRequest.model_fields if name not in _REDUCED))
"""Facts that are not reduced: whatever a later contract adds keeps filings apart until somebody proves otherwise."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
_PLACES = frozenset({"country", "province", "old_province", "commune"})


class Answer:
    """A priced filing with its sums, and its lines as JSON once somebody wants them."""

    __slots__ = ("_amounts_json", "_lines_json", "assessment", "citizen_dong", "total_dong")

    def __init__(self, assessment: Assessment) -> None:
        self.assessment = assessment
        self.total_dong = assessment.total_dong
        self.citizen_dong = assessment.due_from(CITIZEN)
        self._lines_json: bytes | None = None
        self._amounts_json: bytes | None = None

    @property
    def lines_json(self) -> bytes:
        """The lines as a quote carries them, in UTF-8."""
        if self._lines_json is None:
            self._lines_json = _json_of(self.assessment.lines)
        return self._lines_json

    @property
    def amounts_json(self) -> bytes:
        """The lines without their explanation."""
        if self._amounts_json is None:
            self._amounts_json = _json_of(self.assessment.lines, include=_AMOUNTS)
        return self._amounts_json


_AMOUNTS = {"item", "kind", "leg", "beneficiary", "gross_dong", "due_dong", "shares", "verified"}


def _json_of(lines: Iterable[QuoteLine], include: set[str] | None = None) -> bytes:
    written = [line.model_dump(mode="json", include=include) for line in lines]
    return json.dumps(written, ensure_ascii=False, separators=(",", ":")).encode()


class Cell:
    """The answers of one set of exact facts, a span each. `cuts` are the days on which a new span begins."""

    __slots__ = ("answers", "cuts")

    def __init__(self, cuts: tuple[date, ...]) -> None:
        self.cuts = cuts
        self.answers: list[Answer | None] = [None] * (len(cuts) + 1)


@dataclass(frozen=True, slots=True)
class Outline:
    """What of a filing can matter to one case of a procedure, read off its rates and rules."""

    cuts: tuple[date, ...]
    provinces: frozenset[str]
    communes: frozenset[str]
    groups: frozenset[str]
    quantities: tuple[str, ...]
    facts: tuple[str, ...]
    zoned: bool
    shareable: bool
    """False when an entry holds for something that the outline does not understand; then only equal facts share."""

    def place(self, commune: Commune) -> tuple[str, str, str]:
        """The commune, province and former province, each only where an entry names it."""
        return (
            commune.code if commune.code in self.communes else "",
            commune.province if commune.province in self.provinces else "",
            commune.old_province if commune.old_province in self.provinces else "",
        )


class Memory(Generic[Key, Value]):
    """A bounded store in two generations: what is used moves to the young one, what is not used is forgotten.

    A read that hits writes nothing, so threads do not wait for one another; the worst of a race is work done twice.
    """

    __slots__ = ("_limit", "_old", "young")

    def __init__(self, limit: int) -> None:
        self._limit = max(1, limit // 2)
        self.young: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    def get(self, key: Key) -> Value | None:
        """What was put, unless it was forgotten."""
        found = self.young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: Key, value: Value) -> None:
        """Remember; when the young generation is full it becomes the old one."""
        if len(self.young) >= self._limit:
            self._old, self.young = self.young, {}
        self.young[key] = value


class Snapshot:
    """One version of the catalogue, ready to be asked from any thread. Immutable but for what it remembers."""

    def __init__(self, tariff: Tariff, *, cells: int = CELLS) -> None:
        self.tariff = tariff
        self.version = tariff.version
        self._days: Memory[Hashable, Answer] = Memory(cells)
        self._cells: Memory[Hashable, Cell] = Memory(cells)
        self._shared: Memory[Hashable, Answer] = Memory(cells)
        self._outlines: dict[tuple[str, str | None], Outline] = {}
        self._postal_cuts = tuple(_days(_postal_entries(tariff)))

    def assess(self, request: QuoteRequest) -> Assessment:
        """What `rules.assess` answers for this version. Raises NotQuotable as it does."""
        return self.answer(request).assessment

    def answer(self, request: QuoteRequest) -> Answer:
        """The same with its sums. Raises NotQuotable; a refusal is never remembered."""
        # This is the hot path: fields are read off the instance at once, and the common filing (no counts, no post)
        # has a flat tuple of its day and strings as its key.
        values = request.__dict__
        key: Hashable = _exact(values)
        if values["postal"] is not _NO_POST or values["quantities"] or values["facts"]:
            key = _measured_key(key, values)
        return self._days.young.get(key) or self._days.get(key) or self._of_day(key, request)

    def _of_day(self, key: Hashable, request: QuoteRequest) -> Answer:
        """The answer of facts and day that were not met lately: facts met on other days have their cell."""
        values = request.__dict__
        facts = _measured_key(_held(values), values)
        cell = self._cells.get(facts)
        if cell is None:
            found = self._first(facts, request)
        else:
            span = bisect_right(cell.cuts, request.filed_on)
            known = cell.answers[span]
            if known is None:
                known = self._answer_of(request, circumstances_of(self.tariff.vocabulary, request))
                cell.answers[span] = known
            found = known
        self._days.put(key, found)
        return found

    def outline(self, procedure: Procedure, case: str | None) -> Outline:
        """What can matter to this case of this procedure."""
        key = (procedure.slug, case)
        found = self._outlines.get(key)
        if found is None:
            found = self._outlines[key] = _outline_of(self.tariff, procedure, case)
        return found

    def cuts(self, facts: Circumstances) -> tuple[date, ...]:
        """The days on which the answer to these facts may change."""
        own = self.outline(facts.procedure, facts.case).cuts
        return tuple(sorted({*own, *self._postal_cuts})) if _carried(facts.request) else own

    def _first(self, key: Hashable, request: QuoteRequest) -> Answer:
        facts = circumstances_of(self.tariff.vocabulary, request)
        cell = Cell(self.cuts(facts))
        answer = self._answer_of(request, facts)
        cell.answers[bisect_right(cell.cuts, request.filed_on)] = answer
        self._cells.put(key, cell)
        return answer

    def _answer_of(self, request: QuoteRequest, facts: Circumstances) -> Answer:
        outline = self.outline(facts.procedure, facts.case)
        if not outline.shareable or outline.zoned or _carried(request):
            return Answer(assess(self.tariff, request))
        key = (
            facts.procedure.slug,
            facts.case,
            bisect_right(outline.cuts, request.filed_on),
            outline.place(facts.agency_commune),
            facts.groups & outline.groups,
            tuple(facts.quantities[name] for name in outline.quantities),
            _kept(request),
        )
        shared = self._shared.get(key)
        if shared is None:
            shared = Answer(assess(self.tariff, request))
            self._shared.put(key, shared)
        return _of_agency(shared, request.agency)


def plain_facts(request: QuoteRequest) -> Hashable | None:
    """Every fact of a filing without counts, figures and post, as one key; None for any other filing."""
    values = request.__dict__
    if values["postal"] is not _NO_POST or values["quantities"] or values["facts"]:
        return None
    return cast("Hashable", _exact(values))


def snapshot_of(tariff: Tariff) -> Snapshot:
    """The snapshot of a compiled catalogue: made at the first question, the same one ever after.

    It lives and dies with the tariff, so publishing a version is one assignment of the tariff in use.
    """
    found = tariff.__dict__.get("_snapshot")
    if found is None:
        found = tariff.__dict__.setdefault("_snapshot", Snapshot(tariff))
    return cast("Snapshot", found)


def _measured_key(held: Hashable, values: dict[str, Any]) -> Hashable:
    """The key of a filing with counts, figures or the post. Weights count only where the post carries something."""
    quantities, facts, postal = _measured(values)
    if postal is _NO_POST and not facts and len(quantities) == 1:
        return held, *quantities.items()
    carried = None
    if postal.send or postal.return_result or postal.cash_on_delivery:
        carried = tuple(postal.__dict__.values())
    if len(quantities) > 1:
        quantities = dict(sorted(quantities.items()))
    if len(facts) > 1:
        facts = dict(sorted(facts.items()))
    return held, *quantities.items(), carried, *facts.items()


def _carried(request: QuoteRequest) -> bool:
    postal = request.postal
    return postal.send or postal.return_result


def _of_agency(shared: Answer, agency: str) -> Answer:
    """The same answer paid to another agency: the one thing a line takes from the request unread."""
    lines = shared.assessment.lines
    if all(line.beneficiary == agency for line in lines):
        return shared
    moved: tuple[QuoteLine, ...] = tuple(line.model_copy(update={"beneficiary": agency}) for line in lines)
    return Answer(Assessment(shared.assessment.procedure, shared.assessment.case, moved))


def _outline_of(tariff: Tariff, procedure: Procedure, case: str | None) -> Outline:
    plans = [p for p in tariff.plans[procedure.slug] if not p.item.cases or case in p.item.cases]
    rates = [rate for plan in plans for rate in plan.rates]
    rules = [rule.rule for plan in plans for rule in plan.rules]
    zoned = [rate for rate in rates if isinstance(rate, Zoned) or rate.fact is not None]
    entries: list[Legal] = [*rates, *rules, *(tariff.catalogue.zones if zoned else ())]
    levels = {entry.scope.level for entry in entries}
    return Outline(
        cuts=tuple(_days(entries)),
        provinces=frozenset(e.scope.code for e in entries if e.scope.level in ("province", "old_province")),
        communes=frozenset(e.scope.code for e in entries if e.scope.level == "commune"),
        groups=frozenset(group for rule in rules for group in rule.groups),
        quantities=tuple(quantity.name for quantity in procedure.quantities),
        facts=tuple(sorted({rate.fact for rate in zoned if rate.fact is not None})),
        zoned=bool(zoned),
        shareable=levels <= _PLACES,
    )


def _postal_entries(tariff: Tariff) -> Iterator[Legal]:
    for use, _ in tariff.uses:
        yield use
    for plans in tariff.legs.values():
        for plan in cast("Iterable[RulePlan]", plans):
            yield plan.rule


def _days(entries: Iterable[Legal]) -> list[date]:
    """The days on which some entry begins, or no longer holds, and the day the provinces were merged."""
    found: set[date] = {MERGER}
    for entry in entries:
        found.add(entry.valid_from)
        if entry.valid_to is not None and entry.valid_to < date.max:
            found.add(entry.valid_to + timedelta(days=1))
    return sorted(found)
