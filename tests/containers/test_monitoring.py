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
from tests.containers.stack import ROOT, SANDBOX, Stack, run, started

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]
MONITORING = "docs/monitoring/compose.yaml"
SUBSTITUTES = ROOT / "tests" / "containers" / "images" / "monitoring"
METRICS = (
    "airflow_alarm",
    "airflow_ledger_planned",
    "airflow_scheduler_heartbeat",
    "airflow_triggerer_heartbeat",
    "airflow_dag_processing_import_errors",
)
"""What the rules ask for: a rule about a metric that is never sent would never be active."""


@pytest.fixture(scope="module")
def monitored(repository: Path) -> Iterator[Stack]:
    for part, service in yaml.safe_load((ROOT / MONITORING).read_text())["services"].items():
        image = service["image"]
        if not run(["docker", "images", "--quiet", image]):
            run(["docker", "build", "--quiet", "--target", part, "--tag", image, str(SUBSTITUTES)], seconds=600)
    settings = {"AIRFLOW_STATSD_ON": "true", "GRAFANA_ADMIN_PASSWORD": "not-used"}
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


def test_prometheus_counts_what_stella_connect_took(monitored: Stack) -> None:
    monitored.wait_until_all_arrived()
    taken = monitored.accepted()

    def shown() -> bool:
        return value(monitored, "sum(airflow_interactions_sent)") == taken

    wait_until(shown, f"Prometheus to show {taken}", 120, every=2)


def test_every_metric_of_the_rules_is_there(monitored: Stack) -> None:
    def missing() -> list[str]:
        return [metric for metric in METRICS if not value(monitored, f"count({metric})")]

    wait_until(lambda: not missing(), "every metric", 300, every=2)


def test_every_rule_is_loaded_and_none_is_active(monitored: Stack) -> None:
    written = yaml.safe_load((ROOT / "docs" / "monitoring" / "alerts.yml").read_text())["groups"]

    def rules() -> list[Any]:
        return [rule for group in ask(monitored, "rules")["groups"] for rule in group["rules"]]

    def quiet() -> bool:
        return {(rule["health"], rule["state"]) for rule in rules()} == {("ok", "inactive")}

    assert {rule["name"] for rule in rules()} == {rule["alert"] for group in written for rule in group["rules"]}
    wait_until(quiet, "each rule to be computed, and none to be active", 300, every=2)


def test_the_command_of_the_page_starts_what_is_missing(monitored: Stack) -> None:
    monitored.compose("rm", "--stop", "--force", "prometheus", "statsd-exporter", "grafana")
    monitored.follow("Metrics", MONITORING, seconds=900)
    wait_until(lambda: value(monitored, "up") == 1, "Prometheus to reach the exporter", 120, every=2)
