"""A year of dossiers drawn from the published volumes: one seed gives one year, and every assumption is stated."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict

from services.fees.circumstances import Circumstances, NotQuotable, facts_of
from services.fees.compiled import Snapshot
from services.fees.contract import QuoteRequest, Text
from services.fees.places import Commune
from services.fees.rules import Tariff
from services.fees.simulation.dossiers import AGENCY, Combination, Dossiers
from services.fees.simulation.terms import Generated
from services.fees.tariffs import Procedure

CHANNELS = ("online", "counter")


class _Read(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Online(_Read):
    ministry_basis_points: int
    council_basis_points: int
    source: str


class _Daily(_Read):
    country: int
    province: int
    source: str


class _Group(_Read):
    group: str
    basis_points: int


class Volumes(_Read):
    """The shares and weights of `volumes.yaml`."""

    online: _Online
    daily: _Daily
    groups: tuple[_Group, ...]
    groups_source: str
    weights: Mapping[str, int]
    default_weight: int
    weights_source: str
    quantities: Mapping[str, tuple[int, ...]]
    facts: Mapping[str, tuple[int, ...]]


@lru_cache(maxsize=1)
def volumes() -> Volumes:
    """The shipped volumes."""
    text = (Path(__file__).parent / "volumes.yaml").read_text(encoding="utf-8")
    return Volumes.model_validate(yaml.safe_load(text))


def generate(terms: Generated, tariff: Tariff) -> Dossiers:
    """Draw the year. Places stand for the communes that the law treats alike; only what has a tariff is drawn.

    Raises ValueError when the catalogue cannot price anything in the province that was asked for.
    """
    found = volumes()
    combinations: list[Combination] = []
    weights: list[float] = []
    left_out = 0
    snapshot = Snapshot(tariff)
    places = _places(tariff, terms.province)
    for procedure in tariff.catalogue.procedures:
        weight = found.weights.get(procedure.slug, found.default_weight)
        for case, (place, communes) in product(procedure.cases or [None], places):
            made = _combinations(tariff, procedure, case, place, terms.year, found)
            if not _priceable(snapshot, made[0][0], terms.year):
                left_out += 1
                continue
            for combination, share in made:
                combinations.append(combination)
                weights.append(weight / max(1, len(procedure.cases)) * communes * share)
    if not combinations:
        raise ValueError(f"the catalogue prices nothing in province {terms.province}")
    draws = np.random.default_rng(terms.seed)
    chances = np.array(weights) / sum(weights)
    drawn = draws.choice(len(combinations), size=terms.count, p=chances).astype(np.int32)
    days = np.array(_working_days(terms.year), dtype=np.int32)
    day = days[draws.integers(0, len(days), size=terms.count)]
    return Dossiers(tuple(combinations), drawn, day, _assumptions(terms, found, left_out, tariff))


def _priceable(snapshot: Snapshot, combination: Combination, year: int) -> bool:
    """Whether the catalogue has rates on the first and the last day of the year."""
    try:
        for day in (date(year, 1, 1), date(year, 12, 31)):
            snapshot.assess(combination.request.model_copy(update={"filed_on": day}))
    except NotQuotable:
        return False
    return True


def _places(tariff: Tariff, province: str | None) -> list[tuple[Commune, int]]:
    """One commune for all of a province and former province, by kind of former district, with how many there are."""
    alike: dict[tuple[str, str, str], list[Commune]] = {}
    for code in sorted(tariff.places.provinces) if province is None else [province]:
        for commune in tariff.places.communes_of(code):
            kind = commune.old_district_name.partition(" ")[0]
            alike.setdefault((commune.province, commune.old_province, kind), []).append(commune)
    return [(communes[0], len(communes)) for communes in alike.values()]


def _combinations(
    tariff: Tariff, procedure: Procedure, case: str | None, place: Commune, year: int, found: Volumes
) -> list[tuple[Combination, float]]:
    by_council = any(item.set_by == "council" for item in procedure.items)
    online = found.online.council_basis_points if by_council else found.online.ministry_basis_points
    known = _known(tariff, found)
    people: list[tuple[tuple[str, ...], int]] = [((), 10_000 - sum(g.basis_points for g in known))]
    people += [((g.group,), g.basis_points) for g in known]
    measures = list(_measures(procedure, case, found))
    made: list[tuple[Combination, float]] = []
    for (channel, chance), (groups, part), (quantities, facts) in product(
        ((CHANNELS[0], online), (CHANNELS[1], 10_000 - online)), people, measures
    ):
        request = QuoteRequest(
            procedure=procedure.slug,
            case=case,
            filed_on=date(year, 1, 1),
            channel=channel,
            province=place.province,
            commune=place.code,
            agency=AGENCY,
            applicant_groups=groups,
            quantities=quantities,
            facts=facts,
        )
        implied = frozenset(one for group in groups for one in tariff.vocabulary.implied[group])
        circumstances = Circumstances(
            request, procedure, case, place, place, implied, _counted(procedure, quantities), facts
        )
        made.append((Combination(request, circumstances), chance * part / 10_000**2 / len(measures)))
    return made


def _known(tariff: Tariff, found: Volumes) -> list[_Group]:
    return [group for group in found.groups if group.group in tariff.vocabulary.groups]


def _measures(
    procedure: Procedure, case: str | None, found: Volumes
) -> Iterator[tuple[dict[str, int], dict[str, Any]]]:
    quantities = [(q.name, found.quantities.get(q.name, (1,))) for q in procedure.quantities]
    facts = [(name, found.facts.get(name, (0,))) for name in facts_of(procedure, case)]
    for chosen in product(*(values for _, values in quantities), *(values for _, values in facts)):
        yield (
            dict(zip((name for name, _ in quantities), chosen, strict=False)),
            dict(zip((name for name, _ in facts), chosen[len(quantities) :], strict=True)),
        )


def _counted(procedure: Procedure, quantities: Mapping[str, int]) -> dict[str, int]:
    return {q.name: quantities.get(q.name, q.default or 1) for q in procedure.quantities}


def _working_days(year: int) -> Sequence[int]:
    days = [date(year, 1, 1) + timedelta(days=n) for n in range((date(year, 12, 31) - date(year, 1, 1)).days + 1)]
    return [day.toordinal() for day in days if day.weekday() < 5]


def _assumptions(terms: Generated, found: Volumes, left_out: int, tariff: Tariff) -> tuple[Text, ...]:
    place = tariff.places.provinces.get(terms.province or "", "")
    where = Text(vi=place or "cả nước", en=place or "the whole country")
    ministry, council = found.online.ministry_basis_points / 100, found.online.council_basis_points / 100
    known = [(tariff.vocabulary.groups[g.group].name, g.basis_points / 100) for g in _known(tariff, found)]
    listed = Text(
        vi=", ".join(f"{name.vi} {share:g}%" for name, share in known),
        en=", ".join(f"{name.en} {share:g}%" for name, share in known),
    )
    daily = found.daily.province if terms.province else found.daily.country
    size = Text(vi=f"{daily:,}".replace(",", "."), en=f"{daily:,}")
    count = Text(vi=f"{terms.count:,}".replace(",", "."), en=f"{terms.count:,}")
    return (
        Text(
            vi=f"{count.vi} hồ sơ được sinh cho năm {terms.year}, {where.vi}, hạt giống {terms.seed}; "
            f"quy mô thực tế khoảng {size.vi} hồ sơ mỗi ngày ({found.daily.source}).",
            en=f"{count.en} dossiers were drawn for {terms.year}, {where.en}, seed {terms.seed}; "
            f"the real volume is about {size.en} a day ({found.daily.source}).",
        ),
        Text(
            vi=f"Nộp trực tuyến {ministry:g}% với phí do Bộ quy định, {council:g}% với phí do HĐND quy định "
            f"({found.online.source}); còn lại nộp trực tiếp.",
            en=f"Filed online: {ministry:g}% where ministries set the fee, {council:g}% where councils do "
            f"({found.online.source}); the rest at the counter.",
        ),
        Text(
            vi=f"Tỷ trọng thủ tục và nhóm người nộp ({listed.vi}) là giả định ({found.weights_source}); "
            "hồ sơ chia đều các ngày làm việc, theo số xã của mỗi địa bàn.",
            en=f"The mix of procedures and groups ({listed.en}) is assumed ({found.weights_source}); "
            "dossiers fall evenly on working days, and on places by their number of communes.",
        ),
        Text(
            vi="Không tính cước bưu chính. "
            f"Đã bỏ {left_out} cặp trường hợp và địa bàn mà danh mục chưa có mức thu cả năm.",
            en="Postage is left out. "
            f"{left_out} pairs of case and place were left out for which the catalogue has no rate all year.",
        ),
    )
