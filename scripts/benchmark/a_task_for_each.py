"""The baseline's DAG: one mapped deferrable sensor and one task for each interaction.

Copied into the measured Airflow's DAG folder; never part of the project's own. Reads its work from the run's conf:
`items`, each with the instant `due_until` and the `request` to post to `url` with `key`.
"""

from typing import Any

import requests
from airflow.sdk import dag, get_current_context, task, task_group

from plugins.pipeline.sensor import SendDelaySensor


@dag(schedule=None)
def a_task_for_each() -> None:
    """Plan, then wait and send in a separate task for each item."""

    @task
    def plan() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (get_current_context()["dag_run"].conf or {})["items"]
        return items

    @task_group
    def interaction(item: dict[str, Any]) -> None:
        @task
        def send(item: dict[str, Any]) -> None:
            requests.post(
                item["url"], json=item["request"], headers={"x-api-key": item["key"]}, timeout=30
            ).raise_for_status()

        SendDelaySensor(task_id="wait", window=item) >> send(item)

    interaction.expand(item=plan())


a_task_for_each()
