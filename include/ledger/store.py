"""What the four stores share: the database and the clock."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Engine

from include.ledger.engine import reading, stepping


class Store:
    """Owns the statements of one duty, and their transactions.

    Each method is one committed transaction, or changes nothing and raises `sqlalchemy.exc.SQLAlchemyError`. All
    changes but a claim are on the disk when the method returns, unless the server is configured otherwise.
    Safe to use from several threads and processes at once.
    `by` is who acts.
    """

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        self._engine = engine
        self._reader = reading(engine)
        self._stepper = stepping(engine)
        self._now = now
