"""Instants as whole milliseconds since the epoch, UTC: small to keep, quick to compare, exact on the wire."""

import time
from datetime import UTC, date, datetime, timedelta
from datetime import time as midnight
from functools import lru_cache
from zoneinfo import ZoneInfo

HOUR = 3_600_000


def now_ms() -> int:
    """Return this moment in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def to_ms(instant: datetime) -> int:
    """Return an aware datetime as milliseconds since the epoch."""
    if instant.tzinfo is None:
        raise ValueError(f"a time zone is needed: {instant!r}")
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def day_to_ms(day: date, zone: ZoneInfo) -> int:
    """Return the start of a local day as milliseconds since the epoch."""
    return to_ms(datetime.combine(day, midnight(), tzinfo=zone))


@lru_cache(maxsize=4096)
def _hour(hours: int) -> str:
    return datetime.fromtimestamp(hours * 3600, UTC).strftime("%Y-%m-%dT%H:")


def iso(ms: int) -> str:
    """Write an instant as Kustomer does: UTC, milliseconds, `Z` (a page of 500 rows holds thousands)."""
    hours, rest = divmod(ms, HOUR)
    minutes, rest = divmod(rest, 60_000)
    seconds, millis = divmod(rest, 1000)
    return f"{_hour(hours)}{minutes:02d}:{seconds:02d}.{millis:03d}Z"


def iso_or_none(ms: int | None) -> str | None:
    """Write an instant, or null."""
    return None if ms is None else iso(ms)
