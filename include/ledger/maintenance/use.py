"""Check which connection uses this ledger, and whether it is a copy.

Two organisations in one ledger would send surveys to each other's customers. A ledger restored from an older copy
would send again what was sent since. A SQLite copy is marked when it is made (`maintenance.backup`). On
PostgreSQL, where other programs make copies, the ledger remembers the table in which it was used; a dump creates
another one.
"""

from typing import Any

from sqlalchemy import Connection, Row, func, select, text

from include.ledger.inserting import insert_into
from include.ledger.maintenance import timeline
from include.ledger.maintenance.refusal import LedgerRefusedError
from include.ledger.schema import ledger_use

_NAME = "ledger"
RESTORE = (
    "it lacks what was sent since, and would send it again. Run `python -m include.ledger restored` "
    'on it first (docs/operations.md, "Restore").'
)


def is_user(connection: Connection, user: str) -> bool:
    """Tell, without writing, whether only `user` uses the ledger, in this database."""
    row = connection.execute(_READ).first()
    if row is None or (row.used_by, row.retired, row.place) != (user, None, _place(connection)):
        return False
    return timeline.is_current(connection, timeline.read(connection))


def enter(connection: Connection, user: str) -> None:
    """Register `user`, an Airflow connection, as the user of an unused ledger; accept it if it is the user already.

    Raises:
        LedgerRefusedError: it belongs to another connection, has been retired, was brought from elsewhere, or its
            server has been promoted since the last use.
    """
    place = _place(connection)
    row = connection.execute(_READ).first()
    if row is None or (row.retired is None and None in (row.used_by, row.place)):
        new = insert_into(connection, ledger_use).values(name=_NAME, used_by=user, place=place)
        taken = new.on_conflict_do_update(
            index_elements=[ledger_use.c.name],
            set_={  # of two, the first
                "used_by": func.coalesce(ledger_use.c.used_by, new.excluded.used_by),
                "place": func.coalesce(ledger_use.c.place, new.excluded.place),
            },
        )
        row = connection.execute(taken.returning(*_COLUMNS)).one()
    _refuse(row, row.used_by, user, place)
    timeline.enter(connection, timeline.read(connection))


def look(connection: Connection, user: str) -> None:
    """Accept `user` if it is the ledger's user, or if there is none yet. Changes nothing.

    Raises:
        LedgerRefusedError: it belongs to another connection, has been retired, or was brought from elsewhere.
    """
    row = connection.execute(_READ).first()
    if row is not None:
        _refuse(row, row.used_by or user, user, _place(connection))


def retire(connection: Connection, why: str) -> None:
    """Forbid every further use of this ledger."""
    _write(connection, {"retired": why})


def admit(connection: Connection) -> None:
    """Allow its user to use this ledger again, in whichever database it is."""
    _write(connection, {"retired": None, "place": None})
    timeline.forget(connection)


def _refuse(row: Row[Any, Any, Any], used_by: str, user: str, place: str | None) -> None:
    if row.retired is not None:
        raise LedgerRefusedError(f"The ledger of connection {user!r} must not be used any more: {row.retired}")
    if used_by != user:
        raise LedgerRefusedError(
            f"Connection {user!r} leads to the ledger of connection {used_by!r}. Each organisation needs "
            f"its own ledger: point {user!r} to another database or file."
        )
    if row.place is not None and place is not None and row.place != place:
        raise LedgerRefusedError(
            f"The ledger of connection {user!r} is a copy from another database, restored or moved here: {RESTORE}"
        )


def _write(connection: Connection, values: dict[str, str | None]) -> None:
    new = insert_into(connection, ledger_use).values(name=_NAME, **values)
    connection.execute(new.on_conflict_do_update(index_elements=[ledger_use.c.name], set_=values))


def _place(connection: Connection) -> str | None:
    """Return the ids of server, database and table, which a dump does not keep; None if they cannot be read."""
    if connection.dialect.name != "postgresql":
        return None
    if not connection.execute(text("SELECT has_function_privilege('pg_control_system()', 'EXECUTE')")).scalar():
        return None  # a provider may forbid it; by default every user may
    return str(connection.execute(text(_PLACE)).scalar_one())


_PLACE = """
SELECT concat_ws(':', system_identifier, pg_database.oid, to_regclass('ledger_use')::oid)
FROM pg_control_system(), pg_database WHERE datname = current_database()
"""
_COLUMNS = (ledger_use.c.used_by, ledger_use.c.retired, ledger_use.c.place)
_READ = select(*_COLUMNS).where(ledger_use.c.name == _NAME)
