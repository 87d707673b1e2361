"""F1: single quotes in process, with their explanation, beside ZEN and OpenFisca on the same law.

`python -m benchmarks.fees_quotes`. ZEN is asked in its best documented way; its answer names the rules that hold, ours
explains every rule applied or left in two languages. All engines must agree on 500 random filings first.
"""

import random

import msgspec

from benchmarks.fee_rules import Filing, filings, tariff, zen_engine, zen_facts
from benchmarks.measuring import describe, judge, peak_mib, rates, ratios, show
from benchmarks.openfisca_rules import System, columns, dues
from services.fees.compiled import Snapshot
from services.fees.contract import QuoteRequest
from services.fees.rules import assess


def check(sample: list[Filing]) -> None:
    """All four ways give the same amount for every filing, or the run ends here."""
    law, engine, system = tariff(), zen_engine(), System()
    snapshot = Snapshot(law)
    for filing in sample:
        request = filing.request()
        found = {
            "engine": assess(law, request).total_dong,
            "snapshot": snapshot.answer(request).total_dong,
            "zen": int(engine.evaluate("law", zen_facts(filing))["result"]["total"]),
            "openfisca": int(dues(system, columns([filing]), filing.day)[0]),
            "openfisca at once": int(dues(system, columns([filing]), filing.day, "due_at_once")[0]),
        }
        if len(set(found.values())) != 1:
            raise SystemExit(f"the engines disagree on {filing}: {found}")
    print(f"all engines agree on {len(sample)} filings")


def main() -> int:
    """Check, measure, judge."""
    describe("zen-engine", "openfisca-core", "pydantic", "msgspec", "numpy")
    check(filings(500))
    asked = filings(2_000, seed=11)
    snapshot, law, engine, system = Snapshot(tariff()), tariff(), zen_engine(), System()
    requests = [filing.request() for filing in asked]
    many = requests * 25
    random.Random(1).shuffle(many)
    facts = [zen_facts(filing) for filing in asked]
    single = [(columns([filing]), filing.day) for filing in asked[:60]]
    lines = [request.model_dump_json().encode() for request in requests]
    assert msgspec.json.decode(lines[0])["procedure"] == asked[0].procedure

    def ours() -> None:
        answer = snapshot.answer
        for request in many:
            answer(request)

    def plain() -> None:
        for request in requests[:200]:
            assess(law, request)

    def at_the_door() -> None:
        validate, answer = QuoteRequest.model_validate_json, snapshot.answer
        for line in lines:
            _ = answer(validate(line)).lines_json

    def zen() -> None:
        for one in facts:
            engine.evaluate("law", one)

    def zen_traced() -> None:
        for one in facts[:500]:
            engine.evaluate("law", one, {"trace": True})

    def openfisca() -> None:
        for inputs, day in single:
            dues(system, inputs, day)

    def openfisca_at_once() -> None:
        for inputs, day in single:
            dues(system, inputs, day, "due_at_once")

    found = rates(
        {
            "snapshot, request to explained answer": (ours, len(many)),
            "snapshot, JSON bytes to JSON bytes (pydantic checks)": (at_the_door, len(lines)),
            "plain engine, not compiled": (plain, 200),
            "ZEN evaluate(key)": (zen, len(facts)),
            "ZEN evaluate(key), trace": (zen_traced, 500),
            "OpenFisca, a variable a rule": (openfisca, len(single)),
            "OpenFisca, one formula, a bare number": (openfisca_at_once, len(single)),
        }
    )
    show("single quotes", found)
    best = "snapshot, request to explained answer"
    reached = [
        judge("snapshot / ZEN best", ratios(found, best, "ZEN evaluate(key)"), 25),
        judge("snapshot / OpenFisca, a variable a rule", ratios(found, best, "OpenFisca, a variable a rule"), 700),
        judge("snapshot / OpenFisca, bare number", ratios(found, best, "OpenFisca, one formula, a bare number"), 300),
    ]
    print(f"  peak memory {peak_mib():.0f} MiB")
    return 0 if all(reached) else 1


if __name__ == "__main__":
    raise SystemExit(main())
