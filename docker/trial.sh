#!/bin/bash
# The trial without accounts: sets a short delay, unpauses the DAGs and reads what the sandbox has invented. Then waits.
set -euo pipefail

until airflow dags unpause kustomer_stella_connect >/dev/null 2>&1; do
    sleep 2 # until the DAG processor has read the DAG files
done
airflow variables set kustomer_stella_connect '{"seconds_until_send": 60, "do_not_send_attribute": "doNotSendStellaConnectRequestBool"}'
airflow dags unpause stella_connect_feedback
airflow dags unpause stella_connect_unknown_outcomes
airflow dags trigger kustomer_stella_connect \
    --conf "{\"start\": \"$(date --utc --date='3 hours ago' +%FT%TZ)\", \"end\": \"$(date --utc +%FT%TZ)\"}"
touch /tmp/started
exec sleep infinity
