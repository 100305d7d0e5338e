import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from airflow.sdk.module_loading import import_string

from plugins.pipeline.trigger import DueTimeTrigger

DUE = datetime(2026, 1, 5, 14, tzinfo=UTC)


async def events_of(trigger):
    return [event.payload async for event in trigger.run()]


def test_a_trigger_survives_being_stored():
    path, arguments = DueTimeTrigger(DUE).serialize()

    assert import_string(path)(**arguments).moment == DUE


def test_it_stores_one_instant_and_nothing_else():
    assert DueTimeTrigger(DUE).serialize()[1] == {"moment": "2026-01-05T14:00:00+00:00"}


def test_a_time_without_an_offset_is_refused():
    with pytest.raises(ValueError, match="offset from UTC"):
        DueTimeTrigger("2026-01-05T14:00:00")


def test_other_offsets_mean_the_same_instant():
    assert DueTimeTrigger("2026-01-05T16:00:00+02:00").moment == DUE


@time_machine.travel(DUE + timedelta(seconds=1), tick=False)
def test_a_past_instant_fires_at_once():
    assert asyncio.run(events_of(DueTimeTrigger(DUE))) == ["2026-01-05T14:00:00+00:00"]


def test_a_clock_stepped_back_prolongs_the_wait(monkeypatch):
    """The clock, not a count of seconds, decides: after each nap it is read again."""
    naps = []
    with time_machine.travel(DUE - timedelta(seconds=90), tick=False) as clock:

        async def nap(seconds):
            naps.append(seconds)
            clock.shift(timedelta(seconds=seconds))
            if len(naps) == 1:
                clock.move_to(DUE - timedelta(seconds=90))

        monkeypatch.setattr(asyncio, "sleep", nap)
        asyncio.run(events_of(DueTimeTrigger(DUE)))

    assert naps == [60.0, 60.0, 30.0]
