"""Keep calls below a vendor's documented limit, so that the vendor need not answer 429."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from plugins.vendor_api.waiting import pause


class Throttle:
    """Spaces calls evenly: two calls are at least 60 / `per_minute` seconds apart.

    With even spacing no minute holds more than the limit, however the vendor counts minutes, and other users of the
    same budget meet no burst. The first call is not delayed. A throttle knows only its own process. That is enough,
    because one task at a time uses it at full rate.

    Args:
        per_minute: calls per minute; 0 means no limit.
        clock: returns monotonic seconds.
        sleep: waits the given seconds.
    """

    def __init__(
        self,
        per_minute: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = pause,
    ) -> None:
        self._gap = 60 / per_minute if per_minute else 0.0
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = float("-inf")

    def wait(self) -> None:
        """Wait until the next call may be made. Each waiting thread has its own turn."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next)
            self._next = turn + self._gap
        if turn > now:
            self._sleep(turn - now)
