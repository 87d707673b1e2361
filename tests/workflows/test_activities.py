"""The workflows' real hands against a scripted wire: what is retried, what ends them, which key is sent."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment

from kit.http import JsonClient, TokenSource
from services.payment.contract import (
    CancelPayment,
    CreateAttempt,
    CreatePayment,
    RecordCash,
    RecordRemittance,
    RequestRefund,
)
from services.postal.contract import CreateClaim, CreateShipment
from tests.workflows import doubles
from tests.workflows.journey import start_body
from tests.workflows.world import World, quote
from workflows import activities as real
from workflows.activities import FeesActivities, PaymentActivities, PostalActivities
from workflows.client import Services
from workflows.rules import bill_lines
from workflows.worker import activities_of

NOW = datetime(2026, 1, 5, tzinfo=UTC)
REQUEST = start_body("T.0001").request
SHIPMENT = CreateShipment(
    shipment_key="k",
    dossier_code="T.0001",
    direction="outbound",
    contact_id="c",
    agency="G01",
    agency_commune="00004",
    weight_grams=100,
    postage_dong=30_000,
    checklist=("Hồ sơ",),
)
BILL = CreatePayment(
    bill_reference="dossier/T.0001",
    dossier_code="T.0001",
    procedure="passport",
    quote_id="q",
    lines=bill_lines(quote(REQUEST, "full")),
    expires_at=NOW,
)
CASH = RecordCash(event_id="cash/1", amount_dong=1, collected_at=NOW, collector="c", place="courier")
REFUND = RequestRefund(request_key="r", reason="refused", source="bill", amount_dong=1)
REMITTANCE = RecordRemittance(event_id="e", reference="r", amount_dong=1, collector="c", deposited_at=NOW)


class Wire:
    """Answers requests from a list, the last answer for ever, and keeps what was sent."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.sent: list[httpx.Request] = []
        self.http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        self.client = JsonClient("http://service.test", http=self.http)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)


def problem(status: int, kind: str, **headers: str) -> httpx.Response:
    body = {"type": f"/problems/{kind}", "title": "t", "status": status, "detail": f"because {kind}"}
    content_type = {"content-type": "application/problem+json"}
    return httpx.Response(status, content=json.dumps(body).encode(), headers={**headers, **content_type})


async def run(activity: Callable[[Any], Awaitable[Any]], call: object, *, attempt: int = 1) -> Any:
    environment = ActivityEnvironment()
    environment.info = environment.default_info()
    environment.info = type(environment.info)(
        **{
            **{name: getattr(environment.info, name) for name in environment.info.__dataclass_fields__},
            "attempt": attempt,
            "workflow_id": "dossier/T.0001",
            "workflow_run_id": "run-1",
            "activity_id": "7",
        }
    )
    return await environment.run(activity, call)


READ = real.PaymentCall(payment_id="pay_1")


@pytest.mark.parametrize(
    ("answer", "delay"),
    [
        (problem(500, "internal"), None),
        (problem(502, "bad-gateway"), None),
        (problem(503, "unavailable", **{"retry-after": "7"}), timedelta(seconds=7)),
        (problem(504, "timeout"), None),
        (problem(429, "too-many-requests", **{"retry-after": "31"}), timedelta(seconds=31)),
        (problem(429, "too-many-requests", **{"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}), None),
        (problem(408, "request-timeout"), None),
        (problem(409, "idempotency-key-in-flight", **{"retry-after": "1"}), timedelta(seconds=1)),
        (httpx.Response(503, content=b"<html>"), None),
        (httpx.ReadTimeout("slow"), None),
        (httpx.ConnectError("away"), None),
        (httpx.RemoteProtocolError("cut"), None),
    ],
)
async def test_passing_trouble_is_retried_when_the_service_wants_it(
    answer: httpx.Response | Exception, delay: timedelta | None
) -> None:
    wire = Wire(answer)

    with pytest.raises(ApplicationError) as raised:
        await run(PaymentActivities(wire.client).read_payment, READ)

    assert (raised.value.type, raised.value.non_retryable) == ("unreachable", False)
    assert raised.value.next_retry_delay == delay
    assert len(wire.sent) == 1  # the retries are Temporal's


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "idempotency-key-missing"),
        (404, "not-found"),
        (409, "wrong-moment"),
        (412, "stale-version"),
        (422, "idempotency-key-reused"),
        (422, "bad-input"),
    ],
)
async def test_a_refusal_ends_the_activity_with_its_kind(status: int, kind: str) -> None:
    wire = Wire(problem(status, kind))

    with pytest.raises(ApplicationError) as raised:
        await run(PaymentActivities(wire.client).read_payment, READ)

    assert (raised.value.type, raised.value.message) == (kind, f"because {kind}")
    assert raised.value.non_retryable
    assert raised.value.category is ApplicationErrorCategory.BENIGN


@pytest.mark.parametrize(("status", "kind"), [(401, "unauthenticated"), (403, "forbidden")])
async def test_a_token_that_is_not_believed_is_an_operators_matter_and_retried(status: int, kind: str) -> None:
    with pytest.raises(ApplicationError) as raised:
        await run(PaymentActivities(Wire(problem(status, kind)).client).read_payment, READ)

    assert (raised.value.type, raised.value.non_retryable) == (kind, False)


async def test_an_identity_provider_that_is_away_is_passing_trouble() -> None:
    wire = Wire(httpx.Response(503))
    tokens = TokenSource(token_url="http://id.test/token", client_id="c", client_secret="s", http=wire.http)
    client = JsonClient("http://service.test", http=wire.http, tokens=tokens)

    with pytest.raises(ApplicationError) as raised:
        await run(PaymentActivities(client).read_payment, READ)

    assert (raised.value.type, raised.value.non_retryable) == ("unreachable", False)
    assert [request.url.path for request in wire.sent] == ["/token"]


def payments(wire: Wire) -> PaymentActivities:
    return PaymentActivities(wire.client)


def post(wire: Wire) -> PostalActivities:
    return PostalActivities(wire.client)


WRITES: list[tuple[Callable[[Wire], Callable[[Any], Awaitable[Any]]], object, str, str, str]] = [
    (
        lambda wire: FeesActivities(wire.client).quote_fees,
        real.QuoteCall(key="dossier/T.0001:quote:ab", request=REQUEST),
        "POST",
        "/v1/quotes",
        "dossier/T.0001:quote:ab",
    ),
    (
        lambda wire: payments(wire).open_payment,
        real.OpenPaymentCall(key="dossier/T.0001:open", body=BILL),
        "POST",
        "/v1/payments",
        "dossier/T.0001:open",
    ),
    (
        lambda wire: payments(wire).start_attempt,
        real.AttemptCall(key="dossier/T.0001:attempt:2", payment_id="p", body=CreateAttempt(method="card")),
        "POST",
        "/v1/payments/p/attempts",
        "dossier/T.0001:attempt:2",
    ),
    (
        lambda wire: payments(wire).refresh_payment,
        real.PaymentCall(payment_id="p"),
        "POST",
        "/v1/payments/p/refresh",
        "refresh:dossier/T.0001:run-1:7",
    ),
    (
        lambda wire: payments(wire).cancel_payment,
        real.CancelPaymentCall(key="k", payment_id="p", body=CancelPayment(reason="refused")),
        "POST",
        "/v1/payments/p/cancel",
        "k",
    ),
    (
        lambda wire: payments(wire).record_cash,
        real.CashCall(key="cash/1", payment_id="p", body=CASH),
        "POST",
        "/v1/payments/p/cash",
        "cash/1",
    ),
    (
        lambda wire: payments(wire).remind_payer,
        real.ReminderCall(key="k", payment_id="p", due_at=NOW),
        "POST",
        "/v1/payments/p/reminders",
        "k",
    ),
    (
        lambda wire: payments(wire).request_refund,
        real.RefundCall(key="k", payment_id="p", body=REFUND),
        "POST",
        "/v1/payments/p/refunds",
        "k",
    ),
    (
        lambda wire: payments(wire).record_remittance,
        real.RemittanceCall(key="k", body=REMITTANCE),
        "POST",
        "/v1/remittances",
        "k",
    ),
    (
        lambda wire: payments(wire).run_reconciliation,
        real.ReconcileCall(key="k", business_date=date(2026, 1, 5)),
        "POST",
        "/v1/reconciliations",
        "k",
    ),
    (
        lambda wire: post(wire).book_shipment,
        real.ShipmentCall(key="k", body=SHIPMENT),
        "POST",
        "/v1/shipments",
        "k",
    ),
    (
        lambda wire: post(wire).cancel_shipment,
        real.CancelShipmentCall(key="k", shipment_id="s"),
        "POST",
        "/v1/shipments/s/cancel",
        "k",
    ),
    (
        lambda wire: post(wire).submit_claim,
        real.ClaimCall(key="k", body=CreateClaim(claim_key="c", shipment_id="s", reason="lost")),
        "POST",
        "/v1/claims",
        "k",
    ),
]


@pytest.mark.parametrize(("activity", "call", "method", "path", "key"), WRITES, ids=[case[3] for case in WRITES])
async def test_every_retry_of_a_write_is_the_same_request_with_the_same_key(
    activity: Callable[[Wire], Callable[[Any], Awaitable[Any]]], call: object, method: str, path: str, key: str
) -> None:
    wire = Wire(httpx.ReadTimeout("slow"), problem(503, "unavailable"), problem(409, "idempotency-key-in-flight"))

    for attempt in (1, 2, 3):
        with pytest.raises(ApplicationError):
            await run(activity(wire), call, attempt=attempt)

    assert [(r.method, r.url.path, r.headers["idempotency-key"]) for r in wire.sent] == [(method, path, key)] * 3
    assert len({request.content for request in wire.sent}) == 1


@pytest.mark.parametrize(
    ("activity", "call", "path"),
    [
        (lambda wire: payments(wire).read_payment, READ, "/v1/payments/pay_1"),
        (lambda wire: payments(wire).read_refund, real.RefundRead(refund_id="r"), "/v1/refunds/r"),
        (lambda wire: post(wire).read_shipment, real.ShipmentRead(shipment_id="s"), "/v1/shipments/s"),
        (lambda wire: post(wire).read_claim, real.ClaimRead(claim_id="c"), "/v1/claims/c"),
    ],
)
async def test_reads_carry_no_key(
    activity: Callable[[Wire], Callable[[Any], Awaitable[Any]]], call: object, path: str
) -> None:
    wire = Wire(problem(404, "not-found"))

    with pytest.raises(ApplicationError):
        await run(activity(wire), call)

    (request,) = wire.sent
    assert (request.method, request.url.path) == ("GET", path)
    assert "idempotency-key" not in request.headers


async def test_an_answer_is_read_by_its_contract() -> None:
    world = World()
    desk = world.of("T.0001")
    expected = desk.open(BILL)
    wire = Wire(httpx.Response(200, content=expected.model_dump_json().encode()))

    answer = await run(PaymentActivities(wire.client).read_payment, READ)

    assert answer == expected


def test_the_doubles_stand_on_the_same_queues_under_the_same_names() -> None:
    services = Services(http=httpx.AsyncClient(), fees=Wire().client, payment=Wire().client, postal=Wire().client)

    def names(queues: Any) -> dict[str, list[str]]:
        return {queue: [a.__temporal_activity_definition.name for a in work] for queue, work in queues.items()}

    assert names(doubles.activities(World())) == names(activities_of(services))
