"""Exports: EMSEVT codes and EPCIS 2.0 documents that others can read."""

from typing import Any, get_args
from urllib.parse import urlsplit

import jsonschema
import pytest

from services.postal import exports
from services.postal.contract import EventKind
from tests.postal.conftest import Post, event, journey
from tests.postal.test_corrections import decide, propose

MOMENT = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"}
URI = {"type": "string", "format": "uri", "pattern": r"^[a-z][a-z0-9+.-]*:\S+$"}
PARTIES = {"type": "array", "minItems": 1}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["@context", "type", "schemaVersion", "creationDate", "epcisBody"],
    "additionalProperties": False,
    "properties": {
        "@context": {"type": "array", "contains": {"const": exports.CONTEXT}},
        "type": {"const": "EPCISDocument"},
        "schemaVersion": {"const": "2.0"},
        "creationDate": MOMENT,
        "epcisBody": {
            "type": "object",
            "required": ["eventList"],
            "properties": {"eventList": {"type": "array", "items": {"$ref": "#/$defs/event"}}},
        },
    },
    "$defs": {
        "event": {
            "type": "object",
            "required": ["type", "eventTime", "eventTimeZoneOffset", "epcList", "action"],
            "additionalProperties": False,
            "properties": {
                "type": {"const": "ObjectEvent"},
                "eventID": {"type": "string", "pattern": r"^urn:uuid:[0-9a-f-]{36}$"},
                "eventTime": MOMENT,
                "eventTimeZoneOffset": {"type": "string", "pattern": r"^[+-]\d\d:\d\d$"},
                "recordTime": MOMENT,
                "epcList": {"type": "array", "items": URI, "minItems": 1},
                "action": {"enum": ["ADD", "OBSERVE", "DELETE"]},
                "bizStep": {
                    "enum": [
                        "accepting", "arriving", "assembling", "collecting", "departing", "holding", "inspecting",
                        "packing", "receiving", "shipping", "storing", "unpacking",
                    ]
                },
                "disposition": {"enum": ["in_progress", "in_transit", "returned", "damaged"]},
                "readPoint": {"type": "object", "required": ["id"], "properties": {"id": URI}},
                "sourceList": PARTIES,
                "destinationList": PARTIES,
                "errorDeclaration": {
                    "type": "object",
                    "required": ["declarationTime"],
                    "additionalProperties": False,
                    "properties": {
                        "declarationTime": MOMENT,
                        "reason": {"enum": ["did_not_occur", "incorrect_data"]},
                        "correctiveEventIDs": {"type": "array", "items": URI},
                    },
                },
            },
        }
    },
}  # fmt: skip
"""The parts of EPCIS 2.0 that we write, from the published description of the GS1 JSON schema
(ref.gs1.org/standards/epcis/2.0.0); strict about everything else."""


async def epcis_of(post: Post, shipment: dict[str, Any]) -> dict[str, Any]:
    answer = await post.client.get(f"/v1/shipments/{shipment['id']}/epcis", headers=post.office)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/ld+json")
    document: dict[str, Any] = answer.json()
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    return document


async def test_a_whole_leg_as_epcis(post: Post) -> None:
    shipment = await post.book("return")
    facts = journey(shipment)
    await post.send(*facts, event(shipment, "departed", 20))

    events = (await epcis_of(post, shipment))["epcisBody"]["eventList"]

    assert [e["bizStep"] for e in events] == [
        "collecting",
        "receiving",
        "departing",
        "arriving",
        "shipping",
        "accepting",
    ]
    assert [e["eventID"] for e in events] == [f"urn:uuid:{f['event_id']}" for f in facts[1:]]
    holders = [e.get("destinationList", [{"destination": ""}])[0]["destination"].rpartition("/")[2] for e in events]
    assert holders == ["courier", "post_office", "transport", "post_office", "courier", "citizen"]
    assert {e["epcList"][0] for e in events} == {f"http://postal.test/track/{shipment['s10']}"}
    assert events[1]["readPoint"]["id"] == "http://postal.test/places/bc-ho%C3%A0n-ki%E1%BA%BFm"
    assert urlsplit(events[0]["epcList"][0]).path.endswith(shipment["s10"])


async def test_a_fact_set_aside_stays_in_with_the_declaration_of_its_error(post: Post) -> None:
    shipment = await post.book("return")
    facts = journey(shipment)
    await post.send(*facts)
    asked = (await propose(post, shipment, facts[-1]["event_id"])).json()
    confirmed = (await decide(post, asked, "confirm", who="truong-ca")).json()

    events = (await epcis_of(post, shipment))["epcisBody"]["eventList"]

    assert [e["eventID"] for e in events if "errorDeclaration" in e] == [f"urn:uuid:{facts[-1]['event_id']}"]
    declared = events[-1]["errorDeclaration"]
    assert (declared["reason"], declared["correctiveEventIDs"]) == (
        "did_not_occur",
        [f"urn:uuid:{confirmed['event_id']}"],
    )


async def test_a_leg_in_the_codes_of_posts(post: Post) -> None:
    shipment = await post.book("return")
    failed = event(shipment, "attempt_failed", 7, reason="R01", measure="M1")
    await post.send(*journey(shipment)[:6], failed, event(shipment, "return_started", 9))

    answer = await post.client.get(f"/v1/shipments/{shipment['id']}/emsevt", headers=post.office)

    told = [(e["code"], e["office"], e["reason"], e["measure"]) for e in answer.json()["events"]]
    assert told == [
        ("EMA", "", None, None),
        ("EDD", "BC Hoàn Kiếm", None, None),
        ("EDE", "BC Hoàn Kiếm", None, None),
        ("EMG", "BC Ba Đình", None, None),
        ("EDG", "", None, None),
        ("EMH", "", "R01", "M1"),
        ("EMH", "", None, "M5"),
    ]
    assert {e["s10"] for e in answer.json()["events"]} == {shipment["s10"]}


@pytest.mark.parametrize("table", [exports.EMSEVT, exports.BIZ_STEP, exports.DISPOSITION])
def test_tables_speak_of_kinds_that_exist(table: dict[str, str]) -> None:
    assert set(table) <= set(get_args(EventKind))
