"""Reads compose.yaml as Docker Compose would: YAML with merges, then variables put in from an environment."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose.yaml"

_REFERENCE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>[A-Z][A-Z0-9_]*)(?::(?P<kind>[-?])(?P<text>[^{}]*))?\})")

Composition = dict[str, Any]


class MissingVariableError(Exception):
    """A `${NAME:?message}` without a value; compose refuses to start with that message."""


def interpolated(text: str, environment: Mapping[str, str]) -> str:
    """`$$`, `${NAME}`, `${NAME:-default}` and `${NAME:?message}` resolved; ValueError on any other use of `$`."""

    def value(reference: re.Match[str]) -> str:
        if reference["dollar"]:
            return "$"
        found = environment.get(reference["name"], "")
        if not found and reference["kind"] == "?":
            raise MissingVariableError(reference["text"])
        return found or (reference["text"] if reference["kind"] == "-" else "")

    if "$" in _REFERENCE.sub("", text):
        raise ValueError(f"not a form of interpolation this project uses: {text}")
    return _REFERENCE.sub(value, text)


def references(text: str) -> list[tuple[str, str | None, str]]:
    """Variables a text uses: name, `?`, `-` or None, and the message or default."""
    found = (match for match in _REFERENCE.finditer(text) if not match["dollar"])
    return [(match["name"], match["kind"], match["text"] or "") for match in found]


def load() -> Composition:
    """The file as written, merges applied, variables still in place."""
    return cast("Composition", yaml.safe_load(COMPOSE.read_text(encoding="utf-8")))


def services() -> dict[str, Any]:
    """The services as written."""
    return cast("dict[str, Any]", load()["services"])


def texts(node: object) -> list[str]:
    """Every text value below a node."""
    if isinstance(node, str):
        return [node]
    if isinstance(node, dict):
        return [text for value in node.values() for text in texts(value)]
    if isinstance(node, list):
        return [text for value in node for text in texts(value)]
    return []


def environment_of(service: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What a service's process finds in its environment."""
    written = services()[service].get("environment", {})
    return {name: interpolated(value, environment) for name, value in written.items()}


def our_services() -> dict[str, Any]:
    """Services that run the image built from our Dockerfile."""
    return {name: service for name, service in services().items() if "build" in service}


def processes() -> dict[str, Any]:
    """Our services that keep running."""
    return {name: service for name, service in our_services().items() if not is_job(service)}


def is_job(service: Mapping[str, Any]) -> bool:
    """Whether a service runs once and ends."""
    return service.get("restart") != "unless-stopped" and "healthcheck" not in service
