"""How long to wait between calls, and the one switch with which tests need not.

All waiting of the hooks goes through `pause`, so ``waiting.factor = 0`` (a fixture) makes every retry and
every throttle instant, and nothing in production can forget a wait.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from tenacity import RetryCallState, wait_exponential_jitter

from plugins.vendor_api.errors import VendorApiError

factor = 1.0
"""Every pause is multiplied by this. Tests set it to 0; nothing else touches it."""

LONGEST_WAIT_SECONDS = 90.0
"""Cap of a single wait, whatever a vendor's header asks for: both vendors count per minute."""

_backoff = wait_exponential_jitter(initial=1, max=30, jitter=1)


def pause(seconds: float) -> None:
    """Sleep `seconds`, times the test switch."""
    if (shrunk := seconds * factor) > 0:
        time.sleep(shrunk)


def requested_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds the vendor asks to wait: `Retry-After` (seconds or a date), else `x-ratelimit-reset`.

    The latter is UTC epoch seconds (Kustomer fact sheet, section 6), read as a number because one known client
    computes with the header's text. Neither header, or nonsense in both: None.
    """
    if (after := headers.get("Retry-After")) is not None:
        try:
            return max(0.0, float(after))
        except ValueError:
            pass
        try:
            moment = parsedate_to_datetime(after)
        except ValueError:
            pass
        else:
            return max(0.0, moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - time.time())
    try:
        return max(0.0, float(headers["x-ratelimit-reset"]) - time.time())
    except (KeyError, ValueError):
        return None


def before_next_read(state: RetryCallState) -> float:
    """Tenacity wait: what the vendor asked for, else exponential backoff; jittered and capped."""
    fault = state.outcome.exception() if state.outcome else None
    asked = fault.retry_after if isinstance(fault, VendorApiError) else None
    if asked is None:
        return _backoff(state)
    # Jitter upwards only: coming back a moment early costs another 429.
    return min(LONGEST_WAIT_SECONDS, asked + random.uniform(0.1, 1.0))  # noqa: S311 - jitter, not a secret
