"""No hour is forgotten, whatever failed or was paused; and a new install sends nothing for the past."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from include.sandbox.faults import Fault
from plugins.vendor_api.errors import VendorApiError
from scripts.stack.waiting import wait_until
from tests.scenarios.conftest import HOUR
from tests.support.pipeline import run_of


def test_an_hour_that_failed_is_read_by_the_next_run(pipeline, sandbox, close, hour, no_waiting):
    pipeline.run(run_of(hour - HOUR))
    conversation = close()
    sandbox.state.faults.active = [Fault("500_before", "/v1/customers/search")]
    with pytest.raises(VendorApiError):
        pipeline.extract(run_of(hour))
    sandbox.state.faults.active = []

    pipeline.run(run_of(hour + HOUR))

    assert pipeline.sent() == [conversation]


def test_the_very_first_hour_is_not_lost_when_it_fails(pipeline, sandbox, close, hour, no_waiting):
    conversation = close()
    sandbox.state.faults.active = [Fault("500_before", "/v1/customers/search")]
    with pytest.raises(VendorApiError):
        pipeline.extract(run_of(hour))
    sandbox.state.faults.active = []

    pipeline.run(run_of(hour + HOUR))

    assert pipeline.sent() == [conversation]


def test_hours_in_which_nothing_ran_are_read_by_the_next_run(pipeline, close, hour):
    pipeline.run(run_of(hour - 30 * HOUR))
    conversation = close()

    pipeline.run(run_of(hour + HOUR))

    assert pipeline.sent() == [conversation]


def test_a_closing_that_the_search_showed_late_is_found_by_the_overlap(pipeline, close, hour):
    pipeline.run(run_of(hour - HOUR))
    pipeline.run(run_of(hour))
    conversation = close(minute=50)

    pipeline.run(run_of(hour + HOUR))

    assert pipeline.sent() == [conversation]


def test_a_closing_that_came_after_the_search_had_looked_is_read_by_the_next_run(
    pipeline, sandbox, close, settings
):
    """Our clock is ahead: the span ends at a time to which Kustomer comes while we are still reading the rest."""
    settings(seconds_until_send=0, overlap_seconds=0)
    now = datetime.now(UTC)
    first = close(closed_at=now - HOUR / 2, updated_at=now)
    sandbox.state.faults.active = [Fault("slow", "/v1/users", seconds=3, times=1)]

    def close_another() -> str:
        wait_until(lambda: sandbox.state.calls["GET /v1/users"], "the reading of users", 30, every=0.01)
        closed_at = datetime.now(UTC)
        return close(closed_at=closed_at, updated_at=closed_at)

    with ThreadPoolExecutor() as people:
        second = people.submit(close_another)
        pipeline.extract(run_of(now - HOUR, now + HOUR))
    assert pipeline.states() == {first: "planned"}

    pipeline.extract(run_of(now + HOUR, now + 3 * HOUR))
    assert pipeline.states() == {first: "planned", second.result(): "planned"}


def test_a_new_install_sends_nothing_for_hours_before_its_first(pipeline, close, hour):
    close(minute=-10)
    first = run_of(hour)

    pipeline.run(first)
    pipeline.run(first)
    pipeline.run(run_of(hour + HOUR))

    assert pipeline.states() == {}


def test_a_backfill_reads_just_its_hour_and_leaves_the_watermark_alone(pipeline, close, hour):
    pipeline.run(run_of(hour))
    before = pipeline.ledger.extraction.read_watermark()
    close(minute=-10)
    wanted = close(minute=-70)

    pipeline.run(run_of(hour - 2 * HOUR, origin="backfill"))

    assert pipeline.states() == {wanted: "sent"}
    assert pipeline.ledger.extraction.read_watermark() == before


def test_a_backfill_of_hours_that_the_search_does_not_reach_says_so(pipeline, hour):
    def warnings(start):
        with capture_logs() as said:
            pipeline.extract(run_of(start, origin="backfill"))
        return [one["event"] for one in said if one["log_level"] == "warning"]

    assert not [text for text in warnings(hour) if "two years" in text]
    assert [text for text in warnings(hour - timedelta(days=800)) if "two years" in text]


def test_an_old_hour_run_again_waits_for_nothing(pipeline, close, hour, settings):
    """Its interactions are overdue by now, however long the delay was."""
    settings(seconds_until_send=7200)
    conversation = close()

    pipeline.run(run_of(hour, origin="backfill"))

    assert pipeline.sent() == [conversation]


def test_a_failed_hour_does_not_stop_what_is_planned(pipeline, sandbox, close, hour, no_waiting):
    """Kustomer's search is down, single reads work: planned releases go out on time."""
    conversation = close()
    pipeline.extract(run_of(hour))
    sandbox.state.faults.active = [Fault("500_before", "/v1/customers/search")]
    with pytest.raises(VendorApiError):
        pipeline.extract(run_of(hour + HOUR))

    pipeline.release_due(run_of(hour + HOUR))

    assert pipeline.sent() == [conversation]
