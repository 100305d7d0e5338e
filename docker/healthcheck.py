"""Says whether this container's part of Airflow is alive: healthcheck.py worker | triggerer | dag-processor.

Starts no Airflow, which would cost seconds of CPU at every check, and passes no password on a command line.
The triggerer and the DAG processor write a heartbeat into Airflow's database; a worker answers a ping.
"""

import os
import socket
import sys

MAX_HEARTBEAT_AGE_SECONDS = 120
"""Longer than Airflow's own 30 s: a busy machine delays heartbeats, and a restart would not make it faster."""
JOB_TYPES = {"triggerer": "TriggererJob", "dag-processor": "DagProcessorJob"}


def main(part: str) -> str | None:
    """Return what is wrong, None if nothing is."""
    return check_worker() if part == "worker" else check_heartbeat(JOB_TYPES[part])


def check_heartbeat(job_type: str) -> str | None:
    """Look for a recent heartbeat of this host's job."""
    import psycopg2

    url = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "")
    with psycopg2.connect(url, connect_timeout=5) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM now() - max(latest_heartbeat)) FROM job"
            " WHERE job_type = %s AND hostname = %s AND state = 'running'",
            (job_type, socket.gethostname()),
        )
        (age_seconds,) = cursor.fetchone()
    if age_seconds is None:
        return f"no running {job_type} of this host"
    return None if age_seconds <= MAX_HEARTBEAT_AGE_SECONDS else f"last heartbeat {age_seconds:.0f} s ago"


def check_worker() -> str | None:
    """Ping this host's Celery worker."""
    from celery import Celery

    name = f"celery@{socket.gethostname()}"
    app = Celery(broker=os.environ["AIRFLOW__CELERY__BROKER_URL"])
    return None if app.control.inspect([name], timeout=10).ping() else f"{name} does not answer"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
