"""A snapshot answers as the engine does, whatever it remembers, and never remembers without bound."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.fees.circumstances import NotQuotable
from services.fees.compiled import Snapshot, snapshot_of
from services.fees.contract import QuoteRequest
from services.fees.reading import load_catalogue
from services.fees.rules import Tariff, assess
from tests.fees.conftest import request_of

TARIFF = Tariff(load_catalogue())
SNAPSHOT = Snapshot(TARIFF)
COMMUNES = sorted(row[0] for row in TARIFF.catalogue.communes)
FEW = ["00070", "00277", "26740", "25747", "20194", "17329", *COMMUNES[::400]]
GROUPS = sorted(TARIFF.vocabulary.groups)
LIMITS = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def requests(draw: st.DrawFn) -> QuoteRequest:
    """Filings of all years, wrong ones included, from few enough values that memories are met again."""
    procedure = draw(st.sampled_from(TARIFF.catalogue.procedures))
    commune = TARIFF.places.get(draw(st.sampled_from([code for code in FEW if TARIFF.places.get(code)])))
    assert commune is not None
    cases = [*procedure.cases, None] if procedure.cases else [None]
    document: dict[str, Any] = {
        "procedure": procedure.slug,
        "case": draw(st.sampled_from(cases)),
        "filed_on": draw(st.dates(date(2019, 1, 1), date(2027, 12, 31))),
        "channel": draw(st.sampled_from(["online", "counter", "postal"])),
        "province": draw(st.sampled_from([commune.province, commune.old_province, "01"])),
        "commune": commune.code,
        "agency": draw(st.sampled_from(["H00", "H29.12"])),
        "applicant_groups": draw(st.lists(st.sampled_from(GROUPS), max_size=2)),
        "applicant_commune": draw(st.none() | st.sampled_from(FEW)),
        "quantities": {"copies": draw(st.integers(1, 4)), "pages": draw(st.sampled_from([1, 3, 500]))},
        "facts": {"vehicle_value_dong": draw(st.sampled_from([0, 15_000_000, 15_000_001, 10**9]))},
        "postal": draw(st.sampled_from([{}, {"send": True}, {"return_result": True, "return_weight_grams": 700}])),
    }
    return QuoteRequest.model_validate(document)


def _answer(ask: Any, request: QuoteRequest) -> Any:
    try:
        found = ask(request)
    except NotQuotable as refusal:
        return [(error.field, error.vi, error.en) for error in refusal.fields]
    return found.procedure.slug, found.case, [line.model_dump() for line in found.lines]


@LIMITS
@given(requests())
def test_a_snapshot_answers_and_refuses_exactly_as_the_engine(request: QuoteRequest) -> None:
    expected = _answer(lambda asked: assess(TARIFF, asked), request)

    assert _answer(SNAPSHOT.assess, request) == expected
    assert _answer(SNAPSHOT.assess, request) == expected


@LIMITS
@given(requests(), st.integers(-40, 40))
def test_a_neighbouring_day_is_answered_as_the_engine_does(request: QuoteRequest, days: int) -> None:
    """The same cell is asked on both sides of whatever cut lies between two days."""
    moved = request.model_copy(update={"filed_on": request.filed_on + timedelta(days=days)})

    assert _answer(SNAPSHOT.assess, request) == _answer(lambda asked: assess(TARIFF, asked), request)
    assert _answer(SNAPSHOT.assess, moved) == _answer(lambda asked: assess(TARIFF, asked), moved)


def test_every_day_of_the_passport_window_is_priced_as_by_the_engine() -> None:
    snapshot = Snapshot(TARIFF)
    first = date(2023, 12, 1)
    days = [first + timedelta(days=n) for n in range(900)]

    amounts = [snapshot.answer(request_of(filed_on=day.isoformat())).total_dong for day in days]

    assert amounts == [180_000 if date(2024, 1, 1) <= day <= date(2025, 12, 31) else 200_000 for day in days]


def test_the_same_facts_give_the_very_same_answer() -> None:
    snapshot = Snapshot(TARIFF)

    assert snapshot.answer(request_of()) is snapshot.answer(request_of(filed_on="2025-12-30"))
    assert snapshot.answer(request_of()) is not snapshot.answer(request_of(filed_on="2026-01-01"))


def test_another_agency_receives_the_money_and_the_rest_is_shared() -> None:
    snapshot = Snapshot(TARIFF)
    one, other = snapshot.assess(request_of()), snapshot.assess(request_of(agency="H29.99"))

    assert [line.beneficiary for line in one.lines] == ["H29.12"]
    assert [line.beneficiary for line in other.lines] == ["H29.99"]
    assert one.lines[0].steps is other.lines[0].steps


def test_a_refusal_names_the_day_that_was_asked() -> None:
    snapshot = Snapshot(TARIFF)
    for day in ("2016-03-01", "2016-03-02"):
        with pytest.raises(NotQuotable) as refused:
            snapshot.assess(request_of(filed_on=day))
        year, month, number = day.split("-")
        assert f"{number}/{month}/{year}" in refused.value.fields[0].vi


def test_memory_is_bounded() -> None:
    snapshot = Snapshot(TARIFF, cells=20)

    for number in range(200):
        snapshot.assess(request_of(agency=f"A{number}"))

    assert len(snapshot._cells) <= 20
    assert len(snapshot._days) <= 20
    assert len(snapshot._shared) <= 20
    assert snapshot.assess(request_of(agency="A0")).lines[0].beneficiary == "A0"


def test_threads_get_the_engines_answers_while_the_memory_turns_over() -> None:
    snapshot = Snapshot(TARIFF, cells=8)
    asked = [
        request_of(agency=f"A{n % 11}", channel=("online", "counter")[n % 2], filed_on=f"202{5 + n % 2}-12-31")
        for n in range(400)
    ]
    expected = [assess(TARIFF, request) for request in asked]

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(snapshot.assess, asked))

    assert found == expected


def test_a_tariff_has_one_snapshot() -> None:
    tariff = Tariff(TARIFF.catalogue)

    assert snapshot_of(tariff) is snapshot_of(tariff)
    assert snapshot_of(tariff) is not SNAPSHOT


def test_the_json_of_an_answer_is_what_a_quote_carries() -> None:
    answer = Snapshot(TARIFF).answer(request_of())

    lines = json.loads(answer.lines_json)
    assert lines == [line.model_dump(mode="json") for line in answer.assessment.lines]
    assert lines[0]["due_dong"] == 180_000
