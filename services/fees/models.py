"""Tables of the fees database: published catalogue versions, quotes, idempotency keys and the outbox."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from kit.db import Instant, Json, service_metadata
from kit.idempotency import add_idempotency_table
from kit.webhooks import DeliveryColumns, Outbox, OutboxColumns, WebhookEndpointColumns


class Model(SQLModel, registry=registry(metadata=service_metadata())):
    """Parent of this service's tables: they live in metadata of their own."""


class CatalogueVersion(Model, table=True):
    """One published state of the law as data. Never changed: quotes point at the version they were made under."""

    __tablename__ = "catalogue_version"
    __table_args__ = (
        CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256_is_hex"),
        CheckConstraint("version = left(sha256, 16)", name="version_is_hash"),
    )

    version: str = Field(primary_key=True, max_length=16)
    sha256: str = Field(max_length=64, unique=True)
    content: dict[str, Any] = Field(sa_type=Json)
    published_at: datetime = Field(sa_type=Instant)
    author: str = Field(max_length=200)


class QuoteRow(Model, table=True):
    """One quote as it was given: request, lines and totals in đồng. Update and delete are refused by a trigger."""

    __tablename__ = "quote"
    __table_args__ = (
        CheckConstraint("citizen_dong >= 0 and budget_dong >= 0", name="shares_not_negative"),
        CheckConstraint("citizen_dong + budget_dong = total_dong", name="payers_sum_to_total"),
        CheckConstraint("expires_at > created_at", name="expires_after_creation"),
        CheckConstraint("inputs_hash ~ '^[0-9a-f]{64}$'", name="inputs_hash_is_hex"),
    )

    id: str = Field(primary_key=True, max_length=64)
    created_at: datetime = Field(sa_type=Instant, index=True)
    expires_at: datetime = Field(sa_type=Instant)
    inputs_hash: str = Field(max_length=64, index=True)
    catalogue_version: str = Field(foreign_key="catalogue_version.version", max_length=16)
    procedure: str = Field(max_length=64)
    title: dict[str, str] = Field(sa_type=Json)
    request: dict[str, Any] = Field(sa_type=Json)
    lines: list[dict[str, Any]] = Field(sa_type=Json)
    total_dong: int = Field(sa_type=BigInteger)
    citizen_dong: int = Field(sa_type=BigInteger)
    budget_dong: int = Field(sa_type=BigInteger)
    requested_by: str = Field(max_length=200)


class OutboxEvent(OutboxColumns, Model, table=True):
    """A fact of this service to tell the world."""

    __tablename__ = "outbox_event"


class WebhookEndpoint(WebhookEndpointColumns, Model, table=True):
    """Somebody who wants this service's news."""

    __tablename__ = "webhook_endpoint"


class WebhookDelivery(DeliveryColumns, Model, table=True):
    """One fact on its way to one endpoint."""

    __tablename__ = "webhook_delivery"


outbox = Outbox(events=OutboxEvent, endpoints=WebhookEndpoint, deliveries=WebhookDelivery)
add_idempotency_table(Model.metadata)
