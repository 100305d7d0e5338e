"""Open the ledger's database with the settings its promises rest on."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    ExceptionContext,
    NullPool,
    QueuePool,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection
from tenacity import retry, retry_if_exception, stop_after_delay, wait_random

LOCK_SECONDS = 30
"""How long a writer waits for the other writers of a SQLite file before it fails."""

POOL_SIZE = 5
"""Most connections of a process. A release's eight senders mostly wait for Stella Connect and take turns."""

MAX_IDLE_SECONDS = 1.0
"""After this idle time a connection is tested before use."""

READ_SECONDS = 10
"""Time limit of a reader's statement on PostgreSQL, because releases share its processors."""

NOTICE_SILENCE = {
    "tcp_user_timeout": 30_000,  # milliseconds
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
"""For libpq: give up a connection after at most a minute in which the server's machine sends nothing. Linux waits
for 15 minutes or 2 hours, and a release would wait with it."""

WITHOUT_PREPARING = {"prepare_threshold": None}
"""For psycopg: prepare no statements on the server. Behind PgBouncer in transaction mode, the next transaction may
run on another connection of the server, which does not have them."""

DRIVER = "postgresql+psycopg"


class Address(Protocol):
    """The address of a ledger that is more than a URL: it knows how to connect."""

    @property
    def file(self) -> Path | None:
        """The absolute path of a SQLite file; None for PostgreSQL."""

    def connector(self, **defaults: Any) -> Callable[[], Any]:
        """Return a function that connects to PostgreSQL; `defaults` are connection arguments it may overrule."""


def connect(where: str | URL | Address) -> Engine:
    """Return an engine for a ledger; it connects on first use.

    Its errors do not show the row, which would put customers' addresses into logs.

    Args:
        where: what an Airflow connection says, or a SQLAlchemy URL of SQLite or PostgreSQL.

    Raises:
        ValueError: the URL is of another database.
    """
    url = _url(where)
    match url.get_backend_name():
        case "sqlite":
            return _sqlite(url)
        case "postgresql" | "postgres":
            # The conditional updates rely on READ COMMITTED: a row that changed while a statement waited is
            # looked at again.
            engine = create_engine(
                url.set(drivername=DRIVER),
                **_way_of_connecting(where),
                isolation_level="READ COMMITTED",
                pool_size=POOL_SIZE,
                max_overflow=0,
                pool_timeout=2 * LOCK_SECONDS,
                pool_use_lifo=True,
                hide_parameters=True,
            )
            event.listen(engine, "handle_error", _hide_row)
            _ask_after_idling(engine)
            return engine
    raise _wrong_database(url)


def connect_to_look(where: str | URL | Address) -> Engine:
    """Return an engine for `Ledger.read` in processes that serve pages; it cannot write.

    Each question has its own connection, so none stays idle and no question waits for another.

    Raises:
        ValueError: the URL is of another database.
    """
    url = _url(where)
    match url.get_backend_name():
        case "sqlite":
            # A missing file is not created: an empty file would look like an empty ledger.
            file = URL.create(
                "sqlite", database=f"file:{quote(url.database or '')}", query={"mode": "rw", "uri": "true"}
            )
            engine = create_engine(
                file,
                poolclass=NullPool,
                hide_parameters=True,
                connect_args={"timeout": READ_SECONDS, "check_same_thread": False},
            )
            event.listen(engine, "connect", _leave_begin_to_us)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        case "postgresql" | "postgres":
            return create_engine(
                url.set(drivername=DRIVER),
                **_way_of_connecting(where, connect_timeout=READ_SECONDS),
                poolclass=NullPool,
                hide_parameters=True,
            )
    raise _wrong_database(url)


def reading(engine: Engine) -> Engine:
    """Return the engine for transactions that only read: on SQLite they do not wait for writers."""
    return engine.execution_options(ledger_reads_only=True)


def stepping(engine: Engine) -> Engine:
    """Return the engine for steps of one statement: on PostgreSQL each statement is a transaction.

    BEGIN, COMMIT and connection tests were half the cost of a release. The isolation is the server's default
    here. A stricter one may refuse a step where READ COMMITTED would look again: then a step to `sending` is
    given up, and an outcome is retried.
    """
    return engine.execution_options(isolation_level="AUTOCOMMIT") if engine.dialect.name == "postgresql" else engine


@contextmanager
def read_only(connection: Connection) -> Iterator[None]:
    """Make the new transaction read-only, with one snapshot."""
    if connection.dialect.name == "postgresql":
        # Plans are made for the values that are asked for: what is common and what is rare want different ones.
        # What is asked for is mostly recent, hence in memory, where going by an index costs little. Compiling a
        # plan would cost more than the answer.
        connection.exec_driver_sql(
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; "
            f"SET LOCAL statement_timeout = '{READ_SECONDS}s'; "
            "SET LOCAL plan_cache_mode = force_custom_plan; "
            "SET LOCAL random_page_cost = 1.1; "
            "SET LOCAL work_mem = '32MB'; "
            "SET LOCAL jit = off"
        )
        yield
        return
    connection.exec_driver_sql("PRAGMA query_only = ON")
    try:
        yield
    finally:
        connection.exec_driver_sql("PRAGMA query_only = OFF")  # the next user of this connection may write


def without_waiting_for_the_disk(connection: Connection) -> None:
    """Let PostgreSQL commit without waiting for the disk: for steps that a crash may undo."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")


def _url(where: str | URL | Address) -> URL:
    if isinstance(where, (str, URL)):
        return make_url(where)
    if where.file is None:
        return URL.create(DRIVER)  # its content does not matter: the address connects
    return URL.create("sqlite", database=str(where.file))


def _way_of_connecting(where: str | URL | Address, **defaults: Any) -> dict[str, Any]:
    if isinstance(where, (str, URL)):
        return {"connect_args": WITHOUT_PREPARING | NOTICE_SILENCE | defaults}
    return {"creator": where.connector(**NOTICE_SILENCE | defaults)}


def _wrong_database(url: URL) -> ValueError:
    return ValueError(f"the ledger is kept in SQLite or PostgreSQL, not in {url.get_backend_name()!r}")


def _leave_begin_to_us(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # see `_begin_sqlite`


def _sqlite(url: URL) -> Engine:
    # One connection for each process: its threads queue at the pool, in turn and at once, rather than in
    # SQLite's busy handler, which sleeps in ever longer steps. (Several times the throughput with 8 threads.)
    engine = create_engine(
        url,
        poolclass=QueuePool,
        hide_parameters=True,
        pool_size=1,
        max_overflow=0,
        pool_timeout=2 * LOCK_SECONDS,
        connect_args={"timeout": LOCK_SECONDS, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _ask_after_idling(engine: Engine) -> None:
    """Replace connections that a restart of PostgreSQL or a firewall ended while they were idle.

    SQLAlchemy's `pool_pre_ping` tests at every use, which was a fifth of the ledger's cost in a release.
    """

    def note_time(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info["idle_since"] = time.monotonic()

    def ask(connection: DBAPIConnection, record: ConnectionPoolEntry, _checked_out: PoolProxiedConnection) -> None:
        idle_since = record.info.get("idle_since")
        if idle_since is None or time.monotonic() - idle_since < MAX_IDLE_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as ended:
            raise InvalidatePoolError from ended  # the other connections have probably ended too

    event.listen(engine, "checkin", note_time)
    event.listen(engine, "checkout", ask)


def _hide_row(failure: ExceptionContext) -> None:
    import psycopg  # here, so that a ledger in SQLite does not pay for it: DAG files are parsed all the time

    # PostgreSQL describes a refused row with all its values; the first line of the message names the rule.
    original, shown = failure.original_exception, failure.sqlalchemy_exception
    if isinstance(original, psycopg.IntegrityError) and shown is not None:
        original.args = (original.diag.message_primary,)
        shown.args = original.args


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # BEGIN is ours to write, below
    _use_wal(connection)
    # A committed `sending` must survive a power cut, or its POST could be repeated.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _is_busy(failure: BaseException) -> bool:
    return isinstance(failure, sqlite3.OperationalError) and failure.sqlite_errorcode == sqlite3.SQLITE_BUSY


@retry(
    retry=retry_if_exception(_is_busy),
    stop=stop_after_delay(LOCK_SECONDS),
    wait=wait_random(0.005, 0.05),
    reraise=True,
)
def _use_wal(connection: sqlite3.Connection) -> None:
    # Of several processes that open a new file together one switches it to WAL; SQLite fails the others
    # at once, without the wait that it grants everywhere else.
    connection.execute("PRAGMA journal_mode = WAL")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once when another has written meanwhile;
    # one that starts as a writer waits its turn.
    read_only = connection.get_execution_options().get("ledger_reads_only")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
