"""How often Airflow retries a task of the scheduled DAGs."""

from datetime import timedelta
from typing import Any

RETRY_ARGS: dict[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=5),
}
"""Default arguments: any task can fail while Airflow's API server restarts."""
