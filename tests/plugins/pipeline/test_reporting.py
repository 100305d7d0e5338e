"""The report of a run: the sum of its tasks, one line, and a run that failed is said to have failed."""

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.ledger import Ledger, connect
from plugins.pipeline.reporting import interactions_released, report_run
from plugins.runtime.organisations import DEFAULT
from tests.support.ledger import by_run, closing
from tests.support.pipeline import run_of

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
END = START + timedelta(hours=1)
IN_TIME = (END + timedelta(minutes=3)).isoformat()
EXTRACTED = {"found": 5, "planned": 4, "skipped": {"merged": 1}, "finished_at": IN_TIME}
PROFILES = {"agents": 2, "not_approved": 0, "interactions_at_risk": 0}


def released(least: float | None = None, most: float | None = None, **counts: int) -> dict[str, Any]:
    return {**counts, "late_seconds": {"least": least, "median": least, "most": most}}


class Task:
    """As much of a task instance as the report asks."""

    def __init__(self, extracted: object, releases: list[object], failed: int) -> None:
        self.results = {
            "extract_closed_conversations": extracted,
            "check_agent_profiles": PROFILES,
            "plan_release_windows": [{}] * len(releases),
            "release_window.release_interactions": releases,
        }
        self.failed = failed

    def xcom_pull(self, task_ids: str, map_indexes: object = None) -> object:
        return self.results[task_ids]

    def get_ti_count(self, dag_id: str, run_ids: list[str], states: list[str]) -> int:
        assert set(states) == {"failed", "upstream_failed"}
        return self.failed


@pytest.fixture
def ledger(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """The ledger that the report asks for the backlog."""
    host = ledger_url.removeprefix("sqlite:///")
    monkeypatch.setenv("AIRFLOW_CONN_INTERACTION_LEDGER", json.dumps({"conn_type": "sqlite", "host": host}))
    ledger = Ledger(connect(ledger_url))
    ledger.migrate()
    return ledger


@pytest.fixture(autouse=True)
def _settings(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_KUSTOMER_STELLA_CONNECT", "{}")


def context_of(*releases: object, extracted: object = EXTRACTED, failed: int = 0, origin: str = "scheduled") -> Any:
    context = run_of(START, END, origin=origin)
    events: Any = defaultdict(SimpleNamespace)
    return context | {"ti": Task(extracted, list(releases), failed), "outlet_events": events}


def test_the_windows_are_summed_up_with_the_least_and_the_most_lateness() -> None:
    context = context_of(released(0.2, 3.5, sent=3, rejected=1), None, released(1.0, 41.0, sent=2), released())

    facts = report_run(context, DEFAULT)

    assert facts["windows"] == 4
    assert facts["released"] == {"sent": 5, "rejected": 1, "late_seconds": {"least": 0.2, "most": 41.0}}
    assert facts["extracted"] == {"found": 5, "planned": 4, "skipped": {"merged": 1}}
    assert facts["profiles"] == PROFILES
    assert context["outlet_events"][interactions_released(DEFAULT)].extra == facts


def test_a_run_without_anything_due_is_an_honest_zero() -> None:
    facts = report_run(context_of(), DEFAULT)

    assert facts["windows"] == 0
    assert facts["released"] == {"late_seconds": {"least": None, "most": None}}
    assert set(facts["backlog"].values()) == {0}


def test_the_backlog_is_what_the_ledger_holds(ledger: Ledger) -> None:
    ledger.extraction.record_closings([closing(1), closing(2, closed_at=datetime.now(UTC))], by_run("run"))

    backlog = report_run(context_of(), DEFAULT)["backlog"]

    since = (datetime.now(UTC) - closing(1).due_at).total_seconds()
    assert backlog.pop("oldest_overdue_seconds") == pytest.approx(since, abs=60)
    assert backlog == {"planned": 2, "overdue": 1, "held": 0, "unknown": 0}


def test_it_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "plugins.pipeline.reporting")

    report_run(context_of(released(0.2, 3.5, sent=3)), DEFAULT)

    (line,) = [record.getMessage() for record in caplog.records if record.name == "plugins.pipeline.reporting"]
    assert line.startswith("run extracted.found=5 ")
    assert "released.sent=3" in line
    assert "\n" not in line


def test_a_run_with_a_failed_task_fails_and_still_says_what_it_did() -> None:
    context = context_of(released(0.2, 3.5, sent=3), extracted=None, failed=2)

    with pytest.raises(AirflowFailException, match="2 task instances of this run failed or never ran"):
        report_run(context, DEFAULT)

    assert context["outlet_events"][interactions_released(DEFAULT)].extra["released"]["sent"] == 3


@pytest.mark.parametrize(
    ("minutes", "origin", "warned"),
    [
        (14, "scheduled", False),
        (16, "scheduled", True),
        (16, "backfill", False),  # nobody took over from it
        (16, "manual", False),
    ],
)
def test_an_extraction_that_outlasted_the_handover_is_warned_of(
    caplog: pytest.LogCaptureFixture, minutes: int, origin: str, warned: bool
) -> None:
    finished = {**EXTRACTED, "finished_at": (END + timedelta(minutes=minutes)).isoformat()}

    report_run(context_of(extracted=finished, origin=origin), DEFAULT)

    assert ("after the handover ended" in caplog.text) is warned


@pytest.mark.parametrize(("rejected", "alarmed"), [(0, False), (5, False), (6, True)])
def test_more_than_five_per_cent_refusals_are_an_alarm(
    caplog: pytest.LogCaptureFixture, rejected: int, alarmed: bool
) -> None:
    report_run(context_of(released(0.2, 3.5, sent=100 - rejected, rejected=rejected)), DEFAULT)

    alarms = [one.levelname for one in caplog.records if "ALARM: Stella Connect refused" in one.getMessage()]
    assert alarms == ["ERROR"] * alarmed
