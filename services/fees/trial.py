"""The form on which anybody may try the tariff: what was typed becomes a request, then a price or errors by field."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pydantic import ValidationError

from services.fees.circumstances import NotQuotable, facts_of
from services.fees.contract import QuoteRequest, Text
from services.fees.rules import Assessment, Tariff, assess
from services.fees.tariffs import Procedure

_QUANTITIES = ("copies", "pages", "months")
_REQUIRED = {
    "filed_on": Text(vi="hãy chọn ngày nộp hồ sơ", en="choose the day of filing"),
    "commune": Text(vi="hãy chọn xã, phường của cơ quan nhận hồ sơ", en="choose the commune of the receiving agency"),
    "case": Text(vi="hãy chọn trường hợp", en="choose the case"),
}
_NOT_A_NUMBER = Text(vi="phải là số nguyên", en="must be a whole number")
_OUT_OF_RANGE = Text(vi="giá trị không hợp lệ hoặc vượt giới hạn", en="the value is not valid or out of range")


@dataclass(slots=True)
class Trial:
    """What the page shows: the values as typed, the procedure chosen, and a result or errors by field."""

    values: Mapping[str, str]
    groups: Sequence[str]
    procedure: Procedure | None
    facts: tuple[str, ...] = ()
    errors: dict[str, Text] = field(default_factory=dict)
    result: Assessment | None = None


def trial_of(tariff: Tariff, values: Mapping[str, str], groups: Sequence[str], *, today: date) -> Trial:
    """Read the form; price it when it was sent (`go`). Never raises for what a person typed."""
    filled = {"filed_on": today.isoformat(), "channel": "online", "applicant_kind": "person", **values}
    found = tariff.vocabulary.procedure_of(filled.get("procedure", ""))
    trial = Trial(filled, groups, found[0] if found else None)
    if trial.procedure is None or filled.get("province", "") not in tariff.places.provinces:
        return trial
    trial.facts = facts_of(trial.procedure)
    if filled.get("go"):
        _price(tariff, trial)
    return trial


def _price(tariff: Tariff, trial: Trial) -> None:
    document = _document(trial)
    if trial.errors:
        return
    try:
        trial.result = assess(tariff, QuoteRequest.model_validate(document))
    except ValidationError as error:
        for item in error.errors():
            where = str(item["loc"][-1]) if item["loc"] else "filed_on"
            trial.errors[where] = _OUT_OF_RANGE
    except NotQuotable as refusal:
        for wrong in refusal.fields:
            name = _field_of(wrong.field)
            trial.errors[name] = Text(vi=wrong.vi, en=wrong.en)


def _field_of(name: str) -> str:
    """The field of the form that a refused fact stands in: `quantities.copies` is `copies`."""
    first, _, rest = name.partition(".")
    return rest if first in ("quantities", "facts", "postal") else first


def _document(trial: Trial) -> dict[str, Any]:
    values = trial.values
    for name in ("filed_on", "commune", *(["case"] if trial.procedure and trial.procedure.cases else [])):
        if not values.get(name):
            trial.errors[name] = _REQUIRED[name]
    postal: dict[str, Any] = {name: bool(values.get(name)) for name in ("send", "return_result", "cash_on_delivery")}
    for name in ("send_weight_grams", "return_weight_grams"):
        if (grams := _number(trial, name)) is not None:
            postal[name] = grams
    quantities = {name: _number(trial, name) for name in _QUANTITIES}
    facts = {name: _number(trial, name) for name in trial.facts}
    return {
        "procedure": values["procedure"],
        "case": values.get("case") or None,
        "filed_on": values.get("filed_on"),
        "channel": values["channel"],
        "province": values["province"],
        "commune": values.get("commune"),
        "agency": "trial",
        "applicant_kind": values["applicant_kind"],
        "applicant_groups": list(trial.groups),
        "applicant_commune": values.get("applicant_commune") or None,
        "quantities": {name: count for name, count in quantities.items() if count is not None},
        "facts": {name: value for name, value in facts.items() if value is not None},
        "postal": postal,
    }


def _number(trial: Trial, name: str) -> int | None:
    typed = trial.values.get(name, "").replace(".", "").replace(",", "").replace(" ", "")
    if not typed:
        return None
    if not typed.isascii() or not typed.isdigit() or len(typed) > 14:
        trial.errors[name] = _NOT_A_NUMBER
        return None
    return int(typed)
