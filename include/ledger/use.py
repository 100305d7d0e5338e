"""Who uses this ledger. Two organisations in one ledger would send each other's customers their surveys."""

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects import postgresql, sqlite

from include.ledger.schema import ledger_use

_NAME = "ledger"


class LedgerRefusedError(Exception):
    """This ledger is not for this caller; the message says whose it is, and what to do."""


def is_user(connection: Connection, user: str) -> bool:
    """Whether the ledger is already used by `user`, and by nobody else; looks without writing."""
    row = connection.execute(_READ).first()
    return row is not None and row.used_by == user and row.retired is None


def enter(connection: Connection, user: str) -> None:
    """Take an unused ledger for `user`, the Airflow connection it is reached through; pass if it is theirs already.

    Raises:
        LedgerRefusedError: it belongs to another connection, or has been retired.
    """
    row = connection.execute(_READ).first()
    if row is None or (row.used_by is None and row.retired is None):
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        new = dialect.insert(ledger_use).values(name=_NAME, used_by=user)
        taken = new.on_conflict_do_update(
            index_elements=[ledger_use.c.name],
            set_={"used_by": func.coalesce(ledger_use.c.used_by, new.excluded.used_by)},  # of two, the first
        )
        row = connection.execute(taken.returning(ledger_use.c.used_by, ledger_use.c.retired)).one()
    _refuse(row.used_by, row.retired, user)


def look(connection: Connection, user: str) -> None:
    """Pass if `user` may read the ledger: it is theirs, or nobody's yet. Changes nothing.

    Raises:
        LedgerRefusedError: it belongs to another connection, or has been retired.
    """
    row = connection.execute(_READ).first()
    if row is not None:
        _refuse(row.used_by or user, row.retired, user)


def _refuse(used_by: str, retired: str | None, user: str) -> None:
    if retired is not None:
        raise LedgerRefusedError(f"The ledger of connection {user!r} is not used any more: {retired}")
    if used_by != user:
        raise LedgerRefusedError(
            f"Connection {user!r} leads to the ledger of connection {used_by!r}. Each organisation has a "
            f"ledger of its own: let {user!r} lead to another database or file."
        )


def retire(connection: Connection, why: str | None) -> None:
    """Let nobody use this ledger any more; None lets its user use it again."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    new = dialect.insert(ledger_use).values(name=_NAME, retired=why)
    connection.execute(
        new.on_conflict_do_update(index_elements=[ledger_use.c.name], set_={"retired": new.excluded.retired})
    )


_READ = select(ledger_use.c.used_by, ledger_use.c.retired).where(ledger_use.c.name == _NAME)
