"""What a simulation is asked and what it answers: dossiers, drafts, assumptions; money by month, place, procedure."""

from datetime import date, datetime
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from services.fees.contract import Province, Record, Strict, Text

MAX_DOSSIERS = 10_000_000
MAX_DRAFT_CHARACTERS = 100_000

RunStatus = Literal["running", "done", "failed", "cancelled", "interrupted"]
DraftName = Literal["a", "b"]
Percent = Annotated[int, Field(strict=True, ge=0, le=100)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Budget = Annotated[int, Field(strict=True, ge=0, le=10**15)]
"""Đồng that a budget sets aside for a whole year: far more than one fee may be."""


class Generated(Strict):
    """A year of dossiers drawn from the published volumes. The same seed draws the same dossiers."""

    year: Annotated[int, Field(strict=True, ge=2020, le=2099)]
    count: Annotated[int, Field(strict=True, ge=1, le=MAX_DOSSIERS)] = 1_000_000
    seed: Annotated[int, Field(strict=True, ge=0, le=2**32 - 1)] = 1
    province: Province | None = None
    """Only dossiers of this province; of the whole country when left out."""


class DraftTerms(Strict):
    """One draft: YAML as the catalogue is written in, and what is assumed of people and budgets."""

    yaml: Annotated[str, StringConstraints(min_length=1, max_length=MAX_DRAFT_CHARACTERS, pattern=r"^[^\x00]*$")]
    title: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]
    uptake_percent: Percent = 0
    """Of the filings on paper that the draft makes cheaper online, how many per cent then are filed online."""
    budget_dong: Budget | None = None
    """What is set aside to pay supports; the answer says on which day it is used up."""


class SimulationRequest(Strict):
    """One draft, or two side by side, over one year of dossiers: generated, or a file uploaded before."""

    generated: Generated | None = None
    file: Sha256 | None = None
    draft_a: DraftTerms
    draft_b: DraftTerms | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.generated is None) == (self.file is None):
            raise ValueError("give generated or file, one of them")
        return self

    def drafts(self) -> dict[DraftName, DraftTerms]:
        """The drafts by name."""
        return {"a": self.draft_a} if self.draft_b is None else {"a": self.draft_a, "b": self.draft_b}


class Figures(Record):
    """Money and dossiers of one slice, in đồng. Sums are exact.

    `fees_before` and `fees_after` are the state fees due, whoever pays; their difference is the revenue lost, of which
    `lost_to_uptake` comes from filings that move online. `support` is what budgets pay because of the draft.
    """

    dossiers: int
    affected: int
    moved_online: int
    fees_before: int
    fees_after: int
    revenue_lost: int
    lost_to_uptake: int
    citizens_before: int
    citizens_after: int
    citizens_save: int
    support: int


class Slice(Figures):
    """Figures of one month (`2026-01`), province (`48`) or procedure (its slug)."""

    key: str
    label: Text


class PayerSupport(Record):
    """What one budget pays because of the draft."""

    payer: str
    label: Text
    support: int


class Impact(Record):
    """What one draft does to the year."""

    title: str
    uptake_percent: int
    total: Figures
    by_month: tuple[Slice, ...]
    by_province: tuple[Slice, ...]
    by_procedure: tuple[Slice, ...]
    payers: tuple[PayerSupport, ...]
    budget_dong: int | None
    budget_used_up_on: date | None
    """First day on which the supports of the year so far are above the budget; None when it lasts."""


class Unpriced(Record):
    """Dossiers left out because the catalogue cannot price them, with the engine's own reason."""

    dossiers: int
    reason: Text


class SimulationResult(Record):
    """The answer, with everything needed to judge it."""

    version: str
    dossiers_read: int
    dossiers_priced: int
    first_day: date
    last_day: date
    assumptions: tuple[Text, ...]
    unpriced: tuple[Unpriced, ...]
    unpriced_total: int
    impacts: dict[DraftName, Impact]
    checked_by_engine: int
    """Dossiers drawn at random and priced again one by one; had one amount differed, there would be no answer."""
    cells: int
    seconds: float
    peak_memory_bytes: int


class Simulation(Record):
    """A run: who asked what, under which version, how far it is, and the answer when it is done."""

    id: str
    status: RunStatus
    progress_percent: int
    stage: Text
    author: str
    created_at: datetime
    finished_at: datetime | None
    input_sha256: str
    catalogue_version: str
    request: SimulationRequest
    failure: Text | None
    result: SimulationResult | None


class SimulationPage(Record):
    """Runs, newest first, without their results."""

    items: tuple[Simulation, ...]
    next_cursor: str | None = None


class UploadedFile(Record):
    """A file of dossiers, kept by its hash until it is not used for a week."""

    sha256: str
    bytes: int
