"""Times of the day and time zones, as the settings write them."""

from datetime import time
from functools import lru_cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from include.interactions.setting_types import SettingPart

MINUTES_OF_DAY = 24 * 60


@lru_cache(maxsize=1024)
def zone_named(name: str) -> ZoneInfo | None:
    """Return the time zone of an IANA name such as "Europe/Paris"; None if there is none."""
    try:
        return ZoneInfo(name.strip())
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder of zones
        return None


def _check_zone(name: str) -> str:
    if zone_named(name) is None:
        raise ValueError(f"{name!r} is no time zone; a time zone is a name such as 'Europe/Paris'")
    return name.strip()


def _read_minute(value: Any) -> int:
    if value == "24:00":
        return MINUTES_OF_DAY
    try:
        read = time.fromisoformat(value if isinstance(value, str) and len(value) == len("09:30") else "")
    except ValueError:
        raise ValueError("must be a time such as '09:30'") from None
    return read.hour * 60 + read.minute


MinuteOfDay = Annotated[int, BeforeValidator(_read_minute)]
"""Minutes since midnight, written "09:30"; "24:00" is the end of the day."""
Zone = Annotated[str, AfterValidator(_check_zone)]


class Hours(SettingPart):
    """Hours of the day in a time zone; from a later to an earlier hour they go over midnight."""

    opens: MinuteOfDay = Field(alias="from")
    closes: MinuteOfDay = Field(alias="to")
    time_zone: Zone = "UTC"

    @model_validator(mode="after")
    def _not_empty(self) -> "Hours":
        check_hours(self.opens, self.closes)
        return self

    def hold_at(self, minute: int) -> bool:
        """Tell whether the minute of the day lies in them: `from` included, `to` excluded."""
        if self.opens < self.closes:
            return self.opens <= minute < self.closes
        return minute >= self.opens or minute < self.closes


def check_hours(opens: int, closes: int) -> None:
    """Raise ValueError for hours without a minute."""
    if opens in (closes, MINUTES_OF_DAY):
        raise ValueError("'from' must be before 'to', or after it for hours that go over midnight")
