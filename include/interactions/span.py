"""The closings that a run reads, and the time until which it releases."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from include.interactions.settings import SettingsError

HOUR = timedelta(hours=1)
OLDEST = timedelta(days=730)
"""Kustomer's search covers records updated in the past two years (fact sheet, section 2.3)."""

Origin = Literal["schedule", "backfill", "manual"]


@dataclass(frozen=True, slots=True)
class Span:
    """Closings in [closed_from, closed_to) are extracted."""

    closed_from: datetime
    closed_to: datetime


@dataclass(frozen=True, slots=True)
class Watermark:
    """Extraction by the schedule has covered [covered_from, covered_until) without a gap."""

    covered_from: datetime
    covered_until: datetime


def interval_of(
    interval: tuple[datetime, datetime] | None,
    asked: tuple[datetime | None, datetime | None],
    run_after: datetime,
) -> tuple[datetime, datetime]:
    """Return the closings of a run: the form's interval, else Airflow's, else the last full hour.

    Args:
        interval: Airflow's data interval; None for a manual run without a logical date.
        asked: the Params `start` and `end`.
        run_after: the time from which Airflow may start the run.

    Raises:
        SettingsError: one of `start` and `end` is missing, they are in the wrong order, lie in the future, or
            lie further back than Kustomer's search reaches.
    """
    start, end = asked
    if (start is None) != (end is None):
        raise SettingsError("'start' and 'end': fill in both or neither.")
    if start is not None and end is not None:
        _check(start, end, run_after)
        return start, end
    if interval is not None and interval[0] < interval[1]:
        return interval
    hour = run_after.replace(minute=0, second=0, microsecond=0)
    return hour - HOUR, hour


def _check(start: datetime, end: datetime, run_after: datetime) -> None:
    if start >= end:
        fault = f"'start' ({start.isoformat()}) must be before 'end' ({end.isoformat()})."
    elif end > run_after + timedelta(minutes=1):
        fault = f"'end' ({end.isoformat()}) lies in the future. Closings can be read up to now."
    elif start < run_after - OLDEST:
        fault = f"'start' ({start.isoformat()}) is more than two years ago. Kustomer's search reaches no further."
    else:
        return
    raise SettingsError(fault)


def span_of(
    interval: tuple[datetime, datetime],
    origin: Origin,
    watermark: Watermark | None,
    *,
    overlap_seconds: int,
) -> Span:
    """Return the span of a run.

    A scheduled run also reads the hours that no run has covered, and the overlap. It never reads hours before the
    installation's first interval, so a new installation sends nothing for the past. A backfill or a manual run
    reads only its own interval.
    """
    start, end = interval
    closed_from = start
    if origin == "schedule" and watermark is not None:
        reach = min(start, watermark.covered_until) - timedelta(seconds=overlap_seconds)
        closed_from = min(start, max(reach, watermark.covered_from))
    return Span(closed_from, end)


def release_before(
    end: datetime, origin: Origin, next_ticks: tuple[datetime, datetime], *, handover_seconds: int
) -> datetime:
    """Return until when a run releases what falls due: until the next scheduled run has taken over.

    A manual run or a backfill waits for one hour at most: the scheduled run before it covers the rest of the gap.

    Args:
        end: of the run's interval; for a scheduled run its own tick.
        origin: what started the run.
        next_ticks: the schedule's next two ticks after `end`.
        handover_seconds: what the next run may need before it has planned. Never longer than the next gap: then
            the run after it has started.
    """
    tick, one_later = next_ticks
    handover = min(timedelta(seconds=handover_seconds), one_later - tick)
    return (tick if origin == "schedule" else min(tick, end + HOUR)) + handover
