"""Alembic's entry point for the payment database."""

from kit.migrations import run_migrations
from services.payment.models import Model

run_migrations(Model.metadata, environment_variable="PAYMENT_DATABASE_URL")
