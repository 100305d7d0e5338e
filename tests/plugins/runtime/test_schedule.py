"""A year of ticks: whatever falls due is covered by a run that is open then, and no run stays open too long."""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise

import pendulum
import pytest
from airflow.timetables.base import DataInterval, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable

from include.interactions.span import release_before
from plugins.runtime.schedule import MIN_GAP, find_fault, next_ticks

YEAR = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
HANDOVER = timedelta(seconds=900)
SCHEDULES = [
    "0 * * * *",
    "*/15 * * * *",
    "0 8-18 * * 1-5",
    "0 6,8 * * *",
    "30 */6 * * *",
    "17 3 * * *",
    "0 9 * * 1",
    "0,45 7-20 * * 1-6",
    "0 0 1 * *",
    "15 4,16 29 2,3 *",
]


@cache
def ticks_of(schedule: str) -> list[datetime]:
    """The ticks of a year and of the two gaps after it, as a run finds them one after the other."""
    ticks = [next_ticks(schedule, YEAR[0])[0]]
    while ticks[-1] < YEAR[1]:
        ticks.append(next_ticks(schedule, ticks[-1])[0])
    return [*ticks, *next_ticks(schedule, ticks[-1])]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_each_due_time_of_a_year_is_covered_by_a_run_that_is_open_then(schedule: str) -> None:
    ticks = ticks_of(schedule)
    open_until = [
        release_before(tick, "schedule", (later, last), handover_seconds=900)
        for tick, later, last in zip(ticks, ticks[1:], ticks[2:], strict=False)
    ]
    step = timedelta(minutes=7)
    due = ticks[0]
    while due < min(YEAR[1], ticks[-3]):
        run = bisect_right(ticks, due) - 1
        assert ticks[run] <= due < open_until[run]
        due += step if ticks[run + 1] - due < 2 * HANDOVER else timedelta(hours=1)

    for run, until in enumerate(open_until):
        gap = ticks[run + 1] - ticks[run]
        assert gap < until - ticks[run] <= gap + HANDOVER
        assert until <= ticks[run + 2], "at most two scheduled runs are open at a time"


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_ticks_are_those_of_airflows_timetable(schedule: str) -> None:
    timetable = CronDataIntervalTimetable(schedule, timezone="UTC")
    anywhen = TimeRestriction(earliest=pendulum.datetime(2020, 1, 1), latest=None, catchup=True)
    for tick, later in list(pairwise(ticks_of(schedule)[:-2]))[:200]:
        last = DataInterval(pendulum.instance(tick - timedelta(minutes=1)), pendulum.instance(tick))
        following = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=anywhen)
        assert following is not None
        assert following.run_after == later


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_that_leave_time_for_the_work_are_allowed(schedule: str) -> None:
    assert find_fault(schedule) is None
    assert min(later - earlier for earlier, later in pairwise(ticks_of(schedule))) >= MIN_GAP


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ("*/5 * * * *", "5 minutes apart"),
        ("* * * * *", "1 minutes apart"),
        ("0,5 3 1 1 *", "5 minutes apart"),
        ("55,0 0,23 * * *", "5 minutes apart"),
        ("61 * * * *", "cannot be read"),
        ("0 0 31 2 *", "cannot be read"),
        ("hourly", "five fields"),
        ("0 0 * * * *", "five fields"),
        ("a b c d e", "cannot be read"),
    ],
)
def test_a_schedule_that_cannot_work_is_refused_with_the_reason(schedule: str, problem: str) -> None:
    assert problem in (find_fault(schedule) or "")
