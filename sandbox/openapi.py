"""Writes docs/api/*.json from the code: `make openapi`. A test refuses documents that no longer agree with it."""

import importlib
import json
import os
from pathlib import Path
from typing import Any

from sandbox.plan import ROOT, Plan, fresh_secrets

FOLDER = ROOT / "docs" / "api"
APPS = {
    "fees": "services.fees.app",
    "payment": "services.payment.app",
    "postal": "services.postal.app",
    "workflows": "workflows.api",
}


def document_of(name: str) -> dict[str, Any]:
    """The OpenAPI document of a process, built without starting it."""
    plan = Plan(run=Path("unused"), port_base=17_000, secrets=fresh_secrets())
    before = dict(os.environ)
    os.environ.update(plan.environment(name))
    try:
        app = importlib.import_module(APPS[name]).create_app()
    finally:
        os.environ.clear()
        os.environ.update(before)
    document: dict[str, Any] = app.openapi()
    return document


def text_of(document: dict[str, Any]) -> str:
    """How a document is written, so that a difference shows as a readable one."""
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> None:
    """Write every document."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in APPS:
        (FOLDER / f"{name}.json").write_text(text_of(document_of(name)), encoding="utf-8")
        print(f"docs/api/{name}.json")


if __name__ == "__main__":
    main()
