"""The installation that the scenarios start from, with faults below HTTP and in our own processes."""

import os

import pytest

from tests.scenarios.conftest import (
    broken,
    close,
    hour,
    pipeline,
    planned,
    recover,
    sandbox,
    settings,
    size,
    unhappy,
    webhook,
)

__all__ = [
    "broken",
    "close",
    "hour",
    "pipeline",
    "planned",
    "recover",
    "sandbox",
    "settings",
    "size",
    "unhappy",
    "webhook",
]


@pytest.fixture
def environment(pipeline) -> dict[str, str]:
    """What another process needs to be of the same installation."""
    return {name: value for name, value in os.environ.items() if name.startswith(("AIRFLOW_CONN_", "AIRFLOW_VAR_"))}
