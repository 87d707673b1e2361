"""What holds for every filing, not only for the worked ones."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from kit.money import percent_of
from services.fees.circumstances import NotQuotable
from services.fees.contract import QuoteRequest, Step
from services.fees.cuts import cut_dates
from services.fees.reading import load_catalogue
from services.fees.rules import Assessment, Tariff, assess
from services.fees.tariffs import Adjustment, Catalogue, Scope, Targets

TARIFF = Tariff(load_catalogue())
COMMUNES = sorted(row[0] for row in TARIFF.catalogue.communes)
GROUPS = sorted(TARIFF.vocabulary.groups)
QUANTITIES = {"copies": 300, "pages": 2000, "months": 24}
FEW = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
LIMITS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])


@st.composite
def filings(draw: st.DrawFn) -> QuoteRequest:
    """Any filing the catalogue can name, in all its years."""
    procedure = draw(st.sampled_from(TARIFF.catalogue.procedures))
    commune = TARIFF.places.get(draw(st.sampled_from(COMMUNES)))
    assert commune is not None
    document: dict[str, Any] = {
        "procedure": procedure.slug,
        "case": draw(st.sampled_from(sorted(procedure.cases))) if procedure.cases else None,
        "filed_on": draw(st.dates(date(2021, 6, 1), date(2027, 12, 31))),
        "channel": draw(st.sampled_from(["online", "counter", "postal"])),
        "province": commune.province,
        "commune": commune.code,
        "agency": "H00",
        "applicant_groups": draw(st.lists(st.sampled_from(GROUPS), max_size=3)),
        "applicant_commune": draw(st.none() | st.sampled_from(COMMUNES)),
        "quantities": {name: draw(st.integers(1, most)) for name, most in QUANTITIES.items()},
        "facts": {name: draw(st.integers(0, 10**10)) for name in ("vehicle_value_dong", "property_value_dong")},
        "postal": {
            "send": draw(st.booleans()),
            "return_result": draw(st.booleans()),
            "send_weight_grams": draw(st.integers(1, 30_000)),
            "return_weight_grams": draw(st.integers(1, 30_000)),
        },
    }
    return QuoteRequest.model_validate(document)


def _priced(request: QuoteRequest, tariff: Tariff = TARIFF) -> Assessment:
    try:
        return assess(tariff, request)
    except NotQuotable:
        assume(False)
        raise


def _amounts(assessment: Assessment) -> list[Any]:
    return [line.model_dump() for line in assessment.lines]


@LIMITS
@given(filings())
def test_no_amount_is_negative_and_payers_sum_to_what_is_due(request: QuoteRequest) -> None:
    for line in _priced(request).lines:
        assert 0 <= line.due_dong <= line.gross_dong
        assert all(share.amount_dong >= 0 for share in line.shares)
        assert sum(share.amount_dong for share in line.shares) == line.due_dong
        assert line.shares[0].payer == "citizen"


@LIMITS
@given(filings())
def test_steps_lead_from_nothing_to_what_the_citizen_pays(request: QuoteRequest) -> None:
    for line in _priced(request).lines:
        applied = [step for step in line.steps if step.outcome == "applied"]
        assert applied[0].before_dong == 0
        assert all(one.after_dong == other.before_dong for one, other in pairwise(applied))
        assert applied[-1].after_dong == line.due_from("citizen")
        assert all(s.before_dong == s.after_dong for s in line.steps if s.outcome == "not_applied")
        assert all(s.text.vi and s.text.en for s in line.steps)


@LIMITS
@given(filings(), st.integers(1, 50))
def test_more_of_anything_counted_never_costs_less(request: QuoteRequest, more: int) -> None:
    for name in QUANTITIES:
        larger = {**request.quantities, name: request.quantities[name] + more}
        asked = request.model_copy(update={"quantities": larger})
        assert _priced(asked).total_dong >= _priced(request).total_dong


@LIMITS
@given(filings(), st.integers(1, 5_000))
def test_a_heavier_item_never_costs_less(request: QuoteRequest, more: int) -> None:
    heavier = request.postal.model_copy(update={"send_weight_grams": request.postal.send_weight_grams + more})
    asked = request.model_copy(update={"postal": heavier})
    assert _priced(asked).total_dong >= _priced(request).total_dong


@LIMITS
@given(filings())
def test_belonging_to_a_group_never_costs_more(request: QuoteRequest) -> None:
    nobody = request.model_copy(update={"applicant_groups": ()})
    assert _priced(request).total_dong <= _priced(nobody).total_dong


def _with_future_waiver() -> Tariff:
    waiver = Adjustment(
        id="everything-free-one-day",
        kind="waiver",
        targets=Targets(procedures=tuple(p.slug for p in TARIFF.catalogue.procedures)),
        valid_from=date(2028, 1, 1),
        valid_to=None,
        scope=Scope(level="country"),
        instrument="nq-hdnd-tinh",
        article="",
        source="D",
        verified=False,
    )
    return Tariff(TARIFF.catalogue.model_copy(update={"adjustments": (*TARIFF.catalogue.adjustments, waiver)}))


FUTURE = _with_future_waiver()


@LIMITS
@given(filings())
def test_a_rule_of_the_future_does_not_change_the_past(request: QuoteRequest) -> None:
    """It is told as not begun; every amount, every share and every other sentence stays as it was."""
    found = _priced(request, FUTURE)
    told = [line.model_copy(update={"steps": _without(line.steps, "everything-free-one-day")}) for line in found.lines]

    assert [line.model_dump() for line in told] == _amounts(_priced(request))


def _without(steps: tuple[Step, ...], rule: str) -> tuple[Step, ...]:
    assert all(step.outcome == "not_applied" for step in steps if step.rule == rule)
    return tuple(step for step in steps if step.rule != rule)


def _rule(name: str, kind: str, **changes: Any) -> Adjustment:
    plain = {"valid_from": date(2015, 1, 1), "valid_to": None, "scope": Scope(level="country"), "targets": EVERYTHING}
    law = {"instrument": "nq-hdnd-tinh", "article": "", "source": "D", "verified": False}
    return Adjustment.model_validate({"id": name, "kind": kind, **plain, **law, **changes})


EVERYTHING = Targets(procedures=tuple(p.slug for p in TARIFF.catalogue.procedures))


def _plus(request: QuoteRequest, *rules: Adjustment) -> Tariff:
    """The law with further rules, of the asked places alone: it compiles in a moment."""
    whole, used = TARIFF.catalogue, {request.commune, request.applicant_commune}
    parts = {
        "communes": tuple(row for row in whole.communes if row[0] in used),
        "adjustments": (*whole.adjustments, *rules),
    }
    return Tariff(whole.model_copy(update=parts))


@FEW
@given(filings(), st.integers(1, 2_000), st.sampled_from(["waiver", "rate", "support"]))
def test_a_rule_that_begins_after_or_ended_before_the_filing_changes_no_amount(
    request: QuoteRequest, days: int, kind: str
) -> None:
    parts: dict[str, dict[str, Any]] = {
        "waiver": {},
        "rate": {"pay_percent": 10},
        "support": {"support_percent": 100, "payer": "budget:central"},
    }
    later = _rule("later", kind, **parts[kind] | {"valid_from": request.filed_on + timedelta(days=days)})
    ended = _rule("ended", kind, **parts[kind] | {"valid_to": request.filed_on - timedelta(days=1)})
    found = _priced(request, _plus(request, later, ended))

    for line, before in zip(found.lines, _priced(request).lines, strict=True):
        kept = tuple(step for step in line.steps if step.rule not in ("later", "ended"))
        assert line.model_copy(update={"steps": kept}) == before
        assert [step.outcome for step in line.steps if step.rule in ("later", "ended")] in (
            [],
            ["not_applied", "not_applied"],
        )


@FEW
@given(filings(), st.lists(st.integers(0, 100), min_size=1, max_size=4))
def test_of_several_reductions_the_best_one_acts_and_never_two(request: QuoteRequest, percents: list[int]) -> None:
    rules = [_rule(f"cut-{index}", "rate", pay_percent=percent) for index, percent in enumerate(percents)]
    found = _priced(request, _plus(request, *rules))

    for line, before in zip(found.lines, _priced(request).lines, strict=True):
        assert sum(1 for step in line.steps if step.rule.startswith("cut-") and step.outcome == "applied") <= 1
        if line.kind in ("fee", "charge"):
            alone = percent_of(line.gross_dong, min(percents))
            assert line.due_dong == min(before.due_dong, alone)


@FEW
@given(filings(), st.lists(st.tuples(st.integers(0, 100), st.integers(0, 300_000)), min_size=1, max_size=4))
def test_of_several_supports_the_best_one_pays_and_the_fee_stays_due(
    request: QuoteRequest, offers: list[tuple[int, int]]
) -> None:
    rules = [
        _rule(f"paid-{index}", "support", support_percent=percent, ceiling_dong=ceiling, payer="budget:central")
        for index, (percent, ceiling) in enumerate(offers)
    ]
    found = _priced(request, _plus(request, *rules))

    for line, before in zip(found.lines, _priced(request).lines, strict=True):
        assert line.due_dong == before.due_dong
        if line.kind in ("fee", "charge"):
            offered = [min(percent_of(line.due_dong, percent), ceiling) for percent, ceiling in offers]
            assert line.due_from("budget") == max([before.due_from("budget"), *offered])
            assert len([share for share in line.shares if share.payer != "citizen"]) <= 1


@LIMITS
@given(filings())
def test_no_group_and_no_channel_takes_a_line_away(request: QuoteRequest) -> None:
    """A fee that became 0 is still on the quote."""
    plain = request.model_copy(update={"applicant_groups": (), "channel": "counter"})

    assert [line.item for line in _priced(request).lines] == [line.item for line in _priced(plain).lines]


@LIMITS
@given(filings())
def test_nobody_gets_two_reductions_or_two_supports_on_a_line(request: QuoteRequest) -> None:
    kinds = {rule.id: rule.kind for rule in TARIFF.catalogue.adjustments}
    for line in _priced(request).lines:
        applied = [kinds[step.rule] for step in line.steps if step.outcome == "applied" and step.rule in kinds]
        assert len([kind for kind in applied if kind != "support"]) <= 1
        assert len([kind for kind in applied if kind == "support"]) <= 1
        assert "exemption" not in applied or applied == ["exemption"]


def _shuffled(random: Any) -> Tariff:
    """The same law in another order, without the sorting that reading it does."""

    def mixed(entries: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(random.sample(entries, len(entries)))

    whole = TARIFF.catalogue
    procedures = [
        procedure.model_copy(
            update={"items": tuple(i.model_copy(update={"rates": mixed(i.rates)}) for i in procedure.items)}
        )
        for procedure in whole.procedures
    ]
    agreements = [a.model_copy(update={"applies": mixed(a.applies)}) for a in whole.agreements]
    lists = ("adjustments", "zones", "groups", "instruments", "sources", "communes")
    parts: dict[str, Any] = {name: mixed(getattr(whole, name)) for name in lists}
    return Tariff(whole.model_copy(update=parts | {"procedures": mixed(procedures), "agreements": mixed(agreements)}))


SHUFFLED = [_shuffled(Random(seed)) for seed in range(2)]


@LIMITS
@given(filings(), st.sampled_from(range(len(SHUFFLED))))
def test_the_order_in_which_the_law_is_written_down_does_not_matter(request: QuoteRequest, which: int) -> None:
    assert _amounts(_priced(request, SHUFFLED[which])) == _amounts(_priced(request))


@LIMITS
@given(filings(), st.randoms(use_true_random=False))
def test_between_two_cut_dates_the_day_of_filing_changes_nothing(request: QuoteRequest, random: Any) -> None:
    procedure = TARIFF.vocabulary.procedures[request.procedure]
    cuts = cut_dates(TARIFF.catalogue, procedure, request.case)
    index = bisect_right(cuts, request.filed_on)
    first = cuts[index - 1] if index else date(2015, 1, 1)
    last = cuts[index] - timedelta(days=1) if index < len(cuts) else date(2100, 12, 31)
    other = first + timedelta(days=random.randint(0, (last - first).days))

    assert _amounts(_priced(request.model_copy(update={"filed_on": other}))) == _amounts(_priced(request))


def test_cut_dates_are_the_first_days_of_what_is_new() -> None:
    passport = TARIFF.vocabulary.procedures["passport"]
    cuts = cut_dates(TARIFF.catalogue, passport, "first_issue")

    assert {date(2021, 5, 22), date(2024, 1, 1), date(2025, 7, 1), date(2026, 1, 1)} <= set(cuts)
    assert list(cuts) == sorted(set(cuts))


def test_the_rule_of_the_future_does_hold_when_its_day_comes() -> None:
    request = QuoteRequest.model_validate(
        {
            "procedure": "passport",
            "case": "first_issue",
            "filed_on": "2028-01-01",
            "channel": "counter",
            "province": "79",
            "commune": "26740",
            "agency": "H00",
        }
    )

    assert assess(TARIFF, request).total_dong == 200_000
    assert assess(FUTURE, request).total_dong == 0


@given(st.randoms(use_true_random=False))
@settings(max_examples=5, deadline=None)
def test_the_order_of_files_and_entries_does_not_matter(random: Any) -> None:
    whole = TARIFF.catalogue
    parts = {name: list(getattr(whole, name)) for name in Catalogue.model_fields}
    for entries in parts.values():
        random.shuffle(entries)

    assert Catalogue.assembled(**parts).content() == whole.content()


@LIMITS
@given(filings())
def test_a_published_version_prices_exactly_as_the_files_did(request: QuoteRequest) -> None:
    assert _amounts(_priced(request, PUBLISHED)) == _amounts(_priced(request))


PUBLISHED = Tariff(Catalogue.model_validate_json(TARIFF.content))


def test_a_published_version_has_the_same_hash() -> None:
    assert PUBLISHED.sha256 == TARIFF.sha256


@pytest.mark.parametrize("slug", [p.slug for p in TARIFF.catalogue.procedures])
def test_every_case_of_every_procedure_can_be_priced_in_the_two_cities(slug: str) -> None:
    procedure = TARIFF.vocabulary.procedures[slug]
    for case in procedure.cases or [None]:
        for province, commune in (("01", "00070"), ("79", "26740")):
            document = {
                "procedure": slug,
                "case": case,
                "filed_on": "2026-06-01",
                "channel": "counter",
                "province": province,
                "commune": commune,
                "agency": "H00",
                "quantities": {"pages": 1, "copies": 125, "months": 1},
                "facts": {"vehicle_value_dong": 20_000_000, "property_value_dong": 1_000_000_000},
            }
            assert assess(TARIFF, QuoteRequest.model_validate(document)).lines
