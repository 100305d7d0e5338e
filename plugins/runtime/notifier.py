"""Sends people a message about a failed run or an alarm; off until the Airflow connection for it exists.

The text holds counts and names of DAGs and runs, never personal data. `webhook.py` says how the connection is read.
"""

import logging

from airflow.sdk import Context
from airflow.sdk.configuration import conf

from plugins.runtime.webhook import CONNECTION, AlarmWebhookHook, WebhookFailedError
from plugins.vendor_api.errors import ConfigurationError
from plugins.vendor_api.lookup import LookupFailedError

log = logging.getLogger(__name__)

_FAILED = "No message was sent: the webhook of connection %r failed: %s."


def notify_failure(context: Context) -> None:
    """Send one message for a failed run, however many tasks failed in it: the DAGs' `on_failure_callback`."""
    dag_id, run_id = context["dag"].dag_id, context["run_id"]
    site = str(conf.get("api", "base_url", fallback="") or "").rstrip("/")
    where = f" {site}/dags/{dag_id}/runs/{run_id}" if site else ""
    send_message(f"The run {run_id} of the DAG {dag_id} has failed.{where}")


def send_message(text: str) -> bool:
    """Send the text if the connection exists; a failure is logged and fails nothing else.

    Returns:
        Whether the webhook took it, or there is none.
    """
    hook = AlarmWebhookHook()
    try:
        if not hook.exists():
            log.info("No message is sent: there is no connection %r.", CONNECTION)
            return True
        hook.send(text)
    except (ConfigurationError, LookupFailedError) as failure:
        log.error("No message was sent. %s", failure)  # noqa: TRY400 - a traceback could show the address
        return False
    except WebhookFailedError as failure:
        log.error(_FAILED, CONNECTION, failure)  # noqa: TRY400 - the same
        return False
    except Exception as failure:  # noqa: BLE001 - whatever it is: a message must not fail what it is about
        log.error(_FAILED, CONNECTION, type(failure).__name__)  # noqa: TRY400 - the same
        return False
    return True
