"""Tables of the fees database: the law as it was published, drafts of what is to come, quotes, and the outbox."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from kit.db import Instant, Json, service_metadata
from kit.idempotency import add_idempotency_table
from kit.webhooks import DeliveryColumns, Outbox, OutboxColumns, WebhookEndpointColumns


class Model(SQLModel, registry=registry(metadata=service_metadata())):
    """Parent of this service's tables: they live in metadata of their own."""


class CatalogueVersion(Model, table=True):
    """One state of the law as data, named by its hash. Never changed: quotes point at the version they were made under.

    `author` and `published_at` are of its first publication; a state may be published again (`Publication`).
    """

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


class Draft(Model, table=True):
    """A change of the law that somebody is writing: whole documents by path, None where one is taken out.

    A trigger freezes the documents while another person looks at them and afterwards, holds the author for good,
    and lets `revision` grow by one with every change, so that two windows never overwrite each other.
    """

    __tablename__ = "draft"
    __table_args__ = (
        CheckConstraint(
            "status in ('editing', 'submitted', 'returned', 'approved', 'published', 'withdrawn')", name="status_known"
        ),
        CheckConstraint("approver is null or approver <> author", name="approver_is_another_person"),
        CheckConstraint(
            "(status in ('approved', 'published')) = (approver is not null)", name="approved_means_by_somebody"
        ),
        CheckConstraint("status <> 'returned' or decision_reason <> ''", name="returned_with_a_reason"),
        CheckConstraint("title <> '' and reason <> ''", name="title_and_reason_given"),
        CheckConstraint("jsonb_typeof(documents) = 'object'", name="documents_by_path"),
        CheckConstraint("revision >= 1 and base >= 1", name="counted_from_one"),
        UniqueConstraint("id", "author", "approver"),
    )

    id: str = Field(primary_key=True, max_length=64)
    title: str = Field(max_length=200)
    reason: str = Field(max_length=2000)
    status: str = Field(max_length=20, index=True)
    revision: int
    author: str = Field(max_length=200)
    approver: str | None = Field(default=None, max_length=200)
    decision_reason: str = Field(default="", max_length=2000)
    base: int = Field(foreign_key="publication.number")
    documents: dict[str, str | None] = Field(sa_type=Json)
    created_at: datetime = Field(sa_type=Instant)
    updated_at: datetime = Field(sa_type=Instant, index=True)


class DraftEvent(Model, table=True):
    """One thing that happened to a draft, with the hash of the documents it happened to. Never changed."""

    __tablename__ = "draft_event"
    __table_args__ = (CheckConstraint("documents_sha256 ~ '^[0-9a-f]{64}$'", name="documents_sha256_is_hex"),)

    draft: str = Field(foreign_key="draft.id", primary_key=True, max_length=64)
    revision: int = Field(primary_key=True)
    action: str = Field(max_length=20)
    actor: str = Field(max_length=200)
    reason: str = Field(default="", max_length=2000)
    documents_sha256: str = Field(max_length=64)
    at: datetime = Field(sa_type=Instant)


class Publication(Model, table=True):
    """One act of publishing: which state of the law came into use, by whom, why. Numbered without gaps, never changed.

    A release of the software publishes its own documents (`release`, their hash); everything else comes from a draft,
    whose author and approver are the author and approver here: a foreign key says so.
    """

    __tablename__ = "publication"
    __table_args__ = (
        ForeignKeyConstraint(
            ["draft", "author", "approver"],
            ["draft.id", "draft.author", "draft.approver"],
            use_alter=True,
            name="fk_publication_draft_author_approver_draft",
        ),
        CheckConstraint("number >= 1", name="numbered_from_one"),
        CheckConstraint("approver is null or approver <> author", name="approver_is_another_person"),
        CheckConstraint("(draft is null) = (approver is null)", name="drafts_are_approved"),
        CheckConstraint("draft is null or release is null", name="from_one_origin"),
        CheckConstraint("reason <> ''", name="reason_given"),
        CheckConstraint("release ~ '^[0-9a-f]{64}$'", name="release_is_hex"),
    )

    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    version: str = Field(foreign_key="catalogue_version.version", max_length=16, index=True)
    published_at: datetime = Field(sa_type=Instant)
    author: str = Field(max_length=200)
    approver: str | None = Field(default=None, max_length=200)
    reason: str = Field(max_length=2000)
    draft: str | None = Field(default=None, max_length=64, unique=True)
    release: str | None = Field(default=None, max_length=64, index=True)


class Document(Model, table=True):
    """The text of a catalogue document, once for all publications that hold it; named by its hash, never changed."""

    __tablename__ = "document"
    __table_args__ = (
        CheckConstraint("sha256 = encode(sha256(convert_to(text, 'UTF8')), 'hex')", name="sha256_is_of_text"),
    )

    sha256: str = Field(primary_key=True, max_length=64)
    text: str


class PublicationDocument(Model, table=True):
    """A document of one publication: the text in force, and the text the last release shipped under the same path.

    They differ where an officer replaced, added (`release_sha256` is null) or took out (`sha256` is null) a document.
    """

    __tablename__ = "publication_document"
    __table_args__ = (CheckConstraint("sha256 is not null or release_sha256 is not null", name="something_is_said"),)

    number: int = Field(foreign_key="publication.number", primary_key=True, sa_column_kwargs={"autoincrement": False})
    path: str = Field(primary_key=True, max_length=200)
    sha256: str | None = Field(default=None, foreign_key="document.sha256", max_length=64)
    release_sha256: str | None = Field(default=None, foreign_key="document.sha256", max_length=64)


class QuoteRow(Model, table=True):
    """One quote as it was given: request, lines and totals in đồng. Update and delete are refused by a trigger."""

    __tablename__ = "quote"
    __table_args__ = (
        CheckConstraint("citizen_dong >= 0 and budget_dong >= 0", name="shares_not_negative"),
        CheckConstraint("citizen_dong + budget_dong = total_dong", name="payers_sum_to_total"),
        CheckConstraint("expires_at > created_at", name="expires_after_creation"),
        CheckConstraint("inputs_hash ~ '^[0-9a-f]{64}$'", name="inputs_hash_is_hex"),
        CheckConstraint("answer_hash ~ '^[0-9a-f]{64}$'", name="answer_hash_is_hex"),
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
    publication: int | None = Field(default=None, foreign_key="publication.number")
    answer_hash: str | None = Field(default=None, max_length=64)
    requote_of: str | None = Field(default=None, foreign_key="quote.id", max_length=64, index=True)


class SimulationRun(Model, table=True):
    """One run of the policy simulation: what was asked, under which version, and the answer. Ended rows never change.

    `heartbeat_at` is renewed by the process that works on it; a run whose process died is `interrupted`.
    """

    __tablename__ = "simulation_run"
    __table_args__ = (
        CheckConstraint("status in ('running', 'done', 'failed', 'cancelled', 'interrupted')", name="status_known"),
        CheckConstraint("(status = 'running') = (finished_at is null)", name="ended_means_finished"),
        CheckConstraint("(status = 'done') = (result is not null)", name="done_means_result"),
        CheckConstraint("(status = 'failed') = (failure is not null)", name="failed_means_reason"),
        CheckConstraint("progress_percent between 0 and 100", name="progress_is_percent"),
        CheckConstraint("input_sha256 ~ '^[0-9a-f]{64}$'", name="input_sha256_is_hex"),
    )

    id: str = Field(primary_key=True, max_length=64)
    status: str = Field(max_length=20, index=True)
    progress_percent: int = 0
    stage: dict[str, str] = Field(sa_type=Json)
    author: str = Field(max_length=200)
    created_at: datetime = Field(sa_type=Instant)
    heartbeat_at: datetime = Field(sa_type=Instant)
    finished_at: datetime | None = Field(default=None, sa_type=Instant)
    input_sha256: str = Field(max_length=64, index=True)
    catalogue_version: str = Field(foreign_key="catalogue_version.version", max_length=16)
    request: dict[str, Any] = Field(sa_type=Json)
    failure: dict[str, str] | None = Field(default=None, sa_type=Json)
    result: dict[str, Any] | None = Field(default=None, sa_type=Json)


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
