"""The small law for OpenFisca: vectorised formulas, parameters by date, as its documentation teaches."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
from openfisca_core.entities import build_entity
from openfisca_core.parameters import ParameterNode
from openfisca_core.periods import DateUnit
from openfisca_core.simulation_builder import SimulationBuilder
from openfisca_core.taxbenefitsystems import TaxBenefitSystem
from openfisca_core.variables import Variable

from benchmarks.fee_rules import KINDS, Filing

Filed = build_entity(key="filing", plural="filings", label="A filing", is_person=True)
PROVINCES = ("01", "79", "48", "38")
_ALL = 10**9
"""An amount above any fee: a reduction that is not in force on the day."""

_PARAMETERS: dict[str, dict[str, dict[str, int]]] = {
    "tariff_passport": {"2000-01-01": {"value": 200_000}},
    "tariff_licence": {"2000-01-01": {"value": 135_000}},
    "tariff_record": {"2000-01-01": {"value": 200_000}},
    "copy": {"2000-01-01": {"value": 5_000}},
    "student_record": {"2000-01-01": {"value": 100_000}},
    "online_passport": {"2000-01-01": {"value": _ALL}, "2024-01-01": {"value": 180_000}, "2026-01-01": {"value": _ALL}},
    "online_licence": {"2000-01-01": {"value": _ALL}, "2023-12-01": {"value": 115_000}, "2026-01-01": {"value": _ALL}},
    "online_record": {"2000-01-01": {"value": _ALL}, "2025-04-24": {"value": 170_000}, "2026-01-01": {"value": _ALL}},
    "online_student": {"2000-01-01": {"value": _ALL}, "2025-04-24": {"value": 80_000}, "2026-01-01": {"value": _ALL}},
    "zero_01": {"2000-01-01": {"value": 0}, "2025-07-01": {"value": 1}, "2026-07-01": {"value": 0}},
    "zero_79": {"2000-01-01": {"value": 0}, "2025-09-29": {"value": 1}},
}


def _input(name: str, kind: type) -> type[Variable]:
    return type(
        name, (Variable,), {"value_type": kind, "entity": Filed, "definition_period": DateUnit.ETERNITY, "label": name}
    )


class Amount(Variable):
    """What every figure of the law has in common: whole đồng on a day."""

    value_type = int
    entity = Filed
    definition_period = DateUnit.DAY
    label = "amount"


def _amount(name: str, formula: Any) -> type[Variable]:  # noqa: ANN401
    return type(
        name,
        (Variable,),
        {**{k: getattr(Amount, k) for k in ("value_type", "entity", "definition_period", "label")}, "formula": formula},
    )


def _tariff(filing: Any, period: Any, parameters: Any) -> Any:  # noqa: ANN401
    law, kind = parameters(period), filing("kind", period)
    return np.select([kind == 0, kind == 1], [law.tariff_passport, law.tariff_licence], law.tariff_record)


def _online_rate(filing: Any, period: Any, parameters: Any) -> Any:  # noqa: ANN401
    law, kind = parameters(period), filing("kind", period)
    cut = np.select([kind == 0, kind == 1], [law.online_passport, law.online_licence], law.online_record)
    cut = np.where((kind == 2) & filing("student", period), np.minimum(cut, law.online_student), cut)
    return np.where(filing("online", period), cut, _ALL)


def _group_rate(filing: Any, period: Any, parameters: Any) -> Any:  # noqa: ANN401
    record = filing("kind", period) == 2
    return np.where(record & filing("student", period), parameters(period).student_record, _ALL)


def _exempt(filing: Any, period: Any, parameters: Any) -> Any:  # noqa: ANN401, ARG001
    return np.where((filing("kind", period) == 2) & filing("poor", period), 0, _ALL)


def _waiver(filing: Any, period: Any, parameters: Any) -> Any:  # noqa: ANN401
    law, online, province = parameters(period), filing("online", period), filing("province", period)
    return np.where(online & (province == 0) & (law.zero_01 == 1), 0, _ALL)


def _licence_waiver(filing: Any, period: Any, parameters: Any) -> Any:  # noqa: ANN401
    licence = filing("kind", period) == 1
    here = filing("online", period) & (filing("province", period) == 1)
    return np.where(licence & here & (parameters(period).zero_79 == 1), 0, _ALL)


def _copies_fee(filing: Any, period: Any, parameters: Any) -> Any:  # noqa: ANN401
    free = np.minimum(filing("exempt", period), filing("waiver", period)) == 0
    more = np.maximum(filing("copies", period) - 2, 0) * parameters(period).copy
    return np.where((filing("kind", period) == 2) & ~free, more, 0)


def _due(filing: Any, period: Any, parameters: Any) -> Any:  # noqa: ANN401, ARG001
    best = filing("tariff", period)
    for rule in ("online_rate", "group_rate", "exempt", "waiver", "licence_waiver"):
        best = np.minimum(best, filing(rule, period))
    return best + filing("copies_fee", period)


RULES = {
    "tariff": _tariff,
    "online_rate": _online_rate,
    "group_rate": _group_rate,
    "exempt": _exempt,
    "waiver": _waiver,
    "licence_waiver": _licence_waiver,
    "copies_fee": _copies_fee,
    "due": _due,
}
"""A variable a rule, so that the answer can be explained rule by rule, as ours and ZEN's are."""


def _at_once(filing: Any, period: Any, parameters: Any) -> Any:  # noqa: ANN401
    """The whole law in one formula: as fast as OpenFisca can be, but its answer is one bare number."""
    law, kind = parameters(period), filing("kind", period)
    online, province = filing("online", period), filing("province", period)
    student, poor, copies = filing("student", period), filing("poor", period), filing("copies", period)
    passport, licence, record = kind == 0, kind == 1, kind == 2
    amount = np.select([passport, licence], [law.tariff_passport, law.tariff_licence], law.tariff_record)
    cut = np.select([passport, licence], [law.online_passport, law.online_licence], law.online_record)
    amount = np.where(online, np.minimum(amount, cut), amount)
    amount = np.where(record & student, np.minimum(amount, law.student_record), amount)
    amount = np.where(record & student & online, np.minimum(amount, law.online_student), amount)
    free = (record & poor) | (online & (province == 0) & (law.zero_01 == 1))
    zero = free | (licence & online & (province == 1) & (law.zero_79 == 1))
    more = np.where(record & ~free, np.maximum(copies - 2, 0) * law.copy, 0)
    return np.where(zero, 0, amount) + more


class System(TaxBenefitSystem):
    """The small law."""

    def __init__(self) -> None:
        super().__init__([Filed])
        for name, kind in (
            ("kind", int),
            ("online", bool),
            ("province", int),
            ("student", bool),
            ("poor", bool),
            ("copies", int),
        ):
            self.add_variable(_input(name, kind))
        for name, formula in RULES.items():
            self.add_variable(_amount(name, formula))
        self.add_variable(_amount("due_at_once", _at_once))
        data = {name: {"values": values} for name, values in _PARAMETERS.items()}
        self.parameters = ParameterNode("", data=data)


def columns(filings: Sequence[Filing]) -> dict[str, Any]:
    """Filings as OpenFisca's input arrays."""
    return {
        "kind": np.array([KINDS.index(f.procedure) for f in filings], dtype=np.int32),
        "online": np.array([f.online for f in filings]),
        "province": np.array([PROVINCES.index(f.province) for f in filings], dtype=np.int32),
        "student": np.array([f.student for f in filings]),
        "poor": np.array([f.poor for f in filings]),
        "copies": np.array([f.copies for f in filings], dtype=np.int32),
    }


def dues(system: System, inputs: dict[str, Any], day: date, variable: str = "due") -> Any:  # noqa: ANN401
    """Dues of filings that share a day: one simulation, inputs set as arrays."""
    count = len(inputs["kind"])
    simulation = SimulationBuilder().build_default_simulation(system, count)
    for name, values in inputs.items():
        simulation.set_input(name, "ETERNITY", values)
    return simulation.calculate(variable, day.isoformat())
