"""Move a ledger from SQLite to PostgreSQL: completely or not at all."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Engine, Table, func, select, text

from include.ledger.maintenance.use import retire
from include.ledger.migrate import NEWEST, migrate, version
from include.ledger.schema import interaction, metadata

BATCH = 10_000
"""Rows per read."""


class MoveRefusedError(Exception):
    """The ledger cannot be moved; the message says why. Neither side has changed."""


def move(source: Engine, target: Engine, now: datetime) -> dict[str, int]:
    """Copy every row with its id into an empty ledger, compare, and retire the old one; return rows by table.

    Nothing can write to the source during the copy. The target changes in one transaction.

    Raises:
        MoveRefusedError: the schemas differ, the target is not empty, or interactions are being sent.
    """
    if (source.dialect.name, target.dialect.name) != ("sqlite", "postgresql"):
        raise MoveRefusedError(
            "This command moves a ledger from SQLite to PostgreSQL. For the same kind of database, use its backup."
        )
    with source.begin() as old:  # a writing transaction from the start, so no other process writes
        _check_source(old, now)
        migrate(target)
        with target.begin() as new:
            _check_target(new)
            # The trigger lets interactions start only as planned or skipped. These have started already.
            new.execute(text("ALTER TABLE interaction DISABLE TRIGGER interaction_beginning"))
            for table in metadata.sorted_tables:
                _copy(old, new, table)
                _continue_ids(new, table)
            new.execute(text("ALTER TABLE interaction ENABLE TRIGGER interaction_beginning"))
            rows = _compared(old, new)
        retire(old, f"it was moved to PostgreSQL at {now.isoformat(timespec='seconds')}.")
    with target.connect().execution_options(isolation_level="AUTOCOMMIT") as new:
        new.execute(text("ANALYZE"))  # otherwise the first query plans assume an empty ledger
    return rows


def _check_source(old: Connection, now: datetime) -> None:
    if version(old) != NEWEST:
        raise MoveRefusedError("The old ledger has another version of the schema. Run `migrate` on it first.")
    held = select(func.count()).where(interaction.c.lease_until > now)
    if number := old.execute(held).scalar_one():
        raise MoveRefusedError(
            f"{number} interactions are being sent now. Stop Airflow; if it was killed, wait for five minutes."
        )


def _check_target(new: Connection) -> None:
    for table in metadata.sorted_tables:
        if new.execute(select(table).limit(1)).first() is not None:
            raise MoveRefusedError(f"The new ledger is not empty: its table {table.name} has rows.")


def _copy(old: Connection, new: Connection, table: Table) -> None:
    into = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table.name), sql.SQL(", ").join(map(sql.Identifier, table.columns.keys()))
    )
    try:
        with new.connection.cursor() as cursor, cursor.copy(into) as copying:  # type: ignore[attr-defined]  # psycopg's
            for row in _rows(old, table):
                copying.write_row(row)
    except psycopg.Error as error:
        # Not the whole error, because it quotes the row.
        words = error.diag.message_primary or type(error).__name__
        raise MoveRefusedError(f"PostgreSQL refuses the rows of {table.name}: {words}.") from None


def _rows(old: Connection, table: Table) -> Iterator[Sequence[Any]]:
    """Read the values as SQLite stores them; PostgreSQL accepts the same form."""
    names, key = ", ".join(table.columns.keys()), ", ".join(table.primary_key.columns.keys())
    found = old.exec_driver_sql(f"SELECT {names} FROM {table.name} ORDER BY {key}")  # noqa: S608 - names of our schema
    for batch in found.partitions(BATCH):
        yield from batch


def _continue_ids(new: Connection, table: Table) -> None:
    if "id" in table.columns:
        new.execute(
            select(
                func.setval(
                    func.pg_get_serial_sequence(table.name, "id"),
                    func.coalesce(func.max(table.c.id), 1),
                    func.count() > 0,
                )
            ).select_from(table)
        )


def _compared(old: Connection, new: Connection) -> dict[str, int]:
    """Count the rows of each table and state; both sides must agree."""
    rows = {}
    for table in metadata.sorted_tables:
        number = select(func.count()).select_from(table)
        rows[table.name] = new.execute(number).scalar_one()
        _agree(f"rows of {table.name}", old.execute(number).scalar_one(), rows[table.name])
    states = select(interaction.c.state, func.count()).group_by(interaction.c.state)
    before, after = (sorted(tuple(row) for row in side.execute(states)) for side in (old, new))
    _agree("states", before, after)
    return rows


def _agree(what: str, before: object, after: object) -> None:
    if before != after:
        raise MoveRefusedError(f"The copy differs in {what}: {before} before, {after} after. The copy was undone.")
