"""What is different between two states of the law, two sets of documents, or two answers to the same facts."""

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from services.fees import sentences
from services.fees.contract import (
    DocumentDifference,
    LawChange,
    LineDifference,
    Quote,
    QuoteDifference,
    QuoteLine,
    Text,
)
from services.fees.queries import place_in_words
from services.fees.rules import Tariff
from services.fees.tariffs import Catalogue, Legal, Node

Kind = Literal["rate", "adjustment", "procedure", "agreement", "zone", "group", "instrument", "source"]
_CONTEXT_LINES = 3


class _Entry(NamedTuple):
    title: Text
    words: Text
    content: str


def law_changes(before: Tariff, after: Tariff) -> tuple[LawChange, ...]:
    """Every entry of the law that is added, removed or changed, in the order a reader wants them."""
    old, new = dict(_entries(before)), dict(_entries(after))
    changes = []
    for key in [*new, *(key for key in old if key not in new)]:
        was, now = old.get(key), new.get(key)
        if was is not None and now is not None and was.content == now.content:
            continue
        shown = now or was
        if shown is None:
            raise AssertionError("a key comes from one of the two")
        action: Literal["added", "removed", "changed"] = "changed"
        if was is None or now is None:
            action = "added" if was is None else "removed"
        kind, identity = key
        changes.append(
            LawChange(
                kind=kind,
                action=action,
                id=identity,
                title=shown.title,
                before=was.words if was else None,
                after=now.words if now else None,
            )
        )
    return tuple(changes)


def _entries(tariff: Tariff) -> Iterator[tuple[tuple[Kind, str], _Entry]]:
    catalogue = tariff.catalogue
    for rule in catalogue.adjustments:
        people = sentences.people(rule.groups, tariff.vocabulary.groups) if rule.groups else None
        law = tariff.law(rule)
        granted = (
            sentences.not_applied(rule, law, rule.unconfirmed)
            if rule.unconfirmed
            else sentences.granted(rule, law, people)
        )
        what, where = sentences.titled(sentences.ruling(rule)), place_in_words(tariff, rule.scope)
        title = Text(vi=f"{what.vi} · {where.vi}", en=f"{what.en} · {where.en}")
        yield ("adjustment", rule.id), _Entry(title, granted, _content(rule))
    for procedure, item in catalogue.fee_items():
        for rate in item.rates:
            said = sentences.description(rate)
            key = f"{item.id} {rate.scope} {rate.valid_from}"
            title = Text(vi=f"{procedure.title.vi}: {item.label.vi}", en=f"{procedure.title.en}: {item.label.en}")
            yield ("rate", key), _Entry(title, _with_law(tariff, rate, said), _content(rate))
    yield from _plain_entries(tariff, catalogue)


def _plain_entries(tariff: Tariff, catalogue: Catalogue) -> Iterator[tuple[tuple[Kind, str], _Entry]]:
    for procedure in catalogue.procedures:
        # Rates are told one by one above; here it is the procedure around them.
        frame = procedure.model_copy(
            update={"items": tuple(i.model_copy(update={"rates": i.rates[:0]}) for i in procedure.items)}
        )
        yield ("procedure", procedure.slug), _Entry(procedure.title, procedure.field, _content(frame))
    for agreement in catalogue.agreements:
        yield ("agreement", agreement.id), _Entry(agreement.title, agreement.title, _content(agreement))
    for zone in catalogue.zones:
        kind = f" ({zone.old_district_kind})" if zone.old_district_kind else ""
        title = Text(vi=f"Khu vực {zone.zone}: {zone.scope}{kind}", en=f"Zone {zone.zone}: {zone.scope}{kind}")
        key = f"{zone.scope}{kind} {zone.valid_from}"
        yield ("zone", key), _Entry(title, _with_law(tariff, zone, title), _content(zone))
    for group in catalogue.groups:
        yield ("group", group.slug), _Entry(sentences.titled(group.name), group.name, _content(group))
    for instrument in catalogue.instruments:
        yield ("instrument", instrument.id), _Entry(instrument.name, instrument.name, _content(instrument))
    for source in catalogue.sources:
        title = Text(vi=f"{source.id}: {source.title}", en=f"{source.id}: {source.title}")
        yield ("source", source.id), _Entry(title, title, _content(source))


def _with_law(tariff: Tariff, entry: Legal, said: Text) -> Text:
    law, days = tariff.law(entry), sentences.window(entry)
    return Text(vi=f"{said.vi}; {law.vi}, {days.vi}", en=f"{said.en}; {law.en}, {days.en}")


def _content(node: Node) -> str:
    return json.dumps(node.model_dump(mode="json"), sort_keys=True)


def document_differences(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[DocumentDifference, ...]:
    """The lines in which documents differ, by path; documents that are equal are left out."""
    found = []
    for path in sorted({*before, *after}):
        old, new = before.get(path), after.get(path)
        if old == new:
            continue
        lines = difflib.unified_diff((old or "").splitlines(), (new or "").splitlines(), lineterm="", n=_CONTEXT_LINES)
        action: Literal["added", "removed", "changed"] = "changed"
        if old is None or new is None:
            action = "added" if old is None else "removed"
        found.append(DocumentDifference(path=path, action=action, lines=tuple(lines)[2:]))
    return tuple(found)


# --- answers ---------------------------------------------------------------------------------------


def quote_difference(before: Quote, after: Quote) -> QuoteDifference:
    """Two quotes of the same facts, line by line. `same` when every line, share and step is equal."""
    old = {(line.item, line.leg): line for line in before.lines}
    new = {(line.item, line.leg): line for line in after.lines}
    keys = [*old, *(key for key in new if key not in old)]
    return QuoteDifference(
        same=before.lines == after.lines,
        before_version=before.catalogue_version,
        after_version=after.catalogue_version,
        total_before_dong=before.total_dong,
        total_after_dong=after.total_dong,
        citizen_before_dong=before.citizen_dong,
        citizen_after_dong=after.citizen_dong,
        lines=tuple(_line_difference(old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)),
    )


def _line_difference(before: QuoteLine | None, after: QuoteLine | None) -> LineDifference:
    shown = after or before
    if shown is None:
        raise AssertionError("a line comes from one of the two")
    told = {(step.rule, step.outcome, step.text) for step in before.steps} if before else set()
    steps = after.steps if after else ()
    return LineDifference(
        item=shown.item,
        leg=shown.leg,
        label=shown.label,
        before_dong=before.due_dong if before else None,
        after_dong=after.due_dong if after else None,
        citizen_before_dong=before.due_from("citizen") if before else None,
        citizen_after_dong=after.due_from("citizen") if after else None,
        reasons=tuple(step.text for step in steps if (step.rule, step.outcome, step.text) not in told),
    )
