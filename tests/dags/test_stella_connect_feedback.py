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


def test_its_one_task_is_tried_again_and_tells_others(dag):
    (task,) = dag.tasks

    assert task.task_id == "record_survey_responses"
    assert task.retries == 3
    assert [asset.name for asset in task.outlets] == ["survey_responses_read"]


def test_the_form_offers_the_one_setting_that_matters_here(dag):
    assert set(dag.params) == {"on_absent"}
    assert dag.params["on_absent"] is None, "empty: the Variable decides"
