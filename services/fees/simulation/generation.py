"""A year of dossiers drawn from the published volumes: one seed gives one year, and every assumption is stated."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
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
from services.fees.contract import Channel, QuoteRequest, Text
from services.fees.places import Commune
from services.fees.rules import Tariff
from services.fees.simulation.dossiers import AGENCY, Combination, Dossiers
from services.fees.simulation.terms import Generated
from services.fees.tariffs import Procedure


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
    default_facts: tuple[int, ...]


@lru_cache(maxsize=1)
def volumes() -> Volumes:
    """The shipped volumes."""
    text = (Path(__file__).parent / "volumes.yaml").read_text(encoding="utf-8")
    return Volumes.model_validate(yaml.safe_load(text))


@dataclass(frozen=True, slots=True)
class _Kind:
    """Filings of one sort in one place, not yet made: most sorts are so rare that none is drawn."""

    procedure: Procedure
    case: str | None
    place: Commune
    channel: Channel
    groups: tuple[str, ...]
    quantities: dict[str, int]
    facts: dict[str, Any]


def generate(terms: Generated, tariff: Tariff) -> Dossiers:
    """Draw the year. One commune stands for all of its province, former province and kind of former district.

    Only what has a tariff all year is drawn. Raises ValueError when the catalogue prices nothing where it was asked.
    """
    kinds, weights, left_out = _kinds(terms, tariff)
    if not kinds:
        raise ValueError(f"the catalogue prices nothing in province {terms.province}")
    draws = np.random.default_rng(terms.seed)
    shares = np.array(weights)
    drawn = draws.choice(len(kinds), size=terms.count, p=shares / shares.sum())
    used, combination = np.unique(drawn, return_inverse=True)
    days = np.array(_working_days(terms.year), dtype=np.int32)
    day = days[draws.integers(0, len(days), size=terms.count)]
    made = tuple(_combination(tariff, kinds[number], terms.year) for number in used.tolist())
    return Dossiers(made, combination.astype(np.int32), day, _assumptions(terms, volumes(), left_out, tariff))


def _kinds(terms: Generated, tariff: Tariff) -> tuple[list[_Kind], list[float], int]:
    found, snapshot = volumes(), Snapshot(tariff)
    kinds: list[_Kind] = []
    weights: list[float] = []
    left_out = 0
    places = _places(tariff, terms.province)
    for procedure in tariff.catalogue.procedures:
        weight = found.weights.get(procedure.slug, found.default_weight) / max(1, len(procedure.cases))
        for case in procedure.cases or [None]:
            measures = _measures(procedure, case, found)
            outline = snapshot.outline(procedure, case)
            known: dict[Hashable, bool] = {}
            for place, communes in places:
                alike = (outline.place(place), place.old_district_name.partition(" ")[0] if outline.zoned else "")
                if alike not in known:
                    one = _Kind(procedure, case, place, "counter", (), *measures[0])
                    known[alike] = _priceable(snapshot, _combination(tariff, one, terms.year), terms.year)
                if not known[alike]:
                    left_out += 1
                    continue
                for (channel, online), (groups, people) in product(_channels(procedure, found), _people(tariff, found)):
                    share = weight * communes * online * people / len(measures)
                    kinds += [_Kind(procedure, case, place, channel, groups, *measure) for measure in measures]
                    weights += [share] * len(measures)
    return kinds, weights, left_out


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


def _combination(tariff: Tariff, kind: _Kind, year: int) -> Combination:
    """The filing itself. Every value is the catalogue's own, so nothing is left to be checked."""
    request = QuoteRequest.model_construct(
        procedure=kind.procedure.slug,
        case=kind.case,
        filed_on=date(year, 1, 1),
        channel=kind.channel,
        province=kind.place.province,
        commune=kind.place.code,
        agency=AGENCY,
        applicant_groups=kind.groups,
        quantities=kind.quantities,
        facts=kind.facts,
    )
    implied = frozenset(one for group in kind.groups for one in tariff.vocabulary.implied[group])
    counted = _counted(kind.procedure, kind.quantities)
    return Combination(
        request, Circumstances(request, kind.procedure, kind.case, kind.place, kind.place, implied, counted, kind.facts)
    )


def _channels(procedure: Procedure, found: Volumes) -> tuple[tuple[Channel, float], ...]:
    by_council = any(item.set_by == "council" for item in procedure.items)
    online = found.online.council_basis_points if by_council else found.online.ministry_basis_points
    return ("online", online / 10_000), ("counter", 1 - online / 10_000)


def _people(tariff: Tariff, found: Volumes) -> list[tuple[tuple[str, ...], float]]:
    known = _known(tariff, found)
    nobody = 1 - sum(group.basis_points for group in known) / 10_000
    return [((), nobody), *(((group.group,), group.basis_points / 10_000) for group in known)]


def _known(tariff: Tariff, found: Volumes) -> list[_Group]:
    return [group for group in found.groups if group.group in tariff.vocabulary.groups]


def _measures(procedure: Procedure, case: str | None, found: Volumes) -> list[tuple[dict[str, int], dict[str, Any]]]:
    """Counts and figures of a filing, the first of each with the first of the others, and so on."""
    quantities = {q.name: found.quantities.get(q.name, (q.default or 1,)) for q in procedure.quantities}
    facts = {name: found.facts.get(name, found.default_facts) for name in facts_of(procedure, case)}
    sizes = [len(values) for values in (*quantities.values(), *facts.values())]
    return [
        (
            {name: values[n % len(values)] for name, values in quantities.items()},
            {name: values[n % len(values)] for name, values in facts.items()},
        )
        for n in range(max(sizes, default=1))
    ]


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
