"""The form of compose.yaml.

This is OUR OWN schema, not the official JSON schema of the Compose specification: no well-kept package on PyPI ships
that file. Ours is stricter and smaller: it knows exactly the keys this project uses and refuses every other.
"""

import copy
import json
from typing import Any

import jsonschema
import pytest

from tests.deploy import composition

TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "array", "items": TEXT, "minItems": 1, "uniqueItems": False}
DURATION = {"type": "string", "pattern": r"^\d+(ms|s|m|h)$"}
SIZE = {"type": "string", "pattern": r"^\d+[kmg]$"}
RESOURCES = {
    "type": "object",
    "properties": {"cpus": {"type": "string", "pattern": r"^\d+\.\d+$"}, "memory": SIZE},
    "additionalProperties": False,
}
SERVICE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "image": {"type": "string", "pattern": r"^[a-z0-9./-]+:[^:\s]\S*$"},
        "build": {
            "type": "object",
            "properties": {"context": TEXT, "dockerfile": TEXT},
            "required": ["context", "dockerfile"],
            "additionalProperties": False,
        },
        "user": {"type": "string", "pattern": r"^\d+:\d+$"},
        "init": {"type": "boolean"},
        "profiles": TEXTS,
        "restart": {"type": "string", "pattern": r"^(no|unless-stopped|on-failure:\d+)$"},
        "read_only": {"type": "boolean"},
        "cap_drop": {"const": ["ALL"]},
        "security_opt": {"const": ["no-new-privileges:true"]},
        "pids_limit": {"type": "integer", "minimum": 1},
        "shm_size": SIZE,
        "stop_grace_period": DURATION,
        "tmpfs": {"type": "array", "items": {"type": "string", "pattern": r"^/[^:]+:mode=1777,size=\d+m$"}},
        "entrypoint": TEXTS,
        "command": TEXTS,
        "environment": {
            "type": "object",
            "propertyNames": {"pattern": "^[A-Z][A-Z0-9_]*$"},
            "additionalProperties": {"type": "string"},  # a bare number or boolean is read differently by tools
        },
        "ports": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "volumes": {"type": "array", "items": {"type": "string", "pattern": "^[^:]+:/[^:]+(:ro)?$"}, "minItems": 1},
        "networks": {**TEXTS, "uniqueItems": True},
        "depends_on": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "type": "object",
                "properties": {"condition": {"enum": ["service_healthy", "service_completed_successfully"]}},
                "required": ["condition"],
                "additionalProperties": False,
            },
        },
        "healthcheck": {
            "type": "object",
            "properties": {
                "test": {"type": "array", "items": TEXT, "minItems": 2, "prefixItems": [{"const": "CMD"}]},
                "interval": DURATION,
                "timeout": DURATION,
                "start_period": DURATION,
                "retries": {"type": "integer", "minimum": 1},
            },
            "required": ["test", "interval", "timeout", "retries"],
            "additionalProperties": False,
        },
        "logging": {
            "type": "object",
            "properties": {"driver": TEXT, "options": {"type": "object", "additionalProperties": {"type": "string"}}},
            "required": ["driver"],
            "additionalProperties": False,
        },
        "deploy": {
            "type": "object",
            "properties": {
                "resources": {
                    "type": "object",
                    "properties": {"limits": RESOURCES, "reservations": RESOURCES},
                    "required": ["limits"],
                    "additionalProperties": False,
                }
            },
            "required": ["resources"],
            "additionalProperties": False,
        },
    },
    "required": ["image", "restart", "networks", "cap_drop", "security_opt", "read_only", "logging", "deploy"],
    "additionalProperties": False,
}
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z][a-z0-9-]*$"},
        "services": {"type": "object", "additionalProperties": SERVICE},
        "networks": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {"internal": {"const": True}},
                "additionalProperties": False,
            },
        },
        "volumes": {"type": "object", "additionalProperties": {"type": "object", "maxProperties": 0}},
    },
    "patternProperties": {"^x-": {}},
    "required": ["name", "services", "networks", "volumes"],
    "additionalProperties": False,
}


def validate(document: composition.Composition) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(document)


def test_the_file_has_the_form_of_our_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)

    validate(composition.load())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("services", "fees", "privileged"), True),
        (("services", "fees", "image"), "lien-thong"),
        (("services", "fees", "user"), "root"),
        (("services", "fees", "cap_drop"), ["NET_RAW"]),
        (("services", "fees", "environment", "FEES_DATABASE_POOL_SIZE"), 10),
        (("services", "fees", "depends_on", "fees-db", "condition"), "service_started"),
        (("services", "fees", "healthcheck", "interval"), 10),
        (("networks", "fees-db", "internal"), False),
        (("volumes", "fees-db", "external"), True),
    ],
)
def test_the_schema_refuses_what_it_should(path: tuple[str, ...], value: object) -> None:
    document = copy.deepcopy(composition.load())
    node: Any = document
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value

    with pytest.raises(jsonschema.ValidationError):
        validate(json.loads(json.dumps(document)))


def test_images_are_pinned_to_a_version() -> None:
    for name, service in composition.services().items():
        tag = service["image"].rpartition(":")[2] if "build" not in service else "0"

        assert tag[0].isdigit() or tag[:2] == "v0", f"{name}: {service['image']}"
        assert "latest" not in service["image"], name


def test_networks_and_volumes_in_use_are_the_declared_ones() -> None:
    document = composition.load()
    used_networks = {network for service in document["services"].values() for network in service["networks"]}
    sources = {v.split(":")[0] for service in document["services"].values() for v in service.get("volumes", [])}
    named = {source for source in sources if not source.startswith("./")}

    assert used_networks == set(document["networks"])
    assert named == set(document["volumes"])
    for source in sources - named:
        assert (composition.ROOT / source).is_dir(), source


def test_postgres_18_keeps_its_data_on_a_named_volume_at_the_new_place() -> None:
    databases = {name: s for name, s in composition.services().items() if s["image"].startswith("postgres:")}

    assert sorted(databases) == ["fees-db", "identity-db", "payment-db", "postal-db", "temporal-db"]
    for name, service in databases.items():
        assert service["image"].startswith("postgres:18."), name
        assert f"{name}:/var/lib/postgresql" in service["volumes"], name
