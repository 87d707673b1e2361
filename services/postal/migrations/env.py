"""Alembic's entry point for the postal database."""

from kit.migrations import run_migrations
from services.postal.desk_models import Case

run_migrations(Case.metadata, environment_variable="POSTAL_DATABASE_URL")
