"""Check whether the ledger can be read."""

from enum import StrEnum

from sqlalchemy.exc import SQLAlchemyError

from include.ledger.ledger import Ledger
from include.ledger.migrate import NEWEST, version


class Readiness(StrEnum):
    """Whether a reader can use the ledger, and if not, why."""

    READY = "ready"
    UNREACHABLE = "unreachable"
    """The database does not answer or refuses the connection."""
    EMPTY = "empty"
    """It answers and holds no ledger yet: the first run of the pipeline creates it."""
    OLDER = "older"
    """The schema is older than this code: the next run, or `python -m include.ledger migrate URL`, migrates it."""
    NEWER = "newer"
    """The schema is newer than this code: this process must be brought up to date."""


def readiness(ledger: Ledger) -> Readiness:
    """Check without raising. Also explains a `SQLAlchemyError` that a later query raised."""
    try:
        with ledger.read() as connection:
            found = version(connection)
    except SQLAlchemyError:
        return Readiness.UNREACHABLE
    if found is None:
        return Readiness.EMPTY
    if found == NEWEST:
        return Readiness.READY
    return Readiness.OLDER if found < NEWEST else Readiness.NEWER
