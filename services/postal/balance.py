"""Shares stops out among couriers: who knows the commune goes there, neighbours stay together, loads come out even.

Pure, and the same input always gives the same proposal; a person confirms it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """One stop to be given out: where it is, by commune and street."""

    shipment_id: str
    commune: str
    street: str


@dataclass(frozen=True, slots=True)
class Carrier:
    """One courier with the communes he knows and the stops he has already."""

    code: str
    communes: frozenset[str]
    load: int = 0


def propose(places: Iterable[Place], carriers: Sequence[Carrier]) -> dict[str, str]:
    """Which courier each stop goes to; empty when there is nobody.

    Street by street, the longest first, to the courier with the fewest stops among those who know the commune, or
    among all when nobody does. A street longer than a fair share is cut, so that no load exceeds another by a street.
    """
    if not carriers:
        return {}
    streets: dict[tuple[str, str], list[Place]] = defaultdict(list)
    for place in sorted(places, key=lambda place: place.shipment_id):
        streets[place.commune, place.street].append(place)
    loads = {carrier.code: carrier.load for carrier in carriers}
    total = sum(loads.values()) + sum(map(len, streets.values()))
    fair = max(-(-total // len(carriers)), 1)
    given: dict[str, str] = {}
    for (commune, _), stops in sorted(streets.items(), key=lambda item: (-len(item[1]), item[0])):
        able = _able(carriers, commune)
        left = stops
        while left:
            code = min(able, key=lambda code: (loads[code], code))
            room = max(fair - loads[code], 1)
            taken, left = left[:room], left[room:]
            loads[code] += len(taken)
            given |= {place.shipment_id: code for place in taken}
    return given


def _able(carriers: Sequence[Carrier], commune: str) -> list[str]:
    knowing = [carrier.code for carrier in carriers if commune in carrier.communes]
    return knowing or [carrier.code for carrier in carriers]


def loads_of(given: Mapping[str, str], carriers: Sequence[Carrier]) -> dict[str, int]:
    """How many stops each courier would have."""
    counts = {carrier.code: carrier.load for carrier in carriers}
    for code in given.values():
        counts[code] += 1
    return counts
