#!/bin/bash
# The PostgreSQL image runs this once, when its volume is new. Airflow and the ledger each get a database and a user who
# cannot open the other database. A third user may read the ledger's views for analysts, which the migration grants.
set -euo pipefail

psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set airflow_password="$AIRFLOW_DB_PASSWORD" --set ledger_password="$LEDGER_DB_PASSWORD" \
    --set reader_password="$LEDGER_READER_PASSWORD" <<'SQL'
CREATE USER airflow PASSWORD :'airflow_password';
CREATE USER ledger PASSWORD :'ledger_password';
CREATE USER ledger_reader PASSWORD :'reader_password';
CREATE DATABASE airflow OWNER airflow;
CREATE DATABASE ledger OWNER ledger;
REVOKE ALL ON DATABASE airflow, ledger FROM PUBLIC;
GRANT CONNECT ON DATABASE ledger TO ledger_reader;
SQL
