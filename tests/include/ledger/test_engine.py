"""What the ledger's promises rest on in PostgreSQL's connections."""

import psycopg
import pytest
from sqlalchemy import Engine

from include.interactions.states import State
from include.ledger import Ledger, connect
from tests.support.ledger import LEASE, NOON, Clock, closing

pytestmark = pytest.mark.postgres


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


def test_a_connection_that_ended_while_it_lay_idle_is_replaced(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.ledger.engine.LONGEST_IDLE_SECONDS", 0.0)
    ledger = Ledger(connect(url))
    ledger.migrate()
    assert ledger.watermark() is None

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as server:
        ended = server.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()

    assert (True,) in ended
    assert ledger.watermark() is None


def test_only_the_claim_does_not_wait_for_the_disk(engine: Engine, ledger: Ledger, clock: Clock) -> None:
    ledger.record([closing(1)], "run")
    clock.forward(hours=2)

    ledger.claim(NOON, clock.time, 1, LEASE, "run")

    with engine.connect() as the_same_connection:
        assert the_same_connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


def test_a_step_that_is_its_own_transaction_leaves_the_others_whole(ledger: Ledger, clock: Clock) -> None:
    ledger.record([closing(1), closing(2)], "run")
    clock.forward(hours=2)
    claimed, _ = ledger.claim(NOON, clock.time, 2, LEASE, "run")
    ledger.start_sending(claimed, LEASE)
    ledger.unknown(claimed, 500, "broken")

    ledger.settle_by_hand(
        claimed.interaction.conversation_id, None, State.SENT, "admin", "seen there", dry_run=True
    )

    assert ledger.backlog().unknown == 1  # the dry run has been undone
