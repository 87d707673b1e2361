"""What holds for every filing, not only for the worked ones."""

from bisect import bisect_right
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

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
