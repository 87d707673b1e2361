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
