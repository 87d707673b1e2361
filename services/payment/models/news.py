"""Webhooks in, and the outbox of what we announce."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field

from kit.db import Instant, Json
from kit.idempotency import add_idempotency_table
from kit.webhooks import DeliveryColumns, Outbox, OutboxColumns, WebhookEndpointColumns
from services.payment.models.registry import Model, one_of


class Inbound(Model, table=True):
    """A verified webhook, stored once and worked on until it is understood."""

    __tablename__ = "inbound"
    __table_args__ = (
        UniqueConstraint("source", "event_id", name="uq_inbound_source_event_id"),
        one_of("source", "gateway", "bank"),
        Index("ix_inbound_due", "next_attempt_at", postgresql_where=text("processed_at is null")),
    )

    id: str = Field(primary_key=True)
    source: str
    event_id: str
    kind: str
    body: dict[str, Any] = Field(sa_type=Json)
    received_at: datetime = Field(sa_type=Instant)
    attempts: int = 0
    next_attempt_at: datetime = Field(sa_type=Instant)
    processed_at: datetime | None = Field(default=None, sa_type=Instant)
    last_result: str = ""


class OutboxEvent(OutboxColumns, Model, table=True):
    __tablename__ = "outbox_event"


class WebhookEndpoint(WebhookEndpointColumns, Model, table=True):
    __tablename__ = "webhook_endpoint"


class WebhookDelivery(DeliveryColumns, Model, table=True):
    __tablename__ = "webhook_delivery"


outbox = Outbox(events=OutboxEvent, endpoints=WebhookEndpoint, deliveries=WebhookDelivery)
add_idempotency_table(Model.metadata)
