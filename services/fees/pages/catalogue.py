"""Pages of the fees service. The catalogue and the trial form are public: they are law."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, cast

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, Response

from kit.db import UnitOfWorkRoute, now
from kit.web import LOCAL_ZONE, Pages, language_of, see_other
from services.fees import queries, sentences
from services.fees.contract import Text
from services.fees.cuts import cut_dates
from services.fees.law import LawDep
from services.fees.pages.timeline import timeline_of
from services.fees.rules import Tariff, payer_name
from services.fees.tariffs import Legal
from services.fees.trial import Trial, trial_of

router = APIRouter(route_class=UnitOfWorkRoute, include_in_schema=False, default_response_class=HTMLResponse)

_CHANNELS = (
    ("online", "Nộp trực tuyến", "Online"),
    ("counter", "Nộp trực tiếp", "At the counter"),
    ("postal", "Nộp qua bưu chính", "By post"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A dated entry made ready for the page: its words, place, law and days."""

    title: Text
    text: Text
    place: Text
    law: Text
    days: Text
    since: date
    until: date | None
    source: str
    note: Text | None
    verified: bool
    state: str
    """`in_force`, `ended`, `coming` or `unconfirmed`."""


def _pages(request: Request) -> Pages:
    return cast("Pages", request.app.state.pages)


def _today() -> date:
    return now().astimezone(LOCAL_ZONE).date()


def _day(typed: str) -> tuple[date, bool]:
    """The day asked for and whether it was understood; today otherwise."""
    if not typed:
        return _today(), True
    try:
        return date.fromisoformat(typed), True
    except ValueError:
        return _today(), False


@dataclass(frozen=True, slots=True)
class Slide:
    """The day a page shows, and where the slider stands among the days on which something changes."""

    day: date
    understood: bool
    days: tuple[date, ...]
    step: int


def _slide(days: Sequence[date], on: str, step: str, was: str) -> Slide:
    """The slider wins when it was moved (`step` is not where it `was`); otherwise the typed day."""
    kept = tuple(days) or (_today(),)
    if step != was and step.isascii() and step.isdigit() and int(step) < len(kept):
        return Slide(kept[int(step)], understood=True, days=kept, step=int(step))
    day, understood = _day(on)
    place = max((index for index, one in enumerate(kept) if one <= day), default=0)
    return Slide(day, understood=understood, days=kept, step=place)


@router.get("/")
async def home() -> Response:
    """The first page is the catalogue."""
    return see_other("/catalogue")


@router.get("/catalogue")
async def catalogue(
    request: Request,
    law: LawDep,
    q: Annotated[str, Query(max_length=200)] = "",
    field: Annotated[str, Query(max_length=200)] = "",
    on: Annotated[str, Query(max_length=20)] = "",
    step: Annotated[str, Query(max_length=6)] = "",
    was: Annotated[str, Query(max_length=6)] = "",
) -> Response:
    """All procedures with what they cost on a day."""
    tariff = law.tariff
    slide = _slide(queries.days_of_change(tariff), on, step, was)
    day, understood = slide.day, slide.understood
    lang = language_of(request)
    fields = sorted({(p.field.vi, getattr(p.field, lang)) for p in tariff.catalogue.procedures})
    found = queries.procedures_matching(tariff, q, field)
    rows = [
        {
            "procedure": p,
            "amounts": queries.amounts_on(p, day),
            "shares": queries.shares_on(p, day),
            "verified": queries.summary_of(p).verified,
        }
        for p in sorted(found, key=lambda p: (queries.folded(p.field.vi), p.title.vi))
    ]
    return _pages(request).render(
        request,
        "catalogue.html.j2",
        rows=rows,
        fields=fields,
        q=q,
        chosen=field,
        on=day,
        understood=understood,
        slide=slide,
    )


@router.get("/catalogue/{slug}")
async def procedure(
    request: Request,
    law: LawDep,
    slug: Annotated[str, Path(max_length=64)],
    on: Annotated[str, Query(max_length=20)] = "",
    step: Annotated[str, Query(max_length=6)] = "",
    was: Annotated[str, Query(max_length=6)] = "",
) -> Response:
    """One procedure: rates in force on a day, and everything that was, is and will be."""
    tariff = law.tariff
    chosen = queries.procedure_of(tariff, slug)
    slide = _slide(cut_dates(tariff.catalogue, chosen), on, step, was)
    day, understood = slide.day, slide.understood
    rates = [
        _entry(tariff, rate, item.label, sentences.description(rate), day) for item, rate in queries.rates_of(chosen)
    ]
    adjustments = []
    for affecting in queries.adjustments_of(tariff, chosen):
        rule = affecting.adjustment
        shown = queries.adjustment_entry(tariff, rule, affecting.items)
        unconfirmed = rule.unconfirmed is not None
        adjustments.append(_entry(tariff, rule, shown.label, shown.description, day, unconfirmed=unconfirmed))
    history = sorted([*rates, *adjustments], key=lambda entry: entry.since, reverse=True)
    return _pages(request).render(
        request,
        "procedure.html.j2",
        procedure=chosen,
        rates=[entry for entry in rates if entry.state == "in_force"],
        adjustments=[entry for entry in adjustments if entry.state == "in_force"],
        history=history,
        bars=timeline_of(history, day),
        slide=slide,
        on=day,
        understood=understood,
    )


@router.get("/instruments")
async def instruments(request: Request, law: LawDep) -> Response:
    """Every instrument the catalogue rests on, and the rules that are known of but not applied."""
    tariff = law.tariff
    waiting = [
        _entry(
            tariff,
            rule,
            sentences.titled(sentences.ruling(rule)),
            sentences.titled(rule.unconfirmed),
            _today(),
            unconfirmed=True,
        )
        for rule in tariff.catalogue.adjustments
        if rule.unconfirmed is not None
    ]
    sources = {source.id: source.title for source in tariff.catalogue.sources}
    return _pages(request).render(
        request,
        "instruments.html.j2",
        instruments=list(tariff.catalogue.instruments),
        waiting=waiting,
        sources=sources,
        version=law.version,
    )


@router.get("/try")
async def try_it(request: Request, law: LawDep) -> Response:
    """A calculation form whose answer shows every rule that was applied or left."""
    tariff = law.tariff
    # A page address is typed and shared by people: unknown or oversized values are dropped, not refused.
    values = {key: value[:200] for key, value in request.query_params.items() if key not in ("groups", "lang")}
    groups = [slug for slug in request.query_params.getlist("groups") if slug in tariff.vocabulary.groups]
    trial = trial_of(tariff, values, groups, today=_today())
    lang = language_of(request)
    return _pages(request).render(request, "try.html.j2", **_choices(tariff, trial, lang))


def _choices(tariff: Tariff, trial: Trial, lang: str) -> dict[str, Any]:
    places, province = tariff.places, trial.values.get("province", "")
    applicant_province = trial.values.get("applicant_province") or province
    procedures = sorted(tariff.catalogue.procedures, key=lambda p: queries.folded(p.title.vi))
    payers: dict[str, int] = {}
    for line in trial.result.lines if trial.result else ():
        for share in line.shares:
            payers[share.payer] = payers.get(share.payer, 0) + share.amount_dong
    return {
        "trial": trial,
        "values": trial.values,
        "errors": {name: getattr(text, lang) for name, text in trial.errors.items()},
        "ready": trial.procedure is not None and province in places.provinces,
        "procedures": [(p.slug, f"{getattr(p.title, lang)} ({getattr(p.field, lang)})") for p in procedures],
        "provinces": sorted(places.provinces.items(), key=lambda pair: queries.folded(pair[1].split(" ", 1)[1])),
        "communes": [(c.code, f"{c.name} ({c.code})") for c in places.communes_of(province)],
        "applicant_communes": [(c.code, f"{c.name} ({c.code})") for c in places.communes_of(applicant_province)],
        "groups": [(g.slug, getattr(g.name, lang)) for g in tariff.catalogue.groups],
        "channels": [(slug, vi if lang == "vi" else en) for slug, vi, en in _CHANNELS],
        "quantities": [quantity.name for quantity in trial.procedure.quantities] if trial.procedure else [],
        "payers": [(payer_name(tariff, payer), amount) for payer, amount in payers.items()],
        "payer_name": lambda payer: payer_name(tariff, payer),
    }


def _entry(tariff: Tariff, entry: Legal, title: Text, text: Text, on: date, *, unconfirmed: bool = False) -> Entry:
    state = "in_force" if entry.covers(on) else "coming" if entry.valid_from > on else "ended"
    return Entry(
        title=title,
        text=text,
        place=queries.place_in_words(tariff, entry.scope),
        law=sentences.titled(tariff.law(entry)),
        days=sentences.titled(sentences.window(entry)),
        since=entry.valid_from,
        until=entry.valid_to,
        source=entry.source,
        note=entry.note,
        verified=entry.verified and not unconfirmed,
        state="unconfirmed" if unconfirmed else state,
    )
