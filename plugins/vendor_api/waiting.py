"""How long to wait between calls, and the one switch with which tests need not.

All waiting of the hooks goes through `pause`, so ``waiting.factor = 0`` (a fixture) makes every retry and
every throttle instant, and nothing in production can forget a wait.
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
"""Every pause is multiplied by this. Tests set it to 0; nothing else touches it."""

LONGEST_WAIT_SECONDS = 90.0
"""Cap of a single wait, whatever a vendor's header asks for: both vendors count per minute."""

_backoff = wait_exponential_jitter(multiplier=1, max=30, jitter=1)


def pause(seconds: float) -> None:
    """Sleep `seconds`, times the test switch."""
    if (shrunk := seconds * factor) > 0:
        time.sleep(shrunk)


def requested_wait(status: int, headers: Mapping[str, str]) -> float | None:
    """Seconds the vendor asks to wait: `Retry-After` (seconds or a date), after a 429 else `x-ratelimit-reset`.

    The latter is UTC epoch seconds (Kustomer fact sheet, section 6) and comes with every answer. It is read as a
    number: one known client computes with the header's text. No header, or nonsense: None.
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
        raise ValueError("no duration")
    return max(0.0, value)


def before_next_read(state: RetryCallState) -> float:
    """Tenacity wait: exponential backoff, or what the vendor asked for if that is longer; jittered and capped.

    The backoff holds in any case: with the clocks apart a reset may seem to have passed already, and all attempts
    would be gone within a second.
    """
    fault = state.outcome.exception() if state.outcome else None
    asked = fault.retry_after if isinstance(fault, VendorApiError) and fault.retry_after else 0.0
    jitter = random.uniform(0.1, 1.0)  # noqa: S311 - no secret. Upwards only: coming back early costs another 429
    return min(LONGEST_WAIT_SECONDS, max(asked + jitter, _backoff(state)))
