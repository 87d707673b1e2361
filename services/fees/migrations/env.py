"""Alembic's entry point for the fees database."""

from kit.migrations import run_migrations
from services.fees.models import Model

run_migrations(Model.metadata, environment_variable="FEES_DATABASE_URL")
