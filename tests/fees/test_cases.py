"""Every worked case of `cases/` against the shipped catalogue. How to write one: `cases/README.md`."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from services.fees.circumstances import NotQuotable
from services.fees.contract import QuoteLine, QuoteRequest
from services.fees.documents import read_yaml
from services.fees.rules import Assessment, Tariff, assess

FOLDER = Path(__file__).parent / "cases"
FILED = {"day", "procedure", "case", "channel", "at", "agency", "from", "groups", "kind"}
FILED |= {"copies", "pages", "months", "value", "property", "post"}
WORDS = {"case", "why", "filed", "owes", "refused", "told"}
POST = {"send", "return", "collects"}


def _document(path: Path) -> Any:
    return read_yaml(path.read_text(encoding="utf-8"), path.name)


PLACES = cast("dict[str, str]", _document(FOLDER / "places.yaml").value)


class Case(NamedTuple):
    """One worked case, and the file and line it stands on."""

    where: str
    document: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.where.partition('.')[0]}: {self.document['case']}"


def _cases() -> Iterator[Case]:
    for path in sorted(FOLDER.glob("*.yaml")):
        if path.name != "places.yaml":
            document = _document(path)
            for index, case in enumerate(document.value):
                yield Case(document.where((index,)), case)


CASES = list(_cases())


def _strange_words(case: Mapping[str, Any]) -> set[str]:
    filed = case["filed"]
    return (set(case) - WORDS) | (set(filed) - FILED) | (set(filed.get("post", {})) - POST)


def _request(tariff: Tariff, filed: dict[str, Any]) -> QuoteRequest:
    agency = tariff.places.get(PLACES[filed["at"]])
    assert agency is not None
    post = filed.get("post", {})
    facts = {"value": "vehicle_value_dong", "property": "property_value_dong"}
    return QuoteRequest.model_validate(
        {
            "procedure": str(filed["procedure"]),
            "case": filed.get("case"),
            "filed_on": filed["day"],
            "channel": filed["channel"],
            "province": agency.province,
            "commune": agency.code,
            "agency": filed.get("agency", "H00"),
            "applicant_kind": filed.get("kind", "person"),
            "applicant_groups": filed.get("groups", []),
            "applicant_commune": PLACES[filed["from"]] if "from" in filed else None,
            "quantities": {name: filed[name] for name in ("copies", "pages", "months") if name in filed},
            "facts": {name: filed[word] for word, name in facts.items() if word in filed},
            "postal": {
                "send": "send" in post,
                "return_result": "return" in post,
                "send_weight_grams": post.get("send", 100),
                "return_weight_grams": post.get("return", 100),
                "cash_on_delivery": post.get("collects", False),
            },
        }
    )


def _amounts(line: QuoteLine) -> dict[str, int]:
    shares = {share.payer.replace("budget:", "budget_"): share.amount_dong for share in line.shares}
    return {"full": line.gross_dong, **shares}


def _differences(assessment: Assessment, owes: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Every line that is not as worked by hand: what was expected, what came, and why the engine says so."""
    lines = {line.item: line for line in assessment.lines}
    found = []
    for item in dict.fromkeys([*owes, *lines]):
        expected, got = owes.get(item), _amounts(lines[item]) if item in lines else None
        if expected != got:
            why = "".join(f"\n      {step.outcome}: {step.text.vi}" for step in lines[item].steps) if got else ""
            found.append(
                f"  {item}\n    expected {expected or 'no such line'}\n    got      {got or 'no such line'}{why}"
            )
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_owes_what_was_worked_by_hand(tariff: Tariff, case: Case) -> None:
    request = _request(tariff, case.document["filed"])

    if "refused" in case.document:
        with pytest.raises(NotQuotable) as refusal:
            assess(tariff, request)
        assert [wrong.field for wrong in refusal.value.fields] == [case.document["refused"]]
        return

    assessment = assess(tariff, request)
    if found := _differences(assessment, case.document["owes"]):
        pytest.fail(f"{case.where}: {case.document['why']}\n" + "\n".join(found), pytrace=False)
    sentences = "\n".join(step.text.vi for line in assessment.lines for step in line.steps)
    if missing := [words for words in case.document.get("told", []) if words not in sentences]:
        pytest.fail(f"{case.where}: the explanation does not say {missing}; it says:\n{sentences}", pytrace=False)


def test_there_are_enough_cases_and_each_is_told_apart() -> None:
    names = Counter(case.name for case in CASES)

    assert len(names) >= 200
    assert [name for name, count in names.items() if count > 1] == []


def test_every_case_uses_only_the_words_of_the_readme() -> None:
    assert {case.where: words for case in CASES if (words := _strange_words(case.document))} == {}
    assert [case.where for case in CASES if ("owes" in case.document) == ("refused" in case.document)] == []
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [word for word in sorted(FILED | WORDS | POST) if f"`{word}`" not in readme] == []


def test_every_procedure_has_a_worked_case(tariff: Tariff) -> None:
    found = [tariff.vocabulary.procedure_of(str(case.document["filed"]["procedure"])) for case in CASES]

    assert {p.slug for p in tariff.catalogue.procedures} - {one[0].slug for one in found if one} == set()


def test_a_wrong_expectation_is_told_with_line_amounts_and_law(tariff: Tariff) -> None:
    case = next(case for case in CASES if case.document["case"] == "Passport online on the last day of the 90% window")
    assessment = assess(tariff, _request(tariff, case.document["filed"]))

    (difference,) = _differences(assessment, {"passport-first-issue": {"full": 200_000, "citizen": 200_000}})

    assert "passport-first-issue" in difference
    assert "expected {'full': 200000, 'citizen': 200000}" in difference
    assert "got      {'full': 200000, 'citizen': 180000}" in difference
    assert "applied: Giảm 10% theo Điều 5 Thông tư 63/2023/TT-BTC" in difference
