"""The shape of the feedback DAG."""

from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag


@pytest.fixture(scope="module")
def dag():
    file = Path(__file__).parents[2] / "dags" / "stella_connect_feedback.py"
    bag = DagBag(str(file))
    assert bag.import_errors == {}
    return bag.dags["stella_connect_feedback"]


def test_it_reads_every_quarter_of_an_hour_one_run_at_a_time(dag):
    assert dag.schedule == "*/15 * * * *"
    assert dag.max_active_runs == 1
    assert not dag.catchup


READING, WRITING, RECOVERY = "record_survey_responses", "write_answers_to_kustomer", "recover_unhappy_customers"


def test_its_tasks_are_tried_again_and_two_wait_for_reading(dag):
    assert {task.task_id for task in dag.tasks} == {
        READING,
        WRITING,
        RECOVERY,
        "raise_alarms",
        "retain_personal_data",
    }
    assert all(task.retries == 3 for task in dag.tasks)
    waits = {task.task_id: task.upstream_task_ids for task in dag.tasks if task.upstream_task_ids}
    assert waits == {WRITING: {READING}, RECOVERY: {READING}}
    assert dag.get_task(RECOVERY).trigger_rule == "all_done"


def test_reading_responses_tells_others(dag):
    task = dag.get_task("record_survey_responses")

    assert [asset.name for asset in task.outlets] == ["survey_responses_read"]


def test_the_form_offers_the_one_setting_that_matters_here(dag):
    assert set(dag.params) == {"on_absent"}
    assert dag.params["on_absent"] is None, "empty: the Variable decides"


def test_a_failed_reading_fails_the_run(dag):
    # Airflow judges a run by its last tasks: the reading must not hide behind one that runs all the same.
    assert dag.get_task(WRITING).trigger_rule == "all_success"
