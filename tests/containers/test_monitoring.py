"""docs/operations.md, "Metrics": a real Prometheus beside the stack of the trial."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from scripts.stack.waiting import wait_until
from tests.containers.stack import ROOT, SANDBOX, Stack, started

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]
MONITORING = "docs/monitoring/compose.yaml"


@pytest.fixture(scope="module")
def monitored(repository: Path) -> Iterator[Stack]:
    settings = {"AIRFLOW_STATSD_ON": "true", "GRAFANA_ADMIN_PASSWORD": "nobody-logs-in"}
    with started(repository, MONITORING, profiles=SANDBOX, settings=settings) as stack:
        yield stack


def ask(stack: Stack, path: str, **query: str) -> Any:
    """Ask Prometheus."""
    address = stack.compose("port", "prometheus", "9090").strip()
    with urllib.request.urlopen(f"http://{address}/api/v1/{path}?{urlencode(query)}", timeout=30) as answer:
        return json.load(answer)["data"]


def value(stack: Stack, expression: str) -> float:
    """The value of an expression that has one series; 0 if there is none."""
    found = ask(stack, "query", query=expression)["result"]
    return float(found[0]["value"][1]) if found else 0


def test_the_command_of_the_page_finds_everything_running(monitored: Stack) -> None:
    monitored.follow("Metrics", MONITORING, seconds=900)


def test_prometheus_counts_what_stella_connect_took(monitored: Stack) -> None:
    monitored.wait_until_all_arrived()
    taken = monitored.accepted()
    wait_until(
        lambda: value(monitored, "sum(airflow_interactions_sent)") == taken,
        f"Prometheus to show {taken}",
        120,
        every=2,
    )


def test_every_rule_is_loaded_and_can_be_computed(monitored: Stack) -> None:
    written = yaml.safe_load((ROOT / "docs" / "monitoring" / "alerts.yml").read_text())["groups"]

    def rules() -> list[Any]:
        return [rule for group in ask(monitored, "rules")["groups"] for rule in group["rules"]]

    wait_until(lambda: {rule["health"] for rule in rules()} == {"ok"}, "each rule to be computed", 120, every=2)
    assert {rule["name"] for rule in rules()} == {rule["alert"] for group in written for rule in group["rules"]}
    assert not [rule["name"] for rule in rules() if rule["state"] == "firing"]
