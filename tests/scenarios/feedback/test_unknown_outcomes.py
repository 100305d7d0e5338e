"""Unknown outcomes come to an end: found in Data Return, sent again, or left for a person."""

from datetime import timedelta

import pytest

from plugins.pipeline.feedback import GRACE, MAX_REREAD_SPAN
from plugins.vendor_api.errors import VendorApiError
from tests.scenarios.feedback.conftest import DAY, events, eventually, release
from tests.support.pipeline import run_of

pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.mark.parametrize("kind", ["accept_then_500", "accept_then_reset"])
def test_an_unknown_outcome_becomes_sent_once_stella_connect_shows_it(
    pipeline, sandbox, closed, hour, fault, feedback, kind
):
    fault(kind, times=1)
    release(pipeline, hour)
    assert pipeline.states() == {closed: "unknown"}

    facts = feedback()

    assert pipeline.states() == {closed: "sent"}
    assert (facts["settled"], facts["unknown"]) == (1, 0)
    assert events(pipeline, closed)[-1] == ("unknown", "sent", "found in Data Return", "feedback")
    release(pipeline, hour)
    assert pipeline.sent() == [closed]


def test_what_was_never_taken_stays_unknown_and_is_left_for_a_person(
    pipeline, closed, hour, fault, feedback, sandbox
):
    fault("500_before", times=1)
    release(pipeline, hour)

    early, late, much_later = feedback(), feedback(GRACE + timedelta(minutes=1)), feedback(5 * DAY)

    assert [facts["unknown_past_grace"] for facts in (early, late, much_later)] == [0, 1, 1]
    assert pipeline.states() == {closed: "unknown"}
    assert sandbox.state.counts()["accepted"] == 0


def test_what_was_never_taken_is_sent_again_after_the_grace_if_so_configured(
    pipeline, closed, hour, fault, feedback
):
    fault("500_before", times=1)
    release(pipeline, hour)

    assert feedback(GRACE - timedelta(minutes=1), "resend")["resent"] == 0
    assert feedback(GRACE + timedelta(minutes=1), "resend")["resent"] == 1
    assert pipeline.states() == {closed: "planned"}
    assert events(pipeline, closed)[-1] == ("unknown", "planned", "absent from Data Return", "feedback")
    release(pipeline, hour)
    feedback()

    assert pipeline.states() == {closed: "sent"}
    assert pipeline.sent() == [closed]


def test_what_gets_lost_again_is_not_sent_a_third_time(pipeline, sandbox, closed, hour, fault, feedback):
    fault("500_before", times=2)
    release(pipeline, hour)
    feedback(7 * GRACE, "resend")
    release(pipeline, hour)
    assert pipeline.states() == {closed: "unknown"}

    facts = feedback(14 * GRACE, "resend")

    assert (facts["resent"], facts["unknown_past_grace"]) == (0, 1)
    assert pipeline.states() == {closed: "unknown"}


def test_an_attempt_longer_ago_than_can_be_read_is_left_for_a_person(unknown_later, feedback):
    facts = feedback(MAX_REREAD_SPAN + DAY, "resend")

    assert (facts["resent"], facts["unknown_past_grace"]) == (0, 1)


@pytest.mark.parametrize("kind", ["500", "not_json", "cut_body"])
def test_nothing_is_sent_again_while_data_return_cannot_be_read(pipeline, closed, hour, fault, feedback, kind):
    fault("500_before", times=1)
    release(pipeline, hour)
    feedback()
    fault(kind, path="/v2/data")

    with pytest.raises(VendorApiError):
        feedback(GRACE + timedelta(hours=1), "resend")

    assert pipeline.states() == {closed: "unknown"}


def test_a_taken_request_that_is_shown_late_is_not_sent_again(
    pipeline, sandbox, closed, close, hour, fault, feedback
):
    sandbox.state.options.visibility_lag_seconds = 1.0
    fault("accept_then_500", times=1)
    release(pipeline, hour)
    assert feedback(on_absent="resend")["unknown"] == 1

    assert eventually(feedback, "settled", on_absent="resend")

    assert pipeline.states() == {closed: "sent"}
    assert pipeline.sent() == [closed]


def test_a_second_closing_is_told_from_the_first(pipeline, sandbox, closed, close, hour, fault, feedback):
    release(pipeline, hour)
    close(id=closed, closed_at=hour + timedelta(minutes=70))
    fault("500_before", times=1)
    pipeline.run(run_of(hour + timedelta(hours=1)))

    facts = feedback(GRACE + timedelta(minutes=1))

    assert pipeline.states() == {closed: "unknown"}, "the record is of the first closing"
    assert facts["recorded"] == 1
    assert facts["unknown_past_grace"] == 1
