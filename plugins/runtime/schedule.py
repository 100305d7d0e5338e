"""The ticks of a schedule: when the next run starts, and whether that is often enough or too often.

Cron expressions are read by the library that Airflow's own timetable reads them with, in UTC.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise, product
from typing import Any

from croniter import CroniterBadCronError, croniter

MIN_GAP = timedelta(minutes=15)
"""Between two ticks. A run needs some minutes to read closings, and holds its windows longer."""


def next_ticks(schedule: str, after: datetime) -> tuple[datetime, datetime]:
    """Return the next two ticks after an instant, UTC."""
    ticks: Any = croniter(schedule, after.astimezone(UTC))  # its methods have no annotations
    return ticks.get_next(datetime), ticks.get_next(datetime)


@lru_cache(maxsize=32)
def find_fault(schedule: str) -> str | None:
    """Return what is wrong with a schedule; None if it can be used."""
    if len(schedule.split()) != 5:
        return "it needs five fields: minute, hour, day of month, month, day of week"
    try:
        minutes, hours = croniter.expand(schedule)[0][:2]
        next_ticks(schedule, datetime.now(UTC))  # fails for a day that never comes
    except (CroniterBadCronError, ValueError) as error:
        return f"it cannot be read ({error})"
    gap = _shortest_gap(_values(minutes, 60), _values(hours, 24))
    if gap < MIN_GAP:
        return (
            f"two runs would start {gap // timedelta(minutes=1)} minutes apart. A run needs at least "
            f"{MIN_GAP // timedelta(minutes=1)} minutes: with shorter gaps Airflow leaves out runs"
        )
    return None


def _values(field: Sequence[int | str], size: int) -> list[int]:
    return list(range(size)) if "*" in field else sorted(int(value) for value in field)


def _shortest_gap(minutes: list[int], hours: list[int]) -> timedelta:
    """Return the shortest time between two ticks of a day, or from its last to the next day's first."""
    of_day = [60 * hour + minute for hour, minute in product(hours, minutes)]
    return timedelta(minutes=min(later - earlier for earlier, later in pairwise([*of_day, of_day[0] + 24 * 60])))
