"""The hand-worked dossiers are a sound document: right columns, right words, right sums, all cases.

Nothing here computes a fee: the amounts are an oracle for the services. These tests only prove
that the oracle does not contradict itself and still holds every situation it promises.
"""

import csv
import re
from collections import defaultdict
from datetime import date
from pathlib import Path

import pytest

Row = dict[str, str]

ROOT = Path(__file__).parents[2]
DOSSIERS = ROOT / "sandbox" / "dossiers.csv"
COMMUNES = ROOT / "services" / "fees" / "catalogue" / "places" / "communes.csv"


def words(text: str) -> list[str]:
    return text.split()


COLUMNS = words(
    "code procedure case filed_on province ward agency channel applicant_kind groups quantities "
    "facts applicant_ward send_papers return_result weight_grams pay_when pay_by citizen pickup "
    "agency_acts delivery fault fee_citizen fee_budget charge_citizen charge_budget "
    "postage_citizen postage_budget collection_citizen refunded suspense compensation end papers "
    "why"
)
AMOUNTS = words(
    "fee_citizen fee_budget charge_citizen charge_budget postage_citizen postage_budget "
    "collection_citizen refunded suspense compensation"
)
CASES = {
    "passport": {"first_issue", "reissue_lost"},
    "personnel-confirmation": {""},
    "driving-licence": {"exchange", "reissue"},
    "criminal-record": {""},
    "identity-card": {"from_cccd", "exchange", "reissue"},
    "business-registration": {""},
    "business-disclosure": {""},
    "business-information": {"certificate", "file"},
    "vehicle-registration": {
        "first_car",
        "first_other_car",
        "first_trailer",
        "first_motorcycle",
        "replace_with_plate_car",
        "replace_with_plate_motorcycle",
        "replace_without_plate",
    },
    "medium-voltage-connection": {""},
    "promotion-notice": {""},
    "birth-registration": {""},
    "civil-status-extract": {""},
    "copy-certification": {""},
    "building-permit": {"house", "other", "extension"},
    "land-certificate": {"land_only", "with_house"},
    "work-permit": {""},
    "household-business": {""},
}
VOCABULARY = {
    "channel": "online counter postal",
    "applicant_kind": "person business",
    "send_papers": "yes no",
    "return_result": "yes no",
    "pay_when": "before_acceptance after_acceptance on_return",
    "pay_by": "card vietqr cash_on_delivery cash_at_counter none",
    "citizen": "pays pays_after_first_attempt_expired pays_twice underpays_then_tops_up overpays "
    "pays_after_expiry pays_after_bill_expired never_pays withdraws nothing_due",
    "pickup": "none collected failed_then_collected partially_collected lost",
    "agency_acts": "accepts refuses supplement_then_accepts",
    "delivery": "none delivered failed_then_delivered held_then_collected lost",
    "fault": "none webhook_lost webhook_duplicated gateway_timeout",
    "end": "result_delivered result_handed_over refused withdrawn expired_unpaid papers_lost result_lost",
    "papers": "citizen agency lost none",
}
GROUPS = set(
    words(
        "child elderly disabled poor_household near_poor_household especially_difficult_area merit "
        "martyr_relative heroic_mother pre_1945_revolutionary war_invalid sick_soldier agent_orange "
        "imprisoned_by_enemy hero pupil_16_plus student ethnic_minority_difficult_area"
    )
)
# What a dossier line must show at least once, as a condition on its columns.
SITUATIONS: dict[str, dict[str, str]] = {
    "card": {"pay_by": "card", "citizen": "pays"},
    "vietqr": {"pay_by": "vietqr", "citizen": "pays"},
    "cash to the courier at pickup": {
        "pay_by": "cash_on_delivery",
        "pay_when": "before_acceptance",
    },
    "cash to the courier at delivery": {"pay_by": "cash_on_delivery", "pay_when": "on_return"},
    "cash at the counter": {"pay_by": "cash_at_counter"},
    "attempt expired and retried": {"citizen": "pays_after_first_attempt_expired"},
    "paid twice": {"citizen": "pays_twice"},
    "VietQR underpaid": {"pay_by": "vietqr", "citizen": "underpays_then_tops_up"},
    "VietQR overpaid": {"pay_by": "vietqr", "citizen": "overpays"},
    "VietQR paid late on an open bill": {"pay_by": "vietqr", "citizen": "pays_after_expiry"},
    "VietQR paid on a dead bill": {"pay_by": "vietqr", "citizen": "pays_after_bill_expired"},
    "never pays": {"citizen": "never_pays", "end": "expired_unpaid"},
    "refused, papers back by post": {
        "end": "refused",
        "delivery": "delivered",
        "papers": "citizen",
    },
    "refused, papers wait": {"end": "refused", "send_papers": "yes", "papers": "agency"},
    "refused without papers": {"end": "refused", "send_papers": "no"},
    "supplement requested": {"agency_acts": "supplement_then_accepts"},
    "withdrawn": {"citizen": "withdraws", "end": "withdrawn"},
    "failed delivery then success": {"delivery": "failed_then_delivered"},
    "held at the post office": {"delivery": "held_then_collected"},
    "failed pickup then collected": {"pickup": "failed_then_collected"},
    "partially collected": {"pickup": "partially_collected"},
    "papers lost outbound": {"pickup": "lost", "end": "papers_lost"},
    "result lost on return": {"delivery": "lost", "end": "result_lost"},
    "webhook lost": {"fault": "webhook_lost"},
    "webhook duplicated": {"fault": "webhook_duplicated"},
    "gateway timeout": {"fault": "gateway_timeout"},
}
# (procedure, case, filed_on, channel) -> state fee or charge due, citizen and budget together.
# Both sides of every dated rule the set promises to cover.
WINDOWS = {
    ("passport", "first_issue", "2025-12-31", "online"): 180_000,
    ("passport", "first_issue", "2026-01-01", "online"): 200_000,
    ("driving-licence", "exchange", "2025-12-31", "online"): 115_000,
    ("driving-licence", "exchange", "2026-01-01", "online"): 135_000,
    ("criminal-record", "", "2025-12-30", "online"): 170_000,
    ("criminal-record", "", "2025-12-31", "online"): 80_000,
    ("criminal-record", "", "2026-01-01", "online"): 100_000,
    ("identity-card", "from_cccd", "2025-06-30", "online"): 30_000,
    ("identity-card", "from_cccd", "2025-07-01", "online"): 15_000,
    ("identity-card", "exchange", "2026-12-31", "counter"): 25_000,
    ("identity-card", "exchange", "2027-01-01", "online"): 50_000,
    ("building-permit", "house", "2020-12-31", "online"): 37_500,
    ("building-permit", "house", "2021-01-01", "online"): 75_000,
    ("building-permit", "house", "2024-05-28", "online"): 75_000,
    ("building-permit", "house", "2024-05-29", "online"): 0,
    ("land-certificate", "with_house", "2022-09-01", "online"): 50_000,
    ("land-certificate", "with_house", "2023-01-03", "online"): 100_000,
    ("land-certificate", "with_house", "2025-06-30", "online"): 50_000,
    ("land-certificate", "with_house", "2025-07-01", "online"): 0,
    ("land-certificate", "land_only", "2025-06-23", "online"): 25_000,
    ("land-certificate", "land_only", "2025-06-24", "online"): 0,
    ("land-certificate", "with_house", "2025-07-21", "online"): 0,
    ("land-certificate", "with_house", "2025-07-22", "counter"): 100_000,
    ("work-permit", "", "2025-12-31", "online"): 0,
    ("work-permit", "", "2025-11-18", "counter"): 400_000,
}


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    with DOSSIERS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


@pytest.fixture(scope="module")
def communes() -> list[Row]:
    with COMMUNES.open(encoding="utf-8", newline="") as file:
        lines = [line for line in file if not line.startswith("#")]
    return list(csv.DictReader(lines, strict=True))


def amount(row: Row, *columns: str) -> int:
    return sum(int(row[column]) for column in columns)


def citizen_total(row: Row) -> int:
    return amount(row, "fee_citizen", "charge_citizen", "postage_citizen", "collection_citizen")


def state_part(row: Row) -> int:
    return amount(row, "fee_citizen", "fee_budget", "charge_citizen", "charge_budget")


def codes(rows: list[Row]) -> list[str]:
    return [row["code"] for row in rows]


def test_every_line_has_exactly_the_agreed_columns(rows: list[Row]) -> None:
    assert list(rows[0]) == COLUMNS
    assert all(None not in row and None not in row.values() for row in rows)
    assert len(rows) >= 60


def test_dossier_codes_are_unique_and_carry_the_agency_and_the_filing_date(
    rows: list[Row],
) -> None:
    assert len(set(codes(rows))) == len(rows)

    for row in rows:
        filed_on = date.fromisoformat(row["filed_on"])
        agency, day, sequence = row["code"].rsplit("-", 2)
        if agency.startswith("000.00."):  # long form: unit first, then the place
            unit, place = agency.removeprefix("000.00.").split(".")
            agency = f"{place}.{unit}"
        assert agency == row["agency"], row["code"]
        assert day == filed_on.strftime("%y%m%d"), row["code"]
        assert re.fullmatch(r"\d{4}", sequence), row["code"]


def test_procedures_cases_and_words_are_those_agreed(rows: list[Row]) -> None:
    assert {row["procedure"] for row in rows} == set(CASES)
    for row in rows:
        assert row["case"] in CASES[row["procedure"]], row["code"]
        for column, allowed in VOCABULARY.items():
            assert row[column] in words(allowed), (row["code"], column)
        assert set(filter(None, row["groups"].split(";"))) <= GROUPS, row["code"]


def test_every_case_of_every_procedure_appears(rows: list[Row]) -> None:
    seen = {(row["procedure"], row["case"]) for row in rows}

    assert seen == {(procedure, case) for procedure, cases in CASES.items() for case in cases}


def test_every_applicant_group_appears(rows: list[Row]) -> None:
    assert {group for row in rows for group in row["groups"].split(";") if group} == GROUPS


def test_quantities_and_facts_are_whole_positive_numbers_under_known_keys(
    rows: list[Row],
) -> None:
    needed = {
        "criminal-record": {"copies"},
        "civil-status-extract": {"copies"},
        "copy-certification": {"copies", "pages"},
    }
    for row in rows:
        quantities = dict(pair.split("=") for pair in row["quantities"].split(";") if pair)
        facts = dict(pair.split("=") for pair in row["facts"].split(";") if pair)
        assert set(quantities) == needed.get(row["procedure"], set()), row["code"]
        has_value = row["case"] == "first_motorcycle"
        assert set(facts) == ({"vehicle_value_dong"} if has_value else set()), row["code"]
        assert all(int(value) > 0 for value in [*quantities.values(), *facts.values()])


def test_amounts_are_whole_dong_and_never_negative(rows: list[Row]) -> None:
    for row in rows:
        assert all(re.fullmatch(r"0|[1-9]\d*", row[column]) for column in AMOUNTS), row["code"]


def test_a_procedure_has_a_fee_or_a_charge_but_not_both(rows: list[Row]) -> None:
    kinds: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for kind in ("fee", "charge"):
            if amount(row, f"{kind}_citizen", f"{kind}_budget") > 0:
                kinds[row["procedure"]].add(kind)

    assert all(len(kind) == 1 for kind in kinds.values()), kinds


def test_nobody_is_asked_to_pay_nothing(rows: list[Row]) -> None:
    for row in rows:
        owes_nothing = citizen_total(row) == 0
        assert (row["pay_by"] == "none") is owes_nothing, row["code"]
        assert (row["citizen"] == "nothing_due") is owes_nothing, row["code"]


def test_postage_is_due_only_where_there_is_a_leg(rows: list[Row]) -> None:
    for row in rows:
        legs = "yes" in (row["send_papers"], row["return_result"])
        if not legs:
            assert amount(row, "postage_citizen", "postage_budget", "collection_citizen") == 0
        assert (int(row["weight_grams"]) > 0) is (row["send_papers"] == "yes"), row["code"]
        assert (row["pickup"] != "none") is (row["send_papers"] == "yes"), row["code"]
        if row["return_result"] == "no":
            assert row["delivery"] == "none", row["code"]
        if row["channel"] == "postal":
            assert row["send_papers"] == "yes", row["code"]


def test_the_courier_collects_cash_only_on_a_leg_that_exists(rows: list[Row]) -> None:
    leg_of = {"before_acceptance": "send_papers", "on_return": "return_result"}
    for row in rows:
        if row["pay_by"] == "cash_on_delivery":
            assert row[leg_of[row["pay_when"]]] == "yes", row["code"]
        else:
            assert row["collection_citizen"] == "0", row["code"]


def test_the_end_agrees_with_what_the_world_did(rows: list[Row]) -> None:
    arrived = {"delivered", "failed_then_delivered", "held_then_collected"}
    for row in rows:
        code, end = row["code"], row["end"]
        assert (end == "refused") is (row["agency_acts"] == "refuses"), code
        assert (end == "withdrawn") is (row["citizen"] == "withdraws"), code
        assert (end == "papers_lost") is (row["pickup"] == "lost"), code
        assert (end == "result_lost") is (row["delivery"] == "lost"), code
        unpaid = row["citizen"] in ("never_pays", "pays_after_bill_expired")
        assert (end == "expired_unpaid") is unpaid, code
        if end == "result_delivered":
            assert row["return_result"] == "yes", code
            assert row["delivery"] in arrived, code
            assert row["papers"] == "citizen", code
        if end == "result_handed_over":
            assert row["return_result"] == "no", code
        assert (row["papers"] == "lost") is (end in ("papers_lost", "result_lost")), code


def test_a_refund_never_exceeds_what_the_citizen_paid(rows: list[Row]) -> None:
    for row in rows:
        refunded, fees = int(row["refunded"]), amount(row, "fee_citizen", "charge_citizen")
        if row["end"] in ("refused", "withdrawn", "papers_lost"):
            assert fees <= refunded <= citizen_total(row), row["code"]
            if row["send_papers"] == row["return_result"] == "yes" and row["pickup"] != "lost":
                assert refunded == fees, row["code"]  # both legs were used
            if row["send_papers"] == "no":
                assert refunded == fees + int(row["postage_citizen"]), row["code"]
        else:
            assert refunded == 0, row["code"]


def test_suspense_holds_exactly_the_money_beyond_the_bill(rows: list[Row]) -> None:
    for row in rows:
        expected = {
            "pays_twice": citizen_total(row),
            "overpays": 10_000,
            "pays_after_bill_expired": citizen_total(row),
        }.get(row["citizen"], 0)
        assert int(row["suspense"]) == expected, row["code"]
        if row["citizen"] == "underpays_then_tops_up":
            assert citizen_total(row) > 10_000, row["code"]


def test_compensation_is_four_times_a_postage_and_only_for_a_loss(rows: list[Row]) -> None:
    for row in rows:
        compensation = int(row["compensation"])
        lost = row["end"] in ("papers_lost", "result_lost")
        assert (compensation > 0) is lost, row["code"]
        assert compensation % 4 == 0, row["code"]
        if lost:
            assert f"4 x the gross postage {compensation // 4:,}" in row["why"] or (
                f"4 x {compensation // 4:,} = {compensation:,}" in row["why"]
            ), row["code"]


def test_reasons_name_an_instrument_and_the_amount(rows: list[Row]) -> None:
    instrument = re.compile(r"TT \d+/\d{4}|NQ \d+|NĐ \d+/\d{4}|Law \d{4}|tariff|resolution|\(EVN\)")
    for row in rows:
        assert instrument.search(row["why"]), row["code"]
        for column in AMOUNTS:
            if int(row[column]) > 0:
                assert f"{int(row[column]):,}" in row["why"], (row["code"], column)


def test_communes_are_the_whole_country_once(communes: list[Row]) -> None:
    assert len(communes) == 3_321
    assert len({row["commune_code"] for row in communes}) == 3_321
    assert len({row["province_code"] for row in communes}) == 34
    assert len({row["old_province_code"] for row in communes}) == 63
    assert {row["region"] for row in communes} == {"north", "centre", "south"}
    for row in communes:
        assert re.fullmatch(r"\d{5}", row["commune_code"])
        assert re.fullmatch(r"\d{3}", row["old_district_code"])
    for part, whole in (
        ("old_district_code", "old_province_code"),
        ("old_province_code", "province_code"),
        ("province_code", "region"),
    ):
        parents = defaultdict(set)
        for row in communes:
            parents[row[part]].add(row[whole])
        assert all(len(parent) == 1 for parent in parents.values()), (part, whole)


def test_wards_exist_and_every_agency_sits_in_one(rows: list[Row], communes: list[Row]) -> None:
    province_of = {row["commune_code"]: row["province_code"] for row in communes}
    wards_of_agency: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        assert province_of[row["ward"]] == row["province"], row["code"]
        assert row["applicant_ward"] in province_of, row["code"]
        wards_of_agency[row["agency"]].add(row["ward"])

    assert all(len(wards) == 1 for wards in wards_of_agency.values()), wards_of_agency
    provinces = {"01", "79", "48", "56", "40", "38", "19", "15", "92"}
    assert provinces <= {row["province"] for row in rows}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_situation_is_covered(rows: list[Row], situation: str) -> None:
    wanted = SITUATIONS[situation].items()

    assert any(all(row[column] == word for column, word in wanted) for row in rows)


@pytest.mark.parametrize("key", WINDOWS, ids="/".join)
def test_both_sides_of_a_dated_rule_are_covered(rows: list[Row], key: tuple[str, str, str, str]) -> None:
    found = [state_part(row) for row in rows if (row["procedure"], row["case"], row["filed_on"], row["channel"]) == key]

    assert WINDOWS[key] in found


def test_the_money_situations_are_covered(rows: list[Row]) -> None:
    assert any(amount(row, "fee_budget", "charge_budget") > 0 for row in rows)
    assert any(int(row["postage_budget"]) > 0 and citizen_total(row) == 0 for row in rows)
    assert any(int(row["postage_budget"]) > 0 and int(row["postage_citizen"]) > 0 for row in rows)
    assert any("exempt" in row["why"] and row["groups"] and state_part(row) == 0 for row in rows)
    assert any(int(row["collection_citizen"]) == 8_000 for row in rows)
    assert any("0 đồng" in row["why"] and state_part(row) == 0 for row in rows)


def test_most_lines_are_ordinary_and_the_founding_procedures_are_there(rows: list[Row]) -> None:
    ordinary = [
        row
        for row in rows
        if row["citizen"] in ("pays", "nothing_due")
        and row["fault"] == "none"
        and row["agency_acts"] == "accepts"
        and row["end"] in ("result_delivered", "result_handed_over")
    ]

    assert len(ordinary) * 2 > len(rows)
    assert {"promotion-notice", "driving-licence", "medium-voltage-connection"} <= {
        row["procedure"] for row in ordinary
    }
