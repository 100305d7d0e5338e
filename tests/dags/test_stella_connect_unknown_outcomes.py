"""The shape of the DAG that asks about unknown outcomes."""

from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

from plugins.pipeline.unknown_outcomes import ANSWER_WITHIN


@pytest.fixture(scope="module")
def dag():
    file = Path(__file__).parents[2] / "dags" / "stella_connect_unknown_outcomes.py"
    bag = DagBag(str(file))
    assert bag.import_errors == {}
    return bag.dags["stella_connect_unknown_outcomes"]


def test_it_looks_every_hour_and_asks_one_question_at_a_time(dag):
    assert dag.schedule == "20 * * * *"
    assert dag.max_active_runs == 1
    assert not dag.catchup


def test_its_one_task_waits_for_a_bounded_time_and_is_never_tried_again(dag):
    (task,) = dag.tasks

    assert task.response_timeout == ANSWER_WITHIN
    assert task.retries == 0
    assert task.defaults is None, "no answer is given for a person"
