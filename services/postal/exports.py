"""A leg in the words of others: EMSEVT codes as posts exchange them, and EPCIS 2.0 documents as supply chains do.

EPCIS 2.0 (GS1, ISO/IEC 19987:2024): what, when, where, why, who. The item is named by the address of its tracking page,
which EPCIS 2.0 allows (any URI may name an object). Facts that never counted are left out; facts that two people have
set aside stay in, with the declaration of the error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from services.postal import queries
from services.postal.contract import Custodian, EventKind
from services.postal.custody import VIETNAM
from services.postal.models import LogRow, Shipment

EMSEVT: Mapping[EventKind, str] = {
    "collected": "EMA",
    "partially_collected": "EMA",
    "arrived_origin_office": "EDD",
    "departed": "EDE",
    "arrived_delivery_office": "EMG",
    "held": "EDF",
    "out_for_delivery": "EDG",
    "attempt_failed": "EMH",
    "ready_for_collection": "EDH",
    "handed_over": "EMI",
}
"""UPU EMSEVT V3. Kinds without a code are not exchanged between posts. A return is EMH with the measure "returned"."""

_UNSUCCESSFUL: Mapping[EventKind, str] = {"return_started": "M5"}

BIZ_STEP: Mapping[EventKind, str] = {
    "collected": "collecting",
    "partially_collected": "collecting",
    "arrived_origin_office": "receiving",
    "departed": "departing",
    "arrived_delivery_office": "arriving",
    "held": "holding",
    "released": "storing",
    "out_for_delivery": "shipping",
    "attempt_failed": "shipping",
    "ready_for_collection": "storing",
    "handed_over": "accepting",
    "return_started": "shipping",
    "returned": "accepting",
    "investigation_opened": "inspecting",
    "found": "inspecting",
    "missing_from_bag": "inspecting",
    "declared_lost": "inspecting",
    "declared_damaged": "inspecting",
    "custody_released": "departing",
    "custody_accepted": "accepting",
}
"""EPCIS Core Business Vocabulary, bare words of the standard's context."""

DISPOSITION: Mapping[EventKind, str] = {
    "departed": "in_transit",
    "out_for_delivery": "in_transit",
    "return_started": "returned",
    "returned": "returned",
    "declared_damaged": "damaged",
}
_DEFAULT_DISPOSITION = "in_progress"

CONTEXT = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"


@dataclass(frozen=True, slots=True)
class Exchanged:
    """One event as posts exchange it. `reason` and `measure` are our own codes: the UPU's lists are for members."""

    code: str
    s10: str
    occurred_at: datetime
    office: str
    reason: str | None
    measure: str | None


def emsevt(row: Shipment, log: Sequence[queries.LogLine]) -> list[Exchanged]:
    """The facts of a leg that counted and have a code, in the order in which they happened."""
    found = []
    for line in _in_order(log):
        kind: Any = line.event.kind
        code = EMSEVT.get(kind) or ("EMH" if kind in _UNSUCCESSFUL else None)
        if code is None or not line.applied:
            continue
        found.append(
            Exchanged(
                code=code,
                s10=row.s10,
                occurred_at=queries.happened_at(line.event),
                office=line.event.place,
                reason=line.event.reason,
                measure=line.event.measure or _UNSUCCESSFUL.get(kind),
            )
        )
    return found


def epcis(row: Shipment, log: Sequence[queries.LogLine], *, public_url: str, at: datetime) -> dict[str, Any]:
    """An EPCIS 2.0 document in JSON-LD of a whole leg."""
    corrections = {
        void: line.event for line in log if line.event.kind == "corrected" for void in line.event.voids or ()
    }
    holder: Custodian = "citizen" if row.direction == "outbound" else "agency"
    events = []
    for line in _in_order(log):
        kind: Any = line.event.kind
        if kind not in BIZ_STEP or not (line.applied or line.event.id in corrections):
            continue
        taker = _taker(line.event, row, holder)
        events.append(
            _event(
                row, line.event, public_url=public_url, before=holder, after=taker, void=corrections.get(line.event.id)
            )
        )
        holder = taker if line.applied else holder
    return {
        "@context": [CONTEXT],
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": _moment(at),
        "epcisBody": {"eventList": events},
    }


def _in_order(log: Sequence[queries.LogLine]) -> list[queries.LogLine]:
    return sorted(log, key=lambda line: queries.fact_of(line.event).order)


def _event(
    row: Shipment, event: LogRow, *, public_url: str, before: Custodian, after: Custodian, void: LogRow | None
) -> dict[str, Any]:
    kind: Any = event.kind
    document: dict[str, Any] = {
        "type": "ObjectEvent",
        "eventID": f"urn:uuid:{event.id}",
        "eventTime": _moment(queries.happened_at(event)),
        "eventTimeZoneOffset": "+07:00",
        "recordTime": _moment(event.received_at),
        "epcList": [f"{public_url}/track/{row.s10}"],
        "action": "OBSERVE",
        "bizStep": BIZ_STEP[kind],
        "disposition": DISPOSITION.get(kind, _DEFAULT_DISPOSITION),
    }
    if event.place:
        document["readPoint"] = {"id": f"{public_url}/places/{_slug(event.place)}"}
    if before != after:
        document["sourceList"] = [{"type": "possessing_party", "source": f"{public_url}/parties/{before}"}]
        document["destinationList"] = [{"type": "possessing_party", "destination": f"{public_url}/parties/{after}"}]
    if void is not None:
        reason = void.note.partition(":")[0]
        document["errorDeclaration"] = {
            "declarationTime": _moment(void.received_at),
            "reason": reason,
            "correctiveEventIDs": [f"urn:uuid:{void.id}"],
        }
    return document


_TAKERS: Mapping[EventKind, Custodian] = {
    "collected": "courier",
    "partially_collected": "courier",
    "arrived_origin_office": "post_office",
    "departed": "transport",
    "arrived_delivery_office": "post_office",
    "ready_for_collection": "post_office",
    "out_for_delivery": "courier",
}


def _taker(event: LogRow, row: Shipment, holder: Custodian) -> Custodian:
    kind: Any = event.kind
    if kind == "custody_accepted" and event.party is not None:
        taker: Custodian = event.party["custodian"]
        return taker
    if kind == "handed_over":
        return row.custodian if row.status == "delivered" else holder  # type: ignore[return-value]
    if kind == "returned":
        return "citizen" if row.direction == "outbound" else "agency"
    return _TAKERS.get(kind, holder)


def _moment(moment: datetime) -> str:
    return moment.astimezone(VIETNAM).isoformat(timespec="milliseconds")


def _slug(place: str) -> str:
    """A place as part of an address: letters and digits of any script, dashes between, encoded as addresses are."""
    return quote("-".join("".join(c if c.isalnum() else " " for c in place).split()).lower())
