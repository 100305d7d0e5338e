"""Whether there is a ledger to read."""

from enum import StrEnum

from sqlalchemy.exc import SQLAlchemyError

from include.ledger.ledger import Ledger
from include.ledger.migrate import NEWEST, version


class Readiness(StrEnum):
    """What stands between a reader and the ledger."""

    READY = "ready"
    UNREACHABLE = "unreachable"
    """The database does not answer, or refuses us."""
    EMPTY = "empty"
    """It answers and holds no ledger yet: the first run of the pipeline creates it."""
    OLDER = "older"
    """The schema is older than this code: the next run, or `python -m include.ledger migrate URL`, migrates it."""
    NEWER = "newer"
    """The schema is newer than this code: this process must be brought up to date."""


def readiness(ledger: Ledger) -> Readiness:
    """Look; raises nothing. What a query raises afterwards (`SQLAlchemyError`) may be asked about here too."""
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
