"""Says whether this container's part of Airflow is alive: healthcheck.py worker | triggerer | dag-processor.

Starts no Airflow, which would cost seconds of CPU at every check, and passes no password on a command line.
The triggerer and the DAG processor write a heartbeat into Airflow's database; a worker speaks to Redis.
"""

import os
import socket
import sys
from urllib.parse import urlsplit

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
    """Ask Redis when this host's worker last spoke to it. A worker does so every 10 s, busy or not.

    A ping would import Celery, which takes more than a second of CPU.
    """
    broker = urlsplit(os.environ["AIRFLOW__CELERY__BROKER_URL"])
    with socket.create_connection((broker.hostname, broker.port), timeout=10) as connection:
        host, port = connection.getsockname()
        with connection.makefile("rwb") as stream:
            stream.write(f"AUTH {broker.password}\r\nCLIENT LIST\r\n".encode())
            stream.flush()
            if stream.readline() != b"+OK\r\n":
                return "Redis refuses the password"
            clients = stream.read(int(stream.readline()[1:])).decode().splitlines()
    facts = [dict(fact.partition("=")[::2] for fact in client.split()) for client in clients]
    idle_seconds = [
        int(fact["idle"])
        for fact in facts
        if fact["addr"].startswith(f"{host}:") and fact["addr"] != f"{host}:{port}"
    ]
    if not idle_seconds:
        return "the worker is not connected to Redis"
    youngest = min(idle_seconds)
    return None if youngest <= MAX_HEARTBEAT_AGE_SECONDS else f"the worker last spoke to Redis {youngest} s ago"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
