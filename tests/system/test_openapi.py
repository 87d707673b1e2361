"""Every OpenAPI document is valid, is the one in docs/api, and no generated request makes a service answer 5xx."""

import json
from typing import Any, cast

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator

from sandbox.openapi import APPS, FOLDER, document_of, text_of
from sandbox.plan import CLIENT_SCOPES
from sandbox.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stack")]

_EXAMPLES = 12


@pytest.mark.parametrize("name", APPS)
def test_the_document_is_valid_openapi_3_1(name: str) -> None:
    document = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))

    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


@pytest.mark.parametrize("name", APPS)
def test_the_document_in_the_repository_agrees_with_the_code(name: str) -> None:
    written = (FOLDER / f"{name}.json").read_text(encoding="utf-8")

    assert written == text_of(document_of(name)), "run `make openapi`"


@schemathesis.serializer("application/x-ndjson")
def _ndjson(_: Any, value: Any) -> bytes:
    """A generated body as the bulk route takes it: text or bytes as they are, anything else as a line of JSON."""
    if isinstance(value, bytes | str):
        return value.encode() if isinstance(value, str) else value
    return json.dumps(value, default=str).encode() + b"\n"


def _token(stack: Stack, client: str) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": client,
        "client_secret": stack.plan.secrets[f"{client}_client"],
    }
    response = httpx.post(f"{stack.plan.url('identity')}/token", data=form)
    return str(response.json()["access_token"])


_CALLER = {"fees": "portal", "payment": "workflows", "postal": "carrier", "workflows": "portal"}


@pytest.mark.parametrize("name", APPS)
def test_no_generated_request_is_answered_with_a_server_error(stack: Stack, name: str) -> None:
    assert _CALLER[name] in CLIENT_SCOPES
    schema = schemathesis.openapi.from_url(f"{stack.plan.url(name)}/openapi.json")
    headers = {"authorization": f"Bearer {_token(stack, _CALLER[name])}"}
    seen: dict[str, int] = {}

    for found in cast("Any", schema.get_all_operations()):
        operation = found.ok()

        @settings(
            max_examples=_EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def fuzz(case: Any) -> None:
            response = case.call(headers=headers)
            seen[case.operation.label] = seen.get(case.operation.label, 0) + 1
            assert response.status_code < 500, (case.as_curl_command(), response.text)

        given(case=operation.as_strategy())(fuzz)()

    assert len(seen) >= 5
    assert min(seen.values()) >= 1
