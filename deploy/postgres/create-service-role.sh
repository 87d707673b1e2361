#!/bin/bash
# Gives a service its own role and databases, once, when the cluster is created. The role is no superuser:
# it owns its databases, and has no right in any other and none over the server.
set -eu

: "${SERVICE_ROLE:?}" "${SERVICE_PASSWORD:?}" "${SERVICE_DATABASES:?}"

psql --no-psqlrc --set=ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv role SERVICE_ROLE
\getenv password SERVICE_PASSWORD
create role :"role" login nosuperuser nocreatedb nocreaterole noreplication password :'password';
SQL

for database in $SERVICE_DATABASES; do
    DATABASE="$database" psql --no-psqlrc --set=ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv role SERVICE_ROLE
\getenv database DATABASE
create database :"database" owner :"role";
revoke all on database :"database" from public;
SQL
done
