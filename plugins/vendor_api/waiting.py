"""Waits between calls, with one switch for tests.

All waits of the hooks go through `pause`, so ``waiting.factor = 0`` (a fixture) makes every retry and throttle
instant.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from tenacity import RetryCallState, wait_exponential_jitter

from plugins.vendor_api.errors import VendorApiError

factor = 1.0
"""Factor for every pause. Tests set it to 0; no other code changes it."""

MAX_WAIT_SECONDS = 90.0
"""Limit of a single wait, whatever a header asks for: both vendors count per minute."""

_backoff = wait_exponential_jitter(multiplier=1, max=30, jitter=1)


def pause(seconds: float) -> None:
    """Sleep for `seconds` times `factor`."""
    if (shrunk := seconds * factor) > 0:
        time.sleep(shrunk)


def requested_wait(status: int, headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the vendor asks to wait; None without a usable header.

    `Retry-After` (seconds or a date) counts first; after a 429 also `x-ratelimit-reset`. The latter is in UTC epoch
    seconds (Kustomer fact sheet, section 6) and comes with every answer.
    """
    with suppress(KeyError, ValueError):
        return _seconds(float(headers["Retry-After"]))
    with suppress(KeyError, ValueError):
        moment = parsedate_to_datetime(headers["Retry-After"])
        return _seconds(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - time.time())
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        with suppress(KeyError, ValueError):
            return _seconds(float(headers["x-ratelimit-reset"]) - time.time())
    return None


def _seconds(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("not a duration")
    return max(0.0, value)


def before_next_read(state: RetryCallState) -> float:
    """Return tenacity's wait: exponential backoff or the vendor's wait, whichever is longer; with jitter and limit.

    The backoff always counts: if the clocks differ, a reset may seem to have passed, and all attempts would be
    used up within a second.
    """
    fault = state.outcome.exception() if state.outcome else None
    asked = fault.retry_after if isinstance(fault, VendorApiError) and fault.retry_after else 0.0
    jitter = random.uniform(0.1, 1.0)  # noqa: S311 - no secret. Only upwards: an early call costs another 429
    return min(MAX_WAIT_SECONDS, max(asked + jitter, _backoff(state)))
