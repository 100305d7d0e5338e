"""A vendor is down, slow or refuses: what goes out, what waits, and what the next run makes of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.ledger import Ledger
from include.sandbox.changes import change_customer
from include.sandbox.faults import Fault
from plugins.kustomer.by_id import ATTEMPTS_APART
from plugins.pipeline import release
from plugins.pipeline.extraction import DOUBT_OF_AN_AGENT, LONGEST_DOUBT
from plugins.pipeline.release import MOST_PAUSES, SENDERS, ReleaseInterrupted
from plugins.vendor_api.errors import VendorApiError
from plugins.vendor_api.hook import READ_ATTEMPTS
from tests.scenarios.conftest import HOUR
from tests.support.pipeline import LAST_TRY, run_of

pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.fixture
def broken(sandbox):
    """A function that replaces the active faults; none: everything works again."""

    def replace(*faults: Fault) -> None:
        sandbox.state.faults.active = list(faults)

    return replace


@pytest.fixture
def planned(pipeline, close, hour):
    """A function that plans so many interactions, all due; returns their conversations."""

    def plan(number: int) -> list[str]:
        conversations = [close(minute=one / 100) for one in range(number)]
        pipeline.extract(run_of(hour))
        return conversations

    return plan


def posts(sandbox) -> int:
    return sandbox.state.calls["POST /v1/requests"]


class TestKustomerIsDown:
    DOWN = ("/v1/conversations", "/v1/customers", "/v1/users", "/v1/tags")

    @pytest.fixture
    def down(self, broken):
        return lambda: broken(*(Fault("503", path) for path in self.DOWN))

    def test_what_is_due_is_held_and_goes_out_when_it_is_back(self, pipeline, sandbox, planned, broken, down, hour):
        conversations = planned(3)
        down()
        with pytest.raises(VendorApiError):
            pipeline.extract(run_of(hour + HOUR))

        with pytest.raises(ReleaseInterrupted, match=r"3 interactions are held.*on_recheck_failure"):
            pipeline.release_due(run_of(hour + HOUR))
        assert pipeline.states() == dict.fromkeys(conversations, "planned")
        assert posts(sandbox) == 0

        broken()
        pipeline.run(run_of(hour + 2 * HOUR))
        assert sorted(pipeline.sent()) == sorted(conversations)

    def test_what_is_due_goes_out_without_the_second_look_if_so_configured(
        self, pipeline, planned, down, settings, hour
    ):
        settings(seconds_until_send=60, on_recheck_failure="send")
        conversations = planned(3)
        down()

        pipeline.release_due(run_of(hour + HOUR))

        assert pipeline.states() == dict.fromkeys(conversations, "sent")

    def test_hours_in_which_it_was_down_are_read_by_the_next_run(self, pipeline, close, broken, down, hour):
        pipeline.run(run_of(hour - HOUR))
        conversations = [close(minute=10), close(minute=70)]
        down()
        for missed in (hour, hour + HOUR):
            with pytest.raises(VendorApiError):
                pipeline.extract(run_of(missed))
        assert pipeline.states() == {}

        broken()
        pipeline.run(run_of(hour + 2 * HOUR))
        assert sorted(pipeline.sent()) == sorted(conversations)

    def test_an_answer_that_decides_nothing_is_held_like_no_answer(self, pipeline, close, planned, hour):
        held, ordinary = planned(2)
        close(id=held, attributes={"assignedUsers": "nobody can read this"})

        with pytest.raises(ReleaseInterrupted, match="1 interactions are held"):
            pipeline.release_due(run_of(hour + HOUR))

        assert pipeline.states() == {held: "planned", ordinary: "sent"}

    def test_a_conversation_that_breaks_kustomer_is_held_alone(self, pipeline, planned, broken, hour):
        """Otherwise a hundred that are asked for together would wait with it for ever."""
        held, *others = planned(5)
        broken(Fault("500_before", f"/v1/conversations/{held}"))

        with pytest.raises(ReleaseInterrupted, match="1 interactions are held"):
            pipeline.release_due(run_of(hour + HOUR))

        assert pipeline.states() == {held: "planned"} | dict.fromkeys(others, "sent")

    def test_a_record_that_does_not_even_tell_its_closing_is_no_deleted_conversation(
        self, pipeline, close, planned, hour
    ):
        held, ordinary = planned(2)
        close(id=held, attributes={"assignedUsers": "nobody can read this", "lastDone": None})

        with pytest.raises(ReleaseInterrupted, match="1 interactions are held"):
            pipeline.release_due(run_of(hour + HOUR))

        assert pipeline.states() == {held: "planned", ordinary: "sent"}

    @pytest.mark.timeout(60)
    def test_a_release_whose_looks_outlast_its_leases_comes_to_an_end(
        self, pipeline, planned, down, hour, monkeypatch
    ):
        """Otherwise it would take what it holds for what others left behind, and claim it again."""
        monkeypatch.setattr(release, "LEASE", timedelta(0))
        monkeypatch.setattr(release, "BATCH", 2)
        conversations = planned(6)
        down()

        with pytest.raises(ReleaseInterrupted, match="interactions are held"):
            pipeline.release_due(run_of(hour + HOUR))

        assert pipeline.states() == dict.fromkeys(conversations, "planned")


class TestACustomerThatCannotBeRead:
    @pytest.fixture
    def hour_with(self, sandbox, close, broken):
        """A function that closes three conversations in an hour; the second's customer is never readable."""

        def close_them(start):
            ids = [close(closed_at=start + timedelta(minutes=one), updated_at=start) for one in (10, 20, 30)]
            customer = sandbox.state.organisation.conversations[ids[1]].customer_id
            change_customer(sandbox.state, {"id": customer, "unindexed": True})
            broken(Fault("500_before", f"/v1/customers/{customer}"))
            return ids, customer

        return close_them

    def test_holds_up_nobody_else_and_is_read_by_the_next_try(self, pipeline, hour_with, broken, hour):
        (first, doubted, last), customer = hour_with(hour)

        with pytest.raises(AirflowException, match=f"1 customers or agents could not be read.*{customer}"):
            pipeline.extract(run_of(hour))
        assert pipeline.states() == dict.fromkeys([first, last], "planned")
        assert pipeline.ledger.extraction.read_watermark().covered_until == hour  # not done

        broken()
        pipeline.run(run_of(hour))
        assert sorted(pipeline.sent()) == sorted([first, doubted, last])
        assert pipeline.ledger.extraction.read_watermark().covered_until == hour + HOUR

    def test_does_not_fail_the_hour_by_itself_and_is_read_by_the_next_run(self, pipeline, hour_with, broken, hour):
        (first, doubted, last), _ = hour_with(hour)

        result = pipeline.extract(run_of(hour, try_number=LAST_TRY))
        assert (result["planned"], result["people_unread"]) == (2, 1)
        assert pipeline.ledger.extraction.read_watermark().covered_until == hour + timedelta(
            minutes=20
        )  # up to that closing

        broken()
        pipeline.run(run_of(hour + HOUR))
        assert sorted(pipeline.sent()) == sorted([first, doubted, last])

    def test_fails_a_run_after_which_nobody_would_read_it_again(self, pipeline, hour_with, hour):
        hour_with(hour)

        with pytest.raises(AirflowException, match="1 customers or agents could not be read"):
            pipeline.extract(run_of(hour, origin="backfill", try_number=LAST_TRY))

    @pytest.mark.parametrize("origin", ["scheduled", "backfill"])
    def test_is_a_row_with_a_reason_after_a_day(self, pipeline, hour_with, hour, origin):
        yesterday = hour - LONGEST_DOUBT
        (first, doubted, last), customer = hour_with(yesterday)
        with pytest.raises(AirflowException, match="could not be read"):  # perhaps it is back in a minute
            pipeline.extract(run_of(yesterday, origin=origin))

        result = pipeline.extract(run_of(yesterday, origin=origin, try_number=LAST_TRY))

        assert (result["people_unread"], result["skipped"]) == (0, {"malformed_record": 1})
        assert pipeline.states() == {first: "planned", doubted: "skipped malformed_record", last: "planned"}
        (row,) = pipeline.query("SELECT detail, customer_id, agent_email FROM interaction WHERE state = 'skipped'")
        assert (row.detail, row.customer_id) == ("customer could not be read: HTTP 500", customer)
        assert row.agent_email
        if origin == "scheduled":
            assert pipeline.ledger.extraction.read_watermark().covered_until == yesterday + HOUR

    def test_is_asked_for_once_a_try_however_many_conversations_it_closed(
        self, pipeline, sandbox, close, hour_with, hour
    ):
        _, customer = hour_with(hour)
        close(minute=40, customer_id=customer)

        result = pipeline.extract(run_of(hour, try_number=LAST_TRY))

        assert (result["found"], result["people_unread"]) == (4, 1)
        assert sandbox.state.calls["GET /v1/customers/{id}"] == READ_ATTEMPTS


class TestAnAgentWhoCannotBeRead:
    """Asked for by id, as neither list of users holds them."""

    UNREADABLE, GONE = "0" * 24, "1" * 24

    @pytest.fixture
    def hour_with(self, close, broken):
        """A function that closes three conversations in an hour; the first's agent is never readable."""

        def close_them(start):
            broken(Fault("500_before", f"/v1/users/{self.UNREADABLE}"))
            times = [start + timedelta(minutes=one) for one in (10, 20, 30)]
            return [
                close(closed_at=times[0], updated_at=start, assigned_users=[self.UNREADABLE]),
                close(closed_at=times[1], updated_at=start, assigned_users=[self.GONE]),
                close(closed_at=times[2], updated_at=start),
            ]

        return close_them

    def test_holds_up_nobody_else_and_is_read_by_the_next_run(self, pipeline, sandbox, hour_with, broken, hour):
        doubted, gone, ordinary = hour_with(hour)

        result = pipeline.extract(run_of(hour, try_number=LAST_TRY))

        assert (result["planned"], result["people_unread"]) == (1, 1)
        assert pipeline.states() == {gone: "skipped agent_without_email", ordinary: "planned"}
        assert pipeline.ledger.extraction.read_watermark().covered_until == hour + timedelta(
            minutes=10
        )  # up to that closing

        broken()
        agent = next(one for one in sandbox.state.organisation.users.values() if one.email)
        sandbox.state.organisation.users[self.UNREADABLE] = replace(agent, id=self.UNREADABLE)
        pipeline.run(run_of(hour + HOUR))
        assert sorted(pipeline.sent()) == sorted([doubted, ordinary])

    def test_fails_a_run_after_which_nobody_would_read_it_again(self, pipeline, hour_with, hour):
        hour_with(hour)

        with pytest.raises(AirflowException, match=f"1 customers or agents could not be read.*{self.UNREADABLE}"):
            pipeline.extract(run_of(hour, origin="backfill", try_number=LAST_TRY))

    def test_is_a_row_with_a_reason_soon_since_they_close_more_every_hour(self, pipeline, hour_with, hour):
        earlier = hour - DOUBT_OF_AN_AGENT
        doubted, gone, ordinary = hour_with(earlier)

        result = pipeline.extract(run_of(earlier, origin="backfill", try_number=LAST_TRY))

        assert result["people_unread"] == 0
        assert pipeline.states() == {
            doubted: "skipped malformed_record",
            gone: "skipped agent_without_email",
            ordinary: "planned",
        }
        (row,) = pipeline.query("SELECT detail, agent_id FROM interaction WHERE reason = 'malformed_record'")
        assert row == ("agent could not be read: HTTP 500", self.UNREADABLE)

    @pytest.mark.parametrize("kind", ["reset"])
    def test_is_not_settled_where_an_outage_may_be_the_reason(self, pipeline, hour_with, broken, hour, kind):
        long_ago = hour - 2 * LONGEST_DOUBT
        doubted, _, ordinary = hour_with(long_ago)
        broken(Fault(kind, f"/v1/users/{self.UNREADABLE}"))

        with pytest.raises(AirflowException, match=f"could not be read.*{self.UNREADABLE}"):
            pipeline.extract(run_of(long_ago, origin="backfill", try_number=LAST_TRY))

        assert doubted not in pipeline.states()
        assert pipeline.states()[ordinary] == "planned"

    def test_is_no_doubt_about_a_closing_that_is_recorded_already(self, pipeline, sandbox, close, broken, hour):
        agent = sandbox.state.organisation.conversations[close(minute=59)].closed_by
        pipeline.extract(run_of(hour))
        sandbox.state.organisation.users.pop(agent)
        broken(Fault("500_before", f"/v1/users/{agent}"))

        result = pipeline.extract(run_of(hour + HOUR))  # which looks back

        assert (result["known"], result["people_unread"]) == (1, 0)
        assert pipeline.ledger.extraction.read_watermark().covered_until == hour + 2 * HOUR

    def test_two_without_an_answer_are_an_outage_that_ends_the_try(
        self, pipeline, sandbox, hour_with, broken, hour
    ):
        hour_with(hour)
        broken(Fault("reset", f"/v1/users/{self.UNREADABLE}"), Fault("reset", f"/v1/users/{self.GONE}"))

        with pytest.raises(VendorApiError, match="GET /v1/users"):
            pipeline.extract(run_of(hour, try_number=LAST_TRY))

        assert pipeline.states() == {}

    def test_does_not_matter_where_somebody_else_is_the_agent(self, pipeline, sandbox, close, broken, hour):
        broken(Fault("500_before", f"/v1/users/{self.UNREADABLE}"))
        closer = sandbox.state.organisation.conversations[close()].closed_by
        by_another = close(minute=20, assigned_users=[self.UNREADABLE, closer], closed_by=closer)

        pipeline.extract(run_of(hour))

        assert pipeline.states()[by_another] == "planned"

    def test_is_asked_for_together_with_others_and_then_alone(self, pipeline, sandbox, hour_with, hour):
        hour_with(hour)

        pipeline.extract(run_of(hour, try_number=LAST_TRY))

        (fault,) = sandbox.state.faults.active
        assert fault.hits == READ_ATTEMPTS + ATTEMPTS_APART


class TestASearchThatComesOutShort:
    @pytest.fixture
    def size(self):
        return 40

    def test_is_read_again_until_it_is_whole(self, pipeline, broken, hour):
        broken(Fault("missing_rows", "/v1/customers/search", times=1))

        result = pipeline.extract(run_of(hour))

        assert result["short"] == 0
        assert result["found"] == len(pipeline.states())

    def test_says_by_how_much_when_it_stays_short_and_the_next_run_finds_the_rest(self, pipeline, broken, hour):
        broken(Fault("missing_rows", "/v1/customers/search"))
        result = pipeline.extract(run_of(hour))
        assert result["short"] > 0
        assert pipeline.ledger.extraction.read_watermark().covered_until == hour  # not done

        broken()
        whole = pipeline.extract(run_of(hour + HOUR))
        assert whole["short"] == 0
        assert whole["known"] == result["found"]
        assert whole["found"] >= result["found"] + 1


class TestStellaConnect:
    @pytest.mark.parametrize("status", [400, 404, 409, 422])
    def test_that_refuses_one_interaction_takes_the_rest(self, pipeline, sandbox, planned, broken, hour, status):
        planned(12)
        broken(Fault(str(status), "/v1/requests", times=1))

        (facts,) = pipeline.release_due(run_of(hour))

        (rejected,) = pipeline.query("SELECT http_status, detail FROM interaction WHERE state = 'rejected'")
        assert tuple(rejected) == (status, f"injected_{status}")
        assert (facts["sent"], facts["rejected"]) == (11, 1)
        assert len(set(pipeline.sent())) == 11

        broken()
        pipeline.release_due(run_of(hour + HOUR))
        assert posts(sandbox) == 12  # a refusal is final

    @pytest.mark.parametrize("status", [401, 403])
    def test_that_refuses_the_key_stops_the_release_and_nothing_is_burnt(
        self, pipeline, sandbox, planned, broken, hour, status
    ):
        conversations = planned(150)
        broken(Fault(str(status), "/v1/requests", after=10))

        with pytest.raises(AirflowFailException, match=r"POST /v1/requests answered .*valid API key"):
            pipeline.release_due(run_of(hour))

        assert len(pipeline.sent()) == 10
        assert posts(sandbox) <= 10 + SENDERS
        assert sorted(pipeline.states().values()) == ["planned"] * 140 + ["sent"] * 10

        broken()
        pipeline.release_due(run_of(hour + HOUR))
        assert sorted(pipeline.sent()) == sorted(conversations)

    def test_that_wants_a_pause_gets_it_and_everything_goes_out_in_the_same_task(
        self, pipeline, sandbox, planned, broken, hour, monkeypatch
    ):
        paused: list[float] = []
        monkeypatch.setattr(release, "pause", paused.append)
        conversations = planned(30)
        broken(Fault("429", "/v1/requests", times=3 * SENDERS, after=5, retry_after=7))

        pipeline.release_due(run_of(hour))

        assert sorted(pipeline.sent()) == sorted(conversations)
        assert set(paused) == {7.0}
        assert sandbox.state.duplicates == 0

    def test_that_wants_a_pause_gets_it_within_the_limit_of_a_run_too(
        self, pipeline, planned, broken, settings, hour
    ):
        settings(seconds_until_send=60, max_releases_per_run=2)
        planned(5)
        broken(Fault("429", "/v1/requests", times=3))

        pipeline.release_due(run_of(hour))

        assert len(pipeline.sent()) == 2

    def test_that_asks_for_an_hour_waits_no_longer_than_a_minute_for_us(
        self, pipeline, planned, broken, hour, monkeypatch
    ):
        paused: list[float] = []
        monkeypatch.setattr(release, "pause", paused.append)
        planned(1)
        broken(Fault("429", "/v1/requests", times=1, retry_after=3600))

        pipeline.release_due(run_of(hour))

        assert paused == [release.LONGEST_PAUSE_SECONDS]

    def test_that_takes_nothing_is_left_alone_until_later(self, pipeline, sandbox, planned, broken, hour):
        conversations = planned(30)
        broken(Fault("429", "/v1/requests"))

        with pytest.raises(ReleaseInterrupted, match="given up for now, 0 sent"):
            pipeline.release_due(run_of(hour))

        assert pipeline.states() == dict.fromkeys(conversations, "planned")
        assert posts(sandbox) <= (MOST_PAUSES + 1) * SENDERS

        broken()
        pipeline.release_due(run_of(hour + HOUR))
        assert sorted(pipeline.sent()) == sorted(conversations)

    def test_that_breaks_off_is_noticed_before_the_whole_window_is_unknown(
        self, pipeline, sandbox, planned, broken, hour
    ):
        planned(300)
        broken(Fault("accept_then_500", "/v1/requests", after=20))

        with pytest.raises(ReleaseInterrupted, match="20 sent"):
            pipeline.release_due(run_of(hour))

        unknown = list(pipeline.states().values()).count("unknown")
        assert release.UNKNOWN_IN_A_ROW <= unknown <= (MOST_PAUSES + 1) * (release.UNKNOWN_IN_A_ROW + SENDERS)

        broken()
        pipeline.release_due(run_of(hour + HOUR))
        assert sorted(pipeline.states().values()) == ["sent"] * (300 - unknown) + ["unknown"] * unknown
        assert len(pipeline.sent()) == 300
        assert sandbox.state.duplicates == 0

    @pytest.mark.parametrize("kind", ["500_before", "429", "not_json", "no_data", "reset", "redirect"])
    def test_whose_profiles_cannot_be_read_is_no_reason_to_skip_anybody(
        self, pipeline, sandbox, planned, broken, hour, kind
    ):
        conversations = planned(2)
        broken(Fault(kind, "/v2/employees"))

        for task in (pipeline.check, pipeline.release_due):
            with pytest.raises(VendorApiError):
                task(run_of(hour))
        assert pipeline.states() == dict.fromkeys(conversations, "planned")
        assert posts(sandbox) == 0

        broken()
        pipeline.release_due(run_of(hour))
        assert sorted(pipeline.sent()) == sorted(conversations)


def test_a_fault_of_our_own_leaves_nothing_held(pipeline, planned, hour, monkeypatch):
    """Whatever breaks before anything is sent: the next run need not wait for a lease to end."""
    conversations = planned(3)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(release, "feedback_request", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        pipeline.release_due(run_of(hour))
    assert pipeline.states() == dict.fromkeys(conversations, "planned")


def test_a_fault_of_our_own_during_the_post_is_an_unknown_outcome_once_its_lease_is_over(
    pipeline, planned, hour, monkeypatch
):
    (conversation,) = planned(1)

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(release.StellaConnectHook, "send", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        pipeline.release_due(run_of(hour))
    assert pipeline.states() == {conversation: "sending"}

    later = Ledger(pipeline.engine, lambda: datetime.now(UTC) + release.SENDING_LEASE)
    assert later.releasing.recover(by="next run").unknown == 1
    assert pipeline.states() == {conversation: "unknown"}
