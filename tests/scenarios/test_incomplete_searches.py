"""A search that does not return everything: what is missing is read again, and everything else is recorded."""

from datetime import timedelta

import pytest
from airflow.sdk.exceptions import AirflowException

from include.sandbox.faults import Fault
from plugins.vendor_api.errors import VendorApiError
from tests.scenarios.conftest import HOUR
from tests.support.pipeline import LAST_TRY, run_of

pytestmark = pytest.mark.usefixtures("no_waiting")

SEARCH = "/v1/customers/search"


def covered_until(pipeline):
    return pipeline.ledger.extraction.read_watermark().covered_until


class TestASearchThatComesOutShort:
    @pytest.fixture
    def size(self):
        return 40

    def test_is_read_again_until_it_is_whole(self, pipeline, broken, deferred, hour):
        broken(Fault("missing_rows", SEARCH, times=1))

        result = pipeline.extract(run_of(hour))

        assert result["short"] == 0
        assert result["found"] == len(pipeline.states())
        assert deferred() == []

    def test_is_a_deferred_reading_when_it_stays_short_and_the_next_run_finds_the_rest(
        self, pipeline, broken, deferred, hour
    ):
        broken(Fault("missing_rows", SEARCH))
        result = pipeline.extract(run_of(hour))
        assert result["short"] > 0
        assert [(id_, tries) for id_, _, tries in deferred()] == [("", 1)]
        assert covered_until(pipeline) == hour + HOUR

        broken()
        whole = pipeline.extract(run_of(hour + HOUR))
        assert whole["planned"] >= 1
        assert deferred() == []

    @pytest.mark.parametrize("duration", [timedelta(hours=26), timedelta(days=3)])
    def test_of_more_than_a_day_is_deferred_too(self, pipeline, sandbox, deferred, hour, duration):
        """Row 9: a daily schedule, or hours of catching up."""
        sandbox.state.options.overcounted_rows = 2

        result = pipeline.extract(run_of(hour + HOUR - duration, hour + HOUR))
        assert result["short"] == 2
        ((_, detail, _),) = deferred()
        assert detail == "2 rows counted, not returned"

        sandbox.state.options.overcounted_rows = 0
        pipeline.extract(run_of(hour + HOUR))
        assert deferred() == []

    @pytest.mark.parametrize("origin", ["backfill", "manual"])
    def test_fails_a_run_that_no_later_run_covers_and_records_what_came(
        self, pipeline, sandbox, deferred, hour, origin
    ):
        sandbox.state.options.overcounted_rows = 2

        with pytest.raises(AirflowException, match=r"did not return all closings: 1 parts.*2 rows counted"):
            pipeline.extract(run_of(hour, origin=origin, try_number=LAST_TRY))

        assert len(pipeline.states()) > 30
        assert len(deferred()) == 1

    def test_is_given_up_after_two_weeks_of_trying(self, pipeline, sandbox, has_been_tried_for, hour):
        def is_open() -> bool:
            return bool(pipeline.query("SELECT 1 FROM deferred_reading WHERE closed_to - closed_from = 3600000"))

        sandbox.state.options.overcounted_rows = 2
        pipeline.extract(run_of(hour))
        has_been_tried_for(timedelta(days=13))
        pipeline.extract(run_of(hour + 2 * HOUR))
        assert is_open()

        has_been_tried_for(timedelta(days=2))
        pipeline.extract(run_of(hour + 4 * HOUR))
        assert not is_open()


class TestRowsThatMoveWhileTheyAreRead:
    @pytest.fixture
    def size(self):
        return 600

    def test_are_not_lost(self, pipeline, sandbox, broken, deferred, hour):
        """Row 8: a conversation of page 1 is reopened before page 2 is read; all others move up by one."""
        sandbox.state.options.repeated_share = 0
        broken(Fault("reopened_row", SEARCH, body_contains='"queryContext":"conversation"', times=1))

        pipeline.extract(run_of(hour))

        expected = {
            one.id
            for one in sandbox.state.organisation.conversations.values()
            if one.status == "done" and not one.deleted and one.situation == "plain"
        }
        assert expected
        assert expected <= pipeline.states().keys()
        assert deferred() == []


class TestAConversationThatBreaksTheSearch:
    @pytest.fixture
    def size(self):
        return 40

    @pytest.mark.parametrize("kind", ["500", "reset", "broken_json"])
    def test_is_a_deferred_reading_of_one_millisecond_and_everything_else_is_recorded(
        self, pipeline, close, broken, deferred, has_been_tried_for, hour, kind
    ):
        ordinary = close(minute=30)
        poison = close(minute=31.5)
        fault = Fault(kind, SEARCH, answer_contains=poison)
        broken(fault)

        result = pipeline.extract(run_of(hour))

        assert pipeline.states()[ordinary] == "planned"
        assert poison not in pipeline.states()
        assert result["planned"] > 10
        (row,) = pipeline.query("SELECT closed_to - closed_from AS duration FROM deferred_reading")
        assert row.duration == 1
        assert covered_until(pipeline) == hour + HOUR

        hits = fault.hits
        pipeline.extract(run_of(hour + HOUR))  # reads around it, and it alone
        assert fault.hits - hits <= 10
        assert len(deferred()) == 1

        broken()
        has_been_tried_for(HOUR)
        pipeline.extract(run_of(hour + 2 * HOUR))
        assert pipeline.states()[poison] == "planned"
        assert deferred() == []

    def test_fails_a_backfill_which_says_so(self, pipeline, close, broken, hour):
        broken(Fault("500", SEARCH, answer_contains=close()))

        with pytest.raises(AirflowException, match=r"did not return all closings: 1 parts.*search: HTTP 500"):
            pipeline.extract(run_of(hour, origin="backfill"))

    def test_is_no_outage_and_an_outage_no_such_conversation(self, pipeline, broken, deferred, hour):
        broken(Fault("500_before", SEARCH))

        with pytest.raises(VendorApiError):
            pipeline.extract(run_of(hour))

        assert deferred() == []
        assert covered_until(pipeline) == hour


class TestAClosingWhoseTimeCannotBeRead:
    def test_is_deferred_and_recorded_when_it_can(self, pipeline, close, deferred, hour, sandbox):
        conversation = close()
        close(id=conversation, attributes={"lastDone": {"createdAt": "yesterday"}})

        result = pipeline.extract(run_of(hour))
        assert (result["deferred"], pipeline.states()) == (1, {})
        assert [(id_, detail) for id_, detail, _ in deferred()] == [(conversation, "closing time unreadable")]

        close(id=conversation, attributes={})
        pipeline.extract(run_of(hour + HOUR))
        assert (pipeline.states(), deferred()) == ({conversation: "planned"}, [])
