#!/bin/sh
# Brings Temporal's two databases to the schema of this admin-tools version; doing it again changes nothing.
# The databases and their owner exist already (deploy/postgres), so this role needs no right to create any.
set -eu

: "${SQL_HOST:?}" "${SQL_PORT:?}" "${SQL_USER:?}" "${SQL_PASSWORD:?}" "${SQL_PLUGIN:?}"

bring_up_to_date() {
    database="$1"
    versions="/etc/temporal/schema/postgresql/v12/$2/versioned"
    set -- --plugin "$SQL_PLUGIN" --ep "$SQL_HOST" -p "$SQL_PORT" -u "$SQL_USER" --db "$database"
    temporal-sql-tool "$@" setup-schema -v 0.0
    temporal-sql-tool "$@" update-schema -d "$versions"
}

bring_up_to_date temporal temporal
bring_up_to_date temporal_visibility visibility
