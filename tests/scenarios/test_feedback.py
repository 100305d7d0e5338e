"""What Stella Connect tells afterwards: unknown outcomes come to an end, answers reach the ledger."""

import json
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace

import pytest
from werkzeug import Response

from include.sandbox import STELLA_SECRET
from plugins.pipeline.feedback import GRACE, MAX_REREAD_SPAN, Feedback, record_feedback
from plugins.runtime.organisations import DEFAULT
from plugins.stella_connect.hook import StellaConnectHook
from plugins.vendor_api.errors import VendorApiError
from tests.support.ledger import by_run
from tests.support.pipeline import run_of

pytestmark = pytest.mark.usefixtures("no_waiting")

DAY = timedelta(days=1)


@pytest.fixture
def fault(sandbox):
    """A function that makes Stella Connect's answers to releases fail in a way."""

    def strike(kind, times=None, path="/v1/requests"):
        sandbox.state.faults.replace([{"match": {"path_prefix": path}, "kind": kind, "times": times}])

    return strike


@pytest.fixture
def feedback(pipeline):
    """A function that runs the feedback as if it were so much later."""

    def run(later=timedelta(), on_absent="ask", connection="stella_connect_default"):
        with StellaConnectHook(connection) as hook:
            return Feedback(pipeline.ledger, hook, on_absent, by=by_run("feedback")).read(datetime.now(UTC) + later)

    return run


@pytest.fixture
def calls(sandbox):
    """A function that counts the calls to Data Return so far."""
    return lambda: sum(n for call, n in sandbox.state.calls.items() if "/v2/data" in str(call))


def release(pipeline, hour):
    pipeline.release_due(run_of(hour))


@pytest.fixture
def closed(pipeline, close, hour):
    """A conversation whose interaction is planned and due."""
    conversation = close()
    pipeline.extract(run_of(hour))
    return conversation


def events(pipeline, conversation):
    history = pipeline.ledger.history(conversation)
    return [(one.from_state, one.to_state, one.detail, str(one.by)) for one in history]


# --- unknown outcomes


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


def test_an_attempt_longer_ago_than_can_be_read_is_left_for_a_person(
    pipeline, closed, close, hour, fault, feedback
):
    release(pipeline, hour)
    feedback()
    close(minute=20)
    fault("500_before", times=1)
    pipeline.run(run_of(hour))

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


# --- answers


def eventually(feedback, count, **options):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if found := feedback(**options)[count]:
            return found
        time.sleep(0.05)
    raise AssertionError(f"no {count}")


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


def test_an_unknown_outcome_that_waits_for_a_person_does_not_make_it_dear(
    pipeline, closed, close, hour, fault, feedback
):
    release(pipeline, hour)
    feedback()
    close(minute=20)
    fault("500_before", times=1)
    pipeline.run(run_of(hour))

    later = [GRACE - timedelta(hours=1), GRACE + timedelta(hours=1), GRACE + timedelta(hours=2)]

    assert [feedback(one)["reread"] for one in later] == [0, 1, 0]


# --- what alarms are made of


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


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


# --- bad input


class TestAStrangeDataReturn:
    @pytest.fixture
    def says(self, httpserver, monkeypatch):
        """A function that lets Data Return give these pages, and then empty ones."""
        connection = {
            "conn_type": "stella_connect",
            "host": httpserver.url_for("").rstrip("/"),
            "password": "key",
            "extra": {"api_secret": STELLA_SECRET},
        }
        monkeypatch.setenv("AIRFLOW_CONN_STRANGE", json.dumps(connection))
        pages = []

        def say(new):
            pages[:] = new

        httpserver.expect_request("/v2/data").respond_with_handler(
            lambda _: Response(json.dumps(pages.pop(0) if pages else []), content_type="application/json")
        )
        return say

    @pytest.fixture
    def feedback(self, feedback):
        """A function that runs the feedback against those pages."""
        return partial(feedback, connection="strange")

    @pytest.fixture
    def record(self, pipeline, closed, hour):
        """A function that gives a record of our interaction, which has been sent."""
        release(pipeline, hour)
        (sent,) = pipeline.sandbox.state.received

        def make(**changes):
            return {
                "uuid": "u1",
                "sequence_id": 5,
                "ext_interaction_id": closed,
                "requested_via": "API",
                "request_created_at": datetime.now(UTC).isoformat(),
                "custom_properties": sent.request["custom_properties"],
            } | changes

        return make

    def test_nulls_unknown_fields_and_records_of_others_are_tolerated(self, says, record, feedback, pipeline):
        nothing = dict.fromkeys(record())
        says([[None, "x", {}, nothing, nothing | {"uuid": "n", "sequence_id": 1}, record(surprise={}, answers=[])]])

        facts = feedback()

        assert (facts["unreadable"], facts["not_ours"], facts["recorded"]) == (2, 1, 1)
        assert [row.uuid for row in pipeline.query("SELECT uuid FROM survey_response")] == ["u1"]

    def test_two_records_for_one_interaction_are_counted_and_a_manual_one_is_not(self, says, record, feedback):
        says(
            [[record(), record(uuid="u2", sequence_id=6), record(uuid="u3", sequence_id=7, requested_via="manual")]]
        )

        facts = feedback()

        assert (facts["recorded"], facts["not_ours"], facts["shown_twice"]) == (2, 1, 1)

    def test_a_cursor_that_moves_backwards_stops_the_reading_and_nothing_else(
        self, says, record, feedback, pipeline, httpserver, caplog
    ):
        says([[record(sequence_id=50)], [record(sequence_id=20, uuid="u2")]])

        facts = feedback()

        assert facts["recorded"] == 2
        assert pipeline.ledger.feedback.read_cursor().sequence_id == 50
        assert "Reading stops here" in warnings(caplog)[-1]
        assert [request.args.get("after") for request, _ in httpserver.log] == [None, "50"]

    @pytest.mark.parametrize("read_before", [False, True])
    def test_an_endless_page_does_not_keep_us_forever_nor_prove_an_absence(
        self, says, feedback, pipeline, closed, hour, fault, httpserver, read_before
    ):
        fault("500_before", times=1)
        release(pipeline, hour)
        if read_before:  # to the end, but before the grace was over
            feedback()
            httpserver.clear_log()
        says([[{"uuid": "u1", "sequence_id": 5}]] * 20)

        facts = feedback(GRACE + timedelta(hours=1), "resend")

        assert len(httpserver.log) == 2
        assert (facts["resent"], facts["unknown_past_grace"]) == (0, 1)
        assert pipeline.states() == {closed: "unknown"}

    @pytest.mark.parametrize("pages", [[[7, 5]], [[5, 9], [8, 11]], [[5, 5, 4]]], ids=str)
    def test_numbers_out_of_order_do_not_prove_an_absence(
        self, says, feedback, pipeline, closed, hour, fault, caplog, pages
    ):
        fault("500_before", times=1)
        release(pipeline, hour)
        says([[{"uuid": f"u{n}", "sequence_id": n} for n in page] for page in pages])

        facts = feedback(GRACE + timedelta(hours=1), "resend")

        assert facts["records"] == sum(map(len, pages))
        assert (facts["resent"], facts["unknown_past_grace"]) == (0, 1)
        assert pipeline.states() == {closed: "unknown"}
        assert pipeline.ledger.feedback.read_cursor().reread_at is None
        assert "not in order" in warnings(caplog)[-1]

    def test_reading_goes_on_after_the_last_record_kept_when_it_broke_off(
        self, says, record, feedback, pipeline, httpserver
    ):
        says([[record()], *[{"error": "no list"}] * 20])
        with pytest.raises(VendorApiError):
            feedback()
        assert pipeline.ledger.feedback.read_cursor().sequence_id == 5
        httpserver.clear_log()
        says([])

        feedback()

        assert httpserver.log[0][0].args["after"] == "5"
