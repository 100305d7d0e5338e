"""The ledger's database goes away and comes back in the midst of a release."""

import threading
from datetime import UTC, datetime

import pytest
from sqlalchemy.exc import OperationalError

from include.ledger import Ledger
from plugins.pipeline.due_reader import LEASE
from plugins.pipeline.sending import SENDING_LEASE
from scripts.stack.postgres import running
from scripts.stack.waiting import wait_until
from tests.support.ledger import by_run
from tests.support.pipeline import run_of

AIRFLOWS_TRIES = 4
"""Of one task: the first, and the DAG's retries."""


@pytest.mark.postgres
class TestPostgresThatRestarts:
    NUMBER = 2_000
    EVERY = 400
    """Interactions from one restart to the next: some seconds."""

    @pytest.fixture
    def server(self):
        """Of its own: the tests' common one has other users."""
        with running() as server:
            yield server

    @pytest.fixture
    def ledger_url(self, server):
        return server.create_database()

    @pytest.fixture
    def restarts(self, server, sandbox):
        """Stopped and crashed in turn, each time another so many interactions have been accepted."""
        done = []

        def restart() -> None:
            for accepted in range(self.EVERY // 2, self.NUMBER, self.EVERY):
                wait_until(lambda: len(sandbox.state.received) >= accepted, f"{accepted} accepted", 60, every=0.01)  # noqa: B023  used before the next turn
                (server.stop if len(done) % 2 else server.kill)()
                server.start()
                done.append(accepted)

        restarting = threading.Thread(target=restart)
        restarting.start()
        yield done
        restarting.join()

    @pytest.fixture(autouse=True)
    def shorter_waits(self, monkeypatch):
        """The server is back sooner than anybody's real one."""
        monkeypatch.setattr("plugins.vendor_api.waiting.factor", 0.2)

    def test_loses_and_doubles_nothing_of_two_thousand(self, pipeline, sandbox, close, restarts, hour):
        conversations = [close(minute=one / 1000) for one in range(self.NUMBER)]
        pipeline.extract(run_of(hour))

        for tries_left in reversed(range(AIRFLOWS_TRIES)):
            try:
                pipeline.release_due(run_of(hour))
            except OperationalError:
                assert tries_left
            else:
                break
        Ledger(pipeline.engine, lambda: datetime.now(UTC) + LEASE + SENDING_LEASE).releasing.recover(
            by=by_run("next run")
        )
        pipeline.release_due(run_of(hour))

        assert len(restarts) == self.NUMBER / self.EVERY
        assert sorted(pipeline.sent()) == sorted(conversations)
        assert sandbox.state.duplicates == 0
        assert set(pipeline.states().values()) == {"sent"}  # also what could not be written at once
