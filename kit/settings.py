"""What every process is told by its environment; each service adds its own fields and prefix."""

from functools import partial
from typing import Annotated

from pydantic import Field, HttpUrl, PostgresDsn, SecretStr, TypeAdapter
from pydantic_settings import BaseSettings, SettingsConfigDict

settings_config = partial(SettingsConfigDict, extra="ignore", frozen=True, env_ignore_empty=True)
"""Shape of every settings class: `model_config = settings_config(env_prefix="FEES_")`."""


class ProcessSettings(BaseSettings):
    """Common to every process that serves HTTP. Times in seconds, sizes in bytes."""

    model_config = settings_config()

    public_url: HttpUrl
    """Address under which browsers and partners reach this process."""
    issuer: HttpUrl
    """OIDC issuer whose tokens are believed."""
    audience: str = "lien-thong"
    log_level: str = "INFO"
    otlp_endpoint: HttpUrl | None = None
    """Where OpenTelemetry spans go; nowhere when unset."""
    max_body_bytes: Annotated[int, Field(gt=0)] = 2 * 1024 * 1024


class ServiceSettings(ProcessSettings):
    """Common to the three services: their database, their pages and the endpoint their news goes to."""

    database_url: PostgresDsn
    database_pool_size: Annotated[int, Field(ge=1, le=100)] = 10
    session_secret: SecretStr
    """Signs the cookie of the pages. At least 32 characters."""
    pages_client_id: str
    """OIDC client of the pages (authorization code with PKCE)."""
    secure_cookies: bool = True
    webhook_url: HttpUrl | None = None
    """Standing endpoint for this service's events: the workflows API."""
    webhook_secret: SecretStr | None = None
    webhook_allow_private: bool = False
    """Whether webhooks may go to private or loopback addresses (needed inside one host or compose network)."""


def text_of(url: HttpUrl | str) -> str:
    """A URL without the trailing slash that pydantic adds, ready to have a path appended."""
    return str(url).rstrip("/")


def checked_url(text: str) -> HttpUrl:
    """Read a URL from text; ValidationError when it is none."""
    return TypeAdapter(HttpUrl).validate_python(text)
