"""Several organisations in one Airflow: each has its own four DAGs; a mistake shows as an import error."""

import json
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization

from plugins.runtime.organisations import ENVIRONMENT

DAGS = Path(__file__).parents[2] / "dags"


def test_each_has_its_own_dags_with_its_own_schedule_and_assets(monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, '{"default": {}, "acme": {"schedule": "30 * * * *"}}')

    bag = DagBag(str(DAGS))

    assert bag.import_errors == {}
    assert len(bag.dags) == 8
    mine, theirs = bag.dags["kustomer_stella_connect"], bag.dags["kustomer_stella_connect__acme"]
    assert [task.task_id for task in mine.topological_sort()] == [
        task.task_id for task in theirs.topological_sort()
    ]
    assert "30 * * * *" in json.dumps(DagSerialization.to_dict(theirs)), "the API server sees it, too"
    assert not assets(mine) & assets(theirs)
    for dag in bag.dags.values():
        users = {task.organisation.name for task in dag.tasks if hasattr(task, "organisation")}
        assert users <= {"acme" if dag.dag_id.endswith("__acme") else "default"}


def test_a_mistake_in_the_configuration_is_the_import_error_of_every_file(monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, '{"Acme GmbH": {}}')

    bag = DagBag(str(DAGS))

    assert bag.dags == {}
    assert len(bag.import_errors) == 4
    for error in bag.import_errors.values():
        assert f"{ENVIRONMENT}: 'Acme GmbH' cannot be an organisation's name" in error


def assets(dag):
    return {asset.name for task in dag.tasks for asset in task.outlets}
