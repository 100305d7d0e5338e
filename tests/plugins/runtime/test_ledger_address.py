"""What an Airflow connection says reaches the database, all of it."""

import json
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Connection
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from include.interactions.states import State
from include.ledger import Ledger, connect
from include.ledger.engine import connect_to_look
from plugins.runtime.ledger_address import AddressError, LedgerAddress
from tests.support.ledger import LEASE, NOON, REQUEST, Clock, by_run, closing
from tests.support.pgbouncer import pooled

pytestmark = pytest.mark.postgres


@pytest.fixture(params=[connect, connect_to_look])
def open_with(request: pytest.FixtureRequest, postgres_url: str) -> Any:
    """Opens the database with these extras, as a task or as a page does, and asks it something."""

    def ask(question: str, extra: dict[str, Any]) -> Any:
        engine = request.param(LedgerAddress.of(in_postgres(postgres_url, extra)))
        try:
            with engine.connect() as connection:
                return connection.execute(text(question)).scalar()
        finally:
            engine.dispose()

    return ask


def in_postgres(url: str, extra: dict[str, Any]) -> Connection:
    connection = Connection.from_uri(url.replace("postgresql+psycopg", "postgres"), conn_id="interaction_ledger")
    connection.extra = json.dumps(extra)
    return connection


def test_a_server_without_tls_is_refused_where_tls_is_asked_for(open_with: Any) -> None:
    with pytest.raises(OperationalError, match="server does not support SSL"):
        open_with("SELECT 1", {"sslmode": "verify-full"})


@pytest.mark.parametrize(
    ("extra", "question", "answer"),
    [
        ({"options": "-c search_path=elsewhere"}, "SHOW search_path", "elsewhere"),
        ({"options": "-c statement_timeout=77s"}, "SHOW statement_timeout", "77s"),
        ({"application_name": "the ledger"}, "SHOW application_name", "the ledger"),
        ({"sqlalchemy_query": {"application_name": "as before"}}, "SHOW application_name", "as before"),
        ({"cursor": "dictcursor"}, "SELECT 1", 1),
    ],
)
def test_every_extra_reaches_the_server(open_with: Any, extra: dict[str, Any], question: str, answer: Any) -> None:
    assert open_with(question, extra) == answer


def test_a_silent_server_is_given_up_after_the_timeout_of_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        extra = {"connect_timeout": "2", "sslmode": "disable"}
        engine = connect(LedgerAddress.of(in_postgres(f"postgresql+psycopg://u@127.0.0.1:{port}/ledger", extra)))
        began = time.monotonic()
        with pytest.raises(OperationalError, match="timeout"):
            engine.connect()

    assert time.monotonic() - began < 30


@pytest.mark.parametrize(("extra", "threshold"), [({}, None), ({"prepare_threshold": "5"}, 5)])
def test_statements_are_prepared_only_where_the_connection_says_so(
    postgres_url: str, extra: dict[str, Any], threshold: int | None
) -> None:
    with connect(LedgerAddress.of(in_postgres(postgres_url, extra))).connect() as connection:
        assert connection.connection.driver_connection.prepare_threshold == threshold  # type: ignore[union-attr]


@pytest.mark.parametrize("named", [True, False], ids=["Airflow's connection", "URL"])
def test_a_machine_that_falls_silent_later_is_given_up_within_a_minute(postgres_url: str, named: bool) -> None:
    where = LedgerAddress.of(in_postgres(postgres_url, {})) if named else postgres_url
    with connect(where).connect() as connection:
        handle = connection.connection.driver_connection.fileno()  # type: ignore[union-attr]
        with socket.socket(fileno=os.dup(handle)) as line:
            waits = [line.getsockopt(socket.IPPROTO_TCP, option) for option in OPTIONS]
    assert waits == [30_000, 30, 10, 3]


OPTIONS = (socket.TCP_USER_TIMEOUT, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)


@pytest.fixture
def behind_pgbouncer(postgres_url: str) -> Iterator[str]:
    with pooled(postgres_url) as url:
        yield url


@pytest.mark.parametrize("named", [True, False], ids=["Airflow's connection", "URL"])
def test_the_whole_life_of_interactions_passes_through_pgbouncer_in_transaction_mode(
    behind_pgbouncer: str, named: bool
) -> None:
    clock = Clock()
    where = LedgerAddress.of(in_postgres(behind_pgbouncer, {})) if named else behind_pgbouncer
    ledger = Ledger(connect(where), clock)
    ledger.enter("interaction_ledger")
    ledger.extraction.record_closings([closing(number) for number in range(60)], by_run("run"))
    clock.forward(hours=2)

    def send(one: Any) -> bool:
        started = ledger.releasing.start_sending(one, LEASE, REQUEST)
        return started is not None and ledger.releasing.settle(one, State.SENT, 201)

    with ThreadPoolExecutor(8) as senders:
        while batch := ledger.releasing.claim(NOON, clock.time, 20, LEASE, by_run("run")):
            assert all(senders.map(send, batch))
            ledger.backlog()

    assert ledger.feedback.count_refused_and_sent(NOON) == (0, 60)
    assert (ledger.backlog().planned, ledger.backlog().held) == (0, 0)


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ("/nonexistent/dir/ledger.db", "there is no folder '/nonexistent/dir'"),
        ("/tmp", "this is a folder"),
        ("relative/ledger.db", "must be the absolute path"),
        ("/", "must be the absolute path"),
    ],
)
def test_a_file_that_cannot_be_opened_is_named_with_its_connection(host: str, problem: str) -> None:
    with pytest.raises(AddressError) as refused:
        LedgerAddress.of(Connection(conn_id="interaction_ledger", conn_type="sqlite", host=host))

    assert "Connection 'interaction_ledger'" in str(refused.value)
    assert host in str(refused.value)
    assert problem in str(refused.value)


def test_another_kind_of_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AddressError, match="has type 'mysql'"):
        LedgerAddress.of(Connection(conn_id="interaction_ledger", conn_type="mysql", host="db"))
