"""The same small law for three engines: windows, an exemption, group rates, provincial 0 đồng, the best of several.

Passport 200,000 đ, online 90 % in 2024 and 2025. Driving licence 135,000 đ, online 115,000 đ in a window. Criminal
record 200,000 đ and 5,000 đ a copy from the third; students 100,000 đ; online 170,000 đ, and 80,000 đ for students, in
a window. Poor households pay nothing for the criminal record. Province 01 takes 0 đồng online for a year, province 79
for the driving licence from a day on. The best single reduction holds. Shapes and dates are those of the catalogue;
the two waivers are made up for the comparison.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from services.fees.contract import QuoteRequest
from services.fees.reading import check_documents, read_folder
from services.fees.rules import Tariff
from services.fees.tariffs import Catalogue

COMMUNES = {"01": "00070", "79": "26740", "48": "20194", "38": "14797"}
FIRST, LAST = date(2023, 1, 1), date(2026, 12, 31)
KINDS = ("passport", "driving-licence", "criminal-record")


@dataclass(frozen=True, slots=True)
class Filing:
    """The facts of one filing, in the simplest form there is."""

    procedure: str
    day: date
    online: bool
    province: str
    student: bool
    poor: bool
    copies: int

    def request(self) -> QuoteRequest:
        """The filing as the service is asked."""
        groups = [name for name, holds in (("student", self.student), ("poor_household", self.poor)) if holds]
        return QuoteRequest.model_validate(self.document(groups))

    def document(self, groups: Sequence[str]) -> dict[str, Any]:
        """The filing as JSON of the service."""
        document: dict[str, Any] = {
            "procedure": self.procedure,
            "filed_on": self.day.isoformat(),
            "channel": "online" if self.online else "counter",
            "province": self.province,
            "commune": COMMUNES[self.province],
            "agency": "H00",
            "applicant_groups": list(groups),
        }
        if self.procedure == "criminal-record":
            document["quantities"] = {"copies": self.copies}
        return document


def filings(count: int, seed: int = 7) -> list[Filing]:
    """Filings of all kinds on mixed days."""
    draw = random.Random(seed)
    days = (LAST - FIRST).days
    return [
        Filing(
            procedure=draw.choice(KINDS),
            day=FIRST + timedelta(days=draw.randint(0, days)),
            online=draw.random() < 0.6,
            province=draw.choice(sorted(COMMUNES)),
            student=draw.random() < 0.2,
            poor=draw.random() < 0.1,
            copies=draw.choice((1, 2, 3, 4)),
        )
        for _ in range(count)
    ]


# --- ours -----------------------------------------------------------------------------------------

_LAW = 'instrument: bench-law, article: "Điều 1", source: "D", verified: false'
_ALWAYS = f"valid_from: 2020-01-01, valid_to: null, scope: {{level: country}}, {_LAW}"


def _procedure(slug: str, items: str, quantities: str = "") -> str:
    name = f'{{vi: "{slug}", en: "{slug}"}}'
    return f"slug: {slug}\ntitle: {name}\nfield: {name}\n{quantities}items:\n{items}"


def _item(identity: str, rate: str) -> str:
    return (
        f"  - {{id: {identity}, kind: charge, category: bench, set_by: ministry, "
        f'label: {{vi: "{identity}", en: "{identity}"}}, '
        f"rates: [{{{rate}, {_ALWAYS}}}]}}\n"
    )


def _rule(identity: str, kind: str, item: str, more: str, days: tuple[str, str], scope: str = "level: country") -> str:
    return (
        f"  - {{id: {identity}, kind: {kind}, targets: {{items: [{item}]}}, {more} valid_from: {days[0]}, "
        f"valid_to: {days[1]}, scope: {{{scope}}}, {_LAW}}}\n"
    )


def documents() -> dict[str, str]:
    """The small law in the catalogue's own form."""
    zero = ("2025-07-01", "2026-06-30")
    everything = "passport, driving-licence, criminal-record, criminal-record-copies"
    rules = (
        _rule(
            "passport-online", "rate", "passport", "channels: [online], pay_percent: 90,", ("2024-01-01", "2025-12-31")
        )
        + _rule(
            "licence-online",
            "rate",
            "driving-licence",
            "channels: [online], amount_dong: 115000,",
            ("2023-12-01", "2025-12-31"),
        )
        + _rule(
            "record-online",
            "rate",
            "criminal-record",
            "channels: [online], amount_dong: 170000,",
            ("2025-04-24", "2025-12-31"),
        )
        + _rule(
            "record-online-student",
            "rate",
            "criminal-record",
            "channels: [online], groups: [student], amount_dong: 80000,",
            ("2025-04-24", "2025-12-31"),
        )
        + _rule(
            "record-student",
            "group_rate",
            "criminal-record",
            "groups: [student], amount_dong: 100000,",
            ("2020-01-01", "null"),
        )
        + _rule(
            "record-poor",
            "exemption",
            "criminal-record, criminal-record-copies",
            "groups: [poor_household],",
            ("2020-01-01", "null"),
        )
        + _rule("zero-01", "waiver", everything, "channels: [online],", zero, 'level: province, code: "01"')
        + _rule(
            "zero-79",
            "waiver",
            "driving-licence",
            "channels: [online],",
            ("2025-09-29", "null"),
            'level: province, code: "79"',
        )
    )
    copies = "quantities:\n  - {name: copies, default: 1}\n"
    return {
        "instruments/bench.yaml": "instruments:\n"
        '  - {id: bench-law, number: "BENCH", name: {vi: "Luật đo", en: "the bench law"}, '
        'issued_on: null, source: "D", verified: false}\n',
        "procedures/passport.yaml": _procedure("passport", _item("passport", "shape: fixed, amount_dong: 200000")),
        "procedures/driving-licence.yaml": _procedure(
            "driving-licence", _item("driving-licence", "shape: fixed, amount_dong: 135000")
        ),
        "procedures/criminal-record.yaml": _procedure(
            "criminal-record",
            _item("criminal-record", "shape: fixed, amount_dong: 200000")
            + _item("criminal-record-copies", "shape: per_copy, amount_dong: 5000, included: 2"),
            copies,
        ),
        "adjustments/bench.yaml": f"adjustments:\n{rules}",
    }


def tariff(more: Mapping[str, str] | None = None) -> Tariff:
    """The small law compiled, with the country's places and groups; `more` lays further documents over it."""
    shipped = read_folder()
    base = {name: text for name, text in shipped.items() if name.startswith("places/")}
    base |= {name: shipped[name] for name in ("groups.yaml", "sources.yaml")}
    found = check_documents(more or {}, base={**base, **documents()})
    if not isinstance(found, Catalogue):
        raise SystemExit("\n".join(str(fault) for fault in found[:10]))
    return Tariff(found)


# --- ZEN ------------------------------------------------------------------------------------------


def _row(number: int, when: Mapping[str, str], code: str, amount: str) -> dict[str, str]:
    inputs = ("procedure", "online", "day", "province", "student", "poor")
    row = {"_id": f"r{number}", "code": f'"{code}"', "law": '"BENCH, Điều 1"', "amount": amount}
    return row | {f"in-{name}": when.get(name, "") for name in inputs}


def _days(first: date, last: date | None) -> str:
    return f">= {first.toordinal()}" if last is None else f"[{first.toordinal()}..{last.toordinal()}]"


def zen_decision() -> str:
    """The small law as a JDM graph: a table collects what may apply, an expression takes the best and adds copies."""
    online, zero = {"online": "true"}, _days(date(2025, 7, 1), date(2026, 6, 30))
    window = _days(date(2025, 4, 24), date(2025, 12, 31))
    always: dict[str, str] = {}
    p, d, c = '"passport"', '"driving-licence"', '"criminal-record"'
    rules = [
        ({"procedure": p, **always}, "tariff", "200000"),
        ({"procedure": d}, "tariff", "135000"),
        ({"procedure": c}, "tariff", "200000"),
        ({"procedure": p, **online, "day": _days(date(2024, 1, 1), date(2025, 12, 31))}, "passport-online", "180000"),
        ({"procedure": d, **online, "day": _days(date(2023, 12, 1), date(2025, 12, 31))}, "licence-online", "115000"),
        ({"procedure": c, **online, "day": window}, "record-online", "170000"),
        ({"procedure": c, **online, "day": window, "student": "true"}, "record-online-student", "80000"),
        ({"procedure": c, "student": "true"}, "record-student", "100000"),
        ({"procedure": c, "poor": "true"}, "record-poor", "0"),
        ({**online, "province": '"01"', "day": zero}, "zero-01", "0"),
        ({"procedure": d, **online, "province": '"79"', "day": _days(date(2025, 9, 29), None)}, "zero-79", "0"),
    ]
    inputs = [
        {"id": f"in-{name}", "name": name, "field": name}
        for name in ("procedure", "online", "day", "province", "student", "poor")
    ]
    outputs = [{"id": name, "name": name, "field": name} for name in ("code", "law", "amount")]
    zero_first, zero_last = date(2025, 7, 1).toordinal(), date(2026, 6, 30).toordinal()
    free = f'poor or (online and province == "01" and day >= {zero_first} and day <= {zero_last})'
    copies = f'procedure == "criminal-record" and copies > 2 and not ({free}) ? (copies - 2) * 5000 : 0'
    nodes = [
        {"id": "in", "type": "inputNode", "name": "in"},
        {
            "id": "table",
            "type": "decisionTableNode",
            "name": "table",
            "content": {
                "hitPolicy": "collect",
                "passThrough": True,
                "outputPath": "rules",
                "inputs": inputs,
                "outputs": outputs,
                "rules": [_row(number, *rule) for number, rule in enumerate(rules)],
            },
        },
        {
            "id": "sum",
            "type": "expressionNode",
            "name": "sum",
            "content": {
                "passThrough": False,
                "expressions": [
                    {"id": "e1", "key": "rules", "value": "rules"},
                    {"id": "e2", "key": "total", "value": f"min(map(rules, #.amount)) + ({copies})"},
                ],
            },
        },
        {"id": "out", "type": "outputNode", "name": "out"},
    ]
    edges = [
        {"id": f"{one}-{two}", "sourceId": one, "targetId": two, "type": "edge"}
        for one, two in (("in", "table"), ("table", "sum"), ("sum", "out"))
    ]
    return json.dumps({"contentType": "application/vnd.gorules.decision", "nodes": nodes, "edges": edges})


def zen_engine() -> Any:  # noqa: ANN401 — a package of the benchmarks alone
    """ZEN in its best documented way: a loader that holds the compiled decision, asked by key."""
    import zen

    content = zen.ZenDecisionContent(zen_decision())
    return zen.ZenEngine({"loader": lambda _: content})


def zen_facts(filing: Filing) -> dict[str, Any]:
    """The filing as ZEN is asked: days as numbers, which is its fastest form."""
    return {
        "procedure": filing.procedure,
        "online": filing.online,
        "day": filing.day.toordinal(),
        "province": filing.province,
        "student": filing.student,
        "poor": filing.poor,
        "copies": filing.copies,
    }
