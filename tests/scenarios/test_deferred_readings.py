"""What Kustomer cannot give yet: it costs only itself, is read again by later runs, and stops nobody else."""

from dataclasses import replace
from datetime import timedelta

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.sandbox.changes import change_customer
from include.sandbox.faults import Fault
from plugins.pipeline import kustomer_people
from plugins.vendor_api.errors import VendorApiError
from tests.scenarios.conftest import HOUR
from tests.support.pipeline import LAST_TRY, run_of

pytestmark = pytest.mark.usefixtures("no_waiting")


def covered_until(pipeline):
    return pipeline.ledger.extraction.read_watermark().covered_until


class TestACustomerWhoCannotBeRead:
    @pytest.fixture
    def hour_with(self, sandbox, close):
        """A function that closes three conversations in an hour; the second's customer is not in the search."""

        def close_them(start):
            ids = [close(closed_at=start + timedelta(minutes=minute), updated_at=start) for minute in (10, 20, 30)]
            customer = sandbox.state.organisation.conversations[ids[1]].customer_id
            change_customer(sandbox.state, {"id": customer, "unindexed": True})
            return ids, customer

        return close_them

    @pytest.mark.parametrize("kind", ["403", "400", "500_before", "reset", "hang", "broken_json", "no_data"])
    @pytest.mark.parametrize("origin", ["scheduled", "backfill"])
    def test_costs_only_their_own_closing_and_no_try(
        self, pipeline, hour_with, broken, deferred, hour, kind, origin, monkeypatch
    ):
        if kind == "hang":
            monkeypatch.setattr("plugins.vendor_api.connection.READ_SECONDS", 0.2)
        (first, doubted, last), customer = hour_with(hour)
        broken(Fault(kind, f"/v1/customers/{customer}", seconds=1))

        result = pipeline.extract(run_of(hour, origin=origin))

        assert (result["planned"], result["deferred"], result["skipped"]) == (2, 1, {})
        assert pipeline.states() == dict.fromkeys([first, last], "planned")
        ((conversation, detail, tries),) = deferred()
        assert (conversation, tries) == (doubted, 1)
        assert detail.startswith("customer could not be read: ")
        if origin == "scheduled":
            assert covered_until(pipeline) == hour + HOUR

        broken()
        pipeline.run(run_of(hour + HOUR))
        assert sorted(pipeline.sent()) == sorted([first, doubted, last])
        assert deferred() == []

    def test_is_asked_for_once_a_run_however_many_conversations_it_closed(
        self, pipeline, sandbox, close, hour_with, broken, deferred, hour
    ):
        _, customer = hour_with(hour)
        close(minute=40, customer_id=customer)
        fault = Fault("500_before", f"/v1/customers/{customer}")
        broken(fault)

        result = pipeline.extract(run_of(hour))

        assert (result["found"], result["deferred"], len(deferred())) == (4, 2, 2)
        assert fault.hits == kustomer_people.ATTEMPTS

    def test_is_settled_after_a_day_of_trying_whatever_the_age_of_the_closing(
        self, pipeline, hour_with, broken, deferred, has_been_tried_for, hour
    ):
        long_ago = hour - timedelta(days=30)
        (_, doubted, _), customer = hour_with(long_ago)
        broken(Fault("500_before", f"/v1/customers/{customer}"))
        pipeline.extract(run_of(long_ago, origin="backfill", try_number=LAST_TRY))
        assert doubted not in pipeline.states()

        has_been_tried_for(timedelta(hours=23))
        pipeline.extract(run_of(hour))
        assert doubted not in pipeline.states()
        has_been_tried_for(timedelta(hours=2), tries=3)
        pipeline.extract(run_of(hour))
        assert doubted not in pipeline.states(), "hardly tried"

        has_been_tried_for(timedelta(hours=2))
        pipeline.extract(run_of(hour))
        assert pipeline.states()[doubted] == "skipped malformed_record"
        (row,) = pipeline.query("SELECT detail, customer_id, agent_email FROM interaction WHERE state = 'skipped'")
        assert (row.detail, row.customer_id) == ("customer could not be read: HTTP 500", customer)
        assert row.agent_email
        assert deferred() == []

    def test_is_no_doubt_about_a_closing_that_is_recorded(
        self, pipeline, sandbox, hour_with, broken, deferred, hour
    ):
        _, customer = hour_with(hour)
        pipeline.extract(run_of(hour))
        broken(Fault("500_before", f"/v1/customers/{customer}"))

        result = pipeline.extract(run_of(hour + HOUR))  # which reads the hour again, for the overlap

        assert (result["known"], result["deferred"], deferred()) == (2, 0, [])

    def test_whose_conversation_is_gone_by_then_is_forgotten(
        self, pipeline, close, hour_with, broken, deferred, hour, settings
    ):
        settings(seconds_until_send=60, overlap_seconds=0)
        (_, doubted, _), customer = hour_with(hour)
        broken(Fault("500_before", f"/v1/customers/{customer}"))
        pipeline.extract(run_of(hour))
        close(id=doubted, deleted=True)

        pipeline.extract(run_of(hour + HOUR))

        assert deferred() == []
        assert doubted not in pipeline.states()

    def test_who_stays_silent_does_not_hold_up_what_is_due(
        self, pipeline, sandbox, close, broken, hour, monkeypatch
    ):
        """Row 11a: what the reading of many mute customers may cost is bounded."""
        monkeypatch.setattr("plugins.vendor_api.connection.READ_SECONDS", 0.2)
        monkeypatch.setattr(kustomer_people, "MAX_SECONDS_OF_FAILURES", 1.0)
        organisation = sandbox.state.organisation
        customers = [organisation.conversations[close(minute=minute)].customer_id for minute in range(20)]
        for customer in customers:
            change_customer(sandbox.state, {"id": customer, "unindexed": True})
        broken(*(Fault("hang", f"/v1/customers/{customer}", seconds=1) for customer in customers))

        result = pipeline.extract(run_of(hour))

        assert result["deferred"] == 20
        tries = {row.tries for row in pipeline.query("SELECT tries FROM deferred_reading")}
        assert tries == {0, 1}, "after one second of failures the others are not even asked for"


class TestCustomersWhileKustomerIsDown:
    @pytest.fixture
    def five(self, sandbox, close):
        """A function that closes five conversations of customers whom the search does not return."""

        def close_them(start):
            ids = [close(closed_at=start + timedelta(minutes=minute), updated_at=start) for minute in range(5)]
            for id_ in ids:
                customer = sandbox.state.organisation.conversations[id_].customer_id
                change_customer(sandbox.state, {"id": customer, "unindexed": True})
            return ids

        return close_them

    @pytest.mark.parametrize("kind", ["503", "reset", "429", "404_html"])
    def test_are_settled_never_and_planned_when_it_is_back(
        self, pipeline, sandbox, five, broken, deferred, has_been_tried_for, hour, kind
    ):
        two_days_ago = hour - timedelta(days=2)
        conversations = five(two_days_ago)
        fault = Fault(kind, "/v1/customers/", method="GET")
        broken(fault)

        for try_number in range(1, LAST_TRY + 1):
            with pytest.raises(VendorApiError):
                pipeline.extract(run_of(two_days_ago, origin="backfill", try_number=try_number))
        assert pipeline.states() == {}
        assert fault.hits <= LAST_TRY * 2 * kustomer_people.ATTEMPTS, "an outage is seen by the second failure"

        broken()
        pipeline.run(run_of(two_days_ago, origin="backfill"))
        assert sorted(pipeline.sent()) == sorted(conversations)

    def test_are_not_missing_where_a_gateway_answers_404_for_everybody(self, pipeline, five, close, broken, hour):
        five(hour)
        close(minute=40)  # whose customer the search returns
        broken(Fault("404", "/v1/customers/", method="GET"))

        with pytest.raises(VendorApiError, match="404 for a customer that the search returned"):
            pipeline.extract(run_of(hour))

        assert pipeline.states() == {}

    def test_fail_for_good_where_the_key_lacks_the_role(self, pipeline, five, broken, hour):
        five(hour)
        broken(Fault("403", "/v1/customers/", method="GET"))

        with pytest.raises(AirflowFailException, match=r"org\.permission\.customer\.read"):
            pipeline.extract(run_of(hour))

        assert pipeline.states() == {}


class TestAnAgentWhoCannotBeRead:
    """Asked for by id, as neither list of users holds them."""

    UNREADABLE, GONE = "0" * 24, "1" * 24

    @pytest.fixture
    def hour_with(self, close, broken):
        """A function that closes three conversations in an hour; the first's agent is never readable."""

        def close_them(start, kind="500_before"):
            broken(Fault(kind, path_contains=self.UNREADABLE))
            times = [start + timedelta(minutes=minute) for minute in (10, 20, 30)]
            return [
                close(closed_at=times[0], updated_at=start, assigned_users=[self.UNREADABLE]),
                close(closed_at=times[1], updated_at=start, assigned_users=[self.GONE]),
                close(closed_at=times[2], updated_at=start),
            ]

        return close_them

    @pytest.mark.parametrize("kind", ["403", "500_before", "reset", "broken_json"])
    def test_costs_only_their_own_closings_and_is_read_by_the_next_run(
        self, pipeline, sandbox, hour_with, broken, deferred, hour, kind
    ):
        doubted, gone, ordinary = hour_with(hour, kind)

        result = pipeline.extract(run_of(hour))

        assert (result["planned"], result["deferred"]) == (1, 1)
        assert pipeline.states() == {gone: "skipped agent_without_email", ordinary: "planned"}
        assert covered_until(pipeline) == hour + HOUR

        broken()
        agent = next(user for user in sandbox.state.organisation.users.values() if user.email)
        sandbox.state.organisation.users[self.UNREADABLE] = replace(agent, id=self.UNREADABLE)
        pipeline.run(run_of(hour + HOUR))
        assert sorted(pipeline.sent()) == sorted([doubted, ordinary])
        assert deferred() == []

    def test_is_settled_after_a_day_of_trying(self, pipeline, hour_with, has_been_tried_for, hour, settings):
        settings(seconds_until_send=60, overlap_seconds=0)
        doubted, *_ = hour_with(hour)
        pipeline.extract(run_of(hour))
        has_been_tried_for(timedelta(hours=25))

        pipeline.extract(run_of(hour + HOUR))

        assert pipeline.states()[doubted] == "skipped malformed_record"
        (row,) = pipeline.query("SELECT detail, agent_id FROM interaction WHERE reason = 'malformed_record'")
        assert row == ("agent could not be read: HTTP 500", self.UNREADABLE)

    def test_does_not_matter_where_somebody_else_is_the_agent(self, pipeline, sandbox, close, broken, hour):
        broken(Fault("500_before", path_contains=self.UNREADABLE))
        closer = sandbox.state.organisation.conversations[close()].closed_by
        by_another = close(minute=20, assigned_users=[self.UNREADABLE, closer], closed_by=closer)

        pipeline.extract(run_of(hour))

        assert pipeline.states()[by_another] == "planned"

    @pytest.mark.parametrize("kind", ["503", "reset", "429"])
    def test_is_no_matter_of_one_agent_where_users_cannot_be_read_by_id_at_all(
        self, pipeline, hour_with, broken, hour, kind
    ):
        hour_with(hour)
        broken(Fault(kind, "/v1/users/"))

        with pytest.raises(VendorApiError, match="GET /v1/users"):
            pipeline.extract(run_of(hour, try_number=LAST_TRY))

        assert pipeline.states() == {}

    def test_is_not_missing_where_a_gateway_answers_404_for_everybody(self, pipeline, hour_with, broken, hour):
        hour_with(hour)
        broken(Fault("404", "/v1/users/"))

        with pytest.raises(VendorApiError, match="404 for a user that the list returned"):
            pipeline.extract(run_of(hour))

        assert pipeline.states() == {}
