"""A copy of a ledger in SQLite, taken while it is in use. For PostgreSQL there is pg_dump."""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, create_engine, inspect

from include.ledger.maintenance.use import RESTORE, retire


class BackupFailedError(Exception):
    """There is no backup; the message says why."""


def back_up(engine: Engine, file: Path) -> int:
    """Write a whole, checked copy to `file`, readable for its owner alone; returns its bytes.

    Raises:
        BackupFailedError: the ledger is in PostgreSQL, the file exists already, or the copy is damaged.
    """
    if engine.dialect.name != "sqlite":
        raise BackupFailedError("This is for SQLite; back up a ledger in PostgreSQL with pg_dump.")
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
        ledger.backup(copy)  # in one step: others go on writing, the copy shows the moment at which it began
        verdict = copy.execute("PRAGMA integrity_check").fetchone()[0]
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, whole by itself
    if verdict != "ok":
        raise BackupFailedError(f"The copy is damaged ({verdict}): is the ledger?")
    _mark(file)


def _mark(file: Path) -> None:
    """Let nobody use the copy as it is: it grows old."""
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as copy:
        if inspect(copy).has_table("ledger_use"):  # else of a version before it
            retire(copy, f"it is a copy of {datetime.now(UTC).isoformat(timespec='seconds')}; {RESTORE}")
    engine.dispose()
