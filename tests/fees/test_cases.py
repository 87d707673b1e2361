"""Every worked case of `cases/` against the shipped catalogue."""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from services.fees.circumstances import NotQuotable
from services.fees.contract import QuoteRequest
from services.fees.rules import Tariff, assess

FOLDER = Path(__file__).parent / "cases"
PLACES: dict[str, str] = yaml.safe_load((FOLDER / "places.yaml").read_text(encoding="utf-8"))


class Case(NamedTuple):
    """One worked case and the file it stands in."""

    file: str
    document: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.file}: {self.document['case']}"


def _cases() -> list[Case]:
    files = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "places.yaml")
    return [Case(f.stem, document) for f in files for document in yaml.safe_load(f.read_text(encoding="utf-8"))]


def _request(tariff: Tariff, filed: dict[str, Any]) -> QuoteRequest:
    known = {"day", "procedure", "case", "channel", "at", "from", "groups", "kind", "copies", "pages", "value", "post"}
    assert set(filed) <= known, f"unknown words in the case: {set(filed) - known}"
    agency = tariff.places.get(PLACES[filed["at"]])
    assert agency is not None
    post = filed.get("post", {})
    return QuoteRequest.model_validate(
        {
            "procedure": str(filed["procedure"]),
            "case": filed.get("case"),
            "filed_on": filed["day"],
            "channel": filed["channel"],
            "province": agency.province,
            "commune": agency.code,
            "agency": "H00",
            "applicant_kind": filed.get("kind", "person"),
            "applicant_groups": filed.get("groups", []),
            "applicant_commune": PLACES[filed["from"]] if "from" in filed else None,
            "quantities": {name: filed[name] for name in ("copies", "pages") if name in filed},
            "facts": {"vehicle_value_dong": filed["value"]} if "value" in filed else {},
            "postal": {
                "send": "send" in post,
                "return_result": "return" in post,
                "send_weight_grams": post.get("send", 100),
                "return_weight_grams": post.get("return", 100),
                "cash_on_delivery": post.get("collects", False),
            },
        }
    )


@pytest.mark.parametrize("case", _cases(), ids=lambda case: case.name)
def test_case_owes_what_was_worked_by_hand(tariff: Tariff, case: Case) -> None:
    request = _request(tariff, case.document["filed"])

    if "refused" in case.document:
        with pytest.raises(NotQuotable) as refusal:
            assess(tariff, request)
        assert [wrong.field for wrong in refusal.value.fields] == [case.document["refused"]]
        return

    found = {}
    for line in assess(tariff, request).lines:
        shares = {share.payer.replace("budget:", "budget_"): share.amount_dong for share in line.shares}
        found[line.item] = {"full": line.gross_dong, **shares}
    assert found == case.document["owes"]


def test_there_are_enough_cases_and_each_is_told_apart() -> None:
    names = Counter(case.name for case in _cases())

    assert len(names) >= 70
    assert [name for name, count in names.items() if count > 1] == []
