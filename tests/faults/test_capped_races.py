"""A cap of one survey in 30 days, whoever races or dies: never two surveys for one customer. Both databases."""

import os
import signal

import pytest

from plugins.pipeline.planning import plan_windows
from plugins.runtime.organisations import DEFAULT
from tests.faults.test_races import ledger_url, time_passes
from tests.support import release_process as work
from tests.support.pipeline import run_of
from tests.support.release_process import POINTS, Hit, context, started

__all__ = ["ledger_url", "time_passes"]

PROCESSES, CLOSINGS = 8, 50
CAP = {"surveys": 1, "days": 30}

pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.fixture
def planned(pipeline, sandbox, settings, close, hour):
    """A function that plans so many due closings of one customer, in one window."""

    def plan(number: int) -> dict[str, object]:
        settings(seconds_until_send=60, kustomer_requests_per_minute=100_000, cap=CAP)
        close(minute=0)
        (first,) = sandbox.state.organisation.conversations.values()
        for one in range(1, number):
            close(minute=one / 1000, customer_id=first.customer_id)
        pipeline.extract(run_of(hour))
        (window,) = plan_windows(run_of(hour), DEFAULT)
        assert window["count"] == number
        return window

    return plan


def variables() -> dict[str, str]:
    """The settings as they are now: `environment` was read before."""
    return {name: value for name, value in os.environ.items() if name.startswith("AIRFLOW_VAR_")}


def count_surveys(sandbox) -> int:
    return sum(not one.request.get("do_not_send") for one in sandbox.state.received)


def test_eight_processes_with_fifty_closings_of_one_customer_send_one_survey(
    pipeline, sandbox, planned, environment, hour
):
    window = planned(CLOSINGS)
    environment |= variables()
    gate = context.Barrier(PROCESSES)
    arguments = (environment, window, hour, gate)
    processes = [context.Process(target=work.release_together, args=arguments) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)

    assert [process.exitcode for process in processes] == [0] * PROCESSES
    assert set(pipeline.states().values()) == {"sent"}
    assert len(sandbox.state.received) == CLOSINGS
    assert count_surveys(sandbox) == 1
    assert sandbox.state.duplicates == 0


@pytest.mark.parametrize(
    ("point", "time"),
    [
        (point, time)
        for point in POINTS
        if "given back" not in point
        for time in ((1,) if "claim" in point else (1, 3))  # a window of this size is claimed once
    ],
)
def test_a_release_killed_anywhere_brings_no_second_survey(
    pipeline, sandbox, planned, environment, time_passes, hour, point, time
):
    window = planned(30)  # so that the point comes three times, though steps are taken together
    environment |= variables()
    with started(work.release, environment, window, hour, Hit(point, signal.SIGKILL, time=time)) as process:
        process.join(60)
        assert process.exitcode == -signal.SIGKILL

    pipeline.release_due(run_of(hour))
    time_passes()
    pipeline.release_due(run_of(hour))

    states = list(pipeline.states().values())
    assert set(states) <= {"sent", "unknown"}
    assert count_surveys(sandbox) <= 1
    if "unknown" not in states:
        assert count_surveys(sandbox) == 1
    assert sandbox.state.duplicates == 0
