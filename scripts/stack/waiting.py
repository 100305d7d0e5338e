"""Waiting for a condition instead of for a time."""

from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_delay, wait_fixed

T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str, seconds: float, every: float = 0.2) -> T:
    """Return the first true answer of `condition`, asked every `every` seconds.

    Raises:
        TimeoutError: naming `what` was waited for, after `seconds`.
    """

    def give_up(state: RetryCallState) -> T:
        raise TimeoutError(f"Waited {state.seconds_since_start or seconds:.0f} s in vain for {what}")

    ask = Retrying(
        stop=stop_after_delay(seconds),
        wait=wait_fixed(every),
        retry=retry_if_result(lambda answer: not answer),
        retry_error_callback=give_up,
    )
    return ask(condition)
