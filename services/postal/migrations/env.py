"""Alembic's entry point for the postal database."""

from services.postal.models import Model

from kit.migrations import run_migrations

run_migrations(Model.metadata, environment_variable="POSTAL_DATABASE_URL")
