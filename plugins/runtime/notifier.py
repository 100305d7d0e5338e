"""Tells people of a failed run or an alarm, through a webhook; off until its Airflow connection exists.

The connection `stella_connect_alarms` (type `http`): host = the webhook's address, password = the secret rest of
its path, if it has one. It gets {"text": …}, as the webhooks of Slack and Mattermost expect. The text holds counts
and names of DAGs and runs, never personal data.
"""

import logging

from airflow.sdk import BaseHook, Context
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError
from tenacity import stop_after_attempt, wait_exponential_jitter

from plugins.vendor_api.waiting import pause

log = logging.getLogger(__name__)

CONNECTION = "stella_connect_alarms"
ATTEMPTS = 3
TIMEOUT_SECONDS = 10


def notify_failure(context: Context) -> None:
    """The `on_failure_callback` of each DAG: one message for a failed run, however many tasks failed in it."""
    dag_id, run_id = context["dag"].dag_id, context["run_id"]
    site = str(conf.get("api", "base_url", fallback="") or "").rstrip("/")
    where = f" {site}/dags/{dag_id}/runs/{run_id}" if site else ""
    tell(f"The run {run_id} of the DAG {dag_id} has failed.{where}")


def tell(text: str) -> None:
    """Send the text if the connection exists; what goes wrong with that is logged and fails nothing else."""
    try:
        secret_path = BaseHook.get_connection(CONNECTION).password
    except (AirflowNotFoundException, AirflowRuntimeError):
        log.info("Nobody is told: there is no connection %r.", CONNECTION)
        return
    # Here, because the DAG processor imports this module every time it parses a DAG file.
    from airflow.providers.http.hooks.http import HttpHook

    try:
        HttpHook(http_conn_id=CONNECTION).run_with_advanced_retry(
            {
                "stop": stop_after_attempt(ATTEMPTS),
                "wait": wait_exponential_jitter(multiplier=1, max=10),
                "sleep": pause,
                "reraise": True,
            },
            endpoint=secret_path,
            json={"text": text},
            extra_options={"timeout": TIMEOUT_SECONDS, "allow_redirects": False},
        )
    except Exception as fault:  # noqa: BLE001 - whatever it is: a broken webhook must not fail what it tells of
        # Not the fault's words: they hold the webhook's address, which is a secret.
        log.error("Nobody is told: the webhook of connection %r failed (%s).", CONNECTION, type(fault).__name__)  # noqa: TRY400 - the same for the traceback
