"""Closed Kustomer conversations reach Stella Connect after their send delay, hour by hour."""

from functools import partial

import pendulum
from airflow.sdk import CronDataIntervalTimetable, dag, get_current_context, task, task_group

from plugins.pipeline.extraction import ExtractClosedConversationsOperator
from plugins.pipeline.operators import CheckAgentProfilesOperator, ReleaseInteractionsOperator
from plugins.pipeline.planning import plan_windows
from plugins.pipeline.preflight import check_configuration
from plugins.pipeline.reporting import interactions_released, report_run
from plugins.pipeline.sensor import SendDelaySensor
from plugins.runtime.notifier import notify_failure
from plugins.runtime.organisations import Organisation, organisations
from plugins.runtime.params import interval_params, setting_params

WINDOW_LABEL = "{{ task.window['label'] }}"


def pipeline(organisation: Organisation) -> None:
    """The DAG of one organisation."""

    @dag(
        dag_id=organisation.dag_id,
        dag_display_name=organisation.own("Kustomer → Stella Connect", " · "),
        description="Sends an interaction to Stella Connect for every conversation an agent closed in Kustomer.",
        schedule=CronDataIntervalTimetable(organisation.schedule, timezone="UTC"),
        start_date=pendulum.datetime(2024, 1, 1, tz="UTC"),
        catchup=False,  # hours that were missed are read by the next run, from the ledger's watermark
        max_active_runs=3,
        on_failure_callback=notify_failure,
        default_args={
            "retries": 3,
            "retry_delay": pendulum.duration(seconds=30),
            "retry_exponential_backoff": True,
            "max_retry_delay": pendulum.duration(minutes=5),
        },
        params={**interval_params(), **setting_params()},
        tags=["kustomer", "stella connect", "csat"],
        doc_md="""
### Closed conversations become surveys

1. **extract_closed_conversations** finds what was closed in Kustomer and writes it to the interaction ledger.
2. **check_agent_profiles** warns about agents without an approved Stella Connect profile.
3. **plan_release_windows** groups what falls due before the next run.
4. **release_window**: *wait_until_due* holds each window, *release_interactions* looks at each conversation once
   more and sends it.
5. **report** sums up, and fails the run if anything failed.

The ledger, not Airflow, decides what may be sent: clearing tasks, backfills and overlapping runs never send twice.
To read past hours use **Backfill**, or trigger with *start* and *end*.
""",
    )
    def kustomer_stella_connect() -> None:
        """The pipeline, top to bottom."""

        @task(trigger_rule="all_done")  # an outage of Kustomer must not stop what is already planned
        def plan_release_windows() -> list[dict[str, object]]:
            return plan_windows(get_current_context(), organisation)

        @task_group
        def release_window(window: dict[str, object]) -> None:
            wait = SendDelaySensor(task_id="wait_until_due", window=window, map_index_template=WINDOW_LABEL)
            release = ReleaseInteractionsOperator(
                task_id="release_interactions",
                window=window,
                organisation=organisation,
                map_index_template=WINDOW_LABEL,
            )
            wait >> release

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
        release_window.expand(window=windows) >> report()

    kustomer_stella_connect()


for one in organisations():
    pipeline(one)
