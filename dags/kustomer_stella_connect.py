"""Send closed Kustomer conversations to Stella Connect after their send delay, hour by hour."""

from functools import partial

import pendulum
from airflow.sdk import CronDataIntervalTimetable, dag, get_current_context, task, task_group

from plugins.pipeline.operators import (
    CheckAgentProfilesOperator,
    ExtractClosedConversationsOperator,
    ReleaseInteractionsOperator,
)
from plugins.pipeline.planning import plan_windows
from plugins.pipeline.preflight import check_configuration
from plugins.pipeline.reporting import interactions_released, report_run
from plugins.pipeline.sensor import SendDelaySensor
from plugins.runtime.notifier import notify_failure
from plugins.runtime.organisations import Organisation, organisations
from plugins.runtime.params import interval_params, setting_params
from plugins.runtime.priority import BackfillLast
from plugins.runtime.retries import RETRY_ARGS

WINDOW_LABEL = "{{ task.window['label'] }}"

DOC = """
### Closed conversations become surveys

1. **extract_closed_conversations** reads the conversations closed in Kustomer and records them in the interaction
   ledger.
2. **check_agent_profiles** warns about agents without an approved Stella Connect profile.
3. **plan_release_windows** groups the interactions that fall due before the next run.
4. **release_window**: *wait_until_due* waits, then *release_interactions* checks each conversation again and sends
   its interaction.
5. **report** writes the counts, and fails the run if a task failed.

The ledger decides what may be sent, not Airflow. Cleared tasks, backfills and overlapping runs send nothing twice.
To read past hours use **Backfill**, or trigger with *Closed from* and *Closed before*.
"""


@task_group
def release_window(window: dict[str, object], organisation: Organisation) -> None:
    """Wait until a window is due, then send its interactions."""
    wait = SendDelaySensor(task_id="wait_until_due", window=window, map_index_template=WINDOW_LABEL)
    release = ReleaseInteractionsOperator(
        task_id="release_interactions",
        window=window,
        organisation=organisation,
        map_index_template=WINDOW_LABEL,
    )
    wait >> release


def pipeline(organisation: Organisation) -> None:
    """Build the DAG of one organisation."""

    @dag(
        dag_id=organisation.dag_id,
        dag_display_name=organisation.name_for("Kustomer → Stella Connect", " · "),
        description="Sends an interaction to Stella Connect for each conversation that an agent closed.",
        schedule=CronDataIntervalTimetable(organisation.schedule, timezone="UTC"),
        start_date=pendulum.datetime(2024, 1, 1, tz="UTC"),
        catchup=False,  # the next run reads missed hours, from the ledger's watermark
        # Two or three scheduled runs hold windows at a time; manual runs must not keep the next tick from its run.
        max_active_runs=8,
        on_failure_callback=notify_failure,
        default_args={**RETRY_ARGS, "weight_rule": BackfillLast()},
        params={**interval_params(), **setting_params()},
        tags=["kustomer", "stella connect", "csat"],
        doc_md=DOC,
    )
    def kustomer_stella_connect() -> None:
        """The pipeline, top to bottom."""

        @task(trigger_rule="all_done")  # an outage of Kustomer must not stop what is already planned
        def plan_release_windows() -> list[dict[str, object]]:
            return plan_windows(get_current_context(), organisation)

        @task(trigger_rule="all_done", outlets=[interactions_released(organisation)], multiple_outputs=False)
        def report() -> dict[str, object]:
            return report_run(get_current_context(), organisation)

        extract = ExtractClosedConversationsOperator(
            task_id="extract_closed_conversations",
            organisation=organisation,
            pre_execute=partial(check_configuration, organisation=organisation),
            max_active_tis_per_dag=1,  # Kustomer's search limit holds per key, so runs take turns
        )
        check = CheckAgentProfilesOperator(task_id="check_agent_profiles", organisation=organisation)
        windows = plan_release_windows()

        extract >> check >> windows
        release_window.partial(organisation=organisation).expand(window=windows) >> report()

    kustomer_stella_connect()


for organisation in organisations():
    pipeline(organisation)
