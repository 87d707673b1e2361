"""Alembic's entry point for the payment database."""

from services.payment.models import Model

from kit.migrations import run_migrations

run_migrations(Model.metadata, environment_variable="PAYMENT_DATABASE_URL")
