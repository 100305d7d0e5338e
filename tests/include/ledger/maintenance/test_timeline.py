"""A failover to a standby that had not received the last commits is noticed, on entering and in the midst."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from include.interactions.states import State
from include.ledger import Ledger, LedgerRefusedError, connect
from include.ledger.maintenance.command_line import main
from scripts.stack.postgres import PostgresServer, program
from tests.support.ledger import LEASE, NOON, REQUEST, Clock, by_run, closing

pytestmark = pytest.mark.postgres

USER = "interaction_ledger"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of the server's own user, on the way to which nothing is closed to them."""
    path = Path(tempfile.mkdtemp(prefix="failover-"))
    if os.geteuid() == 0:
        shutil.chown(path, "postgres", "postgres")
    yield path
    shutil.rmtree(path)


class Pair:
    """A primary, and a standby that receives what there is when it is made, and nothing later."""

    def __init__(self, folder: Path) -> None:
        self.server = PostgresServer(folder)
        self.server.start()
        self.folder, self.url = folder, self.server.create_database()

    def make_standby(self) -> None:
        user: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        backup = [program("pg_basebackup"), "--checkpoint=fast", "--wal-method=fetch"]
        backup += ["--pgdata", str(self.folder / "standby")]
        address = f"host=127.0.0.1 port={self.server.port} user=postgres"
        subprocess.run([*backup, "--dbname", address], check=True, cwd=self.folder, **user)

    def fail_over(self) -> None:
        self.server.kill()
        (self.folder / "data").rename(self.folder / "lost")
        (self.folder / "standby").rename(self.folder / "data")
        (self.folder / "data" / "standby.signal").touch()
        self.server.start()
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")


@pytest.fixture
def pair(folder: Path) -> Iterator[Pair]:
    pair = Pair(folder)
    yield pair
    pair.server.kill()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def send(ledger: Ledger, clock: Clock) -> int:
    """Send what is due; returns how many."""
    claimed = ledger.releasing.claim(NOON, clock.time, 10, LEASE, by_run("run"))
    for one in claimed:
        assert ledger.releasing.start_sending(one, LEASE, REQUEST)
        assert ledger.releasing.settle(one, State.SENT, 201)
    return len(claimed)


@pytest.fixture
def failed_over(pair: Pair, clock: Clock) -> Ledger:
    """A ledger that sent two interactions, whose commits the standby had not received; it is the server now."""
    ledger = Ledger(connect(pair.url), clock)
    ledger.enter(USER)
    ledger.extraction.record_closings([closing(1), closing(2)], by_run("run"))
    pair.make_standby()
    clock.forward(hours=2)
    assert send(ledger, clock) == 2
    pair.fail_over()
    return ledger


def test_a_ledger_whose_last_commits_may_be_lost_is_refused_until_a_person_has_said_so(
    failed_over: Ledger, pair: Pair, clock: Clock
) -> None:
    for _ in range(2):
        with pytest.raises(LedgerRefusedError, match="has been promoted since the last use"):
            Ledger(connect(pair.url), clock).enter(USER)

    assert main(["restored", pair.url, "--due-until", clock.time.isoformat()]) == 0
    ledger = Ledger(connect(pair.url), clock)
    ledger.enter(USER)

    assert send(ledger, clock) == 0
    assert ledger.backlog().unknown == 2


def test_a_release_that_outlives_the_failover_sends_nothing_again(failed_over: Ledger, clock: Clock) -> None:
    for _ in range(2):
        with pytest.raises((LedgerRefusedError, OperationalError)) as stopped:
            send(failed_over, clock)  # the first one may meet the connections that the failover ended
    assert isinstance(stopped.value, LedgerRefusedError)


def test_a_restart_without_a_failover_changes_nothing(pair: Pair, clock: Clock) -> None:
    ledger = Ledger(connect(pair.url), clock)
    ledger.enter(USER)
    pair.server.kill()
    pair.server.start()

    other = Ledger(connect(pair.url), clock)
    other.enter(USER)
    other.extraction.record_closings([closing(1)], by_run("run"))
    other.enter(USER)
