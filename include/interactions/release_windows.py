"""Group due times into windows that are released together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

MAX_WINDOWS = 1000
"""Airflow maps at most 1,024 task instances (`[core] max_map_length`)."""


@dataclass(frozen=True, slots=True)
class ReleaseWindow:
    """The interactions due in [due_from, due_until], both ends included."""

    due_from: datetime
    due_until: datetime
    count: int

    def label(self, today: datetime) -> str:
        """Return the grid's label: "due 14:05:12–14:06:03 · 37 interactions", UTC, with the date if not today."""
        times = [moment.strftime(_format(moment, today)) for moment in (self.due_from, self.due_until)]
        noun = "interaction" if self.count == 1 else "interactions"
        return f"due {'–'.join(dict.fromkeys(times))} · {self.count:,} {noun}"


def _format(moment: datetime, today: datetime) -> str:
    return "%H:%M:%S" if moment.date() == today.date() else "%Y-%m-%d %H:%M:%S"


def release_windows(due_times: Sequence[datetime], now: datetime, window_seconds: int) -> Iterator[ReleaseWindow]:
    """Yield windows over sorted due times: one for all overdue ones, then one from each first uncovered time.

    A window is released when its last interaction is due. So nothing is early, and an interaction is at most
    `window_seconds` late. If there were more windows than Airflow can map, they are made wider.
    """
    if any(later < earlier for earlier, later in pairwise(due_times)):
        raise ValueError("due times must be sorted")
    overdue = [due for due in due_times if due <= now]
    if overdue:
        yield ReleaseWindow(overdue[0], overdue[-1], len(overdue))
    waiting = due_times[len(overdue) :]
    if not waiting:
        return
    width = max(timedelta(seconds=window_seconds), (waiting[-1] - waiting[0]) / (MAX_WINDOWS - 2))
    opened = 0
    for position, due in enumerate(waiting):
        if due - waiting[opened] >= width:
            yield ReleaseWindow(waiting[opened], waiting[position - 1], position - opened)
            opened = position
    yield ReleaseWindow(waiting[opened], waiting[-1], len(waiting) - opened)
