"""`python -m include.ledger COMMAND ...`: what a person does to a whole ledger. How and when: docs/operations.md.

The pipeline migrates by itself at each run; the compose stack's init step does it once more, so that a ledger that
cannot be reached or migrated is found out before the first hour.
"""

import argparse
import getpass
import sys
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from include.ledger import Ledger, connect
from include.ledger.maintenance.backup import BackupFailedError, back_up
from include.ledger.maintenance.moving import MoveRefusedError, move

URL = "sqlite:////absolute/file.db or postgres://user:password@host/database"
DONE = {"migrate": "migrated", "backup": "backed up", "restored": "prepared", "copy": "copied"}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 when it is done, 1 with a message when it could not be."""
    given = _parser().parse_args(arguments)
    try:
        _say(_COMMANDS[given.command](given))
    except (BackupFailedError, MoveRefusedError, FileNotFoundError, ValueError) as refusal:
        sys.stderr.write(f"The ledger could not be {DONE[given.command]}: {refusal}\n")
        return 1
    except SQLAlchemyError as error:
        # Not the whole error: it may quote the URL's password.
        sys.stderr.write(
            f"The ledger could not be {DONE[given.command]}: {type(error).__name__}: {error.args[:1]}\n"
        )
        return 1
    return 0


def _migrate(given: argparse.Namespace) -> str:
    engine = connect(given.url)
    Ledger(engine).migrate()
    return f"The ledger ({engine.dialect.name}) is up to date."


def _backup(given: argparse.Namespace) -> str:
    size = back_up(_existing(given.url), given.file)
    return f"Wrote {given.file}, {size:,} bytes. It holds names and addresses."


def _restored(given: argparse.Namespace) -> str:
    ledger, now = Ledger(_existing(given.url)), datetime.now(UTC)
    until = given.due_until or now
    ledger.migrate()
    doubtful = ledger.restored(until, by=f"restore by {getpass.getuser()}")
    return (
        f"{doubtful} interactions due by {until.isoformat(timespec='seconds')} may have been sent by the ledger "
        f"that was lost: they are unknown now, and Data Return is asked before anything else happens to them. The "
        f"same goes for closings due by then that a run finds later. {ledger.backlog().planned} wait as before."
    )


def _copy(given: argparse.Namespace) -> str:
    rows = move(_existing(given.url), connect(given.to), datetime.now(UTC))
    counted = ", ".join(f"{number:,} {table}" for table, number in rows.items())
    return f"Copied and compared: {counted}. Let the connection lead to the new ledger; the old one is retired."


_COMMANDS = {"migrate": _migrate, "backup": _backup, "restored": _restored, "copy": _copy}


def _existing(url: str) -> Engine:
    """The engine of a ledger that is there: SQLite would make a file of a mistyped name."""
    engine = connect(url)
    if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").is_file():
        raise FileNotFoundError(f"there is no file {engine.url.database}.")
    return engine


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("without an offset from UTC")
    return moment


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.ledger", description="Look after a ledger.")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, what: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=what, description=what)
        added.add_argument("url", help=URL)
        return added

    command("migrate", "Create the tables or bring them up to date.")
    backup = command("backup", "Copy a ledger in SQLite into a new file, while it is in use.")
    backup.add_argument("file", type=Path, help="a file that does not exist yet")
    restored = command("restored", "After an older copy took a ledger's place, and before anything uses it.")
    restored.add_argument(
        "--due-until",
        type=_instant,
        help="what was due later cannot have been sent: when the last release ended, such as "
        "2026-01-05T10:00:00Z; left out: now",
    )
    copy = command("copy", "Move a ledger from SQLite to PostgreSQL.")
    copy.add_argument("to", metavar="to_url", help="postgres://user:password@host/database, an empty ledger")
    return parser


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
