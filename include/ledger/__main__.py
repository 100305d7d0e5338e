"""`python -m include.ledger migrate URL`: bring a ledger's schema up to date, before anything else starts.

The pipeline does this by itself at each run; the compose stack's init step does it once more, so that a ledger
that cannot be reached or migrated is found out before the first hour.
"""

import argparse
import sys

from sqlalchemy.exc import SQLAlchemyError

from include.ledger import Ledger, connect


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 when the schema is up to date, 1 with a message when the ledger cannot be reached."""
    parser = argparse.ArgumentParser(prog="python -m include.ledger", description="Look after a ledger.")
    parser.add_argument("command", choices=["migrate"], help="migrate: create the tables or bring them up to date")
    parser.add_argument("url", help="sqlite:////absolute/file.db or postgres://user:password@host/database")
    given = parser.parse_args(arguments)
    try:
        engine = connect(given.url)
        Ledger(engine).migrate()
    except SQLAlchemyError as error:
        # Not the whole error: it may quote the URL's password.
        sys.stderr.write(f"The ledger could not be migrated: {type(error).__name__}: {error.args[:1]}\n")
        return 1
    sys.stdout.write(f"The ledger ({engine.dialect.name}) is up to date.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
