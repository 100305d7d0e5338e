"""docs/operations.md and what lies beside it, against the code: commands, metrics, alarms, services."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import airflow
import pytest
import yaml

from include.ledger.maintenance.command_line import DONE
from plugins.pipeline.alarms import NAMES
from plugins.runtime.metrics import METRICS
from tests.test_docs import ROOT, anchors

DOCS = ROOT / "docs"
PAGE = DOCS / "operations.md"
MONITORING = DOCS / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "grafana" / "interactions.json").read_text())
ALERTS = [
    rule for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
METRIC = re.compile(r"\bairflow_[a-z_]+")
SOURCES = {
    "interactions": (
        "plugins/pipeline/extraction.py",
        "plugins/pipeline/due_reader.py",
        "plugins/pipeline/release.py",
        "plugins/pipeline/release_counts.py",
        "plugins/pipeline/sending.py",
        "plugins/pipeline/reporting.py",
    ),
    "ledger": ("plugins/pipeline/alarms.py",),
    "feedback": ("plugins/pipeline/feedback.py",),
    "answers": ("plugins/pipeline/writing_back.py",),
    "recovery": ("plugins/pipeline/recovering.py", "include/interactions/recovery.py"),
}
"""Where the metrics of each kind get their names."""


def airflows_own() -> set[str]:
    """Names of Airflow's metrics as Prometheus has them, without those that hold a variable."""
    registry = Path(airflow.__file__).parent / "_shared" / "observability" / "metrics" / "metrics_template.yaml"
    names = {metric["name"] for metric in yaml.safe_load(registry.read_text())["metrics"]}
    jobs = {f"{job}_heartbeat" for job in ("scheduler", "triggerer", "dag_processor")}
    return {f"airflow_{name.replace('.', '_')}" for name in names | jobs if "{" not in name}


def exists(metric: str) -> bool:
    _, kind, *rest = metric.split("_", 2)
    if metric in ("airflow_alarm", "airflow_interactions_skipped", "airflow_interactions_cancelled"):
        return True  # by the mapping, from names that end in the alarm's name or the reason
    if kind not in SOURCES:
        return metric in airflows_own()
    code = "".join((ROOT / file).read_text() for file in SOURCES[kind])
    return re.search(rf"[\"'.]{re.escape(rest[0])}[\"']|\b{re.escape(rest[0])}=", code) is not None


@pytest.mark.parametrize("name", [metric.name for metric in METRICS])
def test_every_metric_of_the_catalogue_is_one_that_somebody_sends(name: str) -> None:
    assert exists("airflow_" + re.sub(r"s?\.<\w+>", "", name).replace(".", "_"))


def test_every_metric_of_dashboard_and_alerts_is_one_that_somebody_sends():
    expressions = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    metrics = {name for text in [*expressions, *(rule["expr"] for rule in ALERTS)] for name in METRIC.findall(text)}

    assert len(metrics) > 20
    assert {metric for metric in metrics if not exists(metric)} == set()


@pytest.mark.parametrize("alarm", NAMES)
def test_every_alarm_has_a_runbook_and_a_rule(alarm):
    assert f"alarm-{alarm}" in anchors(PAGE)
    assert [rule for rule in ALERTS if rule["expr"] == f'airflow_alarm{{alarm="{alarm}"}} == 1']


def test_every_rule_leads_to_its_runbook():
    for rule in ALERTS:
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert ROOT / page == PAGE
        assert anchor in anchors(PAGE), rule["alert"]


def test_the_dashboard_has_the_structure_that_grafana_reads():
    panels = DASHBOARD["panels"]
    assert DASHBOARD["schemaVersion"] >= 36
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} == {"datasource", "organisation"}
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["type"] in {"stat", "timeseries", "state-timeline"}
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        beside = one["x"] >= other["x"] + other["w"] or other["x"] >= one["x"] + one["w"]
        below = one["y"] >= other["y"] + other["h"] or other["y"] >= one["y"] + one["h"]
        assert beside or below


def test_the_page_names_only_services_commands_and_variables_that_exist():
    text = PAGE.read_text()
    services = {
        *yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"],
        *yaml.safe_load((MONITORING / "compose.yaml").read_text())["services"],
    }
    assert set(re.findall(r"\b(airflow-(?:apiserver|[a-z-]*er|init|worker))\b", text)) <= services
    assert set(re.findall(r"include\.ledger (\w+)", text)) == set(DONE)
    example = (ROOT / ".env.example").read_text()
    named = set(re.findall(r"`([A-Z]+_[A-Z_]+)(?:=\w+)?`", text)) - {"GRAFANA_ADMIN_PASSWORD", "UNCHECKED"}
    assert {name for name in named if not name.startswith("AIRFLOW_") or "__" not in name} - {
        name for name in named if name.startswith("AIRFLOW_CONN_")
    } <= set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))


def test_what_is_mounted_and_mapped_is_there():
    services = yaml.safe_load((MONITORING / "compose.yaml").read_text())["services"]
    mounts = [mount.split(":")[0] for service in services.values() for mount in service.get("volumes", [])]
    assert all((ROOT / mount).is_file() for mount in mounts if mount.startswith("."))
    values = yaml.safe_load((DOCS / "kubernetes" / "values.yaml").read_text())
    mapping = yaml.safe_load((MONITORING / "statsd-mapping.yml").read_text())["mappings"]
    assert values["statsd"]["overrideMappings"] == mapping
