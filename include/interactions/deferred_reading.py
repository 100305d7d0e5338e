"""Readings that failed and are deferred. The time spent trying decides their end, never the age of the data."""

from dataclasses import dataclass
from datetime import datetime, timedelta

MAX_TRYING = timedelta(days=1)
"""After this time of trying a closing is settled as `malformed_record`."""
MIN_TRIES = 5
"""Least number of attempts: an Airflow that was paused for a day has hardly tried."""
MAX_TRYING_OF_A_SPAN = timedelta(days=14)
"""After this time of trying a span is given up."""
MAX_PAUSE = timedelta(days=1)
PAUSE_SHARE = 4
"""The pause before the next attempt as a share of the time spent trying: at first each run, at last daily."""


@dataclass(frozen=True, slots=True)
class DeferredReading:
    """A closing, or a span of closings, that could not be read.

    `closed_from` is the closing's time; of a span, or if that time is unreadable, the closings lie in
    [closed_from, closed_to).
    """

    closed_from: datetime
    closed_to: datetime
    detail: str
    """What failed and how, such as "customer: HTTP 500"; never personal data."""
    conversation_id: str | None = None
    """None: a span."""
    first_seen: datetime | None = None
    """None: it has not been recorded yet."""
    last_tried: datetime | None = None
    tries: int = 1
    """Of a reading that is handed in: 0 if it was not even tried this time."""

    @property
    def is_span(self) -> bool:
        """Tell whether it is a span, not a single closing."""
        return self.conversation_id is None


def is_due_again(reading: DeferredReading, now: datetime) -> bool:
    """Tell whether it may be read again now."""
    if reading.first_seen is None or reading.last_tried is None:
        return True
    pause = min(MAX_PAUSE, (reading.last_tried - reading.first_seen) / PAUSE_SHARE)
    return reading.last_tried + pause <= now


def is_exhausted(reading: DeferredReading, now: datetime) -> bool:
    """Tell whether it has been tried for long enough."""
    if reading.first_seen is None or reading.tries < MIN_TRIES:
        return False
    return now - reading.first_seen >= (MAX_TRYING_OF_A_SPAN if reading.is_span else MAX_TRYING)
