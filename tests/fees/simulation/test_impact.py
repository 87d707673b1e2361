"""The columns say what the engine says, to the đồng, and refuse to report when they do not."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.fees.circumstances import NotQuotable
from services.fees.reading import check_documents
from services.fees.rules import Tariff, assess
from services.fees.simulation import impact as impact_module
from services.fees.simulation.dossiers import COLUMNS, Dossiers, UnreadableDossiers, read_dossiers
from services.fees.simulation.generation import generate
from services.fees.simulation.impact import impact_of
from services.fees.simulation.pricing import Cells, Disagreement, Prices, price_cells, state_fees, supports, used_cells
from services.fees.simulation.terms import DraftTerms, Generated
from services.fees.tariffs import Catalogue

NAMES = (*COLUMNS, "copies")
HEADER = ",".join(NAMES)
WAIVER = """
adjustments:
  - id: draft-zero
    kind: waiver
    targets: {procedures: [passport]}
    channels: [online]
    valid_from: 2026-03-01
    valid_to: null
    scope: {level: province, code: "48"}
    instrument: dt-2025-dn
    article: ""
    source: "D"
    verified: false
"""
SUPPORT = """
adjustments:
  - id: draft-support
    kind: support
    targets: {procedures: [passport]}
    channels: [online, counter]
    support_percent: 50
    payer: "budget:48"
    valid_from: 2026-01-01
    valid_to: null
    scope: {level: province, code: "48"}
    instrument: dt-2025-dn
    article: ""
    source: "D"
    verified: false
"""


def drafted(yaml: str) -> Tariff:
    found = check_documents({"adjustments/draft-a.yaml": yaml})
    assert isinstance(found, Catalogue), found
    return Tariff(found)


def quiet(*_: Any) -> None:
    """Nobody watches."""


def row(day: str, channel: str = "online", commune: str = "20194", procedure: str = "passport", **more: str) -> str:
    values = {"filed_on": day, "procedure": procedure, "case": "first_issue", "channel": channel, "commune": commune}
    return ",".join(({**values, **more}).get(name, "") for name in NAMES)


def dossiers_of(tmp_path: Path, tariff: Tariff, *rows: str) -> Dossiers:
    file = tmp_path / "year.csv"
    file.write_text("\n".join([HEADER, *rows]) + "\n")
    return read_dossiers(file, tariff, progress=quiet)


def test_a_waiver_costs_what_hand_computation_says(tmp_path: Path, tariff: Tariff) -> None:
    """Four passports in Đà Nẵng (200,000 each in 2026), one of them elsewhere; the waiver begins on 1 March."""
    year = dossiers_of(
        tmp_path,
        tariff,
        row("2026-02-28"),
        row("2026-03-01"),
        row("2026-03-02", "counter"),
        row("2026-03-03"),
        row("2026-03-03", commune="00070"),
    )

    found = impact_of(
        year, tariff, {"a": (DraftTerms(yaml=WAIVER, title="0 đồng"), drafted(WAIVER))}, seed=1, progress=quiet
    )

    total = found.impacts["a"].total
    assert (total.dossiers, total.affected, total.moved_online) == (5, 2, 0)
    assert (total.fees_before, total.fees_after, total.revenue_lost) == (1_000_000, 600_000, 400_000)
    assert total.citizens_save == 400_000 + 0
    assert [(s.key, s.revenue_lost) for s in found.impacts["a"].by_month] == [("2026-02", 0), ("2026-03", 400_000)]
    assert [(s.key, s.revenue_lost) for s in found.impacts["a"].by_province] == [("01", 0), ("48", 400_000)]
    assert [(s.key, s.dossiers) for s in found.impacts["a"].by_procedure] == [("passport", 5)]


def test_uptake_moves_filings_at_the_counter_and_says_what_that_costs(tmp_path: Path, tariff: Tariff) -> None:
    year = dossiers_of(tmp_path, tariff, row("2026-03-02"), *[row("2026-03-02", "counter")] * 3)

    found = impact_of(
        year,
        tariff,
        {"a": (DraftTerms(yaml=WAIVER, title="0 đồng", uptake_percent=100), drafted(WAIVER))},
        seed=1,
        progress=quiet,
    )

    total = found.impacts["a"].total
    assert (total.moved_online, total.affected) == (3, 4)
    assert (total.revenue_lost, total.lost_to_uptake) == (800_000, 600_000)


def test_a_support_leaves_the_fee_due_and_its_budget_ends_on_a_day(tmp_path: Path, tariff: Tariff) -> None:
    year = dossiers_of(tmp_path, tariff, row("2026-01-05"), row("2026-04-06", "counter"), row("2026-06-01"))

    terms = DraftTerms(yaml=SUPPORT, title="Hỗ trợ", budget_dong=200_000)
    found = impact_of(year, tariff, {"a": (terms, drafted(SUPPORT))}, seed=1, progress=quiet).impacts["a"]

    assert (found.total.revenue_lost, found.total.support, found.total.citizens_save) == (0, 300_000, 300_000)
    assert [(p.payer, p.support) for p in found.payers] == [("budget:48", 300_000)]
    assert found.budget_used_up_on == date(2026, 6, 1)


def test_two_drafts_are_compared_on_the_same_year(tmp_path: Path, tariff: Tariff) -> None:
    year = dossiers_of(tmp_path, tariff, row("2026-03-02"), row("2026-03-02", "counter"))
    waiver = (DraftTerms(yaml=WAIVER, title="A"), drafted(WAIVER))
    support = (DraftTerms(yaml=SUPPORT, title="B"), drafted(SUPPORT))

    found = impact_of(year, tariff, {"a": waiver, "b": support}, seed=1, progress=quiet)

    assert found.impacts["a"].total.revenue_lost == 200_000
    assert found.impacts["b"].total.support == 200_000
    assert found.impacts["a"].total.fees_before == found.impacts["b"].total.fees_before == 400_000


def test_what_cannot_be_priced_is_left_out_and_counted_with_its_reason(tmp_path: Path, tariff: Tariff) -> None:
    year = dossiers_of(tmp_path, tariff, row("2016-03-02"), row("2016-03-02"), row("2018-12-31"))

    found = impact_of(
        year, tariff, {"a": (DraftTerms(yaml=WAIVER, title="A"), drafted(WAIVER))}, seed=1, progress=quiet
    )

    assert sum(reason.dossiers for reason in found.unpriced) + found.priced == 3
    for reason in found.unpriced:
        assert "danh mục chưa có mức thu" in reason.reason.vi


def test_the_run_refuses_to_report_when_a_column_and_the_engine_disagree(
    tmp_path: Path, tariff: Tariff, monkeypatch: pytest.MonkeyPatch
) -> None:
    year = dossiers_of(tmp_path, tariff, row("2026-03-02"))

    def wrong(*args: Any, **kwargs: Any) -> Prices:
        prices = price_cells(*args, **kwargs)
        return Prices(prices.fees + 1, prices.citizen, prices.budgets, prices.reasons)

    monkeypatch.setattr(impact_module, "price_cells", wrong)
    with pytest.raises(Disagreement, match="passport"):
        impact_of(year, tariff, {"a": (DraftTerms(yaml=WAIVER, title="A"), drafted(WAIVER))}, seed=1, progress=quiet)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10_000), year=st.sampled_from([2024, 2025, 2026]))
def test_every_dossier_of_a_generated_year_is_priced_as_by_the_engine(tariff: Tariff, seed: int, year: int) -> None:
    dossiers = generate(Generated(year=year, count=60, seed=seed, province="01"), tariff)
    cells = Cells(dossiers, [tariff])
    cells.freeze()
    prices = price_cells(cells, used_cells(cells, [slice(0, 60)]), tariff, progress=quiet)

    found = cells.of(dossiers.combination, dossiers.day)

    for number, cell in enumerate(found.tolist()):
        day = date.fromordinal(int(dossiers.day[number]))
        request = dossiers.combinations[int(dossiers.combination[number])].request.model_copy(update={"filed_on": day})
        try:
            answer = assess(tariff, request)
        except NotQuotable:
            assert prices.fees[cell] == -1
        else:
            assert prices.fees[cell] == state_fees(answer)
            assert {p: int(a[cell]) for p, a in prices.budgets.items() if a[cell]} == {
                payer: amount for payer, amount in supports(answer).items() if amount
            }


def test_the_same_seed_draws_the_same_year_and_states_its_assumptions(tariff: Tariff) -> None:
    one, same = (generate(Generated(year=2026, count=500, seed=7, province="48"), tariff) for _ in range(2))
    other = generate(Generated(year=2026, count=500, seed=8, province="48"), tariff)

    assert np.array_equal(one.combination, same.combination)
    assert np.array_equal(one.day, same.day)
    assert not np.array_equal(one.combination, other.combination)
    assert all(date.fromordinal(int(day)).weekday() < 5 for day in one.day)
    assert "S77" in one.assumptions[1].vi


def test_a_file_names_the_lines_that_cannot_be_read(tmp_path: Path, tariff: Tariff) -> None:
    with pytest.raises(UnreadableDossiers) as refused:
        dossiers_of(
            tmp_path,
            tariff,
            row("2026-01-05"),
            row("05/01/2026"),
            row("2026-01-05", commune="99999"),
            row("2026-01-05", procedure="no-such"),
            "2026-01-05,passport",
            row("2026-01-05", copies="-3"),
        )

    assert [line for line, _ in refused.value.faults] == [3, 4, 5, 6, 7]
    assert "YYYY-MM-DD" in refused.value.faults[0][1].vi


@pytest.mark.parametrize(
    "text",
    ["", "filed_on,procedure\n", "filed_on,filed_on,procedure,channel,commune\n", "a;b;c\n", HEADER + "\n", "\n\n"],
)
def test_a_file_without_dossiers_or_with_another_header_is_refused(tmp_path: Path, tariff: Tariff, text: str) -> None:
    file = tmp_path / "year.csv"
    file.write_text(text)

    with pytest.raises(UnreadableDossiers) as refused:
        read_dossiers(file, tariff, progress=quiet)

    assert refused.value.faults[0][0] == 1


def test_csv_and_ndjson_of_the_same_year_are_the_same_dossiers(tmp_path: Path, tariff: Tariff) -> None:
    csv = dossiers_of(tmp_path, tariff, row("2026-03-02"), row("2026-03-03", "counter", applicant_groups="student"))
    file = tmp_path / "year.ndjson"
    file.write_text(
        '{"filed_on":"2026-03-02","procedure":"passport","case":"first_issue","channel":"online","commune":"20194"}\n'
        '{"filed_on":"2026-03-03","procedure":"passport","case":"first_issue","channel":"counter","commune":"20194",'
        '"applicant_groups":["student"]}\n'
    )
    ndjson = read_dossiers(file, tariff, progress=quiet)

    assert np.array_equal(csv.day, ndjson.day)
    assert [c.request for c in csv.combinations] == [c.request for c in ndjson.combinations]


@pytest.mark.parametrize("line", ["[1]", "{", '{"nonsense": 1}', '{"filed_on": {"a": 1}}', "x" * 5_000, "\x00"])
def test_bad_lines_of_ndjson_are_named(tmp_path: Path, tariff: Tariff, line: str) -> None:
    file = tmp_path / "year.ndjson"
    good = '{"filed_on":"2026-03-02","procedure":"passport","case":"first_issue","channel":"online","commune":"20194"}'
    file.write_text(f"{good}\n{line}\n{good}\n")

    with pytest.raises(UnreadableDossiers) as refused:
        read_dossiers(file, tariff, progress=quiet)

    assert [number for number, _ in refused.value.faults] == [2]
