"""Reads: quotes by id, procedures and the tariff in force, and the history of a procedure."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from kit.errors import NotFound
from services.fees import sentences
from services.fees.amounts import amounts_in
from services.fees.circumstances import facts_of
from services.fees.contract import (
    LineExplanation,
    ProcedureDetail,
    ProcedureSummary,
    ProcedureTariff,
    Quote,
    QuoteExplanation,
    QuoteLine,
    QuoteRequest,
    TariffEntry,
    Text,
)
from services.fees.models import QuoteRow
from services.fees.rules import Tariff
from services.fees.tariffs import Adjustment, FeeItem, Legal, Percentage, Procedure, Rate, Scope


async def quote_by_id(session: AsyncSession, identity: str) -> Quote:
    """The quote as it was given. Raises NotFound."""
    # NUL cannot be asked of PostgreSQL, and no id of ours holds one.
    row = await session.get(QuoteRow, identity) if identity.isascii() and identity.isprintable() else None
    if row is None:
        raise NotFound(
            "Không có bản tính phí với mã này; hãy kiểm tra lại mã hoặc tính lại.",
            "There is no quote with this id; check the id or ask for a new quote.",
        )
    return quote_of(row)


def quote_of(row: QuoteRow) -> Quote:
    """The contract's view of a stored quote."""
    return Quote(
        id=row.id,
        created_at=row.created_at,
        expires_at=row.expires_at,
        inputs_hash=row.inputs_hash,
        catalogue_version=row.catalogue_version,
        publication=row.publication,
        answer_hash=row.answer_hash,
        requote_of=row.requote_of,
        procedure=row.procedure,
        title=Text.model_validate(row.title),
        request=QuoteRequest.model_validate(row.request),
        lines=tuple(QuoteLine.model_validate(line) for line in row.lines),
        total_dong=row.total_dong,
        citizen_dong=row.citizen_dong,
        budget_dong=row.budget_dong,
    )


def explanation_of(quote: Quote) -> QuoteExplanation:
    """A quote in plain sentences."""
    summary = summary_in_words(quote.title, quote.request.filed_on, total=quote.total_dong, citizen=quote.citizen_dong)
    lines = tuple(
        LineExplanation(
            item=line.item,
            label=line.label,
            due_dong=line.due_dong,
            sentences=tuple(step.text for step in line.steps),
        )
        for line in quote.lines
    )
    return QuoteExplanation(quote=quote.id, summary=summary, lines=lines)


def summary_in_words(title: Text, filed_on: date, *, total: int, citizen: int) -> Text:
    """One sentence: what, when, how much, and who pays."""
    whole, mine, rest = (sentences.money(amount) for amount in (total, citizen, total - citizen))
    filed = sentences.day(filed_on)
    return Text(
        vi=f"{title.vi}, nộp ngày {filed}: tổng {whole.vi}; người nộp trả {mine.vi}, ngân sách trả {rest.vi}.",
        en=f"{title.en}, filed on {filed}: {whole.en} in all; the citizen pays {mine.en}, budgets {rest.en}.",
    )


def folded(text: str) -> str:
    """Lower case without Vietnamese marks, so that `ho chieu` finds `Hộ chiếu`."""
    plain = unicodedata.normalize("NFD", text.lower().replace("đ", "d"))
    return "".join(character for character in plain if not unicodedata.combining(character))


def procedures_matching(tariff: Tariff, words: str = "", field: str = "") -> list[Procedure]:
    """Procedures by slug whose title, field, slug or code holds every word asked for."""
    asked = folded(words).split()
    found = []
    for procedure in tariff.catalogue.procedures:
        title, area = procedure.title, procedure.field
        codes = " ".join(code.code for code in procedure.codes)
        hay = folded(f"{procedure.slug} {title.vi} {title.en} {area.vi} {area.en} {codes}")
        if all(word in hay for word in asked) and field in ("", procedure.field.vi):
            found.append(procedure)
    return found


def summary_of(procedure: Procedure) -> ProcedureSummary:
    """One line of the catalogue; verified when every rate of it is."""
    return ProcedureSummary(
        slug=procedure.slug,
        codes=tuple(code.code for code in procedure.codes),
        title=procedure.title,
        field=procedure.field,
        cases=tuple(procedure.cases),
        verified=all(rate.verified for item in procedure.items for rate in item.rates),
    )


def procedure_detail(tariff: Tariff, reference: str, on: date | None = None) -> ProcedureDetail:
    """A procedure with its rates and adjustments: those in force on a day, or all. Raises NotFound."""
    procedure = procedure_of(tariff, reference)
    return ProcedureDetail(
        **summary_of(procedure).model_dump(),
        quantities=tuple(quantity.name for quantity in procedure.quantities),
        facts=facts_of(procedure),
        tariff=tuple(rate_entry(item, rate) for item, rate in rates_of(procedure, on)),
        adjustments=tuple(
            adjustment_entry(tariff, a.adjustment, a.items) for a in adjustments_of(tariff, procedure, on)
        ),
    )


def procedure_tariff(tariff: Tariff, procedure: Procedure, on: date) -> ProcedureTariff:
    """What a procedure costs on a day: the rates, and the adjustments in force."""
    return ProcedureTariff(
        slug=procedure.slug,
        codes=tuple(code.code for code in procedure.codes),
        title=procedure.title,
        on=on,
        rates=tuple(rate_entry(item, rate) for item, rate in rates_of(procedure, on)),
        adjustments=tuple(
            adjustment_entry(tariff, a.adjustment, a.items) for a in adjustments_of(tariff, procedure, on)
        ),
    )


def procedure_of(tariff: Tariff, reference: str) -> Procedure:
    """The procedure of a slug or national code. Raises NotFound."""
    found = tariff.vocabulary.procedure_of(reference)
    if found is None:
        raise NotFound(
            "Danh mục không có thủ tục này; hãy tìm theo tên tại GET /v1/procedures?q=…",
            "The catalogue has no such procedure; look for it with GET /v1/procedures?q=…",
        )
    return found[0]


def rates_of(procedure: Procedure, on: date | None = None) -> Iterator[tuple[FeeItem, Rate]]:
    """Rates of a procedure, in the order of its items, then by day."""
    for item in procedure.items:
        for rate in sorted(item.rates, key=lambda rate: (rate.valid_from, str(rate.scope))):
            if on is None or rate.covers(on):
                yield item, rate


@dataclass(frozen=True, slots=True)
class Affecting:
    """An adjustment and the items of one procedure it speaks of."""

    adjustment: Adjustment
    items: tuple[FeeItem, ...]


def adjustments_of(tariff: Tariff, procedure: Procedure, on: date | None = None) -> list[Affecting]:
    """Adjustments that speak of a procedure's fees, the newest first."""
    items: dict[str, list[FeeItem]] = {}
    rules: dict[str, Adjustment] = {}
    for plan in tariff.plans[procedure.slug]:
        for rule_plan in plan.rules:
            rule = rule_plan.rule
            if on is None or (rule.covers(on) and rule.unconfirmed is None):
                rules[rule.id] = rule
                items.setdefault(rule.id, []).append(plan.item)
    ordered = sorted(rules.values(), key=lambda rule: (-rule.valid_from.toordinal(), rule.id))
    return [Affecting(rule, tuple(items[rule.id])) for rule in ordered]


def rate_entry(item: FeeItem, rate: Rate) -> TariffEntry:
    """A rate as the contract shows it."""
    return TariffEntry(
        item=item.id,
        kind=item.kind,
        label=item.label,
        case=item.cases[0] if len(item.cases) == 1 else None,
        description=sentences.description(rate),
        valid_from=rate.valid_from,
        valid_to=rate.valid_to,
        scope=str(rate.scope),
        instrument=rate.instrument,
        article=rate.article,
        source=rate.source,
        verified=rate.verified,
    )


def adjustment_entry(tariff: Tariff, rule: Adjustment, items: Sequence[FeeItem]) -> TariffEntry:
    """An adjustment as the contract shows it; one that is only known of says what is missing."""
    cases = {case for item in items for case in item.cases}
    law = tariff.law(rule)
    people = sentences.people(rule.groups, tariff.vocabulary.groups) if rule.groups else None
    text = (
        sentences.not_applied(rule, law, rule.unconfirmed) if rule.unconfirmed else sentences.granted(rule, law, people)
    )
    return TariffEntry(
        item=rule.id,
        kind=items[0].kind,
        label=sentences.titled(sentences.ruling(rule)),
        case=cases.pop() if len(cases) == 1 and len(items) == 1 else None,
        description=text,
        valid_from=rule.valid_from,
        valid_to=rule.valid_to,
        scope=str(rule.scope),
        instrument=rule.instrument,
        article=rule.article,
        source=rule.source,
        verified=rule.verified and rule.unconfirmed is None,
    )


def days_of_change(tariff: Tariff) -> tuple[date, ...]:
    """The days on which some entry of the law begins, or no longer holds."""
    catalogue = tariff.catalogue
    entries: list[Legal] = [rate for _, item in catalogue.fee_items() for rate in item.rates]
    entries += [*catalogue.adjustments, *(use for agreement in catalogue.agreements for use in agreement.applies)]
    ends = {entry.valid_to + timedelta(days=1) for entry in entries if entry.valid_to not in (None, date.max)}
    return tuple(sorted(ends | {entry.valid_from for entry in entries}))


def amounts_on(procedure: Procedure, on: date) -> list[int]:
    """The distinct full amounts a procedure may start from on a day, smallest first; for lists."""
    return sorted({amount for _, rate in rates_of(procedure, on) for amount in amounts_in(rate)})


def shares_on(procedure: Procedure, on: date) -> list[Text]:
    """The rates of a day that are a share of a value, in words; lists show them where there is no amount."""
    return [sentences.description(rate) for _, rate in rates_of(procedure, on) if isinstance(rate, Percentage)]


def place_in_words(tariff: Tariff, scope: Scope) -> Text:
    """Where an entry holds: the whole country, a province, a commune, an agency."""
    places = tariff.places
    if scope.level == "country":
        return Text(vi="Cả nước", en="The whole country")
    if scope.level == "province":
        name = places.provinces.get(scope.code) or places.old_provinces.get(scope.code, scope.code)
        return Text(vi=name, en=name)
    if scope.level == "old_province":
        name = places.old_provinces.get(scope.code, scope.code)
        return Text(vi=f"{name} (trước 01/07/2025)", en=f"{name} (before 01/07/2025)")
    if scope.level == "agency":
        return Text(vi=f"Cơ quan {scope.code}", en=f"Agency {scope.code}")
    commune = places.get(scope.code)
    name = commune.name if commune else scope.code
    return Text(vi=name, en=name)
