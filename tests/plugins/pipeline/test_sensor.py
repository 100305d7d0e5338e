from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from airflow.sdk.exceptions import TaskDeferred

from plugins.pipeline.sensor import GRACE, SHORT_WAIT, SendDelaySensor

DUE = datetime(2026, 1, 5, 14, tzinfo=UTC)


@pytest.fixture
def sensor():
    return SendDelaySensor(task_id="wait_until_due", window={"due_until": DUE.isoformat()})


def test_a_past_due_time_needs_no_wait(sensor):
    with time_machine.travel(DUE):
        assert sensor.execute({}) is None


def test_a_long_wait_leaves_the_worker_with_one_instant(sensor):
    with time_machine.travel(DUE - timedelta(hours=1)), pytest.raises(TaskDeferred) as deferred:
        sensor.execute({})

    assert deferred.value.trigger.moment == DUE
    assert deferred.value.method_name == "execute_complete"


def test_a_short_wait_stays_in_the_worker_until_the_clock_says_so(sensor, monkeypatch):
    with time_machine.travel(DUE - SHORT_WAIT, tick=False) as clock:
        monkeypatch.setattr("time.sleep", lambda seconds: clock.shift(timedelta(seconds=seconds)))
        sensor.execute({})

        assert datetime.now(UTC) >= DUE


@pytest.mark.parametrize("event", [None, {}, "2020-01-01T00:00:00+00:00", {"status": "error"}])
def test_a_trigger_that_fires_early_makes_it_wait_again(sensor, event):
    with time_machine.travel(DUE - timedelta(hours=1)), pytest.raises(TaskDeferred) as deferred:
        sensor.execute_complete({}, event)

    assert deferred.value.trigger.moment == DUE


@pytest.mark.parametrize("event", [None, {}, "2020-01-01T00:00:00+00:00"])
def test_once_due_any_event_or_none_will_do(sensor, event):
    with time_machine.travel(DUE):
        assert sensor.execute_complete({}, event) is None


def test_without_a_triggerer_the_wait_ends_minutes_after_its_time_and_succeeds(sensor):
    with time_machine.travel(DUE - timedelta(hours=1), tick=False), pytest.raises(TaskDeferred) as deferred:
        sensor.execute({})
    assert deferred.value.timeout == timedelta(hours=1) + GRACE <= timedelta(hours=1, minutes=5)

    with time_machine.travel(DUE + GRACE):
        assert sensor.resume_execution("__fail__", {"error": "Trigger timeout"}, {}) is None
