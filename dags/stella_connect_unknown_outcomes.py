"""Ask people what became of the requests whose outcome stays unknown."""

import pendulum
from airflow.sdk import dag

from plugins.pipeline.unknown_outcomes import AskAboutUnknownOutcomesOperator
from plugins.runtime.organisations import Organisation, organisations

DOC = """
### A person decides about unknown outcomes

**ask_a_person** looks every hour for requests that Stella Connect does not show more than 6 hours after they were
sent. If there are any, it asks under **Required Actions** what became of them: *Sent*, *Plan again* or *Cancel*.
The answer settles the interactions that the question names and that are still unknown. Their history shows who
answered.

If nothing needs a decision, the task is skipped. If no answer comes within 6 hours, it is skipped too, and the next
run asks again. There is only one question at a time, and no other DAG waits for it.

The action *Settle an unknown outcome* of `interaction_ledger_admin` settles single interactions at any time.
"""


def make_decision_dag(organisation: Organisation) -> None:
    """Make the DAG of one organisation."""

    @dag(
        dag_id=organisation.decision_dag_id,
        dag_display_name=organisation.name_for("Stella Connect: unknown outcomes", " · "),
        description="Asks people what became of requests that Stella Connect does not show.",
        schedule="20 * * * *",
        start_date=pendulum.datetime(2024, 1, 1, tz="UTC"),
        catchup=False,
        max_active_runs=1,  # one question at a time
        # No message about a failed run: the alarm `unknown` stands anyway, and the next run asks.
        tags=["kustomer", "stella connect", "csat"],
        doc_md=DOC,
    )
    def stella_connect_unknown_outcomes() -> None:
        """One task that waits for the answer without a worker."""
        AskAboutUnknownOutcomesOperator(task_id="ask_a_person", organisation=organisation)

    stella_connect_unknown_outcomes()


for organisation in organisations():
    make_decision_dag(organisation)
