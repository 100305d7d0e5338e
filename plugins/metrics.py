"""Airflow metrics of interactions, counted where they happen: a task that is tried again counts what is new."""

from collections.abc import Mapping
from typing import Any

from airflow.sdk.observability import stats


def count_interactions(counts: Mapping[str, Any]) -> None:
    """Add each count to `interactions.<name>`, such as `interactions.sent`, `interactions.skipped.merged`."""
    for name, number in counts.items():
        if isinstance(number, int):
            stats.incr(f"interactions.{name}", number)
