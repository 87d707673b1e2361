"""The process of one run: reads its job from standard input, writes progress and the answer as lines of JSON.

A process of its own keeps a million rows out of the service's memory and its event loop, shows its own peak memory,
and ends at once when it is killed. It opens no database and no network.
"""

import json
import resource
import sys
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, TextIO

from pydantic import BaseModel, ConfigDict

from services.fees.contract import Text
from services.fees.reading import CatalogueFault, check_documents
from services.fees.rules import Tariff
from services.fees.simulation.dossiers import Dossiers, UnreadableDossiers, read_dossiers
from services.fees.simulation.generation import generate
from services.fees.simulation.impact import impact_of
from services.fees.simulation.pricing import Disagreement
from services.fees.simulation.terms import DraftName, DraftTerms, SimulationRequest, SimulationResult
from services.fees.tariffs import Catalogue

STAGES = {
    "law": Text(vi="Đọc danh mục và dự thảo", en="Reading the catalogue and the drafts"),
    "read": Text(vi="Đọc hồ sơ", en="Reading the dossiers"),
    "price": Text(vi="Tính từng trường hợp", en="Pricing every kind of filing"),
    "sum": Text(vi="Cộng theo tháng, tỉnh, thủ tục", en="Adding up by month, province and procedure"),
}
_SPAN = {"law": (0, 5), "read": (5, 40), "price": (40, 80), "sum": (80, 99)}
_EVERY_SECONDS = 0.2


class Job(BaseModel):
    """What a worker is given."""

    model_config = ConfigDict(frozen=True)

    request: SimulationRequest
    documents: Mapping[str, str]
    """The texts in force, by path."""
    version: str
    file: str | None = None
    seed: int


class Refused(Exception):
    """The run ends without an answer, for a reason that the officer can act on."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


def draft_path(name: DraftName) -> str:
    """Where a draft lies over the documents in force."""
    return f"adjustments/draft-{name}.yaml"


def drafted(documents: Mapping[str, str], name: DraftName, terms: DraftTerms) -> Catalogue | list[CatalogueFault]:
    """The catalogue as the draft would make it, or everything wrong with the draft."""
    return check_documents({draft_path(name): terms.yaml}, base=documents)


def main() -> None:
    """Read one job, work, answer."""
    job = Job.model_validate_json(sys.stdin.buffer.read())
    say = _Voice(sys.stdout)
    try:
        result = run(job, say)
    except Refused as refused:
        say.line({"failure": refused.text.model_dump()})
    else:
        say.line({"result": result.model_dump(mode="json")})


class _Voice:
    """Writes progress, but not more often than anybody reads it."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._last = 0.0

    def stage(self, stage: str, part: float) -> None:
        moment = time.monotonic()
        if moment - self._last >= _EVERY_SECONDS:
            self._last = moment
            low, high = _SPAN[stage]
            percent = low + int((high - low) * min(1.0, part))
            self.line({"percent": percent, "stage": STAGES[stage].model_dump()})

    def line(self, message: dict[str, Any]) -> None:
        self._out.write(json.dumps(message, ensure_ascii=False) + "\n")
        self._out.flush()


def run(job: Job, say: _Voice) -> SimulationResult:
    """The whole run. Raises Refused."""
    started = time.perf_counter()
    say.stage("law", 0)
    today = _tariff(check_documents({}, base=job.documents))
    if today.version != job.version:
        raise AssertionError("the documents in force must make the version in force")
    drafts = {
        name: (terms, _tariff(drafted(job.documents, name, terms))) for name, terms in job.request.drafts().items()
    }
    say.stage("read", 0)
    dossiers = _dossiers(job, today, say)
    try:
        outcome = impact_of(dossiers, today, drafts, seed=job.seed, progress=say.stage)
    except Disagreement as disagreement:
        detail = str(disagreement)
        raise Refused(
            Text(
                vi=f"Hai cách tính cho kết quả khác nhau nên không có báo cáo; hãy báo kỹ thuật ({detail}).",
                en=f"The two ways of pricing disagree, so nothing is reported; tell support ({detail}).",
            )
        ) from disagreement
    return SimulationResult(
        version=job.version,
        dossiers_read=dossiers.count,
        dossiers_priced=outcome.priced,
        first_day=date.fromordinal(int(dossiers.day.min())),
        last_day=date.fromordinal(int(dossiers.day.max())),
        assumptions=(*dossiers.assumptions, *_assumed(job.request)),
        unpriced=outcome.unpriced[:50],
        unpriced_total=dossiers.count - outcome.priced,
        impacts=dict(outcome.impacts),
        checked_by_engine=outcome.checked,
        cells=outcome.cells,
        seconds=round(time.perf_counter() - started, 3),
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def _tariff(found: Catalogue | list[CatalogueFault]) -> Tariff:
    if isinstance(found, Catalogue):
        return Tariff(found)
    first = found[0]
    raise Refused(Text(vi=f"dòng {first.line}: {first.vi}", en=f"line {first.line}: {first.en}"))


def _dossiers(job: Job, today: Tariff, say: _Voice) -> Dossiers:
    if job.request.generated is not None:
        try:
            return generate(job.request.generated, today)
        except ValueError as error:
            raise Refused(
                Text(
                    vi="Danh mục không có mức thu nào cho tỉnh và năm này; hãy chọn tỉnh hoặc năm khác.",
                    en="The catalogue has no rate for this province and year; choose another.",
                )
            ) from error
    if job.file is None:
        raise AssertionError("a job has generated dossiers or a file")
    try:
        return read_dossiers(Path(job.file), today, progress=lambda rows: say.stage("read", rows / 1_000_000))
    except UnreadableDossiers as error:
        listed_vi = "; ".join(f"dòng {line}: {text.vi}" for line, text in error.faults[:10])
        listed_en = "; ".join(f"line {line}: {text.en}" for line, text in error.faults[:10])
        raise Refused(
            Text(
                vi=f"Tệp có {error.total} dòng không đọc được; hãy sửa rồi tải lại. {listed_vi}",
                en=f"{error.total} lines of the file cannot be read; correct them and upload again. {listed_en}",
            )
        ) from error


def _assumed(request: SimulationRequest) -> list[Text]:
    return [
        Text(
            vi=f"Dự thảo {name.upper()}: {terms.uptake_percent}% hồ sơ nộp trực tiếp chuyển sang trực tuyến khi "
            "dự thảo làm cho nộp trực tuyến rẻ hơn; các hồ sơ này được chọn ngẫu nhiên, giống nhau cho hai dự thảo.",
            en=f"Draft {name.upper()}: {terms.uptake_percent}% of filings at the counter move online where the draft "
            "makes that cheaper; they are drawn at random, the same ones for both drafts.",
        )
        for name, terms in request.drafts().items()
    ]


if __name__ == "__main__":
    main()
