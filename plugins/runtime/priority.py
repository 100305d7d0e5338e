"""Which of several waiting tasks Airflow starts first."""

from typing import TYPE_CHECKING

from airflow.task.priority_strategy import PriorityWeightStrategy

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

BACKFILL = "backfill__"
"""How Airflow begins the ids of a backfill's runs."""


class BackfillLast(PriorityWeightStrategy):
    """Tasks of a backfill give way to those of scheduled and manual runs.

    Airflow starts tasks of equal weight by logical date, so without this a backfill of past hours would go before
    the current hour until its end.
    """

    def get_weight(self, ti: "TaskInstance") -> int:
        """Return the weight of a task instance; Airflow starts the highest first."""
        return 1 if ti.run_id.startswith(BACKFILL) else 2
