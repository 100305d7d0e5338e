"""Which pipeline keeps its interactions where: the one place that knows."""

from dataclasses import dataclass

from include.interactions.settings import VARIABLE
from plugins.kustomer.hook import KustomerHook
from plugins.run_context import LEDGER_CONNECTION


@dataclass(frozen=True, slots=True)
class Organisation:
    """One pipeline's DAGs, connections and settings."""

    dag_id: str
    feedback_dag_id: str
    admin_dag_id: str
    ledger_connection: str
    kustomer_connection: str
    settings_variable: str


THE_ONE = Organisation(
    dag_id="kustomer_stella_connect",
    feedback_dag_id="stella_connect_feedback",
    admin_dag_id="interaction_ledger_admin",
    ledger_connection=LEDGER_CONNECTION,
    kustomer_connection=KustomerHook.default_conn_name,
    settings_variable=VARIABLE,
)
BY_DAG = dict.fromkeys((THE_ONE.dag_id, THE_ONE.feedback_dag_id, THE_ONE.admin_dag_id), THE_ONE)
"""Whose tab shows which organisation's interactions."""
