"""A release reads ahead, lets no slow request hold the others, and gives back what it does not send."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from airflow.sdk.exceptions import AirflowException

from include.sandbox.faults import Fault
from plugins.pipeline import sending
from plugins.pipeline.due_reader import BATCH, DueReader
from scripts.stack.waiting import wait_until
from tests.support.pipeline import run_of

pytestmark = pytest.mark.usefixtures("no_waiting")

NUMBER = 250
"""More than two batches."""


@pytest.fixture
def planned(pipeline, close, hour):
    """A function that plans so many interactions, all due."""

    def plan(number: int = NUMBER) -> list[str]:
        conversations = [close(minute=one / 100) for one in range(number)]
        pipeline.extract(run_of(hour))
        return conversations

    return plan


@pytest.fixture
def broken(sandbox):
    """A function that replaces the active faults."""

    def replace(*faults: Fault) -> None:
        sandbox.state.faults.active = list(faults)

    return replace


@pytest.fixture
def releasing(pipeline, sandbox, hour):
    """A context in which a release is at work; at its end what hangs breaks off, and the release ends."""

    @contextmanager
    def at_work() -> Iterator[None]:
        release = threading.Thread(target=lambda: pipeline.release_due(run_of(hour)))
        release.start()
        try:
            yield
        finally:
            sandbox.state.faults.replace([])
            release.join(60)
        assert not release.is_alive()

    return at_work


def count(pipeline) -> dict[str, int]:
    return {row.state: row.n for row in pipeline.query("SELECT state, count(*) AS n FROM interaction GROUP BY 1")}


class TestASlowRequest:
    def test_does_not_hold_the_others(self, pipeline, planned, broken, releasing):
        planned()
        broken(Fault("hang", "/v1/requests", times=3, after=10, seconds=3600))

        with releasing():
            wait_until(lambda: len(pipeline.sent()) == NUMBER - 3, "all others sent", 60)
            wait_until(lambda: count(pipeline) == {"sent": NUMBER - 3, "sending": 3}, "all written", 60)

        assert count(pipeline) == {"sent": NUMBER - 3, "unknown": 3}

    def test_does_not_prolong_a_pause(self, pipeline, planned, broken, releasing):
        planned()
        broken(
            Fault("hang", "/v1/requests", times=1, after=5, seconds=3600),
            Fault("429", "/v1/requests", times=1, after=20),
        )

        with releasing():
            wait_until(lambda: count(pipeline) == {"sent": NUMBER - 1, "sending": 1}, "all others sent", 60)

    @pytest.mark.parametrize("status", ["400", "403"])
    def test_does_not_hold_the_others_back_when_a_refusal_lets_only_few_be_tried(
        self, pipeline, planned, broken, releasing, monkeypatch, status
    ):
        monkeypatch.setattr(sending, "SLOW_SECONDS", 0.1)
        bad = planned()[100]
        broken(
            Fault("hang", "/v1/requests", times=10, after=20, seconds=3600),
            Fault(status, "/v1/requests", body_contains=bad),
        )

        with releasing():
            wait_until(lambda: len(pipeline.sent()) == NUMBER - 11, "all others sent", 60)


class TestReadingAhead:
    def test_goes_on_while_requests_are_under_way(self, pipeline, planned, broken, releasing):
        planned()
        broken(Fault("hang", "/v1/requests", seconds=3600))

        with releasing():
            wait_until(lambda: count(pipeline).get("claimed", 0) > BATCH, "the second batch claimed", 60)

    def test_is_bounded(self, pipeline, sandbox, planned, settings, hour):
        settings(seconds_until_send=60, kustomer_requests_per_minute=100_000, max_senders=4)
        planned(3 * BATCH)

        pipeline.release_due(run_of(hour))

        assert len(pipeline.sent()) == 3 * BATCH
        held = most = 0
        for event in pipeline.query("SELECT to_state FROM interaction_event ORDER BY id"):
            held += (event.to_state == "claimed") - (event.to_state == "sending")
            most = max(most, held)
        assert most < BATCH + 2 * 4

    def test_reads_again_what_was_planned_again_while_it_read(self, pipeline, planned, broken, hour, monkeypatch):
        refused, other = planned(2)
        pipeline.ledger.set_fact(sending.REFUSALS, "5")  # what the run before was refused
        # This refusal comes first, with nothing to compare it with.
        broken(
            Fault("400", "/v1/requests", body_contains=refused),
            Fault("slow", "/v1/requests", body_contains=other, seconds=0.5),
        )
        read, held = DueReader.read, threading.Event()

        def read_and_wait(reader, *given):
            batch = read(reader, *given)
            if not batch.size and not held.is_set():
                held.set()
                wait_until(lambda: pipeline.states()[other] == "sent", "the other one sent", 60)
            return batch

        monkeypatch.setattr(DueReader, "read", read_and_wait)
        pipeline.release_due(run_of(hour))

        assert held.is_set()
        assert pipeline.states() == {refused: "rejected", other: "sent"}


class TestWhatIsNotSent:
    @pytest.mark.parametrize("kind", ["429", "400", "403", "500_before"])
    def test_is_given_back_whatever_stops_the_release(self, pipeline, sandbox, planned, broken, hour, kind):
        planned()
        broken(Fault(kind, "/v1/requests", after=20))

        with pytest.raises(AirflowException):
            pipeline.release_due(run_of(hour))
        assert count(pipeline).keys() <= {"sent", "planned", "rejected", "unknown"}

        broken()
        pipeline.release_due(run_of(hour))
        assert count(pipeline).keys() <= {"sent", "rejected", "unknown"}
        assert sandbox.state.duplicates == 0

    def test_is_given_back_after_a_fault_of_our_own(self, pipeline, planned, hour, monkeypatch):
        planned()
        request: Callable[..., object] = sending.feedback_request
        calls = iter(range(NUMBER))

        def broken(*given: object, **named: object) -> object:
            if next(calls) == BATCH:
                raise RuntimeError("a bug")
            return request(*given, **named)

        monkeypatch.setattr(sending, "feedback_request", broken)
        with pytest.raises(RuntimeError, match="a bug"):
            pipeline.release_due(run_of(hour))

        assert count(pipeline) == {"sent": len(pipeline.sent()), "planned": NUMBER - len(pipeline.sent())}

    def test_is_not_even_claimed_beyond_the_limit_of_a_run(self, pipeline, planned, settings, hour):
        settings(seconds_until_send=60, kustomer_requests_per_minute=100_000, max_releases_per_run=150)
        planned()

        pipeline.release_due(run_of(hour))

        assert count(pipeline) == {"sent": 150, "planned": NUMBER - 150}
        (claims,) = pipeline.query("SELECT count(*) AS n FROM interaction_event WHERE to_state = 'claimed'")
        assert claims.n == 150
