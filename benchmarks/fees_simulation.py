"""The million-dossier simulation: time and peak memory of the worker process, from job to answer.

`python -m benchmarks.fees_simulation [dossiers]`. Four runs: a 0 đồng resolution of one province over that province's
dossiers and over the country's, two drafts side by side, and the province's year as an uploaded CSV.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.measuring import describe
from services.fees.contract import QuoteRequest
from services.fees.reading import check_documents, read_folder
from services.fees.rules import Tariff
from services.fees.simulation.dossiers import COLUMNS
from services.fees.simulation.generation import generate
from services.fees.simulation.terms import DraftTerms, Generated, SimulationRequest, SimulationResult
from services.fees.simulation.worker import Job
from services.fees.tariffs import Catalogue

LAW = """\
instruments:
  - {id: bench-draft, number: "Dự thảo", name: {vi: "Dự thảo", en: "the draft"}, issued_on: null, source: "D",
     verified: false}
adjustments:
"""
ZERO = (
    LAW
    + """\
  - {id: bench-zero, kind: waiver, targets: {set_by: council}, channels: [online], valid_from: 2026-03-01,
     valid_to: null, scope: {level: province, code: "48"}, instrument: bench-draft,
     article: "Điều 1", source: "D", verified: false}
"""
)
HALF = (
    LAW.replace("bench-draft", "bench-half")
    + """\
  - {id: bench-support, kind: support, targets: {set_by: ministry}, channels: [online], support_percent: 50,
     payer: "budget:48", valid_from: 2026-01-01, valid_to: null, scope: {level: province, code: "48"},
     instrument: bench-half, article: "Điều 2", source: "D", verified: false}
"""
)


def run(name: str, request: SimulationRequest, tariff: Tariff, documents: dict[str, str], file: Path | None) -> None:
    """One worker process, from start to answer, imports included."""
    job = Job(request=request, documents=documents, version=tariff.version, file=str(file) if file else None, seed=5)
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "services.fees.simulation.worker"],
        input=job.model_dump_json().encode(),
        capture_output=True,
        check=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    whole = time.perf_counter() - started
    last: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if "result" not in last:
        raise SystemExit(f"{name}: {last}")
    result = SimulationResult.model_validate(last["result"])
    memory = result.peak_memory_bytes / 1024**2
    print(f"  {name:<52} {whole:6.2f} s, {result.seconds:6.2f} s without imports; peak {memory:,.0f} MiB", end="; ")
    print(f"{result.dossiers_priced:,} priced over {result.cells:,} cells, {result.checked_by_engine} checked")
    for letter, impact in result.impacts.items():
        total = impact.total
        print(
            f"      {letter}: lost {total.revenue_lost:,} đ, support {total.support:,} đ, {total.affected:,} affected"
        )


def main() -> None:
    """Run all four."""
    describe("numpy", "pydantic")
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    documents = read_folder()
    catalogue = check_documents({}, base=documents)
    assert isinstance(catalogue, Catalogue)
    tariff = Tariff(catalogue)
    zero = DraftTerms(yaml=ZERO, title="0 đồng", uptake_percent=30)
    half = DraftTerms(yaml=HALF, title="hỗ trợ", uptake_percent=30, budget_dong=5_000_000_000)
    province = Generated(year=2026, count=count, province="48")
    country = Generated(year=2026, count=count)
    run("one province, one draft", SimulationRequest(generated=province, draft_a=zero), tariff, documents, None)
    both = SimulationRequest(generated=province, draft_a=zero, draft_b=half)
    run("one province, two drafts", both, tariff, documents, None)
    run("the whole country, one draft", SimulationRequest(generated=country, draft_a=zero), tariff, documents, None)
    year = generate(province, tariff)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "year.csv"
        names = sorted(tariff.vocabulary.quantities | tariff.vocabulary.facts)
        texts = [_text(combination.request, names) for combination in year.combinations]
        days = {int(day): date.fromordinal(int(day)).isoformat() for day in set(year.day.tolist())}
        with file.open("w") as out:
            out.write(",".join((*COLUMNS, *names)) + "\n")
            out.writelines(
                f"{days[day]},{texts[row]}\n"
                for row, day in zip(year.combination.tolist(), year.day.tolist(), strict=True)
            )
        size = file.stat().st_size / 1024**2
        request = SimulationRequest(file="0" * 64, draft_a=zero)
        run(f"one province, one draft, CSV of {size:,.0f} MiB", request, tariff, documents, file)


def _text(asked: QuoteRequest, names: list[str]) -> str:
    measures = {**asked.quantities, **asked.facts}
    groups = " ".join(asked.applicant_groups)
    values = [asked.procedure, asked.case or "", asked.channel, asked.commune, groups, "", ""]
    return ",".join([*values, *(str(measures.get(name, "")) for name in names)])


if __name__ == "__main__":
    main()
