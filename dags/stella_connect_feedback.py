"""What became of the surveys: Stella Connect's answers reach the ledger, and unknown outcomes an end."""

import pendulum
from airflow.sdk import dag, get_current_context, task

from plugins.pipeline.admin import retain
from plugins.pipeline.alarms import raise_alarms
from plugins.pipeline.feedback import record_feedback, survey_responses_read
from plugins.runtime.notifier import notify_failure
from plugins.runtime.organisations import Organisation, organisations
from plugins.runtime.params import setting_params
from plugins.runtime.run_context import is_first_of_the_day


def feedback(organisation: Organisation) -> None:
    """The DAG of one organisation."""

    @dag(
        dag_id=organisation.feedback_dag_id,
        dag_display_name=organisation.own("Stella Connect feedback", " · "),
        description="Records delivery states and survey responses, settles interactions with an unknown outcome.",
        schedule="*/15 * * * *",
        start_date=pendulum.datetime(2024, 1, 1, tz="UTC"),
        on_failure_callback=notify_failure,
        catchup=False,  # reading continues at the ledger's cursor, whatever runs were missed
        max_active_runs=1,
        default_args={
            "retries": 3,
            "retry_delay": pendulum.duration(seconds=30),
            "retry_exponential_backoff": True,
            "max_retry_delay": pendulum.duration(minutes=5),
        },
        params={"on_absent": setting_params()["on_absent"]},
        tags=["kustomer", "stella connect", "csat"],
        doc_md="""
### What became of the surveys

**record_survey_responses** reads Stella Connect's Data Return from where the last run stopped; when nothing is new
this is one call. For each interaction the ledger then knows the delivery status, when the survey was sent and
answered, rating, comment and reward. Once a day the last three days are read again, for late answers.

An interaction with an **unknown** outcome becomes *sent* as soon as Stella Connect shows it. If it does not within
six hours, the setting `on_absent` decides: `ask` leaves it for a person (DAG `interaction_ledger_admin`), `resend`
plans it again, once.

**retain_personal_data** erases names and addresses of settled interactions after `personal_data_retention_days`, in
the first run of each day (UTC).

**raise_alarms** looks at the ledger, also while Stella Connect is silent or the pipeline does not run: is anything
overdue by more than ten minutes, unknown past its grace, not shown, shown twice, or are more than 5 % refused? Each
is an ERROR in the log that begins with ALARM and says what to do, a metric, and a message if the connection
`stella_connect_alarms` names a webhook. An alarm does not fail the run.

Releases never wait for this DAG.
""",
    )
    def stella_connect_feedback() -> None:
        """Three tasks that know nothing of each other; all are cheap, and repeating them changes nothing."""

        @task(outlets=[survey_responses_read(organisation)])
        def record_survey_responses() -> dict[str, object]:
            return record_feedback(get_current_context(), organisation)

        @task(task_id="raise_alarms")
        def alarms() -> dict[str, object]:
            return raise_alarms(get_current_context(), organisation)

        @task.run_if(is_first_of_the_day, skip_message="personal data is looked at once a day")
        @task
        def retain_personal_data() -> dict[str, int]:
            return retain(get_current_context(), organisation)

        record_survey_responses()
        alarms()
        retain_personal_data()

    stella_connect_feedback()


for one in organisations():
    feedback(one)
