"""Data Return that is not as documented: nothing breaks, and nothing counts as absent."""

import json
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from werkzeug import Response

from include.sandbox import STELLA_SECRET
from plugins.pipeline.feedback import GRACE
from plugins.vendor_api.errors import VendorApiError
from tests.scenarios.feedback.conftest import release, warnings

pytestmark = pytest.mark.usefixtures("no_waiting")


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
