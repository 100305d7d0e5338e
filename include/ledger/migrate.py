"""Migrate the ledger's schema."""

import time
from pathlib import Path

from sqlalchemy import Connection, Engine, text

from include.ledger.engine import reading

SCRIPTS = Path(__file__).parent / "migrations"
VERSION_TABLE = "interaction_ledger_version"
"""Not Alembic's default name, so that a ledger in Airflow's database does not touch Airflow's version table."""


def revisions(scripts: Path = SCRIPTS) -> tuple[str, ...]:
    """Return every version of the schema that this code knows, newest first.

    Read from the names of the files, `ledger_<revision>_<name>.py`: importing Alembic costs each task 0.25 seconds.
    """
    return tuple(sorted((file.stem.split("_")[1] for file in scripts.glob("versions/ledger_*.py")), reverse=True))


NEWEST = revisions()[0]
"""The version that this code needs."""

_ADVISORY_LOCK = 0x6B757374  # any number that no other program uses


def migrate(engine: Engine, scripts: Path = SCRIPTS) -> None:
    """Migrate an empty or older schema to the newest version in `scripts`; several processes may call it at once.

    Raises:
        alembic.util.CommandError: the schema is newer than this code.
    """
    # Imported here, because it takes 0.25 seconds, which each parsing of a DAG file would pay.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    head = revisions(scripts)[0]
    with reading(engine).connect() as connection:
        if version(connection) == head:
            return
    # The lock lasts as long as the transaction (on SQLite the transaction is the lock). A process that waited finds
    # the work done, because Alembic reads the version inside it.
    while True:
        with engine.begin() as connection:
            if turn := _its_turn(connection):
                found = version(connection)
                if found == head:
                    return
                config.attributes["connection"] = connection
                # A ledger in use goes from one version to the next: what a version locks for a moment must not stay
                # locked while the next makes its indexes.
                command.upgrade(config, "+1" if found else "head")
        if not turn:
            time.sleep(0.2)


def _its_turn(connection: Connection) -> bool:
    # Polls in separate transactions instead of waiting in one. A waiting transaction would keep a snapshot, and an
    # index that the other migration creates concurrently waits for all snapshots.
    if connection.dialect.name == "sqlite":
        return True
    taken: bool = connection.execute(
        text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK}
    ).scalar_one()
    return taken


def is_older(connection: Connection) -> bool:
    """Tell whether the schema is older than this code. Raises SQLAlchemy's errors if there is no schema yet."""
    found: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608  a constant
    return found is None or found < NEWEST


def version(connection: Connection) -> str | None:
    """Return the revision of the schema; None for an empty database."""
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
