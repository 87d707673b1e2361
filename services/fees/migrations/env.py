"""Alembic's entry point for the fees database."""

from services.fees.models import Model

from kit.migrations import run_migrations

run_migrations(Model.metadata, environment_variable="FEES_DATABASE_URL")
