"""A vendor is down, slow or refuses: what goes out, what waits, and what the next run makes of it."""

from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.interactions.sender_limit import START_SENDERS
from include.interactions.settings import MAX_SENDERS
from include.ledger import Ledger
from include.sandbox.faults import Fault
from plugins.pipeline import due_reader, release, sending
from plugins.pipeline.release import MAX_PAUSES, ReleaseInterrupted
from plugins.vendor_api.errors import VendorApiError
from tests.scenarios.conftest import HOUR
from tests.support.ledger import by_run
from tests.support.pipeline import run_of

pytestmark = pytest.mark.usefixtures("no_waiting")


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
        monkeypatch.setattr(due_reader, "LEASE", timedelta(0))
        monkeypatch.setattr(due_reader, "BATCH", 2)
        conversations = planned(6)
        down()

        with pytest.raises(ReleaseInterrupted, match="interactions are held"):
            pipeline.release_due(run_of(hour + HOUR))

        assert pipeline.states() == dict.fromkeys(conversations, "planned")


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
        assert posts(sandbox) <= 10 + MAX_SENDERS
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
        broken(Fault("429", "/v1/requests", times=START_SENDERS, after=5, retry_after=7))

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

        assert paused == [release.MAX_PAUSE_SECONDS]

    def test_that_takes_nothing_is_left_alone_until_later(self, pipeline, sandbox, planned, broken, hour):
        conversations = planned(30)
        broken(Fault("429", "/v1/requests"))

        with pytest.raises(ReleaseInterrupted, match="stopped for now, 0 sent"):
            pipeline.release_due(run_of(hour))

        assert pipeline.states() == dict.fromkeys(conversations, "planned")
        assert posts(sandbox) <= (MAX_PAUSES + 1) * MAX_SENDERS

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
        assert (
            sending.MAX_UNKNOWN_IN_A_ROW
            <= unknown
            <= (MAX_PAUSES + 1) * (sending.MAX_UNKNOWN_IN_A_ROW + MAX_SENDERS)
        )

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

    monkeypatch.setattr(sending, "feedback_request", broken)
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

    later = Ledger(pipeline.engine, lambda: datetime.now(UTC) + sending.SENDING_LEASE)
    assert later.releasing.recover(by=by_run("next run")).unknown == 1
    assert pipeline.states() == {conversation: "unknown"}
