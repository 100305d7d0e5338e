"""What the ledger's promises rest on in PostgreSQL's connections."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import IntegrityError

from include.interactions.interaction import ClaimedInteraction
from include.interactions.states import State
from include.ledger import Ledger, connect, releasing
from scripts.stack.waiting import wait_until
from tests.support.ledger import LEASE, NOON, REQUEST, Clock, by_run, closing

pytestmark = pytest.mark.postgres


@pytest.fixture
def url(postgres_ledger_url: str) -> str:
    return postgres_ledger_url


def test_a_connection_that_ended_while_it_lay_idle_is_replaced(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.ledger.engine.MAX_IDLE_SECONDS", 0.0)
    ledger = Ledger(connect(url))
    ledger.migrate()
    assert ledger.extraction.read_watermark() is None

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as server:
        ended = server.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()

    assert (True,) in ended
    assert ledger.extraction.read_watermark() is None


@pytest.fixture
def claimed(ledger: Ledger, clock: Clock) -> ClaimedInteraction:
    ledger.extraction.record_closings([closing(1)], by_run("run"))
    clock.forward(hours=2)
    (claimed,) = ledger.releasing.claim(NOON, clock.time, 1, LEASE, by_run("run"))
    return claimed


def test_only_the_claim_does_not_wait_for_the_disk(engine: Engine, ledger: Ledger, clock: Clock) -> None:
    waits = []

    @event.listens_for(engine, "after_cursor_execute")
    def ask(_connection: object, cursor: Any, statement: str, *_: object) -> None:
        if statement.startswith("WITH"):
            waits.append(cursor.connection.execute("SHOW synchronous_commit").fetchone()[0])

    ledger.extraction.record_closings([closing(1)], by_run("run"))
    waits.clear()
    clock.forward(hours=2)
    (claimed,) = ledger.releasing.claim(NOON, clock.time, 1, LEASE, by_run("run"))
    ledger.releasing.start_sending(claimed, LEASE, REQUEST)
    ledger.releasing.settle(claimed, State.SENT, 200)

    assert waits == ["off", "on", "on"]


def test_a_step_and_its_event_are_one_statement(
    engine: Engine, ledger: Ledger, claimed: ClaimedInteraction
) -> None:
    statements = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    assert ledger.releasing.start_sending(claimed, LEASE, REQUEST)
    assert ledger.releasing.settle(claimed, State.SENT, 200)

    assert len(statements) == 2


def test_a_step_whose_event_cannot_be_written_is_not_made(
    engine: Engine, ledger: Ledger, claimed: ClaimedInteraction
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "ALTER TABLE interaction_event ADD CONSTRAINT nothing_new CHECK (to_state <> 'sending')"
        )

    with pytest.raises(IntegrityError):
        ledger.releasing.start_sending(claimed, LEASE, REQUEST)

    assert ledger.releasing.give_back([claimed]) == 1  # it is claimed as before


def test_who_gives_back_waits_for_a_step_that_is_still_under_way(
    engine: Engine, ledger: Ledger, clock: Clock, claimed: ClaimedInteraction
) -> None:
    """So that a holder who lost the answer learns how it ended: nothing may be left to the lease."""
    values = {**releasing.SendingStep(claimed, REQUEST).values(), "until": clock.time + LEASE}
    with ThreadPoolExecutor(1) as other, engine.connect() as connection, connection.begin() as step:
        assert releasing.START.apply(connection, clock.time, values)
        given_back = other.submit(ledger.releasing.give_back, [claimed])
        wait_until(lambda: count_waiting(engine), "the other to wait", 60)
        step.commit()

        assert given_back.result() == 0
    assert ledger.releasing.settle(claimed, State.PLANNED, None, "never left")


def count_waiting(engine: Engine) -> int:
    """Sessions that wait for a lock. A transaction sees the sessions as they were when it first asked."""
    with engine.connect() as onlooker:
        sessions = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return onlooker.scalar(sessions) or 0


def test_a_step_that_is_its_own_transaction_leaves_the_others_whole(ledger: Ledger, clock: Clock) -> None:
    ledger.extraction.record_closings([closing(1), closing(2)], by_run("run"))
    clock.forward(hours=2)
    claimed, _ = ledger.releasing.claim(NOON, clock.time, 2, LEASE, by_run("run"))
    ledger.releasing.start_sending(claimed, LEASE, REQUEST)
    ledger.releasing.settle(claimed, State.UNKNOWN, 500, "broken")

    ledger.admin.settle(
        claimed.interaction.conversation_id, None, State.SENT, by_run("admin"), "seen there", dry_run=True
    )

    assert ledger.backlog().unknown == 1  # the dry run has been undone
