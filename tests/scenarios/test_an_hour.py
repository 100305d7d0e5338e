"""An organisation's hour: what reaches Stella Connect, and what is skipped with which reason."""

from collections import Counter

import pytest
from structlog.testing import capture_logs

from include.sandbox.control import expectation
from include.sandbox.model import DO_NOT_SEND
from tests.scenarios.conftest import HOUR
from tests.support.pipeline import run_of


class TestABusyHour:
    @pytest.fixture
    def size(self):
        return 400

    def test_exactly_the_eligible_interactions_are_sent_and_the_others_have_their_reason(
        self, pipeline, sandbox, settings, hour
    ):
        settings(seconds_until_send=60, do_not_send_attribute=DO_NOT_SEND)

        pipeline.run(run_of(hour))

        expected = expectation(sandbox.state)
        assert expected["difference"] == {"missing": [], "unexpected": [], "wrong_content": [], "duplicates": []}
        reasons = Counter(state.removeprefix("skipped ") for state in pipeline.states().values() if state != "sent")
        assert reasons == {reason: n for reason, n in expected["reasons"].items() if reason != "not_a_closing"}
        assert sandbox.state.counts()["do_not_send"] == len(expected["do_not_send"]) > 0

    def test_the_same_hour_again_cleared_backfilled_and_by_hand_sends_nothing_twice(self, pipeline, sandbox, hour):
        pipeline.run(run_of(hour))
        first = sandbox.state.counts()

        pipeline.run(run_of(hour))
        pipeline.run(run_of(hour, origin="backfill", run_id="first"))
        pipeline.run(run_of(hour, origin="backfill", run_id="second"))
        pipeline.run(run_of(hour, origin="manual"))

        assert sandbox.state.counts() == first
        assert first["duplicates"] == 0

    def test_no_personal_data_reaches_log_or_xcom(self, pipeline, hour, caplog):
        caplog.set_level("DEBUG")

        with capture_logs() as of_operators:
            results = pipeline.run(run_of(hour))

        personal = [
            *(row[0] for row in pipeline.query("SELECT customer_email FROM interaction WHERE state = 'sent'")),
            *(row[0] for row in pipeline.query("SELECT agent_email FROM interaction WHERE agent_email <> ''")),
            *(row[0] for row in pipeline.query("SELECT customer_name FROM interaction WHERE state = 'sent'")),
        ]
        said = f"{caplog.text} {of_operators} {results}".casefold()
        assert "extracted found=" in said
        assert len(personal) > 100
        assert [text for text in personal if text.casefold() in said] == []

    def test_requests_per_interaction_stay_near_the_one_post(self, pipeline, sandbox, hour):
        pipeline.run(run_of(hour))

        assert sandbox.state.calls.total() <= 1.05 * len(sandbox.state.received) + 5


def test_an_hour_without_a_closing_is_an_honest_zero(pipeline, hour):
    result = pipeline.run(run_of(hour))

    assert result["extracted"]["found"] == result["extracted"]["planned"] == 0
    assert result["released"] == []


def test_nothing_is_sent_before_its_delay_is_over(pipeline, settings, close, hour):
    settings(seconds_until_send=7 * 86400)
    conversation = close()

    pipeline.run(run_of(hour))

    assert pipeline.states() == {conversation: "planned"}
    assert pipeline.sent() == []


def test_an_overdue_interaction_goes_out_with_the_next_run_whatever_its_hour(pipeline, close, hour):
    conversation = close()
    pipeline.extract(run_of(hour))

    pipeline.run(run_of(hour + HOUR))

    assert pipeline.sent() == [conversation]


def test_at_most_so_many_leave_in_one_run(pipeline, settings, close, hour):
    settings(seconds_until_send=60, max_releases_per_run=2)
    conversations = [close(minute) for minute in (1, 2, 3)]
    run = run_of(hour)

    pipeline.run(run)
    assert set(pipeline.sent()) == set(conversations[:2])  # the longest due; they leave side by side

    pipeline.release_due(run)
    assert set(pipeline.sent()) == set(conversations)
