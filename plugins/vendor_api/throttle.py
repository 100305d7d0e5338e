"""Keeps calls below a vendor's documented limit before the vendor has to say 429."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from plugins.vendor_api.waiting import pause


class Throttle:
    """Spaces calls evenly: never two closer together than 60 / `per_minute` seconds.

    Even spacing rather than a bucket: whatever minute the vendor counts by, no minute holds more than the
    limit, and other users of the same budget never meet a burst. The first call is not delayed. One throttle
    knows only its own process; that suffices because one task at a time uses it at full rate.

    Args:
        per_minute: calls per minute; 0 means no limit.
        clock: monotonic seconds.
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
        """Return when the next call may be made. Threads queue up, each with its own place."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next)
            self._next = turn + self._gap
        if turn > now:
            self._sleep(turn - now)
