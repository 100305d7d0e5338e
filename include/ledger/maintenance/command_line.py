"""`python -m include.ledger COMMAND ...`: maintenance of a ledger. How and when: docs/operations.md.

Each run of the pipeline migrates too. The compose stack's init step does it before, so that a ledger that cannot
be reached or migrated is noticed before the first hour.
"""

import argparse
import getpass
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from include.interactions.actor import Actor
from include.ledger import Ledger, connect
from include.ledger.engine import Address
from include.ledger.maintenance.backup import BackupFailedError, back_up
from include.ledger.maintenance.exporting import DAYS, ExportRefusedError, export
from include.ledger.maintenance.moving import MoveRefusedError, move

LEDGER = (
    "the Airflow connection's name, such as interaction_ledger, or its URI: sqlite:////absolute/file.db or "
    "postgres://user:password@host/database?sslmode=require"
)
DONE = {
    "migrate": "migrated",
    "backup": "backed up",
    "restored": "prepared",
    "copy": "copied",
    "export": "exported",
}


Find = Callable[[str], str | Address]
"""Says where the ledger is that was named on the command line."""


def main(arguments: list[str] | None = None, find: Find = str) -> int:
    """Run the command; return 0 if it succeeded, 1 with a message if not.

    Args:
        arguments: of the command line; None: this process's.
        find: `python -m include.ledger` looks for an Airflow connection. Without it only SQLAlchemy URLs are known.
    """
    given = _parser().parse_args(arguments)
    try:
        _say(_COMMANDS[given.command](given, find))
    except (BackupFailedError, MoveRefusedError, ExportRefusedError, FileNotFoundError, ValueError) as refusal:
        sys.stderr.write(f"The ledger could not be {DONE[given.command]}: {refusal}\n")
        return 1
    except SQLAlchemyError as error:
        # Not the whole error: it may quote the URL's password.
        sys.stderr.write(
            f"The ledger could not be {DONE[given.command]}: {type(error).__name__}: {error.args[:1]}\n"
        )
        return 1
    return 0


def _migrate(given: argparse.Namespace, find: Find) -> str:
    engine = connect(find(given.ledger))
    Ledger(engine).migrate()
    return f"The ledger ({engine.dialect.name}) is up to date."


def _backup(given: argparse.Namespace, find: Find) -> str:
    size = back_up(_existing(find(given.ledger)), given.file)
    return f"Wrote {given.file}, {size:,} bytes. It holds names and addresses."


def _restored(given: argparse.Namespace, find: Find) -> str:
    ledger, now = Ledger(_existing(find(given.ledger))), datetime.now(UTC)
    until = given.due_until or now
    ledger.migrate()
    doubtful = ledger.admin.mark_restored(until, by=Actor(person=f"restore by {getpass.getuser()}"))
    return (
        f"{doubtful} interactions due by {until.isoformat(timespec='seconds')} may have been sent by the lost "
        f"ledger. They are unknown now and are looked up in Data Return first. The same holds for closings due by "
        f"then that a run finds later. {ledger.backlog().planned} wait as before."
    )


def _copy(given: argparse.Namespace, find: Find) -> str:
    rows = move(_existing(find(given.ledger)), connect(find(given.to)), datetime.now(UTC))
    counted = ", ".join(f"{number:,} {table}" for table, number in rows.items())
    return f"Copied and compared: {counted}. Point the connection to the new ledger; the old one is retired."


def _export(given: argparse.Namespace, find: Find) -> str:
    rows = export(_existing(find(given.ledger)), given.view, given.file, given.first, given.last)
    return f"Wrote {given.file}, {rows:,} rows. It holds names of agents and no customers."


_COMMANDS = {"migrate": _migrate, "backup": _backup, "restored": _restored, "copy": _copy, "export": _export}


def _existing(where: str | Address) -> Engine:
    """Return the engine of an existing ledger, because SQLite would create a file for a mistyped name."""
    engine = connect(where)
    if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").is_file():
        raise FileNotFoundError(f"there is no file {engine.url.database}.")
    return engine


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("without an offset from UTC")
    return moment


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.ledger", description="Maintain a ledger.")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, what: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=what, description=what)
        added.add_argument("ledger", help=LEDGER)
        return added

    command("migrate", "Create or migrate the tables.")
    backup = command("backup", "Back up a SQLite ledger to a new file while it is in use.")
    backup.add_argument("file", type=Path, help="a file that does not exist yet")
    restored = command("restored", "Mark a ledger as restored from an older copy, before anything uses it.")
    restored.add_argument(
        "--due-until",
        type=_instant,
        help="what was due later cannot have been sent: when the last release ended, such as "
        "2026-01-05T10:00:00Z; left out: now",
    )
    copy = command("copy", "Move a ledger from SQLite to PostgreSQL.")
    copy.add_argument("to", help="an empty ledger in PostgreSQL, named in the same way")
    exported = command("export", "Write a view for analysts (docs/analytics.md) to a CSV or Parquet file.")
    exported.add_argument("view", choices=sorted(DAYS))
    exported.add_argument("file", type=Path, help="a new file that ends with .csv or .parquet")
    for name, words in (("--from", "first"), ("--to", "last")):
        what = f"{words} day (UTC), such as 2026-01-31"
        exported.add_argument(name, dest=words, type=date.fromisoformat, required=True, help=what)
    return parser


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
