"""The words in which the law is written down here: dated rates, adjustments, postal agreements, zones and instruments.

Every entry says from when to when it holds, where, by which instrument and article, where it was read, and
whether it was read there (`verified`). Entries are never overwritten: a change of law ends one and begins another.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator

from kit.money import Dong
from services.fees.contract import Channel, Leg, Slug
from services.fees.contract import Text as AnyText
from services.fees.faults import wrong

PROCEDURE_CODE_PATTERN = r"^[1-3]\.\d{6}$"
Setter = Literal["ministry", "council", "government"]
"""Who sets a fee: the Ministry of Finance for the country, a provincial People's Council, or a decree."""

Zone = Literal["I", "II", "III"]
PostalZone = Literal["same_district", "other_district", "same_region", "other_region"]
POSTAL_ZONES: tuple[PostalZone, ...] = ("same_district", "other_district", "same_region", "other_region")
ScopeLevel = Literal["country", "province", "old_province", "commune", "agency"]
AGENCY_PATTERN = r"[A-Z0-9][A-Za-z0-9]{0,9}(\.[A-Za-z0-9]{1,10}){0,5}"
SCOPE_ORDER: dict[str, int] = {"agency": 4, "commune": 3, "old_province": 2, "province": 1, "country": 0}
"""The narrower place wins; the province of before 1 July 2025 is narrower than the merged one, an agency narrowest."""


def _plain_day(value: date) -> date:
    if isinstance(value, datetime):
        raise wrong("hãy viết ngày, không có giờ", "must be a day without a time")
    return value


Day = Annotated[date, Field(strict=True), AfterValidator(_plain_day)]
MOST = 500
"""Entries of one list inside an entry: more is a mistake, and would only make a document slow to refuse."""

Percent = Annotated[int, Field(strict=True, ge=0, le=100)]
Flag = Annotated[bool, Field(strict=True)]
Words = Annotated[str, Field(strict=True, min_length=1, max_length=2000)]


def _both_languages(value: object) -> object:
    """Refuse a text with anything but `vi` and `en`, or with one of them empty."""
    if isinstance(value, dict) and (
        set(value) != {"vi", "en"} or not all(isinstance(words, str) and words.strip() for words in value.values())
    ):
        raise wrong(
            "hãy viết đủ hai ngôn ngữ, không bỏ trống: {vi: …, en: …}",
            "write both languages, neither empty: {vi: …, en: …}",
        )
    return value


Text = Annotated[AnyText, BeforeValidator(_both_languages)]
"""The same words in both languages, neither empty."""

UNSEEN = frozenset({"MEM", "D"})
"""Sources that are memory or derivation: what rests on them alone is never verified."""


class Node(BaseModel):
    """A piece of the catalogue. `where` names file and line for whoever must correct it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    _where: str = PrivateAttr(default="published catalogue")

    @property
    def where(self) -> str:
        return self._where

    def mark(self, where: str) -> None:
        """Remember the file and line this was read from."""
        self._where = where


class Scope(Node):
    """Where an entry holds: the country, a province on the date, one of before July 2025, a commune, an agency.

    An agency is named by its code (`H29.12`) and speaks for its own units too (`H29.12.03`).
    """

    level: ScopeLevel
    code: Annotated[str, Field(pattern=rf"^(\d{{2}}|\d{{5}}|{AGENCY_PATTERN})?$")] = ""

    @model_validator(mode="after")
    def _code_fits_level(self) -> Self:
        if self.level == "agency":
            if not self.code:
                raise wrong("phạm vi agency cần mã cơ quan (code)", "a scope of level agency needs the agency's code")
            return self
        expected = {"country": 0, "province": 2, "old_province": 2, "commune": 5}[self.level]
        if len(self.code) != expected or (self.code and not self.code.isdigit()):
            raise wrong(
                f"phạm vi {self.level} cần mã có {expected} chữ số (code)",
                f"a scope of level {self.level} needs a code of {expected} digits",
            )
        return self

    def __str__(self) -> str:
        return self.level if self.level == "country" else f"{self.level}:{self.code}"


class Legal(Node):
    """What every entry carries: its days (both included), its place, its law, and how far it was checked."""

    valid_from: Day
    valid_to: Day | None
    scope: Scope
    instrument: Slug
    article: Annotated[str, Field(strict=True, max_length=200)]
    source: Words
    verified: Flag
    note: Text | None = None

    @model_validator(mode="after")
    def _days_and_source_agree(self) -> Self:
        if self.valid_to is not None and self.valid_to < self.valid_from:
            raise wrong(
                "ngày kết thúc (valid_to) trước ngày bắt đầu (valid_from); hãy sửa một trong hai",
                "valid_to is before valid_from; correct one of them",
            )
        if self.verified and set(self.sources) <= UNSEEN:
            raise wrong(
                "verified: true cần một nguồn đã xem; trí nhớ (MEM) và suy ra (D) thì ghi verified: false",
                "verified needs a source that was seen; memory (MEM) and derivation (D) are verified: false",
            )
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        """The ids of the sources."""
        return tuple(part.strip() for part in self.source.split(","))

    @property
    def fact(self) -> str | None:
        """The fact of the filing, besides its counts, that the amount depends on."""
        return None

    def covers(self, day: date) -> bool:
        """Whether the entry holds on `day`."""
        return self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)

    def overlaps(self, other: "Legal") -> bool:
        """Whether some day belongs to both entries."""
        return (self.valid_to is None or other.valid_from <= self.valid_to) and (
            other.valid_to is None or self.valid_from <= other.valid_to
        )


# --- fee items -----------------------------------------------------------------------------------


class Fixed(Legal):
    """One amount a filing."""

    shape: Literal["fixed"]
    amount_dong: Dong


class NoFee(Legal):
    """The state takes nothing; the line stays on the quote at 0 đồng."""

    shape: Literal["none"]


class PerCopy(Legal):
    """An amount for each copy above those `included`."""

    shape: Literal["per_copy"]
    amount_dong: Dong
    included: Annotated[int, Field(strict=True, ge=0, le=1000)] = 0


class PageStep(Node):
    from_page: Annotated[int, Field(strict=True, ge=1)]
    amount_dong: Dong


class PerPage(Legal):
    """Amounts a page that change at given pages, capped a copy, times the copies."""

    shape: Literal["per_page"]
    steps: Annotated[tuple[PageStep, ...], Field(min_length=1, max_length=MOST)]
    cap_dong: Dong | None = None

    @model_validator(mode="after")
    def _steps_ascend_from_page_one(self) -> Self:
        pages = [step.from_page for step in self.steps]
        if pages[0] != 1 or pages != sorted(set(pages)):
            raise wrong(
                "các bậc trang phải bắt đầu từ trang 1 và tăng dần", "page steps must begin at page 1 and ascend"
            )
        return self


class Band(Node):
    """An amount for values up to and including `up_to_dong`; the last band has no upper end."""

    up_to_dong: Dong | None
    amount_dong: Dong


class ZoneRate(Node):
    zone: Zone
    bands: Annotated[tuple[Band, ...], Field(min_length=1, max_length=MOST)]

    @model_validator(mode="after")
    def _bands_ascend_to_the_end(self) -> Self:
        ends = [band.up_to_dong for band in self.bands]
        closed = [end for end in ends[:-1] if end is not None]
        if ends[-1] is not None or len(closed) != len(ends) - 1 or closed != sorted(set(closed)):
            raise wrong(
                "các bậc giá trị phải tăng dần và chỉ bậc cuối để up_to_dong: null",
                "bands must ascend, and only the last has no upper end (up_to_dong: null)",
            )
        return self


class Zoned(Legal):
    """An amount by vehicle zone, and by value band where a zone has several."""

    shape: Literal["zoned"]
    zones: tuple[ZoneRate, ...]
    banded_by: Slug | None = None

    @property
    def fact(self) -> str | None:
        """The fact that holds the value, where a zone has bands."""
        return self.banded_by

    @model_validator(mode="after")
    def _every_zone_once(self) -> Self:
        if sorted(rate.zone for rate in self.zones) != ["I", "II", "III"]:
            raise wrong("cần đủ khu vực I, II, III, mỗi khu vực một lần", "zones I, II and III are each needed once")
        if any(len(rate.bands) > 1 for rate in self.zones) and self.banded_by is None:
            raise wrong(
                "bậc giá trị cần banded_by: tên số liệu ghi giá trị",
                "value bands need banded_by: the fact that holds the value",
            )
        return self


class Package(Legal):
    """An amount for each `per` (months, say) of a package of at least `minimum` of what `counts` names."""

    shape: Literal["package"]
    amount_dong: Dong
    per: Slug
    counts: Slug
    minimum: Annotated[int, Field(strict=True, ge=1, le=100_000)]


class ByApplicant(Legal):
    """One amount for persons and households, another for organisations."""

    shape: Literal["by_applicant"]
    person_dong: Dong
    business_dong: Dong


class Percentage(Legal):
    """A share of the value that the fact `of` holds, in hundredths of a per cent, up to `cap_dong`."""

    shape: Literal["percentage"]
    basis_points: Annotated[int, Field(strict=True, ge=0, le=10_000)]
    of: Slug
    cap_dong: Dong | None = None

    @property
    def fact(self) -> str | None:
        """The fact that holds the value."""
        return self.of


Rate = Annotated[
    Fixed | NoFee | PerCopy | PerPage | Zoned | Package | ByApplicant | Percentage, Field(discriminator="shape")
]


class FeeItem(Node):
    """One thing the state takes money for, with all its dated rates."""

    id: Slug
    kind: Literal["fee", "charge"]
    category: Slug
    set_by: Setter
    appraisal: Flag = False
    """Whether it pays for an appraisal (phí thẩm định), which some local supports leave out."""
    cases: tuple[Slug, ...] = ()
    label: Text
    gaps_allowed: Flag = False
    rates: Annotated[tuple[Rate, ...], Field(min_length=1, max_length=MOST)]


class ProcedureCode(Node):
    """A national code of the procedure; `case` when the code means just one of its cases."""

    code: Annotated[str, Field(pattern=PROCEDURE_CODE_PATTERN)]
    case: Slug | None = None


class Quantity(Node):
    """A count that rates need. Without `default` it must be sent."""

    name: Slug
    default: Annotated[int, Field(strict=True, ge=1)] | None = None


class Procedure(Node):
    """An administrative procedure and what it costs."""

    slug: Slug
    codes: tuple[ProcedureCode, ...] = ()
    title: Text
    field: Text
    cases: dict[Slug, Text] = {}
    quantities: tuple[Quantity, ...] = ()
    items: Annotated[tuple[FeeItem, ...], Field(min_length=1, max_length=MOST)]


# --- adjustments ---------------------------------------------------------------------------------


class Targets(Node):
    """Which lines an adjustment speaks of: every list that is given must match."""

    items: tuple[Slug, ...] = ()
    procedures: tuple[Slug, ...] = ()
    categories: tuple[Slug, ...] = ()
    kinds: tuple[Literal["fee", "charge", "postage"], ...] = ("fee", "charge")
    set_by: Setter | None = None
    leg: Leg | None = None


AdjustmentKind = Literal["exemption", "group_rate", "rate", "waiver", "support", "postal_reduction"]
STAGE: dict[str, int] = {
    "exemption": 0,
    "group_rate": 1,
    "postal_reduction": 1,
    "rate": 2,
    "waiver": 3,
    "support": 4,
}
"""The order of law: exemption, group rate, window or channel rate, local waiver, support of the remainder."""


class Adjustment(Legal):
    """A rule that lowers what is due, or lets a budget pay it.

    `pay_percent` is what remains to be paid of the tariff; `amount_dong` replaces the tariff and is never
    recomputed from a percentage. A support leaves the fee due: `payer` pays `support_percent` of it up to
    `ceiling_dong`. `unconfirmed` says in words what was not seen; such a rule is shown and never applied.
    """

    id: Slug
    kind: AdjustmentKind
    targets: Targets
    channels: tuple[Channel, ...] = ()
    groups: tuple[Slug, ...] = ()
    excludes_appraisal: Flag = False
    pay_percent: Percent | None = None
    amount_dong: Dong | None = None
    support_percent: Percent | None = None
    ceiling_dong: Dong | None = None
    payer: Annotated[str, Field(pattern=r"^budget:(\d{2}|central)$")] | None = None
    unconfirmed: Text | None = None

    @model_validator(mode="after")
    def _parts_fit_kind(self) -> Self:
        reduces = self.pay_percent is not None or self.amount_dong is not None
        if self.pay_percent is not None and self.amount_dong is not None:
            raise wrong(
                "chỉ ghi một trong hai: pay_percent hoặc amount_dong", "give pay_percent or amount_dong, not both"
            )
        if self.kind in ("group_rate", "rate", "postal_reduction") and not reduces and self.unconfirmed is None:
            raise wrong(
                f"loại {self.kind} cần pay_percent hoặc amount_dong", f"a {self.kind} needs pay_percent or amount_dong"
            )
        if self.kind in ("exemption", "waiver", "support") and reduces:
            raise wrong(
                f"loại {self.kind} không có pay_percent và amount_dong; hãy bỏ",
                f"a {self.kind} takes no pay_percent and no amount_dong; leave them out",
            )
        if self.kind in ("exemption", "group_rate", "postal_reduction") and not self.groups:
            raise wrong(
                f"loại {self.kind} cần nhóm người được hưởng (groups)",
                f"a {self.kind} needs the applicant groups it is for (groups)",
            )
        if (self.kind == "postal_reduction") != (self.targets.kinds == ("postage",)) and self.kind != "support":
            raise wrong(
                "cước bưu chính chỉ giảm bằng postal_reduction, và postal_reduction chỉ giảm cước (kinds: [postage])",
                "postage is reduced by postal_reduction and by nothing else (kinds: [postage])",
            )
        supports = self.support_percent is not None and self.payer is not None
        if (self.kind == "support") != supports or (self.kind != "support" and self.ceiling_dong is not None):
            raise wrong(
                "loại support, và chỉ loại này, có support_percent, payer và có thể có ceiling_dong",
                "a support, and only a support, has support_percent, payer and perhaps ceiling_dong",
            )
        return self


def about(adjustment: Adjustment, procedure: Procedure, item: FeeItem) -> bool:
    """Whether an adjustment speaks of a fee item. One that names nothing speaks of no item."""
    targets = adjustment.targets
    named = targets.items or targets.procedures or targets.categories or targets.set_by
    return (
        bool(named)
        and item.kind in targets.kinds
        and (not targets.items or item.id in targets.items)
        and (not targets.procedures or procedure.slug in targets.procedures)
        and (not targets.categories or item.category in targets.categories)
        and (targets.set_by is None or item.set_by == targets.set_by)
    )


# --- the post ------------------------------------------------------------------------------------


class ZonePrices(Node):
    """Đồng by postal zone."""

    same_district: Dong
    other_district: Dong
    same_region: Dong
    other_region: Dong

    def of(self, zone: PostalZone) -> int:
        """The price of one zone."""
        return int(getattr(self, zone))


class Bracket(ZonePrices):
    """Prices up to and including a weight; without `up_to_grams` for any weight."""

    up_to_grams: Annotated[int, Field(strict=True, ge=1)] | None


class WeightTable(Node):
    """Prices of one leg: brackets, then a price for each started `step_grams` above the last bracket."""

    brackets: Annotated[tuple[Bracket, ...], Field(min_length=1, max_length=MOST)]
    step_grams: Annotated[int, Field(strict=True, ge=1)] | None = None
    step_prices: ZonePrices | None = None

    @model_validator(mode="after")
    def _every_weight_has_a_price(self) -> Self:
        ends = [bracket.up_to_grams for bracket in self.brackets]
        closed = [end for end in ends if end is not None]
        if closed != sorted(set(closed)) or None in ends[:-1]:
            raise wrong("các nấc khối lượng phải tăng dần", "weight brackets must ascend")
        if (self.step_grams is None) != (self.step_prices is None):
            raise wrong("step_grams và step_prices phải đi cùng nhau", "step_grams and step_prices belong together")
        if (ends[-1] is None) == (self.step_grams is not None):
            raise wrong(
                "bảng cước phải kết thúc bằng một nấc không giới hạn hoặc bằng nấc tiếp theo (step_grams)",
                "the table must end either in an open bracket or in a step",
            )
        return self

    def price(self, zone: PostalZone, grams: int) -> int:
        """What an item of `grams` costs; a started step counts whole."""
        for bracket in self.brackets:
            if bracket.up_to_grams is None or grams <= bracket.up_to_grams:
                return bracket.of(zone)
        if self.step_grams is None or self.step_prices is None:
            raise AssertionError("the table was checked to be complete")
        last = self.brackets[-1]
        above = grams - (last.up_to_grams or 0)
        return last.of(zone) + -(-above // self.step_grams) * self.step_prices.of(zone)


class TwoWay(Node):
    """A price for both legs together in one zone, as the share of each leg."""

    zone: PostalZone
    send_dong: Dong
    return_dong: Dong


class Collection(Node):
    """What the post takes for collecting the state's money at the door.

    Nothing under `free_under_dong`. `amount_dong` None: an amount is due above, but was not found.
    """

    free_under_dong: Dong | None = None
    amount_dong: Dong | None


class Agreement(Node):
    """A price agreement of the public post, and the places and days it is used for."""

    id: Slug
    title: Text
    send: WeightTable
    return_: Annotated[WeightTable, Field(alias="return")]
    two_way: tuple[TwoWay, ...] = ()
    collection: Collection | None = None
    applies: Annotated[tuple[Legal, ...], Field(min_length=1, max_length=MOST)]


# --- zones, groups, instruments ------------------------------------------------------------------


class ZoneEntry(Legal):
    """The vehicle zone of a place. `old_district_kind` narrows it to cities or towns under a province."""

    zone: Zone
    old_district_kind: Literal["Thành phố", "Thị xã", "Quận"] | None = None


class Group(Node):
    """A group of applicants the law favours. `implies`: groups that each member also belongs to."""

    slug: Slug
    name: Text
    implies: tuple[Slug, ...] = ()


class Instrument(Node):
    """A legal instrument. `number` is how it is cited."""

    id: Slug
    number: Words
    name: Text
    issued_on: Day | None
    source: Words
    verified: Flag
    note: Text | None = None


class Source(Node):
    """Where something was read; entries name it by its id."""

    id: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9-]{0,39}$")]
    title: Words


class Catalogue(Node):
    """All of it, in an order that depends on ids alone."""

    procedures: tuple[Procedure, ...]
    adjustments: tuple[Adjustment, ...]
    agreements: tuple[Agreement, ...]
    zones: tuple[ZoneEntry, ...]
    groups: tuple[Group, ...]
    instruments: tuple[Instrument, ...]
    sources: tuple[Source, ...]
    communes: tuple[tuple[str, ...], ...]

    @classmethod
    def assembled(
        cls,
        *,
        procedures: list[Procedure],
        adjustments: list[Adjustment],
        agreements: list[Agreement],
        zones: list[ZoneEntry],
        groups: list[Group],
        instruments: list[Instrument],
        sources: list[Source],
        communes: list[tuple[str, ...]],
    ) -> "Catalogue":
        """Put the parts in canonical order, whatever order the files were read in."""
        return cls(
            procedures=tuple(sorted(procedures, key=lambda p: p.slug)),
            adjustments=tuple(sorted(adjustments, key=lambda a: a.id)),
            agreements=tuple(sorted(agreements, key=lambda a: a.id)),
            zones=tuple(sorted(zones, key=lambda z: z.model_dump_json())),
            groups=tuple(sorted(groups, key=lambda g: g.slug)),
            instruments=tuple(sorted(instruments, key=lambda i: i.id)),
            sources=tuple(sorted(sources, key=lambda s: s.id)),
            communes=tuple(sorted(communes)),
        )

    def content(self) -> str:
        """Canonical JSON: what a version is, and what its hash is taken of."""
        document = self.model_dump(mode="json", by_alias=True)
        return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    def fee_items(self) -> Iterator[tuple[Procedure, FeeItem]]:
        """Every fee item with its procedure."""
        for procedure in self.procedures:
            for item in procedure.items:
                yield procedure, item


def sha256_of(content: str) -> str:
    """The fingerprint of a version's content."""
    return hashlib.sha256(content.encode()).hexdigest()
