"""What the workflow API and the worker are told by their environment (prefix `WORKFLOWS_`)."""

from typing import Annotated

from pydantic import Field, HttpUrl, SecretStr
from pydantic_settings import BaseSettings

from kit.settings import ProcessSettings, settings_config


class TemporalSettings(BaseSettings):
    """How to reach Temporal, and where the three services live."""

    model_config = settings_config(env_prefix="WORKFLOWS_")

    temporal_target: str = "127.0.0.1:7233"
    temporal_namespace: str = "dvctt"
    fees_url: HttpUrl
    payment_url: HttpUrl
    postal_url: HttpUrl
    token_url: HttpUrl
    """Token endpoint of the identity provider, for client credentials."""
    client_id: str
    client_secret: SecretStr


class WorkerSettings(TemporalSettings):
    """The worker process."""

    log_level: str = "INFO"
    metrics_address: str = "127.0.0.1:9464"
    """Where Temporal's own metrics are served for Prometheus."""
    otlp_endpoint: HttpUrl | None = None
    max_concurrent_activities: Annotated[int, Field(ge=1, le=1000)] = 20
    """Per service: a dead service fills its own queue and no other."""


class ApiSettings(ProcessSettings, TemporalSettings):
    """The workflow API: intake of dossiers, facts, commands, and the services' webhooks."""

    model_config = settings_config(env_prefix="WORKFLOWS_")

    payment_webhook_secret: SecretStr
    postal_webhook_secret: SecretStr
    fees_webhook_secret: SecretStr
    collecting_account: str
    """The bank account whose days are reconciled."""
