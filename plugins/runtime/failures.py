"""Separate faults that Airflow may retry from faults that need a person."""

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowFailException

from include.interactions.settings import SettingsError
from plugins.vendor_api.errors import ConfigurationError, KeyFault


@contextmanager
def fail_for_good() -> Iterator[None]:
    """Fail the task without retries if a retry cannot help: a wrong key, role, connection or setting.

    All other faults pass through, and Airflow retries the task.
    """
    try:
        yield
    except (ConfigurationError, KeyFault, SettingsError) as fault:
        raise AirflowFailException(str(fault)) from None
