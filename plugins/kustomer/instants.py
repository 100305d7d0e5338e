"""Kustomer's times: whole milliseconds, UTC."""

import math
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_milliseconds(moment: datetime) -> int:
    """Return `moment` as whole milliseconds, rounded up.

    Kustomer's times are whole milliseconds, so rounding both ends up selects exactly the closings in [from, to).

    Raises:
        ValueError: `moment` has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError("a window needs times with a time zone")
    return math.ceil((moment - _EPOCH) / _MILLISECOND)


def from_milliseconds(milliseconds: int) -> datetime:
    """Return the instant that many milliseconds after 1970."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def as_text(moment: datetime) -> str:
    """Return milliseconds and Z, the one form that is documented (fact sheet, section 2.2)."""
    return from_milliseconds(to_milliseconds(moment)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
