"""Processes that race, die or freeze: at most one POST per closing, and none forgotten. Both databases."""

import os
import signal
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from include.interactions.settings import MAX_SENDERS
from include.ledger import Ledger
from include.sandbox.faults import Fault
from plugins.pipeline.due_reader import LEASE
from plugins.pipeline.planning import plan_windows
from plugins.pipeline.sending import SENDING_LEASE
from plugins.runtime.organisations import DEFAULT
from scripts.stack.waiting import wait_until
from tests.support import release_process as work
from tests.support.ledger import by_run
from tests.support.pipeline import run_of
from tests.support.release_process import POINTS, DiskFull, Hit, context, is_stopped, started

HOUR = timedelta(hours=1)
PROCESSES = 8
until = partial(wait_until, seconds=60, every=0.01)
TRANSACTIONS_OF_OTHERS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
    " AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"
)

pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def ledger_url(request) -> str:
    return request.getfixturevalue("ledger_url" if request.param == "sqlite" else "postgres_ledger_url")


@pytest.fixture
def planned(pipeline, close, hour):
    """A function that plans so many interactions, all due, as one window: the conversations and the window."""

    def plan(number: int) -> tuple[list[str], dict[str, object]]:
        conversations = [close(minute=one / 1000) for one in range(number)]
        pipeline.extract(run_of(hour))
        (window,) = plan_windows(run_of(hour), DEFAULT)
        assert window["count"] == number
        return conversations, window

    return plan


@pytest.fixture
def time_passes(pipeline):
    """A function that lets every lease end and takes back what it held, as each run does first."""

    def pass_by(duration: timedelta = LEASE + SENDING_LEASE) -> None:
        if pipeline.engine.dialect.name == "postgresql":  # it takes a moment to notice that a client has died
            until(lambda: not pipeline.query(TRANSACTIONS_OF_OTHERS), "the transactions of the dead to end")
        Ledger(pipeline.engine, lambda: datetime.now(UTC) + duration).releasing.recover(by=by_run("later"))

    return pass_by


def check_the_promise(pipeline, sandbox, conversations, most_unknown: int) -> None:
    """At most one POST each; each sent or under review; what was taken is nowhere called otherwise."""
    states = pipeline.states()
    unknown = {conversation for conversation, state in states.items() if state == "unknown"}
    sent = {conversation for conversation, state in states.items() if state == "sent"}
    assert sent | unknown == set(conversations)
    assert len(unknown) <= most_unknown
    assert sandbox.state.duplicates == 0
    assert sent <= set(pipeline.sent()) <= sent | unknown


class TestManyAtOnce:
    def test_eight_releases_of_one_window_send_everything_once(self, pipeline, sandbox, planned, environment, hour):
        conversations, window = planned(120)
        gate = context.Barrier(PROCESSES)
        arguments = (work.release_together, environment, window, hour, gate)
        processes = [context.Process(target=arguments[0], args=arguments[1:]) for _ in range(PROCESSES)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)

        assert [process.exitcode for process in processes] == [0] * PROCESSES
        check_the_promise(pipeline, sandbox, conversations, most_unknown=0)

    def test_scheduled_cleared_backfilled_and_manual_runs_of_one_hour_send_everything_once(
        self, pipeline, sandbox, close, environment, ledger_url, hour
    ):
        conversations = [close(minute=one / 1000) for one in range(20)]
        origins = ["scheduled", "scheduled", "backfill", "manual"]
        gate = context.Barrier(len(origins))
        processes = [
            context.Process(target=work.run_together, args=(environment, ledger_url, hour, origin, gate))
            for origin in origins
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)

        assert [process.exitcode for process in processes] == [0] * len(origins)
        pipeline.run(run_of(hour + HOUR))  # what one had recorded when the others had already planned
        check_the_promise(pipeline, sandbox, conversations, most_unknown=0)


class TestAKilledWorker:
    NOTHING_LEFT = (
        "before the claim is committed",
        "after the claim is committed",
    )

    @pytest.mark.parametrize("point", POINTS)
    def test_leaves_nothing_behind_that_is_sent_twice_or_forgotten(
        self, pipeline, sandbox, planned, environment, time_passes, hour, point
    ):
        conversations, window = planned(30)  # so that the point comes three times, though steps are taken together
        if point == "before the rest is given back":
            sandbox.state.faults.active = [Fault("429", "/v1/requests", after=3)]
        once_a_window = point in (*self.NOTHING_LEFT, "before the rest is given back")
        hit = Hit(point, signal.SIGKILL, time=1 if once_a_window else 3)
        with started(work.release, environment, window, hour, hit) as process:
            process.join(60)
            assert process.exitcode == -signal.SIGKILL
        sandbox.state.faults.replace([])

        pipeline.release_due(run_of(hour))  # before the leases are over: the others' are left alone
        time_passes()
        pipeline.release_due(run_of(hour))

        check_the_promise(
            pipeline, sandbox, conversations, most_unknown=0 if point in self.NOTHING_LEFT else MAX_SENDERS
        )

    @pytest.mark.parametrize(("kind", "taken"), [("hang", 0), ("accept_then_hang", 1)])
    def test_in_the_middle_of_a_post_leaves_that_one_to_be_looked_up(
        self, pipeline, sandbox, planned, environment, time_passes, hour, kind, taken
    ):
        (conversation,), window = planned(1)
        hanging = Fault(kind, "/v1/requests")
        sandbox.state.faults.active = [hanging]
        with started(work.release, environment, window, hour) as process:
            until(lambda: hanging.hits, "a request to arrive")
            until(lambda: len(pipeline.sent()) == taken, "the others to be sent")
            process.kill()
            process.join(60)
        sandbox.state.faults.replace([])

        time_passes()
        pipeline.run(run_of(hour))

        assert pipeline.states() == {conversation: "unknown"}
        assert len(pipeline.sent()) == taken


class TestAFrozenWorker:
    """Stopped (SIGSTOP) at a point, continued when its lease is over and others have been at its interactions."""

    @pytest.fixture
    def frozen_at(self, pipeline, planned, environment, time_passes, hour):
        """Freezes a release of one interaction; returns it, and its state before the release goes on."""

        def freeze(point: str) -> tuple[str, str]:
            (conversation,), window = planned(1)
            # It reads no further: a thread that is stopped in a transaction would hold SQLite's lock.
            alone = {**window, "limit": 1}
            with started(work.release, environment, alone, hour, Hit(point, signal.SIGSTOP)) as process:
                until(lambda: is_stopped(process), "the process to stop")
                time_passes()
                pipeline.release_due(run_of(hour))
                meanwhile = pipeline.states()[conversation]
                os.kill(process.pid, signal.SIGCONT)
                process.join(60)
                assert process.exitcode == 0
            return conversation, meanwhile

        return freeze

    @pytest.mark.parametrize(
        ("point", "meanwhile"),
        [
            ("after the claim is committed", "sent"),  # by the others; the claim is lost
            ("directly before the request", "unknown"),  # nobody else may send it; its holder does, and says so
            ("after the answer", "unknown"),
        ],
    )
    def test_sends_nothing_that_others_have_sent_nor_they_what_it_sends(
        self, pipeline, frozen_at, point, meanwhile
    ):
        conversation, state = frozen_at(point)

        assert state == meanwhile
        assert pipeline.sent() == [conversation]
        assert pipeline.states() == {conversation: "sent"}

    def test_between_the_commit_and_the_post_past_its_lease_does_not_send(
        self, pipeline, sandbox, planned, environment, hour
    ):
        """Here the lease really ends while the process is stopped: that is what it looks at."""
        (conversation,), window = planned(1)
        hit = Hit("after sending is committed", signal.SIGSTOP)
        alone = {**window, "limit": 1}  # as above
        with started(work.release_under_a_short_lease, environment, alone, hour, hit) as process:
            until(lambda: is_stopped(process), "the process to stop")
            (row,) = pipeline.query("SELECT state FROM interaction")
            assert row.state == "sending"
            stopped_at = datetime.now(UTC)
            until(lambda: datetime.now(UTC) - stopped_at > work.SHORT_LEASE, "its lease to end")
            assert pipeline.ledger.releasing.recover(by=by_run("others")).unknown == 1
            pipeline.release_due(run_of(hour))
            assert pipeline.sent() == []
            os.kill(process.pid, signal.SIGCONT)
            process.join(60)

        pipeline.release_due(run_of(hour))
        assert pipeline.sent() == [conversation]
        assert pipeline.states() == {conversation: "sent"}
        assert sandbox.state.calls["POST /v1/requests"] == 1
        history = [(event.to_state, event.detail) for event in pipeline.ledger.history(conversation)]
        assert history[3:5] == [("unknown", "lease over"), ("planned", "lease over before the POST")]


class TestAFullDisk:
    """Under a ledger in SQLite."""

    @pytest.fixture
    def ledger_url(self, tmp_path) -> str:
        return f"sqlite:///{tmp_path}/ledger.db"

    @pytest.mark.parametrize(
        ("point", "left_behind", "most_posts"),
        [
            ("before the claim is committed", {"planned"}, 0),
            ("before sending is committed", {"claimed"}, 0),
            ("before the outcome is committed", {"claimed", "sending"}, MAX_SENDERS),
        ],
    )
    def test_ends_the_release_and_what_it_left_behind_goes_out_once_there_is_space(
        self, pipeline, sandbox, planned, environment, time_passes, hour, point, left_behind, most_posts
    ):
        conversations, window = planned(30)
        with started(work.release, environment, window, hour, DiskFull(point)) as process:
            process.join(60)
            assert process.exitcode == 1
        posted = pipeline.sent()
        assert set(pipeline.states().values()) == left_behind
        assert min(1, most_posts) <= len(posted) <= most_posts

        time_passes()
        pipeline.release_due(run_of(hour))

        unknown = {conversation for conversation, state in pipeline.states().items() if state == "unknown"}
        assert unknown == set(posted)
        check_the_promise(pipeline, sandbox, conversations, most_unknown=most_posts)
        assert sorted(pipeline.sent()) == sorted(conversations)


class TestAClockThatWasAhead:
    def test_costs_no_closing_of_the_hours_it_leapt_over(self, pipeline, close, environment, ledger_url, hour):
        """Airflow runs the hour that it takes for the last one, and after that none before the clock is there."""
        pipeline.run(run_of(hour))
        leap = 8 * HOUR
        arguments = (environment, ledger_url, hour + leap, hour + leap + HOUR)
        with started(work.extract_by_a_wrong_clock, *arguments) as process:
            process.join(60)
            assert process.exitcode == 0

        conversation = close(minute=5 * 60)
        pipeline.extract(run_of(hour + leap + HOUR))

        assert pipeline.states() == {conversation: "planned"}
