"""Recognises what statement lines answer: the matching engine, told what the books expect. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from services.payment import ledger
from services.payment.reconciliation.engine.items import Item, Match, MatchingRules
from services.payment.reconciliation.engine.pipeline import match

Flow = Literal["card", "vietqr", "post_remittance", "transfer_out", "unidentified"]
Trouble = Literal["repeated", "ambiguous", "unknown"]
RULES = MatchingRules()
_CLEARING: dict[Flow, str] = {
    "card": ledger.PAYOUT_IN_TRANSIT,
    "vietqr": ledger.BANK_CLEARING,
    "post_remittance": ledger.POST_REMITTANCE,
    "transfer_out": ledger.BANK_CLEARING,
    "unidentified": ledger.SUSPENSE,
}


@dataclass(frozen=True, slots=True)
class Expectation:
    """One thing the books expect on a statement, signed as the bank shows it, in đồng."""

    flow: Flow
    item: str
    amount_dong: int
    on: date
    ids: tuple[str, ...] = ()
    """What the bank itself calls it."""
    references: tuple[str, ...] = ()
    """What its text may say."""
    party: str = ""
    group: str = ""
    """Items of one group may come in one sum."""


@dataclass(frozen=True, slots=True)
class Line:
    """A statement line to recognise. `mark` is its fingerprint and occurrence: the same in every import."""

    id: str
    mark: str
    amount_dong: int
    booked_on: date
    bank_reference: str
    content: str
    party: str = ""
    name: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """What of a line answers one item. `expected_dong` None: nothing was expected."""

    item: str
    subject: str
    amount_dong: int
    expected_dong: int | None


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a line is: its flow, the items it answers, the clearing account that empties, and why we think so."""

    line_id: str
    flow: Flow
    parts: tuple[Part, ...]
    evidence: str
    trouble: Trouble | None = None

    @property
    def account(self) -> str:
        """The account whose balance the line takes away."""
        return _CLEARING[self.flow]


def recognise(
    lines: Sequence[Line],
    expected: Iterable[Expectation],
    answered: Iterable[Expectation],
    rules: MatchingRules = RULES,
) -> dict[str, Recognised]:
    """Say what each line answers, by line id. `answered` are items that earlier lines have answered already.

    A second line for one of those is told as repeated, never taken for another item. The answer does not depend on
    the order of anything.
    """
    wanted = {_key(each): each for each in expected}
    by_mark = {line.mark: line for line in lines}
    outcome = match([_item(each) for each in wanted.values()], [_seen(line) for line in lines], rules)
    found: dict[str, Recognised] = {}
    for each in outcome.matches:
        for known in _answers(each, [by_mark[mark] for mark in each.seen], [wanted[key] for key in each.expected]):
            found[known.line_id] = known
    for repeat in outcome.repeats:
        line = by_mark[repeat.seen]
        found[line.id] = _unidentified(line, "repeated", f"a second line for {wanted[repeat.of].item}")
    for ambiguity in outcome.ambiguous:
        names = ", ".join(wanted[key].item for key in ambiguity.expected[:5])
        for mark in ambiguity.seen:
            line = by_mark[mark]
            found[line.id] = _unidentified(line, "ambiguous", f"{ambiguity.evidence[-1]}: {names}")
    left = [by_mark[mark] for mark in outcome.seen_left]
    found |= _second_answers(left, answered, rules)
    for line in left:
        found.setdefault(line.id, _unidentified(line, "unknown", "nothing we know of"))
    return found


def _second_answers(
    lines: Sequence[Line], answered: Iterable[Expectation], rules: MatchingRules
) -> dict[str, Recognised]:
    """Lines that name, without doubt, what another line has answered."""
    by_mark = {line.mark: line for line in lines}
    known = {_key(each): each for each in answered}
    outcome = match([_item(each) for each in known.values()], [_seen(line) for line in lines], rules)
    sure = [(each.seen, each.expected) for each in outcome.matches if each.stage in ("id", "reference")]
    sure += [((each.seen,), (each.of,)) for each in outcome.repeats]
    return {
        by_mark[mark].id: _unidentified(by_mark[mark], "repeated", f"a second line for {known[keys[0]].item}")
        for marks, keys in sure
        for mark in marks
    }


def _answers(found: Match, lines: Sequence[Line], wanted: Sequence[Expectation]) -> list[Recognised]:
    """A match line by line. What a match lacks or has too much falls on its last part."""
    evidence = ", ".join((found.stage, *found.evidence))
    flow = wanted[0].flow
    if len(wanted) > 1:
        (line,) = lines
        rest = line.amount_dong
        parts = []
        for each in wanted:
            share = each.amount_dong if each is not wanted[-1] else rest
            parts.append(Part(each.item, each.item, share, each.amount_dong))
            rest -= share
        return [Recognised(line.id, flow, tuple(parts), evidence)]
    (one,) = wanted
    answers = []
    rest = one.amount_dong
    for line in sorted(lines, key=lambda each: (each.booked_on, each.mark)):
        share = line.amount_dong if line.mark != max(lines, key=lambda each: (each.booked_on, each.mark)).mark else rest
        answers.append(Recognised(line.id, flow, (Part(one.item, one.item, line.amount_dong, share),), evidence))
        rest -= share
    return answers


def _unidentified(line: Line, trouble: Trouble, evidence: str) -> Recognised:
    return Recognised(line.id, "unidentified", (Part(line.id, line.id, line.amount_dong, None),), evidence, trouble)


def _key(each: Expectation) -> str:
    return f"{each.flow}:{each.item}"


def _item(each: Expectation) -> Item:
    return Item(
        key=_key(each),
        amount_dong=each.amount_dong,
        on=each.on,
        ids=each.ids,
        references=each.references,
        party=each.party,
        group=each.group,
    )


def _seen(line: Line) -> Item:
    return Item(
        key=line.mark,
        amount_dong=line.amount_dong,
        on=line.booked_on,
        ids=(line.bank_reference,) if line.bank_reference else (),
        text=line.content,
        party=line.party,
        name=line.name,
        group=line.group,
    )
