"""The only place where a Temporal client is made, and where the services' clients are put together."""

from dataclasses import dataclass
from datetime import timedelta

import httpx
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from kit.http import KEEPALIVE_SECONDS, TIMEOUT, JsonClient, TokenSource
from kit.settings import text_of
from workflows.settings import TemporalSettings


@dataclass(frozen=True, slots=True)
class Services:
    """Typed clients of the three services, sharing one connection pool and one token."""

    http: httpx.AsyncClient
    fees: JsonClient
    payment: JsonClient
    postal: JsonClient


async def connect(settings: TemporalSettings, *, metrics_address: str | None = None, lazy: bool = False) -> Client:
    """Connect to Temporal. A lazy client lets an API start while Temporal is away; a worker cannot be lazy."""
    runtime = None
    if metrics_address:
        prometheus = PrometheusConfig(
            bind_address=metrics_address, durations_as_seconds=True, counters_total_suffix=True
        )
        runtime = Runtime(telemetry=TelemetryConfig(metrics=prometheus))
    return await Client.connect(
        settings.temporal_target,
        namespace=settings.temporal_namespace,
        data_converter=pydantic_data_converter,
        lazy=lazy,
        runtime=runtime,
    )


def create_services(settings: TemporalSettings) -> Services:
    """Clients of the services named in the settings."""
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=50, keepalive_expiry=KEEPALIVE_SECONDS)
    http = httpx.AsyncClient(timeout=TIMEOUT, limits=limits)
    tokens = TokenSource(
        token_url=text_of(settings.token_url),
        client_id=settings.client_id,
        client_secret=settings.client_secret.get_secret_value(),
        http=http,
    )
    return Services(
        http=http,
        fees=JsonClient(text_of(settings.fees_url), http=http, tokens=tokens),
        payment=JsonClient(text_of(settings.payment_url), http=http, tokens=tokens),
        postal=JsonClient(text_of(settings.postal_url), http=http, tokens=tokens),
    )


RPC_TIMEOUT = timedelta(seconds=10)
"""Longest that an HTTP request waits for Temporal before it answers 503."""
