"""What an hour leaves behind for those who watch: a line for each task, metrics, and a message when it matters."""

import json
import re
import socket
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics.stats_utils import get_stats_factory
from structlog.testing import capture_logs

from plugins.pipeline.admin import admin_params, carry_out, check_form, retain
from plugins.pipeline.alarms import NAMES, raise_alarms
from plugins.pipeline.feedback import record_feedback
from plugins.pipeline.planning import plan_windows
from plugins.pipeline.reporting import report_run
from plugins.pipeline.sensor import SendDelaySensor
from plugins.runtime.metrics import METRICS
from plugins.runtime.organisations import DEFAULT
from tests.support.pipeline import run_of

pytestmark = pytest.mark.usefixtures("no_waiting")

CANONICAL = re.compile(r'[a-z.]+( [\w.]+=("[^"]*"|\S+))+')


@pytest.fixture
def size() -> int:
    return 60


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], dict[str, float]]]:
    """A function that gives what Airflow has sent to a StatsD server: sums of counters, last values of gauges."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.2)
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_HOST", "127.0.0.1")
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_PORT", str(server.getsockname()[1]))
        stats.initialize(factory=get_stats_factory(), export_legacy_names=False)

        def read() -> dict[str, float]:
            values: dict[str, float] = defaultdict(float)
            while True:
                try:
                    name, value, kind = re.split(r"[:|]", server.recv(4096).decode())[:3]
                except TimeoutError:
                    return values
                values[name.removeprefix("airflow.")] = float(value) + (values[name] if kind == "c" else 0)

        yield read
        stats.initialize(factory=NoStatsLogger, export_legacy_names=False)


@pytest.fixture
def context(pipeline, hour) -> dict[str, Any]:
    """The context of a task of a scheduled run; the task instance answers with what `results` holds."""
    results: dict[str, Any] = {}
    task = SimpleNamespace(
        task_id="raise_alarms",
        try_number=1,
        max_tries=3,
        xcom_pull=lambda task_ids, **_: results.get(task_ids),
        get_ti_count=lambda **_: 0,
    )
    return run_of(hour) | {"ti": task, "results": results, "outlet_events": defaultdict(SimpleNamespace)}


def form(**fields: Any) -> dict[str, Any]:
    params = {name: param.value for name, param in admin_params().items()} | fields
    return {"dag_run": SimpleNamespace(dag_id="interaction_ledger_admin", run_id="manual__1"), "params": params}


def test_each_task_of_each_dag_logs_one_line_of_counts(pipeline, context, close, caplog):
    caplog.set_level("INFO")
    known, results = close(), context["results"]
    due = {"due_until": datetime.now(UTC).isoformat()}
    lines = {}

    def did(task: str, work: Callable[[], Any]) -> Any:
        caplog.clear()
        with capture_logs() as of_operators:
            result = results[task] = work()
        said = [one.getMessage() for one in caplog.records] + [str(one["event"]) for one in of_operators]
        lines[task] = [text for text in said if CANONICAL.fullmatch(text)]
        return result

    did("extract_closed_conversations", lambda: pipeline.extract(context))
    did("check_agent_profiles", lambda: pipeline.check(context))
    windows = did("plan_release_windows", lambda: plan_windows(context, DEFAULT))
    did("release_window.wait_until_due", lambda: SendDelaySensor(task_id="wait", window=due).execute({}))
    releases = did("release_window.release_interactions", lambda: [pipeline.release(context, windows[0])])
    did("report", lambda: report_run(context, DEFAULT))
    did("record_survey_responses", lambda: record_feedback(context, DEFAULT))
    did("raise_alarms", lambda: raise_alarms(context, DEFAULT))
    did("retain_personal_data", lambda: retain(context, DEFAULT))
    did("check_form", lambda: check_form(form(action="show_history", conversation_id=known)))
    did("carry_out", lambda: carry_out(form(action="show_history", conversation_id=known), DEFAULT))

    history = lines.pop("carry_out")
    assert {task: len(said) for task, said in lines.items()} == dict.fromkeys(lines, 1)
    assert [line.split()[0] for line in history] == ["event"] * 4 + ["admin"]
    assert f"released sent={releases[0]['sent']} " in lines["release_window.release_interactions"][0]
    people = {row[0] for row in pipeline.query("SELECT customer_email FROM interaction") if row[0]}
    assert not [line for said in lines.values() for line in said for person in people if person in line]


def test_airflows_metrics_tell_what_happened(pipeline, context, measured):
    pipeline.extract(context)
    (release,) = pipeline.release_due(context)
    context["results"] |= {
        "plan_release_windows": [{}],
        "release_window.release_interactions": [release],
    }
    report_run(context, DEFAULT)
    raise_alarms(context, DEFAULT)

    metrics, states = measured(), list(pipeline.states().values())

    assert metrics["interactions.sent"] == states.count("sent") > 20
    for state in set(states) - {"sent"}:
        name = f"interactions.{state.replace(' ', '.')}"
        assert metrics[name] == states.count(state), name
    assert metrics["interactions.late_seconds"] > 0
    assert {metrics[f"ledger.{name}"] for name in ("planned", "overdue", "oldest_overdue_seconds")} == {0}
    assert {f"alarms.{name}" for name in NAMES} <= set(metrics)
    ours = [name for name in metrics if name.startswith(("interactions.", "ledger.", "alarms.", "feedback."))]
    listed = {re.sub("<.*>", "*", metric.name) for metric in METRICS}
    unlisted = {name for name in ours if not {name, f"{name.rpartition('.')[0]}.*"} & listed}
    assert unlisted == set(), "plugins/runtime/metrics.py lists every metric"


def test_what_nobody_releases_is_an_alarm_that_reaches_a_person(
    pipeline, context, hour, measured, httpserver, monkeypatch, caplog
):
    """The pipeline does not run any more, and Stella Connect is silent: the alarm needs neither."""
    httpserver.expect_request("/hooks/secret").respond_with_data("ok")
    host = httpserver.url_for("/hooks")
    webhook = {"conn_type": "http", "host": host, "password": "secret"}
    monkeypatch.setenv("AIRFLOW_CONN_STELLA_CONNECT_ALARMS", json.dumps(webhook))
    pipeline.extract(context)
    planned = list(pipeline.states().values()).count("planned")
    pipeline.sandbox.state.faults.replace([{"match": {"path_prefix": "/"}, "kind": "500"}])

    facts = raise_alarms(context, DEFAULT)
    context["results"]["raise_alarms"] = facts
    raise_alarms(context, DEFAULT)  # a quarter of an hour later it still stands

    assert (facts["overdue"], facts["alarms"]) == (planned, ["overdue"])
    assert facts["oldest_overdue_seconds"] >= timedelta(hours=1).total_seconds()
    ((request, _),) = httpserver.log
    assert request.get_json()["text"].startswith(f"ALARM: {planned} planned interactions have been due")
    assert [one.levelname for one in caplog.records if "ALARM" in one.getMessage()] == ["ERROR", "ERROR"]
    metrics = measured()
    assert (metrics["alarms.overdue"], metrics["alarms.refused"]) == (1, 0)
    assert metrics["ledger.overdue"] == planned
