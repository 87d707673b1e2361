"""The common draft without YAML: a province's waiver, support or reduction, from a form to one whole document."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from services.fees.contract import Text
from services.fees.queries import folded
from services.fees.rules import Tariff

OFFICIAL_TEXT = "S0"
"""The source of what an officer copied from the signed text and another person compared."""
CHANNELS = ("online", "counter", "postal")
KINDS = ("waiver", "support", "reduction")
ABOUT = ("council", "ministry", "procedures", "return_postage")

_REQUIRED = Text(vi="hãy điền mục này", en="fill this in")
_NOT_A_DAY = Text(vi="hãy nhập ngày có thật, dạng năm-tháng-ngày", en="enter a real day as year-month-day")
_NOT_A_PERCENTAGE = Text(vi="hãy nhập số nguyên từ 1 đến 100", en="enter a whole number from 1 to 100")
_NOT_AN_AMOUNT = Text(vi="hãy nhập số đồng, là số nguyên", en="enter a whole number of đồng")
_TOO_LONG = Text(vi="dài quá 300 ký tự; hãy viết gọn lại", en="over 300 characters; shorten it")
_UNPRINTABLE = Text(vi="có ký tự không in được; hãy gõ lại", en="holds unprintable characters; type it again")


@dataclass(slots=True)
class Guided:
    """The form as typed, and what came of it: a document under its path, or errors by field."""

    values: Mapping[str, str]
    chosen: Mapping[str, Sequence[str]]
    """Lists of the form: `procedures`, `channels`, `groups`."""
    errors: dict[str, Text] = field(default_factory=dict)
    path: str = ""
    text: str = ""

    def typed(self, name: str) -> str:
        """What was typed, without blanks around it."""
        return self.values.get(name, "").strip()


def guided_document(tariff: Tariff, values: Mapping[str, str], chosen: Mapping[str, Sequence[str]]) -> Guided:
    """Write the document the form asks for. Never raises for what a person typed: `errors` names the fields."""
    form = Guided(values, chosen)
    _check_words(form)
    _check_choices(form, tariff)
    first, last = _day(form, "valid_from"), _day(form, "valid_to")
    if first and last and last < first:
        form.errors["valid_to"] = Text(vi="ngày hết hiệu lực đứng trước ngày bắt đầu", en="it ends before it begins")
    issued = _day(form, "issued_on")
    share = _percentage(form) if form.typed("kind") in ("support", "reduction") else 0
    ceiling = _amount(form, "ceiling_dong")
    if form.errors or first is None:
        return form
    slug = slug_of(f"{_place_word(form)} {form.typed('kind')} {first.isoformat()} {form.typed('number')}")
    form.path = f"adjustments/{slug}.yaml"
    instrument = form.typed("instrument") or slug_of(f"{form.typed('number')} {_place_word(form)}")
    form.text = "\n".join(
        [
            *_instrument_lines(form, instrument, issued),
            "adjustments:",
            f"  - id: {slug}",
            *_rule_lines(form, share=share, ceiling=ceiling),
            f"    valid_from: {first}",
            f"    valid_to: {last or 'null'}",
            f"    scope: {_scope(form)}",
            f"    instrument: {instrument}",
            f"    article: {_quoted(form.typed('article'))}",
            *_source_lines(form, "    "),
            "",
        ]
    )
    return form


def slug_of(words: str) -> str:
    """Words as a name for files and ids: `nghi-quyet-12-2026`."""
    return re.sub(r"[^a-z0-9]+", "-", folded(words)).strip("-")[:60].strip("-")


def _check_words(form: Guided) -> None:
    required = ["title", "reason", "valid_from"]
    if not form.typed("instrument"):
        required += ["number", "name_vi", "name_en"]
    for name in required:
        if not form.typed(name):
            form.errors[name] = _REQUIRED
    for name in ("title", "reason", "number", "name_vi", "name_en", "article"):
        if len(form.typed(name)) > 300:
            form.errors[name] = _TOO_LONG
        elif not form.typed(name).isprintable():
            form.errors[name] = _UNPRINTABLE
    if form.typed("number") and not slug_of(form.typed("number")):
        form.errors["number"] = Text(vi="hãy nhập số, ký hiệu văn bản", en="enter the number of the instrument")


def _check_choices(form: Guided, tariff: Tariff) -> None:
    vocabulary = tariff.vocabulary
    unknown = Text(vi="hãy chọn một mục trong danh sách", en="choose an entry of the list")
    if form.typed("kind") not in KINDS:
        form.errors["kind"] = unknown
    if form.typed("about") not in ABOUT:
        form.errors["about"] = unknown
    if form.typed("province") not in tariff.places.provinces and form.typed("province") != "country":
        form.errors["province"] = unknown
    if form.typed("instrument") and form.typed("instrument") not in tariff.instruments:
        form.errors["instrument"] = unknown
    if set(form.chosen.get("channels", ())) - set(CHANNELS):
        form.errors["channels"] = unknown
    if set(form.chosen.get("groups", ())) - set(vocabulary.groups):
        form.errors["groups"] = unknown
    procedures = set(form.chosen.get("procedures", ()))
    if form.typed("about") == "procedures" and (
        not procedures or procedures - {one.slug for one in tariff.catalogue.procedures}
    ):
        form.errors["procedures"] = Text(vi="hãy chọn ít nhất một thủ tục", en="choose at least one procedure")
    if form.typed("about") == "return_postage" and form.typed("kind") != "support":
        form.errors["kind"] = Text(
            vi="cước bưu chính chỉ được ngân sách hỗ trợ; hãy chọn “ngân sách hỗ trợ”",
            en="postage can only be supported by a budget; choose the support",
        )


def _day(form: Guided, name: str) -> date | None:
    typed = form.typed(name)
    if not typed:
        return None
    try:
        return date.fromisoformat(typed)
    except ValueError:
        form.errors[name] = _NOT_A_DAY
        return None


def _whole_number(typed: str) -> int | None:
    digits = re.sub(r"[., \u00a0]", "", typed)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 13 else None


def _percentage(form: Guided) -> int:
    share = _whole_number(form.typed("percent").removesuffix("%"))
    if share is None or not 1 <= share <= 100:
        form.errors["percent"] = _NOT_A_PERCENTAGE
        return 0
    return share


def _amount(form: Guided, name: str) -> int | None:
    if not form.typed(name) or form.typed("kind") != "support":
        return None
    amount = _whole_number(form.typed(name))
    if amount is None:
        form.errors[name] = _NOT_AN_AMOUNT
    return amount


def _place_word(form: Guided) -> str:
    province = form.typed("province")
    return "ca-nuoc" if province == "country" else f"tinh-{province}"


def _scope(form: Guided) -> str:
    province = form.typed("province")
    return "{level: country}" if province == "country" else f'{{level: province, code: "{province}"}}'


def _quoted(words: str) -> str:
    """A JSON string is a YAML string in double quotes."""
    return json.dumps(words, ensure_ascii=False)


def _source_lines(form: Guided, indent: str) -> list[str]:
    checked = form.typed("checked") == "1"
    return [
        f'{indent}source: "{OFFICIAL_TEXT if checked else "D"}"',
        f"{indent}verified: {'true' if checked else 'false'}",
    ]


def _instrument_lines(form: Guided, identity: str, issued: date | None) -> Iterable[str]:
    if form.typed("instrument"):
        return []
    names = f"{{vi: {_quoted(form.typed('name_vi'))}, en: {_quoted(form.typed('name_en'))}}}"
    return [
        "instruments:",
        f"  - id: {identity}",
        f"    number: {_quoted(form.typed('number'))}",
        f"    name: {names}",
        f"    issued_on: {issued or 'null'}",
        *_source_lines(form, "    "),
    ]


def _rule_lines(form: Guided, *, share: int, ceiling: int | None) -> Iterable[str]:
    kind, groups = form.typed("kind"), list(form.chosen.get("groups", ()))
    written = {"reduction": "group_rate" if groups else "rate"}.get(kind, kind)
    lines = [f"    kind: {written}", f"    targets: {_targets(form)}"]
    if channels := [name for name in CHANNELS if name in form.chosen.get("channels", ())]:
        lines.append(f"    channels: [{', '.join(channels)}]")
    if groups:
        lines.append(f"    groups: [{', '.join(groups)}]")
    if form.typed("excludes_appraisal") == "1":
        lines.append("    excludes_appraisal: true")
    if kind == "reduction":
        lines.append(f"    pay_percent: {100 - share}")
    if kind == "support":
        province = form.typed("province")
        lines.append(f"    support_percent: {share}")
        if ceiling is not None:
            lines.append(f"    ceiling_dong: {ceiling}")
        lines.append(f'    payer: "budget:{"central" if province == "country" else province}"')
    return lines


def _targets(form: Guided) -> str:
    about = form.typed("about")
    if about == "return_postage":
        return "{kinds: [postage], leg: return}"
    if about == "procedures":
        chosen = ", ".join(sorted(set(form.chosen.get("procedures", ()))))
        return f"{{procedures: [{chosen}]}}"
    return f"{{set_by: {about}}}"
