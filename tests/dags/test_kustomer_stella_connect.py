"""The shape of the pipeline: what people and outside checks rely on by name."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.models.taskinstance import TaskInstance
from airflow.sdk import CronDataIntervalTimetable
from airflow.serialization.serialized_objects import DagSerialization

from include.interactions.settings import Settings
from plugins.pipeline.operators import (
    CheckAgentProfilesOperator,
    ExtractClosedConversationsOperator,
    ReleaseInteractionsOperator,
)
from plugins.pipeline.sensor import SendDelaySensor
from plugins.runtime.notifier import notify_failure

DAGS = Path(__file__).parents[2] / "dags"
TASKS = [
    "extract_closed_conversations",
    "check_agent_profiles",
    "plan_release_windows",
    "release_window.wait_until_due",
    "release_window.release_interactions",
    "report",
]


@pytest.fixture(scope="module")
def bag():
    return DagBag(str(DAGS))


@pytest.fixture(scope="module")
def dag(bag):
    return bag.dags["kustomer_stella_connect"]


def test_every_dag_file_can_be_imported(bag):
    assert bag.import_errors == {}
    assert len(bag.dags) == len(list(DAGS.glob("*.py"))) > 0


def test_parsing_the_dag_files_imports_nothing_that_only_tasks_need():
    heavy = "alembic", "babel", "email_validator", "jwt", "psycopg", "requests"
    code = (
        "import sys; from airflow.dag_processing.dagbag import DagBag; before = set(sys.modules); "
        f"DagBag({str(DAGS)!r}); print('imported:', *sorted(set({heavy}) & set(sys.modules) - before))"
    )
    parsed = subprocess.run([sys.executable, "-c", code], cwd=DAGS.parent, capture_output=True, text=True)

    assert parsed.stdout.splitlines()[-1:] == ["imported:"], parsed.stderr[-2000:]


def test_the_tasks_have_their_names_and_their_order(dag):
    order = [task.task_id for task in dag.topological_sort()]

    assert order == TASKS


def test_each_task_is_what_it_is_called(dag):
    kinds = {
        "extract_closed_conversations": ExtractClosedConversationsOperator,
        "check_agent_profiles": CheckAgentProfilesOperator,
        "release_window.wait_until_due": SendDelaySensor,
        "release_window.release_interactions": ReleaseInteractionsOperator,
    }
    for task_id, kind in kinds.items():
        task = dag.get_task(task_id)
        assert issubclass(getattr(task, "operator_class", type(task)), kind)


def test_every_task_is_tried_again(dag):
    assert {task.retries for task in dag.tasks} == {3}


def test_the_plan_does_not_wait_for_extraction_to_succeed_nor_the_report_for_anything(dag):
    assert dag.get_task("plan_release_windows").trigger_rule == "all_done"
    assert dag.get_task("report").trigger_rule == "all_done"


def test_runs_have_the_hour_that_has_just_ended(dag):
    assert isinstance(dag.timetable, CronDataIntervalTimetable)
    assert not dag.catchup
    assert dag.max_active_runs == 8
    assert dag.dagrun_timeout is None  # it would skip windows that wait


def test_extractions_take_turns(dag):
    assert dag.get_task("extract_closed_conversations").max_active_tis_per_dag == 1


AS_JSON = {"custom_properties", "rules", "cap", "send_window", "write_back", "recovery"}
"""Settings that only the Variable takes."""


def test_the_trigger_form_offers_every_simple_setting_and_the_interval(dag):
    assert set(dag.params) == {"start", "end", "judge_again", *Settings.model_fields} - AS_JSON
    for name in dag.params:
        param = dag.params.get_param(name)
        assert param.value is None, "empty: the Variable decides"
        assert param.schema["title"]
        assert param.description


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("seconds_until_send", 0, True),
        ("seconds_until_send", -1, False),
        ("seconds_until_send", "soon", False),
        ("on_reopen", "keep", True),
        ("on_reopen", "perhaps", False),
        ("max_releases_per_run", None, True),
        ("start", "2026-01-05T10:00:00Z", True),
    ],
)
def test_the_form_refuses_what_the_settings_refuse(dag, name, value, allowed):
    from airflow.sdk.exceptions import ParamValidationError

    param = dag.params.get_param(name)
    if allowed:
        assert param.resolve(value) == value
    else:
        with pytest.raises(ParamValidationError):
            param.resolve(value)


def test_every_dag_explains_itself(bag):
    for dag in bag.dags.values():
        assert dag.doc_md, dag.dag_id
        assert dag.tags, dag.dag_id
        assert dag.description, dag.dag_id


def test_a_failed_run_that_the_clock_started_can_reach_people(bag):
    told = {dag_id for dag_id, dag in bag.dags.items() if dag.on_failure_callback is notify_failure}

    assert told == {"kustomer_stella_connect", "stella_connect_feedback"}


@pytest.mark.parametrize("folder", ["interactions", "ledger", "sandbox"])
def test_what_needs_no_airflow_does_not_import_it(folder):
    imported = {
        name.split(".")[0]
        for file in (DAGS.parent / "include" / folder).rglob("*.py")
        if file.name != "__main__.py"  # a program, which binds what the packages know, as a DAG file does
        for node in ast.walk(ast.parse(file.read_text()))
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    }

    assert not imported & {"airflow", "plugins", "dags"}


@pytest.mark.parametrize("task_id", TASKS)
def test_airflow_starts_tasks_of_scheduled_and_manual_runs_before_those_of_a_backfill(dag, task_id):
    """As the scheduler knows the DAG. It starts the highest weight first, and else the oldest logical date."""
    task = DagSerialization.from_dict(DagSerialization.to_dict(dag)).get_task(task_id)

    def weight_in(run: str) -> int:
        return task.weight_rule.get_weight(TaskInstance(task, run_id=f"{run}__2026-01-05", dag_version_id=None))

    assert weight_in("scheduled") == weight_in("manual") > weight_in("backfill")
