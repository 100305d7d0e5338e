"""What Stella Connect reports after the send: answers reach the ledger, and reading them is cheap."""

import time
from collections import defaultdict
from datetime import timedelta
from types import SimpleNamespace

import pytest

from plugins.pipeline.feedback import GRACE, record_feedback
from plugins.runtime.organisations import DEFAULT
from tests.scenarios.feedback.conftest import DAY, eventually, release
from tests.support.pipeline import run_of

pytestmark = pytest.mark.usefixtures("no_waiting")


def test_a_late_answer_reaches_the_ledger_with_its_rating(pipeline, sandbox, closed, hour, feedback):
    sandbox.state.options.answered_share = 1.0
    sandbox.state.options.answer_after_seconds = 1.0
    release(pipeline, hour)
    assert feedback()["recorded"] == 1

    assert eventually(feedback, "answered") == 1

    (row,) = pipeline.query(
        "SELECT delivery_status, rating, response_received_at - request_sent_at AS took, channel, brand "
        "FROM survey_response"
    )
    assert row.delivery_status == "Sent"
    assert 1 <= row.rating <= 5
    assert row.took == pytest.approx(1000, abs=2)
    assert (row.channel, row.brand) == ("email", sandbox.state.organisation.subdomain)


def test_what_changes_after_the_answer_replaces_it_in_the_ledger(pipeline, sandbox, closed, hour, feedback):
    sandbox.state.options.answered_share = 1.0
    sandbox.state.options.answer_after_seconds = 0.0
    sandbox.state.options.changed_share = 1.0
    sandbox.state.options.change_after_seconds = 1.0
    release(pipeline, hour)
    assert eventually(feedback, "answered") == 1
    (first,) = pipeline.query("SELECT sequence_id, disputed, answers FROM survey_response")

    assert eventually(feedback, "answered") == 1

    (second,) = pipeline.query("SELECT sequence_id, rating, disputed, answers FROM survey_response")
    assert second.sequence_id > first.sequence_id
    assert bool(second.disputed) == (second.rating <= 3)
    assert second.answers != first.answers, "a second comment"


class TestAnOrganisation:
    @pytest.fixture
    def size(self):
        return 120

    def test_every_interaction_sent_is_shown_once_and_what_was_sent_by_hand_is_not_ours(
        self, pipeline, sandbox, hour, feedback, monkeypatch
    ):
        pipeline.run(run_of(hour))

        facts = feedback()

        sent = len(sandbox.state.received)
        assert facts["recorded"] == sent > 80
        assert (facts["shown_twice"], facts["unreadable"]) == (0, 0)
        assert feedback(GRACE + timedelta(minutes=1))["not_shown"] == 0

    def test_neither_log_nor_result_holds_personal_data(self, pipeline, sandbox, hour, caplog):
        caplog.set_level("DEBUG")
        sandbox.state.options.answered_share = 1.0
        sandbox.state.options.answer_after_seconds = 0.0
        pipeline.run(run_of(hour))
        outlets = defaultdict(SimpleNamespace)

        facts = record_feedback({**run_of(hour), "outlet_events": outlets}, DEFAULT)

        assert facts["answered"] > 50
        assert [event.extra for event in outlets.values()] == [facts]
        personal = [row[0] for row in pipeline.query("SELECT customer_email FROM interaction WHERE state = 'sent'")]
        personal += [row[0] for row in pipeline.query("SELECT customer_name FROM interaction WHERE state = 'sent'")]
        personal += [row[0] for row in pipeline.query("SELECT comment FROM survey_response WHERE comment <> ''")]
        said = f"{caplog.text} {facts}".casefold()
        assert [text for text in personal if text.casefold() in said] == []


# --- cheap


def test_before_anything_was_sent_nobody_is_asked(pipeline, closed, feedback, calls):
    feedback()

    assert calls() == 0


def test_a_quiet_quarter_of_an_hour_costs_one_call(pipeline, closed, hour, feedback, calls):
    release(pipeline, hour)
    feedback()
    before = calls()

    assert feedback()["records"] == 0
    assert calls() == before + 1


def test_the_last_days_are_read_again_once_a_day(pipeline, closed, hour, feedback):
    release(pipeline, hour)

    later = [0, 0.5, 1.1, 1.2, 2.2]

    assert [feedback(days * DAY)["reread"] for days in later] == [1, 0, 1, 0, 1]


def test_an_unknown_outcome_that_waits_for_a_person_does_not_make_it_dear(unknown_later, feedback):
    later = [GRACE - timedelta(hours=1), GRACE + timedelta(hours=1), GRACE + timedelta(hours=2)]

    assert [feedback(one)["reread"] for one in later] == [0, 1, 0]


# --- what alarms are made of


def test_interactions_that_are_not_shown_or_shown_twice_are_counted(
    pipeline, sandbox, closed, close, hour, feedback
):
    close(minute=20)
    pipeline.extract(run_of(hour))
    sandbox.state.options.visibility_lag_seconds = 10_000_000
    release(pipeline, hour)
    sandbox.state.options.visibility_lag_seconds = 0
    request = sandbox.state.received[0].request
    for _ in range(2):
        sandbox.state.data_return.add(request, time.time(), "Sent")

    assert feedback()["shown_twice"] == 1
    assert feedback()["not_shown"] == 0
    assert feedback(GRACE + timedelta(minutes=1))["not_shown"] == 1
