"""Opening the ledger's database with the settings its promises rest on."""

from sqlite3 import Connection as SQLiteConnection

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, make_url

LOCK_SECONDS = 30
"""How long a writer waits for the other writers of a SQLite file before it fails."""


def connect(url: str | URL) -> Engine:
    """An engine for a SQLite or PostgreSQL URL; connects on first use.

    Its errors do not show parameters: they would carry customers' addresses into logs.

    Raises:
        ValueError: the URL is of another database.
    """
    url = make_url(url)
    match url.get_backend_name():
        case "sqlite":
            return _sqlite(url)
        case "postgresql" | "postgres":
            # The conditional updates rely on READ COMMITTED: a row that changed while we waited for it is
            # looked at again.
            return create_engine(
                url.set(drivername="postgresql+psycopg"),
                pool_pre_ping=True,
                isolation_level="READ COMMITTED",
                hide_parameters=True,
            )
    raise ValueError(f"the ledger is kept in SQLite or PostgreSQL, not in {url.get_backend_name()!r}")


def reading(engine: Engine) -> Engine:
    """The same engine for transactions that only read: on SQLite they do not wait for writers."""
    return engine.execution_options(ledger_reads_only=True)


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


def _prepare_sqlite(connection: SQLiteConnection, _record: object) -> None:
    connection.isolation_level = None  # BEGIN is ours to write, below
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",  # a committed `sending` must survive a power cut, or its POST could be repeated
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once when another has written meanwhile;
    # one that starts as a writer waits its turn.
    read_only = connection.get_execution_options().get("ledger_reads_only")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
