"""Communes, the district and province they belonged to before July 2025, and what follows from a place on a day."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from services.fees.tariffs import SCOPE_ORDER, PostalZone, Scope, ZoneEntry

MERGER = date(2025, 7, 1)
"""Districts ended and 63 provinces became 34 (Decision 19/2025/QĐ-TTg)."""

COLUMNS = (
    "commune_code",
    "commune_name",
    "province_code",
    "province_name",
    "old_district_code",
    "old_district_name",
    "old_province_code",
    "old_province_name",
    "region",
)


@dataclass(frozen=True, slots=True)
class Commune:
    """A commune of today, and the units that held the main part of it before the merger."""

    code: str
    name: str
    province: str
    province_name: str
    old_district: str
    old_district_name: str
    old_province: str
    old_province_name: str
    region: str

    def province_on(self, day: date) -> str:
        """The province this place belonged to on `day`."""
        return self.province if day >= MERGER else self.old_province

    def province_name_on(self, day: date) -> str:
        """The name of that province."""
        return self.province_name if day >= MERGER else self.old_province_name

    def within(self, scope: Scope, day: date, agency: str = "") -> bool:
        """Whether an entry of this scope speaks of this place on `day`, and of this agency there."""
        if scope.level == "country":
            return True
        if scope.level == "agency":
            return agency == scope.code or agency.startswith(f"{scope.code}.")
        if scope.level == "province":
            return scope.code == self.province_on(day)
        if scope.level == "old_province":
            return scope.code == self.old_province
        return scope.code == self.code

    def belongs_to(self, province: str, day: date) -> bool:
        """Whether a request may name `province` for this place: today's, and before the merger also the old one."""
        return province == self.province or (day < MERGER and province == self.old_province)


class Places:
    """The index of communes and provinces, and the dated vehicle zones."""

    def __init__(self, rows: Iterable[Sequence[str]], zones: Sequence[ZoneEntry]) -> None:
        self._communes = {row[0]: Commune(*row) for row in rows}
        self.provinces: dict[str, str] = {}
        self.old_provinces: dict[str, str] = {}
        self._by_province: defaultdict[str, list[Commune]] = defaultdict(list)
        for commune in self._communes.values():
            self.provinces[commune.province] = commune.province_name
            self.old_provinces[commune.old_province] = commune.old_province_name
            self._by_province[commune.province].append(commune)
        self._zones = sorted(zones, key=_narrowest_first)

    def get(self, code: str) -> Commune | None:
        """The commune of a code, None when there is none."""
        return self._communes.get(code)

    def communes_of(self, province: str) -> list[Commune]:
        """Communes of one of today's provinces, in the order of their codes."""
        return sorted(self._by_province.get(province, ()), key=lambda commune: commune.code)

    def vehicle_zone(self, commune: Commune, day: date) -> ZoneEntry | None:
        """The entry that puts a place in its vehicle zone on `day`: the narrowest that holds."""
        for entry in self._zones:
            kind = entry.old_district_kind
            fits = kind is None or commune.old_district_name.startswith(f"{kind} ")
            if fits and entry.covers(day) and commune.within(entry.scope, day):
                return entry
        return None


def _narrowest_first(entry: ZoneEntry) -> tuple[int, int, str]:
    return (-SCOPE_ORDER[entry.scope.level], 0 if entry.old_district_kind else 1, entry.zone)


def postal_zone(one: Commune, other: Commune) -> PostalZone:
    """The step of the postal tariff between two places, by the units of before July 2025.

    Tariffs still speak of districts, which have ended, so the old map decides.
    """
    if one.old_district == other.old_district:
        return "same_district"
    if one.old_province == other.old_province:
        return "other_district"
    return "same_region" if one.region == other.region else "other_region"
