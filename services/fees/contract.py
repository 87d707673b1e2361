"""What other rooms may know of the fees service: quotes, procedures, and the words they are made of."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from kit.money import Dong

Channel = Literal["online", "counter", "postal"]
FeeKind = Literal["fee", "charge", "postage", "collection"]
"""phí, lệ phí, cước bưu chính, and the post's charge for collecting money."""

Leg = Literal["send", "return"]
Outcome = Literal["applied", "not_applied"]
PROVINCE_PATTERN = r"^\d{2}$"
COMMUNE_PATTERN = r"^\d{5}$"
SLUG_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"

Province = Annotated[str, StringConstraints(pattern=PROVINCE_PATTERN)]
Commune = Annotated[str, StringConstraints(pattern=COMMUNE_PATTERN)]
Slug = Annotated[str, StringConstraints(pattern=SLUG_PATTERN)]
ProcedureRef = Annotated[str, StringConstraints(min_length=3, max_length=40)]
"""A catalogue slug (`passport`) or a national procedure code (`2.000488`, `1.000948.H38`)."""


class Strict(BaseModel):
    """A body that crosses HTTP: unknown fields are refused by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Record(BaseModel):
    """An answer: readers ignore fields that a newer service added."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Text(Record):
    """The same sentence in both languages of the house."""

    vi: str
    en: str


class PostalChoice(Strict):
    """Which legs go by the public post. Weights are of the sealed item, in grams."""

    send: bool = False
    return_result: bool = False
    send_weight_grams: Annotated[int, Field(strict=True, ge=1, le=30_000)] = 100
    return_weight_grams: Annotated[int, Field(strict=True, ge=1, le=30_000)] = 100
    cash_on_delivery: bool = False


class QuoteRequest(Strict):
    """The facts that decide what is owed. `filed_on` chooses the law, not today's date.

    `applicant_commune` decides vehicle zones and the postal zone; without it the agency's commune is used.
    """

    procedure: ProcedureRef
    case: Slug | None = None
    filed_on: Annotated[date, Field(ge=date(2015, 1, 1), le=date(2100, 12, 31))]
    channel: Channel
    province: Province
    commune: Commune
    agency: Annotated[str, StringConstraints(min_length=1, max_length=40)]
    applicant_kind: Literal["person", "business"] = "person"
    applicant_groups: Annotated[tuple[Slug, ...], Field(max_length=20)] = ()
    applicant_commune: Commune | None = None
    quantities: Annotated[dict[Slug, Annotated[int, Field(strict=True, ge=1, le=100_000)]], Field(max_length=20)] = {}
    facts: Annotated[dict[Slug, Annotated[int, Field(strict=True, ge=0, le=10**13)] | Slug], Field(max_length=20)] = {}
    postal: PostalChoice = PostalChoice()


class Step(Record):
    """One rule that was applied, or considered and not applied, to one line."""

    rule: str
    outcome: Outcome
    before_dong: int
    after_dong: int
    instrument: str
    article: str
    text: Text


class Share(Record):
    """Who pays how much of a line. `payer` is `citizen` or `budget:{province or 'central'}`."""

    payer: str
    amount_dong: Dong


class QuoteLine(Record):
    """One thing owed: `gross_dong` is the full tariff, `due_dong` what reductions leave; the shares sum to it."""

    item: str
    kind: FeeKind
    leg: Leg | None = None
    label: Text
    beneficiary: str
    gross_dong: Dong
    due_dong: Dong
    shares: tuple[Share, ...]
    steps: tuple[Step, ...]
    verified: bool

    @model_validator(mode="after")
    def _shares_sum_to_the_due(self) -> "QuoteLine":
        if sum(share.amount_dong for share in self.shares) != self.due_dong:
            raise ValueError("the shares of a line must sum to what is due")
        return self

    def due_from(self, payer_kind: Literal["citizen", "budget"]) -> int:
        """What the citizen, or all budgets together, owe of this line, in đồng."""
        return sum(s.amount_dong for s in self.shares if s.payer.split(":")[0] == payer_kind)


class Quote(Record):
    """An immutable answer. The same request under the same catalogue gives the same `inputs_hash` and lines."""

    id: str
    created_at: datetime
    expires_at: datetime
    inputs_hash: str
    catalogue_version: str
    publication: int | None = None
    """Number of the publication whose law it was made under."""
    answer_hash: str | None = None
    """SHA-256 of the facts, the version and the lines together: who holds the hash can prove the answer."""
    requote_of: str | None = None
    procedure: str
    title: Text
    request: QuoteRequest
    lines: tuple[QuoteLine, ...]
    total_dong: Dong
    citizen_dong: Dong
    budget_dong: Dong

    @model_validator(mode="after")
    def _totals_agree(self) -> "Quote":
        if self.citizen_dong + self.budget_dong != self.total_dong:
            raise ValueError("the payers of a quote must sum to its total")
        if sum(line.due_dong for line in self.lines) != self.total_dong:
            raise ValueError("the lines of a quote must sum to its total")
        return self


class ProcedureSummary(Record):
    """One line of the catalogue."""

    slug: str
    codes: tuple[str, ...]
    title: Text
    field: Text
    cases: tuple[str, ...]
    verified: bool


class ProcedurePage(Record):
    items: tuple[ProcedureSummary, ...]
    next_cursor: str | None = None


class TariffEntry(Record):
    """One dated rate of a procedure, with the law that sets it."""

    item: str
    kind: FeeKind
    label: Text
    case: str | None
    description: Text
    valid_from: date
    valid_to: date | None
    scope: str
    instrument: str
    article: str
    source: str
    verified: bool


class ProcedureDetail(ProcedureSummary):
    """A procedure with every rate and adjustment, or those in force on a date when one was asked."""

    quantities: tuple[str, ...]
    facts: tuple[str, ...]
    tariff: tuple[TariffEntry, ...]
    adjustments: tuple[TariffEntry, ...]


class LineExplanation(Record):
    """A line of a quote in plain sentences, in the order the law was applied."""

    item: str
    label: Text
    due_dong: Dong
    sentences: tuple[Text, ...]


class QuoteExplanation(Record):
    """Why a quote is what it is, ready to be read to a citizen."""

    quote: str
    summary: Text
    lines: tuple[LineExplanation, ...]


class CataloguePublished(Record):
    """News `catalogue.published`: another state of the law is in use. `number` counts the acts of publishing."""

    event_id: str
    version: str
    sha256: str
    published_at: datetime
    author: str
    number: int | None = None
    approver: str | None = None
    reason: str = ""
    draft: str | None = None


# --- versions of the law, and drafts of it ---------------------------------------------------------

DraftStatus = Literal["editing", "submitted", "returned", "approved", "published", "withdrawn"]
DocumentPath = Annotated[
    str,
    StringConstraints(pattern=r"^(?:(?:procedures|adjustments|postage|zones)/)?[a-z0-9][a-z0-9-]{0,79}\.yaml$"),
]
"""Path of a document inside the catalogue: `procedures/passport.yaml`, `adjustments/hai-phong-2027.yaml`."""

DocumentText = Annotated[str, StringConstraints(max_length=256 * 1024, pattern=r"^[^\x00]*$")]
_LINES = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"
_ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f]*$"
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000, pattern=_LINES)]
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=_ONE_LINE)]
Revision = Annotated[int, Field(strict=True, ge=1, lt=2**31)]
Documents = Annotated[dict[DocumentPath, DocumentText | None], Field(max_length=12)]
"""Whole documents by path; null takes the document out of the law. A second person has to read them all."""


class DraftRequest(Strict):
    """A new draft: what it is called, why it is needed, and the documents it writes. Documents may still be faulty."""

    title: Title
    reason: Words
    documents: Documents = {}


class DraftChange(DraftRequest):
    """A draft as it shall be now. `revision` is the one that was read; another means somebody was faster (412)."""

    revision: Revision


class DraftStep(Strict):
    """Hand a draft on, as it was read at `revision`."""

    revision: Revision


class DraftReturn(DraftStep):
    """Give a draft back to its author; the reason says what to correct."""

    reason: Words


class DraftEventRecord(Record):
    """One thing that happened to a draft, with the hash of the documents it happened to."""

    revision: int
    action: str
    actor: str
    reason: str
    documents_sha256: str
    at: datetime


class DraftSummary(Record):
    """A draft in a list."""

    id: str
    title: str
    reason: str
    status: DraftStatus
    revision: int
    author: str
    approver: str | None
    decision_reason: str
    base: int
    paths: tuple[str, ...]
    created_at: datetime
    updated_at: datetime


class DraftDetail(DraftSummary):
    """A draft with its documents, everything that happened to it, and what it was published as."""

    documents: dict[str, str | None]
    events: tuple[DraftEventRecord, ...]
    publication: int | None = None


class DraftPage(Record):
    items: tuple[DraftSummary, ...]
    next_cursor: str | None = None


class Fault(Record):
    """One thing to correct in a document, with file and line (from 1)."""

    file: str
    line: int
    text: Text


class LawChange(Record):
    """One entry of the law that is added, removed or changed between two states, in words."""

    kind: Literal["rate", "adjustment", "procedure", "agreement", "zone", "group", "instrument", "source"]
    action: Literal["added", "removed", "changed"]
    id: str
    title: Text
    before: Text | None
    after: Text | None


class DocumentDifference(Record):
    """Lines of one document that differ, as a unified diff."""

    path: str
    action: Literal["added", "removed", "changed"]
    lines: tuple[str, ...]


class ExamplePrice(Record):
    """What one filing would cost under one state of the law; `refusal` when it cannot be priced."""

    total_dong: Dong = 0
    citizen_dong: Dong = 0
    budget_dong: Dong = 0
    refusal: Text | None = None


class Example(Record):
    """One filing priced before and after a change."""

    title: Text
    request: QuoteRequest
    before: ExamplePrice
    after: ExamplePrice
    sentences: tuple[Text, ...]
    """What the changed rules say about this filing after the change."""


class DraftCheck(Record):
    """What a draft would do to the law in force. `ready` when it may be submitted: no faults, and something changes."""

    draft: str
    revision: int
    base: int
    in_force: int
    ready: bool
    faults: tuple[Fault, ...]
    moved: tuple[str, ...]
    """Documents that somebody else published since the draft was begun; look at them, then rebase."""
    warnings: tuple[Text, ...]
    changes: tuple[LawChange, ...]
    documents: tuple[DocumentDifference, ...]
    examples: tuple[Example, ...]


class VersionSummary(Record):
    """One publication: which state of the law came into use, by whom, on whose approval, why."""

    number: int
    version: str
    published_at: datetime
    author: str
    approver: str | None
    reason: str
    draft: str | None
    release: str | None


class HeldDocument(Record):
    """A document of a publication by hash. `by_officer`: the release ships another text, or none."""

    path: str
    sha256: str | None
    by_officer: bool


class VersionDetail(VersionSummary):
    documents: tuple[HeldDocument, ...]


class VersionPage(Record):
    items: tuple[VersionSummary, ...]
    next_cursor: str | None = None


class VersionDifference(Record):
    """What changed in the law between two publications."""

    before: int
    after: int
    changes: tuple[LawChange, ...]
    documents: tuple[DocumentDifference, ...]


# --- quotes compared -------------------------------------------------------------------------------


class LineDifference(Record):
    """One line of two quotes for the same facts; an amount is null where the line does not arise."""

    item: str
    leg: Leg | None
    label: Text
    before_dong: Dong | None
    after_dong: Dong | None
    citizen_before_dong: Dong | None
    citizen_after_dong: Dong | None
    reasons: tuple[Text, ...]
    """Rules whose part in the line is another than before, as the later quote tells it."""


class QuoteDifference(Record):
    """Two quotes of the same facts under two states of the law, line by line."""

    same: bool
    before_version: str
    after_version: str
    total_before_dong: Dong
    total_after_dong: Dong
    citizen_before_dong: Dong
    citizen_after_dong: Dong
    lines: tuple[LineDifference, ...]


class Requote(Record):
    """A new quote for the facts of an old one, and what is different."""

    quote: Quote
    difference: QuoteDifference


class Explanation(Record):
    """What a filing would cost and why, without anything being kept. `publication` names the law it was priced by."""

    catalogue_version: str
    publication: int
    procedure: str
    title: Text
    summary: Text
    lines: tuple[QuoteLine, ...]
    total_dong: Dong
    citizen_dong: Dong
    budget_dong: Dong


class ProcedureTariff(Record):
    """What one procedure costs on a day: rates, and the adjustments in force."""

    slug: str
    codes: tuple[str, ...]
    title: Text
    on: date
    rates: tuple[TariffEntry, ...]
    adjustments: tuple[TariffEntry, ...]


class TariffPage(Record):
    """The tariff in force on a day, a page of procedures at a time, under one publication."""

    on: date
    publication: int
    items: tuple[ProcedureTariff, ...]
    next_cursor: str | None = None


class QuotePreview(Record):
    """What a filing would cost: a quote without an id, not stored, that binds nobody."""

    catalogue_version: str
    publication: int
    procedure: str
    inputs_hash: str
    total_dong: Dong
    citizen_dong: Dong
    budget_dong: Dong
    lines: tuple[QuoteLine, ...]
