"""Actions of people on the interaction ledger."""

import pendulum
from airflow.sdk import dag, get_current_context, task

from plugins.pipeline.admin import admin_params, carry_out, check_form, documentation
from plugins.runtime.organisations import Organisation, organisations


def make_admin_dag(organisation: Organisation) -> None:
    """Make the DAG of one organisation."""

    @dag(
        dag_id=organisation.admin_dag_id,
        dag_display_name=organisation.name_for("Interaction ledger: actions", " · "),
        description="Shows, cancels, releases, settles or erases interactions. Only people trigger it.",
        schedule=None,
        start_date=pendulum.datetime(2024, 1, 1, tz="UTC"),
        catchup=False,
        # No retries, no message: the person who triggered it sees what is wrong, and nothing has changed.
        default_args={"retries": 0},
        params=admin_params(),
        tags=["kustomer", "stella connect", "csat", "actions"],
        doc_md=documentation(),
    )
    def interaction_ledger_admin() -> None:
        """Check the form, then carry out the action."""

        @task(task_id="check_form")
        def check() -> None:
            check_form(get_current_context())

        @task(task_id="carry_out")
        def act() -> dict[str, object]:
            return carry_out(get_current_context(), organisation)

        check() >> act()

    interaction_ledger_admin()


for organisation in organisations():
    make_admin_dag(organisation)
