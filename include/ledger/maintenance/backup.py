"""Back up a SQLite ledger while it is in use. For PostgreSQL use pg_dump."""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, create_engine, inspect

from include.ledger.maintenance.use import RESTORE, retire


class BackupFailedError(Exception):
    """The backup failed; the message says why."""


def back_up(engine: Engine, file: Path) -> int:
    """Write a complete, checked copy to `file`, which only its owner can read; return its size in bytes.

    Raises:
        BackupFailedError: the ledger is in PostgreSQL, the file exists already, or the copy is damaged.
    """
    if engine.dialect.name != "sqlite":
        raise BackupFailedError("This command is for SQLite. Back up a PostgreSQL ledger with pg_dump.")
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as failure:
        raise BackupFailedError(f"{file}: {failure.strerror}.") from None
    try:
        _copy(engine, file)
    except BaseException:
        file.unlink()
        raise
    return file.stat().st_size


def _copy(engine: Engine, file: Path) -> None:
    with engine.connect() as connection, closing(sqlite3.connect(file)) as copy:
        ledger: sqlite3.Connection = connection.connection.dbapi_connection  # type: ignore[assignment]  # SQLite's
        ledger.backup(copy)  # in one step: other processes keep writing, and the copy shows the state at its start
        verdict = copy.execute("PRAGMA integrity_check").fetchone()[0]
        copy.execute("PRAGMA journal_mode = DELETE")  # a single complete file
    if verdict != "ok":
        raise BackupFailedError(f"The copy is damaged ({verdict}). Check the ledger itself.")
    _mark(file)


def _mark(file: Path) -> None:
    """Mark the copy so that no run uses it as it is."""
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as copy:
        if inspect(copy).has_table("ledger_use"):  # an older version has no such table
            retire(copy, f"it is a copy of {datetime.now(UTC).isoformat(timespec='seconds')}; {RESTORE}")
    engine.dispose()
