"""Rules that the shipped catalogue cannot show alone: appraisal fees, ceilings, order of law; and how they are told."""

import json
from typing import Any

import pytest

from services.fees.circumstances import NotQuotable
from services.fees.contract import QuoteLine
from services.fees.rules import ELSEWHERE, Tariff, assess
from services.fees.tariffs import Adjustment, Catalogue
from tests.fees.conftest import request_of


def _only(tariff: Tariff, **changes: Any) -> QuoteLine:
    (line,) = assess(tariff, request_of(**changes)).lines
    return line


def _changed(tariff: Tariff, slug: str, item: dict[str, Any]) -> Tariff:
    """The same catalogue with the fee items of one procedure altered."""
    procedures = [
        p.model_copy(update={"items": tuple(i.model_copy(update=item) for i in p.items)}) if p.slug == slug else p
        for p in tariff.catalogue.procedures
    ]
    return Tariff(tariff.catalogue.model_copy(update={"procedures": tuple(procedures)}))


def _plus(tariff: Tariff, *rules: dict[str, Any]) -> Tariff:
    """The same catalogue with further adjustments."""
    law = {"valid_from": "2020-01-01", "valid_to": None, "scope": {"level": "country"}, "instrument": "nq-hdnd-tinh"}
    rest = {"article": "", "source": "D", "verified": False}
    extra = tuple(Adjustment.model_validate_json(json.dumps({**law, **rest, **rule})) for rule in rules)
    catalogue = tariff.catalogue
    return Tariff(catalogue.model_copy(update={"adjustments": (*catalogue.adjustments, *extra)}))


def _by_rule(line: QuoteLine) -> dict[str, str]:
    return {step.rule: step.outcome for step in line.steps}


def test_an_applied_reduction_names_article_instrument_and_days(tariff: Tariff) -> None:
    step = _only(tariff).steps[1]

    assert (step.instrument, step.article) == ("63/2023/TT-BTC", "Điều 5")
    assert (step.before_dong, step.after_dong) == (200_000, 180_000)
    assert step.text.vi == (
        "Giảm 10% theo Điều 5 Thông tư 63/2023/TT-BTC: nộp trực tuyến từ 01/01/2024 đến 31/12/2025."
    )
    assert step.text.en == (
        "Reduced by 10% under Article 5 of Circular 63/2023/TT-BTC: filed online from 01/01/2024 to 31/12/2025."
    )


def test_an_expired_reduction_is_told_with_the_day_it_ended(tariff: Tariff) -> None:
    step = _only(tariff, filed_on="2026-01-01").steps[1]

    assert step.outcome == "not_applied"
    assert step.text.vi == (
        "Không áp dụng mức giảm 10% theo Điều 5 Thông tư 63/2023/TT-BTC: thời hạn đã hết ngày 31/12/2025."
    )


def test_a_window_that_has_not_begun_is_told_with_its_first_day(tariff: Tariff) -> None:
    step = _only(tariff, filed_on="2023-12-31").steps[1]

    assert (step.outcome, step.before_dong, step.after_dong) == ("not_applied", 200_000, 200_000)
    assert step.text.vi == (
        "Không áp dụng mức giảm 10% theo Điều 5 Thông tư 63/2023/TT-BTC: chưa đến thời hạn, bắt đầu từ 01/01/2024."
    )
    assert step.text.en == (
        "The reduction of 10% under Article 5 of Circular 63/2023/TT-BTC does not apply: "
        "its period begins only on 01/01/2024."
    )


def test_rules_of_other_provinces_are_told_in_one_sentence_and_only_while_they_hold(tariff: Tariff) -> None:
    facts: dict[str, Any] = {"procedure": "cooperative-registration", "case": None, "province": "48"}
    here = _only(tariff, **facts, commune="20242", filed_on="2022-06-01")
    later = _only(tariff, **facts, commune="20242", filed_on="2026-06-01")

    assert [step.rule for step in here.steps if step.rule == ELSEWHERE] == []
    (step,) = [step for step in later.steps if step.rule == ELSEWHERE]
    assert step.outcome == "not_applied"
    assert step.instrument == "12/2025/NQ-HĐND; NQ 2025 (Hải Dương); 09/2025/NQ-HĐND; 77/2025/NQ-HĐND"
    assert step.text.vi.startswith("Không áp dụng quy định của địa phương hoặc cơ quan khác: ")
    assert "Resolution 12/2025/NQ-HĐND of the People's Council of Thanh Hóa" in step.text.en


def test_a_rule_of_the_place_is_never_told_as_of_another_place(tariff: Tariff) -> None:
    line = _only(tariff, procedure="work-permit", case=None, province="01", commune="00070", filed_on="2026-06-01")

    (elsewhere,) = [step for step in line.steps if step.rule == ELSEWHERE]
    assert "77/2025" not in elsewhere.text.vi
    assert _by_rule(line)["ha-noi-zero-2026"] == "applied"


def test_a_group_not_met_is_told_with_the_groups(tariff: Tariff) -> None:
    line = _only(tariff, procedure="criminal-record", case=None, channel="counter")

    (step,) = [step for step in line.steps if step.rule == "criminal-record-groups-2025"]
    assert step.text.vi == (
        "Không áp dụng mức thu 100.000 ₫ theo Thông tư 16/2025/TT-BTC: người nộp không thuộc nhóm được hưởng "
        "(học sinh từ đủ 16 tuổi; sinh viên; người có công với cách mạng; thân nhân liệt sĩ "
        "(cha mẹ đẻ, vợ hoặc chồng, con đẻ))."
    )


def test_the_whole_order_of_law_on_one_line(tariff: Tariff) -> None:
    """Group rate 100,000, channel rate 90% = 180,000, local half = 100,000: one reduction, then the support of it."""
    more = [
        {"id": "pupils", "kind": "group_rate", "groups": ["student"], "amount_dong": 120_000},
        {"id": "local-half", "kind": "rate", "pay_percent": 50},
        {"id": "half-paid", "kind": "support", "support_percent": 50, "payer": "budget:79", "ceiling_dong": 40_000},
    ]
    changed = _plus(tariff, *({**rule, "targets": {"items": ["passport-first-issue"]}} for rule in more))

    line = _only(changed, applicant_groups=["student"])

    assert (line.gross_dong, line.due_dong) == (200_000, 100_000)
    assert [(share.payer, share.amount_dong) for share in line.shares] == [("citizen", 60_000), ("budget:79", 40_000)]
    assert [step.rule for step in line.steps if step.outcome == "applied"] == [
        "passport-first-issue",
        "local-half",
        "half-paid",
    ]
    outcomes = _by_rule(line)
    assert outcomes["pupils"] == outcomes["passport-online-2024"] == "not_applied"


def test_a_local_waiver_beats_every_rate_and_leaves_nothing_to_support(tariff: Tariff) -> None:
    targets = {"items": ["passport-first-issue"]}
    waiver = {"id": "zero", "kind": "waiver", "targets": targets}
    support = {"id": "paid", "kind": "support", "targets": targets, "support_percent": 100, "payer": "budget:79"}

    line = _only(_plus(tariff, waiver, support))

    assert (line.gross_dong, line.due_dong, len(line.shares)) == (200_000, 0, 1)
    assert next(s.text.vi for s in line.steps if s.rule == "paid").endswith("khoản này đã là 0 đồng.")
    assert "các mức giảm không cộng dồn" in next(s.text.vi for s in line.steps if s.rule == "passport-online-2024")


def test_a_rule_may_hold_for_one_agency_and_its_units_alone(tariff: Tariff) -> None:
    rule = {
        "id": "one-agency",
        "kind": "waiver",
        "targets": {"procedures": ["passport"]},
        "scope": {"level": "agency", "code": "H29.12"},
    }
    changed = _plus(tariff, rule)

    assert _only(changed, agency="H29.12").due_dong == 0
    assert _only(changed, agency="H29.12.03").due_dong == 0
    assert _only(changed, agency="H29.120").due_dong == 180_000
    assert _only(changed, agency="H29").due_dong == 180_000


def test_a_rule_may_hold_for_one_commune_alone(tariff: Tariff) -> None:
    rule = {
        "id": "one-commune",
        "kind": "waiver",
        "targets": {"procedures": ["passport"]},
        "scope": {"level": "commune", "code": "26740"},
    }
    changed = _plus(tariff, rule)

    assert _only(changed).due_dong == 0
    assert _only(changed, commune="27496").due_dong == 180_000


def test_another_channel_is_told(tariff: Tariff) -> None:
    step = _only(tariff, channel="counter").steps[1]

    assert step.text.vi.endswith("chỉ áp dụng khi nộp trực tuyến.")


def test_a_procedure_without_fee_says_so(tariff: Tariff) -> None:
    line = _only(tariff, procedure="medium-voltage-connection", case=None)

    assert (line.gross_dong, line.due_dong) == (0, 0)
    assert line.steps[0].text.vi.startswith("Không thu phí theo ")


def test_the_support_of_ha_noi_leaves_appraisal_fees_to_the_citizen(tariff: Tariff) -> None:
    appraisal = _changed(tariff, "passport", {"appraisal": True})
    facts: dict[str, Any] = {"province": "01", "commune": "00070", "filed_on": "2026-01-01"}

    assert _only(tariff, **facts).due_from("citizen") == 0
    line = _only(appraisal, **facts)
    assert (line.due_from("citizen"), line.due_from("budget")) == (200_000, 0)
    assert _by_rule(line)["ha-noi-support-2026"] == "not_applied"


def test_the_zero_rate_of_ha_noi_leaves_appraisal_fees_due_only_from_2026(tariff: Tariff) -> None:
    appraisal = _changed(tariff, "work-permit", {"appraisal": True})
    facts: dict[str, Any] = {"procedure": "work-permit", "case": None, "province": "01", "commune": "00070"}

    assert _only(appraisal, **facts, filed_on="2025-12-31").due_dong == 0
    assert _only(appraisal, **facts, filed_on="2026-01-01").due_dong == 400_000


def test_a_support_pays_up_to_its_ceiling_and_the_fee_stays_due(tariff: Tariff) -> None:
    support = {
        "id": "capped",
        "kind": "support",
        "targets": {"procedures": ["passport"]},
        "support_percent": 100,
        "ceiling_dong": 50_000,
        "payer": "budget:79",
    }
    line = _only(_plus(tariff, support))

    assert line.due_dong == 180_000
    assert [(s.payer, s.amount_dong) for s in line.shares] == [("citizen", 130_000), ("budget:79", 50_000)]


def test_the_better_of_two_supports_pays_and_never_both(tariff: Tariff) -> None:
    def support(name: str, percent: int) -> dict[str, Any]:
        return {
            "id": name,
            "kind": "support",
            "targets": {"procedures": ["passport"]},
            "support_percent": percent,
            "payer": "budget:central",
        }

    line = _only(_plus(tariff, support("thirty", 30), support("fifty", 50)))

    assert line.due_from("budget") == 90_000
    assert _by_rule(line) | {"thirty": "not_applied", "fifty": "applied"} == _by_rule(line)


def test_two_reductions_are_never_added_up(tariff: Tariff) -> None:
    rate = {
        "id": "another-half",
        "kind": "rate",
        "targets": {"items": ["passport-first-issue"]},
        "pay_percent": 50,
        "source": "D",
    }
    line = _only(_plus(tariff, rate))

    assert line.due_dong == 100_000
    assert _by_rule(line)["passport-online-2024"] == "not_applied"


def test_a_rate_that_would_raise_the_fee_is_left(tariff: Tariff) -> None:
    """170,000 online must not replace the 100,000 of a student at the end of the window."""
    line = _only(tariff, procedure="criminal-record", case=None, applicant_groups=["student"])

    assert line.due_dong == 80_000
    assert _by_rule(line)["criminal-record-online-2025"] == "not_applied"
    assert _by_rule(line)["criminal-record-groups-2025"] == "not_applied"


def test_people_exempt_by_law_get_no_local_support(tariff: Tariff) -> None:
    line = _only(
        tariff,
        procedure="criminal-record",
        case=None,
        applicant_groups=["disabled"],
        province="01",
        commune="00070",
        filed_on="2026-01-01",
    )

    assert (line.due_dong, len(line.shares)) == (0, 1)
    support = next(step for step in line.steps if step.rule == "ha-noi-support-2026")
    assert support.text.vi.endswith("người nộp đã được miễn theo luật.")


def test_a_rule_with_a_part_unseen_is_told_and_never_priced(tariff: Tariff) -> None:
    line = _only(
        tariff, procedure="building-permit", case="house", province="48", commune="20242", filed_on="2025-10-01"
    )

    assert line.due_dong == line.gross_dong == 75_000
    assert _by_rule(line)["da-nang-draft-2025"] == "not_applied"


def test_a_line_is_verified_only_when_everything_applied_is(tariff: Tariff) -> None:
    assert _only(tariff).verified
    assert not _only(tariff, procedure="household-business", case=None).verified
    car = {"procedure": "vehicle-registration", "case": "first_car"}
    assert _only(tariff, **car).verified
    assert not _only(tariff, **car, province="48", commune="20242").verified  # the zone is an approximation


def test_the_same_facts_are_priced_the_same_under_another_order_of_groups(tariff: Tariff) -> None:
    one = assess(tariff, request_of(applicant_groups=["student", "hero"]))
    other = assess(tariff, request_of(applicant_groups=["hero", "student"]))

    assert one.lines == other.lines


@pytest.mark.parametrize(
    ("changes", "field", "remedy"),
    [
        ({"procedure": "no-such"}, "procedure", "/v1/procedures"),
        ({"procedure": "9.000488"}, "procedure", "/v1/procedures"),
        ({"case": "second_issue"}, "case", "first_issue, reissue_lost"),
        ({"case": None}, "case", "first_issue, reissue_lost"),
        ({"procedure": "personnel-confirmation"}, "case", "leave this field out"),
        ({"commune": "99999"}, "commune", "Decision 19/2025"),
        ({"commune": "00070"}, "commune", "province code 01"),
        ({"province": "99"}, "province", "01, 04"),
        ({"applicant_commune": "99999"}, "applicant_commune", "five-digit"),
        ({"applicant_groups": ["student", "rich"]}, "applicant_groups.1", "elderly"),
        ({"applicant_groups": ["student"], "applicant_kind": "business"}, "applicant_groups", "empty"),
        ({"quantities": {"sheets": 2}}, "quantities.sheets", "copies, months, pages"),
        ({"facts": {"colour": 2}}, "facts.colour", "vehicle_value_dong"),
        ({"agency": "H29\x00"}, "agency", "unprintable"),
        ({"facts": {"vehicle_value_dong": "dear"}}, "facts.vehicle_value_dong", "whole number"),
    ],
)
def test_a_wrong_name_is_refused_with_its_field_and_remedy(
    tariff: Tariff, changes: dict[str, Any], field: str, remedy: str
) -> None:
    with pytest.raises(NotQuotable) as refusal:
        assess(tariff, request_of(**changes))

    wrong = {error.field: error for error in refusal.value.fields}
    assert field in wrong
    assert remedy in wrong[field].en
    assert wrong[field].vi != wrong[field].en


def test_the_old_province_may_be_named_for_days_before_the_merger_only(tariff: Tariff) -> None:
    facts: dict[str, Any] = {"province": "74", "commune": "25747"}

    assert _only(tariff, **facts, filed_on="2025-06-30").due_dong == 180_000
    with pytest.raises(NotQuotable) as refusal:
        assess(tariff, request_of(**facts, filed_on="2025-07-01"))
    assert [error.field for error in refusal.value.fields] == ["commune"]


def test_all_wrong_fields_are_named_at_once(tariff: Tariff) -> None:
    with pytest.raises(NotQuotable) as refusal:
        assess(tariff, request_of(procedure="nothing", commune="99999", applicant_groups=["x"]))

    assert [e.field for e in refusal.value.fields] == ["procedure", "commune", "applicant_groups.0"]


def test_the_catalogue_marks_nothing_verified_that_rests_on_memory(tariff: Tariff) -> None:
    catalogue: Catalogue = tariff.catalogue
    entries = [*catalogue.adjustments, *(rate for _, item in catalogue.fee_items() for rate in item.rates)]

    assert [e.where for e in entries if e.verified and set(e.sources) <= {"MEM", "D"}] == []
    assert len([e for e in entries if not e.verified]) > 0
