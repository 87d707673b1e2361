"""Calls to a neighbour: what is passed on, and who can cure which error."""

import httpx
import pytest
from pydantic import BaseModel

from kit.http import JsonClient, Refused, Unreachable, language_var
from kit.telemetry import request_id_var


class Note(BaseModel):
    """Any answer."""

    title: str


def client_answering(response: httpx.Response | Exception) -> tuple[JsonClient, list[httpx.Request]]:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if isinstance(response, Exception):
            raise response
        return response

    return JsonClient("http://n.test", http=httpx.AsyncClient(transport=httpx.MockTransport(answer))), asked


async def test_language_request_id_and_key_are_passed_on() -> None:
    client, asked = client_answering(httpx.Response(200, json={"title": "một"}))
    language, request_id = language_var.set("en"), request_id_var.set("abcdef-1")
    try:
        note = await client.call("POST", "/v1/notes", Note, body=Note(title="x"), key="k-1")
    finally:
        language_var.reset(language)
        request_id_var.reset(request_id)

    assert note.title == "một"
    assert asked[0].headers["accept-language"] == "en"
    assert asked[0].headers["x-request-id"] == "abcdef-1"
    assert asked[0].headers["idempotency-key"] == "k-1"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "idempotency-key-missing"), (404, "not-found"), (409, "wrong-moment"), (422, "bad-input")],
)
async def test_a_refusal_is_an_answer(status: int, kind: str) -> None:
    document = {"type": f"/problems/{kind}", "detail": "vì sao"}
    client, _ = client_answering(httpx.Response(status, json=document))

    with pytest.raises(Refused) as refused:
        await client.call("GET", "/v1/notes", Note)

    assert (refused.value.status, refused.value.kind, refused.value.detail) == (status, kind, "vì sao")


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.Response(503, headers={"retry-after": "7"}),
        httpx.Response(429),
        httpx.Response(500, text="<html>"),
        httpx.Response(409, json={"type": "/problems/idempotency-key-in-flight"}),
        httpx.ConnectError("gone"),
        httpx.ReadTimeout("slow"),
    ],
)
async def test_what_may_pass_is_told_apart_from_a_refusal(trouble: httpx.Response | Exception) -> None:
    client, _ = client_answering(trouble)

    with pytest.raises(Unreachable) as unreachable:
        await client.call("GET", "/v1/notes", Note)

    waits = isinstance(trouble, httpx.Response) and "retry-after" in trouble.headers
    assert unreachable.value.retry_after_seconds == (7 if waits else None)
