"""Repeats a step of the ledger while its database is away for a moment."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from sqlalchemy.exc import OperationalError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from plugins.vendor_api.waiting import pause

MAX_TRIES = 9
"""About a minute, with the waits between them: a restart of PostgreSQL, or a moment without space on the disk."""

P = ParamSpec("P")
T = TypeVar("T")


def retry_ledger(step: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Take a step of the ledger that may be done twice, in up to `MAX_TRIES` attempts.

    If a step was committed but its answer got lost, the next attempt finds the row changed and returns False. A
    claim holds its rows until the lease is over.

    Raises:
        OperationalError: the database stayed away.
    """
    retrying = Retrying(
        retry=retry_if_exception_type(OperationalError),
        stop=stop_after_attempt(MAX_TRIES),
        wait=wait_exponential_jitter(multiplier=0.5, max=15),
        sleep=pause,
        reraise=True,
    )
    return retrying(step, *given, **named)
