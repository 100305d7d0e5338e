"""What became of the surveys: Stella Connect's answers reach the ledger, and unknown outcomes an end."""

import pendulum
from airflow.sdk import dag, get_current_context, task

from plugins.ledger_admin import is_first_of_the_day, retain
from plugins.params import setting_params
from plugins.stella_connect.feedback import SURVEY_RESPONSES_READ, record_feedback


@dag(
    dag_id="stella_connect_feedback",
    dag_display_name="Stella Connect feedback",
    description="Records delivery states and survey responses, and settles interactions with an unknown outcome.",
    schedule="*/15 * * * *",
    start_date=pendulum.datetime(2024, 1, 1, tz="UTC"),
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

A WARNING in the log says what to do when something stays unknown, is not shown, is shown twice, or when more than
5 % are refused. Releases never wait for this DAG.
""",
)
def stella_connect_feedback() -> None:
    """Two tasks that know nothing of each other; both are cheap, and repeating them changes nothing."""

    @task(outlets=[SURVEY_RESPONSES_READ])
    def record_survey_responses() -> dict[str, object]:
        return record_feedback(get_current_context())

    @task.run_if(is_first_of_the_day, skip_message="personal data is looked at once a day")
    @task
    def retain_personal_data() -> dict[str, int]:
        return retain(get_current_context())

    record_survey_responses()
    retain_personal_data()


stella_connect_feedback()
