"""A catalogue that cannot be right is refused at load, with file and line."""

from pathlib import Path

import pytest

from services.fees.reading import CatalogueError, load_catalogue, read_yaml

PASSPORT = "procedures/passport.yaml"
NATIONAL = "adjustments/national.yaml"


def _refusal(folder: Path) -> str:
    with pytest.raises(CatalogueError) as error:
        load_catalogue(folder)
    return str(error.value)


def _replace(folder: Path, file: str, old: str, new: str, *, count: int = 1) -> int:
    """Change the first occurrence; returns the line it was on."""
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, count), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def test_the_shipped_catalogue_is_accepted() -> None:
    assert len(load_catalogue().procedures) >= 50


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("valid_from: 2021-05-22", "valid_from: 20210522", "valid_from"),
        ("valid_from: 2021-05-22", 'valid_from: "2021-05-22"', "valid_from"),
        ("valid_from: 2021-05-22", "valid_from: 2021-02-30", "not a day of the calendar"),
        ("valid_from: 2021-05-22", "valid_from: 2021-05-22 10:00:00", "without a time"),
        ("amount_dong: 200_000", "amount_dong: 200000.5", "without fraction"),
        ("amount_dong: 200_000", "amount_dong: -5", "plain whole number"),
        ("amount_dong: 200_000", "amount_dong: 0755", "plain whole number"),
        ("instrument: tt-25-2021", "instrument: tt-25-2051", "unknown instrument 'tt-25-2051'"),
        ("source: S1, S2", "source: S999", "unknown source 'S999'"),
        ("source: S1, S2", "source: MEM", "verified needs a source that was seen"),
        ("cases: [first_issue]", "cases: [first]", "unknown case 'first'"),
        ("kind: charge", "kind: gift", "kind"),
        ("set_by: ministry", "sett_by: ministry", "sett_by"),
        ("verified: true", "verified: yes", "write true or false"),
        ("valid_to: null", "valid_to: 2020-01-01", "valid_to is before valid_from"),
        ("title: {vi", "title: &t {vi", "anchors and aliases"),
        ("slug: passport", "slug: passports", "the name of the file"),
        ("scope: {level: country}", 'scope: {level: province, code: "99"}', "unknown province '99'"),
        ("scope: {level: country}", "scope: {level: province}", "needs a code of 2 digits"),
        ("slug: passport\n", "slug: passport\nslug: passport\n", "written twice"),
        ("slug: passport\n", "slug: !!python/name:os.system passport\n", "no !"),
    ],
)
def test_a_wrong_value_is_refused_with_its_line(folder: Path, old: str, new: str, says: str) -> None:
    line = _replace(folder, PASSPORT, old, new)

    message = _refusal(folder)

    assert says in message
    assert any(f"{PASSPORT}:{near}:" in message for near in range(max(1, line - 12), line + 3)), message


def test_the_line_is_the_line_of_the_wrong_value(folder: Path) -> None:
    line = _replace(folder, PASSPORT, "valid_from: 2021-05-22", "valid_from: 20210522")

    assert _refusal(folder).startswith(f"{PASSPORT}:{line}: ")


def test_a_percentage_over_100_is_refused(folder: Path) -> None:
    line = _replace(folder, NATIONAL, "pay_percent: 90", "pay_percent: 110")

    assert f"{NATIONAL}:{line}: pay_percent" in _refusal(folder)


def _second_rate(folder: Path, valid_from: str) -> None:
    path = folder / "procedures/international-driving-licence.yaml"
    text = path.read_text(encoding="utf-8").replace("valid_to: null", "valid_to: 2025-12-31")
    head, rate = text[: text.index("      - shape")], text[text.index("      - shape") :]
    second = rate.replace("2023-08-01", valid_from).replace("valid_to: 2025-12-31", "valid_to: null")
    path.write_text(head + rate + second, encoding="utf-8")


def test_overlapping_rates_are_refused(folder: Path) -> None:
    _second_rate(folder, "2025-12-31")

    assert "overlaps the rate at procedures/international-driving-licence.yaml:11" in _refusal(folder)


def test_a_gap_between_rates_is_refused(folder: Path) -> None:
    _second_rate(folder, "2026-01-02")

    assert "no rate from 2026-01-01 until here" in _refusal(folder)


def test_rates_that_follow_each_other_are_accepted(folder: Path) -> None:
    _second_rate(folder, "2026-01-01")

    assert load_catalogue(folder).procedures


def test_a_gap_is_accepted_where_it_is_allowed(folder: Path) -> None:
    _second_rate(folder, "2026-01-02")
    _replace(
        folder,
        "procedures/international-driving-licence.yaml",
        "    set_by: ministry",
        "    set_by: ministry\n    gaps_allowed: true",
    )

    assert load_catalogue(folder).procedures


def test_two_windows_of_the_same_rule_at_once_are_refused(folder: Path) -> None:
    path = folder / "adjustments/provinces.yaml"
    text = path.read_text(encoding="utf-8")
    start = text.index("  - id: hai-duong-half-2023")
    entry = text[start : text.index("  - id: hai-duong-zero-2025")]
    again = entry.replace("hai-duong-half-2023", "hai-duong-again").replace("pay_percent: 50", "pay_percent: 40")
    path.write_text(text + again, encoding="utf-8")

    assert "hai-duong-half-2023 holds on the same days as hai-duong-again" in _refusal(
        folder
    ) or "hai-duong-again holds on the same days as hai-duong-half-2023" in _refusal(folder)


def test_an_absolute_rate_above_the_tariff_is_refused(folder: Path) -> None:
    _replace(folder, NATIONAL, "amount_dong: 115_000", "amount_dong: 136_000")

    assert "is above the tariff of driving-licence (135,000 đồng" in _refusal(folder)


def test_an_adjustment_for_an_unknown_fee_or_group_is_refused(folder: Path) -> None:
    _replace(folder, NATIONAL, "items: [driving-licence]", "items: [driving-license]")
    _replace(folder, "adjustments/exemptions.yaml", "groups: [child,", "groups: [children,")

    message = _refusal(folder)

    assert "unknown fee item 'driving-license'" in message
    assert "unknown group 'children'" in message


def test_a_place_in_two_zones_is_refused(folder: Path) -> None:
    path = folder / "zones/vehicle.yaml"
    text = path.read_text(encoding="utf-8")
    entry = text[text.index("  - zone: I\n") : text.index("  - zone: I\n", text.index("  - zone: I\n") + 5)]
    path.write_text(text + entry.replace("zone: I", "zone: III"), encoding="utf-8")

    assert "province:01 is already in a zone on these days" in _refusal(folder)


def test_every_complaint_is_named_in_one_run(folder: Path) -> None:
    _replace(folder, PASSPORT, "kind: charge", "kind: gift", count=2)
    _replace(folder, NATIONAL, "pay_percent: 90", "pay_percent: 110", count=2)

    message = _refusal(folder)

    assert message.count("use one of: 'fee' or 'charge'") == 2
    assert message.count("a percentage is a whole number from 0 to 100") == 2


def test_a_bomb_of_aliases_is_refused_before_it_unfolds() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"{n}: &{n} [*{p}, *{p}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True))

    with pytest.raises(CatalogueError, match=r"^bomb.yaml:1: anchors"):
        read_yaml(bomb, "bomb.yaml")


def test_a_file_beyond_the_size_limit_is_refused(folder: Path) -> None:
    (folder / PASSPORT).write_text("#" * 300_000, encoding="utf-8")

    assert f"{PASSPORT}:1: the file is over 256 KiB" in _refusal(folder)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(CatalogueError, match="nested more than"):
        read_yaml("[" * 40 + "]" * 40, "deep.yaml")


@pytest.mark.parametrize("text", ["", "a: [", "a: 1\n---\nb: 2\n", "? [x]\n: y\n"])
def test_what_is_not_one_plain_document_is_refused(text: str) -> None:
    with pytest.raises(CatalogueError, match=r"^odd.yaml:\d+: "):
        read_yaml(text, "odd.yaml")
