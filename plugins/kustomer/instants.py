"""Kustomer's times: whole milliseconds, UTC."""

import math
from datetime import datetime

from include.interactions.utc import EPOCH, MILLISECOND, utc_text


def to_milliseconds(moment: datetime) -> int:
    """Return `moment` as whole milliseconds, rounded up.

    Kustomer's times are whole milliseconds, so rounding both ends up selects exactly the closings in [from, to).

    Raises:
        ValueError: `moment` has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError("a window needs times with a time zone")
    return math.ceil((moment - EPOCH) / MILLISECOND)


def from_milliseconds(milliseconds: int) -> datetime:
    """Return the instant that many milliseconds after 1970."""
    return EPOCH + milliseconds * MILLISECOND


def as_text(moment: datetime) -> str:
    """Return milliseconds and Z, the one form that is documented (fact sheet, section 2.2)."""
    return utc_text(from_milliseconds(to_milliseconds(moment)))
