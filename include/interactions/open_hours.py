"""Open hours of a week in a time zone: is an instant open, and when is it open next?

Hours are wall-clock times. If a change to summer time skips the opening hour, they open with the change. If the
clock goes back, the repeated hour is open twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from include.interactions.clock_times import MINUTES_OF_DAY

MAX_DAYS_AHEAD = 400
"""How far to look for an opening: more than a year, because some hours open on few days."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class OpenHours:
    """When surveys may be sent.

    Attributes:
        week: for Monday to Sunday, pairs of minutes since midnight; an end above 1,440 lies on the next day.
        zone: the time zone of the hours.
        holidays: local dates on which nothing is open, not even what began the evening before.
        follow_customer: the hours are meant in the customer's time zone; `zone` is for customers without one.
    """

    week: tuple[tuple[tuple[int, int], ...], ...]
    zone: ZoneInfo
    holidays: frozenset[date] = frozenset()
    follow_customer: bool = False

    def is_open(self, instant: datetime, zone: ZoneInfo) -> bool:
        """Tell whether the instant lies in the hours of that zone."""
        return self._holds(instant.astimezone(zone))

    def next_open(self, instant: datetime, zone: ZoneInfo) -> datetime | None:
        """Return the first open instant from `instant` on; None if there is none within `MAX_DAYS_AHEAD` days."""
        local = instant.astimezone(zone)
        if self._holds(local):
            return instant
        today = local.date()
        for day in (today + _DAY * ahead for ahead in range(MAX_DAYS_AHEAD)):
            if day in self.holidays:
                continue
            openings = [start for start, _ in self.week[day.weekday()]]
            found = [
                at
                for at in _instants(day, [0, *openings], zone)
                if at >= instant and self._holds(at.astimezone(zone))
            ]
            if found:
                return min(found)
        return None

    def open_for(self, opened: datetime, zone: ZoneInfo, at_most: timedelta) -> timedelta:
        """Return how long it stays open from an open instant on, at most `at_most`."""
        first = opened.astimezone(zone).date()
        ends: list[datetime] = []
        for day in (first - _DAY, first, first + _DAY, first + 2 * _DAY):
            ends += _instants(day, [0, *(end for _, end in self.week[day.weekday()])], zone)
        closed = [at for at in ends if at > opened and not self._holds(at.astimezone(zone))]
        return min([at - opened for at in closed] + [at_most])

    def _holds(self, local: datetime) -> bool:
        day = local.date()
        if day in self.holidays:
            return False
        minute = local.hour * 60 + local.minute
        if any(start <= minute < end for start, end in self.week[day.weekday()]):
            return True
        before = day - _DAY
        spilled = minute + MINUTES_OF_DAY
        return before not in self.holidays and any(spilled < end for _, end in self.week[before.weekday()])


def _instants(day: date, minutes: list[int], zone: ZoneInfo) -> Iterator[datetime]:
    """Yield when a clock shows these minutes of the day, and when that day the clock changes."""
    midnight = datetime.combine(day, time())
    for minute in minutes:
        wall = midnight + timedelta(minutes=minute)
        yield from {wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    start, end = ((midnight + _DAY * days).replace(tzinfo=zone).astimezone(UTC) for days in (0, 1))
    start -= timedelta(hours=3)  # a change at midnight itself
    if start.astimezone(zone).utcoffset() != end.astimezone(zone).utcoffset():
        yield _change_between(start, end, zone)


def _change_between(start: datetime, end: datetime, zone: ZoneInfo) -> datetime:
    """Return the second at which the zone's offset changes between two instants with different offsets."""
    before = start.astimezone(zone).utcoffset()
    while end - start > timedelta(seconds=1):
        middle = start + timedelta(seconds=(end - start) // timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == before:
            start = middle
        else:
            end = middle
    return end
