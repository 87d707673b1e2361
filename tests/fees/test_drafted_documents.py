"""A draft laid over the published documents: everything wrong with it in one run, each with file, line and remedy."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from services.fees.contract import QuoteRequest
from services.fees.faults import MAX_FAULTS, CatalogueFault
from services.fees.reading import check_documents, load_catalogue, read_folder
from services.fees.rules import Tariff, assess
from services.fees.tariffs import Catalogue

DRAFT = "adjustments/hai-phong-2027.yaml"
RULE = """  - id: {id}
    kind: {kind}
    targets: {{set_by: council}}
    channels: [online]
{more}    valid_from: {valid_from}
    valid_to: {valid_to}
    scope: {{level: province, code: "31"}}
    instrument: {instrument}
    article: ""
    source: MEM
    verified: false
"""


def _rule(**changes: str) -> str:
    plain = {
        "id": "hai-phong-zero-2027",
        "kind": "waiver",
        "more": "",
        "valid_to": "null",
        "instrument": "nq-hdnd-tinh",
    }
    return RULE.format(**{"valid_from": "2027-01-01", **plain, **changes})


def _faults(*rules: str, **documents: str) -> list[CatalogueFault]:
    found = check_documents({DRAFT: "adjustments:\n" + "".join(rules), **documents})
    assert isinstance(found, list)
    return found


def _lines(faults: list[CatalogueFault]) -> list[tuple[int, str]]:
    return [(fault.line, fault.en) for fault in faults]


def test_a_sound_draft_makes_the_catalogue_it_would_become() -> None:
    found = check_documents({DRAFT: "adjustments:\n" + _rule()})

    assert isinstance(found, Catalogue)
    assert [a.where for a in found.adjustments if a.id == "hai-phong-zero-2027"] == [f"{DRAFT}:2"]
    assert len(found.adjustments) == len(load_catalogue().adjustments) + 1


def test_the_catalogue_of_a_draft_prices_by_the_draft() -> None:
    found = check_documents({DRAFT: "adjustments:\n" + _rule()})
    assert isinstance(found, Catalogue)
    document = {
        "procedure": "cooperative-registration",
        "filed_on": "2027-01-01",
        "channel": "online",
        "province": "31",
        "commune": "11311",
        "agency": "H24",
    }

    (line,) = assess(Tariff(found), QuoteRequest.model_validate(document)).lines

    assert (line.gross_dong, line.due_dong) == (100_000, 0)


def test_one_resolution_may_be_one_document_with_its_source_and_instrument() -> None:
    text = """
sources:
  - {id: CB-31-2027-12, title: "Công báo thành phố Hải Phòng số 12 năm 2027"}
instruments:
  - id: nq-99-2027-hp
    number: "99/2027/NQ-HĐND"
    name: {vi: "Nghị quyết 99/2027/NQ-HĐND", en: "Resolution 99/2027/NQ-HĐND"}
    issued_on: 2026-12-10
    source: CB-31-2027-12
    verified: true
adjustments:
""" + _rule(instrument="nq-99-2027-hp").replace(
        "source: MEM\n    verified: false", "source: CB-31-2027-12\n    verified: true"
    )

    found = check_documents({DRAFT: text})

    assert isinstance(found, Catalogue)
    assert [a.verified for a in found.adjustments if a.id == "hai-phong-zero-2027"] == [True]


def test_every_mistake_of_a_draft_is_named_in_one_run() -> None:
    faults = _faults(
        _rule(valid_from="20270101"),
        _rule(id="over", kind="rate", more="    pay_percent: 110\n", instrument="nq-unheard-of"),
        _rule(id="first", kind="rate", more="    pay_percent: 50\n"),
        _rule(id="second", kind="rate", more="    pay_percent: 40\n", valid_from="2027-06-01"),
        _rule(id="odd", more="    colour: red\n"),
    )

    assert _lines(faults) == [
        (6, "valid_from: write a day as YYYY-MM-DD, not as a number and without quotes"),
        (17, "pay_percent: a percentage is a whole number from 0 to 100"),
        (21, "unknown instrument 'nq-unheard-of'; add it to a list of instruments or correct the name"),
        (
            37,
            f"second holds on the same days as first ({DRAFT}:25) for the same people, place and fees; end one of them",
        ),
        (53, "colour: there is no field colour here; correct its name or leave it out"),
    ]
    assert {fault.file for fault in faults} == {DRAFT}
    assert all(fault.vi and fault.vi != fault.en for fault in faults)


def test_a_draft_that_contradicts_what_is_published_is_blamed_itself() -> None:
    """The published rule begins later in time and earlier in the alphabet; the fault still stands in the draft."""
    rule = _rule(id="nghe-an-again", valid_from="2020-01-01").replace('code: "31"', 'code: "40"')

    (fault,) = _faults(rule)

    assert (fault.file, fault.line) == (DRAFT, 2)
    assert fault.vi.startswith("nghe-an-again có hiệu lực cùng ngày với nghe-an-zero-2025 (adjustments/provinces.yaml:")
    assert fault.en.startswith("nghe-an-again holds on the same days as nghe-an-zero-2025 (adjustments/provinces.yaml:")


def test_a_fault_elsewhere_is_not_blamed_on_those_who_refer_to_it() -> None:
    passport = read_folder()["procedures/passport.yaml"].replace("kind: charge", "kind: gift", 1)

    found = check_documents({"procedures/passport.yaml": passport})

    assert isinstance(found, list)
    assert [(fault.file, fault.en) for fault in found] == [
        ("procedures/passport.yaml", "kind: use one of: 'fee' or 'charge'")
    ]


def test_two_mistakes_in_one_procedure_are_both_named() -> None:
    """One rate is spoilt; the others still overlap."""
    text = read_folder()["procedures/passport.yaml"]
    text = text.replace("amount_dong: 200_000", "amount_dong: two hundred", 1)
    text = text.replace("valid_to: 2021-05-21", "valid_to: 2021-06-30")

    found = check_documents({"procedures/passport.yaml": text})

    assert isinstance(found, list)
    assert [fault.en.split(";")[0][:40] for fault in found] == [
        "amount_dong: write a whole number withou",
        "overlaps the rate at procedures/passport",
    ]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("adjustments:\n  - &a {id: x}\n  - *a\n", 2, "anchors and aliases are not allowed"),
        ("adjustments: " + "[" * 60 + "]" * 60 + "\n", 1, "nested more than 20 deep"),
        ("adjustments: " + "[" * 120_000, 1, "nested more than 20 deep"),
        ("adjustments: " + "{a: " * 60_000, 1, "nested more than 20 deep"),
        ("adjustments:\n  - id: " + "9" * 9_000 + "\n", 2, "write a plain whole number"),
        ("adjustments:\n  - id: 1.5e+9\n", 2, "is not allowed here"),
        ("adjustments:\n  - id: .inf\n", 2, "without fraction"),
        ('adjustments:\n  - id: "a\\0b"\n', 2, "control characters"),
        ("adjustments:\n  - id: \ud800\n", 1, "not UTF-8"),
        ("#" * 300_000, 1, "over 256 KiB"),
        ("", 1, "the file is empty"),
        ("adjustments: {}\n", 1, "write a list"),
        ("laws: []\n", 1, "there is no list 'laws'"),
        ("- id: x\n", 1, "the file must hold lists"),
        ("adjustments: [1, two, null]\n", 1, "write the fields of this entry"),
        ("adjustments: []\nadjustments: []\n", 2, "written twice"),
        ("adjustments:\n  - <<: {id: x}\n", 2, "keys are plain words"),
        ("adjustments: !!python/object:os.system []\n", 1, "write the value plainly"),
        ("adjustments:\n\t- id: x\n", 2, "this is not YAML"),
        ("a: 1\n--- \nb: 2\n", 1, "this is not YAML"),
    ],
)
def test_a_hostile_or_broken_document_is_answered_with_a_sentence(text: str, line: int, says: str) -> None:
    found = check_documents({DRAFT: text})

    assert isinstance(found, list)
    assert any(fault.line >= line and says in fault.en for fault in found), found
    assert all(fault.vi for fault in found)


def test_a_list_without_end_is_refused_by_its_length() -> None:
    text = read_folder()["procedures/international-driving-licence.yaml"]
    head, rate = text.split("    rates:\n")

    found = check_documents({"procedures/international-driving-licence.yaml": f"{head}    rates:\n{rate * 501}"})

    assert isinstance(found, list)
    assert any("rates: has more than 500 entries" in fault.en for fault in found)


def test_a_flood_of_mistakes_is_counted_beyond_the_first_two_hundred() -> None:
    found = check_documents({DRAFT: "adjustments:\n" + "  - {}\n" * 5_000})

    assert isinstance(found, list)
    assert len(found) == MAX_FAULTS + 1
    assert found[-1].en.startswith("… and ")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("targets: {set_by: council}", "targets: {categories: [no-such]}", "unknown category 'no-such'"),
        ("targets: {set_by: council}", "targets: {}", "speaks of no fee item"),
        ("targets: {set_by: council}", "targets: {procedures: [passport], set_by: council}", "speaks of no fee item"),
        ('code: "31"', 'code: "98"', "unknown province '98'"),
        ("channels: [online]", "channels: [telepathy]", "use one of: 'online', 'counter' or 'postal'"),
        ("kind: waiver", "kind: waiver\n    amount_dong: 0", "takes no pay_percent and no amount_dong"),
        ("kind: waiver", "kind: waiver\n    ceiling_dong: 5", "a support, and only a support"),
        (
            "kind: waiver",
            'kind: support\n    support_percent: 50\n    payer: "budget:98"',
            "there is no province 98 whose budget could pay",
        ),
        ("kind: waiver", "kind: rate\n    amount_dong: 5_000", "must name the fee items it replaces"),
        ("kind: waiver", "kind: exemption", "needs the applicant groups"),
        ("valid_to: null", "valid_to: 2026-12-31", "valid_to is before valid_from"),
        ("verified: false", "verified: true", "verified needs a source that was seen"),
        ("verified: false", "verified: false\n    note: {vi: chỉ tiếng Việt}", "write both languages"),
        ("verified: false", 'verified: false\n    note: {vi: x, en: " "}', "write both languages"),
        ("id: hai-phong-zero-2027", "id: nghe-an-zero-2025", "exists more than once"),
    ],
)
def test_a_contradiction_is_refused_with_what_to_do(old: str, new: str, says: str) -> None:
    rule = _rule()
    assert old in rule

    found = _faults(rule.replace(old, new))

    assert any(says in fault.en and fault.file == DRAFT and fault.line >= 2 for fault in found), found


def test_a_gap_in_the_zones_of_the_country_is_refused() -> None:
    text = read_folder()["zones/vehicle.yaml"]
    head, last = text.rsplit("  - zone: III\n", 1)
    ended = last.replace("valid_to: null", "valid_to: 2025-12-31")
    again = last.replace("valid_from: 2023-10-22", "valid_from: 2026-01-02")

    found = check_documents({"zones/vehicle.yaml": f"{head}  - zone: III\n{ended}  - zone: III\n{again}"})

    assert isinstance(found, list)
    assert [fault.en for fault in found] == [
        "nothing holds for the country from 2026-01-01 until here; close the gap",
    ]


def test_two_instruments_of_one_number_are_refused() -> None:
    text = """
instruments:
  - id: the-same-again
    number: "25/2021/TT-BTC"
    name: {vi: "Thông tư", en: "Circular"}
    issued_on: null
    source: MEM
    verified: false
"""

    found = check_documents({"instruments/again.yaml": text})

    assert isinstance(found, list)
    (fault,) = found
    assert (fault.file, fault.line) == ("instruments/again.yaml", 3)
    assert "25/2021/TT-BTC" in fault.vi


def test_a_case_without_a_fee_item_is_a_gap() -> None:
    text = read_folder()["procedures/passport.yaml"].replace(
        "cases:\n", "cases:\n  lost_abroad: {vi: Mất ở nước ngoài, en: Lost abroad}\n", 1
    )

    found = check_documents({"procedures/passport.yaml": text})

    assert isinstance(found, list)
    assert [fault.en for fault in found] == [
        "the case lost_abroad has no fee item; add one (shape: none where nothing is charged)"
    ]


WORD = st.sampled_from(
    ["adjustments", "id", "kind", "targets", "scope", "valid_from", "groups", "rate", "country", "x"]
)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.dates() | WORD | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORD, inner, max_size=6),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=120) | VALUE.map(lambda value: yaml.safe_dump({"adjustments": value}, allow_unicode=True)))
def test_no_text_whatever_breaks_the_check(text: str) -> None:
    found = check_documents({DRAFT: text})

    assert isinstance(found, Catalogue) or all(fault.file == DRAFT and fault.line >= 1 for fault in found)


def test_a_row_of_communes_that_is_not_whole_is_named_with_its_line() -> None:
    text = read_folder()["places/communes.csv"]
    line = text[: text.index("00008,")].count("\n") + 1

    found = check_documents({"places/communes.csv": text.replace("\n00008,", "\n8,", 1)})

    assert isinstance(found, list)
    assert [(fault.file, fault.line) for fault in found] == [("places/communes.csv", line)]


def test_checking_never_changes_the_shipped_catalogue() -> None:
    before = load_catalogue().content()
    check_documents({DRAFT: "adjustments:\n" + _rule()})
    check_documents({"procedures/passport.yaml": "slug: passport\n"})

    assert load_catalogue().content() == before
