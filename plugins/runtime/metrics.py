"""Airflow metrics, each with the tag `organisation`.

Backends without tags (plain StatsD) drop it: with several organisations switch tags on (docs/operations.md).
"""

from collections.abc import Mapping
from typing import Any

from airflow.sdk.observability import stats

from plugins.runtime.organisations import Organisation


def count(name: str, number: int, organisation: Organisation) -> None:
    """Add to a counter."""
    stats.incr(name, number, tags={"organisation": organisation.name})


def level(name: str, number: float, organisation: Organisation) -> None:
    """Set a gauge."""
    stats.gauge(name, number, tags={"organisation": organisation.name})


def count_interactions(counts: Mapping[str, Any], organisation: Organisation) -> None:
    """Add each count to `interactions.<name>`, such as `interactions.sent`, `interactions.skipped.merged`.

    They are counted where they happen: a task that is tried again counts what is new.
    """
    for name, number in counts.items():
        if isinstance(number, int):
            count(f"interactions.{name}", number, organisation)
