"""The form for the common draft writes a document that the catalogue accepts, or names the fields to correct."""

import pytest

from services.fees.contract import QuoteRequest
from services.fees.guided import guided_document
from services.fees.reading import check_documents
from services.fees.rules import Tariff, assess
from services.fees.tariffs import Catalogue
from tests.fees.conftest import request_of

FORM = {
    "title": "Hỗ trợ hộ chiếu",
    "reason": "Nghị quyết kỳ họp thứ 10",
    "kind": "support",
    "about": "procedures",
    "province": "68",
    "percent": "50",
    "ceiling_dong": "80.000",
    "valid_from": "2027-01-01",
    "valid_to": "2027-12-31",
    "number": "12/2026/NQ-HĐND",
    "name_vi": 'Nghị quyết 12/2026/NQ-HĐND "về hỗ trợ": tỉnh Lâm Đồng',
    "name_en": "Resolution 12/2026/NQ-HĐND of Lâm Đồng",
    "article": "Điều 2",
    "checked": "1",
}
CHOSEN = {"procedures": ["passport"], "channels": ["online"], "groups": []}
FILED = {"province": "68", "commune": "22918", "filed_on": "2027-03-01"}


def _catalogue(tariff: Tariff, values: dict[str, str], chosen: dict[str, list[str]]) -> Catalogue:
    form = guided_document(tariff, values, chosen)
    assert form.errors == {}
    found = check_documents({form.path: form.text})
    assert isinstance(found, Catalogue), [str(fault) for fault in found]
    return found


def _citizen(catalogue: Catalogue, request: QuoteRequest) -> int:
    return assess(Tariff(catalogue), request).due_from("citizen")


def test_a_support_with_a_ceiling_is_written_and_priced(tariff: Tariff) -> None:
    form = guided_document(tariff, FORM, CHOSEN)
    catalogue = _catalogue(tariff, FORM, CHOSEN)

    assert form.path == "adjustments/tinh-68-support-2027-01-01-12-2026-nq-hdnd.yaml"
    assert _citizen(catalogue, request_of(**FILED)) == 120_000
    assert _citizen(catalogue, request_of(**FILED, channel="counter")) == 200_000


def test_a_waiver_of_all_council_fees_brings_them_to_zero(tariff: Tariff) -> None:
    values = FORM | {"kind": "waiver", "about": "council", "percent": "", "valid_to": "", "excludes_appraisal": "1"}
    catalogue = _catalogue(tariff, values, CHOSEN | {"procedures": [], "channels": []})

    (rule,) = [rule for rule in catalogue.adjustments if rule.id.startswith("tinh-68-waiver")]
    assert (rule.targets.set_by, rule.channels, rule.valid_to, rule.excludes_appraisal) == ("council", (), None, True)


def test_a_reduction_for_a_group_is_a_group_rate(tariff: Tariff) -> None:
    values = FORM | {"kind": "reduction", "percent": "30%"}
    catalogue = _catalogue(tariff, values, CHOSEN | {"groups": ["student"]})

    assert _citizen(catalogue, request_of(**FILED, applicant_groups=["student"])) == 140_000
    assert _citizen(catalogue, request_of(**FILED)) == 200_000


def test_the_return_postage_may_be_supported(tariff: Tariff) -> None:
    values = FORM | {"about": "return_postage", "percent": "100", "ceiling_dong": "20000"}
    catalogue = _catalogue(tariff, values, CHOSEN | {"procedures": []})
    lines = assess(Tariff(catalogue), request_of(**FILED, postal={"return_result": True})).lines

    (postage,) = [line for line in lines if line.kind == "postage"]
    assert postage.due_from("budget") == 20_000


def test_an_instrument_already_known_is_not_written_again(tariff: Tariff) -> None:
    values = FORM | {"instrument": "nq-77-2025-hn", "number": "", "name_vi": "", "name_en": ""}
    form = guided_document(tariff, values, CHOSEN)

    assert form.errors == {}
    assert "instruments:" not in form.text


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"title": " "}, "title"),
        ({"number": ""}, "number"),
        ({"percent": "0"}, "percent"),
        ({"percent": "101"}, "percent"),
        ({"percent": "mười"}, "percent"),
        ({"ceiling_dong": "-1"}, "ceiling_dong"),
        ({"valid_from": ""}, "valid_from"),
        ({"valid_from": "2027-02-30"}, "valid_from"),
        ({"valid_to": "2026-12-31"}, "valid_to"),
        ({"province": "99"}, "province"),
        ({"kind": "gift"}, "kind"),
        ({"about": "everything"}, "about"),
        ({"about": "return_postage", "kind": "waiver"}, "kind"),
        ({"instrument": "nothing"}, "instrument"),
        ({"name_vi": "x\x00y"}, "name_vi"),
        ({"reason": "x" * 301}, "reason"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(tariff: Tariff, changes: dict[str, str], field: str) -> None:
    form = guided_document(tariff, FORM | changes, CHOSEN)

    assert list(form.errors) == [field]
    assert form.text == ""


def test_a_list_with_what_does_not_exist_is_refused(tariff: Tariff) -> None:
    chosen = {"procedures": ["nothing"], "channels": ["telepathy"], "groups": ["x"]}

    assert set(guided_document(tariff, FORM, chosen).errors) == {"procedures", "channels", "groups"}
