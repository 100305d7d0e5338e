"""Read Stella Connect's reports into the ledger, and settle unknown outcomes."""

import pendulum
from airflow.sdk import dag, get_current_context, task

from plugins.pipeline.admin import retain
from plugins.pipeline.alarms import raise_alarms
from plugins.pipeline.feedback import record_feedback, survey_responses_read
from plugins.pipeline.recovering import recover_unhappy_customers
from plugins.pipeline.writing_back import answers_written, write_answers
from plugins.runtime.notifier import notify_failure
from plugins.runtime.organisations import Organisation, organisations
from plugins.runtime.params import setting_params
from plugins.runtime.retries import RETRY_ARGS

DOC = """
### What became of the surveys

**record_survey_responses** reads Stella Connect's Data Return from where the last run stopped. If nothing is new,
this takes one call. The ledger then holds for each interaction: delivery status, times of survey and answer, and
every question with its answer. Once a day the task reads the last three days again, for late answers and disputes.

An interaction with an **unknown** outcome becomes *sent* when Stella Connect shows it. If it does not within 6
hours, the setting `on_absent` decides: `ask` asks a person under *Required Actions*
(DAG `stella_connect_unknown_outcomes`), `resend` plans it again once.

**write_answers_to_kustomer** writes new and changed answers to Kustomer, if the setting `write_back` says so:
attributes of the conversation, a custom object, a note. It writes for at most 14.5 minutes; the next run continues.

**recover_unhappy_customers** acts on bad answers as the setting `recovery` says: a note, a tag, a message, a
reopening, each once for each answer. Without the setting it does nothing.

**retain_personal_data** erases names and addresses of settled interactions after `personal_data_retention_days`, in
the first run of each day (UTC).

**raise_alarms** reads only the ledger, so it also works while Stella Connect is silent or the pipeline does not
run. Each alarm is an ERROR line that begins with ALARM and says what to do, and a metric. It is also a message if
the connection `stella_connect_alarms` names a webhook. An alarm does not fail the run.

Releases never wait for this DAG.
"""


def feedback(organisation: Organisation) -> None:
    """Build the DAG of one organisation."""

    @dag(
        dag_id=organisation.feedback_dag_id,
        dag_display_name=organisation.name_for("Stella Connect feedback", " · "),
        description="Records delivery states and survey responses, settles unknown outcomes, raises alarms.",
        schedule="*/15 * * * *",
        start_date=pendulum.datetime(2024, 1, 1, tz="UTC"),
        on_failure_callback=notify_failure,
        catchup=False,  # reading continues at the ledger's cursor, even after missed runs
        max_active_runs=1,
        default_args=RETRY_ARGS,
        params={"on_absent": setting_params()["on_absent"]},
        tags=["kustomer", "stella connect", "csat"],
        doc_md=DOC,
    )
    def stella_connect_feedback() -> None:
        """Tasks that may be repeated. Two wait for the first; one needs its success, so the run fails with it."""

        @task(outlets=[survey_responses_read(organisation)])
        def record_survey_responses() -> dict[str, object]:
            return record_feedback(get_current_context(), organisation)

        @task(outlets=[answers_written(organisation)])
        def write_answers_to_kustomer() -> dict[str, object]:
            return write_answers(get_current_context(), organisation)

        @task(task_id="raise_alarms")
        def alarms() -> dict[str, object]:
            return raise_alarms(get_current_context(), organisation)

        @task
        def retain_personal_data() -> dict[str, int]:
            return retain(get_current_context(), organisation)

        @task(task_id="recover_unhappy_customers", trigger_rule="all_done")
        def recover() -> dict[str, object]:
            return recover_unhappy_customers(get_current_context(), organisation)

        record_survey_responses() >> [write_answers_to_kustomer(), recover()]
        alarms()
        retain_personal_data()

    stella_connect_feedback()


for organisation in organisations():
    feedback(organisation)
