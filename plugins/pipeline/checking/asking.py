"""Calls of a check. Each fault is an answer, too. After `MAX_SECONDS` no call begins."""

import time
from collections.abc import Callable
from typing import TypeVar

from include.interactions.vendor_check.findings import Unread
from plugins.kustomer.search import describe_fault
from plugins.vendor_api.errors import VendorApiError
from plugins.vendor_api.waiting import pause

T = TypeVar("T")

MAX_SECONDS = 50.0
"""After this time no further call begins; what was not asked cannot be seen."""
SECONDS_BETWEEN_LOOKS = 20.0


class Asker:
    """Makes the calls of one check."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began = now()

    def ask(self, call: Callable[[], T]) -> T | Unread:
        """Return the answer, or why there is none."""
        if self._seconds() > MAX_SECONDS:
            return Unread("no time left")
        try:
            return call()
        except VendorApiError as error:
            return Unread(describe_fault(error))

    def wait_for_second_look(self) -> None:
        """Wait until enough time has passed for new closings to appear."""
        pause(max(0.0, SECONDS_BETWEEN_LOOKS - self._seconds()))

    def _seconds(self) -> float:
        return self._now() - self._began
