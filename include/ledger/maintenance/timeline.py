"""The timeline of a PostgreSQL server: a counter that only grows, by one each time a standby is promoted.

A standby that had not received the last commits does not know what has just been sent. The ledger remembers the
timeline of its last use. On a later timeline every run is refused until a person has said what may be missing.
"""

from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, delete, event, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError

from include.ledger.maintenance.refusal import LedgerRefusedError
from include.ledger.schema import ledger_fact

_NAME = "server_timeline"
_READ = "SELECT CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END"


def read(connection: Connection) -> str | None:
    """Return the server's timeline (eight hexadecimal digits); None where no server says it."""
    if connection.dialect.name != "postgresql":
        return None
    try:
        with connection.begin_nested():
            timeline: str | None = connection.execute(text(_READ)).scalar()
    except DBAPIError:  # a hoster's choice: some servers do not have the functions
        return None
    return timeline


def is_current(connection: Connection, timeline: str | None) -> bool:
    """Return whether the ledger was used last on this timeline; looks without writing."""
    last = connection.execute(select(ledger_fact.c.value).where(ledger_fact.c.name == _NAME)).scalar()
    return timeline is None or last == timeline


def enter(connection: Connection, timeline: str | None) -> None:
    """Remember the timeline of a ledger that has none; pass if it is the same.

    Raises:
        LedgerRefusedError: it is another one, because the server has been promoted.
    """
    if timeline is None:
        return
    new = postgresql.insert(ledger_fact).values(name=_NAME, value=timeline, changed_at=datetime.now(UTC))
    connection.execute(new.on_conflict_do_nothing())
    if not is_current(connection, timeline):
        raise LedgerRefusedError(CHANGED)


def forget(connection: Connection) -> None:
    """Let the next user enter on any timeline."""
    connection.execute(delete(ledger_fact).where(ledger_fact.c.name == _NAME))


def watch(engine: Engine, timeline: str) -> None:
    """Let each transaction that may change the ledger fail once the server is on another timeline.

    Steps of one statement are not watched: each follows a claim, which is.
    """

    def compare(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get("ledger_reads_only") or options.get("isolation_level") == "AUTOCOMMIT":
            return
        if connection.exec_driver_sql(_READ).scalar() != timeline:
            raise LedgerRefusedError(CHANGED)

    event.listen(engine, "begin", compare)


CHANGED = (
    "The server of the ledger has been promoted since the last use (a failover, or a recovery to a point in time). "
    "Its last commits may be missing. The pipeline would send again what they recorded as sent. Run `python -m "
    'include.ledger restored` first (docs/operations.md, "Failover").'
)
