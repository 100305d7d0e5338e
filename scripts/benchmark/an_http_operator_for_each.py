"""A peer's DAG: Airflow's own HttpOperator for each interaction, sent at once, with no ledger and no second look.

Copied into the measured Airflow's DAG folder; never part of the project's own. Reads its work from the run's conf:
`items`, each with the `request` to post with `key`; the connection `peer` says where.
"""

import json
from typing import Any

from airflow.providers.http.operators.http import HttpOperator
from airflow.sdk import dag, get_current_context, task


@dag(schedule=None)
def an_http_operator_for_each() -> None:
    """Plan, then one POST for each item, each a task."""

    @task
    def plan() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (get_current_context()["dag_run"].conf or {})["items"]
        return [
            {
                "data": json.dumps(item["request"]),
                "headers": {"x-api-key": item["key"], "Content-Type": "application/json"},
            }
            for item in items
        ]

    HttpOperator.partial(task_id="send", http_conn_id="peer", endpoint="/v1/requests", method="POST").expand_kwargs(
        plan()
    )


an_http_operator_for_each()
