"""News that leaves a service: an outbox row in the same transaction, then signed delivery at least once.

Signatures follow Standard Webhooks (`webhook-id`, `webhook-timestamp`, `webhook-signature: v1,…`).
"""

import asyncio
import base64
import ipaddress
import json
import logging
import random
import secrets
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit

import httpx
from sqlalchemy import Insert, String, Table, any_, bindparam, func, insert, inspect, literal, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession
from standardwebhooks import Webhook, WebhookVerificationError

from kit.db import Instant, Json, Sessions, now, transaction
from kit.errors import Unauthenticated
from kit.ids import new_id

log = logging.getLogger(__name__)

RETRY_SECONDS = (1, 5, 30, 120, 600, 3_600, 6 * 3_600, 12 * 3_600, 24 * 3_600, 30 * 3_600)
"""Ten attempts over about three days; then the delivery is `given_up` and waits for a replay by hand."""

LEASE_SECONDS = 30
STANDING_ENDPOINT = "whe_standing"
"""The endpoint named in the settings: the house's own, so it may lie at a private address."""

_BATCH = 20


def _table_of(model: type[SQLModel]) -> Table:
    return cast("Table", inspect(model).local_table)


class OutboxColumns(SQLModel):
    """One fact to tell the world. Inserted in the transaction that made it true."""

    id: str = Field(primary_key=True)
    kind: str = Field(index=True)
    subject: str = Field(index=True)
    data: dict[str, Any] = Field(sa_type=Json)
    created_at: datetime = Field(sa_type=Instant)


class WebhookEndpointColumns(SQLModel):
    """Somebody who wants the news. `kinds` empty means all of it."""

    id: str = Field(primary_key=True)
    url: str
    secret: str
    kinds: list[str] = Field(default_factory=list, sa_type=Json)
    owner: str
    created_at: datetime = Field(sa_type=Instant)
    disabled_at: datetime | None = Field(default=None, sa_type=Instant)


class DeliveryColumns(SQLModel):
    """One fact on its way to one endpoint."""

    event_id: str = Field(primary_key=True)
    endpoint_id: str = Field(primary_key=True)
    attempts: int = 0
    next_attempt_at: datetime = Field(sa_type=Instant, index=True)
    delivered_at: datetime | None = Field(default=None, sa_type=Instant)
    given_up_at: datetime | None = Field(default=None, sa_type=Instant)
    last_result: str = ""


@dataclass(frozen=True, slots=True)
class News:
    """One fact to tell: `kind` in the past (`noun.verb`), and the id that receivers de-duplicate by."""

    event_id: str
    kind: str
    subject: str
    data: dict[str, Any]


class Outbox:
    """A service's outbox: its three tables and what is done with them."""

    def __init__(
        self,
        *,
        events: type[OutboxColumns],
        endpoints: type[WebhookEndpointColumns],
        deliveries: type[DeliveryColumns],
    ) -> None:
        self.endpoint = endpoints
        self.events = _table_of(events)
        self.endpoints = _table_of(endpoints)
        self.deliveries = _table_of(deliveries)
        self._announcement = self._announcing()

    def _announcing(self) -> Insert:
        """One statement, built once: the event, and a delivery for every endpoint that wants its kind."""
        kind, moment = bindparam("kind", type_=String()), bindparam("created_at", type_=Instant())
        row = insert(self.events).values(
            id=bindparam("identity"),
            kind=kind,
            subject=bindparam("subject"),
            data=bindparam("data", type_=Json),
            created_at=moment,
        )
        event = row.returning(self.events.c.id).cte("announced")
        endpoint = self.endpoints.c
        wanted = (
            select(event.c.id, endpoint.id, literal(0), moment, literal(""))
            .select_from(event.join(self.endpoints, endpoint.disabled_at.is_(None)))
            .where(or_(endpoint.kinds == literal([], Json), endpoint.kinds.has_key(kind)))
        )
        columns = ["event_id", "endpoint_id", "attempts", "next_attempt_at", "last_result"]
        return insert(self.deliveries).from_select(columns, wanted)

    async def announce(
        self,
        session: AsyncSession,
        kind: str,
        *,
        subject: str,
        data: dict[str, Any],
        event_id: str | None = None,
    ) -> str:
        """Record that something happened; it is delivered after, and only if, the transaction commits.

        `kind` is a fact in the past, `noun.verb`. Returns the event id that receivers de-duplicate by.
        """
        identity = event_id or new_id("evt")
        moment = now()
        payload = {**data, "event_id": identity}
        connection = await session.connection()
        values = {"identity": identity, "kind": kind, "subject": subject, "data": payload, "created_at": moment}
        await connection.execute(self._announcement, values)
        return identity

    async def announce_many(self, session: AsyncSession, news: Sequence[News]) -> None:
        """The same for many facts of one transaction, in two statements however many they are."""
        if not news:
            return
        moment = now()
        rows = [
            {
                "id": one.event_id,
                "kind": one.kind,
                "subject": one.subject,
                "data": {**one.data, "event_id": one.event_id},
                "created_at": moment,
            }
            for one in news
        ]
        connection = await session.connection()
        await connection.execute(insert(self.events), rows)
        endpoint, event = self.endpoints.c, self.events.c
        wanted = select(event.id, endpoint.id, literal(0), literal(moment, Instant), literal("")).where(
            event.id == any_(literal([one.event_id for one in news], ARRAY(String))),
            endpoint.disabled_at.is_(None),
            or_(endpoint.kinds == literal([], Json), endpoint.kinds.has_key(event.kind)),
        )
        columns = ["event_id", "endpoint_id", "attempts", "next_attempt_at", "last_result"]
        await connection.execute(insert(self.deliveries).from_select(columns, wanted))

    async def register(
        self,
        session: AsyncSession,
        *,
        url: str,
        owner: str,
        kinds: list[str],
        secret: str | None = None,
    ) -> WebhookEndpointColumns:
        """Add an endpoint; the secret is made here unless given, and is shown once to its owner."""
        row = self.endpoint(
            id=new_id("whe"),
            url=url,
            secret=secret or new_webhook_secret(),
            kinds=kinds,
            owner=owner,
            created_at=now(),
        )
        session.add(row)
        await session.flush()
        return row

    async def ensure_standing(self, sessions: Sessions, *, url: str, secret: str) -> None:
        """Make the endpoint named in the settings exist with exactly this secret, whatever was there before."""
        identity = STANDING_ENDPOINT
        async with transaction(sessions) as session:
            row = await session.get(self.endpoint, identity, with_for_update=True)
            if row is None:
                row = self.endpoint(
                    id=identity,
                    url=url,
                    secret=secret,
                    kinds=[],
                    owner="settings",
                    created_at=now(),
                )
            row.url, row.secret, row.disabled_at = url, secret, None
            session.add(row)

    async def pending(self, session: AsyncSession) -> tuple[int, float]:
        """How many deliveries wait, and the age in seconds of the oldest: the alarm of this room."""
        d, event = self.deliveries.c, self.events.c
        connection = await session.connection()
        query = (
            select(func.count(), func.min(event.created_at))
            .select_from(self.deliveries.join(self.events, event.id == d.event_id))
            .where(d.delivered_at.is_(None), d.given_up_at.is_(None))
        )
        count, oldest = (await connection.execute(query)).one()
        return int(count), (now() - oldest).total_seconds() if oldest else 0.0


def new_webhook_secret() -> str:
    """A fresh Standard Webhooks secret: `whsec_` and 32 random bytes in base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def signed_headers(secret: str, *, event_id: str, body: str, at: datetime) -> dict[str, str]:
    """Headers that prove a body is ours and fresh."""
    signature = Webhook(secret).sign(msg_id=event_id, timestamp=at, data=body)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
        "content-type": "application/json",
    }


def verified_body(secret: str, *, headers: dict[str, str], body: bytes) -> Any:  # noqa: ANN401
    """The JSON of a received webhook. Raises Unauthenticated unless signature and time (5 minutes) hold."""
    if not secret.removeprefix("whsec_"):
        raise ValueError("an empty webhook secret would believe everybody")
    try:
        return Webhook(secret).verify(body, headers)
    except (WebhookVerificationError, ValueError, KeyError) as error:
        raise Unauthenticated(
            "Chữ ký của thông báo không hợp lệ hoặc đã quá 5 phút.",
            "The signature of this webhook is not valid, or is older than 5 minutes.",
        ) from error


def is_public_address(host: str) -> bool:
    """Whether every address of `host` is a public one: webhooks must not reach into the house."""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return all(ipaddress.ip_address(entry[4][0]).is_global for entry in found)


@dataclass(frozen=True, slots=True)
class _Job:
    event_id: str
    endpoint_id: str
    attempts: int
    url: str
    secret: str
    kind: str
    data: dict[str, Any]
    created_at: datetime


class Relay:
    """Delivers a service's outbox until stopped. Several may run; each row is leased to one at a time."""

    idle_seconds: ClassVar[float] = 1.0
    gather_seconds: ClassVar[float] = 0.05
    """Under a stream of writes the outbox is looked at this often, not after each; a lone fact leaves at once."""

    def __init__(self, outbox: Outbox, sessions: Sessions, http: httpx.AsyncClient, *, allow_private: bool) -> None:
        self._outbox = outbox
        self._sessions = sessions
        self._http = http
        self._allow_private = allow_private
        self.wake = asyncio.Event()

    async def run(self) -> None:
        """Deliver for ever; ends by cancellation. A database that is away is waited for."""
        while True:
            self.wake.clear()
            looked_at = time.monotonic()
            try:
                while await self.deliver_batch():
                    pass
            except (OSError, httpx.HTTPError) as error:
                log.warning("outbox relay waits", extra={"reason": type(error).__name__})
                await asyncio.sleep(self.idle_seconds)
            with suppress(TimeoutError):
                async with asyncio.timeout(self.idle_seconds):
                    await self.wake.wait()
            await asyncio.sleep(max(0.0, looked_at + self.gather_seconds - time.monotonic()))

    async def deliver_batch(self) -> int:
        """Lease the due deliveries, send them, write down what happened. Returns how many were tried."""
        leased = await self._lease()
        await asyncio.gather(*(self._deliver(job) for job in leased))
        return len(leased)

    async def _lease(self) -> list["_Job"]:
        deliveries, events, endpoints = self._outbox.deliveries, self._outbox.events, self._outbox.endpoints
        d, event, endpoint = deliveries.c, events.c, endpoints.c
        moment = now()
        due = (
            select(d.event_id, d.endpoint_id)
            .where(d.delivered_at.is_(None), d.given_up_at.is_(None), d.next_attempt_at <= moment)
            .order_by(d.next_attempt_at, d.event_id)
            .limit(_BATCH)
            .with_for_update(skip_locked=True)
            .cte("due")
        )
        lease = (
            update(deliveries)
            .where(
                d.event_id == due.c.event_id,
                d.endpoint_id == due.c.endpoint_id,
                event.id == d.event_id,
                endpoint.id == d.endpoint_id,
            )
            .values(next_attempt_at=moment + timedelta(seconds=LEASE_SECONDS))
            .returning(
                d.event_id,
                d.endpoint_id,
                d.attempts,
                endpoint.url,
                endpoint.secret,
                event.kind,
                event.data,
                event.created_at,
            )
        )
        async with transaction(self._sessions) as session:
            rows = (await (await session.connection()).execute(lease)).all()
        return [_Job(*row) for row in rows]

    async def _deliver(self, job: "_Job") -> None:
        body = json.dumps(
            {"type": job.kind, "timestamp": job.created_at.isoformat(), "data": job.data},
            ensure_ascii=False,
            separators=(",", ":"),
        )
        result, ok = await self._send(job, body)
        moment = now()
        values: dict[str, Any] = {"attempts": job.attempts + 1, "last_result": result[:200]}
        if ok:
            values["delivered_at"] = moment
        elif job.attempts + 1 >= len(RETRY_SECONDS) or result == "410":
            values["given_up_at"] = moment
            log.error("webhook given up", extra={"event": job.event_id, "endpoint": job.endpoint_id, "result": result})
        else:
            jitter = random.uniform(0.8, 1.2)  # noqa: S311 — spreads retries, protects nothing
            values["next_attempt_at"] = moment + timedelta(seconds=RETRY_SECONDS[job.attempts] * jitter)
        d = self._outbox.deliveries
        async with transaction(self._sessions) as session:
            await (await session.connection()).execute(
                update(d).where(d.c.event_id == job.event_id, d.c.endpoint_id == job.endpoint_id).values(**values)
            )

    async def _send(self, job: "_Job", body: str) -> tuple[str, bool]:
        host = urlsplit(job.url).hostname or ""
        anywhere = self._allow_private or job.endpoint_id == STANDING_ENDPOINT
        if not anywhere and not await asyncio.to_thread(is_public_address, host):
            return "address is not public", False
        headers = signed_headers(job.secret, event_id=job.event_id, body=body, at=datetime.now(UTC))
        try:
            response = await self._http.post(job.url, content=body.encode(), headers=headers)
        except httpx.HTTPError as error:
            return type(error).__name__, False
        return str(response.status_code), response.is_success
