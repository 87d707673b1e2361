"""Alembic's entry point for the postal database."""

from kit.migrations import run_migrations
from services.postal.models import Model

run_migrations(Model.metadata, environment_variable="POSTAL_DATABASE_URL")
