#!/bin/sh
# The PostgreSQL image runs this once, when the database is created.
set -eu
psql -U postgres -d postgres -v owner_password="$OWNER_PASSWORD" -v app_password="$APP_PASSWORD" -f /opt/latchkey/roles.sql
