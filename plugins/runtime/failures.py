"""Which faults Airflow may try again, and which need a person first."""

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowFailException

from plugins.vendor_api.errors import ConfigurationError, KeyFault


@contextmanager
def fail_for_good() -> Iterator[None]:
    """Fail the task without retries where trying again cannot help: a wrong key, role or connection.

    Everything else passes through, and Airflow's retries apply.
    """
    try:
        yield
    except (ConfigurationError, KeyFault) as fault:
        raise AirflowFailException(str(fault)) from None
